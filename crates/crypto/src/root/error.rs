//! What goes wrong with a root key.

use std::io;
use std::path::PathBuf;

use strongroom_types::limits::{ROOT_PASSPHRASE_BYTES_MAX, ROOT_PASSPHRASE_BYTES_MIN, ROOT_SECRET_BYTES_MAX};

use crate::error::CryptoError;
use crate::root::RootId;

/// Written for the operator who starts the service: each message names the file and, where there is one, the remedy.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    #[error("`{path}` exists already and is not overwritten")]
    AlreadyExists { path: PathBuf },
    #[error("the cryptographic module failed")]
    Crypto(#[from] CryptoError),
    #[error("cannot {action} `{path}`")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("`{path}` is not a root key file, is damaged, or was written by a newer version")]
    MalformedFile { path: PathBuf },
    #[error("the wrapped secret is malformed or of an unknown version")]
    MalformedWrapping,
    #[error("`{path}` holds a root key without a passphrase")]
    NoPassphrase { path: PathBuf },
    /// Altered, or wrapped for another purpose.
    #[error("the wrapped secret does not authenticate")]
    NotAuthentic,
    #[error(
        "`{path}` would be wrapped by a passphrase, and Argon2id is no part of the FIPS module that this build computes with; \
         use a root key file without a passphrase"
    )]
    NotInModule { path: PathBuf },
    #[error("the secret was wrapped by root key {found}, this is root key {ours}")]
    OtherRoot { found: RootId, ours: RootId },
    #[error("there is not enough memory for the passphrase of `{path}`")]
    OutOfMemory { path: PathBuf },
    #[error("a root passphrase has {ROOT_PASSPHRASE_BYTES_MIN} to {ROOT_PASSPHRASE_BYTES_MAX} bytes")]
    PassphraseLength,
    #[error("`{path}` needs a passphrase")]
    PassphraseNeeded { path: PathBuf },
    #[error("the passphrase of `{path}` cannot be read")]
    PassphraseUnavailable { path: PathBuf, source: io::Error },
    #[error("`{path}` can be used by others than its owner (mode {mode:04o}): run `chmod 600 {path}`")]
    PermissionsTooOpen { mode: u32, path: PathBuf },
    #[error("a root holder wraps one to {ROOT_SECRET_BYTES_MAX} bytes")]
    SecretLength,
    /// A passphrase that is not the one, or a damaged file: authentication does not say which.
    #[error("the passphrase does not open `{path}`")]
    WrongPassphrase { path: PathBuf },
}
