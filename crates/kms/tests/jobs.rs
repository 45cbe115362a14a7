//! The jobs: keys are destroyed when they are due and not before, domain keys are renewed and destroyed after them, and none
//! of it minds being killed or failing anywhere.

#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use common::{
    AnySigner, Caller, OWNER, ROOT, US, base64, first_rows, regions, signing, text, untracked_rows,
};
use serde_json::{Value, json};
use strongroom_attestation::{Roots, Verifier};
use strongroom_audit::{Event, EventKind, Journal, JournalOptions, StrangerLog, to_cloudtrail};
use strongroom_crypto::{FileRoot, Keyring, KeyringEntry, KeyringName, RootHolder};
use strongroom_kms::Jobs;
use strongroom_pipeline::{Corridor, JobCorridor, KeyUses, Named, Offers, Parts, UsageWriter};
use strongroom_records::{
    AccountKeyRow, DeploymentRow, DomainKeyRow, KeyRow, KeyState, KeyUse, Limits, Loaded, OrphanedGrantsRow,
    OutboxRow, Records, RowScope, TrackedOperation, Writes, check,
};
use strongroom_store::{Row, SqliteStore, Store};
use strongroom_testkit::env::SeededEnv;
use strongroom_testkit::scratch::ScratchDirectory;
use strongroom_testkit::store::{Call, Fault, FaultRates, MemoryStore};
use strongroom_types::{Env, KeyId, RegionName, RequestId, Timestamp, limits};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

fn us() -> RegionName {
    RegionName::parse(US).unwrap()
}

fn shard() -> RowScope {
    RowScope::Region(us())
}

/// What outlives a process.
struct Site {
    directory: ScratchDirectory,
    env: Arc<SeededEnv>,
    root: Arc<dyn RootHolder>,
}

/// One process, whose jobs run when the test says so.
struct Process {
    jobs: Jobs,
    keyring: Arc<Keyring>,
    records: Arc<Records>,
    runtime: tokio::runtime::Runtime,
    corridor: Arc<Corridor>,
    site: Site,
    store: Arc<dyn Store>,
    usage: Arc<KeyUses>,
    uses: UsageWriter,
    _outbox: Receiver<Loaded<OutboxRow>>,
}

impl Site {
    fn new() -> Self {
        let directory = ScratchDirectory::new();
        let root = FileRoot::create(&directory.path().join("root.key")).unwrap();
        Self { directory, env: Arc::new(SeededEnv::new(1)), root: Arc::new(root) }
    }

    fn initialise(&self, store: &dyn Store) {
        self.initialise_with(store, first_rows(&*self.env));
    }

    /// As a version did that knew nothing of last uses.
    fn initialise_untracked(&self, store: &dyn Store) {
        self.initialise_with(store, untracked_rows(&*self.env));
    }

    fn initialise_with(&self, store: &dyn Store, mut writes: Writes) {
        let (keyring, entries) = Keyring::create(&*self.root, &regions()).unwrap();
        let created = self.env.now();
        let row = DeploymentRow {
            format: DeploymentRow::FORMAT,
            created,
            regions: regions(),
            anchored_millis: None,
        };
        writes.create(DeploymentRow::address(), row);
        Records::initialise(store, &keyring, &entries, &regions(), writes).unwrap();
    }

    fn start(self, store: Arc<dyn Store>) -> Process {
        self.start_with_room(store, limits::KEY_USES_IN_MEMORY_MAX)
    }

    /// With room for the last uses of so many keys.
    fn start_with_room(self, store: Arc<dyn Store>, room: usize) -> Process {
        let env: Arc<dyn Env> = self.env.clone();
        let rows = store.scan("keyring/", None, 1000).unwrap().into_iter();
        let entry = |(address, row): (String, Row)| KeyringEntry {
            name: KeyringName::parse(&address).unwrap(),
            wrapped: row.value,
        };
        let keyring = Arc::new(Keyring::open(&*self.root, &rows.map(entry).collect::<Vec<_>>()).unwrap());
        let (outbox, receiver) = channel();
        let ours = Arc::clone(&store);
        let limits = Limits::default();
        let records =
            Records::open(ours, Arc::clone(&keyring), &regions(), limits, Arc::clone(&env), outbox).unwrap();
        let records = Arc::new(records);
        let options = JournalOptions::new(self.directory.path().join("journal"));
        let journal = Journal::open(options, Arc::new(AnySigner), Arc::clone(&env)).unwrap();
        let strangers =
            StrangerLog::open(&self.directory.path().join("strangers"), Arc::clone(&env)).unwrap();
        let journal = Arc::new(journal);
        let place = self.directory.path().join("journal");
        let usage = KeyUses::take_up(&records, &journal, &place, &*env, &regions()).unwrap();
        let usage = Arc::new(usage.with_room(room));
        let writer = UsageWriter::new(
            place,
            Arc::clone(&env),
            Arc::clone(&journal),
            Arc::clone(&records),
            Arc::clone(&usage),
        );
        let corridor = Corridor::new(Parts {
            attestation: Arc::new(Verifier::new(Roots::default(), Duration::from_secs(300))),
            env,
            journal,
            keyring: Arc::clone(&keyring),
            offers: Offers::default(),
            records: Arc::clone(&records),
            regions: regions(),
            strangers: Arc::new(strangers),
            usage: Arc::clone(&usage),
        });
        let jobs = Jobs::new(JobCorridor::new(Arc::clone(&corridor)), &self.root);
        Process {
            jobs,
            keyring,
            records,
            runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
            corridor,
            site: self,
            store,
            usage,
            uses: writer.unwrap(),
            _outbox: receiver,
        }
    }
}

