//! Writes header and frames.

use std::path::Path;

use strongroom_crypto::{BackupFrame, BackupKey, Sha256, sha256};
use strongroom_types::limits::BACKUP_FRAME_BYTES_MAX;

use super::error::BackupError;
use super::format::{FRAME_HEAD_BYTES, FrameKind, Header, Part};
use super::target::Target;

/// A backup being written, part after part.
pub(super) struct Writer {
    bytes: u64,
    current: Option<(String, u64, Sha256)>,
    header_hash: [u8; 32],
    key: BackupKey,
    number: u64,
    parts: Vec<Part>,
    target: Target,
}

impl Writer {
    /// `key` is the one that the header holds wrapped.
    pub(super) fn begin(path: &Path, header: &Header, key: BackupKey) -> Result<Self, BackupError> {
        let mut target = Target::create(path)?;
        let header = header.encode()?;
        target.write(&header)?;
        Ok(Self {
            bytes: header.len() as u64,
            current: None,
            header_hash: sha256(&header),
            key,
            number: 0,
            parts: Vec::new(),
            target,
        })
    }

    /// Ends the part before, if there is one, and begins another.
    pub(super) fn part(&mut self, name: &str) -> Result<(), BackupError> {
        self.end_part();
        self.current = Some((name.to_owned(), 0, Sha256::new()));
        self.frame(FrameKind::Part, name.as_bytes())
    }

    /// Adds at most one frame's bytes to the current part.
    pub(super) fn data(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        if let Some((_, length, hash)) = &mut self.current {
            *length += bytes.len() as u64;
            hash.update(bytes);
        }
        self.frame(FrameKind::Data, bytes)
    }

    /// Ends the file, and says how long it is and of how many parts.
    pub(super) fn finish(mut self) -> Result<(u64, usize), BackupError> {
        self.end_part();
        let list = Part::list_hash(&self.parts);
        self.frame(FrameKind::End, &list)?;
        self.target.finish()?;
        Ok((self.bytes, self.parts.len()))
    }

    fn end_part(&mut self) {
        if let Some((name, bytes, hash)) = self.current.take() {
            self.parts.push(Part { bytes, name, sha256: hash.finish() });
        }
    }

    fn frame(&mut self, kind: FrameKind, plaintext: &[u8]) -> Result<(), BackupError> {
        if plaintext.len() > BACKUP_FRAME_BYTES_MAX {
            return Err(BackupError::TooLarge { what: "a frame".to_owned() });
        }
        let place = BackupFrame { header_hash: self.header_hash, number: self.number, kind: kind.as_byte() };
        let sealed = self.key.seal(&place, plaintext)?;
        let mut frame = Vec::with_capacity(FRAME_HEAD_BYTES + sealed.len());
        frame.push(kind.as_byte());
        super::format::push(&mut frame, &sealed);
        self.target.write(&frame)?;
        self.number += 1;
        self.bytes += frame.len() as u64;
        Ok(())
    }
}
