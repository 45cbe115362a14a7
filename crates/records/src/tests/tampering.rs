//! Somebody with the disk alters, moves, removes or puts back rows: refused on load, or found by `check`.

use std::collections::BTreeMap;

use strongroom_store::Row as StoredRow;
use strongroom_types::Env;

use super::*;
use crate::tables::Row;
use crate::{Address, KeyState, RecordsError, RowScope, StateRow};

const UNKNOWN_ROW: &str = "row `account/global/000000000007` is unknown to the state of its shard: \
    it was deleted and put back, or the state is an old one";

type Rows = BTreeMap<String, StoredRow>;

fn refused<R: Row>(deployment: &Deployment, address: &Address) -> String {
    match deployment.records.load::<R>(address) {
        Err(error @ RecordsError::BadRow { .. }) => error.to_string(),
        Err(error) => panic!("{error:?}"),
        Ok(row) => panic!("{}", row.map_or("absent", |_| "loaded")),
    }
}

/// `check` finds something, and some problem says this.
fn found(deployment: &Deployment, words: &str) {
    let problems = deployment.check().problems;
    assert!(problems.iter().any(|problem| problem.contains(words)), "{words}: {problems:?}");
}

fn put(deployment: &Deployment, address: &Address, row: StoredRow) {
    deployment.store.tamper(|rows| drop(rows.insert(address.as_str().to_owned(), row)));
}

fn account_at(number: u64) -> Address {
    AccountRow::address(numbered(number))
}

fn commit_account(deployment: &Deployment, number: u64, millis: u64) {
    let address = account_at(number);
    let mut writes = Writes::default();
    match deployment.records.load::<AccountRow>(&address).unwrap() {
        Some(loaded) => writes.update(&loaded, account_row(number, millis)),
        None => writes.create(address, account_row(number, millis)),
    }
    deployment.records.commit_blocking(writes, Vec::new()).unwrap();
}

fn delete_account(deployment: &Deployment, number: u64) {
    let loaded = deployment.records.load::<AccountRow>(&account_at(number)).unwrap().unwrap();
    let mut writes = Writes::default();
    writes.delete(&loaded);
    deployment.records.commit_blocking(writes, Vec::new()).unwrap();
}

fn shard_words(shard: &str) -> String {
    format!("shard `{shard}` holds a row that is not the one last written")
}

#[test]
fn a_row_moved_to_another_address_is_refused_and_found() {
    let deployment = Deployment::new();
    deployment.create_key(&us(), &["alias/good", "alias/evil"]);
    let [good, evil] =
        ["alias/good", "alias/evil"].map(|name| AliasRow::address(&us(), account(), &alias_name(name)));
    let rows = deployment.store.rows();
    put(&deployment, &good, rows[evil.as_str()].clone());
    put(&deployment, &evil, rows[good.as_str()].clone());
    for address in [&good, &evil] {
        let refusal = refused::<AliasRow>(&deployment, address);
        assert_eq!(refusal, format!("row `{address}` cannot be trusted: it does not open"));
        found(&deployment, &refusal);
    }
    found(&deployment, &shard_words("us-east-1"));
}

#[test]
fn a_row_moved_to_another_region_is_refused_and_found() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(&us(), &[]);
    let [here, there] = [us(), eu()].map(|region| KeyRow::address(&region, &key_id));
    put(&deployment, &there, deployment.store.rows()[here.as_str()].clone());
    refused::<KeyRow>(&deployment, &there);
    assert!(deployment.records.key(&eu(), &key_id).is_err());
    found(&deployment, "row `key/eu-central-1/");
    found(&deployment, "shard `eu-central-1` should hold 0 rows and holds 1");
}

#[test]
fn an_old_row_under_a_new_version_is_refused_and_found() {
    let deployment = Deployment::new();
    commit_account(&deployment, 7, 1);
    let old = deployment.store.rows()[account_at(7).as_str()].clone();
    commit_account(&deployment, 7, 2);
    put(&deployment, &account_at(7), StoredRow { version: 2, ..old });
    refused::<AccountRow>(&deployment, &account_at(7));
    found(&deployment, "it does not open");
}

#[test]
fn an_old_row_with_its_version_is_found() {
    let deployment = Deployment::new();
    commit_account(&deployment, 7, 1);
    let old = deployment.store.rows()[account_at(7).as_str()].clone();
    commit_account(&deployment, 7, 2);
    deployment.assert_clean();
    put(&deployment, &account_at(7), old);
    // Nothing in the row itself can tell that it is old: the state row does.
    assert!(deployment.records.load::<AccountRow>(&account_at(7)).unwrap().is_some());
    assert_eq!(deployment.check().problems_total, 1);
    found(&deployment, &shard_words("global"));
}

#[test]
fn a_removed_row_is_found() {
    let deployment = Deployment::new();
    commit_account(&deployment, 7, 1);
    deployment.store.tamper(|rows| drop(rows.remove(account_at(7).as_str())));
    assert!(deployment.records.load::<AccountRow>(&account_at(7)).unwrap().is_none());
    assert_eq!(deployment.check().problems, ["shard `global` should hold 4 rows and holds 3"]);
}