/// A site over a store in memory, and one process.
fn started() -> (MemoryStore, Process) {
    let (site, store) = (Site::new(), MemoryStore::new());
    site.initialise(&store);
    let process = site.start(Arc::new(store.clone()));
    (store, process)
}

impl Process {
    fn end(self) -> Site {
        let Self { corridor, jobs, records, runtime, site, uses, .. } = self;
        drop((corridor, jobs, runtime, uses));
        records.close();
        site
    }

    /// The process dies, the next one begins.
    fn restart(self, store: &mut MemoryStore) -> Self {
        *store = store.restart();
        self.end().start(Arc::new(store.clone()))
    }

    fn call(&self, caller: Caller, operation: &str, body: &Value) -> Result<Value, (String, String)> {
        let arrival = signing::signed(caller, self.site.env.now(), operation, body.to_string());
        let answer = self.runtime.block_on(async {
            match self.corridor.receive(arrival).await {
                Ok((visit, Named::Kms(operation))) => strongroom_kms::walk(visit, operation).await,
                Ok((_, Named::Sts(operation))) => panic!("{operation:?}"),
                Err(answer) => answer,
            }
        });
        let text = std::str::from_utf8(&answer.body).unwrap();
        let value: Value = if text.is_empty() { Value::Null } else { serde_json::from_str(text).unwrap() };
        if answer.status == 200 {
            return Ok(value);
        }
        Err((common::text(&value["__type"]), value["message"].as_str().unwrap_or_default().to_owned()))
    }

    fn ok(&self, operation: &str, body: &Value) -> Value {
        self.call(ROOT, operation, body).unwrap_or_else(|error| panic!("{operation}: {error:?}"))
    }

    fn create_key(&self) -> KeyId {
        KeyId::parse(&text(&self.ok("CreateKey", &json!({}))["KeyMetadata"]["KeyId"])).unwrap()
    }

    fn create_alias(&self, name: &str, key_id: KeyId) {
        self.ok("CreateAlias", &json!({ "AliasName": name, "TargetKeyId": key_id.to_string() }));
    }

    fn key(&self, key_id: KeyId) -> Option<Arc<Loaded<KeyRow>>> {
        self.records.key(&us(), &key_id).unwrap()
    }

    fn change(&self, key_id: KeyId, change: impl FnOnce(&mut KeyRow)) {
        let key = self.key(key_id).unwrap();
        let mut row = (**key).clone();
        change(&mut row);
        let mut writes = Writes::default();
        writes.update(&key, row);
        self.records.commit_blocking(writes, Vec::new()).unwrap();
    }

    fn schedule(&self, key_id: KeyId, date: Timestamp) {
        self.change(key_id, |row| row.schedule_deletion(date));
    }

    fn in_(&self, duration: Duration) -> Timestamp {
        self.site.env.now().saturating_add(duration)
    }

    /// Runs the jobs now and then every `step`, for so long.
    fn run(&mut self, duration: Duration, step: Duration) {
        self.jobs.tick();
        let end = self.site.env.monotonic().as_nanos() + u64::try_from(duration.as_nanos()).unwrap();
        while self.site.env.monotonic().as_nanos() < end {
            self.site.env.advance(step);
            self.jobs.tick();
        }
    }

    fn run_minutes(&mut self, minutes: u32) {
        self.run(MINUTE * minutes, MINUTE);
    }

    /// What the drainer does once it has brought the records to the journal.
    fn drain(&self) {
        for region in regions() {
            let prefix = OutboxRow::prefix(&region);
            loop {
                let rows = self.records.scan::<OutboxRow>(&prefix, None, 50).unwrap();
                if rows.is_empty() {
                    break;
                }
                let mut writes = Writes::default();
                rows.iter().for_each(|row| writes.delete_stub(&row.stub()));
                self.records.commit_blocking(writes, Vec::new()).unwrap();
            }
        }
    }

    /// The records of what the jobs did, as they wait for the drainer.
    fn service_events(&self) -> Vec<Event<'static>> {
        let mut events = Vec::new();
        for region in regions() {
            for row in self.records.scan::<OutboxRow>(&OutboxRow::prefix(&region), None, 1000).unwrap() {
                let event = Event::decode(&row.event).unwrap().into_owned();
                events.extend((event.kind == EventKind::ServiceEvent).then_some(event));
            }
        }
        events
    }

    fn versions(&self) -> Vec<u32> {
        self.keyring.domain_key_versions(shard().to_crypto()).unwrap()
    }

    fn domain_key_row(&self) -> Option<DomainKeyRow> {
        self.records.load::<DomainKeyRow>(&DomainKeyRow::address(&shard())).unwrap().map(|row| (*row).clone())
    }

    fn assert_clean(&self) {
        let report = check::check(&*self.store, &self.keyring, &regions(), &mut |_| {}).unwrap();
        assert_eq!(report.problems, Vec::<String>::new());
    }

    /// No row is left that names the key.
    fn assert_gone(&self, key_id: KeyId) {
        assert!(self.key(key_id).is_none());
        let id = key_id.to_string();
        for (address, _) in self.store.scan("", None, 1000).unwrap() {
            assert!(!address.contains(&id), "{address}");
        }
        self.assert_clean();
    }
}

