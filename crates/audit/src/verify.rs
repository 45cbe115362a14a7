//! Judges a whole journal.

use std::path::Path;
use std::sync::Arc;

use crate::checkpoint::CheckpointVerifier;
use crate::error::ReadError;
use crate::reader::{Entry, JournalReader, TornTail};
use crate::sequence::Sequence;

/// So many problems are told one by one; the rest is counted.
const PROBLEMS_MAX: usize = 1000;

/// What a journal holds and what is wrong with it.
#[derive(Debug, Default)]
pub struct Report {
    pub segments: u64,
    pub records: u64,
    pub events: u64,
    pub checkpoints: u64,
    /// The first record. Greater than one when older segments have been taken away.
    pub first: Option<Sequence>,
    pub last: Option<Sequence>,
    /// The newest checkpoint. Records behind it are chained, but nobody has signed for them yet.
    pub last_checkpoint: Option<Sequence>,
    pub torn_tail: Option<TornTail>,
    pub problems: Vec<ReadError>,
    /// Problems beyond those listed.
    pub problems_unlisted: u64,
}

impl Report {
    /// Nothing is wrong, and nothing is torn.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty() && self.torn_tail.is_none()
    }

    fn add(&mut self, problem: ReadError) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        } else {
            self.problems_unlisted += 1;
        }
    }
}

/// Reads everything and reports; fails only if the directory cannot be listed.
pub fn verify(directory: &Path, verifier: Arc<dyn CheckpointVerifier>) -> Result<Report, ReadError> {
    let mut reader = JournalReader::open(directory, verifier)?;
    let mut report = Report::default();
    for record in reader.by_ref() {
        let record = match record {
            Ok(record) => record,
            Err(problem) => {
                report.add(problem);
                continue;
            }
        };
        report.records += 1;
        report.first = report.first.or(Some(record.sequence()));
        report.last = Some(record.sequence());
        match record.entry() {
            Ok(Entry::Checkpoint(_)) => {
                report.checkpoints += 1;
                report.last_checkpoint = Some(record.sequence());
            }
            Ok(Entry::Event(_)) => report.events += 1,
            Ok(Entry::Note(_)) => {}
            Err(problem) => report.add(problem),
        }
    }
    report.segments = reader.segments();
    report.torn_tail = reader.torn_tail().cloned();
    Ok(report)
}
