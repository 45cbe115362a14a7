//! What is on the disk: which files are refused, who may read them, and what is gone from them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use strongroom_store::{CommitError, Op, SqliteStore, Store, StoreError};
use strongroom_testkit::random::SeededRandom;
use strongroom_testkit::scratch::ScratchDirectory;

mod common;

use common::{Placed, put, version, write};

fn database(directory: &Path) -> PathBuf {
    directory.join("strongroom.sqlite3")
}

/// Closes the store and lets somebody change the file with SQLite's own means.
fn changed(sql: &str) -> ScratchDirectory {
    let directory = ScratchDirectory::new();
    let store = SqliteStore::create(directory.path()).unwrap();
    write(&store, vec![put("a", 1, b"value")]).unwrap();
    store.close().unwrap();
    Connection::open(database(directory.path())).unwrap().execute_batch(sql).unwrap();
    directory
}

fn refusal(directory: &Path) -> StoreError {
    let before = fs::read(database(directory)).unwrap();
    let Err(error) = SqliteStore::open(directory) else { panic!("the file was taken") };
    assert!(fs::read(database(directory)).unwrap() == before, "the refused file was changed");
    error
}

#[test]
fn missing_store_is_refused() {
    let directory = ScratchDirectory::new();
    assert!(matches!(SqliteStore::open(directory.path()), Err(StoreError::NotFound { .. })));
    let nowhere = directory.path().join("nowhere");
    assert!(matches!(SqliteStore::open(&nowhere), Err(StoreError::File { .. })));
    assert!(matches!(SqliteStore::create(&nowhere), Err(StoreError::File { .. })));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn second_creation_is_refused() {
    let store = Placed::create();
    write(&*store, vec![put("a", 1, b"")]).unwrap();
    assert!(matches!(SqliteStore::create(store.directory()), Err(StoreError::AlreadyExists { .. })));
    assert_eq!(version(&*store, "a").unwrap(), Some(1));
}

#[test]
fn file_that_is_no_database_is_refused() {
    let directory = ScratchDirectory::new();
    for content in [vec![b'x'; 10_000], b"not a database".to_vec(), Vec::new()] {
        fs::write(database(directory.path()), &content).unwrap();
        assert!(matches!(refusal(directory.path()), StoreError::Foreign { .. }), "{} bytes", content.len());
    }
}

#[test]
fn foreign_database_is_refused() {
    let directory = ScratchDirectory::new();
    let foreign = Connection::open(database(directory.path())).unwrap();
    foreign.execute_batch("CREATE TABLE rows (address BLOB, version INTEGER, value BLOB)").unwrap();
    foreign.close().unwrap();
    assert!(matches!(refusal(directory.path()), StoreError::Foreign { .. }));
    let directory = changed("PRAGMA application_id = 1");
    assert!(matches!(refusal(directory.path()), StoreError::Foreign { .. }));
}

#[test]
fn other_schema_is_refused() {
    let directory = changed("PRAGMA user_version = 2");
    assert!(matches!(refusal(directory.path()), StoreError::Newer { found: 2, supported: 1, .. }));
    let directory = changed("PRAGMA user_version = 0");
    assert!(matches!(refusal(directory.path()), StoreError::Foreign { .. }));
}

#[test]
fn row_that_makes_no_sense_is_refused_and_named() {
    let directory = changed("UPDATE rows SET version = -1; INSERT INTO rows VALUES (x'62', 1, x'00')");
    let store = SqliteStore::open(directory.path()).unwrap();
    let named =
        |error: StoreError| matches!(error, StoreError::Corrupt { action, .. } if action.contains("`a`"));
    assert!(named(store.get("a").unwrap_err()));
    assert!(store.scan("a", None, 1).is_err());
    // The others can be read.
    assert_eq!(version(&store, "b").unwrap(), Some(1));
    let directory = changed("INSERT INTO rows VALUES (x'62ff', 1, x'00')");
    let store = SqliteStore::open(directory.path()).unwrap();
    assert_eq!(version(&store, "a").unwrap(), Some(1));
    let error = store.scan("", None, 9).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { action, .. } if action.contains("after `a`")));
}

