//! The facts of a request, as conditions in policies ask for them.
//!
//! Nothing is looked up before a condition asks: with a policy that has none, all that this costs is a few pointers. What
//! is said here of whole requests, callers and keys is the same for every operation; of what only its request says, an
//! operation tells in [`RequestFacts`].
//!
//! Absent on purpose, because there is nothing of the kind here: organizations, VPC endpoints, calls through other services,
//! multi-factor authentication (which AWS, too, leaves out for access keys).

use std::cell::OnceCell;
use std::net::IpAddr;

use http::HeaderValue;
use strongroom_attestation::Attestation;
use strongroom_policy::{Action, ConditionKey, Facts, Found, Known, List, Many, Principal, Value};
use strongroom_records::KeyRow;
use strongroom_types::{AliasName, EncryptionContext, Timestamp, limits};
use strongroom_wire::{CreateGrantRequest, GrantConstraints, GrantOperation, Tag as WireTag};

use crate::arrival::Arrival;
use crate::caller::Caller;
use crate::usage::Idleness;

/// What is the same for everything that a request asks for.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// No text that a condition asks about is longer.
    pub text_bytes_max: usize,
    pub is_secure: bool,
    pub source: IpAddr,
    pub time: Timestamp,
    pub user_agent: Option<&'a HeaderValue>,
}

impl<'a> Setting<'a> {
    pub(crate) fn new(arrival: &'a Arrival, time: Timestamp) -> Self {
        let user_agent = arrival.headers.get(http::header::USER_AGENT);
        Self {
            text_bytes_max: limits::STORED_TEXT_BYTES_MAX
                .max(arrival.body.len())
                .max(user_agent.map_or(0, HeaderValue::len)),
            is_secure: arrival.tls.is_some(),
            source: arrival.source,
            time,
            user_agent,
        }
    }
}

/// What only the request of an operation says. What an operation does not have stays `None`, and absent for conditions.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestFacts<'a> {
    pub bypasses_lockout_check: Option<bool>,
    pub data_key_pair_spec: Option<&'a str>,
    pub encryption_algorithm: Option<&'a str>,
    pub encryption_context: Option<&'a EncryptionContext>,
    /// The grant that a CreateGrant asks for.
    pub grant: Option<&'a CreateGrantRequest>,
    pub key_agreement_algorithm: Option<&'a str>,
    /// How the request names the key, where an alias may stand.
    pub key_reference: Option<&'a str>,
    pub mac_algorithm: Option<&'a str>,
    pub message_type: Option<&'a str>,
    pub new_key: Option<NewKeyFacts<'a>>,
    pub pending_window_days: Option<u32>,
    pub policy_name: Option<&'a str>,
    pub signing_algorithm: Option<&'a str>,
    /// The keys of tags that are to be removed.
    pub tag_keys: Option<&'a [String]>,
    /// Tags that are to be set.
    pub tags: Option<&'a [WireTag]>,
}

/// The properties of a key that is to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewKeyFacts<'a> {
    pub is_multi_region: bool,
    pub origin: &'a str,
    pub spec: &'a str,
    pub usage: &'a str,
}

/// The facts as one check of a request sees them.
pub(crate) struct CheckFacts<'a> {
    pub(crate) action: Action,
    /// The verified document of the request's recipient.
    pub(crate) attestation: Option<&'a Attestation>,
    pub(crate) caller: &'a Caller,
    /// How long that key has not been used.
    pub(crate) idleness: Idleness<'a>,
    /// The key that the check is about.
    pub(crate) key: Option<&'a KeyRow>,
    /// Whether a ReEncrypt has one key on both sides.
    pub(crate) re_encrypts_on_same_key: Option<bool>,
    pub(crate) request: LazyFacts<'a>,
    pub(crate) setting: &'a Setting<'a>,
}

/// What the operation tells, once it is asked.
pub(crate) struct LazyFacts<'a> {
    ask: &'a dyn Fn() -> RequestFacts<'a>,
    told: OnceCell<Told<'a>>,
}

