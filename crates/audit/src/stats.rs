//! Counters of the journal, kept in atomics and read as a whole for the metrics page.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the latency buckets, in microseconds; a last bucket takes the rest.
pub const SYNC_BUCKETS_MICROS: [u64; 12] =
    [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000, 2_500_000];

#[derive(Debug, Default)]
pub(crate) struct Stats {
    records: AtomicU64,
    bytes: AtomicU64,
    syncs: AtomicU64,
    failures: AtomicU64,
    sync_nanos: AtomicU64,
    buckets: [AtomicU64; SYNC_BUCKETS_MICROS.len() + 1],
}

/// A reading of the journal's counters since it was opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JournalStats {
    /// Records known to be on the disk.
    pub records: u64,
    pub bytes: u64,
    /// Groups written; the count of the latency histogram.
    pub syncs: u64,
    /// Attempts to write a group that failed.
    pub failures: u64,
    /// The sum of the latency histogram.
    pub sync_time: Duration,
    /// Not cumulative; the bounds are [`SYNC_BUCKETS_MICROS`].
    pub sync_buckets: [u64; SYNC_BUCKETS_MICROS.len() + 1],
    /// Memory held for records that are not on the disk yet, reserved places included.
    pub pending_bytes: usize,
    pub is_available: bool,
}

impl Stats {
    pub(crate) fn synced(&self, records: u64, bytes: usize, took: Duration) {
        self.records.fetch_add(records, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
        self.syncs.fetch_add(1, Relaxed);
        self.sync_nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        let bucket = SYNC_BUCKETS_MICROS.partition_point(|bound| u128::from(*bound) < took.as_micros());
        if let Some(counter) = self.buckets.get(bucket) {
            counter.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    pub(crate) fn read(&self, pending_bytes: usize, is_available: bool) -> JournalStats {
        JournalStats {
            records: self.records.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            syncs: self.syncs.load(Relaxed),
            failures: self.failures.load(Relaxed),
            sync_time: Duration::from_nanos(self.sync_nanos.load(Relaxed)),
            sync_buckets: self.buckets.each_ref().map(|bucket| bucket.load(Relaxed)),
            pending_bytes,
            is_available,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_falls_into_the_bucket_whose_bound_it_does_not_pass() {
        let stats = Stats::default();
        for micros in [0, 50, 51, 2_500_000, 2_500_001] {
            stats.synced(2, 10, Duration::from_micros(micros));
        }
        let read = stats.read(7, true);
        assert_eq!(read.sync_buckets, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!((read.records, read.bytes, read.syncs, read.pending_bytes), (10, 50, 5, 7));
    }
}
