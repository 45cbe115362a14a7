//! The canonical form of a path and of a query, and percent-encoding.
//!
//! Source: IAM user guide, "Create a signed AWS API request", step 1, for services other than S3; RFC 3986 sections
//! 2.3 (unreserved characters) and 5.2.4 (dot segments). Where the guide says nothing, this is what `aws-sigv4`, the
//! signer of AWS's Rust SDK, does, unless it says otherwise here:
//!
//! - **Path.** Empty segments and `.` go away, `..` takes its predecessor along and stops at the root; then every byte
//!   that is not unreserved or `/` is encoded. The path was encoded once already on its way here, so `%20` becomes
//!   `%2520`, and `%2e%2e` is a name like any other. `/a/..` keeps its slash, as RFC 3986 has it (`/`), and so does
//!   `/a/b/..` (`/a/`), where botocore signs `/a`. An empty path is `/`.
//! - **Query.** Names and values are decoded, encoded again, and sorted by encoded name, then by encoded value. `+` is a
//!   space. A name without `=` has an empty value. Nothing between two `&` is nothing. An empty name is a name.
//! - A `%` that is not followed by two hexadecimal digits is refused in a query: what it means would be anybody's guess,
//!   and signers guess differently.

use std::borrow::Cow;

use strongroom_types::limits::REQUEST_QUERY_PARAMETERS_MAX;

use crate::error::SignatureError;

/// Appends the canonical form of a raw path.
pub(crate) fn write_path(raw: &str, out: &mut Vec<u8>) {
    // Every KMS request: one comparison.
    if raw.is_empty() || raw == "/" {
        out.push(b'/');
        return;
    }
    let mut segments: Vec<&str> = Vec::new();
    let mut last = "";
    for segment in raw.split('/') {
        last = segment;
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            name => segments.push(name),
        }
    }
    for segment in &segments {
        out.push(b'/');
        write_encoded(segment.as_bytes(), out);
    }
    if segments.is_empty() || matches!(last, "" | "." | "..") {
        out.push(b'/');
    }
}

/// The parameters of a raw query, in the order sent: name and value, still encoded.
pub(crate) fn parameters(raw: &str) -> impl Iterator<Item = (&str, &str)> {
    raw.split('&').filter(|piece| !piece.is_empty()).map(|piece| piece.split_once('=').unwrap_or((piece, "")))
}

/// Refuses a query with too many parameters before anything is decoded or sorted.
pub(crate) fn check_length(raw: &str) -> Result<(), SignatureError> {
    match parameters(raw).nth(REQUEST_QUERY_PARAMETERS_MAX) {
        Some(_) => Err(SignatureError::QueryTooLong),
        None => Ok(()),
    }
}

/// Appends the canonical form of a raw query, without the parameter `leave_out` (given decoded) if there is one.
pub(crate) fn write_query(
    raw: &str,
    leave_out: Option<&str>,
    out: &mut Vec<u8>,
) -> Result<(), SignatureError> {
    if raw.is_empty() {
        return Ok(());
    }
    check_length(raw)?;
    let mut pairs = parameters(raw)
        .map(|(name, value)| Ok((canonical_component(name)?, canonical_component(value)?)))
        .collect::<Result<Vec<_>, SignatureError>>()?;
    pairs.sort_unstable();
    let mut separator: &[u8] = b"";
    for (name, value) in &pairs {
        // INVARIANT: no name that is left out has a character that would be encoded.
        if leave_out.is_some_and(|left_out| left_out.as_bytes() == name.as_ref()) {
            continue;
        }
        out.extend_from_slice(separator);
        out.extend_from_slice(name);
        out.push(b'=');
        out.extend_from_slice(value);
        separator = b"&";
    }
    Ok(())
}

/// Decodes `%41` and `+`.
pub(crate) fn decode(encoded: &str) -> Result<Cow<'_, [u8]>, SignatureError> {
    if !encoded.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Ok(Cow::Borrowed(encoded.as_bytes()));
    }
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut bytes = encoded.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => escaped(bytes.next(), bytes.next()).ok_or(SignatureError::QueryMalformed)?,
            b'+' => b' ',
            plain => plain,
        });
    }
    Ok(Cow::Owned(decoded))
}

/// Decodes to text.
pub(crate) fn decode_text(encoded: &str) -> Result<Cow<'_, str>, SignatureError> {
    match decode(encoded)? {
        // Nothing was encoded: the bytes are those of `encoded` itself.
        Cow::Borrowed(_) => Ok(Cow::Borrowed(encoded)),
        Cow::Owned(bytes) => {
            String::from_utf8(bytes).map(Cow::Owned).map_err(|_| SignatureError::QueryMalformed)
        }
    }
}

/// Appends the bytes, all but the unreserved characters as `%XX` with upper-case digits.
pub(crate) fn write_encoded(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        if is_unreserved(*byte) {
            out.push(*byte);
        } else {
            out.extend_from_slice(&[b'%', upper_hex_digit(byte >> 4), upper_hex_digit(byte & 15)]);
        }
    }
}

