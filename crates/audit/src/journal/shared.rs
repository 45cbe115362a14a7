//! What appenders and the writer share: the buffer of records that wait, and the budget of memory for them.
//!
//! The lock is held while one event is encoded, never across I/O. Sequence numbers are given out under it, so their
//! order is the order of the bytes.

use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use strongroom_types::Env;
use strongroom_types::limits::{AUDIT_PLACE_BYTES, AUDIT_RECORD_BYTES_MAX};

use crate::checkpoint;
use crate::error::JournalError;
use crate::event::Event;
use crate::format::{
    CHAIN_BYTES, RECORD_FRAME_BYTES, RECORD_HEAD_BYTES, RecordKind, begin_record, end_record,
};
use crate::journal::JournalEnd;
use crate::journal::generation::{Generation, Outcome, Ticket};
use crate::journal::group::Group;
use crate::note::Note;
use crate::sequence::Sequence;
use crate::stats::Stats;

// A place must hold a bare event, and a record of any size must fit a claim.
const _: () = assert!(AUDIT_PLACE_BYTES > RECORD_FRAME_BYTES && AUDIT_RECORD_BYTES_MAX > AUDIT_PLACE_BYTES);

const OPEN: u8 = 0;
const FAILING: u8 = 1;
const CLOSED: u8 = 2;

pub(crate) struct Shared {
    pending: Mutex<Pending>,
    /// There is work for the writer, or it is to stop, or there is nothing left that it gathers for.
    work: Condvar,
    /// Event loops that have work and may append more.
    busy: AtomicUsize,
    /// Operations that compute for long, and how many of them do so at once.
    computing: AtomicUsize,
    processors: usize,
    /// The writer has records and waits for more.
    is_gathering: AtomicBool,
    claimed: AtomicUsize,
    pending_bytes_max: usize,
    availability: AtomicU8,
    is_all_written: AtomicBool,
    /// The last record that is on the disk.
    end: Mutex<JournalEnd>,
    pub(crate) clock: Arc<dyn Env>,
    pub(crate) stats: Stats,
}

pub(crate) struct Pending {
    /// Room for the previous link, then records.
    buffer: Vec<u8>,
    /// Up to here the buffer holds whole records.
    whole: usize,
    records: u64,
    /// How many of them cannot wait for company.
    hurried: u64,
    next_sequence: u64,
    claimed: usize,
    generation: Arc<Generation>,
    is_closing: bool,
    /// Nothing is taken any more.
    is_closed: bool,
    writer_waits: bool,
    /// The writer has patient records only, and waits for more of them.
    writer_keeps_company: bool,
}

/// Whether a record may wait for others of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Haste {
    Hurried,
    Patient,
}

/// How long the writer waits for more records when it has some.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gathering {
    /// While nothing but patient records wait and operations compute for them to wait for.
    pub(crate) in_company: Duration,
    /// While event loops have work; `None` if that is not worth it.
    pub(crate) for_loops: Option<Duration>,
}

/// When the writer wants a checkpoint at the end of a group.
pub(crate) struct CheckpointDue {
    /// The group makes so many records since the last checkpoint.
    pub(crate) records: u64,
    /// The group has so many bytes.
    pub(crate) bytes: u64,
    /// There are records that no checkpoint covers, so closing writes one.
    pub(crate) at_close: bool,
}

impl Shared {
    /// For a journal whose last record, synced, is `end`.
    pub(crate) fn new(
        end: JournalEnd,
        pending_bytes_max: usize,
        processors: usize,
        clock: Arc<dyn Env>,
    ) -> Self {
        let pending = Pending {
            buffer: vec![0; CHAIN_BYTES],
            whole: CHAIN_BYTES,
            records: 0,
            hurried: 0,
            next_sequence: end.sequence + 1,
            claimed: 0,
            generation: Generation::new(Outcome::Pending),
            is_closing: false,
            is_closed: false,
            writer_waits: false,
            writer_keeps_company: false,
        };
        Self {
            pending: Mutex::new(pending),
            work: Condvar::new(),
            busy: AtomicUsize::new(0),
            computing: AtomicUsize::new(0),
            processors,
            is_gathering: AtomicBool::new(false),
            claimed: AtomicUsize::new(0),
            pending_bytes_max,
            availability: AtomicU8::new(OPEN),
            is_all_written: AtomicBool::new(false),
            end: Mutex::new(end),
            clock,
            stats: Stats::default(),
        }
    }

    /// Takes `bytes` from the budget.
    pub(crate) fn claim(&self, bytes: usize) -> Result<(), JournalError> {
        match self.availability.load(Ordering::Acquire) {
            OPEN if self.try_claim(bytes) => Ok(()),
            OPEN => Err(JournalError::Full),
            FAILING => Err(JournalError::Unavailable),
            _ => Err(JournalError::Closed),
        }
    }

