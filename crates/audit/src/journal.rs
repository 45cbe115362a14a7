//! The audit journal: append-only segments that cannot lose what they have acknowledged.
//!
//! A request reserves a [`Place`] before it does anything, so that its record can always be taken; it appends one event
//! and waits for its [`Ticket`] before it answers. Appending never touches the disk and never waits for it: a thread of
//! the journal's own writes whatever has gathered and syncs it at once.
//!
//! What it guarantees:
//! - A ticket resolves with success only when its record is on the disk, in a file that has never failed.
//! - Records are numbered without gaps, each carries a hash over all before it, and checkpoints are signed.
//! - While the disk fails, requests are refused at their very beginning; when it works again, so does the journal.
//! - Memory for records that wait is bounded.
//!
//! What it deliberately does not do: watch over a system call that never returns (the requests that wait behind it wait
//! too; their own deadlines end them), lock the directory (who runs the process does), delete old segments.

mod appenders;
mod computing;
mod generation;
mod group;
mod recovery;
mod segments;
mod shared;
#[cfg(test)]
mod tests;
mod writer;

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use strongroom_types::Env;
use strongroom_types::limits::{
    AUDIT_BATCH_EVENTS_MAX, AUDIT_CHECKPOINT_RECORDS, AUDIT_CHECKPOINT_STATE_BYTES_MAX,
    AUDIT_PENDING_BYTES_MAX, AUDIT_PLACE_BYTES, AUDIT_SEGMENT_BYTES, AUDIT_SYNC_DEADLINE_SECS,
};

use crate::checkpoint::CheckpointSigner;
use crate::error::JournalError;
use crate::event::Event;
use crate::files::{DiskFiles, SegmentFiles, create_directory};
use crate::format::{CHAIN_BYTES, RecordKind, begin_record, end_record};
use crate::note::Note;
use crate::stats::JournalStats;

pub use appenders::Appenders;
pub use computing::Computing;
pub use generation::{Synced, Ticket};
use group::Group;
use recovery::Found;
use segments::Segments;
use shared::{Haste, Shared};
use writer::Writer;

/// More than a group of a busy journal has.
const SPARE_MARGIN_BYTES: u64 = 1024 * 1024;

#[derive(Debug, Clone)]
pub struct JournalOptions {
    pub directory: PathBuf,
    /// A segment is closed when it has reached this size.
    pub segment_bytes: u64,
    /// Records that wait for the disk, and reserved places, may not occupy more memory.
    pub pending_bytes_max: usize,
    /// A checkpoint is written at least every so many records.
    pub checkpoint_records: u64,
    /// Who waits is told after this time that the disk fails.
    pub sync_deadline: Duration,
    /// The longest pause between two attempts to write.
    pub retry_pause_max: Duration,
}

impl JournalOptions {
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            segment_bytes: AUDIT_SEGMENT_BYTES,
            pending_bytes_max: AUDIT_PENDING_BYTES_MAX,
            checkpoint_records: AUDIT_CHECKPOINT_RECORDS,
            sync_deadline: Duration::from_secs(AUDIT_SYNC_DEADLINE_SECS),
            retry_pause_max: Duration::from_secs(1),
        }
    }
}

/// A record by its number and by its link of the chain, which stands for all records before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JournalEnd {
    /// Zero before the first record.
    pub sequence: u64,
    pub link: [u8; 32],
}

/// An open journal. One process at a time may have it.
pub struct Journal {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

impl Journal {
    /// Takes up the journal in the directory, or begins one.
    pub fn open(
        options: JournalOptions,
        signer: Arc<dyn CheckpointSigner>,
        clock: Arc<dyn Env>,
    ) -> Result<Self, JournalError> {
        // Room for one group beyond the size at which a segment is closed.
        let spare_bytes = options.segment_bytes.saturating_add(SPARE_MARGIN_BYTES);
        let files = Box::new(DiskFiles::with_spare(&options.directory, spare_bytes));
        Self::open_with_files(options, files, signer, clock)
    }

    /// The same with another way to write segments. They are read from the directory in any case.
    pub fn open_with_files(
        options: JournalOptions,
        files: Box<dyn SegmentFiles>,
        signer: Arc<dyn CheckpointSigner>,
        clock: Arc<dyn Env>,
    ) -> Result<Self, JournalError> {
        let write_error = |source| JournalError::Write { directory: options.directory.clone(), source };
        create_directory(&options.directory).map_err(write_error)?;
        let found = recovery::find_end(&options.directory)?;
        let mut segments = Segments::new(files, Arc::clone(&clock), options.segment_bytes, found.end.clone());
        let group = first_group(found, clock.as_ref(), &*signer)?;
        segments.write(&group).map_err(write_error)?;
        let end = JournalEnd { sequence: segments.end().sequence, link: segments.end().chain };
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let shared = Arc::new(Shared::new(end, options.pending_bytes_max, processors, clock));
        let writer = Writer::new(Arc::clone(&shared), segments, signer, group.records, &options);
        let thread = thread::Builder::new().name("audit-journal".to_owned());
        let writer = thread.spawn(move || writer.run()).map_err(JournalError::Spawn)?;
        Ok(Self { shared, writer: Some(writer) })
    }

