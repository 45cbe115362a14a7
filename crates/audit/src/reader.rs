//! Reads a whole journal, record by record, and checks everything on the way.
//!
//! Memory is bounded by one record. A journal may be read while it is written: what is being appended at that moment
//! looks like a torn tail and is left out.

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom_types::{RequestId, Timestamp};

use crate::checkpoint::{Checkpoint, CheckpointVerifier, Verdict};
use crate::error::{CheckpointFault, LinkFault, ReadError};
use crate::event::Event;
use crate::format::{RecordKind, parse_segment_name};
use crate::note::Note;
use crate::scan::{SegmentScan, Step};
use crate::sequence::Sequence;

/// An iterator over the records of a journal, oldest first.
///
/// After an error it goes on with what can still be read: the next segment, or the next record if only the content of
/// one is wrong. Who wants all or nothing stops at the first error.
pub struct JournalReader {
    directory: PathBuf,
    /// The segments still to be opened.
    ahead: VecDeque<u64>,
    current: Option<Current>,
    /// The next segment, where it had to be opened already.
    followed: Option<SegmentScan>,
    torn_tail: Option<TornTail>,
    segments: u64,
    is_chained: bool,
    /// Records up to this one are passed over.
    after: u64,
    verifier: Arc<dyn CheckpointVerifier>,
}

struct Current {
    scan: SegmentScan,
    /// The segment that follows, already opened for its header. `None` for the newest.
    next: Option<SegmentScan>,
}

/// The end of the newest segment that does not count: a crash left it half written, and nobody was told it was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    pub segment: String,
    pub offset: u64,
    pub bytes: u64,
}

/// One record of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    sequence: Sequence,
    segment: String,
    offset: u64,
    kind: RecordKind,
    payload: Vec<u8>,
}

/// What a record holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry<'r> {
    Checkpoint(Checkpoint),
    Event(Box<Event<'r>>),
    Note(Note<'r>),
}

impl Record {
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// The name of the segment's file.
    pub fn segment(&self) -> &str {
        &self.segment
    }

    /// Where the record begins in its segment.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    pub fn entry(&self) -> Result<Entry<'_>, ReadError> {
        let malformed = || ReadError::Payload { segment: self.segment.clone(), offset: self.offset };
        match self.kind {
            RecordKind::Checkpoint => {
                Checkpoint::decode(&self.payload).map(Entry::Checkpoint).ok_or_else(malformed)
            }
            RecordKind::Event => {
                let event = Event::decode(&self.payload).map_err(|source| ReadError::Event {
                    segment: self.segment.clone(),
                    offset: self.offset,
                    source,
                })?;
                Ok(Entry::Event(Box::new(event)))
            }
            RecordKind::Note => Note::decode(&self.payload).map(Entry::Note).ok_or_else(malformed),
        }
    }
}

impl JournalReader {
    pub fn open(directory: &Path, verifier: Arc<dyn CheckpointVerifier>) -> Result<Self, ReadError> {
        Ok(Self::over(directory, list_segments(directory)?, verifier))
    }

    fn over(directory: &Path, segments: Vec<u64>, verifier: Arc<dyn CheckpointVerifier>) -> Self {
        Self {
            directory: directory.to_owned(),
            ahead: segments.into(),
            current: None,
            followed: None,
            torn_tail: None,
            segments: 0,
            is_chained: true,
            after: 0,
            verifier,
        }
    }

    /// The torn tail of the newest segment; known once everything has been read.
    pub fn torn_tail(&self) -> Option<&TornTail> {
        self.torn_tail.as_ref()
    }

    /// The segments opened so far.
    pub fn segments(&self) -> u64 {
        self.segments
    }

