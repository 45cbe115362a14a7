//! The list of headers that a signature covers.

use std::borrow::Cow;

use http::HeaderMap;
use strongroom_types::limits::REQUEST_HEADERS_MAX;

use crate::error::SignatureError;

/// `content-type;host;x-amz-date`: names without upper-case letters in ascending order, each once, at most
/// [`REQUEST_HEADERS_MAX`].
///
/// INVARIANT: the names are strictly ascending, hence distinct.
///
/// A list that is not so is refused. Every signer of AWS's sorts it, because the specification asks for it; a list in
/// another order would give one request several signatures. Characters that no header name has are not looked for:
/// such a name is not among the request's headers, and [`Claim::verify`](crate::Claim::verify) refuses it for that.
#[derive(Debug, Clone)]
pub(crate) struct SignedHeaders<'a> {
    text: Cow<'a, str>,
    has_host: bool,
    amz_count: usize,
}

impl<'a> SignedHeaders<'a> {
    pub(crate) fn parse(text: Cow<'a, str>) -> Result<Self, SignatureError> {
        // HeaderMap ignores case when it looks for a name; the canonical form does not.
        let has_upper_case = text.bytes().fold(false, |found, byte| found | byte.is_ascii_uppercase());
        let mut previous = "";
        let (mut has_host, mut amz_count) = (false, 0);
        for (count, name) in text.split(';').enumerate() {
            // An empty name is not greater than an empty `previous`, so it is refused wherever it stands.
            if name <= previous || count >= REQUEST_HEADERS_MAX || has_upper_case {
                return Err(SignatureError::SignedHeadersMalformed);
            }
            has_host |= name == "host";
            amz_count += usize::from(is_amz(name));
            previous = name;
        }
        Ok(Self { text, has_host, amz_count })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.text.split(';')
    }

    /// `host` says for whom the request is meant.
    pub(crate) fn check_host(&self) -> Result<(), SignatureError> {
        if self.has_host { Ok(()) } else { Err(SignatureError::HostUnsigned) }
    }

    /// An `x-amz-*` header may change what the request means: none may be there unsigned.
    ///
    /// INVARIANT: this is half of the check; the other half is that the canonical form refuses a signed header that was
    /// not sent. Names are distinct on both sides, so if all signed ones were sent, and no more were sent than signed,
    /// then all sent ones are signed. Counting costs nothing, however many headers a stranger sends.
    pub(crate) fn check_cover(&self, headers: &HeaderMap) -> Result<(), SignatureError> {
        let sent_count = headers.keys().filter(|name| is_amz(name.as_str())).count();
        if sent_count > self.amz_count { Err(SignatureError::HeadersUnsigned) } else { Ok(()) }
    }
}

fn is_amz(name: &str) -> bool {
    name.starts_with("x-amz-")
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn parse(text: &str) -> Result<SignedHeaders<'_>, SignatureError> {
        SignedHeaders::parse(Cow::Borrowed(text))
    }

    fn headers(names: &[&'static str]) -> HeaderMap {
        names.iter().map(|name| (HeaderName::from_static(name), HeaderValue::from_static("x"))).collect()
    }

    #[test]
    fn lists_that_are_not_canonical_are_refused() {
        for text in ["", ";", "host;", ";host", "a;;b", "b;a", "a;a", "Host", "a; b", "a;B", "hosT"] {
            assert_eq!(parse(text).err(), Some(SignatureError::SignedHeadersMalformed), "{text}");
        }
        assert!(parse("a;b;host;x-amz-date").is_ok());
    }

    #[test]
    fn one_name_past_the_limit_is_refused() {
        let list = |count: usize| (0..count).map(|n| format!("a{n:03}")).collect::<Vec<_>>().join(";");
        assert!(parse(&list(REQUEST_HEADERS_MAX + 1)).is_err());
        assert!(parse(&list(REQUEST_HEADERS_MAX)).is_ok());
    }

    #[test]
    fn host_must_be_signed() {
        assert_eq!(parse("hostess;x-amz-date").unwrap().check_host(), Err(SignatureError::HostUnsigned));
        assert_eq!(parse("content-type;host").unwrap().check_host(), Ok(()));
    }

    #[test]
    fn amz_headers_must_be_signed() {
        let signed = parse("host;x-amz-date").unwrap();
        let sent = headers(&["host", "x-amz-date", "x-amz-target"]);
        assert_eq!(signed.check_cover(&sent), Err(SignatureError::HeadersUnsigned));
        assert_eq!(
            signed.check_cover(&headers(&["host", "x-amz-date", "accept", "x-amzn-trace-id"])),
            Ok(())
        );
    }

    #[test]
    fn repeated_amz_headers_count_once() {
        let mut sent = headers(&["host", "x-amz-date", "x-amz-target"]);
        sent.append("x-amz-date", HeaderValue::from_static("y"));
        assert_eq!(
            parse("host;x-amz-date").unwrap().check_cover(&sent),
            Err(SignatureError::HeadersUnsigned)
        );
        assert_eq!(parse("host;x-amz-date;x-amz-target").unwrap().check_cover(&sent), Ok(()));
    }
}
