//! The header of a backup, and its frames' heads. `docs/formats.md#backup` has the diagrams.

use std::path::Path;

use strongroom_crypto::{RootId, sha256};
use strongroom_types::Timestamp;
use strongroom_types::limits::BACKUP_HEADER_BYTES_MAX;

use super::error::BackupError;

pub(super) const MAGIC: &[u8; 8] = b"SRBACKUP";
const FORMAT: u8 = 1;
/// `magic 8 | version 1 | length of the header's rest 4`.
pub(super) const PREFIX_BYTES: usize = 8 + 1 + 4;
/// `kind 1 | length of what is sealed 4`.
pub(super) const FRAME_HEAD_BYTES: usize = 1 + 4;

/// What a backup says of itself in the clear. It is authentic once a frame of the file has opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// When the backup was begun.
    pub created: Timestamp,
    /// The addresses of the keyring's keys, which name scope, purpose and version.
    pub keys: Vec<String>,
    /// The version of the program that made it.
    pub program: String,
    /// The store's revision.
    pub revision: u64,
    pub(super) wrapped_key: Vec<u8>,
}

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// The name of the part that the next frames hold.
    Part,
    Data,
    /// The hash of the list of all parts. Nothing follows.
    End,
}

impl FrameKind {
    pub(super) const fn as_byte(self) -> u8 {
        match self {
            Self::Part => 1,
            Self::Data => 2,
            Self::End => 3,
        }
    }

    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Part, Self::Data, Self::End].into_iter().find(|kind| kind.as_byte() == byte)
    }
}

impl Header {
    /// The root key that opens the backup.
    pub fn root_id(&self) -> Option<RootId> {
        // `version 1 | root id 16 | …`: formats.md, root-wrapped keys.
        let (_, rest) = self.wrapped_key.split_first()?;
        rest.first_chunk().map(|id| RootId::from_bytes(*id))
    }

    /// The whole header, with its magic.
    pub(super) fn encode(&self) -> Result<Vec<u8>, BackupError> {
        let mut rest = Vec::new();
        rest.extend_from_slice(&self.created.as_millis().to_be_bytes());
        rest.extend_from_slice(&self.revision.to_be_bytes());
        push(&mut rest, &self.wrapped_key);
        push(&mut rest, self.program.as_bytes());
        for key in &self.keys {
            push(&mut rest, key.as_bytes());
        }
        if PREFIX_BYTES + rest.len() > BACKUP_HEADER_BYTES_MAX {
            return Err(BackupError::TooLarge { what: "the keyring".to_owned() });
        }
        let mut bytes = Vec::with_capacity(PREFIX_BYTES + rest.len());
        bytes.extend_from_slice(MAGIC);
        bytes.push(FORMAT);
        push(&mut bytes, &rest);
        Ok(bytes)
    }

    /// The length of the header's rest, from its first bytes.
    pub(super) fn rest_bytes(path: &Path, prefix: &[u8; PREFIX_BYTES]) -> Result<usize, BackupError> {
        let rest = &mut prefix.as_slice();
        if take::<8>(rest) != Some(*MAGIC) {
            return Err(BackupError::NotABackup { path: path.to_owned() });
        }
        if take::<1>(rest) != Some([FORMAT]) {
            return Err(BackupError::Newer { path: path.to_owned() });
        }
        let length = take::<4>(rest).map(u32::from_be_bytes).and_then(|length| usize::try_from(length).ok());
        let fits = |length: &usize| *length <= BACKUP_HEADER_BYTES_MAX - PREFIX_BYTES;
        length.filter(fits).ok_or_else(|| damaged(path, "its header is too long"))
    }

    /// What [`Self::encode`] put behind the prefix.
    pub(super) fn decode(path: &Path, rest: &[u8]) -> Result<Self, BackupError> {
        Self::decode_rest(rest).ok_or_else(|| damaged(path, "its header cannot be read"))
    }

