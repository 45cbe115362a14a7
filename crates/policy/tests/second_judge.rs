//! The engine against a second judge: slow, literal, written from the documentation, and sharing no code with it.
//!
//! The judge reads the policy as plain JSON and compares strings; the engine compiles it. They must agree on every
//! principal, action and key.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use strongroom_policy::{
    Action, Decision, DenyReason, KeyNamed, KeyPolicy, KeyPolicyVerdict, Principal, Question, Request,
    Resource, decide,
};
use strongroom_types::{AccountId, KeyArn, KeyId, RegionName};

const OWNER: &str = "111122223333";
const STRANGER: &str = "444455556666";
const KEY_ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
const KEY_ARN: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// AWS KMS developer guide, "Allowing users in other accounts to use a KMS key".
const CROSS_ACCOUNT: &[&str] = &[
    "CreateGrant",
    "Decapsulate",
    "Decrypt",
    "DeriveSharedSecret",
    "DescribeKey",
    "Encapsulate",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateMac",
    "GetKeyRotationStatus",
    "GetPublicKey",
    "ListGrants",
    "ReEncryptFrom",
    "ReEncryptTo",
    "RetireGrant",
    "RevokeGrant",
    "Sign",
    "Verify",
    "VerifyMac",
];

const IDENTITY_ONLY: &[&str] = &[
    "ConnectCustomKeyStore",
    "CreateCustomKeyStore",
    "CreateKey",
    "DeleteCustomKeyStore",
    "DescribeCustomKeyStores",
    "DisconnectCustomKeyStore",
    "GenerateRandom",
    "ListAliases",
    "ListKeys",
    "ListRetirableGrants",
    "UpdateCustomKeyStore",
];

mod judge {
    use super::*;

    pub(super) fn is_match(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['*', rest @ ..] => (0..=text.len()).any(|skipped| is_match(rest, &text[skipped..])),
            ['?', rest @ ..] => !text.is_empty() && is_match(rest, &text[1..]),
            [wanted, rest @ ..] => text.first() == Some(wanted) && is_match(rest, &text[1..]),
        }
    }

    fn matches(pattern: &str, text: &str) -> bool {
        is_match(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>())
    }

    fn strings(value: Option<&Value>) -> Vec<String> {
        match value {
            None => vec![],
            Some(Value::Array(values)) => {
                values.iter().map(|value| value.as_str().unwrap().to_owned()).collect()
            }
            Some(value) => vec![value.as_str().unwrap().to_owned()],
        }
    }

    fn applies(statement: &Value, caller: Option<&str>, action: &str) -> bool {
        let principal = &statement["Principal"];
        let named = principal == "*"
            || strings(principal.get("AWS")).iter().any(|name| {
                name == "*"
                    || caller.is_some_and(|id| *name == id || *name == format!("arn:aws:iam::{id}:root"))
            });
        let action = format!("kms:{action}").to_lowercase();
        named
            && strings(statement.get("Action"))
                .iter()
                .any(|pattern| matches(&pattern.to_lowercase(), &action))
            && strings(statement.get("Resource")).iter().any(|pattern| matches(pattern, KEY_ARN))
    }

    /// What the policy says: denied, allowed, or nothing.
    pub(super) fn policy_says(policy: &Value, caller: Option<&str>, action: &str) -> &'static str {
        let statements = match &policy["Statement"] {
            Value::Array(statements) => statements.clone(),
            one => vec![one.clone()],
        };
        let says =
            |effect: &str| statements.iter().any(|s| s["Effect"] == effect && applies(s, caller, action));
        match (says("Deny"), says("Allow")) {
            (true, _) => "denied",
            (false, true) => "allowed",
            (false, false) => "nothing",
        }
    }

    /// Whether the caller, an account's root or the operator (`None`), may do it on the key of `OWNER`.
    pub(super) fn may(policy: &Value, caller: Option<&str>, action: &str) -> bool {
        let by_policy = policy_says(policy, caller, action) == "allowed";
        match caller {
            None => false,
            Some(OWNER) => IDENTITY_ONLY.contains(&action) || by_policy,
            Some(_) => CROSS_ACCOUNT.contains(&action) && by_policy,
        }
    }
}

