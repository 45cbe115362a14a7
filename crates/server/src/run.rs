//! From a configuration to a running service and back to a closed store.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use strongroom_audit::{Journal, JournalStats, SYNC_BUCKETS_MICROS};
use strongroom_kms::JobStats;
use strongroom_records::{CommitStats, Verdict, Verification};
use strongroom_types::{AccountId, Env, HistogramSnapshot, RegionName};

use crate::anchor::AnchorStatus;
use crate::assembly::{AskPassphrase, AssemblyError, Opened, PartLimits, Places, Running};
use crate::tls::{LOOK_INTERVAL, TlsWatch};
use crate::{
    Config, Health, ListenError, Listeners, Metrics, Parts, ServeError, Shutdown, SystemEnv, Tls, TlsError,
    raise_open_files, serve,
};

/// What is listening, for whoever announces it.
pub struct Announcement<'a> {
    pub accounts: &'a [AccountId],
    pub address: SocketAddr,
    pub admin_address: SocketAddr,
    pub places: &'a Places,
    pub regions: &'a [RegionName],
    /// `http` or `https`.
    pub scheme: &'static str,
}

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Assembly(#[from] AssemblyError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error("cannot use TLS as configured")]
    Tls(#[from] TlsError),
    #[error("cannot watch the TLS files")]
    WatchTls(#[source] io::Error),
}

/// The journal is what health is about: when it cannot be written, nothing is answered. When the store cannot be,
/// changes are refused and what memory holds is still answered. What the verification of the store found is told beside
/// it, and stops nothing.
struct DiskHealth {
    anchor: Arc<AnchorStatus>,
    commits: Arc<CommitStats>,
    journal: Arc<Journal>,
    verification: Arc<Verification>,
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

    fn remarks(&self) -> Vec<String> {
        let rows = self.verification.rows();
        let verification = match self.verification.verdict() {
            Verdict::Failed => "could not be verified; see the log".to_owned(),
            Verdict::Running => format!("is being verified, {rows} rows so far"),
            Verdict::Sound => format!("holds what was last written, {rows} rows"),
            Verdict::Unsound { total, .. } => {
                format!("does not hold what was last written: {total} problems, see the log")
            }
        };
        let mut remarks = vec![format!("store: {verification}")];
        if self.anchor.is_failing() {
            remarks.push("anchor: cannot be written, see the log".to_owned());
        }
        remarks
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
    let connections_fitting = raise_open_files(config.connections_max.as_usize());
    let config =
        &Config { connections_max: config.connections_max.at_most(connections_fitting), ..config.clone() };
    let env: Arc<dyn Env> = Arc::new(SystemEnv::new());
    let tls = Tls::load(&config.tls)?;
    let watch = tls.as_ref().map(|tls| TlsWatch::start(tls, LOOK_INTERVAL)).transpose();
    let _watch = watch.map_err(RunError::WatchTls)?;
    let opened = Opened::open(places, passphrase)?;
    let limits = PartLimits {
        accept_rollback: config.accept_rollback,
        cached_rows_max: config.cache_rows_max.as_usize(),
        journal_segment_bytes: config.journal_segment_bytes(),
    };
    let running = Running::start(places, opened, &env, limits)?;
    let listeners = Listeners::bind(config)?;
    let metrics = Arc::new(Metrics::new(env.now()));
    register(&metrics, &running);
    if let Some(tls) = &tls {
        tls.register(&metrics);
        tls.warn_if_over(env.now());
    }
    tracing::info!(
        listen = %listeners.address(),
        admin_listen = %listeners.admin_address(),
        regions = running.regions.len(),
        tls = tls.is_some(),
        "serving"
    );
    announce(&Announcement {
        accounts: &running.accounts,
        address: listeners.address(),
        admin_address: listeners.admin_address(),
        places,
        regions: &running.regions,
        scheme: if tls.is_some() { "https" } else { "http" },
    });
    let health = Arc::new(DiskHealth {
        anchor: Arc::clone(&running.anchor),
        commits: running.records.commit_stats(),
        journal: Arc::clone(&running.journal),
        verification: Arc::clone(&running.verification),
    });
    let appenders = Some(running.journal.appenders());
    let parts = Parts { appenders, env, health, metrics, service: Arc::clone(&running.service), tls };
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

    register_store_checks(metrics, running);
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
    register_jobs(metrics, &running.jobs.stats());
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

/// What is known of whether the store is the one that was last written.
fn register_store_checks(metrics: &Metrics, running: &Running) {
    let verification = Arc::clone(&running.verification);
    let read = move || f64::from(u8::from(verification.verdict() == Verdict::Sound));
    metrics.register_gauge_fn(
        "strongroom_store_verified",
        "1 once this process has verified that the store holds the rows last written.",
        Box::new(read),
    );
    let verification = Arc::clone(&running.verification);
    let read = move || match verification.verdict() {
        Verdict::Failed | Verdict::Running | Verdict::Sound => 0.0,
        Verdict::Unsound { total, .. } => to_f64(usize::try_from(total).unwrap_or(usize::MAX)),
    };
    metrics.register_gauge_fn(
        "strongroom_store_problems",
        "Problems that the verification of the store has found.",
        Box::new(read),
    );
    let anchor = Arc::clone(&running.anchor);
    let read = move || std::time::Duration::from_millis(anchor.written_millis()).as_secs_f64();
    metrics.register_gauge_fn(
        "strongroom_anchor_written_timestamp_seconds",
        "When the anchor was written last, in seconds since the Unix epoch.",
        Box::new(read),
    );
    let anchor = Arc::clone(&running.anchor);
    metrics.register_counter_fn(
        "strongroom_anchor_failures",
        "Failed attempts to write the anchor.",
        Box::new(move || anchor.failures()),
    );
}

fn register_jobs(metrics: &Metrics, stats: &Arc<JobStats>) {
    let jobs = Arc::clone(stats);
    let seconds = move || std::time::Duration::from_millis(jobs.last_run().as_millis()).as_secs_f64();
    metrics.register_gauge_fn(
        "strongroom_jobs_last_run_timestamp_seconds",
        "When the jobs ran last, in seconds since the Unix epoch; 0 before the first run.",
        Box::new(seconds),
    );
    let jobs = Arc::clone(stats);
    metrics.register_counter_fn(
        "strongroom_jobs_failures",
        "Steps of jobs that failed and are tried again.",
        Box::new(move || jobs.failures()),
    );
    let jobs = Arc::clone(stats);
    metrics.register_counter_fn(
        "strongroom_keys_destroyed",
        "Keys destroyed at the end of their waiting period.",
        Box::new(move || jobs.keys_destroyed()),
    );
    let jobs = Arc::clone(stats);
    metrics.register_gauge_fn(
        "strongroom_keys_pending_deletion",
        "Keys pending deletion, as the last whole walk found them.",
        Box::new(move || u32::try_from(jobs.keys_pending()).map_or(f64::from(u32::MAX), f64::from)),
    );
    let jobs = Arc::clone(stats);
    metrics.register_gauge_fn(
        "strongroom_domain_keys_older",
        "Versions of domain keys that wait to be destroyed until nothing refers to them.",
        Box::new(move || u32::try_from(jobs.domain_keys_older()).map_or(f64::from(u32::MAX), f64::from)),
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
