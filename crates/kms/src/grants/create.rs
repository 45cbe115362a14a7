//! CreateGrant.

use strongroom_audit::Value;
use strongroom_crypto::{GrantTokenFacts, named_grant_half};
use strongroom_pipeline::{
    Check, Checks, Done, Fault, Kind, Operation, Permit, Reader, RequestFacts, Targets, World,
};
use strongroom_policy::{Action, GrantFacts, GrantPrincipal, GrantTerms};
use strongroom_records::{GrantRow, KeyRow, RetirableRow, Writes};
use strongroom_types::{AccountId, GrantId, limits};
use strongroom_wire::{CreateGrantReply, CreateGrantRequest};

use super::{Grant, Key, Named, NamedPrincipal, has_context, one_of, push_text, service, suits, terms_of};
use crate::encryption::{context_value, push_dry_run};
use crate::fault;
use crate::lifecycle::{self, StateClass};
use crate::lookup::{self, Accept};

pub(crate) struct CreateGrant;

/// The grant that a request asks for.
pub(crate) struct NewGrant {
    key: Key,
    issuing_account: AccountId,
    grantee: GrantPrincipal,
    retiring: Option<GrantPrincipal>,
    terms: GrantTerms,
    /// A principal that there is not.
    unknown: Option<String>,
    /// The id of a grant with a name, and the grant, if it was made already.
    named: Option<(GrantId, Option<Grant>)>,
}

/// Whom a request names, and whether there is nobody like that.
struct Principals {
    grantee: GrantPrincipal,
    retiring: Option<GrantPrincipal>,
    unknown: Option<String>,
}

impl Principals {
    fn read(request: &CreateGrantRequest, reader: &Reader<'_>) -> Result<Self, Fault> {
        let grantee = one_of(
            request.grantee_principal.as_ref(),
            request.grantee_service_principal.as_ref(),
            ("GranteePrincipal", "GranteeServicePrincipal"),
        )?;
        let grantee = grantee.ok_or_else(|| {
            fault::validation("Please specify either GranteePrincipal or GranteeServicePrincipal.")
        })?;
        let retiring = one_of(
            request.retiring_principal.as_ref(),
            request.retiring_service_principal.as_ref(),
            ("RetiringPrincipal", "RetiringServicePrincipal"),
        )?;
        if matches!(grantee, Named::Service(_)) {
            let source = request.constraints.as_ref().and_then(|constraints| constraints.source_arn.as_ref());
            if source.is_none() || retiring.is_none() {
                return Err(fault::validation(
                    "A grant to a service principal needs a SourceArn constraint and a retiring principal.",
                ));
            }
        }
        let mut unknown = None;
        let mut look_up = |named, path| match named {
            Named::Service(text) => service(text, path),
            Named::Arn(text) => {
                let named = NamedPrincipal::read(text, reader)?;
                if !named.exists {
                    unknown.get_or_insert_with(|| text.to_owned());
                }
                Ok(named.principal)
            }
        };
        let grantee = look_up(grantee, "granteeServicePrincipal")?;
        let retiring = retiring.map(|named| look_up(named, "retiringServicePrincipal")).transpose()?;
        Ok(Self { grantee, retiring, unknown })
    }
}

