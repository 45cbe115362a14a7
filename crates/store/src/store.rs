//! The seam between the service and its storage engine.

use crate::{Batch, BatchOutcome, CommitError, GroupCommit, Op, Row, StoreError};

/// Rows by address, changed in groups.
///
/// Calls block. Reads come from many threads at once and each sees one state of the store: everything acknowledged
/// before it began, and no group in part. Every argument is held to the limits in [`crate::check`].
///
/// With several nodes this trait will gain a feed of the addresses changed since a revision, and a lease.
pub trait Store: Send + Sync + 'static {
    /// The row at `address`.
    fn get(&self, address: &str) -> Result<Option<Row>, StoreError>;

    /// The first `limit` rows whose addresses begin with `prefix` and come after `after`, in the byte order of
    /// addresses. Fewer than `limit` rows mean that there are no more. The empty prefix is that of all addresses;
    /// `after` itself need not exist, nor begin with the prefix.
    fn scan(&self, prefix: &str, after: Option<&str>, limit: usize)
    -> Result<Vec<(String, Row)>, StoreError>;

    /// Applies `batches` in order in one durable transaction.
    ///
    /// A batch sees what the batches before it changed. One whose preconditions do not hold is skipped whole and
    /// reported as a conflict; the others are applied. `finish` runs once after the last batch; the operations that it
    /// returns go into the same transaction, and are held to the limits of one batch. If nothing was applied, `finish`
    /// is not called and nothing is written.
    ///
    /// An argument past a limit refuses the whole group, so whoever gathers a group should call [`Batch::check`] on
    /// each batch before it joins. Groups are committed one at a time; a second caller waits. `finish` may read from
    /// the store (it sees the state before the group) and must not call `commit_group`, `truncate_log` or `close`.
    ///
    /// After [`CommitError::Unknown`], a read that succeeds tells the outcome, and tells it for good: until the
    /// outcome can no longer change, reads are refused.
    fn commit_group(
        &self,
        batches: &[Batch],
        finish: &mut dyn FnMut(&[BatchOutcome]) -> Vec<Op>,
    ) -> Result<GroupCommit, CommitError>;

    /// How many groups have been applied since the store was created.
    fn revision(&self) -> Result<u64, StoreError>;

    /// The engine's own check of its files. Reads everything; says nothing about what the values mean.
    fn integrity_check(&self) -> Result<(), StoreError>;

    /// Removes from the engine's log whatever was deleted or overwritten before this call. Commits wait meanwhile.
    fn truncate_log(&self) -> Result<(), StoreError>;

    /// Closes in good order. Every call after this one fails with [`StoreError::Closed`], except `close` itself.
    fn close(&self) -> Result<(), StoreError>;
}
