//! Conflicts, commits of unknown outcome, and requests that go away in the middle.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use common::requests::{Draft, assert_refused, assert_success};
use common::{House, operations, region, walk};
use strongroom_audit::EventKind;
use strongroom_policy::KeyPolicy;
use strongroom_records::{KeyRow, KeyState, Loaded, Records, Writes};
use strongroom_testkit::store::{Call, Fault};
use strongroom_types::limits::DECISION_ATTEMPTS_MAX;
use strongroom_types::{KeyId, RequestId};

/// Commits from another thread, as another request would.
fn elsewhere(records: &Arc<Records>, key_id: KeyId, change: impl FnOnce(&Loaded<KeyRow>) -> Writes + Send) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let key = records.key(&region(), &key_id).unwrap().unwrap();
            records.commit_blocking(change(&key), Vec::new()).unwrap();
        });
    });
}

/// In the first `count` runs the key changes between the decision and the commit.
fn conflict_in_runs(house: &House, key_id: KeyId, count: usize) {
    let records = Arc::clone(&house.records);
    operations::in_each_run(move |run| {
        if run <= count {
            elsewhere(&records, key_id, operations::switched);
        }
    });
}

/// What the hook holds would outlive the house.
fn close(house: House) -> common::Site {
    operations::in_each_run(|_| ());
    house.close()
}

#[test]
fn after_too_many_conflicts_the_change_is_refused() {
    let house = House::new();
    let key_id = house.create_key(None);
    let version = house.key(&key_id).version();
    conflict_in_runs(&house, key_id, DECISION_ATTEMPTS_MAX);
    let answer = house.call(Draft::change(&house, &key_id).signed());
    assert_refused(&answer, "ThrottlingException");
    assert_eq!(operations::runs(), DECISION_ATTEMPTS_MAX);
    assert_eq!(house.key(&key_id).version(), version + DECISION_ATTEMPTS_MAX as u64);
    let site = close(house);
    let [event] = &site.events_of(answer.request_id)[..] else { panic!() };
    assert_eq!(event.failure.as_ref().unwrap().code, "ThrottlingException");
    assert_eq!(site.outbox_rows(), 0);
}

#[test]
fn on_conflict_the_change_is_decided_again() {
    let house = House::new();
    let key_id = house.create_key(None);
    conflict_in_runs(&house, key_id, DECISION_ATTEMPTS_MAX - 1);
    let answer = house.call(Draft::change(&house, &key_id).signed());
    assert_success(&answer);
    assert_eq!(operations::runs(), DECISION_ATTEMPTS_MAX);
    let site = close(house);
    assert_eq!((site.events_of(answer.request_id).len(), site.outbox_rows()), (1, 1));
}

/// Each of many clients goes on as soon as it is answered, so there is always a newcomer.
#[test]
fn changes_of_one_key_take_turns_and_none_is_overtaken_for_ever() {
    const CLIENTS: usize = 12;
    const EACH: usize = 60;
    let house = House::new();
    let key_id = house.create_key(None);
    let version = house.key(&key_id).version();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let arrivals: Vec<_> = (0..EACH).map(|_| Draft::change(&house, &key_id).signed()).collect();
            let corridor = &house.corridor;
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                for arrival in arrivals {
                    assert_success(&runtime.block_on(walk(Arc::clone(corridor), arrival)));
                }
            });
        }
    });
    assert_eq!(house.key(&key_id).version(), version + (CLIENTS * EACH) as u64);
}

#[test]
fn a_right_that_is_taken_away_between_decision_and_commit_is_gone() {
    let house = House::new();
    let key_id = house.create_key(None);
    let records = Arc::clone(&house.records);
    operations::in_each_run(move |_| {
        elsewhere(&records, key_id, |key| {
            let text = r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}}"#;
            let mut row = (**key).clone();
            row.set_policy(text.to_owned(), KeyPolicy::parse(text).unwrap());
            let mut writes = Writes::default();
            writes.update(key, row);
            writes
        });
    });
    let answer = house.call(Draft::change(&house, &key_id).signed());
    assert_refused(&answer, "AccessDeniedException");
    assert_eq!((operations::runs(), house.key(&key_id).state()), (1, KeyState::Enabled));
    assert_eq!(close(house).events_of(answer.request_id).len(), 1);
}

#[test]
fn an_unknown_outcome_that_was_not_applied_is_refused() {
    let house = House::new();
    let key_id = house.create_key(None);
    house.site.store.fail_next(Call::CommitGroup, Fault::UnknownDropped);
    let answer = house.call(Draft::change(&house, &key_id).signed());
    assert_refused(&answer, "KMSInternalException");
    assert_eq!(house.key(&key_id).state(), KeyState::Enabled);
    let site = house.close();
    let [event] = &site.events_of(answer.request_id)[..] else { panic!() };
    assert_eq!(event.failure.as_ref().unwrap().code, "KMSInternalException");
}

#[test]
fn an_unknown_outcome_that_was_applied_succeeds_and_is_recorded_once() {
    let house = House::new();
    let key_id = house.create_key(None);
    house.site.store.fail_next(Call::CommitGroup, Fault::UnknownApplied);
    let answer = house.call(Draft::change(&house, &key_id).signed());
    assert_success(&answer);
    assert_eq!(house.key(&key_id).state(), KeyState::Disabled);
    let mut site = house.close();
    for _ in 0..2 {
        let [event] = &site.events_of(answer.request_id)[..] else { panic!() };
        assert_eq!((event.kind, &event.failure), (EventKind::ApiCall, &None));
        site = House::open(site, true).close();
    }
}

