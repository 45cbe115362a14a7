use std::fs;
use std::path::Path;

use strongroom_testkit::scratch::ScratchDirectory;

use super::super::checkpointer::Checkpointer;
use super::*;
use crate::{SqliteStore, Store};

/// A writer, and the connection that stays open while the writer's is replaced.
struct Bench {
    writer: Writer,
    unsettled: Arc<AtomicBool>,
    checkpointer: Checkpointer,
}

fn bench(file: DatabaseFile) -> Bench {
    let unsettled = Arc::new(AtomicBool::new(false));
    let mut writer = Writer::new(file.clone(), Arc::clone(&unsettled));
    writer.settle().unwrap();
    Bench { writer, unsettled, checkpointer: Checkpointer::open(&file).unwrap() }
}

fn write(writer: &mut Writer, version: u64) -> Result<(GroupCommit, LogLength), CommitError> {
    let op = Op::Put { address: "a".to_owned(), version, value: vec![9; 6000] };
    writer.commit_group(&[Batch { preconditions: Vec::new(), ops: vec![op] }], &mut |_| Vec::new())
}

fn log(directory: &Path) -> std::path::PathBuf {
    directory.join("strongroom.sqlite3-wal")
}

/// The files as a crash leaves them at this moment.
fn after_crash(directory: &Path) -> ScratchDirectory {
    let copy = ScratchDirectory::new();
    for name in ["strongroom.sqlite3", "strongroom.sqlite3-wal"] {
        fs::copy(directory.join(name), copy.path().join(name)).unwrap();
    }
    copy
}

fn version_in(directory: &Path) -> Option<u64> {
    SqliteStore::open(directory).unwrap().get("a").unwrap().map(|row| row.version)
}

/// Makes the state that a COMMIT leaves whose pages reached the log and whose sync failed: they are in the file,
/// and this process does not know them. Version 1 is committed, version 2 is the one that failed.
fn failed_commit() -> (ScratchDirectory, Bench) {
    let origin = ScratchDirectory::new();
    let mut first = bench(DatabaseFile::create(origin.path()).unwrap());
    write(&mut first.writer, 1).unwrap();
    let directory = after_crash(origin.path());
    write(&mut first.writer, 2).unwrap();
    let second = bench(DatabaseFile::locate(directory.path()).unwrap());
    // Both logs have the same beginning, so this appends what the second commit wrote.
    fs::write(log(directory.path()), fs::read(log(origin.path())).unwrap()).unwrap();
    (directory, second)
}

#[test]
fn without_a_fence_a_failed_commit_comes_back_after_a_crash() {
    let (directory, mut bench) = failed_commit();
    let connection = bench.writer.take().unwrap();
    assert_eq!(rows::version(&connection, "a").unwrap(), Some(1));
    assert_eq!(version_in(after_crash(directory.path()).path()), Some(2), "the test proves nothing");
}

#[test]
fn fence_settles_a_failed_commit_for_ever() {
    let (directory, mut bench) = failed_commit();
    bench.writer.state = State::Lost;
    bench.unsettled.store(true, Ordering::Release);
    bench.writer.settle().unwrap();
    assert!(!bench.unsettled.load(Ordering::Acquire));
    let connection = bench.writer.take().unwrap();
    assert_eq!(rows::version(&connection, "a").unwrap(), Some(1));
    assert_eq!(rows::revision(&connection).unwrap(), 1, "a fence is no group");
    assert_eq!(version_in(after_crash(directory.path()).path()), Some(1));
}

#[test]
fn closed_writer_stays_closed() {
    let directory = ScratchDirectory::new();
    let mut bench = bench(DatabaseFile::create(directory.path()).unwrap());
    bench.writer.close().unwrap();
    assert!(matches!(write(&mut bench.writer, 1), Err(CommitError::Failed(StoreError::Closed))));
    assert!(matches!(bench.writer.settle(), Err(StoreError::Closed)));
    bench.writer.close().unwrap();
}

#[test]
fn log_length_tells_what_is_pending() {
    let directory = ScratchDirectory::new();
    let mut bench = bench(DatabaseFile::create(directory.path()).unwrap());
    let (_, one) = write(&mut bench.writer, 1).unwrap();
    assert!(one.pages >= 3 && one.pending_pages == one.pages, "{one:?}");
    let (_, two) = write(&mut bench.writer, 2).unwrap();
    assert!(two.pages > one.pages && two.pending_pages == two.pages, "{two:?}");
    bench.checkpointer.passive();
    // All of it was moved and nobody reads: the next commit begins the log anew.
    let (_, three) = write(&mut bench.writer, 3).unwrap();
    assert!(three.pages < two.pages && three.pending_pages == three.pages, "{three:?}");
    bench.checkpointer.truncate().unwrap();
    assert_eq!(fs::metadata(log(directory.path())).unwrap().len(), 0);
}
