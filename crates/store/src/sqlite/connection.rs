//! How connections are opened, and what their errors mean.

use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::file::DatabaseFile;
use crate::StoreError;

/// How long a connection waits for a foreign process to let go of the database.
pub(super) const BUSY_WAIT: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Checkpointer,
    Reader,
    Writer,
}

impl Role {
    /// Memory for pages. Decisions are made from the caches of `records`, so this need not hold the whole database.
    const fn cache_kibibytes(self) -> u32 {
        match self {
            Self::Checkpointer => 64,
            Self::Reader => 4 * 1024,
            Self::Writer => 32 * 1024,
        }
    }
}

/// Settings that can be turned off because no statement of ours needs what they allow, and so that a database that
/// somebody has tampered with can run nothing in our process.
/// Source: SQLite documentation, "Defense Against The Dark Arts".
const HARDENING: [(DbConfig, bool); 8] = [
    (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
    (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
    (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_CREATE, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_WRITE, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
    (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
];

/// `cell_size_check` finds damage when a page is loaded. `fullfsync` matters on macOS only, where a plain fsync leaves
/// data in the drive's cache.
const SETTINGS: &str = "
    PRAGMA cell_size_check = ON;
    PRAGMA checkpoint_fullfsync = ON;
    PRAGMA fullfsync = ON;
    PRAGMA mmap_size = 0;
    PRAGMA secure_delete = ON;
    PRAGMA synchronous = FULL;
    PRAGMA temp_store = MEMORY;
    PRAGMA wal_autocheckpoint = 0;";

/// Opens a connection to a database that is there, is ours and keeps a write-ahead log.
pub(super) fn connect(file: &DatabaseFile, role: Role) -> Result<Connection, StoreError> {
    let failed = |error| engine(error, "opening the database");
    let access = match role {
        Role::Checkpointer | Role::Writer => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Role::Reader => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    // A connection is used by one thread at a time, so that SQLite's own locking of it would be for nothing.
    let connection = Connection::open_with_flags(file.path(), access | OpenFlags::SQLITE_OPEN_NO_MUTEX);
    let connection = connection.map_err(failed)?;
    connection.busy_timeout(BUSY_WAIT).map_err(failed)?;
    for (setting, value) in HARDENING {
        connection.set_db_config(setting, value).map_err(failed)?;
    }
    identify(file, &connection)?;
    connection.execute_batch(SETTINGS).map_err(failed)?;
    let cache_kibibytes = i64::from(role.cache_kibibytes());
    connection.pragma_update(None, "cache_size", -cache_kibibytes).map_err(failed)?;
    if role == Role::Writer {
        confirm(file, &connection)?;
    }
    Ok(connection)
}

/// Leaves a file that is refused as it was found: without the setting, closing the only connection to a database
/// moves its log into it.
fn identify(file: &DatabaseFile, connection: &Connection) -> Result<(), StoreError> {
    let keep_log = |keep| {
        connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep)
            .map_err(|error| engine(error, "opening the database"))
    };
    keep_log(true)?;
    file.identify(connection)?;
    keep_log(false)?;
    Ok(())
}

/// Makes sure of the settings that durability and deletion hang on; SQLite ignores a pragma that it cannot obey.
fn confirm(file: &DatabaseFile, connection: &Connection) -> Result<(), StoreError> {
    let failed = |error| engine(error, "confirming the settings");
    // Somebody's shell may have changed the mode; in the right mode already, this changes nothing.
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0)).map_err(failed)?;
    let setting =
        |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(failed);
    const FULL: i64 = 2;
    const ON: i64 = 1;
    if mode != "wal" {
        return Err(StoreError::LogUnsupported { path: file.path().to_owned() });
    }
    if setting("synchronous")? != FULL
        || setting("secure_delete")? != ON
        || setting("wal_autocheckpoint")? != 0
    {
        let source = "a setting was not taken over".into();
        return Err(StoreError::Engine { action: "confirming the settings".to_owned(), source });
    }
    Ok(())
}

/// Sorts SQLite's errors by what an operator would do about them.
pub(super) fn engine(error: rusqlite::Error, action: impl Into<String>) -> StoreError {
    let action = action.into();
    let code = error.sqlite_error_code();
    let unreadable = matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::QueryReturnedNoRows
            | rusqlite::Error::Utf8Error(..)
    );
    let source = Box::new(error);
    match code {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy { action, source },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt { action, source },
        Some(ErrorCode::DiskFull) => StoreError::DiskFull { action, source },
        _ if unreadable => StoreError::Corrupt { action, source },
        _ => StoreError::Engine { action, source },
    }
}

#[cfg(test)]
mod tests {
    use strongroom_testkit::scratch::ScratchDirectory;

    use super::*;

    fn with_each(check: impl Fn(Role, &Connection)) {
        let directory = ScratchDirectory::new();
        let file = DatabaseFile::create(directory.path()).unwrap();
        let _anchor = connect(&file, Role::Writer).unwrap();
        for role in [Role::Checkpointer, Role::Reader, Role::Writer] {
            check(role, &connect(&file, role).unwrap());
        }
    }

    #[test]
    fn reader_cannot_write() {
        with_each(|role, connection| {
            let result = connection.execute("UPDATE meta SET value = 9", []);
            assert_eq!(result.is_err(), role == Role::Reader, "{role:?}: {result:?}");
        });
    }

    #[test]
    fn what_no_statement_needs_is_off() {
        with_each(|role, connection| {
            for sql in [
                "SELECT \"not a column\"",
                "ATTACH '/tmp/strongroom-test-attached' AS other",
                "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = ''",
                "SELECT load_extension('x')",
            ] {
                assert!(connection.execute_batch(sql).is_err(), "{role:?}: {sql}");
            }
        });
    }

    #[test]
    fn settings_are_those_that_durability_and_deletion_need() {
        with_each(|role, connection| {
            for (pragma, expected) in [
                ("cell_size_check", 1),
                ("checkpoint_fullfsync", 1),
                ("fullfsync", 1),
                ("secure_delete", 1),
                ("synchronous", 2),
                ("temp_store", 2),
                ("trusted_schema", 0),
                ("wal_autocheckpoint", 0),
            ] {
                let found: i64 = connection.pragma_query_value(None, pragma, |row| row.get(0)).unwrap();
                assert_eq!(found, expected, "{role:?}: {pragma}");
            }
            let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
            assert_eq!(mode, "wal", "{role:?}");
        });
    }
}
