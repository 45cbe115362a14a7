//! The service over a store in memory: two regions, two accounts, an operator, signed requests in, JSON out.

#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test code"
)]

pub(crate) mod signing;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};
use strongroom_attestation::{Roots, Verifier};
use strongroom_audit::{
    CheckpointSignError, CheckpointSigner, CheckpointVerifier, Journal, JournalOptions, StrangerLog, Verdict,
};
use strongroom_crypto::{FileRoot, Keyring};
use strongroom_kms::Seed;
use strongroom_pipeline::{
    Answer, Arrival, Corridor, KeyUses, Named, Offers, Parts, UsageError, UsageWriter,
};
use strongroom_records::{
    AccessKeyRow, AccountRow, KeyRow, KeyState, Limits, Loaded, OutboxRow, PrincipalRow, Records,
    UsageTrackingRow, Writes, check,
};
use strongroom_testkit::env::SeededEnv;
use strongroom_testkit::scratch::ScratchDirectory;
use strongroom_testkit::store::MemoryStore;
use strongroom_types::{AccessKeyId, AccountId, Credential, Env, KeyId, RegionName};

pub(crate) const OWNER: &str = "111122223333";
pub(crate) const STRANGER: &str = "444455556666";
pub(crate) const US: &str = "us-east-1";
pub(crate) const EU: &str = "eu-central-1";
pub(crate) const NO_KEY: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";

/// Who asks, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) access_key_id: &'static str,
    pub(crate) region: &'static str,
}

pub(crate) const ROOT: Caller = Caller { access_key_id: "AKIAOWNEREXAMPLE0000", region: US };
pub(crate) const ROOT_EU: Caller = Caller { region: EU, ..ROOT };
pub(crate) const FOREIGN: Caller = Caller { access_key_id: "AKIASTRANGEREXAMPLE0", region: US };
pub(crate) const OPERATOR: Caller = Caller { access_key_id: "AKIAOPERATOREXAMPLE0", region: US };

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) error: String,
    pub(crate) message: Option<String>,
}

/// What a test says of a refusal: its error without `Exception`, and its message.
pub(crate) fn refusal(error: &str, message: impl Into<String>) -> Refusal {
    Refusal { error: format!("{error}Exception"), message: Some(message.into()) }
}

pub(crate) fn bare(error: &str) -> Refusal {
    Refusal { error: format!("{error}Exception"), message: None }
}

pub(crate) struct Deployment {
    pub(crate) directory: ScratchDirectory,
    pub(crate) attestation: Arc<Verifier>,
    pub(crate) env: Arc<SeededEnv>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) records: Arc<Records>,
    pub(crate) store: MemoryStore,
    runtime: tokio::runtime::Runtime,
    journal: Arc<Journal>,
    usage: Arc<KeyUses>,
    corridor: Arc<Corridor>,
    /// Nobody drains it: the records of changes stay in the store.
    _outbox: Receiver<Loaded<OutboxRow>>,
}

impl Deployment {
    pub(crate) fn new() -> Self {
        Self::seeded(None)
    }

