//! What the parts of a deployment show among the metrics.

use std::sync::Arc;

use strongroom_audit::{JournalStats, SYNC_BUCKETS_MICROS};
use strongroom_crypto::key_memory;
use strongroom_kms::JobStats;
use strongroom_records::Verdict;
use strongroom_types::HistogramSnapshot;

use crate::Metrics;
use crate::assembly::Running;
use crate::disk::DiskStatus;

/// What is known of whether keys could be written to swap.
pub(crate) fn register_key_memory(metrics: &Metrics) {
    metrics.register_gauge_fn(
        "strongroom_key_memory_locked_bytes",
        "Memory set apart for keys and locked.",
        Box::new(|| to_f64(key_memory().locked_bytes)),
    );
    metrics.register_gauge_fn(
        "strongroom_keys_unlocked",
        "Keys and cached key materials in memory that could not be locked.",
        Box::new(|| {
            let memory = key_memory();
            to_f64(memory.ring_unlocked + memory.materials_unlocked)
        }),
    );
}

/// Hands the parts' own numbers to the metrics.
pub(crate) fn register(metrics: &Metrics, running: &Running) {
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
    register_usage(metrics, running);
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

/// What is not in rows yet is in memory and in the journal.
fn register_usage(metrics: &Metrics, running: &Running) {
    let usage = Arc::clone(&running.usage);
    metrics.register_gauge_fn(
        "strongroom_key_uses_waiting",
        "Keys whose last use is not in its row yet.",
        Box::new(move || to_f64(usage.waiting())),
    );
    let failures = Arc::clone(&running.usage_failures);
    metrics.register_counter_fn(
        "strongroom_key_uses_failures",
        "Attempts to write last uses of keys that failed and are made again.",
        Box::new(move || failures.load(std::sync::atomic::Ordering::Relaxed)),
    );
}

/// Room on the disk, as it was seen last.
pub(crate) fn register_disk(metrics: &Metrics, status: &Arc<DiskStatus>) {
    let seen = Arc::clone(status);
    metrics.register_gauge_fn(
        "strongroom_disk_free_bytes",
        "Room on the disk of the data directory, beside the reserve.",
        Box::new(move || seen.free_bytes() as f64),
    );
    let seen = Arc::clone(status);
    metrics.register_gauge_fn(
        "strongroom_disk_reserve_bytes",
        "Room that the reserve holds; zero when it was given back.",
        Box::new(move || seen.held_bytes() as f64),
    );
    let seen = Arc::clone(status);
    metrics.register_gauge_fn(
        "strongroom_disk_alarm",
        "One when less than `disk_free_alarm_mib` is free, two when the disk is full, else zero.",
        Box::new(move || f64::from(seen.level() as u8)),
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
