//! A journal in a directory of its own, and ways to look at it.

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use strongroom_types::RequestId;

use crate::event::Event;
use crate::format::parse_segment_name;
use crate::journal::{Journal, JournalOptions, Synced};
use crate::scan::{SegmentScan, Step};
use crate::testing::{Faults, TempDirectory, TestClock, TestSigner, encrypt};
use crate::{Entry, JournalError, JournalReader, Report, Sequence, verify};

pub(super) struct World {
    directory: TempDirectory,
    pub(super) clock: Arc<TestClock>,
    pub(super) options: JournalOptions,
}

impl World {
    pub(super) fn new() -> Self {
        Self::over(TempDirectory::new())
    }

    pub(super) fn over(directory: TempDirectory) -> Self {
        let mut options = JournalOptions::new(directory.path());
        options.retry_pause_max = Duration::from_millis(1);
        Self { directory, clock: TestClock::new(), options }
    }

    /// Removes all files.
    pub(super) fn clear(&self) {
        for entry in fs::read_dir(self.path()).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn open(&self) -> Result<Journal, JournalError> {
        Journal::open(self.options.clone(), Arc::new(TestSigner::new()), self.clock.clone())
    }

    pub(super) fn open_with(&self, faults: &Faults) -> Result<Journal, JournalError> {
        let files = faults.files(self.path());
        Journal::open_with_files(self.options.clone(), files, Arc::new(TestSigner::new()), self.clock.clone())
    }

    pub(super) fn verify(&self) -> Report {
        verify(self.path(), Arc::new(TestSigner::new())).unwrap()
    }

    pub(super) fn reader(&self) -> JournalReader {
        JournalReader::open(self.path(), Arc::new(TestSigner::new())).unwrap()
    }

    /// The ids of all events, in order; everything must be readable.
    pub(super) fn events(&self) -> Vec<RequestId> {
        let mut expected = None;
        let mut ids = Vec::new();
        for record in self.reader() {
            let record = record.unwrap();
            let number = record.sequence().as_u64();
            assert_eq!(number, expected.unwrap_or(number));
            expected = Some(number + 1);
            if let Entry::Event(event) = record.entry().unwrap() {
                ids.push(event.id);
            }
        }
        ids
    }

    pub(super) fn notes(&self) -> Vec<String> {
        self.reader()
            .filter_map(|record| match record.unwrap().entry().unwrap() {
                Entry::Note(note) => Some(note.text.to_owned()),
                _ => None,
            })
            .collect()
    }

    /// The segments' files, oldest first.
    pub(super) fn segments(&self) -> Vec<PathBuf> {
        let mut paths: Vec<_> = fs::read_dir(self.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
            .collect();
        paths.sort();
        paths
    }

    pub(super) fn newest(&self) -> PathBuf {
        self.segments().pop().unwrap()
    }
}

pub(super) fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Appends one event; the future says when it is on the disk.
pub(super) fn append(journal: &Journal, number: u64) -> Synced {
    journal.reserve().unwrap().append(&encrypt(number)).synced()
}

/// Appends one event and waits: it has a group of its own.
pub(super) fn record(journal: &Journal, number: u64) -> Sequence {
    wait(append(journal, number)).unwrap()
}

/// Appends events, each in a group of its own.
pub(super) fn record_each(journal: &Journal, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        record(journal, number);
    }
}

pub(super) fn events(numbers: impl IntoIterator<Item = u64>) -> Vec<Event<'static>> {
    numbers.into_iter().map(encrypt).collect()
}

pub(super) fn ids(numbers: impl IntoIterator<Item = u64>) -> Vec<RequestId> {
    numbers.into_iter().map(crate::testing::id).collect()
}

/// The bytes of the segment that is being written, without the zeros that were written ahead of its records.
pub(super) fn written(segment: &Path) -> Vec<u8> {
    let name = segment.file_name().and_then(|name| name.to_str()).unwrap();
    let mut scan = SegmentScan::open(segment.parent().unwrap(), parse_segment_name(name).unwrap()).unwrap();
    while matches!(scan.step().unwrap(), Step::Record(_)) {}
    let mut bytes = fs::read(segment).unwrap();
    bytes.truncate(usize::try_from(scan.offset()).unwrap());
    bytes
}
