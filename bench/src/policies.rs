//! What a decision costs, beside a hash of the policy's bytes.
//!
//! A ratio of one machine means something on another: both are work of one core in its first caches. The policies are read
//! before anything is measured, as the service reads them when their rows are.

use std::hint::black_box;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use strongroom_policy::{
    Action, ConditionKey, Decision, Facts, Found, Identity, IdentityPolicies, KeyNamed, KeyPolicy, Known,
    Principal, Question, Request, Resource, Value, decide, default_key_policy,
};
use strongroom_types::limits::POLICY_CHARACTERS_MAX;
use strongroom_types::{AccountId, EncryptionContext, KeyArn, KeyId, Partition, RegionName, Timestamp};

use crate::error::BenchError;

const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(60);

/// A request that no statement of the large policies is about, so that each of them is looked at.
struct OneRequest {
    context: EncryptionContext,
    source: IpAddr,
}

impl Facts for OneRequest {
    fn find<'a>(&'a self, key: &'a ConditionKey) -> Found<'a> {
        match key {
            ConditionKey::Known(Known::SourceIp) => Found::One(Value::Ip(self.source)),
            ConditionKey::Known(Known::CurrentTime) => {
                Found::One(Value::Time(Timestamp::from_secs(1_795_339_800)))
            }
            ConditionKey::Known(Known::PrincipalArn) => {
                Found::text("arn:aws:iam::111122223333:user/team/bob")
            }
            ConditionKey::Known(Known::UserName) => Found::text("bob"),
            _ => Found::Absent,
        }
    }

    fn encryption_context(&self) -> Option<&EncryptionContext> {
        Some(&self.context)
    }
}

struct Case {
    name: &'static str,
    text: String,
    principal: Principal,
}

/// Measures and prints a table.
pub(crate) fn run() -> Result<(), BenchError> {
    println!("{:<44} {:>8} {:>12} {:>12} {:>8}", "policy", "bytes", "decide ns", "SHA-256 ns", "ratio");
    let account = AccountId::parse("111122223333").map_err(|error| BenchError::Policy(error.to_string()))?;
    for case in cases(account) {
        let policy = KeyPolicy::parse(&case.text).map_err(|error| BenchError::Policy(error.to_string()))?;
        let decision = Asked::new(account)?.measure(&policy, &case.principal);
        let hash = median(|| _ = black_box(digest(&SHA256, black_box(case.text.as_bytes()))));
        let ratio = decision / hash;
        println!("{:<44} {:>8} {decision:>12.0} {hash:>12.0} {ratio:>8.2}", case.name, case.text.len());
    }
    Ok(())
}

fn cases(account: AccountId) -> Vec<Case> {
    let bob = Principal::User(Identity {
        account,
        path_and_name: "team/bob".into(),
        unique_id: "AIDABOBBOBBOBBOBBOBBO".into(),
    });
    let large = |statement: &str| {
        let count = (POLICY_CHARACTERS_MAX - 64) / (statement.len() + 1);
        format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, vec![statement; count].join(","))
    };
    let others = r#"{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/team/other"},"Action":"kms:*","Resource":"*"}"#;
    let conditions = r#"{"Effect":"Deny","Principal":"*","Action":["kms:Encrypt","kms:Decrypt"],"Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:Department":"nobody"},"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}"#;
    let wildcards = r#"{"Effect":"Deny","Principal":"*","Action":"kms:*","Resource":"*","Condition":{"StringLike":{"aws:PrincipalArn":"*:user/*a*b*c*d*"}}}"#;
    vec![
        Case {
            name: "the default policy, its root user",
            text: default_key_policy(Partition::Aws, account),
            principal: Principal::AccountRoot(account),
        },
        Case { name: "32 KB of statements for others", text: large(others), principal: bob.clone() },
        Case { name: "32 KB of conditions", text: large(conditions), principal: bob.clone() },
        Case { name: "32 KB of wildcards", text: large(wildcards), principal: bob.clone() },
        // Against this implementation: every letter is there, in another order.
        Case {
            name: "32 KB of wildcards that nearly match",
            text: large(&wildcards.replace("a*b*c*d*", "b*m*a*e*")),
            principal: bob,
        },
    ]
}

struct Asked {
    facts: OneRequest,
    key: KeyArn,
    key_text: String,
}

impl Asked {
    fn new(account: AccountId) -> Result<Self, BenchError> {
        let bad = |error: &dyn std::error::Error| BenchError::Policy(error.to_string());
        let region = RegionName::parse("us-east-1").map_err(|error| bad(&error))?;
        let key = KeyArn { region, account, key_id: KeyId::from_parts([7; 16], false) };
        let pairs =
            vec![("Department".to_owned(), "finance".to_owned()), ("Purpose".to_owned(), "x".to_owned())];
        let context = EncryptionContext::new(pairs).map_err(|error| bad(&error))?;
        let facts = OneRequest { context, source: IpAddr::from([10, 1, 2, 3]) };
        Ok(Self { facts, key_text: key.to_string(), key })
    }

    /// Nanoseconds for the whole decision, the identity side included.
    fn measure(&self, policy: &KeyPolicy, principal: &Principal) -> f64 {
        let policies = IdentityPolicies::default();
        median(|| _ = black_box(self.decide(black_box(policy), black_box(principal), &policies)))
    }

    fn decide(&self, policy: &KeyPolicy, principal: &Principal, policies: &IdentityPolicies) -> Decision {
        let action = Action::Encrypt;
        let Self { facts, key, key_text } = self;
        let verdict = policy.decide_key_policy(&Question { action, facts, key, key_text, principal });
        let identity = principal.identity_side(policies, action, key_text, facts);
        let resource = Resource::Key { arn: key, named: KeyNamed::ByRequest, verdict };
        decide(&Request { action, identity, principal, resource })
    }
}

/// The median over rounds of what one call costs, in nanoseconds.
fn median(mut call: impl FnMut()) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let (start, mut calls) = (Instant::now(), 0_u32);
            while start.elapsed() < ROUND {
                for _ in 0..100 {
                    call();
                }
                calls += 100;
            }
            start.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds.get(ROUNDS / 2).copied().unwrap_or_default()
}
