//! What a grant allows.
//!
//! A grant gives one principal some operations on one key, perhaps under constraints (AWS KMS developer guide, "Grants in
//! AWS KMS"). Grants only add: they are asked when the policies neither allow nor explicitly deny, and nothing in them can
//! take a right away. Whose grants are asked, and that they are of this key, is for the caller of this module to see to.

use strongroom_types::{AccountId, EncryptionContext};

use crate::action::Action;
use crate::decide::{AllowReason, Decision, DenyReason, KeyPolicyVerdict, Request, Resource};

macro_rules! operations {
    ($($name:ident),+ $(,)?) => {
        /// An operation that a grant can allow (AWS KMS API reference, CreateGrant, Operations).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum GrantOperation {
            $($name),+
        }

        impl GrantOperation {
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// AWS's name. It is part of the format of rows.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name)),+
                }
            }

            /// The permission that it gives.
            pub const fn action(self) -> Action {
                match self {
                    $(Self::$name => Action::$name),+
                }
            }

            /// The operation that gives this permission; `None` for what no grant can give.
            pub const fn of(action: Action) -> Option<Self> {
                match action {
                    $(Action::$name => Some(Self::$name),)+
                    _ => None,
                }
            }
        }
    };
}

operations! {
    CreateGrant, Decapsulate, Decrypt, DeriveSharedSecret, DescribeKey, Encapsulate, Encrypt, GenerateDataKey,
    GenerateDataKeyPair, GenerateDataKeyPairWithoutPlaintext, GenerateDataKeyWithoutPlaintext, GenerateMac,
    GetPublicKey, ReEncryptFrom, ReEncryptTo, RetireGrant, Sign, Verify, VerifyMac,
}

impl GrantOperation {
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|operation| operation.as_str() == text)
    }

    /// Whether context constraints count. They do not for operations that have no encryption context (AWS KMS API
    /// reference, GrantConstraints); for CreateGrant the constraints of the child count instead.
    pub const fn has_context(self) -> bool {
        !matches!(self, Self::CreateGrant | Self::DescribeKey | Self::RetireGrant)
    }
}

/// Whom a grant names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum GrantPrincipal {
    /// Somebody of an account: the root user by its ARN; a user, a role or a session by what `aws:userid` says of it, so
    /// that another one of the same name is not meant. The two cannot be taken for one another.
    Caller(Box<str>),
    /// An AWS service. No caller is one.
    Service(Box<str>),
}

impl GrantPrincipal {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Caller(text) | Self::Service(text) => text,
        }
    }

    /// Whether a caller who goes by these names is meant.
    pub fn is_one_of(&self, caller_names: &[&str]) -> bool {
        matches!(self, Self::Caller(name) if caller_names.contains(&&**name))
    }
}

/// When a grant counts. All that is there must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GrantConstraints {
    /// The request's context is exactly this.
    pub context_equals: Option<EncryptionContext>,
    /// The request's context has all of these pairs.
    pub context_subset: Option<EncryptionContext>,
    /// The request comes on behalf of this resource.
    pub source_arn: Option<Box<str>>,
}

/// What a grant gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantTerms {
    pub constraints: GrantConstraints,
    /// In the order in which they were given, none twice.
    pub operations: Vec<GrantOperation>,
}

/// What a request says of itself that a grant may depend on. A fact that is not there fulfils no constraint.
#[derive(Debug, Clone, Copy, Default)]
pub struct GrantFacts<'a> {
    /// The grant that a CreateGrant asks for.
    pub child: Option<&'a GrantTerms>,
    /// The encryption context; that of an operation which has none is absent, not empty.
    pub context: Option<&'a EncryptionContext>,
    /// `aws:SourceArn`.
    pub source_arn: Option<&'a str>,
}

impl GrantTerms {
    /// Whether the grant allows its grantee this operation.
    pub fn allow(&self, operation: GrantOperation, facts: &GrantFacts<'_>) -> bool {
        let is_in_force = self.operations.contains(&operation)
            && self.constraints.source_arn.as_deref().is_none_or(|arn| facts.source_arn == Some(arn));
        is_in_force
            && match operation {
                GrantOperation::CreateGrant => facts.child.is_some_and(|child| self.covers(child)),
                _ if operation.has_context() => self.constraints.hold_for(facts.context),
                _ => true,
            }
    }

    /// Whether the child gives no more than this grant: no further operation, and constraints at least as strict (AWS
    /// KMS developer guide, "Granting CreateGrant permission").
    pub fn covers(&self, child: &GrantTerms) -> bool {
        let has = |operation| self.operations.contains(operation);
        child.operations.iter().all(has) && self.constraints.are_kept_by(&child.constraints)
    }
}

