//! The verification that runs beside the requests: does the store hold the rows that were last written?
//!
//! A thread walks the whole store once ([`walk`](crate::walk)), checks every row as the offline check does, and compares
//! what each shard holds with its state row. It works a quarter of the time at most, so that requests hardly notice it.
//!
//! What it finds it reports and does not repair. A row that it can name as one that its shard's state does not know is
//! given to nobody any more, as a row that does not open is; where only the shard is known, requests go on being
//! answered: nothing tells which row is meant.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use strongroom_types::Env;

use crate::check::{Check, ShardProblem, extra_row_text};
use crate::error::RecordsError;
use crate::records::{Reading, Records};
use crate::states::load_states;
use crate::walk::{Reached, Walk};

/// Rows that are read while commits wait.
const PAGE_ROWS: usize = 64;
/// For each part of its time that it works, the thread rests so many.
const RESTS: u32 = 3;
/// A walk is begun again when the store fails or a commit's outcome is unknown, but not for ever.
const ATTEMPTS_MAX: u32 = 5;
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// Problems beyond this are counted, not listed.
const PROBLEMS_LISTED_MAX: usize = 100;

/// What came of a verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It could not be brought to an end; the log says why.
    Failed,
    Running,
    /// Every row opens, every index agrees, every shard holds what it should.
    Sound,
    Unsound {
        problems: Vec<String>,
        total: u64,
    },
}

/// A verification, under way or at its end.
#[derive(Debug)]
pub struct Verification {
    rows: AtomicU64,
    stop: AtomicBool,
    verdict: Mutex<Verdict>,
}

impl Verification {
    /// Rows looked at so far.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    pub fn verdict(&self) -> Verdict {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn new() -> Self {
        Self { rows: AtomicU64::new(0), stop: AtomicBool::new(false), verdict: Mutex::new(Verdict::Running) }
    }

    fn end(&self, verdict: Verdict) {
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = verdict;
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// The thread that verifies.
pub struct Verifier {
    thread: JoinHandle<()>,
    verification: Arc<Verification>,
}

impl Verifier {
    pub fn start(records: Arc<Records>, env: Arc<dyn Env>) -> Result<Self, RecordsError> {
        let verification = Arc::new(Verification::new());
        let shared = Arc::clone(&verification);
        let thread = thread::Builder::new()
            .name("strongroom-verify".into())
            .spawn(move || run(&records, &*env, &shared))
            .map_err(|source| RecordsError::Thread { source })?;
        Ok(Self { thread, verification })
    }

    pub fn verification(&self) -> Arc<Verification> {
        Arc::clone(&self.verification)
    }

    /// Gives up what is not finished and waits for the thread.
    pub fn stop(self) {
        self.verification.stop.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        self.join();
    }

    /// Waits until it has finished.
    pub fn join(self) {
        // A panic of the thread has been printed by the panic hook, and the verdict stays open.
        let _ = self.thread.join();
    }
}

/// What one walk came to.
enum Walked {
    Lost,
    Stopped,
    Whole(Vec<String>),
}

fn run(records: &Records, env: &dyn Env, verification: &Verification) {
    for attempt in 1..=ATTEMPTS_MAX {
        match walk(records, env, verification) {
            Ok(Walked::Stopped) => return,
            Ok(Walked::Whole(problems)) => return conclude(verification, problems),
            Ok(Walked::Lost) => tracing::warn!(attempt, "the verification of the store begins again"),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(attempt, error, "the verification of the store was interrupted");
            }
        }
        rest(verification, RETRY_AFTER);
    }
    tracing::error!("the store could not be verified; run `strongroom check` when there is time");
    verification.end(Verdict::Failed);
}

fn conclude(verification: &Verification, mut problems: Vec<String>) {
    let rows = verification.rows();
    if problems.is_empty() {
        tracing::info!(rows, "the store holds the rows that were last written");
        return verification.end(Verdict::Sound);
    }
    for problem in &problems {
        tracing::error!(problem, "the store does not hold what was last written");
    }
    let total = problems.len() as u64;
    problems.truncate(PROBLEMS_LISTED_MAX);
    verification.end(Verdict::Unsound { problems, total });
}

/// One walk through the store.
fn walk(records: &Records, env: &dyn Env, verification: &Verification) -> Result<Walked, RecordsError> {
    let reading = records.reading();
    let Reading { store, keyring, regions, gate } = reading;
    let _ends = WalkEnds(reading);
    *gate.enter() = Some(Walk::default());
    verification.rows.store(0, Ordering::Relaxed);
    let mut check = Check::new(store, keyring, regions);
    let mut problems = Vec::new();
    let mut after: Option<String> = None;
    loop {
        if verification.is_stopped() {
            return Ok(Walked::Stopped);
        }
        let begun = env.monotonic();
        let page = {
            let mut walk = gate.enter();
            let page = store.scan("", after.as_deref(), PAGE_ROWS)?;
            after = page.last().map(|(address, _)| address.clone());
            if let Some(walk) = walk.as_mut() {
                let last = after.clone().filter(|_| page.len() == PAGE_ROWS);
                walk.reach(last.map_or(Reached::End, Reached::At));
            }
            page
        };
        for (address, row) in &page {
            check.row(address, row)?;
            if !check.report.is_clean() {
                check.report = crate::check::Report::default();
                problems.extend(confirmed(reading, address)?);
            }
        }
        verification.rows.fetch_add(page.len() as u64, Ordering::Relaxed);
        if page.len() < PAGE_ROWS {
            break;
        }
        rest(verification, begun.until(env.monotonic()).saturating_mul(RESTS));
    }
    let (moved, states) = {
        let mut walk = gate.enter();
        let moved = walk.take().and_then(Walk::into_moved);
        (moved, load_states(store, keyring, regions)?)
    };
    let Some(moved) = moved else { return Ok(Walked::Lost) };
    for (scope, mut found) in check.found {
        if let Some(moved) = moved.get(&scope) {
            found.add(moved);
        }
        let Some(problem) = states.row(&scope).and_then(|state| ShardProblem::find(&scope, state, &found))
        else {
            continue;
        };
        problems.push(problem.to_string());
        if let Some(extra) = problem.extra_row(store, keyring)? {
            records.distrust(&extra);
            problems.push(extra_row_text(&extra));
        }
    }
    Ok(Walked::Whole(problems))
}

/// What is wrong with a row that seemed wrong. Two rows that should agree are read one after the other, and a commit
/// may have come between; behind the gate none does.
fn confirmed(reading: Reading<'_>, address: &str) -> Result<Vec<String>, RecordsError> {
    let _gate = reading.gate.enter();
    let Some(row) = reading.store.get(address)? else { return Ok(Vec::new()) };
    let mut check = Check::new(reading.store, reading.keyring, reading.regions);
    check.row(address, &row)?;
    Ok(check.report.problems)
}

/// Sleeps, unless the verification is stopped.
fn rest(verification: &Verification, pause: Duration) {
    if !verification.is_stopped() {
        thread::park_timeout(pause);
    }
}

/// However a walk ends, the committing thread is not to count for it any more.
struct WalkEnds<'a>(Reading<'a>);

impl Drop for WalkEnds<'_> {
    fn drop(&mut self) {
        *self.0.gate.enter() = None;
    }
}
