//! The seam between the journal and the file system: few calls, so that tests can let each of them fail.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::spare::{Spare, write_zeros};

/// Creates segments. A segment appears under its name only when its first bytes are on the disk.
pub trait SegmentFiles: Send {
    /// Opens a new, empty file of this name; one left over from an earlier attempt is emptied.
    fn create(&mut self, name: &str) -> io::Result<Box<dyn SegmentFile>>;

    /// Gives the file `from` the name `to`, in place of whatever has it.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;

    /// Makes creations and renamings durable.
    fn sync_directory(&mut self) -> io::Result<()>;
}

/// A segment that is being written. After one error the journal never uses it again.
pub trait SegmentFile: Send {
    /// Writes all the bytes at the end.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything appended durable.
    fn sync(&mut self) -> io::Result<()>;

    /// How many bytes it still takes before another file would take them more cheaply.
    fn room(&self) -> u64 {
        u64::MAX
    }
}

/// Segments in a directory of the file system, readable by their owner only.
pub struct DiskFiles {
    directory: PathBuf,
    spare: Option<Arc<Spare>>,
}

impl DiskFiles {
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), spare: None }
    }

    /// The same with a file of `bytes` prepared in the background when there is load: see [`Spare`].
    pub(crate) fn with_spare(directory: impl Into<PathBuf>, bytes: u64) -> Self {
        let directory = directory.into();
        let spare = Some(Arc::new(Spare::new(&directory, bytes)));
        Self { directory, spare }
    }
}

impl SegmentFiles for DiskFiles {
    fn create(&mut self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        let path = self.directory.join(name);
        let spare = self.spare.clone();
        if let Some((file, filled)) = spare.as_ref().and_then(|spare| spare.take(&path)) {
            return Ok(Box::new(DiskFile { file, length: 0, filled, spare }));
        }
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        Ok(Box::new(DiskFile { file, length: 0, filled: 0, spare }))
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.directory.join(from), self.directory.join(to))
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }
}

/// How far ahead of its records a segment is filled with zeros.
const FILL_BYTES: u64 = 1024 * 1024;

/// Writing into bytes that are there already spares the file system a commit of its own metadata with every sync; so
/// zeros are written ahead: here, a little at a time, or for the whole file by [`Spare`]. What is left of them is cut off at
/// the end; if it is not, readers know zeros for what they are.
struct DiskFile {
    file: File,
    length: u64,
    filled: u64,
    spare: Option<Arc<Spare>>,
}

impl DiskFile {
    /// After bytes were written up to `end`, and behind what was filled.
    fn fill(&mut self, end: u64) -> io::Result<()> {
        // A file that is about to be left needs no zeros.
        self.filled = if self.has_successor() { end } else { end.saturating_add(FILL_BYTES) };
        write_zeros(&self.file, end, self.filled)
    }

    fn has_successor(&self) -> bool {
        self.spare.as_ref().is_some_and(|spare| spare.is_ready())
    }
}

impl SegmentFile for DiskFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = self.length.saturating_add(bytes.len() as u64);
        self.file.write_all_at(bytes, self.length)?;
        if end > self.filled {
            self.fill(end)?;
        }
        self.length = end;
        if let (Some(spare), true) = (&self.spare, end > FILL_BYTES) {
            spare.want();
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn room(&self) -> u64 {
        if self.has_successor() { self.filled.saturating_sub(self.length) } else { u64::MAX }
    }
}

impl Drop for DiskFile {
    fn drop(&mut self) {
        // A disk that refuses this leaves zeros behind, which count for nothing.
        let _ = self.file.set_len(self.length);
    }
}

/// Creates the journal's directory, for its owner only, if it is not there yet.
pub(crate) fn create_directory(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// Opens a file for appending that only its owner can read.
pub(crate) fn open_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}
