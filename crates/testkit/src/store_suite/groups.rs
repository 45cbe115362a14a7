//! Preconditions, groups and what ends them.

use strongroom_store::{BatchOutcome, CommitError, Expect, Op, Store};

use super::{Case, all_rows, batch, commit, conflict, delete, expect, put, version, write};

pub(super) const CASES: &[Case] = &[
    ("a precondition that does not hold stops its batch", failed_precondition_stops_its_batch),
    ("the first failed precondition is reported", first_failed_precondition_is_reported),
    ("a conflict leaves the rest of its group", conflict_leaves_the_rest),
    ("a batch sees those before it", batch_sees_those_before_it),
    ("a group without an applied batch writes nothing", group_of_conflicts_writes_nothing),
    ("an empty group writes nothing", empty_group_writes_nothing),
    ("operations apply in order", operations_apply_in_order),
    ("deleting what is not there is no error", deleting_nothing_is_no_error),
    ("the last operations are part of the group", finish_is_part_of_the_group),
    ("the last operations see nothing of the group yet", finish_reads_the_state_before),
    ("a panic in the last operations undoes the group", finish_that_panics_undoes_the_group),
    ("the revision grows by one with each applied group", revision_grows_by_one),
    ("a batch of preconditions alone is applied", batch_of_preconditions_is_applied),
    ("a good store passes its own check and truncates its log", checks_and_truncation_pass),
];

const APPLIED: BatchOutcome = BatchOutcome::Applied;

fn failed_precondition_stops_its_batch(store: &dyn Store) {
    write(store, [put("a", 5, b"old")]);
    for (address, expected) in [
        ("a", Expect::Absent),
        ("a", Expect::Version(4)),
        ("a", Expect::Version(6)),
        ("b", Expect::Version(0)),
        ("b", Expect::Version(5)),
    ] {
        let done = commit(store, &[batch([expect(address, expected)], [put("a", 9, b"new"), delete("a")])]);
        assert_eq!(done.unwrap().outcomes, [conflict(address)], "{address} {expected:?}");
        assert_eq!(store.get("a").unwrap().unwrap().value, b"old");
    }
    let holds = [expect("a", Expect::Version(5)), expect("b", Expect::Absent)];
    let done = commit(store, &[batch(holds, [put("a", 6, b"new")])]).unwrap();
    assert_eq!(done.outcomes, [APPLIED]);
    let row = store.get("a").unwrap().unwrap();
    assert_eq!((row.version, row.value), (6, b"new".to_vec()));
}

fn first_failed_precondition_is_reported(store: &dyn Store) {
    write(store, [put("a", 1, b""), put("b", 1, b"")]);
    let preconditions =
        [expect("c", Expect::Absent), expect("b", Expect::Version(2)), expect("a", Expect::Version(2))];
    assert_eq!(commit(store, &[batch(preconditions, [])]).unwrap().outcomes, [conflict("b")]);
}

fn conflict_leaves_the_rest(store: &dyn Store) {
    write(store, [put("a", 1, b"")]);
    let group = [
        batch([], [put("first", 1, b"")]),
        batch([expect("a", Expect::Absent)], [put("second", 1, b""), put("first", 2, b"")]),
        batch([expect("a", Expect::Version(1))], [put("third", 1, b"")]),
    ];
    let done = commit(store, &group).unwrap();
    assert_eq!(done.outcomes, [APPLIED, conflict("a"), APPLIED]);
    assert_eq!(done.revision, 2);
    assert_eq!(version(store, "first"), Some(1));
    assert_eq!(version(store, "second"), None);
    assert_eq!(version(store, "third"), Some(1));
}

fn batch_sees_those_before_it(store: &dyn Store) {
    let group = [
        batch([expect("a", Expect::Absent)], [put("a", 1, b"")]),
        batch([expect("a", Expect::Absent)], [put("a", 2, b"")]),
        batch([expect("a", Expect::Version(1))], [put("a", 3, b"")]),
        batch([expect("a", Expect::Version(3))], [delete("a")]),
        batch([expect("a", Expect::Version(3))], []),
        batch([expect("a", Expect::Absent)], [put("a", 4, b"")]),
    ];
    let outcomes = commit(store, &group).unwrap().outcomes;
    assert_eq!(outcomes, [APPLIED, conflict("a"), APPLIED, APPLIED, conflict("a"), APPLIED]);
    assert_eq!(version(store, "a"), Some(4));
}

