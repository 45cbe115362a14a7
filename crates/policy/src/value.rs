//! What conditions are asked about: the facts of a request, looked up one by one and only when a policy asks.
//!
//! Nothing here allocates. A fact is borrowed from whoever knows it, or is small enough to be carried.

use std::fmt::{self, Write as _};
use std::net::IpAddr;

use strongroom_types::{AccountId, AliasName, EncryptionContext, Tag, Timestamp};

use crate::key::ConditionKey;

/// The facts of one request, as one check of it sees them.
pub trait Facts {
    /// Everything but [`ConditionKey::EncryptionContext`], which is answered by
    /// [`encryption_context`](Self::encryption_context).
    fn find<'a>(&'a self, key: &'a ConditionKey) -> Found<'a>;

    /// The encryption context that the check is about.
    fn encryption_context(&self) -> Option<&EncryptionContext>;
}

/// No facts at all: every condition key is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoFacts;

impl Facts for NoFacts {
    fn find<'a>(&'a self, _: &'a ConditionKey) -> Found<'a> {
        Found::Absent
    }

    fn encryption_context(&self) -> Option<&EncryptionContext> {
        None
    }
}

/// What there is of a condition key.
#[derive(Debug, Clone, Copy)]
pub enum Found<'a> {
    Absent,
    Many(Many<'a>),
    One(Value<'a>),
}

/// One value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    Account(AccountId),
    Bool(bool),
    Integer(u64),
    Ip(IpAddr),
    Text(&'a str),
    Time(Timestamp),
}

/// Several values. None at all is the same as an absent key.
#[derive(Debug, Clone, Copy)]
pub enum Many<'a> {
    Aliases(&'a [AliasName]),
    /// The keys of an encryption context.
    ContextKeys(&'a EncryptionContext),
    Names(&'a [&'static str]),
    /// The names of a list.
    ListNames(&'a dyn List),
    /// The values of those entries of a list whose name is this, in whatever case.
    ListValues(&'a dyn List, &'a str),
    /// Keys of tags.
    TagKeys(&'a [Tag]),
    /// The values of those tags whose key is this, in whatever case.
    TagValues(&'a [Tag], &'a str),
    Texts(&'a [String]),
}

/// Names with values that are kept in a form of somebody else's, such as the tags of a request.
pub trait List: fmt::Debug {
    fn entry(&self, index: usize) -> Option<(&str, &str)>;
}

impl<'a> Found<'a> {
    pub fn text(text: &'a str) -> Self {
        Self::One(Value::Text(text))
    }

    /// A text that may be missing.
    pub fn optional(text: Option<&'a str>) -> Self {
        text.map_or(Self::Absent, Self::text)
    }

    /// The value of a tag; keys of tags match in whatever case (IAM user guide, "aws:ResourceTag/tag-key").
    pub fn tag(tags: &'a [Tag], key: &'a str) -> Self {
        Self::Many(Many::TagValues(tags, key))
    }

    pub(crate) fn get(&self, index: usize) -> Option<Value<'a>> {
        match self {
            Self::Absent => None,
            Self::Many(many) => many.get(index).map(Value::Text),
            Self::One(value) => (index == 0).then_some(*value),
        }
    }

    /// The value, if there is exactly one.
    pub(crate) fn only(&self) -> Option<Value<'a>> {
        self.get(0).filter(|_| self.get(1).is_none())
    }
}

impl<'a> Many<'a> {
    fn get(&self, index: usize) -> Option<&'a str> {
        match self {
            Self::Aliases(names) => names.get(index).map(AliasName::as_str),
            Self::ContextKeys(context) => context.pairs().get(index).map(|(key, _)| key.as_str()),
            Self::ListNames(list) => list.entry(index).map(|(name, _)| name),
            Self::ListValues(list, wanted) => {
                let entries = (0..).map_while(|index| list.entry(index));
                entries
                    .filter(|(name, _)| name.eq_ignore_ascii_case(wanted))
                    .nth(index)
                    .map(|(_, value)| value)
            }
            Self::Names(names) => names.get(index).copied(),
            Self::TagKeys(tags) => tags.get(index).map(|tag| tag.key.as_str()),
            Self::TagValues(tags, key) => tags
                .iter()
                .filter(|tag| tag.key.as_str().eq_ignore_ascii_case(key))
                .nth(index)
                .map(|tag| tag.value.as_str()),
            Self::Texts(texts) => texts.get(index).map(String::as_str),
        }
    }
}

/// A value as text, borrowed or in a small buffer of its own.
#[derive(Clone, Copy)]
pub(crate) enum ValueText<'a> {
    Borrowed(&'a str),
    Short { bytes: [u8; SHORT_BYTES_MAX], length: usize },
}

/// The longest text of a value that is no text: an IPv6 address that holds an IPv4 one.
const SHORT_BYTES_MAX: usize = 46;

impl<'a> ValueText<'a> {
    pub(crate) fn new(value: Value<'a>) -> Self {
        let mut short = Self::Short { bytes: [0; SHORT_BYTES_MAX], length: 0 };
        let written = match value {
            Value::Account(account) => write!(short, "{account}"),
            Value::Bool(value) => write!(short, "{value}"),
            Value::Integer(value) => write!(short, "{value}"),
            Value::Ip(ip) => write!(short, "{}", ip.to_canonical()),
            Value::Text(text) => return Self::Borrowed(text),
            Value::Time(time) => time.write_extended_iso8601(&mut short),
        };
        // INVARIANT: the buffer holds the longest of these, so writing never fails.
        debug_assert!(written.is_ok());
        short
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(text) => text.as_bytes(),
            Self::Short { bytes, length } => bytes.get(..*length).unwrap_or_default(),
        }
    }
}

impl fmt::Write for ValueText<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let Self::Short { bytes, length } = self else { return Err(fmt::Error) };
        let end = *length + part.len();
        bytes.get_mut(*length..end).ok_or(fmt::Error)?.copy_from_slice(part.as_bytes());
        *length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use strongroom_types::{TagKey, TagValue};

    use super::*;

    fn text(value: Value<'_>) -> String {
        String::from_utf8(ValueText::new(value).as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn every_value_has_its_text() {
        for (value, expected) in [
            (Value::Account(AccountId::parse("000000000012").unwrap()), "000000000012"),
            (Value::Bool(false), "false"),
            (Value::Integer(u64::MAX), "18446744073709551615"),
            (Value::Ip("::ffff:192.0.2.1".parse().unwrap()), "192.0.2.1"),
            (
                Value::Ip("1111:2222:3333:4444:5555:6666:7777:8888".parse().unwrap()),
                "1111:2222:3333:4444:5555:6666:7777:8888",
            ),
            (Value::Text("é"), "é"),
            (Value::Time(Timestamp::from_secs(1_795_340_000)), "2026-11-22T09:33:20Z"),
        ] {
            assert_eq!(text(value), expected);
        }
    }

    #[test]
    fn tags_are_found_in_whatever_case() {
        let tag =
            |key, value| Tag { key: TagKey::parse(key).unwrap(), value: TagValue::parse(value).unwrap() };
        let tags = [tag("Team", "red"), tag("team", "blue"), tag("Unit", "")];
        assert!(Found::tag(&tags, "tea").get(0).is_none());
        assert_eq!(Found::tag(&tags, "UNIT").only(), Some(Value::Text("")));
        assert_eq!(Found::tag(&tags, "TEAM").only(), None);
        assert_eq!(Found::tag(&tags, "TEAM").get(1), Some(Value::Text("blue")));
    }
}
