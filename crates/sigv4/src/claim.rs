//! What a request claims, and whether the claim is true.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use aws_lc_rs::constant_time;
use http::{HeaderMap, HeaderName};
use strongroom_types::Timestamp;
use strongroom_types::limits::CLOCK_SKEW_SECS_MAX;

use crate::canonical::{HexHash, RequestView, Subject, sha256_hex};
use crate::date::SignedAt;
use crate::error::{SignatureError, echo};
use crate::key::{ALGORITHM, SigningKey, TERMINATOR};
use crate::signed_headers::SignedHeaders;
use crate::{authorization, presigned, uri};

static X_AMZ_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");

const CLOCK_SKEW_MAX: Duration = Duration::from_secs(CLOCK_SKEW_SECS_MAX);

/// What a request says of its signature, well-formed but not checked.
///
/// Believe nothing of it before [`Claim::verify`] has returned `Ok`: until then the access key id and the token are
/// what a stranger wrote.
pub struct Claim<'a> {
    credential: ScopedCredential<'a>,
    expires: Option<Duration>,
    is_presigned: bool,
    security_token: Option<Cow<'a, str>>,
    signature: Cow<'a, str>,
    signed_at: SignedAt<'a>,
    signed_headers: SignedHeaders<'a>,
}

/// The parts of a claim as they stand in the header or in the query, all present, none understood but the date.
pub(crate) struct ClaimParts<'a> {
    pub(crate) algorithm: Cow<'a, str>,
    pub(crate) credential: Cow<'a, str>,
    pub(crate) expires: Option<Duration>,
    pub(crate) is_presigned: bool,
    pub(crate) security_token: Option<Cow<'a, str>>,
    pub(crate) signature: Cow<'a, str>,
    pub(crate) signed_at: SignedAt<'a>,
    pub(crate) signed_headers: Cow<'a, str>,
}

/// `access key id/day/region/service/aws4_request`.
struct ScopedCredential<'a> {
    access_key_id: Cow<'a, str>,
    date: Cow<'a, str>,
    region: Cow<'a, str>,
    service: Cow<'a, str>,
    terminator: Cow<'a, str>,
}

impl<'a> Claim<'a> {
    /// Reads the claim from the `Authorization` header or from the query, and refuses what is malformed or leaves `host`
    /// unsigned.
    pub fn parse(request: &RequestView<'a>) -> Result<Self, SignatureError> {
        uri::check_length(request.query)?;
        let parts = match (authorization::find(request.headers)?, presigned::is_presigned(request.query)) {
            (Some(_), true) => return Err(SignatureError::HeaderAndQuery),
            (None, false) => return Err(SignatureError::Missing),
            (Some(header), false) => authorization::parse(request.headers, header)?,
            (None, true) => presigned::parse(request)?,
        };
        let signed_headers = SignedHeaders::parse(parts.signed_headers)?;
        signed_headers.check_host()?;
        if parts.algorithm != ALGORITHM {
            return Err(SignatureError::AlgorithmUnsupported { algorithm: echo(&parts.algorithm) });
        }
        let credential = ScopedCredential::parse(parts.credential)?;
        Ok(Self {
            credential,
            expires: parts.expires,
            is_presigned: parts.is_presigned,
            security_token: parts.security_token,
            signature: parts.signature,
            signed_at: parts.signed_at,
            signed_headers,
        })
    }

    pub fn access_key_id(&self) -> &str {
        &self.credential.access_key_id
    }

    /// The day of the credential scope as the caller wrote it, `20150830` if [`Claim::check_scope`] has passed.
    pub fn scope_date(&self) -> &str {
        &self.credential.date
    }

    pub fn scope_region(&self) -> &str {
        &self.credential.region
    }

    pub fn scope_service(&self) -> &str {
        &self.credential.service
    }

    /// The last part of the credential scope; `aws4_request` if [`Claim::check_scope`] has passed.
    pub fn scope_terminator(&self) -> &str {
        &self.credential.terminator
    }

    pub fn security_token(&self) -> Option<&str> {
        self.security_token.as_deref()
    }

    pub fn signed_at(&self) -> Timestamp {
        self.signed_at.at
    }

    pub fn is_presigned(&self) -> bool {
        self.is_presigned
    }

    /// The time window: five minutes either way, less into the past if a presigned request says so itself.
    pub fn check_time(&self, now: Timestamp) -> Result<(), SignatureError> {
        let signed_at = self.signed_at.at;
        let lifetime = self.expires.map_or(CLOCK_SKEW_MAX, |expires| expires.min(CLOCK_SKEW_MAX));
        if now > signed_at.saturating_add(lifetime) {
            let limit = now.saturating_sub(lifetime);
            return Err(SignatureError::Expired { signed_at, limit, now, margin: margin_text(lifetime) });
        }
        let limit = now.saturating_add(CLOCK_SKEW_MAX);
        if signed_at > limit {
            return Err(SignatureError::NotYetCurrent { signed_at, limit, now });
        }
        Ok(())
    }

