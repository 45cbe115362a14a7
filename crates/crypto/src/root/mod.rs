//! The root of the hierarchy: one key, held in a file, that wraps the keys of the keyring and does nothing else.
//!
//! Nothing is ever derived from the root key. A [`RootHolder`] wraps secrets of at most 64 bytes, each bound to its
//! [`RootPurpose`], and hands them back as [`RootSecret`], which only this crate can read. That is little enough for
//! holders of other kinds to do: a token, another key management service, shares of several people.
//!
//! Two kinds exist: [`FileRoot`] keeps the key in a file that its owner alone may read, [`PassphraseRoot`] keeps it
//! wrapped by a passphrase.

mod disk;
mod error;
mod file;
mod header;
mod holder;
mod key;
mod passphrase;

pub use error::RootError;
pub use file::FileRoot;
pub use header::{RootFile, open_root};
pub use holder::{RootHolder, RootId, RootPurpose, RootSecret};
pub use passphrase::PassphraseRoot;

#[cfg(test)]
pub(crate) use key::RootKey;
