//! Patterns with `*` (any run, also an empty one) and `?` (any one byte), over bytes.
//!
//! Matching keeps only the last star as a place to return to, so that its cost is bounded by pattern and text and no
//! pattern makes it explode. A star runs across the colons of an ARN. AWS says that only a star at the end of a segment
//! does; the two readings agree on every pattern with an ARN's five colons, because a key ARN has no colon beyond them
//! (IAM user guide, "IAM JSON policy elements: Resource").

/// Whether letters match their other case. Only ASCII letters have another case here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    Exact,
    Ignored,
}

/// A pattern, ready to match. Runs of stars are one star.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glob {
    pattern: Box<[u8]>,
    /// Bytes of the pattern that each need a byte of text. A text that is shorter cannot match.
    text_bytes_min: usize,
    case: Case,
}

impl Glob {
    pub(crate) fn new(pattern: &str, case: Case) -> Self {
        let mut bytes = pattern.as_bytes().to_vec();
        bytes.dedup_by(|next, byte| *next == b'*' && *byte == b'*');
        if case == Case::Ignored {
            bytes.make_ascii_lowercase();
        }
        let text_bytes_min = bytes.iter().filter(|byte| **byte != b'*').count();
        Self { pattern: bytes.into(), text_bytes_min, case }
    }

    /// Whether every text matches.
    pub(crate) fn is_any(&self) -> bool {
        *self.pattern == *b"*"
    }

    pub(crate) fn matches(&self, text: &[u8]) -> bool {
        self.run(text, || {})
    }

    /// Walks pattern and text together; `step` is called once for each comparison, so that a test can count them.
    ///
    /// After a mismatch the last star swallows one byte more and its remainder starts again. Earlier stars need no
    /// second try: what stands between them and the last one has been found as early in the text as it can be.
    fn run(&self, text: &[u8], mut step: impl FnMut()) -> bool {
        if self.text_bytes_min > text.len() {
            return false;
        }
        let (mut pattern_at, mut text_at) = (0, 0);
        let mut last_star = None;
        loop {
            step();
            match (self.pattern.get(pattern_at), text.get(text_at)) {
                (Some(b'*'), _) => {
                    pattern_at += 1;
                    last_star = Some((pattern_at, text_at));
                    if pattern_at == self.pattern.len() {
                        return true;
                    }
                }
                (Some(&wanted), Some(&byte)) if wanted == b'?' || wanted == self.fold(byte) => {
                    pattern_at += 1;
                    text_at += 1;
                }
                (None, None) => return true,
                // The text is used up: no star can help, for it would only leave less of it.
                (Some(_), None) => return false,
                (_, Some(_)) => {
                    let Some((after_star, swallowed)) = last_star else { return false };
                    pattern_at = after_star;
                    text_at = swallowed + 1;
                    last_star = Some((after_star, text_at));
                }
            }
        }
    }

    fn fold(&self, byte: u8) -> u8 {
        match self.case {
            Case::Exact => byte,
            Case::Ignored => byte.to_ascii_lowercase(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Glob::new(pattern, Case::Exact).matches(text.as_bytes())
    }

    fn steps(pattern: &str, text: &str) -> usize {
        let mut steps = 0;
        Glob::new(pattern, Case::Exact).run(text.as_bytes(), || steps += 1);
        steps
    }

    /// The definition itself, slow and short.
    fn literally_matches(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|n| literally_matches(rest, &text[n..])),
            ([b'?', rest @ ..], [_, text @ ..]) => literally_matches(rest, text),
            ([wanted, rest @ ..], [byte, text @ ..]) => wanted == byte && literally_matches(rest, text),
            _ => false,
        }
    }

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
            ("*a", "ab"),
            ("a*b", "a"),
            ("a*b*c", "acb"),
            ("*ab*ab", "ab"),
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
            ("a*", "a"),
            ("*ab", "aab"),
            ("*ab*b", "xabyb"),
            ("a**c", "abbbc"),
            ("*?", "a"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn case_counts_unless_it_is_to_be_ignored() {
        assert!(!Glob::new("kms:Encrypt", Case::Exact).matches(b"kms:encrypt"));
        assert!(Glob::new("KMS:enc*", Case::Ignored).matches(b"kms:ENCRYPT"));
        // Neither the Kelvin sign nor a dotless i is a letter of the alphabet here.
        assert!(!Glob::new("\u{212a}ms", Case::Ignored).matches(b"kms"));
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
            assert!(steps <= arn.len() * arn.len(), "{steps} steps for {}", &pattern[..20]);
        }
        assert_eq!(steps(&within_the_limit("*a"), arn), 0);
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*?]{0,10}", text in "[ab]{0,12}") {
            let expected = literally_matches(pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(matches(&pattern, &text), expected);
        }
    }
}
