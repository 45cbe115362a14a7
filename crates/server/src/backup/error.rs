//! Why a backup was not made or not restored.

use std::io;
use std::path::PathBuf;

use strongroom_audit::ReadError;
use strongroom_crypto::{CryptoError, KeyringError, RootError};
use strongroom_store::StoreError;

use crate::assembly::AssemblyError;

/// Each says what to do about it, where something can be done.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Assembly(#[from] AssemblyError),
    #[error("`{}` is being written by another `strongroom backup`", path.display())]
    Busy { path: PathBuf },
    #[error("the cryptographic module failed")]
    Crypto(#[from] CryptoError),
    /// What is in the file is not what was written: altered, torn, or made of parts of several.
    #[error("`{}` is damaged: {problem}; nothing was restored", path.display())]
    Damaged { path: PathBuf, problem: &'static str },
    #[error("`{}` exists already and is not overwritten", path.display())]
    Exists { path: PathBuf },
    #[error("cannot {doing} `{}`", path.display())]
    Io {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the audit journal cannot be read")]
    Journal(#[from] ReadError),
    #[error("the keys in it do not open")]
    Keyring(#[from] KeyringError),
    #[error("`{}` was written by a newer version of strongroom", path.display())]
    Newer { path: PathBuf },
    #[error("`{}` is not a backup of strongroom's", path.display())]
    NotABackup { path: PathBuf },
    #[error("`{}` is not empty; restore into an empty directory, or one that is not there yet", path.display())]
    NotEmpty { path: PathBuf },
    #[error("the root key cannot be used")]
    Root(#[from] RootError),
    #[error("the store cannot be read or written")]
    Store(#[from] StoreError),
    /// A row that no store takes, or more names of keys than a header holds.
    #[error("`{what}` is too large for a backup")]
    TooLarge { what: String },
}

pub(super) fn io_error<'a>(
    doing: &'static str,
    path: &'a std::path::Path,
) -> impl FnOnce(io::Error) -> BackupError + 'a {
    move |source| BackupError::Io { doing, path: path.to_owned(), source }
}
