//! Errors on the wire.

use std::fmt;

use strongroom_types::LogSafe;

use crate::ErrorKind;
use crate::encode::{Object, Sink};

/// An answer that is an error: a kind from the table and, for most kinds, a message for the caller.
///
/// The message may repeat what the caller sent, so it is for the caller only; `Display` names just the kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct WireError {
    pub kind: ErrorKind,
    pub message: Option<String>,
}

impl WireError {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: Some(message.into()) }
    }

    /// An error without a message member, as AWS answers for some kinds (an invalid ciphertext, for one).
    pub const fn bare(kind: ErrorKind) -> Self {
        Self { kind, message: None }
    }
}

impl LogSafe for WireError {}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl LogSafe for ErrorKind {}

/// Appends `{"__type":"…","message":"…"}`, without the second member if there is no message.
pub fn encode_error(error: &WireError, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    object.required("__type", error.kind.name());
    object.optional("message", error.message.as_ref());
    object.close();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(error: &WireError) -> String {
        let mut out = Vec::new();
        encode_error(error, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn messages_are_escaped() {
        let error = WireError::new(ErrorKind::NotFound, "Invalid keyId '\"\\\n\u{1}ü'");
        assert_eq!(
            encoded(&error),
            r#"{"__type":"NotFoundException","message":"Invalid keyId '\"\\\n\u0001ü'"}"#
        );
    }

    #[test]
    fn a_bare_error_has_no_message_member() {
        assert_eq!(
            encoded(&WireError::bare(ErrorKind::InvalidCiphertext)),
            r#"{"__type":"InvalidCiphertextException"}"#
        );
    }

    #[test]
    fn display_does_not_show_the_message() {
        assert_eq!(WireError::new(ErrorKind::NotFound, "of a caller").to_string(), "NotFoundException");
    }

    /// Every client error is 400, whatever the model's trait says; server faults keep their class.
    #[test]
    fn only_server_faults_differ_from_400() {
        let others: Vec<_> = ErrorKind::ALL
            .into_iter()
            .filter(|kind| kind.status() != 400)
            .map(|kind| (kind.name(), kind.status()))
            .collect();
        assert_eq!(
            others,
            [
                ("DependencyTimeoutException", 503),
                ("KMSInternalException", 500),
                ("KeyUnavailableException", 500),
                ("InternalFailure", 500),
                ("ServiceUnavailable", 503),
            ]
        );
    }

    #[test]
    fn names_are_distinct_and_found_again() {
        assert_eq!(ErrorKind::from_name("NotFound"), None);
        for kind in ErrorKind::ALL {
            assert_eq!(ErrorKind::from_name(kind.name()), Some(kind));
        }
    }
}
