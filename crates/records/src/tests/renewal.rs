//! A new domain key: everything moves under it, beside other changes and across crashes, and only then the old one goes.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use strongroom_crypto::{KeyringEntry, KeyringName, RootHolder, Scope, sealed_domain_key_version};
use strongroom_store::{Batch, BatchOutcome, GroupCommit, Op, Row as StoredRow, StoreError};
use strongroom_testkit::store::Fault;
use strongroom_types::RequestId;

use super::*;
use crate::tables::Row;
use crate::{Address, CommitError, DomainKeyRow, KeyState, RecordsError, Renewal, Renewed, RowScope};

/// A deployment whose root key is at hand.
struct Site {
    root: FileRoot,
    deployment: Deployment,
}

fn scope() -> RowScope {
    RowScope::Region(us())
}

impl Site {
    fn new() -> Self {
        let root = root();
        let regions = vec![eu(), us()];
        let (keyring, entries) = Keyring::create(&root, &regions).unwrap();
        let store = MemoryStore::new();
        Records::initialise(&store, &keyring, &entries, &regions, first_rows(&regions)).unwrap();
        let deployment = Deployment::open(store, Arc::new(keyring), regions, Limits::default());
        Self { root, deployment }
    }

    /// The next process, with what the store says of its keyring.
    fn restart(self) -> Self {
        let Self { root, deployment } = self;
        let store = deployment.store.restart();
        deployment.records.close();
        let keyring = Keyring::open(&root, &entries(&store)).unwrap();
        let deployment = Deployment::open(store, Arc::new(keyring), deployment.regions, Limits::default());
        Self { root, deployment }
    }

    fn records(&self) -> &Records {
        &self.deployment.records
    }

    fn versions(&self, scope: &RowScope) -> Vec<u32> {
        self.records().domain_key_versions(scope).unwrap()
    }

    /// Stores the next version and takes it up.
    fn next_version(&self, scope: &RowScope) -> Result<(), Failed> {
        let records = self.records();
        let mut writes = Writes::default();
        writes.create_domain_key(records.next_domain_key(&self.root, scope)?);
        records.commit_blocking(writes, Vec::new())?;
        Ok(records.take_up_domain_keys(&self.root, scope)?)
    }

    fn pass(&self, scope: &RowScope) -> Result<Renewal, Failed> {
        let mut renewal = self.records().renewal(scope)?.unwrap();
        for _ in 0..1000 {
            if renewal.is_done() {
                return Ok(renewal);
            }
            self.records().renew(&mut renewal)?;
        }
        panic!("the pass does not end");
    }

    /// Passes until the older versions can be destroyed, and destroys them.
    fn retire(&self, scope: &RowScope) -> Result<(), Failed> {
        for _ in 0..3 {
            if let Some(unreferenced) = self.pass(scope)?.unreferenced() {
                let mut writes = Writes::default();
                writes.destroy_domain_keys(&unreferenced);
                self.records().commit_blocking(writes, Vec::new())?;
                return Ok(self.records().take_up_domain_keys(&self.root, scope)?);
            }
        }
        panic!("something is left for ever");
    }

    /// Rows and materials by the version that they are under.
    fn under(&self, scope: &RowScope) -> Vec<u32> {
        let part = format!("/{}/", scope.as_str());
        let rows = self.deployment.store.rows();
        let rows = rows.iter().filter(|(at, _)| at.contains(&part) && !at.starts_with("keyring/"));
        let mut versions: Vec<u32> =
            rows.map(|(_, row)| sealed_domain_key_version(&row.value).unwrap()).collect();
        if let RowScope::Region(region) = scope {
            for row in self.records().scan::<KeyRow>(&format!("key/{region}/"), None, 100).unwrap() {
                versions.extend(
                    row.materials().iter().filter_map(|material| material.wrapped.domain_key_version()),
                );
            }
        }
        versions.sort_unstable();
        versions.dedup();
        versions
    }
}

/// Why a step did not succeed: for tests that kill the process in it.
#[derive(Debug)]
#[allow(dead_code, reason = "shown when a test fails")]
enum Failed {
    Commit(CommitError),
    Records(RecordsError),
}

