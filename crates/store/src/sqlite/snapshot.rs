//! One state of a store, read beside the process that has it open.
//!
//! A read transaction of the write-ahead log: commits go on and are not seen. The log does not become shorter while the
//! snapshot lives, so it should not live longer than a reading takes. Nothing is written; the files that SQLite needs
//! beside a database appear if they are not there.

use std::path::Path;

use rusqlite::Connection;

use super::connection::{Role, connect, engine};
use super::file::DatabaseFile;
use super::rows;
use crate::{Row, StoreError, check};

/// A state of a store that does not change.
pub struct Snapshot(Connection);

impl Snapshot {
    /// The newest state: everything that was acknowledged before this call is in it.
    ///
    /// No lock on the data directory is needed. Of a commit whose outcome the other process does not know yet, it is not
    /// said whether it is in.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let connection = connect(&DatabaseFile::locate(directory)?, Role::Reader)?;
        // A transaction reads its state at its first statement.
        connection
            .execute_batch("BEGIN")
            .and_then(|()| connection.query_row("SELECT count(*) FROM meta", [], |row| row.get::<_, i64>(0)))
            .map_err(|error| engine(error, "beginning a snapshot"))?;
        Ok(Self(connection))
    }

    /// As [`crate::Store::scan`].
    pub fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Row)>, StoreError> {
        check::scan(prefix, after, limit)?;
        rows::scan(&self.0, prefix, after, limit)
    }

    /// As [`crate::Store::revision`].
    pub fn revision(&self) -> Result<u64, StoreError> {
        rows::revision(&self.0)
    }
}
