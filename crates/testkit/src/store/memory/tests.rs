use strongroom_store::Expect;
use strongroom_store::Precondition;

use super::*;

fn put(address: &str, version: u64) -> Batch {
    let op = Op::Put { address: address.into(), version, value: b"value".to_vec() };
    Batch { preconditions: Vec::new(), ops: vec![op] }
}

fn commit(store: &MemoryStore, batch: Batch) -> Result<GroupCommit, CommitError> {
    store.commit_group(&[batch], &mut |_| Vec::new())
}

fn has(store: &MemoryStore, address: &str) -> bool {
    store.rows().contains_key(address)
}

#[test]
fn each_fault_of_a_commit_does_what_it_says() {
    let cases = [
        (Fault::CrashAfterSync, true, true),
        (Fault::CrashBeforeSync, true, false),
        (Fault::Fail, false, false),
        (Fault::UnknownApplied, true, true),
        (Fault::UnknownDropped, true, false),
    ];
    for (fault, unknown, applied) in cases {
        let store = MemoryStore::new();
        store.fail_next(Call::CommitGroup, fault);
        let error = commit(&store, put("a", 1)).unwrap_err();
        assert_eq!(matches!(error, CommitError::Unknown(_)), unknown, "{fault:?}");
        assert_eq!(has(&store, "a"), applied, "{fault:?}");
        assert_eq!(store.restart().revision().unwrap(), u64::from(applied), "{fault:?}");
        assert_eq!(store.counters().groups_applied, 0);
    }
}

#[test]
fn a_late_outcome_refuses_calls_until_it_is_decided_and_a_crash_decides_it() {
    let store = MemoryStore::new();
    store.fail_next(Call::CommitGroup, Fault::UnknownLate);
    assert!(matches!(commit(&store, put("a", 1)), Err(CommitError::Unknown(_))));
    assert!(store.get("a").is_err() && store.revision().is_err());
    assert!(matches!(commit(&store, put("b", 1)), Err(CommitError::Failed(_))));
    assert_eq!(store.get("a").unwrap().map(|row| row.version), Some(1));
    assert_eq!((store.revision().unwrap(), has(&store, "b")), (1, false));
    store.fail_next(Call::CommitGroup, Fault::UnknownLate);
    assert!(matches!(commit(&store, put("c", 1)), Err(CommitError::Unknown(_))));
    assert_eq!(store.restart().get("c").unwrap(), None);
}

#[test]
fn an_ordered_conflict_meets_batches_that_have_preconditions() {
    let store = MemoryStore::new();
    store.fail_next(Call::CommitGroup, Fault::Conflict);
    let precondition = Precondition { address: "a".into(), expect: Expect::Absent };
    let group = [Batch { preconditions: vec![precondition], ..put("a", 1) }, put("b", 1)];
    let done = store.commit_group(&group, &mut |_| Vec::new()).unwrap();
    let conflict = BatchOutcome::Conflict { address: "a".into() };
    assert_eq!(done.outcomes, [conflict, BatchOutcome::Applied]);
    assert!(!has(&store, "a") && has(&store, "b"));
    assert!(commit(&store, group[0].clone()).unwrap().outcomes[0].is_applied());
}

#[test]
fn a_fault_of_a_read_fails_that_read_only() {
    let store = MemoryStore::new();
    store.fail_next(Call::Get, Fault::Fail);
    store.fail_next(Call::Scan, Fault::UnknownApplied);
    assert!(store.get("a").is_err() && store.scan("", None, 1).is_err());
    assert!(store.get("a").is_ok() && store.scan("", None, 1).is_ok());
    assert_eq!(store.counters().faults, 2);
}

#[test]
fn a_dead_process_answers_nothing_and_the_next_one_does() {
    let store = MemoryStore::new();
    commit(&store, put("a", 1)).unwrap();
    let clone = store.clone();
    store.fail_next(Call::Get, Fault::CrashBeforeSync);
    assert!(clone.get("a").is_err());
    assert!(store.get("a").is_err() && store.revision().is_err() && store.close().is_err());
    assert!(matches!(commit(&store, put("b", 1)), Err(CommitError::Failed(_))));
    let next = store.restart();
    assert_eq!(next.get("a").unwrap().map(|row| row.version), Some(1));
    assert!(store.get("a").is_err(), "the old process has come back to life");
    assert_eq!(next.counters().gets, 1);
}

#[test]
fn a_group_that_the_crash_overtakes_is_lost() {
    let store = MemoryStore::new();
    let result = store.commit_group(&[put("a", 1)], &mut |_| {
        store.crash();
        Vec::new()
    });
    assert!(matches!(result, Err(CommitError::Unknown(_))));
    assert!(!has(&store, "a"));
}

#[test]
fn tampering_is_seen_and_moves_no_revision() {
    let store = MemoryStore::new();
    commit(&store, put("a", 1)).unwrap();
    let old = store.rows();
    commit(&store, put("a", 2)).unwrap();
    store.tamper(|rows| *rows = old);
    assert_eq!(store.get("a").unwrap().map(|row| row.version), Some(1));
    assert_eq!(store.revision().unwrap(), 2);
}

#[test]
fn counters_count() {
    let store = MemoryStore::new();
    commit(&store, put("a", 1)).unwrap();
    let expect = Precondition { address: "a".into(), expect: Expect::Absent };
    let conflicting = Batch { preconditions: vec![expect], ..put("a", 2) };
    assert!(!commit(&store, conflicting).unwrap().outcomes[0].is_applied());
    store.scan("", None, 1).unwrap();
    store.truncate_log().unwrap();
    let expected = Counters {
        calls: 4,
        commit_groups: 2,
        conflicts: 1,
        groups_applied: 1,
        scans: 1,
        truncations: 1,
        ..Counters::default()
    };
    assert_eq!(store.counters(), expected);
}

#[test]
fn random_faults_stop_when_they_are_cleared() {
    let store = MemoryStore::new();
    store.fail_randomly(3, FaultRates { fail_per_mille: 1000, ..FaultRates::default() });
    assert!(store.get("a").is_err());
    store.clear_faults();
    assert!(store.get("a").is_ok());
}

#[test]
fn the_suite_passes() {
    crate::store_suite::run(|| Box::new(MemoryStore::new()));
    crate::store_suite::reopen(|| {
        let place = Mutex::new(MemoryStore::new());
        Box::new(move || {
            let mut place = place.lock().unwrap();
            *place = place.restart();
            Box::new(place.clone())
        })
    });
}
