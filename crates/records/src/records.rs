//! [`Records`]: reading rows, and handing writes to the committing thread.

use std::collections::BTreeSet;
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use strongroom_crypto::{Keyring, KeyringEntry};
use strongroom_store::{Batch, BatchOutcome, Expect, Op, Precondition, Store};
use strongroom_types::{AccessKeyId, AccountId, AliasName, Env, KeyId, RegionName, UniqueId, limits};
use tokio::sync::oneshot;

use crate::address::{Address, RowScope};
use crate::caches::Caches;
use crate::committer::{self, Committer, Job, WRAPPED_VERSION};
use crate::error::{CommitError, RecordsError};
use crate::grants::GrantCache;
use crate::sealed::{load, open, parse};
use crate::standing::Standing;
use crate::states::{States, load_states, scopes};
use crate::tables::Row;
use crate::tables::access_key::AccessKeyRow;
use crate::tables::alias::AliasRow;
use crate::tables::deployment::DeploymentRow;
use crate::tables::identity::IdentityRow;
use crate::tables::key::KeyRow;
use crate::tables::outbox::OutboxRow;
use crate::tables::state::StateRow;
use crate::walk::Gate;
use crate::writes::{Loaded, Seen, Writes};

/// How much may be kept in memory and in flight.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Keys, and aliases likewise, whose rows are kept in memory.
    pub cached_rows_max: usize,
    /// Batches that wait for the committing thread.
    pub waiting_batches_max: usize,
    /// How often a store that fails is asked whether it works again.
    pub probe_every: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { cached_rows_max: 125_000, waiting_batches_max: 16_384, probe_every: Duration::from_secs(1) }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct CacheSizes {
    pub access_keys: usize,
    pub aliases: usize,
    pub keys: usize,
}

pub use crate::committer::CommitStats;

/// The first rows of a deployment, sealed and not written yet.
pub struct FirstRows {
    batches: Vec<Batch>,
    standing: Standing,
}

impl FirstRows {
    /// What all shards will hold.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Writes them, in one transaction.
    pub fn write(self, store: &dyn Store) -> Result<(), CommitError> {
        store.commit_group(&self.batches, &mut |_| Vec::new()).map_err(|e| committer::commit_error(&e))?;
        Ok(())
    }
}

/// What a verification reads with.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) keyring: &'a Keyring,
    pub(crate) regions: &'a [RegionName],
    pub(crate) gate: &'a Gate,
}

/// Some rows of a walk.
pub struct Page<R> {
    pub rows: Vec<Result<Loaded<R>, RecordsError>>,
    /// The address of the last row that was met, wanted or not: where to go on. `None` at the end.
    pub last: Option<String>,
}

