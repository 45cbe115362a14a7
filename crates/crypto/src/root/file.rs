//! A root key in a file: `header 26 | key 32 | check 32`.
//!
//! `check = SHA-256("strongroom/root-file/v1" ‖ 00 ‖ header ‖ key)` finds a damaged file before anything is wrapped
//! under a wrong key. It gives nothing away that the file does not hold.
//!
//! Whoever reads the file holds the deployment's root: the file's rights, its volume's encryption and its absence from
//! backups of the data directory are what protects it.

use std::path::Path;

use zeroize::Zeroizing;

use crate::digest::Sha256;
use crate::error::CryptoError;
use crate::root::header::{self, HEADER_BYTES, Kind};
use crate::root::key::RootKey;
use crate::root::{RootError, RootHolder, RootId, RootPurpose, RootSecret, disk};
use crate::secret::{KEY_BYTES, SecretKey};

const CHECK_LABEL: &[u8] = b"strongroom/root-file/v1\0";
const CHECK_BYTES: usize = 32;

/// A root key kept in a file.
#[derive(Debug)]
pub struct FileRoot(RootKey);

impl FileRoot {
    /// Makes a new root key and the file that keeps it, mode 0600. An existing file is never overwritten.
    pub fn create(path: &Path) -> Result<Self, RootError> {
        let root = Self(RootKey::random()?);
        disk::create_private(path, &root.encode()?)?;
        Ok(root)
    }

    /// Opens a file that [`Self::create`] made.
    pub fn open(path: &Path) -> Result<Self, RootError> {
        Self::decode(path, &disk::read_private(path)?)
    }

    /// The root that the bytes of the file at `path` hold.
    pub(crate) fn decode(path: &Path, bytes: &[u8]) -> Result<Self, RootError> {
        let malformed = || RootError::MalformedFile { path: path.to_owned() };
        let (kind, root_id, rest) = header::split(bytes).ok_or_else(malformed)?;
        if kind == Kind::Passphrase {
            return Err(RootError::PassphraseNeeded { path: path.to_owned() });
        }
        let (key, check) = rest.split_first_chunk::<KEY_BYTES>().ok_or_else(malformed)?;
        let checked = bytes.get(..HEADER_BYTES + KEY_BYTES).ok_or_else(malformed)?;
        if check != check_value(checked) {
            return Err(malformed());
        }
        let mut secret = SecretKey::zeroed_of_ring();
        secret.expose_mut().copy_from_slice(key);
        Ok(Self(RootKey::new(root_id, secret)))
    }

    fn encode(&self) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        // Of its final size from the start: growing would leave an unwiped copy of the key behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(HEADER_BYTES + KEY_BYTES + CHECK_BYTES));
        header::push(&mut bytes, Kind::File, self.0.root_id().as_bytes());
        bytes.extend_from_slice(self.0.expose_key().expose());
        let check = check_value(&bytes);
        bytes.extend_from_slice(&check);
        Ok(bytes)
    }
}

impl RootHolder for FileRoot {
    fn root_id(&self) -> RootId {
        self.0.root_id()
    }

    fn wrap(&self, purpose: &RootPurpose<'_>, secret: &RootSecret) -> Result<Vec<u8>, RootError> {
        self.0.wrap(purpose, secret)
    }

    fn unwrap(&self, purpose: &RootPurpose<'_>, wrapped: &[u8]) -> Result<RootSecret, RootError> {
        self.0.unwrap(purpose, wrapped)
    }
}

fn check_value(header_and_key: &[u8]) -> [u8; CHECK_BYTES] {
    let mut hash = Sha256::new();
    hash.update(CHECK_LABEL);
    hash.update(header_and_key);
    hash.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{TestDirectory, each_bit_flipped, hex, root};
    use crate::keyring::Scope;

    const PURPOSE: RootPurpose<'_> = RootPurpose::DomainKey { scope: Scope::Global, version: 1 };

    #[test]
    fn every_flipped_bit_and_missing_byte_is_refused() {
        let path = Path::new("root.key");
        let bytes = FileRoot(root(0x61)).encode().unwrap();
        each_bit_flipped(&bytes, |altered| assert!(FileRoot::decode(path, altered).is_err()));
        for length in 0..bytes.len() {
            assert!(matches!(FileRoot::decode(path, &bytes[..length]), Err(RootError::MalformedFile { .. })));
        }
        assert!(FileRoot::decode(path, &[bytes.as_slice(), &[0]].concat()).is_err());
        assert_eq!(FileRoot::decode(path, &bytes).unwrap().root_id(), root(0x61).root_id());
    }

    #[test]
    fn a_root_opens_what_it_wrapped_before_it_was_closed() {
        let directory = TestDirectory::new();
        let (path, other) = (directory.join("root.key"), directory.join("other.key"));
        let made = FileRoot::create(&path).unwrap();
        let secret = RootSecret::new(&[7; 32]).unwrap();
        let wrapped = made.wrap(&PURPOSE, &secret).unwrap();
        let other = FileRoot::create(&other).unwrap();
        assert!(matches!(other.unwrap(&PURPOSE, &wrapped), Err(RootError::OtherRoot { .. })));
        let opened = FileRoot::open(&path).unwrap();
        assert_eq!(opened.unwrap(&PURPOSE, &wrapped).unwrap().expose(), [7; 32]);
    }

    #[test]
    fn a_file_in_the_current_directory_needs_no_slash() {
        // A name without a directory has an empty parent, which cannot be opened to be synced.
        let name = format!("root-test-{}.key", std::process::id());
        let created = FileRoot::create(Path::new(&name));
        let _ = std::fs::remove_file(&name);
        created.unwrap();
    }

    /// Computed with Python: `header + key + sha256(label + header + key)`.
    #[test]
    fn golden_file() {
        let bytes = FileRoot(root(0x61)).encode().unwrap();
        assert_eq!(
            bytes.as_slice(),
            hex("53545247524f4f540101616161616161616161616161616161616161616161616161616161616161\
                 616161616161616161616161616161616161f9298f06f871f83c504186097532c14dc9b658581a36\
                 a68a42ecd9c7523ef6d9")
        );
    }
}
