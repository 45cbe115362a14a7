//! The claim in the query: `X-Amz-Algorithm=…&X-Amz-Credential=…&X-Amz-Date=…&X-Amz-Expires=…&X-Amz-SignedHeaders=…&
//! X-Amz-Signature=…`, and `X-Amz-Security-Token` for session credentials.
//!
//! `X-Amz-Expires` may be absent, as with AWS's other services than S3; it can only shorten the time window.

use std::borrow::Cow;
use std::time::Duration;

use crate::authorization::X_AMZ_SECURITY_TOKEN;
use crate::canonical::{RequestView, SIGNATURE_PARAMETER};
use crate::claim::ClaimParts;
use crate::date::SignedAt;
use crate::error::{SignatureError, echo};
use crate::uri;

pub(crate) const ALGORITHM_PARAMETER: &str = "X-Amz-Algorithm";
pub(crate) const CREDENTIAL_PARAMETER: &str = "X-Amz-Credential";
pub(crate) const DATE_PARAMETER: &str = "X-Amz-Date";
pub(crate) const EXPIRES_PARAMETER: &str = "X-Amz-Expires";
pub(crate) const SECURITY_TOKEN_PARAMETER: &str = "X-Amz-Security-Token";
pub(crate) const SIGNED_HEADERS_PARAMETER: &str = "X-Amz-SignedHeaders";

#[derive(Default)]
struct Parameters<'a> {
    algorithm: Option<Cow<'a, str>>,
    credential: Option<Cow<'a, str>>,
    date: Option<Cow<'a, str>>,
    expires: Option<Cow<'a, str>>,
    security_token: Option<Cow<'a, str>>,
    signature: Option<Cow<'a, str>>,
    signed_headers: Option<Cow<'a, str>>,
}

/// Whether the query holds a claim: AWS looks for this one parameter.
pub(crate) fn is_presigned(query: &str) -> bool {
    uri::parameters(query)
        .any(|(name, _)| uri::decode_text(name).is_ok_and(|decoded| decoded == ALGORITHM_PARAMETER))
}

pub(crate) fn parse<'a>(request: &RequestView<'a>) -> Result<ClaimParts<'a>, SignatureError> {
    // Two places for one token would leave open which of them is meant.
    if request.headers.contains_key(&X_AMZ_SECURITY_TOKEN) {
        return Err(SignatureError::TokenMalformed);
    }
    let Parameters { algorithm, credential, date, expires, security_token, signature, signed_headers } =
        Parameters::parse(request.query)?;
    let mut problems = String::new();
    let mut required = |value: Option<Cow<'a, str>>, name: &str| {
        // An empty value counts as missing, as with AWS.
        let value = value.unwrap_or_default();
        if value.is_empty() {
            problems.push_str(&format!("AWS query-string parameters must include '{name}'. "));
        }
        value
    };
    // In AWS's order, which is that of the sentences.
    let algorithm = required(algorithm, ALGORITHM_PARAMETER);
    let credential = required(credential, CREDENTIAL_PARAMETER);
    let signature = required(signature, SIGNATURE_PARAMETER);
    let signed_headers = required(signed_headers, SIGNED_HEADERS_PARAMETER);
    let date = required(date, DATE_PARAMETER);
    if !problems.is_empty() {
        return Err(SignatureError::QueryIncomplete { problems });
    }
    let malformed = SignatureError::DateMalformed { date: echo(&date) };
    let signed_at = SignedAt::parse_iso8601(date).ok_or(malformed)?;
    let expires = expires.as_deref().map(parse_expires).transpose()?;
    Ok(ClaimParts {
        algorithm,
        credential,
        expires,
        is_presigned: true,
        security_token,
        signature,
        signed_at,
        signed_headers,
    })
}

impl<'a> Parameters<'a> {
    /// Names are compared as AWS writes them, upper and lower case being different.
    fn parse(query: &'a str) -> Result<Self, SignatureError> {
        let mut parameters = Self::default();
        for (name, value) in uri::parameters(query) {
            let name = uri::decode_text(name)?;
            let (slot, name) = match name.as_ref() {
                ALGORITHM_PARAMETER => (&mut parameters.algorithm, ALGORITHM_PARAMETER),
                CREDENTIAL_PARAMETER => (&mut parameters.credential, CREDENTIAL_PARAMETER),
                DATE_PARAMETER => (&mut parameters.date, DATE_PARAMETER),
                EXPIRES_PARAMETER => (&mut parameters.expires, EXPIRES_PARAMETER),
                SECURITY_TOKEN_PARAMETER => (&mut parameters.security_token, SECURITY_TOKEN_PARAMETER),
                SIGNATURE_PARAMETER => (&mut parameters.signature, SIGNATURE_PARAMETER),
                SIGNED_HEADERS_PARAMETER => (&mut parameters.signed_headers, SIGNED_HEADERS_PARAMETER),
                _ => continue,
            };
            if slot.is_some() {
                return Err(SignatureError::ParameterRepeated { name });
            }
            *slot = Some(uri::decode_text(value)?);
        }
        Ok(parameters)
    }
}

/// A count of seconds. AWS's upper bound of a week needs no check: anything over five minutes is five minutes.
fn parse_expires(text: &str) -> Result<Duration, SignatureError> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(secs) if is_number => Ok(Duration::from_secs(secs)),
        _ => Err(SignatureError::ExpiresMalformed { expires: echo(text) }),
    }
}
