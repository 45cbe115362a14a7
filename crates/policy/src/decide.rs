//! May this principal do this?
//!
//! Two sides speak: the key's policy and the caller's identity side, which is made of its identity policies, the
//! permissions boundary that limits them and the policies of its session, which limit them further. How they join depends
//! on whether the caller is of the key's account (AWS KMS developer guide, "Determining access to AWS KMS keys"; IAM user
//! guide, "Policy evaluation logic"):
//!
//! - An explicit deny anywhere ends it.
//! - Own account: the key policy allows the principal itself; or its role, within boundary and session; or it names the
//!   account and the whole identity side allows.
//! - Other account: both sides allow, and the action is one that other accounts may do.
//! - A service has no identity side: the key policy alone decides.
//! - Actions that concern no key, and the alias's half of alias operations, are the identity side's alone.
//!
//! The root user's identity side allows everything, the operator's nothing. Grants come after all this (see
//! [`grant`](crate::grant)): they are for whoever is not allowed and not [explicitly denied](Request::is_explicitly_denied).

use strongroom_types::{AliasArn, KeyArn};

use crate::action::Action;
use crate::compile::{CompiledStatement, IdentityPolicy, KeyPolicy};
use crate::document::Effect;
use crate::glob::LastText;
use crate::principal::{Named, Principal};
use crate::value::Facts;

/// What a key policy is asked.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    pub action: Action,
    pub facts: &'a dyn Facts,
    pub key: &'a KeyArn,
    /// The same as text.
    pub key_text: &'a str,
    pub principal: &'a Principal,
}

/// What a key policy says. `statement` is the position of the one that decided; [`KeyPolicy::sid`] has its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPolicyVerdict {
    /// The principal itself is allowed: it is named, or `*` is. The root user is named by its account.
    Allow {
        statement: usize,
    },
    /// The principal's role is allowed: its boundary and the session's policies still limit that.
    AllowRole {
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

/// What policies of one kind on the identity side say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityVerdict {
    /// `None` where no policy had to say so.
    Allow(Option<StatementPlace>),
    ExplicitDeny(StatementPlace),
    NoMatch,
}

/// A statement among several policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatementPlace {
    pub policy: usize,
    pub statement: usize,
}

/// The policies on the identity side of one caller.
#[derive(Debug, Clone, Default)]
pub struct IdentityPolicies {
    pub identity: Vec<IdentityPolicy>,
    pub boundary: Option<IdentityPolicy>,
    /// Of a session that was given any: what they do not allow, the session may not do.
    pub session: Option<Vec<IdentityPolicy>>,
}

/// What the identity side says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdentitySide {
    pub identity: IdentityVerdict,
    /// `None` where there is no boundary.
    pub boundary: Option<IdentityVerdict>,
    /// `None` where there are no session policies.
    pub session: Option<IdentityVerdict>,
}

/// All that a decision is made of.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub action: Action,
    pub identity: IdentitySide,
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
    /// The identity side, where it decides alone; `None` for a root user, who needs no policy.
    Identity(Option<StatementPlace>),
    /// The key policy alone.
    KeyPolicy { statement: usize },
    /// The key policy and the identity side together.
    KeyPolicyAndIdentity { statement: usize, identity: Option<StatementPlace> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DenyReason {
    ExplicitDenyInBoundary(StatementPlace),
    ExplicitDenyInIdentityPolicy(StatementPlace),
    ExplicitDenyInKeyPolicy {
        statement: usize,
    },
    ExplicitDenyInSessionPolicy(StatementPlace),
    /// The key is another account's, and its side does not allow. One reason for all causes, so that the caller does
    /// not learn whether the key exists.
    ForeignKey,
    NoBoundaryAllows,
    NoIdentityPolicyAllows,
    NoKeyPolicyAllows,
    NoSessionPolicyAllows,
}

impl Decision {
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow(_))
    }
}

impl IdentitySide {
    /// Nothing is allowed and nothing denied.
    pub const SILENT: Self = Self { identity: IdentityVerdict::NoMatch, boundary: None, session: None };
    /// Whoever may do everything that is the account's to allow.
    pub const ROOT: Self = Self { identity: IdentityVerdict::Allow(None), boundary: None, session: None };

    pub(crate) fn explicit_deny(&self) -> Option<DenyReason> {
        let place = |verdict| match verdict {
            Some(IdentityVerdict::ExplicitDeny(place)) => Some(place),
            Some(IdentityVerdict::Allow(_) | IdentityVerdict::NoMatch) | None => None,
        };
        place(Some(self.identity))
            .map(DenyReason::ExplicitDenyInIdentityPolicy)
            .or_else(|| place(self.boundary).map(DenyReason::ExplicitDenyInBoundary))
            .or_else(|| place(self.session).map(DenyReason::ExplicitDenyInSessionPolicy))
    }