fn one_or_many(strategy: impl Strategy<Value = String> + 'static) -> BoxedStrategy<Value> {
    let strategy = strategy.boxed();
    prop_oneof![
        strategy.clone().prop_map(Value::String),
        prop::collection::vec(strategy.prop_map(Value::String), 0..4).prop_map(Value::Array),
    ]
    .boxed()
}

fn action_pattern() -> impl Strategy<Value = String> {
    let name = prop::sample::select(Action::ALL).prop_map(|action| action.name().to_owned());
    prop_oneof![
        2 => name.clone(),
        1 => name.clone().prop_map(|name| name.to_uppercase()),
        1 => name.clone().prop_map(|name| name.to_lowercase()),
        // A name with a part of it replaced by a wildcard.
        4 => (name, 4..20_usize, 0..8_usize, prop::sample::select(&["*", "?", "??", "*?", ""][..])).prop_map(
            |(name, start, length, wildcard)| {
                let start = start.min(name.len());
                let end = (start + length).min(name.len());
                let pattern = format!("{}{wildcard}{}", &name[..start], &name[end..]);
                if pattern == "kms:" { "kms:*".to_owned() } else { pattern }
            }
        ),
        2 => prop::sample::select(&["*", "kms:*", "kms:G*", "kms:*Key*", "s3:*", "kms:ReEncrypt", "kms:ReEncrypt*"][..])
            .prop_map(str::to_owned),
        1 => "kms:[A-Z*?][a-z*?]{0,3}",
    ]
}

fn resource_pattern() -> impl Strategy<Value = String> {
    let whole = KEY_ARN.len();
    prop_oneof![
        3 => Just("*".to_owned()),
        1 => Just(KEY_ARN.to_owned()),
        3 => (0..whole, 0..12_usize, prop::sample::select(&["*", "?", "*?", "", "x"][..])).prop_map(
            move |(start, length, wildcard)| {
                let end = (start + length).min(whole);
                format!("{}{wildcard}{}", &KEY_ARN[..start], &KEY_ARN[end..])
            }
        ),
        1 => prop::sample::select(&[KEY_ID, "", "arn:aws:kms:*", "arn:aws:s3:::*", "*KEY*", "arn:aws:kms:us-east-1:111122223333:alias/x"][..])
            .prop_map(str::to_owned),
    ]
}

fn principal() -> impl Strategy<Value = Value> {
    let named = prop::sample::select(
        &[
            "*",
            OWNER,
            STRANGER,
            "777788889999",
            "arn:aws:iam::111122223333:root",
            "arn:aws:iam::444455556666:root",
            "arn:aws-cn:iam::111122223333:root",
            "arn:aws:iam::111122223333:user/Bob",
            "arn:aws:sts::111122223333:assumed-role/App/session",
        ][..],
    );
    let services = one_or_many(Just("logs.amazonaws.com".to_owned()));
    prop_oneof![
        1 => Just(json!("*")),
        6 => one_or_many(named.prop_map(str::to_owned)).prop_map(|aws| json!({ "AWS": aws })),
        1 => services.clone().prop_map(|service| json!({ "Service": service })),
        1 => (one_or_many(Just(OWNER.to_owned())), services).prop_map(|(aws, service)| json!({ "AWS": aws, "Service": service })),
        1 => Just(json!({})),
    ]
}

fn statement() -> impl Strategy<Value = Value> {
    let effect = prop_oneof![3 => Just("Allow"), 1 => Just("Deny")];
    let actions = prop::option::weighted(0.95, one_or_many(action_pattern()));
    let resources = prop::option::weighted(0.95, one_or_many(resource_pattern()));
    (effect, principal(), actions, resources).prop_map(|(effect, principal, actions, resources)| {
        let mut statement = Map::new();
        statement.insert("Effect".to_owned(), json!(effect));
        statement.insert("Principal".to_owned(), principal);
        actions.map(|actions| statement.insert("Action".to_owned(), actions));
        resources.map(|resources| statement.insert("Resource".to_owned(), resources));
        Value::Object(statement)
    })
}

