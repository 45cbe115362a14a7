//! Who may do what under which policy, as a table for people: `authorization_table.txt`.
//!
//! After a change that is meant, read the new table (the failing test says where it is) and put it in the old one's
//! place.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::path::Path;

use strongroom_policy::{
    Action, Decision, DenyReason, IdentityPolicies, KeyNamed, KeyPolicy, LockoutQuestion, NoFacts, Principal,
    Question, Request, Resource, decide, default_key_policy, would_lock_out,
};
use strongroom_types::{AccountId, KeyArn, KeyId, Partition, RegionName};

const OWNER: &str = "111122223333";
const STRANGER: &str = "444455556666";

const LEGEND: &str = "\
Who may do what on the key arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab.

  owner     root user of 111122223333, the key's account
  stranger  root user of 444455556666
  operator  the deployment's operator

  yes       allowed
  denied    an explicit deny in the key policy
  policy    no statement of the key policy allows
  identity  the identity side does not allow
  foreign   refused without saying why, or whether the key exists

  lockout   whether CreateKey and PutKeyPolicy refuse the policy when this principal sends it
";

/// One of each kind: crosses accounts, own account only, grants, alias half, identity side only.
const ACTIONS: &[Action] = &[
    Action::Encrypt,
    Action::Decrypt,
    Action::ReEncryptFrom,
    Action::GenerateDataKey,
    Action::DescribeKey,
    Action::CreateGrant,
    Action::DisableKey,
    Action::PutKeyPolicy,
    Action::CreateAlias,
    Action::ListKeys,
];

fn statement(rest: &str) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{rest}]}}"#)
}

