//! `strongroom check`.

use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use strongroom_records::check::check;
use strongroom_server::Opened;

use crate::arguments::CheckArguments;
use crate::passphrase::ask_passphrase;
use crate::terminal::{Failure, aside, line};

pub(crate) fn run(arguments: &CheckArguments) -> Result<ExitCode, Failure> {
    let places = arguments.places.places();
    let file = arguments.places.passphrase_file();
    let ask = move || ask_passphrase(file);
    check_opened(&Opened::open(&places, Some(&ask))?)
}

/// Checks what is open already and tells what it found.
pub(crate) fn check_opened(opened: &Opened) -> Result<ExitCode, Failure> {
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
    if report.is_clean() {
        line("clean: every row opens, every index agrees, every shard holds what it should");
        return Ok(ExitCode::SUCCESS);
    }
    line(&format!("{} problems", report.problems_total));
    Ok(ExitCode::FAILURE)
}