/// RFC 3986 section 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn canonical_component(raw: &str) -> Result<Cow<'_, [u8]>, SignatureError> {
    if raw.bytes().all(is_unreserved) {
        return Ok(Cow::Borrowed(raw.as_bytes()));
    }
    let decoded = decode(raw)?;
    let mut encoded = Vec::with_capacity(raw.len());
    write_encoded(&decoded, &mut encoded);
    Ok(Cow::Owned(encoded))
}

fn escaped(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high?)? << 4 | digit(low?)?)
}

const fn upper_hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'A' + nibble - 10 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(raw: &str) -> String {
        let mut out = Vec::new();
        write_path(raw, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn query(raw: &str) -> Result<String, SignatureError> {
        let mut out = Vec::new();
        write_query(raw, Some("X-Amz-Signature"), &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn paths_are_normalised_then_encoded_again() {
        for (raw, canonical) in [
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            ("/.", "/"),
            ("/./", "/"),
            ("/..", "/"),
            ("/../../..", "/"),
            ("/../a", "/a"),
            ("/a/..", "/"),
            ("/a/../", "/"),
            ("/a/b/..", "/a/"),
            ("/a/b/.", "/a/b/"),
            ("/a/./b", "/a/b"),
            ("//a//b//", "/a/b/"),
            ("/...", "/..."),
            ("/.a/b.", "/.a/b."),
            ("*", "/%2A"),
            ("a/b", "/a/b"),
            ("/a b", "/a%20b"),
            ("/a%20b", "/a%2520b"),
            ("/%2e%2e/a", "/%252e%252e/a"),
            ("/a%2Fb", "/a%252Fb"),
            ("/%", "/%25"),
            ("/ሴ", "/%E1%88%B4"),
            ("/test/@connections/JBDvjfGEIAMCERw%3D", "/test/%40connections/JBDvjfGEIAMCERw%253D"),
            ("/-._~AZaz09", "/-._~AZaz09"),
            ("/a+b:@!$&'()*,;=", "/a%2Bb%3A%40%21%24%26%27%28%29%2A%2C%3B%3D"),
        ] {
            assert_eq!(path(raw), canonical, "{raw}");
        }
    }

    #[test]
    fn escapes_without_two_digits_are_refused() {
        for raw in ["a=%", "a=%4", "a=%4g", "a=%g4", "%=b", "a=%%41", "a=% 4", "a=%+4", "a=%4%41", "a=%é"] {
            assert_eq!(query(raw), Err(SignatureError::QueryMalformed), "{raw}");
        }
    }

    #[test]
    fn queries_are_decoded_encoded_and_sorted() {
        for (raw, canonical) in [
            ("", ""),
            ("&&", ""),
            ("a", "a="),
            ("a=", "a="),
            ("=", "="),
            ("=b", "=b"),
            ("a=b=c", "a=b%3Dc"),
            ("&a=1&&b=2&", "a=1&b=2"),
            ("b=1&a=2", "a=2&b=1"),
            ("a=2&a=1&a=10", "a=1&a=10&a=2"),
            ("a=1&a=1", "a=1&a=1"),
            ("a&A&a=", "A=&a=&a="),
            ("a=b+c", "a=b%20c"),
            ("a=b%2Bc", "a=b%2Bc"),
            ("a=%7e%41%2f", "a=~A%2F"),
            ("a=/?:@!$'()*,;", "a=%2F%3F%3A%40%21%24%27%28%29%2A%2C%3B"),
            ("ሴ=bar", "%E1%88%B4=bar"),
            ("a=%ff%00%0a", "a=%FF%00%0A"),
            // By name first: `-` sorts before `=`, so sorting whole pairs would turn these around.
            ("Param-3=Value3&Param=Value2", "Param=Value2&Param-3=Value3"),
            // By the encoded form: `%C3` sorts before `a`, `ä` would not.
            ("a=1&ä=2", "%C3%A4=2&a=1"),
            ("a=1&X-Amz-Signature=x&X-Amz-Signature%2D=y&X-Amz%2DSignature=z", "X-Amz-Signature-=y&a=1"),
        ] {
            assert_eq!(query(raw).as_deref(), Ok(canonical), "{raw}");
        }
    }

    #[test]
    fn one_parameter_past_the_limit_is_refused() {
        let past_limit = "a&".repeat(REQUEST_QUERY_PARAMETERS_MAX + 1);
        assert_eq!(query(&past_limit), Err(SignatureError::QueryTooLong));
        assert!(query(&"a&".repeat(REQUEST_QUERY_PARAMETERS_MAX)).is_ok());
    }

    #[test]
    fn text_that_decodes_to_other_than_utf8_is_refused() {
        assert_eq!(decode_text("%ff"), Err(SignatureError::QueryMalformed));
        assert_eq!(decode_text("a%2Fb+c").as_deref(), Ok("a/b c"));
        assert!(matches!(decode_text("plain"), Ok(Cow::Borrowed("plain"))));
    }
}