impl<'a> LazyFacts<'a> {
    pub(crate) fn new(ask: &'a dyn Fn() -> RequestFacts<'a>) -> Self {
        Self { ask, told: OnceCell::new() }
    }

    fn told(&self) -> &Told<'a> {
        self.told.get_or_init(|| {
            let facts = (self.ask)();
            let operations = facts.grant.map(|grant| grant.operations.as_slice()).unwrap_or_default();
            (facts, WireTags(facts.tags.unwrap_or_default()), GrantOperations(operations))
        })
    }
}

type Told<'a> = (RequestFacts<'a>, WireTags<'a>, GrantOperations<'a>);

/// The operations of a grant, as the names of a list without values.
#[derive(Debug)]
struct GrantOperations<'a>(&'a [GrantOperation]);

impl List for GrantOperations<'_> {
    fn entry(&self, index: usize) -> Option<(&str, &str)> {
        self.0.get(index).map(|operation| (operation.as_str(), ""))
    }
}

#[derive(Debug)]
struct WireTags<'a>(&'a [WireTag]);

impl List for WireTags<'_> {
    fn entry(&self, index: usize) -> Option<(&str, &str)> {
        self.0.get(index).map(|tag| (tag.tag_key.as_str(), tag.tag_value.as_str()))
    }
}

