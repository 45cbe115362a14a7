//! Bytes at rest.
//!
//! A [`Store`] keeps rows, an address and a version and some bytes each, and changes them in groups of batches. It
//! guarantees four things: a batch is applied whole or not at all; a batch whose preconditions do not hold is skipped
//! and says which one failed; what [`Store::commit_group`] has acknowledged survives a power cut; and after an unknown
//! outcome, what a read says is final.
//!
//! Deliberately absent: sealing, the meaning of addresses and values, versions' rules and caches. Those are the
//! business of `records`; the store compares versions and never counts them. Also absent until there are several
//! nodes: the change feed and the lease that invariant 5 of the architecture speaks of. Both hang on
//! [`Store::revision`], which is why every applied group moves it by exactly one.
//!
//! A [`Snapshot`] reads one state of a store beside the process that has it, and a [`Restoration`] makes a store of such
//! rows.
//!
//! Backends: [`SqliteStore`] here, an in-memory one with faults in `testkit`. Each passes the suite in
//! `testkit::store_suite`.

pub mod check;
mod error;
mod row;
mod sqlite;
mod store;

pub use error::{CommitError, EngineError, StoreError};
pub use row::{Batch, BatchOutcome, Expect, GroupCommit, Op, Precondition, Row};
pub use sqlite::{Restoration, Snapshot, SqliteStore};
pub use store::Store;