impl NewGrant {
    /// The id that this name and these parameters have, whoever of the account asks and however often. The grantee is in
    /// the first half of the id.
    fn named_id(&self, name: &str) -> GrantId {
        let constraints = &self.terms.constraints;
        let mut operations: Vec<_> =
            self.terms.operations.iter().map(|operation| operation.as_str()).collect();
        operations.sort_unstable();
        let operations = operations.join(",");
        let created = self.key.created().as_millis().to_be_bytes();
        let account = self.issuing_account.to_string();
        let kind = match &self.retiring {
            None => "",
            Some(GrantPrincipal::Caller(_)) => "arn",
            Some(GrantPrincipal::Service(_)) => "service",
        };
        let retiring = self.retiring.as_ref().map(GrantPrincipal::as_str).unwrap_or_default();
        let is_there =
            [constraints.context_equals.is_some(), constraints.context_subset.is_some()].map(u8::from);
        let encoded = |context: &Option<strongroom_types::EncryptionContext>| {
            context.as_ref().map(|context| context.encoded().to_vec()).unwrap_or_default()
        };
        let (equals, subset) = (encoded(&constraints.context_equals), encoded(&constraints.context_subset));
        let half = named_grant_half(&[
            &created,
            account.as_bytes(),
            name.as_bytes(),
            operations.as_bytes(),
            kind.as_bytes(),
            retiring.as_bytes(),
            &is_there,
            &equals,
            &subset,
            constraints.source_arn.as_deref().unwrap_or_default().as_bytes(),
        ]);
        self.id_with(half)
    }

    fn id_with(&self, half: [u8; 16]) -> GrantId {
        GrantId::from_halves(GrantRow::grantee_tag(&self.key.key_id(), &self.grantee), half)
    }

    /// Refuses what a key of this kind, in this state, cannot have.
    fn check(&self) -> Result<(), Fault> {
        if let Some(unknown) = &self.unknown {
            return Err(fault::unknown_principal(unknown));
        }
        let key: &KeyRow = &self.key;
        if let Some(operation) = self.terms.operations.iter().find(|operation| !suits(**operation, key)) {
            return Err(fault::validation(format!(
                "Operation {} is not supported by a key with key spec {} and key usage {}.",
                operation.as_str(),
                key.spec(),
                key.usage()
            )));
        }
        let constraints = &self.terms.constraints;
        let is_about_context = constraints.context_equals.is_some() || constraints.context_subset.is_some();
        if is_about_context && !has_context(key) {
            return Err(fault::validation(
                "An encryption context constraint is only valid on a symmetric encryption key.",
            ));
        }
        lifecycle::check(key, StateClass::Grant)
    }
}

impl Operation for CreateGrant {
    type Request = CreateGrantRequest;
    type Rows = NewGrant;
    type Reply = CreateGrantReply;

    const KIND: Kind = Kind::Change;

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<NewGrant>, Fault> {
        let terms = terms_of(&request.operations, request.constraints.as_ref())?;
        let Principals { grantee, retiring, unknown } = Principals::read(request, reader)?;
        let key = lookup::find(reader, &request.key_id, Accept::KeysOnly, Action::CreateGrant)?;
        // The operator has no account and is refused.
        let issuing_account = reader.caller().account().unwrap_or(AccountId::NONE);
        let checks = Checks::one(Check::key(Action::CreateGrant, &key));
        let mut rows = NewGrant { key, issuing_account, grantee, retiring, terms, unknown, named: None };
        if let Some(name) = &request.name {
            let id = rows.named_id(name);
            let existing = reader.grant(&rows.key, &id).map_err(fault::records)?;
            rows.named = Some((id, existing));
        }
        Ok(Targets { rows, checks })
    }

