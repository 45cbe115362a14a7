//! Each call of the store, and each call on the journal's disk, fails in turn: every answer is a success that is durable
//! and recorded, or KMSInternalException, and the same process goes on.

mod common;

use common::requests::{Draft, assert_success};
use common::{House, Site};
use strongroom_pipeline::Answer;
use strongroom_records::KeyState;
use strongroom_testkit::store::Fault;
use strongroom_types::KeyId;

/// Reads, changes, reads.
fn tell(house: &House, key_id: &KeyId) -> [Answer; 3] {
    let answers = [
        house.call(Draft::look(house, key_id).signed()),
        house.call(Draft::change(house, key_id).signed()),
        house.call(Draft::look(house, key_id).signed()),
    ];
    for answer in &answers {
        assert!(matches!(answer.outcome, "Success" | "KMSInternalException"));
    }
    answers
}

/// What was answered is recorded once; what was done is recorded, whatever was answered.
fn assert_recorded(site: &Site, answers: &[Answer]) {
    for answer in answers {
        let events = site.events_of(answer.request_id);
        let successes = events.iter().filter(|event| event.failure.is_none()).count();
        match answer.outcome {
            "Success" => assert_eq!((events.len(), successes), (1, 1)),
            _ => assert!(events.len() <= 2 && successes <= 1, "{events:?}"),
        }
    }
}

fn assert_true(site: Site, key_id: &KeyId, answers: &[Answer; 3]) {
    assert_recorded(&site, answers);
    let house = House::open(site, true);
    let is_disabled = house.key(key_id).state() == KeyState::Disabled;
    let [_, change, _] = answers;
    let request_id = change.request_id;
    assert!(is_disabled || change.outcome != "Success");
    let site = house.close();
    // No change without a record.
    let done = site.events_of(request_id).iter().filter(|event| event.failure.is_none()).count();
    assert_eq!(done, usize::from(is_disabled));
}

/// The journal tries again by itself, and a store that has not decided an outcome yet does so after some calls.
fn recovers(house: &House, key_id: &KeyId) {
    while house.call(Draft::look(house, key_id).signed()).outcome == "KMSInternalException" {
        std::thread::yield_now();
    }
}

#[test]
fn every_call_of_the_store_fails_in_turn() {
    let house = House::new();
    let key_id = house.create_key(None);
    let before = house.site.store.counters().calls;
    tell(&house, &key_id).iter().take(2).for_each(assert_success);
    let calls = house.site.store.counters().calls - before;
    assert!(calls >= 2, "{calls}");
    house.close();
    for fault in
        [Fault::Conflict, Fault::Fail, Fault::UnknownApplied, Fault::UnknownDropped, Fault::UnknownLate]
    {
        for skipped in 0..calls {
            println!("{fault:?} after {skipped} calls");
            let house = House::new();
            let key_id = house.create_key(None);
            house.site.store.fail_after(None, skipped, fault);
            let answers = tell(&house, &key_id);
            house.site.store.clear_faults();
            recovers(&house, &key_id);
            assert_true(house.close(), &key_id, &answers);
        }
    }
}

#[test]
fn every_call_on_the_journals_disk_fails_in_turn() {
    let house = House::new();
    let key_id = house.create_key(None);
    let before = house.disk.calls();
    tell(&house, &key_id).iter().take(2).for_each(assert_success);
    let calls = house.disk.calls() - before;
    assert!(calls >= 4, "{calls}");
    house.close();
    for count in [1, 3, 9] {
        for skipped in 0..calls {
            println!("{count} calls fail after {skipped}");
            let house = House::new();
            let key_id = house.create_key(None);
            house.disk.fail_after(skipped, count);
            let answers = tell(&house, &key_id);
            recovers(&house, &key_id);
            assert_true(house.close(), &key_id, &answers);
        }
    }
}
