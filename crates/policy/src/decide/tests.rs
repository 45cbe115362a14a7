use strongroom_types::{AccountId, AliasName, KeyId, Partition, RegionName};

use super::*;
use crate::default_policy::default_key_policy;

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
    policy.decide_key_policy(&Question { action, key: &key(), principal: &principal })
}

fn decided(
    principal: Principal,
    action: Action,
    identity: IdentityVerdict,
    verdict: KeyPolicyVerdict,
) -> Decision {
    let arn = key();
    let resource = Resource::Key { arn: &arn, named: KeyNamed::ByRequest, verdict };
    decide(&Request { action, identity, principal: &principal, resource })
}

const VERDICTS: [KeyPolicyVerdict; 4] = [
    KeyPolicyVerdict::Allow { statement: 1 },
    KeyPolicyVerdict::Delegated { statement: 1 },
    KeyPolicyVerdict::ExplicitDeny { statement: 1 },
    KeyPolicyVerdict::NoMatch,
];
const IDENTITIES: [IdentityVerdict; 3] =
    [IdentityVerdict::Allow, IdentityVerdict::ExplicitDeny, IdentityVerdict::NoMatch];

#[test]
fn an_explicit_deny_on_either_side_ends_it() {
    for principal in [root(OWNER), root(STRANGER), Principal::Operator] {
        for action in Action::ALL {
            for identity in IDENTITIES {
                let denied = KeyPolicyVerdict::ExplicitDeny { statement: 1 };
                if !action.is_identity_only() {
                    assert!(!decided(principal, *action, identity, denied).is_allowed());
                }
            }
            for verdict in VERDICTS {
                assert_eq!(
                    decided(principal, *action, IdentityVerdict::ExplicitDeny, verdict),
                    Decision::Deny(DenyReason::ExplicitDenyInIdentityPolicy)
                );
            }
        }
    }
}

#[test]
fn the_operator_is_allowed_nothing_on_any_key() {
    for action in Action::ALL {
        for verdict in VERDICTS {
            for identity in [IdentityVerdict::Allow, IdentityVerdict::NoMatch] {
                let decision = decided(Principal::Operator, *action, identity, verdict);
                assert_eq!(decision, Decision::Deny(DenyReason::ForeignKey));
            }
        }
        for resource in [Resource::Account, Resource::NewKey, Resource::Ciphertext] {
            for identity in IDENTITIES {
                let request =
                    Request { action: *action, identity, principal: &Principal::Operator, resource };
                assert!(!decide(&request).is_allowed());
            }
        }
    }
    assert_eq!(Principal::Operator.identity_verdict(), IdentityVerdict::NoMatch);
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
            Allow(AllowReason::KeyPolicyAndIdentity { statement: 3 }),
        ),
        (
            V::Allow { statement: 4 },
            Allow(AllowReason::KeyPolicy { statement: 4 }),
            Allow(AllowReason::KeyPolicy { statement: 4 }),
        ),
    ] {
        assert_eq!(own(IdentityVerdict::NoMatch, verdict), without_identity);
        assert_eq!(own(IdentityVerdict::Allow, verdict), with_identity);
    }
}

#[test]
fn foreign_keys_need_both_sides_and_an_action_that_crosses_accounts() {
    let foreign = |action, identity, verdict| decided(root(STRANGER), action, identity, verdict);
    let hidden = Decision::Deny(DenyReason::ForeignKey);
    for verdict in VERDICTS {
        for identity in [IdentityVerdict::Allow, IdentityVerdict::NoMatch] {
            for action in Action::ALL.iter().filter(|action| !action.is_cross_account()) {
                assert_eq!(foreign(*action, identity, verdict), hidden, "{action:?}");
            }
        }
    }
    for identity in [IdentityVerdict::Allow, IdentityVerdict::NoMatch] {
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
            foreign(Action::Encrypt, IdentityVerdict::Allow, verdict),
            Decision::Allow(AllowReason::KeyPolicyAndIdentity { statement: 5 })
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
        decide(&Request { action, identity: IdentityVerdict::Allow, principal, resource }).is_allowed()
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
            assert_eq!(by(IdentityVerdict::Allow), Decision::Allow(AllowReason::Identity));
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

#[test]
fn only_who_keeps_put_key_policy_is_not_locked_out() {
    let locks_out = |statements: &str, caller| would_lock_out(&policy(statements), &caller, &key());
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
    assert!(!would_lock_out(&default, &root(OWNER), &key()));
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
