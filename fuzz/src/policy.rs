//! Key policies.

use serde_json::Value;
use strongroom_policy::{
    Action, ConditionKey, Facts, Found, IdentityPolicies, IdentitySide, IdentityVerdict, KeyNamed, KeyPolicy,
    LockoutQuestion, NoFacts, PolicyError, Principal, Question, Request, Resource, StatementPlace,
    Value as FactValue, check_length, decide, would_lock_out,
};
use strongroom_types::limits::POLICY_CHARACTERS_MAX;
use strongroom_types::{EncryptionContext, KeyArn};

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

/// The same value for every condition key.
struct Everywhere<'v>(FactValue<'v>);

impl Facts for Everywhere<'_> {
    fn find<'a>(&'a self, _: &'a ConditionKey) -> Found<'a> {
        Found::One(self.0)
    }

    fn encryption_context(&self) -> Option<&EncryptionContext> {
        None
    }
}

/// Every action, by each kind of caller, with facts of each kind.
fn decisions(policy: &KeyPolicy) -> Vec<bool> {
    let address = "192.0.2.7".parse().expect("an address");
    let facts: [&dyn Facts; 5] = [
        &NoFacts,
        &Everywhere(FactValue::Text("a*?${}\u{e9}")),
        &Everywhere(FactValue::Integer(u64::MAX)),
        &Everywhere(FactValue::Bool(true)),
        &Everywhere(FactValue::Ip(address)),
    ];
    facts.into_iter().flat_map(|facts| decisions_with(policy, facts)).collect()
}

fn decisions_with(policy: &KeyPolicy, facts: &dyn Facts) -> Vec<bool> {
    let arn = KeyArn { region: region(), account: account(), key_id: key_id() };
    let key_text = &*arn.to_string();
    let stranger = strongroom_types::AccountId::parse("444455556666").expect("an account id");
    let mut decisions = Vec::new();
    for principal in
        [Principal::AccountRoot(account()), Principal::AccountRoot(stranger), Principal::Operator]
    {
        let policies = &IdentityPolicies::default();
        let lockout = LockoutQuestion { facts, key: &arn, policies, principal: &principal };
        decisions.push(would_lock_out(policy, &lockout));
        for action in Action::ALL {
            let action = *action;
            let question = Question { action, facts, key: &arn, key_text, principal: &principal };
            let verdict = policy.decide_key_policy(&question);
            let denied = IdentityVerdict::ExplicitDeny(StatementPlace { policy: 0, statement: 0 });
            for identity in [
                IdentitySide::ROOT,
                IdentitySide { identity: denied, ..IdentitySide::SILENT },
                IdentitySide::SILENT,
            ] {
                let resource = Resource::Key { arn: &arn, named: KeyNamed::ByRequest, verdict };
                let request = Request { action, identity, principal: &principal, resource };
                let is_allowed = decide(&request).is_allowed();
                assert!(!is_allowed || identity.identity != denied);
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
        PolicyError::InvalidPrincipal { at, .. } | PolicyError::Malformed { at, .. } => {
            assert!(text.is_char_boundary(at.byte), "{at}");
            assert_eq!(at.line, text[..at.byte].matches('\n').count() + 1);
        }
    }
}
