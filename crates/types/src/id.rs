//! Ids, each with the form that AWS gives it.

use std::fmt;
use std::str::FromStr;

use crate::log_safe::LogSafe;

/// A text that is not of the form asked for. The text itself is kept for the message: ids are not secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not {expected}")]
pub struct ParseIdError {
    expected: &'static str,
    found: String,
}

impl ParseIdError {
    pub(crate) fn new(expected: &'static str, found: &str) -> Self {
        // A wrong id may be as long as a request body; its beginning is enough to recognise it.
        Self { expected, found: found.chars().take(128).collect() }
    }
}

/// An account: twelve digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(u64);

impl AccountId {
    /// The account that nobody has.
    pub const NONE: Self = Self(0);

    pub fn parse(text: &str) -> Result<Self, ParseIdError> {
        let error = || ParseIdError::new("an account id of twelve digits", text);
        if text.len() != 12 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(error());
        }
        text.parse().map(Self).map_err(|_| error())
    }

    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}", self.0)
    }
}

impl LogSafe for AccountId {}

/// The name of a KMS key: a UUID, or `mrk-` and 32 hex digits for a multi-Region key.
///
/// Source: AWS KMS developer guide, "Key identifiers (KeyId)".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId {
    bytes: [u8; 16],
    multi_region: bool,
}

impl KeyId {
    /// A single-Region key's id from sixteen random bytes; version and variant bits of RFC 9562 (UUIDv4) are set.
    pub fn single_region(random: [u8; 16]) -> Self {
        Self { bytes: uuid_v4(random), multi_region: false }
    }

    pub const fn from_parts(bytes: [u8; 16], multi_region: bool) -> Self {
        Self { bytes, multi_region }
    }

    pub fn parse(text: &str) -> Result<Self, ParseIdError> {
        let parsed = match text.strip_prefix("mrk-") {
            Some(hex) => parse_hex(hex).map(|bytes| Self { bytes, multi_region: true }),
            None => parse_uuid(text).map(|bytes| Self { bytes, multi_region: false }),
        };
        parsed.ok_or_else(|| ParseIdError::new("a key id", text))
    }

    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.bytes
    }

    pub const fn is_multi_region(&self) -> bool {
        self.multi_region
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.multi_region {
            f.write_str("mrk-")?;
            write_hex(&self.bytes, f)
        } else {
            write_uuid(&self.bytes, f)
        }
    }
}

impl LogSafe for KeyId {}

/// The id of one key material: 32 bytes, 64 hex digits. Its first eight bytes are the tag in ciphertext blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MaterialId([u8; 32]);

impl MaterialId {
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub fn parse(text: &str) -> Result<Self, ParseIdError> {
        parse_hex(text).map(Self).ok_or_else(|| ParseIdError::new("a key material id of 64 hex digits", text))
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub fn tag(&self) -> [u8; 8] {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        [a, b, c, d, e, f, g, h]
    }
}

impl fmt::Display for MaterialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl LogSafe for MaterialId {}

/// The id of a grant: 32 bytes, 64 hex digits.
///
/// Its first half says whose grant it is (see `crypto`'s `grantee_tag`), so that the grants of one principal on one key
/// stand next to each other; its second half tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantId([u8; 32]);

impl GrantId {
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub fn from_halves(grantee: [u8; 16], own: [u8; 16]) -> Self {
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(grantee.into_iter().chain(own)).for_each(|(to, from)| *to = from);
        Self(bytes)
    }

