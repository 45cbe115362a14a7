//! Any text gives a policy or a refusal that says where, and never a panic.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use strongroom_policy::{
    Action, IdentityPolicy, KeyPolicy, NoFacts, PolicyError, Principal, Problem, Question, default_key_policy,
};
use strongroom_types::{AccountId, KeyArn, KeyId, Partition, RegionName};

fn account() -> AccountId {
    AccountId::parse("111122223333").unwrap()
}

fn key() -> KeyArn {
    KeyArn {
        region: RegionName::parse("us-east-1").unwrap(),
        account: account(),
        key_id: KeyId::parse("1234abcd-12ab-34cd-56ef-1234567890ab").unwrap(),
    }
}

/// Valid policies that together use every element.
fn valid_policies() -> Vec<String> {
    vec![
        default_key_policy(Partition::Aws, account()),
        r#"{"Version":"2008-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}}"#.to_owned(),
        r#"{"Version":"2012-10-17","Statement":[
            {"Sid":"c","Effect":"Deny","NotPrincipal":{"AWS":"arn:aws:iam::111122223333:role/team/App"},"NotAction":"kms:Describe*",
             "NotResource":"arn:aws:kms:*:*:key/${aws:username, 'x'}","Condition":{
              "StringLike":{"kms:EncryptionContext:${aws:username}":["a*","${aws:PrincipalTag/t}"]},
              "ForAnyValue:StringEqualsIfExists":{"kms:ResourceAliases":"alias/a"},"NumericLessThan":{"kms:RotationPeriodInDays":90.5},
              "DateLessThan":{"aws:CurrentTime":"2030-01-01T00:00:00Z"},"Bool":{"aws:SecureTransport":true},"Null":{"aws:TagKeys":"false"},
              "IpAddress":{"aws:SourceIp":["10.0.0.0/8","::1"]},"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/*"},
              "BinaryEquals":{"aws:x":"AAA="}}}]}"#.to_owned(),
        r#"{"Id":"\u00e9","Statement":[
            {"Sid":"a","Effect":"Allow","Principal":{"AWS":["111122223333","arn:aws:iam::444455556666:root"],
             "Service":["logs.amazonaws.com"]},"Action":["kms:Encrypt","kms:Re*"],"Resource":["*","arn:aws:kms:*:*:key/?"]},
            {"Sid":"b","Effect":"Deny","Principal":{"AWS":"arn:aws:iam::111122223333:user/Bob"},"Action":"kms:*",
             "Resource":"arn:aws:kms:us-east-1:111122223333:key/*"}]}"#.to_owned(),
    ]
}

/// A change to the characters of a text: what is taken out at a place, and what is put there.
fn mutation() -> impl Strategy<Value = (prop::sample::Index, usize, String)> {
    let piece = prop_oneof![
        Just(String::new()),
        "[\\[\\]{}:,\"\\\\ ]",
        "[a-zA-Z0-9*?$]{1,3}",
        any::<char>().prop_map(String::from),
        Just(r#""Condition":{},"#.to_owned()),
        Just("${aws:username".to_owned()),
        Just(r#""StringEquals":{"aws:x":1},"#.to_owned()),
        Just(r#""Effect":"Allow","#.to_owned()),
        Just("\\u0045".to_owned()),
        Just("null".to_owned()),
    ];
    (any::<prop::sample::Index>(), 0..4_usize, piece)
}

fn mutated(text: &str, mutations: &[(prop::sample::Index, usize, String)]) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    for (at, removed, put) in mutations {
        let start = at.index(characters.len() + 1);
        let end = characters.len().min(start + removed);
        characters.splice(start..end, put.chars());
    }
    characters.into_iter().collect()
}

/// Parses; what is accepted decides, and what is refused names a place inside the text.
fn check(text: &str) {
    if let Err(PolicyError::Malformed { at, .. }) = IdentityPolicy::parse(text) {
        assert!(at.byte <= text.len() && text.is_char_boundary(at.byte), "{at}");
    }
    match KeyPolicy::parse(text) {
        Ok(policy) => {
            for action in Action::ALL {
                let principal = Principal::AccountRoot(account());
                let _ = policy.decide_key_policy(&Question {
                    action: *action,
                    facts: &NoFacts,
                    key: &key(),
                    key_text: &key().to_string(),
                    principal: &principal,
                });
            }
        }
        Err(error @ PolicyError::TooLong { .. }) => panic!("{error}: the parser has no limit of its own"),
        Err(PolicyError::InvalidPrincipal { at, .. } | PolicyError::Malformed { at, .. }) => {
            assert!(at.byte <= text.len() && text.is_char_boundary(at.byte), "{at}");
            assert_eq!(at.line, text[..at.byte].matches('\n').count() + 1);
        }
    }
}

#[test]
fn deep_nesting_is_refused_without_overflow() {
    for opening in ["[", "{\"a\":", "{\"Statement\":[", "{\"Statement\":{\"Condition\":{\"a\":"] {
        let text = opening.repeat(100_000);
        let Err(PolicyError::Malformed { problem, at }) = KeyPolicy::parse(&text) else {
            panic!("{opening}")
        };
        assert_eq!(problem, Problem::TooDeep);
        assert!(at.path.len() < 2_000, "{}", at.path.len());
    }
}

#[test]
fn every_beginning_of_a_valid_policy_is_refused() {
    for text in valid_policies() {
        for (end, _) in text.char_indices() {
            assert!(KeyPolicy::parse(&text[..end]).is_err(), "{}", &text[..end]);
            check(&text[..end]);
        }
        assert!(KeyPolicy::parse(&text).is_ok(), "{text}");
    }
}

#[test]
fn a_large_policy_is_read() {
    let statement =
        r#"{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:*","Resource":"arn:x"}"#;
    let text = format!(r#"{{"Statement":[{}]}}"#, vec![statement; 10_000].join(","));
    assert_eq!(KeyPolicy::parse(&text).unwrap().principals().count(), 10_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn mutated_policies_never_panic(which in 0..4_usize, mutations in prop::collection::vec(mutation(), 0..6)) {
        check(&mutated(&valid_policies()[which], &mutations));
    }

    #[test]
    fn a_repeated_member_is_refused_wherever_it_is(which in 0..4_usize, member in any::<prop::sample::Index>()) {
        // Every `"name":` of these texts is repeated with a value of its own, in front of the original.
        let text = &valid_policies()[which];
        let names: Vec<_> = ["Version", "Id", "Statement", "Sid", "Effect", "Principal", "AWS", "Service", "Action", "Resource", "NotPrincipal", "Condition", "StringLike", "aws:SourceIp"]
            .iter()
            .flat_map(|name| text.match_indices(&format!("\"{name}\"")).map(|(at, _)| (at, *name)).collect::<Vec<_>>())
            .filter(|(at, name)| text[at + name.len() + 2..].trim_start().starts_with(':'))
            .collect();
        let (at, name) = names[member.index(names.len())];
        let doubled = format!("{}\"{name}\":0,{}", &text[..at], &text[at..]);
        let refused = matches!(
            KeyPolicy::parse(&doubled),
            Err(PolicyError::Malformed { problem: Problem::DuplicateElement(_), .. })
        );
        prop_assert!(refused, "{}", doubled);
    }
}
