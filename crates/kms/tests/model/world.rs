//! The real service: its corridor, records, journal, drainer and jobs over a store, as one process after another.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};
use strongroom_attestation::{Roots, Verifier};
use strongroom_audit::{
    DiskFiles, Entry, Event, Journal, JournalOptions, JournalReader, SegmentFile, SegmentFiles, StrangerLog,
};
use strongroom_crypto::{FileRoot, Keyring, KeyringEntry, KeyringName, RootHolder};
use strongroom_kms::Jobs;
use strongroom_pipeline::{
    Answer, Arrival, Corridor, Drainer, JobCorridor, KeyUses, Named, Offers, Parts, UsageWriter,
};
use strongroom_records::{DeploymentRow, Limits, Records, check};
use strongroom_sigv4::{RequestView, SigningScope, sign};
use strongroom_store::{Row, SqliteStore, Store};
use strongroom_testkit::env::SeededEnv;
use strongroom_testkit::scratch::ScratchDirectory;
use strongroom_testkit::store::MemoryStore;
use strongroom_types::{Credential, Env, RequestId};
use zeroize::Zeroizing;

use crate::common::{AnySigner, FOREIGN, OPERATOR, ROOT, first_rows, regions, signing::SECRET};
use crate::steps::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Memory,
    Sqlite,
}

pub(crate) use Engine::*;

enum Disk {
    Memory(MemoryStore),
    Sqlite,
}

/// What outlives a process.
pub(crate) struct Site {
    directory: ScratchDirectory,
    disk: Disk,
    pub(crate) env: Arc<SeededEnv>,
    root: Arc<dyn RootHolder>,
    cached_rows_max: usize,
}

/// One process, whose jobs run when the test says so.
pub(crate) struct Process {
    pub(crate) corridor: Arc<Corridor>,
    drainer: Drainer,
    journal: Arc<Journal>,
    jobs: Jobs,
    keyring: Arc<Keyring>,
    records: Arc<Records>,
    runtime: tokio::runtime::Runtime,
    store: Arc<dyn Store>,
    uses: UsageWriter,
}

/// The answer to one request.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) request_id: RequestId,
    /// The answer, or the error without `Exception`.
    pub(crate) result: Result<Value, String>,
}

impl Site {
    pub(crate) fn new(engine: Engine, seed: u64, cached_rows_max: usize) -> Self {
        let directory = ScratchDirectory::new();
        let root = FileRoot::create(&directory.path().join("root.key")).unwrap();
        let disk = match engine {
            Memory => Disk::Memory(MemoryStore::new()),
            Sqlite => Disk::Sqlite,
        };
        let env = Arc::new(SeededEnv::new(seed));
        let site = Self { directory, disk, env, root: Arc::new(root), cached_rows_max };
        let store: Arc<dyn Store> = match &site.disk {
            Disk::Memory(store) => Arc::new(store.clone()),
            Disk::Sqlite => {
                std::fs::create_dir(site.store_directory()).unwrap();
                Arc::new(SqliteStore::create(&site.store_directory()).unwrap())
            }
        };
        let (keyring, entries) = Keyring::create(&*site.root, &regions()).unwrap();
        let mut writes = first_rows(&*site.env);
        let (format, created) = (DeploymentRow::FORMAT, site.env.now());
        let row = DeploymentRow { format, created, regions: regions(), anchored_millis: None };
        writes.create(DeploymentRow::address(), row);
        Records::initialise(&*store, &keyring, &entries, &regions(), writes).unwrap();
        store.close().unwrap();
        match &site.disk {
            Disk::Memory(store) => Self { disk: Disk::Memory(store.restart()), ..site },
            Disk::Sqlite => site,
        }
    }

    fn store_directory(&self) -> std::path::PathBuf {
        self.directory.path().join("store")
    }

    fn journal_directory(&self) -> std::path::PathBuf {
        self.directory.path().join("journal")
    }

    /// The store whose calls can be made to fail.
    pub(crate) fn memory(&self) -> Option<&MemoryStore> {
        match &self.disk {
            Disk::Memory(store) => Some(store),
            Disk::Sqlite => None,
        }
    }

