//! What can be wrong with a row or a commit.

use strongroom_crypto::{CryptoError, KeyringError};
use strongroom_store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// The row exists but does not open or decode under its own address and version. It may be torn, altered, moved or
    /// of another version; the request that needs it is refused.
    #[error("row `{address}` cannot be trusted: {reason}")]
    BadRow {
        address: String,
        reason: &'static str,
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    #[error("cannot take up the domain keys of `{scope}`")]
    DomainKeys {
        scope: String,
        #[source]
        source: KeyringError,
    },
    /// An index names a row that is not there.
    #[error("row `{address}` is missing")]
    MissingRow { address: String },
    #[error("the store did not take the batch; the log says why")]
    NotWritten,
    /// Too many batches wait for the committing thread.
    #[error("too many commits are waiting")]
    Overloaded,
    #[error("cannot seal row `{address}`")]
    Seal {
        address: String,
        #[source]
        source: CryptoError,
    },
    #[error("cannot read the store")]
    Store(#[from] StoreError),
    #[error("cannot start the committing thread")]
    Thread {
        #[source]
        source: std::io::Error,
    },
}

impl RecordsError {
    pub(crate) fn bad_row(
        address: &str,
        reason: &'static str,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::BadRow { address: address.to_owned(), reason, source: Some(Box::new(source)) }
    }
}

/// The three outcomes of a commit besides success.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A row was not of the version that the decision saw, or the batch was sealed before the newest domain key was taken up.
    /// Nothing was written; the decision is to be taken again.
    #[error("row `{address}` has changed")]
    Conflict { address: String },
    /// Nothing was written.
    #[error("the store refused the batch")]
    Failed(#[source] RecordsError),
    /// The committing thread is gone: the process is ending.
    #[error("the store is closed")]
    Closed,
    /// The outcome is not known. It is settled by reading the outbox row of the request.
    #[error("the outcome of the commit is not known")]
    Unknown,
}
