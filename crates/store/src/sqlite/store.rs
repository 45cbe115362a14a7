//! The store over SQLite.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::checkpointer::{Checkpointer, Due};
use super::connection::{Role, connect};
use super::file::DatabaseFile;
use super::readers::Readers;
use super::rows;
use super::writer::Writer;
use crate::{Batch, BatchOutcome, CommitError, GroupCommit, Op, Row, Store, StoreError, check};

/// Rows in one SQLite database in the data directory. Dropping it closes it.
pub struct SqliteStore {
    shared: Arc<Shared>,
    checkpoint_thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the store and its checkpoint thread have in common. Where both are taken, the writer is locked before the
/// checkpointer.
struct Shared {
    file: DatabaseFile,
    checkpointer: Checkpointer,
    readers: Readers,
    /// Set while the outcome of a commit is open.
    unsettled: Arc<AtomicBool>,
    writer: Mutex<Writer>,
}

impl SqliteStore {
    /// Makes a new store in the directory and opens it. Refused if there is one.
    pub fn create(directory: &Path) -> Result<Self, StoreError> {
        DatabaseFile::create(directory).and_then(Self::open_file)
    }

    /// Opens the store in the directory. Whatever a killed process left in the log is recovered; there is nothing for
    /// the caller to do.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        DatabaseFile::locate(directory).and_then(Self::open_file)
    }

    fn open_file(file: DatabaseFile) -> Result<Self, StoreError> {
        let unsettled = Arc::new(AtomicBool::new(false));
        let mut writer = Writer::new(file.clone(), Arc::clone(&unsettled));
        // The writer comes first: it sees to it that the database keeps a log.
        writer.settle()?;
        let shared = Arc::new(Shared {
            checkpointer: Checkpointer::open(&file)?,
            readers: Readers::new(file.clone()),
            unsettled,
            writer: Mutex::new(writer),
            file,
        });
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || shared.run_checkpoints()
            })
            .map_err(|source| StoreError::Engine {
                action: "starting the checkpoint thread".to_owned(),
                source: Box::new(source),
            })?;
        Ok(Self { shared, checkpoint_thread: Mutex::new(Some(thread)) })
    }
}

impl Store for SqliteStore {
    fn get(&self, address: &str) -> Result<Option<Row>, StoreError> {
        check::address(address)?;
        self.shared.read(|connection| rows::get(connection, address))
    }

    fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Row)>, StoreError> {
        check::scan(prefix, after, limit)?;
        self.shared.read(|connection| rows::scan(connection, prefix, after, limit))
    }

    fn commit_group(
        &self,
        batches: &[Batch],
        finish: &mut dyn FnMut(&[BatchOutcome]) -> Vec<Op>,
    ) -> Result<GroupCommit, CommitError> {
        check::group(batches).map_err(CommitError::Failed)?;
        let mut writer = self.shared.writer();
        if self.shared.checkpointer.is_lost() {
            // Without that connection an unknown outcome could not be settled.
            self.shared.reopen(&mut writer).map_err(CommitError::Failed)?;
        }
        self.shared.checkpointer.truncate_if_ready();
        let (commit, length) = writer.commit_group(batches, finish)?;
        drop(writer);
        self.shared.checkpointer.observe(length);
        Ok(commit)
    }

    fn revision(&self) -> Result<u64, StoreError> {
        self.shared.read(rows::revision)
    }

    /// On a connection of its own: it may take minutes, and the readers of the pool are needed. The log does not
    /// become shorter meanwhile.
    fn integrity_check(&self) -> Result<(), StoreError> {
        self.shared.writer().settle()?;
        let connection = connect(&self.shared.file, Role::Reader)?;
        rows::integrity_check(&connection)
    }

    fn truncate_log(&self) -> Result<(), StoreError> {
        let mut writer = self.shared.writer();
        self.shared.ready(&mut writer)?;
        self.shared.checkpointer.truncate()
    }

    fn close(&self) -> Result<(), StoreError> {
        self.shared.checkpointer.stop();
        let thread = self.checkpoint_thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return Ok(()) };
        if thread.join().is_err() {
            tracing::error!("the checkpoint thread had panicked");
        }
        let mut writer = self.shared.writer();
        let settled = self.shared.ready(&mut writer);
        self.shared.readers.close();
        let truncated = settled.and_then(|()| self.shared.checkpointer.truncate());
        // All are closed, whatever the first error was.
        let closed = writer.close();
        let last_closed = self.shared.checkpointer.close();
        truncated.and(closed).and(last_closed)
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the store was not closed in good order"
            );
        }
    }
}

impl Shared {
    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if self.unsettled.load(Ordering::Acquire) {
            self.writer().settle()?;
        }
        self.readers.with(read)
    }

    /// A panic under this lock leaves a writer without a connection, and the next use opens one.
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Settles what is open, and has the log read anew if a checkpoint has failed.
    fn ready(&self, writer: &mut Writer) -> Result<(), StoreError> {
        if self.checkpointer.has_failed() { self.reopen(writer) } else { writer.settle() }
    }

    /// Closes every connection and opens them again, so that SQLite reads the log anew.
    ///
    /// The writer is settled first. What is in the log then was acknowledged, and nothing of a failed commit is.
    fn reopen(&self, writer: &mut Writer) -> Result<(), StoreError> {
        if !self.checkpointer.is_lost() {
            writer.settle()?;
        }
        self.readers.without(|| {
            writer.lose()?;
            self.checkpointer.reopen(|| writer.settle())
        })?;
        tracing::warn!("the database was opened again after a checkpoint had failed");
        Ok(())
    }

    fn reopen_locked(&self) -> Result<(), StoreError> {
        let mut writer = self.writer();
        self.reopen(&mut writer)
    }

    fn run_checkpoints(&self) {
        while let Some(due) = self.checkpointer.next() {
            if self.checkpointer.has_failed()
                && let Err(error) = self.reopen_locked()
            {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the database could not be opened again yet");
            } else {
                self.checkpointer.passive();
            }
            if self.checkpointer.has_failed() {
                self.checkpointer.put_off();
                continue;
            }
            if due == Due::Truncate {
                self.checkpointer.ready_truncation();
            }
        }
    }
}
