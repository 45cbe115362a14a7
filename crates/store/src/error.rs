//! Why a store did not do what it was asked.

use std::path::PathBuf;

use strongroom_types::limits::{
    BATCH_OPS_MAX, BATCH_PRECONDITIONS_MAX, GROUP_BATCHES_MAX, ROW_ADDRESS_BYTES_MAX, ROW_VALUE_BYTES_MAX,
    ROW_VERSION_MAX, SCAN_ROWS_MAX,
};

/// What the engine said. Boxed, so that no backend's own type is part of the interface.
pub type EngineError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    #[error("an address is empty")]
    AddressEmpty,
    #[error("the address that begins `{beginning}` has {length} bytes, more than {ROW_ADDRESS_BYTES_MAX}")]
    AddressTooLong { beginning: String, length: usize },
    #[error("there already is a store at `{}`", path.display())]
    AlreadyExists { path: PathBuf },
    #[error("the store was busy for too long while {action}")]
    Busy { action: String, source: EngineError },
    #[error("the store is closed")]
    Closed,
    /// `action` names the row, where one row is meant.
    #[error("the store is damaged: found while {action}")]
    Corrupt { action: String, source: EngineError },
    #[error("the disk is full: found while {action}")]
    DiskFull { action: String, source: EngineError },
    #[error("the storage engine failed while {action}")]
    Engine { action: String, source: EngineError },
    #[error("could not {action} `{}`", path.display())]
    File { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("`{}` is not a store of this service", path.display())]
    Foreign { path: PathBuf, source: Option<EngineError> },
    #[error("the file system of `{}` cannot keep a write-ahead log", path.display())]
    LogUnsupported { path: PathBuf },
    #[error("`{}` has schema {found}; this program knows schemas up to {supported}", path.display())]
    Newer { path: PathBuf, found: i64, supported: i64 },
    #[error("there is no store at `{}`", path.display())]
    NotFound { path: PathBuf },
    #[error("every reader was busy for too long")]
    ReadersBusy,
    #[error("a scan for {limit} rows was asked for, more than {SCAN_ROWS_MAX}")]
    ScanTooLong { limit: usize },
    #[error("a group has {found} batches, more than {GROUP_BATCHES_MAX}")]
    TooManyBatches { found: usize },
    #[error("a batch has {found} operations, more than {BATCH_OPS_MAX}")]
    TooManyOps { found: usize },
    #[error("a batch has {found} preconditions, more than {BATCH_PRECONDITIONS_MAX}")]
    TooManyPreconditions { found: usize },
    #[error("the value for `{address}` has {length} bytes, more than {ROW_VALUE_BYTES_MAX}")]
    ValueTooLarge { address: String, length: usize },
    #[error("version {version} of `{address}` is greater than {ROW_VERSION_MAX}")]
    VersionTooLarge { address: String, version: u64 },
}

/// A group that was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    #[error("the group was not committed")]
    Failed(#[source] StoreError),
    #[error("it is not known whether the group was committed")]
    Unknown(#[source] StoreError),
}