    /// Makes the next segment the current one; false when there is none.
    fn advance(&mut self) -> Result<bool, ReadError> {
        let mut scan = match self.followed.take() {
            Some(scan) => scan,
            None => match self.ahead.pop_front() {
                Some(first) => SegmentScan::open(&self.directory, first)?,
                None => return Ok(false),
            },
        };
        self.segments += 1;
        if !self.is_chained {
            scan.skip_chain();
        }
        // A follower that cannot be opened must be reported, but not before this segment has been read as far as it
        // is whole: so it stays in `ahead` and is opened again when its turn has come.
        let next = match self.ahead.front() {
            Some(first) => SegmentScan::open(&self.directory, *first).ok(),
            None => None,
        };
        if let Some(next) = &next {
            self.ahead.pop_front();
            if next.header().predecessor.first == scan.header().first {
                scan.set_live_bytes(next.header().predecessor.length);
            }
        }
        self.current = Some(Current { scan, next });
        Ok(true)
    }

    fn leave(&mut self) {
        self.followed = self.current.take().and_then(|current| current.next);
    }

    /// The next record, `None` at the end.
    fn read(&mut self) -> Result<Option<Record>, ReadError> {
        loop {
            let Some(Current { scan, next }) = &mut self.current else {
                if self.advance()? {
                    continue;
                }
                return Ok(None);
            };
            let offset = scan.offset();
            match scan.step() {
                Err(error) => {
                    self.leave();
                    return Err(error);
                }
                Ok(Step::Record(head)) if head.sequence <= self.after => {}
                Ok(Step::Record(head)) => {
                    let record = Record {
                        sequence: Sequence::new(head.sequence),
                        segment: scan.name().to_owned(),
                        offset,
                        kind: head.kind,
                        payload: scan.payload().to_vec(),
                    };
                    if head.kind == RecordKind::Checkpoint {
                        check_checkpoint(&record, scan, &*self.verifier)?;
                    }
                    return Ok(Some(record));
                }
                Ok(Step::Torn) => {
                    let bytes = scan.file_bytes().saturating_sub(offset);
                    self.torn_tail = Some(TornTail { segment: scan.name().to_owned(), offset, bytes });
                    // A follower that fits would have said where this segment ends.
                    let linked = next.as_ref().map_or(Ok(()), |next| check_link(scan, next));
                    self.leave();
                    linked?;
                }
                Ok(Step::End) => {
                    let linked = next.as_ref().map_or(Ok(()), |next| check_link(scan, next));
                    self.leave();
                    linked?;
                }
            }
        }
    }
}

