//! The one thread that commits.
//!
//! Requests seal their rows on their own threads and hand the batch over; this thread takes everything that waits,
//! commits it as one group with one sync, moves the state rows of the shards it touched in the same transaction,
//! applies the changes to the caches, and only then answers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use strongroom_crypto::{CryptoError, Keyring, SetHash, sealed_tag};
use strongroom_store::{Batch, BatchOutcome, Expect, Op, Precondition, Store};
use strongroom_types::{Env, LatencyHistogram, RegionName};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::address::{Address, RowScope};
use crate::caches::{Caches, Change};
use crate::error::{CommitError, RecordsError};
use crate::sealed::cell;
use crate::states::{Delta, States, row_mac};
use crate::tables::Row;
use crate::tables::outbox::OutboxRow;
use crate::walk::{Gate, Move};
use crate::writes::{Kept, Loaded, Mark, Seen, Write, Writes};

/// Batches that go into one transaction: bounded so that one sync is not waited for too long.
const GROUP_JOBS_MAX: usize = 256;

/// Root-wrapped keys are written once and never changed.
pub(crate) const WRAPPED_VERSION: u64 = 1;

/// A batch on its way, with the one who waits for it.
pub(crate) struct Job {
    pub(crate) sealed: Sealed,
    pub(crate) reply: oneshot::Sender<Result<(), CommitError>>,
}

/// Writes made ready for the store.
pub(crate) struct Sealed {
    pub(crate) batch: Batch,
    /// The keyring's when sealing began: a row of an older epoch may be sealed under a domain key that is to be destroyed.
    epoch: u64,
    pub(crate) deltas: Vec<Delta>,
    /// One for each operation of the batch.
    moves: Vec<Move>,
    changes: Vec<Change>,
}

/// How long commits take and how many there were; read by the metrics.
#[derive(Debug, Default)]
pub struct CommitStats {
    pub batches: AtomicU64,
    pub conflicts: AtomicU64,
    pub failures: AtomicU64,
    pub(crate) failing: AtomicBool,
    /// From taking a group up to its answers.
    pub latency: LatencyHistogram,
}

pub(crate) struct Committer {
    pub(crate) env: Arc<dyn Env>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) caches: Arc<Caches>,
    pub(crate) stats: Arc<CommitStats>,
    pub(crate) outbox: Sender<Loaded<OutboxRow>>,
    /// `None` after a commit whose outcome is unknown, until they have been read again.
    pub(crate) states: Option<States>,
    /// The outbox rows of batches whose outcome is unknown. They belong to one group: until it is settled there is no
    /// other.
    pub(crate) unsettled: Vec<Address>,
    /// How often a failing store is asked whether it works again.
    pub(crate) probe_every: Duration,
    /// The states as the last group left them, for whoever writes checkpoints.
    pub(crate) latest: Arc<Mutex<States>>,
    pub(crate) regions: Vec<RegionName>,
    pub(crate) gate: Arc<Gate>,
}

impl Committer {
    pub(crate) fn run(mut self, queue: &Receiver<Job>) {
        while let Some(first) = self.next_job(queue) {
            let mut jobs = vec![first];
            while jobs.len() < GROUP_JOBS_MAX {
                let Ok(job) = queue.try_recv() else { break };
                jobs.push(job);
            }
            self.commit(jobs);
        }
    }

