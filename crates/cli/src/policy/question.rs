//! What a line asks.

use serde_json::Value as Json;
use strongroom_policy::{
    Action, GrantConstraints, GrantOperation, GrantPrincipal, GrantTerms, Identity, IdentityPolicies,
    IdentityPolicy, KeyPolicy, PolicyPrincipal, Principal, RoleSession,
};
use strongroom_types::{AccountId, AliasArn, EncryptionContext, KeyArn, KeyReference, Partition};

use super::facts::Table;
use super::members::Members;

pub(super) struct Asked {
    pub(super) action: Action,
    pub(super) facts: Table,
    pub(super) grants: Vec<GivenGrant>,
    pub(super) key_policy: Option<KeyPolicy>,
    /// The grant that a CreateGrant asks for.
    pub(super) new_grant: Option<GrantTerms>,
    pub(super) partition: Partition,
    pub(super) policies: IdentityPolicies,
    pub(super) principal: Principal,
    pub(super) resource_text: String,
    pub(super) target: Target,
}

/// A grant on the key, as ListGrants shows it.
pub(super) struct GivenGrant {
    pub(super) grantee: Option<GrantPrincipal>,
    pub(super) id: Option<String>,
    pub(super) issuing_account: Option<AccountId>,
    pub(super) retiring: Option<GrantPrincipal>,
    pub(super) terms: GrantTerms,
}

impl Asked {
    pub(super) fn read(mut members: Members) -> Result<Self, String> {
        let role = members.text("role")?;
        let (principal, partition) = principal(&members.needed("principal")?, role.as_deref())?;
        let name = members.needed("action")?;
        let action = Action::ALL.iter().copied().find(|action| action.name().eq_ignore_ascii_case(&name));
        let action = action.ok_or_else(|| format!("`{name}` is not an action of AWS KMS"))?;
        let resource_text = members.text("resource")?.unwrap_or_else(|| "*".to_owned());
        let policies = IdentityPolicies {
            identity: members.policies("identity_policies")?.unwrap_or_default(),
            boundary: match members.policy("boundary")? {
                Some(text) => {
                    Some(IdentityPolicy::parse(&text).map_err(|error| format!("`boundary`: {error}"))?)
                }
                None => None,
            },
            session: members.policies("session_policies")?,
        };
        let key_policy = match members.policy("key_policy")? {
            Some(text) => Some(KeyPolicy::parse(&text).map_err(|error| format!("`key_policy`: {error}"))?),
            None => None,
        };
        let grants = members.list("grants")?.into_iter().enumerate();
        let grants = grants.map(|(index, grant)| {
            let name = format!("grants[{index}]");
            let grant = GivenGrant::read(&name, grant)?;
            let grantee = grant.grantee.is_some();
            grantee.then_some(grant).ok_or_else(|| format!("`{name}`: `GranteePrincipal` is missing"))
        });
        let grants = grants.collect::<Result<_, _>>()?;
        let new_grant = match members.take("new_grant") {
            Some(grant) => Some(GivenGrant::read("new_grant", grant)?.terms),
            None => None,
        };
        let facts = Table::read(members.take("context"), &principal, partition)?;
        members.end()?;
        let target = Target::parse(&resource_text)?;
        Ok(Self {
            action,
            facts,
            grants,
            key_policy,
            new_grant,
            partition,
            policies,
            principal,
            resource_text,
            target,
        })
    }
}

impl GivenGrant {
    fn read(name: &str, grant: Json) -> Result<Self, String> {
        let mut members = Members::of(name, grant)?;
        let told = |error: String| format!("`{name}`: {error}");
        Self::read_members(&mut members).and_then(|grant| members.end().map(|()| grant)).map_err(told)
    }

