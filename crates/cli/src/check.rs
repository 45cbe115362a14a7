//! `strongroom check`.

use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use strongroom_records::check::check;
use strongroom_server::{Freshness, Opened, Places};

use crate::arguments::CheckArguments;
use crate::serve::ask_passphrase;
use crate::terminal::{Failure, aside, error, line};

pub(crate) fn run(arguments: &CheckArguments) -> Result<ExitCode, Failure> {
    let places = arguments.places.places();
    let file = arguments.places.passphrase_file();
    let ask = move || ask_passphrase(file);
    let opened = Opened::open(&places, Some(&ask))?;
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
    let freshness = judge_freshness(&places, &opened, arguments.backup);
    if report.is_clean() && freshness == 0 {
        line(
            "clean: every row opens, every index agrees, every shard holds what it should, and it is what was seen last",
        );
        return Ok(ExitCode::SUCCESS);
    }
    line(&format!("{} problems", report.problems_total.saturating_add(freshness)));
    Ok(ExitCode::FAILURE)
}

/// Compares the store and the journal with the anchor and with the journal's checkpoints; returns how many problems
/// there are.
fn judge_freshness(places: &Places, opened: &Opened, is_backup: bool) -> u64 {
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
        if is_backup && finding.is_age() {
            aside(&format!("older than the anchor, as a backup is: {finding}"));
        } else {
            problems += 1;
            aside(&format!("problem: {finding}"));
        }
    }
    problems
}
