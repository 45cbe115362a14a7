//! How far a journal reaches, and what its newest checkpoint says of the store: read before anything is written.
//!
//! Whoever takes a deployment up compares this with the store and with the anchor outside of it. Segments are read from
//! the newest one backwards, and no further than the answers need. The chain of hashes is not followed here (taking the
//! journal up does it for the newest segment, and `verify` for all); records are known by their checksums and numbers.

use std::path::Path;

use crate::checkpoint::{Checkpoint, CheckpointVerifier, Verdict};
use crate::error::ReadError;
use crate::format::RecordKind;
use crate::journal::JournalEnd;
use crate::reader::list_segments;
use crate::scan::{SegmentScan, Step};

/// What a journal says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Survey {
    /// The last whole record.
    pub end: JournalEnd,
    /// The newest checkpoint that names the store's state and whose signature is the deployment's own.
    pub checkpoint: Option<Checkpoint>,
    /// The link of the record that was asked for; `None` if it is not in the segments that are here.
    pub link: Option<[u8; 32]>,
}

/// Surveys the journal in `directory`; one that does not exist has no records. `sequence` is a record to look for.
///
/// Damage of the newest segment is an error. An older one that cannot be read ends the search: what it holds counts as
/// not there.
pub fn survey(
    directory: &Path,
    verifier: &dyn CheckpointVerifier,
    sequence: Option<u64>,
) -> Result<Survey, ReadError> {
    let mut survey = Survey::default();
    if !directory.exists() {
        return Ok(survey);
    }
    let mut later: Option<SegmentScan> = None;
    for first in list_segments(directory)?.into_iter().rev() {
        let read = SegmentScan::open(directory, first)
            .and_then(|scan| read_segment(scan, later.as_ref(), verifier, sequence));
        match (read, later.is_some()) {
            (Ok(read), is_older) => {
                if !is_older {
                    survey.end = read.end;
                }
                survey.checkpoint = survey.checkpoint.take().or(read.checkpoint);
                survey.link = survey.link.or(read.link);
                later = Some(read.scan);
            }
            (Err(error), false) => return Err(error),
            (Err(error), true) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "older audit records cannot be read"
                );
                break;
            }
        }
        let is_found = survey.link.is_some() || sequence.is_none_or(|sequence| sequence >= first);
        if survey.checkpoint.is_some() && is_found {
            break;
        }
    }
    Ok(survey)
}

struct Read {
    scan: SegmentScan,
    end: JournalEnd,
    checkpoint: Option<Checkpoint>,
    link: Option<[u8; 32]>,
}

fn read_segment(
    mut scan: SegmentScan,
    later: Option<&SegmentScan>,
    verifier: &dyn CheckpointVerifier,
    sequence: Option<u64>,
) -> Result<Read, ReadError> {
    let predecessor = later.map(|later| later.header().predecessor);
    if let Some(predecessor) = predecessor.filter(|predecessor| predecessor.first == scan.header().first) {
        scan.set_live_bytes(predecessor.length);
    }
    scan.skip_chain();
    let (mut checkpoint, mut link) = (None, None);
    let mut end = JournalEnd { sequence: scan.header().first - 1, link: scan.chain() };
    while let Step::Record(head) = scan.step()? {
        end = JournalEnd { sequence: head.sequence, link: scan.chain() };
        if sequence == Some(head.sequence) {
            link = Some(end.link);
        }
        if head.kind == RecordKind::Checkpoint {
            checkpoint = stated(scan.payload(), verifier).or(checkpoint);
        }
    }
    Ok(Read { scan, end, checkpoint, link })
}

/// A checkpoint that says what the store held, signed by the deployment.
fn stated(payload: &[u8], verifier: &dyn CheckpointVerifier) -> Option<Checkpoint> {
    let checkpoint = Checkpoint::decode(payload).filter(|checkpoint| !checkpoint.state.is_empty())?;
    let verdict = verifier.verify(&checkpoint.public_key, &checkpoint.signed_bytes(), &checkpoint.signature);
    if verdict != Verdict::Valid {
        tracing::error!(
            sequence = checkpoint.sequence,
            ?verdict,
            "an audit checkpoint is not this deployment's"
        );
        return None;
    }
    Some(checkpoint)
}
