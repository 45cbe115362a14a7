//! Reads one segment from its beginning, trusting nothing.
//!
//! Where a segment ends depends on what follows it. If there is a later segment, that one's header says how many bytes
//! of this one count, and all of them must be whole. The newest segment ends where its file ends, and there a crash may
//! have left a group of records half written, in any order of its pages.
//!
//! A damaged record is such a *torn tail* if nothing proves that it had been acknowledged. The proof is a whole record
//! behind it that says, in its `durable` field, that the damaged one was on the disk before: then the disk has lost what
//! was promised, and the segment is corrupt.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::{ReadError, RecordFault};
use crate::format::{
    CHAIN_BYTES, Chain, HEADER_BYTES, HeaderFault, RECORD_FRAME_BYTES, RECORD_HEAD_BYTES, RecordHead,
    SegmentHeader, chain_link, record_crc, segment_name,
};

/// The search behind a damaged record reads so much at a time.
const SEARCH_BYTES: usize = 1024 * 1024;

/// A segment being read. It holds one record at a time.
pub(crate) struct SegmentScan {
    header: SegmentHeader,
    name: String,
    path: PathBuf,
    file: BufReader<File>,
    file_bytes: u64,
    /// The bytes that count, if a later segment says so.
    live_bytes: Option<u64>,
    offset: u64,
    expected: u64,
    /// The previous link, then the record that was read last with its own link.
    linked: Vec<u8>,
    /// Whether the chain is checked; without it a record is known by its checksum and number only.
    is_chained: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Record(RecordHead),
    End,
    /// From here on nothing counts.
    Torn,
}

