//! What many keys cost: the data operations spread over all of them beside the same on one key, and a start.
//!
//! Two services of their own, one with one key and one with many, take turns. Both are sent as many different requests, so
//! that the load generator has the same work with both.

use std::path::Path;
use std::thread;

use serde::Serialize;

use crate::child::Server;
use crate::connection::Connection;
use crate::error::{BenchError, io_error};
use crate::load::Pace;
use crate::meter::Meter;
use crate::operation::{Operation, Subject};
use crate::options::Options;
use crate::report::{Round, Side, judge};
use crate::service::{Deployment, ask_field};

const CHANGE_MAX: f64 = 0.1;
const START_MILLIS_MAX: f64 = 1000.0;
/// How many keys are made at once.
const MAKERS: usize = 64;

#[derive(Debug, Serialize)]
pub(crate) struct ManyKeys {
    pub(crate) keys: usize,
    pub(crate) rows: Vec<Row>,
    /// From before the process is spawned to its first answer, directly after everything that was done; `None`: not
    /// within a minute.
    pub(crate) start_millis: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) operation: Operation,
    pub(crate) connections: u16,
    /// Of the medians of requests per second, many keys to one.
    pub(crate) ratio: f64,
    pub(crate) ratio_min: f64,
    pub(crate) ratio_max: f64,
    pub(crate) many: Side,
    pub(crate) one: Side,
}

pub(crate) fn measure(options: &Options, program: &Path, directory: &Path) -> Result<ManyKeys, BenchError> {
    let make = |name: &str| {
        let directory = directory.join(name);
        std::fs::create_dir(&directory).map_err(io_error("make a directory"))?;
        Deployment::make(program, &directory)
    };
    let (one, many) = (make("one-key")?, make("many-keys")?);
    let ((of_one, _), (of_many, _)) = (one.serve()?, many.serve()?);
    let keys = options.keys as usize;
    eprintln!("making {keys} keys");
    let subjects = make_subjects(&many, &of_many, keys)?;
    let subject = one.make_subject(&of_one)?;
    let same: Vec<Subject> = vec![subject; keys];
    let connections = options.connections.iter().copied().max().unwrap_or(1);
    let mut rows = Vec::new();
    for operation in options.operations.iter().copied().filter(|operation| operation.is_data()) {
        eprintln!("measuring {operation} on {keys} keys");
        let with_many = || {
            Meter::new(options, &many.signer).round(
                &of_many,
                operation,
                &subjects,
                connections,
                Pace::FlatOut,
            )
        };
        let with_one =
            || Meter::new(options, &one.signer).round(&of_one, operation, &same, connections, Pace::FlatOut);
        rows.push(row(options, operation, connections, with_many, with_one)?);
    }
    of_one.stop()?;
    of_many.stop()?;
    Ok(ManyKeys { keys, rows, start_millis: many.restart()? })
}

fn row(
    options: &Options,
    operation: Operation,
    connections: u16,
    with_many: impl Fn() -> Result<Round, BenchError>,
    with_one: impl Fn() -> Result<Round, BenchError>,
) -> Result<Row, BenchError> {
    // Once over all keys before anything counts: what is measured is many keys, not keys that were never used.
    with_many()?;
    let (mut many, mut one) = (Vec::new(), Vec::new());
    for number in 0..options.run.rounds {
        if number % 2 == 0 {
            many.push(with_many()?);
            one.push(with_one()?);
        } else {
            one.push(with_one()?);
            many.push(with_many()?);
        }
    }
    let ratios = || many.iter().zip(&one).map(|(many, one)| many.per_second / one.per_second);
    let (ratio_min, ratio_max) = (ratios().fold(f64::INFINITY, f64::min), ratios().fold(0.0, f64::max));
    let (many, one) = (Side::median_of(&many), Side::median_of(&one));
    let ratio = many.per_second / one.per_second;
    Ok(Row { operation, connections, ratio, ratio_min, ratio_max, many, one })
}

/// Makes keys, and a ciphertext under each, on several connections at once.
fn make_subjects(deployment: &Deployment, server: &Server, keys: usize) -> Result<Vec<Subject>, BenchError> {
    let make_some = |count: usize| -> Result<Vec<Subject>, BenchError> {
        let mut connection =
            Connection::open(server.address()).map_err(io_error("connect to the service"))?;
        let mut subjects = Vec::with_capacity(count);
        for _ in 0..count {
            subjects.push(one_subject(deployment, server, &mut connection)?);
        }
        Ok(subjects)
    };
    thread::scope(|scope| {
        let makers: Vec<_> = (0..MAKERS)
            .map(|number| {
                let count = keys / MAKERS + usize::from(number < keys % MAKERS);
                scope.spawn(move || make_some(count))
            })
            .collect();
        let mut subjects = Vec::with_capacity(keys);
        for maker in makers {
            subjects.extend(maker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(subjects)
    })
}

fn one_subject(
    deployment: &Deployment,
    server: &Server,
    connection: &mut Connection,
) -> Result<Subject, BenchError> {
    let mut ask = |operation: Operation, subject: &Subject, pointer| {
        let body = operation.body(subject);
        let request = deployment.signer.request(server.address(), operation.name(), &body, 0)?;
        ask_field(connection, &request, operation, pointer)
    };
    let mut subject = Subject::default();
    subject.key_id = ask(Operation::CreateKey, &subject, "/KeyMetadata/KeyId")?;
    subject.ciphertext_blob = ask(Operation::Encrypt, &subject, "/CiphertextBlob")?;
    Ok(subject)
}

impl ManyKeys {
    pub(crate) fn lines(&self) -> Vec<String> {
        let keys = self.keys;
        let mut lines: Vec<String> = self.rows.iter().map(|row| row.line(keys)).collect();
        let millis = self.start_millis;
        let start = millis.map_or("more than a minute".to_owned(), |millis| format!("{millis:.0} ms"));
        let judged = judge(millis.is_some_and(|millis| millis <= START_MILLIS_MAX));
        lines.push(format!(
            "start to first answer with {keys} keys, directly after all this: {start} (at most {START_MILLIS_MAX}: {judged})"
        ));
        lines
    }
}

impl Row {
    fn line(&self, keys: usize) -> String {
        let Self { operation, connections, ratio, ratio_min, ratio_max, many, one } = self;
        let judged = judge(*ratio >= 1.0 - CHANGE_MAX);
        format!(
            "{operation} on {keys} keys at {connections}: {:.0}/s, {ratio:.2} of one key's {:.0}/s \
             (rounds {ratio_min:.2}-{ratio_max:.2}; at least {}: {judged}); CPU {:.1} and {:.1} us, RSS {:.0} and {:.0} MiB",
            many.per_second,
            one.per_second,
            1.0 - CHANGE_MAX,
            many.cpu_micros,
            one.cpu_micros,
            many.resident_mib,
            one.resident_mib
        )
    }
}
