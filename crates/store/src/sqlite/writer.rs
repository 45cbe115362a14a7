//! The one connection that writes.
//!
//! **How an unknown outcome is settled.** When COMMIT fails, SQLite undoes the transaction in memory, but its pages
//! may stand in the log file, complete and with their commit mark; only the sync failed, or a write after them. This
//! process does not see them. A process that starts after a crash reads the log anew, and would. So the outcome would
//! depend on whether we crash. Before anything else is answered, a new connection therefore commits a *fence*: a change
//! of one counter, which goes to the same place in the log and destroys those pages' chain of checksums. When the
//! fence is synced the outcome is what this process sees, for ever. Until then reads are refused.
//!
//! INVARIANT: this holds because the checkpointer's connection stays open while the writer's is replaced. Were the
//! writer's the only connection, opening it again would read the log anew and adopt the failed pages, which the
//! kernel, after a failed fsync, may hold in memory as clean and never write to the disk.
//! Source: SQLite documentation, "WAL-mode File Format", section 4 (recovery); "PostgreSQL's fsync() surprise", LWN
//! 752063.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, TransactionBehavior};

use super::connection::{Role, connect, engine};
use super::file::DatabaseFile;
use super::rows;
use crate::{Batch, BatchOutcome, CommitError, GroupCommit, Op, StoreError, check};

pub(super) struct Writer {
    file: DatabaseFile,
    state: State,
    /// Set while the outcome of a commit is open. Shared with those who read.
    unsettled: Arc<AtomicBool>,
}

enum State {
    Closed,
    /// There is no connection. The next use opens one, and settles what is unsettled.
    Lost,
    Ready(Connection),
}

/// How long the log is, in pages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LogLength {
    pub(super) pages: u32,
    /// Those that no checkpoint has moved to the database yet.
    pub(super) pending_pages: u32,
}

impl Writer {
    pub(super) fn new(file: DatabaseFile, unsettled: Arc<AtomicBool>) -> Self {
        Self { file, state: State::Lost, unsettled }
    }

    /// Makes sure that there is a connection and that no outcome is open.
    pub(super) fn settle(&mut self) -> Result<(), StoreError> {
        let connection = self.take()?;
        self.state = State::Ready(connection);
        Ok(())
    }

    pub(super) fn commit_group(
        &mut self,
        batches: &[Batch],
        finish: &mut dyn FnMut(&[BatchOutcome]) -> Vec<Op>,
    ) -> Result<(GroupCommit, LogLength), CommitError> {
        // A connection that fails, or that `finish` unwinds through, is not put back.
        let mut connection = self.take().map_err(CommitError::Failed)?;
        match run_group(&mut connection, batches, finish) {
            Ok(commit) => {
                let length = log_length(&connection);
                self.state = State::Ready(connection);
                Ok((commit, length))
            }
            Err(error) => {
                drop(connection);
                if let CommitError::Unknown(source) = &error {
                    self.lose_outcome(source);
                }
                Err(error)
            }
        }
    }

