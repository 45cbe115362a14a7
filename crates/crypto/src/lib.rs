//! The only crate that sees key bytes.
//!
//! Everything at rest is sealed here and opened here: rows ([`Cell`]), key material ([`WrappedKey`]), callers' data
//! ([`Blob`]), paging markers, grant tokens, the anchor, frames of backups ([`BackupKey`]). Keys hang from one root: a [`RootHolder`]
//! wraps the domain and service keys of a [`Keyring`], and those seal the rest. The byte formats stand in
//! `docs/formats.md`; golden tests hold them. What is for attested recipients leaves in AWS's envelope ([`RecipientKey`]).
//!
//! What it guarantees:
//! - Key bytes leave wrapped or not at all. No public function takes or returns them; [`WrappedKey`] keeps the
//!   unwrapped material in a private slot and wipes it when its last clone is dropped.
//! - What does not authenticate is refused, and so are unknown versions, suites and flag bits.
//! - Root key, domain keys, service keys and symmetric material lie in memory that is locked into RAM as far as the
//!   process's limit allows ([`key_memory`]).
//! - Every random byte comes from AWS-LC. There is no generator to inject.
//! - One method per purpose, each under its own label: no key of this service computes a MAC of arbitrary bytes. Customers'
//!   keys do what their owners ask ([`StoredKey`]), each within its spec and usage.
//!
//! What it deliberately does not do: decide who may use a key, know what a row holds, read a clock (markers are told
//! the time), forbid core dumps or being traced (the process does both at start).

mod aead;
mod anchor;
mod asymmetric;
mod backup;
mod blob;
mod checkpoint;
mod digest;
mod envelope;
mod error;
mod fields;
#[cfg(test)]
mod fixtures;
mod grant_token;
mod kdf;
mod keyring;
mod keys;
mod locked;
mod marker;
mod material;
mod pool;
mod random;
mod recipient;
mod root;
mod row;
mod secret;
mod state;
mod suite;

pub use anchor::ANCHOR_OVERHEAD_BYTES;
pub use asymmetric::{Encapsulated, PublicKey};
pub use backup::{BACKUP_FRAME_OVERHEAD_BYTES, BackupFrame, BackupKey};
pub use blob::{BLOB_OVERHEAD_BYTES, Blob, BlobError, DecryptError, SymmetricKey};
pub use checkpoint::verify_checkpoint;
pub use digest::{Sha256, sha256};
pub use error::CryptoError;
pub use grant_token::{
    GrantTokenError, GrantTokenFacts, GranteeKind, grantee_tag, named_grant_half, principal_tag,
};
pub use keyring::{
    Keyring, KeyringEntry, KeyringError, KeyringName, KeyringNameError, Scope, ServicePurpose,
};
pub use keys::{DataKeyPair, NewKey, StoredKey};
pub use locked::{KEY_SLOT_BYTES, KeyMemory, RING_BYTES, key_memory, reserve_ring};
pub use marker::{MarkerBinding, MarkerError};
pub use material::{GivenMaterial, WrappedKey};
pub use random::{random_array, random_id, random_plaintext, random_text};
pub use recipient::{RecipientKey, verify_es384};
pub use root::{
    FileRoot, PassphraseRoot, RootError, RootFile, RootHolder, RootId, RootPurpose, RootSecret, open_root,
};
pub use row::{Cell, ROW_OVERHEAD_BYTES, sealed_domain_key_version, sealed_tag};
pub use state::SetHash;
pub use suite::{IS_FIPS, PublicEncryption, Signed, SigningAlgorithm, check_module, is_offered};
