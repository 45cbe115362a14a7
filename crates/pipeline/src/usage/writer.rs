//! From memory to rows: a thread of its own, which writes what has changed about once a minute and at an orderly end.
//!
//! Batches are small and have pauses between them. They are against the rows of keys, so that a key which is destroyed
//! meanwhile leaves none, and no request decides by what they write, so that none is decided again because of them.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use strongroom_audit::Journal;
use strongroom_records::Records;
use strongroom_types::{Env, Monotonic, limits};

use super::{KeyUses, UsageError, batches};

const EVERY: Duration = Duration::from_secs(limits::KEY_USES_WRITTEN_EVERY_SECS);
const PAUSE: Duration = Duration::from_millis(limits::KEY_USES_PAUSE_MILLIS);
const LAST_WRITING: Duration = Duration::from_secs(limits::KEY_USES_LAST_WRITING_SECS);
/// How often the thread looks whether something is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After a failure there is no new attempt before this.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// How often, and how long apart, the journal is asked whether the records of uses are on the disk.
const SYNC_LOOKS: u32 = 1000;
const SYNC_PAUSE: Duration = Duration::from_millis(5);
/// At an orderly end this much may be left to be read.
const LEFT_RECORDS_MAX: u64 = 1000;

/// Brings last uses to their rows.
pub struct UsageWriter {
    directory: PathBuf,
    env: Arc<dyn Env>,
    journal: Arc<Journal>,
    records: Arc<Records>,
    uses: Arc<KeyUses>,
    /// The last record up to which all uses are in rows, as the store has it.
    told: u64,
    written: Monotonic,
    failures: Arc<AtomicU64>,
    retry: Option<Monotonic>,
}

impl UsageWriter {
    /// `directory` is the journal's.
    pub fn new(
        directory: PathBuf,
        env: Arc<dyn Env>,
        journal: Arc<Journal>,
        records: Arc<Records>,
        uses: Arc<KeyUses>,
    ) -> Result<Self, UsageError> {
        let told = records.usage_tracking()?.map_or(0, |row| row.sequence);
        let (written, failures) = (env.monotonic(), Arc::default());
        Ok(Self { directory, env, journal, records, uses, told, written, failures, retry: None })
    }

