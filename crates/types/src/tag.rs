//! Tags of keys.
//!
//! Their alphabet is that of all of AWS's tags: letters, digits and spaces of any script, and `_ . : / = + - @`
//! (AWS General Reference, "Tagging your AWS resources"; AWS KMS API reference, Tag). Both halves are case-sensitive.

use std::fmt;

use crate::id::ParseIdError;
use crate::limits::{TAG_KEY_CHARACTERS_MAX, TAG_VALUE_CHARACTERS_MAX};

/// A tag: what policies and bills know a key by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    pub key: TagKey,
    pub value: TagValue,
}

/// The name of a tag. No two tags of one key share it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagKey(Box<str>);

/// The value of a tag, which may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagValue(Box<str>);

impl TagKey {
    /// Names that begin so, in any case, belong to AWS's services.
    pub const RESERVED_PREFIX: &'static str = "aws:";

    pub fn parse(text: &str) -> Result<Self, ParseIdError> {
        if text.is_empty() || !is_shaped(text, TAG_KEY_CHARACTERS_MAX) {
            return Err(ParseIdError::new("a tag key", text));
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_reserved(&self) -> bool {
        let beginning = self.0.get(..Self::RESERVED_PREFIX.len());
        beginning.is_some_and(|text| text.eq_ignore_ascii_case(Self::RESERVED_PREFIX))
    }
}

impl fmt::Display for TagKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TagValue {
    pub fn parse(text: &str) -> Result<Self, ParseIdError> {
        if !is_shaped(text, TAG_VALUE_CHARACTERS_MAX) {
            return Err(ParseIdError::new("a tag value", text));
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_shaped(text: &str, characters_max: usize) -> bool {
    text.chars().count() <= characters_max && text.chars().all(is_tag_character)
}

fn is_tag_character(c: char) -> bool {
    c.is_alphabetic()
        || c.is_numeric()
        || (c.is_whitespace() && !c.is_control())
        || matches!(c, '_' | '.' | ':' | '/' | '=' | '+' | '-' | '@')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_keep_to_their_alphabet() {
        for text in
            ["a&b", "a\tb", "a\nb", "a\u{0}", "a\u{85}", "{a}", "a,b", "a*", "a\"", "a\\", "\u{1f511}"]
        {
            assert!(TagKey::parse(text).is_err(), "{text:?}");
            assert!(TagValue::parse(text).is_err(), "{text:?}");
        }
        for text in ["Cost Center", "_.:/=+-@", "Größe", "値札", "٣", " ", "x\u{3000}y"] {
            assert_eq!(TagKey::parse(text).unwrap().as_str(), text);
            assert_eq!(TagValue::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn tags_keep_to_their_length() {
        assert!(TagKey::parse("").is_err());
        assert!(TagKey::parse(&"値".repeat(129)).is_err());
        assert!(TagKey::parse(&"値".repeat(128)).is_ok());
        assert!(TagValue::parse(&"値".repeat(257)).is_err());
        assert!(TagValue::parse(&"値".repeat(256)).is_ok());
        assert!(TagValue::parse("").is_ok());
    }

    #[test]
    fn names_of_aws_are_known_in_any_case() {
        for text in ["aws:", "aws:x", "AWS:x", "aWs:x"] {
            assert!(TagKey::parse(text).unwrap().is_reserved(), "{text}");
        }
        for text in ["aws", "awsx:", " aws:", "a", "値札"] {
            assert!(!TagKey::parse(text).unwrap().is_reserved(), "{text}");
        }
    }
}
