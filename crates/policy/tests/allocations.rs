//! Deciding allocates nothing, whatever is asked.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::hint::black_box;

use allocation_counter::measure;
use strongroom_policy::{
    Action, ConditionKey, Decision, Facts, Found, GrantConstraints, GrantFacts, GrantOperation, GrantTerms,
    Identity, IdentityPolicies, IdentityPolicy, KeyNamed, KeyPolicy, Known, Principal, Question, Request,
    Resource, Value, decide, default_key_policy,
};
use strongroom_types::limits::POLICY_CHARACTERS_MAX;
use strongroom_types::{AccountId, EncryptionContext, KeyArn, KeyId, Partition, RegionName, Timestamp};

const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

struct OneRequest(EncryptionContext);

impl Facts for OneRequest {
    fn find<'a>(&'a self, key: &'a ConditionKey) -> Found<'a> {
        match key {
            ConditionKey::Known(Known::SourceIp) => Found::One(Value::Ip([10, 1, 2, 3].into())),
            ConditionKey::Known(Known::CurrentTime) => {
                Found::One(Value::Time(Timestamp::from_secs(1_795_339_800)))
            }
            ConditionKey::Known(Known::UserName) => Found::text("bob"),
            ConditionKey::Known(Known::PrincipalArn) => {
                Found::text("arn:aws:iam::111122223333:user/team/bob")
            }
            ConditionKey::Known(Known::CallerAccount) => Found::One(Value::Account(account())),
            ConditionKey::Known(Known::SecureTransport) => Found::One(Value::Bool(true)),
            _ => Found::Absent,
        }
    }

    fn encryption_context(&self) -> Option<&EncryptionContext> {
        Some(&self.0)
    }
}

fn account() -> AccountId {
    AccountId::parse("111122223333").unwrap()
}

/// Statements of every operator, none of which decides, until the text is full.
fn large() -> String {
    let conditions = [
        r#""StringEquals":{"kms:EncryptionContext:dept":"${aws:username}x"}"#,
        r#""StringLike":{"aws:PrincipalArn":"*:role/*a*${aws:username, 'x'}*","kms:CallerAccount":"*4"}"#,
        r#""ForAnyValue:StringEqualsIgnoreCase":{"kms:EncryptionContextKeys":["A","B?"]}"#,
        r#""ArnLike":{"aws:PrincipalArn":"arn:*:iam::*:user/*/eve"}"#,
        r#""NotIpAddress":{"aws:SourceIp":["10.0.0.0/8","2001:db8::/32"]}"#,
        r#""DateLessThan":{"aws:CurrentTime":"2020-01-01T00:00:00Z"}"#,
        r#""NumericLessThan":{"kms:CallerAccount":"5.5"}"#,
        r#""Bool":{"aws:SecureTransport":"false"}"#,
        r#""Null":{"aws:userid":"false"}"#,
        r#""BinaryEquals":{"aws:username":"eA=="}"#,
    ];
    let mut statements = Vec::new();
    let mut length = 64;
    for condition in conditions.iter().cycle() {
        let statement = format!(
            r#"{{"Effect":"Deny","Principal":"*","Action":"kms:*","Resource":"arn:aws:kms:*:*:key/*ab","Condition":{{{condition}}}}}"#
        );
        length += statement.len() + 1;
        if length > POLICY_CHARACTERS_MAX {
            break;
        }
        statements.push(statement);
    }
    format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","))
}

#[test]
fn deciding_allocates_nothing() {
    let key = KeyArn {
        region: RegionName::parse("us-east-1").unwrap(),
        account: account(),
        key_id: KeyId::parse("1234abcd-12ab-34cd-56ef-1234567890ab").unwrap(),
    };
    let pairs = vec![("Dept".to_owned(), "hr".to_owned()), ("Purpose".to_owned(), "x".to_owned())];
    let facts = OneRequest(EncryptionContext::new(pairs).unwrap());
    let user = Principal::User(Identity {
        account: account(),
        path_and_name: "team/bob".into(),
        unique_id: "AIDABOB".into(),
    });
    let identity = IdentityPolicy::parse(
        r#"{"Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"aws:username":"bob"}}}}"#,
    );
    let policies = IdentityPolicies {
        identity: vec![identity.clone().unwrap()],
        boundary: identity.ok(),
        session: None,
    };
    let terms = GrantTerms {
        constraints: GrantConstraints {
            context_subset: Some(facts.0.clone()),
            ..GrantConstraints::default()
        },
        operations: vec![GrantOperation::Encrypt],
    };
    for text in [default_key_policy(Partition::Aws, account()), large()] {
        let policy = KeyPolicy::parse(&text).unwrap();
        for principal in [&user, &Principal::AccountRoot(account()), &Principal::Operator] {
            let mut decided: Option<Decision> = None;
            let counted = measure(|| {
                let action = Action::Encrypt;
                let question = Question { action, facts: &facts, key: &key, key_text: KEY, principal };
                let verdict = policy.decide_key_policy(black_box(&question));
                let identity = principal.identity_side(&policies, action, KEY, &facts);
                let resource = Resource::Key { arn: &key, named: KeyNamed::ByRequest, verdict };
                decided = Some(decide(&Request { action, identity, principal, resource }));
                let facts = GrantFacts { context: Some(&facts.0), ..GrantFacts::default() };
                assert!(black_box(&terms).allow(GrantOperation::Encrypt, &facts));
            });
            assert_eq!(counted.count_total, 0, "{principal:?}");
            let is_default = text.len() < 1000;
            assert_eq!(decided.unwrap().is_allowed(), is_default && *principal != Principal::Operator);
        }
    }
    // The counter counts.
    assert_ne!(measure(|| drop(black_box(KEY.to_owned()))).count_total, 0);
}
