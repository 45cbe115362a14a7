//! A house to walk through: real records over a store in memory, a real journal, two operations, signed requests.

#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test code"
)]

pub(crate) mod operations;
pub(crate) mod parts;
pub(crate) mod requests;

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use strongroom_attestation::{Roots, Verifier};
use strongroom_audit::{
    DiskFiles, Entry, Event, Journal, JournalOptions, JournalReader, ReadError, SegmentFiles, StrangerLog,
};
use strongroom_crypto::{FileRoot, Keyring};
use strongroom_pipeline::{Answer, Arrival, Corridor, Drainer, Fault, KeyUses, Named, Offers, Parts};
use strongroom_policy::{KeyPolicy, default_key_policy};
use strongroom_records::{
    AccessKeyRow, AccountKeyRow, AccountRow, KeyRow, Limits, Loaded, Material, NewKey, OutboxRow,
    PrincipalRow, Records, UsageTrackingRow, Writes,
};
use strongroom_testkit::env::SeededEnv;
use strongroom_testkit::scratch::ScratchDirectory;
use strongroom_testkit::store::{Fault as StoreFault, MemoryStore};
use strongroom_types::{
    AccessKeyId, AccountId, Credential, Env, KeyId, KeySpec, KeyUsage, RegionName, RequestId,
};
use strongroom_wire::{self as wire, ErrorKind, Operation, StsOperation};

use operations::{Change, Heavy, Look, WhoAmI};
use parts::{FailingFiles, Gated, OneSigner};

pub(crate) const ROOT: &str = "AKIAIOSFODNN7EXAMPLE";
pub(crate) const OPERATOR: &str = "AKIAOPERATOREXAMPLE0";
pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

pub(crate) fn region() -> RegionName {
    RegionName::parse("us-east-1").unwrap()
}

pub(crate) fn account() -> AccountId {
    AccountId::parse("111122223333").unwrap()
}

/// What outlives a process.
pub(crate) struct Site {
    pub(crate) directory: ScratchDirectory,
    pub(crate) env: Arc<SeededEnv>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) store: MemoryStore,
}

impl Site {
    pub(crate) fn new() -> Self {
        let directory = ScratchDirectory::new();
        let env = Arc::new(SeededEnv::new(1));
        let root = FileRoot::create(&directory.path().join("root.key")).unwrap();
        let (keyring, entries) = Keyring::create(&root, &[region()]).unwrap();
        let store = MemoryStore::new();
        let mut writes = Writes::default();
        let created = env.now();
        writes.create(AccountRow::address(account()), AccountRow { account: account(), created });
        writes.create(UsageTrackingRow::address(), UsageTrackingRow { sequence: 0, since: created });
        for (id, principal) in
            [(ROOT, PrincipalRow::AccountRoot { account: account() }), (OPERATOR, PrincipalRow::Operator)]
        {
            let secret = Credential::new(SECRET.into());
            let address = AccessKeyRow::address(&AccessKeyId::parse(id).unwrap());
            writes.create(address, AccessKeyRow { access_key_id: id.to_owned(), principal, secret, created });
        }
        Records::initialise(&store, &keyring, &entries, &[region()], writes).unwrap();
        Self { directory, env, keyring: Arc::new(keyring), store }
    }

    pub(crate) fn journal_directory(&self) -> PathBuf {
        self.directory.path().join("journal")
    }

    pub(crate) fn stranger_directory(&self) -> PathBuf {
        self.directory.path().join("strangers")
    }

