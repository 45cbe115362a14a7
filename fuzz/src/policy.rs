//! Key policies.

use serde_json::Value;
use strongroom_policy::{
    Action, IdentityVerdict, KeyNamed, KeyPolicy, PolicyError, Principal, Question, Request, Resource,
    check_length, decide, would_lock_out,
};
use strongroom_types::KeyArn;
use strongroom_types::limits::POLICY_CHARACTERS_MAX;

use crate::world::{account, key_id, region};

/// A policy decides the same whenever it is asked, and however its text is laid out. What another reader of JSON does not
/// take is no policy. A refusal says where, and that is inside the text.
pub(crate) fn policy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    assert_eq!(check_length(text).is_ok(), text.chars().count() <= POLICY_CHARACTERS_MAX);
    match KeyPolicy::parse(text) {
        Ok(policy) => check_accepted(text, &policy),
        Err(error) => check_refusal(text, &error),
    }
}

fn check_accepted(text: &str, policy: &KeyPolicy) {
    let decisions = decisions(policy);
    assert_eq!(self::decisions(policy), decisions);
    let json: Value = serde_json::from_str(text).expect("a policy is JSON");
    // Members sorted by their names, no spaces, no escapes but those that must be.
    let written = json.to_string();
    let again = KeyPolicy::parse(&written).expect("the same policy, written another way");
    assert_eq!(self::decisions(&again), decisions, "written another way");
}

/// Every action, by each kind of caller.
fn decisions(policy: &KeyPolicy) -> Vec<bool> {
    let arn = KeyArn { region: region(), account: account(), key_id: key_id() };
    let stranger = strongroom_types::AccountId::parse("444455556666").expect("an account id");
    let mut decisions = Vec::new();
    for principal in
        [Principal::AccountRoot(account()), Principal::AccountRoot(stranger), Principal::Operator]
    {
        decisions.push(would_lock_out(policy, &principal, &arn));
        for action in Action::ALL {
            let action = *action;
            let verdict = policy.decide_key_policy(&Question { action, key: &arn, principal: &principal });
            for identity in [IdentityVerdict::Allow, IdentityVerdict::ExplicitDeny, IdentityVerdict::NoMatch]
            {
                let resource = Resource::Key { arn: &arn, named: KeyNamed::ByRequest, verdict };
                let request = Request { action, identity, principal: &principal, resource };
                let is_allowed = decide(&request).is_allowed();
                assert!(!is_allowed || identity != IdentityVerdict::ExplicitDeny);
                assert!(!is_allowed || principal != Principal::Operator);
                decisions.push(is_allowed);
            }
        }
    }
    decisions
}

fn check_refusal(text: &str, error: &PolicyError) {
    assert!(!error.to_string().is_empty());
    match error {
        PolicyError::TooLong { .. } => {}
        PolicyError::InvalidPrincipal { at, .. }
        | PolicyError::Malformed { at, .. }
        | PolicyError::NotSupported { at, .. } => {
            assert!(text.is_char_boundary(at.byte), "{at}");
            assert_eq!(at.line, text[..at.byte].matches('\n').count() + 1);
        }
    }
}