impl From<CommitError> for Failed {
    fn from(error: CommitError) -> Self {
        Self::Commit(error)
    }
}

impl From<RecordsError> for Failed {
    fn from(error: RecordsError) -> Self {
        Self::Records(error)
    }
}

fn entries(store: &MemoryStore) -> Vec<KeyringEntry> {
    let rows = store.rows().into_iter();
    rows.filter_map(|(address, row)| {
        Some(KeyringEntry { name: KeyringName::parse(&address).ok()?, wrapped: row.value })
    })
    .collect()
}

fn outbox(site: &Site) -> Address {
    let address = OutboxRow::address(&us(), &RequestId::from_bytes([7; 16]));
    let mut writes = Writes::default();
    writes.create(address.clone(), OutboxRow { created: CREATED, event: b"event".to_vec() });
    site.records().commit_blocking(writes, Vec::new()).unwrap();
    address
}

#[test]
fn there_is_nothing_to_renew_under_one_version() {
    let site = Site::new();
    assert!(site.records().renewal(&scope()).unwrap().is_none());
    let nowhere = RowScope::Region(region("ap-south-1"));
    assert!(site.records().renewal(&nowhere).is_err());
}

#[test]
fn everything_of_the_shard_moves_and_the_old_version_goes() {
    let mut site = Site::new();
    let key_id = site.deployment.create_key(&us(), &["alias/app", "alias/other"]);
    let other_region = site.deployment.create_key(&eu(), &[]);
    let before = site.deployment.key(&key_id);
    site.next_version(&scope()).unwrap();
    assert_eq!(site.versions(&scope()), [1, 2]);
    site.deployment.assert_clean();

    let first = site.pass(&scope()).unwrap();
    assert!(first.unreferenced().is_none(), "a pass that moved something proves nothing");
    // The state row, the key, its row in the index, two aliases.
    assert_eq!(first.renewed(), Renewed { moved: 5, left: 0 });
    assert_eq!(site.under(&scope()), [2]);
    site.deployment.assert_clean();
    let after = site.deployment.key(&key_id);
    assert_eq!(after.version(), before.version() + 1, "the cache says what the store says");
    assert_eq!(after.encode().len(), before.encode().len());

    let second = site.pass(&scope()).unwrap();
    assert_eq!(second.renewed(), Renewed::default());
    assert_eq!(second.unreferenced().unwrap().versions(), [1]);
    site.retire(&scope()).unwrap();
    assert_eq!(site.versions(&scope()), [2]);
    assert!(!site.deployment.store.rows().contains_key("keyring/us-east-1/domain/1"));
    site.deployment.assert_clean();
    site = site.restart();
    site.deployment.assert_clean();
    assert_eq!((site.versions(&scope()), site.versions(&RowScope::Region(eu()))), (vec![2], vec![1]));
    assert!(site.records().key(&eu(), &other_region).unwrap().is_some());
    assert_eq!(site.deployment.check().materials, 2);
}

#[test]
fn rows_of_no_region_move_too() {
    let site = Site::new();
    site.records().access_key(&access_key_id()).unwrap().unwrap();
    site.next_version(&RowScope::Global).unwrap();
    site.retire(&RowScope::Global).unwrap();
    assert_eq!((site.versions(&RowScope::Global), site.under(&RowScope::Global)), (vec![2], vec![2]));
    assert!(site.records().access_key(&access_key_id()).unwrap().is_some());
    site.restart().deployment.assert_clean();
}

#[test]
fn a_shard_without_rows_moves_its_state_row() {
    let site = Site::new();
    site.next_version(&scope()).unwrap();
    assert_eq!(site.pass(&scope()).unwrap().renewed(), Renewed { moved: 1, left: 0 });
    site.retire(&scope()).unwrap();
    site.restart().deployment.assert_clean();
}