    /// All events of the journal, oldest first.
    pub(crate) fn events(&self) -> Vec<Event<'static>> {
        self.try_events().unwrap()
    }

    pub(crate) fn try_events(&self) -> Result<Vec<Event<'static>>, ReadError> {
        let mut events = Vec::new();
        for record in JournalReader::open(&self.journal_directory(), Arc::new(OneSigner))? {
            if let Entry::Event(event) = record?.entry()? {
                events.push(event.into_owned());
            }
        }
        Ok(events)
    }

    /// Waits until the journal, which is being written, has an event of the request. What is half written at this very
    /// moment is looked at again.
    pub(crate) fn wait_for(&self, request: RequestId) {
        let has_it = |events: Vec<Event<'_>>| events.iter().any(|event| event.request_id == Some(request));
        while !self.try_events().is_ok_and(has_it) {
            std::thread::yield_now();
        }
    }

    pub(crate) fn events_of(&self, request: RequestId) -> Vec<Event<'static>> {
        self.events().into_iter().filter(|event| event.request_id == Some(request)).collect()
    }

    /// Every byte of the journal and of the log of strangers.
    pub(crate) fn trail_bytes(&self) -> Vec<u8> {
        let directories = [self.journal_directory(), self.stranger_directory()];
        let files = directories.iter().flat_map(|directory| std::fs::read_dir(directory).unwrap());
        files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
    }

    pub(crate) fn outbox_rows(&self) -> usize {
        self.store.rows().keys().filter(|address| address.starts_with("outbox/")).count()
    }

    pub(crate) fn has_outbox_row(&self, request: RequestId) -> bool {
        self.store.rows().contains_key(OutboxRow::address(&region(), &request).as_str())
    }

    /// The next process finds the rows as they were acknowledged.
    pub(crate) fn crash(&mut self) {
        self.store = self.store.restart();
    }
}

