//! What the service does by itself.
//!
//! [`Jobs::tick`] is called about once a minute by whoever has a clock, off the roads of requests. Each tick does a bounded
//! part of each job and goes on where the last one stopped. What fails is logged, counted and tried again; a tick that is
//! interrupted anywhere leaves nothing that the next process would have to know: every step is one batch, and what is still
//! to be done is found by looking.
//!
//! - [`deletion`]: keys whose waiting period is over are destroyed.
//! - [`orphaned_grants`]: the grants of destroyed keys are removed.
//! - [`domain_keys`]: domain keys are renewed, everything moves under the newest, and the older ones are destroyed.

mod deletion;
mod domain_keys;
mod orphaned_grants;
mod settled_clock;

use std::error::Error;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use strongroom_crypto::RootHolder;
use strongroom_pipeline::JobCorridor;
use strongroom_types::Timestamp;

use crate::jobs::deletion::Deletions;
use crate::jobs::domain_keys::DomainKeys;
use crate::jobs::settled_clock::SettledClock;

/// What the jobs have done, for the metrics.
#[derive(Debug, Default)]
pub struct JobStats {
    domain_keys_older: AtomicU64,
    failures: AtomicU64,
    keys_destroyed: AtomicU64,
    keys_pending: AtomicU64,
    last_run_millis: AtomicU64,
}

impl JobStats {
    /// Older versions of domain keys that something may still refer to.
    pub fn domain_keys_older(&self) -> u64 {
        self.domain_keys_older.load(Ordering::Relaxed)
    }

    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub fn keys_destroyed(&self) -> u64 {
        self.keys_destroyed.load(Ordering::Relaxed)
    }

    /// Keys that are pending deletion, as the last whole walk found them.
    pub fn keys_pending(&self) -> u64 {
        self.keys_pending.load(Ordering::Relaxed)
    }

    /// When the jobs ran last; the epoch if they have not yet.
    pub fn last_run(&self) -> Timestamp {
        Timestamp::from_millis(self.last_run_millis.load(Ordering::Relaxed))
    }

    /// For whoever drives the jobs: a run that did not come to its end.
    pub fn count_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Names what failed in the log.
    fn failed(&self, doing: &str, subject: &dyn Display, error: &(dyn Error + 'static)) {
        self.count_failure();
        tracing::error!(doing, %subject, error, "a job failed; it is tried again later");
    }
}

/// All jobs of one process.
pub struct Jobs {
    clock: SettledClock,
    corridor: JobCorridor,
    deletions: Deletions,
    domain_keys: DomainKeys,
    /// Whether the store's log may hold what has been deleted. A process that was killed may have left it so.
    log_is_dirty: bool,
    stats: Arc<JobStats>,
}

impl Jobs {
    /// `root` wraps new domain keys.
    pub fn new(corridor: JobCorridor, root: &Arc<dyn RootHolder>) -> Self {
        Self {
            clock: SettledClock::default(),
            deletions: Deletions::default(),
            domain_keys: DomainKeys::new(corridor.regions(), root),
            log_is_dirty: true,
            corridor,
            stats: Arc::default(),
        }
    }

    pub fn stats(&self) -> Arc<JobStats> {
        Arc::clone(&self.stats)
    }

    /// One run. Blocks; bounded.
    pub fn tick(&mut self) {
        let Self { clock, corridor, deletions, domain_keys, log_is_dirty, stats } = self;
        let env = corridor.env();
        let settled = clock.observe(env.now(), env.monotonic());
        *log_is_dirty |= deletions.tick(corridor, settled, stats);
        *log_is_dirty |= orphaned_grants::tick(corridor, stats);
        *log_is_dirty |= domain_keys.tick(corridor, stats);
        if *log_is_dirty {
            match corridor.truncate_log() {
                Ok(()) => *log_is_dirty = false,
                // Readers may be in the way.
                Err(error) => stats.failed("truncating the store's log", &"store", &error),
            }
        }
        stats.last_run_millis.store(corridor.env().now().as_millis(), Ordering::Relaxed);
    }
}
