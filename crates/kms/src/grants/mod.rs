//! CreateGrant, ListGrants, ListRetirableGrants, RetireGrant and RevokeGrant.
//!
//! A grant is in force when CreateGrant returns, and ended when RetireGrant or RevokeGrant does. What it allows, `policy`
//! decides; when it is asked, the pipeline.

mod create;
mod end;
mod list;

use std::collections::HashMap;
use std::sync::Arc;

use strongroom_audit::Value;
use strongroom_pipeline::{Fault, Reader};
use strongroom_policy::{GrantConstraints, GrantOperation, GrantPrincipal, GrantTerms, PolicyPrincipal};
use strongroom_records::{GrantRow, KeyRow, Loaded};
use strongroom_types::{EncryptionContext, KeySpec, KeyUsage, limits};
use strongroom_wire as wire;

pub(crate) use self::create::CreateGrant;
pub(crate) use self::end::{RetireGrant, RevokeGrant};
pub(crate) use self::list::{ListGrants, ListRetirableGrants};
use crate::fault;

type Key = Arc<Loaded<KeyRow>>;
type Grant = Arc<Loaded<GrantRow>>;

/// A principal that a request names by its ARN, as grants keep it: an account is its root user; a user or a role is the one
/// that has the name now.
struct NamedPrincipal {
    principal: GrantPrincipal,
    /// `None` for a text that can name nobody.
    parsed: Option<PolicyPrincipal>,
    /// Whether there is such a principal.
    exists: bool,
}

impl NamedPrincipal {
    fn read(text: &str, reader: &Reader<'_>) -> Result<Self, Fault> {
        let here = reader.region().partition();
        let parsed = PolicyPrincipal::parse_aws(text).filter(|parsed| *parsed != PolicyPrincipal::Anyone);
        let (name, exists) = match &parsed {
            Some(PolicyPrincipal::Account { account, partition }) => {
                let partition = partition.unwrap_or(here);
                let exists = partition == here && reader.has_account(*account).map_err(fault::records)?;
                (format!("arn:{}:iam::{account}:root", partition.as_str()), exists)
            }
            Some(PolicyPrincipal::Identity(identity)) if identity.partition == here => {
                match reader.unique_id(identity).map_err(fault::records)? {
                    Some(id) => (identity.user_id(id.as_str()), true),
                    None => (text.to_owned(), false),
                }
            }
            // A unique id finds the grants of one who is gone.
            Some(_) | None => (text.to_owned(), false),
        };
        Ok(Self { principal: GrantPrincipal::Caller(name.into()), parsed, exists })
    }
}

/// The ARNs that those named in some grants have now.
struct Names(HashMap<Box<str>, String>);

impl Names {
    fn read<'a>(grants: impl Iterator<Item = &'a GrantRow>, reader: &Reader<'_>) -> Result<Self, Fault> {
        let mut names = HashMap::new();
        for principal in grants.flat_map(|grant| [&grant.grantee].into_iter().chain(&grant.retiring)) {
            let GrantPrincipal::Caller(name) = principal else { continue };
            if !names.contains_key(name)
                && let Some(arn) = reader.arn_of(name).map_err(fault::records)?
            {
                names.insert(name.clone(), arn);
            }
        }
        Ok(Self(names))
    }

    /// A root user has its ARN for a name. One who is gone is shown by the unique id, as AWS does.
    fn shown(&self, name: &str) -> String {
        self.0.get(name).cloned().unwrap_or_else(|| name.to_owned())
    }
}

fn service(text: &str, path: &str) -> Result<GrantPrincipal, Fault> {
    match PolicyPrincipal::parse_service(text) {
        Some(_) => Ok(GrantPrincipal::Service(text.into())),
        None => Err(fault::constraint(text, path, "be the name of a service principal")),
    }
}

/// The one of two members that may not both be there.
fn one_of<'a>(
    arn: Option<&'a String>,
    service: Option<&'a String>,
    names: (&str, &str),
) -> Result<Option<Named<'a>>, Fault> {
    match (arn, service) {
        (Some(_), Some(_)) => {
            let (arn, service) = names;
            Err(fault::validation(format!("Please specify either {arn} or {service}.")))
        }
        (Some(arn), None) => Ok(Some(Named::Arn(arn))),
        (None, Some(service)) => Ok(Some(Named::Service(service))),
        (None, None) => Ok(None),
    }
}