#[test]
fn a_key_that_is_not_due_is_left_alone() {
    let (_, mut process) = started();
    let [pending, enabled] = [process.create_key(), process.create_key()];
    process.schedule(pending, process.in_(DAY * 7));
    process.run(DAY * 7 - MINUTE, MINUTE * 10);
    assert_eq!(process.key(pending).unwrap().state(), KeyState::PendingDeletion);
    assert_eq!(process.jobs.stats().keys_pending(), 1);
    assert!(process.key(enabled).is_some());
    assert_eq!((process.jobs.stats().failures(), process.service_events().len()), (0, 0));
}

#[test]
fn a_due_key_is_destroyed_after_an_hour_of_uptime_past_its_date() {
    let (_, mut process) = started();
    let key_id = process.create_key();
    process.schedule(key_id, process.in_(MINUTE * 30));
    process.run_minutes(89);
    assert!(process.key(key_id).is_some());
    process.run_minutes(1);
    process.assert_gone(key_id);
    assert_eq!((process.jobs.stats().keys_destroyed(), process.jobs.stats().failures()), (1, 0));
}

/// More grants than a batch could delete: they allow nothing from the moment that their key is gone, and are gone soon.
#[test]
fn the_grants_of_a_destroyed_key_go_with_it() {
    let (mut store, mut process) = started();
    let [key_id, other] = [process.create_key(), process.create_key()];
    let grant = |key_id: KeyId| {
        let root = format!("arn:aws:iam::{OWNER}:root");
        json!({
            "KeyId": key_id.to_string(), "GranteePrincipal": root, "RetiringPrincipal": root,
            "Operations": ["Encrypt"],
        })
    };
    let tokens: Vec<_> =
        (0..120).map(|_| text(&process.ok("CreateGrant", &grant(key_id))["GrantToken"])).collect();
    let kept = text(&process.ok("CreateGrant", &grant(other))["GrantId"]);
    process.schedule(key_id, process.in_(MINUTE));
    process.run_minutes(60);
    assert!(process.key(key_id).is_some());
    // The process dies between the destruction and the removal of the grants.
    let row = process.records.key(&us(), &key_id).unwrap().unwrap();
    let mut writes = Writes::default();
    writes.delete(&row);
    let index = strongroom_records::AccountKeyRow::address(&us(), row.account(), &key_id);
    writes.delete(&process.records.load::<strongroom_records::AccountKeyRow>(&index).unwrap().unwrap());
    let key_created = row.created();
    let address = OrphanedGrantsRow::address(&us(), &key_id, key_created);
    writes.create(address, OrphanedGrantsRow { key_id, key_created });
    process.records.commit_blocking(writes, Vec::new()).unwrap();
    process = process.restart(&mut store);
    process.assert_clean();
    let retire = json!({ "GrantToken": tokens[7] });
    assert_eq!(process.call(ROOT, "RetireGrant", &retire).unwrap_err().0, "InvalidGrantTokenException");
    let mine = json!({ "RetiringPrincipal": format!("arn:aws:iam::{OWNER}:root") });
    let listed = process.ok("ListRetirableGrants", &mine);
    assert_eq!(
        (listed["Grants"].as_array().unwrap().len(), &listed["Grants"][0]["GrantId"]),
        (1, &json!(kept))
    );
    process.run_minutes(1);
    process.assert_gone(key_id);
    assert_eq!(
        process.ok("ListGrants", &json!({ "KeyId": other.to_string() }))["Grants"][0]["GrantId"],
        json!(kept)
    );
    assert_eq!(process.jobs.stats().failures(), 0);
    // And by the job that destroys keys.
    process.schedule(other, process.in_(MINUTE));
    process.run_minutes(62);
    process.assert_gone(other);
}

#[test]
fn a_restart_begins_the_hour_anew() {
    let (mut store, mut process) = started();
    let key_id = process.create_key();
    process.schedule(key_id, process.in_(MINUTE * 5));
    for _ in 0..3 {
        process.run_minutes(59);
        assert!(process.key(key_id).is_some());
        process = process.restart(&mut store);
    }
    process.run_minutes(59);
    assert!(process.key(key_id).is_some());
    process.run_minutes(1);
    process.assert_gone(key_id);
}

#[test]
fn a_clock_that_is_set_forward_destroys_nothing_for_an_hour() {
    let (_, mut process) = started();
    let key_id = process.create_key();
    process.schedule(key_id, process.in_(DAY * 30));
    process.run_minutes(180);
    process.site.env.set_now(process.in_(DAY * 365));
    // An hour from the first look at the new time, a minute from now.
    process.run_minutes(60);
    assert!(process.key(key_id).is_some());
    process.run_minutes(1);
    assert!(process.key(key_id).is_none());
}

