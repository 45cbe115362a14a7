use proptest::prelude::*;

use super::*;
use crate::value::{Found, NoFacts};
use strongroom_types::EncryptionContext;

fn matches(pattern: &str, text: &str) -> bool {
    Pattern::glob(pattern, Case::Exact).matches_literally(text.as_bytes())
}

fn steps(pattern: &str, text: &str) -> usize {
    let mut steps = 0;
    Pattern::glob(pattern, Case::Exact).run(text.as_bytes(), &[], || steps += 1);
    steps
}

/// The definition itself, slow and short.
fn literally_matches(pattern: &[char], text: &[char]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        (['*', rest @ ..], _) => (0..=text.len()).any(|n| literally_matches(rest, &text[n..])),
        (['?', rest @ ..], [_, text @ ..]) => literally_matches(rest, text),
        ([wanted, rest @ ..], [character, text @ ..]) => wanted == character && literally_matches(rest, text),
        _ => false,
    }
}

/// One user's name, and nothing else.
struct Named(&'static str);

impl Facts for Named {
    fn find<'a>(&'a self, key: &'a ConditionKey) -> Found<'a> {
        match key {
            ConditionKey::Known(crate::key::Known::UserName) => Found::text(self.0),
            _ => Found::Absent,
        }
    }

    fn encryption_context(&self) -> Option<&EncryptionContext> {
        None
    }
}

const FULL: Syntax = Syntax { variables: true, wildcards: true };

#[test]
fn what_differs_does_not_match() {
    for (pattern, text) in [
        ("", "a"),
        ("a", ""),
        ("a", "A"),
        ("a", "ab"),
        ("b", "ab"),
        ("?", ""),
        ("??", "a"),
        ("??", "é"),
        ("*a", "ab"),
        ("a*b", "a"),
        ("a*b*c", "acb"),
        ("*ab*ab", "ab"),
        ("ab*ba", "aba"),
        ("*é", "\u{a9}"),
    ] {
        assert!(!matches(pattern, text), "{pattern} {text}");
    }
}

#[test]
fn stars_and_question_marks_match() {
    for (pattern, text) in [
        ("", ""),
        ("*", ""),
        ("***", "a"),
        ("a", "a"),
        ("a?c", "abc"),
        ("a?c", "aéc"),
        ("?", "𝄞"),
        ("a*", "a"),
        ("*ab", "aab"),
        ("*ab*b", "xabyb"),
        ("a**c", "abbbc"),
        ("*?", "a"),
        ("*?é", "éé"),
    ] {
        assert!(matches(pattern, text), "{pattern} {text}");
    }
}

#[test]
fn case_counts_unless_it_is_to_be_ignored() {
    assert!(!Pattern::glob("kms:Encrypt", Case::Exact).matches_literally(b"kms:encrypt"));
    assert!(Pattern::glob("KMS:enc*", Case::Ignored).matches_literally(b"kms:ENCRYPT"));
    // Neither the Kelvin sign nor a dotless i is a letter of the alphabet here.
    assert!(!Pattern::glob("\u{212a}ms", Case::Ignored).matches_literally(b"kms"));
}

#[test]
fn adversarial_patterns_take_few_steps() {
    let arn = "arn:aws:kms:us-east-1:111122223333:key/aaaaaaaa-aaaa-4aaa-aaaa-aaaaaaaaaaab";
    let within_the_limit = |unit: &str| unit.repeat(32_768 / unit.len());
    for pattern in [
        within_the_limit("*a"),
        within_the_limit("*"),
        within_the_limit("*?"),
        within_the_limit("a*"),
        format!("{}c", within_the_limit("*")),
        format!("{}c", "*a".repeat(20)),
        format!("*{}c", "a".repeat(10)),
        format!("*{}c", "*?".repeat(40)),
        format!("*{}c*", "a?".repeat(9)),
    ] {
        let steps = steps(&pattern, arn);
        assert!(steps <= arn.len() + 1, "{steps} steps for {}", &pattern[..20]);
    }
    assert_eq!(steps(&within_the_limit("*a"), arn), 0);
    // The longest text there is, an encryption context's value.
    let text = "a".repeat(8192);
    assert!(steps(&format!("*{}b*", "a".repeat(4000)), &text) <= text.len() + 1);
}

#[test]
fn malformed_variables_are_refused() {
    let parse = |text: &str| Pattern::parse(text, Case::Exact, FULL).map(|_| ());
    for text in
        ["${", "${}", "${username}", "x${aws:username", "${aws:username, x}", "${aws:username,}", "${:x}"]
    {
        assert_eq!(parse(text), Err(VariableError::Malformed), "{text}");
    }
    let at_the_limit = "${aws:username}".repeat(POLICY_VARIABLES_PER_TEXT_MAX);
    assert_eq!(parse(&format!("{at_the_limit}${{aws:userid}}")), Err(VariableError::TooMany));
    assert_eq!(parse(&at_the_limit), Ok(()));
    // In the older version of the language it is text like any other.
    let syntax = Syntax { variables: false, wildcards: true };
    let literal = Pattern::parse("${aws:username}", Case::Exact, syntax).unwrap();
    assert!(literal.matches_literally(b"${aws:username}"));
}

#[test]
fn variables_are_replaced_by_literal_text() {
    let pattern = Pattern::parse("home/${AWS:UserName}/*", Case::Exact, FULL).unwrap();
    assert_eq!(pattern.matches(b"home/bob/x", &NoFacts), None);
    assert_eq!(pattern.matches(b"home/eve/x", &Named("bob")), Some(false));
    assert_eq!(pattern.matches(b"home/bob/x", &Named("bob")), Some(true));
    // A name is no pattern.
    assert_eq!(pattern.matches(b"home/bob/x", &Named("*")), Some(false));
    assert_eq!(pattern.matches(b"home/*/x", &Named("*")), Some(true));
    let default = Pattern::parse("${aws:username, 'no, body'}", Case::Exact, FULL).unwrap();
    assert_eq!(default.matches(b"no, body", &NoFacts), Some(true));
    assert_eq!(default.matches(b"bob", &Named("bob")), Some(true));
    let escaped = Pattern::parse("${*}${?}${$}", Case::Exact, FULL).unwrap();
    assert_eq!(escaped.matches(b"abc", &NoFacts), Some(false));
    assert_eq!(escaped.matches(b"*?$", &NoFacts), Some(true));
    // At the end of the text, and ignoring case.
    let end = Pattern::parse("*${aws:username}", Case::Ignored, FULL).unwrap();
    assert_eq!(end.matches(b"x-BOB", &Named("bob")), Some(true));
    assert_eq!(end.matches(b"x-BOBY", &Named("bob")), Some(false));
}

#[test]
fn arns_are_compared_part_by_part() {
    let matches =
        |pattern, text| ArnPattern::parse(pattern, FULL).unwrap().matches(text, &Named("bob")).unwrap();
    let user = "arn:aws:iam::111122223333:user/bob";
    for (pattern, text) in [
        ("arn:aws:*:user/bob", user),
        ("arn:*", user),
        ("arn:aws:iam::111122223333", user),
        ("arn:aws:iam::111122223333:user", user),
        ("ARN:aws:iam::111122223333:user/bob", user),
        ("*", "bob"),
        ("*:*:*:*:*:*", "a:b"),
        ("", ""),
    ] {
        assert!(!matches(pattern, text), "{pattern} {text}");
    }
    for (pattern, text) in [
        ("arn:aws:iam::111122223333:user/bob", user),
        ("arn:*:iam:*:*:user/*", user),
        ("*:*:*:*:*:*", user),
        ("*", user),
        ("arn:aws:iam::111122223333:user/${aws:username}", user),
        ("arn:aws:sns:*:*:a:b:*", "arn:aws:sns:us-east-1:111122223333:a:b:c"),
    ] {
        assert!(matches(pattern, text), "{pattern} {text}");
    }
}

proptest! {
    #[test]
    fn agrees_with_the_definition(pattern in "[abé*?]{0,10}", text in "[abé]{0,12}") {
        let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
        prop_assert_eq!(matches(&pattern, &text), literally_matches(&p, &t));
    }

    /// Asked about one text after another, some of them twice.
    #[test]
    fn remembering_letters_changes_no_answer(
        patterns in prop::collection::vec(("[abABé_@1*?]{0,10}", any::<bool>()), 1..4),
        texts in prop::collection::vec("[abABé_@1]{0,12}", 1..3),
    ) {
        let last = LastText::default();
        for (pattern, is_exact) in patterns {
            let pattern = Pattern::glob(&pattern, if is_exact { Case::Exact } else { Case::Ignored });
            for text in texts.iter().flat_map(|text| [text, text]) {
                let answer = pattern.matches(text.as_bytes(), &NoFacts);
                prop_assert_eq!(pattern.matches_text(text, &NoFacts, &last), answer, "{:?} {}", pattern, text);
            }
        }
    }
}

#[test]
fn letters_decide_nothing_where_a_variable_has_no_value() {
    let pattern = Pattern::parse("*x*${aws:username}*y*", Case::Exact, FULL).unwrap();
    let last = LastText::default();
    assert_eq!(pattern.matches_text("abc", &NoFacts, &last), None);
    assert_eq!(pattern.matches_text("abc", &Named("b"), &last), Some(false));
    assert_eq!(pattern.matches_text("xby", &Named("b"), &last), Some(true));
}

#[test]
fn missing_letters_spare_the_walk_only_past_one_star() {
    let last = LastText::default();
    let matches =
        |pattern: &str, case, text| Pattern::glob(pattern, case).matches_text(text, &NoFacts, &last);
    for (pattern, case, text, matched) in [
        ("*a*c*", Case::Exact, "ab", false),
        ("*a*B*", Case::Exact, "ab", false),
        ("*b*a*", Case::Exact, "ab", false),
        ("*a*b*", Case::Exact, "ab", true),
        ("*A*b*", Case::Ignored, "aB", true),
        ("*A*c*", Case::Ignored, "aB", false),
        ("c*", Case::Exact, "ab", false),
        ("a*", Case::Exact, "ab", true),
    ] {
        assert_eq!(matches(pattern, case, text), Some(matched), "{pattern}");
    }
    for (pattern, case, spared) in
        [("*a*c*", Case::Ignored, false), ("a*", Case::Exact, false), ("*a*c*", Case::Exact, true)]
    {
        assert_eq!(Pattern::glob(pattern, case).can_be_spared(), spared, "{pattern}");
    }
}

/// A variable may hold colons in its default; those do not end a part.
#[test]
fn a_variable_in_a_pattern_for_arns_belongs_to_its_part() {
    let pattern = "arn:aws:${aws:PrincipalTag/none, 'a:b'}:x:y:${aws:username}-z";
    let parsed = ArnPattern::parse(pattern, FULL).unwrap();
    assert!(matches!(parsed, ArnPattern::Parts(_)), "{parsed:?}");
    assert_eq!(parsed.matches("arn:aws:a:x:y:bob-z", &Named("bob")), Some(false));
    let plain = Syntax { variables: false, ..FULL };
    let literal = ArnPattern::parse("arn:aws:$x:$:{}:$-z", plain).unwrap();
    assert_eq!(literal.matches("arn:aws:$x:$:{}:$-z", &Named("bob")), Some(true));
    let dollars = ArnPattern::parse("arn:aws:$x:$:{}:$-z", FULL).unwrap();
    assert_eq!(dollars.matches("arn:aws:$x:$:{}:$-z", &Named("bob")), Some(true));
    let open = ArnPattern::parse("arn:aws:${x:y:z:w", plain).unwrap();
    assert_eq!(open.matches("arn:aws:${x:y:z:w", &Named("bob")), Some(true));
}