    /// Closes the connection. Whoever drops the store next may then close the others.
    pub(super) fn close(&mut self) -> Result<(), StoreError> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Ready(connection) => {
                connection.close().map_err(|(_, error)| engine(error, "closing the database"))
            }
            State::Closed | State::Lost => Ok(()),
        }
    }

    /// Gives the connection up, so that the next use opens one.
    pub(super) fn lose(&mut self) -> Result<(), StoreError> {
        match std::mem::replace(&mut self.state, State::Lost) {
            State::Ready(connection) => {
                connection.close().map_err(|(_, error)| engine(error, "closing the database"))
            }
            State::Lost => Ok(()),
            State::Closed => {
                self.state = State::Closed;
                Err(StoreError::Closed)
            }
        }
    }

    /// Takes the connection out, leaving none.
    fn take(&mut self) -> Result<Connection, StoreError> {
        match std::mem::replace(&mut self.state, State::Lost) {
            State::Ready(connection) => return Ok(connection),
            State::Lost => {}
            State::Closed => {
                self.state = State::Closed;
                return Err(StoreError::Closed);
            }
        }
        let mut connection = connect(&self.file, Role::Writer)?;
        if self.unsettled.load(Ordering::Acquire) {
            fence(&mut connection).map_err(|error| engine(error, "settling an unknown outcome"))?;
            self.unsettled.store(false, Ordering::Release);
            tracing::warn!("the unknown outcome of a commit is settled");
        }
        Ok(connection)
    }

    fn lose_outcome(&mut self, source: &StoreError) {
        self.unsettled.store(true, Ordering::Release);
        tracing::error!(error = source as &dyn std::error::Error, "the outcome of a commit is not known");
        // Tried at once, so that the caller's first read finds the outcome settled. If it cannot be, the next use
        // tries again.
        if let Err(error) = self.settle() {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "the unknown outcome could not be settled yet");
        }
    }
}

fn run_group(
    connection: &mut Connection,
    batches: &[Batch],
    finish: &mut dyn FnMut(&[BatchOutcome]) -> Vec<Op>,
) -> Result<GroupCommit, CommitError> {
    let failed = |error, action| CommitError::Failed(engine(error, action));
    let tx = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|error| failed(error, "beginning a transaction"))?;
    let outcomes = batches
        .iter()
        .map(|batch| apply_batch(&tx, batch))
        .collect::<Result<Vec<_>, _>>()
        .map_err(CommitError::Failed)?;
    if !outcomes.iter().any(BatchOutcome::is_applied) {
        let revision = rows::revision(&tx).map_err(CommitError::Failed)?;
        tx.rollback().map_err(|error| failed(error, "ending a transaction without changes"))?;
        return Ok(GroupCommit { revision, outcomes });
    }
    let ops = finish(&outcomes);
    check::ops(&ops).map_err(CommitError::Failed)?;
    ops.iter().try_for_each(|op| rows::apply(&tx, op)).map_err(CommitError::Failed)?;
    let revision = rows::advance_revision(&tx).map_err(CommitError::Failed)?;
    tx.commit().map_err(|error| CommitError::Unknown(engine(error, "committing a transaction")))?;
    Ok(GroupCommit { revision, outcomes })
}

/// All preconditions are looked at before the first change, and changes fail only together with their transaction.
/// So a batch needs no savepoint of its own.
fn apply_batch(connection: &Connection, batch: &Batch) -> Result<BatchOutcome, StoreError> {
    for precondition in &batch.preconditions {
        let found = rows::version(connection, &precondition.address)?;
        if !precondition.expect.holds(found) {
            return Ok(BatchOutcome::Conflict { address: precondition.address.clone() });
        }
    }
    batch.ops.iter().try_for_each(|op| rows::apply(connection, op))?;
    Ok(BatchOutcome::Applied)
}

fn fence(connection: &mut Connection) -> rusqlite::Result<()> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute("UPDATE meta SET value = value + 1 WHERE name = 'fence'", [])?;
    tx.commit()
}

/// The length costs two reads of shared memory. Not to know it costs a late checkpoint, so that an error is none.
fn log_length(connection: &Connection) -> LogLength {
    let length = connection.wal_checkpoint_v2(None::<&str>, CheckpointMode::NOOP).unwrap_or_default();
    LogLength::from_counts(length)
}

impl LogLength {
    /// From the log's pages and those of them that are in the database too; SQLite says -1 when it does not know.
    pub(super) fn from_counts((pages, moved): (i32, i32)) -> Self {
        let pages = u32::try_from(pages).unwrap_or(0);
        let moved = u32::try_from(moved).unwrap_or(0);
        Self { pages, pending_pages: pages.saturating_sub(moved) }
    }
}

#[cfg(test)]
mod tests;
