//! A refusal in AWS's words.
//!
//! SDKs do not read these messages, but people and their log searches do: they are AWS's, to the letter, as far as
//! recordings of its answers show them.

use std::fmt;

use crate::decide::{DenyReason, KeyNamed, Request, Resource};

/// The message of an AccessDeniedException. It is put together when it is written, and costs nothing before.
#[derive(Debug, Clone, Copy)]
pub struct AccessDenied<'a> {
    caller_arn: &'a str,
    reason: DenyReason,
    request: &'a Request<'a>,
}

impl<'a> AccessDenied<'a> {
    pub fn new(caller_arn: &'a str, request: &'a Request<'a>, reason: DenyReason) -> Self {
        Self { caller_arn, reason, request }
    }

    fn write_resource(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.reason, self.request.resource) {
            (DenyReason::ForeignKey, Resource::Key { named: KeyNamed::ByRequest, .. }) => {
                f.write_str(" on this resource")
            }
            (DenyReason::ForeignKey, _) => f.write_str(" on the resource associated with this ciphertext"),
            (_, Resource::Account) => f.write_str(" on resource: *"),
            (_, Resource::Alias(arn)) => write!(f, " on resource: {arn}"),
            (_, Resource::Ciphertext) => f.write_str(" on the resource associated with this ciphertext"),
            (_, Resource::Key { .. }) if self.request.action.is_identity_only() => {
                f.write_str(" on resource: *")
            }
            (_, Resource::Key { arn, .. }) => write!(f, " on resource: {arn}"),
            // There is no ARN to name yet, and AWS then names none.
            (_, Resource::NewKey) => Ok(()),
        }
    }
}

