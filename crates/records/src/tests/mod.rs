//! What the tests of this crate share: a small deployment over a store in memory.

mod caches;
mod commits;
mod every_call;
mod faults;
mod golden;
mod indexes;
mod limits;
mod renewal;
mod set_hash;
mod tampering;
mod verification;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use strongroom_crypto::{FileRoot, Keyring};
use strongroom_policy::{KeyPolicy, default_key_policy};
use strongroom_store::Store;
use strongroom_testkit::env::SeededEnv;
use strongroom_testkit::scratch::ScratchDirectory;
use strongroom_testkit::store::MemoryStore;
use strongroom_types::{
    AccessKeyId, AccountId, AliasName, Credential, Env, KeyId, KeySpec, KeyUsage, RegionName, Timestamp,
};

use crate::check::{Report, check};
use crate::{
    AccessKeyRow, AccountKeyRow, AccountRow, AliasRow, DeploymentRow, KeyRow, Limits, Loaded, Material,
    NewKey, OutboxRow, PrincipalRow, Records, Writes,
};

const CREATED: Timestamp = Timestamp::from_secs(1_767_225_600);
const ACCESS_KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";

fn region(name: &str) -> RegionName {
    RegionName::parse(name).unwrap()
}

fn us() -> RegionName {
    region("us-east-1")
}

fn eu() -> RegionName {
    region("eu-central-1")
}

fn account() -> AccountId {
    AccountId::parse("111122223333").unwrap()
}

fn alias_name(text: &str) -> AliasName {
    AliasName::parse(text).unwrap()
}

fn access_key_id() -> AccessKeyId {
    AccessKeyId::parse(ACCESS_KEY_ID).unwrap()
}

pub(crate) fn keyring(regions: &[RegionName]) -> (Keyring, Vec<strongroom_crypto::KeyringEntry>) {
    Keyring::create(&root(), regions).unwrap()
}

fn root() -> FileRoot {
    let directory = ScratchDirectory::new();
    FileRoot::create(&directory.path().join("root.key")).unwrap()
}

fn first_rows(regions: &[RegionName]) -> Writes {
    let mut writes = Writes::default();
    let row = DeploymentRow {
        format: DeploymentRow::FORMAT,
        created: CREATED,
        regions: regions.to_vec(),
        anchored_millis: None,
    };
    writes.create(DeploymentRow::address(), row);
    writes.create(AccountRow::address(account()), AccountRow { account: account(), created: CREATED });
    let row = AccessKeyRow {
        access_key_id: ACCESS_KEY_ID.to_owned(),
        principal: PrincipalRow::AccountRoot { account: account() },
        secret: Credential::new(b"a secret of forty characters, nearly so.".to_vec()),
        created: CREATED,
    };
    writes.create(AccessKeyRow::address(&access_key_id()), row);
    writes
}

/// An initialised store with its keyring and one process on it.
struct Deployment {
    env: Arc<SeededEnv>,
    keyring: Arc<Keyring>,
    outbox: Receiver<Loaded<OutboxRow>>,
    records: Records,
    regions: Vec<RegionName>,
    store: MemoryStore,
}

impl Deployment {
    fn new() -> Self {
        Self::with(vec![eu(), us()], Limits::default())
    }

    fn with(regions: Vec<RegionName>, limits: Limits) -> Self {
        let (keyring, entries) = keyring(&regions);
        let store = MemoryStore::new();
        Records::initialise(&store, &keyring, &entries, &regions, first_rows(&regions)).unwrap();
        Self::open(store, Arc::new(keyring), regions, limits)
    }

    fn open(store: MemoryStore, keyring: Arc<Keyring>, regions: Vec<RegionName>, limits: Limits) -> Self {
        let env = Arc::new(SeededEnv::new(1));
        let (records, outbox) = open_on(Arc::new(store.clone()), &keyring, &regions, limits, &env);
        Self { env, keyring, outbox, records, regions, store }
    }

    /// The next process on the same rows.
    fn restart(self) -> Self {
        let store = self.store.restart();
        self.records.close();
        Self::open(store, self.keyring, self.regions, Limits::default())
    }

    fn check(&self) -> Report {
        check(&self.store, &self.keyring, &self.regions, &mut |_| {}).unwrap()
    }

    fn assert_clean(&self) {
        assert_eq!(self.check().problems, Vec::<String>::new());
    }

    fn new_key(&self, region: &RegionName) -> KeyRow {
        let key_id = KeyId::single_region(self.env.random_id());
        let (id, wrapped) = self.keyring.generate_symmetric(region, &key_id).unwrap();
        let policy_text = default_key_policy(region.partition(), account());
        let policy = KeyPolicy::parse(&policy_text).unwrap();
        KeyRow::new(NewKey {
            region: region.clone(),
            account: account(),
            key_id,
            created: CREATED,
            description: String::new(),
            policy_text,
            policy,
            spec: KeySpec::SymmetricDefault,
            usage: KeyUsage::EncryptDecrypt,
            material: Material { id, wrapped, created: CREATED },
            public_key: None,
        })
    }

    /// A committed key, with its index row and these aliases.
    fn create_key(&self, region: &RegionName, aliases: &[&str]) -> KeyId {
        let mut key = self.new_key(region);
        let key_id = key.key_id();
        let mut writes = Writes::default();
        for name in aliases {
            let name = alias_name(name);
            writes.create(AliasRow::address(region, account(), &name), alias(key_id));
            key.add_alias(name);
        }
        writes.create(AccountKeyRow::address(region, account(), &key_id), AccountKeyRow { key_id });
        writes.create(KeyRow::address(region, &key_id), key);
        self.records.commit_blocking(writes, Vec::new()).unwrap();
        key_id
    }

    fn key(&self, key_id: &KeyId) -> Arc<Loaded<KeyRow>> {
        self.records.key(&us(), key_id).unwrap().unwrap()
    }
}

fn open_on(
    store: Arc<dyn Store>,
    keyring: &Arc<Keyring>,
    regions: &[RegionName],
    limits: Limits,
    env: &Arc<SeededEnv>,
) -> (Records, Receiver<Loaded<OutboxRow>>) {
    let (sender, outbox) = channel();
    let env: Arc<dyn Env> = env.clone();
    (Records::open(store, Arc::clone(keyring), regions, limits, env, sender).unwrap(), outbox)
}

fn alias(target: KeyId) -> AliasRow {
    AliasRow { target, created: CREATED, updated: CREATED }
}

/// A row that belongs to nothing else: the accounts are as good as any for counting.
fn numbered(number: u64) -> AccountId {
    AccountId::parse(&format!("{number:012}")).unwrap()
}

fn account_row(number: u64, millis: u64) -> AccountRow {
    AccountRow { account: numbered(number), created: Timestamp::from_millis(millis) }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
