//! May this principal do this?
//!
//! Two sides speak: the key's policy and the caller's identity side. How they join depends on whether the caller is of
//! the key's account (AWS KMS developer guide, "Determining access to AWS KMS keys"; IAM user guide, "Policy evaluation
//! logic"):
//!
//! - An explicit deny on either side ends it.
//! - Own account: the key policy allows the principal itself, or it names the account and the identity side allows.
//! - Other account: both sides allow, and the action is one that other accounts may do.
//! - Actions that concern no key, and the alias's half of alias operations, are the identity side's alone.
//!
//! The root user's identity side allows everything, the operator's nothing. Identity policies join as further inputs of
//! [`Request`]; nothing of the joining changes for them. Grants are asked after that (see [`grant`](crate::grant)).

use strongroom_types::{AliasArn, KeyArn};

use crate::action::Action;
use crate::compile::KeyPolicy;
use crate::document::Effect;
use crate::principal::Principal;

/// What a key policy is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub action: Action,
    pub key: &'a KeyArn,
    pub principal: &'a Principal,
}

/// What a key policy says. `statement` is the position of the one that decided; [`KeyPolicy::sid`] has its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPolicyVerdict {
    /// The principal itself is allowed: it is named, or `*` is. The root user is named by its account.
    Allow {
        statement: usize,
    },
    /// The principal's account is named, which leaves it to the account's identity policies.
    Delegated {
        statement: usize,
    },
    ExplicitDeny {
        statement: usize,
    },
    NoMatch,
}

/// What the caller's identity policies say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityVerdict {
    Allow,
    ExplicitDeny,
    NoMatch,
}

/// All that a decision is made of.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub action: Action,
    pub identity: IdentityVerdict,
    pub principal: &'a Principal,
    pub resource: Resource<'a>,
}

