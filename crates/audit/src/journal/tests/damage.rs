//! Somebody or something changes the files: `verify` finds it.

use std::fs;
use std::sync::Arc;

use super::common::{World, record_each, wait};
use crate::journal::Journal;
use crate::testing::{BrokenSigner, encrypt};
use crate::{CheckpointFault, CheckpointVerifier, HeaderFault, LinkFault, ReadError, Verdict, verify};

/// A closed journal of several segments.
fn journal() -> World {
    let mut world = World::new();
    world.options.segment_bytes = 1500;
    let journal = world.open().unwrap();
    record_each(&journal, 0..5);
    journal.close().unwrap();
    assert!(world.verify().is_sound());
    assert_eq!(world.segments().len(), 2);
    world
}

#[test]
fn every_flipped_byte_is_found() {
    let world = journal();
    for path in world.segments() {
        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).unwrap();
            assert!(!world.verify().is_sound(), "byte {at} of {}", path.display());
        }
        fs::write(&path, &bytes).unwrap();
    }
    assert!(world.verify().is_sound());
}

#[test]
fn damage_is_told_with_its_place_and_the_rest_is_read() {
    let world = journal();
    let [first, _] = &world.segments()[..] else { panic!("not two segments") };
    let mut bytes = fs::read(first).unwrap();
    bytes[80 + 30] ^= 1;
    fs::write(first, &bytes).unwrap();
    let report = world.verify();
    let [ReadError::Corrupt { segment, offset: 80, .. }] = &report.problems[..] else { panic!("{report:?}") };
    assert_eq!(segment, "journal-0000000000000001.seg");
    assert!(report.records > 0 && report.segments == 2);
}

#[test]
fn missing_segment_is_found_and_a_missing_beginning_is_not_an_error() {
    let mut world = World::new();
    world.options.segment_bytes = 600;
    let journal = world.open().unwrap();
    record_each(&journal, 0..4);
    journal.close().unwrap();
    let [oldest, second, third, ..] = &world.segments()[..] else { panic!("too few segments") };
    fs::remove_file(oldest).unwrap();
    let report = world.verify();
    assert!(report.is_sound() && report.first.is_some_and(|first| first.as_u64() > 1), "{report:?}");
    fs::copy(second, oldest).unwrap();
    let [ReadError::Header { fault: HeaderFault::Name, .. }] = &world.verify().problems[..] else {
        panic!("{:?}", world.verify())
    };
    fs::remove_file(oldest).unwrap();
    fs::remove_file(third).unwrap();
    let report = world.verify();
    let [ReadError::Link { fault: LinkFault::Predecessor, .. }] = &report.problems[..] else {
        panic!("{report:?}")
    };
    // The same when its predecessor has a torn tail, which would excuse the newest segment only.
    let bytes = fs::read(second).unwrap();
    fs::write(second, &bytes[..bytes.len() - 1]).unwrap();
    let report = world.verify();
    let [ReadError::Link { fault: LinkFault::Predecessor, .. }] = &report.problems[..] else {
        panic!("{report:?}")
    };
    assert!(report.torn_tail.is_some());
}

#[test]
fn bytes_behind_the_end_of_a_whole_segment_are_found() {
    let world = journal();
    let [first, _] = &world.segments()[..] else { panic!("not two segments") };
    let mut bytes = fs::read(first).unwrap();
    // Zeros may be there: segments are filled ahead.
    bytes.push(0);
    fs::write(first, &bytes).unwrap();
    assert!(world.verify().is_sound());
    bytes.push(1);
    fs::write(first, &bytes).unwrap();
    let report = world.verify();
    let [ReadError::Link { fault: LinkFault::Tail, .. }] = &report.problems[..] else { panic!("{report:?}") };
}

#[test]
fn segment_of_another_journal_is_found() {
    let (world, mut other) = (journal(), World::new());
    other.options.segment_bytes = 1500;
    let theirs = other.open().unwrap();
    record_each(&theirs, 10..15);
    theirs.close().unwrap();
    fs::copy(&other.segments()[1], &world.segments()[1]).unwrap();
    let report = world.verify();
    let [ReadError::Link { fault: LinkFault::Chain, .. }] = &report.problems[..] else {
        panic!("{report:?}")
    };
}

#[test]
fn unsigned_checkpoints_are_told() {
    let world = World::new();
    let journal = Journal::open(world.options.clone(), Arc::new(BrokenSigner), world.clock.clone()).unwrap();
    wait(journal.reserve().unwrap().append(&encrypt(1)).synced()).unwrap();
    journal.close().unwrap();
    let report = world.verify();
    let [ReadError::Checkpoint { fault: CheckpointFault::Unsigned, .. }] = &report.problems[..] else {
        panic!("{report:?}")
    };
    assert_eq!(report.events, 1);
}

struct Stranger(Verdict);

impl CheckpointVerifier for Stranger {
    fn verify(&self, _public_key: &[u8; 32], _bytes: &[u8], _signature: &[u8; 64]) -> Verdict {
        self.0
    }
}

#[test]
fn signatures_that_are_not_ours_are_told() {
    let world = journal();
    for (verdict, expected) in
        [(Verdict::Invalid, CheckpointFault::Invalid), (Verdict::UnknownKey, CheckpointFault::UnknownKey)]
    {
        let report = verify(world.path(), Arc::new(Stranger(verdict))).unwrap();
        assert!(!report.problems.is_empty());
        for problem in &report.problems {
            let ReadError::Checkpoint { fault, .. } = problem else { panic!("{problem}") };
            assert_eq!(*fault, expected);
        }
    }
}
