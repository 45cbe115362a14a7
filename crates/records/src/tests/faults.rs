//! The store fails: nothing stale is kept, and the state rows stay right.

use proptest::prelude::*;
use strongroom_testkit::random::SeededRandom;
use strongroom_testkit::store::{Call, Fault, FaultRates};

use super::*;
use crate::{CommitError, KeyState, RecordsError};

fn switch(key: &Loaded<KeyRow>, state: KeyState) -> Writes {
    let mut row = (**key).clone();
    row.set_state(state);
    let mut writes = Writes::default();
    writes.update(key, row);
    writes
}

/// A deployment with one key, which is in the cache.
fn with_key() -> (Deployment, KeyId) {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(&us(), &["alias/app"]);
    deployment.key(&key_id);
    (deployment, key_id)
}

fn disable(deployment: &Deployment, key_id: &KeyId) -> Result<(), CommitError> {
    let writes = switch(&deployment.key(key_id), KeyState::Disabled);
    deployment.records.commit_blocking(writes, Vec::new())
}

#[test]
fn a_failed_commit_changes_nothing() {
    let (deployment, key_id) = with_key();
    deployment.store.fail_next(Call::CommitGroup, Fault::Fail);
    let refused = disable(&deployment, &key_id);
    assert!(matches!(refused, Err(CommitError::Failed(RecordsError::NotWritten))), "{refused:?}");
    let gets = deployment.store.counters().gets;
    assert_eq!(deployment.key(&key_id).state(), KeyState::Enabled);
    assert_eq!(deployment.store.counters().gets, gets + 1, "what was kept of the row is dropped");
    disable(&deployment, &key_id).unwrap();
    assert_eq!(deployment.key(&key_id).state(), KeyState::Disabled);
    deployment.assert_clean();
}

#[test]
fn an_unknown_outcome_that_was_applied_is_seen_afterwards() {
    let (deployment, key_id) = with_key();
    let version = deployment.key(&key_id).version();
    deployment.store.fail_next(Call::CommitGroup, Fault::UnknownApplied);
    assert!(matches!(disable(&deployment, &key_id), Err(CommitError::Unknown)));
    assert_eq!(deployment.key(&key_id).state(), KeyState::Disabled);
    deployment.assert_clean();
    let writes = switch(&deployment.key(&key_id), KeyState::Enabled);
    deployment.records.commit_blocking(writes, Vec::new()).unwrap();
    assert_eq!(deployment.key(&key_id).version(), version + 2);
    deployment.assert_clean();
}

#[test]
fn an_unknown_outcome_that_was_dropped_leaves_the_old_row() {
    let (deployment, key_id) = with_key();
    let version = deployment.key(&key_id).version();
    deployment.store.fail_next(Call::CommitGroup, Fault::UnknownDropped);
    assert!(matches!(disable(&deployment, &key_id), Err(CommitError::Unknown)));
    assert_eq!(deployment.key(&key_id).state(), KeyState::Enabled);
    disable(&deployment, &key_id).unwrap();
    assert_eq!(deployment.key(&key_id).version(), version + 1);
    deployment.assert_clean();
}

#[test]
fn nothing_is_committed_while_the_states_are_unknown() {
    let (deployment, key_id) = with_key();
    let writes = switch(&deployment.key(&key_id), KeyState::Disabled);
    deployment.store.fail_next(Call::CommitGroup, Fault::UnknownApplied);
    assert!(matches!(deployment.records.commit_blocking(writes, Vec::new()), Err(CommitError::Unknown)));
    let row = deployment.key(&key_id);
    deployment.store.fail_next(Call::Get, Fault::Fail);
    let refused = deployment.records.commit_blocking(switch(&row, KeyState::Enabled), Vec::new());
    assert!(matches!(refused, Err(CommitError::Failed(RecordsError::NotWritten))), "{refused:?}");
    assert_eq!(deployment.key(&key_id).state(), KeyState::Disabled);
    deployment.records.commit_blocking(switch(&row, KeyState::Enabled), Vec::new()).unwrap();
    assert_eq!(deployment.key(&key_id).state(), KeyState::Enabled);
    deployment.assert_clean();
}

