//! A disk without room: what cannot be written is not acknowledged, nothing acknowledged is lost, and work goes on
//! when there is room again.
//!
//! The full disk is played by the limit on the size of files (`setrlimit(2)`, RLIMIT_FSIZE), in a child process whose
//! shell has had the signal ignored that would end it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

use std::path::Path;
use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use strongroom_store::{CommitError, SqliteStore, Store};
use strongroom_testkit::scratch::ScratchDirectory;

mod common;

use common::{put, version, write};

/// Names the directory of the store to the child, and makes it one.
const DIRECTORY: &str = "STRONGROOM_TEST_DISK_FULL_DIRECTORY";
const BEFORE: u64 = 20;

fn commit(store: &dyn Store, number: u64) -> Result<(), CommitError> {
    let ops = vec![put("last", number, b""), put(&format!("row/{number}"), number, &[1; 20_000])];
    write(store, ops).map(|_| ())
}

/// Lets no file of this process grow beyond `bytes`, or lets all.
fn limit_files(bytes: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: bytes.or(maximum), maximum }).unwrap();
}

/// The child: not a test of its own, so it does nothing unless it is told where.
#[test]
fn child_fills_the_disk() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let directory = Path::new(&directory);
    let store = SqliteStore::create(directory).unwrap();
    (1..=BEFORE).for_each(|number| commit(&store, number).unwrap());
    let log_bytes = std::fs::metadata(directory.join("strongroom.sqlite3-wal")).unwrap().len();

    // Not one page more: the outcome cannot even be settled, so nothing is answered that might not last.
    limit_files(Some(log_bytes));
    assert!(matches!(commit(&store, BEFORE + 1), Err(CommitError::Unknown(_))));
    assert!(version(&store, "last").is_err() && store.scan("", None, 1).is_err());
    assert!(store.revision().is_err() && store.integrity_check().is_err() && store.truncate_log().is_err());
    assert!(matches!(commit(&store, BEFORE + 1), Err(CommitError::Failed(_))));

    // Room for the settling and not for the group: reads are answered, and say that it was not applied.
    limit_files(Some(log_bytes + 10_000));
    assert_eq!(version(&store, "last").unwrap(), Some(BEFORE));
    assert!(matches!(commit(&store, BEFORE + 1), Err(CommitError::Unknown(_))));
    assert_eq!(version(&store, "last").unwrap(), Some(BEFORE));
    assert_eq!(store.revision().unwrap(), BEFORE);

    limit_files(None);
    commit(&store, BEFORE + 1).unwrap();
    assert_eq!(store.revision().unwrap(), BEFORE + 1);
    store.integrity_check().unwrap();
    // The end without closing, as in a crash.
    std::process::exit(0);
}

#[test]
fn full_disk_loses_nothing_acknowledged() {
    let directory = ScratchDirectory::new();
    let done = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" child_fills_the_disk --exact --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .env(DIRECTORY, directory.path())
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let store = SqliteStore::open(directory.path()).unwrap();
    assert_eq!(version(&store, "last").unwrap(), Some(BEFORE + 1));
    for number in 1..=BEFORE + 1 {
        assert_eq!(version(&store, &format!("row/{number}")).unwrap(), Some(number));
    }
    store.integrity_check().unwrap();
}
