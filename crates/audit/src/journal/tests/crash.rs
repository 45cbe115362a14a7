//! The process or the machine stops at any instant.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

use super::common::{World, events, ids, record, wait, written};
use crate::scan::{SegmentScan, Step};
use crate::testing::{Faults, TempDirectory};
use crate::{Entry, JournalError, ReadError};

/// A journal whose process was killed: two acknowledged groups of one event, then one of three events.
///
/// Returns the newest segment's bytes and where its last group begins.
fn killed() -> (World, Vec<u8>, usize) {
    let world = World::new();
    let journal = world.open().unwrap();
    record(&journal, 1);
    record(&journal, 2);
    let begin = written(&world.newest()).len();
    wait(journal.append_batch(&events(3..6)).unwrap().synced()).unwrap();
    let bytes = written(&world.newest());
    let after = TempDirectory::new();
    fs::write(after.path().join(world.newest().file_name().unwrap()), &bytes).unwrap();
    (World::over(after), bytes, begin)
}

fn offsets(world: &World) -> Vec<usize> {
    world.reader().map(|record| usize::try_from(record.unwrap().offset()).unwrap()).collect()
}

#[test]
fn torn_tail_of_any_length_is_cut_and_noted() {
    let (world, bytes, last_group) = killed();
    let boundaries = offsets(&world);
    for length in last_group..=bytes.len() {
        world.clear();
        fs::write(world.path().join("journal-0000000000000001.seg"), &bytes[..length]).unwrap();
        let journal = world.open_with(&Faults::default()).unwrap();
        record(&journal, 9);
        journal.close().unwrap();
        // Two events were acknowledged; of the last group, every whole record is kept.
        let whole = boundaries.iter().filter(|begin| **begin > last_group && **begin <= length).count()
            + usize::from(length == bytes.len());
        let kept = 2 + whole as u64;
        assert_eq!(world.events(), ids((1..=kept).chain([9])), "{length}");
        // A cut behind the zeros that a record begins with looks like a segment that was filled ahead.
        let begin = boundaries.iter().rev().find(|begin| **begin <= length).unwrap();
        let is_torn = length != bytes.len() && bytes[*begin..length].iter().any(|byte| *byte != 0);
        assert_eq!(world.notes().len(), usize::from(is_torn), "{length}");
        let report = world.verify();
        assert!(report.is_sound(), "{length}: {report:?}");
    }
}

#[test]
fn zeros_written_ahead_are_no_torn_tail() {
    let (world, bytes, _) = killed();
    let mut filled = bytes;
    filled.resize(filled.len() + 100_000, 0);
    fs::write(world.newest(), &filled).unwrap();
    assert!(world.verify().is_sound());
    let journal = world.open().unwrap();
    journal.close().unwrap();
    assert_eq!(world.events(), ids(1..6));
    assert!(world.notes().is_empty());
    assert!(world.verify().is_sound());
}

/// The writer cuts the zeros off when it leaves a segment; a reader may have seen the file before.
#[test]
fn zeros_that_are_cut_off_while_they_are_read_are_no_torn_tail() {
    let (world, bytes, _) = killed();
    // Within what a reader has buffered by then, and beyond.
    for zeros in [100_000, 1_000_000] {
        let mut filled = bytes.clone();
        filled.resize(filled.len() + zeros, 0);
        fs::write(world.newest(), &filled).unwrap();
        let mut scan = SegmentScan::open(world.path(), 1).unwrap();
        OpenOptions::new().write(true).open(world.newest()).unwrap().set_len(bytes.len() as u64).unwrap();
        let mut records = 0;
        let end = loop {
            match scan.step().unwrap() {
                Step::Record(_) => records += 1,
                other => break other,
            }
        };
        assert_eq!((records, end), (5, Step::End));
    }
}