    /// Reserves room for one event.
    pub fn reserve(&self) -> Result<Place, JournalError> {
        self.shared.claim(AUDIT_PLACE_BYTES)?;
        Ok(Place { shared: Arc::clone(&self.shared), is_free: false })
    }

    /// What event loops tell the journal of their work.
    pub fn appenders(&self) -> Appenders {
        Appenders::new(Arc::clone(&self.shared))
    }

    /// To be told of an operation that computes for long: until what this returns is dropped, records of its kind may wait
    /// for its ([`Place::append_patiently`]).
    pub fn computing(&self) -> Computing {
        Computing::begin(Arc::clone(&self.shared))
    }

    /// Appends events directly behind one another; the ticket speaks for all of them.
    pub fn append_batch(&self, events: &[Event<'_>]) -> Result<Ticket, JournalError> {
        if events.len() > AUDIT_BATCH_EVENTS_MAX {
            return Err(JournalError::BatchTooLarge);
        }
        self.shared.claim(events.len() * AUDIT_PLACE_BYTES)?;
        if events.is_empty() {
            return Ok(self.shared.nothing_to_write());
        }
        Ok(self.shared.append_events(events.iter(), Haste::Hurried))
    }

    /// Appends a checkpoint that names the store's state.
    pub fn checkpoint(&self, state: &[u8]) -> Result<Ticket, JournalError> {
        if state.len() > AUDIT_CHECKPOINT_STATE_BYTES_MAX {
            return Err(JournalError::CheckpointStateTooLarge);
        }
        self.shared.claim(AUDIT_PLACE_BYTES)?;
        Ok(self.shared.append_checkpoint(state, AUDIT_PLACE_BYTES))
    }

    /// Appends a note: something that an auditor must see and that nobody asked for by a request.
    pub fn note(&self, text: &str) -> Result<Ticket, JournalError> {
        self.shared.claim(0)?;
        Ok(self.shared.append_note(text))
    }

    /// The last record that is on the disk.
    pub fn end(&self) -> JournalEnd {
        self.shared.end()
    }

    /// The number of the last record that was appended, on the disk or not; zero before the first.
    pub fn appended(&self) -> u64 {
        self.shared.appended()
    }

    pub fn stats(&self) -> JournalStats {
        self.shared.stats.read(self.shared.claimed(), self.shared.is_available())
    }

    /// Writes what is there and a last checkpoint, and stops; tells where the journal ends. Places still held get
    /// [`JournalError::Closed`].
    pub fn close(mut self) -> Result<JournalEnd, JournalError> {
        self.stop()?;
        Ok(self.end())
    }

    fn stop(&mut self) -> Result<(), JournalError> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        self.shared.close();
        let is_joined = writer.join().is_ok();
        if is_joined && self.shared.is_all_written() { Ok(()) } else { Err(JournalError::SyncFailed) }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::error!(error = %error, "audit journal did not close well");
        }
    }
}

/// Room for one event, taken when a request begins and given back when this is dropped.
#[must_use = "a place that is dropped is given back"]
pub struct Place {
    shared: Arc<Shared>,
    is_free: bool,
}

impl Place {
    /// Appends the event. It has its place in the order from now on, and will be written.
    pub fn append(self, event: &Event<'_>) -> Ticket {
        self.append_in(Haste::Hurried, event)
    }

    /// The same for an operation that computed for long. While more operations compute than there are processors, its
    /// record may wait a little for theirs.
    pub fn append_patiently(self, event: &Event<'_>) -> Ticket {
        self.append_in(Haste::Patient, event)
    }

    fn append_in(mut self, haste: Haste, event: &Event<'_>) -> Ticket {
        self.is_free = true;
        self.shared.append_events(std::iter::once(event), haste)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.is_free {
            self.shared.release(AUDIT_PLACE_BYTES);
        }
    }
}

/// The group that begins the new segment: the records that another process left unsynced, and a note on a torn tail.
///
/// Those records keep their bytes, so their links stay true.
fn first_group(found: Found, clock: &dyn Env, signer: &dyn CheckpointSigner) -> Result<Group, JournalError> {
    let first = found.end.sequence + 1;
    let (mut bytes, mut records) = (found.unsynced, found.records);
    if let Some(torn) = &found.torn_tail {
        tracing::warn!(
            segment = torn.segment,
            offset = torn.offset,
            bytes = torn.bytes,
            "torn audit tail is cut"
        );
        let text = format!(
            "torn tail cut: {} bytes from byte {} of `{}` do not count",
            torn.bytes, torn.offset, torn.segment
        );
        let linked = bytes.len() - CHAIN_BYTES;
        let start = begin_record(&mut bytes, first + records, RecordKind::Note);
        Note { time: clock.now(), text: &text }.encode(&mut bytes);
        end_record(&mut bytes, start);
        let sealed =
            bytes.get_mut(linked..).and_then(|linked| group::seal(linked, found.end.sequence, signer));
        sealed.ok_or(JournalError::Unavailable)?;
        records += 1;
    }
    Ok(Group::new(bytes, first, records))
}
