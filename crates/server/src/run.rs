//! From a configuration to a running service and back to a closed store.

use std::net::SocketAddr;
use std::sync::Arc;

use strongroom_audit::{Journal, JournalStats, SYNC_BUCKETS_MICROS};
use strongroom_kms::Service;
use strongroom_pipeline::{Answer, Arrival};
use strongroom_records::CommitStats;
use strongroom_types::{AccountId, Env, HistogramSnapshot, RegionName};

use crate::assembly::{AskPassphrase, AssemblyError, Opened, PartLimits, Places, Running};
use crate::{
    Config, Health, ListenError, Listeners, Metrics, Parts, ServeError, Shutdown, SystemEnv,
    raise_open_files, serve,
};

/// What is listening, for whoever announces it.
pub struct Announcement<'a> {
    pub accounts: &'a [AccountId],
    pub address: SocketAddr,
    pub admin_address: SocketAddr,
    pub places: &'a Places,
    pub regions: &'a [RegionName],
}

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Assembly(#[from] AssemblyError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Serve(#[from] ServeError),
}

impl crate::Service for Service {
    fn call(&self, arrival: Arrival) -> impl Future<Output = Answer> + Send {
        Service::call(self, arrival)
    }
}

/// The journal is what health is about: when it cannot be written, nothing is answered. When the store cannot be,
/// changes are refused and what memory holds is still answered.
struct DiskHealth {
    commits: Arc<CommitStats>,
    journal: Arc<Journal>,
}

impl Health for DiskHealth {
    fn healthy(&self) -> Result<(), String> {
        if self.journal.stats().is_available {
            Ok(())
        } else {
            Err("the audit journal cannot be written".to_owned())
        }
    }

    fn ready(&self) -> Result<(), String> {
        self.healthy()?;
        if self.commits.is_failing() { Err("the store cannot be written".to_owned()) } else { Ok(()) }
    }
}

