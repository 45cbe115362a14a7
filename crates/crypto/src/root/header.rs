//! What both kinds of root key files begin with: `magic 8 | version 1 | kind 1 | root id 16`.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use strongroom_types::Credential;
use zeroize::Zeroizing;

use crate::root::{FileRoot, PassphraseRoot, RootError, RootHolder, disk};

const MAGIC: &[u8; 8] = b"STRGROOT";
const FORMAT: u8 = 1;
pub(crate) const HEADER_BYTES: usize = 8 + 1 + 1 + 16;

/// How a file keeps its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Passphrase,
}

impl Kind {
    const fn as_byte(self) -> u8 {
        match self {
            Self::File => 1,
            Self::Passphrase => 2,
        }
    }
}

/// A root key file as it was read. Opening it reads nothing: whoever starts with rights that it gives up can read the file
/// first and be told the passphrase later.
pub struct RootFile {
    bytes: Zeroizing<Vec<u8>>,
    kind: Kind,
    path: PathBuf,
}

impl RootFile {
    /// Reads a whole root key file, refusing one that others than its owner may use.
    pub fn read(path: &Path) -> Result<Self, RootError> {
        let bytes = disk::read_private(path)?;
        let malformed = || RootError::MalformedFile { path: path.to_owned() };
        let (kind, _, _) = split(&bytes).ok_or_else(malformed)?;
        Ok(Self { bytes, kind, path: path.to_owned() })
    }

    pub fn needs_passphrase(&self) -> bool {
        self.kind == Kind::Passphrase
    }

    /// Opens it, whatever its kind. `passphrase` is asked once, and only if the file needs one.
    pub fn open(
        &self,
        passphrase: Option<&dyn Fn() -> io::Result<Credential>>,
    ) -> Result<Box<dyn RootHolder>, RootError> {
        let Self { bytes, kind, path } = self;
        match kind {
            Kind::File => Ok(Box::new(FileRoot::decode(path, bytes)?)),
            Kind::Passphrase => {
                let ask = passphrase.ok_or_else(|| RootError::PassphraseNeeded { path: path.clone() })?;
                let passphrase = ask()
                    .map_err(|source| RootError::PassphraseUnavailable { path: path.clone(), source })?;
                Ok(Box::new(PassphraseRoot::decode(path, bytes, &passphrase)?))
            }
        }
    }
}

impl fmt::Debug for RootFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootFile({})", self.path.display())
    }
}

/// Reads and opens the root key file at `path`.
pub fn open_root(
    path: &Path,
    passphrase: Option<&dyn Fn() -> io::Result<Credential>>,
) -> Result<Box<dyn RootHolder>, RootError> {
    RootFile::read(path)?.open(passphrase)
}

pub(crate) fn push(out: &mut Vec<u8>, kind: Kind, root_id: &[u8; 16]) {
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[FORMAT, kind.as_byte()]);
    out.extend_from_slice(root_id);
}

/// Kind, root id and what follows.
pub(crate) fn split(bytes: &[u8]) -> Option<(Kind, [u8; 16], &[u8])> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let ([format, kind], rest) = rest.split_first_chunk()?;
    let (root_id, rest) = rest.split_first_chunk()?;
    let kind = [Kind::File, Kind::Passphrase].into_iter().find(|known| known.as_byte() == *kind)?;
    (*format == FORMAT).then_some((kind, *root_id, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::TestDirectory;

    fn passphrase() -> io::Result<Credential> {
        Ok(Credential::new(b"correct horse".to_vec()))
    }

    #[test]
    fn unknown_magic_versions_and_kinds_are_refused() {
        let mut header = Vec::new();
        push(&mut header, Kind::File, &[7; 16]);
        assert_eq!(header.len(), HEADER_BYTES);
        for (at, value) in [(0, b's'), (7, b't'), (8, 0), (8, 2), (9, 0), (9, 3)] {
            let mut altered = header.clone();
            altered[at] = value;
            assert_eq!(split(&altered), None);
        }
        for length in 0..HEADER_BYTES {
            assert_eq!(split(&header[..length]), None);
        }
        assert_eq!(split(&header), Some((Kind::File, [7; 16], &[][..])));
    }

    #[test]
    fn a_file_that_needs_a_passphrase_says_so() {
        let directory = TestDirectory::new();
        let path = directory.join("root.key");
        let made = PassphraseRoot::create(&path, &passphrase().unwrap()).unwrap();
        let refusal = |ask| open_root(&path, ask).map(|_| ()).unwrap_err().to_string();
        assert_eq!(refusal(None), format!("`{}` needs a passphrase", path.display()));
        let failing: &dyn Fn() -> _ = &|| Err(io::Error::other("no terminal"));
        assert_eq!(refusal(Some(failing)), format!("the passphrase of `{}` cannot be read", path.display()));
        assert!(refusal(Some(&|| Ok(Credential::new(b"wrong horse".to_vec())))).contains("does not open"));
        assert_eq!(open_root(&path, Some(&passphrase)).unwrap().root_id(), made.root_id());
    }

    #[test]
    fn a_plain_file_asks_for_no_passphrase() {
        let directory = TestDirectory::new();
        let path = directory.join("root.key");
        let made = FileRoot::create(&path).unwrap();
        let never: &dyn Fn() -> _ = &|| panic!("asked for a passphrase");
        assert_eq!(open_root(&path, Some(never)).unwrap().root_id(), made.root_id());
        assert_eq!(open_root(&path, None).unwrap().root_id(), made.root_id());
    }

    #[test]
    fn a_file_that_was_read_opens_when_it_is_gone() {
        let directory = TestDirectory::new();
        let path = directory.join("root.key");
        let made = PassphraseRoot::create(&path, &passphrase().unwrap()).unwrap();
        let file = RootFile::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(file.needs_passphrase());
        assert!(matches!(file.open(None), Err(RootError::PassphraseNeeded { .. })));
        assert_eq!(file.open(Some(&passphrase)).unwrap().root_id(), made.root_id());
        assert_eq!(format!("{file:?}"), format!("RootFile({})", path.display()));
    }

    #[test]
    fn other_files_are_refused() {
        let directory = TestDirectory::new();
        for (name, bytes) in [("empty", &b""[..]), ("text", b"-----BEGIN PRIVATE KEY-----")] {
            let path = directory.join(name);
            disk::create_private(&path, bytes).unwrap();
            assert!(matches!(open_root(&path, None), Err(RootError::MalformedFile { .. })));
        }
    }
}
