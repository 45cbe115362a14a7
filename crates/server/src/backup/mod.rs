//! Backups: one file of everything that a data directory must not lose, and a data directory made of it.
//!
//! - [`backup`] writes the file, beside a running server or not: rows of one state of the store, then the journal, which
//!   is therefore at least as new as the rows. It appears under its name when it is whole and synced.
//! - [`restore`] verifies a whole file before it writes anything, and writes into an empty directory only.
//!
//! Rows are sealed already; the frames of the file seal them once more, together with the journal, which is not. What
//! stands in the clear is the header: when it was made, which root key opens it, which versions of keys are in it. The
//! bytes are in `docs/formats.md#backup`.
//!
//! Not in it: the root directory, which is kept apart; the log of strangers, which is no evidence.

mod error;
mod format;
mod reader;
mod restoring;
mod rows;
#[cfg(test)]
mod tests;

mod target;
mod writer;
mod writing;

pub use error::BackupError;
pub use format::Header as BackupHeader;
pub use restoring::{Restored, restore};
pub use writing::{BackedUp, backup};
