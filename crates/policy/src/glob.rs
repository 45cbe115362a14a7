//! Patterns: literal text, `*` (any run of characters, also an empty one), `?` (any one character), and policy variables.
//!
//! A pattern is cut at its stars when it is compiled. Matching takes each piece at the first place where it fits and never
//! returns to an earlier one: a later place could only leave less text for what follows. So no pattern makes it explode.
//! What a variable stands for is literal, stars in it included, so that nobody writes a pattern by naming something.
//!
//! A star runs across the colons of an ARN. AWS says that only a star at the end of a segment does; the two readings agree
//! on every `Resource` with an ARN's five colons, because a key ARN has no colon beyond them (IAM user guide, "IAM JSON
//! policy elements: Resource"). The operators for ARNs do look at each part by itself: [`ArnPattern`].

mod letters;

use strongroom_types::limits::POLICY_VARIABLES_PER_TEXT_MAX;

use crate::condition::only_value;
use crate::key::{ConditionKey, KeyError};
use crate::value::{Facts, ValueText};

pub(crate) use letters::{LastText, Letters};

/// Whether letters match their other case. Only ASCII letters have another case here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    Exact,
    Ignored,
}

/// What is more than literal text in a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Syntax {
    /// `${…}`: since version 2012-10-17 of the policy language.
    pub(crate) variables: bool,
    pub(crate) wildcards: bool,
}

/// A text that is to be matched, ready to do so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// What the text begins with.
    first: Segment,
    /// What follows, each after a star; the last one ends the text. Without a star there is none.
    after_stars: Box<[Segment]>,
    /// Bytes that the text must at least have.
    text_bytes_min: usize,
    /// Letters that the text must have.
    letters: Letters,
    case: Case,
    variables: Box<[Variable]>,
}

type Segment = Box<[Part]>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    AnyCharacter,
    /// In lower case where case is ignored.
    Bytes(Box<[u8]>),
    /// The position among the pattern's variables.
    Variable(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Variable {
    key: ConditionKey,
    default: Option<Box<str>>,
}

/// Why `${…}` is no policy variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VariableError {
    Malformed,
    TooMany,
}

/// The values of a pattern's variables.
type Resolved<'a> = [Option<ValueText<'a>>];

impl Pattern {
    /// A pattern without variables.
    pub(crate) fn glob(text: &str, case: Case) -> Self {
        let mut builder = Builder::new(case);
        for character in text.chars() {
            builder.wildcard_or_literal(character);
        }
        builder.finish()
    }

    pub(crate) fn parse(text: &str, case: Case, syntax: Syntax) -> Result<Self, VariableError> {
        let mut builder = Builder::new(case);
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            if syntax.variables && rest.starts_with("${") {
                let (content, after) = variable(rest).ok_or(VariableError::Malformed)?;
                builder.variable(content)?;
                rest = after;
                continue;
            }
            if syntax.wildcards {
                builder.wildcard_or_literal(character);
            } else {
                builder.literal(character);
            }
            rest = rest.get(character.len_utf8()..).unwrap_or_default();
        }
        Ok(builder.finish())
    }

    /// Whether a text may have to be walked over: of several stars, the place of each depends on the one before; and what a
    /// variable stands for is looked for.
    pub(crate) fn walks(&self) -> bool {
        self.after_stars.len() > 1 || !self.variables.is_empty()
    }

    /// Whether every text matches.
    pub(crate) fn is_any(&self) -> bool {
        self.first.is_empty() && matches!(&*self.after_stars, [last] if last.is_empty())
    }

    /// Whether the text matches; `None` if a variable has no value.
    pub(crate) fn matches(&self, text: &[u8], facts: &dyn Facts) -> Option<bool> {
        if self.variables.is_empty() {
            return Some(self.matches_literally(text));
        }
        let mut resolved = [None; POLICY_VARIABLES_PER_TEXT_MAX];
        for (variable, value) in self.variables.iter().zip(&mut resolved) {
            *value = Some(match only_value(&variable.key, facts) {
                Some(found) => ValueText::new(found),
                None => ValueText::Borrowed(variable.default.as_deref()?),
            });
        }
        Some(self.run(text, &resolved, || {}))
    }

    /// The same of a text whose letters are remembered, which spares most patterns that do not match the walk.
    pub(crate) fn matches_text<'f>(
        &self,
        text: &'f str,
        facts: &dyn Facts,
        last: &LastText<'f>,
    ) -> Option<bool> {
        if self.can_be_spared() && !last.letters(text).has_all_of(self.letters) {
            return Some(false);
        }
        self.matches(text.as_bytes(), facts)
    }

    /// With one star or none the walk is as short; with a variable there may be no answer at all; and no operator that
    /// ignores case has stars.
    fn can_be_spared(&self) -> bool {
        self.after_stars.len() > 1 && self.variables.is_empty() && self.case == Case::Exact
    }

    /// Whether the text matches a pattern that is known to have no variables; one that has some matches nothing.
    pub(crate) fn matches_literally(&self, text: &[u8]) -> bool {
        self.run(text, &[], || {})
    }

    /// `step` is called for every place where a piece is tried, so that a test can count.
    fn run(&self, text: &[u8], resolved: &Resolved<'_>, mut step: impl FnMut()) -> bool {
        if self.text_bytes_min > text.len() {
            return false;
        }
        let walk = Walk { case: self.case, resolved, text };
        let Some((last, between)) = self.after_stars.split_last() else {
            return match &*self.first {
                // Most texts are literal.
                [Part::Bytes(bytes)] => walk.equals(text, bytes),
                first => walk.forward(first, 0) == Some(text.len()),
            };
        };
        let Some(mut at) = walk.forward(&self.first, 0) else { return false };
        for segment in between {
            at = loop {
                step();
                at = match walk.candidate(segment, at) {
                    Some(place) => place,
                    None => return false,
                };
                if let Some(end) = walk.forward(segment, at) {
                    break end;
                }
                at = match walk.next_character(at) {
                    Some(next) => next,
                    None => return false,
                };
            };
        }
        walk.backward(last).is_some_and(|start| start >= at)
    }
}

