//! Why a signature was refused, in AWS's words.

use strongroom_types::Timestamp;
use strongroom_types::limits::SIGNATURE_ECHO_CHARACTERS_MAX;

/// A refusal. `Display` is AWS's message to the letter where AWS has one, [`SignatureError::code`] its error name.
///
/// Where a message repeats what the caller sent, it is cut to
/// [`SIGNATURE_ECHO_CHARACTERS_MAX`] characters. No message holds a secret or the signature that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("Unsupported AWS 'algorithm': '{algorithm}' (only AWS4-HMAC-SHA256 for now). ")]
    AlgorithmUnsupported { algorithm: String },
    /// `UNSIGNED-PAYLOAD`, `STREAMING-…` and everything else that is not 64 lower-case hexadecimal digits.
    #[error(
        "The value of 'x-amz-content-sha256' must be the SHA-256 hash of the body in lower-case hexadecimal."
    )]
    ContentHashUnsupported,
    #[error("The provided 'x-amz-content-sha256' header does not match what was computed.")]
    ContentHashWrong,
    #[error(
        "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{credential}'"
    )]
    CredentialMalformed { credential: String },
    #[error(
        "Date must be in ISO-8601 'basic format'. Got '{date}'. See http://en.wikipedia.org/wiki/ISO_8601"
    )]
    DateMalformed { date: String },
    #[error("X-Amz-Expires must be a whole number of seconds. Got '{expires}'.")]
    ExpiresMalformed { expires: String },
    /// `margin` is the window or the request's own `X-Amz-Expires`, whichever is shorter, as AWS prints it: `5 min`.
    #[error(
        "Signature expired: {} is now earlier than {} ({} - {margin}.)",
        .signed_at.to_basic_iso8601(), .limit.to_basic_iso8601(), .now.to_basic_iso8601()
    )]
    Expired { signed_at: Timestamp, limit: Timestamp, now: Timestamp, margin: String },
    #[error("Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.")]
    HeaderAndQuery,
    /// `problems` has a sentence, each with a space after it, for each thing that is missing, and no other.
    #[error("{problems}Authorization={authorization}")]
    HeaderIncomplete { problems: String, authorization: String },
    #[error(
        "'{token}' not a valid key=value pair (missing equal-sign) in Authorization header: '{authorization}'."
    )]
    HeaderNotKeyValue { token: String, authorization: String },
    /// AWS answers this text to S3 callers, as AccessDenied. Here it is a fault of the signature like the others.
    #[error("There were headers present in the request which were not signed")]
    HeadersUnsigned,
    #[error("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")]
    HostUnsigned,
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
    )]
    Mismatch,
    #[error("Missing Authentication Token")]
    Missing,
    #[error(
        "Signature not yet current: {} is still later than {} ({} + 5 min.)",
        .signed_at.to_basic_iso8601(), .limit.to_basic_iso8601(), .now.to_basic_iso8601()
    )]
    NotYetCurrent { signed_at: Timestamp, limit: Timestamp, now: Timestamp },
    /// Two values for one thing would let two readers of one request see two different requests.
    #[error("'{name}' must not be given more than once.")]
    ParameterRepeated { name: &'static str },
    #[error("{problems}Re-examine the query-string parameters.")]
    QueryIncomplete { problems: String },
    /// A `%` without two hexadecimal digits, or bytes that are not UTF-8 in a parameter of the signature.
    #[error("Illegal hex character in escape % pattern")]
    QueryMalformed,
    #[error("The query string has too many parameters.")]
    QueryTooLong,
    /// The faults of the credential scope, all of them, in AWS's order.
    #[error("{problems}")]
    Scope { problems: String },
    #[error("'SignedHeaders' must be lower-case header names, sorted, each once, separated by semicolons.")]
    SignedHeadersMalformed,
    /// The session token is repeated, or not text. A wrong one is found by whoever knows the tokens.
    #[error("The security token included in the request is invalid.")]
    TokenMalformed,
}

impl SignatureError {
    /// AWS's name of the error (AWS KMS API reference, "Common Errors").
    pub fn code(&self) -> &'static str {
        match self {
            Self::AlgorithmUnsupported { .. }
            | Self::CredentialMalformed { .. }
            | Self::DateMalformed { .. }
            | Self::ExpiresMalformed { .. }
            | Self::HeaderIncomplete { .. }
            | Self::HeaderNotKeyValue { .. }
            | Self::ParameterRepeated { .. }
            | Self::QueryIncomplete { .. }
            | Self::QueryMalformed
            | Self::QueryTooLong
            | Self::SignedHeadersMalformed => "IncompleteSignatureException",
            Self::ContentHashUnsupported
            | Self::ContentHashWrong
            | Self::Expired { .. }
            | Self::HeaderAndQuery
            | Self::HeadersUnsigned
            | Self::HostUnsigned
            | Self::Mismatch
            | Self::NotYetCurrent { .. }
            | Self::Scope { .. } => "InvalidSignatureException",
            Self::Missing => "MissingAuthenticationTokenException",
            Self::TokenMalformed => "UnrecognizedClientException",
        }
    }
}

/// The beginning of what the caller sent: enough to recognise it, never as much as a whole request head.
pub(crate) fn echo(text: &str) -> String {
    text.chars().take(SIGNATURE_ECHO_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echo_is_cut_one_past_its_limit() {
        let at_limit = "ü".repeat(SIGNATURE_ECHO_CHARACTERS_MAX);
        assert_eq!(echo(&at_limit), at_limit);
        assert_eq!(echo(&format!("{at_limit}x")), at_limit);
    }
}
