//! Arguments past a limit are refused, and nothing is written; those at the limit are taken.

use strongroom_store::{Batch, CommitError, Expect, Op, Store, StoreError};
use strongroom_types::limits::{
    BATCH_OPS_MAX, BATCH_PRECONDITIONS_MAX, GROUP_BATCHES_MAX, ROW_ADDRESS_BYTES_MAX, ROW_VALUE_BYTES_MAX,
    ROW_VERSION_MAX, SCAN_ROWS_MAX,
};

use super::{Case, all_rows, batch, commit, delete, expect, put, version};

pub(super) const CASES: &[Case] = &[
    ("an address past the limit is refused", address_past_the_limit_is_refused),
    ("a value past the limit is refused", value_past_the_limit_is_refused),
    ("a version past the limit is refused", version_past_the_limit_is_refused),
    ("a batch past the limit is refused", batch_past_the_limit_is_refused),
    ("preconditions past the limit are refused", preconditions_past_the_limit_are_refused),
    ("a group past the limit is refused", group_past_the_limit_is_refused),
    ("a scan past the limit is refused", scan_past_the_limit_is_refused),
    ("last operations past the limit undo the group", finish_past_the_limit_undoes_the_group),
    ("a closed store refuses everything", closed_store_refuses_everything),
];

/// A group of a good batch and then this one is refused whole.
fn refused(store: &dyn Store, bad: Batch) -> StoreError {
    let before = (store.revision().unwrap(), all_rows(store));
    let good = batch([], [put("good", 1, b"")]);
    let mut finished = false;
    let result = store.commit_group(&[good, bad], &mut |_| {
        finished = true;
        Vec::new()
    });
    assert!(!finished, "the group was begun");
    assert_eq!((store.revision().unwrap(), all_rows(store)), before, "something was written");
    match result {
        Err(CommitError::Failed(error)) => error,
        other => panic!("expected a refusal, found {other:?}"),
    }
}

fn address_past_the_limit_is_refused(store: &dyn Store) {
    let long = "a".repeat(ROW_ADDRESS_BYTES_MAX + 1);
    // Bytes count, not characters.
    let wide = "é".repeat(ROW_ADDRESS_BYTES_MAX / 2 + 1);
    for address in [&long, &wide] {
        let too_long =
            |error| matches!(error, StoreError::AddressTooLong { length, .. } if length == address.len());
        assert!(too_long(store.get(address).unwrap_err()));
        assert!(too_long(store.scan(address, None, 1).unwrap_err()));
        assert!(too_long(store.scan("", Some(address), 1).unwrap_err()));
        assert!(too_long(refused(store, batch([], [put(address, 1, b"")]))));
        assert!(too_long(refused(store, batch([], [delete(address)]))));
        assert!(too_long(refused(store, batch([expect(address, Expect::Absent)], []))));
    }
    assert!(matches!(store.get(""), Err(StoreError::AddressEmpty)));
    assert!(matches!(refused(store, batch([], [put("", 1, b"")])), StoreError::AddressEmpty));
    assert!(matches!(refused(store, batch([expect("", Expect::Absent)], [])), StoreError::AddressEmpty));
    let longest = "a".repeat(ROW_ADDRESS_BYTES_MAX);
    commit(store, &[batch([expect(&longest, Expect::Absent)], [put(&longest, 1, b"")])]).unwrap();
    assert_eq!(version(store, &longest), Some(1));
    assert_eq!(store.scan(&longest, None, 9).unwrap().len(), 1);
    assert_eq!(store.scan("", Some(&longest), 9).unwrap().len(), 0);
}

fn value_past_the_limit_is_refused(store: &dyn Store) {
    let mut value = vec![7; ROW_VALUE_BYTES_MAX + 1];
    let error = refused(store, batch([], [put("a", 1, &value)]));
    assert!(matches!(error, StoreError::ValueTooLarge { length, .. } if length == value.len()));
    value.pop();
    commit(store, &[batch([], [put("a", 1, &value), put("b", 1, b"")])]).unwrap();
    assert!(store.get("a").unwrap().unwrap().value == value);
    assert!(store.get("b").unwrap().unwrap().value.is_empty());
}