    fn try_claim(&self, bytes: usize) -> bool {
        let within =
            |claimed: usize| claimed.checked_add(bytes).filter(|claimed| *claimed <= self.pending_bytes_max);
        self.claimed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within).is_ok()
    }

    pub(crate) fn release(&self, bytes: usize) {
        self.claimed.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn claimed(&self) -> usize {
        self.claimed.load(Ordering::Relaxed)
    }

    pub(crate) fn end(&self) -> JournalEnd {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the last record that was appended.
    pub(crate) fn appended(&self) -> u64 {
        self.lock().next_sequence - 1
    }

    /// A group was synced, and this is its last record.
    pub(crate) fn set_end(&self, end: JournalEnd) {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = end;
    }

    pub(crate) fn is_available(&self) -> bool {
        self.availability.load(Ordering::Acquire) == OPEN
    }

    /// Appends events behind one another, each into a place already claimed; the ticket is the last one's.
    pub(crate) fn append_events<'e>(
        &self,
        events: impl Iterator<Item = &'e Event<'e>>,
        haste: Haste,
    ) -> Ticket {
        let mut pending = self.lock();
        let mut ticket = None;
        for event in events {
            if pending.is_closed {
                self.release(AUDIT_PLACE_BYTES);
            } else {
                ticket = Some(self.append_event(&mut pending, event, haste));
            }
        }
        let ticket = ticket.unwrap_or_else(|| pending.refused());
        self.wake_writer(pending);
        ticket
    }

    fn append_event(&self, pending: &mut Pending, event: &Event<'_>, haste: Haste) -> Ticket {
        let start = pending.begin(RecordKind::Event);
        event.encode(&mut pending.buffer);
        let mut room = AUDIT_PLACE_BYTES;
        let mut size = pending.buffer.len() - start + CHAIN_BYTES;
        if size > room {
            if self.try_claim(size - room) {
                room = size;
            } else {
                // INVARIANT: a bare event fits its place, so an append never fails for lack of memory.
                pending.buffer.truncate(start + RECORD_HEAD_BYTES);
                event.encode_bare(&mut pending.buffer);
                size = pending.buffer.len() - start + CHAIN_BYTES;
            }
        }
        self.release(room.saturating_sub(size));
        pending.end(start, size, haste)
    }

    /// The ticket of an empty batch.
    pub(crate) fn nothing_to_write(&self) -> Ticket {
        let sequence = Sequence::new(self.lock().next_sequence - 1);
        Ticket { generation: Generation::new(Outcome::Synced), sequence }
    }

    /// Appends a checkpoint; its memory has been claimed if `claimed` says so.
    pub(crate) fn append_checkpoint(&self, state: &[u8], claimed: usize) -> Ticket {
        let mut pending = self.lock();
        if pending.is_closed {
            self.release(claimed);
            return pending.refused();
        }
        let ticket = pending.checkpoint(self.clock.as_ref(), state, claimed);
        self.wake_writer(pending);
        ticket
    }

    /// Appends a note. Notes are few and small; they claim nothing.
    pub(crate) fn append_note(&self, text: &str) -> Ticket {
        let mut pending = self.lock();
        if pending.is_closed {
            return pending.refused();
        }
        let start = pending.begin(RecordKind::Note);
        Note { time: self.clock.now(), text }.encode(&mut pending.buffer);
        let ticket = pending.end(start, 0, Haste::Hurried);
        self.wake_writer(pending);
        ticket
    }

    /// An event loop has work.
    pub(crate) fn busy(&self) {
        self.busy.fetch_add(1, Ordering::SeqCst);
    }

    /// An event loop has run out of work; the last one ends the writer's gathering.
    pub(crate) fn idle(&self) {
        // Sequentially consistent with `gather`: either this sees that the writer gathers, or the writer sees that
        // nobody is busy.
        if self.busy.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.end_gathering();
        }
    }

    /// An operation computes for long.
    pub(crate) fn begin_computing(&self) {
        self.computing.fetch_add(1, Ordering::SeqCst);
    }

    /// It does no more.
    pub(crate) fn end_computing(&self) {
        self.computing.fetch_sub(1, Ordering::SeqCst);
        if self.is_gathering.load(Ordering::SeqCst) {
            let pending = self.lock();
            if pending.writer_keeps_company && !self.may_wait(&pending) {
                drop(pending);
                self.work.notify_one();
            }
        }
    }

    /// Lets a writer that gathers look again whether it has anything to gather for.
    fn end_gathering(&self) {
        if self.is_gathering.load(Ordering::SeqCst) {
            // With the lock, so that the writer is not between looking and waiting.
            drop(self.lock());
            self.work.notify_one();
        }
    }

    /// Lets more records come while patient ones may wait for company, no longer than `at_most`.
    fn keep_company<'p>(
        &self,
        mut pending: MutexGuard<'p, Pending>,
        at_most: Duration,
    ) -> MutexGuard<'p, Pending> {
        if !self.may_wait(&pending) {
            return pending;
        }
        pending.writer_keeps_company = true;
        let mut pending = self.gather(pending, at_most, |pending| self.may_wait(pending));
        pending.writer_keeps_company = false;
        pending
    }

    /// Whether the records that are there may wait for those of operations that still compute. They do while these are more
    /// than the processors, and more than twice as many as the records: so the wait adds to the time that operations spend in
    /// the queue before the processors, but not as much again.
    fn may_wait(&self, pending: &Pending) -> bool {
        let computing = self.computing.load(Ordering::SeqCst);
        !pending.is_closing
            && pending.hurried == 0
            && computing > self.processors
            && pending.records.saturating_mul(2) < computing as u64
    }

    /// Lets more records come while they may, no longer than `at_most`.
    fn gather<'p>(
        &self,
        pending: MutexGuard<'p, Pending>,
        at_most: Duration,
        may_come: impl Fn(&Pending) -> bool,
    ) -> MutexGuard<'p, Pending> {
        self.is_gathering.store(true, Ordering::SeqCst);
        let waited = self.work.wait_timeout_while(pending, at_most, |pending| may_come(pending));
        self.is_gathering.store(false, Ordering::SeqCst);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    #[cfg(test)]
    pub(crate) fn is_gathering(&self) -> bool {
        self.is_gathering.load(Ordering::SeqCst)
    }

    /// Waits for records, as long as `gathering` says for more of them, and takes them all, leaving `spare` to be filled.
    /// `None` when the journal is closed and all has been taken.
    pub(crate) fn next_group(
        &self,
        mut spare: Vec<u8>,
        due: &CheckpointDue,
        gathering: Gathering,
    ) -> Option<Group> {
        let mut pending = self.lock();
        while pending.records == 0 && !pending.is_closing {
            pending.writer_waits = true;
            pending = self.work.wait(pending).unwrap_or_else(PoisonError::into_inner);
            pending.writer_waits = false;
        }
        pending = self.keep_company(pending, gathering.in_company);
        if let Some(at_most) = gathering.for_loops {
            let may_come = |pending: &Pending| !pending.is_closing && self.busy.load(Ordering::SeqCst) > 0;
            pending = self.gather(pending, at_most, may_come);
        }
        let is_last = pending.is_closed;
        pending.is_closed = pending.is_closing;
        if is_last && pending.records == 0 {
            return None;
        }
        let has_records = pending.records > 0;
        let is_full = pending.records >= due.records || pending.buffer.len() as u64 >= due.bytes;
        let is_due = (has_records && (is_full || pending.is_closing)) || (pending.is_closing && due.at_close);
        if is_due {
            let _ticket = pending.checkpoint(self.clock.as_ref(), &[], 0);
        } else if !has_records {
            return None;
        }
        spare.clear();
        spare.resize(CHAIN_BYTES, 0);
        let records = mem::take(&mut pending.records);
        pending.hurried = 0;
        pending.whole = CHAIN_BYTES;
        Some(Group {
            first: pending.next_sequence - records,
            records,
            bytes: mem::replace(&mut pending.buffer, spare),
            claimed: mem::take(&mut pending.claimed),
            generation: mem::replace(&mut pending.generation, Generation::new(Outcome::Pending)),
            ends_with_checkpoint: is_due,
        })
    }

    /// New requests are refused from now on; those that wait go on waiting.
    pub(crate) fn set_failing(&self) {
        self.availability.store(FAILING, Ordering::Release);
    }

    /// Requests are taken again.
    pub(crate) fn set_recovered(&self) {
        let mut pending = self.lock();
        // Those who were told of a failure have gone; who comes now must not inherit it.
        if pending.generation.outcome() != Outcome::Pending {
            pending.generation = Generation::new(Outcome::Pending);
        }
        drop(pending);
        // The writer alone changes this, and it does not recover after it has stopped.
        self.availability.store(OPEN, Ordering::Release);
    }

    /// Tells those whose records wait behind a failing group that they need not wait.
    pub(crate) fn fail_waiting(&self) {
        self.lock().generation.complete(Outcome::Failed);
    }

    /// Waits between two attempts. Says whether the journal is being closed; when that begins, the pause ends.
    pub(crate) fn pause(&self, pause: Duration) -> bool {
        let pending = self.lock();
        let was_closing = pending.is_closing;
        let (pending, _) = self
            .work
            .wait_timeout_while(pending, pause, |pending| pending.is_closing == was_closing)
            .unwrap_or_else(PoisonError::into_inner);
        pending.is_closing
    }

    /// Asks the writer to write what is there and to stop.
    pub(crate) fn close(&self) {
        let mut pending = self.lock();
        pending.is_closing = true;
        drop(pending);
        self.work.notify_all();
    }

    /// After the writer has stopped: whether it has written all it was given.
    pub(crate) fn is_all_written(&self) -> bool {
        self.is_all_written.load(Ordering::Acquire)
    }

    pub(crate) fn set_all_written(&self) {
        self.is_all_written.store(true, Ordering::Release);
    }

    /// The writer has stopped, for whatever reason: nothing that waits will be written.
    pub(crate) fn stopped(&self) {
        self.availability.store(CLOSED, Ordering::Release);
        let mut pending = self.lock();
        pending.is_closing = true;
        pending.is_closed = true;
        pending.generation.complete(Outcome::Closed);
    }

    fn wake_writer(&self, pending: MutexGuard<'_, Pending>) {
        let writer_waits = pending.writer_waits || (pending.writer_keeps_company && !self.may_wait(&pending));
        drop(pending);
        if writer_waits {
            self.work.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        // A panic while a record was being encoded leaves a part of it behind.
        let whole = pending.whole;
        pending.buffer.truncate(whole);
        pending
    }
}

