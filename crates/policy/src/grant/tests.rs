use strongroom_types::{KeyArn, KeyId, RegionName};

use super::*;
use crate::{AllowReason, IdentitySide, IdentityVerdict, KeyNamed, Principal, StatementPlace};

const ROOT: &str = "arn:aws:iam::111122223333:root";
const USER: &str = "arn:aws:iam::111122223333:user/Bob";

fn account(text: &str) -> AccountId {
    AccountId::parse(text).unwrap()
}

fn context(pairs: &[(&str, &str)]) -> EncryptionContext {
    EncryptionContext::new(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()).unwrap()
}

fn terms(operations: &[GrantOperation], constraints: GrantConstraints) -> GrantTerms {
    GrantTerms { constraints, operations: operations.to_vec() }
}

fn equals(pairs: &[(&str, &str)]) -> GrantConstraints {
    GrantConstraints { context_equals: Some(context(pairs)), ..GrantConstraints::default() }
}

fn subset(pairs: &[(&str, &str)]) -> GrantConstraints {
    GrantConstraints { context_subset: Some(context(pairs)), ..GrantConstraints::default() }
}

fn source(arn: &str) -> GrantConstraints {
    GrantConstraints { source_arn: Some(arn.into()), ..GrantConstraints::default() }
}

/// One text for each pair of a constraint and the facts, so that the whole table stands here.
#[test]
fn constraints_hold_for_what_fulfils_them_and_nothing_else() {
    use GrantOperation::{Decrypt, DescribeKey};
    let pairs: &[(&str, &str)] = &[("a", "1"), ("b", "2")];
    let constraints = [
        ("none", GrantConstraints::default()),
        ("equals ab", equals(pairs)),
        ("equals nothing", equals(&[])),
        ("subset a", subset(&[("a", "1")])),
        ("subset b", subset(&[("b", "2")])),
        ("source", source("arn:aws:s3:::bucket")),
        ("both", GrantConstraints { context_subset: Some(context(&[("c", "3")])), ..equals(pairs) }),
    ];
    let contexts = [
        ("absent", None),
        ("empty", Some(context(&[]))),
        ("a", Some(context(&[("a", "1")]))),
        ("ab", Some(context(pairs))),
        ("abc", Some(context(&[("a", "1"), ("b", "2"), ("c", "3")]))),
        ("A", Some(context(&[("A", "1"), ("b", "2")]))),
        ("a=2", Some(context(&[("a", "2"), ("b", "2")]))),
    ];
    let allowed = |operation| {
        let mut found = Vec::new();
        for (name, constraints) in &constraints {
            let terms = terms(&[operation], constraints.clone());
            for (what, context) in &contexts {
                let facts = GrantFacts { context: context.as_ref(), ..GrantFacts::default() };
                if terms.allow(operation, &facts) {
                    found.push(format!("{name}: {what}"));
                }
            }
        }
        found.join(", ")
    };
    assert_eq!(
        allowed(Decrypt),
        "none: absent, none: empty, none: a, none: ab, none: abc, none: A, none: a=2, equals ab: ab, \
         equals nothing: empty, subset a: a, subset a: ab, subset a: abc, subset b: ab, subset b: abc, subset b: A, \
         subset b: a=2"
    );
    // DescribeKey has no context; the source counts for it all the same.
    let without_source = constraints.iter().filter(|(name, _)| *name != "source");
    let everywhere: Vec<_> = without_source
        .flat_map(|(name, _)| contexts.iter().map(move |(what, _)| format!("{name}: {what}")))
        .collect();
    assert_eq!(allowed(DescribeKey), everywhere.join(", "));
}

#[test]
fn only_the_operations_of_the_grant_are_allowed() {
    for given in GrantOperation::ALL {
        let terms = terms(&[*given], GrantConstraints::default());
        let facts = GrantFacts { child: Some(&terms), ..GrantFacts::default() };
        for asked in GrantOperation::ALL {
            assert_eq!(terms.allow(*asked, &facts), given == asked, "{given:?} {asked:?}");
        }
    }
}

