//! Moves pages from the log to the database, beside the commits.
//!
//! A passive checkpoint waits for nobody: it runs each time enough pages are pending. It does not make the log shorter
//! while commits keep coming, because the log starts from its beginning only when a commit finds it moved whole. So
//! when the log has become long in spite of it, the next commit is held for the moment that a truncating one takes,
//! right after a passive one has moved nearly everything.
//!
//! **After a failure the log is read anew.** A checkpoint that did not reach the log's end, because a commit came
//! meanwhile, counts its pages as moved and leaves their sync to the one that does reach it. If that sync fails, the
//! system may have dropped the pages of both, and SQLite would write only the later ones again; then it would begin the
//! log from the start, and the others would be nowhere. So after any failure there is no checkpoint before every
//! connection was closed and SQLite has read the log anew, from which it counts nothing as moved.
//! Source: `walCheckpoint` in SQLite's wal.c, which syncs only if `mxSafeFrame` is the last frame.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
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

/// How long the thread waits after a failure.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Checkpointer {
    file: DatabaseFile,
    connection: Mutex<State>,
    /// A checkpoint has failed, and the log has not been read anew since.
    failed: AtomicBool,
    plan: Mutex<Plan>,
    changed: Condvar,
}

enum State {
    Closed,
    /// There is no connection, because reading the log anew has failed halfway.
    Lost,
    Ready(Connection),
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
        Ok(Self::new(file, State::Ready(connect(file, Role::Checkpointer)?)))
    }

    fn new(file: &DatabaseFile, state: State) -> Self {
        Self {
            file: file.clone(),
            connection: Mutex::new(state),
            failed: AtomicBool::new(false),
            plan: Mutex::new(Plan::new()),
            changed: Condvar::new(),
        }
    }

    /// Whether the log must be read anew before anything else is moved.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Whether there is no connection that stays open while the writer's is replaced.
    pub(super) fn is_lost(&self) -> bool {
        self.has_failed() && matches!(*self.connection(), State::Lost)
    }

    /// Closes the connection, the last one, has `open_writer` open the first, and comes back only if SQLite has read the
    /// log anew in between. It has not while another process, or a check of the whole database, has it open.
    pub(super) fn reopen(
        &self,
        open_writer: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let action = "reading the log anew";
        let mut state = self.connection();
        match std::mem::replace(&mut *state, State::Lost) {
            State::Ready(connection) => close_quietly(connection)?,
            State::Lost => {}
            State::Closed => {
                *state = State::Closed;
                return Err(StoreError::Closed);
            }
        }
        open_writer()?;
        let connection = connect(&self.file, Role::Checkpointer)?;
        let counts = connection.wal_checkpoint_v2(None::<&str>, CheckpointMode::NOOP);
        let (_, moved) = counts.map_err(|error| engine(error, action))?;
        *state = State::Ready(connection);
        if moved > 0 {
            let source = "somebody else has the database open".into();
            return Err(StoreError::Busy { action: action.to_owned(), source });
        }
        self.failed.store(false, Ordering::Release);
        Ok(())
    }

    /// Has the thread try again in a while.
    pub(super) fn put_off(&self) {
        let waited = self.changed.wait_timeout_while(self.plan(), FAILURE_PAUSE, |plan| !plan.stopped);
        let (mut plan, _) = waited.unwrap_or_else(PoisonError::into_inner);
        plan.due = Some(plan.due.unwrap_or(Due::Passive));
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
        if self.has_failed() || !std::mem::take(&mut self.plan().truncation_ready) {
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

    /// The last connection to be closed moves what is in the log, and then removes it: not after a failure. Who opens
    /// the store next finds the log.
    pub(super) fn close(&self) -> Result<(), StoreError> {
        match std::mem::replace(&mut *self.connection(), State::Closed) {
            State::Ready(connection) if self.has_failed() => close_quietly(connection),
            State::Ready(connection) => {
                connection.close().map_err(|(_, error)| engine(error, "closing the database"))
            }
            State::Closed | State::Lost => Ok(()),
        }
    }

    /// Unlike the writer's, this connection is kept when it fails: it must stay open (see `writer`).
    fn checkpoint(&self, mode: CheckpointMode, wait: Duration) -> Result<LogLength, StoreError> {
        let action = match mode {
            CheckpointMode::TRUNCATE => "truncating the log",
            _ => "moving pages from the log to the database",
        };
        let guard = self.connection();
        let connection = match &*guard {
            State::Closed => return Err(StoreError::Closed),
            State::Ready(connection) if !self.has_failed() => connection,
            State::Lost | State::Ready(_) => {
                let source = "an earlier checkpoint failed, and the log could not be read anew yet".into();
                return Err(StoreError::Engine { action: action.to_owned(), source });
            }
        };
        let result = connection
            .busy_timeout(wait)
            .and_then(|()| connection.wal_checkpoint_v2(None::<&str>, mode))
            .map(LogLength::from_counts)
            .map_err(|error| engine(error, action));
        // One that readers were in the way of has not failed.
        if !matches!(result, Ok(_) | Err(StoreError::Busy { .. })) {
            self.failed.store(true, Ordering::Release);
        }
        result
    }

    fn connection(&self) -> MutexGuard<'_, State> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes without moving what is in the log.
fn close_quietly(connection: Connection) -> Result<(), StoreError> {
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(|error| engine(error, "closing the database"))?;
    connection.close().map_err(|(_, error)| engine(error, "closing the database"))
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
        let directory = ScratchDirectory::new();
        let file = DatabaseFile::create(directory.path()).unwrap();
        let idle = Checkpointer::new(&file, State::Closed);
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
    fn after_a_failure_nothing_is_moved_before_the_log_is_read_anew() {
        with_log(|file, checkpointer, log_bytes| {
            checkpointer.passive();
            checkpointer.failed.store(true, Ordering::Release);
            assert!(checkpointer.truncate().is_err());
            checkpointer.ready_truncation();
            checkpointer.truncate_if_ready();
            assert!(log_bytes() > 0);
            // The writer of `with_log` keeps what SQLite remembers of the log, and with it that all was moved.
            let reopened = checkpointer.reopen(|| Ok(()));
            assert!(matches!(reopened, Err(StoreError::Busy { .. })), "{reopened:?}");
            assert!(checkpointer.has_failed() && !checkpointer.is_lost());
            assert!(checkpointer.reopen(|| Err(StoreError::ReadersBusy)).is_err());
            assert!(checkpointer.is_lost() && checkpointer.truncate().is_err());
            assert!(connect(file, Role::Reader).is_ok());
        });
    }

    #[test]
    fn closing_after_a_failure_leaves_the_log() {
        let directory = ScratchDirectory::new();
        let file = DatabaseFile::create(directory.path()).unwrap();
        let writer = connect(&file, Role::Writer).unwrap();
        let checkpointer = Checkpointer::open(&file).unwrap();
        writer.execute("UPDATE meta SET value = 1", []).unwrap();
        let log = directory.path().join("strongroom.sqlite3-wal");
        let log_bytes = std::fs::metadata(&log).unwrap().len();
        checkpointer.failed.store(true, Ordering::Release);
        drop(writer);
        checkpointer.close().unwrap();
        assert_eq!(std::fs::metadata(&log).unwrap().len(), log_bytes);
        // Nobody has it open any more: the next to open it reads it from its beginning.
        let checkpointer = Checkpointer::new(&file, State::Lost);
        checkpointer.failed.store(true, Ordering::Release);
        checkpointer.reopen(|| Ok(())).unwrap();
        checkpointer.truncate().unwrap();
        assert_eq!(std::fs::metadata(&log).unwrap().len(), 0);
    }

    #[test]
    fn counts_that_sqlite_does_not_know_are_none() {
        assert_eq!(LogLength::from_counts((-1, -1)), length(0, 0));
        assert_eq!(LogLength::from_counts((10, 4)), length(10, 6));
    }
}