    pub(crate) fn start(&self) -> Process {
        let env: Arc<dyn Env> = self.env.clone();
        let store: Arc<dyn Store> = match &self.disk {
            Disk::Memory(store) => Arc::new(store.clone()),
            Disk::Sqlite => Arc::new(SqliteStore::open(&self.store_directory()).unwrap()),
        };
        let rows = store.scan("keyring/", None, 1000).unwrap().into_iter();
        let entry = |(address, row): (String, Row)| KeyringEntry {
            name: KeyringName::parse(&address).unwrap(),
            wrapped: row.value,
        };
        let keyring = Arc::new(Keyring::open(&*self.root, &rows.map(entry).collect::<Vec<_>>()).unwrap());
        let (outbox, rows) = channel();
        let probe_every = Duration::from_millis(5);
        let limits = Limits { cached_rows_max: self.cached_rows_max, probe_every, ..Limits::default() };
        let ours = Arc::clone(&keyring);
        let records =
            Records::open(Arc::clone(&store), ours, &regions(), limits, Arc::clone(&env), outbox).unwrap();
        let records = Arc::new(records);
        let journal = Arc::new(self.open_journal(&env));
        let directory = self.journal_directory();
        let (ours, to) = (Arc::clone(&records), Arc::clone(&journal));
        let drainer = Drainer::start(ours, to, Arc::clone(&env), &directory, &regions(), rows).unwrap();
        let strangers =
            StrangerLog::open(&self.directory.path().join("strangers"), Arc::clone(&env)).unwrap();
        let usage = KeyUses::take_up(&records, &journal, &directory, &*env, &regions()).unwrap();
        let usage = Arc::new(usage);
        let writer = UsageWriter::new(
            directory,
            Arc::clone(&env),
            Arc::clone(&journal),
            Arc::clone(&records),
            Arc::clone(&usage),
        );
        let corridor = Corridor::new(Parts {
            attestation: Arc::new(Verifier::new(Roots::default(), Duration::from_secs(300))),
            env,
            journal: Arc::clone(&journal),
            keyring: Arc::clone(&keyring),
            offers: Offers::default(),
            records: Arc::clone(&records),
            regions: regions(),
            strangers: Arc::new(strangers),
            usage,
        });
        let jobs = Jobs::new(JobCorridor::new(Arc::clone(&corridor)), &self.root);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let uses = writer.unwrap();
        Process { corridor, drainer, journal, jobs, keyring, records, runtime, store, uses }
    }

    fn open_journal(&self, env: &Arc<dyn Env>) -> Journal {
        // The clock stands still, so there can be no deadline.
        let options =
            JournalOptions { sync_deadline: Duration::ZERO, ..JournalOptions::new(self.journal_directory()) };
        let files = DiskFiles::new(self.journal_directory());
        // Whether the disk keeps what it says is for other tests; here it costs time.
        let files: Box<dyn SegmentFiles> = match self.disk {
            Disk::Memory(_) => Box::new(Unsynced(files)),
            Disk::Sqlite => Box::new(files),
        };
        Journal::open_with_files(options, files, Arc::new(AnySigner), Arc::clone(env)).unwrap()
    }

    /// The process is gone: in good order, or killed with its store.
    pub(crate) fn end(&mut self, process: Process, crash: bool) {
        if crash && let Disk::Memory(store) = &mut self.disk {
            *store = store.restart();
        }
        let Process { corridor, drainer, journal, jobs, records, runtime, store, uses, .. } = process;
        drop((jobs, runtime, corridor, uses));
        records.close();
        drop(records);
        drainer.join();
        if crash {
            return;
        }
        if let Some(journal) = Arc::into_inner(journal) {
            journal.close().unwrap();
        }
        // A process whose store has crashed meanwhile ends as it can.
        let _ = store.close();
        if let Disk::Memory(store) = &mut self.disk {
            *store = store.restart();
        }
    }

    /// All events of the journal, oldest first.
    pub(crate) fn events(&self) -> Vec<Event<'static>> {
        let records = JournalReader::open(&self.journal_directory(), Arc::new(AnySigner)).unwrap();
        let entries = records.filter_map(|record| match record.unwrap().entry().unwrap() {
            Entry::Event(event) => Some(event.into_owned()),
            _ => None,
        });
        entries.collect()
    }
}

impl Process {
    pub(crate) fn tick(&mut self) {
        self.jobs.tick();
        // While calls fail they stay in memory, and in the journal.
        let _ = self.uses.write();
    }

    /// Keys that the jobs of this process have destroyed.
    pub(crate) fn destroyed(&self) -> u64 {
        self.jobs.stats().keys_destroyed()
    }

    /// What the offline check has to say of the store.
    pub(crate) fn problems(&self) -> Vec<String> {
        check::check(&*self.store, &self.keyring, &regions(), &mut |_| {}).unwrap().problems
    }