/// A text on which segments are laid.
struct Walk<'w> {
    case: Case,
    resolved: &'w Resolved<'w>,
    text: &'w [u8],
}

impl Walk<'_> {
    /// Where a segment that begins at `at` ends.
    fn forward(&self, segment: &[Part], at: usize) -> Option<usize> {
        segment.iter().try_fold(at, |at, part| {
            let wanted = match part {
                Part::AnyCharacter => return self.next_character(at),
                Part::Bytes(bytes) => bytes,
                Part::Variable(index) => self.variable(*index)?,
            };
            let end = at.checked_add(wanted.len())?;
            self.equals(self.text.get(at..end)?, wanted).then_some(end)
        })
    }

    /// The first place from `at` on where a segment may begin: for one that begins with a literal, where its first byte is.
    fn candidate(&self, segment: &[Part], at: usize) -> Option<usize> {
        let Some(&wanted) = segment.first().and_then(|part| match part {
            Part::Bytes(bytes) => bytes.first(),
            Part::AnyCharacter | Part::Variable(_) => None,
        }) else {
            return Some(at);
        };
        let rest = self.text.get(at..)?;
        let found = match self.case {
            Case::Exact => rest.iter().position(|byte| *byte == wanted),
            Case::Ignored => rest.iter().position(|byte| byte.to_ascii_lowercase() == wanted),
        };
        found.map(|offset| at + offset)
    }

    /// Where a segment that ends the text begins.
    fn backward(&self, segment: &[Part]) -> Option<usize> {
        segment.iter().rev().try_fold(self.text.len(), |end, part| {
            let wanted = match part {
                Part::AnyCharacter => return self.previous_character(end),
                Part::Bytes(bytes) => bytes,
                Part::Variable(index) => self.variable(*index)?,
            };
            let start = end.checked_sub(wanted.len())?;
            self.equals(self.text.get(start..end)?, wanted).then_some(start)
        })
    }

    fn equals(&self, text: &[u8], wanted: &[u8]) -> bool {
        match self.case {
            Case::Exact => text == wanted,
            Case::Ignored => text.eq_ignore_ascii_case(wanted),
        }
    }

    fn variable(&self, index: usize) -> Option<&[u8]> {
        self.resolved.get(index)?.as_ref().map(ValueText::as_bytes)
    }

    fn next_character(&self, at: usize) -> Option<usize> {
        self.text.get(at)?;
        let rest = self.text.get(at + 1..)?;
        Some(at + 1 + rest.iter().take_while(|byte| is_continuation(**byte)).count())
    }

    fn previous_character(&self, end: usize) -> Option<usize> {
        let before = self.text.get(..end)?;
        before.iter().rposition(|byte| !is_continuation(*byte))
    }
}

/// Whether a byte of UTF-8 goes on with a character.
fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// The content of the variable at the start of a text, and what comes after it.
fn variable(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix("${")?.split_once('}')
}

struct Builder {
    case: Case,
    segments: Vec<Vec<Part>>,
    parts: Vec<Part>,
    literal: String,
    variables: Vec<Variable>,
}

impl Builder {
    fn new(case: Case) -> Self {
        Self { case, segments: Vec::new(), parts: Vec::new(), literal: String::new(), variables: Vec::new() }
    }

    fn wildcard_or_literal(&mut self, character: char) {
        match character {
            '*' => self.end_segment(),
            '?' => self.part(Part::AnyCharacter),
            other => self.literal(other),
        }
    }

    fn literal(&mut self, character: char) {
        self.literal.push(match self.case {
            Case::Exact => character,
            Case::Ignored => character.to_ascii_lowercase(),
        });
    }

