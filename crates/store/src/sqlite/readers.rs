//! The pool of reading connections.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use super::connection::{BUSY_WAIT, Role, connect};
use super::file::DatabaseFile;
use crate::StoreError;

/// More connections than this would only share the same cores.
const READERS_MAX: usize = 16;

/// Connections are opened when they are first needed. A reader is held for one call; when all are out, a call waits
/// for the next one to come back.
pub(super) struct Readers {
    file: DatabaseFile,
    readers_max: usize,
    wait: Duration,
    pool: Mutex<Pool>,
    returned: Condvar,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Connection>,
    opened: usize,
    closed: bool,
    /// Nobody is to have a connection for a while.
    paused: bool,
}

/// A place among the opened connections. Given up when it is dropped, and with it the connection, unless the
/// connection goes back to the pool.
struct Place<'a> {
    readers: &'a Readers,
    returned: bool,
}

impl Readers {
    pub(super) fn new(file: DatabaseFile) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let readers_max = cores.clamp(2, READERS_MAX);
        Self { file, readers_max, wait: BUSY_WAIT, pool: Mutex::default(), returned: Condvar::new() }
    }

    /// Runs `read` on a connection of the pool. One that has seen an error is not used again.
    pub(super) fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (connection, place) = self.take()?;
        let result = read(&connection);
        if result.is_ok() {
            place.give_back(connection);
        }
        result
    }

    /// Closes every connection, those that are out when they come back.
    pub(super) fn close(&self) {
        let mut pool = self.pool();
        pool.closed = true;
        pool.idle.clear();
        self.returned.notify_all();
    }

    /// Runs `work` while there is no reading connection. Reads that come meanwhile wait.
    pub(super) fn without<T>(&self, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let _pause = Pause(self);
        let mut pool = self.pool();
        pool.paused = true;
        pool.opened -= pool.idle.len();
        pool.idle.clear();
        let waited = self.returned.wait_timeout_while(pool, self.wait, |pool| pool.opened > 0);
        let (pool, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(pool);
        if timeout.timed_out() { Err(StoreError::ReadersBusy) } else { work() }
    }

    fn take(&self) -> Result<(Connection, Place<'_>), StoreError> {
        let full = |pool: &mut Pool| {
            !pool.closed && (pool.paused || (pool.idle.is_empty() && pool.opened >= self.readers_max))
        };
        let waited = self.returned.wait_timeout_while(self.pool(), self.wait, full);
        let (mut pool, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if pool.closed {
            return Err(StoreError::Closed);
        }
        if timeout.timed_out() {
            return Err(StoreError::ReadersBusy);
        }
        let idle = pool.idle.pop();
        if idle.is_none() {
            pool.opened += 1;
        }
        drop(pool);
        let place = Place { readers: self, returned: false };
        let connection = idle.map_or_else(|| connect(&self.file, Role::Reader), Ok)?;
        Ok((connection, place))
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        // Nothing that could leave the pool half-changed runs under this lock.
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    fn give_back(mut self, connection: Connection) {
        self.returned = true;
        let mut pool = self.readers.pool();
        if pool.paused {
            drop(connection);
            pool.opened -= 1;
        } else if !pool.closed {
            pool.idle.push(connection);
        }
        drop(pool);
        self.readers.returned.notify_all();
    }
}

/// Ends the pause when it is dropped.
struct Pause<'a>(&'a Readers);

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        self.0.pool().paused = false;
        self.0.returned.notify_all();
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.returned {
            self.readers.pool().opened -= 1;
            self.readers.returned.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use strongroom_testkit::scratch::ScratchDirectory;

    use super::*;

    fn readers(directory: &ScratchDirectory, readers_max: usize) -> Readers {
        let file = DatabaseFile::create(directory.path()).unwrap();
        Readers { readers_max, wait: Duration::ZERO, ..Readers::new(file) }
    }

    /// How many connections there are, and how many of them are idle.
    fn counts(readers: &Readers) -> (usize, usize) {
        let pool = readers.pool();
        (pool.opened, pool.idle.len())
    }

    fn nested(readers: &Readers, depth: usize) -> Result<(), StoreError> {
        if depth == 0 { Ok(()) } else { readers.with(|_| nested(readers, depth - 1)) }
    }

    #[test]
    fn one_reader_more_than_there_are_is_refused() {
        let directory = ScratchDirectory::new();
        let readers = readers(&directory, 3);
        assert!(matches!(nested(&readers, 4), Err(StoreError::ReadersBusy)));
        nested(&readers, 3).unwrap();
        assert_eq!(readers.pool().opened, 3);
    }

    #[test]
    fn reader_that_failed_is_not_used_again() {
        let directory = ScratchDirectory::new();
        let readers = readers(&directory, 1);
        for _ in 0..3 {
            let result = readers.with(|_| Err::<(), _>(StoreError::AddressEmpty));
            assert!(matches!(result, Err(StoreError::AddressEmpty)));
            assert_eq!(counts(&readers), (0, 0));
        }
        readers.with(|_| Ok(())).unwrap();
        assert_eq!(counts(&readers), (1, 1));
    }

    #[test]
    fn pause_waits_for_readers_that_are_out_and_ends() {
        let directory = ScratchDirectory::new();
        let readers = readers(&directory, 2);
        readers.with(|_| nested(&readers, 1)).unwrap();
        let held = readers.with(|_| readers.without(|| Ok(counts(&readers))));
        assert!(matches!(held, Err(StoreError::ReadersBusy)));
        readers.with(|_| Ok(())).unwrap();
        let paused = readers.without(|| {
            assert!(matches!(nested(&readers, 1), Err(StoreError::ReadersBusy)));
            Ok(counts(&readers))
        });
        assert_eq!(paused.unwrap(), (0, 0));
        readers.with(|_| Ok(())).unwrap();
        assert_eq!(counts(&readers), (1, 1));
    }

    #[test]
    fn closing_closes_readers_that_come_back_later() {
        let directory = ScratchDirectory::new();
        let readers = readers(&directory, 2);
        readers.with(|_| nested(&readers, 1)).unwrap();
        assert_eq!(readers.pool().idle.len(), 2);
        readers
            .with(|_| {
                readers.close();
                assert!(matches!(nested(&readers, 1), Err(StoreError::Closed)));
                Ok(())
            })
            .unwrap();
        assert!(readers.pool().idle.is_empty());
    }
}
