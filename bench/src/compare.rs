//! The measurement: both servers, round by round in turns.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::child::{Server, free_address};
use crate::connection::Connection;
use crate::disk;
use crate::error::{BenchError, io_error};
use crate::half_load::{self, Servers};
use crate::load::Pace;
use crate::many_keys;
use crate::meter::{Meter, cores};
use crate::operation::{Operation, Subject};
use crate::options::{Options, Part, Run};
use crate::report::{FirstStart, Machine, Report, Round, Row, Side, Start, median};
use crate::request::{REGION, Signer};
use crate::service::Deployment;

/// How often the time from start to first answer is taken.
const STARTS: usize = 5;

pub(crate) fn run(options: &Options) -> Result<(), BenchError> {
    let (program, parent) = places_of(&options.run)?;
    let scratch = Scratch::make(&parent)?;
    let sync = disk::probe(&scratch.path)?;
    let has = |part: Part| options.parts.contains(&part);
    let mut report = Report {
        machine: Machine::of_this(cores(), options.threads.map_or(cores().div_ceil(2), usize::from)),
        sync,
        seconds_per_round: options.run.seconds_per_round.as_secs_f64(),
        rows: Vec::new(),
        start: None,
        half_load: Vec::new(),
        many_keys: None,
    };
    if has(Part::Throughput) || has(Part::HalfLoad) {
        let deployment = Deployment::make(&program, &scratch.path)?;
        let first = first_starts(&program, &scratch.path)?;
        let (service, fresh_millis) = start_often(&deployment)?;
        let subject = deployment.make_subject(&service)?;
        let meter = Meter::new(options, &deployment.signer);
        let bare = start_bare(options, &deployment.signer, &service, &subject, &scratch.path, None)?;
        if has(Part::HalfLoad) {
            let journal = scratch.path.join("bare-journal");
            let syncing =
                start_bare(options, &deployment.signer, &service, &subject, &scratch.path, Some(&journal))?;
            let servers = Servers { service: &service, bare: &bare, syncing: &syncing };
            report.half_load = half_load::measure(options, &meter, &servers, &subject)?;
        }
        if has(Part::Throughput) {
            report.rows = Bench { options, meter, subject, service: &service, bare: &bare }.rows()?;
        }
        service.stop()?;
        report.start = Some(start(&deployment, &report.rows, fresh_millis, first)?);
    }
    if has(Part::ManyKeys) {
        report.many_keys = Some(many_keys::measure(options, &program, &scratch.path)?);
    }
    if options.json {
        report.print_json()
    } else {
        report.print()
    };
    Ok(())
}

fn start(
    deployment: &Deployment,
    rows: &[Row],
    fresh_millis: f64,
    first: FirstStart,
) -> Result<Start, BenchError> {
    let created = rows.iter().filter(|row| row.operation == Operation::CreateKey);
    Ok(Start {
        fresh_millis,
        first,
        // Warm-ups are not counted: this is to say how many, roughly.
        keys: created.map(|row| row.service_answers).sum(),
        answers: rows.iter().map(|row| row.service_answers).sum(),
        after_millis: deployment.restart()?,
    })
}

/// The program to measure, and where its deployment goes: not into a temporary directory, which may be memory, where a
/// sync costs nothing.
pub(crate) fn places_of(run: &Run) -> Result<(PathBuf, PathBuf), BenchError> {
    let own = std::env::current_exe().map_err(io_error("find this program"))?;
    let program = run.strongroom.clone().unwrap_or_else(|| own.with_file_name("strongroom"));
    Ok((program, run.directory.as_deref().or(own.parent()).map(Path::to_owned).unwrap_or_default()))
}

/// The largest deployment that people are likely to begin with.
const TEN_REGIONS: [&str; 10] = [
    REGION,
    "af-south-1",
    "ap-northeast-1",
    "ap-south-1",
    "ca-central-1",
    "eu-west-1",
    "eu-west-2",
    "sa-east-1",
    "us-east-2",
    "us-west-2",
];

/// How long `init` takes with ten regions, and the first answer on what it made: medians over new directories.
fn first_starts(program: &Path, directory: &Path) -> Result<FirstStart, BenchError> {
    let (mut init, mut answer) = (Vec::new(), Vec::new());
    for number in 0..STARTS {
        let directory = directory.join(format!("first-{number}"));
        fs::create_dir(&directory).map_err(io_error("make a directory"))?;
        let (deployment, made) = Deployment::make_with(program, &directory, &TEN_REGIONS)?;
        let (service, took) = deployment.serve()?;
        service.stop()?;
        init.push(made.as_secs_f64() * 1000.0);
        answer.push(took.as_secs_f64() * 1000.0);
    }
    Ok(FirstStart { init_millis: median(init.into_iter()), answer_millis: median(answer.into_iter()) })
}

/// Milliseconds from start to first answer, and a service that runs.
fn start_often(deployment: &Deployment) -> Result<(Server, f64), BenchError> {
    let (mut service, took) = deployment.serve()?;
    let mut millis = vec![took.as_secs_f64() * 1000.0];
    for _ in 1..STARTS {
        service.stop()?;
        let took;
        (service, took) = deployment.serve()?;
        millis.push(took.as_secs_f64() * 1000.0);
    }
    Ok((service, median(millis.into_iter())))
}