#[test]
fn records_of_changes_are_left_to_the_drainer_and_keep_the_old_version() {
    let site = Site::new();
    let address = outbox(&site);
    site.next_version(&scope()).unwrap();
    for _ in 0..2 {
        let pass = site.pass(&scope()).unwrap();
        assert_eq!(pass.renewed().left, 1);
        assert!(pass.unreferenced().is_none());
    }
    let row = site.records().load::<OutboxRow>(&address).unwrap().unwrap();
    let mut writes = Writes::default();
    writes.delete_stub(&row.stub());
    site.records().commit_blocking(writes, Vec::new()).unwrap();
    assert!(site.pass(&scope()).unwrap().unreferenced().is_some());
}

#[test]
fn a_row_that_does_not_open_keeps_the_old_version() {
    let site = Site::new();
    let key_id = site.deployment.create_key(&us(), &[]);
    site.next_version(&scope()).unwrap();
    let address = KeyRow::address(&us(), &key_id).to_string();
    let flip = |rows: &mut std::collections::BTreeMap<String, StoredRow>| {
        *rows.get_mut(&address).unwrap().value.last_mut().unwrap() ^= 1;
    };
    site.deployment.store.tamper(flip);
    for _ in 0..2 {
        let pass = site.pass(&scope()).unwrap();
        assert_eq!(pass.renewed().left, 1);
        assert!(pass.unreferenced().is_none());
    }
    site.deployment.store.tamper(flip);
    site.retire(&scope()).unwrap();
    site.deployment.assert_clean();
}

#[test]
fn a_row_that_is_distrusted_is_not_sealed_anew_and_keeps_the_old_version() {
    let site = Site::new();
    let key_id = site.deployment.create_key(&us(), &[]);
    let address = KeyRow::address(&us(), &key_id);
    let stored = || site.deployment.store.rows().remove(address.as_str());
    let before = stored();
    site.records().distrust(&address);
    site.next_version(&scope()).unwrap();
    for _ in 0..2 {
        let pass = site.pass(&scope()).unwrap();
        assert_eq!(pass.renewed().left, 1);
        assert!(pass.unreferenced().is_none());
    }
    // Under the newest domain key it would look like one of ours.
    assert!(before.is_some() && stored() == before);
}

#[test]
fn a_key_that_is_written_meanwhile_brings_its_material_along() {
    let site = Site::new();
    let key_id = site.deployment.create_key(&us(), &[]);
    // Generated before the new version, committed after it.
    let late = site.deployment.new_key(&us());
    let late_id = late.key_id();
    let loaded = site.deployment.key(&key_id);
    site.next_version(&scope()).unwrap();
    let mut writes = Writes::default();
    writes.create(AccountKeyRow::address(&us(), account(), &late_id), AccountKeyRow { key_id: late_id });
    writes.create(KeyRow::address(&us(), &late_id), late);
    let mut row = (**loaded).clone();
    row.set_state(KeyState::Disabled);
    writes.update(&loaded, row);
    site.records().commit_blocking(writes, Vec::new()).unwrap();
    for key_id in [key_id, late_id] {
        assert!(site.deployment.key(&key_id).is_wrapped_under(2));
    }
    site.deployment.assert_clean();
}

type Hook = Box<dyn FnOnce() + Send>;

/// A store in which the test does something just after a page was read, and holds commits.
#[derive(Clone)]
struct Hooked {
    store: MemoryStore,
    gate: Arc<Mutex<()>>,
    /// Groups that have come as far as the gate.
    groups: Arc<AtomicU64>,
    after_scan: Arc<Mutex<Option<Hook>>>,
}

impl Store for Hooked {
    fn get(&self, address: &str) -> Result<Option<StoredRow>, StoreError> {
        self.store.get(address)
    }

    fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, StoredRow)>, StoreError> {
        let page = self.store.scan(prefix, after, limit)?;
        if prefix.starts_with("key/")
            && let Some(hook) = self.after_scan.lock().unwrap().take()
        {
            hook();
        }
        Ok(page)
    }

    fn commit_group(
        &self,
        batches: &[Batch],
        finish: &mut dyn FnMut(&[BatchOutcome]) -> Vec<Op>,
    ) -> Result<GroupCommit, strongroom_store::CommitError> {
        self.groups.fetch_add(1, SeqCst);
        let _open = self.gate.lock().unwrap();
        self.store.commit_group(batches, finish)
    }

    fn revision(&self) -> Result<u64, StoreError> {
        self.store.revision()
    }

    fn integrity_check(&self) -> Result<(), StoreError> {
        self.store.integrity_check()
    }

    fn truncate_log(&self) -> Result<(), StoreError> {
        self.store.truncate_log()
    }

    fn close(&self) -> Result<(), StoreError> {
        self.store.close()
    }
}

