//! Operations that change something: their record comes with the change, through the outbox, once.

#![expect(clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::requests::{Draft, assert_refused, assert_success, text};
use common::{House, account, operations};
use strongroom_audit::{EventKind, Failure, Parameters};
use strongroom_records::KeyState;
use strongroom_testkit::store::Fault;
use strongroom_types::{Env, KeyId, RequestId};

/// The change's record, which must be there once.
fn recorded_once(site: &common::Site, request: RequestId) {
    let events = site.events_of(request);
    let [event] = &events[..] else { panic!("{} records", events.len()) };
    assert_eq!(
        (event.kind, &*event.name, &event.failure),
        (EventKind::ApiCall, "UpdateKeyDescription", &None)
    );
}

#[test]
fn a_change_that_is_refused_is_recorded_and_writes_nothing() {
    let house = House::new();
    let deny = r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"kms:*","Resource":"*"}}"#;
    let key_id = house.create_key(Some(deny));
    let version = house.key(&key_id).version();
    let answer = house.call(Draft::change(&house, &key_id).signed());
    assert_refused(&answer, "AccessDeniedException");
    assert_eq!((operations::runs(), house.key(&key_id).version()), (0, version));
    // Its record did not go through the outbox.
    let [event] = &house.site.events_of(answer.request_id)[..] else { panic!() };
    assert!(matches!(&event.failure, Some(Failure { code, .. }) if code == "AccessDenied"));
    assert!(!event.read_only);
    assert_eq!(house.site.outbox_rows(), 0);
}

#[test]
fn a_change_answers_when_it_is_committed_with_its_record() {
    let house = House::without_drainer();
    let key_id = house.create_key(None);
    let answer = house.call(Draft::change(&house, &key_id).signed());
    assert_success(&answer);
    assert_eq!(text(&answer), "");
    assert_eq!(house.key(&key_id).state(), KeyState::Disabled);
    assert_eq!((house.site.events(), house.site.outbox_rows()), (Vec::new(), 1));
}

#[test]
fn the_record_of_a_change_reaches_the_journal_once() {
    let house = House::new();
    let key_id = house.create_key(None);
    let answers: Vec<_> = (0..120).map(|_| house.call(Draft::change(&house, &key_id).signed())).collect();
    let site = house.close();
    assert_eq!(site.events().len(), answers.len());
    for answer in &answers {
        recorded_once(&site, answer.request_id);
    }
    let event = &site.events_of(answers[0].request_id)[0];
    assert!(!event.read_only);
    assert!(matches!(&event.response_elements, Parameters::Fields(fields) if fields[0].0 == "changed"));
    let resources: Vec<_> =
        event.resources.iter().map(|resource| (&*resource.kind, resource.account)).collect();
    assert_eq!(resources, [("AWS::KMS::Key", account()), ("AWS::KMS::Alias", account())]);
}

