//! Policies of keys and of identities: parse, compile, decide. And what a grant allows.
//!
//! A policy text is read once, by [`KeyPolicy::parse`] or [`IdentityPolicy::parse`], into a form that decides in
//! nanoseconds: actions are a bitset over the closed list of [`Action`]s, principals and condition keys are recognised,
//! patterns are cut into their pieces. [`decide`] then joins what the key policy says with what the caller's own side says,
//! and knows AWS's words for a refusal. What conditions ask about comes in as [`Facts`], looked up only when a condition
//! asks.
//!
//! Guarantees:
//! - The parser is total: any text gives a policy or a [`PolicyError`] that says where. It never panics, and its
//!   recursion is bounded.
//! - Nothing is accepted that is not enforced. Unknown elements, operators and values that do not fit are
//!   malformed.
//! - A text has one meaning: a member that appears twice is refused, wherever it is, so that no other reader of the
//!   same text can see another policy.
//! - Deciding allocates nothing, cannot panic and cannot be made slow by a pattern.
//! - There is no default yes: an action that is asked of the wrong kind of resource is refused.
//!
//! Deliberately absent: storage, caches, and any knowledge of which accounts exist; `pipeline` brings these together.

mod action;
mod compile;
mod condition;
mod decide;
mod default_policy;
mod denial;
mod document;
mod error;
mod glob;
mod grant;
mod key;
mod principal;
mod scalar;
mod value;

pub use action::{Action, ActionSet};
pub use compile::{IdentityPolicy, KeyPolicy};
pub use decide::{
    AllowReason, Decision, DenyReason, IdentityPolicies, IdentitySide, IdentityVerdict, KeyNamed,
    KeyPolicyVerdict, LockoutQuestion, Question, Request, Resource, StatementPlace, decide, would_lock_out,
};
pub use default_policy::default_key_policy;
pub use denial::AccessDenied;
pub use document::{Place, check_length, rename_principals};
pub use error::{PolicyError, Problem};
pub use grant::{
    GrantConstraints, GrantFacts, GrantOperation, GrantPrincipal, GrantTerms, RetireQuestion,
    decide_retirement, open_to_grants,
};
pub use key::{ConditionKey, ContextKey, Known};
pub use principal::{Identity, IdentityKind, PolicyIdentity, PolicyPrincipal, Principal, RoleSession};
pub use value::{Facts, Found, List, Many, NoFacts, Value};
