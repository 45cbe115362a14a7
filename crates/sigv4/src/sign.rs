//! The signer: for tests, the bench and clients of this project. Its counterpart is [`Claim`](crate::Claim).

use std::borrow::Cow;

use http::HeaderMap;
use strongroom_types::{Credential, Timestamp};

use crate::authorization;
use crate::canonical::{RequestView, SIGNATURE_PARAMETER, Subject, sha256_hex};
use crate::date::SignedAt;
use crate::error::SignatureError;
use crate::key::{ALGORITHM, SigningKey, TERMINATOR};
use crate::presigned::{
    ALGORITHM_PARAMETER, CREDENTIAL_PARAMETER, DATE_PARAMETER, EXPIRES_PARAMETER, SECURITY_TOKEN_PARAMETER,
    SIGNED_HEADERS_PARAMETER,
};
use crate::signed_headers::SignedHeaders;
use crate::uri;

/// Headers that a proxy or an HTTP library may change on the way: the same as the SDKs leave out.
const UNSIGNED_HEADERS: [&str; 12] = [
    "authorization",
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-amzn-trace-id",
];

/// Who signs, when, and for what.
#[derive(Debug, Clone, Copy)]
pub struct SigningScope<'a> {
    pub access_key_id: &'a str,
    pub region: &'a str,
    pub service: &'a str,
    pub signed_at: Timestamp,
}

impl SigningScope<'_> {
    /// The key for this scope.
    pub fn derive_key(&self, secret: &Credential) -> SigningKey {
        let date = self.signed_at.to_basic_iso8601();
        SigningKey::derive(secret, date.get(..8).unwrap_or_default(), self.region, self.service)
    }

    fn credential(&self, signed_at: &SignedAt<'_>) -> String {
        format!("{}/{}/{}/{}/{TERMINATOR}", self.access_key_id, signed_at.day(), self.region, self.service)
    }
}

/// The value of the `Authorization` header.
///
/// All of the request's headers are signed but those that may change on the way. `host` and `x-amz-date` (or `date`,
/// with the scope's instant) must be among them already, and `x-amz-security-token` for session credentials.
pub fn sign(
    request: &RequestView<'_>,
    body: &[u8],
    scope: &SigningScope<'_>,
    key: &SigningKey,
) -> Result<String, SignatureError> {
    let signed_headers = headers_to_sign(request.headers)?;
    let signed_at = authorization::find_date(request.headers)?.ok_or(SignatureError::Missing)??;
    if signed_at.at.as_secs() != scope.signed_at.as_secs() {
        return Err(SignatureError::DateMalformed { date: signed_at.text.into_owned() });
    }
    let signature = signature(request, body, &signed_headers, &signed_at, scope, key)?;
    Ok(format!(
        "{ALGORITHM} Credential={}, SignedHeaders={}, Signature={signature}",
        scope.credential(&signed_at),
        signed_headers.as_str()
    ))
}

/// The query of a presigned request: the request's own, followed by the parameters of the signature.
///
/// The headers to be sent must be there already, `host` above all; they are signed as in [`sign`]. The body is signed
/// too: unlike S3's, a presigned request of KMS is good for one body.
pub fn presign(
    request: &RequestView<'_>,
    body: &[u8],
    scope: &SigningScope<'_>,
    expires_secs: u64,
    security_token: Option<&str>,
    key: &SigningKey,
) -> Result<String, SignatureError> {
    let signed_headers = headers_to_sign(request.headers)?;
    let signed_at = SignedAt { at: scope.signed_at, text: Cow::Owned(scope.signed_at.to_basic_iso8601()) };
    let credential = scope.credential(&signed_at);
    let expires = expires_secs.to_string();
    let mut query = request.query.as_bytes().to_vec();
    for (name, value) in [
        (ALGORITHM_PARAMETER, Some(ALGORITHM)),
        (CREDENTIAL_PARAMETER, Some(credential.as_str())),
        (DATE_PARAMETER, Some(signed_at.text.as_ref())),
        (EXPIRES_PARAMETER, Some(expires.as_str())),
        (SECURITY_TOKEN_PARAMETER, security_token),
        (SIGNED_HEADERS_PARAMETER, Some(signed_headers.as_str())),
    ] {
        let Some(value) = value else { continue };
        if !query.is_empty() {
            query.push(b'&');
        }
        query.extend_from_slice(name.as_bytes());
        query.push(b'=');
        uri::write_encoded(value.as_bytes(), &mut query);
    }
    // INVARIANT: text, followed by ASCII, is text.
    let query = String::from_utf8(query).map_err(|_| SignatureError::QueryMalformed)?;
    let unsigned = RequestView { query: &query, ..*request };
    let signature = signature(&unsigned, body, &signed_headers, &signed_at, scope, key)?;
    Ok(format!("{query}&{SIGNATURE_PARAMETER}={signature}"))
}

fn headers_to_sign(headers: &HeaderMap) -> Result<SignedHeaders<'static>, SignatureError> {
    let mut names: Vec<&str> =
        headers.keys().map(|name| name.as_str()).filter(|name| !UNSIGNED_HEADERS.contains(name)).collect();
    names.sort_unstable();
    let signed_headers = SignedHeaders::parse(Cow::Owned(names.join(";")))?;
    signed_headers.check_host()?;
    Ok(signed_headers)
}

fn signature(
    request: &RequestView<'_>,
    body: &[u8],
    signed_headers: &SignedHeaders<'_>,
    signed_at: &SignedAt<'_>,
    scope: &SigningScope<'_>,
    key: &SigningKey,
) -> Result<String, SignatureError> {
    let subject = Subject {
        request,
        body_hash: &sha256_hex(body),
        signed_headers,
        signed_at,
        region: scope.region,
        service: scope.service,
        is_presigned: false,
    };
    let signature = key.sign(&subject.string_to_sign()?);
    Ok(signature.iter().copied().map(char::from).collect())
}
