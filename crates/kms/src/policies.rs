//! GetKeyPolicy, ListKeyPolicies and PutKeyPolicy, and what every operation that takes a policy asks of it.

use std::sync::Arc;

use strongroom_audit::Value;
use strongroom_pipeline::{
    Check, Checks, Done, Fault, Kind, Operation, Permit, Reader, RequestFacts, Targets, Weight, World,
};
use strongroom_policy::{
    Action, IdentityPolicies, KeyPolicy, LockoutQuestion, NoFacts, PolicyError, PolicyIdentity,
    PolicyPrincipal, Principal, check_length, rename_principals, would_lock_out,
};
use strongroom_records::{KeyRow, Loaded, PolicyBinding, Writes};
use strongroom_types::{AccountId, KeyArn, Partition, UniqueId, limits};
use strongroom_wire::{
    ErrorKind, GetKeyPolicyReply, GetKeyPolicyRequest, ListKeyPoliciesReply, ListKeyPoliciesRequest, NoReply,
    PutKeyPolicyRequest,
};

use crate::fault;
use crate::lookup::{self, Accept};
use crate::paging::page_size;

/// The name of the one policy that a key has.
const DEFAULT: &str = "default";
/// The name of the policy that AWS Resource Access Manager keeps on a shared key.
const AWS_RAM: &str = "AWS_RAM";

pub(crate) struct GetKeyPolicy;
pub(crate) struct ListKeyPolicies;
pub(crate) struct PutKeyPolicy;

/// A policy that a request proposes, read before the decision and judged after it.
pub(crate) struct ProposedPolicy {
    text: String,
    parsed: Result<(KeyPolicy, Vec<PolicyBinding>), PolicyProblem>,
    /// Whether whoever proposes it could not change it any more.
    locks_out: bool,
}

/// A policy that may stand on its key.
pub(crate) struct AcceptedPolicy {
    pub(crate) text: String,
    pub(crate) policy: KeyPolicy,
    pub(crate) bindings: Vec<PolicyBinding>,
}

/// Who knows which principals there are.
pub(crate) trait Directory {
    fn has_account(&self, account: AccountId) -> Result<bool, Fault>;
    fn unique_id(&self, identity: &PolicyIdentity) -> Result<Option<UniqueId>, Fault>;
}

impl Directory for Reader<'_> {
    fn has_account(&self, account: AccountId) -> Result<bool, Fault> {
        Self::has_account(self, account).map_err(fault::records)
    }

    fn unique_id(&self, identity: &PolicyIdentity) -> Result<Option<UniqueId>, Fault> {
        Self::unique_id(self, identity).map_err(fault::records)
    }
}

/// An account that has nothing but its root user yet.
struct LonelyAccount(AccountId);

impl Directory for LonelyAccount {
    fn has_account(&self, account: AccountId) -> Result<bool, Fault> {
        Ok(account == self.0)
    }

    fn unique_id(&self, _: &PolicyIdentity) -> Result<Option<UniqueId>, Fault> {
        Ok(None)
    }
}

enum PolicyProblem {
    Error(PolicyError),
    UnknownPrincipal,
}

impl ProposedPolicy {
    /// Parses the policy of the key `arn` and looks its principals up: a principal must exist. `row` is the key, if there
    /// is one yet, and `facts` are those of the request, since a condition of the policy may ask for them.
    pub(crate) fn read(
        text: &str,
        reader: &Reader<'_>,
        arn: &KeyArn,
        row: Option<&KeyRow>,
        facts: RequestFacts<'_>,
    ) -> Result<Self, Fault> {
        let mut proposed = Self::parse(text, reader.region().partition(), reader)?;
        if let Ok((policy, _)) = &proposed.parsed {
            let facts = RequestFacts { policy_name: Some(DEFAULT), ..facts };
            proposed.locks_out = reader.would_lock_out(policy, arn, row, facts);
        }
        Ok(proposed)
    }

    /// The same, where something else than a reader knows which principals there are, and nobody is asked whether they
    /// are locked out.
    fn parse(text: &str, partition: Partition, directory: &dyn Directory) -> Result<Self, Fault> {
        let parsed = match check_length(text).and_then(|()| KeyPolicy::parse(text)) {
            Err(error) => Err(PolicyProblem::Error(error)),
            Ok(mut policy) => match bindings(&policy, partition, directory)? {
                None => Err(PolicyProblem::UnknownPrincipal),
                Some(bindings) => {
                    policy.bind(|identity| {
                        let name = identity.binding_name();
                        let bound = bindings.iter().find(|binding| binding.name == name)?;
                        Some(bound.unique_id.as_str().into())
                    });
                    Ok((policy, bindings))
                }
            },
        };
        Ok(Self { text: text.to_owned(), parsed, locks_out: false })
    }

