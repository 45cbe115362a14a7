//! Root key files: made once, read by their owner alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use strongroom_types::limits::ROOT_FILE_BYTES_MAX;
use zeroize::Zeroizing;

use crate::root::RootError;

/// Any right of the group or of others.
const FOREIGN_RIGHTS: u32 = 0o077;

/// Writes a new file that its owner alone may read and write, and does not return before it and its name are on disk.
pub(crate) fn create_private(path: &Path, bytes: &[u8]) -> Result<(), RootError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(RootError::AlreadyExists { path: path.to_owned() });
        }
        Err(source) => return Err(io_error("create", path, source)),
    };
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| sync_directory_of(path));
    written.map_err(|source| {
        // A file that may be torn must not stand in the way of the next attempt. It is ours: `create_new` made it.
        let _ = fs::remove_file(path);
        io_error("write", path, source)
    })
}

/// Reads a whole root key file, refusing one that others than its owner may use.
pub(crate) fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, RootError> {
    let mut file = File::open(path).map_err(|source| io_error("open", path, source))?;
    // The rights of what was opened, not of what the path names a moment later.
    let metadata = file.metadata().map_err(|source| io_error("read", path, source))?;
    if !metadata.is_file() {
        return Err(RootError::MalformedFile { path: path.to_owned() });
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & FOREIGN_RIGHTS != 0 {
        return Err(RootError::PermissionsTooOpen { mode, path: path.to_owned() });
    }
    // One byte more than the largest file, and never grown: growing would leave an unwiped copy behind.
    let mut bytes = Zeroizing::new(vec![0; ROOT_FILE_BYTES_MAX + 1]);
    let mut length = 0;
    while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(io_error("read", path, source)),
        }
    }
    if length > ROOT_FILE_BYTES_MAX {
        return Err(RootError::MalformedFile { path: path.to_owned() });
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// A new file is durable only when the directory that names it is.
fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> RootError {
    RootError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::TestDirectory;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn an_existing_file_is_not_overwritten() {
        let directory = TestDirectory::new();
        let path = directory.join("root.key");
        create_private(&path, b"first").unwrap();
        assert!(matches!(create_private(&path, b"second"), Err(RootError::AlreadyExists { .. })));
        assert_eq!(read_private(&path).unwrap().as_slice(), b"first");
    }

    #[test]
    fn only_the_owner_may_use_the_file() {
        let directory = TestDirectory::new();
        let path = directory.join("root.key");
        create_private(&path, b"bytes").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o666] {
            set_mode(&path, mode);
            let message = read_private(&path).unwrap_err().to_string();
            assert!(
                message.ends_with(&format!("(mode {mode:04o}): run `chmod 600 {}`", path.display())),
                "{message}"
            );
        }
        for mode in [0o400, 0o600, 0o700] {
            set_mode(&path, mode);
            assert_eq!(read_private(&path).unwrap().as_slice(), b"bytes");
        }
    }

    #[test]
    fn one_byte_past_the_limit_is_refused() {
        let directory = TestDirectory::new();
        let (fits, exceeds) = (directory.join("fits"), directory.join("exceeds"));
        create_private(&exceeds, &[7; ROOT_FILE_BYTES_MAX + 1]).unwrap();
        assert!(matches!(read_private(&exceeds), Err(RootError::MalformedFile { .. })));
        create_private(&fits, &[7; ROOT_FILE_BYTES_MAX]).unwrap();
        assert_eq!(read_private(&fits).unwrap().len(), ROOT_FILE_BYTES_MAX);
    }

    #[test]
    fn what_is_missing_or_no_file_is_refused() {
        let directory = TestDirectory::new();
        assert!(matches!(read_private(&directory.join("none")), Err(RootError::Io { action: "open", .. })));
        assert!(matches!(read_private(&directory.join("")), Err(RootError::MalformedFile { .. })));
        let nowhere = directory.join("none").join("root.key");
        assert!(matches!(create_private(&nowhere, b"x"), Err(RootError::Io { action: "create", .. })));
    }
}
