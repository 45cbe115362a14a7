//! A new store of rows that were kept elsewhere.
//!
//! The rows come in as they were, with their versions, and the store has the revision that it is told. They are one
//! transaction in a database under another name, which is moved into its place at the end: a crash leaves a whole store
//! or none. What is dropped before it was finished is removed.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, params};

use super::connection::engine;
use super::file::Draft;
use super::rows;
use crate::{Op, Row, StoreError, check};

/// A store on its way.
pub struct Restoration {
    /// `None` once it is finished.
    connection: Option<Connection>,
    draft: Draft,
}

impl Restoration {
    /// Refused if the directory has a store.
    pub fn begin(directory: &Path) -> Result<Self, StoreError> {
        let draft = Draft::write(directory)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(draft.file(), flags)
            .and_then(|connection| {
                connection.execute_batch("PRAGMA synchronous = FULL; BEGIN IMMEDIATE")?;
                Ok(connection)
            })
            .map_err(|error| engine(error, "beginning a restoration"))?;
        Ok(Self { connection: Some(connection), draft })
    }

    /// Adds a row.
    pub fn put(&self, address: String, row: Row) -> Result<(), StoreError> {
        let ops = [Op::Put { address, version: row.version, value: row.value }];
        check::ops(&ops)?;
        let connection = self.connection.as_ref().ok_or(StoreError::Closed)?;
        ops.iter().try_for_each(|op| rows::apply(connection, op))
    }

    /// Puts the store into its place. It is durable when this returns.
    pub fn finish(mut self, revision: u64) -> Result<(), StoreError> {
        let connection = self.connection.take().ok_or(StoreError::Closed)?;
        let finished = close(connection, revision).and_then(|()| self.draft.sync());
        let finished = finished.and_then(|()| self.draft.install());
        if finished.is_err() {
            self.clean();
        }
        finished.map(|_| ())
    }

    fn clean(&self) {
        // What cannot be removed stands in nobody's way: the next restoration removes it.
        if let Err(error) = self.draft.remove() {
            tracing::warn!(error = &error as &dyn std::error::Error, "an unfinished store is left behind");
        }
    }
}

impl Drop for Restoration {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(connection);
            self.clean();
        }
    }
}

/// Ends the transaction; closing the last connection moves the log into the database.
fn close(connection: Connection, revision: u64) -> Result<(), StoreError> {
    let failed = |error| engine(error, "finishing a restoration");
    let revision = revision.cast_signed();
    connection
        .execute("UPDATE meta SET value = ?1 WHERE name = 'revision'", params![revision])
        .and_then(|_| connection.execute_batch("COMMIT"))
        .map_err(failed)?;
    connection.close().map_err(|(_, error)| failed(error))
}