#[test]
fn a_clock_that_was_set_forward_and_back_destroys_nothing() {
    let (_, mut process) = started();
    let key_id = process.create_key();
    process.schedule(key_id, process.in_(DAY * 30));
    for _ in 0..5 {
        let right = process.site.env.now();
        process.site.env.set_now(process.in_(DAY * 365));
        process.run_minutes(58);
        process.site.env.set_now(right.saturating_add(MINUTE * 58));
        process.run_minutes(1);
    }
    assert!(process.key(key_id).is_some());
}

#[test]
fn a_cancelled_deletion_does_not_happen() {
    let (_, mut process) = started();
    let key_id = process.create_key();
    process.schedule(key_id, process.in_(MINUTE));
    process.run_minutes(60);
    process.change(key_id, |row| row.set_state(KeyState::Disabled));
    process.run_minutes(120);
    assert_eq!(process.key(key_id).unwrap().state(), KeyState::Disabled);
    assert_eq!(process.jobs.stats().keys_pending(), 0);
    // Pending without a date is never due.
    process.change(key_id, |row| row.set_state(KeyState::PendingDeletion));
    process.run_minutes(120);
    assert!(process.key(key_id).is_some());
}

#[test]
fn callers_meet_a_destroyed_key_as_one_that_never_was() {
    let (_, mut process) = started();
    let (key_id, other) = (process.create_key(), process.create_key());
    process.create_alias("alias/app", key_id);
    let encrypt = |key_id: KeyId| json!({ "KeyId": key_id.to_string(), "Plaintext": base64(b"secret") });
    let blob = text(&process.ok("Encrypt", &encrypt(key_id))["CiphertextBlob"]);
    process.schedule(key_id, process.in_(MINUTE));
    process.run_minutes(61);
    process.assert_gone(key_id);

    let arn = format!("arn:aws:kms:{US}:{OWNER}:key/{key_id}");
    let not_found = ("NotFoundException".to_owned(), format!("Key '{arn}' does not exist"));
    assert_eq!(process.call(ROOT, "Encrypt", &encrypt(key_id)), Err(not_found.clone()));
    assert_eq!(process.call(ROOT, "DescribeKey", &json!({ "KeyId": arn })), Err(not_found));
    let refused = process.call(ROOT, "DescribeKey", &json!({ "KeyId": "alias/app" })).unwrap_err();
    assert_eq!(refused.1, format!("Alias arn:aws:kms:{US}:{OWNER}:alias/app is not found."));
    // The same answer as for the blob of another deployment.
    let (code, message) = process.call(ROOT, "Decrypt", &json!({ "CiphertextBlob": blob })).unwrap_err();
    assert_eq!(code, "AccessDeniedException");
    let mut foreign = base64_simd::STANDARD.decode_to_vec(&blob).unwrap();
    foreign[3..19].fill(7);
    let foreign = process.call(ROOT, "Decrypt", &json!({ "CiphertextBlob": base64(&foreign) }));
    assert_eq!(foreign, Err((code, message)));
    let keys = process.ok("ListKeys", &json!({}));
    assert_eq!(keys["Keys"].as_array().unwrap().len(), 1);
    process.create_alias("alias/app", other);
    process.assert_clean();
}

#[test]
fn the_record_is_cloudtrails() {
    let (_, mut process) = started();
    let key_id = process.create_key();
    process.schedule(key_id, process.in_(MINUTE));
    process.run_minutes(61);
    let [event] = &process.service_events()[..] else { panic!("one record") };
    let shown = serde_json::to_value(to_cloudtrail(event)).unwrap();
    assert_eq!(
        shown,
        json!({
            "eventVersion": "1.11",
            "userIdentity": { "accountId": OWNER, "invokedBy": "AWS Internal" },
            "eventTime": process.site.env.now().to_extended_iso8601(),
            "eventSource": "kms.amazonaws.com",
            "eventName": "DeleteKey",
            "awsRegion": US,
            "sourceIPAddress": "AWS Internal",
            "userAgent": "AWS Internal",
            "requestParameters": null,
            "responseElements": null,
            "eventID": event.id.to_string(),
            "readOnly": false,
            "resources": [{
                "accountId": OWNER,
                "type": "AWS::KMS::Key",
                "ARN": format!("arn:aws:kms:{US}:{OWNER}:key/{key_id}"),
            }],
            "eventType": "AwsServiceEvent",
            "managementEvent": true,
            "recipientAccountId": OWNER,
            "eventCategory": "Management",
        })
    );
}

#[test]
fn a_key_with_as_many_aliases_as_a_key_may_have_goes_in_one_batch() {
    let (store, mut process) = started();
    let key_id = process.create_key();
    for number in 0..50 {
        process.create_alias(&format!("alias/{number}"), key_id);
    }
    process.schedule(key_id, process.in_(MINUTE));
    process.run_minutes(60);
    let groups = store.counters().groups_applied;
    process.run_minutes(1);
    process.assert_gone(key_id);
    assert_eq!(store.counters().groups_applied, groups + 1);
    assert!(store.rows().keys().all(|address| !address.starts_with("alias/")));
}

