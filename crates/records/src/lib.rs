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
//! - each batch moves its shard's set-hash, so that a row that was put back or removed behind our back is found, by
//!   [`check`] and by the [`Verifier`] that runs beside the requests; an [`Anchor`] outside of the store shows that the
//!   whole of it was put back.
//!
//! It decides nothing about who may read or write what: that is the pipeline's.

mod address;
mod anchor;
mod cache;
mod caches;
pub mod check;
mod codec;
mod committer;
mod error;
mod grants;
mod probe;
mod records;
mod renewal;
mod sealed;
mod standing;
mod states;
mod tables;
#[cfg(test)]
mod tests;
mod usage;
mod verification;
mod walk;
mod writes;

pub use address::{Address, RowScope, Table};
pub use anchor::Anchor;
pub use error::{CommitError, RecordsError};
pub use grants::{GranteeGrants, Readiness};
pub use records::{CacheSizes, CommitStats, FirstRows, Limits, Page, Records};
pub use renewal::{Renewal, Renewed, Unreferenced};
pub use standing::{Behind, Found, ShardStanding, Standing, stored_row, stored_standing};
pub use tables::Row;
pub use tables::access_key::{AccessKeyRow, PrincipalRow};
pub use tables::account::AccountRow;
pub use tables::account_key::AccountKeyRow;
pub use tables::alias::AliasRow;
pub use tables::deployment::DeploymentRow;
pub use tables::domain_key::DomainKeyRow;
pub use tables::grant::GrantRow;
pub use tables::identity::{IdentityRow, NamedPolicy, NewIdentity};
pub use tables::identity_name::IdentityNameRow;
pub use tables::key::{KeyOrigin, KeyRow, KeyState, Material, NewKey, PolicyBinding};
pub use tables::key_usage::{KeyUsageRow, KeyUse, TrackedOperation};
pub use tables::orphaned_grants::OrphanedGrantsRow;
pub use tables::outbox::OutboxRow;
pub use tables::retirable::RetirableRow;
pub use tables::state::StateRow;
pub use tables::usage_tracking::UsageTrackingRow;
pub use verification::{Verdict, Verification, Verifier};
pub use writes::{Kept, Loaded, RecordStub, Seen, Writes};
