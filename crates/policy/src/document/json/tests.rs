use proptest::prelude::*;

use super::*;

fn refusal(text: &str) -> (Problem, Place) {
    match parse(text) {
        Err(PolicyError::Malformed { problem, at }) => (problem, at),
        other => panic!("{text}: {other:?}"),
    }
}

fn string(text: &str) -> String {
    match parse(text).unwrap().content {
        Content::String(string) => string.into_owned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_not_json_is_refused() {
    for text in [
        "",
        " ",
        "{",
        "}",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "{\"a\" 1}",
        "{\"a\":1 \"b\":2}",
        "{1:2}",
        "[1]]",
        "1 2",
        "{} {}",
        "\"",
        "\"a",
        "\"\t\"",
        "\"\n\"",
        "\"\0\"",
        "tru",
        "truex",
        "True",
        "nul",
        "nulll",
        "fals",
        "NaN",
        "Infinity",
        "-",
        "+1",
        "01",
        "-01",
        "1.",
        ".5",
        "1e",
        "1e+",
        "1.e5",
        "0x10",
        "1_000",
        "\u{feff}{}",
        "{}\u{feff}",
        "\u{a0}1",
        "1\u{c}",
        "// x\n1",
        "/* x */ 1",
    ] {
        assert!(parse(text).is_err(), "{text:?}");
        assert!(serde_json::from_str::<serde_json::Value>(text).is_err(), "{text:?}");
    }
}

#[test]
fn bad_escapes_are_refused() {
    for text in [
        r#""\x41""#,
        r#""\""#,
        r#""\u""#,
        r#""\u12""#,
        r#""\u12g4""#,
        r#""\u+123""#,
        r#""\ud800""#,
        r#""\udc00""#,
        r#""\ud800\n""#,
        r#""\ud800\u0041""#,
        r#""\ud800\ud800""#,
        r#""\ud800x""#,
        r#""\U0041""#,
        r#""\'""#,
        r#""\é""#,
    ] {
        let (problem, _) = refusal(text);
        assert!(matches!(problem, Problem::InvalidEscape | Problem::UnexpectedEnd), "{text}: {problem}");
    }
    assert_eq!(
        refusal(r#"["a", "b\q"]"#),
        (Problem::InvalidEscape, Place::new(r#"["a", "b\q"]"#, 8, &Path::Root.index(1)))
    );
}

#[test]
fn a_member_that_appears_twice_is_refused_however_it_is_spelled() {
    for (text, byte, path) in [
        (r#"{"a":1,"a":1}"#, 7, ""),
        (r#"{"a":1,"b":2,"a":3}"#, 13, ""),
        (r#"{"a":1,"\u0061":1}"#, 7, ""),
        (r#"{"x":[{"a":1,"a":2}]}"#, 13, "x[0]"),
        (r#"{"":1,"":2}"#, 6, ""),
    ] {
        let (problem, at) = refusal(text);
        assert!(matches!(problem, Problem::DuplicateElement(_)), "{text}: {problem}");
        assert_eq!((at.byte, at.path.as_str()), (byte, path), "{text}");
    }
    assert!(parse(r#"{"a":{"a":1},"A":[{"a":1},{"a":1}]}"#).is_ok());
}

#[test]
fn nesting_ends_at_its_limit() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(refusal(&nested(JSON_DEPTH_MAX + 1)).0, Problem::TooDeep);
    assert_eq!(refusal(&"[".repeat(100_000)).0, Problem::TooDeep);
    assert_eq!(refusal(&"{\"a\":".repeat(100_000)).0, Problem::TooDeep);
    assert_eq!(refusal(&"[{\"a\":".repeat(50_000)).0, Problem::TooDeep);
    assert!(parse(&nested(JSON_DEPTH_MAX)).is_ok());
}

#[test]
fn refusals_say_where() {
    let (problem, at) = refusal("{\n  \"Statement\": [{\"Sid\": nope}]\n}");
    assert_eq!(problem, Problem::UnexpectedCharacter('o'));
    assert_eq!(at, Place { byte: 27, line: 2, column: 26, path: "Statement[0].Sid".to_owned() });
    assert_eq!(refusal("[1, é]").0, Problem::UnexpectedCharacter('é'));
    assert_eq!(refusal("[1, ").0, Problem::UnexpectedEnd);
}

#[test]
fn values_know_their_kind_and_place() {
    let value = parse(r#" {"a": [1, -0.5e+3, true, false, null, "x"]} "#).unwrap();
    assert_eq!((value.byte, value.content.kind()), (1, "an object"));
    let Content::Object(members) = value.content else { panic!() };
    assert_eq!((members[0].byte, &*members[0].name, members[0].value.byte), (2, "a", 7));
    let Content::Array(values) = &members[0].value.content else { panic!() };
    let found: Vec<_> = values.iter().map(|value| (value.byte, value.content.kind())).collect();
    let expected = [
        (8, "a number"),
        (11, "a number"),
        (20, "a boolean"),
        (26, "a boolean"),
        (33, "null"),
        (39, "a string"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn numbers_are_kept_as_they_stand() {
    for text in ["0", "-0", "10", "0.50", "1e5", "1E5", "-1.5e-05", "1E+5"] {
        assert_eq!(parse(text).unwrap().content, Content::Number(text));
    }
}

#[test]
fn strings_are_unescaped() {
    assert_eq!(string(r#""""#), "");
    assert_eq!(string(r#""plain é""#), "plain é");
    assert_eq!(string(r#""\"\\\/\b\f\n\r\tx""#), "\"\\/\u{8}\u{c}\n\r\tx");
    assert_eq!(string(r#""a\u0041\u00e9\uD83D\uDE00z""#), "aAé😀z");
}

/// Accepted, refused, or no opinion: serde_json stops at a number that no float can hold, and does not look further.
fn serde_json_accepts(text: &str) -> Option<bool> {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(_) => Some(true),
        Err(error) if error.to_string().starts_with("number out of range") => None,
        Err(_) => Some(false),
    }
}

fn agree(text: &str) {
    match parse(text) {
        Ok(_) => assert_ne!(serde_json_accepts(text), Some(false), "only we accept {text:?}"),
        Err(PolicyError::Malformed { problem: Problem::DuplicateElement(_) | Problem::TooDeep, .. }) => {}
        Err(error) => assert_ne!(serde_json_accepts(text), Some(true), "only we refuse {text:?}: {error}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn serde_json_agrees_on_texts_that_look_like_json(text in r#"([\[\]{}:, \n]|"[ab\\u/01é]{0,3}"|[-+.eE0-9]{1,4}|true|null|"a"){0,9}"#) {
        agree(&text);
    }

    #[test]
    fn serde_json_agrees_on_strings(text in r#""([a-z]|\\["\\/bfnrtuU]|\\u[0dD][0-9a-fA-F]{3}|\\u[dD][89a-fA-F][0-9a-f]{2}|[\t é"]){0,6}""#) {
        agree(&text);
    }

    #[test]
    fn serde_json_agrees_on_numbers(text in r"-?[0-9.eE+-]{1,7}") {
        agree(&text);
    }

    #[test]
    fn serde_json_reads_the_same_strings(content in any::<String>()) {
        let text = serde_json::to_string(&content).unwrap();
        prop_assert_eq!(string(&text), content);
    }

    #[test]
    fn any_text_gives_an_answer(text in any::<String>()) {
        agree(&text);
    }
}