    pub(crate) fn seeded(seed: Option<Seed>) -> Self {
        let directory = ScratchDirectory::new();
        let seeded = Arc::new(SeededEnv::new(1));
        let env: Arc<dyn Env> = seeded.clone();
        let regions = regions();
        let root = FileRoot::create(&directory.path().join("root.key")).unwrap();
        let (keyring, entries) = Keyring::create(&root, &regions).unwrap();
        let keyring = Arc::new(keyring);
        let store = MemoryStore::new();
        let mut writes = first_rows(&*env);
        if let Some(seed) = seed {
            seed.plan(&keyring, &*env, &mut writes).unwrap();
        }
        Records::initialise(&store, &keyring, &entries, &regions, writes).unwrap();
        let (outbox, receiver) = channel();
        let records = Records::open(
            Arc::new(store.clone()),
            Arc::clone(&keyring),
            &regions,
            Limits::default(),
            Arc::clone(&env),
            outbox,
        );
        let records = Arc::new(records.unwrap());
        let options = JournalOptions::new(directory.path().join("journal"));
        let journal = Arc::new(Journal::open(options, Arc::new(AnySigner), Arc::clone(&env)).unwrap());
        let strangers = StrangerLog::open(&directory.path().join("strangers"), Arc::clone(&env)).unwrap();
        let attestation = Arc::new(Verifier::new(Roots::default(), Duration::from_secs(300)));
        let place = directory.path().join("journal");
        let usage = Arc::new(KeyUses::take_up(&records, &journal, &place, &*env, &regions).unwrap());
        let corridor = Corridor::new(Parts {
            attestation: Arc::clone(&attestation),
            env,
            journal: Arc::clone(&journal),
            keyring: Arc::clone(&keyring),
            offers: Offers::default(),
            records: Arc::clone(&records),
            regions,
            strangers: Arc::new(strangers),
            usage: Arc::clone(&usage),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self {
            directory,
            attestation,
            env: seeded,
            keyring,
            records,
            store,
            runtime,
            journal,
            usage,
            corridor,
            _outbox: receiver,
        }
    }

    async fn answer(&self, arrival: Arrival) -> Answer {
        match self.corridor.receive(arrival).await {
            Ok((visit, Named::Kms(operation))) => strongroom_kms::walk(visit, operation).await,
            Ok((_, Named::Sts(operation))) => panic!("{operation:?}"),
            Err(answer) => answer,
        }
    }

    /// Brings the last uses of keys to their rows, as a thread does in a server.
    pub(crate) fn write_uses(&self) {
        self.try_write_uses().unwrap();
        assert_eq!(self.usage.waiting(), 0);
    }

    pub(crate) fn try_write_uses(&self) -> Result<(), UsageError> {
        let env: Arc<dyn Env> = self.env.clone();
        let (journal, records) = (Arc::clone(&self.journal), Arc::clone(&self.records));
        let usage = Arc::clone(&self.usage);
        UsageWriter::new(self.journal_directory(), env, journal, records, usage)?.write()
    }

    pub(crate) fn journal_directory(&self) -> PathBuf {
        self.directory.path().join("journal")
    }

    /// One request, signed by the caller. An operation without an answer answers null.
    pub(crate) fn call(&self, caller: Caller, operation: &str, body: Value) -> Result<Value, Refusal> {
        self.call_raw(caller, operation, body.to_string())
    }

    pub(crate) fn call_raw(&self, caller: Caller, operation: &str, body: String) -> Result<Value, Refusal> {
        let arrival = signing::signed(caller, self.env.now(), operation, body);
        let answer = self.runtime.block_on(self.answer(arrival));
        let text = std::str::from_utf8(&answer.body).unwrap();
        let value: Value = if text.is_empty() { Value::Null } else { serde_json::from_str(text).unwrap() };
        if answer.status == 200 {
            assert_eq!(answer.outcome, "Success");
            return Ok(value);
        }
        let error = value["__type"].as_str().unwrap().to_owned();
        assert_eq!(answer.outcome, error);
        Err(Refusal { error, message: value.get("message").map(|text| text.as_str().unwrap().to_owned()) })
    }

    /// A call that must succeed.
    pub(crate) fn ok(&self, caller: Caller, operation: &str, body: Value) -> Value {
        self.call(caller, operation, body.clone())
            .unwrap_or_else(|refusal| panic!("{operation} {body}: {refusal:?}"))
    }

    /// A call that must be refused.
    pub(crate) fn refused(&self, caller: Caller, operation: &str, body: Value) -> Refusal {
        match self.call(caller, operation, body.clone()) {
            Ok(answer) => panic!("{operation} {body}: {answer}"),
            Err(refusal) => refusal,
        }
    }

    pub(crate) fn create_key(&self, caller: Caller) -> String {
        self.create_key_with(caller, json!({}))
    }

    pub(crate) fn create_key_with(&self, caller: Caller, body: Value) -> String {
        text(&self.ok(caller, "CreateKey", body)["KeyMetadata"]["KeyId"])
    }

    pub(crate) fn create_alias(&self, caller: Caller, name: &str, key_id: &str) {
        self.ok(caller, "CreateAlias", json!({ "AliasName": name, "TargetKeyId": key_id }));
    }

    pub(crate) fn encrypt(&self, caller: Caller, key_id: &str, plaintext: &[u8]) -> String {
        let body = json!({ "KeyId": key_id, "Plaintext": base64(plaintext) });
        text(&self.ok(caller, "Encrypt", body)["CiphertextBlob"])
    }

    /// Puts the key into a state, whether or not an operation leads there.
    pub(crate) fn set_state(&self, region: &str, key_id: &str, state: KeyState) {
        let key_id = KeyId::parse(key_id).unwrap();
        let loaded = self.records.key(&RegionName::parse(region).unwrap(), &key_id).unwrap().unwrap();
        let mut row: KeyRow = (**loaded).clone();
        match state {
            KeyState::PendingDeletion => row.schedule_deletion(self.env.now()),
            state => row.set_state(state),
        }
        let mut writes = Writes::default();
        writes.update(&loaded, row);
        self.records.commit_blocking(writes, Vec::new()).unwrap();
    }

    pub(crate) fn assert_clean(&self) {
        let report = check::check(&self.store, &self.keyring, &regions(), &mut |_| {}).unwrap();
        assert_eq!(report.problems, Vec::<String>::new());
    }
}

pub(crate) fn regions() -> Vec<RegionName> {
    [EU, US].map(|name| RegionName::parse(name).unwrap()).to_vec()
}

pub(crate) fn first_rows(env: &dyn Env) -> Writes {
    let mut writes = untracked_rows(env);
    writes.create(UsageTrackingRow::address(), UsageTrackingRow { sequence: 0, since: env.now() });
    writes
}

/// The same without that the uses of keys are tracked.
pub(crate) fn untracked_rows(env: &dyn Env) -> Writes {
    let mut writes = Writes::default();
    let created = env.now();
    let [owner, stranger] = [OWNER, STRANGER].map(|account| AccountId::parse(account).unwrap());
    for account in [owner, stranger] {
        writes.create(AccountRow::address(account), AccountRow { account, created });
    }
    for (caller, principal) in [
        (ROOT, PrincipalRow::AccountRoot { account: owner }),
        (FOREIGN, PrincipalRow::AccountRoot { account: stranger }),
        (OPERATOR, PrincipalRow::Operator),
    ] {
        let id = AccessKeyId::parse(caller.access_key_id).unwrap();
        let secret = Credential::new(signing::SECRET.into());
        let access_key_id = id.as_str().to_owned();
        writes.create(AccessKeyRow::address(&id), AccessKeyRow { access_key_id, principal, secret, created });
    }
    writes
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}

pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    base64_simd::STANDARD.decode_to_vec(text(value)).unwrap()
}

pub(crate) fn key_arn(region: &str, account: &str, key_id: &str) -> String {
    format!("arn:aws:kms:{region}:{account}:key/{key_id}")
}

/// A policy of one statement.
pub(crate) fn policy(effect: &str, principal: Value, actions: Value) -> String {
    let statement = json!({ "Effect": effect, "Principal": principal, "Action": actions, "Resource": "*" });
    json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string()
}

pub(crate) fn root_of(account: &str) -> Value {
    json!({ "AWS": format!("arn:aws:iam::{account}:root") })
}

pub(crate) struct AnySigner;

impl CheckpointSigner for AnySigner {
    fn sign(&self, _: &[u8]) -> Result<[u8; 64], CheckpointSignError> {
        Ok([1; 64])
    }

    fn public_key(&self) -> [u8; 32] {
        [2; 32]
    }
}

impl CheckpointVerifier for AnySigner {
    fn verify(&self, _: &[u8; 32], _: &[u8], _: &[u8; 64]) -> Verdict {
        Verdict::Valid
    }
}