fn version_past_the_limit_is_refused(store: &dyn Store) {
    for past in [ROW_VERSION_MAX + 1, u64::MAX] {
        let error = refused(store, batch([], [put("a", past, b"")]));
        assert!(matches!(error, StoreError::VersionTooLarge { version, .. } if version == past));
        let error = refused(store, batch([expect("a", Expect::Version(past))], []));
        assert!(matches!(error, StoreError::VersionTooLarge { version, .. } if version == past));
    }
    commit(store, &[batch([], [put("a", ROW_VERSION_MAX, b""), put("b", 0, b"")])]).unwrap();
    let both = [expect("a", Expect::Version(ROW_VERSION_MAX)), expect("b", Expect::Version(0))];
    assert!(commit(store, &[batch(both, [delete("b")])]).unwrap().outcomes[0].is_applied());
    assert_eq!(version(store, "a"), Some(ROW_VERSION_MAX));
}

fn many_puts(count: usize) -> Vec<Op> {
    (0..count).map(|n| put(&format!("many/{n}"), 1, b"v")).collect()
}

fn batch_past_the_limit_is_refused(store: &dyn Store) {
    let error = refused(store, batch([], many_puts(BATCH_OPS_MAX + 1)));
    assert!(matches!(error, StoreError::TooManyOps { found } if found == BATCH_OPS_MAX + 1));
    commit(store, &[batch([], many_puts(BATCH_OPS_MAX))]).unwrap();
    assert_eq!(store.scan("many/", None, SCAN_ROWS_MAX).unwrap().len(), BATCH_OPS_MAX);
}

fn preconditions_past_the_limit_are_refused(store: &dyn Store) {
    let many = |count| (0..count).map(|n| expect(&format!("many/{n}"), Expect::Absent)).collect::<Vec<_>>();
    let error = refused(store, batch(many(BATCH_PRECONDITIONS_MAX + 1), []));
    assert!(
        matches!(error, StoreError::TooManyPreconditions { found } if found == BATCH_PRECONDITIONS_MAX + 1)
    );
    let done = commit(store, &[batch(many(BATCH_PRECONDITIONS_MAX), [put("a", 1, b"")])]).unwrap();
    assert!(done.outcomes[0].is_applied());
}

fn group_past_the_limit_is_refused(store: &dyn Store) {
    let group = |count| (0..count).map(|n| batch([], [put(&format!("{n}"), 1, b"")])).collect::<Vec<_>>();
    let result = commit(store, &group(GROUP_BATCHES_MAX + 1));
    let Err(CommitError::Failed(StoreError::TooManyBatches { found })) = result else { panic!("{result:?}") };
    assert_eq!((found, all_rows(store).len()), (GROUP_BATCHES_MAX + 1, 0));
    let done = commit(store, &group(GROUP_BATCHES_MAX)).unwrap();
    assert_eq!((done.revision, done.outcomes.len()), (1, GROUP_BATCHES_MAX));
    assert_eq!(all_rows(store).len(), GROUP_BATCHES_MAX);
}

fn scan_past_the_limit_is_refused(store: &dyn Store) {
    let result = store.scan("", None, SCAN_ROWS_MAX + 1);
    assert!(matches!(result, Err(StoreError::ScanTooLong { limit }) if limit == SCAN_ROWS_MAX + 1));
    assert_eq!(store.scan("", None, SCAN_ROWS_MAX).unwrap(), []);
}

fn finish_past_the_limit_undoes_the_group(store: &dyn Store) {
    let group = [batch([], [put("a", 1, b"")])];
    for bad in [many_puts(BATCH_OPS_MAX + 1), vec![put("", 1, b"")], vec![put("b", u64::MAX, b"")]] {
        let result = store.commit_group(&group, &mut |_| bad.clone());
        assert!(matches!(result, Err(CommitError::Failed(_))), "{result:?}");
        assert_eq!((store.revision().unwrap(), all_rows(store).len()), (0, 0));
    }
    store.commit_group(&group, &mut |_| many_puts(BATCH_OPS_MAX)).unwrap();
    assert_eq!((store.revision().unwrap(), all_rows(store).len()), (1, BATCH_OPS_MAX + 1));
}

fn closed_store_refuses_everything(store: &dyn Store) {
    store.close().unwrap();
    store.close().unwrap();
    assert!(matches!(store.get("a"), Err(StoreError::Closed)));
    assert!(matches!(store.scan("", None, 1), Err(StoreError::Closed)));
    assert!(matches!(store.revision(), Err(StoreError::Closed)));
    assert!(matches!(store.integrity_check(), Err(StoreError::Closed)));
    assert!(matches!(store.truncate_log(), Err(StoreError::Closed)));
    let result = commit(store, &[batch([], [put("a", 1, b"")])]);
    assert!(matches!(result, Err(CommitError::Failed(StoreError::Closed))));
}
