//! What the service counts, and its form at `/metrics` (OpenMetrics 1.0 text).
//!
//! A request costs two look-ups in tables without locks that belong to the thread that serves it (see [`Recorder`]);
//! everything else is read when somebody asks. Names and labels hold nothing that a caller chose: operations and
//! outcomes are closed lists.

mod histogram;
mod recorder;
mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use strongroom_types::{HistogramSnapshot, LatencyHistogram, Timestamp};

pub use recorder::Recorder;

type Recorders = Arc<Mutex<Vec<Arc<Recorder>>>>;
type Read<T> = Box<dyn Fn() -> T + Send + Sync>;

/// All metrics of the process. Others add theirs with the `register_…` functions before the server starts.
pub struct Metrics {
    registry: Mutex<Registry>,
    recorders: Recorders,
}

impl Metrics {
    /// `started` is the process's start, shown as `process_start_time_seconds`.
    pub fn new(started: Timestamp) -> Self {
        let recorders = Recorders::default();
        let metrics = Self { registry: Mutex::new(Registry::default()), recorders: Arc::clone(&recorders) };
        metrics.register(Requests(recorders));
        let seconds = Duration::from_millis(started.as_millis()).as_secs_f64();
        metrics.register_gauge_fn(
            "process_start_time_seconds",
            "When the process was started, in seconds since the Unix epoch.",
            Box::new(move || seconds),
        );
        metrics.register_gauge_fn(
            "process_resident_memory_bytes",
            "Memory of the process that is in RAM.",
            Residence::new().read(),
        );
        metrics
    }

    /// A recorder for one thread that serves requests. What all recorders count is summed up when it is read.
    pub fn recorder(&self) -> Arc<Recorder> {
        let recorder = Arc::new(Recorder::new());
        self.recorders.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&recorder));
        recorder
    }

    /// A number that goes up and down, read when the metrics are. `help` ends with a full stop.
    pub fn register_gauge_fn(&self, name: &'static str, help: &'static str, read: Read<f64>) {
        self.register(Hook { name, help, read: Number::Gauge(read) });
    }

    /// A number that only goes up, read when the metrics are. `name` comes without `_total`, which is added.
    pub fn register_counter_fn(&self, name: &'static str, help: &'static str, read: Read<u64>) {
        self.register(Hook { name, help, read: Number::Counter(read) });
    }

    /// Latencies that somebody else counts, read when the metrics are. `name` ends with `_seconds`.
    pub fn register_histogram_fn(
        &self,
        name: &'static str,
        help: &'static str,
        read: Read<HistogramSnapshot>,
    ) {
        self.register(Hook { name, help, read: Number::Histogram(read) });
    }

    /// Latencies observed into a histogram that is shared with whoever observes them.
    pub fn register_histogram(&self, name: &'static str, help: &'static str, shared: Arc<LatencyHistogram>) {
        self.register_histogram_fn(name, help, Box::new(move || shared.snapshot()));
    }

    /// Everything, as `application/openmetrics-text; version=1.0.0; charset=utf-8`.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(text)
    }

    fn register(&self, collector: impl Collector) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.register_collector(Box::new(collector));
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics(..)")
    }
}

/// The sum of all threads' recorders.
#[derive(Debug)]
struct Requests(Recorders);

impl Collector for Requests {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // Sums are kept by text, not by address: two crates may hold equal names at different places.
        let mut counts = BTreeMap::<(&str, &str), u64>::new();
        let mut durations = BTreeMap::<&str, HistogramSnapshot>::new();
        for recorder in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            for (labels, count) in recorder.counts() {
                *counts.entry(labels).or_default() += count;
            }
            for (operation, duration) in recorder.durations() {
                durations.entry(operation).or_default().add(&duration);
            }
        }
        encode_counts(&mut encoder, &counts)?;
        encode_durations(&mut encoder, &durations)
    }
}

fn encode_counts(encoder: &mut DescriptorEncoder<'_>, counts: &BTreeMap<(&str, &str), u64>) -> fmt::Result {
    let help = "Requests answered, by operation and outcome.";
    let mut family = encoder.encode_descriptor("strongroom_requests", help, None, MetricType::Counter)?;
    for ((operation, outcome), count) in counts {
        family
            .encode_family(&[("operation", *operation), ("outcome", *outcome)])?
            .encode_counter::<NoLabelSet, _, u64>(count, None)?;
    }
    Ok(())
}

fn encode_durations(
    encoder: &mut DescriptorEncoder<'_>,
    durations: &BTreeMap<&str, HistogramSnapshot>,
) -> fmt::Result {
    let name = "strongroom_request_duration_seconds";
    let help = "Time from a request's head to its answer, by operation.";
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for (operation, duration) in durations {
        histogram::encode(duration, &mut family.encode_family(&[("operation", *operation)])?)?;
    }
    Ok(())
}

