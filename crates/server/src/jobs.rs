//! The jobs' clock: a thread that runs the jobs once a minute, beside everything that serves requests.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use strongroom_kms::{JobStats, Jobs};

/// How long after the end of one run the next one begins.
const EVERY: Duration = Duration::from_secs(60);

/// The running thread.
pub(crate) struct JobThread {
    stats: Arc<JobStats>,
    /// Never sent on: its end is the sign to stop.
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl JobThread {
    /// The first run begins at once.
    pub(crate) fn start(mut jobs: Jobs) -> io::Result<Self> {
        let (stop, stopped) = channel::<()>();
        let stats = jobs.stats();
        let thread = std::thread::Builder::new().name("strongroom-jobs".into()).spawn(move || {
            loop {
                // What a panic leaves behind is what a kill may leave behind, and each run begins by looking.
                if catch_unwind(AssertUnwindSafe(|| jobs.tick())).is_err() {
                    tracing::error!("a job panicked; it is tried again later");
                    jobs.stats().count_failure();
                }
                if stopped.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        })?;
        Ok(Self { stats, stop, thread })
    }

    pub(crate) fn stats(&self) -> Arc<JobStats> {
        Arc::clone(&self.stats)
    }

    /// Waits for the end of the run under way, which is bounded.
    pub(crate) fn stop(self) {
        drop(self.stop);
        let _ = self.thread.join();
    }
}