#[test]
fn an_unknown_outcome_is_asked_for_until_the_store_answers() {
    let house = House::new();
    let key_id = house.create_key(None);
    assert_success(&house.call(Draft::look(&house, &key_id).signed()));
    house.site.store.fail_next(Call::CommitGroup, Fault::UnknownApplied);
    house.site.store.fail_next(Call::Get, Fault::Fail);
    let answer = house.call(Draft::change(&house, &key_id).signed());
    assert_success(&answer);
    assert_eq!(house.close().events_of(answer.request_id).len(), 1);
}

#[test]
fn an_outcome_that_cannot_be_settled_is_refused_and_recorded_when_it_is_found() {
    let house = House::new();
    let key_id = house.create_key(None);
    house.site.store.fail_next(Call::CommitGroup, Fault::CrashAfterSync);
    let answer = house.call(Draft::change(&house, &key_id).signed());
    assert_refused(&answer, "KMSInternalException");
    assert_eq!(operations::runs(), 1);
    let mut site = house.close();
    let failures = |site: &common::Site| {
        let events = site.events_of(answer.request_id);
        events.iter().map(|event| event.failure.is_some()).collect::<Vec<_>>()
    };
    assert_eq!(failures(&site), [true]);
    site.crash();
    let house = House::open(site, true);
    assert_eq!(house.key(&key_id).state(), KeyState::Disabled);
    // What was done is recorded by the next process.
    assert_eq!(failures(&house.close()), [true, false]);
}

#[test]
fn a_failed_commit_is_refused_and_recorded() {
    let house = House::new();
    let key_id = house.create_key(None);
    house.site.store.fail_next(Call::CommitGroup, Fault::Fail);
    let answer = house.call(Draft::change(&house, &key_id).signed());
    assert_refused(&answer, "KMSInternalException");
    assert_eq!((operations::runs(), house.key(&key_id).state()), (1, KeyState::Enabled));
    assert_success(&house.call(Draft::change(&house, &key_id).signed()));
    assert_eq!(house.close().events_of(answer.request_id).len(), 1);
}

#[test]
fn a_change_that_is_dropped_during_its_commit_stands_and_leaves_both_records() {
    let house = House::new();
    let key_id = house.create_key(None);
    let gate = Arc::clone(&house.gate);
    let shut = gate.lock().unwrap();
    let arrival = Draft::change(&house, &key_id).signed();
    let corridor = Arc::clone(&house.corridor);
    house.wait(async {
        tokio::select! {
            biased;
            _ = walk(corridor, arrival) => panic!("answered before it was committed"),
            () = std::future::ready(()) => {}
        }
    });
    assert_eq!(operations::runs(), 1);
    drop(shut);
    let site = house.close();
    let mut kinds: Vec<_> = site.events().iter().map(|event| (event.kind, event.failure.is_some())).collect();
    kinds.sort_by_key(|(kind, _)| *kind == EventKind::ApiCall);
    assert_eq!(kinds, [(EventKind::Abandoned, false), (EventKind::ApiCall, false)]);
    let house = House::open(site, true);
    assert_eq!(house.key(&key_id).state(), KeyState::Disabled);
}

#[test]
fn a_record_that_nobody_settled_is_found_by_the_running_drainer() {
    let house = House::new();
    let key_id = house.create_key(None);
    let gate = Arc::clone(&house.gate);
    let shut = gate.lock().unwrap();
    let arrival = Draft::change(&house, &key_id).signed();
    let corridor = Arc::clone(&house.corridor);
    house.wait(async {
        tokio::select! {
            biased;
            _ = walk(corridor, arrival) => panic!("answered before it was committed"),
            () = std::future::ready(()) => {}
        }
    });
    // The request is gone, and nobody is told what became of its commit.
    house.site.store.fail_next(Call::CommitGroup, Fault::UnknownApplied);
    drop(shut);
    while house.site.outbox_rows() == 0 {
        std::thread::yield_now();
    }
    let lost = house.site.store.rows().into_keys().find_map(|address| {
        let request = address.strip_prefix("outbox/us-east-1/")?;
        RequestId::parse(request).ok()
    });
    let lost = lost.unwrap();
    let is_recorded = |site: &common::Site| {
        site.try_events().is_ok_and(|events| {
            let mut own = events.iter().filter(|event| event.request_id == Some(lost));
            own.any(|event| event.kind == EventKind::ApiCall)
        })
    };
    while !is_recorded(&house.site) {
        // Whatever comes makes the drainer look whether a walk is due.
        house.site.env.advance(std::time::Duration::from_secs(61));
        assert_success(&house.call(Draft::change(&house, &key_id).signed()));
    }
    let site = house.close();
    let records = |site: &common::Site| {
        let events = site.events_of(lost);
        events.iter().filter(|event| event.kind == EventKind::ApiCall).count()
    };
    assert_eq!(records(&site), 1);
    assert_eq!(records(&House::open(site, true).close()), 1);
}