    /// `*`, `?` and `$` stand for themselves; anything else is a condition key, with a default in single quotes if it
    /// likes (IAM user guide, "IAM policy elements: Variables and tags").
    fn variable(&mut self, content: &str) -> Result<(), VariableError> {
        if let "*" | "?" | "$" = content {
            content.chars().for_each(|character| self.literal(character));
            return Ok(());
        }
        let (name, default) = match content.split_once(',') {
            None => (content, None),
            Some((name, default)) => {
                let quoted = default.trim().strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
                (name, Some(quoted.ok_or(VariableError::Malformed)?.into()))
            }
        };
        // No variable stands inside another.
        let syntax = Syntax { variables: false, wildcards: false };
        let key = match ConditionKey::parse(name.trim(), syntax) {
            Ok(key) => key,
            Err(KeyError::NoPrefix) => return Err(VariableError::Malformed),
            Err(KeyError::Variable(error)) => return Err(error),
        };
        let index = self.variables.len();
        if index >= POLICY_VARIABLES_PER_TEXT_MAX {
            return Err(VariableError::TooMany);
        }
        self.variables.push(Variable { key, default });
        self.part(Part::Variable(index));
        Ok(())
    }

    fn part(&mut self, part: Part) {
        self.end_literal();
        self.parts.push(part);
    }

    fn end_literal(&mut self) {
        if !self.literal.is_empty() {
            let bytes = std::mem::take(&mut self.literal).into_bytes().into_boxed_slice();
            self.parts.push(Part::Bytes(bytes));
        }
    }

    fn end_segment(&mut self) {
        self.end_literal();
        self.segments.push(std::mem::take(&mut self.parts));
    }

    fn finish(mut self) -> Pattern {
        self.end_segment();
        let parts = self.segments.iter().flatten();
        let text_bytes_min = parts
            .map(|part| match part {
                Part::AnyCharacter => 1,
                Part::Bytes(bytes) => bytes.len(),
                Part::Variable(_) => 0,
            })
            .sum();
        let letters = self.segments.iter().flatten().fold(Letters::default(), |letters, part| match part {
            Part::Bytes(bytes) => letters.with(bytes),
            Part::AnyCharacter | Part::Variable(_) => letters,
        });
        let mut segments = self.segments.into_iter().map(Vec::into_boxed_slice);
        let first = segments.next().unwrap_or_default();
        let mut after_stars: Vec<Segment> = segments.collect();
        // Of a run of stars one is enough: between two of them there is nothing to find.
        let last = after_stars.pop();
        after_stars.retain(|segment| !segment.is_empty());
        after_stars.extend(last);
        Pattern {
            first,
            after_stars: after_stars.into(),
            text_bytes_min,
            letters,
            case: self.case,
            variables: self.variables.into(),
        }
    }
}

/// A pattern for ARNs, whose six parts are compared one by one (IAM user guide, "IAM JSON policy elements: Condition
/// operators", Amazon Resource Name condition operators).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ArnPattern {
    /// It has no six parts and matches nothing.
    Nothing,
    Parts(Box<[Pattern; 6]>),
    /// `*`, or a text with variables that may stand for a whole ARN.
    Whole(Box<Pattern>),
}

impl ArnPattern {
    /// As [`Pattern::walks`].
    pub(crate) fn walks(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Parts(patterns) => patterns.iter().any(Pattern::walks),
            Self::Whole(pattern) => pattern.walks(),
        }
    }

    pub(crate) fn parse(text: &str, syntax: Syntax) -> Result<Self, VariableError> {
        let mut parts = Vec::with_capacity(6);
        let (mut rest, mut part) = (text, 0);
        // The sixth part takes all that is left, colons too.
        while parts.len() < 5 {
            let tail = rest.get(part..).unwrap_or_default();
            match tail.chars().next() {
                None => break,
                Some('$') if syntax.variables && tail.starts_with("${") => {
                    let (content, _) = variable(tail).ok_or(VariableError::Malformed)?;
                    part += "${}".len() + content.len();
                }
                Some(':') => {
                    parts.push(Pattern::parse(rest.get(..part).unwrap_or_default(), Case::Exact, syntax)?);
                    rest = tail.get(1..).unwrap_or_default();
                    part = 0;
                }
                Some(other) => part += other.len_utf8(),
            }
        }
        parts.push(Pattern::parse(rest, Case::Exact, syntax)?);
        if let Ok(parts) = <[Pattern; 6]>::try_from(parts) {
            return Ok(Self::Parts(Box::new(parts)));
        }
        let whole = Pattern::parse(text, Case::Exact, syntax)?;
        Ok(if whole.is_any() || !whole.variables.is_empty() {
            Self::Whole(Box::new(whole))
        } else {
            Self::Nothing
        })
    }

    /// Whether the text is an ARN that matches; `None` if a variable has no value.
    pub(crate) fn matches(&self, text: &str, facts: &dyn Facts) -> Option<bool> {
        let is_arn = text.bytes().filter(|byte| *byte == b':').count() >= 5;
        match self {
            Self::Nothing => Some(false),
            Self::Parts(patterns) => {
                let mut all = is_arn;
                for (pattern, part) in patterns.iter().zip(text.splitn(6, ':')) {
                    all &= pattern.matches(part.as_bytes(), facts)?;
                }
                Some(all)
            }
            Self::Whole(pattern) => Some(pattern.matches(text.as_bytes(), facts)? && is_arn),
        }
    }
}

#[cfg(test)]
mod tests;
