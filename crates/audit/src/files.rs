//! The seam between the journal and the file system: few calls, so that tests can let each of them fail.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

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
}

/// Segments in a directory of the file system, readable by their owner only.
#[derive(Debug)]
pub struct DiskFiles {
    directory: PathBuf,
}

impl DiskFiles {
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }
}

impl SegmentFiles for DiskFiles {
    fn create(&mut self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        let path = self.directory.join(name);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        Ok(Box::new(DiskFile(file)))
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.directory.join(from), self.directory.join(to))
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }
}

struct DiskFile(File);

impl SegmentFile for DiskFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
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