/// One metric whose number is somebody else's.
struct Hook {
    name: &'static str,
    help: &'static str,
    read: Number,
}

enum Number {
    Counter(Read<u64>),
    Gauge(Read<f64>),
    Histogram(Read<HistogramSnapshot>),
}

impl Collector for Hook {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let kind = match self.read {
            Number::Counter(_) => MetricType::Counter,
            Number::Gauge(_) => MetricType::Gauge,
            Number::Histogram(_) => MetricType::Histogram,
        };
        let mut metric = encoder.encode_descriptor(self.name, self.help, None, kind)?;
        match &self.read {
            Number::Counter(read) => metric.encode_counter::<NoLabelSet, _, u64>(&read(), None),
            Number::Gauge(read) => metric.encode_gauge(&read()),
            Number::Histogram(read) => histogram::encode(&read(), &mut metric),
        }
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hook").field(&self.name).finish()
    }
}

/// `VmRSS` of proc_pid_status(5), from a file that is kept open: a confined process cannot open it again.
struct Residence(Option<File>);

impl Residence {
    fn new() -> Self {
        Self(File::open("/proc/self/status").ok())
    }

    /// Zero where there is no such file.
    fn read(self) -> Read<f64> {
        Box::new(move || self.bytes().unwrap_or_default())
    }

    fn bytes(&self) -> Option<f64> {
        let mut status = [0; 4096];
        let read = self.0.as_ref()?.read_at(&mut status, 0).ok()?;
        let status = String::from_utf8_lossy(status.get(..read)?);
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kibibytes * 1024.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(metrics: &Metrics) -> Vec<String> {
        metrics.encode().unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_threads_count_is_summed_up() {
        let metrics = Metrics::new(Timestamp::from_secs(7));
        let (one, other) = (metrics.recorder(), metrics.recorder());
        one.record("Encrypt", "Success", Duration::from_micros(60));
        other.record("Encrypt", "Success", Duration::from_micros(60));
        // Equal text at another address.
        let encrypt: &'static str = String::from("Encrypt").leak();
        one.record(encrypt, "AccessDeniedException", Duration::from_secs(60));
        let lines = lines(&metrics);
        for expected in [
            "# TYPE strongroom_requests counter",
            "strongroom_requests_total{operation=\"Encrypt\",outcome=\"AccessDeniedException\"} 1",
            "strongroom_requests_total{operation=\"Encrypt\",outcome=\"Success\"} 2",
            "strongroom_request_duration_seconds_count{operation=\"Encrypt\"} 3",
            "strongroom_request_duration_seconds_bucket{le=\"0.00005\",operation=\"Encrypt\"} 0",
            "strongroom_request_duration_seconds_bucket{le=\"0.0001\",operation=\"Encrypt\"} 2",
            "strongroom_request_duration_seconds_bucket{le=\"10.0\",operation=\"Encrypt\"} 2",
            "strongroom_request_duration_seconds_bucket{le=\"+Inf\",operation=\"Encrypt\"} 3",
            "process_start_time_seconds 7.0",
        ] {
            assert!(lines.iter().any(|line| line == expected), "{expected} is not in {lines:#?}");
        }
        assert_eq!(lines.last().unwrap(), "# EOF");
    }

    #[test]
    fn hooks_are_read_when_asked() {
        let metrics = Metrics::new(Timestamp::default());
        let shared = Arc::new(LatencyHistogram::new());
        metrics.register_histogram("sync_seconds", "Syncs.", Arc::clone(&shared));
        metrics.register_counter_fn("evictions", "Evictions.", Box::new(|| 3));
        metrics.register_gauge_fn("rows", "Rows.", Box::new(|| 2.5));
        shared.observe(Duration::from_millis(3));
        let lines = lines(&metrics);
        for expected in [
            "# HELP evictions Evictions.",
            "evictions_total 3",
            "rows 2.5",
            "sync_seconds_sum 0.003",
            "sync_seconds_bucket{le=\"0.002\"} 0",
            "sync_seconds_bucket{le=\"0.005\"} 1",
            "sync_seconds_bucket{le=\"+Inf\"} 1",
        ] {
            assert!(lines.iter().any(|line| line == expected), "{expected} is not in {lines:#?}");
        }
    }

    #[test]
    fn the_process_occupies_memory() {
        assert!(Residence::new().read()() > 100_000.0);
        assert_eq!(Residence(None).read()(), 0.0);
    }
}
