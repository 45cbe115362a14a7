//! The thread that writes.
//!
//! It takes all records that wait, writes them, syncs once, and tells everybody: a group commit. While it writes, the
//! next group gathers. When writing fails it tries again, in a new segment each time, until it succeeds or the journal
//! is closed; meanwhile new requests are refused, and those that have waited for the deadline are told so. Their records
//! are still written if the disk comes back: a record without an answer is right, an answer without a record is not.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use strongroom_types::Monotonic;

use crate::checkpoint::CheckpointSigner;
use crate::format::{put, segment_name};
use crate::journal::generation::Outcome;
use crate::journal::group::{Group, seal};
use crate::journal::segments::Segments;
use crate::journal::shared::{CheckpointDue, Gathering, Shared};
use crate::journal::{JournalEnd, JournalOptions};

/// Memory that the writer keeps between groups. A burst gives back what it took beyond.
const SPARE_BYTES_MAX: usize = 4 * 1024 * 1024;
const PAUSE_MIN: Duration = Duration::from_millis(10);
/// When so many records came while the last group was written, more will come at once: the next group waits for them,
/// so that one sync serves more of them. It does so until no event loop has work ([`Appenders`]), and no longer than half
/// of what writing the last group took: on a fast disk a sync is cheaper than waiting for company. Whoever is alone never
/// waits. (PostgreSQL's `commit_siblings` and `commit_delay` are the same thought.)
///
/// [`Appenders`]: crate::journal::Appenders
const GATHER_RECORDS: u64 = 8;
const GATHER_DIVISOR: u32 = 2;
const GATHER_AT_MOST: Duration = Duration::from_millis(1);
/// Records that may wait for company ([`Computing`]) do so for no longer than so many times of what writing the last group
/// took, and no longer than this. On a fast disk a sync is cheap, and long waits are not worth it.
///
/// [`Computing`]: crate::journal::Computing
const COMPANY_FACTOR: u32 = 32;
const COMPANY_AT_MOST: Duration = Duration::from_millis(4);
/// A journal that is being closed does not try for ever.
const CLOSING_ATTEMPTS_MAX: u32 = 8;

pub(crate) struct Writer {
    shared: Arc<Shared>,
    segments: Segments,
    signer: Arc<dyn CheckpointSigner>,
    checkpoint_records: u64,
    sync_deadline: Duration,
    pause_max: Duration,
    since_checkpoint: u64,
    closing_attempts: u32,
    /// How long writing the last group and its sync took.
    last_took: Duration,
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        segments: Segments,
        signer: Arc<dyn CheckpointSigner>,
        since_checkpoint: u64,
        options: &JournalOptions,
    ) -> Self {
        Self {
            shared,
            segments,
            signer,
            checkpoint_records: options.checkpoint_records,
            sync_deadline: options.sync_deadline,
            pause_max: options.retry_pause_max,
            since_checkpoint,
            closing_attempts: 0,
            last_took: Duration::ZERO,
        }
    }

    pub(crate) fn run(mut self) {
        // However this thread ends, nobody is left waiting.
        let _stopped = Stopped(Arc::clone(&self.shared));
        let mut spare = Vec::new();
        let mut last_records = 0;
        loop {
            let at_most = (self.last_took / GATHER_DIVISOR).min(GATHER_AT_MOST);
            let gathering = Gathering {
                in_company: self.last_took.saturating_mul(COMPANY_FACTOR).min(COMPANY_AT_MOST),
                for_loops: (last_records >= GATHER_RECORDS).then_some(at_most),
            };
            let due = CheckpointDue {
                records: self.checkpoint_records.saturating_sub(self.since_checkpoint),
                bytes: self.segments.room(),
                at_close: self.since_checkpoint > 0,
            };
            let Some(mut group) = self.shared.next_group(std::mem::take(&mut spare), &due, gathering) else {
                self.shared.set_all_written();
                return;
            };
            last_records = group.records;
            if !self.commit(&mut group) {
                return;
            }
            spare = std::mem::take(&mut group.bytes);
            spare.shrink_to(SPARE_BYTES_MAX);
        }
    }

    /// Brings a group to the disk; false if that is given up.
    fn commit(&mut self, group: &mut Group) -> bool {
        let end = self.segments.end();
        let is_whole = put(&mut group.bytes, 0, &end.chain)
            && seal(&mut group.bytes, end.sequence, &*self.signer).is_some();
        if !is_whole {
            tracing::error!("audit records in memory are damaged; the journal stops");
            return false;
        }
        let since = self.shared.clock.monotonic();
        let mut attempt = 0;
        let mut begun = since;
        while let Err(error) = self.segments.write(group) {
            attempt += 1;
            if !self.bear(&error, attempt, since, group) {
                return false;
            }
            begun = self.shared.clock.monotonic();
        }
        let end = self.segments.end();
        self.shared.set_end(JournalEnd { sequence: end.sequence, link: end.chain });
        let took = begun.until(self.shared.clock.monotonic());
        self.last_took = took;
        self.shared.stats.synced(group.records, group.records().len(), took);
        self.since_checkpoint =
            if group.ends_with_checkpoint { 0 } else { self.since_checkpoint + group.records };
        self.shared.release(group.claimed);
        if attempt > 0 {
            self.recovered(attempt);
        }
        group.generation.complete(Outcome::Synced);
        true
    }

    /// After a failed attempt: waits for the next one. False if there is to be none.
    fn bear(&mut self, error: &io::Error, attempt: u32, since: Monotonic, group: &Group) -> bool {
        self.shared.set_failing();
        self.shared.stats.failed();
        tracing::error!(attempt, error = %error, "audit journal cannot be written; requests are refused");
        if since.until(self.shared.clock.monotonic()) >= self.sync_deadline {
            group.generation.complete(Outcome::Failed);
            self.shared.fail_waiting();
        }
        // The first attempt in a new segment is made at once: most often only the old file was at fault.
        let doublings = attempt.saturating_sub(2).min(16);
        let pause = PAUSE_MIN.saturating_mul(1 << doublings).min(self.pause_max);
        let is_closing = self.shared.pause(if attempt == 1 { Duration::ZERO } else { pause });
        self.closing_attempts += u32::from(is_closing);
        self.closing_attempts < CLOSING_ATTEMPTS_MAX
    }

    fn recovered(&self, attempts: u32) {
        self.shared.set_recovered();
        let segment = segment_name(self.segments.end().segment);
        tracing::warn!(attempts, segment, "audit journal is written again");
        // Nobody waits for it.
        drop(self.shared.append_note(&format!(
            "writing failed {attempts} times; `{segment}` holds again what was not acknowledged before"
        )));
    }
}

struct Stopped(Arc<Shared>);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.stopped();
    }
}
