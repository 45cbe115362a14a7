//! AWS's query protocol, as STS speaks it: a form in, XML out (or JSON, for those who ask for it).
//!
//! Written by hand for the one operation that there is. Requests are `Action=…&Version=…` as a form in the body or as
//! the query of a GET; answers are `<Operation>Response` documents. Sources: AWS STS API reference, "Making query
//! requests" and "Common errors"; the shapes of answers are those of the API model (protocol `query`, version
//! 2011-06-15). The codes of errors differ from those of the JSON protocol: [`query_error`] translates them.

use std::borrow::Cow;

use strongroom_types::limits::{REQUEST_QUERY_PARAMETERS_MAX, SIGNATURE_ECHO_CHARACTERS_MAX};

use crate::encode::{Encode, Object, Sink, WireReply};
use crate::{ErrorKind, WireError};

const VERSION: &str = "2011-06-15";
const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// How answers are written. Clients that send `Accept: application/json` get JSON, as from AWS; aws-iam-authenticator is
/// one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryFormat {
    Json,
    Xml,
}

/// The operations of AWS STS that are known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StsOperation {
    GetCallerIdentity,
}

impl StsOperation {
    pub const fn name(self) -> &'static str {
        match self {
            Self::GetCallerIdentity => "GetCallerIdentity",
        }
    }

    /// The operation that a form names. A parameter that occurs twice is refused: two readers of one request must not see
    /// two requests.
    pub fn from_form(form: &[u8]) -> Result<Self, WireError> {
        let (mut action, mut version) = (None, None);
        for parameter in parameters(form)? {
            let (name, value) = parameter?;
            let slot = match name.as_ref() {
                "Action" => &mut action,
                "Version" => &mut version,
                _ => continue,
            };
            if slot.replace(value).is_some() {
                let message = format!("The parameter {name} must not be given more than once.");
                return Err(WireError::new(ErrorKind::Validation, message));
            }
        }
        match (action.as_deref(), version.as_deref()) {
            (Some("GetCallerIdentity"), Some(VERSION)) => Ok(Self::GetCallerIdentity),
            (None, _) => Err(WireError::new(ErrorKind::UnknownOperation, "The request names no operation.")),
            (Some(action), version) => {
                let (action, version) = (echo(action), echo(version.unwrap_or("NO_VERSION_SPECIFIED")));
                let message = format!("Could not find operation {action} for version {version}");
                Err(WireError::new(ErrorKind::UnknownOperation, message))
            }
        }
    }
}

/// A request that can be read from a body, in whichever protocol.
pub trait FromBody: Sized {
    fn from_body(body: &[u8]) -> Result<Self, WireError>;
}

impl<Request: crate::WireRequest> FromBody for Request {
    fn from_body(body: &[u8]) -> Result<Self, WireError> {
        Self::decode(body)
    }
}

/// It has no parameters; others are ignored, as AWS does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GetCallerIdentityRequest;

