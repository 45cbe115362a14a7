//! Latencies, each to within one part in 64, in memory that does not grow.

use std::time::Duration;

/// 64 buckets for each power of two.
const PRECISION_BITS: u32 = 6;
/// Above 2^40 ns, which is eighteen minutes, everything is the same.
const NANOS_BITS: u32 = 40;
const BUCKETS: usize = (NANOS_BITS as usize) << PRECISION_BITS;

#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0 }
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get_mut(bucket_of(nanos)) {
            *bucket += 1;
        }
        self.count += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The latency that `share` of all do not exceed, in microseconds; zero if there are none.
    pub(crate) fn quantile_micros(&self, share: f64) -> f64 {
        let wanted = (share * self.count as f64).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted.max(1) {
                return highest_of(bucket) as f64 / 1000.0;
            }
        }
        0.0
    }
}

/// Below 64 each number is its own bucket; above, a bucket is the number's leading seven bits and its length.
fn bucket_of(nanos: u64) -> usize {
    let nanos = nanos.min((1 << NANOS_BITS) - 1);
    let length = u64::BITS - nanos.leading_zeros();
    let shift = length.saturating_sub(PRECISION_BITS + 1);
    // INVARIANT: `nanos >> shift` is below 128 and `shift` below 34, so this is below `BUCKETS`.
    ((shift as usize) << PRECISION_BITS) + (nanos >> shift) as usize
}

/// The largest number that belongs to the bucket.
fn highest_of(bucket: usize) -> u64 {
    let shift = (bucket >> PRECISION_BITS).saturating_sub(1);
    let leading = (bucket - (shift << PRECISION_BITS)) as u64;
    ((leading + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_no_wider_than_a_64th_of_what_it_holds() {
        let powers = (15..39).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        let buckets = (0..20_000).chain(powers).map(|nanos| {
            let highest = highest_of(bucket_of(nanos));
            assert!(highest >= nanos && highest - nanos <= nanos / 64, "{nanos} {highest}");
            bucket_of(nanos)
        });
        assert!(buckets.is_sorted());
        assert!(bucket_of(u64::MAX) < BUCKETS);
    }

    #[test]
    fn quantiles_of_a_hundred_are_its_hundredths() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.quantile_micros(0.5), 0.0);
        (1..=100).for_each(|micros| histogram.record(Duration::from_micros(micros)));
        for (share, micros) in [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0)] {
            let found = histogram.quantile_micros(share);
            assert!(found >= micros && found <= micros * 1.02, "{share}: {found}");
        }
    }

    #[test]
    fn histograms_add_up() {
        let mut sum = Histogram::new();
        let mut one = Histogram::new();
        one.record(Duration::from_micros(7));
        sum.add(&one);
        sum.add(&one);
        assert_eq!(sum.count(), 2);
        assert!(sum.quantile_micros(1.0) >= 7.0);
    }
}
