//! Who may do what: every kind of caller, with every kind of policy on its own side, under every kind of key policy, for every
//! action. The table is compared whole, so that a change of any decision is seen and reviewed.
//!
//! Actions whose decisions are the same in the whole table share a column; which ones share it is part of the table.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::path::Path;

use strongroom_policy::{
    Action, AllowReason, Decision, DenyReason, GrantConstraints, GrantFacts, GrantOperation, GrantPrincipal,
    GrantTerms, Identity, IdentityPolicies, IdentityPolicy, KeyNamed, KeyPolicy, NoFacts, Principal,
    Question, Request, Resource, RoleSession, decide, default_key_policy, open_to_grants,
};
use strongroom_types::{AccountId, KeyArn, KeyId, Partition, RegionName};

const OWNER: &str = "111122223333";
const OTHER: &str = "444455556666";
const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const CELL: usize = 10;
const NAME: usize = 38;

const LEGEND: &str = "\
Who may do what on a key of account 111122223333.

  root, user, session    of the account: user/team/bob, and assumed-role/app/s of role/app
  other root, other user of account 444455556666: user/eve
  service                logs.amazonaws.com, calling for itself; no request of an API caller is one
  operator               the deployment's operator

  A request without a signature is nobody's. It is refused before anything is decided, also where a policy allows `*`.

  yes       allowed by policies
  grant     allowed by a grant
  d-key     an explicit deny in the key policy; d-ident, in an identity policy; d-bound, in the boundary; d-sess, in the session's
  key       no statement of the key policy allows; ident, no identity policy does; bound, the boundary does not; sess, the session's do not
  foreign   refused without saying why, or whether the key exists

  RetireGrant is left out: the grant decides it. Of alias operations this is the key's half.

  Identity policies are `allow` (kms:*) or `deny` (kms:*) or none. `boundary` and `session` allow kms:DescribeKey alone.
";

struct Caller {
    name: &'static str,
    principal: Principal,
    policies: IdentityPolicies,
}

struct Under {
    title: &'static str,
    policy: KeyPolicy,
    /// A grant to whoever calls.
    grant: Option<GrantTerms>,
}

fn account(text: &str) -> AccountId {
    AccountId::parse(text).unwrap()
}

fn identity(of: &str, name: &str, id: &str) -> Identity {
    Identity { account: account(of), path_and_name: name.into(), unique_id: id.into() }
}

