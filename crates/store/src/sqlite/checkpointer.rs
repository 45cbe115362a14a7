//! Moves pages from the log to the database, beside the commits.
//!
//! A passive checkpoint waits for nobody: it runs each time enough pages are pending. It does not make the log shorter
//! while commits keep coming, because the log starts from its beginning only when a commit finds it moved whole. So
//! when the log has become long in spite of it, the next commit is held for the moment that a truncating one takes,
//! right after a passive one has moved nearly everything.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::wal::CheckpointMode;

use super::connection::{BUSY_WAIT, Role, connect, engine};
use super::file::{DatabaseFile, PAGE_BYTES};
use super::writer::LogLength;
use crate::StoreError;

const PENDING_BYTES_MAX: u32 = 8 * 1024 * 1024;
const LOG_BYTES_MAX: u32 = 64 * 1024 * 1024;
const PENDING_PAGES_MAX: u32 = PENDING_BYTES_MAX / PAGE_BYTES;
const LOG_PAGES_MAX: u32 = LOG_BYTES_MAX / PAGE_BYTES;

/// How long commits may be held by a truncation that nobody asked for.
const UNASKED_WAIT: Duration = Duration::from_millis(50);

pub(super) struct Checkpointer {
    /// `None` after closing.
    connection: Mutex<Option<Connection>>,
    plan: Mutex<Plan>,
    changed: Condvar,
}

/// What the thread is to do, and when.
#[derive(Debug)]
struct Plan {
    due: Option<Due>,
    stopped: bool,
    /// The next commit is to truncate the log before it begins.
    truncation_ready: bool,
    /// The log is truncated when it has so many pages. Raised when readers were in the way, so that commits are not
    /// held again and again.
    truncate_at_pages: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Passive,
    Truncate,
}

impl Plan {
    const fn new() -> Self {
        Self { due: None, stopped: false, truncation_ready: false, truncate_at_pages: LOG_PAGES_MAX }
    }

    /// Whether there is now something to do.
    fn observe(&mut self, length: LogLength) -> bool {
        if length.pages >= self.truncate_at_pages {
            self.due = Some(Due::Truncate);
        } else if length.pending_pages >= PENDING_PAGES_MAX {
            self.due = Some(self.due.unwrap_or(Due::Passive));
        }
        self.due.is_some()
    }

    fn truncated(&mut self, done: bool) {
        self.truncate_at_pages =
            if done { LOG_PAGES_MAX } else { self.truncate_at_pages.saturating_add(PENDING_PAGES_MAX) };
    }
}

impl Checkpointer {
    pub(super) fn open(file: &DatabaseFile) -> Result<Self, StoreError> {
        let connection = Mutex::new(Some(connect(file, Role::Checkpointer)?));
        Ok(Self { connection, plan: Mutex::new(Plan::new()), changed: Condvar::new() })
    }

    /// Told after each commit.
    pub(super) fn observe(&self, length: LogLength) {
        if self.plan().observe(length) {
            self.changed.notify_one();
        }
    }

    /// Waits for something to do; nothing more after `stop`.
    pub(super) fn next(&self) -> Option<Due> {
        let idle = |plan: &mut Plan| plan.due.is_none() && !plan.stopped;
        let mut plan = self.changed.wait_while(self.plan(), idle).unwrap_or_else(PoisonError::into_inner);
        if plan.stopped { None } else { plan.due.take() }
    }

    pub(super) fn stop(&self) {
        self.plan().stopped = true;
        self.changed.notify_one();
    }