#[test]
fn a_source_must_be_the_very_one() {
    let terms = terms(&[GrantOperation::Decrypt], source("arn:aws:s3:us-east-1:111122223333:bucket"));
    let allows = |source_arn| {
        terms.allow(GrantOperation::Decrypt, &GrantFacts { source_arn, ..GrantFacts::default() })
    };
    assert!(!allows(None));
    assert!(!allows(Some("arn:aws:s3:us-east-1:111122223333:bucket2")));
    assert!(allows(Some("arn:aws:s3:us-east-1:111122223333:bucket")));
}

#[test]
fn a_child_is_never_wider_than_its_parent() {
    use GrantOperation::{CreateGrant, Decrypt, Encrypt};
    let free = GrantConstraints::default;
    let a = || subset(&[("a", "1")]);
    let ab = || subset(&[("a", "1"), ("b", "2")]);
    let both = |equals: GrantConstraints, subset: GrantConstraints| GrantConstraints {
        context_subset: subset.context_subset,
        ..equals
    };
    let parent = |constraints| terms(&[CreateGrant, Decrypt], constraints);
    let child = |constraints| terms(&[Decrypt], constraints);
    for (parent, child) in [
        (parent(free()), terms(&[Encrypt], free())),
        (parent(free()), terms(&[Decrypt, Encrypt], free())),
        (parent(a()), child(free())),
        (parent(a()), child(subset(&[("a", "2")]))),
        (parent(a()), child(subset(&[("b", "1")]))),
        (parent(ab()), child(a())),
        (parent(equals(&[("a", "1")])), child(free())),
        (parent(equals(&[("a", "1")])), child(a())),
        (parent(equals(&[("a", "1")])), child(equals(&[("a", "1"), ("b", "2")]))),
        (parent(equals(&[])), child(free())),
        (parent(source("arn:aws:x:::1")), child(free())),
        (parent(source("arn:aws:x:::1")), child(source("arn:aws:x:::2"))),
        (parent(both(equals(&[("a", "1")]), subset(&[("b", "2")]))), child(equals(&[("a", "1")]))),
    ] {
        assert!(!parent.covers(&child), "{parent:?} {child:?}");
        let facts = GrantFacts { child: Some(&child), ..GrantFacts::default() };
        assert!(!parent.allow(CreateGrant, &facts));
    }
    for (parent, child) in [
        (parent(free()), parent(free())),
        (parent(free()), child(a())),
        (parent(a()), child(a())),
        (parent(a()), child(ab())),
        (parent(a()), child(equals(&[("a", "1"), ("b", "2")]))),
        (parent(equals(&[("a", "1")])), child(equals(&[("a", "1")]))),
        (parent(source("arn:aws:x:::1")), child(both(equals(&[]), free()))),
    ]
    .into_iter()
    .map(|(parent, mut child)| {
        child.constraints.source_arn.clone_from(&parent.constraints.source_arn);
        (parent, child)
    }) {
        assert!(parent.covers(&child), "{parent:?} {child:?}");
        let facts = GrantFacts {
            child: Some(&child),
            source_arn: parent.constraints.source_arn.as_deref(),
            ..GrantFacts::default()
        };
        assert!(parent.allow(CreateGrant, &facts));
    }
    assert!(
        !parent(free()).allow(CreateGrant, &GrantFacts::default()),
        "without a child there is nothing to allow"
    );
}

fn key_of(owner: &str) -> KeyArn {
    KeyArn {
        region: RegionName::parse("us-east-1").unwrap(),
        account: account(owner),
        key_id: KeyId::parse("1234abcd-12ab-34cd-56ef-1234567890ab").unwrap(),
    }
}

const VERDICTS: [KeyPolicyVerdict; 5] = [
    KeyPolicyVerdict::Allow { statement: 0 },
    KeyPolicyVerdict::AllowRole { statement: 0 },
    KeyPolicyVerdict::Delegated { statement: 0 },
    KeyPolicyVerdict::ExplicitDeny { statement: 0 },
    KeyPolicyVerdict::NoMatch,
];
const DENIED: IdentitySide = IdentitySide {
    identity: IdentityVerdict::ExplicitDeny(StatementPlace { policy: 0, statement: 0 }),
    ..IdentitySide::SILENT
};
const IDENTITIES: [(&str, IdentitySide); 3] =
    [("Allow", IdentitySide::ROOT), ("ExplicitDeny", DENIED), ("NoMatch", IdentitySide::SILENT)];

