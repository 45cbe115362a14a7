//! The in-memory store.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use strongroom_store::{Batch, BatchOutcome, CommitError, GroupCommit, Op, Row, Store, StoreError, check};

use super::fault::{Call, Fault, FaultPlan, FaultRates};
use super::interruption::Interruption;

/// Rows in memory with the semantics of [`Store`], and faults by order or by seed.
///
/// Clones are the same store in the same process. [`restart`](Self::restart) gives the store as the next process finds
/// it: with the same rows, without faults, and with the old handles dead.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    disk: Arc<Mutex<Disk>>,
    process: Arc<Mutex<Process>>,
    /// Held by a group from its first look at the rows to its last change of them.
    committing: Arc<Mutex<()>>,
    interruption: Arc<Interruption>,
}

/// What outlives the process.
#[derive(Debug, Default)]
struct Disk {
    rows: BTreeMap<String, Row>,
    revision: u64,
}

#[derive(Debug, Default)]
struct Process {
    state: State,
    faults: FaultPlan,
    late: Option<Late>,
    counters: Counters,
}

/// A group whose outcome is not decided yet.
#[derive(Debug)]
struct Late {
    refusals_left: u32,
    staged: Staged,
}

/// So many calls are refused before a late outcome is decided.
const LATE_REFUSALS: u32 = 3;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    Closed,
    Crashed,
    #[default]
    Running,
}

/// What this process has asked of the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// All calls, those that failed too.
    pub calls: u64,
    pub commit_groups: u64,
    /// Batches that conflicted in groups that were acknowledged.
    pub conflicts: u64,
    pub faults: u64,
    pub gets: u64,
    pub groups_applied: u64,
    pub scans: u64,
    pub truncations: u64,
}

/// Rows that a group has changed and not yet synced; `None` is a deleted one.
type Staged = BTreeMap<String, Option<Row>>;

impl MemoryStore {
    pub fn new() -> Self {
        Self::default()
    }

    /// The next such call fails.
    pub fn fail_next(&self, call: Call, fault: Fault) {
        self.process().faults.order(Some(call), 0, fault);
    }

    /// The call after `skipped` such calls fails; of whatever kind, if `call` is `None`.
    pub fn fail_after(&self, call: Option<Call>, skipped: u64, fault: Fault) {
        self.process().faults.order(call, skipped, fault);
    }

    /// From now on calls fail at these rates, as the seed has it.
    pub fn fail_randomly(&self, seed: u64, rates: FaultRates) {
        self.process().faults.draw(seed, rates);
    }

    /// Forgets every fault that has not happened yet.
    pub fn clear_faults(&self) {
        self.process().faults.clear();
    }

    /// The process dies: every later call on this store and its clones fails, a commit under way included.
    pub fn crash(&self) {
        self.process().state = State::Crashed;
    }

    pub fn is_crashed(&self) -> bool {
        self.process().state == State::Crashed
    }

    /// Crashes, if it has not, and opens again: what was acknowledged is there, and no fault is pending.
    #[must_use]
    pub fn restart(&self) -> Self {
        self.crash();
        // A group of the old process either got through, or finds that its process is dead.
        let _group = self.committing.lock().unwrap_or_else(PoisonError::into_inner);
        Self { disk: Arc::clone(&self.disk), ..Self::default() }
    }

    /// Once the next row whose address begins so has been read, this happens before anybody goes on.
    pub fn after_reading(&self, prefix: &str, what: impl FnOnce() + Send + 'static) {
        self.interruption.plan(prefix, what);
    }

    /// Whether what was to happen after a reading has not happened yet.
    pub fn is_to_be_interrupted(&self) -> bool {
        self.interruption.is_planned()
    }

    pub fn counters(&self) -> Counters {
        self.process().counters
    }

    /// The rows as they are, without a call being counted and without faults.
    pub fn rows(&self) -> BTreeMap<String, Row> {
        self.disk().rows.clone()
    }

