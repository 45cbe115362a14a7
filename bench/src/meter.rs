//! One round of load on one server, and what it took.

use std::num::NonZero;
use std::process;
use std::thread;
use std::time::Duration;

use crate::child::Server;
use crate::error::BenchError;
use crate::load::{Load, Pace};
use crate::operation::{Operation, Subject};
use crate::options::Options;
use crate::report::Round;
use crate::request::Signer;
use crate::usage::{processor_time, resident_kib};

/// What all rounds have in common.
pub(crate) struct Meter<'a> {
    pub(crate) signer: &'a Signer,
    pub(crate) generator_threads: usize,
    pub(crate) length: Duration,
}

pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

impl<'a> Meter<'a> {
    pub(crate) fn new(options: &Options, signer: &'a Signer) -> Self {
        let generator_threads = options.threads.map_or(cores().div_ceil(2), usize::from);
        Self { signer, generator_threads, length: options.run.seconds_per_round }
    }

    /// Connections share the subjects out among themselves; where there are fewer subjects, several have the same.
    pub(crate) fn round(
        &self,
        server: &Server,
        operation: Operation,
        subjects: &[Subject],
        connections: u16,
        pace: Pace,
    ) -> Result<Round, BenchError> {
        let connections = usize::from(connections);
        let mut requests = vec![Vec::new(); connections];
        for (number, subject) in subjects.iter().cycle().take(connections.max(subjects.len())).enumerate() {
            let body = operation.body(subject);
            let request = self.signer.request(server.address(), operation.name(), &body, number)?;
            if let Some(requests) = requests.get_mut(number % connections) {
                requests.push(request);
            }
        }
        let load = Load {
            address: server.address(),
            requests: &requests,
            threads: self.generator_threads,
            length: self.length,
            pace,
        };
        let times = || Ok((processor_time(server.pid())?, processor_time(process::id())?));
        let loaded = load.run(times)?;
        let answers = loaded.latencies.count();
        let micros_each = |from: Duration, to: Duration| {
            to.saturating_sub(from).as_secs_f64() * 1e6 / answers.max(1) as f64
        };
        Ok(Round {
            answers,
            per_second: answers as f64 / self.length.as_secs_f64(),
            p50_micros: loaded.latencies.quantile_micros(0.5),
            p99_micros: loaded.latencies.quantile_micros(0.99),
            cpu_micros: micros_each(loaded.before.0, loaded.after.0),
            generator_cpu_micros: micros_each(loaded.before.1, loaded.after.1),
            resident_kib: resident_kib(server.pid())?,
        })
    }
}