    fn read_members(members: &mut Members) -> Result<Self, String> {
        // What else ListGrants shows decides nothing.
        for name in ["CreationDate", "KeyId", "Name"] {
            members.take(name);
        }
        let grantee = grant_principal(members, "GranteePrincipal", "GranteeServicePrincipal")?;
        let retiring = grant_principal(members, "RetiringPrincipal", "RetiringServicePrincipal")?;
        let issuing_account = match members.text("IssuingAccount")? {
            None => None,
            Some(text) => match PolicyPrincipal::parse_aws(&text) {
                Some(PolicyPrincipal::Account { account, .. }) => Some(account),
                _ => return Err(format!("`IssuingAccount`: `{text}` is not an account")),
            },
        };
        let mut operations = Vec::new();
        for operation in members.list("Operations")? {
            let found = operation.as_str().and_then(GrantOperation::parse);
            operations.push(found.ok_or_else(|| {
                format!("`Operations`: {operation} is not an operation that a grant can allow")
            })?);
        }
        let mut constraints = GrantConstraints::default();
        if let Some(value) = members.take("Constraints") {
            let mut given = Members::of("Constraints", value)?;
            constraints = GrantConstraints {
                context_equals: context(&mut given, "EncryptionContextEquals")?,
                context_subset: context(&mut given, "EncryptionContextSubset")?,
                source_arn: given.text("SourceArn")?.map(Into::into),
            };
            given.end()?;
        }
        Ok(Self {
            grantee,
            id: members.text("GrantId")?,
            issuing_account,
            retiring,
            terms: GrantTerms { constraints, operations },
        })
    }
}

/// Grants name callers by their ARNs here: of a question there is nobody else with the name.
fn grant_principal(
    members: &mut Members,
    name: &str,
    service: &str,
) -> Result<Option<GrantPrincipal>, String> {
    let caller = members.text(name)?.map(|arn| GrantPrincipal::Caller(arn.into()));
    let service = members.text(service)?.map(|name| GrantPrincipal::Service(name.into()));
    Ok(caller.or(service))
}

fn context(members: &mut Members, name: &str) -> Result<Option<EncryptionContext>, String> {
    let Some(value) = members.take(name) else { return Ok(None) };
    let mut pairs = Vec::new();
    for (key, value) in Members::of(name, value)?.0 {
        let Json::String(value) = value else { return Err(format!("`{name}`: `{key}` must be a string")) };
        pairs.push((key, value));
    }
    EncryptionContext::new(pairs).map(Some).map_err(|error| format!("`{name}`: {error}"))
}

pub(super) enum Target {
    Account,
    Alias(AliasArn),
    Key(KeyArn),
}

impl Target {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Account);
        }
        match KeyReference::parse(text) {
            Ok(KeyReference::Arn(arn)) => Ok(Self::Key(arn)),
            Ok(KeyReference::AliasArn(arn)) => Ok(Self::Alias(arn)),
            Ok(KeyReference::Id(_) | KeyReference::Alias(_)) | Err(_) => {
                Err(format!("`{text}` is not `*`, the ARN of a key or the ARN of an alias"))
            }
        }
    }
}

/// Reads an ARN of a root user, a user or a role's session, or the name of a service. A session's ARN does not say the
/// path of its role: `role` does.
fn principal(text: &str, role: Option<&str>) -> Result<(Principal, Partition), String> {
    let bad = || format!("`{text}` is not the ARN of a root user, a user or an assumed role, nor a service");
    let mut fields = text.splitn(6, ':');
    let (Some("arn"), Some(partition), Some(service), Some(""), Some(account), Some(resource)) =
        (fields.next(), fields.next(), fields.next(), fields.next(), fields.next(), fields.next())
    else {
        let is_service = !text.contains(':') && text.contains('.');
        let service = Principal::Service(text.into());
        return is_service.then_some((service, Partition::Aws)).ok_or_else(bad);
    };
    let partitions = [Partition::Aws, Partition::AwsCn, Partition::AwsUsGov];
    let partition = partitions.into_iter().find(|one| one.as_str() == partition).ok_or_else(bad)?;
    let account = AccountId::parse(account).map_err(|error| error.to_string())?;
    let identity = |name: &str| Identity {
        account,
        path_and_name: name.into(),
        unique_id: format!("id of {name}").into(),
    };
    let principal = match (service, resource.split_once('/')) {
        ("iam", None) if resource == "root" => Principal::AccountRoot(account),
        ("iam", Some(("user", name))) if !name.is_empty() => Principal::User(identity(name)),
        ("sts", Some(("assumed-role", rest))) => {
            let (name, session) = rest.split_once('/').ok_or_else(bad)?;
            let role = identity(role.unwrap_or(name));
            if role.name() != name {
                return Err(format!("`role` must end with the name of the session's role, `{name}`"));
            }
            Principal::RoleSession(RoleSession { role, session: session.into() })
        }
        _ => return Err(bad()),
    };
    Ok((principal, partition))
}
