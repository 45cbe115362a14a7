//! Reads header and frames, and trusts nothing.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use strongroom_crypto::{BACKUP_FRAME_OVERHEAD_BYTES, BackupFrame, BackupKey, CryptoError, Sha256, sha256};
use strongroom_crypto::{RootError, RootHolder};
use strongroom_types::limits::BACKUP_FRAME_BYTES_MAX;

use super::error::{BackupError, io_error};
use super::format::{FRAME_HEAD_BYTES, FrameKind, Header, PREFIX_BYTES, Part, damaged, text};

/// One frame, opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Part(String),
    Data(Vec<u8>),
    /// The list of parts was that of what was read, and nothing follows.
    End,
}

/// A backup being read from its beginning.
pub(super) struct Reader {
    current: Option<(String, u64, Sha256)>,
    file: BufReader<File>,
    header: Header,
    header_hash: [u8; 32],
    key: BackupKey,
    number: u64,
    parts: Vec<Part>,
    path: PathBuf,
}

/// The header alone, which needs no root key and is not authentic yet.
pub(super) fn read_header(path: &Path) -> Result<(Header, [u8; 32], BufReader<File>), BackupError> {
    let file = File::open(path).map_err(io_error("open", path))?;
    let mut file = BufReader::with_capacity(256 * 1024, file);
    let mut prefix = [0; PREFIX_BYTES];
    file.read_exact(&mut prefix).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => BackupError::NotABackup { path: path.to_owned() },
        _ => io_error("read", path)(error),
    })?;
    let mut rest = vec![0; Header::rest_bytes(path, &prefix)?];
    read_whole(path, &mut file, &mut rest)?;
    let header = Header::decode(path, &rest)?;
    Ok((header, sha256(&[prefix.as_slice(), &rest].concat()), file))
}

impl Reader {
    pub(super) fn open(path: &Path, root: &dyn RootHolder) -> Result<Self, BackupError> {
        let (header, header_hash, file) = read_header(path)?;
        let key = BackupKey::open(root, &header.wrapped_key).map_err(|error| match error {
            RootError::MalformedWrapping | RootError::NotAuthentic => damaged(path, "its key does not open"),
            other => other.into(),
        })?;
        let path = path.to_owned();
        Ok(Self { current: None, file, header, header_hash, key, number: 0, parts: Vec::new(), path })
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    pub(super) fn next(&mut self) -> Result<Frame, BackupError> {
        let mut head = [0; FRAME_HEAD_BYTES];
        read_whole(&self.path, &mut self.file, &mut head)?;
        let [kind, length @ ..] = head;
        let kind = FrameKind::from_byte(kind).ok_or_else(|| self.damaged("a frame is of no known kind"))?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > BACKUP_FRAME_BYTES_MAX + BACKUP_FRAME_OVERHEAD_BYTES {
            return Err(self.damaged("a frame is too long"));
        }
        let mut sealed = vec![0; length];
        read_whole(&self.path, &mut self.file, &mut sealed)?;
        let place = BackupFrame { header_hash: self.header_hash, number: self.number, kind: kind.as_byte() };
        let plaintext = self.key.open_frame(&place, &sealed).map_err(|error| match error {
            CryptoError::NotAuthentic { .. } => self.damaged("a frame does not open"),
            other => other.into(),
        })?;
        self.number += 1;
        self.accept(kind, plaintext)
    }

    fn accept(&mut self, kind: FrameKind, plaintext: Vec<u8>) -> Result<Frame, BackupError> {
        match kind {
            FrameKind::Part => {
                self.end_part();
                let name = text(&plaintext).ok_or_else(|| self.damaged("a part has no name"))?;
                self.current = Some((name.clone(), 0, Sha256::new()));
                Ok(Frame::Part(name))
            }
            FrameKind::Data => {
                let Some((_, length, hash)) = &mut self.current else {
                    return Err(self.damaged("bytes belong to no part"));
                };
                *length += plaintext.len() as u64;
                hash.update(&plaintext);
                Ok(Frame::Data(plaintext))
            }
            FrameKind::End => {
                self.end_part();
                if plaintext != Part::list_hash(&self.parts) {
                    return Err(self.damaged("its parts are not those of its list"));
                }
                match self.file.read(&mut [0]).map_err(io_error("read", &self.path))? {
                    0 => Ok(Frame::End),
                    _ => Err(self.damaged("bytes follow its end")),
                }
            }
        }
    }

    fn end_part(&mut self) {
        if let Some((name, bytes, hash)) = self.current.take() {
            self.parts.push(Part { bytes, name, sha256: hash.finish() });
        }
    }

    pub(super) fn damaged(&self, problem: &'static str) -> BackupError {
        damaged(&self.path, problem)
    }
}

fn read_whole(path: &Path, file: &mut impl Read, bytes: &mut [u8]) -> Result<(), BackupError> {
    file.read_exact(bytes).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => damaged(path, "it is cut short"),
        _ => io_error("read", path)(error),
    })
}
