//! The disk fails while the journal is written.

use std::collections::HashSet;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use strongroom_types::limits::AUDIT_SYNC_DEADLINE_SECS;

use super::common::{World, append, ids, record, wait};
use crate::journal::Journal;
use crate::testing::{Faults, encrypt, id};
use crate::{JournalError, Place};

/// A place, however often the journal refuses for the moment.
fn reserve(journal: &Journal) -> Place {
    loop {
        match journal.reserve() {
            Ok(place) => return place,
            Err(JournalError::Unavailable) => thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

fn until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}

/// Four threads append while the planned calls fail; then all that was acknowledged must be there, once.
fn run(world: &World, faults: &Faults) {
    let Ok(journal) = world.open_with(faults) else { return };
    let acknowledged = Mutex::new(HashSet::new());
    thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (journal, acknowledged) = (&journal, &acknowledged);
            scope.spawn(move || {
                for number in thread * 100..thread * 100 + 6 {
                    if wait(reserve(journal).append(&encrypt(number)).synced()).is_ok() {
                        acknowledged.lock().unwrap().insert(id(number));
                    }
                }
            });
        }
    });
    journal.close().unwrap();
    let found = world.events();
    let distinct: HashSet<_> = found.iter().copied().collect();
    assert_eq!(found.len(), distinct.len());
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged.is_subset(&distinct));
    // No deadline passed, so everybody was told of success in the end.
    assert_eq!(acknowledged.len(), 24);
    let report = world.verify();
    assert!(report.is_sound(), "{report:?}");
}

#[test]
fn one_failure_at_any_call_loses_nothing() {
    for call in 1..60 {
        let mut world = World::new();
        world.options.segment_bytes = 3000;
        run(&world, &Faults::at([call]));
    }
}

#[test]
fn failures_in_a_row_at_any_call_lose_nothing() {
    for call in 5..40 {
        for count in [2, 4, 7] {
            let mut world = World::new();
            world.options.segment_bytes = 3000;
            run(&world, &Faults::at(call..call + count));
        }
    }
}

#[test]
fn journal_that_failed_is_taken_up_by_the_next_process() {
    let world = World::new();
    for process in 0..4 {
        let faults = Faults::at([8, 9, 10, 17, 20]);
        let journal = world.open_with(&faults).unwrap();
        for number in 0..5 {
            wait(reserve(&journal).append(&encrypt(process * 10 + number)).synced()).unwrap();
        }
        journal.close().unwrap();
    }
    assert_eq!(world.events(), ids((0..4).flat_map(|process| process * 10..process * 10 + 5)));
    assert!(world.verify().is_sound());
}

#[test]
fn requests_are_refused_while_the_disk_fails_and_taken_when_it_works_again() {
    let world = World::new();
    let faults = Faults::default();
    let journal = world.open_with(&faults).unwrap();
    record(&journal, 1);
    let held = journal.reserve().unwrap();
    faults.set_always(true);
    let first = append(&journal, 2);
    until(|| !journal.stats().is_available);
    assert!(matches!(journal.reserve(), Err(JournalError::Unavailable)));
    assert!(matches!(journal.append_batch(&[encrypt(9)]), Err(JournalError::Unavailable)));
    let second = held.append(&encrypt(3)).synced();
    world.clock.advance(Duration::from_secs(AUDIT_SYNC_DEADLINE_SECS));
    assert!(matches!(wait(first), Err(JournalError::SyncFailed)));
    assert!(matches!(wait(second), Err(JournalError::SyncFailed)));
    faults.set_always(false);
    until(|| journal.stats().is_available);
    record(&journal, 4);
    assert!(journal.stats().failures >= 2);
    journal.close().unwrap();
    // Who was told of a failure has a record all the same: it was tried, and the disk came back.
    assert_eq!(world.events(), ids(1..5));
    assert!(world.notes().iter().any(|note| note.contains("writing failed")));
    assert!(world.verify().is_sound());
}

#[test]
fn waiting_goes_on_until_the_deadline() {
    let world = World::new();
    let faults = Faults::default();
    let journal = world.open_with(&faults).unwrap();
    faults.set_always(true);
    let synced = append(&journal, 1);
    until(|| journal.stats().failures >= 2);
    world.clock.advance(Duration::from_secs(AUDIT_SYNC_DEADLINE_SECS) - Duration::from_millis(1));
    let failures = journal.stats().failures;
    until(|| journal.stats().failures >= failures + 2);
    faults.set_always(false);
    assert!(wait(synced).is_ok());
}

#[test]
fn closing_a_failing_journal_ends_and_says_so() {
    let world = World::new();
    let faults = Faults::default();
    let journal = world.open_with(&faults).unwrap();
    record(&journal, 1);
    faults.set_always(true);
    let synced = append(&journal, 2);
    assert!(matches!(journal.close(), Err(JournalError::SyncFailed)));
    assert!(matches!(wait(synced), Err(JournalError::Closed)));
    faults.set_always(false);
    drop(world.open().unwrap());
    assert_eq!(world.events()[0], id(1));
    assert!(world.verify().is_sound());
}

#[test]
fn memory_is_given_back_after_failures() {
    let world = World::new();
    let faults = Faults::at([8, 9, 12]);
    let journal = world.open_with(&faults).unwrap();
    for number in 0..10 {
        wait(reserve(&journal).append(&encrypt(number)).synced()).unwrap();
    }
    assert_eq!(journal.stats().pending_bytes, 0);
}
