//! The database file: where it is, how it comes to be, and how it is told from others.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::connection::engine;
use crate::StoreError;

const FILE_NAME: &str = "strongroom.sqlite3";
/// Suffixes of the files that SQLite puts beside a database.
const COMPANIONS: [&str; 4] = ["", "-journal", "-wal", "-shm"];

/// "Strm": the mark in the file's header by which a store of this service is known (SQLite file format, 1.3.16).
const APPLICATION_ID: i64 = 0x5374_726d;
/// The version of the tables below. It is kept in the header's user version.
const SCHEMA_VERSION: i64 = 1;
/// Rows of some hundred bytes fit several to a page, and a commit writes whole pages.
pub(super) const PAGE_BYTES: u32 = 4096;

/// `rows` holds addresses as blobs, so that their order is the order of their bytes by definition. `meta` counts the
/// applied groups (`revision`) and the commits that settled an unknown outcome (`fence`).
const SCHEMA: &str = "
    CREATE TABLE rows (address BLOB NOT NULL PRIMARY KEY, version INTEGER NOT NULL, value BLOB NOT NULL)
        STRICT, WITHOUT ROWID;
    CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO meta VALUES ('fence', 0), ('revision', 0);";

/// The path of a database, absolute: SQLite reads a name that begins with `file:` as a URI.
#[derive(Debug, Clone)]
pub(super) struct DatabaseFile {
    path: PathBuf,
}

impl DatabaseFile {
    /// Makes an empty database. It is made under another name and moved when it is whole, so that a crash leaves
    /// either a store or none.
    pub(super) fn create(directory: &Path) -> Result<Self, StoreError> {
        Draft::write(directory)?.install()
    }

    pub(super) fn locate(directory: &Path) -> Result<Self, StoreError> {
        let path = canonical(directory)?.join(FILE_NAME);
        match path.try_exists() {
            Ok(true) => Ok(Self { path }),
            Ok(false) => Err(StoreError::NotFound { path }),
            Err(source) => Err(file_error("look for", &path, source)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses a database that is not ours, or not of a schema that we know.
    pub(super) fn identify(&self, connection: &Connection) -> Result<(), StoreError> {
        let path = || self.path.clone();
        let header = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
        let mark = header("application_id").map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => {
                StoreError::Foreign { path: path(), source: Some(Box::new(error)) }
            }
            _ => engine(error, "reading the header"),
        })?;
        if mark != APPLICATION_ID {
            return Err(StoreError::Foreign { path: path(), source: None });
        }
        match header("user_version").map_err(|error| engine(error, "reading the header"))? {
            SCHEMA_VERSION => Ok(()),
            found if found > SCHEMA_VERSION => {
                Err(StoreError::Newer { path: path(), found, supported: SCHEMA_VERSION })
            }
            // No program of ours ever wrote such a file.
            _ => Err(StoreError::Foreign { path: path(), source: None }),
        }
    }
}

/// An empty database that is not in its place yet.
#[derive(Debug)]
pub(super) struct Draft {
    directory: PathBuf,
    draft: PathBuf,
    path: PathBuf,
}

impl Draft {
    /// Refused if there is a store in the directory. What an interrupted attempt has left is removed.
    pub(super) fn write(directory: &Path) -> Result<Self, StoreError> {
        let directory = canonical(directory)?;
        let path = directory.join(FILE_NAME);
        if path.try_exists().map_err(|source| file_error("look for", &path, source))? {
            return Err(StoreError::AlreadyExists { path });
        }
        let draft = directory.join(format!("{FILE_NAME}.new"));
        remove_draft(&draft)?;
        write_draft(&draft)?;
        Ok(Self { directory, draft, path })
    }

    pub(super) fn file(&self) -> &Path {
        &self.draft
    }

    pub(super) fn remove(&self) -> Result<(), StoreError> {
        remove_draft(&self.draft)
    }

    pub(super) fn sync(&self) -> Result<(), StoreError> {
        File::open(&self.draft)
            .and_then(|file| file.sync_all())
            .map_err(|source| file_error("sync", &self.draft, source))
    }

    /// Moves the database, on which no connection is open any more, into its place.
    pub(super) fn install(&self) -> Result<DatabaseFile, StoreError> {
        let path = self.path.clone();
        fs::rename(&self.draft, &path).map_err(|source| file_error("move into place", &path, source))?;
        sync(&self.directory)?;
        Ok(DatabaseFile { path })
    }
}

fn canonical(directory: &Path) -> Result<PathBuf, StoreError> {
    fs::canonicalize(directory).map_err(|source| file_error("find the directory", directory, source))
}

fn remove_draft(draft: &Path) -> Result<(), StoreError> {
    for suffix in COMPANIONS {
        let mut name = draft.as_os_str().to_owned();
        name.push(suffix);
        match fs::remove_file(&name) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(file_error("remove", Path::new(&name), source)),
        }
    }
    Ok(())
}

fn write_draft(draft: &Path) -> Result<(), StoreError> {
    // SQLite takes an empty file for a new database, and gives the files beside it the same permissions.
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(draft)
        .map_err(|source| file_error("create", draft, source))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |error| engine(error, "creating the database");
    let connection = Connection::open_with_flags(draft, flags).map_err(failed)?;
    connection
        .execute_batch(&format!(
            "PRAGMA page_size = {PAGE_BYTES}; PRAGMA encoding = 'UTF-8'; PRAGMA auto_vacuum = NONE;
             BEGIN; {SCHEMA}
             PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};
             COMMIT;
             PRAGMA journal_mode = WAL;"
        ))
        .map_err(failed)?;
    connection.close().map_err(|(_, error)| failed(error))?;
    file.sync_all().map_err(|source| file_error("sync", draft, source))
}

fn sync(directory: &Path) -> Result<(), StoreError> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| file_error("sync", directory, source))
}

fn file_error(action: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::File { action, path: path.to_owned(), source }
}
