//! The drainer: from outbox rows to the journal. Once a minute it also writes a checkpoint.
//!
//! A change's record is in the store with the change. This thread appends it to the journal, syncs, and deletes the
//! row ten minutes later; until then the row also settles commits whose outcome was unknown. At start it takes up what
//! an earlier process left, and what the journal has already is not appended twice: events are known by their ids.
//!
//! Rows are handed over by the committing thread: when their commit is acknowledged, and after an unknown outcome as soon as
//! the store can be read again, at the latest when the thread ends. So no record waits, and an orderly end leaves none. The
//! thread goes by what it remembers and looks at a row once. What did not open at that moment is handed over by nobody; so
//! the drainer also walks the outbox itself, a page at a time, by what is stored and not by what anybody remembers, and
//! takes what it does not know. Neither replaces the other: the walk comes a minute later, and not at the end.

use std::collections::{HashSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use strongroom_audit::{Event, EventError, Journal, JournalError, ReadError, event_ids_since};
use strongroom_records::{
    Address, CommitError, Loaded, OutboxRow, RecordStub, Records, RecordsError, Writes,
};
use strongroom_types::{Env, Monotonic, RegionName, RequestId, Timestamp};

/// How long a row stays after its record is in the journal.
const KEPT_FOR: Duration = Duration::from_secs(600);
/// How often the drainer looks for rows to delete.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// How often a walk through the outbox begins.
const WALK_EVERY: Duration = Duration::from_secs(60);
/// How often records are signed for while there are new ones.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);
/// Records appended, or rows deleted, at once.
const BATCH_ROWS: usize = 50;
const PAGE_ROWS: usize = 500;
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// How far the clock may have been set back between two processes without a record being appended twice.
const CLOCK_STEP_MAX: Duration = Duration::from_secs(3600);

/// Hands rows to the drainer, from the committing thread alone, so that no row is handed over twice.
pub type OutboxSender = Sender<Loaded<OutboxRow>>;
pub type OutboxReceiver = Receiver<Loaded<OutboxRow>>;

/// The running drainer. It ends when the last sender is gone, after everything handed to it is in the journal.
pub struct Drainer {
    thread: JoinHandle<()>,
}

#[derive(Debug, thiserror::Error)]
pub enum DrainerError {
    #[error("cannot read the audit journal")]
    Journal(#[from] ReadError),
    #[error("cannot read the outbox")]
    Records(#[from] RecordsError),
    #[error("an outbox row holds no event")]
    Row(#[from] EventError),
    #[error("cannot start the outbox thread")]
    Thread(#[from] std::io::Error),
}

impl Drainer {
    /// Takes up what an earlier process left in the outbox, then starts the thread.
    pub fn start(
        records: Arc<Records>,
        journal: Arc<Journal>,
        env: Arc<dyn Env>,
        journal_directory: &Path,
        regions: &[RegionName],
        rows: OutboxReceiver,
    ) -> Result<Self, DrainerError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let (drained, known, walk) = (VecDeque::new(), HashSet::new(), Walk::begin(env.monotonic()));
        let regions_walked = regions.to_vec();
        let mut drain =
            Drain { env, journal, records, drained, known, walk, regions: regions_walked, runtime };
        drain.take_up(journal_directory, regions)?;
        let thread =
            std::thread::Builder::new().name("strongroom-outbox".into()).spawn(move || drain.run(&rows))?;
        Ok(Self { thread })
    }

    /// Waits for the end. Every [`OutboxSender`] must have been dropped.
    pub fn join(self) {
        // A panic of the thread has been printed by the panic hook; the rows are taken up at the next start.
        let _ = self.thread.join();
    }
}

struct Drain {
    env: Arc<dyn Env>,
    journal: Arc<Journal>,
    records: Arc<Records>,
    /// In the journal, waiting to be deleted; oldest first.
    drained: VecDeque<(Monotonic, RecordStub)>,
    /// The rows in `drained`, by their request: what comes a second time, by whatever road, is known.
    known: HashSet<RequestId>,
    walk: Walk,
    regions: Vec<RegionName>,
    runtime: tokio::runtime::Runtime,
}

/// A row that an earlier process left.
struct Left {
    event: RequestId,
    stub: RecordStub,
}

/// Where the walk through the outbox is.
struct Walk {
    begun: Monotonic,
    region: usize,
    after: Option<String>,
}

impl Walk {
    fn begin(now: Monotonic) -> Self {
        Self { begun: now, region: 0, after: None }
    }
}

impl Drain {
    /// Appends the rows of an earlier process that are not in the journal yet. Outbox and journal are read once; a row that
    /// is not in the journal, of which there are few, is read again.
    fn take_up(&mut self, journal_directory: &Path, regions: &[RegionName]) -> Result<(), DrainerError> {
        let mut left: Vec<Left> = Vec::new();
        let mut oldest = Timestamp::from_millis(u64::MAX);
        each_page(&self.records, regions, |page| {
            for row in &page {
                oldest = oldest.min(row.created);
                left.push(Left { event: Event::decode_id(&row.event)?, stub: row.stub() });
            }
            Ok(())
        })?;
        if left.is_empty() {
            return Ok(());
        }
        // The clock may have been set back since: reach further than the rows say.
        let since = oldest.saturating_sub(CLOCK_STEP_MAX);
        let ids: HashSet<RequestId> = left.iter().map(|left| left.event).collect();
        let recorded = event_ids_since(journal_directory, since, |id| ids.contains(id))?;
        drop(ids);
        let (old, new): (Vec<_>, Vec<_>) = left.into_iter().partition(|left| recorded.contains(&left.event));
        drop(recorded);
        self.remember(self.env.monotonic(), old.into_iter().map(|left| left.stub).collect());
        if !new.is_empty() {
            tracing::info!(records = new.len(), "taking up audit records of an earlier process");
        }
        for left in new.chunks(BATCH_ROWS) {
            // Nobody else deletes outbox rows, so each is still there.
            let rows = left.iter().filter_map(|left| self.records.load(left.stub.address()).transpose());
            let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
            self.append(&rows);
        }
        Ok(())
    }

    fn run(mut self, rows: &OutboxReceiver) {
        let mut swept = self.env.monotonic();
        let mut checkpointed = swept;
        let mut records = 0;
        loop {
            match rows.recv_timeout(SWEEP_EVERY) {
                Ok(first) => {
                    let mut batch = vec![first];
                    batch.extend(rows.try_iter().take(BATCH_ROWS - 1));
                    self.append(&batch);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let now = self.env.monotonic();
            if swept.until(now) >= SWEEP_EVERY {
                swept = now;
                self.sweep(now);
                self.walk(now);
            }
            let written = self.journal.stats().records;
            if written != records && checkpointed.until(now) >= CHECKPOINT_EVERY {
                checkpointed = now;
                // The checkpoint is a record itself.
                records = written + 1;
                self.checkpoint();
            }
        }
    }

    /// Appends and syncs. While the journal cannot be written this waits; the rows are safe in the store.
    fn append(&mut self, rows: &[Loaded<OutboxRow>]) {
        let (mut events, mut appended_rows) = (Vec::new(), Vec::new());
        for row in rows.iter().filter(|row| !self.is_known(row.address())) {
            match Event::decode(&row.event) {
                Ok(event) => {
                    events.push(event.into_owned());
                    appended_rows.push(row.stub());
                }
                // It stays: a record that did not reach the journal is not deleted.
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(row = %row.address(), error, "an outbox row holds no event");
                }
            }
        }
        if events.is_empty() {
            return;
        }
        // INVARIANT: what the journal took it writes, in order, however long its disk fails. So records whose sync was
        // reported as failed are not appended again: a later checkpoint that is on the disk says that they are, too.
        let mut is_appended = false;
        loop {
            let ticket =
                if is_appended { self.journal.checkpoint(&[]) } else { self.journal.append_batch(&events) };
            is_appended |= ticket.is_ok();
            let appended = ticket.and_then(|ticket| self.runtime.block_on(ticket.synced()));
            match appended {
                Ok(_) => break,
                // The process is ending; the rows are taken up at the next start.
                Err(JournalError::Closed) => return,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, records = events.len(), "outbox records wait for the journal");
                    std::thread::sleep(RETRY_AFTER);
                }
            }
        }
        self.remember(self.env.monotonic(), appended_rows);
    }

    fn is_known(&self, address: &Address) -> bool {
        RequestId::parse(address.rest()).is_ok_and(|request| self.known.contains(&request))
    }

    fn remember(&mut self, now: Monotonic, stubs: Vec<RecordStub>) {
        self.known.extend(stubs.iter().filter_map(|stub| RequestId::parse(stub.address().rest()).ok()));
        self.drained.extend(stubs.into_iter().map(|stub| (now, stub)));
    }

    fn forget(&mut self, stub: &RecordStub) {
        if let Ok(request) = RequestId::parse(stub.address().rest()) {
            self.known.remove(&request);
        }
    }

    /// One page of the walk: appends the rows that nobody handed over. While the store cannot be read, or a commit is
    /// unsettled, the walk stays where it is.
    fn walk(&mut self, now: Monotonic) {
        if self.walk.region >= self.regions.len() {
            if self.walk.begun.until(now) < WALK_EVERY {
                return;
            }
            self.walk = Walk::begin(now);
        }
        let Some(region) = self.regions.get(self.walk.region) else { return };
        let prefix = OutboxRow::prefix(region);
        let wanted = |address: &Address| !self.is_known(address);
        let page =
            match self.records.page::<OutboxRow>(&prefix, self.walk.after.as_deref(), PAGE_ROWS, wanted) {
                Ok(page) => page,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the outbox cannot be read");
                    return;
                }
            };
        if page.last.is_none() {
            self.walk.region += 1;
        }
        self.walk.after = page.last;
        let mut found = Vec::new();
        for row in page.rows {
            match row {
                Ok(row) => found.push(row),
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "an outbox row is lost");
                }
            }
        }
        for rows in found.chunks(BATCH_ROWS) {
            self.append(rows);
        }
    }

    /// Signs for what the journal holds so far and names what the store holds. Whoever can write the disk could forge
    /// what stands behind the last signature.
    fn checkpoint(&self) {
        if let Err(error) = self.journal.checkpoint(&self.records.state()) {
            tracing::warn!(error = &error as &dyn std::error::Error, "no checkpoint was written");
        }
    }

    /// Deletes what has been in the journal for long enough.
    fn sweep(&mut self, now: Monotonic) {
        loop {
            let due = self.drained.iter().take_while(|(at, _)| at.until(now) >= KEPT_FOR).take(BATCH_ROWS);
            let due: Vec<_> = due.map(|(_, stub)| stub.clone()).collect();
            if due.is_empty() {
                return;
            }
            let mut writes = Writes::default();
            for stub in &due {
                writes.delete_stub(stub);
            }
            match self.records.commit_blocking(writes, Vec::new()) {
                Ok(()) => {
                    drop(self.drained.drain(..due.len()));
                    due.iter().for_each(|stub| self.forget(stub));
                }
                // An earlier attempt whose outcome was unknown may have deleted it. The others are tried again.
                Err(CommitError::Conflict { address }) => {
                    let Some(gone) = due.iter().find(|stub| stub.address().as_str() == address) else {
                        return;
                    };
                    // INVARIANT: a row that is there is known. Otherwise the walk would append its record once more.
                    if !matches!(self.records.load::<OutboxRow>(gone.address()), Ok(None)) {
                        tracing::warn!(row = address, "an outbox row could not be deleted");
                        return;
                    }
                    tracing::warn!(row = address, "an outbox row was deleted already");
                    self.drained.retain(|(_, stub)| stub.address() != gone.address());
                    self.forget(gone);
                }
                // They are tried again.
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "outbox rows could not be deleted"
                    );
                    return;
                }
            }
        }
    }
}

/// Walks the outbox rows of all regions, page by page.
fn each_page(
    records: &Records,
    regions: &[RegionName],
    mut use_page: impl FnMut(Vec<Loaded<OutboxRow>>) -> Result<(), DrainerError>,
) -> Result<(), DrainerError> {
    for region in regions {
        let prefix = OutboxRow::prefix(region);
        let mut after: Option<String> = None;
        loop {
            let page = records.scan::<OutboxRow>(&prefix, after.as_deref(), PAGE_ROWS)?;
            let Some(last) = page.last() else { break };
            after = Some(last.address().as_str().to_owned());
            use_page(page)?;
        }
    }
    Ok(())
}