#[test]
fn last_group_written_in_any_order_is_a_torn_tail() {
    let (world, bytes, last_group) = killed();
    let mut torn = bytes;
    // The first record of the group is missing, the others are whole.
    torn[last_group..last_group + 40].fill(0);
    fs::write(world.newest(), &torn).unwrap();
    let tail = world.verify().torn_tail.unwrap();
    assert_eq!((tail.offset, tail.bytes), (last_group as u64, (torn.len() - last_group) as u64));
    let journal = world.open().unwrap();
    journal.close().unwrap();
    assert_eq!(world.events(), ids([1, 2]));
    let notes = world.notes();
    assert!(notes.len() == 1 && notes[0].contains("journal-0000000000000001.seg"), "{notes:?}");
}

#[test]
fn damage_before_acknowledged_records_refuses_to_open() {
    let (world, bytes, last_group) = killed();
    let boundaries = offsets(&world);
    for at in boundaries[0]..last_group {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        fs::write(world.newest(), &damaged).unwrap();
        let expected = boundaries.iter().rev().find(|begin| **begin <= at).unwrap();
        match world.open() {
            Err(JournalError::Read(ReadError::Corrupt { segment, offset, .. })) => {
                assert_eq!(segment, "journal-0000000000000001.seg");
                assert_eq!(offset, *expected as u64, "{at}");
            }
            Err(error) => panic!("{at}: {error}"),
            Ok(_) => panic!("{at}: opened"),
        }
    }
    fs::write(world.newest(), &bytes).unwrap();
    world.open().unwrap();
}

#[test]
fn damaged_header_refuses_to_open() {
    let (world, bytes, _) = killed();
    for length in [0, 79] {
        fs::write(world.newest(), &bytes[..length]).unwrap();
        assert!(matches!(world.open(), Err(JournalError::Read(ReadError::Header { .. }))));
    }
    let mut damaged = bytes.clone();
    damaged[20] ^= 1;
    fs::write(world.newest(), &damaged).unwrap();
    assert!(matches!(world.open(), Err(JournalError::Read(ReadError::Header { .. }))));
}

#[test]
fn records_another_process_left_unsynced_are_written_again() {
    let (world, bytes, last_group) = killed();
    let journal = world.open().unwrap();
    let [old, new] = &world.segments()[..] else { panic!("not two segments") };
    let copied = written(new);
    assert_eq!(copied[80..], bytes[last_group..]);
    // What the old file holds behind its end no longer matters.
    let file = fs::OpenOptions::new().write(true).open(old).unwrap();
    file.write_all_at(&vec![0; bytes.len() - last_group], last_group as u64).unwrap();
    assert_eq!(world.events(), ids(1..6));
    drop(journal);
    assert!(world.verify().is_sound());
}

#[test]
fn process_that_dies_again_and_again_loses_nothing() {
    let (world, ..) = killed();
    for round in 0..5 {
        // Each round leaves its journal without a last checkpoint, by copying the files while it is open.
        let journal = world.open().unwrap();
        record(&journal, 10 + round);
        let files: Vec<_> =
            world.segments().into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
        drop(journal);
        world.clear();
        files.iter().for_each(|(bytes, path)| fs::write(path, bytes).unwrap());
    }
    assert_eq!(world.events(), ids((1..6).chain(10..15)));
    assert!(world.verify().is_sound());
}

#[test]
fn failure_at_any_call_of_opening_loses_nothing() {
    let (world, bytes, _) = killed();
    let calls = {
        let faults = Faults::default();
        drop(world.open_with(&faults).unwrap());
        faults.calls()
    };
    let mut refused = 0;
    for call in 1..=calls {
        world.clear();
        fs::write(world.path().join("journal-0000000000000001.seg"), &bytes).unwrap();
        refused += u64::from(world.open_with(&Faults::at([call])).is_err());
        drop(world.open().unwrap());
        assert_eq!(world.events(), ids(1..6), "{call}");
        assert!(world.verify().is_sound(), "{call}");
    }
    assert_eq!(refused, 6);
}

#[test]
fn empty_journal_can_be_left_and_taken_up() {
    let world = World::new();
    for _ in 0..3 {
        world.open().unwrap().close().unwrap();
    }
    assert_eq!(world.segments().len(), 1);
    let journal = world.open().unwrap();
    record(&journal, 1);
    let first = world.reader().next().unwrap().unwrap();
    assert!(matches!(first.entry().unwrap(), Entry::Event(_)));
}
