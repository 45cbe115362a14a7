//! Requests as an SDK sends them: the same headers, signed the same way.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use strongroom_sigv4::{RequestView, SigningScope, sign};
use strongroom_types::{Credential, Timestamp};

use crate::error::BenchError;

pub(crate) const REGION: &str = "us-east-1";
const JSON: &str = "application/x-amz-json-1.1";
/// As long as botocore's.
const USER_AGENT: &str = concat!(
    "strongroom-bench/",
    env!("CARGO_PKG_VERSION"),
    " ua/2.1 os/linux#6.1.0 md/arch#x86_64 lang/rust md/rustc cfg/retry-mode#standard m/Z,b,E cfg/bench#1"
);

/// The caller: the account's root.
#[derive(Debug)]
pub(crate) struct Signer {
    pub(crate) access_key_id: String,
    pub(crate) secret: Credential,
}

impl Signer {
    /// The bytes of one request to `operation`, signed now. `number` tells requests apart, as an invocation id does.
    pub(crate) fn request(
        &self,
        address: SocketAddr,
        operation: &str,
        body: &str,
        number: usize,
    ) -> Result<Vec<u8>, BenchError> {
        let scope = SigningScope {
            access_key_id: &self.access_key_id,
            region: REGION,
            service: "kms",
            signed_at: now(),
        };
        let date = scope.signed_at.to_basic_iso8601();
        let host = address.to_string();
        let target = format!("TrentService.{operation}");
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (CONTENT_TYPE, JSON),
            (HOST, &host),
            (HeaderName::from_static("x-amz-date"), &date),
            (HeaderName::from_static("x-amz-target"), &target),
        ] {
            // INVARIANT: all four are ASCII without line ends.
            headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        }
        let view = RequestView { method: &Method::POST, path: "/", query: "", headers: &headers };
        let authorization = sign(&view, body.as_bytes(), &scope, &scope.derive_key(&self.secret))?;
        let length = body.len();
        Ok(format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: identity\r\nX-Amz-Target: {target}\r\n\
             Content-Type: {JSON}\r\nUser-Agent: {USER_AGENT}\r\nX-Amz-Date: {date}\r\n\
             Authorization: {authorization}\r\namz-sdk-invocation-id: 00000000-0000-4000-8000-{number:012x}\r\n\
             amz-sdk-request: attempt=1\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .into_bytes())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this tool signs for a real server, whose clock is the machine's"
)]
fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_secs(since_epoch.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_whole_and_differ_in_their_number_alone() {
        let signer = Signer {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret: Credential::new(b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_vec()),
        };
        let address = "127.0.0.1:4599".parse().unwrap();
        let text = |number| {
            let request = signer.request(address, "DescribeKey", "{}", number).unwrap();
            String::from_utf8(request).unwrap()
        };
        let request = text(7);
        assert!(request.starts_with("POST / HTTP/1.1\r\nHost: 127.0.0.1:4599\r\n"));
        assert!(request.contains("SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature="));
        assert!(request.ends_with("Content-Length: 2\r\n\r\n{}"));
        assert_eq!(request.len(), text(8).len());
    }
}