/// The rows of a deployment.
pub struct Records {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keyring: Arc<Keyring>,
    caches: Arc<Caches>,
    stats: Arc<CommitStats>,
    states: Arc<Mutex<States>>,
    regions: Vec<RegionName>,
    gate: Arc<Gate>,
    /// Rows that the states of their shards do not know. Nobody is given them.
    distrusted: RwLock<BTreeSet<String>>,
    /// Gone once the records are closed.
    jobs: RwLock<Option<SyncSender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Records {
    /// Makes the first rows of a new deployment: the keyring, what `writes` holds, and a state row per shard.
    pub fn prepare(
        keyring: &Keyring,
        entries: &[KeyringEntry],
        regions: &[RegionName],
        writes: Writes,
    ) -> Result<FirstRows, RecordsError> {
        let mut states = States::default();
        for scope in scopes(regions) {
            states.insert_new(scope);
        }
        let sealed = committer::seal(keyring, writes, Vec::new())?;
        states.apply(&sealed.deltas);
        let mut ops: Vec<Op> = entries
            .iter()
            .map(|entry| Op::Put {
                address: entry.name.to_string(),
                version: WRAPPED_VERSION,
                value: entry.wrapped.clone(),
            })
            .collect();
        ops.extend(sealed.batch.ops);
        ops.extend(states.seal_all(keyring)?);
        // A deployment of many regions has more first rows than one batch may hold; the group is still one transaction.
        let mut batches: Vec<Batch> = Vec::new();
        while !ops.is_empty() {
            let rest = ops.split_off(ops.len().min(limits::BATCH_OPS_MAX));
            batches.push(Batch { preconditions: Vec::new(), ops });
            ops = rest;
        }
        Ok(FirstRows { batches, standing: states.standing() })
    }

    /// [`prepare`](Self::prepare) and [`FirstRows::write`] in one.
    pub fn initialise(
        store: &dyn Store,
        keyring: &Keyring,
        entries: &[KeyringEntry],
        regions: &[RegionName],
        writes: Writes,
    ) -> Result<(), CommitError> {
        Self::prepare(keyring, entries, regions, writes).map_err(CommitError::Failed)?.write(store)
    }

    /// Adds a region to a deployment that nobody serves: its domain key (`entry`, of which `keyring` knows already), its
    /// state row, its name in the deployment row, and the record of all that, in one batch.
    pub fn add_region(
        store: &dyn Store,
        keyring: &Keyring,
        region: &RegionName,
        entry: &KeyringEntry,
        mut record: Writes,
    ) -> Result<(), CommitError> {
        let failed = |error: RecordsError| CommitError::Failed(error);
        let address = DeploymentRow::address();
        let missing = || failed(RecordsError::MissingRow { address: address.to_string() });
        let loaded = load::<DeploymentRow>(store, keyring, &address).map_err(failed)?.ok_or_else(missing)?;
        let mut states = load_states(store, keyring, &loaded.regions).map_err(failed)?;
        let scope = RowScope::Region(region.clone());
        let state_address = StateRow::address(&scope);
        states.insert_new(scope);
        let mut regions = loaded.regions.clone();
        regions.push(region.clone());
        regions.sort();
        record.update(&loaded, DeploymentRow { regions, ..(*loaded).clone() });
        let mut batch = committer::seal(keyring, record, Vec::new()).map_err(failed).map(|sealed| {
            states.apply(&sealed.deltas);
            sealed.batch
        })?;
        let entry_address = entry.name.to_string();
        for address in [entry_address.clone(), state_address.to_string()] {
            batch.preconditions.push(Precondition { address, expect: Expect::Absent });
        }
        let value = entry.wrapped.clone();
        batch.ops.push(Op::Put { address: entry_address, version: WRAPPED_VERSION, value });
        batch.ops.extend(states.seal_touched(keyring).map_err(failed)?);
        let group =
            store.commit_group(&[batch], &mut |_| Vec::new()).map_err(|e| committer::commit_error(&e))?;
        match group.outcomes.into_iter().next() {
            Some(BatchOutcome::Conflict { address }) => Err(CommitError::Conflict { address }),
            Some(BatchOutcome::Applied) | None => Ok(()),
        }
    }

    /// Takes up an initialised store and starts the committing thread. Outbox rows go to `outbox` once they are committed.
    pub fn open(
        store: Arc<dyn Store>,
        keyring: Arc<Keyring>,
        regions: &[RegionName],
        limits: Limits,
        env: Arc<dyn Env>,
        outbox: mpsc::Sender<Loaded<OutboxRow>>,
    ) -> Result<Self, RecordsError> {
        let states = load_states(&*store, &keyring, regions)?;
        let latest = Arc::new(Mutex::new(states.clone()));
        let gate = Arc::new(Gate::default());
        let caches = Arc::new(Caches::new(limits.cached_rows_max));
        let stats = Arc::new(CommitStats::default());
        let (jobs, queue) = mpsc::sync_channel(limits.waiting_batches_max);
        let committer = Committer {
            env,
            store: Arc::clone(&store),
            keyring: Arc::clone(&keyring),
            caches: Arc::clone(&caches),
            stats: Arc::clone(&stats),
            outbox,
            states: Some(states),
            unsettled: Vec::new(),
            probe_every: limits.probe_every,
            latest: Arc::clone(&latest),
            regions: regions.to_vec(),
            gate: Arc::clone(&gate),
        };
        let thread = std::thread::Builder::new()
            .name("strongroom-commit".into())
            .spawn(move || committer.run(&queue))
            .map_err(|source| RecordsError::Thread { source })?;
        let jobs = RwLock::new(Some(jobs));
        Ok(Self {
            store,
            keyring,
            caches,
            stats,
            states: latest,
            regions: regions.to_vec(),
            gate,
            distrusted: RwLock::default(),
            jobs,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// A key of a region, from memory if it is there.
    pub fn key(
        &self,
        region: &RegionName,
        key_id: &KeyId,
    ) -> Result<Option<Arc<Loaded<KeyRow>>>, RecordsError> {
        let place = (region.clone(), *key_id);
        self.caches.keys.get_or_load(&place, || self.load(&KeyRow::address(region, key_id)))
    }

    /// An alias of an account in a region, from memory if it is there.
    pub fn alias(
        &self,
        region: &RegionName,
        account: AccountId,
        name: &AliasName,
    ) -> Result<Option<Arc<Loaded<AliasRow>>>, RecordsError> {
        let place = (region.clone(), account, name.clone());
        self.caches.aliases.get_or_load(&place, || self.load(&AliasRow::address(region, account, name)))
    }

    /// A signing credential, from memory if it is there.
    pub fn access_key(&self, id: &AccessKeyId) -> Result<Option<Arc<Loaded<AccessKeyRow>>>, RecordsError> {
        self.caches.access_keys.get_or_load(id, || self.load(&AccessKeyRow::address(id)))
    }

    pub(crate) fn grant_cache(&self) -> &GrantCache {
        &self.caches.grants
    }

    /// A user or a role, from memory if it is there.
    pub fn identity(&self, id: &UniqueId) -> Result<Option<Arc<Loaded<IdentityRow>>>, RecordsError> {
        self.caches.identities.get_or_load(id, || self.load(&IdentityRow::address(id)))
    }

    /// Any row, from the store.
    pub fn load<R: Row>(&self, address: &Address) -> Result<Option<Loaded<R>>, RecordsError> {
        self.check_trusted(address)?;
        load(&*self.store, &self.keyring, address)
    }

    /// Rows whose addresses begin with `prefix`, in the order of their addresses, strictly after `after`.
    pub fn scan<R: Row>(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Loaded<R>>, RecordsError> {
        let rows = self.store.scan(prefix, after, limit)?;
        let opened = rows.into_iter().map(|(address, row)| {
            let address = parse(&address)?;
            self.check_trusted(&address)?;
            open(&self.keyring, &address, &row)
        });
        opened.collect()
    }

    /// Like [`scan`](Self::scan), for those who walk all rows and must get past one that cannot be trusted: each row opens
    /// or does not. Rows that are not wanted are not opened.
    pub fn page<R: Row>(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        wanted: impl Fn(&Address) -> bool,
    ) -> Result<Page<R>, RecordsError> {
        let stored = self.store.scan(prefix, after, limit)?;
        let last = stored.last().map(|(address, _)| address.clone());
        let mut rows = Vec::new();
        for (text, row) in stored {
            match parse(&text) {
                Ok(address) if wanted(&address) => {
                    let trusted = self.check_trusted(&address);
                    rows.push(trusted.and_then(|()| open(&self.keyring, &address, &row)));
                }
                Ok(_) => {}
                Err(error) => rows.push(Err(error)),
            }
        }
        Ok(Page { rows, last })
    }

    /// Removes from the store's log whatever was deleted or overwritten before this call.
    pub fn truncate_log(&self) -> Result<(), RecordsError> {
        Ok(self.store.truncate_log()?)
    }

    /// Commits `writes` if every row in `seen`, and every row that `writes` replaces, is still as it was read.
    ///
    /// When this returns `Ok`, the batch is durable and every cache of this process says what it says. The batch is
    /// handed to the committing thread before the future is first polled; dropping the future does not stop it.
    pub fn commit(
        &self,
        writes: Writes,
        seen: Vec<Seen>,
    ) -> impl Future<Output = Result<(), CommitError>> + Send + use<> {
        let answer = self.submit(writes, seen);
        async move { answer?.await.unwrap_or(Err(CommitError::Closed)) }
    }

    /// [`commit`](Self::commit) for threads that may block.
    pub fn commit_blocking(&self, writes: Writes, seen: Vec<Seen>) -> Result<(), CommitError> {
        self.submit(writes, seen)?.blocking_recv().unwrap_or(Err(CommitError::Closed))
    }

    fn submit(
        &self,
        writes: Writes,
        seen: Vec<Seen>,
    ) -> Result<oneshot::Receiver<Result<(), CommitError>>, CommitError> {
        let sealed = committer::seal(&self.keyring, writes, seen).map_err(CommitError::Failed)?;
        // Past a limit the store refuses the whole group: such a batch must not join one.
        sealed.batch.check().map_err(|error| CommitError::Failed(error.into()))?;
        let (reply, answer) = oneshot::channel();
        let jobs = self.jobs.read().unwrap_or_else(PoisonError::into_inner);
        let jobs = jobs.as_ref().ok_or(CommitError::Closed)?;
        jobs.try_send(Job { sealed, reply }).map_err(|error| match error {
            mpsc::TrySendError::Full(_) => CommitError::Failed(RecordsError::Overloaded),
            mpsc::TrySendError::Disconnected(_) => CommitError::Closed,
        })?;
        Ok(answer)
    }

    pub fn cache_sizes(&self) -> CacheSizes {
        CacheSizes {
            access_keys: self.caches.access_keys.len(),
            aliases: self.caches.aliases.len(),
            keys: self.caches.keys.len(),
        }
    }

    /// What every shard holds after the last commit, as audit checkpoints name it.
    pub fn state(&self) -> Vec<u8> {
        self.standing().to_bytes()
    }

    /// What every shard holds after the last commit.
    pub fn standing(&self) -> Standing {
        self.states.lock().unwrap_or_else(PoisonError::into_inner).standing()
    }

    /// Refuses a row from now on: it opens, but the state of its shard does not know it.
    pub(crate) fn distrust(&self, address: &Address) {
        let mut distrusted = self.distrusted.write().unwrap_or_else(PoisonError::into_inner);
        distrusted.insert(address.as_str().to_owned());
        drop(distrusted);
        self.caches.forget(address);
    }

    pub(crate) fn check_trusted(&self, address: &Address) -> Result<(), RecordsError> {
        let distrusted = self.distrusted.read().unwrap_or_else(PoisonError::into_inner);
        if distrusted.contains(address.as_str()) {
            let reason = "the state of its shard does not know it";
            return Err(RecordsError::BadRow { address: address.to_string(), reason, source: None });
        }
        Ok(())
    }

    /// The parts that a verification reads with.
    pub(crate) fn reading(&self) -> Reading<'_> {
        Reading { store: &*self.store, keyring: &self.keyring, regions: &self.regions, gate: &self.gate }
    }

    pub fn commit_stats(&self) -> Arc<CommitStats> {
        Arc::clone(&self.stats)
    }

    /// Ends the committing thread once it has answered everything handed to it. Commits after this are refused.
    pub fn close(&self) {
        *self.jobs.write().unwrap_or_else(PoisonError::into_inner) = None;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic of the committing thread has been printed by the panic hook; there is nothing left to close.
            let _ = thread.join();
        }
    }
}