#[test]
fn a_deleted_row_that_was_put_back_is_found() {
    let deployment = Deployment::new();
    commit_account(&deployment, 7, 1);
    let old = deployment.store.rows()[account_at(7).as_str()].clone();
    delete_account(&deployment, 7);
    deployment.assert_clean();
    put(&deployment, &account_at(7), old.clone());
    assert_eq!(deployment.check().problems, ["shard `global` should hold 3 rows and holds 4", UNKNOWN_ROW]);
    // With another one removed in its place the number is right again.
    deployment.store.tamper(|rows| drop(rows.remove(AccountRow::address(account()).as_str())));
    assert_eq!(deployment.check().problems_total, 1);
    found(&deployment, &shard_words("global"));
}

#[test]
fn a_row_from_before_a_deletion_is_found() {
    let deployment = Deployment::new();
    commit_account(&deployment, 7, 1);
    let first = deployment.store.rows()[account_at(7).as_str()].clone();
    delete_account(&deployment, 7);
    commit_account(&deployment, 7, 2);
    assert_ne!(deployment.store.rows()[account_at(7).as_str()].version, first.version);
    deployment.assert_clean();
    put(&deployment, &account_at(7), first);
    found(&deployment, &shard_words("global"));
}

#[test]
fn a_flipped_bit_anywhere_in_a_row_is_refused_and_found() {
    let deployment = Deployment::new();
    commit_account(&deployment, 7, 1);
    let address = account_at(7);
    let whole = deployment.store.rows()[address.as_str()].clone();
    for at in 0..whole.value.len() {
        let mut row = whole.clone();
        row.value[at] ^= 1 << (at % 8);
        put(&deployment, &address, row);
        refused::<AccountRow>(&deployment, &address);
        assert!(!deployment.check().is_clean(), "byte {at}");
    }
    for length in 0..whole.value.len() {
        put(
            &deployment,
            &address,
            StoredRow { version: whole.version, value: whole.value[..length].to_vec() },
        );
        refused::<AccountRow>(&deployment, &address);
        assert!(!deployment.check().is_clean(), "length {length}");
    }
    put(&deployment, &address, whole);
    deployment.assert_clean();
}

#[test]
fn a_deployment_without_a_state_row_is_not_opened() {
    let deployment = Deployment::new();
    let address = StateRow::address(&RowScope::Region(us()));
    let whole = deployment.store.rows();
    let open = |rows: &dyn Fn(&mut Rows)| {
        deployment.store.tamper(|now| now.clone_from(&whole));
        deployment.store.tamper(|now| rows(now));
        let (sender, _receiver) = channel();
        let env: Arc<dyn Env> = deployment.env.clone();
        let store = Arc::new(deployment.store.clone());
        let keyring = Arc::clone(&deployment.keyring);
        Records::open(store, keyring, &deployment.regions, Limits::default(), env, sender).map(|_| ())
    };
    let missing = open(&|rows| drop(rows.remove(address.as_str())));
    assert!(matches!(missing, Err(RecordsError::MissingRow { .. })), "{missing:?}");
    assert_eq!(deployment.check().problems, ["row `state/us-east-1/rows` is missing"]);
    let altered = open(&|rows| rows.get_mut(address.as_str()).unwrap().value[60] ^= 1);
    assert!(matches!(altered, Err(RecordsError::BadRow { .. })), "{altered:?}");
    found(&deployment, "row `state/us-east-1/rows` cannot be trusted");
    let other = StateRow::address(&RowScope::Region(eu()));
    let moved = open(&|rows| {
        let row = rows[other.as_str()].clone();
        rows.insert(address.as_str().to_owned(), row);
    });
    assert!(matches!(moved, Err(RecordsError::BadRow { .. })), "{moved:?}");
    open(&|_| ()).unwrap();
    deployment.assert_clean();
}

#[test]
fn an_old_state_row_is_found() {
    let deployment = Deployment::new();
    let address = StateRow::address(&RowScope::Global);
    let old = deployment.store.rows()[address.as_str()].clone();
    commit_account(&deployment, 7, 1);
    let between = deployment.store.rows()[address.as_str()].clone();
    commit_account(&deployment, 7, 2);
    put(&deployment, &address, old);
    assert_eq!(deployment.check().problems, ["shard `global` should hold 3 rows and holds 4", UNKNOWN_ROW]);
    put(&deployment, &address, between);
    assert_eq!(deployment.check().problems_total, 1);
    found(&deployment, &shard_words("global"));
}

#[test]
fn rows_of_no_table_and_no_region_are_found() {
    let deployment = Deployment::new();
    let row = deployment.store.rows()[account_at(account().as_u64()).as_str()].clone();
    deployment.store.tamper(|rows| {
        rows.insert("accounts/global/x".into(), row.clone());
        rows.insert("key/mars-1/x".into(), row);
    });
    assert_eq!(
        deployment.check().problems,
        [
            "row `accounts/global/x` is not of any table",
            "row `key/mars-1/x` is of a region that this deployment does not have"
        ]
    );
}

#[test]
fn a_bad_key_row_refuses_its_own_requests_only() {
    let deployment = Deployment::new();
    let (bad, good) = (deployment.create_key(&us(), &[]), deployment.create_key(&us(), &[]));
    let deployment = deployment.restart();
    deployment.store.tamper(|rows| {
        rows.get_mut(KeyRow::address(&us(), &bad).as_str()).unwrap().value[50] ^= 1;
    });
    assert!(matches!(deployment.records.key(&us(), &bad), Err(RecordsError::BadRow { .. })));
    assert_eq!(deployment.key(&good).state(), KeyState::Enabled);
}