#[test]
fn the_log_is_truncated_after_a_destruction_until_it_succeeds() {
    let (store, mut process) = started();
    let key_id = process.create_key();
    process.schedule(key_id, process.in_(MINUTE));
    process.run_minutes(60);
    // Once at start, because an earlier process may have been killed before it did.
    assert_eq!(store.counters().truncations, 1);
    store.fail_next(Call::TruncateLog, Fault::Fail);
    process.run_minutes(1);
    process.assert_gone(key_id);
    assert_eq!((store.counters().truncations, process.jobs.stats().failures()), (2, 1));
    process.run_minutes(3);
    assert_eq!(store.counters().truncations, 3);
}

#[test]
fn a_key_that_cannot_be_read_does_not_keep_the_others() {
    let (store, mut process) = started();
    let keys = [(); 5].map(|()| process.create_key());
    for key_id in keys {
        process.schedule(key_id, process.in_(MINUTE));
    }
    let address = KeyRow::address(&us(), &keys[2]).to_string();
    store.tamper(|rows| *rows.get_mut(&address).unwrap().value.last_mut().unwrap() ^= 1);
    process.run_minutes(61);
    assert_eq!(process.jobs.stats().keys_destroyed(), 4);
    store.tamper(|rows| *rows.get_mut(&address).unwrap().value.last_mut().unwrap() ^= 1);
    process.run_minutes(1);
    process.assert_gone(keys[2]);
}

#[test]
fn killed_at_any_call_of_the_store_a_key_is_destroyed_once_and_whole() {
    for fault in [Fault::CrashBeforeSync, Fault::CrashAfterSync] {
        for skipped in 0.. {
            let (mut store, mut process) = started();
            let key_id = process.create_key();
            process.create_alias("alias/app", key_id);
            process.schedule(key_id, process.in_(MINUTE));
            process.run_minutes(60);
            process.drain();
            store.fail_after(None, skipped, fault);
            process.run_minutes(1);
            let was_killed = store.counters().faults > 0;
            process = process.restart(&mut store);
            process.assert_clean();
            assert_eq!(process.key(key_id).is_none(), process.service_events().len() == 1);
            process.run_minutes(61);
            process.assert_gone(key_id);
            assert_eq!(process.service_events().len(), 1, "{fault:?} after {skipped}");
            if !was_killed {
                assert!(skipped > 5, "{skipped}");
                break;
            }
        }
    }
}

#[test]
fn a_domain_key_is_renewed_after_thirty_days_and_the_old_one_goes() {
    let (_, mut process) = started();
    let key_id = process.create_key();
    process.drain();
    process.run(DAY * 30 - MINUTE * 10, MINUTE * 10);
    assert_eq!((process.versions(), process.domain_key_row()), (vec![1], None));
    process.run_minutes(10);
    assert_eq!(process.versions(), [1, 2]);
    process.run_minutes(60);
    // The record of the renewal was sealed under the old version: until the drainer has deleted it, nothing is destroyed.
    assert_eq!(process.versions(), [1, 2]);
    assert!(process.key(key_id).unwrap().is_wrapped_under(2));
    let events = process.service_events();
    assert_eq!(
        events.iter().filter(|event| event.name == "CreateDomainKey").count(),
        3,
        "one for each scope"
    );
    process.drain();
    process.run_minutes(2);
    assert_eq!((process.versions(), process.jobs.stats().domain_keys_older()), (vec![2], 0));
    assert!(process.store.get("keyring/us-east-1/domain/1").unwrap().is_none());
    process.assert_clean();
    let row = process.domain_key_row().unwrap();
    assert_eq!((row.version, row.spent), (2, false));
    assert_eq!(process.jobs.stats().failures(), 0);
    // Not again before another thirty days.
    process.drain();
    process.run(DAY * 29, HOUR);
    assert_eq!(process.versions(), [2]);
}

#[test]
fn a_domain_key_is_destroyed_a_minute_after_the_last_row_was_moved() {
    let (_, mut process) = started();
    process.run(DAY * 30, HOUR);
    process.drain();
    process.site.env.advance(MINUTE - Duration::from_secs(1));
    process.jobs.tick();
    assert_eq!(process.versions(), [1, 2]);
    process.site.env.advance(Duration::from_secs(1));
    process.jobs.tick();
    assert_eq!(process.versions(), [2]);
}

#[test]
fn more_keys_than_one_run_walks_are_walked_by_the_next() {
    let (store, mut process) = started();
    let mut keys: Vec<KeyId> = (0..limits::DELETION_WALK_KEYS).map(|_| process.create_key()).collect();
    keys.sort_by_key(ToString::to_string);
    let [first, last] = [keys[0], keys[keys.len() - 1]];
    for key_id in [first, last] {
        process.schedule(key_id, process.in_(MINUTE));
    }
    process.run_minutes(60);
    let scans = store.counters().scans;
    process.run_minutes(3);
    assert_eq!(process.jobs.stats().keys_destroyed(), 2);
    // Every other run meets the end of the walk; no run reads more than its part.
    assert!(store.counters().scans - scans < 4 * 2 * limits::DELETION_WALK_KEYS as u64 / 200);
    assert!(process.key(first).is_none() && process.key(last).is_none());

    process.run(DAY * 31, DAY);
    process.drain();
    process.run_minutes(15);
    assert_eq!(process.versions().len(), 1);
    assert!(process.key(keys[1]).unwrap().is_wrapped_under(process.versions()[0]));
    process.assert_clean();
}