    fn commit(&mut self, jobs: Vec<Job>) {
        let started = self.env.monotonic();
        let mut jobs = self.refuse_outdated(jobs);
        if jobs.is_empty() {
            return;
        }
        let mut next = match self.known_states() {
            Ok(states) => states,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "state rows cannot be read");
                return self.refuse(jobs, || CommitError::Failed(RecordsError::NotWritten));
            }
        };
        let batches: Vec<Batch> = jobs.iter_mut().map(|job| std::mem::take(&mut job.sealed.batch)).collect();
        let mut seal_error = None;
        let gate = Arc::clone(&self.gate);
        // Held until a walk knows what this group did to the rows it has read.
        let mut walk = gate.enter();
        let result = self.store.commit_group(&batches, &mut |outcomes| {
            for (job, outcome) in jobs.iter().zip(outcomes) {
                if matches!(outcome, BatchOutcome::Applied) {
                    next.apply(&job.sealed.deltas);
                }
            }
            next.seal_touched(&self.keyring).unwrap_or_else(|error| {
                seal_error = Some(error);
                Vec::new()
            })
        });
        if let Some(error) = seal_error {
            // The rows are in, their state row is not: `check` will say so. AES-GCM over forty bytes does not fail.
            tracing::error!(error = &error as &dyn std::error::Error, "a state row could not be sealed");
        }
        match result {
            Ok(group) => {
                next.settle();
                self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&next);
                self.states = Some(next);
                self.stats.set_failing(false);
                if let Some(walk) = walk.as_mut() {
                    let moves = jobs.iter().map(|job| job.sealed.moves.as_slice());
                    walk.committed(&batches, moves, &group.outcomes);
                }
                drop(walk);
                self.answer(jobs, &group.outcomes);
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    batches = jobs.len(),
                    "commit failed"
                );
                self.stats.set_failing(true);
                if matches!(error, strongroom_store::CommitError::Unknown(_)) {
                    self.lose_outcome(&jobs);
                    if let Some(walk) = walk.as_mut() {
                        walk.lose();
                    }
                }
                drop(walk);
                self.refuse(jobs, || commit_error(&error));
            }
        }
        self.stats.latency.observe(started.until(self.env.monotonic()));
    }

    /// Refuses batches that were sealed before the newest domain key was taken up, as if their rows had changed: decided
    /// again, they are sealed under the new one. So once a group has been committed in this epoch, no later one brings a
    /// row of an older domain key, and what refers to that can be counted (see `renewal`).
    fn refuse_outdated(&self, jobs: Vec<Job>) -> Vec<Job> {
        let epoch = self.keyring.epoch();
        let (kept, outdated): (Vec<_>, Vec<_>) =
            jobs.into_iter().partition(|job| job.sealed.epoch == epoch || job.sealed.first_put().is_none());
        for job in outdated {
            self.stats.conflicts.fetch_add(1, Ordering::Relaxed);
            let address = job.sealed.first_put().unwrap_or_default().to_owned();
            let _ = job.reply.send(Err(CommitError::Conflict { address }));
        }
        kept
    }

    /// The states to build on. After an unknown outcome they are read again, and until that succeeds nothing is
    /// committed: a state row that misses one batch would accuse the store for ever.
    fn known_states(&mut self) -> Result<States, RecordsError> {
        match &self.states {
            Some(states) => Ok(states.clone()),
            None => self.take_stock(),
        }
    }

    fn answer(&self, jobs: Vec<Job>, outcomes: &[BatchOutcome]) {
        for (job, outcome) in jobs.into_iter().zip(outcomes) {
            let Job { sealed, reply } = job;
            let answer = match outcome {
                BatchOutcome::Applied => {
                    self.stats.batches.fetch_add(1, Ordering::Relaxed);
                    for change in sealed.changes {
                        if let Some(outbox) = self.caches.apply(change) {
                            // The drainer outlives the commits; were it gone, the row stays for the next start.
                            let _ = self.outbox.send(outbox);
                        }
                    }
                    Ok(())
                }
                BatchOutcome::Conflict { address } => {
                    self.stats.conflicts.fetch_add(1, Ordering::Relaxed);
                    Err(CommitError::Conflict { address: address.clone() })
                }
            };
            // The request may have been cancelled; its commit stands.
            let _ = reply.send(answer);
        }
    }

    /// Nothing, or nobody knows what, was written: what memory holds of these rows is dropped.
    fn refuse(&self, jobs: Vec<Job>, error: impl Fn() -> CommitError) {
        self.stats.failures.fetch_add(1, Ordering::Relaxed);
        for change in jobs.iter().flat_map(|job| &job.sealed.changes) {
            self.caches.forget(&change.address);
        }
        for job in jobs {
            let _ = job.reply.send(Err(error()));
        }
    }
}

/// The version of a row that was not there: random, with room to count up from.
///
/// Were it always 1, a row that was deleted and made again would have a version that its predecessor had too, and whoever
/// had read the predecessor could overwrite the successor without a conflict.
fn first_version() -> Result<u64, CryptoError> {
    Ok(u64::from_be_bytes(strongroom_crypto::random_array()?) >> 2)
}

pub(crate) fn commit_error(error: &strongroom_store::CommitError) -> CommitError {
    match error {
        strongroom_store::CommitError::Failed(_) => CommitError::Failed(RecordsError::NotWritten),
        strongroom_store::CommitError::Unknown(_) => CommitError::Unknown,
    }
}

/// Seals the rows of `writes` and works out how they move their shards' states.
pub(crate) fn seal(keyring: &Keyring, writes: Writes, seen: Vec<Seen>) -> Result<Sealed, RecordsError> {
    // INVARIANT: read before anything is sealed.
    let epoch = keyring.epoch();
    let mut sealed = Sealed {
        batch: Batch::default(),
        epoch,
        deltas: Vec::with_capacity(1),
        moves: Vec::new(),
        changes: Vec::new(),
    };
    for seen in seen.into_iter().filter(|seen| !writes.replace(seen)) {
        let expect = seen.version.map_or(Expect::Absent, Expect::Version);
        let address = seen.address.as_str().to_owned();
        sealed.batch.preconditions.push(Precondition { address, expect });
    }
    for write in writes.writes {
        sealed.add(keyring, write)?;
    }
    Ok(sealed)
}