    /// What the boundary and the session's policies leave of an Allow.
    fn limits(&self) -> Result<(), DenyReason> {
        let allows = |verdict| matches!(verdict, None | Some(IdentityVerdict::Allow(_)));
        if !allows(self.boundary) {
            return Err(DenyReason::NoBoundaryAllows);
        }
        if !allows(self.session) {
            return Err(DenyReason::NoSessionPolicyAllows);
        }
        Ok(())
    }

    /// Whether the whole side allows; an explicit deny has been ruled out.
    pub(crate) fn allows(&self) -> Result<Option<StatementPlace>, DenyReason> {
        let IdentityVerdict::Allow(place) = self.identity else {
            return Err(DenyReason::NoIdentityPolicyAllows);
        };
        self.limits().map(|()| place)
    }
}

impl IdentityPolicies {
    /// As [`KeyPolicy::walks`], of all of them.
    pub fn walks(&self) -> usize {
        let session = self.session.iter().flatten();
        self.identity.iter().chain(&self.boundary).chain(session).map(IdentityPolicy::walks).sum()
    }

    /// Asks them all, on behalf of the one who has them.
    pub fn decide(&self, action: Action, resource: &str, facts: &dyn Facts) -> IdentitySide {
        let ask = |policies: &[IdentityPolicy]| ask_identity(policies, action, resource, facts);
        IdentitySide {
            identity: ask(&self.identity),
            boundary: self.boundary.as_ref().map(|boundary| ask(std::slice::from_ref(boundary))),
            session: self.session.as_deref().map(ask),
        }
    }
}

fn ask_identity(
    policies: &[IdentityPolicy],
    action: Action,
    resource: &str,
    facts: &dyn Facts,
) -> IdentityVerdict {
    let mut verdict = IdentityVerdict::NoMatch;
    let last = LastText::default();
    for (policy, compiled) in policies.iter().enumerate() {
        for (statement, compiled) in compiled.statements.iter().enumerate() {
            let is_settled = compiled.effect == Effect::Allow && verdict != IdentityVerdict::NoMatch;
            if is_settled || !compiled.covers_action(action) || !compiled.applies(resource, facts, &last) {
                continue;
            }
            let place = StatementPlace { policy, statement };
            match compiled.effect {
                Effect::Allow => verdict = IdentityVerdict::Allow(Some(place)),
                Effect::Deny => return IdentityVerdict::ExplicitDeny(place),
            }
        }
    }
    verdict
}

impl Principal {
    /// What the identity side of this principal says, given its policies. A root user's and the operator's need none.
    pub fn identity_side(
        &self,
        policies: &IdentityPolicies,
        action: Action,
        resource: &str,
        facts: &dyn Facts,
    ) -> IdentitySide {
        match self {
            Self::AccountRoot(_) => IdentitySide::ROOT,
            Self::Operator | Self::Service(_) => IdentitySide::SILENT,
            Self::RoleSession(_) | Self::User(_) => policies.decide(action, resource, facts),
        }
    }
}

impl KeyPolicy {
    /// Asks the policy. Allocates nothing and cannot fail.
    ///
    /// Its answer is one side only; [`decide`] makes a decision of it.
    pub fn decide_key_policy(&self, question: &Question<'_>) -> KeyPolicyVerdict {
        let Question { action, facts, key, key_text, principal } = *question;
        let partition = key.region.partition();
        let mut best: Option<(Named, usize)> = None;
        let last = LastText::default();
        for (statement, compiled) in self.statements.iter().enumerate() {
            if !compiled.covers_action(action) {
                continue;
            }
            let Some(named) = compiled.names(principal, partition) else { continue };
            let is_settled = |compiled: &CompiledStatement| {
                compiled.effect == Effect::Allow && best.is_some_and(|(best, _)| best >= named)
            };
            if is_settled(compiled) || !compiled.applies(key_text, facts, &last) {
                continue;
            }
            match compiled.effect {
                Effect::Allow => best = Some((named, statement)),
                Effect::Deny => return KeyPolicyVerdict::ExplicitDeny { statement },
            }
        }
        match best {
            None => KeyPolicyVerdict::NoMatch,
            Some((Named::ByAccount, statement)) => KeyPolicyVerdict::Delegated { statement },
            Some((Named::ByRole, statement)) => KeyPolicyVerdict::AllowRole { statement },
            Some((Named::Itself, statement)) => KeyPolicyVerdict::Allow { statement },
        }
    }
}

impl Request<'_> {
    /// Whether some policy denies it by name, so that nothing else can allow it.
    pub fn is_explicitly_denied(&self) -> bool {
        let by_key =
            matches!(self.resource, Resource::Key { verdict: KeyPolicyVerdict::ExplicitDeny { .. }, .. });
        by_key || self.identity.explicit_deny().is_some()
    }

    /// Whether a permissions boundary or a session's policies do not allow this. They limit what a role is given, not what
    /// a user or a session is given by its own name.
    pub fn is_limited(&self) -> bool {
        self.identity.limits().is_err()
    }
}