/// The deployment's store behind hooks, in the hands of a second `Records`.
fn hooked(site: &Site) -> (Arc<Records>, Hooked) {
    let store = site.deployment.store.restart();
    site.deployment.records.close();
    let hooks = Hooked { store, gate: Arc::default(), groups: Arc::default(), after_scan: Arc::default() };
    let Deployment { env, keyring, regions, .. } = &site.deployment;
    let same = hooks.clone();
    let (records, _outbox) = open_on(Arc::new(same), keyring, regions, Limits::default(), env);
    (Arc::new(records), hooks)
}

fn switched(records: &Records, key_id: &KeyId, state: KeyState) -> Writes {
    let key = records.key(&us(), key_id).unwrap().unwrap();
    let mut row = (**key).clone();
    row.set_state(state);
    let mut writes = Writes::default();
    writes.update(&key, row);
    writes
}

fn take_up_next(site: &Site, records: &Records) {
    let mut writes = Writes::default();
    writes.create_domain_key(records.next_domain_key(&site.root, &scope()).unwrap());
    records.commit_blocking(writes, Vec::new()).unwrap();
    records.take_up_domain_keys(&site.root, &scope()).unwrap();
}

#[test]
fn a_row_that_changes_between_reading_and_moving_is_left_as_it_was_changed() {
    let site = Site::new();
    let key_id = site.deployment.create_key(&us(), &[]);
    let (records, hooks) = hooked(&site);
    take_up_next(&site, &records);
    let others = Arc::clone(&records);
    *hooks.after_scan.lock().unwrap() = Some(Box::new(move || {
        others.commit_blocking(switched(&others, &key_id, KeyState::Disabled), Vec::new()).unwrap();
    }));
    let mut renewal = records.renewal(&scope()).unwrap().unwrap();
    while !renewal.is_done() {
        records.renew(&mut renewal).unwrap();
    }
    assert_eq!(renewal.renewed().left, 1);
    let key = records.key(&us(), &key_id).unwrap().unwrap();
    assert_eq!((key.state(), key.is_wrapped_under(2)), (KeyState::Disabled, true));
}

#[test]
fn a_batch_that_was_sealed_under_the_old_version_is_refused_after_the_new_one_is_in_use() {
    let site = Site::new();
    let [held, key_id] = [(), ()].map(|()| site.deployment.create_key(&us(), &[]));
    let (records, hooks) = hooked(&site);
    let mut writes = Writes::default();
    writes.create_domain_key(records.next_domain_key(&site.root, &scope()).unwrap());
    records.commit_blocking(writes, Vec::new()).unwrap();

    let shut = hooks.gate.lock().unwrap();
    // The committing thread holds the first group in the store; the second batch waits behind it, sealed.
    let groups = hooks.groups.load(SeqCst);
    let first = records.commit(switched(&records, &held, KeyState::Disabled), Vec::new());
    while hooks.groups.load(SeqCst) == groups {
        std::thread::yield_now();
    }
    let second = records.commit(switched(&records, &key_id, KeyState::Disabled), Vec::new());
    records.take_up_domain_keys(&site.root, &scope()).unwrap();
    drop(shut);
    wait(first).unwrap();
    let refused = wait(second);
    assert!(matches!(refused, Err(CommitError::Conflict { .. })), "{refused:?}");
    assert!(records.key(&us(), &held).unwrap().unwrap().is_wrapped_under(1));
    assert_eq!(records.key(&us(), &key_id).unwrap().unwrap().state(), KeyState::Enabled);
    // Decided again, it is sealed under the new one.
    records.commit_blocking(switched(&records, &key_id, KeyState::Disabled), Vec::new()).unwrap();
    assert!(records.key(&us(), &key_id).unwrap().unwrap().is_wrapped_under(2));
}