    fn facts(request: &Self::Request, _: Action) -> RequestFacts<'_> {
        let constraints = request.constraints.as_ref();
        // Conditions on the context are held against the pairs of the constraint.
        let context = constraints.and_then(|constraints| {
            constraints.encryption_context_equals.as_ref().or(constraints.encryption_context_subset.as_ref())
        });
        RequestFacts { encryption_context: context, grant: Some(request), ..RequestFacts::default() }
    }

    fn run(permit: &Permit<Self>, world: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let (request, new) = (permit.request(), permit.rows());
        new.check()?;
        let is_dry_run = request.dry_run == Some(true);
        let (id, serial, writes) = match &new.named {
            Some((id, Some(existing))) => (*id, existing.serial, Writes::default()),
            _ => {
                check_count(&new.key)?;
                write_new(new, request, world)
            }
        };
        if is_dry_run {
            return Err(fault::dry_run());
        }
        let facts = GrantTokenFacts { key_id: new.key.key_id(), grant_id: id, serial };
        let token = world.keyring.seal_grant_token(new.key.region(), &facts).map_err(fault::crypto)?;
        let reply = CreateGrantReply { grant_token: Some(token), grant_id: Some(id.to_string()) };
        let response_elements = Some(vec![
            ("grantId", Value::from(id.to_string())),
            ("keyId", Value::from(new.key.arn_text().to_owned())),
        ]);
        Ok(Done { writes, response_elements, ..Done::reply(reply) })
    }

    fn grant_tokens(request: &Self::Request) -> &[String] {
        request.grant_tokens.as_deref().unwrap_or_default()
    }

    /// A grant that allows CreateGrant allows what it covers.
    fn grant_facts<'a>(_: &'a Self::Request, rows: &'a NewGrant, _: Action) -> GrantFacts<'a> {
        GrantFacts { child: Some(&rows.terms), ..GrantFacts::default() }
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        let mut out = vec![("keyId", Value::from(request.key_id.as_str()))];
        push_text(&mut out, "granteePrincipal", request.grantee_principal.as_ref());
        push_text(&mut out, "granteeServicePrincipal", request.grantee_service_principal.as_ref());
        push_text(&mut out, "retiringPrincipal", request.retiring_principal.as_ref());
        push_text(&mut out, "retiringServicePrincipal", request.retiring_service_principal.as_ref());
        let operations = request.operations.iter().map(|operation| Value::from(operation.as_str()));
        out.push(("operations", Value::List(operations.collect::<Vec<_>>().into())));
        if let Some(constraints) = &request.constraints {
            let equals = constraints.encryption_context_equals.as_ref();
            let equals = equals.map(|context| ("encryptionContextEquals".into(), context_value(context)));
            let subset = constraints.encryption_context_subset.as_ref();
            let subset = subset.map(|context| ("encryptionContextSubset".into(), context_value(context)));
            let source = constraints.source_arn.as_deref().map(|arn| ("sourceArn".into(), Value::from(arn)));
            let fields: Vec<_> = subset.into_iter().chain(equals).chain(source).collect();
            out.push(("constraints", Value::Map(fields.into())));
        }
        push_text(&mut out, "name", request.name.as_ref());
        push_dry_run(&mut out, request.dry_run);
        out
    }
}

/// Refuses more grants than a key may have.
fn check_count(key: &KeyRow) -> Result<(), Fault> {
    let max = limits::GRANTS_PER_KEY_MAX;
    if key.grants() >= max {
        return Err(fault::limit_exceeded(format!("A key can have at most {max} grants.")));
    }
    Ok(())
}

/// The rows of a new grant: its own, the key's, which counts it, and its place in the index of its retiring principal.
fn write_new(new: &NewGrant, request: &CreateGrantRequest, world: &World<'_>) -> (GrantId, [u8; 16], Writes) {
    let (region, key_id) = (new.key.region(), new.key.key_id());
    let grant_id = match &new.named {
        Some((id, _)) => *id,
        None => new.id_with(world.env.random_id()),
    };
    let serial = world.env.random_id();
    let mut writes = Writes::default();
    let mut key = (**new.key).clone();
    key.count_grant();
    writes.update(&new.key, key);
    if let Some(retiring) = &new.retiring {
        let address = RetirableRow::address(region, retiring, &key_id, &grant_id);
        writes.create(address, RetirableRow { retiring: retiring.clone(), key_id, grant_id });
    }
    let row = GrantRow {
        key_id,
        grant_id,
        created: world.env.now(),
        key_created: new.key.created(),
        serial,
        grantee: new.grantee.clone(),
        retiring: new.retiring.clone(),
        issuing_account: new.issuing_account,
        terms: new.terms.clone(),
        name: request.name.clone(),
    };
    writes.create(GrantRow::address(region, &key_id, &grant_id), row);
    (grant_id, serial, writes)
}
