//! Conditions, conflicts, order, and the end.

use strongroom_testkit::store::{Call, Fault};
use strongroom_types::RequestId;

use super::*;
use crate::{Address, CommitError, KeyState, RowScope, Seen};

fn disabled(key: &Loaded<KeyRow>) -> Writes {
    let mut row = (**key).clone();
    row.set_state(KeyState::Disabled);
    let mut writes = Writes::default();
    writes.update(key, row);
    writes
}

fn account_writes(number: u64) -> Writes {
    let mut writes = Writes::default();
    writes.create(AccountRow::address(numbered(number)), account_row(number, 0));
    writes
}

fn conflict(result: Result<(), CommitError>) -> String {
    match result {
        Err(CommitError::Conflict { address }) => address,
        other => panic!("{other:?}"),
    }
}

#[test]
fn of_two_commits_against_one_version_one_wins() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(&us(), &[]);
    let seen = deployment.key(&key_id);
    let mut other = Writes::default();
    other.update(&seen, (**seen).clone());
    deployment.records.commit_blocking(disabled(&seen), Vec::new()).unwrap();
    let address = conflict(deployment.records.commit_blocking(other, Vec::new()));
    assert_eq!(address, KeyRow::address(&us(), &key_id).as_str());
    assert_eq!(deployment.key(&key_id).state(), KeyState::Disabled);
    assert_eq!(deployment.key(&key_id).version(), seen.version() + 1);
    deployment.assert_clean();
}

#[test]
fn a_deleted_row_cannot_be_updated_or_deleted() {
    let deployment = Deployment::new();
    let records = &deployment.records;
    records.commit_blocking(account_writes(7), Vec::new()).unwrap();
    let loaded = records.load::<AccountRow>(&AccountRow::address(numbered(7))).unwrap().unwrap();
    let delete = || {
        let mut writes = Writes::default();
        writes.delete(&loaded);
        writes
    };
    records.commit_blocking(delete(), Vec::new()).unwrap();
    conflict(records.commit_blocking(delete(), Vec::new()));
    let mut stub = Writes::default();
    stub.delete_stub(&loaded.stub());
    conflict(records.commit_blocking(stub, Vec::new()));
    let mut update = Writes::default();
    update.update(&loaded, account_row(7, 1));
    conflict(records.commit_blocking(update, Vec::new()));
    assert!(records.load::<AccountRow>(loaded.address()).unwrap().is_none());
    deployment.assert_clean();
}

#[test]
fn a_row_that_exists_is_not_created() {
    let deployment = Deployment::new();
    deployment.records.commit_blocking(account_writes(7), Vec::new()).unwrap();
    conflict(deployment.records.commit_blocking(account_writes(7), Vec::new()));
    deployment.assert_clean();
}

#[test]
fn an_absence_that_was_seen_must_still_hold() {
    let deployment = Deployment::new();
    let absent = || vec![Seen::absent(AccountRow::address(numbered(7)))];
    deployment.records.commit_blocking(account_writes(8), absent()).unwrap();
    deployment.records.commit_blocking(account_writes(7), absent()).unwrap();
    let address = conflict(deployment.records.commit_blocking(account_writes(9), absent()));
    assert_eq!(address, "account/global/000000000007");
    assert!(deployment.records.load::<AccountRow>(&AccountRow::address(numbered(9))).unwrap().is_none());
    deployment.assert_clean();
}

#[test]
fn a_row_that_was_seen_must_still_be_as_it_was() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(&us(), &[]);
    let seen = deployment.key(&key_id);
    deployment.records.commit_blocking(account_writes(7), vec![seen.seen()]).unwrap();
    deployment.records.commit_blocking(disabled(&seen), vec![seen.seen()]).unwrap();
    conflict(deployment.records.commit_blocking(account_writes(8), vec![seen.seen()]));
    assert!(deployment.records.load::<AccountRow>(&AccountRow::address(numbered(8))).unwrap().is_none());
    deployment.assert_clean();
}

#[test]
fn a_conflict_in_one_batch_leaves_the_others_of_its_shard_counted() {
    let deployment = Deployment::new();
    let records = &deployment.records;
    let waiting: Vec<_> = (0..40).map(|n| records.commit(account_writes(n / 2), Vec::new())).collect();
    let outcomes: Vec<_> = waiting.into_iter().map(wait).collect();
    assert!(outcomes.iter().step_by(2).all(Result::is_ok));
    assert!(outcomes.into_iter().skip(1).step_by(2).all(|outcome| !conflict(outcome).is_empty()));
    let report = deployment.check();
    assert_eq!((report.problems, report.rows["account"]), (Vec::new(), 21));
}