fn policies() -> Vec<(&'static str, String)> {
    let allow = |principal: &str, action: &str, resource: &str| {
        format!(r#"{{"Effect":"Allow","Principal":{principal},"Action":{action},"Resource":{resource}}}"#)
    };
    let deny = |principal: &str, action: &str| {
        format!(r#"{{"Effect":"Deny","Principal":{principal},"Action":{action},"Resource":"*"}}"#)
    };
    let (owner, stranger) = (r#"{"AWS":"111122223333"}"#, r#"{"AWS":"arn:aws:iam::444455556666:root"}"#);
    let everything = allow(r#""*""#, r#""*""#, r#""*""#);
    vec![
        ("the default policy", default_key_policy(Partition::Aws, AccountId::parse(OWNER).unwrap())),
        ("everyone may do everything", statement(&everything)),
        ("the stranger's account may do everything", statement(&allow(stranger, r#""kms:*""#, r#""*""#))),
        (
            "the owner administers, the stranger encrypts",
            statement(&format!(
                "{},{}",
                allow(owner, r#"["kms:Put*","kms:D*Key","kms:CreateAlias"]"#, r#""*""#),
                allow(stranger, r#"["kms:Encrypt","KMS:reencrypt*","kms:GenerateDataKey*"]"#, r#""*""#),
            )),
        ),
        (
            "everything for everyone, but nobody decrypts and the stranger does not encrypt",
            statement(&format!(
                "{everything},{},{}",
                deny(r#""*""#, r#""kms:Decrypt""#),
                deny(stranger, r#""kms:enc*""#)
            )),
        ),
        ("the owner is denied everything", statement(&format!("{everything},{}", deny(owner, r#""kms:*""#)))),
        (
            "only this key's ARN, by patterns; the alias and the key id are no resource",
            statement(&format!(
                "{},{},{}",
                allow(owner, r#""kms:*crypt""#, r#""arn:aws:kms:*:111122223333:key/1234abcd-*""#),
                allow(owner, r#""kms:DisableKey""#, r#""1234abcd-12ab-34cd-56ef-1234567890ab""#),
                allow(owner, r#""kms:CreateGrant""#, r#""arn:aws:kms:us-east-1:111122223333:alias/app""#),
            )),
        ),
        (
            "ARNs do not ignore case",
            statement(&allow(owner, r#""kms:*""#, r#""arn:aws:kms:us-east-1:111122223333:KEY/*""#)),
        ),
        (
            "a service, a user and a role: nobody who calls",
            statement(&allow(
                r#"{"Service":"logs.amazonaws.com","AWS":["arn:aws:iam::111122223333:user/Bob","arn:aws:iam::111122223333:role/App"]}"#,
                r#""kms:*""#,
                r#""*""#,
            )),
        ),
        (
            "no resource, or no action",
            statement(
                r#"{"Effect":"Allow","Principal":"*","Action":"kms:*"},{"Effect":"Deny","Principal":"*","Resource":"*"}"#,
            ),
        ),
    ]
}

fn word(decision: Decision) -> &'static str {
    match decision {
        Decision::Allow(_) => "yes",
        Decision::Deny(DenyReason::ExplicitDenyInBoundary(_)) => "denied-boundary",
        Decision::Deny(DenyReason::ExplicitDenyInIdentityPolicy(_)) => "denied-identity",
        Decision::Deny(DenyReason::ExplicitDenyInSessionPolicy(_)) => "denied-session",
        Decision::Deny(DenyReason::NoBoundaryAllows) => "boundary",
        Decision::Deny(DenyReason::NoSessionPolicyAllows) => "session",
        Decision::Deny(DenyReason::ExplicitDenyInKeyPolicy { .. }) => "denied",
        Decision::Deny(DenyReason::ForeignKey) => "foreign",
        Decision::Deny(DenyReason::NoIdentityPolicyAllows) => "identity",
        Decision::Deny(DenyReason::NoKeyPolicyAllows) => "policy",
    }
}

/// One principal's line: every action of the table, then the lockout.
fn line(policy: &KeyPolicy, principal: &Principal, key: &KeyArn) -> String {
    let mut line = String::new();
    let (key_text, policies) = (&*key.to_string(), &IdentityPolicies::default());
    for action in ACTIONS.iter().copied() {
        let resource = if action.is_identity_only() {
            Resource::Account
        } else {
            let verdict =
                policy.decide_key_policy(&Question { action, facts: &NoFacts, key, key_text, principal });
            Resource::Key { arn: key, named: KeyNamed::ByRequest, verdict }
        };
        let identity = principal.identity_side(policies, action, key_text, &NoFacts);
        let request = Request { action, identity, principal, resource };
        write!(line, "{:<width$}", word(decide(&request)), width = width(action)).unwrap();
    }
    let question = LockoutQuestion { facts: &NoFacts, key, policies, principal };
    line + if would_lock_out(policy, &question) { "yes" } else { "no" }
}

fn width(action: Action) -> usize {
    action.name().len() - "kms:".len() + 2
}

fn table() -> String {
    let account = |text| Principal::AccountRoot(AccountId::parse(text).unwrap());
    let key = KeyArn {
        region: RegionName::parse("us-east-1").unwrap(),
        account: AccountId::parse(OWNER).unwrap(),
        key_id: KeyId::parse("1234abcd-12ab-34cd-56ef-1234567890ab").unwrap(),
    };
    let callers =
        [("owner", account(OWNER)), ("stranger", account(STRANGER)), ("operator", Principal::Operator)];
    let mut table = LEGEND.to_owned();
    for (title, text) in policies() {
        let policy = KeyPolicy::parse(&text).unwrap();
        write!(table, "\n{title}\n            ").unwrap();
        for action in ACTIONS {
            write!(table, "{:<width$}", &action.name()["kms:".len()..], width = width(*action)).unwrap();
        }
        table.push_str("lockout\n");
        for (name, principal) in &callers {
            writeln!(table, "  {name:<10}{}", line(&policy, principal, &key)).unwrap();
        }
    }
    table
}

#[test]
fn the_table_is_as_written() {
    let actual = table();
    if actual != include_str!("authorization_table.txt") {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("authorization_table.txt");
        std::fs::write(&path, &actual).unwrap();
        panic!("decisions have changed; the new table is {}:\n{actual}", path.display());
    }
}
