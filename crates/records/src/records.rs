//! [`Records`]: reading rows, and handing writes to the committing thread.

use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use strongroom_crypto::{Keyring, KeyringEntry};
use strongroom_store::{Batch, BatchOutcome, Expect, Op, Precondition, Store};
use strongroom_types::{AccessKeyId, AccountId, AliasName, Env, KeyId, RegionName, limits};
use tokio::sync::oneshot;

use crate::address::{Address, RowScope};
use crate::caches::Caches;
use crate::committer::{self, Committer, Job};
use crate::error::{CommitError, RecordsError};
use crate::sealed::{load, open, parse};
use crate::states::{States, load_states, scopes};
use crate::tables::Row;
use crate::tables::access_key::AccessKeyRow;
use crate::tables::alias::AliasRow;
use crate::tables::deployment::DeploymentRow;
use crate::tables::key::KeyRow;
use crate::tables::outbox::OutboxRow;
use crate::tables::state::StateRow;
use crate::writes::{Loaded, Seen, Writes};

/// How much may be kept in memory and in flight.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Keys, and aliases likewise, whose rows are kept in memory.
    pub cached_rows_max: usize,
    /// Batches that wait for the committing thread.
    pub waiting_batches_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { cached_rows_max: 100_000, waiting_batches_max: 16_384 }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct CacheSizes {
    pub access_keys: usize,
    pub aliases: usize,
    pub keys: usize,
}

pub use crate::committer::CommitStats;

/// The rows of a deployment.
pub struct Records {
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    caches: Arc<Caches>,
    stats: Arc<CommitStats>,
    states: Arc<Mutex<States>>,
    /// Gone once the records are closed.
    jobs: RwLock<Option<SyncSender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Records {
    /// Writes the first rows of a new deployment: the keyring, what `writes` holds, and a state row per shard.
    pub fn initialise(
        store: &dyn Store,
        keyring: &Keyring,
        entries: &[KeyringEntry],
        regions: &[RegionName],
        writes: Writes,
    ) -> Result<(), CommitError> {
        let failed = |error: RecordsError| CommitError::Failed(error);
        let mut states = States::default();
        for scope in scopes(regions) {
            states.insert_new(scope);
        }
        let sealed = committer::seal(keyring, writes, Vec::new()).map_err(failed)?;
        states.apply(&sealed.deltas);
        let mut ops: Vec<Op> = entries
            .iter()
            .map(|entry| Op::Put {
                address: entry.name.to_string(),
                version: 1,
                value: entry.wrapped.clone(),
            })
            .collect();
        ops.extend(sealed.batch.ops);
        ops.extend(states.seal_all(keyring).map_err(failed)?);
        // A deployment of many regions has more first rows than one batch may hold; the group is still one transaction.
        let mut batches: Vec<Batch> = Vec::new();
        while !ops.is_empty() {
            let rest = ops.split_off(ops.len().min(limits::BATCH_OPS_MAX));
            batches.push(Batch { preconditions: Vec::new(), ops });
            ops = rest;
        }
        store.commit_group(&batches, &mut |_| Vec::new()).map_err(|e| committer::commit_error(&e))?;
        Ok(())
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
        batch.ops.push(Op::Put { address: entry_address, version: 1, value: entry.wrapped.clone() });
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
            latest: Arc::clone(&latest),
            regions: regions.to_vec(),
        };
        let thread = std::thread::Builder::new()
            .name("strongroom-commit".into())
            .spawn(move || committer.run(&queue))
            .map_err(|source| RecordsError::Thread { source })?;
        let jobs = RwLock::new(Some(jobs));
        Ok(Self { store, keyring, caches, stats, states: latest, jobs, thread: Mutex::new(Some(thread)) })
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

    /// Any row, from the store.
    pub fn load<R: Row>(&self, address: &Address) -> Result<Option<Loaded<R>>, RecordsError> {
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
        rows.into_iter().map(|(address, row)| open(&self.keyring, &parse(&address)?, &row)).collect()
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
        self.states.lock().unwrap_or_else(PoisonError::into_inner).to_bytes()
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