impl CheckFacts<'_> {
    fn request(&self) -> &RequestFacts<'_> {
        &self.request.told().0
    }

    fn tag_keys(&self) -> Found<'_> {
        let (facts, tags, _) = self.request.told();
        match facts.tag_keys {
            Some(keys) => Found::Many(Many::Texts(keys)),
            None => Found::Many(Many::ListNames(tags)),
        }
    }

    /// What the key says, or the request about the key that it is to make.
    fn of_key<'s>(
        &'s self,
        of_row: impl FnOnce(&'s KeyRow) -> Value<'s>,
        of_new: impl FnOnce(&NewKeyFacts<'s>) -> Value<'s>,
    ) -> Found<'s> {
        match self.key {
            Some(key) => Found::One(of_row(key)),
            None => self.request().new_key.as_ref().map_or(Found::Absent, |new| Found::One(of_new(new))),
        }
    }

    /// kms:CallerAccount is not there for operations that are about no key (AWS KMS developer guide, "kms:CallerAccount").
    fn caller_account(&self) -> Found<'_> {
        match self.action {
            Action::GenerateRandom | Action::ListAliases | Action::ListKeys | Action::ListRetirableGrants => {
                Found::Absent
            }
            _ => self.account(),
        }
    }

    fn account(&self) -> Found<'_> {
        self.caller.account().map_or(Found::Absent, |account| Found::One(Value::Account(account)))
    }

    /// For the two operations that end the use of a key (AWS KMS developer guide, "kms:TrailingDaysWithoutKeyUsage").
    fn trailing_days(&self) -> Found<'_> {
        let key = match self.action {
            Action::DisableKey | Action::ScheduleKeyDeletion => self.key,
            _ => None,
        };
        let days = key.and_then(|key| self.idleness.days(key, self.setting.time));
        days.map_or(Found::Absent, |days| Found::One(Value::Integer(days)))
    }

    /// IAM user guide, "aws:PrincipalType".
    fn principal_type(&self) -> Found<'_> {
        match self.caller.principal() {
            Principal::AccountRoot(_) => Found::text("Account"),
            Principal::Operator | Principal::Service(_) => Found::Absent,
            Principal::RoleSession(_) => Found::text("AssumedRole"),
            Principal::User(_) => Found::text("User"),
        }
    }

    fn user_name(&self) -> Found<'_> {
        match self.caller.principal() {
            Principal::User(user) => Found::text(user.name()),
            Principal::AccountRoot(_)
            | Principal::Operator
            | Principal::RoleSession(_)
            | Principal::Service(_) => Found::Absent,
        }
    }

    /// What a CreateGrant asks for (AWS KMS developer guide, "Condition keys for AWS KMS"). No service calls for a resource
    /// of its own here.
    fn of_grant(&self, key: Known) -> Found<'_> {
        if key == Known::GrantIsForAwsResource {
            let has_it =
                matches!(self.action, Action::CreateGrant | Action::ListGrants | Action::RevokeGrant);
            return if has_it { Found::One(Value::Bool(false)) } else { Found::Absent };
        }
        let (facts, _, operations) = self.request.told();
        let Some(grant) = facts.grant else { return Found::Absent };
        let constraints = grant.constraints.as_ref();
        match key {
            Known::GrantOperations => Found::Many(Many::ListNames(operations)),
            Known::GranteePrincipal => Found::optional(grant.grantee_principal.as_deref()),
            Known::GranteeServicePrincipal => Found::optional(grant.grantee_service_principal.as_deref()),
            Known::RetiringPrincipal => Found::optional(grant.retiring_principal.as_deref()),
            Known::RetiringServicePrincipal => Found::optional(grant.retiring_service_principal.as_deref()),
            Known::GrantConstraintSourceArn => {
                Found::optional(constraints.and_then(|constraints| constraints.source_arn.as_deref()))
            }
            Known::GrantConstraintType => Found::optional(constraints.and_then(constraint_type)),
            _ => Found::Absent,
        }
    }

    fn known(&self, key: Known) -> Found<'_> {
        let of_request = |text: Option<_>| Found::optional(text);
        let boolean =
            |value: Option<bool>| value.map_or(Found::Absent, |value| Found::One(Value::Bool(value)));
        match key {
            Known::BypassPolicyLockoutSafetyCheck => boolean(self.request().bypasses_lockout_check),
            Known::CallerAccount => self.caller_account(),
            Known::CurrentTime => Found::One(Value::Time(self.setting.time)),
            Known::CustomerMasterKeySpec | Known::KeySpec => {
                self.of_key(|key| Value::Text(key.spec().as_str()), |new| Value::Text(new.spec))
            }
            Known::CustomerMasterKeyUsage | Known::KeyUsage => {
                self.of_key(|key| Value::Text(key.usage().as_str()), |new| Value::Text(new.usage))
            }
            Known::DataKeyPairSpec => of_request(self.request().data_key_pair_spec),
            Known::EncryptionAlgorithm => of_request(self.request().encryption_algorithm),
            Known::EncryptionContextKeys => match self.request().encryption_context {
                Some(context) => Found::Many(Many::ContextKeys(context)),
                None => Found::Absent,
            },
            Known::EpochTime => Found::One(Value::Integer(self.setting.time.as_secs())),
            Known::GrantConstraintSourceArn
            | Known::GrantConstraintType
            | Known::GrantIsForAwsResource
            | Known::GrantOperations
            | Known::GranteePrincipal
            | Known::GranteeServicePrincipal
            | Known::RetiringPrincipal
            | Known::RetiringServicePrincipal => self.of_grant(key),
            Known::KeyOrigin => {
                self.of_key(|key| Value::Text(key.origin().as_str()), |new| Value::Text(new.origin))
            }
            Known::KeyAgreementAlgorithm => of_request(self.request().key_agreement_algorithm),
            Known::MacAlgorithm => of_request(self.request().mac_algorithm),
            Known::MessageType => of_request(self.request().message_type),
            Known::MultiRegion => self.of_key(
                |key| Value::Bool(key.key_id().is_multi_region()),
                |new| Value::Bool(new.is_multi_region),
            ),
            Known::PolicyName => of_request(self.request().policy_name),
            Known::PrincipalAccount => self.account(),
            Known::PrincipalArn => Found::text(self.caller.policy_arn()),
            Known::PrincipalIsAwsService => {
                boolean(Some(matches!(self.caller.principal(), Principal::Service(_))))
            }
            Known::PrincipalType => self.principal_type(),
            Known::ReEncryptOnSameKey => boolean(self.re_encrypts_on_same_key),
            Known::RequestAlias => Found::optional(self.request().key_reference.and_then(alias_in)),
            Known::RequestedRegion => Found::text(self.caller.region().as_str()),
            Known::ResourceAccount => {
                self.key.map_or(Found::Absent, |key| Found::One(Value::Account(key.account())))
            }
            Known::ResourceAliases => {
                self.key.map_or(Found::Absent, |key| Found::Many(Many::Aliases(key.aliases())))
            }
            Known::ScheduleKeyDeletionPendingWindowInDays => match self.request().pending_window_days {
                Some(days) => Found::One(Value::Integer(days.into())),
                None => Found::Absent,
            },
            Known::SecureTransport => boolean(Some(self.setting.is_secure)),
            Known::SigningAlgorithm => of_request(self.request().signing_algorithm),
            Known::SourceIp => Found::One(Value::Ip(self.setting.source)),
            Known::TagKeys => self.tag_keys(),
            Known::TrailingDaysWithoutKeyUsage => self.trailing_days(),
            Known::UserAgent => {
                Found::optional(self.setting.user_agent.and_then(|agent| agent.to_str().ok()))
            }
            Known::UserId => Found::optional(self.caller.user_id()),
            Known::UserName => self.user_name(),
            Known::ViaAwsService => boolean(Some(false)),
            // There is nothing of the kind, or no operation that has it is built.
            Known::CalledVia
            | Known::CalledViaFirst
            | Known::CalledViaLast
            | Known::ExpirationModel
            | Known::MultiFactorAuthAge
            | Known::MultiFactorAuthPresent
            | Known::MultiRegionKeyType
            | Known::PrimaryRegion
            | Known::PrincipalOrgId
            | Known::PrincipalServiceName
            | Known::ReplicaRegion
            | Known::RotationPeriodInDays
            | Known::SourceAccount
            | Known::SourceArn
            | Known::TokenIssueTime
            | Known::ValidTo
            | Known::ViaService
            | Known::WrappingAlgorithm
            | Known::WrappingKeySpec => Found::Absent,
        }
    }
}

