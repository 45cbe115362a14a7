use strongroom_types::EncryptionContext;

use super::*;
use crate::document::{Document, Effect, Kind};
use crate::glob::LastText;
use crate::key::Known;
use crate::value::{Facts, Found, Many, Value as Fact};

/// One key with its values, and one pair of an encryption context.
struct Having<'f>(&'f str, Found<'f>, EncryptionContext);

impl Facts for Having<'_> {
    fn find<'a>(&'a self, key: &'a ConditionKey) -> Found<'a> {
        match key {
            ConditionKey::Known(known) if known.name() == self.0 => self.1,
            _ => Found::Absent,
        }
    }

    fn encryption_context(&self) -> Option<&EncryptionContext> {
        Some(&self.2)
    }
}

fn parse(condition: &str) -> Result<Document, PolicyError> {
    let text = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":"*","Condition":{condition}}}}}"#
    );
    Document::parse(&text, Kind::Key)
}

fn holds_for(condition: &str, facts: &dyn Facts, effect: Effect) -> bool {
    let document = parse(condition).unwrap_or_else(|error| panic!("{condition}: {error}"));
    document.statements[0]
        .conditions
        .iter()
        .all(|condition| condition.holds(facts, effect, &LastText::default()))
}

fn holds(condition: &str, key: &str, found: Found<'_>) -> bool {
    holds_for(condition, &Having(key, found, EncryptionContext::default()), Effect::Allow)
}

fn in_context(condition: &str, pairs: &[(&str, &str)], effect: Effect) -> bool {
    let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let having = Having("", Found::Absent, EncryptionContext::new(pairs).unwrap());
    holds_for(condition, &having, effect)
}