    /// Changes rows behind the service's back, as somebody with access to the disk may: alter, remove, put back old
    /// ones. The revision stays.
    pub fn tamper(&self, change: impl FnOnce(&mut BTreeMap<String, Row>)) {
        change(&mut self.disk().rows);
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the call and tells how it is to fail, if it is to.
    fn enter(&self, call: Call) -> Result<Option<Fault>, StoreError> {
        let mut process = self.process();
        process.alive()?;
        process.counters.count(call);
        if let Some(late) = &mut process.late {
            if late.refusals_left > 0 {
                late.refusals_left -= 1;
                return Err(undecided(call));
            }
            // Under the lock, so that no other call comes in before the outcome is there.
            process.late.take().map(|late| self.sync(late.staged));
        }
        let fault = process.faults.next(call);
        process.counters.faults += u64::from(fault.is_some());
        Ok(fault)
    }

    /// For calls that change nothing: they can only fail.
    fn enter_read(&self, call: Call) -> Result<(), StoreError> {
        match self.enter(call)? {
            None => Ok(()),
            Some(Fault::CrashAfterSync | Fault::CrashBeforeSync) => {
                self.crash();
                Err(crashed())
            }
            Some(_) => Err(ordered(call)),
        }
    }

    /// Makes the group's changes last.
    fn sync(&self, staged: Staged) -> u64 {
        let mut disk = self.disk();
        for (address, row) in staged {
            match row {
                Some(row) => disk.rows.insert(address, row),
                None => disk.rows.remove(&address),
            };
        }
        disk.revision += 1;
        disk.revision
    }

    /// The end of a group of which something was applied: sync and answer, or what `fault` makes of it.
    fn end_group(
        &self,
        fault: Option<Fault>,
        staged: Staged,
        outcomes: Vec<BatchOutcome>,
    ) -> Result<GroupCommit, CommitError> {
        // Somebody may have called `crash` meanwhile.
        let fault = if self.process().alive().is_err() { Some(Fault::CrashBeforeSync) } else { fault };
        let unknown = || CommitError::Unknown(ordered(Call::CommitGroup));
        match fault {
            // Conflicts have become outcomes before; what else was in the group is applied.
            None | Some(Fault::Conflict) => {
                let revision = self.sync(staged);
                self.process().counters.acknowledge(&outcomes);
                Ok(GroupCommit { revision, outcomes })
            }
            Some(Fault::CrashAfterSync) => {
                self.sync(staged);
                self.crash();
                Err(CommitError::Unknown(crashed()))
            }
            Some(Fault::CrashBeforeSync) => {
                self.crash();
                Err(CommitError::Unknown(crashed()))
            }
            Some(Fault::Fail) => Err(CommitError::Failed(ordered(Call::CommitGroup))),
            Some(Fault::UnknownApplied) => {
                self.sync(staged);
                Err(unknown())
            }
            Some(Fault::UnknownDropped) => Err(unknown()),
            Some(Fault::UnknownLate) => {
                self.process().late = Some(Late { refusals_left: LATE_REFUSALS, staged });
                Err(CommitError::Unknown(undecided(Call::CommitGroup)))
            }
        }
    }
}

impl Store for MemoryStore {
    fn get(&self, address: &str) -> Result<Option<Row>, StoreError> {
        check::address(address)?;
        self.enter_read(Call::Get)?;
        let row = self.disk().rows.get(address).cloned();
        self.interruption.happen(address);
        Ok(row)
    }

    fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Row)>, StoreError> {
        check::scan(prefix, after, limit)?;
        self.enter_read(Call::Scan)?;
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            Some(_) | None => Bound::Included(prefix),
        };
        let disk = self.disk();
        let rows = disk.rows.range::<str, _>((start, Bound::Unbounded));
        let rows = rows.take_while(|(address, _)| address.starts_with(prefix)).take(limit);
        Ok(rows.map(|(address, row)| (address.clone(), row.clone())).collect())
    }

    fn commit_group(
        &self,
        batches: &[Batch],
        finish: &mut dyn FnMut(&[BatchOutcome]) -> Vec<Op>,
    ) -> Result<GroupCommit, CommitError> {
        check::group(batches).map_err(CommitError::Failed)?;
        let _group = self.committing.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = self.enter(Call::CommitGroup).map_err(CommitError::Failed)?;
        let is_overtaken = |batch: &Batch| fault == Some(Fault::Conflict) && !batch.preconditions.is_empty();
        let mut staged = Staged::new();
        let outcomes: Vec<_> = {
            let disk = self.disk();
            let apply = |batch: &Batch| match batch.preconditions.first() {
                Some(first) if is_overtaken(batch) => {
                    BatchOutcome::Conflict { address: first.address.clone() }
                }
                _ => apply_batch(&disk.rows, &mut staged, batch),
            };
            batches.iter().map(apply).collect()
        };
        let fault = fault.filter(|fault| *fault != Fault::Conflict);
        if !outcomes.iter().any(BatchOutcome::is_applied) {
            return match fault {
                None => {
                    self.process().counters.conflicts += outcomes.len() as u64;
                    Ok(GroupCommit { revision: self.disk().revision, outcomes })
                }
                Some(fault) => {
                    if matches!(fault, Fault::CrashAfterSync | Fault::CrashBeforeSync) {
                        self.crash();
                    }
                    Err(CommitError::Failed(ordered(Call::CommitGroup)))
                }
            };
        }
        let ops = finish(&outcomes);
        check::ops(&ops).map_err(CommitError::Failed)?;
        ops.iter().for_each(|op| stage(&mut staged, op));
        self.end_group(fault, staged, outcomes)
    }

    fn revision(&self) -> Result<u64, StoreError> {
        self.enter_read(Call::Revision)?;
        Ok(self.disk().revision)
    }

    fn integrity_check(&self) -> Result<(), StoreError> {
        self.enter_read(Call::IntegrityCheck)
    }

    fn truncate_log(&self) -> Result<(), StoreError> {
        self.enter_read(Call::TruncateLog)
    }

    fn close(&self) -> Result<(), StoreError> {
        let _group = self.committing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut process = self.process();
        match process.state {
            State::Crashed => Err(crashed()),
            State::Closed | State::Running => {
                process.state = State::Closed;
                Ok(())
            }
        }
    }
}

impl Process {
    fn alive(&self) -> Result<(), StoreError> {
        match self.state {
            State::Closed => Err(StoreError::Closed),
            State::Crashed => Err(crashed()),
            State::Running => Ok(()),
        }
    }
}

impl Counters {
    fn count(&mut self, call: Call) {
        self.calls += 1;
        match call {
            Call::CommitGroup => self.commit_groups += 1,
            Call::Get => self.gets += 1,
            Call::IntegrityCheck | Call::Revision => {}
            Call::Scan => self.scans += 1,
            Call::TruncateLog => self.truncations += 1,
        }
    }

    fn acknowledge(&mut self, outcomes: &[BatchOutcome]) {
        self.groups_applied += 1;
        self.conflicts += outcomes.iter().filter(|outcome| !outcome.is_applied()).count() as u64;
    }
}

fn apply_batch(rows: &BTreeMap<String, Row>, staged: &mut Staged, batch: &Batch) -> BatchOutcome {
    for precondition in &batch.preconditions {
        let address = &precondition.address;
        let found = staged.get(address).map_or_else(|| rows.get(address), Option::as_ref);
        if !precondition.expect.holds(found.map(|row| row.version)) {
            return BatchOutcome::Conflict { address: address.clone() };
        }
    }
    batch.ops.iter().for_each(|op| stage(staged, op));
    BatchOutcome::Applied
}

fn stage(staged: &mut Staged, op: &Op) {
    match op {
        Op::Delete { address } => staged.insert(address.clone(), None),
        Op::Put { address, version, value } => {
            staged.insert(address.clone(), Some(Row { version: *version, value: value.clone() }))
        }
    };
}

fn ordered(call: Call) -> StoreError {
    StoreError::Engine { action: format!("serving {call:?}"), source: "the test ordered a fault".into() }
}

fn undecided(call: Call) -> StoreError {
    let source = "the outcome of a commit is not decided yet".into();
    StoreError::Engine { action: format!("serving {call:?}"), source }
}

fn crashed() -> StoreError {
    let source = "the test ordered a crash".into();
    StoreError::Engine { action: "working in a process that is dead".to_owned(), source }
}

#[cfg(test)]
mod tests;