#[derive(Clone, Copy)]
enum Named<'a> {
    Arn(&'a str),
    Service(&'a str),
}

/// What a request asks a grant to give.
fn terms_of(
    operations: &[wire::GrantOperation],
    constraints: Option<&wire::GrantConstraints>,
) -> Result<GrantTerms, Fault> {
    if operations.is_empty() {
        let constraint = "have length greater than or equal to 1";
        return Err(fault::constraint("[]", "operations", constraint));
    }
    let mut found: Vec<GrantOperation> = Vec::with_capacity(operations.len());
    for operation in operations {
        let operation = from_wire(*operation);
        if !found.contains(&operation) {
            found.push(operation);
        }
    }
    let mut terms = GrantTerms { constraints: GrantConstraints::default(), operations: found };
    if let Some(constraints) = constraints {
        let (equals, subset) =
            (&constraints.encryption_context_equals, &constraints.encryption_context_subset);
        check_context(equals.as_ref(), "encryptionContextEquals")?;
        check_context(subset.as_ref(), "encryptionContextSubset")?;
        terms.constraints = GrantConstraints {
            context_equals: equals.clone(),
            context_subset: subset.clone(),
            source_arn: constraints.source_arn.as_deref().map(Into::into),
        };
    }
    Ok(terms)
}

/// AWS KMS API reference, GrantConstraints: eight pairs, each value of at most 384 characters.
fn check_context(context: Option<&EncryptionContext>, member: &str) -> Result<(), Fault> {
    let pairs = context.map(EncryptionContext::pairs).unwrap_or_default();
    let (pairs_max, characters_max) =
        (limits::GRANT_CONTEXT_PAIRS_MAX, limits::GRANT_CONTEXT_VALUE_CHARACTERS_MAX);
    if pairs.len() > pairs_max {
        return Err(fault::validation(format!("constraints.{member} can have at most {pairs_max} pairs.")));
    }
    if pairs.iter().any(|(_, value)| value.chars().count() > characters_max) {
        return Err(fault::validation(format!(
            "A value in constraints.{member} can have at most {characters_max} characters."
        )));
    }
    Ok(())
}

/// Whether a key of this kind can do the operation (AWS KMS developer guide, "Grant concepts", grant operations). Another
/// operation, usage or spec does not compile before what it can do stands here.
fn suits(operation: GrantOperation, key: &KeyRow) -> bool {
    use GrantOperation::*;
    let (spec, usage) = (key.spec(), key.usage());
    match operation {
        CreateGrant | DescribeKey | RetireGrant => true,
        Decrypt | Encrypt | ReEncryptFrom | ReEncryptTo => usage == KeyUsage::EncryptDecrypt,
        GenerateDataKey
        | GenerateDataKeyPair
        | GenerateDataKeyPairWithoutPlaintext
        | GenerateDataKeyWithoutPlaintext => spec == KeySpec::SymmetricDefault,
        GetPublicKey => spec.is_asymmetric(),
        Sign | Verify => usage == KeyUsage::SignVerify,
        GenerateMac | VerifyMac => usage == KeyUsage::GenerateVerifyMac,
        DeriveSharedSecret => usage == KeyUsage::KeyAgreement,
        Decapsulate | Encapsulate => usage == KeyUsage::EncapsulateDecapsulate,
    }
}

/// Whether operations under a key of this kind have an encryption context that a grant can constrain.
fn has_context(key: &KeyRow) -> bool {
    key.spec() == KeySpec::SymmetricDefault
}

macro_rules! same_names {
    ($($name:ident),+ $(,)?) => {
        fn from_wire(operation: wire::GrantOperation) -> GrantOperation {
            match operation {
                $(wire::GrantOperation::$name => GrantOperation::$name),+
            }
        }

        fn to_wire(operation: GrantOperation) -> wire::GrantOperation {
            match operation {
                $(GrantOperation::$name => wire::GrantOperation::$name),+
            }
        }
    };
}

same_names! {
    CreateGrant, Decapsulate, Decrypt, DeriveSharedSecret, DescribeKey, Encapsulate, Encrypt, GenerateDataKey,
    GenerateDataKeyPair, GenerateDataKeyPairWithoutPlaintext, GenerateDataKeyWithoutPlaintext, GenerateMac,
    GetPublicKey, ReEncryptFrom, ReEncryptTo, RetireGrant, Sign, Verify, VerifyMac,
}

/// A grant as the lists show it.
fn entry(grant: &GrantRow, key: &KeyRow, names: &Names) -> wire::GrantListEntry {
    let named = |principal: &GrantPrincipal| match principal {
        GrantPrincipal::Caller(name) => (Some(names.shown(name)), None),
        GrantPrincipal::Service(service) => (None, Some(service.to_string())),
    };
    let (grantee_principal, grantee_service_principal) = named(&grant.grantee);
    let (retiring_principal, retiring_service_principal) =
        grant.retiring.as_ref().map(named).unwrap_or_default();
    let GrantConstraints { context_equals, context_subset, source_arn } = &grant.terms.constraints;
    let is_constrained = grant.terms.constraints != GrantConstraints::default();
    let partition = key.region().partition().as_str();
    wire::GrantListEntry {
        key_id: Some(key.arn_text().to_owned()),
        grant_id: Some(grant.grant_id.to_string()),
        // A grant without a name has the empty one.
        name: Some(grant.name.clone().unwrap_or_default()),
        creation_date: Some(grant.created),
        grantee_principal,
        retiring_principal,
        issuing_account: Some(format!("arn:{partition}:iam::{}:root", grant.issuing_account)),
        operations: Some(grant.terms.operations.iter().copied().map(to_wire).collect()),
        constraints: is_constrained.then(|| wire::GrantConstraints {
            encryption_context_subset: context_subset.clone(),
            encryption_context_equals: context_equals.clone(),
            source_arn: source_arn.as_deref().map(str::to_owned),
        }),
        grantee_service_principal,
        retiring_service_principal,
    }
}

/// A grant id that a request names.
fn parse_id(text: &str) -> Result<strongroom_types::GrantId, Fault> {
    strongroom_types::GrantId::parse(text).map_err(|_| fault::invalid_grant_id())
}

fn push_text<'a>(out: &mut Vec<(&'static str, Value<'a>)>, name: &'static str, text: Option<&'a String>) {
    out.extend(text.map(|text| (name, Value::from(text.as_str()))));
}