#[test]
fn grants_are_asked_only_where_nothing_decided() {
    let mut asked = Vec::new();
    for owner in ["111122223333", "444455556666"] {
        let arn = key_of(owner);
        for principal in [Principal::AccountRoot(account("111122223333")), Principal::Operator] {
            for (side, identity) in IDENTITIES {
                for verdict in VERDICTS {
                    for action in Action::ALL {
                        let resource = Resource::Key { arn: &arn, named: KeyNamed::ByRequest, verdict };
                        let request = Request { action: *action, identity, principal: &principal, resource };
                        let decision = crate::decide(&request);
                        let open = open_to_grants(&request, &decision);
                        if let Some(operation) = open {
                            assert_eq!(operation.action(), *action);
                            assert!(!decision.is_allowed());
                            assert_ne!(identity, DENIED);
                            assert!(!matches!(verdict, KeyPolicyVerdict::ExplicitDeny { .. }));
                            assert_ne!(principal, Principal::Operator);
                        }
                        if *action == Action::Decrypt && open.is_some() {
                            asked.push(format!("{} {side} {verdict:?}", &owner[..4]));
                        }
                    }
                }
            }
        }
    }
    assert_eq!(
        asked,
        [
            "1111 Allow NoMatch",
            "1111 NoMatch Delegated { statement: 0 }",
            "1111 NoMatch NoMatch",
            "4444 Allow NoMatch",
            "4444 NoMatch Allow { statement: 0 }",
            "4444 NoMatch AllowRole { statement: 0 }",
            "4444 NoMatch Delegated { statement: 0 }",
            "4444 NoMatch NoMatch",
        ]
    );
}

#[test]
fn other_resources_know_no_grants() {
    let principal = Principal::AccountRoot(account("111122223333"));
    for resource in [Resource::Account, Resource::Ciphertext, Resource::NewKey] {
        let request = Request {
            action: Action::Decrypt,
            identity: IdentitySide::SILENT,
            principal: &principal,
            resource,
        };
        assert_eq!(open_to_grants(&request, &crate::decide(&request)), None);
    }
}

#[test]
fn a_grant_is_retired_by_whom_it_names_and_by_its_account() {
    let retire = terms(&[GrantOperation::Decrypt, GrantOperation::RetireGrant], GrantConstraints::default());
    let keep = terms(&[GrantOperation::Decrypt], GrantConstraints::default());
    let user = GrantPrincipal::Caller(USER.into());
    let other = GrantPrincipal::Caller("arn:aws:iam::111122223333:user/Eve".into());
    let service = GrantPrincipal::Service(USER.into());
    let owner = Principal::AccountRoot(account("111122223333"));
    let foreign = Principal::AccountRoot(account("444455556666"));
    let key = key_of("111122223333");
    let ask = |principal: &Principal,
               identity,
               verdict,
               terms: &GrantTerms,
               grantee: &GrantPrincipal,
               retiring: Option<&GrantPrincipal>| {
        let resource = Resource::Key { arn: &key, named: KeyNamed::ByRequest, verdict };
        let request = Request { action: Action::RetireGrant, identity, principal, resource };
        let question = RetireQuestion {
            caller_names: &[USER],
            grantee,
            issuing_account: account("111122223333"),
            retiring,
            terms,
        };
        decide_retirement(&request, &question)
    };
    let (allow, explicit_deny, no_match) = (IdentitySide::ROOT, DENIED, IdentitySide::SILENT);
    let none = KeyPolicyVerdict::NoMatch;
    let denied = KeyPolicyVerdict::ExplicitDeny { statement: 3 };
    let by_policy = KeyPolicyVerdict::Allow { statement: 0 };
    for (principal, identity, verdict, terms, grantee, retiring) in [
        // Nobody that the grant knows.
        (&owner, no_match, none, &retire, &other, Some(&other)),
        (&owner, no_match, by_policy, &retire, &other, None),
        // The grantee of a grant that does not say so.
        (&owner, no_match, none, &keep, &user, None),
        // A service of the same name.
        (&owner, no_match, none, &retire, &service, Some(&service)),
        // Another account, whatever its identity policies say.
        (&foreign, allow, by_policy, &retire, &other, None),
        // Denied.
        (&owner, explicit_deny, none, &retire, &user, Some(&user)),
        (&owner, allow, denied, &retire, &user, Some(&user)),
        (&foreign, allow, denied, &retire, &user, Some(&user)),
        (&Principal::Operator, allow, none, &retire, &user, Some(&user)),
    ] {
        let decision = ask(principal, identity, verdict, terms, grantee, retiring);
        assert!(!decision.is_allowed(), "{principal:?} {identity:?} {verdict:?}");
    }
    for (principal, identity, terms, grantee, retiring) in [
        (&owner, no_match, &keep, &other, Some(&user)),
        (&owner, no_match, &retire, &user, None),
        (&owner, allow, &keep, &other, None),
        (&foreign, no_match, &keep, &other, Some(&user)),
    ] {
        let decision = ask(principal, identity, none, terms, grantee, retiring);
        assert_eq!(decision, Decision::Allow(AllowReason::Grant));
    }
}

