//! `strongroom audit`.

use std::process::ExitCode;
use std::sync::Arc;

use strongroom_audit::{Entry, JournalReader, to_cloudtrail, verify};
use strongroom_server::{Opened, Places, Signer};

use crate::arguments::AuditArguments;
use crate::passphrase::ask_passphrase;
use crate::terminal::{Failure, aside, error, line};

/// Reads while nobody writes: the data directory is locked meanwhile. The root key is needed to know which signatures
/// are the deployment's own.
pub(crate) fn run(arguments: &AuditArguments) -> Result<ExitCode, Failure> {
    let places = arguments.places.places();
    let file = arguments.places.passphrase_file();
    let ask = move || ask_passphrase(file);
    let opened = Opened::open(&places, Some(&ask))?;
    let signer = Arc::new(Signer::new(Arc::clone(&opened.keyring))?);
    if arguments.verify {
        return verify_journal(&places, signer);
    }
    for record in JournalReader::open(&places.journal(), signer)? {
        let record = record?;
        match record.entry()? {
            Entry::Event(event) if !arguments.notes => {
                line(&serde_json::to_string(&to_cloudtrail(&event))?);
            }
            Entry::Note(note) if arguments.notes => {
                line(&format!("{} {}", note.time.to_extended_iso8601(), note.text));
            }
            Entry::Checkpoint(_) | Entry::Event(_) | Entry::Note(_) => {}
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Verifies a journal and tells what it found.
pub(crate) fn verify_journal(places: &Places, signer: Arc<Signer>) -> Result<ExitCode, Failure> {
    let report = verify(&places.journal(), signer)?;
    line(&format!("{:>10}  segments", report.segments));
    line(&format!("{:>10}  records", report.records));
    line(&format!("{:>10}  checkpoints", report.checkpoints));
    for problem in &report.problems {
        error(problem);
    }
    if report.problems_unlisted > 0 {
        aside(&format!("and {} more problems", report.problems_unlisted));
    }
    if let Some(tail) = &report.torn_tail {
        aside(&format!(
            "the newest segment, `{}`, ends in {} bytes that are no whole record: the process was killed while it \
             wrote them, and nobody was answered for them; the next `strongroom serve` cuts them off and notes it",
            tail.segment, tail.bytes
        ));
    }
    if report.is_sound() {
        line("sound: every record is whole, in its place in the chain, and every checkpoint is signed");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}
