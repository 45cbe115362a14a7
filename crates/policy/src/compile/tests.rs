use strongroom_types::AccountId;

use super::*;
use crate::decide::IdentityPolicies;
use crate::value::NoFacts;

const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

fn covers(element: &str) -> bool {
    let text = format!(r#"{{"Statement":{{"Effect":"Allow","Principal":"*","Action":"kms:*",{element}}}}}"#);
    KeyPolicy::parse(&text).unwrap().statements[0].resources.covers(KEY, &NoFacts)
}

#[test]
fn other_resources_have_no_effect() {
    for resource in [
        "[]",
        r#""""#,
        r#""?""#,
        r#""1234abcd-12ab-34cd-56ef-1234567890ab""#,
        r#""alias/app""#,
        r#""arn:aws:kms:us-east-1:111122223333:alias/*""#,
        r#""arn:aws:kms:us-east-1:111122223333:key/mrk-*""#,
        r#""arn:aws:kms:us-west-2:111122223333:key/*""#,
        r#""arn:aws:kms:us-east-1:444455556666:key/*""#,
        r#""arn:aws-cn:kms:us-east-1:111122223333:key/*""#,
        r#""ARN:aws:kms:us-east-1:111122223333:key/*""#,
        r#""arn:aws:kms:us-east-1:111122223333:key/1234ABCD-12ab-34cd-56ef-1234567890ab""#,
        r#""arn:aws:s3:::*""#,
    ] {
        assert!(!covers(&format!(r#""Resource":{resource}"#)), "{resource}");
    }
}

#[test]
fn the_star_and_patterns_of_this_key_have_effect() {
    for resource in [
        r#""*""#,
        r#"["arn:aws:s3:::x","*"]"#,
        r#""arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab""#,
        r#""arn:aws:kms:us-east-1:111122223333:key/*""#,
        r#""arn:aws:kms:us-east-?:*:key/1234abcd-*""#,
        r#""arn:*:kms:*:111122223333:*""#,
    ] {
        assert!(covers(&format!(r#""Resource":{resource}"#)), "{resource}");
    }
}

#[test]
fn what_is_not_to_be_matched_is_left_out() {
    for resource in [r#""*""#, r#"["x","arn:aws:kms:*"]"#] {
        assert!(!covers(&format!(r#""NotResource":{resource}"#)), "{resource}");
    }
    for resource in [r#""x""#, "[]", r#"["arn:aws:kms:*:alias/*","arn:aws:s3:::*"]"#] {
        assert!(covers(&format!(r#""NotResource":{resource}"#)), "{resource}");
    }
}

#[test]
fn a_variable_without_a_value_voids_what_it_stands_in() {
    let covers = |element: &str| {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Deny","Action":"kms:*",{element}}}}}"#
        );
        IdentityPolicy::parse(&text).unwrap().statements[0].applies(KEY, &NoFacts, &LastText::default())
    };
    assert!(!covers(r#""Resource":"arn:${aws:username}*""#));
    assert!(!covers(r#""NotResource":"arn:${aws:username}*""#));
    assert!(covers(r#""Resource":["arn:${aws:username}*","arn:aws:kms:*"]"#));
    assert!(covers(r#""Resource":"arn:${aws:username, 'aws'}:kms*""#));
}

#[test]
fn statements_never_hold_actions_that_no_key_policy_decides() {
    let text = crate::default_key_policy(Partition::Aws, AccountId::parse("111122223333").unwrap());
    let policy = KeyPolicy::parse(&text).unwrap();
    let actions = policy.statements[0].actions;
    assert!(!actions.iter().any(Action::is_identity_only));
    assert_eq!(actions.iter().count(), 58 - 11);
    let text = r#"{"Statement":{"Effect":"Allow","Principal":"*","NotAction":"kms:Encrypt"}}"#;
    let actions = KeyPolicy::parse(text).unwrap().statements[0].actions;
    assert!(!actions.contains(Action::Encrypt) && !actions.contains(Action::ListKeys));
    assert!(actions.contains(Action::Decrypt));
    assert_eq!(actions.iter().count(), 58 - 12);
}

#[test]
fn statements_are_named_by_their_ids() {
    let text = r#"{"Statement":[{"Effect":"Allow","Principal":"*"},{"Sid":"b","Effect":"Deny","NotPrincipal":{"AWS":"111122223333"}}]}"#;
    let policy = KeyPolicy::parse(text).unwrap();
    assert_eq!((policy.sid(0), policy.sid(1), policy.sid(2)), (None, Some("b"), None));
    assert_eq!(policy.principals().count(), 2);
}

#[test]
fn binding_reaches_every_user_and_role() {
    let text = r#"{"Statement":[
        {"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::111122223333:user/Bob","111122223333"]}},
        {"Effect":"Deny","NotPrincipal":{"AWS":"arn:aws:iam::111122223333:role/App"}}]}"#;
    let mut policy = KeyPolicy::parse(text).unwrap();
    policy.bind(|identity| (identity.owner_name() == "Bob").then(|| "AIDABOB".into()));
    let bindings: Vec<_> = policy
        .principals()
        .filter_map(|principal| match principal {
            PolicyPrincipal::Identity(identity) => Some(&identity.binding),
            _ => None,
        })
        .collect();
    assert_eq!(bindings, [&Binding::Id("AIDABOB".into()), &Binding::Nobody]);
}

#[test]
fn statements_of_identity_policies_have_their_sids() {
    let text = r#"{"Version":"2012-10-17","Statement":[
        {"Sid":"First","Effect":"Allow","Action":"kms:*","Resource":"*"},
        {"Effect":"Deny","Action":"kms:Sign","Resource":"*"}]}"#;
    let policy = IdentityPolicy::parse(text).unwrap();
    assert_eq!([policy.sid(0), policy.sid(1), policy.sid(2)], [Some("First"), None, None]);
}

#[test]
fn only_what_walks_over_a_text_is_counted() {
    let walks = |resource: &str, condition: &str| {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Deny","Principal":"*","Action":"kms:*",
                "Resource":[{resource}],"Condition":{{{condition}}}}}}}"#
        );
        KeyPolicy::parse(&text).unwrap().walks()
    };
    for (resource, condition, expected) in [
        (r#""*""#, "", 0),
        (r#""*a*b*","*""#, "", 0),
        (r#""arn:*:key/a""#, "", 0),
        (r#""arn:*:key/*","arn:*a*b""#, "", 2),
        (r#""*""#, r#""StringEquals":{"aws:UserAgent":["*a*b*","a"]}"#, 0),
        (r#""*""#, r#""StringLike":{"aws:UserAgent":["a*","*","*a","a?b"]}"#, 0),
        (r#""*""#, r#""StringLike":{"aws:UserAgent":["*a*","a*b*","*a"]}"#, 2),
        (r#""*""#, r#""StringEquals":{"aws:username":["${kms:EncryptionContext:a}","a"]}"#, 1),
        (r#""*""#, r#""ArnLike":{"aws:PrincipalArn":["arn:*:iam::1:x*y*","arn:*:iam:*:*:x"]}"#, 1),
        (r#""*""#, r#""Null":{"aws:UserAgent":"true"},"Bool":{"aws:SecureTransport":"true"}"#, 0),
        (r#""*""#, r#""Null":{"kms:EncryptionContext:a":"true"}"#, 1),
        (r#""*""#, r#""StringEquals":{"kms:EncryptionContext:a":["a","b"],"aws:username":"b"}"#, 3),
        (r#""*""#, r#""ForAnyValue:StringEquals":{"kms:EncryptionContextKeys":["a","b","c"]}"#, 4),
        (
            r#""*""#,
            r#""NumericEquals":{"kms:EncryptionContext:a":[1,2]},"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}"#,
            3,
        ),
    ] {
        assert_eq!(walks(resource, condition), expected, "{resource} {condition}");
    }
    let policies = |session| IdentityPolicies {
        identity: vec![identity_walking(1), identity_walking(2)],
        boundary: Some(identity_walking(4)),
        session,
    };
    assert_eq!(policies(None).walks(), 7);
    assert_eq!(policies(Some(vec![identity_walking(8)])).walks(), 15);
}

fn identity_walking(patterns: usize) -> IdentityPolicy {
    let patterns = vec![r#""*a*""#; patterns].join(",");
    IdentityPolicy::parse(&format!(
        r#"{{"Statement":{{"Effect":"Deny","Action":"*","Resource":"*","Condition":{{"StringLike":{{"aws:UserAgent":[{patterns}]}}}}}}}}"#
    ))
    .unwrap()
}
