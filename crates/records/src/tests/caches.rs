//! Decisions are never stale: a read that begins after a commit has returned sees it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;

use super::*;
use crate::{KeyState, Seen};

/// One writer changes one alias over and over, deleting it at every third step; readers compare what they see with what
/// had been started and what had returned around their read.
fn readers_see_every_commit_that_returned(cached_rows_max: usize, steps: u64) {
    let limits = Limits { cached_rows_max, ..Limits::default() };
    let deployment = Deployment::with(vec![us()], limits);
    let key_id = deployment.create_key(&us(), &[]);
    let name = alias_name("alias/hot");
    let address = AliasRow::address(&us(), account(), &name);
    // Each step writes its own number; deletions write nothing.
    let (started, returned, done) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let is_deletion = |step: u64| step.is_multiple_of(3);
    let records = &deployment.records;
    let read = || records.alias(&us(), account(), &name).unwrap();
    thread::scope(|scope| {
        for reader in 0..3 {
            let (started, returned, done) = (&started, &returned, &done);
            scope.spawn(move || {
                while !done.load(SeqCst) {
                    // Looking other rows up as well makes a small cache forget the hot one.
                    let cold = alias_name(&format!("alias/cold-{reader}"));
                    records.alias(&us(), account(), &cold).unwrap();
                    records.key(&us(), &key_id).unwrap().unwrap();
                    let before = returned.load(SeqCst);
                    let found = read();
                    let after = started.load(SeqCst);
                    match found {
                        Some(row) => {
                            let step = row.updated.as_millis();
                            assert!(step >= before, "read step {step} after step {before} had returned");
                            assert!(step <= after);
                        }
                        None => {
                            let may_be_absent = before == 0 || (before..=after).any(is_deletion);
                            assert!(may_be_absent, "no row between steps {before} and {after}");
                        }
                    }
                }
            });
        }
        for step in 1..=steps {
            started.store(step, SeqCst);
            let row = AliasRow { updated: Timestamp::from_millis(step), ..alias(key_id) };
            let mut writes = Writes::default();
            match read() {
                Some(loaded) if is_deletion(step) => writes.delete(&loaded),
                Some(loaded) => writes.update(&loaded, row),
                None => writes.create(address.clone(), row),
            }
            records.commit_blocking(writes, Vec::new()).unwrap();
            returned.store(step, SeqCst);
        }
        done.store(true, SeqCst);
    });
}

#[test]
fn readers_of_a_large_cache_see_every_commit_that_returned() {
    readers_see_every_commit_that_returned(1000, 3000);
}

#[test]
fn readers_of_a_tiny_cache_see_every_commit_that_returned() {
    readers_see_every_commit_that_returned(1, 1500);
}

#[test]
fn the_committed_row_is_served_from_memory() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(&us(), &["alias/app"]);
    let gets = deployment.store.counters().gets;
    let mut row = (**deployment.key(&key_id)).clone();
    row.set_state(KeyState::Disabled);
    let mut writes = Writes::default();
    writes.update(&deployment.key(&key_id), row);
    deployment.records.commit_blocking(writes, Vec::new()).unwrap();
    assert_eq!(deployment.key(&key_id).state(), KeyState::Disabled);
    let alias = deployment.records.alias(&us(), account(), &alias_name("alias/app")).unwrap().unwrap();
    assert_eq!(alias.target, key_id);
    assert_eq!(deployment.store.counters().gets, gets);
    let sizes = deployment.records.cache_sizes();
    assert_eq!((sizes.access_keys, sizes.aliases, sizes.keys), (0, 1, 1));
}

#[test]
fn absence_is_asked_of_the_store_each_time() {
    let deployment = Deployment::new();
    let name = alias_name("alias/none");
    for _ in 0..2 {
        let gets = deployment.store.counters().gets;
        assert!(deployment.records.alias(&us(), account(), &name).unwrap().is_none());
        assert_eq!(deployment.store.counters().gets, gets + 1);
    }
}

#[test]
fn rows_of_one_name_in_two_regions_or_accounts_are_kept_apart() {
    let deployment = Deployment::new();
    let (here, there) =
        (deployment.create_key(&us(), &["alias/app"]), deployment.create_key(&eu(), &["alias/app"]));
    let target = |region: &RegionName, account| {
        let alias = deployment.records.alias(region, account, &alias_name("alias/app")).unwrap();
        alias.map(|alias| alias.target)
    };
    assert_eq!(target(&us(), account()), Some(here));
    assert_eq!(target(&eu(), account()), Some(there));
    assert_eq!(target(&us(), numbered(1)), None);
    assert!(deployment.records.key(&us(), &there).unwrap().is_none());
    assert!(deployment.records.key(&eu(), &here).unwrap().is_none());
}

#[test]
fn a_credential_that_was_deleted_is_gone_when_the_commit_returns() {
    let deployment = Deployment::new();
    let loaded = deployment.records.access_key(&access_key_id()).unwrap().unwrap();
    assert_eq!(deployment.records.cache_sizes().access_keys, 1);
    let mut writes = Writes::default();
    writes.delete(&loaded);
    let seen = vec![Seen::absent(AccountRow::address(numbered(5)))];
    deployment.records.commit_blocking(writes, seen).unwrap();
    assert!(deployment.records.access_key(&access_key_id()).unwrap().is_none());
    deployment.assert_clean();
}
