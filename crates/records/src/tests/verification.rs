//! The verification that runs beside the requests.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use strongroom_testkit::random::SeededRandom;
use strongroom_testkit::store::{Call, Fault};

use super::*;
use crate::{RecordsError, Verdict, Verifier};

/// What a verification of the deployment finds, and how many rows it has read.
fn verified(records: &Arc<Records>, env: &Arc<SeededEnv>) -> (Verdict, u64) {
    let verifier = Verifier::start(Arc::clone(records), env.clone()).unwrap();
    let verification = verifier.verification();
    verifier.join();
    (verification.verdict(), verification.rows())
}

/// A deployment whose records can be shared with the verifying thread.
struct Shared {
    env: Arc<SeededEnv>,
    records: Arc<Records>,
    store: MemoryStore,
    /// In a lock so that threads can share the whole.
    _outbox: Mutex<Receiver<Loaded<OutboxRow>>>,
}

impl Shared {
    fn new(deployment: Deployment) -> Self {
        let Deployment { env, outbox, records, store, .. } = deployment;
        Self { env, records: Arc::new(records), store, _outbox: Mutex::new(outbox) }
    }

    fn verdict(&self) -> Verdict {
        verified(&self.records, &self.env).0
    }

    fn problems(&self) -> Vec<String> {
        match self.verdict() {
            Verdict::Unsound { problems, total } => {
                assert_eq!(problems.len() as u64, total);
                problems
            }
            verdict => panic!("{verdict:?}"),
        }
    }

    fn commit_account(&self, number: u64, millis: u64) {
        let mut writes = Writes::default();
        match self.records.load::<AccountRow>(&AccountRow::address(numbered(number))).unwrap() {
            Some(loaded) => writes.update(&loaded, account_row(number, millis)),
            None => writes.create(AccountRow::address(numbered(number)), account_row(number, millis)),
        }
        self.records.commit_blocking(writes, Vec::new()).unwrap();
    }

    fn delete_account(&self, number: u64) {
        let address = AccountRow::address(numbered(number));
        let mut writes = Writes::default();
        writes.delete(&self.records.load::<AccountRow>(&address).unwrap().unwrap());
        self.records.commit_blocking(writes, Vec::new()).unwrap();
    }

    fn stored(&self, number: u64) -> strongroom_store::Row {
        self.store.rows()[AccountRow::address(numbered(number)).as_str()].clone()
    }

    fn put(&self, number: u64, row: strongroom_store::Row) {
        let address = AccountRow::address(numbered(number)).as_str().to_owned();
        self.store.tamper(|rows| drop(rows.insert(address, row)));
    }
}

#[test]
fn an_old_row_put_back_is_found_by_its_shard() {
    let shared = Shared::new(Deployment::new());
    shared.commit_account(7, 1);
    let old = shared.stored(7);
    shared.commit_account(7, 2);
    shared.put(7, old);
    let [problem] = &shared.problems()[..] else { panic!("not one problem") };
    assert!(problem.starts_with("shard `global` holds a row that is not the one last written"), "{problem}");
}

