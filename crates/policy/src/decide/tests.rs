use strongroom_types::{AccountId, AliasName, KeyId, Partition, RegionName};

use super::*;
use crate::default_policy::default_key_policy;
use crate::principal::{Identity, RoleSession};
use crate::value::NoFacts;

const OWNER: &str = "111122223333";
const STRANGER: &str = "444455556666";

fn account(text: &str) -> AccountId {
    AccountId::parse(text).unwrap()
}

fn root(text: &str) -> Principal {
    Principal::AccountRoot(account(text))
}

fn key() -> KeyArn {
    KeyArn {
        region: RegionName::parse("us-east-1").unwrap(),
        account: account(OWNER),
        key_id: KeyId::parse("1234abcd-12ab-34cd-56ef-1234567890ab").unwrap(),
    }
}

fn policy(statements: &str) -> KeyPolicy {
    KeyPolicy::parse(&format!(r#"{{"Statement":[{statements}]}}"#)).unwrap()
}

fn statement(effect: &str, principal: &str, action: &str) -> String {
    format!(
        r#"{{"Effect":"{effect}","Principal":{{"AWS":"{principal}"}},"Action":"{action}","Resource":"*"}}"#
    )
}

fn verdict(policy: &KeyPolicy, principal: Principal, action: Action) -> KeyPolicyVerdict {
    let (key, key_text) = (&key(), &*key().to_string());
    policy.decide_key_policy(&Question { action, facts: &NoFacts, key, key_text, principal: &principal })
}

fn decided(
    principal: Principal,
    action: Action,
    identity: IdentityVerdict,
    verdict: KeyPolicyVerdict,
) -> Decision {
    let identity = IdentitySide { identity, boundary: None, session: None };
    let arn = key();
    let resource = Resource::Key { arn: &arn, named: KeyNamed::ByRequest, verdict };
    decide(&Request { action, identity, principal: &principal, resource })
}

const VERDICTS: [KeyPolicyVerdict; 5] = [
    KeyPolicyVerdict::AllowRole { statement: 1 },
    KeyPolicyVerdict::Allow { statement: 1 },
    KeyPolicyVerdict::Delegated { statement: 1 },
    KeyPolicyVerdict::ExplicitDeny { statement: 1 },
    KeyPolicyVerdict::NoMatch,
];
const IDENTITIES: [IdentityVerdict; 3] =
    [IdentityVerdict::Allow(None), IdentityVerdict::ExplicitDeny(PLACE), IdentityVerdict::NoMatch];
const PLACE: StatementPlace = StatementPlace { policy: 0, statement: 0 };

#[test]
fn an_explicit_deny_on_either_side_ends_it() {
    for principal in [root(OWNER), root(STRANGER), Principal::Operator] {
        for action in Action::ALL {
            for identity in IDENTITIES {
                let denied = KeyPolicyVerdict::ExplicitDeny { statement: 1 };
                if !action.is_identity_only() {
                    assert!(!decided(principal.clone(), *action, identity, denied).is_allowed());
                }
            }
            for verdict in VERDICTS {
                let denied = IdentityVerdict::ExplicitDeny(PLACE);
                assert!(!decided(principal.clone(), *action, denied, verdict).is_allowed());
            }
        }
    }
}

#[test]
fn the_operator_is_allowed_nothing_on_any_key() {
    for action in Action::ALL {
        for verdict in VERDICTS {
            for identity in [IdentityVerdict::Allow(None), IdentityVerdict::NoMatch] {
                let decision = decided(Principal::Operator, *action, identity, verdict);
                assert_eq!(decision, Decision::Deny(DenyReason::ForeignKey));
            }
        }
        for resource in [Resource::Account, Resource::NewKey, Resource::Ciphertext] {
            for identity in IDENTITIES {
                let identity = IdentitySide { identity, boundary: None, session: None };
                let request =
                    Request { action: *action, identity, principal: &Principal::Operator, resource };
                assert!(!decide(&request).is_allowed());
            }
        }
    }
    let side =
        Principal::Operator.identity_side(&IdentityPolicies::default(), Action::ListKeys, "*", &NoFacts);
    assert_eq!(side, IdentitySide::SILENT);
}

#[test]
fn own_keys_need_the_key_policy_and_where_it_delegates_the_identity_side() {
    use Decision::{Allow, Deny};
    use KeyPolicyVerdict as V;
    let own = |identity, verdict| decided(root(OWNER), Action::DisableKey, identity, verdict);
    for (verdict, without_identity, with_identity) in [
        (V::NoMatch, Deny(DenyReason::NoKeyPolicyAllows), Deny(DenyReason::NoKeyPolicyAllows)),
        (
            V::ExplicitDeny { statement: 2 },
            Deny(DenyReason::ExplicitDenyInKeyPolicy { statement: 2 }),
            Deny(DenyReason::ExplicitDenyInKeyPolicy { statement: 2 }),
        ),
        (
            V::Delegated { statement: 3 },
            Deny(DenyReason::NoIdentityPolicyAllows),
            Allow(AllowReason::KeyPolicyAndIdentity { statement: 3, identity: None }),
        ),
        (
            V::Allow { statement: 4 },
            Allow(AllowReason::KeyPolicy { statement: 4 }),
            Allow(AllowReason::KeyPolicy { statement: 4 }),
        ),
    ] {
        assert_eq!(own(IdentityVerdict::NoMatch, verdict), without_identity);
        assert_eq!(own(IdentityVerdict::Allow(None), verdict), with_identity);
    }
}

#[test]
fn foreign_keys_need_both_sides_and_an_action_that_crosses_accounts() {
    let foreign = |action, identity, verdict| decided(root(STRANGER), action, identity, verdict);
    let hidden = Decision::Deny(DenyReason::ForeignKey);
    for verdict in VERDICTS {
        for identity in [IdentityVerdict::Allow(None), IdentityVerdict::NoMatch] {
            for action in Action::ALL.iter().filter(|action| !action.is_cross_account()) {
                assert_eq!(foreign(*action, identity, verdict), hidden, "{action:?}");
            }
        }
    }
    for identity in [IdentityVerdict::Allow(None), IdentityVerdict::NoMatch] {
        // A key that denies, one that says nothing, and one that does not exist look alike.
        assert_eq!(foreign(Action::Encrypt, identity, KeyPolicyVerdict::NoMatch), hidden);
        assert_eq!(
            foreign(Action::Encrypt, identity, KeyPolicyVerdict::ExplicitDeny { statement: 0 }),
            hidden
        );
    }
    for verdict in [KeyPolicyVerdict::Allow { statement: 5 }, KeyPolicyVerdict::Delegated { statement: 5 }] {
        assert_eq!(
            foreign(Action::Encrypt, IdentityVerdict::NoMatch, verdict),
            Decision::Deny(DenyReason::NoIdentityPolicyAllows)
        );
        assert_eq!(
            foreign(Action::Encrypt, IdentityVerdict::Allow(None), verdict),
            Decision::Allow(AllowReason::KeyPolicyAndIdentity { statement: 5, identity: None })
        );
    }
}

#[test]
fn actions_are_refused_on_resources_they_do_not_have() {
    let alias = AliasArn {
        region: key().region,
        account: account(OWNER),
        name: AliasName::parse("alias/x").unwrap(),
    };
    let allowed = |action, resource, principal: &Principal| {
        decide(&Request { action, identity: IdentitySide::ROOT, principal, resource }).is_allowed()
    };
    for action in Action::ALL.iter().copied() {
        let owner = root(OWNER);
        assert!(!allowed(action, Resource::Ciphertext, &owner), "{action:?}");
        assert_eq!(allowed(action, Resource::Account, &owner), action.is_identity_only(), "{action:?}");
        assert_eq!(allowed(action, Resource::NewKey, &owner), action == Action::TagResource, "{action:?}");
        assert_eq!(allowed(action, Resource::Alias(&alias), &owner), action.has_alias_half(), "{action:?}");
        assert!(!allowed(action, Resource::Alias(&alias), &root(STRANGER)), "{action:?}");
    }
}

#[test]
fn key_policies_have_no_say_in_what_the_identity_side_decides_alone() {
    let everything = policy(&statement("Allow", "*", "*"));
    let nothing = policy(&statement("Deny", "*", "*"));
    for action in Action::ALL.iter().copied().filter(|action| action.is_identity_only()) {
        assert_eq!(verdict(&everything, root(OWNER), action), KeyPolicyVerdict::NoMatch);
        assert_eq!(verdict(&nothing, root(OWNER), action), KeyPolicyVerdict::NoMatch);
        for verdict in VERDICTS {
            let by = |identity| decided(root(OWNER), action, identity, verdict);
            assert_eq!(by(IdentityVerdict::NoMatch), Decision::Deny(DenyReason::NoIdentityPolicyAllows));
            assert_eq!(by(IdentityVerdict::Allow(None)), Decision::Allow(AllowReason::Identity(None)));
        }
    }
}

#[test]
fn a_deny_wins_wherever_it_stands() {
    let allow = statement("Allow", "*", "kms:*");
    let deny = statement("Deny", OWNER, "kms:Decrypt");
    for (first, second, statement) in [(&allow, &deny, 1), (&deny, &allow, 0)] {
        let policy = policy(&format!("{first},{second}"));
        let denied = KeyPolicyVerdict::ExplicitDeny { statement };
        assert_eq!(verdict(&policy, root(OWNER), Action::Decrypt), denied);
        let allowed = KeyPolicyVerdict::Allow { statement: 1 - statement };
        assert_eq!(verdict(&policy, root(OWNER), Action::Encrypt), allowed);
        assert_eq!(verdict(&policy, root(STRANGER), Action::Decrypt), allowed);
    }
}

#[test]
fn the_first_statement_that_allows_is_named() {
    let policy =
        policy(&["kms:Decrypt", "kms:*", "kms:Encrypt"].map(|a| statement("Allow", "*", a)).join(","));
    assert_eq!(verdict(&policy, root(OWNER), Action::Encrypt), KeyPolicyVerdict::Allow { statement: 1 });
}

#[test]
fn statements_without_action_resource_or_principals_have_no_effect() {
    for elements in [
        r#""Principal":"*","Action":"kms:*""#,
        r#""Principal":"*","Resource":"*""#,
        r#""Principal":"*","Action":[],"Resource":"*""#,
        r#""Principal":"*","Action":"kms:*","Resource":[]"#,
        r#""Principal":{},"Action":"kms:*","Resource":"*""#,
        r#""Principal":{"AWS":[]},"Action":"kms:*","Resource":"*""#,
        r#""Principal":{"Service":"logs.amazonaws.com"},"Action":"kms:*","Resource":"*""#,
        r#""Principal":{"AWS":"arn:aws:iam::111122223333:user/root"},"Action":"kms:*","Resource":"*""#,
        r#""Principal":"*","Action":"kms:*","Resource":"arn:aws:kms:us-east-1:111122223333:alias/*""#,
    ] {
        for effect in ["Allow", "Deny"] {
            let policy = policy(&format!(r#"{{"Effect":"{effect}",{elements}}}"#));
            for action in Action::ALL {
                assert_eq!(verdict(&policy, root(OWNER), *action), KeyPolicyVerdict::NoMatch, "{elements}");
            }
        }
    }
}

fn is_locked_out(policy: &KeyPolicy, principal: &Principal) -> bool {
    let policies = &IdentityPolicies::default();
    would_lock_out(policy, &LockoutQuestion { facts: &NoFacts, key: &key(), policies, principal })
}

#[test]
fn only_who_keeps_put_key_policy_is_not_locked_out() {
    let locks_out = |statements: &str, caller| is_locked_out(&policy(statements), &caller);
    assert!(locks_out(&statement("Allow", STRANGER, "kms:*"), root(OWNER)));
    assert!(locks_out(&statement("Allow", OWNER, "kms:Encrypt"), root(OWNER)));
    assert!(locks_out(&statement("Deny", OWNER, "kms:*"), root(OWNER)));
    let but_not_this = format!("{},{}", statement("Allow", "*", "*"), statement("Deny", "*", "kms:Put*"));
    assert!(locks_out(&but_not_this, root(OWNER)));
    // PutKeyPolicy does not cross accounts, so a stranger named in the policy is locked out all the same.
    assert!(locks_out(&statement("Allow", "*", "kms:*"), root(STRANGER)));
    assert!(locks_out(&statement("Allow", "*", "kms:*"), Principal::Operator));

    assert!(!locks_out(&statement("Allow", "*", "kms:PutKeyPolicy"), root(OWNER)));
    let default = KeyPolicy::parse(&default_key_policy(Partition::Aws, account(OWNER))).unwrap();
    assert!(!is_locked_out(&default, &root(OWNER)));
}

#[test]
fn a_principal_of_another_partition_is_nobody() {
    let china = statement("Allow", "arn:aws-cn:iam::111122223333:root", "kms:*");
    assert_eq!(verdict(&policy(&china), root(OWNER), Action::Encrypt), KeyPolicyVerdict::NoMatch);
    let here = statement("Allow", "arn:aws:iam::111122223333:root", "kms:*");
    assert_eq!(
        verdict(&policy(&here), root(OWNER), Action::Encrypt),
        KeyPolicyVerdict::Allow { statement: 0 }
    );
}

fn user() -> Principal {
    Principal::User(Identity {
        account: account(OWNER),
        path_and_name: "Bob".into(),
        unique_id: "AIDABOB".into(),
    })
}

fn session() -> Principal {
    let role = Identity { account: account(OWNER), path_and_name: "App".into(), unique_id: "AROAAPP".into() };
    Principal::RoleSession(RoleSession { role, session: "i-1".into() })
}

/// A side whose identity policies allow, with these limits.
fn side(boundary: Option<IdentityVerdict>, session: Option<IdentityVerdict>) -> IdentitySide {
    IdentitySide { identity: IdentityVerdict::Allow(Some(PLACE)), boundary, session }
}

fn decided_with(principal: &Principal, identity: IdentitySide, verdict: KeyPolicyVerdict) -> Decision {
    let arn = key();
    let resource = Resource::Key { arn: &arn, named: KeyNamed::ByRequest, verdict };
    decide(&Request { action: Action::Encrypt, identity, principal, resource })
}

#[test]
fn boundary_and_session_limit_what_is_not_given_to_the_caller_itself() {
    use KeyPolicyVerdict as V;
    let (silent, allow) = (Some(IdentityVerdict::NoMatch), Some(IdentityVerdict::Allow(Some(PLACE))));
    for verdict in [V::Delegated { statement: 1 }, V::AllowRole { statement: 1 }] {
        for (boundary, of_session, reason) in [
            (silent, None, DenyReason::NoBoundaryAllows),
            (silent, allow, DenyReason::NoBoundaryAllows),
            (None, silent, DenyReason::NoSessionPolicyAllows),
            (allow, silent, DenyReason::NoSessionPolicyAllows),
        ] {
            let decision = decided_with(&session(), side(boundary, of_session), verdict);
            assert_eq!(decision, Decision::Deny(reason), "{verdict:?}");
        }
        assert!(decided_with(&session(), side(allow, allow), verdict).is_allowed());
    }
    // Given to the user or the session itself, only an explicit deny takes it away.
    let itself = V::Allow { statement: 1 };
    for principal in [user(), session()] {
        for limit in [silent, allow, None] {
            assert!(decided_with(&principal, side(limit, limit), itself).is_allowed());
        }
        let denied = Some(IdentityVerdict::ExplicitDeny(PLACE));
        for (boundary, session, reason) in [
            (denied, None, DenyReason::ExplicitDenyInBoundary(PLACE)),
            (None, denied, DenyReason::ExplicitDenyInSessionPolicy(PLACE)),
        ] {
            assert_eq!(decided_with(&principal, side(boundary, session), itself), Decision::Deny(reason));
        }
    }
    // A role needs no identity policy once the key policy names it; a delegated account's user does.
    let nothing = IdentitySide::SILENT;
    assert!(decided_with(&session(), nothing, V::AllowRole { statement: 1 }).is_allowed());
    let refused = decided_with(&user(), nothing, V::Delegated { statement: 1 });
    assert_eq!(refused, Decision::Deny(DenyReason::NoIdentityPolicyAllows));
}

#[test]
fn refusals_on_foreign_keys_are_the_same_whether_there_is_a_key_or_not() {
    let arn = KeyArn { account: account(STRANGER), ..key() };
    for identity in [
        IdentitySide::SILENT,
        IdentitySide::ROOT,
        IdentitySide { identity: IdentityVerdict::ExplicitDeny(PLACE), boundary: None, session: None },
    ] {
        for verdict in [KeyPolicyVerdict::NoMatch, KeyPolicyVerdict::ExplicitDeny { statement: 0 }] {
            let resource = Resource::Key { arn: &arn, named: KeyNamed::ByRequest, verdict };
            let request = Request { action: Action::Encrypt, identity, principal: &user(), resource };
            assert_eq!(decide(&request), Decision::Deny(DenyReason::ForeignKey));
        }
    }
}

#[test]
fn an_explicit_deny_is_seen_wherever_it_is() {
    let arn = key();
    let asked = |identity, verdict| {
        let resource = Resource::Key { arn: &arn, named: KeyNamed::ByRequest, verdict };
        Request { action: Action::Encrypt, identity, principal: &user(), resource }.is_explicitly_denied()
    };
    let denied = Some(IdentityVerdict::ExplicitDeny(PLACE));
    assert!(!asked(IdentitySide::SILENT, KeyPolicyVerdict::NoMatch));
    assert!(!asked(side(None, None), KeyPolicyVerdict::Allow { statement: 0 }));
    assert!(asked(IdentitySide::SILENT, KeyPolicyVerdict::ExplicitDeny { statement: 0 }));
    assert!(asked(side(denied, None), KeyPolicyVerdict::NoMatch));
    assert!(asked(side(None, denied), KeyPolicyVerdict::NoMatch));
}

#[test]
fn services_have_their_rights_from_key_policies_alone() {
    let logs = Principal::Service("logs.amazonaws.com".into());
    let named = policy(
        r#"{"Effect":"Allow","Principal":{"Service":"logs.amazonaws.com"},"Action":"kms:*","Resource":"*"}"#,
    );
    let allowed = |principal: &Principal, action| {
        let verdict = verdict(&named, principal.clone(), action);
        let arn = key();
        let resource = Resource::Key { arn: &arn, named: KeyNamed::ByRequest, verdict };
        decide(&Request { action, identity: IdentitySide::SILENT, principal, resource }).is_allowed()
    };
    assert!(!allowed(&Principal::Service("sns.amazonaws.com".into()), Action::Encrypt));
    assert!(!allowed(&root(OWNER), Action::Encrypt));
    // Not even a service administers a key of somebody's.
    assert!(!allowed(&logs, Action::PutKeyPolicy));
    assert!(allowed(&logs, Action::Encrypt));
}

#[test]
fn the_most_direct_statement_counts() {
    let statements =
        [OWNER, "arn:aws:iam::111122223333:role/App", "arn:aws:sts::111122223333:assumed-role/App/i-1"]
            .map(|name| statement("Allow", name, "kms:*"));
    let verdict = |statements: &[String]| verdict(&policy(&statements.join(",")), session(), Action::Encrypt);
    assert_eq!(verdict(&statements[..1]), KeyPolicyVerdict::Delegated { statement: 0 });
    assert_eq!(verdict(&statements[..2]), KeyPolicyVerdict::AllowRole { statement: 1 });
    assert_eq!(verdict(&statements), KeyPolicyVerdict::Allow { statement: 2 });
    let backwards: Vec<String> = statements.iter().rev().cloned().collect();
    assert_eq!(verdict(&backwards), KeyPolicyVerdict::Allow { statement: 0 });
}

#[test]
fn a_boundary_or_a_session_limits_where_it_does_not_allow() {
    let arn = key();
    let resource =
        Resource::Key { arn: &arn, named: KeyNamed::ByRequest, verdict: KeyPolicyVerdict::NoMatch };
    let is_limited = |boundary, session| {
        let identity = IdentitySide { identity: IdentityVerdict::Allow(None), boundary, session };
        Request { action: Action::Decrypt, identity, principal: &root(OWNER), resource }.is_limited()
    };
    let (allows, silent) = (IdentityVerdict::Allow(None), IdentityVerdict::NoMatch);
    assert!(is_limited(Some(silent), None) && is_limited(None, Some(silent)));
    assert!(is_limited(Some(allows), Some(silent)) && is_limited(Some(silent), Some(allows)));
    assert!(!is_limited(None, None) && !is_limited(Some(allows), Some(allows)));
}
