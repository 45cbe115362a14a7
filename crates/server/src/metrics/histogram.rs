//! A latency histogram in OpenMetrics' form.

use std::fmt;
use std::iter;

use prometheus_client::encoding::{MetricEncoder, NoLabelSet};
use strongroom_types::HistogramSnapshot;

pub(super) fn encode(snapshot: &HistogramSnapshot, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
    let beyond = iter::once((f64::INFINITY, snapshot.beyond));
    let buckets: Vec<_> = snapshot.buckets.iter().copied().chain(beyond).collect();
    encoder.encode_histogram::<NoLabelSet>(snapshot.sum_secs, snapshot.count(), &buckets, None)
}
