//! The claim in the `Authorization` header:
//! `AWS4-HMAC-SHA256 Credential=AKID/20150830/us-east-1/kms/aws4_request, SignedHeaders=host;x-amz-date, Signature=…`.
//!
//! The parameters may come in any order and without the space after the comma; others than these three are ignored, as
//! AWS ignores them.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::claim::ClaimParts;
use crate::date::SignedAt;
use crate::error::{SignatureError, echo};

const DATE_MISSING: &str =
    "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ";

// Looking up a name that is parsed already costs half of looking up its text.
static X_AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
pub(crate) static X_AMZ_SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// The parameters of the header as they are found.
#[derive(Default)]
struct Parameters<'a> {
    credential: Option<&'a str>,
    signature: Option<&'a str>,
    signed_headers: Option<&'a str>,
}

/// The `Authorization` header, of whatever scheme.
pub(crate) fn find(headers: &HeaderMap) -> Result<Option<&HeaderValue>, SignatureError> {
    single(headers, &header::AUTHORIZATION, "Authorization")
}

/// `header` is what [`find`] has found.
pub(crate) fn parse<'a>(
    headers: &'a HeaderMap,
    header: &'a HeaderValue,
) -> Result<ClaimParts<'a>, SignatureError> {
    // Another scheme than AWS's. Its text may be a password, so it is not repeated in any message.
    if !header.as_bytes().starts_with(b"AWS4-") {
        return Err(SignatureError::Missing);
    }
    let Ok(text) = str::from_utf8(header.as_bytes()) else {
        return Err(incomplete(&Parameters::default(), "", &String::from_utf8_lossy(header.as_bytes())));
    };
    let (algorithm, rest) = text.split_once(' ').unwrap_or((text, ""));
    let parameters = Parameters::parse(rest, text)?;
    let date = find_date(headers)?;
    let (Some(credential), Some(signature), Some(signed_headers)) =
        (parameters.credential, parameters.signature, parameters.signed_headers)
    else {
        let date_problem = if date.is_some() { "" } else { DATE_MISSING };
        return Err(incomplete(&parameters, date_problem, text));
    };
    let Some(signed_at) = date else {
        return Err(incomplete(&parameters, DATE_MISSING, text));
    };
    Ok(ClaimParts {
        algorithm: Cow::Borrowed(algorithm),
        credential: Cow::Borrowed(credential),
        expires: None,
        is_presigned: false,
        security_token: token(headers)?.map(Cow::Borrowed),
        signature: Cow::Borrowed(signature),
        signed_at: signed_at?,
        signed_headers: Cow::Borrowed(signed_headers),
    })
}

/// When the headers say that the request was signed: `X-Amz-Date`, else `Date`. `None` if they do not say; the inner
/// error if what they say is not a date.
pub(crate) fn find_date(
    headers: &HeaderMap,
) -> Result<Option<Result<SignedAt<'_>, SignatureError>>, SignatureError> {
    let amz_date = single(headers, &X_AMZ_DATE, "X-Amz-Date")?;
    let date = match amz_date {
        Some(_) => amz_date,
        None => single(headers, &header::DATE, "Date")?,
    };
    let Some(value) = date else {
        return Ok(None);
    };
    let parsed = str::from_utf8(value.as_bytes()).ok().and_then(|text| match amz_date {
        Some(_) => SignedAt::parse_iso8601(Cow::Borrowed(text)),
        None => SignedAt::parse_date_header(text),
    });
    Ok(Some(parsed.ok_or_else(|| SignatureError::DateMalformed {
        date: echo(&String::from_utf8_lossy(value.as_bytes())),
    })))
}

impl<'a> Parameters<'a> {
    fn parse(rest: &'a str, authorization: &str) -> Result<Self, SignatureError> {
        let mut parameters = Self::default();
        for piece in rest.split(',') {
            let piece = piece.trim_matches([' ', '\t']);
            if piece.is_empty() {
                continue;
            }
            let Some((name, value)) = piece.split_once('=') else {
                return Err(SignatureError::HeaderNotKeyValue {
                    token: echo(piece),
                    authorization: echo(authorization),
                });
            };
            let (slot, name) = match name {
                "Credential" => (&mut parameters.credential, "Credential"),
                "Signature" => (&mut parameters.signature, "Signature"),
                "SignedHeaders" => (&mut parameters.signed_headers, "SignedHeaders"),
                _ => continue,
            };
            if slot.is_some() {
                return Err(SignatureError::ParameterRepeated { name });
            }
            *slot = Some(value);
        }
        // An empty value counts as missing, as with AWS.
        let Self { credential, signature, signed_headers } = parameters;
        let present = |value: &&str| !value.is_empty();
        Ok(Self {
            credential: credential.filter(present),
            signature: signature.filter(present),
            signed_headers: signed_headers.filter(present),
        })
    }
}

fn incomplete(parameters: &Parameters<'_>, date_problem: &str, authorization: &str) -> SignatureError {
    let mut problems = String::new();
    for (value, name) in [
        (parameters.credential, "Credential"),
        (parameters.signature, "Signature"),
        (parameters.signed_headers, "SignedHeaders"),
    ] {
        if value.is_none() {
            problems.push_str(&format!("Authorization header requires '{name}' parameter. "));
        }
    }
    problems.push_str(date_problem);
    SignatureError::HeaderIncomplete { problems, authorization: echo(authorization) }
}

fn token(headers: &HeaderMap) -> Result<Option<&str>, SignatureError> {
    single(headers, &X_AMZ_SECURITY_TOKEN, "X-Amz-Security-Token")?
        .map(|value| str::from_utf8(value.as_bytes()).map_err(|_| SignatureError::TokenMalformed))
        .transpose()
}

/// The header, if it was sent once. `shown` is its name as a message spells it.
fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    shown: &'static str,
) -> Result<Option<&'a HeaderValue>, SignatureError> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    match values.next() {
        Some(_) => Err(SignatureError::ParameterRepeated { name: shown }),
        None => Ok(first),
    }
}
