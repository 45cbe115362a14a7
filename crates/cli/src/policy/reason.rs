//! A decision in words.

use serde_json::{Value as Json, json};
use strongroom_policy::{
    AccessDenied, AllowReason, Decision, DenyReason, IdentityPolicy, Request, StatementPlace,
};

use super::question::Asked;

/// The decision and its reason. `grant`: which one allows.
pub(super) fn told(asked: &Asked, request: &Request<'_>, decision: Decision, grant: Option<usize>) -> Json {
    match decision {
        Decision::Allow(reason) => {
            json!({ "decision": "allow", "allowed_by": allowed_by(asked, reason, grant) })
        }
        Decision::Deny(reason) => denied(asked, request, reason),
    }
}

fn of_key(asked: &Asked, statement: usize) -> Json {
    let sid = asked.key_policy.as_ref().and_then(|policy| policy.sid(statement));
    json!({ "policy": "key_policy", "statement": statement, "sid": sid })
}

fn of(name: &str, all: &[IdentityPolicy], place: StatementPlace) -> Json {
    let sid = all.get(place.policy).and_then(|policy| policy.sid(place.statement));
    json!({ "policy": name, "index": place.policy, "statement": place.statement, "sid": sid })
}

fn of_identity(asked: &Asked, place: Option<StatementPlace>) -> Option<Json> {
    place.map(|place| of("identity_policies", &asked.policies.identity, place))
}

/// Nothing where the root user needs no policy.
fn allowed_by(asked: &Asked, reason: AllowReason, grant: Option<usize>) -> Vec<Json> {
    match reason {
        AllowReason::Grant => {
            let id = |index: usize| asked.grants.get(index).and_then(|grant| grant.id.as_deref());
            grant.map(|index| json!({ "grant": index, "id": id(index) })).into_iter().collect()
        }
        AllowReason::Identity(place) => of_identity(asked, place).into_iter().collect(),
        AllowReason::KeyPolicy { statement } => vec![of_key(asked, statement)],
        AllowReason::KeyPolicyAndIdentity { statement, identity } => {
            [of_key(asked, statement)].into_iter().chain(of_identity(asked, identity)).collect()
        }
    }
}

fn denied(asked: &Asked, request: &Request<'_>, reason: DenyReason) -> Json {
    let arn = request.principal.arn(asked.partition);
    let message = AccessDenied::new(&arn, request, reason).to_string();
    let (boundary, session) = (&asked.policies.boundary, &asked.policies.session);
    let (name, value) = match reason {
        DenyReason::ExplicitDenyInBoundary(place) => {
            ("denied_by", of("boundary", boundary.as_slice(), place))
        }
        DenyReason::ExplicitDenyInIdentityPolicy(place) => {
            ("denied_by", of("identity_policies", &asked.policies.identity, place))
        }
        DenyReason::ExplicitDenyInKeyPolicy { statement } => ("denied_by", of_key(asked, statement)),
        DenyReason::ExplicitDenyInSessionPolicy(place) => {
            ("denied_by", of("session_policies", session.as_deref().unwrap_or_default(), place))
        }
        DenyReason::ForeignKey => ("no_allow_in", json!("key_policy of the other account")),
        DenyReason::NoBoundaryAllows => ("no_allow_in", json!("boundary")),
        DenyReason::NoIdentityPolicyAllows => ("no_allow_in", json!("identity_policies")),
        DenyReason::NoKeyPolicyAllows => ("no_allow_in", json!("key_policy")),
        DenyReason::NoSessionPolicyAllows => ("no_allow_in", json!("session_policies")),
    };
    json!({ "decision": "deny", "message": message, name: value })
}