    fn decode_rest(mut rest: &[u8]) -> Option<Self> {
        let rest = &mut rest;
        let created = Timestamp::from_millis(u64::from_be_bytes(take(rest)?));
        let revision = u64::from_be_bytes(take(rest)?);
        let wrapped_key = take_field(rest)?.to_vec();
        let program = text(take_field(rest)?)?;
        let mut keys = Vec::new();
        while !rest.is_empty() {
            keys.push(text(take_field(rest)?)?);
        }
        Some(Self { created, keys, program, revision, wrapped_key })
    }
}

/// A part of the backup, as the last frame's hash covers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) bytes: u64,
    pub(super) name: String,
    pub(super) sha256: [u8; 32],
}

impl Part {
    /// `SHA-256(f(name) ‖ be64(bytes) ‖ sha256 32 ‖ …)` over all parts: the list of a long journal would not fit a frame.
    pub(super) fn list_hash(parts: &[Self]) -> [u8; 32] {
        let mut bytes = Vec::new();
        for part in parts {
            push(&mut bytes, part.name.as_bytes());
            bytes.extend_from_slice(&part.bytes.to_be_bytes());
            bytes.extend_from_slice(&part.sha256);
        }
        sha256(&bytes)
    }
}

pub(super) fn damaged(path: &Path, problem: &'static str) -> BackupError {
    BackupError::Damaged { path: path.to_owned(), problem }
}

/// `be32(length) ‖ bytes`.
pub(super) fn push(out: &mut Vec<u8>, bytes: &[u8]) {
    // Rows, names and headers are far below 4 GiB.
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

pub(super) fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*taken)
}

pub(super) fn take_field<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(u32::from_be_bytes(take(from)?)).ok()?;
    let (taken, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(taken)
}

pub(super) fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            created: Timestamp::from_millis(0x0102),
            keys: vec!["keyring/global/domain/1".to_owned()],
            program: "0.1.0".to_owned(),
            revision: 0x0304,
            wrapped_key: [1].into_iter().chain([0x61; 76]).collect(),
        }
    }

    fn read(bytes: &[u8]) -> Result<Header, BackupError> {
        let path = Path::new("backup");
        let Some((prefix, rest)) = bytes.split_first_chunk() else { return Err(damaged(path, "short")) };
        let length = Header::rest_bytes(path, prefix)?;
        Header::decode(path, rest.get(..length).ok_or_else(|| damaged(path, "short"))?)
    }

    #[test]
    fn foreign_newer_and_cut_headers_are_refused() {
        let bytes = header().encode().unwrap();
        let altered = |at: usize, value: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = value;
            read(&bytes)
        };
        assert!(matches!(altered(0, b'X'), Err(BackupError::NotABackup { .. })));
        assert!(matches!(altered(8, 2), Err(BackupError::Newer { .. })));
        assert!(matches!(altered(9, 1), Err(BackupError::Damaged { .. })));
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_err(), "{length} bytes");
        }
        assert_eq!(read(&bytes).unwrap(), header());
    }

    #[test]
    fn a_header_past_its_limit_is_refused() {
        let fixed = Header { keys: Vec::new(), ..header() }.encode().unwrap().len();
        let with = |bytes: usize| Header { keys: vec!["k".repeat(bytes - 4)], ..header() }.encode();
        let room = BACKUP_HEADER_BYTES_MAX - fixed;
        assert!(matches!(with(room + 1), Err(BackupError::TooLarge { .. })));
        let largest = with(room).unwrap();
        assert_eq!(largest.len(), BACKUP_HEADER_BYTES_MAX);
        read(&largest).unwrap();
    }

    #[test]
    fn golden_header() {
        let wrapped = "61".repeat(76);
        let expected = format!(
            "{}01{}{}{}{}01{wrapped}{}{}{}{}",
            "53524241434b5550", // SRBACKUP
            "00000085",         // 133 bytes follow
            "0000000000000102", // created
            "0000000000000304", // revision
            "0000004d",         // 77 bytes
            "00000005",         // the program's version
            "302e312e30",
            "00000017",                                       // 23 bytes
            "6b657972696e672f676c6f62616c2f646f6d61696e2f31", // keyring/global/domain/1
        );
        let found: String = header().encode().unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, expected);
        assert_eq!(header().root_id().unwrap().to_string(), "61".repeat(16));
    }
}