    pub fn parse(text: &str) -> Result<Self, ParseIdError> {
        parse_hex(text).map(Self).ok_or_else(|| ParseIdError::new("a grant id of 64 hex digits", text))
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The half that all grants of one principal on one key share.
    pub fn grantee_tag(&self) -> [u8; 16] {
        let mut tag = [0; 16];
        tag.iter_mut().zip(self.0).for_each(|(to, from)| *to = from);
        tag
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl LogSafe for GrantId {}

/// The id of a request, and of its audit record: a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId([u8; 16]);

impl RequestId {
    pub fn from_random(random: [u8; 16]) -> Self {
        Self(uuid_v4(random))
    }

    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub fn parse(text: &str) -> Result<Self, ParseIdError> {
        parse_uuid(text).map(Self).ok_or_else(|| ParseIdError::new("a request id", text))
    }

    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_uuid(&self.0, f)
    }
}

impl LogSafe for RequestId {}

/// An access key id: 16 to 128 characters of `[A-Z0-9a-z_]` (IAM API reference, AccessKey).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccessKeyId(Box<str>);

impl AccessKeyId {
    pub fn parse(text: &str) -> Result<Self, ParseIdError> {
        let shaped =
            (16..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !shaped {
            return Err(ParseIdError::new("an access key id", text));
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl LogSafe for AccessKeyId {}

/// An alias with its prefix: `alias/` and one to 250 characters of `[a-zA-Z0-9/_-]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AliasName(Box<str>);

impl AliasName {
    pub const PREFIX: &'static str = "alias/";
    /// Names that begin so belong to AWS's services and cannot be created, changed or deleted.
    pub const RESERVED_PREFIX: &'static str = "alias/aws/";

    pub fn parse(text: &str) -> Result<Self, ParseIdError> {
        let name = text.strip_prefix(Self::PREFIX).unwrap_or_default();
        let shaped = !name.is_empty()
            && text.len() <= 256
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-'));
        if !shaped {
            return Err(ParseIdError::new("an alias name such as alias/app", text));
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_reserved(&self) -> bool {
        self.0.starts_with(Self::RESERVED_PREFIX)
    }
}

impl fmt::Display for AliasName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl LogSafe for AliasName {}

macro_rules! from_str {
    ($($name:ident),+) => {$(
        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                Self::parse(text)
            }
        }
    )+};
}

from_str!(AccessKeyId, AccountId, AliasName, GrantId, KeyId, MaterialId, RequestId);

/// Sets the version and variant bits of a random UUID (RFC 9562 section 5.4).
fn uuid_v4(mut bytes: [u8; 16]) -> [u8; 16] {
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    bytes
}

fn nibble(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// Exactly `2 * N` lower-case hex digits.
fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        *byte = nibble(high)? << 4 | nibble(low)?;
    }
    Some(out)
}

/// `8-4-4-4-12` lower-case hex digits.
fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    if text.len() != 36 {
        return None;
    }
    let mut digits = [0_u8; 32];
    let mut free = digits.iter_mut();
    for (at, byte) in text.bytes().enumerate() {
        match (at, byte) {
            (8 | 13 | 18 | 23, b'-') => {}
            (8 | 13 | 18 | 23, _) => return None,
            _ => *free.next()? = byte,
        }
    }
    parse_hex(std::str::from_utf8(&digits).ok()?)
}

const HEX: &[u8; 16] = b"0123456789abcdef";

#[expect(clippy::indexing_slicing, reason = "a nibble is less than the sixteen digits")]
const fn hex_digits(byte: u8) -> [u8; 2] {
    [HEX[(byte >> 4) as usize], HEX[(byte & 15) as usize]]
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // Sixteen bytes at a time: ids are written on the hot path, and one write of a run beats one per digit.
    for run in bytes.chunks(16) {
        let mut text = [0_u8; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(run) {
            pair.copy_from_slice(&hex_digits(*byte));
        }
        let text = text.get(..run.len() * 2).unwrap_or_default();
        f.write_str(std::str::from_utf8(text).unwrap_or_default())?;
    }
    Ok(())
}

fn write_uuid(bytes: &[u8; 16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = [b'-'; 36];
    let places = (0..36).filter(|at| !matches!(at, 8 | 13 | 18 | 23));
    let digits = bytes.iter().flat_map(|byte| hex_digits(*byte));
    for (at, digit) in places.zip(digits) {
        if let Some(place) = text.get_mut(at) {
            *place = digit;
        }
    }
    f.write_str(std::str::from_utf8(&text).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_key_ids_are_refused() {
        for text in [
            "",
            "1234abcd-12ab-34cd-56ef-1234567890a",
            "1234ABCD-12ab-34cd-56ef-1234567890ab",
            "1234abcd12ab34cd56ef1234567890ab",
            "1234abcd-12ab-34cd-56ef+1234567890ab",
            "mrk-1234abcd12ab34cd56ef1234567890a",
            "mrk-1234abcd-12ab-34cd-56ef-1234567890ab",
            "mrk-1234ABCD12ab34cd56ef1234567890ab",
            "alias/x",
            "1234abcd-12ab-34cd-56ef-1234567890é",
        ] {
            assert!(KeyId::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn key_ids_round_trip() {
        for text in ["1234abcd-12ab-34cd-56ef-1234567890ab", "mrk-1234abcd12ab34cd56ef1234567890ab"] {
            assert_eq!(KeyId::parse(text).unwrap().to_string(), text);
        }
        let id = KeyId::single_region([0xff; 16]);
        assert_eq!(id.to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }

    #[test]
    fn accounts_are_twelve_digits() {
        for text in ["", "12345678901", "1234567890123", "12345678901a", "+12345678901", " 12345678901"] {
            assert!(AccountId::parse(text).is_err(), "{text}");
        }
        assert_eq!(AccountId::parse("000000000001").unwrap().to_string(), "000000000001");
    }

    #[test]
    fn aliases_keep_to_their_alphabet_and_length() {
        for text in ["", "alias", "alias/", "alias/a b", "alias/a:b", "alias/ä", "Alias/x", "x"] {
            assert!(AliasName::parse(text).is_err(), "{text}");
        }
        assert!(AliasName::parse(&format!("alias/{}", "a".repeat(251))).is_err());
        assert!(AliasName::parse(&format!("alias/{}", "a".repeat(250))).is_ok());
        assert!(AliasName::parse("alias/aws/s3").unwrap().is_reserved());
        assert!(!AliasName::parse("alias/awsome").unwrap().is_reserved());
    }

    #[test]
    fn material_ids_round_trip_and_lend_their_tag() {
        let text = "0123456789abcdef".repeat(4);
        let id = MaterialId::parse(&text).unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(id.tag(), [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]);
        assert!(MaterialId::parse(&text.to_uppercase()).is_err());
    }

    #[test]
    fn grant_ids_round_trip_and_lend_their_tag() {
        for text in ["", "00", &"0".repeat(63), &"0".repeat(65), &"0123456789ABCDEF".repeat(4)] {
            assert!(GrantId::parse(text).is_err(), "{text}");
        }
        let text = "0123456789abcdef".repeat(4);
        let id = GrantId::parse(&text).unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(GrantId::from_halves(id.grantee_tag(), [7; 16]).grantee_tag(), id.grantee_tag());
        assert_eq!(GrantId::from_halves([1; 16], [2; 16]).as_bytes(), &[[1; 16], [2; 16]].concat()[..]);
    }
}