impl Facts for CheckFacts<'_> {
    fn find<'a>(&'a self, key: &'a ConditionKey) -> Found<'a> {
        match key {
            ConditionKey::Known(known) => self.known(*known),
            ConditionKey::PrincipalTag(name) => Found::tag(self.caller.tags(), name),
            ConditionKey::RequestTag(name) => Found::Many(Many::ListValues(&self.request.told().1, name)),
            ConditionKey::ResourceTag(name) => {
                self.key.map_or(Found::Absent, |key| Found::tag(key.tags(), name))
            }
            ConditionKey::RecipientAttestation(name) => {
                Found::optional(self.attestation.and_then(|attestation| attestation.measurement(name)))
            }
            ConditionKey::EncryptionContext(_) | ConditionKey::Other(_) => Found::Absent,
        }
    }

    fn encryption_context(&self) -> Option<&EncryptionContext> {
        self.request().encryption_context
    }
}

/// AWS's name for the constraint of a grant; of two, the stricter one.
fn constraint_type(constraints: &GrantConstraints) -> Option<&'static str> {
    match (&constraints.encryption_context_equals, &constraints.encryption_context_subset) {
        (Some(_), _) => Some("EncryptionContextEquals"),
        (None, Some(_)) => Some("EncryptionContextSubset"),
        (None, None) => None,
    }
}

/// The alias in what a request calls a key: an alias's name or its ARN.
fn alias_in(reference: &str) -> Option<&str> {
    let name = reference.splitn(6, ':').last()?;
    name.starts_with(AliasName::PREFIX).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_known_by_its_prefix() {
        for reference in
            ["", "1234abcd", "arn:aws:kms:us-east-1:111122223333:key/1234abcd", "Alias/app", "xalias/a"]
        {
            assert_eq!(alias_in(reference), None, "{reference}");
        }
        for reference in ["alias/app", "arn:aws:kms:us-east-1:111122223333:alias/app"] {
            assert_eq!(alias_in(reference), Some("alias/app"), "{reference}");
        }
    }
}