#[test]
fn a_domain_key_is_renewed_at_most_once_a_day_after_keys_were_destroyed() {
    let (_, mut process) = started();
    let keys = [(); 3].map(|()| process.create_key());
    process.schedule(keys[0], process.in_(DAY * 2));
    process.run(DAY * 2 + HOUR, MINUTE * 10);
    process.assert_gone(keys[0]);
    // The first version is two days old.
    process.run_minutes(1);
    assert_eq!(process.versions(), [1, 2]);
    process.drain();
    process.run_minutes(3);
    assert_eq!(process.versions(), [2]);

    process.schedule(keys[1], process.in_(MINUTE));
    process.run_minutes(70);
    process.assert_gone(keys[1]);
    assert_eq!(process.domain_key_row().map(|row| (row.version, row.spent)), Some((2, true)));
    process.schedule(keys[2], process.in_(MINUTE));
    process.run_minutes(70);
    process.assert_gone(keys[2]);
    assert_eq!(process.versions(), [2], "less than a day old");
    process.run(DAY, MINUTE * 10);
    assert_eq!(process.versions(), [2, 3]);
    assert_eq!(process.domain_key_row().map(|row| (row.version, row.spent)), Some((3, false)));
    process.drain();
    process.run_minutes(3);
    assert_eq!(process.versions(), [3]);
    process.assert_clean();
}

#[test]
fn blobs_outlive_the_domain_keys() {
    let (mut store, mut process) = started();
    let key_id = process.create_key();
    let body = json!({ "KeyId": key_id.to_string(), "Plaintext": base64(b"secret") });
    let blob = process.ok("Encrypt", &body)["CiphertextBlob"].clone();
    for _ in 0..3 {
        process.run(DAY * 31, HOUR);
        process.drain();
        process.run_minutes(3);
        assert_eq!(process.versions().len(), 1);
        for _ in 0..2 {
            let opened = process.ok("Decrypt", &json!({ "CiphertextBlob": blob }));
            assert_eq!(opened["Plaintext"], json!(base64(b"secret")));
            process = process.restart(&mut store);
        }
    }
    assert_eq!(process.versions(), [4]);
}

/// A key destroyed, and the domain key after it, with a drainer that is done within the hour.
fn two_days(process: &mut Process) {
    for _ in 0..50 {
        process.run(HOUR, MINUTE * 20);
        process.drain();
    }
}

#[test]
fn killed_at_any_call_of_the_store_domain_keys_lose_nothing() {
    for fault in [Fault::CrashBeforeSync, Fault::CrashAfterSync] {
        for skipped in (0..400).step_by(7) {
            let (mut store, mut process) = started();
            let (kept, doomed) = (process.create_key(), process.create_key());
            process.schedule(doomed, process.in_(DAY));
            process.run(DAY - HOUR, HOUR);
            process.drain();
            store.fail_after(None, skipped, fault);
            // Dead in the middle: what its jobs do from then on fails.
            process.run(HOUR * 5, MINUTE * 10);
            process = process.restart(&mut store);
            process.assert_clean();
            two_days(&mut process);
            process.assert_gone(doomed);
            assert!(process.key(kept).unwrap().is_wrapped_under(*process.versions().last().unwrap()));
            assert_eq!(process.versions().len(), 1, "{fault:?} after {skipped}");
            assert_eq!(process.jobs.stats().failures(), 0);
        }
    }
}

#[test]
fn a_store_that_fails_now_and_then_is_overcome() {
    for seed in 0..6 {
        let (store, mut process) = started();
        let (kept, doomed) = (process.create_key(), process.create_key());
        process.schedule(doomed, process.in_(DAY));
        let rates = FaultRates { fail_per_mille: 50, unknown_per_mille: 100, ..FaultRates::default() };
        for hour in 0..100 {
            store.fail_randomly(seed * 1000 + hour, rates);
            process.run(HOUR, MINUTE * 20);
            store.clear_faults();
            process.assert_clean();
            process.drain();
        }
        process.run_minutes(10);
        process.drain();
        process.run_minutes(10);
        process.assert_gone(doomed);
        assert!(process.jobs.stats().failures() > 0, "seed {seed}");
        assert!(
            process.key(kept).unwrap().is_wrapped_under(*process.versions().last().unwrap()),
            "seed {seed}"
        );
        assert_eq!(process.versions().len(), 1, "seed {seed}");
    }
}

/// Every byte of the data directory.
fn bytes_of(directory: &std::path::Path) -> Vec<u8> {
    let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.is_file()).flat_map(|path| std::fs::read(path).unwrap()).collect()
}

fn occurs(needle: &[u8], haystack: &[u8]) -> bool {
    let finder = haystack.windows(needle.len());
    finder.into_iter().any(|window| window == needle)
}

