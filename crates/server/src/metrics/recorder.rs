//! The request metrics of one thread.

use std::iter;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use strongroom_types::{HistogramSnapshot, LatencyHistogram};

use super::table::Table;

/// Slots per thread: about twice the operations there are, and several outcomes for each.
const OPERATION_SLOTS: usize = 128;
const COUNT_SLOTS: usize = 1024;
/// The label of what found no slot. Nothing uncounted: the totals stay right.
const OTHER: &str = "Other";

/// Counts requests for the thread that owns it. Sharing one between threads is correct, only slower.
#[derive(Debug)]
pub struct Recorder {
    counts: Table<(&'static str, &'static str), AtomicU64>,
    durations: Table<&'static str, LatencyHistogram>,
}

impl Recorder {
    pub(super) fn new() -> Self {
        Self { counts: Table::new(COUNT_SLOTS), durations: Table::new(OPERATION_SLOTS) }
    }

    /// Counts one request. Both names must come from closed lists: each pair takes a slot for the life of the process.
    pub fn record(&self, operation: &'static str, outcome: &'static str, duration: Duration) {
        self.counts.value((operation, outcome)).fetch_add(1, Ordering::Relaxed);
        self.durations.value(operation).observe(duration);
    }

    pub(super) fn counts(&self) -> impl Iterator<Item = ((&'static str, &'static str), u64)> {
        let rest = iter::once(((OTHER, OTHER), self.counts.rest()));
        self.counts
            .entries()
            .chain(rest)
            .map(|(labels, count)| (labels, count.load(Ordering::Relaxed)))
            .filter(|(_, count)| *count > 0)
    }

    pub(super) fn durations(&self) -> impl Iterator<Item = (&'static str, HistogramSnapshot)> {
        let rest = iter::once((OTHER, self.durations.rest()));
        self.durations
            .entries()
            .chain(rest)
            .map(|(operation, duration)| (operation, duration.snapshot()))
            .filter(|(_, duration)| duration.count() > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_slot_is_counted_as_other() {
        let recorder = Recorder::new();
        for n in 0..COUNT_SLOTS + 10 {
            recorder.record(format!("Operation{n}").leak(), "Success", Duration::from_millis(1));
        }
        let total: u64 = recorder.counts().map(|(_, count)| count).sum();
        assert_eq!(total, u64::try_from(COUNT_SLOTS + 10).unwrap());
        let (_, other) = recorder.counts().find(|(labels, _)| *labels == (OTHER, OTHER)).unwrap();
        assert!(other >= 10);
        assert!(recorder.durations().any(|(operation, _)| operation == OTHER));
    }

    #[test]
    fn nothing_recorded_shows_nothing() {
        let recorder = Recorder::new();
        assert_eq!(recorder.counts().count() + recorder.durations().count(), 0);
    }
}