/// What the action is asked of.
#[derive(Debug, Clone, Copy)]
pub enum Resource<'a> {
    /// No key: the resource `*` of actions that are [`Action::is_identity_only`].
    Account,
    /// The alias's half of CreateAlias, UpdateAlias and DeleteAlias.
    Alias(&'a AliasArn),
    /// The key of a ciphertext that names no key of this deployment. Nobody is allowed anything on it.
    Ciphertext,
    /// A key. For a key of another account that does not exist, the verdict is [`KeyPolicyVerdict::NoMatch`]: strangers
    /// must not learn which keys exist.
    Key { arn: &'a KeyArn, named: KeyNamed, verdict: KeyPolicyVerdict },
    /// A key that is about to be made, and has no ARN and no policy yet: CreateKey and ReplicateKey with tags ask for
    /// TagResource on it.
    NewKey,
}

/// How the request named its key; AWS words refusals by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyNamed {
    ByCiphertext,
    ByRequest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    Allow(AllowReason),
    Deny(DenyReason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllowReason {
    /// A grant, where the policies neither allow nor explicitly deny.
    Grant,
    /// The identity side, where it decides alone.
    Identity,
    /// The key policy alone.
    KeyPolicy { statement: usize },
    /// The key policy and the identity side together.
    KeyPolicyAndIdentity { statement: usize },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DenyReason {
    ExplicitDenyInIdentityPolicy,
    ExplicitDenyInKeyPolicy {
        statement: usize,
    },
    /// The key is another account's, and its side does not allow. One reason for all causes, so that the caller does
    /// not learn whether the key exists.
    ForeignKey,
    NoIdentityPolicyAllows,
    NoKeyPolicyAllows,
}

impl Decision {
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow(_))
    }
}

impl Principal {
    /// The identity side, as long as there are no identity policies: a root user may do everything that is its
    /// account's to allow, the operator nothing.
    pub const fn identity_verdict(&self) -> IdentityVerdict {
        match self {
            Self::AccountRoot(_) => IdentityVerdict::Allow,
            Self::Operator => IdentityVerdict::NoMatch,
        }
    }
}

impl KeyPolicy {
    /// Asks the policy. Allocates nothing and cannot fail.
    ///
    /// Its answer is one side only; [`decide`] makes a decision of it.
    pub fn decide_key_policy(&self, question: &Question<'_>) -> KeyPolicyVerdict {
        let Question { action, key, principal } = *question;
        let partition = key.region.partition();
        let mut arn = None;
        let mut verdict = KeyPolicyVerdict::NoMatch;
        for (statement, compiled) in self.statements.iter().enumerate() {
            let applies = compiled.covers_action(action)
                && compiled.names(principal, partition)
                && compiled.resources.covers(key, &mut arn);
            match compiled.effect {
                _ if !applies => {}
                Effect::Deny => return KeyPolicyVerdict::ExplicitDeny { statement },
                Effect::Allow if verdict == KeyPolicyVerdict::NoMatch => {
                    verdict = KeyPolicyVerdict::Allow { statement };
                }
                Effect::Allow => {}
            }
        }
        verdict
    }
}

/// The whole decision.
pub fn decide(request: &Request<'_>) -> Decision {
    // First, so that it is the same for a foreign key that exists and for one that does not.
    if request.identity == IdentityVerdict::ExplicitDeny {
        return Decision::Deny(DenyReason::ExplicitDenyInIdentityPolicy);
    }
    let action = request.action;
    let account = request.principal.account();
    match request.resource {
        Resource::Account => by_identity(request, action.is_identity_only() && account.is_some()),
        Resource::Alias(arn) => by_identity(request, action.has_alias_half() && account == Some(arn.account)),
        Resource::Ciphertext => Decision::Deny(DenyReason::ForeignKey),
        Resource::Key { arn, verdict, .. } if account != Some(arn.account) => {
            on_foreign_key(request, verdict)
        }
        Resource::Key { .. } if action.is_identity_only() => by_identity(request, true),
        Resource::Key { verdict, .. } => on_own_key(request, verdict),
        Resource::NewKey => by_identity(request, action == Action::TagResource && account.is_some()),
    }
}

/// Whether `caller` could no longer change the key's policy if this were it (AWS KMS developer guide, "Creating a key
/// policy", lockout safety check).
pub fn would_lock_out(policy: &KeyPolicy, caller: &Principal, key: &KeyArn) -> bool {
    let action = Action::PutKeyPolicy;
    let verdict = policy.decide_key_policy(&Question { action, key, principal: caller });
    let resource = Resource::Key { arn: key, named: KeyNamed::ByRequest, verdict };
    !decide(&Request { action, identity: caller.identity_verdict(), principal: caller, resource })
        .is_allowed()
}

/// `may_be_asked`: whether the action has this kind of resource, and the resource is the caller's account's.
fn by_identity(request: &Request<'_>, may_be_asked: bool) -> Decision {
    if may_be_asked && request.identity == IdentityVerdict::Allow {
        Decision::Allow(AllowReason::Identity)
    } else {
        Decision::Deny(DenyReason::NoIdentityPolicyAllows)
    }
}

fn on_own_key(request: &Request<'_>, verdict: KeyPolicyVerdict) -> Decision {
    match verdict {
        KeyPolicyVerdict::Allow { statement } => Decision::Allow(AllowReason::KeyPolicy { statement }),
        KeyPolicyVerdict::Delegated { statement } if request.identity == IdentityVerdict::Allow => {
            Decision::Allow(AllowReason::KeyPolicyAndIdentity { statement })
        }
        KeyPolicyVerdict::Delegated { .. } => Decision::Deny(DenyReason::NoIdentityPolicyAllows),
        KeyPolicyVerdict::ExplicitDeny { statement } => {
            Decision::Deny(DenyReason::ExplicitDenyInKeyPolicy { statement })
        }
        KeyPolicyVerdict::NoMatch => Decision::Deny(DenyReason::NoKeyPolicyAllows),
    }
}

/// The key of another account; to the operator, who has no account, every key is one.
fn on_foreign_key(request: &Request<'_>, verdict: KeyPolicyVerdict) -> Decision {
    if request.principal.account().is_none() || !request.action.is_cross_account() {
        return Decision::Deny(DenyReason::ForeignKey);
    }
    match verdict {
        KeyPolicyVerdict::ExplicitDeny { .. } | KeyPolicyVerdict::NoMatch => {
            Decision::Deny(DenyReason::ForeignKey)
        }
        KeyPolicyVerdict::Allow { statement } | KeyPolicyVerdict::Delegated { statement } => {
            if request.identity == IdentityVerdict::Allow {
                Decision::Allow(AllowReason::KeyPolicyAndIdentity { statement })
            } else {
                Decision::Deny(DenyReason::NoIdentityPolicyAllows)
            }
        }
    }
}

#[cfg(test)]
mod tests;