    /// The credential scope: a region that is served, the service, the terminator, the day of the request's own date.
    pub fn check_scope(
        &self,
        service: &str,
        is_region_served: impl Fn(&str) -> bool,
    ) -> Result<(), SignatureError> {
        let mut problems = String::new();
        if !is_region_served(&self.credential.region) {
            problems.push_str("Credential should be scoped to a valid region. ");
        }
        if self.credential.service != service {
            problems.push_str(&format!("Credential should be scoped to correct service: '{service}'. "));
        }
        if self.credential.terminator != TERMINATOR {
            problems.push_str(&format!(
                "Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{}'. ",
                echo(&self.credential.terminator)
            ));
        }
        if self.credential.date != self.signed_at.day() {
            problems.push_str(&format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
                 '{}' != '{}', from '{}'.",
                echo(&self.credential.date),
                self.signed_at.day(),
                self.signed_at.text
            ));
        }
        if problems.is_empty() { Ok(()) } else { Err(SignatureError::Scope { problems }) }
    }

    /// Computes the signature over `request` and `body` and compares it with the one claimed, in constant time.
    ///
    /// `request` is the one that the claim was parsed from, and `key` is derived from the secret of the claim's access
    /// key and the claim's scope; with any other the signature does not match.
    pub fn verify(
        &self,
        request: &RequestView<'_>,
        body: &[u8],
        key: &SigningKey,
    ) -> Result<(), SignatureError> {
        // `check_scope` has said this with more words. A caller that forgot it must not accept a signing key of one day
        // for requests of another.
        if self.credential.date != self.signed_at.day() || self.credential.terminator != TERMINATOR {
            return Err(SignatureError::Mismatch);
        }
        self.signed_headers.check_cover(request.headers)?;
        let body_hash = sha256_hex(body);
        check_content_hash(request.headers, &body_hash)?;
        let subject = Subject {
            request,
            body_hash: &body_hash,
            signed_headers: &self.signed_headers,
            signed_at: &self.signed_at,
            region: &self.credential.region,
            service: &self.credential.service,
            is_presigned: self.is_presigned,
        };
        let expected = key.sign(&subject.string_to_sign()?);
        constant_time::verify_slices_are_equal(&expected, self.signature.as_bytes())
            .map_err(|_| SignatureError::Mismatch)
    }
}

impl fmt::Debug for Claim<'_> {
    /// Without the signature and the session token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("access_key_id", &self.credential.access_key_id)
            .field("scope_region", &self.credential.region)
            .field("scope_service", &self.credential.service)
            .field("signed_at", &self.signed_at.text)
            .finish_non_exhaustive()
    }
}

impl<'a> ScopedCredential<'a> {
    fn parse(text: Cow<'a, str>) -> Result<Self, SignatureError> {
        let parsed = match &text {
            Cow::Borrowed(text) => split_in_five(text).map(|parts| parts.map(Cow::Borrowed)),
            Cow::Owned(text) => {
                split_in_five(text).map(|parts| parts.map(|part| Cow::Owned(part.to_owned())))
            }
        };
        let Some([access_key_id, date, region, service, terminator]) = parsed else {
            return Err(SignatureError::CredentialMalformed { credential: echo(&text) });
        };
        Ok(Self { access_key_id, date, region, service, terminator })
    }
}

fn split_in_five(text: &str) -> Option<[&str; 5]> {
    let mut parts = text.split('/');
    let five = [parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    parts.next().is_none().then_some(five)
}

/// `x-amz-content-sha256` need not be there. If it is, it must be true: the body's hash is signed in any case, so a
/// header that says otherwise is a mistake or a request for a mode that this service does not have.
fn check_content_hash(headers: &HeaderMap, body_hash: &HexHash) -> Result<(), SignatureError> {
    let mut values = headers.get_all(&X_AMZ_CONTENT_SHA256).iter();
    let Some(value) = values.next() else {
        return Ok(());
    };
    if values.next().is_some() {
        return Err(SignatureError::ParameterRepeated { name: "x-amz-content-sha256" });
    }
    let is_hash = value.len() == body_hash.len()
        && value.as_bytes().iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    match (is_hash, value.as_bytes() == body_hash) {
        (false, _) => Err(SignatureError::ContentHashUnsupported),
        (true, false) => Err(SignatureError::ContentHashWrong),
        (true, true) => Ok(()),
    }
}

fn margin_text(margin: Duration) -> String {
    match margin.as_secs() {
        secs if secs % 60 == 0 => format!("{} min", secs / 60),
        secs => format!("{secs} sec"),
    }
}