#[test]
fn damaged_page_fails_the_integrity_check() {
    let directory = ScratchDirectory::new();
    let store = SqliteStore::create(directory.path()).unwrap();
    let rows: Vec<Op> = (0..100).map(|n| put(&format!("row/{n:02}"), 1, &[n; 500])).collect();
    write(&store, rows).unwrap();
    store.integrity_check().unwrap();
    store.close().unwrap();
    let mut bytes = fs::read(database(directory.path())).unwrap();
    let page = bytes.len() / 4096 / 2 * 4096;
    bytes[page..page + 64].fill(0xee);
    fs::write(database(directory.path()), bytes).unwrap();
    let store = SqliteStore::open(directory.path()).unwrap();
    assert!(matches!(store.integrity_check(), Err(StoreError::Corrupt { .. })));
    let failed = (0..100).filter(|n| store.get(&format!("row/{n:02}")).is_err()).count();
    assert!((1..100).contains(&failed), "{failed}");
}

#[test]
fn files_are_for_their_owner_alone() {
    let store = Placed::create();
    write(&*store, vec![put("a", 1, b"")]).unwrap();
    let mut names = Vec::new();
    for entry in fs::read_dir(store.directory()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort_unstable();
    assert_eq!(names, ["strongroom.sqlite3", "strongroom.sqlite3-shm", "strongroom.sqlite3-wal"]);
    store.close().unwrap();
    assert_eq!(fs::read_dir(store.directory()).unwrap().count(), 1, "closing leaves the database alone");
}

#[test]
fn crash_during_creation_is_forgotten() {
    let directory = ScratchDirectory::new();
    for name in ["strongroom.sqlite3.new", "strongroom.sqlite3.new-journal"] {
        fs::write(directory.path().join(name), b"half").unwrap();
    }
    let store = SqliteStore::create(directory.path()).unwrap();
    store.close().unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn mode_changed_by_a_shell_is_put_back() {
    let directory = changed("PRAGMA journal_mode = DELETE");
    let store = SqliteStore::open(directory.path()).unwrap();
    write(&store, vec![put("a", 2, b"")]).unwrap();
    assert!(directory.path().join("strongroom.sqlite3-wal").exists());
}

/// Whether any file in the directory holds these bytes.
fn is_on_disk(directory: &Path, needle: &[u8]) -> bool {
    fs::read_dir(directory).unwrap().any(|entry| {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        bytes.windows(needle.len()).any(|window| window == needle)
    })
}

#[test]
fn truncated_log_and_database_hold_nothing_deleted() {
    let store = Placed::create();
    let mut random = SeededRandom::new(5);
    // Twelve bytes that nothing else holds, at both ends of a value on one page and of one on many.
    let marks: Vec<Vec<u8>> = (0..4).map(|_| random.bytes(12)).collect();
    let small = [&marks[0][..], &[0x11; 300], &marks[1]].concat();
    let large = [&marks[2][..], &[0x22; 50_000], &marks[3]].concat();
    write(&*store, vec![put("small", 1, &small), put("large", 1, &large), put("kept", 1, b"kept")]).unwrap();
    assert!(marks.iter().all(|mark| is_on_disk(store.directory(), mark)));
    let delete = Op::Delete { address: "large".to_owned() };
    write(&*store, vec![put("small", 2, b"overwritten"), delete]).unwrap();
    assert!(marks.iter().any(|mark| is_on_disk(store.directory(), mark)), "the log still has them");
    store.truncate_log().unwrap();
    assert!(!marks.iter().any(|mark| is_on_disk(store.directory(), mark)));
    assert!(is_on_disk(store.directory(), b"overwritten"));
    let log = store.directory().join("strongroom.sqlite3-wal");
    assert_eq!(fs::metadata(log).unwrap().len(), 0);
}

#[test]
fn foreign_lock_fails_a_commit_and_changes_nothing() {
    let store = Placed::create();
    write(&*store, vec![put("a", 1, b"")]).unwrap();
    let shell = Connection::open(database(store.directory())).unwrap();
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    let result = write(&*store, vec![put("a", 2, b"")]);
    assert!(matches!(result, Err(CommitError::Failed(StoreError::Busy { .. }))), "{result:?}");
    // Readers wait for nobody.
    assert_eq!(version(&*store, "a").unwrap(), Some(1));
    shell.execute_batch("ROLLBACK").unwrap();
    assert_eq!(write(&*store, vec![put("a", 2, b"")]).unwrap().revision, 2);
}
