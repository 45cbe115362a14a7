//! JSON, exactly as RFC 8259 has it, with the place of every value.
//!
//! Stricter than the RFC asks in two ways. A member that appears twice is refused (compared after unescaping), because
//! readers differ in which one they keep. Lone surrogates are refused, because not every reader can hold them. Numbers
//! are checked for form and kept as they stand.

use std::borrow::Cow;
use std::collections::BTreeSet;

use strongroom_types::limits::JSON_DEPTH_MAX;

use super::place::{Path, Place};
use crate::error::{PolicyError, Problem, excerpt};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value<'t> {
    pub(super) byte: usize,
    pub(super) content: Content<'t>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content<'t> {
    Array(Vec<Value<'t>>),
    Bool(bool),
    Null,
    /// As it stands in the text.
    Number(&'t str),
    Object(Vec<Member<'t>>),
    String(Cow<'t, str>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member<'t> {
    /// Where the name begins.
    pub(super) byte: usize,
    pub(super) name: Cow<'t, str>,
    pub(super) value: Value<'t>,
}

impl Content<'_> {
    /// What it is, for a message.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Array(_) => "an array",
            Self::Bool(_) => "a boolean",
            Self::Null => "null",
            Self::Number(_) => "a number",
            Self::Object(_) => "an object",
            Self::String(_) => "a string",
        }
    }
}

/// Reads one JSON text, with nothing but white space around it.
pub(super) fn parse(text: &str) -> Result<Value<'_>, PolicyError> {
    let mut parser = Parser { text, at: 0 };
    parser.skip_white_space();
    let value = parser.value(&Path::Root, 0)?;
    parser.skip_white_space();
    match parser.peek() {
        None => Ok(value),
        Some(_) => Err(parser.unexpected(&Path::Root)),
    }
}

struct Parser<'t> {
    text: &'t str,
    /// Bytes read. INVARIANT: it never stands inside a character when text is cut here, because the cuts are made at
    /// ASCII bytes.
    at: usize,
}