/// A key's row never brings a material under an older domain key than the row itself.
fn under_newest_domain_key(
    keyring: &Keyring,
    plain: Zeroizing<Vec<u8>>,
    mut kept: Kept,
) -> (Zeroizing<Vec<u8>>, Kept) {
    let rewrapped = match &mut kept {
        Kept::Key(row) => row.rewrap(keyring).then(|| row.encode()),
        _ => None,
    };
    (rewrapped.unwrap_or(plain), kept)
}

impl Sealed {
    pub(crate) fn changes(&self) -> &[Change] {
        &self.changes
    }

    fn add(&mut self, keyring: &Keyring, write: Write) -> Result<(), RecordsError> {
        let (address, replaces, row) = match write {
            Write::Delete { address, replaces } => (address, Some(replaces), None),
            Write::Put { address, replaces, plain, kept } => (address, replaces, Some((plain, kept))),
            Write::DeleteWrapped { name } => {
                let delete = Op::Delete { address: name.to_string() };
                return self.wrapped(delete, Expect::Version(WRAPPED_VERSION));
            }
            Write::PutWrapped { entry } => {
                let (address, value) = (entry.name.to_string(), entry.wrapped);
                return self.wrapped(Op::Put { address, version: WRAPPED_VERSION, value }, Expect::Absent);
            }
            Write::Touch { scope } => {
                self.delta(&scope);
                return Ok(());
            }
        };
        let row = row.map(|(plain, kept)| under_newest_domain_key(keyring, plain, kept));
        let text = address.as_str().to_owned();
        let expect = replaces.map_or(Expect::Absent, |mark| Expect::Version(mark.version));
        self.batch.preconditions.push(Precondition { address: text.clone(), expect });
        let mut moved = Move::default();
        if let Some(mark) = replaces {
            self.delta(address.scope()).rows_removed += 1;
            moved.rows -= 1;
            self.toggle(keyring, &address, mark, &mut moved)?;
        }
        let Some((plain, kept)) = row else {
            self.batch.ops.push(Op::Delete { address: text });
            self.moves.push(moved);
            self.changes.push(Change { address, row: None });
            return Ok(());
        };
        let seal_error = |source| RecordsError::Seal { address: address.to_string(), source };
        let version = match replaces {
            Some(mark) => mark.version.saturating_add(1),
            None => first_version().map_err(seal_error)?,
        };
        let value = keyring.seal_row(&cell(&address, version), &plain).map_err(seal_error)?;
        let tag = sealed_tag(&value).unwrap_or_default();
        let mark = Mark { version, tag };
        self.delta(address.scope()).rows_added += 1;
        moved.rows += 1;
        self.toggle(keyring, &address, mark, &mut moved)?;
        self.moves.push(moved);
        self.batch.ops.push(Op::Put { address: text, version, value });
        self.changes.push(Change { address, row: Some((mark, kept)) });
        Ok(())
    }

    /// A root-wrapped key: not sealed, not in any shard's state, in nobody's memory until it is taken up.
    fn wrapped(&mut self, op: Op, expect: Expect) -> Result<(), RecordsError> {
        let address = op.address().to_owned();
        self.batch.preconditions.push(Precondition { address, expect });
        self.batch.ops.push(op);
        self.moves.push(Move::default());
        Ok(())
    }

    /// The first sealed row that this puts.
    fn first_put(&self) -> Option<&str> {
        let mut puts = self.changes.iter().filter(|change| change.row.is_some());
        puts.next().map(|change| change.address.as_str())
    }

    fn delta(&mut self, scope: &RowScope) -> &mut Delta {
        let at = self.deltas.iter().position(|delta| delta.scope == *scope);
        let at = at.unwrap_or_else(|| {
            let scope = scope.clone();
            self.deltas.push(Delta { scope, hash: SetHash::default(), rows_added: 0, rows_removed: 0 });
            self.deltas.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "`at` was found in or just pushed to this vector")]
        &mut self.deltas[at]
    }

    /// Puts a row into the set-hash, or takes it out: XOR does both.
    fn toggle(
        &mut self,
        keyring: &Keyring,
        address: &Address,
        mark: Mark,
        moved: &mut Move,
    ) -> Result<(), RecordsError> {
        let mac = row_mac(keyring, address, mark)?;
        moved.hash.xor(&mac);
        self.delta(address.scope()).hash.xor(&mac);
        Ok(())
    }
}