/// The whole decision.
pub fn decide(request: &Request<'_>) -> Decision {
    let action = request.action;
    let account = request.principal.account();
    let decided = match request.resource {
        Resource::Account => by_identity(request, action.is_identity_only() && account.is_some()),
        Resource::Alias(arn) => by_identity(request, action.has_alias_half() && account == Some(arn.account)),
        Resource::Ciphertext => Err(DenyReason::ForeignKey),
        Resource::Key { arn, verdict, .. } if account != Some(arn.account) => {
            on_foreign_key(request, verdict)
        }
        Resource::Key { .. } if action.is_identity_only() => by_identity(request, true),
        Resource::Key { verdict, .. } => on_own_key(request, verdict),
        Resource::NewKey => by_identity(request, action == Action::TagResource && account.is_some()),
    };
    decided.map_or_else(Decision::Deny, Decision::Allow)
}

/// A question of whether a caller could still change the key's policy.
#[derive(Clone, Copy)]
pub struct LockoutQuestion<'a> {
    pub facts: &'a dyn Facts,
    pub key: &'a KeyArn,
    pub policies: &'a IdentityPolicies,
    pub principal: &'a Principal,
}

/// Whether the caller could no longer change the key's policy if this were it (AWS KMS developer guide, "Creating a key
/// policy", lockout safety check).
pub fn would_lock_out(policy: &KeyPolicy, question: &LockoutQuestion<'_>) -> bool {
    let LockoutQuestion { facts, key, policies, principal } = *question;
    let action = Action::PutKeyPolicy;
    let key_text = &*key.to_string();
    let verdict = policy.decide_key_policy(&Question { action, facts, key, key_text, principal });
    let resource = Resource::Key { arn: key, named: KeyNamed::ByRequest, verdict };
    let identity = principal.identity_side(policies, action, key_text, facts);
    !decide(&Request { action, identity, principal, resource }).is_allowed()
}

/// `may_be_asked`: whether the action has this kind of resource, and the resource is the caller's account's.
fn by_identity(request: &Request<'_>, may_be_asked: bool) -> Result<AllowReason, DenyReason> {
    if let Some(reason) = request.identity.explicit_deny() {
        return Err(reason);
    }
    if !may_be_asked {
        return Err(DenyReason::NoIdentityPolicyAllows);
    }
    request.identity.allows().map(AllowReason::Identity)
}

fn on_own_key(request: &Request<'_>, verdict: KeyPolicyVerdict) -> Result<AllowReason, DenyReason> {
    let side = &request.identity;
    if let Some(reason) = side.explicit_deny() {
        return Err(reason);
    }
    match verdict {
        KeyPolicyVerdict::Allow { statement } => Ok(AllowReason::KeyPolicy { statement }),
        KeyPolicyVerdict::AllowRole { statement } => {
            side.limits().map(|()| AllowReason::KeyPolicy { statement })
        }
        KeyPolicyVerdict::Delegated { statement } => {
            side.allows().map(|identity| AllowReason::KeyPolicyAndIdentity { statement, identity })
        }
        KeyPolicyVerdict::ExplicitDeny { statement } => {
            Err(DenyReason::ExplicitDenyInKeyPolicy { statement })
        }
        KeyPolicyVerdict::NoMatch => Err(DenyReason::NoKeyPolicyAllows),
    }
}

/// The key of another account; to the operator and to services, who have no account, every key is one.
///
/// As long as the key's side does not allow, the caller's own side is not even named: a refusal must be the same for a
/// key that exists and for one that does not.
fn on_foreign_key(request: &Request<'_>, verdict: KeyPolicyVerdict) -> Result<AllowReason, DenyReason> {
    if !request.action.is_cross_account() {
        return Err(DenyReason::ForeignKey);
    }
    let statement = match verdict {
        KeyPolicyVerdict::Allow { statement }
        | KeyPolicyVerdict::AllowRole { statement }
        | KeyPolicyVerdict::Delegated { statement } => statement,
        KeyPolicyVerdict::ExplicitDeny { .. } | KeyPolicyVerdict::NoMatch => {
            return Err(DenyReason::ForeignKey);
        }
    };
    match request.principal {
        Principal::Operator => return Err(DenyReason::ForeignKey),
        Principal::Service(_) => return Ok(AllowReason::KeyPolicy { statement }),
        Principal::AccountRoot(_) | Principal::RoleSession(_) | Principal::User(_) => {}
    }
    let side = &request.identity;
    if let Some(reason) = side.explicit_deny() {
        return Err(reason);
    }
    side.allows().map(|identity| AllowReason::KeyPolicyAndIdentity { statement, identity })
}

#[cfg(test)]
mod tests;
