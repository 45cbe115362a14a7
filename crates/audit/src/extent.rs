//! What of a journal there is to copy while it is being written.
//!
//! Segments that have a successor are never written again: all of their bytes are taken. Of the newest one, only whole
//! records are. What is copied so is a journal that a process was killed over: everything acknowledged is in it, and the
//! next process takes it up.

use std::fs;
use std::path::Path;

use crate::error::ReadError;
use crate::format::{parse_segment_name, segment_name};
use crate::reader::list_segments;
use crate::scan::{SegmentScan, Step};

/// The part of a segment's file that counts at this moment, from its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    pub name: String,
    pub bytes: u64,
}

impl Extent {
    /// Whether a name is one that a segment can have.
    pub fn is_name(name: &str) -> bool {
        parse_segment_name(name).is_some()
    }
}

/// The segments of a journal, oldest first. All records that were acknowledged before this call are in their extents.
pub fn extents(directory: &Path) -> Result<Vec<Extent>, ReadError> {
    let segments = list_segments(directory)?;
    let Some((newest, closed)) = segments.split_last() else { return Ok(Vec::new()) };
    let mut extents = Vec::with_capacity(segments.len());
    for first in closed {
        let name = segment_name(*first);
        let path = directory.join(&name);
        let bytes = fs::metadata(&path).map_err(|source| ReadError::Io { path, source })?.len();
        extents.push(Extent { name, bytes });
    }
    extents.push(Extent { name: segment_name(*newest), bytes: whole_bytes(directory, *newest)? });
    Ok(extents)
}

/// Where the newest segment's last whole record ends.
///
/// What the writer appends during the reading may be seen in part, in an order that looks like damage. It does not look
/// so a second time: damage stays where it is, and a writer goes on.
fn whole_bytes(directory: &Path, first: u64) -> Result<u64, ReadError> {
    let (offset, damage) = read_on(directory, first)?;
    let Some(damage) = damage else { return Ok(offset) };
    match read_on(directory, first)? {
        (again, Some(_)) if again <= offset => Err(damage),
        (again, _) => Ok(again),
    }
}

/// The end of the last whole record, and what is wrong behind it.
fn read_on(directory: &Path, first: u64) -> Result<(u64, Option<ReadError>), ReadError> {
    let mut scan = SegmentScan::open(directory, first)?;
    loop {
        match scan.step() {
            Ok(Step::Record(_)) => {}
            Ok(Step::End | Step::Torn) => return Ok((scan.offset(), None)),
            Err(error @ ReadError::Corrupt { .. }) => return Ok((scan.offset(), Some(error))),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use strongroom_types::limits::AUDIT_SEGMENT_BYTES;

    use super::*;
    use crate::journal::{Journal, JournalOptions};
    use crate::testing::{TempDirectory, TestClock, TestSigner, encrypt};

    fn journal(directory: &Path, segment_bytes: u64) -> Journal {
        let options = JournalOptions { segment_bytes, ..JournalOptions::new(directory) };
        Journal::open(options, Arc::new(TestSigner::new()), TestClock::new()).unwrap()
    }

    fn record(journal: &Journal, number: u64) {
        let ticket = journal.reserve().unwrap().append(&encrypt(number));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(ticket.synced()).unwrap();
    }

    #[test]
    fn foreign_names_are_no_segments() {
        for name in
            ["", "..", "../journal-0000000000000001.seg", "journal-1.seg", "journal-0000000000000001.seg.new"]
        {
            assert!(!Extent::is_name(name), "{name}");
        }
        assert!(Extent::is_name("journal-0000000000000001.seg"));
    }

    #[test]
    fn damage_before_the_end_is_told() {
        let directory = TempDirectory::new();
        let open = journal(directory.path(), AUDIT_SEGMENT_BYTES);
        (1..=5).for_each(|number| record(&open, number));
        let path = directory.path().join("journal-0000000000000001.seg");
        let mut bytes = fs::read(&path).unwrap();
        bytes[200] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(matches!(extents(directory.path()), Err(ReadError::Corrupt { .. })));
        bytes[200] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(extents(directory.path()).unwrap().len(), 1);
    }

    #[test]
    fn what_was_acknowledged_is_in_the_extents_and_zeros_ahead_are_not() {
        let (directory, copy) = (TempDirectory::new(), TempDirectory::new());
        let open = journal(directory.path(), 4096);
        (1..=40).for_each(|number| record(&open, number));
        let extents = extents(directory.path()).unwrap();
        assert!(extents.len() > 2, "{extents:?}");
        for Extent { name, bytes } in &extents {
            let mut file = fs::read(directory.path().join(name)).unwrap();
            assert!(file.len() as u64 >= *bytes);
            file.truncate(usize::try_from(*bytes).unwrap());
            fs::write(copy.path().join(name), file).unwrap();
        }
        let report = crate::verify::verify(copy.path(), Arc::new(TestSigner::new())).unwrap();
        assert!(report.is_sound(), "{:?}", report.problems);
        assert!(report.records >= 40);
        assert_eq!(report.torn_tail, None);
    }
}