#[test]
fn what_is_no_condition_is_refused_with_its_place() {
    for (condition, path) in [
        ("null", "Statement.Condition"),
        ("[]", "Statement.Condition"),
        (r#"{"StringEquals":"x"}"#, "Statement.Condition.StringEquals"),
        (r#"{"Equals":{}}"#, "Statement.Condition"),
        (r#"{"STRINGEQUALS":{}}"#, "Statement.Condition"),
        (r#"{"ForEachValue:StringEquals":{}}"#, "Statement.Condition"),
        (r#"{"ForAnyValue:ForAnyValue:StringEquals":{}}"#, "Statement.Condition"),
        (r#"{"StringEqualsIfExistsIfExists":{}}"#, "Statement.Condition"),
        (r#"{"NullIfExists":{}}"#, "Statement.Condition"),
        (r#"{"ForAnyValue:Null":{}}"#, "Statement.Condition"),
        (r#"{"BinaryNotEquals":{}}"#, "Statement.Condition"),
        (r#"{"StringEquals":{"SourceIp":"x"}}"#, "Statement.Condition.StringEquals"),
        (r#"{"StringEquals":{"aws:x":null}}"#, "Statement.Condition.StringEquals.aws:x"),
        (r#"{"StringEquals":{"aws:x":["a",{}]}}"#, "Statement.Condition.StringEquals.aws:x[1]"),
        (r#"{"StringEquals":{"aws:x":"${y}"}}"#, "Statement.Condition.StringEquals.aws:x"),
        (r#"{"ArnLike":{"aws:x":"arn:${"}}"#, "Statement.Condition.ArnLike.aws:x"),
        (r#"{"StringEquals":{"kms:EncryptionContext:${x":""}}"#, "Statement.Condition.StringEquals"),
        (r#"{"NumericEquals":{"aws:x":"1e3"}}"#, "Statement.Condition.NumericEquals.aws:x"),
        (r#"{"NumericEquals":{"aws:x":"${aws:y}"}}"#, "Statement.Condition.NumericEquals.aws:x"),
        (r#"{"DateEquals":{"aws:x":"tomorrow"}}"#, "Statement.Condition.DateEquals.aws:x"),
        (r#"{"Bool":{"aws:x":"yes"}}"#, "Statement.Condition.Bool.aws:x"),
        (r#"{"Null":{"aws:x":1}}"#, "Statement.Condition.Null.aws:x"),
        (r#"{"IpAddress":{"aws:x":"10.0.0.0/40"}}"#, "Statement.Condition.IpAddress.aws:x"),
        (r#"{"BinaryEquals":{"aws:x":"AB=="}}"#, "Statement.Condition.BinaryEquals.aws:x"),
    ] {
        match parse(condition) {
            Err(PolicyError::Malformed { at, .. }) => assert_eq!(at.path, path, "{condition}"),
            other => panic!("{condition}: {other:?}"),
        }
    }
}

#[test]
fn each_operator_refuses_and_allows() {
    let text = Found::text;
    let one = Found::One;
    let cases: &[(&str, &str, Found<'_>, Found<'_>)] = &[
        ("StringEquals", r#"["a*","b"]"#, text("ab"), text("a*")),
        ("StringNotEquals", r#"["a","b"]"#, text("b"), text("B")),
        ("StringEqualsIgnoreCase", r#""Ab""#, text("Abc"), text("aB")),
        ("StringNotEqualsIgnoreCase", r#""Ab""#, text("aB"), text("a")),
        ("StringLike", r#""a*c?""#, text("A-cd"), text("a-cd")),
        ("StringNotLike", r#""a*""#, text("ab"), text("b")),
        (
            "ArnEquals",
            r#""arn:aws:iam::*:user/*""#,
            text("arn:aws:iam::1:role/x"),
            text("arn:aws:iam::1:user/x"),
        ),
        ("ArnLike", r#""arn:aws:iam::*:user/*""#, text("user/x"), text("arn:aws:iam::1:user/x")),
        ("ArnNotEquals", r#""arn:a:b:c:d:*""#, text("arn:a:b:c:d:e"), text("arn:a:b:c:x:e")),
        ("ArnNotLike", r#""arn:a:b:c:d:*""#, text("arn:a:b:c:d:e"), text("e")),
        ("NumericEquals", "7", text("7.1"), text("7.0")),
        ("NumericNotEquals", "7", one(Fact::Integer(7)), one(Fact::Integer(8))),
        ("NumericLessThan", "7", one(Fact::Integer(7)), one(Fact::Integer(6))),
        ("NumericLessThanEquals", "7", one(Fact::Integer(8)), one(Fact::Integer(7))),
        ("NumericGreaterThan", "7", one(Fact::Integer(7)), one(Fact::Integer(8))),
        ("NumericGreaterThanEquals", "7", text("x"), one(Fact::Integer(7))),
        ("DateEquals", r#""1970-01-01T00:00:07Z""#, text("8"), one(Fact::Integer(7))),
        ("DateNotEquals", r#""7""#, one(Fact::Integer(7)), one(Fact::Integer(8))),
        ("DateLessThan", r#""2000""#, text("2001"), text("1999-12-31T23:59:59Z")),
        ("DateLessThanEquals", r#""2000""#, text("2001"), text("2000")),
        ("DateGreaterThan", r#""2000""#, text("2000"), text("2000-01-01T00:00:01Z")),
        ("DateGreaterThanEquals", r#""2000""#, one(Fact::Bool(true)), text("2000")),
        ("Bool", "true", one(Fact::Bool(false)), one(Fact::Bool(true))),
        ("Bool", r#""FALSE""#, text("true"), text("false")),
        ("BinaryEquals", r#""AAA=""#, text("AAAA"), text("AAA=")),
        (
            "IpAddress",
            r#"["10.0.0.0/8","::1"]"#,
            text("11.0.0.1"),
            one(Fact::Ip("10.9.9.9".parse().unwrap())),
        ),
        ("NotIpAddress", r#""10.0.0.0/8""#, text("10.0.0.1"), text("::1")),
        ("Null", "true", text(""), Found::Absent),
        ("Null", r#""false""#, Found::Absent, text("")),
    ];
    for (operator, value, refused, allowed) in cases {
        let condition = format!(r#"{{"{operator}":{{"aws:SourceArn":{value}}}}}"#);
        assert!(!holds(&condition, "aws:SourceArn", *refused), "{condition} {refused:?}");
        assert!(holds(&condition, "aws:SourceArn", *allowed), "{condition} {allowed:?}");
        if *operator == "Null" {
            continue;
        }
        // Nothing to compare: false, but for a negation and for what is asked only if it is there.
        let is_negated = operator.contains("Not");
        assert_eq!(holds(&condition, "aws:SourceArn", Found::Absent), is_negated, "{condition}");
        let condition = format!(r#"{{"{operator}IfExists":{{"aws:SourceArn":{value}}}}}"#);
        assert!(!holds(&condition, "aws:SourceArn", *refused), "{condition}");
        assert!(holds(&condition, "aws:SourceArn", *allowed), "{condition}");
        assert!(holds(&condition, "aws:SourceArn", Found::Absent), "{condition}");
    }
}

#[test]
fn sets_are_asked_for_all_and_for_any_of_their_values() {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let asked = |operator: &str, wanted: &str, values: &[&str]| {
        let values = texts(values);
        let condition = format!(r#"{{"{operator}":{{"aws:TagKeys":{wanted}}}}}"#);
        holds(&condition, "aws:TagKeys", Found::Many(Many::Texts(&values)))
    };
    let wanted = r#"["a","b"]"#;
    for (operator, refused, allowed) in [
        ("ForAllValues:StringEquals", &["a", "c"][..], &[&["a", "b"][..], &["a"], &[], &[""]][..]),
        ("ForAnyValue:StringEquals", &["c", "d"], &[&["a", "c"], &["b"]]),
        ("ForAnyValue:StringEquals", &[], &[&["a"]]),
        ("ForAnyValue:StringEquals", &[""], &[&["a"]]),
        ("ForAllValues:StringNotEquals", &["a", "c"], &[&["c"], &[]]),
        ("ForAnyValue:StringNotEquals", &["a", "b"], &[&["a", "c"]]),
        ("ForAnyValue:StringNotEquals", &[], &[&["c"]]),
        ("ForAnyValue:StringLikeIfExists", &["c"], &[&[], &["a"]]),
        // Asked as if there were one value, several must all pass.
        ("StringEquals", &["a", "c"], &[&["a"], &["a", "b"]]),
        ("StringNotEquals", &["a", "c"], &[&["c"], &["c", "d"], &[]]),
    ] {
        assert!(!asked(operator, wanted, refused), "{operator} {refused:?}");
        for allowed in allowed {
            assert!(asked(operator, wanted, allowed), "{operator} {allowed:?}");
        }
    }
}

#[test]
fn encryption_contexts_are_found_in_whatever_case_their_keys_are() {
    let equals = r#"{"StringEquals":{"kms:EncryptionContext:Dept":"hr"}}"#;
    for pairs in [&[][..], &[("Dept", "HR")], &[("Department", "hr")], &[("Dep", "hr")], &[("x", "hr")]] {
        assert!(!in_context(equals, pairs, Effect::Allow), "{pairs:?}");
    }
    for pairs in [&[("Dept", "hr")][..], &[("dept", "hr"), ("x", "y")], &[("DEPT", "hr")]] {
        assert!(in_context(equals, pairs, Effect::Allow), "{pairs:?}");
    }
    // A star is a star.
    let star = r#"{"StringEquals":{"kms:EncryptionContext:De*":"hr"}}"#;
    assert!(!in_context(star, &[("Dept", "hr")], Effect::Allow));
    assert!(in_context(star, &[("de*", "hr")], Effect::Allow));
    // Two keys that differ in case alone: no way to allow with one what the other would refuse, nor to escape a Deny.
    let two = &[("Dept", "hr"), ("dept", "it")];
    assert!(!in_context(equals, two, Effect::Allow));
    assert!(in_context(equals, two, Effect::Deny));
    let differs = r#"{"StringNotEquals":{"kms:EncryptionContext:Dept":"hr"}}"#;
    assert!(!in_context(differs, two, Effect::Allow));
    assert!(in_context(differs, two, Effect::Deny));
    // Empty is not absent.
    let absent = r#"{"Null":{"kms:EncryptionContext:Dept":"true"}}"#;
    assert!(!in_context(absent, &[("dept", "")], Effect::Allow));
    assert!(in_context(absent, &[("other", "")], Effect::Allow));
}

#[test]
fn variables_without_a_value_match_nothing() {
    let asked = |operator: &str, wanted: &str, effect| {
        let condition = format!(r#"{{"{operator}":{{"aws:SourceArn":{wanted}}}}}"#);
        let having = Having("aws:SourceArn", Found::text("a"), EncryptionContext::default());
        holds_for(&condition, &having, effect)
    };
    for effect in [Effect::Allow, Effect::Deny] {
        assert!(!asked("StringEquals", r#""${aws:username}""#, effect));
        assert!(!asked("StringNotEquals", r#""${aws:username}""#, effect));
        assert!(asked("StringEquals", r#"["${aws:username}","a"]"#, effect));
        assert!(!asked("StringNotEquals", r#"["${aws:username}","b"]"#, effect));
        assert!(asked("StringEquals", r#""${aws:username, 'a'}""#, effect));
        assert!(asked("StringNotEquals", r#""${aws:username, 'b'}""#, effect));
        assert!(asked("StringEquals", r#""${aws:SourceArn}""#, effect));
    }
}

#[test]
fn every_known_key_can_be_asked_for() {
    for known in Known::ALL {
        let condition = format!(r#"{{"StringEquals":{{"{}":"a"}}}}"#, known.name().to_ascii_lowercase());
        assert!(!holds(&condition, known.name(), Found::text("b")), "{condition}");
        assert!(holds(&condition, known.name(), Found::text("a")), "{condition}");
    }
}
