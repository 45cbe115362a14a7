//! An operation's refusal: what the caller is told, and what only the log is told.

use std::error::Error;

use strongroom_wire::{ErrorKind, WireError};

/// Why an operation was refused. The caller sees `error`; `cause` goes to the log.
#[derive(Debug)]
pub struct Fault {
    error: WireError,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Fault {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { error: WireError { kind, message: Some(message.into()) }, cause: None }
    }

    /// An error that AWS sends without a message.
    pub fn bare(kind: ErrorKind) -> Self {
        Self { error: WireError { kind, message: None }, cause: None }
    }

    /// Something that the caller can do nothing about: KMSInternalException outside, full detail in the log.
    pub fn internal(cause: impl Error + Send + Sync + 'static) -> Self {
        let message =
            "The request was rejected because an internal exception occurred. The request can be retried.";
        Self {
            error: WireError { kind: ErrorKind::KmsInternal, message: Some(message.to_owned()) },
            cause: Some(Box::new(cause)),
        }
    }

    /// Keeps what lies behind a refusal, for the log.
    #[must_use]
    pub fn because(mut self, cause: impl Error + Send + Sync + 'static) -> Self {
        self.cause = Some(Box::new(cause));
        self
    }

    pub fn error(&self) -> &WireError {
        &self.error
    }

    pub fn kind(&self) -> ErrorKind {
        self.error.kind
    }

    pub fn cause(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.cause.as_deref()
    }
}

impl From<WireError> for Fault {
    fn from(error: WireError) -> Self {
        Self { error, cause: None }
    }
}
