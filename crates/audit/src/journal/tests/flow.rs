//! What a journal does when nothing fails.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, thread};

use strongroom_types::limits::{AUDIT_BATCH_EVENTS_MAX, AUDIT_CHECKPOINT_STATE_BYTES_MAX, AUDIT_PLACE_BYTES};
use strongroom_types::{Env, Timestamp};

use super::common::{World, append, events, ids, record, record_each, wait};
use crate::event::{Event, Parameters, Value};
use crate::scan::{SegmentScan, Step};
use crate::testing::{TestSigner, encrypt, id};
use crate::{Entry, JournalEnd, JournalError, ReadError, each_event_after, event_ids_since};

#[test]
fn place_past_the_limit_is_refused() {
    let mut world = World::new();
    world.options.pending_bytes_max = 3 * AUDIT_PLACE_BYTES;
    let journal = world.open().unwrap();
    let mut places: Vec<_> = (0..3).map(|_| journal.reserve().unwrap()).collect();
    assert!(matches!(journal.reserve(), Err(JournalError::Full)));
    assert!(matches!(journal.append_batch(&events(0..1)), Err(JournalError::Full)));
    assert!(matches!(journal.checkpoint(b""), Err(JournalError::Full)));
    assert_eq!(journal.stats().pending_bytes, 3 * AUDIT_PLACE_BYTES);
    places.pop();
    wait(journal.reserve().unwrap().append(&encrypt(1)).synced()).unwrap();
    drop(places);
    assert_eq!(journal.stats().pending_bytes, 0);
}

#[test]
fn event_larger_than_its_place_is_cut_only_when_there_is_no_room() {
    let large = Event {
        request_parameters: vec![("p".into(), Value::from("v".repeat(2 * AUDIT_PLACE_BYTES)))].into(),
        ..encrypt(1)
    };
    for (places, is_cut) in [(2, true), (4, false)] {
        let mut world = World::new();
        world.options.pending_bytes_max = places * AUDIT_PLACE_BYTES;
        let journal = world.open().unwrap();
        wait(journal.reserve().unwrap().append(&large).synced()).unwrap();
        assert_eq!(journal.stats().pending_bytes, 0);
        journal.close().unwrap();
        let first = world.reader().next().unwrap().unwrap();
        let Entry::Event(event) = first.entry().unwrap() else { panic!("no event") };
        assert_eq!(event.request_parameters == Parameters::Omitted, is_cut);
        assert_eq!(event.id, id(1));
    }
}

#[test]
fn batch_past_the_limit_is_refused() {
    let world = World::new();
    let journal = world.open().unwrap();
    let most = AUDIT_BATCH_EVENTS_MAX as u64;
    assert!(matches!(journal.append_batch(&events(0..most + 1)), Err(JournalError::BatchTooLarge)));
    assert!(wait(journal.append_batch(&[]).unwrap().synced()).is_ok());
    let last = wait(journal.append_batch(&events(0..most)).unwrap().synced()).unwrap();
    assert_eq!(last.as_u64(), most);
    journal.close().unwrap();
    assert_eq!(world.events(), ids(0..most));
}

#[test]
fn state_past_the_limit_is_refused() {
    let world = World::new();
    let journal = world.open().unwrap();
    let most = vec![b's'; AUDIT_CHECKPOINT_STATE_BYTES_MAX];
    let more = [&most[..], b"s"].concat();
    assert!(matches!(journal.checkpoint(&more), Err(JournalError::CheckpointStateTooLarge)));
    wait(journal.checkpoint(&most).unwrap().synced()).unwrap();
    journal.close().unwrap();
    let first = world.reader().next().unwrap().unwrap();
    let Entry::Checkpoint(checkpoint) = first.entry().unwrap() else { panic!("no checkpoint") };
    assert_eq!((checkpoint.sequence, checkpoint.state), (0, most));
}

#[test]
fn closed_journal_takes_nothing() {
    let world = World::new();
    let journal = world.open().unwrap();
    let place = journal.reserve().unwrap();
    journal.close().unwrap();
    assert!(matches!(wait(place.append(&encrypt(1)).synced()), Err(JournalError::Closed)));
    assert_eq!(world.events(), ids([]));
}

#[test]
fn dropped_ticket_does_not_lose_its_record() {
    let world = World::new();
    let journal = world.open().unwrap();
    drop(journal.reserve().unwrap().append(&encrypt(1)));
    drop(append(&journal, 2));
    drop(journal);
    assert_eq!(world.events(), ids([1, 2]));
    assert!(world.verify().is_sound());
}

