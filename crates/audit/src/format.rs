//! The bytes of a segment: its header and the frame around each record. `docs/formats.md#journal` has the diagrams.
//!
//! Everything here is arithmetic over byte slices; reading and writing files is done elsewhere.

use strongroom_types::Timestamp;
use strongroom_types::limits::AUDIT_RECORD_BYTES_MAX;

pub(crate) const HEADER_BYTES: usize = 80;
/// `length be32 | crc be32 | sequence be64 | durable be64 | kind 1`
pub(crate) const RECORD_HEAD_BYTES: usize = 25;
pub(crate) const CHAIN_BYTES: usize = 32;
/// What a record occupies beside its payload.
pub(crate) const RECORD_FRAME_BYTES: usize = RECORD_HEAD_BYTES + CHAIN_BYTES;

const MAGIC: [u8; 8] = *b"SRJOURNL";
const VERSION: u16 = 1;
const FLAG_VOID_TAIL: u16 = 1;

/// One link of the chain: the SHA-256 that ends a record.
pub(crate) type Chain = [u8; CHAIN_BYTES];

/// Takes the next `N` bytes off the front.
pub(crate) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}

pub(crate) fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    take(bytes).map(u64::from_be_bytes)
}

/// Writes `bytes` at `at`; false if they do not fit.
#[must_use]
pub(crate) fn put(target: &mut [u8], at: usize, bytes: &[u8]) -> bool {
    match target.get_mut(at..at + bytes.len()) {
        Some(place) => {
            place.copy_from_slice(bytes);
            true
        }
        None => false,
    }
}

/// Where a segment's predecessor ends. All zero for the first segment of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Predecessor {
    /// The predecessor's first sequence number, which is its name.
    pub(crate) first: u64,
    /// So many of its bytes count. Behind them may stand what was never acknowledged.
    pub(crate) length: u64,
    /// The chain at that place: the first record of the new segment continues it.
    pub(crate) chain: Chain,
    /// Bytes may stand behind `length`.
    pub(crate) has_void_tail: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// The sequence number of the first record.
    pub(crate) first: u64,
    pub(crate) predecessor: Predecessor,
    pub(crate) created: Timestamp,
}

/// Why bytes are not a segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    #[error("its checksum does not match")]
    Checksum,
    #[error("it has flags that this program does not know")]
    Flags,
    #[error("it does not begin as a segment does")]
    Magic,
    #[error("it names a first sequence number other than the file's name")]
    Name,
    #[error("it is too short")]
    Short,
    #[error("it is of a version that this program does not know")]
    Version,
}

impl SegmentHeader {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_be_bytes());
        let flags = if self.predecessor.has_void_tail { FLAG_VOID_TAIL } else { 0 };
        out.extend_from_slice(&flags.to_be_bytes());
        out.extend_from_slice(&self.first.to_be_bytes());
        out.extend_from_slice(&self.predecessor.first.to_be_bytes());
        out.extend_from_slice(&self.predecessor.length.to_be_bytes());
        out.extend_from_slice(&self.predecessor.chain);
        out.extend_from_slice(&self.created.as_millis().to_be_bytes());
        let crc = crc32c::crc32c(out.get(start..).unwrap_or_default());
        out.extend_from_slice(&crc.to_be_bytes());
    }

    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, HeaderFault> {
        let rest = &mut bytes.as_slice();
        if take(rest) != Some(MAGIC) {
            return Err(HeaderFault::Magic);
        }
        let version = take(rest).map(u16::from_be_bytes);
        if version != Some(VERSION) {
            return Err(HeaderFault::Version);
        }
        let parsed = Self::decode_fields(rest).ok_or(HeaderFault::Short)?;
        let (covered, crc) = bytes.split_last_chunk::<4>().ok_or(HeaderFault::Short)?;
        if crc32c::crc32c(covered) != u32::from_be_bytes(*crc) {
            return Err(HeaderFault::Checksum);
        }
        let (flags, header) = parsed;
        if flags & !FLAG_VOID_TAIL != 0 {
            return Err(HeaderFault::Flags);
        }
        Ok(header)
    }

    fn decode_fields(rest: &mut &[u8]) -> Option<(u16, Self)> {
        let flags = u16::from_be_bytes(take(rest)?);
        let first = take_u64(rest)?;
        let predecessor = Predecessor {
            first: take_u64(rest)?,
            length: take_u64(rest)?,
            chain: take(rest)?,
            has_void_tail: flags & FLAG_VOID_TAIL != 0,
        };
        Some((flags, Self { first, predecessor, created: Timestamp::from_millis(take_u64(rest)?) }))
    }
}

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordKind {
    Event,
    Checkpoint,
    Note,
}