impl<'t> Parser<'t> {
    /// `depth` counts the arrays and objects around the value.
    fn value(&mut self, path: &Path<'_>, depth: usize) -> Result<Value<'t>, PolicyError> {
        let byte = self.at;
        let content = match self.peek() {
            Some(b'"') => Content::String(self.string(path)?),
            Some(b'[') => Content::Array(self.array(path, depth)?),
            Some(b'{') => Content::Object(self.object(path, depth)?),
            Some(b'-' | b'0'..=b'9') => self.number(path)?,
            Some(b't') => self.word("true", Content::Bool(true), path)?,
            Some(b'f') => self.word("false", Content::Bool(false), path)?,
            Some(b'n') => self.word("null", Content::Null, path)?,
            _ => return Err(self.unexpected(path)),
        };
        Ok(Value { byte, content })
    }

    fn array(&mut self, path: &Path<'_>, depth: usize) -> Result<Vec<Value<'t>>, PolicyError> {
        let depth = self.open(path, depth)?;
        let mut values = Vec::new();
        if self.take(b']') {
            return Ok(values);
        }
        loop {
            self.skip_white_space();
            values.push(self.value(&path.index(values.len()), depth)?);
            self.skip_white_space();
            if !self.take(b',') {
                break;
            }
        }
        self.expect(b']', path)?;
        Ok(values)
    }

    fn object(&mut self, path: &Path<'_>, depth: usize) -> Result<Vec<Member<'t>>, PolicyError> {
        let depth = self.open(path, depth)?;
        let mut members = Vec::new();
        if self.take(b'}') {
            return Ok(members);
        }
        loop {
            self.skip_white_space();
            let byte = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.unexpected(path));
            }
            let name = self.string(path)?;
            self.skip_white_space();
            self.expect(b':', path)?;
            self.skip_white_space();
            let value = self.value(&path.member(&name), depth)?;
            members.push(Member { byte, name, value });
            self.skip_white_space();
            if !self.take(b',') {
                break;
            }
        }
        self.expect(b'}', path)?;
        self.refuse_duplicates(&members, path)?;
        Ok(members)
    }

    /// Steps over an opening bracket. The limit keeps the recursion of this parser small.
    fn open(&mut self, path: &Path<'_>, depth: usize) -> Result<usize, PolicyError> {
        if depth >= JSON_DEPTH_MAX {
            return Err(self.malformed(self.at, path, Problem::TooDeep));
        }
        self.at += 1;
        self.skip_white_space();
        Ok(depth + 1)
    }

    fn refuse_duplicates(&self, members: &[Member<'_>], path: &Path<'_>) -> Result<(), PolicyError> {
        let mut seen = BTreeSet::new();
        match members.iter().find(|member| !seen.insert(member.name.as_ref())) {
            None => Ok(()),
            Some(twin) => {
                Err(self.malformed(twin.byte, path, Problem::DuplicateElement(excerpt(&twin.name))))
            }
        }
    }

    fn string(&mut self, path: &Path<'_>) -> Result<Cow<'t, str>, PolicyError> {
        self.at += 1;
        let mut unescaped: Option<String> = None;
        let mut run_start = self.at;
        loop {
            let run = self.text.get(run_start..self.at);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    let run = run.unwrap_or_default();
                    return Ok(match unescaped {
                        None => Cow::Borrowed(run),
                        Some(before) => Cow::Owned(before + run),
                    });
                }
                Some(b'\\') => {
                    let unescaped = unescaped.get_or_insert_default();
                    unescaped.push_str(run.unwrap_or_default());
                    unescaped.push(self.escape(path)?);
                    run_start = self.at;
                }
                None | Some(0..=0x1f) => return Err(self.unexpected(path)),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self, path: &Path<'_>) -> Result<char, PolicyError> {
        let byte = self.at;
        self.at += 1;
        let kind = self.peek();
        self.at += 1;
        let unescaped = match kind {
            Some(literal @ (b'"' | b'\\' | b'/')) => Some(char::from(literal)),
            Some(b'b') => Some('\u{8}'),
            Some(b'f') => Some('\u{c}'),
            Some(b'n') => Some('\n'),
            Some(b'r') => Some('\r'),
            Some(b't') => Some('\t'),
            Some(b'u') => self.utf16_escape(),
            _ => None,
        };
        unescaped.ok_or_else(|| self.malformed(byte, path, Problem::InvalidEscape))
    }

    /// Four digits, or a surrogate pair: two times four with `\u` between (RFC 8259 section 7).
    fn utf16_escape(&mut self) -> Option<char> {
        let first = self.four_hex_digits()?;
        if !(0xd800..=0xdbff).contains(&first) {
            return char::from_u32(first);
        }
        if !(self.take(b'\\') && self.take(b'u')) {
            return None;
        }
        let second = self.four_hex_digits()?;
        if !(0xdc00..=0xdfff).contains(&second) {
            return None;
        }
        char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))
    }

    fn four_hex_digits(&mut self) -> Option<u32> {
        let mut value = 0;
        for _ in 0..4 {
            value = value * 16 + char::from(self.peek()?).to_digit(16)?;
            self.at += 1;
        }
        Some(value)
    }

    fn number(&mut self, path: &Path<'_>) -> Result<Content<'t>, PolicyError> {
        let byte = self.at;
        self.take(b'-');
        // A leading zero stands alone.
        let mut formed = self.take(b'0') || self.skip_digits();
        if self.take(b'.') {
            formed &= self.skip_digits();
        }
        if self.take(b'e') || self.take(b'E') {
            let _signed = self.take(b'+') || self.take(b'-');
            formed &= self.skip_digits();
        }
        if !formed {
            return Err(self.malformed(byte, path, Problem::InvalidNumber));
        }
        Ok(Content::Number(self.text.get(byte..self.at).unwrap_or_default()))
    }

    /// Whether there were any.
    fn skip_digits(&mut self) -> bool {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        self.at > start
    }

    fn word(
        &mut self,
        word: &str,
        content: Content<'t>,
        path: &Path<'_>,
    ) -> Result<Content<'t>, PolicyError> {
        for byte in word.bytes() {
            self.expect(byte, path)?;
        }
        Ok(content)
    }

    fn skip_white_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.at += 1;
        }
        found
    }

    fn expect(&mut self, byte: u8, path: &Path<'_>) -> Result<(), PolicyError> {
        if self.take(byte) { Ok(()) } else { Err(self.unexpected(path)) }
    }

    fn unexpected(&self, path: &Path<'_>) -> PolicyError {
        let found = self.text.get(self.at..).and_then(|rest| rest.chars().next());
        let problem = found.map_or(Problem::UnexpectedEnd, Problem::UnexpectedCharacter);
        self.malformed(self.at, path, problem)
    }

    fn malformed(&self, byte: usize, path: &Path<'_>, problem: Problem) -> PolicyError {
        PolicyError::Malformed { problem, at: Place::new(self.text, byte, path) }
    }
}

#[cfg(test)]
mod tests;