#[test]
fn the_next_version_is_stored_once() {
    let site = Site::new();
    let records = site.records();
    let entry = || records.next_domain_key(&site.root, &scope()).unwrap();
    for expected in [true, false] {
        let mut writes = Writes::default();
        writes.create_domain_key(entry());
        let committed = records.commit_blocking(writes, Vec::new());
        assert_eq!(committed.is_ok(), expected, "{committed:?}");
    }
    assert_eq!(site.versions(&scope()), [1], "stored is not taken up");
    records.take_up_domain_keys(&site.root, &scope()).unwrap();
    assert_eq!(site.versions(&scope()), [1, 2]);
}

/// Everything that happens to domain keys in a month.
fn month(site: &Site) -> Result<(), Failed> {
    if site.versions(&scope()).len() == 1 {
        site.next_version(&scope())?;
    }
    site.retire(&scope())
}

#[test]
fn killed_at_any_call_of_the_store_the_next_process_goes_on() {
    for fault in [Fault::CrashBeforeSync, Fault::CrashAfterSync] {
        for skipped in 0.. {
            let mut site = Site::new();
            let key_id = site.deployment.create_key(&us(), &["alias/app"]);
            site.deployment.store.fail_after(None, skipped, fault);
            let survived = month(&site).is_ok();
            site = site.restart();
            site.deployment.assert_clean();
            month(&site).unwrap();
            site.deployment.assert_clean();
            assert_eq!(site.under(&scope()).len(), 1, "{fault:?} after {skipped}");
            assert!(site.deployment.key(&key_id).aliases().contains(&alias_name("alias/app")));
            assert_eq!(site.deployment.check().materials, 1);
            if survived {
                assert!(skipped > 20, "{skipped}");
                break;
            }
        }
    }
}

#[test]
fn failures_of_any_call_are_overcome_by_doing_it_again() {
    for fault in [Fault::Fail, Fault::UnknownApplied, Fault::UnknownDropped] {
        for skipped in 0.. {
            let site = Site::new();
            site.deployment.create_key(&us(), &["alias/app"]);
            site.deployment.store.fail_after(None, skipped, fault);
            let failed = month(&site).is_err();
            site.deployment.store.clear_faults();
            site.records().take_up_domain_keys(&site.root, &scope()).unwrap();
            if site.versions(&scope()) != [2] {
                month(&site).unwrap();
            }
            site.deployment.assert_clean();
            assert_eq!(
                (site.versions(&scope()), site.under(&scope())),
                (vec![2], vec![2]),
                "{fault:?} {skipped}"
            );
            if !failed {
                break;
            }
        }
    }
}

#[test]
fn what_a_process_with_another_root_would_take_up_is_refused() {
    let site = Site::new();
    site.next_version(&scope()).unwrap();
    let foreign = root();
    assert_ne!(foreign.root_id(), site.root.root_id());
    // What it knows already it need not unwrap; what is new it cannot.
    let mut writes = Writes::default();
    writes.create_domain_key(site.records().next_domain_key(&foreign, &scope()).unwrap());
    site.records().commit_blocking(writes, Vec::new()).unwrap();
    let refused = site.records().take_up_domain_keys(&site.root, &scope());
    assert!(matches!(refused, Err(RecordsError::DomainKeys { .. })), "{refused:?}");
    assert_eq!(site.versions(&scope()), [1, 2]);
    assert!(site.deployment.keyring.domain_key_versions(Scope::Global).is_ok());
}

#[test]
fn the_row_of_a_scope_knows_its_place() {
    let row = DomainKeyRow { version: 2, since: CREATED, spent: false };
    let address = DomainKeyRow::address(&RowScope::Global);
    assert_eq!(address.as_str(), "domain-key/global/versions");
    assert!(DomainKeyRow::decode(&address, &row.encode()).is_ok());
    let none = DomainKeyRow { version: 0, ..row };
    assert!(DomainKeyRow::decode(&address, &none.encode()).is_err());
}
