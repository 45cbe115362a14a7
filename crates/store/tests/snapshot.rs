//! Snapshots and restorations: one state, whole, and nothing of a store that was not finished.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

use std::path::Path;

use strongroom_store::{Restoration, Row, Snapshot, SqliteStore, Store, StoreError};
use strongroom_testkit::scratch::ScratchDirectory;

mod common;

use common::{put, version, write};

fn all(snapshot: &Snapshot) -> Vec<(String, Row)> {
    snapshot.scan("", None, 1000).unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_directory_without_a_store_has_no_snapshot() {
    let directory = ScratchDirectory::new();
    assert!(matches!(Snapshot::open(directory.path()), Err(StoreError::NotFound { .. })));
    std::fs::write(directory.path().join("strongroom.sqlite3"), b"not a database, and long enough").unwrap();
    assert!(Snapshot::open(directory.path()).is_err());
}

#[test]
fn a_snapshot_sees_what_was_acknowledged_and_nothing_later() {
    let directory = ScratchDirectory::new();
    let store = SqliteStore::create(directory.path()).unwrap();
    write(&store, vec![put("a", 1, b"first")]).unwrap();
    let snapshot = Snapshot::open(directory.path()).unwrap();
    write(&store, vec![put("a", 2, b"second"), put("b", 1, b"new")]).unwrap();
    assert_eq!(all(&snapshot), [("a".to_owned(), Row { version: 1, value: b"first".to_vec() })]);
    assert_eq!((snapshot.revision().unwrap(), store.revision().unwrap()), (1, 2));
    let next = Snapshot::open(directory.path()).unwrap();
    assert_eq!(all(&next).len(), 2);
}

#[test]
fn a_closed_store_has_a_snapshot() {
    let directory = ScratchDirectory::new();
    let store = SqliteStore::create(directory.path()).unwrap();
    write(&store, vec![put("a", 7, b"value")]).unwrap();
    store.close().unwrap();
    let snapshot = Snapshot::open(directory.path()).unwrap();
    assert_eq!(all(&snapshot).len(), 1);
    drop(snapshot);
    assert_eq!(version(&SqliteStore::open(directory.path()).unwrap(), "a").unwrap(), Some(7));
}

#[test]
fn a_restoration_in_place_of_a_store_is_refused() {
    let directory = ScratchDirectory::new();
    drop(SqliteStore::create(directory.path()).unwrap());
    assert!(matches!(Restoration::begin(directory.path()), Err(StoreError::AlreadyExists { .. })));
}

#[test]
fn an_unfinished_restoration_leaves_nothing() {
    let directory = ScratchDirectory::new();
    let restoration = Restoration::begin(directory.path()).unwrap();
    restoration.put("a".to_owned(), Row { version: 1, value: vec![1; 10_000] }).unwrap();
    let past = Row { version: u64::MAX, value: Vec::new() };
    assert!(matches!(restoration.put("b".to_owned(), past), Err(StoreError::VersionTooLarge { .. })));
    drop(restoration);
    assert_eq!(names(directory.path()), [""; 0]);
}

#[test]
fn a_restoration_makes_the_rows_and_the_revision_again() {
    let (from, to) = (ScratchDirectory::new(), ScratchDirectory::new());
    let store = SqliteStore::create(from.path()).unwrap();
    for number in 1..=30 {
        write(&store, vec![put(&format!("row/{number}"), number, &[number as u8; 5000])]).unwrap();
    }
    let snapshot = Snapshot::open(from.path()).unwrap();
    let restoration = Restoration::begin(to.path()).unwrap();
    for (address, row) in all(&snapshot) {
        restoration.put(address, row).unwrap();
    }
    restoration.finish(snapshot.revision().unwrap()).unwrap();
    assert_eq!(names(to.path()), ["strongroom.sqlite3"]);
    let restored = SqliteStore::open(to.path()).unwrap();
    assert_eq!(restored.scan("", None, 1000).unwrap(), all(&snapshot));
    assert_eq!(restored.revision().unwrap(), 30);
    restored.integrity_check().unwrap();
    write(&restored, vec![put("after", 1, b"")]).unwrap();
    assert_eq!(restored.revision().unwrap(), 31);
}