#[test]
fn nothing_of_a_destroyed_key_or_domain_key_is_left_in_the_data_directory() {
    let site = Site::new();
    let data = ScratchDirectory::new();
    let store = Arc::new(SqliteStore::create(data.path()).unwrap());
    site.initialise(&*store);
    let mut process = site.start(store.clone());
    let keys = [(); 12].map(|()| process.create_key());
    let doomed = keys[5];
    let sealed = |process: &Process| {
        let row = process.store.get(KeyRow::address(&us(), &doomed).as_str()).unwrap().unwrap();
        row.value[row.value.len() - 48..].to_vec()
    };
    let mut needles = vec![sealed(&process)];
    process.schedule(doomed, process.in_(DAY * 2));
    needles.push(sealed(&process));
    let wrapped = process.store.get("keyring/us-east-1/domain/1").unwrap().unwrap().value;
    needles.push(wrapped[17..].to_vec());
    let before = bytes_of(data.path());
    assert!(needles.iter().skip(1).all(|needle| occurs(needle, &before)), "they are looked for rightly");

    process.run(DAY * 2 + HOUR, MINUTE * 30);
    process.assert_gone(doomed);
    process.drain();
    process.run(HOUR, MINUTE * 10);
    assert_eq!(process.versions(), [2]);
    let after = bytes_of(data.path());
    for (number, needle) in needles.iter().enumerate() {
        assert!(!occurs(needle, &after), "{number}");
    }
    process.assert_clean();
    assert!(process.key(keys[0]).is_some());
    process.end();
    store.close().unwrap();
}

fn is_used(process: &Process, key_id: KeyId) -> Value {
    process.ok("GetKeyLastUsage", &json!({ "KeyId": key_id.to_string() }))["KeyLastUsage"].clone()
}

fn use_it(process: &Process, key_id: KeyId) -> Value {
    process.ok("Encrypt", &json!({ "KeyId": key_id.to_string(), "Plaintext": base64(b"secret") }));
    is_used(process, key_id)
}

fn usage_rows(store: &MemoryStore) -> usize {
    store.rows().keys().filter(|address| address.starts_with("key-usage/")).count()
}

#[test]
fn a_destroyed_key_leaves_no_last_use() {
    let (store, mut process) = started();
    let [written, waiting, both] = [(); 3].map(|()| process.create_key());
    use_it(&process, written);
    use_it(&process, both);
    process.uses.write().unwrap();
    assert_eq!(usage_rows(&store), 2);
    use_it(&process, both);
    use_it(&process, waiting);
    for key_id in [written, waiting, both] {
        process.schedule(key_id, process.in_(MINUTE));
    }
    process.run_minutes(61);
    assert_eq!(usage_rows(&store), 0);
    // What was in memory does not bring a row back, and does not stay.
    process.uses.write().unwrap();
    assert_eq!(usage_rows(&store), 0);
    assert_eq!(process.usage.waiting(), 0);
    process.assert_clean();
}

#[test]
fn a_last_use_that_is_written_while_its_key_is_destroyed_is_not_left() {
    // The use is written between the job's decision and its commit, then the other way round.
    let (store, mut process) = started();
    let (first, second) = (process.create_key(), process.create_key());
    use_it(&process, first);
    use_it(&process, second);
    process.schedule(first, process.in_(MINUTE));
    process.run_minutes(60);
    let (uses, records) = (Arc::clone(&process.usage), Arc::clone(&process.records));
    let last = KeyUse {
        operation: TrackedOperation::Encrypt,
        at: process.site.env.now(),
        event_id: RequestId::from_bytes([1; 16]),
        request_id: RequestId::from_bytes([2; 16]),
    };
    let ours = Arc::clone(&records);
    store.after_reading("key-usage/", move || ours.write_key_uses(&us(), &[(first, last)]).unwrap());
    process.run_minutes(2);
    assert!(!store.is_to_be_interrupted());
    process.assert_gone(first);
    assert_eq!(usage_rows(&store), 0);
    // The writer has read the key, which is destroyed before the batch is committed.
    let key = process.key(second).unwrap();
    let index = AccountKeyRow::address(&us(), key.account(), &second);
    let index = records.load::<AccountKeyRow>(&index).unwrap().unwrap();
    let ours = Arc::clone(&records);
    store.after_reading("key-usage/", move || {
        let mut writes = Writes::default();
        writes.delete(&key);
        writes.delete(&index);
        ours.commit_blocking(writes, Vec::new()).unwrap();
    });
    process.uses.write().unwrap();
    assert!(!store.is_to_be_interrupted());
    assert_eq!((usage_rows(&store), uses.waiting()), (0, 0));
    process.assert_clean();
}

#[test]
fn a_kill_loses_no_use() {
    let (mut store, mut process) = started();
    let [one, two, three] = [(); 3].map(|()| process.create_key());
    // Nothing was written yet, then some, then something newer than its row.
    let told = use_it(&process, one);
    process = process.restart(&mut store);
    assert_eq!(is_used(&process, one), told);
    assert_eq!(usage_rows(&store), 0);
    process.uses.write().unwrap();
    let told_two = use_it(&process, two);
    process = process.restart(&mut store);
    assert_eq!((is_used(&process, one), is_used(&process, two)), (told, told_two));
    process.site.env.advance(MINUTE);
    let (told, told_two) = (use_it(&process, one), is_used(&process, two));
    process = process.restart(&mut store);
    assert_eq!((is_used(&process, one), is_used(&process, two)), (told.clone(), told_two));
    process.uses.write().unwrap();
    assert_eq!((process.usage.waiting(), usage_rows(&store)), (0, 2));
    process = process.restart(&mut store);
    // Everything is in rows: nothing is taken up.
    assert_eq!((process.usage.waiting(), is_used(&process, one)), (0, told));
    assert_eq!(is_used(&process, three), json!({}));
    process.assert_clean();
}