#[test]
fn a_deleted_row_put_back_is_named_and_refused() {
    let shared = Shared::new(Deployment::new());
    shared.commit_account(7, 1);
    let old = shared.stored(7);
    shared.delete_account(7);
    shared.put(7, old);
    let address = AccountRow::address(numbered(7));
    // Nothing in the row shows what it is.
    assert!(shared.records.load::<AccountRow>(&address).unwrap().is_some());
    let problems = shared.problems();
    assert_eq!(problems[0], "shard `global` should hold 3 rows and holds 4");
    assert!(problems[1].starts_with(&format!("row `{address}` is unknown to the state of its shard")));
    for refused in [
        shared.records.load::<AccountRow>(&address).map(|_| ()),
        shared.records.scan::<AccountRow>("account/", None, 10).map(|_| ()),
    ] {
        let Err(RecordsError::BadRow { address: named, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(named, address.as_str());
    }
    shared.records.load::<AccountRow>(&AccountRow::address(account())).unwrap().unwrap();
}

#[test]
fn a_deleted_alias_put_back_is_refused_although_it_was_cached() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(&us(), &["alias/gone"]);
    let address = AliasRow::address(&us(), account(), &alias_name("alias/gone"));
    let old = deployment.store.rows()[address.as_str()].clone();
    let mut writes = Writes::default();
    writes.delete(&*deployment.records.alias(&us(), account(), &alias_name("alias/gone")).unwrap().unwrap());
    let mut row = (*deployment.key(&key_id)).clone();
    row.remove_alias(&alias_name("alias/gone"));
    writes.update(&deployment.key(&key_id), row);
    deployment.records.commit_blocking(writes, Vec::new()).unwrap();
    deployment.store.tamper(|rows| drop(rows.insert(address.as_str().to_owned(), old)));
    let shared = Shared::new(deployment);
    let look = || shared.records.alias(&us(), account(), &alias_name("alias/gone"));
    assert!(look().unwrap().is_some());
    let problems = shared.problems();
    assert!(problems.contains(&format!("alias row `{address}` is not listed by its target")), "{problems:?}");
    assert!(matches!(look(), Err(RecordsError::BadRow { .. })));
}

#[test]
fn a_removed_row_is_named_by_what_refers_to_it() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(&us(), &["alias/a"]);
    deployment.store.tamper(|rows| drop(rows.remove(KeyRow::address(&us(), &key_id).as_str())));
    let problems = Shared::new(deployment).problems();
    assert_eq!(
        problems,
        [
            format!("index row `account-key/us-east-1/{}/{key_id}` has no key", account()),
            format!("alias row `alias/us-east-1/{}/alias/a` is not listed by its target", account()),
            "shard `us-east-1` should hold 3 rows and holds 2".to_owned(),
        ]
    );
}

#[test]
fn a_row_that_does_not_open_is_named() {
    let shared = Shared::new(Deployment::new());
    shared.commit_account(7, 1);
    let mut row = shared.stored(7);
    row.value[40] ^= 1;
    shared.put(7, row);
    // Its tag is what it was, so the shard's hash cannot tell.
    let [problem] = &shared.problems()[..] else { panic!("not one problem") };
    assert!(problem.starts_with("row `account/global/000000000007` cannot be trusted"), "{problem}");
}

#[test]
fn a_store_that_fails_is_verified_when_it_works_again() {
    let shared = Shared::new(Deployment::new());
    shared.store.fail_next(Call::Scan, Fault::Fail);
    assert_eq!(shared.verdict(), Verdict::Sound);
}

#[test]
fn a_sound_store_of_many_pages_is_sound() {
    let shared = Shared::new(Deployment::new());
    for number in 0..200 {
        shared.commit_account(number, 1);
    }
    let (verdict, rows) = verified(&shared.records, &shared.env);
    assert_eq!((verdict, rows), (Verdict::Sound, shared.store.rows().len() as u64));
}

/// Rows before and behind the place that the walk has reached change all the time; it counts every one of them once.
#[test]
fn commits_during_the_walk_do_not_disturb_it() {
    let shared = Shared::new(Deployment::new());
    for number in 0..300 {
        shared.commit_account(number, 1);
    }
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in 0..3 {
            let (shared, is_over) = (&shared, &is_over);
            scope.spawn(move || {
                let mut random = SeededRandom::new(seed);
                while !is_over.load(Ordering::Relaxed) {
                    // Each thread has rows of its own, spread over all pages.
                    let number = random.below(100) * 3 + seed;
                    if random.chance(300) && number != 0 {
                        shared.delete_account(number);
                    }
                    shared.commit_account(number, random.next_u64() >> 20);
                }
            });
        }
        let verdicts: Vec<_> = (0..20).map(|_| shared.verdict()).collect();
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(verdicts, vec![Verdict::Sound; 20]);
    });
    // What somebody else did is found all the same, and stays found.
    let old = shared.stored(1);
    shared.commit_account(1, 77);
    shared.put(1, old);
    for number in 0..200 {
        shared.commit_account(number, 2);
    }
    assert!(matches!(shared.verdict(), Verdict::Unsound { .. }));
}
