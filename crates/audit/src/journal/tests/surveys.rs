//! What a survey says of a journal.

use std::fs;
use std::path::Path;

use strongroom_types::limits::AUDIT_CHECKPOINT_STATE_BYTES_MAX;

use super::common::{World, record, record_each, wait};
use crate::testing::TestSigner;
use crate::{CheckpointVerifier, JournalEnd, ReadError, Survey, Verdict, survey};

fn surveyed(world: &World, sequence: Option<u64>) -> Survey {
    survey(world.path(), &TestSigner::new(), sequence).unwrap()
}

/// Knows no key at all.
struct Stranger;

impl CheckpointVerifier for Stranger {
    fn verify(&self, _public_key: &[u8; 32], _bytes: &[u8], _signature: &[u8; 64]) -> Verdict {
        Verdict::UnknownKey
    }
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[90] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn state(survey: Survey) -> Option<Vec<u8>> {
    survey.checkpoint.map(|checkpoint| checkpoint.state)
}

#[test]
fn a_journal_that_is_not_there_has_no_records() {
    let world = World::new();
    assert_eq!(surveyed(&world, Some(1)), Survey::default());
    let nowhere = survey(&world.path().join("nowhere"), &TestSigner::new(), Some(1)).unwrap();
    assert_eq!(nowhere, Survey::default());
}

#[test]
fn the_newest_checkpoint_that_names_the_store_is_found_behind_others() {
    let mut world = World::new();
    world.options.segment_bytes = 1500;
    let journal = world.open().unwrap();
    wait(journal.checkpoint(b"old").unwrap().synced()).unwrap();
    wait(journal.checkpoint(&[9; AUDIT_CHECKPOINT_STATE_BYTES_MAX]).unwrap().synced()).unwrap();
    // Their segments end in checkpoints that name nothing.
    record_each(&journal, 1..20);
    journal.close().unwrap();
    assert!(world.segments().len() > 3);
    assert_eq!(state(surveyed(&world, None)).unwrap(), [9; AUDIT_CHECKPOINT_STATE_BYTES_MAX]);
}

#[test]
fn a_checkpoint_of_another_key_names_nothing() {
    let world = World::new();
    let journal = world.open().unwrap();
    wait(journal.checkpoint(b"state").unwrap().synced()).unwrap();
    journal.close().unwrap();
    assert_eq!(state(survey(world.path(), &Stranger, None).unwrap()), None);
    assert_eq!(state(surveyed(&world, None)).unwrap(), b"state");
}

#[test]
fn every_record_is_found_by_its_number_and_none_beyond_the_end() {
    let mut world = World::new();
    world.options.segment_bytes = 1500;
    let journal = world.open().unwrap();
    let ends: Vec<JournalEnd> = (1..20)
        .map(|number| {
            record(&journal, number);
            journal.end()
        })
        .collect();
    let last = journal.close().unwrap();
    for end in ends.iter().chain([&last]) {
        let survey = surveyed(&world, Some(end.sequence));
        assert_eq!((survey.link, survey.end), (Some(end.link), last), "{}", end.sequence);
    }
    assert_eq!(surveyed(&world, Some(last.sequence + 1)).link, None);
    // Older segments may be kept elsewhere.
    fs::remove_file(&world.segments()[0]).unwrap();
    assert_eq!(surveyed(&world, Some(1)).link, None);
    assert_eq!(surveyed(&world, Some(last.sequence)).link, Some(last.link));
}

#[test]
fn damage_of_an_older_segment_ends_the_search() {
    let mut world = World::new();
    world.options.segment_bytes = 1500;
    let journal = world.open().unwrap();
    wait(journal.checkpoint(b"state").unwrap().synced()).unwrap();
    record_each(&journal, 1..8);
    let last = journal.close().unwrap();
    flip(&world.segments()[0]);
    let survey = surveyed(&world, Some(1));
    assert_eq!((survey.checkpoint, survey.link, survey.end), (None, None, last));
}

#[test]
fn damage_of_what_was_acknowledged_in_the_newest_segment_is_an_error() {
    let world = World::new();
    let journal = world.open().unwrap();
    record_each(&journal, 1..4);
    journal.close().unwrap();
    flip(&world.newest());
    let refused = survey(world.path(), &TestSigner::new(), None);
    assert!(matches!(refused, Err(ReadError::Corrupt { .. })), "{refused:?}");
}
