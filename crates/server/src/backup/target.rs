//! The file that a backup becomes: under another name until it is whole and on the disk.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::error::{BackupError, io_error};

/// A file on its way. Dropped before it is finished, it is removed.
pub(super) struct Target {
    file: File,
    is_finished: bool,
    path: PathBuf,
    partial: PathBuf,
}

impl Target {
    /// Refused if `path` exists. What a killed backup has left under the other name is overwritten.
    pub(super) fn create(path: &Path) -> Result<Self, BackupError> {
        if fs::symlink_metadata(path).is_ok() {
            return Err(BackupError::Exists { path: path.to_owned() });
        }
        let name = path.file_name().ok_or_else(|| {
            io_error("write", path)(io::Error::new(io::ErrorKind::IsADirectory, "it names no file"))
        })?;
        let mut partial = std::ffi::OsString::from(".");
        partial.push(name);
        partial.push(".partial");
        let partial = path.with_file_name(partial);
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(&partial);
        let file = file.map_err(io_error("create", &partial))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(BackupError::Busy { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(io_error("lock", &partial)(source)),
        }
        file.set_len(0).map_err(io_error("write", &partial))?;
        Ok(Self { file, is_finished: false, path: path.to_owned(), partial })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.file.write_all(bytes).map_err(io_error("write", &self.partial))
    }

    /// Syncs the file and gives it its name.
    pub(super) fn finish(mut self) -> Result<(), BackupError> {
        self.file.sync_all().map_err(io_error("sync", &self.partial))?;
        rename_new(&self.partial, &self.path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => BackupError::Exists { path: self.path.clone() },
            _ => io_error("move into place", &self.path)(error),
        })?;
        self.is_finished = true;
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))
            .and_then(|directory| directory.sync_all())
            .map_err(io_error("sync the directory of", &self.path))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if !self.is_finished {
            // What cannot be removed is overwritten by the next backup of this name.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

/// Renames, unless the new name is taken. File systems that cannot do both at once are asked first.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            if fs::symlink_metadata(to).is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            fs::rename(from, to)
        }
        outcome => Ok(outcome?),
    }
}