impl SegmentScan {
    pub(crate) fn open(directory: &Path, first: u64) -> Result<Self, ReadError> {
        let name = segment_name(first);
        let path = directory.join(&name);
        let io_error = |source| ReadError::Io { path: path.clone(), source };
        let file = File::open(&path).map_err(io_error)?;
        let file_bytes = file.metadata().map_err(io_error)?.len();
        let mut file = BufReader::with_capacity(256 * 1024, file);
        let header_error = |fault| ReadError::Header { segment: name.clone(), fault };
        let mut bytes = [0; HEADER_BYTES];
        file.read_exact(&mut bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => header_error(HeaderFault::Short),
            _ => io_error(error),
        })?;
        let header = SegmentHeader::decode(&bytes).map_err(header_error)?;
        if header.first != first {
            return Err(header_error(HeaderFault::Name));
        }
        let linked = header.predecessor.chain.to_vec();
        let offset = HEADER_BYTES as u64;
        Ok(Self {
            name,
            path,
            file,
            file_bytes,
            live_bytes: None,
            offset,
            expected: first,
            linked,
            header,
            is_chained: true,
        })
    }

    /// Says how many bytes count, from the header of the segment that follows.
    pub(crate) fn set_live_bytes(&mut self, bytes: u64) {
        self.live_bytes = Some(bytes);
    }

    /// Leaves the chain unchecked: for readers to whom it matters what was written, not by whom. Hashing is most of the
    /// cost of reading.
    pub(crate) fn skip_chain(&mut self) {
        self.is_chained = false;
    }

    pub(crate) fn header(&self) -> &SegmentHeader {
        &self.header
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where the next record begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// The sequence number of the next record.
    pub(crate) fn expected(&self) -> u64 {
        self.expected
    }

    /// The link of the last record read, or the one that the segment continues.
    pub(crate) fn chain(&self) -> Chain {
        self.linked.last_chunk().copied().unwrap_or_default()
    }

    /// The link before the last record read.
    pub(crate) fn previous_chain(&self) -> Chain {
        self.linked.first_chunk().copied().unwrap_or_default()
    }

    /// The last record read, from its length to its link.
    pub(crate) fn record(&self) -> &[u8] {
        self.linked.get(CHAIN_BYTES..).unwrap_or_default()
    }

    /// The payload of the last record read.
    pub(crate) fn payload(&self) -> &[u8] {
        let record = self.record();
        let end = record.len().saturating_sub(CHAIN_BYTES);
        record.get(RECORD_HEAD_BYTES..end).unwrap_or_default()
    }

    pub(crate) fn step(&mut self) -> Result<Step, ReadError> {
        let end = self.live_bytes.unwrap_or(self.file_bytes);
        if self.offset == end {
            return Ok(Step::End);
        }
        let read =
            self.read_record(end).map_err(|source| ReadError::Io { path: self.path.clone(), source })?;
        match read {
            // The rest was filled with zeros ahead of writing: it is no part of what was written.
            Err(_) if self.live_bytes.is_none() && self.is_zero_behind()? => Ok(Step::End),
            Ok(head) => Ok(self.take(head)),
            Err(fault) => self.judge(fault),
        }
    }

    fn take(&mut self, head: RecordHead) -> Step {
        self.offset += head.record_bytes() as u64;
        self.expected = head.sequence + 1;
        Step::Record(head)
    }

    fn read_record(&mut self, end: u64) -> io::Result<Result<RecordHead, RecordFault>> {
        let left = end.min(self.file_bytes).saturating_sub(self.offset);
        let chain = self.chain();
        self.linked.clear();
        self.linked.extend_from_slice(&chain);
        let mut bytes = [0; RECORD_HEAD_BYTES];
        if left < RECORD_FRAME_BYTES as u64 {
            return Ok(Err(RecordFault::Short));
        }
        match self.file.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Err(RecordFault::Short)),
            Err(error) => return Err(error),
        }
        let Some(head) = RecordHead::decode(&bytes) else { return Ok(Err(RecordFault::Head)) };
        if head.record_bytes() as u64 > left {
            return Ok(Err(RecordFault::Short));
        }
        self.linked.extend_from_slice(&bytes);
        let rest = (head.record_bytes() - RECORD_HEAD_BYTES) as u64;
        if (&mut self.file).take(rest).read_to_end(&mut self.linked)? as u64 != rest {
            return Ok(Err(RecordFault::Short));
        }
        Ok(self.check(head))
    }

    fn check(&self, head: RecordHead) -> Result<RecordHead, RecordFault> {
        let (linked, link) = self.linked.split_last_chunk::<CHAIN_BYTES>().ok_or(RecordFault::Short)?;
        if record_crc(linked.get(CHAIN_BYTES..).unwrap_or_default()) != head.crc {
            Err(RecordFault::Checksum)
        } else if head.sequence != self.expected {
            Err(RecordFault::Sequence)
        } else if self.is_chained && chain_link(linked) != *link {
            Err(RecordFault::Chain)
        } else {
            Ok(head)
        }
    }

    /// Tells a torn tail from corruption.
    ///
    /// Whoever reads beside the writer may have read these bytes before they were written, and the proof behind them
    /// afterwards. The proof was written when this record was on the disk, so what is read now must be whole.
    fn judge(&mut self, fault: RecordFault) -> Result<Step, ReadError> {
        let io_error = |source| ReadError::Io { path: self.path.clone(), source };
        if self.live_bytes.is_none() && !self.is_proven_behind().map_err(io_error)? {
            return Ok(Step::Torn);
        }
        match self.read_again() {
            Ok(Ok(head)) => Ok(self.take(head)),
            Ok(Err(_)) => Err(ReadError::Corrupt { segment: self.name.clone(), offset: self.offset, fault }),
            Err(source) => Err(ReadError::Io { path: self.path.clone(), source }),
        }
    }

    /// Reads the record at `offset` from the file once more, not from what was buffered of it.
    fn read_again(&mut self) -> io::Result<Result<RecordHead, RecordFault>> {
        self.file.seek(SeekFrom::Start(self.offset))?;
        self.file_bytes = self.file.get_ref().metadata()?.len();
        // What the failed attempt left behind the previous link.
        self.linked.truncate(CHAIN_BYTES);
        self.read_record(self.live_bytes.unwrap_or(self.file_bytes))
    }

    /// Whether there is nothing but zeros from `offset` to the end of the file. The writer fills a segment with zeros
    /// ahead of its records and cuts them off when it leaves it, perhaps after the file was opened here; no record begins
    /// with zeros.
    pub(crate) fn is_zero_behind(&self) -> Result<bool, ReadError> {
        let io_error = |source| ReadError::Io { path: self.path.clone(), source };
        let mut window = vec![0; SEARCH_BYTES];
        let mut start = self.offset;
        while start < self.file_bytes {
            let filled = read_at(self.file.get_ref(), &mut window, start).map_err(io_error)?;
            if window.iter().take(filled).any(|byte| *byte != 0) {
                return Ok(false);
            }
            if filled == 0 {
                break;
            }
            start += filled as u64;
        }
        Ok(true)
    }

    /// Whether any whole record behind `offset` says that the expected one was durable.
    fn is_proven_behind(&self) -> io::Result<bool> {
        let mut window = vec![0; SEARCH_BYTES + RECORD_HEAD_BYTES - 1];
        let mut start = self.offset;
        while start < self.file_bytes {
            let filled = read_at(self.file.get_ref(), &mut window, start)?;
            let heads = window.get(..filled).unwrap_or_default().windows(RECORD_HEAD_BYTES);
            for (at, bytes) in heads.enumerate() {
                if self.is_proof(bytes, start + at as u64)? {
                    return Ok(true);
                }
            }
            start += SEARCH_BYTES as u64;
        }
        Ok(false)
    }

    fn is_proof(&self, head: &[u8], at: u64) -> io::Result<bool> {
        // Sequence numbers are dense: so many records cannot fit that a farther number would be true.
        let farthest = self.expected.saturating_add(self.file_bytes / RECORD_FRAME_BYTES as u64);
        let Some(head) = head.first_chunk().and_then(RecordHead::decode) else { return Ok(false) };
        if head.durable < self.expected || head.sequence > farthest {
            return Ok(false);
        }
        let mut record = vec![0; head.record_bytes() - CHAIN_BYTES];
        let filled = read_at(self.file.get_ref(), &mut record, at)?;
        Ok(filled == record.len() && record_crc(&record) == head.crc)
    }
}

/// Reads as much as there is, up to the length of `buffer`.
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
        match file.read_at(room, offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