    pub(crate) fn send(&self, env: &SeededEnv, who: Who, op: &Op, name: &str, body: &Value) -> Told {
        told(&self.runtime.block_on(walk(Arc::clone(&self.corridor), arrival(env, who, op, name, body))))
    }
}

pub(crate) async fn walk(corridor: Arc<Corridor>, arrival: Arrival) -> Answer {
    match corridor.receive(arrival).await {
        Ok((visit, Named::Kms(operation))) => strongroom_kms::walk(visit, operation).await,
        Ok((visit, Named::Sts(operation))) => strongroom_identity::walk(visit, operation).await,
        Err(answer) => answer,
    }
}

pub(crate) fn told(answer: &Answer) -> Told {
    let text = std::str::from_utf8(&answer.body).unwrap();
    let body: Value = if text.is_empty() { Value::Null } else { serde_json::from_str(text).unwrap() };
    let request_id = answer.request_id;
    if answer.outcome == "Success" {
        assert_eq!(answer.status, 200);
        let inner = &body["GetCallerIdentityResponse"]["GetCallerIdentityResult"];
        let body = if inner.is_null() { body } else { inner.clone() };
        return Told { request_id, result: Ok(body) };
    }
    assert_ne!(answer.status, 200);
    // STS names an error elsewhere.
    let named = if body["Error"].is_null() { &body["__type"] } else { &body["Error"]["Code"] };
    assert_eq!(*named, json!(answer.outcome));
    let error = answer.outcome.strip_suffix("Exception").unwrap_or(answer.outcome);
    Told { request_id, result: Err(error.to_owned()) }
}

/// The request, signed as the clients' SDKs do.
pub(crate) fn arrival(env: &SeededEnv, who: Who, op: &Op, name: &str, body: &Value) -> Arrival {
    let access_key_id = match who {
        OperatorUs => OPERATOR,
        OwnerEu | OwnerUs => ROOT,
        StrangerEu | StrangerUs => FOREIGN,
    }
    .access_key_id;
    let is_sts = matches!(op, GetCallerIdentity);
    let body = match op {
        GetCallerIdentity => "Action=GetCallerIdentity&Version=2011-06-15".to_owned(),
        OddRequest(MemberTwice) => r#"{"KeyId":"a","KeyId":"a"}"#.to_owned(),
        OddRequest(NoJson) => "{\"KeyId\":".to_owned(),
        _ => body.to_string(),
    };
    let mut signed_at = env.now();
    if matches!(op, OddRequest(TooOld)) {
        signed_at = signed_at.saturating_sub(Duration::from_secs(301));
    }
    let region = if matches!(op, OddRequest(OtherRegion)) { "eu-west-3" } else { who.region() };
    let secret = if matches!(op, OddRequest(OtherSecret)) { "wrong" } else { SECRET };
    let content_type = if is_sts {
        "application/x-www-form-urlencoded; charset=utf-8"
    } else {
        "application/x-amz-json-1.1"
    };
    let mut headers = HeaderMap::new();
    let mut set = |name: &'static str, value: &str| {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    };
    set("host", "kms.example.com");
    set("content-type", content_type);
    set("user-agent", "model-test/1");
    set("x-amz-date", &signed_at.to_basic_iso8601());
    if is_sts {
        set("accept", "application/json");
    } else {
        set("x-amz-target", &format!("TrentService.{name}"));
    }
    let service = if is_sts { "sts" } else { "kms" };
    let scope = SigningScope { access_key_id, region, service, signed_at };
    let key = scope.derive_key(&Credential::new(secret.into()));
    let view = RequestView { method: &Method::POST, path: "/", query: "", headers: &headers };
    let authorization = sign(&view, body.as_bytes(), &scope, &key).unwrap();
    headers.insert("authorization", HeaderValue::from_str(&authorization).unwrap());
    Arrival {
        method: Method::POST,
        path: "/".to_owned(),
        query: String::new(),
        headers,
        body: Zeroizing::new(body.into_bytes()),
        source: IpAddr::from([192, 0, 2, 7]),
        tls: None,
    }
}

/// Files that are written and not synced.
struct Unsynced(DiskFiles);
struct UnsyncedFile(Box<dyn SegmentFile>);

impl SegmentFiles for Unsynced {
    fn create(&mut self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(UnsyncedFile(self.0.create(name)?)))
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SegmentFile for UnsyncedFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}
