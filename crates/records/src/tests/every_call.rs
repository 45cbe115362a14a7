//! Each call of the store fails in turn, in each way that it can.
//!
//! A small story is told once to count its calls; then it is told again for every call and every fault. What the outcomes
//! said must be true: in the same process once the store works again, and in the next one.

use strongroom_testkit::store::Fault;

use super::*;
use crate::{CommitError, KeyState};

const FAULTS: [Fault; 6] = [
    Fault::CrashAfterSync,
    Fault::CrashBeforeSync,
    Fault::Fail,
    Fault::UnknownApplied,
    Fault::UnknownDropped,
    Fault::UnknownLate,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    NotDone,
    Unknown,
}

impl Outcome {
    fn of(result: &Result<(), CommitError>) -> Self {
        match result {
            Ok(()) => Self::Done,
            Err(CommitError::Unknown) => Self::Unknown,
            Err(CommitError::Closed | CommitError::Failed(_)) => Self::NotDone,
            Err(error @ CommitError::Conflict { .. }) => panic!("{error}"),
        }
    }

    fn allows(self, is_there: bool) -> bool {
        self == Self::Unknown || (self == Self::Done) == is_there
    }
}

struct Told {
    key_id: KeyId,
    created: Outcome,
    disabled: Outcome,
}

/// Makes a key, reads it, disables it, looks around.
fn tell(deployment: &Deployment) -> Told {
    let key = deployment.new_key(&us());
    let key_id = key.key_id();
    let mut writes = Writes::default();
    writes.create(AccountKeyRow::address(&us(), account(), &key_id), AccountKeyRow { key_id });
    writes.create(KeyRow::address(&us(), &key_id), key);
    let created = Outcome::of(&deployment.records.commit_blocking(writes, Vec::new()));
    let mut disabled = Outcome::NotDone;
    if let Ok(found) = deployment.records.key(&us(), &key_id) {
        assert!(created.allows(found.is_some()), "{created:?}");
        if let Some(key) = found {
            disabled = Outcome::of(&deployment.records.commit_blocking(disable(&key), Vec::new()));
        }
    }
    let listed = deployment.records.scan::<AccountKeyRow>("account-key/", None, 10);
    assert!(listed.is_err() || created.allows(!listed.unwrap().is_empty()));
    let account = deployment.records.load::<AccountRow>(&AccountRow::address(account()));
    assert!(account.is_err() || account.unwrap().is_some(), "a store that cannot be read is no empty one");
    Told { key_id, created, disabled }
}

fn disable(key: &Loaded<KeyRow>) -> Writes {
    let mut row = (**key).clone();
    row.set_state(KeyState::Disabled);
    let mut writes = Writes::default();
    writes.update(key, row);
    writes
}

fn assert_true(deployment: &Deployment, told: &Told) {
    let key = deployment.records.key(&us(), &told.key_id).unwrap();
    assert!(told.created.allows(key.is_some()), "{:?}", told.created);
    let is_disabled = key.is_some_and(|key| key.state() == KeyState::Disabled);
    assert!(told.disabled.allows(is_disabled), "{:?}", told.disabled);
    deployment.assert_clean();
}

#[test]
fn every_call_fails_in_turn_and_what_was_told_is_true() {
    let untroubled = Deployment::new();
    let before = untroubled.store.counters().calls;
    let told = tell(&untroubled);
    let calls = untroubled.store.counters().calls - before;
    assert_eq!((told.created, told.disabled), (Outcome::Done, Outcome::Done));
    assert!(calls >= 4, "{calls}");
    for fault in FAULTS {
        for skipped in 0..calls {
            println!("{fault:?} after {skipped} calls");
            let deployment = Deployment::new();
            deployment.store.fail_after(None, skipped, fault);
            let told = tell(&deployment);
            assert_eq!(deployment.store.counters().faults, 1);
            if !matches!(fault, Fault::CrashAfterSync | Fault::CrashBeforeSync) {
                // A late outcome refuses some calls yet.
                while deployment.store.get("nothing").is_err() {}
                assert_true(&deployment, &told);
                let more = tell(&deployment);
                assert_eq!((more.created, more.disabled), (Outcome::Done, Outcome::Done));
                assert_true(&deployment, &told);
            }
            let deployment = deployment.restart();
            assert_true(&deployment, &told);
            // The next process draws the same ids again; those of the stories above are taken.
            let _taken = [deployment.env.random_id(), deployment.env.random_id()];
            assert_eq!(tell(&deployment).disabled, Outcome::Done);
        }
    }
}

#[test]
fn record_of_an_unknown_outcome_is_handed_over_once_it_is_found() {
    for fault in [Fault::UnknownApplied, Fault::UnknownDropped] {
        let limits = Limits { probe_every: std::time::Duration::from_millis(1), ..Limits::default() };
        let deployment = Deployment::with(vec![eu(), us()], limits);
        let mut writes = Writes::default();
        let address = OutboxRow::address(&us(), &strongroom_types::RequestId::from_random([7; 16]));
        writes.create(address, OutboxRow { created: CREATED, event: b"event".to_vec() });
        deployment.store.fail_next(strongroom_testkit::store::Call::CommitGroup, fault);
        // The store does not answer at first, and nobody asks for anything again.
        deployment.store.fail_next(strongroom_testkit::store::Call::Get, Fault::Fail);
        let result = deployment.records.commit_blocking(writes, Vec::new());
        assert!(matches!(result, Err(CommitError::Unknown)));
        if fault == Fault::UnknownApplied {
            assert_eq!(deployment.outbox.recv().unwrap().event, b"event");
        }
        while deployment.records.commit_stats().is_failing() {
            std::thread::yield_now();
        }
        assert!(deployment.outbox.try_recv().is_err(), "it is handed over once, and only if it is there");
        deployment.assert_clean();
    }
}