impl GrantConstraints {
    /// Whether the context of a request fulfils them. Keys and values are compared byte for byte.
    fn hold_for(&self, context: Option<&EncryptionContext>) -> bool {
        let equals = self.context_equals.as_ref();
        let subset = self.context_subset.as_ref();
        equals.is_none_or(|wanted| context == Some(wanted))
            && subset.is_none_or(|wanted| context.is_some_and(|found| has_all_pairs(found, wanted)))
    }

    /// Whether whatever fulfils the child's constraints fulfils these.
    fn are_kept_by(&self, child: &Self) -> bool {
        let equals = self.context_equals.as_ref();
        let keeps_equals = equals.is_none_or(|wanted| child.context_equals.as_ref() == Some(wanted));
        let keeps_subset = self.context_subset.as_ref().is_none_or(|wanted| {
            let mut contexts = child.context_equals.iter().chain(&child.context_subset);
            contexts.any(|found| has_all_pairs(found, wanted))
        });
        let keeps_source = self.source_arn.is_none() || self.source_arn == child.source_arn;
        keeps_equals && keeps_subset && keeps_source
    }
}

fn has_all_pairs(context: &EncryptionContext, wanted: &EncryptionContext) -> bool {
    // Both are sorted by their keys.
    let mut found = context.pairs().iter();
    wanted.pairs().iter().all(|pair| found.any(|candidate| candidate == pair))
}

/// The operation for which grants are to be asked, after the policies have decided so: they did not allow, and none of them
/// explicitly denied. `None`: the decision stands.
pub fn open_to_grants(request: &Request<'_>, decision: &Decision) -> Option<GrantOperation> {
    // The operator and services belong to no account and can be given no right to any key by a grant.
    if decision.is_allowed() || request.is_explicitly_denied() || request.principal.account().is_none() {
        return None;
    }
    match request.resource {
        // Retiring is decided by the grant itself that is to be retired.
        Resource::Key { .. } if request.action == Action::RetireGrant => None,
        Resource::Key { .. } => GrantOperation::of(request.action),
        Resource::Account | Resource::Alias(_) | Resource::Ciphertext | Resource::NewKey => None,
    }
}

/// Who may retire a grant (AWS KMS API reference, RetireGrant).
#[derive(Debug, Clone, Copy)]
pub struct RetireQuestion<'a> {
    /// The names that the caller goes by in grants.
    pub caller_names: &'a [&'a str],
    pub grantee: &'a GrantPrincipal,
    /// The account in which the grant was made.
    pub issuing_account: AccountId,
    pub retiring: Option<&'a GrantPrincipal>,
    pub terms: &'a GrantTerms,
}

/// Its retiring principal; its grantee, if the grant says so; and the account in which it was made, as far as its
/// identity policies allow. An explicit deny ends it, wherever it stands; a key policy alone cannot allow it.
pub fn decide_retirement(request: &Request<'_>, question: &RetireQuestion<'_>) -> Decision {
    let RetireQuestion { caller_names, grantee, issuing_account, retiring, terms } = *question;
    let Resource::Key { arn, verdict, .. } = request.resource else {
        return Decision::Deny(DenyReason::ForeignKey);
    };
    if let Some(reason) = request.identity.explicit_deny() {
        return Decision::Deny(reason);
    }
    let account = request.principal.account();
    let is_own = account == Some(arn.account);
    match verdict {
        KeyPolicyVerdict::ExplicitDeny { statement } if is_own => {
            return Decision::Deny(DenyReason::ExplicitDenyInKeyPolicy { statement });
        }
        KeyPolicyVerdict::ExplicitDeny { .. } => return Decision::Deny(DenyReason::ForeignKey),
        KeyPolicyVerdict::Allow { .. }
        | KeyPolicyVerdict::AllowRole { .. }
        | KeyPolicyVerdict::Delegated { .. }
        | KeyPolicyVerdict::NoMatch => {}
    }
    let is_grantee =
        grantee.is_one_of(caller_names) && terms.operations.contains(&GrantOperation::RetireGrant);
    let is_retiring = retiring.is_some_and(|retiring| retiring.is_one_of(caller_names));
    let is_issuer = account == Some(issuing_account) && request.identity.allows().is_ok();
    if account.is_some() && (is_grantee || is_retiring || is_issuer) {
        return Decision::Allow(AllowReason::Grant);
    }
    Decision::Deny(if is_own { DenyReason::NoIdentityPolicyAllows } else { DenyReason::ForeignKey })
}

#[cfg(test)]
mod tests;