    /// Attempts that came to nothing.
    pub fn failures(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.failures)
    }

    /// Writes what is due. What fails is in the log and is tried again.
    fn tick(&mut self, pace: &mut Pace<'_>) {
        let now = self.env.monotonic();
        if self.retry.is_some_and(|failed| failed.until(now) < RETRY_AFTER) || !self.is_due(now) {
            return;
        }
        self.retry = None;
        if let Err(error) = self.write_paced(pace) {
            self.failures.fetch_add(1, Ordering::Relaxed);
            self.retry = Some(now);
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the last uses of keys could not be written; that is tried again later");
        }
    }

    fn is_due(&self, now: Monotonic) -> bool {
        let waiting = self.uses.waiting();
        (waiting > 0 && self.written.until(now) >= EVERY)
            || self.uses.is_half_full()
            || self.behind() >= limits::KEY_USES_REPLAY_RECORDS
            || self.uses.has_missed()
    }

    /// Records of the journal that would have to be read after a kill.
    fn behind(&self) -> u64 {
        self.journal.end().sequence.saturating_sub(self.told)
    }

    /// Writes everything that has changed, without a pause. Blocks.
    pub fn write(&mut self) -> Result<(), UsageError> {
        self.write_paced(&mut Pace::none())
    }

    fn write_paced(&mut self, pace: &mut Pace<'_>) -> Result<(), UsageError> {
        self.recover_missed()?;
        // INVARIANT: read before the entries are: what is on the disk was noted when it was appended.
        let upto = self.journal.end().sequence;
        let entries = self.uses.entries();
        // A row never tells of what the journal may lose.
        let newest = entries.iter().map(|(_, noted)| noted.sequence).max();
        self.wait_for_disk(newest.unwrap_or_default())?;
        for batch in batches(&entries) {
            self.uses.write(&self.records, batch)?;
            self.uses.settle(batch);
            pace.rest(self.uses.is_half_full(), &*self.env)?;
        }
        // A use that found no room since is not among the entries, but counted by now if its record is among these.
        if !self.uses.has_missed() {
            self.advance(upto)?;
        }
        self.written = self.env.monotonic();
        Ok(())
    }

    /// Brings uses that found no room to their rows. They stand in the journal, as everything does.
    fn recover_missed(&mut self) -> Result<(), UsageError> {
        let missed = self.uses.missed.load(Ordering::SeqCst);
        if missed == self.uses.recovered.load(Ordering::SeqCst) {
            return Ok(());
        }
        // What was missed was appended before it was counted.
        let upto = self.journal.appended();
        self.wait_for_disk(upto)?;
        let found = self.uses.replay(&self.records, &self.directory, &*self.env, (self.told, upto))?;
        self.uses.write_all(&self.records, found.into_iter().collect())?;
        self.advance(upto)?;
        self.uses.recovered.store(missed, Ordering::SeqCst);
        Ok(())
    }

    fn advance(&mut self, upto: u64) -> Result<(), UsageError> {
        if upto > self.told {
            self.records.advance_usage_tracking(upto)?;
            self.told = upto;
        }
        Ok(())
    }

    fn wait_for_disk(&self, sequence: u64) -> Result<(), UsageError> {
        for _ in 0..SYNC_LOOKS {
            if self.journal.end().sequence >= sequence {
                return Ok(());
            }
            std::thread::sleep(SYNC_PAUSE);
        }
        Err(UsageError::NotOnDisk)
    }

    fn run(mut self, stopped: &Receiver<()>) {
        let mut pace = Pace::stopped_by(stopped);
        while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
            // What a panic leaves behind is what a kill may leave behind.
            if catch_unwind(AssertUnwindSafe(|| self.tick(&mut pace))).is_err() {
                tracing::error!("the writing of the last uses of keys panicked; it is tried again later");
                self.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
        if self.uses.waiting() == 0 && !self.uses.has_missed() && self.behind() < LEFT_RECORDS_MAX {
            return;
        }
        if let Err(error) = self.write_paced(&mut pace) {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the next process reads the last uses of keys from the audit journal");
        }
    }
}

/// The pauses between batches.
struct Pace<'a> {
    stopped: Option<&'a Receiver<()>>,
    ending: Option<Monotonic>,
}

impl<'a> Pace<'a> {
    fn none() -> Self {
        Self { stopped: None, ending: None }
    }

    fn stopped_by(stopped: &'a Receiver<()>) -> Self {
        Self { stopped: Some(stopped), ending: None }
    }

    /// Once the process ends there are no pauses any more, and not much time.
    fn rest(&mut self, is_pressed: bool, env: &dyn Env) -> Result<(), UsageError> {
        let Some(stopped) = self.stopped else { return Ok(()) };
        let pause = if is_pressed { Duration::ZERO } else { PAUSE };
        if stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
            return Ok(());
        }
        let now = env.monotonic();
        let began = *self.ending.get_or_insert(now);
        if began.until(now) < LAST_WRITING { Ok(()) } else { Err(UsageError::Unfinished) }
    }
}

/// The running thread.
pub struct UsageThread {
    /// Never sent on: its end is the sign to stop.
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl UsageThread {
    pub fn start(writer: UsageWriter) -> io::Result<Self> {
        let (stop, stopped) = channel::<()>();
        let thread = std::thread::Builder::new().name("strongroom-usage".into());
        Ok(Self { stop, thread: thread.spawn(move || writer.run(&stopped))? })
    }

    /// Has it write what is left, as far as a few seconds suffice. Requests must have ended.
    pub fn stop(self) {
        drop(self.stop);
        // A panic of the thread has been printed by the panic hook; the next start reads the journal.
        let _ = self.thread.join();
    }
}