impl Pending {
    fn begin(&mut self, kind: RecordKind) -> usize {
        begin_record(&mut self.buffer, self.next_sequence, kind)
    }

    fn end(&mut self, start: usize, claimed: usize, haste: Haste) -> Ticket {
        end_record(&mut self.buffer, start);
        self.whole = self.buffer.len();
        self.claimed += claimed;
        self.records += 1;
        self.hurried += u64::from(haste == Haste::Hurried);
        let sequence = Sequence::new(self.next_sequence);
        self.next_sequence += 1;
        Ticket { generation: Arc::clone(&self.generation), sequence }
    }

    fn checkpoint(&mut self, clock: &dyn Env, state: &[u8], claimed: usize) -> Ticket {
        let start = self.begin(RecordKind::Checkpoint);
        checkpoint::append_open(&mut self.buffer, self.next_sequence - 1, clock.now(), state);
        self.end(start, claimed, Haste::Hurried)
    }

    /// The ticket of what is not taken any more.
    fn refused(&self) -> Ticket {
        Ticket { generation: Generation::new(Outcome::Closed), sequence: Sequence::new(self.next_sequence) }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use std::thread;

    use super::*;
    use crate::testing::{TestClock, encrypt};

    /// Longer than any test: what waits for it does not end.
    pub(crate) const FOR_EVER: Duration = Duration::from_secs(3600);

    /// Of a machine with two processors.
    pub(crate) fn shared() -> Arc<Shared> {
        Arc::new(Shared::new(JournalEnd::default(), 1 << 20, 2, TestClock::new()))
    }

    pub(crate) fn append(shared: &Shared, number: u64, haste: Haste) {
        shared.claim(AUDIT_PLACE_BYTES).unwrap();
        drop(shared.append_events([encrypt(number)].iter(), haste));
    }

    /// How many records the next group has, or none if the journal is closed.
    fn taken(shared: &Shared, gathering: Gathering) -> Option<u64> {
        let due = CheckpointDue { records: u64::MAX, bytes: u64::MAX, at_close: false };
        shared.next_group(Vec::new(), &due, gathering).map(|group| group.records)
    }

    pub(crate) fn taken_for_loops(shared: &Shared, for_loops: Option<Duration>) -> Option<u64> {
        taken(shared, Gathering { in_company: Duration::ZERO, for_loops })
    }

    pub(crate) fn taken_in_company(shared: &Shared, in_company: Duration) -> Option<u64> {
        taken(shared, Gathering { in_company, for_loops: None })
    }

    /// Lets a writer gather on its own thread, and does `then` when it does.
    pub(crate) fn while_gathering(shared: &Arc<Shared>, then: impl FnOnce()) -> Option<u64> {
        let writer = Arc::clone(shared);
        let gathering = Gathering { in_company: FOR_EVER, for_loops: Some(FOR_EVER) };
        let writer = thread::spawn(move || taken(&writer, gathering));
        while !shared.is_gathering() {
            thread::yield_now();
        }
        then();
        writer.join().unwrap()
    }
}
