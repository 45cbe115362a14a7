//! Segments of the journal, damaged.

use std::sync::{Arc, OnceLock};

use strongroom_audit::{CheckpointVerifier, Entry, JournalReader, event_ids_since, survey, verify};
use strongroom_server::Signer;
use strongroom_testkit::scratch::ScratchDirectory;
use strongroom_types::Timestamp;

use crate::input::Input;
use crate::world::{rewrite, world};

macro_rules! segments {
    ($($name:literal)+) => { [$(($name, include_bytes!(concat!("../fixture/", $name)) as &[u8]),)+] };
}

/// A journal that was written once. The fixture's keyring has signed its checkpoints.
const SEGMENTS: [(&str, &[u8]); 3] = segments! { "journal-0000000000000001.seg" "journal-0000000000000005.seg" "journal-000000000000000b.seg" };

/// Records as they are shown, with their numbers.
type Records = Vec<(u64, String)>;

/// Which segment, and how it is changed.
///
/// Whatever happened to a file, a record that is handed out is one that was written, they come in order, and nothing is
/// left out in silence but the end.
pub(crate) fn journal(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let directory = directory();
    let which = usize::from(input.byte()) % (SEGMENTS.len() + 1);
    // The place after the last: all of a segment from the input.
    let (name, altered) = match SEGMENTS.get(which) {
        Some((name, original)) => (*name, input.edited(original)),
        None => (SEGMENTS[0].0, input.rest().to_vec()),
    };
    rewrite(directory, name, &altered);
    check(directory);
    let (_, original) = SEGMENTS.iter().find(|(found, _)| *found == name).expect("one of the three");
    rewrite(directory, name, original);
}

fn check(directory: &ScratchDirectory) {
    let (read, is_whole) = read(directory);
    let written = written();
    let mut before = 0;
    for record in &read {
        assert!(record.0 > before, "out of order");
        before = record.0;
        assert!(written.contains(record), "never written: {record:?}");
    }
    if is_whole {
        assert!(written.starts_with(&read), "something is left out in silence");
    }
    let report = verify(directory.path(), verifier()).expect("a directory");
    assert_eq!(report.records, read.len() as u64);
    assert_eq!(report.problems.is_empty(), is_whole);
    if let Ok(survey) = survey(directory.path(), &*verifier(), Some(1)) {
        assert!(survey.end.sequence <= written.len() as u64);
    }
    let _ = event_ids_since(directory.path(), Timestamp::from_secs(0), |_| true);
}

/// What a reader hands out, and whether it met nothing that is wrong but a torn tail.
fn read(directory: &ScratchDirectory) -> (Records, bool) {
    let mut is_whole = true;
    let mut read = Records::new();
    for record in JournalReader::open(directory.path(), verifier()).expect("a directory") {
        match record {
            Ok(record) => match record.entry() {
                Ok(entry) => read.push((record.sequence().as_u64(), shown(&entry))),
                Err(error) => panic!("a record with its checksum and its link is malformed: {error}"),
            },
            Err(_) => is_whole = false,
        }
    }
    (read, is_whole)
}

fn shown(entry: &Entry<'_>) -> String {
    format!("{entry:?}")
}

fn written() -> &'static Records {
    static WRITTEN: OnceLock<Records> = OnceLock::new();
    WRITTEN.get_or_init(|| {
        let (written, is_whole) = read(&journal_directory());
        assert!(is_whole && written.len() > 5, "the fixture is a journal");
        written
    })
}

fn directory() -> &'static ScratchDirectory {
    static DIRECTORY: OnceLock<ScratchDirectory> = OnceLock::new();
    DIRECTORY.get_or_init(journal_directory)
}

fn journal_directory() -> ScratchDirectory {
    let directory = ScratchDirectory::new();
    for (name, segment) in SEGMENTS {
        rewrite(&directory, name, segment);
    }
    directory
}

fn verifier() -> Arc<dyn CheckpointVerifier> {
    static VERIFIER: OnceLock<Arc<Signer>> = OnceLock::new();
    let signer = VERIFIER.get_or_init(|| {
        Arc::new(Signer::new(Arc::clone(&world().keyring)).expect("the keyring has the key"))
    });
    Arc::clone(signer) as Arc<dyn CheckpointVerifier>
}
