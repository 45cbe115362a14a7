//! How long a request takes when the service is not at its end: at half of the throughput that it has flat out.
//!
//! Each round flat out is followed by one at half of what it reached, so that both see the same machine, and by one of the
//! bare server at that same pace: what of the latency is the machine's, and the load generator's on it, the bare server
//! has too. Then by one of a bare server that syncs a file before each answer (`bare_journal.rs`): what of the latency is
//! the disk's, that one has too, and nothing that keeps its word can have less.

use serde::Serialize;

use crate::child::Server;
use crate::error::BenchError;
use crate::load::Pace;
use crate::meter::Meter;
use crate::operation::{Operation, Subject};
use crate::options::Options;
use crate::report::{Side, judge, median};

const P99_MICROS_MAX: f64 = 1000.0;

/// Who is measured.
pub(crate) struct Servers<'a> {
    pub(crate) service: &'a Server,
    pub(crate) bare: &'a Server,
    /// The bare server that syncs.
    pub(crate) syncing: &'a Server,
}

/// One operation at half load.
#[derive(Debug, Serialize)]
pub(crate) struct HalfLoad {
    pub(crate) operation: Operation,
    pub(crate) connections: u16,
    pub(crate) flat_out_per_second: f64,
    /// The best and the worst round.
    pub(crate) p99_micros_min: f64,
    pub(crate) p99_micros_max: f64,
    pub(crate) service: Side,
    /// At as many requests per second.
    pub(crate) bare: Side,
    pub(crate) syncing: Side,
}

pub(crate) fn measure(
    options: &Options,
    meter: &Meter<'_>,
    servers: &Servers<'_>,
    subject: &Subject,
) -> Result<Vec<HalfLoad>, BenchError> {
    let connections = options.connections.iter().copied().max().unwrap_or(1);
    let subjects = std::slice::from_ref(subject);
    let mut rows = Vec::new();
    for operation in options.operations.iter().copied().filter(|operation| operation.is_data()) {
        eprintln!("measuring {operation} at half load");
        let (mut flat_out, mut half) = (Vec::new(), Vec::new());
        let (mut of_bare, mut of_syncing) = (Vec::new(), Vec::new());
        for _ in 0..options.run.rounds {
            let round = meter.round(servers.service, operation, subjects, connections, Pace::FlatOut)?;
            let pace = Pace::PerSecond(round.per_second / 2.0);
            flat_out.push(round.per_second);
            of_bare.push(meter.round(servers.bare, operation, subjects, connections, pace)?);
            half.push(meter.round(servers.service, operation, subjects, connections, pace)?);
            of_syncing.push(meter.round(servers.syncing, operation, subjects, connections, pace)?);
        }
        let p99 = || half.iter().map(|round| round.p99_micros);
        rows.push(HalfLoad {
            operation,
            connections,
            flat_out_per_second: median(flat_out.into_iter()),
            p99_micros_min: p99().fold(f64::INFINITY, f64::min),
            p99_micros_max: p99().fold(0.0, f64::max),
            service: Side::median_of(&half),
            bare: Side::median_of(&of_bare),
            syncing: Side::median_of(&of_syncing),
        });
    }
    Ok(rows)
}

impl HalfLoad {
    pub(crate) fn line(&self) -> String {
        let Self {
            operation,
            connections,
            flat_out_per_second,
            p99_micros_min,
            p99_micros_max,
            service,
            bare,
            syncing,
        } = self;
        let Side { per_second, p50_micros, p99_micros, .. } = service;
        let judged = judge(*p99_micros <= P99_MICROS_MAX);
        format!(
            "{operation} at half load ({per_second:.0} of {flat_out_per_second:.0}/s, {connections} connections): \
             p50 {p50_micros:.0} us, p99 {p99_micros:.0} us (rounds {p99_micros_min:.0}-{p99_micros_max:.0}; \
             at most {P99_MICROS_MAX}: {judged}); \
             bare at the same pace p50 {:.0} us, p99 {:.0} us; bare and syncing a file p50 {:.0} us, p99 {:.0} us",
            bare.p50_micros, bare.p99_micros, syncing.p50_micros, syncing.p99_micros
        )
    }
}
