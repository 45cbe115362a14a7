//! Jobs: what the service does by itself is committed against what it saw, with its record, or not at all.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use common::{House, Site, account, region};
use strongroom_audit::{Event, EventKind, EventSource, IdentityKind, Parameters, Value};
use strongroom_pipeline::{Job, JobCorridor, JobDone, JobError, JobPermit, JobReader, Key, World};
use strongroom_records::{CommitError, KeyRow, KeyState, Writes};
use strongroom_testkit::store::{Call, Fault};
use strongroom_types::limits::DECISION_ATTEMPTS_MAX;
use strongroom_types::{KeyId, RegionName};

type Hook = Box<dyn FnMut(usize)>;

thread_local! {
    static RUNS: Cell<usize> = const { Cell::new(0) };
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

/// Disables a key that is enabled.
struct Disable;

struct Task {
    region: RegionName,
    key_id: KeyId,
}

impl Job for Disable {
    type Task = Task;
    type Rows = Option<Key>;

    const NAME: &'static str = "Disable";
    const SOURCE: EventSource = EventSource::Kms;

    fn region(task: &Task) -> &RegionName {
        &task.region
    }

    fn targets(task: &Task, reader: &mut JobReader<'_>) -> Result<Option<Key>, JobError> {
        Ok(reader.key(&task.region, &task.key_id)?)
    }

    fn run(permit: &JobPermit<'_, Self>, _: &World<'_>) -> Result<JobDone, JobError> {
        RUNS.set(RUNS.get() + 1);
        HOOK.with_borrow_mut(|hook| hook.iter_mut().for_each(|hook| hook(RUNS.get())));
        let mut done = JobDone::default();
        if let Some(key) = permit.rows().as_ref().filter(|key| key.state() == KeyState::Enabled) {
            done.writes = set_state(key, KeyState::Disabled);
            done.key = Some(Arc::clone(key));
            done.details = vec![("disabled", Value::Bool(true))];
        }
        Ok(done)
    }
}

fn set_state(key: &Key, state: KeyState) -> Writes {
    let mut row: KeyRow = (***key).clone();
    row.set_state(state);
    let mut writes = Writes::default();
    writes.update(key, row);
    writes
}

fn run(house: &House, key_id: KeyId) -> Result<bool, JobError> {
    JobCorridor::new(Arc::clone(&house.corridor)).run::<Disable>(&Task { region: region(), key_id })
}

/// Between the first `count` decisions and their commits somebody else writes the key.
fn meddle(house: &House, key_id: KeyId, count: usize, state: KeyState) {
    let records = Arc::clone(&house.records);
    HOOK.replace(Some(Box::new(move |run| {
        if run <= count {
            let key = records.key(&region(), &key_id).unwrap().unwrap();
            records.commit_blocking(set_state(&key, state), Vec::new()).unwrap();
        }
    })));
}

/// What the hook holds would outlive the house.
fn close(house: House) -> Site {
    HOOK.replace(None);
    house.close()
}

fn service_events(site: &Site) -> Vec<Event<'static>> {
    let events = site.events().into_iter();
    events.filter(|event| event.kind == EventKind::ServiceEvent).collect()
}

#[test]
fn a_job_with_nothing_to_do_leaves_no_record() {
    let house = House::new();
    let key_id = house.create_key(None);
    assert!(run(&house, key_id).unwrap());
    assert!(!run(&house, key_id).unwrap());
    assert!(!run(&house, KeyId::single_region([9; 16])).unwrap());
    assert_eq!(service_events(&close(house)).len(), 1);
}

#[test]
fn the_record_names_the_service_and_no_request() {
    let house = House::new();
    let key_id = house.create_key(None);
    run(&house, key_id).unwrap();
    assert_eq!(house.key(&key_id).state(), KeyState::Disabled);
    let site = close(house);
    let [event] = &service_events(&site)[..] else { panic!("one record") };
    assert_eq!((&*event.name, event.request_id, event.read_only), ("Disable", None, false));
    let identity = &event.identity;
    assert_eq!((identity.kind, identity.account), (IdentityKind::Service, Some(account())));
    assert_eq!(identity.invoked_by.as_deref(), Some("AWS Internal"));
    assert_eq!((&identity.arn, &identity.access_key_id), (&None, &None));
    assert_eq!((&*event.source_ip, &*event.user_agent), ("AWS Internal", "AWS Internal"));
    assert!(matches!(&event.additional, Parameters::Fields(fields) if fields[0].0 == "disabled"));
    assert_eq!((event.resources.len(), event.recipient), (1, Some(account())));
}

#[test]
fn a_job_that_was_overtaken_is_decided_again_and_does_nothing() {
    let house = House::new();
    let key_id = house.create_key(None);
    meddle(&house, key_id, 1, KeyState::PendingImport);
    assert!(!run(&house, key_id).unwrap());
    assert_eq!((RUNS.get(), house.key(&key_id).state()), (2, KeyState::PendingImport));
    let site = close(house);
    assert_eq!((service_events(&site).len(), site.outbox_rows()), (0, 0));
}

#[test]
fn a_job_that_is_overtaken_too_often_is_left_for_later() {
    let house = House::new();
    let key_id = house.create_key(None);
    meddle(&house, key_id, DECISION_ATTEMPTS_MAX, KeyState::Enabled);
    assert!(matches!(run(&house, key_id), Err(JobError::Conflicts)));
    assert_eq!(RUNS.get(), DECISION_ATTEMPTS_MAX);
    assert!(run(&house, key_id).unwrap());
    assert_eq!(service_events(&close(house)).len(), 1);
}

#[test]
fn nothing_is_done_while_the_journal_cannot_be_written() {
    let house = House::new();
    let key_id = house.create_key(None);
    house.disk.set_failing(true);
    // A record that fails is how the journal learns of it.
    drop(house.journal.reserve().unwrap());
    let look = common::requests::Draft::look(&house, &key_id).signed();
    assert_eq!(house.call(look).outcome, "KMSInternalException");
    assert!(matches!(run(&house, key_id), Err(JobError::Journal(_))));
    assert_eq!((RUNS.get(), house.key(&key_id).state()), (0, KeyState::Enabled));
    house.disk.set_failing(false);
    while !house.journal.stats().is_available {
        std::thread::yield_now();
    }
    assert!(run(&house, key_id).unwrap());
    close(house);
}

#[test]
fn an_unknown_outcome_is_settled_by_the_record() {
    for (fault, applied) in [(Fault::UnknownApplied, true), (Fault::UnknownDropped, false)] {
        let house = House::new();
        let key_id = house.create_key(None);
        house.site.store.fail_next(Call::CommitGroup, fault);
        let outcome = run(&house, key_id);
        if applied {
            assert!(outcome.unwrap());
        } else {
            assert!(matches!(outcome, Err(JobError::Commit(CommitError::Unknown))));
            assert_eq!(house.key(&key_id).state(), KeyState::Enabled);
            assert!(run(&house, key_id).unwrap());
        }
        assert_eq!(house.key(&key_id).state(), KeyState::Disabled);
        assert_eq!(service_events(&close(house)).len(), 1);
    }
}