fn policy() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => prop::collection::vec(statement(), 1..5).prop_map(Value::Array),
        1 => statement(),
    ]
    .prop_map(|statements| json!({ "Version": "2012-10-17", "Statement": statements }))
}

fn account(text: &str) -> AccountId {
    AccountId::parse(text).unwrap()
}

fn key() -> KeyArn {
    KeyArn {
        region: RegionName::parse("us-east-1").unwrap(),
        account: account(OWNER),
        key_id: KeyId::parse(KEY_ID).unwrap(),
    }
}

fn engine(policy: &KeyPolicy, principal: &Principal, action: Action) -> (KeyPolicyVerdict, Decision) {
    let arn = key();
    let verdict = policy.decide_key_policy(&Question { action, key: &arn, principal });
    let resource = Resource::Key { arn: &arn, named: KeyNamed::ByRequest, verdict };
    (verdict, decide(&Request { action, identity: principal.identity_verdict(), principal, resource }))
}

fn says(verdict: KeyPolicyVerdict) -> &'static str {
    match verdict {
        KeyPolicyVerdict::Allow { .. } | KeyPolicyVerdict::Delegated { .. } => "allowed",
        KeyPolicyVerdict::ExplicitDeny { .. } => "denied",
        KeyPolicyVerdict::NoMatch => "nothing",
    }
}

fn agree(text: &str) -> Result<(), TestCaseError> {
    let literal: Value = serde_json::from_str(text).unwrap();
    let compiled = KeyPolicy::parse(text).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let callers = BTreeMap::from([(OWNER, Some(OWNER)), (STRANGER, Some(STRANGER)), ("operator", None)]);
    for caller in callers.into_values() {
        let principal = caller.map_or(Principal::Operator, |id| Principal::AccountRoot(account(id)));
        for action in Action::ALL.iter().copied() {
            let name = action.name().strip_prefix("kms:").unwrap();
            let (verdict, decision) = engine(&compiled, &principal, action);
            if !IDENTITY_ONLY.contains(&name) {
                prop_assert_eq!(
                    says(verdict),
                    judge::policy_says(&literal, caller, name),
                    "{:?} {}",
                    caller,
                    name
                );
            }
            prop_assert_eq!(
                decision.is_allowed(),
                judge::may(&literal, caller, name),
                "{:?} {}",
                caller,
                name
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn both_judges_agree(policy in policy()) {
        agree(&policy.to_string())?;
    }

    #[test]
    fn an_explicit_deny_always_wins(policy in policy(), at in any::<prop::sample::Index>(), action in prop::sample::select(Action::ALL)) {
        let mut statements = match policy["Statement"].clone() {
            Value::Array(statements) => statements,
            one => vec![one],
        };
        let deny = json!({ "Effect": "Deny", "Principal": "*", "Action": action.name(), "Resource": "*" });
        statements.insert(at.index(statements.len() + 1), deny);
        let compiled = KeyPolicy::parse(&json!({ "Statement": statements }).to_string()).unwrap();
        for principal in [Principal::AccountRoot(account(OWNER)), Principal::AccountRoot(account(STRANGER)), Principal::Operator] {
            let (verdict, decision) = engine(&compiled, &principal, action);
            if action.is_identity_only() {
                prop_assert_eq!(verdict, KeyPolicyVerdict::NoMatch);
                continue;
            }
            let is_denied = matches!(verdict, KeyPolicyVerdict::ExplicitDeny { .. });
            prop_assert!(is_denied);
            let is_refused = matches!(
                decision,
                Decision::Deny(DenyReason::ExplicitDenyInKeyPolicy { .. } | DenyReason::ForeignKey)
            );
            prop_assert!(is_refused);
        }
    }
}
