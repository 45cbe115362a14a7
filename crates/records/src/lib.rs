//! Rows: their codecs, versions, sealing and caches, and the one thread that commits them.
//!
//! The floor between bytes and meaning: `store` below moves bytes, `kms` above knows what a key is. This crate
//! guarantees that
//!
//! - a row that is handed out was opened under its own address and version, and decodes: anything else is a
//!   [`RecordsError`] that names the row, never an absent row;
//! - a row is written only against the version that was read ([`Writes`]);
//! - caches hold what the store holds when a commit returns: the committing thread applies its change to them before
//!   it answers (see [`Records::commit`]);
//! - each batch moves its shard's set-hash, so that a row that was put back or removed behind our back is found
//!   (see [`check`]).
//!
//! It decides nothing about who may read or write what: that is the pipeline's.

mod address;
mod cache;
mod caches;
pub mod check;
mod codec;
mod committer;
mod error;
mod probe;
mod records;
mod sealed;
mod states;
mod tables;
#[cfg(test)]
mod tests;
mod writes;

pub use address::{Address, RowScope, Table};
pub use error::{CommitError, RecordsError};
pub use records::{CacheSizes, CommitStats, Limits, Records};
pub use tables::Row;
pub use tables::access_key::{AccessKeyRow, PrincipalRow};
pub use tables::account::AccountRow;
pub use tables::account_key::AccountKeyRow;
pub use tables::alias::AliasRow;
pub use tables::deployment::DeploymentRow;
pub use tables::key::{KeyOrigin, KeyRow, KeySpec, KeyState, KeyUsage, Material, NewKey};
pub use tables::outbox::OutboxRow;
pub use tables::state::StateRow;
pub use writes::{Kept, Loaded, RecordStub, Seen, Writes};