fn group_of_conflicts_writes_nothing(store: &dyn Store) {
    write(store, [put("a", 1, b"")]);
    let losing = batch([expect("a", Expect::Absent)], [put("b", 1, b"")]);
    let mut finished = false;
    let done = store.commit_group(&[losing.clone(), losing], &mut |_| {
        finished = true;
        vec![put("state", 1, b"")]
    });
    let done = done.unwrap();
    assert_eq!(done.outcomes, [conflict("a"), conflict("a")]);
    assert!(!finished);
    assert_eq!((done.revision, store.revision().unwrap()), (1, 1));
    assert_eq!(all_rows(store).len(), 1);
}

fn empty_group_writes_nothing(store: &dyn Store) {
    let done = store.commit_group(&[], &mut |_| vec![put("state", 1, b"")]).unwrap();
    assert_eq!((done.revision, done.outcomes.len()), (0, 0));
    assert_eq!(all_rows(store), []);
}

fn operations_apply_in_order(store: &dyn Store) {
    write(store, [put("a", 1, b""), delete("a"), put("a", 2, b"two"), put("b", 1, b""), delete("b")]);
    assert_eq!(version(store, "a"), Some(2));
    assert_eq!(version(store, "b"), None);
    // The version is the caller's business: it may fall.
    write(store, [put("a", 1, b"one")]);
    assert_eq!(version(store, "a"), Some(1));
}

fn deleting_nothing_is_no_error(store: &dyn Store) {
    write(store, [delete("a"), put("b", 1, b"")]);
    assert_eq!(all_rows(store).len(), 1);
}

fn finish_is_part_of_the_group(store: &dyn Store) {
    write(store, [put("a", 1, b""), put("state", 1, b"")]);
    let group = [
        batch([expect("a", Expect::Absent)], []),
        batch([expect("a", Expect::Version(1))], [put("a", 2, b""), put("state", 7, b"")]),
    ];
    let mut calls = 0;
    let done = store.commit_group(&group, &mut |outcomes| {
        calls += 1;
        assert_eq!(outcomes, [conflict("a"), APPLIED]);
        // These come last, whatever the batches did to the same row.
        vec![put("state", 2, b"new"), delete("a")]
    });
    assert_eq!((calls, done.unwrap().revision), (1, 2));
    assert_eq!(version(store, "state"), Some(2));
    assert_eq!(version(store, "a"), None);
}

fn finish_reads_the_state_before(store: &dyn Store) {
    write(store, [put("a", 1, b"")]);
    let done = store.commit_group(&[batch([], [put("a", 2, b"")])], &mut |_| {
        assert_eq!(version(store, "a"), Some(1));
        assert_eq!((all_rows(store).len(), store.revision().unwrap()), (1, 1));
        Vec::new()
    });
    assert_eq!(done.unwrap().revision, 2);
    assert_eq!(version(store, "a"), Some(2));
}

fn finish_that_panics_undoes_the_group(store: &dyn Store) {
    let mut finish = |_: &[BatchOutcome]| -> Vec<Op> { std::panic::resume_unwind(Box::new(())) };
    let group = [batch([], [put("a", 1, b"")])];
    let attempt = std::panic::AssertUnwindSafe(|| store.commit_group(&group, &mut finish));
    assert!(std::panic::catch_unwind(attempt).is_err());
    assert_eq!((version(store, "a"), store.revision().unwrap()), (None, 0));
    assert_eq!(commit(store, &group).unwrap().revision, 1);
    assert_eq!(version(store, "a"), Some(1));
}

fn revision_grows_by_one(store: &dyn Store) {
    assert_eq!(store.revision().unwrap(), 0);
    for n in 1..=5 {
        let group = [batch([], [put("a", n, b"")]), batch([], [put("b", n, b"")])];
        assert_eq!(commit(store, &group).unwrap().revision, n);
        assert_eq!(store.revision().unwrap(), n);
        let lost = commit(store, &[batch([expect("a", Expect::Absent)], [])]).unwrap();
        assert_eq!(lost.revision, n);
    }
    let refused = commit(store, &[batch([], [put("", 1, b"")])]);
    assert!(matches!(refused, Err(CommitError::Failed(_))));
    assert_eq!(store.revision().unwrap(), 5);
}

fn batch_of_preconditions_is_applied(store: &dyn Store) {
    let mut finished = false;
    let done = store.commit_group(&[batch([expect("a", Expect::Absent)], [])], &mut |_| {
        finished = true;
        Vec::new()
    });
    let done = done.unwrap();
    assert_eq!((done.revision, done.outcomes), (1, vec![APPLIED]));
    assert!(finished);
}

fn checks_and_truncation_pass(store: &dyn Store) {
    store.integrity_check().unwrap();
    store.truncate_log().unwrap();
    write(store, [put("a", 1, &[9; 100_000]), put("b", 1, b"")]);
    write(store, [delete("a")]);
    store.truncate_log().unwrap();
    store.integrity_check().unwrap();
    assert_eq!((version(store, "a"), version(store, "b")), (None, Some(1)));
}