    pub(super) fn passive(&self) {
        let result = self.checkpoint(CheckpointMode::PASSIVE, BUSY_WAIT);
        match result {
            Ok(length) => tracing::debug!(pages = length.pages, pending = length.pending_pages, "checkpoint"),
            Err(StoreError::Closed) => {}
            // What was not moved is still in the log; the next commit asks again.
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "a checkpoint failed"),
        }
    }

    /// Leaves the truncation of a long log to the next commit. The thread does not wait for the writer itself, because
    /// commits that follow each other closely would not let it in.
    pub(super) fn ready_truncation(&self) {
        self.plan().truncation_ready = true;
    }

    /// Truncates a log that has become long, if it is time. The caller holds the writer.
    pub(super) fn truncate_if_ready(&self) {
        if !std::mem::take(&mut self.plan().truncation_ready) {
            return;
        }
        let result = self.checkpoint(CheckpointMode::TRUNCATE, UNASKED_WAIT);
        self.plan().truncated(result.is_ok());
        if let Err(error) = result {
            tracing::warn!(error = &error as &dyn std::error::Error, "the log is long and was not truncated");
        }
    }

    /// Cuts the log to nothing. The caller holds the writer.
    pub(super) fn truncate(&self) -> Result<(), StoreError> {
        self.checkpoint(CheckpointMode::TRUNCATE, BUSY_WAIT).map(|_| ())
    }

    pub(super) fn close(&self) -> Result<(), StoreError> {
        match self.connection().take() {
            Some(connection) => {
                connection.close().map_err(|(_, error)| engine(error, "closing the database"))
            }
            None => Ok(()),
        }
    }

    /// Unlike the writer's, this connection is kept when it fails: it must stay open (see `writer`), and SQLite counts
    /// pages as moved only after a sync that succeeded, so that the next checkpoint writes all of them again.
    fn checkpoint(&self, mode: CheckpointMode, wait: Duration) -> Result<LogLength, StoreError> {
        let action = match mode {
            CheckpointMode::TRUNCATE => "truncating the log",
            _ => "moving pages from the log to the database",
        };
        let guard = self.connection();
        let connection = guard.as_ref().ok_or(StoreError::Closed)?;
        connection
            .busy_timeout(wait)
            .and_then(|()| connection.wal_checkpoint_v2(None::<&str>, mode))
            .map(LogLength::from_counts)
            .map_err(|error| engine(error, action))
    }

    fn connection(&self) -> MutexGuard<'_, Option<Connection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use strongroom_testkit::scratch::ScratchDirectory;

    use super::*;

    fn length(pages: u32, pending_pages: u32) -> LogLength {
        LogLength { pages, pending_pages }
    }

    #[test]
    fn a_short_log_asks_for_nothing() {
        let mut plan = Plan::new();
        assert!(!plan.observe(length(0, 0)));
        assert!(!plan.observe(length(LOG_PAGES_MAX - 1, PENDING_PAGES_MAX - 1)));
        assert_eq!(plan.due, None);
    }

    #[test]
    fn pending_pages_ask_for_a_passive_checkpoint() {
        let mut plan = Plan::new();
        assert!(plan.observe(length(PENDING_PAGES_MAX, PENDING_PAGES_MAX)));
        assert_eq!(plan.due, Some(Due::Passive));
    }

    #[test]
    fn a_long_log_asks_for_truncation_and_keeps_asking() {
        let mut plan = Plan::new();
        assert!(plan.observe(length(LOG_PAGES_MAX, 0)));
        assert!(plan.observe(length(1, PENDING_PAGES_MAX)));
        assert_eq!(plan.due, Some(Due::Truncate));
    }

    #[test]
    fn a_truncation_in_vain_is_put_off_until_the_log_has_grown() {
        let mut plan = Plan::new();
        plan.truncated(false);
        assert!(!plan.observe(length(LOG_PAGES_MAX, 0)));
        assert!(plan.observe(length(LOG_PAGES_MAX + PENDING_PAGES_MAX, 0)));
        plan.due = None;
        plan.truncated(true);
        assert!(plan.observe(length(LOG_PAGES_MAX, 0)));
    }

    #[test]
    fn stopping_ends_the_wait_even_with_work_due() {
        let plan = Mutex::new(Plan::new());
        let idle = Checkpointer { connection: Mutex::new(None), plan, changed: Condvar::new() };
        idle.observe(length(LOG_PAGES_MAX, LOG_PAGES_MAX));
        assert_eq!(idle.next(), Some(Due::Truncate));
        idle.observe(length(LOG_PAGES_MAX, LOG_PAGES_MAX));
        idle.stop();
        assert_eq!(idle.next(), None);
        assert!(matches!(idle.truncate(), Err(StoreError::Closed)));
    }

    /// A store's connections and a log with something in it.
    fn with_log(check: impl FnOnce(&DatabaseFile, &Checkpointer, &dyn Fn() -> u64)) {
        let directory = ScratchDirectory::new();
        let file = DatabaseFile::create(directory.path()).unwrap();
        let writer = connect(&file, Role::Writer).unwrap();
        let checkpointer = Checkpointer::open(&file).unwrap();
        writer.execute("UPDATE meta SET value = 1", []).unwrap();
        let log = directory.path().join("strongroom.sqlite3-wal");
        check(&file, &checkpointer, &|| std::fs::metadata(&log).unwrap().len());
    }

    #[test]
    fn log_is_truncated_once_when_it_is_time_and_not_before() {
        with_log(|_, checkpointer, log_bytes| {
            checkpointer.truncate_if_ready();
            assert!(log_bytes() > 0);
            checkpointer.ready_truncation();
            checkpointer.truncate_if_ready();
            assert_eq!(log_bytes(), 0);
            assert!(!checkpointer.plan().truncation_ready);
        });
    }

    #[test]
    fn reader_in_the_way_puts_the_truncation_off() {
        with_log(|file, checkpointer, log_bytes| {
            let reader = connect(file, Role::Reader).unwrap();
            reader.execute_batch("BEGIN; SELECT * FROM meta").unwrap();
            checkpointer.ready_truncation();
            checkpointer.truncate_if_ready();
            assert!(log_bytes() > 0);
            assert!(!checkpointer.plan().observe(length(LOG_PAGES_MAX, 0)));
            reader.execute_batch("COMMIT").unwrap();
            checkpointer.ready_truncation();
            checkpointer.truncate_if_ready();
            assert_eq!(log_bytes(), 0);
            assert!(checkpointer.plan().observe(length(LOG_PAGES_MAX, 0)));
        });
    }

    #[test]
    fn counts_that_sqlite_does_not_know_are_none() {
        assert_eq!(LogLength::from_counts((-1, -1)), length(0, 0));
        assert_eq!(LogLength::from_counts((10, 4)), length(10, 6));
    }
}