    /// A policy that the account's root user proposes when there is nothing of a request yet, for the key `arn`.
    pub(crate) fn of_root(text: &str, arn: &KeyArn) -> Result<Self, Fault> {
        let mut proposed = Self::parse(text, arn.region.partition(), &LonelyAccount(arn.account))?;
        if let Ok((policy, _)) = &proposed.parsed {
            let (policies, principal) = (&IdentityPolicies::default(), &Principal::AccountRoot(arn.account));
            let question = LockoutQuestion { facts: &NoFacts, key: arn, policies, principal };
            proposed.locks_out = would_lock_out(policy, &question);
        }
        Ok(proposed)
    }

    /// The policy, if it may stand on its key.
    pub(crate) fn judge(&self, bypass_lockout_check: bool) -> Result<AcceptedPolicy, Fault> {
        let (policy, bindings) = self.parsed.as_ref().map_err(PolicyProblem::to_fault)?;
        if !bypass_lockout_check && self.locks_out {
            let message = "The new key policy will not allow you to update the key policy in the future.";
            return Err(Fault::new(ErrorKind::MalformedPolicyDocument, message));
        }
        let (text, policy, bindings) = (self.text.clone(), policy.clone(), bindings.clone());
        Ok(AcceptedPolicy { text, policy, bindings })
    }
}

/// Which users and roles the policy means; `None` if it names a principal that does not exist.
fn bindings(
    policy: &KeyPolicy,
    partition: Partition,
    directory: &dyn Directory,
) -> Result<Option<Vec<PolicyBinding>>, Fault> {
    let mut bindings: Vec<PolicyBinding> = Vec::new();
    for principal in policy.principals() {
        let mut fault = None;
        let mut found = |looked_up: Result<bool, Fault>| {
            looked_up.unwrap_or_else(|error| {
                fault = Some(error);
                false
            })
        };
        let exists = match principal {
            PolicyPrincipal::Identity(identity) if identity.partition == partition => {
                let name = identity.binding_name();
                match directory.unique_id(identity)? {
                    Some(unique_id) => {
                        if !bindings.iter().any(|binding| binding.name == name) {
                            bindings.push(PolicyBinding { name, unique_id });
                        }
                        true
                    }
                    None => false,
                }
            }
            _ => principal.exists(partition, |account| found(directory.has_account(account)), |_| false),
        };
        if let Some(fault) = fault {
            return Err(fault);
        }
        if !exists {
            return Ok(None);
        }
    }
    Ok(Some(bindings))
}

/// The policy's text as AWS shows it: users and roles by the ARNs that they have now, and those who are gone by their unique
/// ids (IAM user guide, "IAM user principals").
fn shown_text(key: &KeyRow, reader: &Reader<'_>) -> Result<String, Fault> {
    let text = key.policy_text();
    if key.policy_bindings().is_empty() {
        return Ok(text.to_owned());
    }
    let mut failed = None;
    let renamed = rename_principals(text, |identity| {
        let name = identity.binding_name();
        let bound = key.policy_bindings().iter().find(|binding| binding.name == name)?;
        let shown = match reader.arn_of(&identity.user_id(bound.unique_id.as_str())) {
            Ok(arn) => arn.unwrap_or_else(|| bound.unique_id.to_string()),
            Err(error) => {
                failed = Some(error);
                return None;
            }
        };
        (shown != identity.arn()).then_some(shown)
    });
    match failed {
        Some(error) => Err(fault::records(error)),
        None => renamed.map_err(Fault::internal),
    }
}

impl PolicyProblem {
    fn to_fault(&self) -> Fault {
        match self {
            Self::Error(error @ PolicyError::TooLong { .. }) => fault::limit_exceeded(error.to_string()),
            Self::Error(PolicyError::InvalidPrincipal { .. }) => invalid_principals(),
            Self::Error(error @ PolicyError::Malformed { .. }) => {
                Fault::new(ErrorKind::MalformedPolicyDocument, error.to_string())
            }
            Self::UnknownPrincipal => invalid_principals(),
        }
    }
}

fn invalid_principals() -> Fault {
    let message = "Policy contains a statement with one or more invalid principals.";
    Fault::new(ErrorKind::MalformedPolicyDocument, message)
}

impl Operation for GetKeyPolicy {
    type Request = GetKeyPolicyRequest;
    /// The policy's text.
    type Rows = String;
    type Reply = GetKeyPolicyReply;

    const KIND: Kind = Kind::Read;

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Self::Rows>, Fault> {
        let key = lookup::find(reader, &request.key_id, Accept::KeysOnly, Action::GetKeyPolicy)?;
        let checks = Checks::one(Check::key(Action::GetKeyPolicy, &key));
        Ok(Targets { rows: shown_text(&key, reader)?, checks })
    }

