//! `strongroom check`.

use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use strongroom_records::check::check;
use strongroom_server::{Freshness, Opened, Places};

use crate::arguments::CheckArguments;
use crate::passphrase::ask_passphrase;
use crate::terminal::{Failure, aside, error, line};

/// What it means that the anchor, or the journal, has seen later data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    /// A problem: these are to be the newest data.
    Newest,
    /// Nothing: they are a copy that was made earlier.
    Copy,
    /// That whoever restored them must say so at the next start.
    Restored,
}

pub(crate) fn run(arguments: &CheckArguments) -> Result<ExitCode, Failure> {
    let places = arguments.places.places();
    let file = arguments.places.passphrase_file();
    let ask = move || ask_passphrase(file);
    let age = if arguments.backup { Age::Copy } else { Age::Newest };
    check_opened(&places, &Opened::open(&places, Some(&ask))?, age)
}

/// Checks what is open already and tells what it found.
pub(crate) fn check_opened(places: &Places, opened: &Opened, age: Age) -> Result<ExitCode, Failure> {
    // Draws itself only on a terminal, and only once the check has been running for a while.
    let bar = ProgressBar::new_spinner().with_message("rows checked");
    bar.set_style(ProgressStyle::with_template("{spinner} {pos} {msg}, {elapsed}")?);
    let report = check(&*opened.store, &opened.keyring, &opened.regions, &mut |rows| bar.set_position(rows));
    bar.finish_and_clear();
    let report = report?;
    for (table, rows) in &report.rows {
        line(&format!("{rows:>10}  {table}"));
    }
    line(&format!("{:>10}  key materials opened", report.materials));
    for problem in &report.problems {
        aside(&format!("problem: {problem}"));
    }
    let freshness = judge_freshness(places, opened, age);
    if report.is_clean() && freshness == 0 {
        line(match age {
            Age::Newest => {
                "clean: every row opens, every index agrees, every shard holds what it should, and it is what was seen \
                 last"
            }
            Age::Copy | Age::Restored => {
                "clean: every row opens, every index agrees, and every shard holds what it should"
            }
        });
        return Ok(ExitCode::SUCCESS);
    }
    line(&format!("{} problems", report.problems_total.saturating_add(freshness)));
    Ok(ExitCode::FAILURE)
}

/// Compares the store and the journal with the anchor and with the journal's checkpoints; returns how many problems
/// there are.
fn judge_freshness(places: &Places, opened: &Opened, age: Age) -> u64 {
    let freshness = match Freshness::judge(places, opened) {
        Ok(freshness) => freshness,
        Err(failure) => {
            error(&failure);
            return 1;
        }
    };
    match &freshness.anchor {
        Some(anchor) => {
            let at = anchor.written.to_extended_iso8601();
            line(&format!("    anchor  written {at}, at record {} of the journal", anchor.journal_sequence));
        }
        None => line("    anchor  none that can be compared with"),
    }
    let mut problems = 0;
    for finding in &freshness.findings {
        match age {
            Age::Copy if finding.is_age() => {
                aside(&format!("older than the anchor, as a backup is: {finding}"))
            }
            // What a backup holds is what its root key sealed; the anchor and the journal only know of what came later.
            Age::Restored => aside(&format!("as after a restore: {finding}")),
            Age::Copy | Age::Newest => {
                problems += 1;
                aside(&format!("problem: {finding}"));
            }
        }
    }
    if age == Age::Restored && !freshness.findings.is_empty() {
        aside(
            "start it once with `serve --accept-rollback`: without that, older data than were seen are not served",
        );
    }
    problems
}
