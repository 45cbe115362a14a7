//! Latencies in buckets: observed without locks, summed up when read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const MICROSECOND: u64 = 1000;
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// Upper bounds in nanoseconds, 1-2-5: from a cached decision to a client that has long given up.
const BOUNDS_NANOS: [u64; 17] = [
    50 * MICROSECOND,
    100 * MICROSECOND,
    200 * MICROSECOND,
    500 * MICROSECOND,
    MILLISECOND,
    2 * MILLISECOND,
    5 * MILLISECOND,
    10 * MILLISECOND,
    20 * MILLISECOND,
    50 * MILLISECOND,
    100 * MILLISECOND,
    200 * MILLISECOND,
    500 * MILLISECOND,
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
];

/// A histogram that many threads may observe into. Reading it while they do may miss the latest observation in one of
/// its numbers and not in another; the next reading has it.
#[derive(Debug, Default)]
pub struct LatencyHistogram {
    buckets: [AtomicU64; BOUNDS_NANOS.len()],
    beyond: AtomicU64,
    sum_nanos: AtomicU64,
}

/// Numbers of a histogram at one moment. Bounds are in seconds and ascend; counts are per bucket, not cumulative.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HistogramSnapshot {
    pub buckets: Vec<(f64, u64)>,
    /// Observations above the last bound.
    pub beyond: u64,
    pub sum_secs: f64,
}

impl LatencyHistogram {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn observe(&self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        // Linear: most requests end in one of the first buckets.
        let place = BOUNDS_NANOS.iter().position(|bound| nanos <= *bound);
        let bucket = place.and_then(|at| self.buckets.get(at)).unwrap_or(&self.beyond);
        bucket.fetch_add(1, Ordering::Relaxed);
        self.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    pub fn snapshot(&self) -> HistogramSnapshot {
        let seconds = |nanos| Duration::from_nanos(nanos).as_secs_f64();
        let counts = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        HistogramSnapshot {
            buckets: BOUNDS_NANOS.map(seconds).into_iter().zip(counts).collect(),
            beyond: self.beyond.load(Ordering::Relaxed),
            sum_secs: seconds(self.sum_nanos.load(Ordering::Relaxed)),
        }
    }
}

impl HistogramSnapshot {
    /// Adds another histogram's numbers. Both must have the same bounds, unless this one is still empty.
    pub fn add(&mut self, other: &Self) {
        if self.buckets.is_empty() {
            self.buckets.clone_from(&other.buckets);
        } else {
            for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
                mine.1 += theirs.1;
            }
        }
        self.beyond += other.beyond;
        self.sum_secs += other.sum_secs;
    }

    /// How many observations there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum::<u64>() + self.beyond
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_at_a_bound_belongs_to_it_and_one_past_to_the_next() {
        let histogram = LatencyHistogram::new();
        histogram.observe(Duration::from_micros(50));
        histogram.observe(Duration::from_nanos(50_001));
        histogram.observe(Duration::from_secs(10));
        histogram.observe(Duration::from_secs(11));
        let snapshot = histogram.snapshot();
        let counts: Vec<_> = snapshot.buckets.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(snapshot.beyond, 1);
        assert!((snapshot.sum_secs - 21.000_100_001).abs() < 1e-9);
    }

    #[test]
    fn bounds_ascend() {
        assert!(BOUNDS_NANOS.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn snapshots_add_up() {
        let one = HistogramSnapshot { buckets: vec![(1.0, 2), (2.0, 3)], beyond: 1, sum_secs: 9.0 };
        let mut sum = HistogramSnapshot::default();
        sum.add(&one);
        sum.add(&one);
        assert_eq!(sum, HistogramSnapshot { buckets: vec![(1.0, 4), (2.0, 6)], beyond: 2, sum_secs: 18.0 });
    }
}