    fn facts(request: &Self::Request, _: Action) -> RequestFacts<'_> {
        let policy_name = Some(request.policy_name.as_deref().unwrap_or(DEFAULT));
        RequestFacts { policy_name, ..RequestFacts::default() }
    }

    fn run(permit: &Permit<Self>, _: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        match permit.request().policy_name.as_deref() {
            None | Some(DEFAULT) => {}
            Some(_) => return Err(fault::no_such_policy()),
        }
        Ok(Done::reply(GetKeyPolicyReply {
            policy: Some(permit.rows().clone()),
            policy_name: Some(DEFAULT.to_owned()),
        }))
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        let name = request.policy_name.as_deref().unwrap_or(DEFAULT);
        vec![("keyId", Value::from(request.key_id.as_str())), ("policyName", Value::from(name))]
    }
}

impl Operation for ListKeyPolicies {
    type Request = ListKeyPoliciesRequest;
    type Rows = Arc<Loaded<KeyRow>>;
    type Reply = ListKeyPoliciesReply;

    const KIND: Kind = Kind::Read;

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Self::Rows>, Fault> {
        page_size(request.limit, limits::LIST_KEY_POLICIES_DEFAULT, limits::LIST_KEY_POLICIES_MAX)?;
        let key = lookup::find(reader, &request.key_id, Accept::KeysOnly, Action::ListKeyPolicies)?;
        let checks = Checks::one(Check::key(Action::ListKeyPolicies, &key));
        Ok(Targets { rows: key, checks })
    }

    fn facts(_: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts::default()
    }

    /// Every key has its one policy, so the first page is the last and no marker is ever given out.
    fn run(permit: &Permit<Self>, _: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        if permit.request().marker.is_some() {
            return Err(fault::invalid_marker());
        }
        Ok(Done::reply(ListKeyPoliciesReply {
            policy_names: Some(vec![DEFAULT.to_owned()]),
            next_marker: None,
            truncated: Some(false),
        }))
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        let key_id = ("keyId", Value::from(request.key_id.as_str()));
        let limit = request.limit.map(|limit| ("limit", Value::Integer(limit.into())));
        [key_id].into_iter().chain(limit).collect()
    }
}

impl Operation for PutKeyPolicy {
    type Request = PutKeyPolicyRequest;
    type Rows = (Arc<Loaded<KeyRow>>, ProposedPolicy);
    type Reply = NoReply;

    const KIND: Kind = Kind::Change;

    /// A hostile policy of 32 KB takes milliseconds to compile.
    fn weight(_: &Self::Request) -> Weight {
        Weight::Heavy
    }

    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Self::Rows>, Fault> {
        let key = lookup::find(reader, &request.key_id, Accept::KeysOnly, Action::PutKeyPolicy)?;
        let checks = Checks::one(Check::key(Action::PutKeyPolicy, &key));
        let facts = Self::facts(request, Action::PutKeyPolicy);
        let policy = ProposedPolicy::read(&request.policy, reader, key.arn(), Some(&key), facts)?;
        Ok(Targets { rows: (key, policy), checks })
    }

    fn facts(request: &Self::Request, _: Action) -> RequestFacts<'_> {
        RequestFacts {
            bypasses_lockout_check: Some(request.bypass_policy_lockout_safety_check.unwrap_or(false)),
            policy_name: Some(request.policy_name.as_deref().unwrap_or(DEFAULT)),
            ..RequestFacts::default()
        }
    }

    fn run(permit: &Permit<Self>, _: &World<'_>) -> Result<Done<Self::Reply>, Fault> {
        let (key, proposed) = permit.rows();
        let request = permit.request();
        match request.policy_name.as_deref() {
            None | Some(DEFAULT) => {}
            Some(AWS_RAM) => {
                return Err(fault::validation("The AWS_RAM policy can only be managed by the RAM service"));
            }
            Some(_) => return Err(fault::no_such_policy()),
        }
        let bypass = request.bypass_policy_lockout_safety_check.unwrap_or(false);
        let AcceptedPolicy { text, policy, bindings } = proposed.judge(bypass)?;
        let mut row = (***key).clone();
        row.set_policy(text, policy);
        row.bind_policy(bindings);
        let mut writes = Writes::default();
        writes.update(key, row);
        Ok(Done { writes, ..key_changed(key) })
    }

    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)> {
        let bypass = request.bypass_policy_lockout_safety_check.unwrap_or(false);
        vec![
            ("keyId", Value::from(request.key_id.as_str())),
            ("policyName", Value::from(request.policy_name.as_deref().unwrap_or(DEFAULT))),
            ("policy", Value::from(request.policy.as_str())),
            ("bypassPolicyLockoutSafetyCheck", Value::Bool(bypass)),
        ]
    }
}

/// The end of an operation that changed a key and answers nothing: its record names the key.
pub(crate) fn key_changed(key: &KeyRow) -> Done<NoReply> {
    let mut done = Done::reply(NoReply);
    done.response_elements = Some(vec![("keyId", Value::from(key.arn_text().to_owned()))]);
    done
}