/// One process.
pub(crate) struct House {
    pub(crate) site: Site,
    pub(crate) corridor: Arc<Corridor>,
    pub(crate) disk: FailingFiles,
    /// Held by a test, it keeps commits waiting.
    pub(crate) gate: Arc<Mutex<()>>,
    pub(crate) journal: Arc<Journal>,
    /// How the next commit fails that deletes something.
    pub(crate) next_deletion: Arc<Mutex<Option<StoreFault>>>,
    pub(crate) records: Arc<Records>,
    pub(crate) strangers: Arc<StrangerLog>,
    pub(crate) usage: Arc<KeyUses>,
    runtime: tokio::runtime::Runtime,
    drainer: Option<Drainer>,
    /// Where outbox rows go in a house without a drainer.
    undrained: Option<Receiver<Loaded<OutboxRow>>>,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::open(Site::new(), true)
    }

    pub(crate) fn without_drainer() -> Self {
        Self::open(Site::new(), false)
    }

    pub(crate) fn open(site: Site, drains: bool) -> Self {
        let env: Arc<dyn Env> = site.env.clone();
        let (outbox, rows) = channel();
        let gate = Arc::new(Mutex::new(()));
        let next_deletion = Arc::default();
        let store = Arc::new(Gated {
            gate: Arc::clone(&gate),
            next_deletion: Arc::clone(&next_deletion),
            store: site.store.clone(),
        });
        let keyring = Arc::clone(&site.keyring);
        let records = Records::open(store, keyring, &[region()], Limits::default(), Arc::clone(&env), outbox);
        let records = Arc::new(records.unwrap());
        let options = JournalOptions {
            // The clock stands still, so the deadline must be none.
            sync_deadline: Duration::ZERO,
            retry_pause_max: Duration::from_millis(1),
            ..JournalOptions::new(site.journal_directory())
        };
        let disk = FailingFiles::default();
        let files: Box<dyn SegmentFiles> = Box::new(disk.over(DiskFiles::new(site.journal_directory())));
        let journal =
            Journal::open_with_files(options, files, Arc::new(OneSigner), Arc::clone(&env)).unwrap();
        let journal = Arc::new(journal);
        let (drainer, undrained) = if drains {
            let (records, journal) = (Arc::clone(&records), Arc::clone(&journal));
            let directory = site.journal_directory();
            let drainer = Drainer::start(records, journal, Arc::clone(&env), &directory, &[region()], rows);
            (Some(drainer.unwrap()), None)
        } else {
            (None, Some(rows))
        };
        let strangers = Arc::new(StrangerLog::open(&site.stranger_directory(), Arc::clone(&env)).unwrap());
        let directory = site.journal_directory();
        let usage = KeyUses::take_up(&records, &journal, &directory, &*env, &[region()]).unwrap();
        let usage = Arc::new(usage);
        let corridor = Corridor::new(Parts {
            attestation: Arc::new(Verifier::new(Roots::default(), Duration::from_secs(300))),
            env,
            journal: Arc::clone(&journal),
            keyring: Arc::clone(&site.keyring),
            offers: Offers::default(),
            records: Arc::clone(&records),
            regions: vec![region()],
            strangers: Arc::clone(&strangers),
            usage: Arc::clone(&usage),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        Self {
            site,
            corridor,
            disk,
            gate,
            journal,
            next_deletion,
            records,
            strangers,
            usage,
            runtime,
            drainer,
            undrained,
        }
    }

    /// Ends in good order: everything committed reaches the journal.
    pub(crate) fn close(self) -> Site {
        let Self { site, corridor, journal, records, strangers, runtime, drainer, undrained, .. } = self;
        // What still runs on it holds the corridor.
        drop(runtime);
        drop(corridor);
        records.close();
        drop(records);
        if let Some(drainer) = drainer {
            drainer.join();
        }
        drop(undrained);
        if let Some(journal) = Arc::into_inner(journal) {
            journal.close().unwrap();
        }
        drop(strangers);
        site
    }

    /// A new key of the account; without a policy, the default one.
    pub(crate) fn create_key(&self, policy: Option<&str>) -> KeyId {
        let key_id = KeyId::single_region(self.site.env.random_id());
        let (id, wrapped) = self.site.keyring.generate_symmetric(&region(), &key_id).unwrap();
        let policy_text =
            policy.map_or_else(|| default_key_policy(region().partition(), account()), str::to_owned);
        let created = self.site.env.now();
        let key = KeyRow::new(NewKey {
            region: region(),
            account: account(),
            key_id,
            created,
            description: String::new(),
            policy: KeyPolicy::parse(&policy_text).unwrap(),
            policy_text,
            spec: KeySpec::SymmetricDefault,
            usage: KeyUsage::EncryptDecrypt,
            material: Material { id, wrapped, created },
            public_key: None,
        });
        let mut writes = Writes::default();
        writes.create(KeyRow::address(&region(), &key_id), key);
        writes.create(AccountKeyRow::address(&region(), account(), &key_id), AccountKeyRow { key_id });
        self.records.commit_blocking(writes, Vec::new()).unwrap();
        key_id
    }

    pub(crate) fn key(&self, key_id: &KeyId) -> Arc<Loaded<KeyRow>> {
        self.records.key(&region(), key_id).unwrap().unwrap()
    }

    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub(crate) fn call(&self, arrival: Arrival) -> Answer {
        self.wait(walk(Arc::clone(&self.corridor), arrival))
    }
}

/// One request, from its arrival to its answer.
pub(crate) async fn walk(corridor: Arc<Corridor>, arrival: Arrival) -> Answer {
    match corridor.receive(arrival).await {
        Ok((visit, Named::Kms(Operation::Encrypt))) => visit.walk::<Look>().await,
        Ok((visit, Named::Kms(Operation::UpdateKeyDescription))) => visit.walk::<Change>().await,
        Ok((visit, Named::Kms(Operation::GetPublicKey))) => visit.walk::<Heavy>().await,
        Ok((visit, Named::Kms(Operation::EnableKey))) => {
            let fault = Fault::new(ErrorKind::UnsupportedOperation, "EnableKey is not built");
            visit.refuse::<wire::EnableKeyRequest>(fault).await
        }
        Ok((visit, Named::Sts(StsOperation::GetCallerIdentity))) => visit.walk::<WhoAmI>().await,
        Ok((_, other)) => panic!("{other:?}"),
        Err(answer) => answer,
    }
}
