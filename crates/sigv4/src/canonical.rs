//! What exactly is signed: the canonical request and the string to sign.
//!
//! Source: IAM user guide, "Create a signed AWS API request", steps 1 to 3. Built as bytes, because a header's value
//! need not be UTF-8: such bytes are signed as they are.
//!
//! **Header values.** Spaces and tabs at the ends go away, runs of them inside become one space, also inside quotes;
//! several headers of one name are joined with `,` in the order sent. The guide says "sequential spaces"; botocore and
//! the SDKs for Java, JavaScript and C fold tabs too, and so do we. The SDKs for Rust and Go leave a tab inside a
//! value as it is: that is the one ASCII value on which signers disagree, and no SDK sends it.
//!
//! **Body.** Always the SHA-256 of the bytes that were received.

use aws_lc_rs::digest;
use hex_simd::AsciiCase;
use http::{HeaderMap, Method};

use crate::date::SignedAt;
use crate::error::SignatureError;
use crate::key::{ALGORITHM, TERMINATOR};
use crate::signed_headers::SignedHeaders;
use crate::uri;

pub(crate) const SIGNATURE_PARAMETER: &str = "X-Amz-Signature";

/// Room for the canonical request of an ordinary call; a session token makes the buffer grow once.
const CANONICAL_BYTES_USUAL: usize = 1024;

/// The parts of a request that a signature covers, besides the body. Nothing is decoded: what was sent is what was
/// signed.
#[derive(Debug, Clone, Copy)]
pub struct RequestView<'a> {
    pub method: &'a Method,
    /// The path as it stood in the request line.
    pub path: &'a str,
    /// The query as it stood in the request line, without `?`; empty if there was none.
    pub query: &'a str,
    /// With `host`, also where HTTP/2 has `:authority` instead.
    pub headers: &'a HeaderMap,
}

/// Everything that goes into a string to sign.
pub(crate) struct Subject<'a> {
    pub(crate) request: &'a RequestView<'a>,
    pub(crate) body_hash: &'a HexHash,
    pub(crate) signed_headers: &'a SignedHeaders<'a>,
    pub(crate) signed_at: &'a SignedAt<'a>,
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
    /// The signature is in the query, which therefore is signed without it.
    pub(crate) is_presigned: bool,
}

/// A SHA-256 hash in lower-case hexadecimal digits.
pub(crate) type HexHash = [u8; 64];

impl Subject<'_> {
    /// `"AWS4-HMAC-SHA256" LF time LF day/region/service/aws4_request LF hex(SHA-256(canonical request))`.
    pub(crate) fn string_to_sign(&self) -> Result<Vec<u8>, SignatureError> {
        let mut out = Vec::with_capacity(CANONICAL_BYTES_USUAL);
        self.write_canonical_request(&mut out)?;
        let request_hash = sha256_hex(&out);
        out.clear();
        for part in [
            ALGORITHM,
            "\n",
            &self.signed_at.text,
            "\n",
            self.signed_at.day(),
            "/",
            self.region,
            "/",
            self.service,
            "/",
            TERMINATOR,
            "\n",
        ] {
            out.extend_from_slice(part.as_bytes());
        }
        out.extend_from_slice(&request_hash);
        Ok(out)
    }

    /// `method LF path LF query LF (name ":" value LF)* LF signed headers LF hex(SHA-256(body))`.
    fn write_canonical_request(&self, out: &mut Vec<u8>) -> Result<(), SignatureError> {
        let request = self.request;
        out.extend_from_slice(request.method.as_str().as_bytes());
        out.push(b'\n');
        uri::write_path(request.path, out);
        out.push(b'\n');
        uri::write_query(request.query, self.is_presigned.then_some(SIGNATURE_PARAMETER), out)?;
        out.push(b'\n');
        for name in self.signed_headers.names() {
            write_header(name, request.headers, out)?;
        }
        out.push(b'\n');
        out.extend_from_slice(self.signed_headers.as_str().as_bytes());
        out.push(b'\n');
        out.extend_from_slice(self.body_hash);
        Ok(())
    }
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> HexHash {
    let mut hash = [0; 64];
    let digest = digest::digest(&digest::SHA256, bytes);
    let _ = hex_simd::encode(digest.as_ref(), hex_simd::Out::from_slice(&mut hash), AsciiCase::Lower);
    hash
}

fn write_header(name: &str, headers: &HeaderMap, out: &mut Vec<u8>) -> Result<(), SignatureError> {
    out.extend_from_slice(name.as_bytes());
    let mut separator = b':';
    for value in headers.get_all(name) {
        out.push(separator);
        write_folded(value.as_bytes(), out);
        separator = b',';
    }
    if separator == b':' {
        // No signer signs a header that it does not send; something on the way has taken it out. `check_cover` counts
        // on this refusal.
        return Err(SignatureError::Mismatch);
    }
    out.push(b'\n');
    Ok(())
}

fn write_folded(value: &[u8], out: &mut Vec<u8>) {
    // Nearly every value is canonical already. Finding that out has no branches, so it takes a few nanoseconds.
    let next = value.iter().skip(1).chain(b" ");
    let needs_folding = value.first() == Some(&b' ')
        || value.iter().zip(next).fold(false, |found, (byte, next)| {
            found | (*byte == b'\t') | ((*byte == b' ') & (*next == b' '))
        });
    if !needs_folding {
        out.extend_from_slice(value);
        return;
    }
    let mut words = value.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    if let Some(first) = words.next() {
        out.extend_from_slice(first);
    }
    for word in words {
        out.push(b' ');
        out.extend_from_slice(word);
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use http::HeaderValue;

    use super::*;

    fn folded(value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write_folded(value, &mut out);
        out
    }

    #[test]
    fn values_are_trimmed_and_folded() {
        for (value, canonical) in [
            (&b""[..], &b""[..]),
            (b"   ", b""),
            (b"a", b"a"),
            (b"  a  b   c ", b"a b c"),
            (b"\"a   b\"", b"\"a b\""),
            (b"a\tb\t \tc", b"a b c"),
            (b"a,  b", b"a, b"),
            (b"\xff \xfe\xa0", b"\xff \xfe\xa0"),
        ] {
            assert_eq!(folded(value), canonical, "{value:?}");
        }
    }

    #[test]
    fn canonical_request_has_its_published_form() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("my-header1", "value2"), ("host", " example.com:8080 "), ("my-header1", "value  1")]
        {
            headers.append(name, HeaderValue::from_static(value));
        }
        let request =
            RequestView { method: &Method::POST, path: "//a b/", query: "b=1&a=2", headers: &headers };
        let subject = Subject {
            request: &request,
            body_hash: &sha256_hex(b""),
            signed_headers: &SignedHeaders::parse(Cow::Borrowed("host;my-header1")).unwrap(),
            signed_at: &SignedAt::parse_date_header("20150830T123600Z").unwrap(),
            region: "us-east-1",
            service: "kms",
            is_presigned: false,
        };
        let mut canonical = Vec::new();
        subject.write_canonical_request(&mut canonical).unwrap();
        assert_eq!(
            String::from_utf8(canonical.clone()).unwrap(),
            "POST\n/a%20b/\na=2&b=1\nhost:example.com:8080\nmy-header1:value2,value 1\n\nhost;my-header1\n\
             e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        let text = String::from_utf8(subject.string_to_sign().unwrap()).unwrap();
        let hash = String::from_utf8(sha256_hex(&canonical).to_vec()).unwrap();
        assert_eq!(
            text,
            format!("AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/kms/aws4_request\n{hash}")
        );
    }
}