#[test]
fn a_commit_whose_caller_went_away_stands() {
    let deployment = Deployment::new();
    drop(deployment.records.commit(account_writes(7), Vec::new()));
    deployment.records.commit_blocking(account_writes(8), Vec::new()).unwrap();
    assert!(deployment.records.load::<AccountRow>(&AccountRow::address(numbered(7))).unwrap().is_some());
    deployment.assert_clean();
}

#[test]
fn only_committed_outbox_rows_reach_the_drainer() {
    let deployment = Deployment::new();
    let outbox = |byte: u8, account: u64| {
        let mut writes = account_writes(account);
        let address = OutboxRow::address(&us(), &RequestId::from_bytes([byte; 16]));
        writes.create(address, OutboxRow { created: CREATED, event: vec![byte] });
        writes
    };
    let records = &deployment.records;
    records.commit_blocking(outbox(1, 1), Vec::new()).unwrap();
    conflict(records.commit_blocking(outbox(2, 1), Vec::new()));
    deployment.store.fail_next(Call::CommitGroup, Fault::Fail);
    records.commit_blocking(outbox(3, 3), Vec::new()).unwrap_err();
    deployment.store.fail_next(Call::CommitGroup, Fault::UnknownApplied);
    records.commit_blocking(outbox(4, 4), Vec::new()).unwrap_err();
    let events: Vec<_> = deployment.outbox.try_iter().map(|row| row.event.clone()).collect();
    assert_eq!(events, [[1]]);
    deployment.assert_clean();
}

#[test]
fn closed_records_answer_what_they_took_and_refuse_the_rest() {
    let deployment = Deployment::new();
    let taken: Vec<_> = (0..50).map(|n| deployment.records.commit(account_writes(n), Vec::new())).collect();
    deployment.records.close();
    for answer in taken {
        wait(answer).unwrap();
    }
    let refused = deployment.records.commit_blocking(account_writes(99), Vec::new());
    assert!(matches!(refused, Err(CommitError::Closed)));
    deployment.records.close();
    let report = deployment.check();
    assert_eq!((report.problems, report.rows["account"]), (Vec::new(), 51));
}

#[test]
fn commits_are_counted() {
    let deployment = Deployment::new();
    deployment.records.commit_blocking(account_writes(7), Vec::new()).unwrap();
    conflict(deployment.records.commit_blocking(account_writes(7), Vec::new()));
    deployment.store.fail_next(Call::CommitGroup, Fault::Fail);
    deployment.records.commit_blocking(account_writes(8), Vec::new()).unwrap_err();
    let stats = deployment.records.commit_stats();
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!((load(&stats.batches), load(&stats.conflicts), load(&stats.failures)), (1, 1, 1));
}

#[test]
fn a_scan_goes_on_strictly_after_its_start() {
    let deployment = Deployment::new();
    for number in [3, 1, 2] {
        deployment.records.commit_blocking(account_writes(number), Vec::new()).unwrap();
    }
    let scan = |after: Option<&Address>, limit| {
        let rows =
            deployment.records.scan::<AccountRow>("account/global/", after.map(Address::as_str), limit);
        rows.unwrap().iter().map(|row| row.account.as_u64()).collect::<Vec<_>>()
    };
    assert_eq!(scan(None, 2), [1, 2]);
    let after = AccountRow::address(numbered(2));
    assert_eq!(*after.scope(), RowScope::Global);
    assert_eq!(scan(Some(&after), 2), [3, account().as_u64()]);
}

/// Versions that began anew with each row would let this pass: the second row would have the version of the first.
#[test]
fn a_row_that_was_deleted_and_made_again_is_another_row() {
    let deployment = Deployment::new();
    let address = AccountRow::address(numbered(1));
    let create = || {
        let mut writes = Writes::default();
        writes.create(address.clone(), account_row(1, 1));
        deployment.records.commit_blocking(writes, Vec::new())
    };
    let load = || deployment.records.load::<AccountRow>(&address).unwrap().unwrap();
    create().unwrap();
    let first = load();
    let mut writes = Writes::default();
    writes.delete(&first);
    deployment.records.commit_blocking(writes, Vec::new()).unwrap();
    create().unwrap();
    let mut writes = Writes::default();
    writes.update(&first, account_row(1, 2));
    let stale = deployment.records.commit_blocking(writes, Vec::new());
    assert!(matches!(stale, Err(CommitError::Conflict { .. })), "{stale:?}");
    let stale = deployment.records.commit_blocking(Writes::default(), vec![first.seen()]);
    assert!(matches!(stale, Err(CommitError::Conflict { .. })), "{stale:?}");
    let mut writes = Writes::default();
    writes.update(&load(), account_row(1, 3));
    deployment.records.commit_blocking(writes, Vec::new()).unwrap();
    deployment.assert_clean();
}