/// Serves until `shutdown` is triggered, then closes everything in good order.
pub fn run(
    config: &Config,
    places: &Places,
    passphrase: Option<AskPassphrase<'_>>,
    shutdown: &Shutdown,
    announce: &dyn Fn(&Announcement<'_>),
) -> Result<(), RunError> {
    raise_open_files(config.connections_max.as_u32().try_into().unwrap_or(usize::MAX));
    let env: Arc<dyn Env> = Arc::new(SystemEnv::new());
    let opened = Opened::open(places, passphrase)?;
    let limits = PartLimits {
        cached_rows_max: config.cache_rows_max.as_usize(),
        journal_segment_bytes: config.journal_segment_bytes(),
    };
    let running = Running::start(places, opened, &env, limits)?;
    let listeners = Listeners::bind(config)?;
    let metrics = Arc::new(Metrics::new(env.now()));
    register(&metrics, &running);
    tracing::info!(
        listen = %listeners.address(),
        admin_listen = %listeners.admin_address(),
        regions = running.regions.len(),
        "serving"
    );
    announce(&Announcement {
        accounts: &running.accounts,
        address: listeners.address(),
        admin_address: listeners.admin_address(),
        places,
        regions: &running.regions,
    });
    let health = Arc::new(DiskHealth {
        commits: running.records.commit_stats(),
        journal: Arc::clone(&running.journal),
    });
    let parts = Parts { env, health, metrics, service: Arc::clone(&running.service) };
    let served = serve(listeners, config, parts, shutdown);
    tracing::info!("stopped serving; flushing");
    running.close()?;
    Ok(served?)
}

/// Hands the parts' own numbers to the metrics.
fn register(metrics: &Metrics, running: &Running) {
    let commits = running.records.commit_stats();
    metrics.register_histogram_fn(
        "strongroom_commit_duration_seconds",
        "Time from taking a group of commits up to its answers.",
        Box::new(move || commits.latency.snapshot()),
    );
    let commits = running.records.commit_stats();
    let read = move || commits.batches.load(std::sync::atomic::Ordering::Relaxed);
    metrics.register_counter_fn("strongroom_commits", "Batches committed.", Box::new(read));
    let commits = running.records.commit_stats();
    let read = move || commits.conflicts.load(std::sync::atomic::Ordering::Relaxed);
    metrics.register_counter_fn(
        "strongroom_commit_conflicts",
        "Batches refused by a changed row.",
        Box::new(read),
    );
    let commits = running.records.commit_stats();
    let read = move || commits.failures.load(std::sync::atomic::Ordering::Relaxed);
    metrics.register_counter_fn(
        "strongroom_commit_failures",
        "Groups the store did not take.",
        Box::new(read),
    );

    let journal = Arc::downgrade(&running.journal);
    metrics.register_histogram_fn(
        "strongroom_journal_sync_duration_seconds",
        "Time from writing a group of audit records to their sync.",
        Box::new(move || {
            journal.upgrade().map(|journal| sync_histogram(&journal.stats())).unwrap_or_default()
        }),
    );
    let journal = Arc::downgrade(&running.journal);
    let read = move || journal.upgrade().map(|journal| journal.stats().records).unwrap_or_default();
    metrics.register_counter_fn("strongroom_journal_records", "Audit records written.", Box::new(read));
    let journal = Arc::downgrade(&running.journal);
    let read = move || journal.upgrade().map(|journal| journal.stats().failures).unwrap_or_default();
    metrics.register_counter_fn(
        "strongroom_journal_failures",
        "Failed attempts to write audit records.",
        Box::new(read),
    );

    let records = Arc::downgrade(&running.records);
    let sizes = move || records.upgrade().map(|records| records.cache_sizes());
    let keys = sizes.clone();
    let read = move || keys().map_or(0.0, |sizes| to_f64(sizes.keys));
    metrics.register_gauge_fn("strongroom_cached_keys", "Keys kept in memory.", Box::new(read));
    let aliases = sizes.clone();
    let read = move || aliases().map_or(0.0, |sizes| to_f64(sizes.aliases));
    metrics.register_gauge_fn("strongroom_cached_aliases", "Aliases kept in memory.", Box::new(read));
    let read = move || sizes().map_or(0.0, |sizes| to_f64(sizes.access_keys));
    metrics.register_gauge_fn("strongroom_cached_access_keys", "Access keys kept in memory.", Box::new(read));
    let corridor = Arc::downgrade(&running.corridor);
    let read = move || corridor.upgrade().map_or(0.0, |corridor| to_f64(corridor.signing_keys_cached()));
    metrics.register_gauge_fn(
        "strongroom_cached_signing_keys",
        "Signing keys kept in memory.",
        Box::new(read),
    );
    let strangers = Arc::downgrade(&running.strangers);
    let read = move || strangers.upgrade().map(|log| log.stats().written).unwrap_or_default();
    metrics.register_counter_fn(
        "strongroom_strangers_recorded",
        "Failures of unknown callers, written.",
        Box::new(read),
    );
    let strangers = Arc::downgrade(&running.strangers);
    let read = move || strangers.upgrade().map(|log| log.stats().suppressed).unwrap_or_default();
    metrics.register_counter_fn(
        "strongroom_strangers_suppressed",
        "Failures of unknown callers, counted but not written.",
        Box::new(read),
    );
}

/// Cache sizes are far below 2^52.
fn to_f64(n: usize) -> f64 {
    u32::try_from(n).map_or(f64::from(u32::MAX), f64::from)
}

fn sync_histogram(stats: &JournalStats) -> HistogramSnapshot {
    let seconds = |micros: u64| std::time::Duration::from_micros(micros).as_secs_f64();
    let buckets = SYNC_BUCKETS_MICROS.map(seconds).into_iter().zip(stats.sync_buckets);
    HistogramSnapshot {
        buckets: buckets.collect(),
        beyond: stats.sync_buckets.last().copied().unwrap_or_default(),
        sum_secs: stats.sync_time.as_secs_f64(),
    }
}