impl FromBody for GetCallerIdentityRequest {
    fn from_body(_body: &[u8]) -> Result<Self, WireError> {
        Ok(Self)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GetCallerIdentityReply {
    pub account: String,
    pub arn: String,
    pub user_id: String,
}

impl WireReply for GetCallerIdentityReply {
    /// The result of the JSON form.
    fn encode(&self, out: &mut Vec<u8>) {
        let mut object = Object::open(out);
        object.required("Account", &self.account);
        object.required("Arn", &self.arn);
        object.required("UserId", &self.user_id);
        object.close();
    }

    fn size_hint(&self) -> usize {
        512 + self.arn.len()
    }

    fn query_members(&self) -> Vec<(&'static str, &str)> {
        vec![("Arn", &self.arn), ("UserId", &self.user_id), ("Account", &self.account)]
    }
}

/// Appends the answer of an operation.
pub fn encode_query_reply(
    format: QueryFormat,
    operation: &str,
    request_id: &str,
    reply: &impl WireReply,
    out: &mut Vec<u8>,
) {
    match format {
        QueryFormat::Json => {
            out.extend_from_slice(format!("{{\"{operation}Response\":{{\"{operation}Result\":").as_bytes());
            reply.encode(out);
            out.extend_from_slice(b",\"ResponseMetadata\":");
            let mut metadata = Object::open(out);
            metadata.required("RequestId", request_id);
            metadata.close();
            out.extend_from_slice(b"}}");
        }
        QueryFormat::Xml => {
            let mut text = format!("<{operation}Response xmlns=\"{NAMESPACE}\">\n  <{operation}Result>\n");
            for (name, value) in reply.query_members() {
                text.push_str(&format!("    <{name}>{}</{name}>\n", escaped(value)));
            }
            text.push_str(&format!(
                "  </{operation}Result>\n  <ResponseMetadata>\n    <RequestId>{}</RequestId>\n  \
                 </ResponseMetadata>\n</{operation}Response>\n",
                escaped(request_id)
            ));
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// Appends an answer that is an error.
pub fn encode_query_error(format: QueryFormat, error: &WireError, request_id: &str, out: &mut Vec<u8>) {
    let (code, status) = query_error(error.kind);
    let kind = if status < 500 { "Sender" } else { "Receiver" };
    let message = match error.kind {
        // The JSON protocol says it in other words.
        ErrorKind::MissingAuthenticationToken => "Request is missing Authentication Token",
        _ => error.message.as_deref().unwrap_or_default(),
    };
    match format {
        QueryFormat::Json => {
            let mut object = Object::open(out);
            object.required("Error", &ErrorMembers { code, kind, message });
            object.required("RequestId", request_id);
            object.close();
        }
        QueryFormat::Xml => {
            let text = format!(
                "<ErrorResponse xmlns=\"{NAMESPACE}\">\n  <Error>\n    <Type>{kind}</Type>\n    <Code>{code}</Code>\n    \
                 <Message>{}</Message>\n  </Error>\n  <RequestId>{}</RequestId>\n</ErrorResponse>\n",
                escaped(message),
                escaped(request_id)
            );
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// The code and the HTTP status of an error in the query protocol (AWS STS API reference, "Common errors").
pub const fn query_error(kind: ErrorKind) -> (&'static str, u16) {
    match kind {
        ErrorKind::AccessDenied => ("AccessDenied", 403),
        ErrorKind::ExpiredToken => ("ExpiredToken", 403),
        ErrorKind::IncompleteSignature => ("IncompleteSignature", 400),
        ErrorKind::InvalidSignature => ("SignatureDoesNotMatch", 403),
        ErrorKind::KmsInternal => ("InternalFailure", 500),
        ErrorKind::MissingAuthenticationToken => ("MissingAuthenticationToken", 403),
        ErrorKind::Throttling => ("Throttling", 400),
        ErrorKind::UnknownOperation => ("InvalidAction", 400),
        ErrorKind::UnrecognizedClient => ("InvalidClientTokenId", 403),
        ErrorKind::Validation => ("ValidationError", 400),
        // No operation of this protocol gives the others.
        other => (other.name(), other.status()),
    }
}

struct ErrorMembers<'a> {
    code: &'a str,
    kind: &'a str,
    message: &'a str,
}

impl Encode for ErrorMembers<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let mut object = Object::open(out);
        object.required("Code", self.code);
        object.required("Message", self.message);
        object.required("Type", self.kind);
        object.close();
    }

    fn size(&self) -> usize {
        64 + self.code.len() + self.message.len() + self.kind.len()
    }
}

type Parameter<'f> = Result<(Cow<'f, str>, Cow<'f, str>), WireError>;

/// The parameters of a form (application/x-www-form-urlencoded), decoded.
fn parameters(form: &[u8]) -> Result<impl Iterator<Item = Parameter<'_>>, WireError> {
    let pieces = || form.split(|byte| *byte == b'&').filter(|piece| !piece.is_empty());
    if pieces().nth(REQUEST_QUERY_PARAMETERS_MAX).is_some() {
        return Err(WireError::new(ErrorKind::Validation, "The request has too many parameters."));
    }
    Ok(pieces().map(|piece| {
        let mut halves = piece.splitn(2, |byte| *byte == b'=');
        let (name, value) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
        Ok((decoded(name)?, decoded(value)?))
    }))
}

/// Decodes `%41` and `+`. What is not an escape, or not text, is refused rather than guessed at.
fn decoded(encoded: &[u8]) -> Result<Cow<'_, str>, WireError> {
    let malformed =
        || WireError::new(ErrorKind::Validation, "The request's parameters are not a form in UTF-8.");
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|byte| char::from(*byte).to_digit(16));
                let (high, low) = (digit().ok_or_else(malformed)?, digit().ok_or_else(malformed)?);
                u8::try_from(high * 16 + low).map_err(|_| malformed())?
            }
            b'+' => b' ',
            plain => *plain,
        });
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| malformed())
}

/// Text as XML 1.0 has it; characters that it cannot hold are replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' | '\t' => out.push(character),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            control if control.is_control() => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

fn echo(text: &str) -> String {
    text.chars().take(SIGNATURE_ECHO_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests;
