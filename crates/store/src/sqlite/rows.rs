//! The statements. Each is prepared once for each connection.

use rusqlite::types::{FromSqlError, Type};
use rusqlite::{Connection, OptionalExtension, params};

use super::connection::engine;
use crate::{Op, Row, StoreError};

pub(super) fn get(connection: &Connection, address: &str) -> Result<Option<Row>, StoreError> {
    connection
        .prepare_cached("SELECT version, value FROM rows WHERE address = ?1")
        .and_then(|mut statement| {
            statement.query_row([address.as_bytes()], |row| row_from(row, 0, 1)).optional()
        })
        .map_err(|error| engine(error, format!("reading the row `{address}`")))
}

pub(super) fn version(connection: &Connection, address: &str) -> Result<Option<u64>, StoreError> {
    connection
        .prepare_cached("SELECT version FROM rows WHERE address = ?1")
        .and_then(|mut statement| {
            statement.query_row([address.as_bytes()], |row| unsigned(row, 0)).optional()
        })
        .map_err(|error| engine(error, format!("reading the version of the row `{address}`")))
}

/// Reads on from the start until a row is past the prefix. That needs no upper bound, and so no address that comes
/// after all those with the prefix, which may not exist.
pub(super) fn scan(
    connection: &Connection,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(String, Row)>, StoreError> {
    let mut found: Vec<(String, Row)> = Vec::new();
    if limit == 0 {
        return Ok(found);
    }
    let result = match after {
        Some(after) if after >= prefix => {
            let sql = "SELECT address, version, value FROM rows WHERE address > ?1 ORDER BY address";
            scan_from(connection, sql, after, prefix, limit, &mut found)
        }
        Some(_) | None => {
            let sql = "SELECT address, version, value FROM rows WHERE address >= ?1 ORDER BY address";
            scan_from(connection, sql, prefix, prefix, limit, &mut found)
        }
    };
    match result {
        Ok(()) => Ok(found),
        Err(error) => {
            let last = found.last().map_or(after.unwrap_or(prefix), |(address, _)| address);
            Err(engine(error, format!("reading the rows of `{prefix}` after `{last}`")))
        }
    }
}

fn scan_from(
    connection: &Connection,
    sql: &str,
    start: &str,
    prefix: &str,
    limit: usize,
    found: &mut Vec<(String, Row)>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([start.as_bytes()])?;
    while let Some(row) = rows.next()? {
        let address = row.get_ref(0)?.as_blob()?;
        if !address.starts_with(prefix.as_bytes()) {
            break;
        }
        let address = std::str::from_utf8(address).map_err(|error| rusqlite::Error::Utf8Error(0, error))?;
        found.push((address.to_owned(), row_from(row, 1, 2)?));
        if found.len() == limit {
            break;
        }
    }
    Ok(())
}

pub(super) fn apply(connection: &Connection, op: &Op) -> Result<(), StoreError> {
    let done = match op {
        Op::Delete { address } => connection
            .prepare_cached("DELETE FROM rows WHERE address = ?1")
            .and_then(|mut statement| statement.execute([address.as_bytes()])),
        Op::Put { address, version, value } => {
            // INVARIANT: `check::ops` has refused versions that have no signed form.
            let version = version.cast_signed();
            connection
                .prepare_cached("INSERT OR REPLACE INTO rows (address, version, value) VALUES (?1, ?2, ?3)")
                .and_then(|mut statement| statement.execute(params![address.as_bytes(), version, value]))
        }
    };
    done.map(|_| ()).map_err(|error| engine(error, format!("writing the row `{}`", op.address())))
}

pub(super) fn revision(connection: &Connection) -> Result<u64, StoreError> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE name = 'revision'")
        .and_then(|mut statement| statement.query_row([], |row| unsigned(row, 0)))
        .map_err(|error| engine(error, "reading the revision"))
}

pub(super) fn advance_revision(connection: &Connection) -> Result<u64, StoreError> {
    connection
        .prepare_cached("UPDATE meta SET value = value + 1 WHERE name = 'revision' RETURNING value")
        .and_then(|mut statement| statement.query_row([], |row| unsigned(row, 0)))
        .map_err(|error| engine(error, "writing the revision"))
}

pub(super) fn integrity_check(connection: &Connection) -> Result<(), StoreError> {
    let failed = |error| engine(error, "checking the integrity of the database");
    let mut statement = connection.prepare("PRAGMA integrity_check(10)").map_err(failed)?;
    let findings = statement.query_map([], |row| row.get::<_, String>(0)).map_err(failed)?;
    let findings: Vec<String> = findings.collect::<Result<_, _>>().map_err(failed)?;
    if findings == ["ok"] {
        return Ok(());
    }
    let action = "checking the integrity of the database".to_owned();
    Err(StoreError::Corrupt { action, source: findings.join("; ").into() })
}

fn row_from(row: &rusqlite::Row<'_>, version: usize, value: usize) -> rusqlite::Result<Row> {
    let bytes = row.get_ref(value)?.as_blob()?;
    Ok(Row { version: unsigned(row, version)?, value: bytes.to_vec() })
}

fn unsigned(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let found: i64 = row.get(column)?;
    u64::try_from(found).map_err(|_| {
        let source = Box::new(FromSqlError::OutOfRange(found));
        rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, source)
    })
}