#[test]
fn a_store_that_cannot_be_read_is_no_absent_row() {
    let (deployment, _) = with_key();
    let nobody = KeyId::single_region([9; 16]);
    deployment.store.fail_next(Call::Get, Fault::Fail);
    assert!(matches!(deployment.records.key(&us(), &nobody), Err(RecordsError::Store(_))));
    assert!(deployment.records.key(&us(), &nobody).unwrap().is_none());
    deployment.store.fail_next(Call::Scan, Fault::Fail);
    assert!(matches!(deployment.records.scan::<AliasRow>("alias/", None, 10), Err(RecordsError::Store(_))));
    deployment.store.fail_next(Call::Scan, Fault::Fail);
    assert!(check(&deployment.store, &deployment.keyring, &deployment.regions, &mut |_| {}).is_err());
}

#[test]
fn a_crash_loses_nothing_that_was_synced() {
    for (fault, state) in
        [(Fault::CrashBeforeSync, KeyState::Enabled), (Fault::CrashAfterSync, KeyState::Disabled)]
    {
        let (deployment, key_id) = with_key();
        deployment.store.fail_next(Call::CommitGroup, fault);
        assert!(matches!(disable(&deployment, &key_id), Err(CommitError::Unknown)));
        assert!(deployment.records.key(&us(), &key_id).is_err(), "nothing is served from memory");
        let deployment = deployment.restart();
        assert_eq!(deployment.key(&key_id).state(), state);
        deployment.assert_clean();
        let writes = switch(&deployment.key(&key_id), KeyState::PendingDeletion);
        deployment.records.commit_blocking(writes, Vec::new()).unwrap();
        deployment.assert_clean();
    }
}

#[test]
fn a_deployment_that_was_not_written_is_not_there() {
    for (fault, is_unknown) in [(Fault::Fail, false), (Fault::UnknownDropped, true)] {
        let regions = vec![us()];
        let (keyring, entries) = keyring(&regions);
        let store = MemoryStore::new();
        store.fail_next(Call::CommitGroup, fault);
        let result = Records::initialise(&store, &keyring, &entries, &regions, first_rows(&regions));
        assert_eq!(matches!(result, Err(CommitError::Unknown)), is_unknown, "{result:?}");
        assert!(result.is_err() && store.rows().is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// One writer, every call failing now and then: what is read afterwards is what the outcomes said, and the state
    /// rows count what is there.
    #[test]
    fn whatever_fails_the_states_stay_right(seed in any::<u64>()) {
        let deployment = Deployment::new();
        let rates = FaultRates {
            fail_per_mille: 80,
            unknown_per_mille: 100,
            late_per_mille: 50,
            conflict_per_mille: 50,
            ..FaultRates::default()
        };
        deployment.store.fail_randomly(seed, rates);
        let mut random = SeededRandom::new(seed);
        let mut model = std::collections::BTreeMap::new();
        for step in 0..120 {
            let number = random.below(6);
            let address = AccountRow::address(numbered(number));
            let Ok(loaded) = deployment.records.load::<AccountRow>(&address) else { continue };
            let found = loaded.as_ref().map(|row| row.created.as_millis());
            // An unknown outcome is settled by the first look afterwards.
            let known: &mut Vec<Option<u64>> = model.entry(number).or_insert_with(|| vec![None]);
            prop_assert!(known.contains(&found), "step {}: {:?} is none of {:?}", step, found, known);
            *known = vec![found];
            let mut writes = Writes::default();
            let next = match loaded {
                Some(row) if random.chance(300) => {
                    writes.delete(&row);
                    None
                }
                Some(row) => {
                    writes.update(&row, account_row(number, step));
                    Some(step)
                }
                None => {
                    writes.create(address, account_row(number, step));
                    Some(step)
                }
            };
            match deployment.records.commit_blocking(writes, Vec::new()) {
                Ok(()) => *known = vec![next],
                Err(CommitError::Unknown) => known.push(next),
                Err(CommitError::Conflict { .. } | CommitError::Failed(_)) => {}
                Err(error) => prop_assert!(false, "{:?}", error),
            }
        }
        deployment.store.clear_faults();
        // A late outcome refuses some calls yet.
        while deployment.store.get("nothing").is_err() {}
        prop_assert_eq!(deployment.check().problems, Vec::<String>::new());
    }
}