impl RecordKind {
    pub(crate) const fn to_byte(self) -> u8 {
        match self {
            Self::Event => 1,
            Self::Checkpoint => 2,
            Self::Note => 3,
        }
    }

    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Event),
            2 => Some(Self::Checkpoint),
            3 => Some(Self::Note),
            _ => None,
        }
    }
}

/// The fields before a record's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHead {
    /// Bytes of the payload.
    pub(crate) length: usize,
    pub(crate) crc: u32,
    pub(crate) sequence: u64,
    /// Every record up to this one was on the disk before this record was written.
    pub(crate) durable: u64,
    pub(crate) kind: RecordKind,
}

impl RecordHead {
    /// Reads a head; `None` if it cannot be one.
    pub(crate) fn decode(bytes: &[u8; RECORD_HEAD_BYTES]) -> Option<Self> {
        let rest = &mut bytes.as_slice();
        let length = usize::try_from(u32::from_be_bytes(take(rest)?)).ok()?;
        let crc = u32::from_be_bytes(take(rest)?);
        let (sequence, durable) = (take_u64(rest)?, take_u64(rest)?);
        let [kind] = take(rest)?;
        let kind = RecordKind::from_byte(kind)?;
        let is_plausible = length <= AUDIT_RECORD_BYTES_MAX && durable < sequence;
        is_plausible.then_some(Self { length, crc, sequence, durable, kind })
    }

    /// The bytes of the whole record.
    pub(crate) const fn record_bytes(&self) -> usize {
        RECORD_FRAME_BYTES + self.length
    }
}

/// Begins a record at the end of `buffer` and returns where. The payload is to be appended next.
pub(crate) fn begin_record(buffer: &mut Vec<u8>, sequence: u64, kind: RecordKind) -> usize {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; 8]);
    buffer.extend_from_slice(&sequence.to_be_bytes());
    buffer.extend_from_slice(&[0; 8]);
    buffer.push(kind.to_byte());
    start
}

/// Ends the record begun at `start`: its length is set, and there is room for its link of the chain. Checksum, durable
/// sequence and link are set when the record is sealed, for only then are they known.
pub(crate) fn end_record(buffer: &mut Vec<u8>, start: usize) {
    let length = buffer.len().saturating_sub(start + RECORD_HEAD_BYTES);
    // INVARIANT: payloads are at most AUDIT_RECORD_BYTES_MAX long, so the length fits.
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    let was_put = put(buffer, start, &length.to_be_bytes());
    debug_assert!(was_put);
    buffer.extend_from_slice(&[0; CHAIN_BYTES]);
}

/// CRC-32C (RFC 3720, appendix B.4) over a record's length and all from its sequence number to the end of its payload.
///
/// `record` is everything before the link of the chain.
pub(crate) fn record_crc(record: &[u8]) -> u32 {
    let length = record.get(..4).unwrap_or_default();
    let rest = record.get(8..).unwrap_or_default();
    crc32c::crc32c_append(crc32c::crc32c(length), rest)
}

/// `SHA-256(previous link ‖ record up to its link)`; both stand behind one another in `linked`.
pub(crate) fn chain_link(linked: &[u8]) -> Chain {
    strongroom_crypto::sha256(linked)
}

