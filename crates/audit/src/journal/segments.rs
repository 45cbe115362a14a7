//! Writes groups to segments and decides when a new one begins.
//!
//! A new segment is written whole under a temporary name, its first group included, synced, and only then renamed: what
//! has a segment's name has a whole header. It names the place where its predecessor ends, so whatever stands behind
//! that place, in a file that failed, is void without anybody having to write to that file again.

use std::io;
use std::sync::Arc;

use strongroom_types::Env;

use crate::files::{SegmentFile, SegmentFiles};
use crate::format::{CHAIN_BYTES, Chain, HEADER_BYTES, Predecessor, SegmentHeader, segment_name};
use crate::journal::group::Group;

/// Where the journal's acknowledged part ends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct End {
    /// The segment that holds it; zero if there is none.
    pub(crate) segment: u64,
    /// That segment's predecessor.
    pub(crate) predecessor: Predecessor,
    /// The segment's bytes up to the end.
    pub(crate) length: u64,
    /// The last acknowledged record; zero if there is none.
    pub(crate) sequence: u64,
    pub(crate) chain: Chain,
    /// The segment's file holds, or may hold, more than `length` bytes.
    pub(crate) has_void_tail: bool,
}

pub(crate) struct Segments {
    files: Box<dyn SegmentFiles>,
    clock: Arc<dyn Env>,
    segment_bytes: u64,
    /// The segment that takes the next group; `None` if that group begins a new one.
    open: Option<Box<dyn SegmentFile>>,
    end: End,
}

impl Segments {
    pub(crate) fn new(
        files: Box<dyn SegmentFiles>,
        clock: Arc<dyn Env>,
        segment_bytes: u64,
        end: End,
    ) -> Self {
        Self { files, clock, segment_bytes, open: None, end }
    }

    pub(crate) fn end(&self) -> &End {
        &self.end
    }

    /// How many bytes the open segment still takes before it is full, or before it would have to grow while a prepared
    /// file waits to take over.
    pub(crate) fn room(&self) -> u64 {
        match &self.open {
            Some(file) => self.segment_bytes.saturating_sub(self.end.length).min(file.room()),
            None => self.segment_bytes.saturating_sub(HEADER_BYTES as u64),
        }
    }

    /// Writes a sealed group and syncs it. After an error the next attempt goes to a new segment.
    pub(crate) fn write(&mut self, group: &Group) -> io::Result<()> {
        debug_assert_eq!(group.first, self.end.sequence + 1);
        let fills = group.records().len() as u64 >= self.room();
        match self.open.take() {
            Some(mut file) => {
                let written = file.append(group.records()).and_then(|()| file.sync());
                if let Err(error) = written {
                    // The file is not trusted again: after a failed sync the system may hold pages for clean that
                    // never reached the disk, and a later sync of them would say yes.
                    self.end.has_void_tail = true;
                    return Err(error);
                }
                self.end.length += group.records().len() as u64;
                self.open = Some(file);
            }
            None => self.begin_segment(group)?,
        }
        self.end.sequence = group.last();
        self.end.chain = group.chain();
        if group.ends_with_checkpoint && fills {
            self.open = None;
        }
        Ok(())
    }

    fn begin_segment(&mut self, group: &Group) -> io::Result<()> {
        // A segment without any acknowledged record is replaced: its name is the one needed, and its predecessor too.
        let predecessor = if self.end.segment == group.first {
            self.end.predecessor
        } else {
            Predecessor {
                first: self.end.segment,
                length: self.end.length,
                chain: self.end.chain,
                has_void_tail: self.end.has_void_tail,
            }
        };
        let header = SegmentHeader { first: group.first, predecessor, created: self.clock.now() };
        let mut header_bytes = Vec::with_capacity(HEADER_BYTES);
        header.encode(&mut header_bytes);
        let name = segment_name(group.first);
        let temporary = format!("{name}.new");
        let mut file = self.files.create(&temporary)?;
        file.append(&header_bytes)?;
        file.append(group.records())?;
        file.sync()?;
        self.files.rename(&temporary, &name)?;
        self.files.sync_directory()?;
        self.open = Some(file);
        self.end = End {
            segment: group.first,
            predecessor,
            length: (HEADER_BYTES + group.bytes.len() - CHAIN_BYTES) as u64,
            has_void_tail: false,
            sequence: self.end.sequence,
            chain: self.end.chain,
        };
        Ok(())
    }
}
