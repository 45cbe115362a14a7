//! What is said at the end: a table, the headline, or both as JSON.

use std::fs;

use serde::Serialize;

use crate::disk::SyncCost;
use crate::half_load::HalfLoad;
use crate::many_keys::ManyKeys;
use crate::operation::Operation;

/// What is aimed at, on any machine.
const RATIO_MIN: f64 = 0.50;
const CREATE_KEY_PER_SECOND_MIN: f64 = 2000.0;
const START_MILLIS_MAX: f64 = 200.0;

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) sync: SyncCost,
    pub(crate) seconds_per_round: f64,
    pub(crate) rows: Vec<Row>,
    pub(crate) start: Option<Start>,
    pub(crate) half_load: Vec<HalfLoad>,
    pub(crate) many_keys: Option<ManyKeys>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) generator_threads: usize,
    pub(crate) kernel: String,
    pub(crate) processor: String,
}

/// A deployment of ten regions, from nothing.
#[derive(Debug, Serialize)]
pub(crate) struct FirstStart {
    pub(crate) init_millis: f64,
    /// From before the first process is spawned to its first answer.
    pub(crate) answer_millis: f64,
}

/// From before a process is spawned to its first answer.
#[derive(Debug, Serialize)]
pub(crate) struct Start {
    pub(crate) fresh_millis: f64,
    pub(crate) first: FirstStart,
    /// Made, and answers given, before the restart that `after_millis` is about.
    pub(crate) keys: u64,
    pub(crate) answers: u64,
    /// `None`: not within a minute.
    pub(crate) after_millis: Option<f64>,
}

/// One operation at one number of connections.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) operation: Operation,
    pub(crate) connections: u16,
    /// Of the medians of requests per second.
    pub(crate) ratio: f64,
    /// Of single rounds: how much noise there was.
    pub(crate) ratio_min: f64,
    pub(crate) ratio_max: f64,
    pub(crate) cpu_ratio: f64,
    pub(crate) service_answers: u64,
    pub(crate) service: Side,
    pub(crate) bare: Side,
}

/// One round of one server.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) answers: u64,
    pub(crate) per_second: f64,
    pub(crate) p50_micros: f64,
    pub(crate) p99_micros: f64,
    /// Of the server, per request, in user and kernel mode.
    pub(crate) cpu_micros: f64,
    pub(crate) generator_cpu_micros: f64,
    pub(crate) resident_kib: u64,
}

/// The medians of one server's rounds.
#[derive(Debug, Serialize)]
pub(crate) struct Side {
    pub(crate) per_second: f64,
    pub(crate) p50_micros: f64,
    pub(crate) p99_micros: f64,
    pub(crate) cpu_micros: f64,
    pub(crate) generator_cpu_micros: f64,
    pub(crate) resident_mib: f64,
}

impl Side {
    pub(crate) fn median_of(rounds: &[Round]) -> Self {
        let of = |number: fn(&Round) -> f64| median(rounds.iter().map(number));
        Self {
            per_second: of(|round| round.per_second),
            p50_micros: of(|round| round.p50_micros),
            p99_micros: of(|round| round.p99_micros),
            cpu_micros: of(|round| round.cpu_micros),
            generator_cpu_micros: of(|round| round.generator_cpu_micros),
            resident_mib: of(|round| round.resident_kib as f64 / 1024.0),
        }
    }
}

/// The one in the middle; of two in the middle the larger; zero of none.
pub(crate) fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}

impl Machine {
    pub(crate) fn of_this(cores: usize, generator_threads: usize) -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let processors = read("/proc/cpuinfo");
        let processor = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        Self {
            cores,
            generator_threads,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            processor: processor.map(|(_, name)| name.trim().to_owned()).unwrap_or_default(),
        }
    }
}

impl Report {
    pub(crate) fn print_json(&self) {
        // INVARIANT: no map in here has keys that are not text, so this does not fail.
        println!("{}", serde_json::to_string_pretty(self).unwrap_or_default());
    }

    pub(crate) fn print(&self) {
        self.print_machine();
        if !self.rows.is_empty() {
            println!();
            println!(
                "                        service                                    bare                                       service/bare"
            );
            println!(
                "operation       conns     req/s  p50 us  p99 us  cpu us  RSS MiB     req/s  p50 us  p99 us  cpu us  RSS MiB   req/s (of rounds)     cpu"
            );
            for row in &self.rows {
                println!("{}", row.line());
            }
        }
        println!();
        for line in self.headline() {
            println!("{line}");
        }
    }

    fn print_machine(&self) {
        let Machine { cores, generator_threads, kernel, processor } = &self.machine;
        println!(
            "{cores} cores, {processor}, Linux {kernel}; load generator beside the servers: {generator_threads} thread(s)"
        );
        let SyncCost { p50_micros, p99_micros } = &self.sync;
        println!(
            "append of 16 KiB and sync on this disk, before the run: p50 {p50_micros:.0} us, p99 {p99_micros:.0} us"
        );
        println!("medians of rounds of {} s; servers take turns", self.seconds_per_round);
    }