impl fmt::Display for AccessDenied<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = self.request.action.name();
        write!(f, "User: {} is not authorized to perform: {action}", self.caller_arn)?;
        self.write_resource(f)?;
        match self.reason {
            DenyReason::ExplicitDenyInBoundary(_) => {
                f.write_str(" with an explicit deny in a permissions boundary")
            }
            DenyReason::ExplicitDenyInIdentityPolicy(_) => {
                f.write_str(" with an explicit deny in an identity-based policy")
            }
            DenyReason::ExplicitDenyInKeyPolicy { .. } => {
                f.write_str(" with an explicit deny in a resource-based policy")
            }
            DenyReason::ExplicitDenyInSessionPolicy(_) => {
                f.write_str(" with an explicit deny in a session policy")
            }
            DenyReason::ForeignKey => f.write_str(
                " because the resource does not exist in this Region, no resource-based policies allow access, \
                 or a resource-based policy explicitly denies access",
            ),
            DenyReason::NoBoundaryAllows => {
                write!(f, " because no permissions boundary allows the {action} action")
            }
            DenyReason::NoIdentityPolicyAllows => {
                write!(f, " because no identity-based policy allows the {action} action")
            }
            DenyReason::NoKeyPolicyAllows => {
                write!(f, " because no resource-based policy allows the {action} action")
            }
            DenyReason::NoSessionPolicyAllows => {
                write!(f, " because no session policy allows the {action} action")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use strongroom_types::{AccountId, AliasArn, AliasName, KeyArn, KeyId, RegionName};

    use super::*;
    use crate::{Action, IdentitySide, KeyPolicyVerdict, Principal, StatementPlace};

    const CALLER: &str = "arn:aws:iam::111122223333:root";
    const PLACE: StatementPlace = StatementPlace { policy: 0, statement: 0 };
    const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    fn message(action: Action, resource: Resource<'_>, reason: DenyReason) -> String {
        let principal = Principal::AccountRoot(AccountId::parse("111122223333").unwrap());
        let request = Request { action, identity: IdentitySide::SILENT, principal: &principal, resource };
        AccessDenied::new(CALLER, &request, reason).to_string()
    }

    fn key() -> KeyArn {
        KeyArn {
            region: RegionName::parse("us-east-1").unwrap(),
            account: AccountId::parse("111122223333").unwrap(),
            key_id: KeyId::parse("1234abcd-12ab-34cd-56ef-1234567890ab").unwrap(),
        }
    }

    #[test]
    fn refusals_on_a_key_name_the_side_that_refuses() {
        let arn = key();
        let resource =
            Resource::Key { arn: &arn, named: KeyNamed::ByRequest, verdict: KeyPolicyVerdict::NoMatch };
        for (reason, end) in [
            (
                DenyReason::NoKeyPolicyAllows,
                " because no resource-based policy allows the kms:Encrypt action",
            ),
            (
                DenyReason::NoIdentityPolicyAllows,
                " because no identity-based policy allows the kms:Encrypt action",
            ),
            (
                DenyReason::ExplicitDenyInKeyPolicy { statement: 0 },
                " with an explicit deny in a resource-based policy",
            ),
            (
                DenyReason::ExplicitDenyInIdentityPolicy(PLACE),
                " with an explicit deny in an identity-based policy",
            ),
            (DenyReason::ExplicitDenyInBoundary(PLACE), " with an explicit deny in a permissions boundary"),
            (DenyReason::ExplicitDenyInSessionPolicy(PLACE), " with an explicit deny in a session policy"),
            (DenyReason::NoBoundaryAllows, " because no permissions boundary allows the kms:Encrypt action"),
            (DenyReason::NoSessionPolicyAllows, " because no session policy allows the kms:Encrypt action"),
        ] {
            let expected =
                format!("User: {CALLER} is not authorized to perform: kms:Encrypt on resource: {KEY}{end}");
            assert_eq!(message(Action::Encrypt, resource, reason), expected);
        }
    }

    #[test]
    fn an_action_that_is_about_no_key_names_none() {
        let arn = key();
        let resource =
            Resource::Key { arn: &arn, named: KeyNamed::ByRequest, verdict: KeyPolicyVerdict::NoMatch };
        let refused = message(Action::ListKeys, resource, DenyReason::NoIdentityPolicyAllows);
        assert!(refused.contains("kms:ListKeys on resource: * because"), "{refused}");
    }

    #[test]
    fn refusals_on_foreign_keys_do_not_name_them() {
        let arn = key();
        let key = |named| Resource::Key {
            arn: &arn,
            named,
            verdict: KeyPolicyVerdict::ExplicitDeny { statement: 0 },
        };
        let why = " because the resource does not exist in this Region, no resource-based policies allow access, \
            or a resource-based policy explicitly denies access";
        let start = format!("User: {CALLER} is not authorized to perform: kms:Decrypt");
        let refused = |resource| message(Action::Decrypt, resource, DenyReason::ForeignKey);
        assert_eq!(refused(key(KeyNamed::ByRequest)), format!("{start} on this resource{why}"));
        let by_ciphertext = format!("{start} on the resource associated with this ciphertext{why}");
        assert_eq!(refused(key(KeyNamed::ByCiphertext)), by_ciphertext);
        assert_eq!(refused(Resource::Ciphertext), by_ciphertext);
    }

    #[test]
    fn refusals_without_a_key_name_what_there_is() {
        let start = format!("User: {CALLER} is not authorized to perform: kms:");
        let refused = |action, resource| message(action, resource, DenyReason::NoIdentityPolicyAllows);
        assert_eq!(
            refused(Action::CreateKey, Resource::Account),
            format!(
                "{start}CreateKey on resource: * because no identity-based policy allows the kms:CreateKey action"
            )
        );
        assert_eq!(
            refused(Action::TagResource, Resource::NewKey),
            format!("{start}TagResource because no identity-based policy allows the kms:TagResource action")
        );
        let KeyArn { region, account, .. } = key();
        let alias = AliasArn { region, account, name: AliasName::parse("alias/app").unwrap() };
        assert_eq!(
            refused(Action::CreateAlias, Resource::Alias(&alias)),
            format!(
                "{start}CreateAlias on resource: arn:aws:kms:us-east-1:111122223333:alias/app because no \
                 identity-based policy allows the kms:CreateAlias action"
            )
        );
    }
}