impl Iterator for JournalReader {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// Whether `next` continues where `scan`, read to its end, has ended.
fn check_link(scan: &SegmentScan, next: &SegmentScan) -> Result<(), ReadError> {
    let predecessor = &next.header().predecessor;
    let fault = if predecessor.first != scan.header().first {
        LinkFault::Predecessor
    } else if next.header().first != scan.expected() {
        LinkFault::Sequence
    } else if predecessor.chain != scan.chain() {
        LinkFault::Chain
    } else if !predecessor.has_void_tail && !scan.is_zero_behind()? {
        LinkFault::Tail
    } else {
        return Ok(());
    };
    Err(ReadError::Link { previous: scan.name().to_owned(), segment: next.name().to_owned(), fault })
}

fn check_checkpoint(
    record: &Record,
    scan: &SegmentScan,
    verifier: &dyn CheckpointVerifier,
) -> Result<(), ReadError> {
    let Entry::Checkpoint(checkpoint) = record.entry()? else { return Ok(()) };
    let is_here =
        checkpoint.sequence + 1 == record.sequence.as_u64() && checkpoint.chain == scan.previous_chain();
    let fault = if !is_here {
        CheckpointFault::Misplaced
    } else if !checkpoint.is_signed() {
        CheckpointFault::Unsigned
    } else {
        match verifier.verify(&checkpoint.public_key, &checkpoint.signed_bytes(), &checkpoint.signature) {
            Verdict::Valid => return Ok(()),
            Verdict::Invalid => CheckpointFault::Invalid,
            Verdict::UnknownKey => CheckpointFault::UnknownKey,
        }
    };
    Err(ReadError::Checkpoint { segment: record.segment.clone(), offset: record.offset, fault })
}

/// The first sequence numbers of a directory's segments, in order.
pub(crate) fn list_segments(directory: &Path) -> Result<Vec<u64>, ReadError> {
    let io_error = |source| ReadError::Io { path: directory.to_owned(), source };
    let mut segments = Vec::new();
    for entry in fs::read_dir(directory).map_err(io_error)? {
        let name = entry.map_err(io_error)?.file_name();
        segments.extend(name.to_str().and_then(parse_segment_name));
    }
    segments.sort_unstable();
    Ok(segments)
}

/// The ids of the events recorded at or after `since`, as far as `is_wanted` says yes to them.
///
/// For the replay of the outbox: it names the few ids it is about to append, so the set stays small. The answer may also
/// hold ids of somewhat older events. `since` is compared with the times at which segments were begun; allow for steps
/// of the clock.
pub fn event_ids_since(
    directory: &Path,
    since: Timestamp,
    is_wanted: impl Fn(&RequestId) -> bool,
) -> Result<HashSet<RequestId>, ReadError> {
    let segments = list_segments(directory)?;
    let mut from = segments.len();
    // The newest segment that was begun before `since` may hold events after it; older ones cannot.
    while let Some(first) = from.checked_sub(1).and_then(|at| segments.get(at)) {
        from -= 1;
        // The newest is always read: it was begun just now, perhaps by a clock that has been set back.
        let is_newest = from + 1 == segments.len();
        if !is_newest && SegmentScan::open(directory, *first)?.header().created < since {
            break;
        }
    }
    let mut ids = HashSet::new();
    let newest = segments.get(from..).unwrap_or_default().to_vec();
    let mut reader = JournalReader::over(directory, newest, Arc::new(AnySignature));
    reader.is_chained = false;
    for record in reader {
        let record = record?;
        if record.kind != RecordKind::Event {
            continue;
        }
        let id = Event::decode_id(&record.payload).map_err(|source| ReadError::Event {
            segment: record.segment.clone(),
            offset: record.offset,
            source,
        })?;
        if is_wanted(&id) {
            ids.insert(id);
        }
    }
    Ok(ids)
}

/// Hands out the events behind the record `after`, up to the record `upto`, in their order. Both may be of a journal that is
/// being written, as long as `upto` is on the disk.
///
/// What is damaged or missing does not stop it from going on with what can still be read; the first of it is the error.
pub fn each_event_after(
    directory: &Path,
    after: u64,
    upto: u64,
    mut use_event: impl FnMut(u64, &Event<'_>),
) -> Result<(), ReadError> {
    if after >= upto {
        return Ok(());
    }
    let mut segments = list_segments(directory)?;
    let from = segments.partition_point(|first| *first <= after + 1).saturating_sub(1);
    let mut reader = JournalReader::over(directory, segments.split_off(from), Arc::new(AnySignature));
    (reader.is_chained, reader.after) = (false, after);
    let mut expected = after + 1;
    let mut fault = None;
    while expected <= upto {
        let record = match reader.next() {
            Some(Ok(record)) => record,
            Some(Err(error)) => {
                fault.get_or_insert(error);
                continue;
            }
            None => break,
        };
        let sequence = record.sequence().as_u64();
        if sequence != expected {
            fault.get_or_insert(ReadError::Missing { sequence: expected });
        }
        if sequence > upto {
            break;
        }
        expected = sequence + 1;
        if record.kind != RecordKind::Event {
            continue;
        }
        match record.entry() {
            Ok(Entry::Event(event)) => use_event(sequence, &event),
            Ok(Entry::Checkpoint(_) | Entry::Note(_)) => {}
            Err(error) => {
                fault.get_or_insert(error);
            }
        }
    }
    if expected <= upto {
        fault.get_or_insert(ReadError::Missing { sequence: expected });
    }
    fault.map_or(Ok(()), Err)
}

/// Which events are there does not depend on who signed for them.
struct AnySignature;

impl CheckpointVerifier for AnySignature {
    fn verify(&self, _public_key: &[u8; 32], _bytes: &[u8], _signature: &[u8; 64]) -> Verdict {
        Verdict::Valid
    }
}
