//! Takes up a journal where another process left it.
//!
//! The newest segment is read to its end. Its last group may or may not have been synced, and nothing in the file can
//! say: the system may still show bytes that never reached the disk. So that group is written again, byte for byte, to
//! a new segment; the old one is never written to again. A torn tail is thereby cut, and a note says so.

use std::path::Path;

use crate::error::ReadError;
use crate::format::{CHAIN_BYTES, HEADER_BYTES};
use crate::journal::segments::End;
use crate::reader::{TornTail, list_segments};
use crate::scan::{SegmentScan, Step};

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Up to here everything is known to be on the disk.
    pub(crate) end: End,
    /// The link at `end`, then the whole records behind it.
    pub(crate) unsynced: Vec<u8>,
    /// How many those are.
    pub(crate) records: u64,
    pub(crate) torn_tail: Option<TornTail>,
}

pub(crate) fn find_end(directory: &Path) -> Result<Found, ReadError> {
    match list_segments(directory)?.last() {
        Some(newest) => read_newest(SegmentScan::open(directory, *newest)?),
        None => {
            Ok(Found { end: End::default(), unsynced: vec![0; CHAIN_BYTES], records: 0, torn_tail: None })
        }
    }
}

fn read_newest(mut scan: SegmentScan) -> Result<Found, ReadError> {
    let header = scan.header();
    let mut end = End {
        segment: header.first,
        predecessor: header.predecessor,
        length: HEADER_BYTES as u64,
        sequence: header.first - 1,
        chain: header.predecessor.chain,
        has_void_tail: false,
    };
    let mut unsynced = end.chain.to_vec();
    let mut records = 0;
    let torn_tail = loop {
        let offset = scan.offset();
        match scan.step()? {
            Step::Record(head) => {
                // The first record of a group says that the groups before it are on the disk.
                if head.durable >= end.sequence + records {
                    end.length = offset;
                    end.sequence += records;
                    end.chain = scan.previous_chain();
                    unsynced.clear();
                    unsynced.extend_from_slice(&end.chain);
                    records = 0;
                }
                unsynced.extend_from_slice(scan.record());
                records += 1;
            }
            Step::End => break None,
            Step::Torn => {
                let bytes = scan.file_bytes().saturating_sub(offset);
                break Some(TornTail { segment: scan.name().to_owned(), offset, bytes });
            }
        }
    };
    end.has_void_tail = scan.file_bytes() > end.length;
    Ok(Found { end, unsynced, records, torn_tail })
}