/// Starts a bare server with replies of the service's sizes, and sees that they have them. With `journal`, it syncs that
/// file before each answer.
fn start_bare(
    options: &Options,
    signer: &Signer,
    service: &Server,
    subject: &Subject,
    directory: &Path,
    journal: Option<&Path>,
) -> Result<Server, BenchError> {
    let ask = |server: &Server, operation: Operation| {
        let request = signer.request(server.address(), operation.name(), &operation.body(subject), 0)?;
        Connection::open(server.address()).map_err(io_error("connect to a server"))?.ask(&request)
    };
    let address = free_address()?;
    let mut words: Vec<OsString> = vec!["bare".into(), "--listen".into(), address.to_string().into()];
    let mut sizes = Vec::with_capacity(options.operations.len());
    for operation in options.operations.iter().copied() {
        let answer = ask(service, operation)?;
        words.push(format!("--reply={operation}={}", answer.body.len()).into());
        sizes.push((operation, answer.bytes));
    }
    let own = std::env::current_exe().map_err(io_error("find this program"))?;
    let mut log = "bare.log";
    if let Some(journal) = journal {
        words.extend(["--journal".into(), journal.into()]);
        log = "bare-syncing.log";
    }
    let mut bare = Server::spawn("bare server", address, &own, &words, directory.join(log))?;
    for (operation, service) in sizes {
        let request = signer.request(address, operation.name(), &operation.body(subject), 0)?;
        bare.wait_for_answer(&request)?;
        let bare = ask(&bare, operation)?.bytes;
        if bare != service {
            return Err(BenchError::Unlike { operation: operation.name(), service, bare });
        }
    }
    Ok(bare)
}

struct Bench<'a> {
    options: &'a Options,
    meter: Meter<'a>,
    subject: Subject,
    service: &'a Server,
    bare: &'a Server,
}

impl Bench<'_> {
    fn rows(&self) -> Result<Vec<Row>, BenchError> {
        let mut rows = Vec::new();
        for operation in self.options.operations.iter().copied() {
            for connections in self.options.connections.iter().copied() {
                eprintln!("measuring {operation} at {connections} connections");
                rows.push(self.row(operation, connections)?);
            }
        }
        Ok(rows)
    }

    fn row(&self, operation: Operation, connections: u16) -> Result<Row, BenchError> {
        let (mut of_service, mut of_bare) = (Vec::new(), Vec::new());
        for number in 0..self.options.run.rounds {
            // Each goes first in every other round, so that neither always comes after the other.
            if number % 2 == 0 {
                of_service.push(self.round(self.service, operation, connections)?);
                of_bare.push(self.round(self.bare, operation, connections)?);
            } else {
                of_bare.push(self.round(self.bare, operation, connections)?);
                of_service.push(self.round(self.service, operation, connections)?);
            }
        }
        let ratios =
            of_service.iter().zip(&of_bare).map(|(service, bare)| service.per_second / bare.per_second);
        let ratio_min = ratios.clone().fold(f64::INFINITY, f64::min);
        let ratio_max = ratios.fold(0.0, f64::max);
        let (service, bare) = (Side::median_of(&of_service), Side::median_of(&of_bare));
        Ok(Row {
            operation,
            connections,
            ratio: service.per_second / bare.per_second,
            ratio_min,
            ratio_max,
            cpu_ratio: service.cpu_micros / bare.cpu_micros,
            service_answers: of_service.iter().map(|round| round.answers).sum(),
            service,
            bare,
        })
    }

    fn round(&self, server: &Server, operation: Operation, connections: u16) -> Result<Round, BenchError> {
        let subjects = std::slice::from_ref(&self.subject);
        self.meter.round(server, operation, subjects, connections, Pace::FlatOut)
    }
}

/// A directory of this run, removed with all it holds. One that a run which was killed has left is removed first.
pub(crate) struct Scratch {
    path: PathBuf,
    _lock: File,
}

impl Scratch {
    pub(crate) fn make(parent: &Path) -> Result<Self, BenchError> {
        let failed = || io_error("make a directory for the run");
        let lock = File::create(parent.join("strongroom-bench.lock")).map_err(failed())?;
        lock.try_lock().map_err(|_| BenchError::OtherRun)?;
        let path = parent.join("strongroom-bench.scratch");
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed()(error)),
            _ => fs::create_dir(&path).map_err(failed())?,
        }
        Ok(Self { path, _lock: lock })
    }
}

impl Scratch {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A directory that stays behind is untidy, not wrong; the next run removes it.
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::process;

    use super::*;

    #[test]
    fn two_runs_at_once_are_refused_and_leftovers_removed() {
        let parent = std::env::temp_dir().join(format!("strongroom-bench-parent-{}", process::id()));
        fs::create_dir(&parent).unwrap();
        let scratch = Scratch::make(&parent).unwrap();
        assert!(matches!(Scratch::make(&parent), Err(BenchError::OtherRun)));
        let path = scratch.path.clone();
        drop(scratch);
        assert!(!path.exists());
        fs::create_dir(&path).unwrap();
        fs::write(path.join("leftover"), b"x").unwrap();
        let scratch = Scratch::make(&parent).unwrap();
        assert_eq!(fs::read_dir(&scratch.path).unwrap().count(), 0);
        drop(scratch);
        fs::remove_dir_all(&parent).unwrap();
    }
}
