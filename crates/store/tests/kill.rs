//! A process that is killed at any instant loses nothing that it had acknowledged.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout, reason = "test code")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use strongroom_store::{Batch, Expect, Op, Precondition, SqliteStore, Store};
use strongroom_testkit::random::SeededRandom;
use strongroom_testkit::scratch::ScratchDirectory;

mod common;

use common::{put, version};

/// Names the directory of the store to the child, and makes it one.
const DIRECTORY: &str = "STRONGROOM_TEST_KILL_DIRECTORY";
const ROUNDS: u64 = 12;
/// Large enough that a round passes through checkpoints.
const VALUE_BYTES: usize = 60_000;
const ROWS_PER_GROUP: u64 = 3;
/// Rows are written again and again, so that the database does not grow with the rounds.
const SLOTS: u64 = 50;

fn group(number: u64) -> Vec<Batch> {
    let ops = (0..ROWS_PER_GROUP)
        .map(|row| put(&format!("slot/{}/{row}", number % SLOTS), number, &vec![number as u8; VALUE_BYTES]));
    let next = Precondition { address: "last".to_owned(), expect: Expect::Version(number - 1) };
    vec![
        Batch { preconditions: vec![next.clone()], ops: ops.collect() },
        // Loses against the one before, in every group: partial conflicts are killed too.
        Batch { preconditions: vec![next, missing()], ops: vec![put("never", number, b"")] },
    ]
}

fn missing() -> Precondition {
    Precondition { address: "missing".to_owned(), expect: Expect::Version(1) }
}

/// The child: not a test of its own, so it does nothing unless it is told where.
#[test]
fn child_commits_until_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let store = SqliteStore::open(Path::new(&directory)).unwrap();
    let mut number = version(&store, "last").unwrap().unwrap();
    loop {
        number += 1;
        let done = store.commit_group(&group(number), &mut |_| vec![put("last", number, b"")]).unwrap();
        assert!(done.outcomes[0].is_applied() && !done.outcomes[1].is_applied());
        println!("acknowledged {number}");
        std::io::stdout().flush().unwrap();
    }
}

/// Lets a child commit `groups` groups, kills it, and returns the last number that it acknowledged.
fn run_and_kill(directory: &Path, groups: u64) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child_commits_until_killed", "--exact", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The last line may be cut short by the kill, and is then not of this form or a number that came before.
    let mut acknowledged = (&mut lines).filter_map(|line| {
        let line = line.ok()?;
        line.split_once("acknowledged ")?.1.parse::<u64>().ok()
    });
    let mut last = 0;
    for _ in 0..groups {
        last = acknowledged.next().expect("the child ended of itself");
    }
    child.kill().unwrap();
    last = acknowledged.fold(last, u64::max);
    child.wait().unwrap();
    last
}

fn check(store: &dyn Store, acknowledged: u64) -> u64 {
    store.integrity_check().unwrap();
    let last = version(store, "last").unwrap().unwrap();
    assert!(last >= acknowledged, "acknowledged {acknowledged}, found {last}");
    // One group may have been committed and not yet acknowledged.
    assert!(last <= acknowledged + 1, "acknowledged {acknowledged}, found {last}");
    assert_eq!(store.revision().unwrap(), last + 1);
    for number in (last.saturating_sub(SLOTS - 1)).max(1)..=last {
        for row in 0..ROWS_PER_GROUP {
            let found = store.get(&format!("slot/{}/{row}", number % SLOTS)).unwrap().unwrap();
            assert_eq!(found.version, number, "row {row} of group {number}, last {last}");
            assert!(found.value == vec![number as u8; VALUE_BYTES], "row {row} of group {number}");
        }
    }
    assert!(store.get("never").unwrap().is_none());
    last
}

#[test]
fn killed_process_loses_nothing_acknowledged() {
    let directory = ScratchDirectory::new();
    let store = SqliteStore::create(directory.path()).unwrap();
    let begin = vec![Op::Put { address: "last".to_owned(), version: 0, value: Vec::new() }];
    common::write(&store, begin).unwrap();
    drop(store);
    let mut random = SeededRandom::new(1);
    let mut last = 0;
    for round in 0..ROUNDS {
        let groups = 1 + random.below(60);
        let acknowledged = run_and_kill(directory.path(), groups);
        assert!(acknowledged >= last + groups, "round {round}");
        let store = SqliteStore::open(directory.path()).unwrap();
        last = check(&store, acknowledged);
    }
}