/// More keys are used than there is room for: nobody is told something old, and nothing is lost.
#[test]
fn what_finds_no_room_is_told_once_it_was_read_from_the_journal() {
    let site = Site::new();
    let mut store = MemoryStore::new();
    site.initialise(&store);
    let mut process = site.start_with_room(Arc::new(store.clone()), 0);
    let (one, two) = (process.create_key(), process.create_key());
    let ask = |process: &Process, key_id: KeyId| {
        let told = process.call(ROOT, "GetKeyLastUsage", &json!({ "KeyId": key_id.to_string() }));
        told.map(|usage| usage["KeyLastUsage"]["Operation"].clone()).map_err(|(error, _)| error)
    };
    let encrypt = |process: &Process, key_id: KeyId| {
        process.ok("Encrypt", &json!({ "KeyId": key_id.to_string(), "Plaintext": base64(b"secret") }));
    };
    assert_eq!(ask(&process, one), Ok(Value::Null));
    encrypt(&process, one);
    let unknown = Err("KMSInternalException".to_owned());
    assert_eq!((ask(&process, one), ask(&process, two)), (unknown.clone(), unknown.clone()));
    process.uses.write().unwrap();
    assert_eq!((ask(&process, one), ask(&process, two)), (Ok(json!("Encrypt")), Ok(Value::Null)));
    encrypt(&process, two);
    process = process.restart(&mut store);
    assert_eq!((ask(&process, one), ask(&process, two)), (Ok(json!("Encrypt")), Ok(json!("Encrypt"))));
    process.assert_clean();
}

#[test]
fn a_deployment_that_did_not_track_begins_to() {
    let site = Site::new();
    let mut store = MemoryStore::new();
    site.initialise_untracked(&store);
    let process = site.start(Arc::new(store.clone()));
    let since = process.site.env.now();
    let key_id = process.create_key();
    process.site.env.advance(HOUR);
    let process = process.restart(&mut store);
    let row = process.records.usage_tracking().unwrap().unwrap();
    assert_eq!((row.sequence, row.since), (0, since));
    let told = use_it(&process, key_id);
    assert_eq!(told["Operation"], "Encrypt");
    let process = process.restart(&mut store);
    assert_eq!(is_used(&process, key_id), told);
    process.assert_clean();
}

/// Whatever is missing, nobody is told that a key has not been used for longer than that is known.
#[test]
fn behind_a_gap_tracking_begins_anew() {
    let (mut store, mut process) = started();
    let key_id = process.create_key();
    let told = use_it(&process, key_id);
    process.uses.write().unwrap();
    let tracking = |process: &Process| {
        let usage = process.ok("GetKeyLastUsage", &json!({ "KeyId": key_id.to_string() }));
        (usage["TrackingStartDate"].clone(), usage["KeyLastUsage"].clone())
    };
    let (began, last) = tracking(&process);
    assert_eq!(last, told);
    process.site.env.advance(HOUR);
    // The journal is gone.
    let site = process.end();
    std::fs::remove_dir_all(site.directory.path().join("journal")).unwrap();
    store = store.restart();
    process = site.start(Arc::new(store.clone()));
    let (anew, last) = tracking(&process);
    assert!(anew.as_f64() > began.as_f64(), "{anew} {began}");
    assert_eq!(last, told);
    // What is used from now on is found in the new journal.
    let told = use_it(&process, key_id);
    process = process.restart(&mut store);
    assert_eq!(tracking(&process), (anew.clone(), told.clone()));
    // Something in the journal cannot be read.
    process.site.env.advance(HOUR);
    let site = process.end();
    let oldest = std::fs::read_dir(site.directory.path().join("journal")).unwrap();
    let oldest = oldest.map(|entry| entry.unwrap().path()).min().unwrap();
    std::fs::remove_file(oldest).unwrap();
    process = site.start(Arc::new(store.clone()));
    let (later, _) = tracking(&process);
    assert!(later.as_f64() > anew.as_f64(), "{later} {anew}");
    process.assert_clean();
}

#[test]
fn last_uses_move_under_the_newest_domain_key() {
    let (mut store, mut process) = started();
    let key_id = process.create_key();
    let told = use_it(&process, key_id);
    process.uses.write().unwrap();
    process.drain();
    let before = process.versions();
    process.run(31 * DAY, HOUR);
    process.drain();
    process.run(DAY, HOUR);
    assert!(process.versions().len() == 1 && process.versions() != before, "{:?}", process.versions());
    assert_eq!(is_used(&process, key_id), told);
    let later = use_it(&process, key_id);
    assert_ne!(later, told);
    process.uses.write().unwrap();
    process = process.restart(&mut store);
    assert_eq!(is_used(&process, key_id), later);
    process.assert_clean();
}
