//! Making a data directory of a backup.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom_audit::Extent;
use strongroom_crypto::{Keyring, KeyringEntry, KeyringName, RootHolder, open_root};
use strongroom_store::{Restoration, Row};

use super::error::{BackupError, io_error};
use super::format::{Header, damaged};
use super::reader::{Frame, Reader};
use super::rows;
use super::writing::{JOURNAL_PREFIX, ROWS_PART};
use crate::assembly::{AskPassphrase, DataLock, Opened, Places, Sealed, lock, part, private_directory};

/// A deployment that was restored, opened to be checked.
pub struct Restored {
    pub header: Header,
    pub opened: Opened,
    pub rows: u64,
    pub segments: u64,
}

/// Makes a data directory of the backup `from`, which the root key of the root directory must open.
///
/// The whole file is verified before anything is written: every frame opens, in its place, to the end, and so do the keys
/// in it. The store comes last, in one transaction: what was interrupted is no deployment.
pub fn restore(
    places: &Places,
    passphrase: Option<AskPassphrase<'_>>,
    from: &Path,
) -> Result<Restored, BackupError> {
    refuse_occupied(&places.data)?;
    let root: Arc<dyn RootHolder> = open_root(&places.root_key(), passphrase)?.into();
    verify(from, &*root)?;
    private_directory(&places.data)?;
    let lock = lock(places)?;
    let written = write(places, from, &*root);
    let (header, rows, segments) = match written {
        Ok(written) => written,
        Err(error) => {
            clean(places, lock);
            return Err(error);
        }
    };
    let sealed = Sealed::locked(places, lock)?;
    let keyring = sealed.keyring(&*root)?;
    Ok(Restored { header, opened: sealed.open(root, keyring), rows, segments })
}

/// Reads the whole file; nothing is written.
fn verify(from: &Path, root: &dyn RootHolder) -> Result<(), BackupError> {
    let mut reader = Reader::open(from, root)?;
    let mut check = Check { entries: Vec::new(), from: from.to_owned(), last: String::new() };
    walk(&mut reader, &mut check)?;
    let names: Vec<String> = check.entries.iter().map(|entry| entry.name.to_string()).collect();
    if names != reader.header().keys {
        return Err(reader.damaged("its keys are not those that its header names"));
    }
    Keyring::open(root, &check.entries)?;
    Ok(())
}

fn write(places: &Places, from: &Path, root: &dyn RootHolder) -> Result<(Header, u64, u64), BackupError> {
    let mut reader = Reader::open(from, root)?;
    let journal = places.journal();
    private_directory(&journal)?;
    let restoration = Restoration::begin(&places.data)?;
    let mut sink = Disk { journal, restoration, rows: 0, segment: None, segments: 0 };
    walk(&mut reader, &mut sink)?;
    sink.end_segment()?;
    sync_directory(&sink.journal)?;
    sink.restoration.finish(reader.header().revision)?;
    Ok((reader.header().clone(), sink.rows, sink.segments))
}

/// What takes the parts of a backup, in their order: the rows, then the segments.
trait Sink {
    fn row(&mut self, address: String, row: Row) -> Result<(), BackupError>;
    fn begin_segment(&mut self, name: &str) -> Result<(), BackupError>;
    fn segment_bytes(&mut self, bytes: &[u8]) -> Result<(), BackupError>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    Nothing,
    Rows,
    Segment,
}

/// Walks a backup from its first frame to its last.
fn walk(reader: &mut Reader, sink: &mut dyn Sink) -> Result<(), BackupError> {
    let mut within = Within::Nothing;
    loop {
        match reader.next()? {
            Frame::Part(name) => within = begin(reader, sink, within, &name)?,
            Frame::Data(bytes) => match within {
                Within::Nothing => return Err(reader.damaged("bytes belong to no part")),
                Within::Segment => sink.segment_bytes(&bytes)?,
                Within::Rows => {
                    let rows = rows::decode(&bytes).ok_or_else(|| reader.damaged("rows cannot be read"))?;
                    rows.into_iter().try_for_each(|(address, row)| sink.row(address, row))?;
                }
            },
            Frame::End if within == Within::Nothing => return Err(reader.damaged("it holds no rows")),
            Frame::End => return Ok(()),
        }
    }
}

fn begin(reader: &Reader, sink: &mut dyn Sink, within: Within, name: &str) -> Result<Within, BackupError> {
    match (within, name.strip_prefix(JOURNAL_PREFIX)) {
        (Within::Nothing, None) if name == ROWS_PART => Ok(Within::Rows),
        (Within::Rows | Within::Segment, Some(segment)) if Extent::is_name(segment) => {
            sink.begin_segment(segment)?;
            Ok(Within::Segment)
        }
        _ => Err(reader.damaged("a part of it is not known or not in its place")),
    }
}

/// Looks at everything and keeps the keyring.
struct Check {
    entries: Vec<KeyringEntry>,
    from: PathBuf,
    last: String,
}

impl Sink for Check {
    fn row(&mut self, address: String, row: Row) -> Result<(), BackupError> {
        if address.starts_with("keyring/") {
            let name = KeyringName::parse(&address).map_err(part("read the keyring"))?;
            self.entries.push(KeyringEntry { name, wrapped: row.value });
        }
        if address <= self.last {
            return Err(damaged(&self.from, "its rows are not in their order"));
        }
        self.last = address;
        Ok(())
    }

    fn begin_segment(&mut self, _name: &str) -> Result<(), BackupError> {
        Ok(())
    }

    fn segment_bytes(&mut self, _bytes: &[u8]) -> Result<(), BackupError> {
        Ok(())
    }
}

/// Writes everything.
struct Disk {
    journal: PathBuf,
    restoration: Restoration,
    rows: u64,
    segment: Option<(PathBuf, File)>,
    segments: u64,
}

impl Disk {
    fn end_segment(&mut self) -> Result<(), BackupError> {
        match self.segment.take() {
            Some((path, file)) => file.sync_all().map_err(io_error("sync", &path)),
            None => Ok(()),
        }
    }
}

impl Sink for Disk {
    fn row(&mut self, address: String, row: Row) -> Result<(), BackupError> {
        self.rows += 1;
        Ok(self.restoration.put(address, row)?)
    }

    fn begin_segment(&mut self, name: &str) -> Result<(), BackupError> {
        self.end_segment()?;
        let path = self.journal.join(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        self.segment = Some((path.clone(), file.map_err(io_error("create", &path))?));
        self.segments += 1;
        Ok(())
    }

    fn segment_bytes(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        match &mut self.segment {
            Some((path, file)) => file.write_all(bytes).map_err(io_error("write", path)),
            None => Ok(()),
        }
    }
}

fn refuse_occupied(data: &Path) -> Result<(), BackupError> {
    match fs::read_dir(data) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(BackupError::NotEmpty { path: data.to_owned() }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(io_error("read", data)(source)),
    }
}

/// Empties a directory that was empty before. What cannot be removed is told with the next attempt.
fn clean(places: &Places, lock: DataLock) {
    let _ = fs::remove_dir_all(places.journal());
    let _ = fs::remove_file(places.lock());
    drop(lock);
}

fn sync_directory(path: &Path) -> Result<(), BackupError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(io_error("sync", path))
}