#[test]
fn principals_are_compared_whole() {
    let grantee = GrantPrincipal::Caller(ROOT.into());
    assert!(!grantee.is_one_of(&[]));
    assert!(!grantee.is_one_of(&[USER, "arn:aws:iam::111122223333:roo", "arn:aws:iam::111122223333:Root"]));
    assert!(!GrantPrincipal::Service(ROOT.into()).is_one_of(&[ROOT]));
    assert!(grantee.is_one_of(&[USER, ROOT]));
}

#[test]
fn operations_are_aws_s_nineteen() {
    assert_eq!(GrantOperation::ALL.len(), 19);
    for operation in GrantOperation::ALL {
        assert_eq!(operation.action().name(), format!("kms:{}", operation.as_str()));
        assert_eq!(GrantOperation::of(operation.action()), Some(*operation));
        assert_eq!(GrantOperation::parse(operation.as_str()), Some(*operation));
        assert!(operation.action().is_cross_account());
    }
    let others = Action::ALL.iter().filter(|action| GrantOperation::of(**action).is_none());
    assert_eq!(others.count(), Action::ALL.len() - 19);
    for text in ["", "decrypt", "kms:Decrypt", "ReEncrypt", "PutKeyPolicy"] {
        assert_eq!(GrantOperation::parse(text), None, "{text}");
    }
}

#[test]
fn retiring_is_never_open_to_grants_and_tells_foreigners_nothing() {
    let owner = Principal::AccountRoot(account("111122223333"));
    let foreign = Principal::AccountRoot(account("444455556666"));
    let key = key_of("111122223333");
    let nobody = GrantPrincipal::Caller("arn:aws:iam::111122223333:user/Eve".into());
    let terms = terms(&[GrantOperation::Decrypt], GrantConstraints::default());
    let ask = |principal: &Principal, verdict| {
        let resource = Resource::Key { arn: &key, named: KeyNamed::ByRequest, verdict };
        let identity = IdentitySide::SILENT;
        let request = Request { action: Action::RetireGrant, identity, principal, resource };
        assert_eq!(open_to_grants(&request, &crate::decide(&request)), None);
        let question = RetireQuestion {
            caller_names: &[USER],
            grantee: &nobody,
            issuing_account: account("111122223333"),
            retiring: None,
            terms: &terms,
        };
        decide_retirement(&request, &question)
    };
    let denied = KeyPolicyVerdict::ExplicitDeny { statement: 3 };
    let (none, foreign_key) = (KeyPolicyVerdict::NoMatch, Decision::Deny(DenyReason::ForeignKey));
    assert_eq!(ask(&owner, denied), Decision::Deny(DenyReason::ExplicitDenyInKeyPolicy { statement: 3 }));
    assert_eq!(ask(&owner, none), Decision::Deny(DenyReason::NoIdentityPolicyAllows));
    assert_eq!(ask(&foreign, denied), foreign_key);
    assert_eq!(ask(&foreign, none), foreign_key);
}

#[test]
fn a_principal_is_shown_as_it_was_named() {
    assert_eq!(GrantPrincipal::Caller(USER.into()).as_str(), USER);
    assert_eq!(GrantPrincipal::Service("rds.amazonaws.com".into()).as_str(), "rds.amazonaws.com");
}
