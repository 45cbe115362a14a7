//! Signatures, in the header and in the query.

use std::str;

use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use strongroom_sigv4::{Claim, RequestView, SignatureError, SigningKey, SigningScope, presign, sign};
use strongroom_types::{Credential, Timestamp};

const DATE: &str = "20150830T123600Z";
/// AWS's example, as in its public test suite.
const SECRET: &[u8] = b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const OTHER_SECRET: &[u8] = b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEZ";

/// A request as it travels: `POST /path?query`, lines `name: value`, an empty line, the body.
struct Sent {
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Sent {
    /// `None` for what no HTTP library would hand on.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let split = bytes.windows(2).position(|pair| pair == b"\n\n");
        let (head, body) = match split {
            Some(at) => (&bytes[..at], &bytes[at + 2..]),
            None => (bytes, &[][..]),
        };
        let mut lines = head.split(|byte| *byte == b'\n');
        let (method, target) = str::from_utf8(lines.next()?).ok()?.split_once(' ')?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut headers = HeaderMap::new();
        for line in lines.take(150) {
            let at = line.iter().position(|byte| *byte == b':')?;
            let name = HeaderName::from_bytes(&line[..at]).ok()?;
            headers.append(name, HeaderValue::from_bytes(line[at + 1..].trim_ascii_start()).ok()?);
        }
        let method = Method::from_bytes(method.as_bytes()).ok()?;
        Some(Self { method, path: path.to_owned(), query: query.to_owned(), headers, body: body.to_vec() })
    }

    fn view(&self) -> RequestView<'_> {
        RequestView { method: &self.method, path: &self.path, query: &self.query, headers: &self.headers }
    }

    /// The walk of the pipeline.
    fn check(&self, secret: &[u8]) -> Result<(), SignatureError> {
        let view = self.view();
        let claim = Claim::parse(&view)?;
        claim.check_time(now())?;
        claim.check_scope("kms", |region| region == "us-east-1")?;
        let key = SigningKey::derive(
            &Credential::new(secret.to_vec()),
            claim.scope_date(),
            claim.scope_region(),
            claim.scope_service(),
        );
        claim.verify(&view, &self.body, &key)
    }

    fn set(&mut self, name: HeaderName, value: &str) {
        self.headers.insert(name, HeaderValue::from_str(value).expect("what the signer makes is a header"));
    }
}

/// Nobody is accepted with another secret. What our own signer signs is accepted, and nothing else of it is: not another
/// body, another method, another secret.
pub(crate) fn header(bytes: &[u8]) {
    let Some(mut sent) = Sent::parse(bytes) else { return };
    check_received(&sent);
    sent.headers.remove(AUTHORIZATION);
    sent.set(HeaderName::from_static("x-amz-date"), DATE);
    if !sent.headers.contains_key(HOST) {
        sent.set(HOST, "kms.example.com");
    }
    if let Ok(value) = sign(&sent.view(), &sent.body, &scope(), &key()) {
        sent.set(AUTHORIZATION, &value);
        check_signed(sent);
    }
}

/// As [`header`], for the query.
pub(crate) fn query(bytes: &[u8]) {
    let Some(mut sent) = Sent::parse(bytes) else { return };
    check_received(&sent);
    sent.headers.remove(AUTHORIZATION);
    let token = sent.headers.remove("x-amz-security-token");
    let token = token.as_ref().and_then(|value| value.to_str().ok());
    if !sent.headers.contains_key(HOST) {
        sent.set(HOST, "kms.example.com");
    }
    let expires = u64::from(sent.body.first().copied().unwrap_or_default());
    if let Ok(query) = presign(&sent.view(), &sent.body, &scope(), expires, token, &key()) {
        sent.query = query;
        check_signed(sent);
    }
}

fn check_received(sent: &Sent) {
    let refusal = sent.check(OTHER_SECRET).expect_err("accepted with the wrong secret");
    assert!(!refusal.code().is_empty());
    // Longer than all that it repeats could make it.
    assert!(refusal.to_string().len() < 64 * 1024);
    let checked = sent.check(SECRET);
    assert_eq!(checked, sent.check(SECRET));
    if let Err(refusal) = checked {
        assert!(refusal == sent.check(OTHER_SECRET).unwrap_err(), "the refusal depends on the secret");
    }
}

fn check_signed(mut sent: Sent) {
    match sent.check(SECRET) {
        Ok(()) => {}
        // The signer does not judge what the request said before it came.
        Err(
            SignatureError::ContentHashUnsupported
            | SignatureError::ContentHashWrong
            | SignatureError::HeaderAndQuery
            | SignatureError::ParameterRepeated { .. }
            | SignatureError::QueryMalformed
            | SignatureError::QueryTooLong
            | SignatureError::TokenMalformed,
        ) => return,
        Err(error) => panic!("what was signed is refused: {error:?}"),
    }
    assert_eq!(sent.check(OTHER_SECRET), Err(SignatureError::Mismatch));
    sent.body.push(b'x');
    assert!(sent.check(SECRET).is_err(), "another body");
    sent.body.pop();
    let method = std::mem::replace(&mut sent.method, Method::TRACE);
    assert!(method == sent.method || sent.check(SECRET).is_err(), "another method");
    sent.method = method;
    sent.query.push_str("&more=1");
    assert!(sent.check(SECRET).is_err(), "another query");
}

fn now() -> Timestamp {
    Timestamp::parse_basic_iso8601(DATE).expect("a date")
}

fn scope() -> SigningScope<'static> {
    SigningScope { access_key_id: "AKIDEXAMPLE", region: "us-east-1", service: "kms", signed_at: now() }
}

fn key() -> SigningKey {
    scope().derive_key(&Credential::new(SECRET.to_vec()))
}