    /// What matters most, with what is aimed at.
    fn headline(&self) -> Vec<String> {
        let most = self.rows.iter().map(|row| row.connections).max().unwrap_or_default();
        let at_most = || self.rows.iter().filter(|row| row.connections == most);
        let mut lines: Vec<String> = at_most()
            .filter(|row| row.operation.is_data())
            .map(|row| {
                let Row { operation, ratio, cpu_ratio, .. } = row;
                let judged = judge(*ratio >= RATIO_MIN);
                format!("{operation} at {most}: {ratio:.2} of bare (at least {RATIO_MIN}: {judged}), CPU {cpu_ratio:.1} times bare")
            })
            .collect();
        lines.extend(at_most().find(|row| row.operation == Operation::CreateKey).map(|row| {
            let per_second = row.service.per_second;
            let judged = judge(per_second >= CREATE_KEY_PER_SECOND_MIN);
            format!("CreateKey at {most}: {per_second:.0}/s (at least {CREATE_KEY_PER_SECOND_MIN}: {judged})")
        }));
        lines.extend(self.start.iter().flat_map(Start::lines));
        lines.extend(self.half_load.iter().map(HalfLoad::line));
        lines.extend(self.many_keys.iter().flat_map(ManyKeys::lines));
        lines
    }
}

impl Start {
    fn lines(&self) -> [String; 2] {
        let Self { fresh_millis, first, keys, answers, after_millis } = self;
        let FirstStart { init_millis, answer_millis } = first;
        let judged_first = judge(init_millis.max(*answer_millis) <= START_MILLIS_MAX);
        let judged = judge(*fresh_millis <= START_MILLIS_MAX);
        let after = after_millis.map_or("more than a minute".to_owned(), |millis| format!("{millis:.0} ms"));
        [
            format!(
                "start to first answer: {fresh_millis:.0} ms on a fresh directory (at most {START_MILLIS_MAX}: {judged}), \
                 {after} after this run, some {keys} keys and {answers} answers"
            ),
            format!(
                "ten regions from nothing: init {init_millis:.0} ms, first answer {answer_millis:.0} ms \
                 (each at most {START_MILLIS_MAX}: {judged_first})"
            ),
        ]
    }
}

pub(crate) const fn judge(is_met: bool) -> &'static str {
    if is_met { "met" } else { "missed" }
}

impl Row {
    fn line(&self) -> String {
        let Self { operation, connections, ratio, ratio_min, ratio_max, cpu_ratio, service, bare, .. } = self;
        let side = |side: &Side| {
            let Side { per_second, p50_micros, p99_micros, cpu_micros, resident_mib, .. } = side;
            format!(
                "{per_second:>9.0} {p50_micros:>7.0} {p99_micros:>7.0} {cpu_micros:>7.1} {resident_mib:>8.1}"
            )
        };
        format!(
            "{operation:<15} {connections:>5} {} {}    {ratio:.2}  ({ratio_min:.2}-{ratio_max:.2})  {cpu_ratio:>6.1}",
            side(service),
            side(bare)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(per_second: f64) -> Round {
        Round {
            answers: 1,
            per_second,
            p50_micros: 1.0,
            p99_micros: 2.0,
            cpu_micros: 3.0,
            generator_cpu_micros: 4.0,
            resident_kib: 2048,
        }
    }

    fn report(ratio: f64, operation: Operation) -> Report {
        let side = || Side::median_of(&[round(1000.0)]);
        let row = |connections| Row {
            operation,
            connections,
            ratio,
            ratio_min: ratio,
            ratio_max: ratio,
            cpu_ratio: 2.5,
            service_answers: 1,
            service: side(),
            bare: side(),
        };
        Report {
            machine: Machine::of_this(2, 1),
            sync: SyncCost { p50_micros: 1.0, p99_micros: 2.0 },
            seconds_per_round: 2.0,
            rows: vec![row(1), row(64)],
            start: Some(Start {
                fresh_millis: 201.0,
                first: FirstStart { init_millis: 200.0, answer_millis: 201.0 },
                keys: 7,
                answers: 9,
                after_millis: None,
            }),
            half_load: Vec::new(),
            many_keys: None,
        }
    }

    #[test]
    fn the_headline_says_what_was_missed() {
        let lines = report(0.499, Operation::Encrypt).headline();
        assert_eq!(lines[0], "Encrypt at 64: 0.50 of bare (at least 0.5: missed), CPU 2.5 times bare");
        assert!(lines[1].contains("201 ms on a fresh directory (at most 200: missed)"), "{}", lines[1]);
        let first = "init 200 ms, first answer 201 ms (each at most 200: missed)";
        assert!(lines[2].contains(first), "{}", lines[2]);
        assert!(lines[1].contains("more than a minute after this run, some 7 keys"), "{}", lines[1]);
        assert!(report(0.501, Operation::Encrypt).headline()[0].contains("met"));
        assert!(report(9.0, Operation::CreateKey).headline()[0].contains("1000/s (at least 2000: missed)"));
        assert_eq!(report(9.0, Operation::DescribeKey).headline().len(), 2);
    }

    #[test]
    fn medians_are_of_each_number_apart() {
        assert_eq!(median([].into_iter()), 0.0);
        let side = Side::median_of(&[round(3.0), round(900.0), round(1.0)]);
        assert_eq!((side.per_second, side.resident_mib), (3.0, 2.0));
    }
}