#[test]
fn a_change_that_changes_nothing_is_recorded_like_a_read() {
    let house = House::new();
    let key_id = house.create_key(None);
    let body = format!(r#"{{"KeyId":"{key_id}","Description":"nothing"}}"#);
    let answer = house.call(Draft::new(&house, "UpdateKeyDescription", body).signed());
    assert_success(&answer);
    recorded_once(&house.site, answer.request_id);
    assert!(!house.site.events_of(answer.request_id)[0].read_only);
    assert_eq!(house.site.outbox_rows(), 0);
}

#[test]
fn a_crash_between_commit_and_journal_loses_no_record_and_doubles_none() {
    let house = House::without_drainer();
    let key_id = house.create_key(None);
    let answers: Vec<_> = (0..60).map(|_| house.call(Draft::change(&house, &key_id).signed())).collect();
    let mut site = house.close();
    assert_eq!((site.events(), site.outbox_rows()), (Vec::new(), 60));
    // Two more processes: the first takes them up, the second finds them recorded.
    for _ in 0..2 {
        site.crash();
        site = House::open(site, true).close();
        assert_eq!((site.events().len(), site.outbox_rows()), (60, 60));
    }
    for answer in &answers {
        recorded_once(&site, answer.request_id);
    }
}

#[test]
fn a_record_that_was_drained_before_the_crash_is_not_appended_again() {
    let house = House::new();
    let key_id = house.create_key(None);
    let first = house.call(Draft::change(&house, &key_id).signed());
    let mut site = house.close();
    site.crash();
    let house = House::open(site, false);
    let second = house.call(Draft::change(&house, &key_id).signed());
    let mut site = house.close();
    site.crash();
    // The clock was set back meanwhile.
    site.env.set_now(site.env.now().saturating_sub(Duration::from_secs(3600)));
    let site = House::open(site, true).close();
    recorded_once(&site, first.request_id);
    recorded_once(&site, second.request_id);
}

/// Makes a change and waits until the drainer has it in the journal. Whatever the drainer does after a row it has done
/// before it takes the next one.
fn drained_change(house: &House, key_id: &KeyId) -> RequestId {
    let answer = house.call(Draft::change(house, key_id).signed());
    assert_success(&answer);
    house.site.wait_for(answer.request_id);
    answer.request_id
}

#[test]
fn an_outbox_row_is_deleted_after_ten_minutes_and_not_before() {
    for (seconds, is_there) in [(599, true), (600, false)] {
        let house = House::new();
        let key_id = house.create_key(None);
        let first = drained_change(&house, &key_id);
        // A process that finds the record in the journal counts from its own start.
        let house = House::open(house.close(), true);
        drained_change(&house, &key_id);
        house.site.env.advance(Duration::from_secs(seconds));
        drained_change(&house, &key_id);
        drained_change(&house, &key_id);
        assert_eq!(house.site.has_outbox_row(first), is_there, "after {seconds} seconds");
        let site = house.close();
        assert_eq!(site.events().len(), 4);
        recorded_once(&site, first);
    }
}

#[test]
fn records_wait_for_a_journal_that_fails_and_come_once() {
    let house = House::new();
    let key_id = house.create_key(None);
    let before = house.call(Draft::change(&house, &key_id).signed());
    house.disk.set_failing(true);
    let during = house.call(Draft::change(&house, &key_id).signed());
    while house.journal.stats().is_available {
        std::thread::yield_now();
    }
    house.disk.set_failing(false);
    while !house.journal.stats().is_available {
        std::thread::yield_now();
    }
    let after = house.call(Draft::change(&house, &key_id).signed());
    let site = house.close();
    for answer in [before, during, after] {
        assert_success(&answer);
        recorded_once(&site, answer.request_id);
    }
}

#[test]
fn rows_that_could_not_be_deleted_are_deleted_later() {
    for fault in [Fault::Conflict, Fault::Fail, Fault::UnknownApplied, Fault::UnknownDropped] {
        let house = House::new();
        let key_id = house.create_key(None);
        let first = drained_change(&house, &key_id);
        *house.next_deletion.lock().unwrap() = Some(fault);
        // Each change makes the drainer look; one that shares its group with the deletion fails with it.
        let nudge = || {
            house.site.env.advance(Duration::from_secs(601));
            drop(house.call(Draft::change(&house, &key_id).signed()));
        };
        while house.site.store.counters().faults == 0 {
            nudge();
        }
        while house.site.has_outbox_row(first) {
            nudge();
        }
        let site = house.close();
        recorded_once(&site, first);
    }
}

#[test]
fn walks_through_the_outbox_double_no_record() {
    let house = House::new();
    let key_id = house.create_key(None);
    let mut answers = Vec::new();
    for _ in 0..150 {
        // Each change finds the drainer due for another walk.
        house.site.env.advance(Duration::from_secs(61));
        answers.push(house.call(Draft::change(&house, &key_id).signed()));
    }
    let site = house.close();
    assert_eq!(site.events().len(), answers.len());
    for answer in &answers {
        recorded_once(&site, answer.request_id);
    }
}