fn callers() -> Vec<Caller> {
    let of = |effect: &str, action: &str| {
        let text = format!(r#"{{"Statement":{{"Effect":"{effect}","Action":"{action}","Resource":"*"}}}}"#);
        IdentityPolicy::parse(&text).unwrap()
    };
    let (allow, deny, only) = (of("Allow", "kms:*"), of("Deny", "kms:*"), of("Allow", "kms:DescribeKey"));
    let side = |identity: &[&IdentityPolicy],
                boundary: Option<&IdentityPolicy>,
                session: Option<&IdentityPolicy>| {
        IdentityPolicies {
            identity: identity.iter().copied().cloned().collect(),
            boundary: boundary.cloned(),
            session: session.map(|policy| vec![policy.clone()]),
        }
    };
    let user = || Principal::User(identity(OWNER, "team/bob", "AIDABOB"));
    let session = || {
        Principal::RoleSession(RoleSession { role: identity(OWNER, "app", "AROAAPP"), session: "s".into() })
    };
    let eve = || Principal::User(identity(OTHER, "eve", "AIDAEVE"));
    let none = IdentityPolicies::default;
    let caller = |name, principal, policies| Caller { name, principal, policies };
    vec![
        caller("root", Principal::AccountRoot(account(OWNER)), none()),
        caller("user", user(), none()),
        caller("user, allow", user(), side(&[&allow], None, None)),
        caller("user, allow and deny", user(), side(&[&allow, &deny], None, None)),
        caller("user, boundary", user(), side(&[], Some(&only), None)),
        caller("user, allow, boundary", user(), side(&[&allow], Some(&only), None)),
        caller("user, allow, boundary denies", user(), side(&[&allow], Some(&deny), None)),
        caller("session", session(), none()),
        caller("session, allow", session(), side(&[&allow], None, None)),
        caller("session, allow and deny", session(), side(&[&allow, &deny], None, None)),
        caller("session, allow, boundary", session(), side(&[&allow], Some(&only), None)),
        caller("session, allow, session", session(), side(&[&allow], None, Some(&only))),
        caller("session, allow, session denies", session(), side(&[&allow], None, Some(&deny))),
        caller("other root", Principal::AccountRoot(account(OTHER)), none()),
        caller("other user", eve(), none()),
        caller("other user, allow", eve(), side(&[&allow], None, None)),
        caller("other user, allow and deny", eve(), side(&[&allow, &deny], None, None)),
        caller("other user, allow, boundary", eve(), side(&[&allow], Some(&only), None)),
        caller("service", Principal::Service("logs.amazonaws.com".into()), none()),
        caller("operator", Principal::Operator, none()),
    ]
}

const THEM: &str = r#"{"AWS":["arn:aws:iam::111122223333:user/team/bob","arn:aws:iam::111122223333:role/app","arn:aws:iam::444455556666:user/eve"],"Service":"logs.amazonaws.com"}"#;

fn key_policies() -> Vec<Under> {
    let statement = |effect: &str, principal: &str| {
        format!(r#"{{"Effect":"{effect}",{principal},"Action":"kms:*","Resource":"*"}}"#)
    };
    let policy = |statements: &[String]| {
        KeyPolicy::parse(&format!(r#"{{"Statement":[{}]}}"#, statements.join(","))).unwrap()
    };
    let principal = |value: &str| format!(r#""Principal":{value}"#);
    let allow = |value: &str| statement("Allow", &principal(value));
    let deny = |value: &str| statement("Deny", &principal(value));
    let everyone = || allow(r#""*""#);
    let own = || allow(r#"{"AWS":"111122223333"}"#);
    let default = KeyPolicy::parse(&default_key_policy(Partition::Aws, account(OWNER))).unwrap();
    let nobody = || policy(&[allow(r#"{"AWS":"arn:aws:iam::111122223333:user/somebody"}"#)]);
    let mut later = policy(&[allow(THEM)]);
    later.bind(|identity| Some(format!("another {}", identity.owner_name()).into()));
    let operations = vec![GrantOperation::Encrypt, GrantOperation::CreateGrant];
    let terms = GrantTerms { constraints: GrantConstraints::default(), operations };
    let under = |title, policy| Under { title, policy, grant: None };
    vec![
        under("the default policy: the account", default),
        under("it names somebody else", nobody()),
        under("it names the user, the role, the other user and the service", policy(&[allow(THEM)])),
        under("the same, but those who had the names are gone and others have them now", later),
        under(
            "it names the session",
            policy(&[allow(r#"{"AWS":"arn:aws:sts::111122223333:assumed-role/app/s"}"#)]),
        ),
        under(
            "it names another session of the role",
            policy(&[allow(r#"{"AWS":"arn:aws:sts::111122223333:assumed-role/app/t"}"#)]),
        ),
        under(
            "it names both accounts",
            policy(&[own(), allow(r#"{"AWS":"arn:aws:iam::444455556666:root"}"#)]),
        ),
        under("everyone", policy(&[everyone()])),
        under(
            "everyone, and a deny for the user, the role, the other user and the service",
            policy(&[everyone(), deny(THEM)]),
        ),
        under(
            "everyone, and a deny for the account",
            policy(&[everyone(), deny(r#"{"AWS":"111122223333"}"#)]),
        ),
        under(
            "everyone, and a deny for everyone but the user and the account (NotPrincipal)",
            policy(&[
                everyone(),
                statement(
                    "Deny",
                    r#""NotPrincipal":{"AWS":["arn:aws:iam::111122223333:user/team/bob","111122223333"]}"#,
                ),
            ]),
        ),
        Under {
            title: "it names somebody else, and there is a grant of Encrypt and CreateGrant to the caller (to a session's role)",
            policy: nobody(),
            grant: Some(terms.clone()),
        },
        Under {
            title: "a deny for everyone, and the same grant",
            policy: policy(&[everyone(), deny(r#""*""#)]),
            grant: Some(terms),
        },
    ]
}

fn word(decision: Decision) -> &'static str {
    match decision {
        Decision::Allow(AllowReason::Grant) => "grant",
        Decision::Allow(_) => "yes",
        Decision::Deny(DenyReason::ExplicitDenyInBoundary(_)) => "d-bound",
        Decision::Deny(DenyReason::ExplicitDenyInIdentityPolicy(_)) => "d-ident",
        Decision::Deny(DenyReason::ExplicitDenyInKeyPolicy { .. }) => "d-key",
        Decision::Deny(DenyReason::ExplicitDenyInSessionPolicy(_)) => "d-sess",
        Decision::Deny(DenyReason::ForeignKey) => "foreign",
        Decision::Deny(DenyReason::NoBoundaryAllows) => "bound",
        Decision::Deny(DenyReason::NoIdentityPolicyAllows) => "ident",
        Decision::Deny(DenyReason::NoKeyPolicyAllows) => "key",
        Decision::Deny(DenyReason::NoSessionPolicyAllows) => "sess",
    }
}

fn decided(under: &Under, caller: &Caller, action: Action, key: &KeyArn) -> Decision {
    let Caller { principal, policies, .. } = caller;
    let (resource, text) = if action.is_identity_only() {
        (Resource::Account, "*")
    } else {
        let question = Question { action, facts: &NoFacts, key, key_text: KEY, principal };
        let verdict = under.policy.decide_key_policy(&question);
        (Resource::Key { arn: key, named: KeyNamed::ByRequest, verdict }, KEY)
    };
    let identity = principal.identity_side(policies, action, text, &NoFacts);
    let request = Request { action, identity, principal, resource };
    let decision = decide(&request);
    let (Some(terms), Some(operation)) = (&under.grant, open_to_grants(&request, &decision)) else {
        return decision;
    };
    // As the service does: the grant is the role's, which counts for a session within its limits.
    let (grantee, names) = match principal {
        Principal::RoleSession(session) if request.is_limited() => {
            (&*session.role.unique_id, vec!["a session"])
        }
        Principal::RoleSession(session) => {
            (&*session.role.unique_id, vec!["a session", &*session.role.unique_id])
        }
        _ => ("the caller", vec!["the caller"]),
    };
    let child =
        GrantTerms { constraints: GrantConstraints::default(), operations: vec![GrantOperation::Encrypt] };
    let facts = GrantFacts { child: Some(&child), ..GrantFacts::default() };
    let is_theirs = GrantPrincipal::Caller(grantee.into()).is_one_of(&names);
    if is_theirs && terms.allow(operation, &facts) { Decision::Allow(AllowReason::Grant) } else { decision }
}

fn table() -> String {
    let key = KeyArn {
        region: RegionName::parse("us-east-1").unwrap(),
        account: account(OWNER),
        key_id: KeyId::parse("1234abcd-12ab-34cd-56ef-1234567890ab").unwrap(),
    };
    let (callers, policies) = (callers(), key_policies());
    let mut columns: Vec<(Vec<Action>, Vec<&'static str>)> = Vec::new();
    for action in Action::ALL.iter().copied().filter(|action| *action != Action::RetireGrant) {
        let pairs = policies.iter().flat_map(|under| callers.iter().map(move |caller| (under, caller)));
        let cells: Vec<_> = pairs.map(|(under, caller)| word(decided(under, caller, action, &key))).collect();
        match columns.iter_mut().find(|(_, known)| *known == cells) {
            Some((actions, _)) => actions.push(action),
            None => columns.push((vec![action], cells)),
        }
    }
    let mut table = LEGEND.to_owned();
    for (number, (actions, _)) in (1..).zip(&columns) {
        write!(table, "\n  column {number}").unwrap();
        for (index, action) in actions.iter().enumerate() {
            let gap = if index % 6 == 0 { "\n      " } else { " " };
            write!(table, "{gap}{}", &action.name()["kms:".len()..]).unwrap();
        }
        table.push('\n');
    }
    for (block, under) in policies.iter().enumerate() {
        write!(table, "\n{}\n{:NAME$}", under.title, "").unwrap();
        for number in 1..=columns.len() {
            write!(table, "{number:<CELL$}").unwrap();
        }
        for (row, caller) in callers.iter().enumerate() {
            write!(table, "\n  {:<width$}", caller.name, width = NAME - 2).unwrap();
            for (_, cells) in &columns {
                write!(table, "{:<CELL$}", cells.get(block * callers.len() + row).unwrap()).unwrap();
            }
        }
        table.push('\n');
    }
    let lines: Vec<&str> = table.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

#[test]
fn the_table_is_as_written() {
    let actual = table();
    if actual != include_str!("principals_table.txt") {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("principals_table.txt");
        std::fs::write(&path, &actual).unwrap();
        panic!("decisions have changed; the new table is {}:\n{actual}", path.display());
    }
}
