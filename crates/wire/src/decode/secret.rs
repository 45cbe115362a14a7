//! Blobs and secrets: read from the text of the body itself.
//!
//! The parser unescapes strings in a scratch buffer that nobody wipes. So for secrets it only finds where the string
//! ends; the text in between is decoded here, straight into its wrapper, and an escaped text (some clients write `/` as
//! `\/`) goes through a buffer that is wiped.

use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_json::value::RawValue;
use strongroom_types::{Credential, Plaintext};
use zeroize::Zeroizing;

use crate::base64;
use crate::decode::slot::{LIST_UNEXPECTED, STRUCTURE_UNEXPECTED, Slot, mismatch};

impl<'de> Slot<'de> for Vec<u8> {
    const WANTED: &'static str = "a Blob";

    fn read<D: Deserializer<'de>>(json: D, _depth: usize) -> Result<Option<Self>, D::Error> {
        let Some(text) = raw_text::<Self, D>(json)? else { return Ok(None) };
        let mut bytes = Self::with_capacity(base64::decoded_len_max(text.len()));
        decode_blob(text, &mut bytes).ok_or_else(|| mismatch::<Self, D::Error>("STRING_VALUE"))?;
        Ok(Some(bytes))
    }
}

impl<'de> Slot<'de> for Plaintext {
    const WANTED: &'static str = "a Blob";

    fn read<D: Deserializer<'de>>(json: D, _depth: usize) -> Result<Option<Self>, D::Error> {
        let Some(text) = raw_text::<Self, D>(json)? else { return Ok(None) };
        // INVARIANT: the capacity suffices, so the vector does not move while it is written.
        let mut plaintext = Self::new(Vec::with_capacity(base64::decoded_len_max(text.len())));
        decode_blob(text, plaintext.expose_mut())
            .ok_or_else(|| mismatch::<Self, D::Error>("STRING_VALUE"))?;
        Ok(Some(plaintext))
    }
}

impl<'de> Slot<'de> for Credential {
    const WANTED: &'static str = "a String";

    fn read<D: Deserializer<'de>>(json: D, _depth: usize) -> Result<Option<Self>, D::Error> {
        let Some(text) = raw_text::<Self, D>(json)? else { return Ok(None) };
        let mut credential = Self::new(Vec::with_capacity(text.len()));
        unescape(text, credential.expose_mut()).ok_or_else(|| mismatch::<Self, D::Error>("STRING_VALUE"))?;
        Ok(Some(credential))
    }
}

/// What stands between the quotes of the JSON string at hand, escapes untouched; `None` for null.
fn raw_text<'de, T: Slot<'de>, D: Deserializer<'de>>(json: D) -> Result<Option<&'de str>, D::Error> {
    let raw = <&RawValue>::deserialize(json)?.get();
    if let Some(text) = raw.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        return Ok(Some(text));
    }
    match raw.as_bytes().first() {
        Some(b'n') => Ok(None),
        Some(b'[') => Err(Error::custom(LIST_UNEXPECTED)),
        Some(b'{') => Err(Error::custom(STRUCTURE_UNEXPECTED)),
        Some(b't') => Err(mismatch::<T, D::Error>("TRUE_VALUE")),
        Some(b'f') => Err(mismatch::<T, D::Error>("FALSE_VALUE")),
        _ => Err(mismatch::<T, D::Error>("NUMBER_VALUE")),
    }
}

fn decode_blob(text: &str, out: &mut Vec<u8>) -> Option<()> {
    // A backslash is not of the alphabet, so an escaped text fails the first attempt and appends nothing.
    if base64::decode(text.as_bytes(), out).is_ok() {
        return Some(());
    }
    if !text.contains('\\') {
        return None;
    }
    let mut unescaped = Zeroizing::new(Vec::with_capacity(text.len()));
    unescape(text, &mut unescaped)?;
    base64::decode(&unescaped, out).ok()
}

/// Appends the text that a JSON string stands for (RFC 8259 section 7); never more bytes than `text` has. `None` if an
/// escape is not of the grammar or a surrogate is alone.
fn unescape(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.extend_from_slice(plain.as_bytes());
        let mut tail = escape.chars();
        let character = match tail.next()? {
            quoted @ ('"' | '\\' | '/') => quoted,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let (character, after) = unicode_escape(tail.as_str())?;
                tail = after.chars();
                character
            }
            _ => return None,
        };
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        rest = tail.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
    Some(())
}

/// The character after `\u`, and what follows it. A high surrogate takes its low one with it.
fn unicode_escape(text: &str) -> Option<(char, &str)> {
    let (unit, rest) = code_unit(text)?;
    if let Some(character) = char::from_u32(u32::from(unit)) {
        return Some((character, rest));
    }
    let (low, rest) = code_unit(rest.strip_prefix("\\u")?)?;
    let character = char::decode_utf16([unit, low]).next()?.ok()?;
    Some((character, rest))
}

fn code_unit(text: &str) -> Option<(u16, &str)> {
    let (digits, rest) = text.split_at_checked(4)?;
    // The parser of integers would take a sign.
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    Some((u16::from_str_radix(digits, 16).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unescaped(text: &str) -> Option<String> {
        let mut out = Vec::with_capacity(text.len());
        let capacity = out.capacity();
        unescape(text, &mut out)?;
        assert_eq!(out.capacity(), capacity);
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn malformed_escapes_are_refused() {
        for text in [
            r"\",
            r"\x",
            r"\u",
            r"\u004",
            r"\u00g0",
            r"\u+041",
            r"\ud800",
            r"\ud800x",
            r"\ud800\n",
            r"\ud800\ud800",
            r"\udc00",
            r"\udc00\ud800",
            r"\u00é",
        ] {
            assert_eq!(unescaped(text), None, "{text}");
        }
    }

    #[test]
    fn escapes_become_what_they_stand_for() {
        assert_eq!(unescaped(r#"a\"\\\/\b\f\n\r\tz"#).unwrap(), "a\"\\/\u{8}\u{c}\n\r\tz");
        assert_eq!(unescaped(r"\u0041\u00e9\u20AC\ud83d\ude00").unwrap(), "Aé€😀");
        assert_eq!(unescaped("plain é").unwrap(), "plain é");
        assert_eq!(unescaped("").unwrap(), "");
    }

    proptest::proptest! {
        #[test]
        fn unescaping_agrees_with_the_json_parser(text in r#"(\\["\\/bfnrtux]|\\u[0-9a-fd]{4}|\\ud[89a-f][0-9a-f]{2}|[a-z\u{80}-\u{10ffff}]){0,12}"#) {
            let expected: Option<String> = serde_json::from_str(&format!("\"{text}\"")).ok();
            proptest::prop_assert_eq!(unescaped(&text), expected);
        }
    }
}