#[test]
fn sequence_is_contiguous_over_segments_and_processes() {
    let mut world = World::new();
    world.options.segment_bytes = 2000;
    for process in 0..4 {
        let journal = world.open().unwrap();
        for number in 0..10 {
            record(&journal, process * 10 + number);
        }
        journal.close().unwrap();
    }
    assert_eq!(world.events(), ids(0..40));
    let report = world.verify();
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.events, report.first.map(|first| first.as_u64())), (40, Some(1)));
    assert_eq!(report.segments, world.segments().len() as u64);
    assert!(report.segments > 8);
}

#[test]
fn full_segment_ends_with_a_signed_checkpoint() {
    let mut world = World::new();
    world.options.segment_bytes = 2000;
    let journal = world.open().unwrap();
    record_each(&journal, 0..10);
    journal.close().unwrap();
    let records: Vec<_> = world.reader().map(Result::unwrap).collect();
    let ends = records.windows(2).filter(|pair| pair[0].segment() != pair[1].segment());
    let mut count = 0;
    for pair in ends {
        let Entry::Checkpoint(checkpoint) = pair[0].entry().unwrap() else { panic!("no checkpoint") };
        assert!(checkpoint.is_signed());
        count += 1;
    }
    assert!(count >= 2);
    assert!(world.segments().iter().all(|path| fs::metadata(path).unwrap().len() < 3000));
}

#[test]
fn checkpoint_comes_after_so_many_records() {
    let mut world = World::new();
    world.options.checkpoint_records = 3;
    let journal = world.open().unwrap();
    record_each(&journal, 0..7);
    journal.close().unwrap();
    let kinds: String = world
        .reader()
        .map(|record| match record.unwrap().entry().unwrap() {
            Entry::Event(_) => 'e',
            Entry::Checkpoint(_) => 'c',
            Entry::Note(_) => 'n',
        })
        .collect();
    assert_eq!(kinds, "eeeceeecec");
}

#[test]
fn files_are_their_owners_only() {
    let world = World::new();
    let journal = world.open().unwrap();
    record(&journal, 1);
    let mode = fs::metadata(world.newest()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn concurrent_appenders_share_one_chain() {
    let mut world = World::new();
    world.options.segment_bytes = 20_000;
    let journal = world.open().unwrap();
    thread::scope(|scope| {
        for thread in 0..8_u64 {
            let journal = &journal;
            scope.spawn(move || {
                for round in 0..20 {
                    let first = thread * 1000 + round * 10;
                    let waiting: Vec<_> = (first..first + 10).map(|number| append(journal, number)).collect();
                    wait(async {
                        let mut previous = 0;
                        for synced in waiting {
                            let sequence = synced.await.unwrap().as_u64();
                            assert!(sequence > previous);
                            previous = sequence;
                        }
                    });
                }
            });
        }
    });
    let stats = journal.stats();
    assert!(stats.records >= 1600 && stats.syncs >= 20 && stats.pending_bytes == 0);
    journal.close().unwrap();
    let mut found = world.events();
    found.sort_unstable();
    let mut expected = ids((0..8).flat_map(|thread| thread * 1000..thread * 1000 + 200));
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert!(world.verify().is_sound());
}

#[test]
fn tasks_of_many_reactors_are_all_woken() {
    let world = World::new();
    let journal = Arc::new(world.open().unwrap());
    thread::scope(|scope| {
        for reactor in 0..3_u64 {
            let journal = Arc::clone(&journal);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                tokio::task::LocalSet::new().block_on(&runtime, async {
                    let task = |number: u64| {
                        let journal = Arc::clone(&journal);
                        async move {
                            for round in 0..20 {
                                let event = encrypt(reactor * 100_000 + number * 100 + round);
                                journal.reserve().unwrap().append(&event).synced().await.unwrap();
                            }
                        }
                    };
                    let tasks: Vec<_> = (0..64).map(|n| tokio::task::spawn_local(task(n))).collect();
                    for task in tasks {
                        task.await.unwrap();
                    }
                });
            });
        }
    });
    drop(journal);
    assert_eq!(world.events().len(), 3 * 64 * 20);
}