/// `journal-<16 hex digits of the first sequence number>.seg`
pub(crate) fn segment_name(first: u64) -> String {
    format!("journal-{first:016x}.seg")
}

/// The first sequence number in a segment's name; `None` for any other file.
pub(crate) fn parse_segment_name(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("journal-")?.strip_suffix(".seg")?;
    let first = u64::from_str_radix(digits, 16).ok()?;
    (segment_name(first) == name).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            first: 0x0102,
            predecessor: Predecessor { first: 3, length: 4, chain: [0xcc; 32], has_void_tail: true },
            created: Timestamp::from_millis(0x0506),
        }
    }

    fn header_bytes() -> [u8; HEADER_BYTES] {
        let mut bytes = Vec::new();
        header().encode(&mut bytes);
        bytes.try_into().unwrap()
    }

    #[test]
    fn header_with_any_bit_flipped_is_refused() {
        for at in 0..HEADER_BYTES {
            for bit in 0..8 {
                let mut bytes = header_bytes();
                bytes[at] ^= 1 << bit;
                assert!(SegmentHeader::decode(&bytes).is_err(), "byte {at} bit {bit}");
            }
        }
        assert_eq!(SegmentHeader::decode(&header_bytes()), Ok(header()));
    }

    #[test]
    fn unknown_versions_and_flags_are_refused() {
        let changed = |at: usize, to: u8| {
            let mut bytes = header_bytes();
            bytes[at] = to;
            let crc = crc32c::crc32c(&bytes[..76]);
            bytes[76..].copy_from_slice(&crc.to_be_bytes());
            SegmentHeader::decode(&bytes)
        };
        assert_eq!(changed(0, b'X'), Err(HeaderFault::Magic));
        assert_eq!(changed(9, 2), Err(HeaderFault::Version));
        assert_eq!(changed(11, 2), Err(HeaderFault::Flags));
    }

    #[test]
    fn header_has_its_golden_bytes() {
        let golden = [
            &b"SRJOURNL"[..],
            &[0, 1, 0, 1],
            &[0, 0, 0, 0, 0, 0, 1, 2],
            &[0, 0, 0, 0, 0, 0, 0, 3],
            &[0, 0, 0, 0, 0, 0, 0, 4],
            &[0xcc; 32],
            &[0, 0, 0, 0, 0, 0, 5, 6],
        ]
        .concat();
        let bytes = header_bytes();
        assert_eq!(bytes[..76], golden);
        assert_eq!(bytes[76..], crc32c::crc32c(&golden).to_be_bytes());
    }

    #[test]
    fn heads_that_cannot_be_are_refused() {
        let head = |length: u32, sequence: u64, durable: u64, kind: u8| {
            let mut bytes = Vec::new();
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(&[0; 4]);
            bytes.extend_from_slice(&sequence.to_be_bytes());
            bytes.extend_from_slice(&durable.to_be_bytes());
            bytes.push(kind);
            RecordHead::decode(&bytes.try_into().unwrap())
        };
        let most = u32::try_from(AUDIT_RECORD_BYTES_MAX).unwrap();
        assert_eq!(head(most + 1, 2, 1, 1), None);
        assert_eq!(head(1, 2, 2, 1), None);
        assert_eq!(head(1, 2, 1, 0), None);
        assert_eq!(head(1, 2, 1, 4), None);
        assert_eq!(head(most, 2, 1, 3).map(|h| h.kind), Some(RecordKind::Note));
    }

    #[test]
    fn only_segments_have_segment_names() {
        for name in [
            "journal-1.seg",
            "journal-000000000000000A.seg",
            "journal-000000000000000a.seg.new",
            "journal-+00000000000000a.seg",
            "strangers.jsonl",
        ] {
            assert_eq!(parse_segment_name(name), None, "{name}");
        }
        assert_eq!(parse_segment_name("journal-000000000000000a.seg"), Some(10));
    }
}