#[test]
fn ids_of_recent_events_are_found() {
    let mut world = World::new();
    world.options.segment_bytes = 500;
    let journal = world.open().unwrap();
    for number in 1..=6 {
        world.clock.advance(Duration::from_secs(60));
        record(&journal, number);
    }
    journal.close().unwrap();
    let start = world.clock.now().saturating_sub(Duration::from_secs(360));
    let found = |since: Timestamp| {
        let mut ids: Vec<_> =
            event_ids_since(world.path(), since, |id| *id != self::id(5)).unwrap().into_iter().collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(found(start), ids([1, 2, 3, 4, 6]));
    let recent = found(start.saturating_add(Duration::from_secs(310)));
    assert!(recent.contains(&id(6)) && !recent.contains(&id(1)), "{recent:?}");
}

#[test]
fn events_behind_a_record_are_handed_out_in_their_order() {
    let mut world = World::new();
    world.options.segment_bytes = 500;
    let journal = world.open().unwrap();
    assert_eq!(journal.appended(), 0);
    let numbers: Vec<u64> = (1..=9).map(|number| record(&journal, number).as_u64()).collect();
    let upto = journal.end().sequence;
    assert_eq!(journal.appended(), upto);
    assert!(world.segments().len() > 2);
    let after = |after: u64, upto: u64| {
        let mut found = Vec::new();
        let read =
            each_event_after(world.path(), after, upto, |sequence, event| found.push((sequence, event.id)));
        (found, read)
    };
    let from = |first: usize| -> Vec<_> {
        (first..=9).map(|number| (numbers[number - 1], id(number as u64))).collect()
    };
    for (first, behind) in [(1, 0), (2, numbers[0]), (6, numbers[4]), (9, numbers[7]), (10, upto)] {
        let (found, read) = after(behind, upto);
        read.unwrap();
        assert_eq!(found, from(first), "{behind}");
    }
    assert_eq!(after(0, numbers[3]).0, from(1)[..4]);
    assert!(
        matches!(after(0, upto + 1), (found, Err(ReadError::Missing { sequence })) if found.len() == 9 && sequence == upto + 1)
    );
    // The oldest segment is gone: what is left is told all the same.
    std::fs::remove_file(&world.segments()[0]).unwrap();
    let (found, read) = after(0, upto);
    assert!(matches!(read, Err(ReadError::Missing { sequence: 1 })), "{read:?}");
    assert!(!found.is_empty() && found.len() < 9 && from(1).ends_with(&found), "{found:?}");
    after(numbers[7], upto).1.unwrap();
    journal.close().unwrap();
}

#[test]
fn what_is_written_after_it_was_buffered_is_read() {
    let world = World::new();
    let journal = world.open().unwrap();
    record(&journal, 1);
    let mut scan = SegmentScan::open(world.path(), 1).unwrap();
    // The scan now holds the first record, and zeros in the places of the next ones.
    assert!(matches!(scan.step(), Ok(Step::Record(_))));
    // The third says that the second was on the disk before: the zeros look as if it had been lost.
    record_each(&journal, [2, 3]);
    for sequence in [2, 3] {
        let Ok(Step::Record(head)) = scan.step() else { panic!("record {sequence} is not read") };
        assert_eq!(head.sequence, sequence);
    }
    assert_eq!(scan.step().unwrap(), Step::End);
}

#[test]
fn a_note_is_in_the_journal_when_its_ticket_says_so() {
    let world = World::new();
    let journal = world.open().unwrap();
    let sequence = wait(journal.note("a rollback was accepted").unwrap().synced()).unwrap();
    assert_eq!(journal.end().sequence, sequence.as_u64());
    assert_eq!(world.notes(), ["a rollback was accepted"]);
    journal.close().unwrap();
}

#[test]
fn the_end_is_that_of_the_last_synced_record() {
    let world = World::new();
    let journal = world.open().unwrap();
    assert_eq!(journal.end(), JournalEnd::default());
    record(&journal, 1);
    let first = journal.end();
    record(&journal, 2);
    let closed = journal.close().unwrap();
    assert_eq!(first.sequence, 1);
    assert_ne!(closed.link, first.link);
    // Another process finds the same end, and takes it up.
    let survey = crate::survey(world.path(), &TestSigner::new(), Some(1)).unwrap();
    assert_eq!((survey.end, survey.link), (closed, Some(first.link)));
    let journal = world.open().unwrap();
    assert_eq!(journal.end(), closed);
}

#[test]
fn under_load_a_prepared_file_takes_over_before_the_segment_is_full() {
    let mut world = World::new();
    world.options.segment_bytes = 16 << 20;
    let journal = world.open().unwrap();
    let mut last = 0;
    let mut append = |events: u64| {
        wait(journal.append_batch(&super::common::events(last..last + events)).unwrap().synced()).unwrap();
        last += events;
    };
    // A segment wants a successor when it has grown past what it was begun with. From then on one event after the other,
    // so that the successor is there long before the segment is full.
    while fs::metadata(world.newest()).unwrap().len() <= 2 << 20 {
        append(100);
    }
    while world.segments().len() == 1 {
        append(1);
    }
    let [first, second] = world.segments().try_into().unwrap();
    assert!(fs::metadata(&first).unwrap().len() < world.options.segment_bytes);
    assert!(fs::metadata(&second).unwrap().len() > world.options.segment_bytes);
    journal.close().unwrap();
    assert!(fs::metadata(&second).unwrap().len() < 2 << 20, "zeros stayed behind");
    assert_eq!(world.events(), ids(0..last));
    world.verify();
    let files: Vec<_> = fs::read_dir(world.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files.len(), 2, "{files:?}");
}
