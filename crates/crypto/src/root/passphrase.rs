//! A root key wrapped by a passphrase: `header 26 | memory KiB 4 | passes 4 | lanes 4 | salt 16 | nonce 12 |
//! ciphertext 32 | tag 16`.
//!
//! Formula: `wrapping key = Argon2id(passphrase, salt, memory, passes, lanes)` (RFC 9106, version 0x13, 32 bytes),
//! `ciphertext ‖ tag = AES-256-GCM(wrapping key, nonce, aad, root key)`, `aad =` all bytes before the ciphertext.
//!
//! The parameters are RFC 9106's second recommendation, 64 MiB and three passes over four lanes. They stand in the
//! file, so that they can grow, and are bounded before they are used: a file must not make the service take all memory.
//! The root key is random and only wrapped by the passphrase, so that a passphrase can change and the root stay.

use std::path::Path;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use strongroom_types::Credential;
use strongroom_types::limits::{
    ARGON2_LANES_MAX, ARGON2_LANES_MIN, ARGON2_MEMORY_KIB_MAX, ARGON2_MEMORY_KIB_MIN, ARGON2_PASSES_MAX,
    ARGON2_PASSES_MIN, ROOT_PASSPHRASE_BYTES_MAX, ROOT_PASSPHRASE_BYTES_MIN,
};
use zeroize::Zeroizing;

use crate::aead::{self, NONCE_BYTES, TAG_BYTES};
use crate::error::CryptoError;
use crate::random::Fresh;
use crate::root::header::{self, HEADER_BYTES, Kind};
use crate::root::key::RootKey;
use crate::root::{RootError, RootHolder, RootId, RootPurpose, RootSecret, disk};
use crate::secret::{KEY_BYTES, SecretKey};
use crate::suite;

const SALT_BYTES: usize = 16;
const AAD_BYTES: usize = HEADER_BYTES + 12 + SALT_BYTES + NONCE_BYTES;
const FILE_BYTES: usize = AAD_BYTES + KEY_BYTES + TAG_BYTES;
const WHAT: &str = "root key";

/// A root key kept in a file, wrapped by a passphrase.
#[derive(Debug)]
pub struct PassphraseRoot(RootKey);

/// What Argon2id costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Cost {
    const DEFAULT: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 };

    fn is_within_limits(self) -> bool {
        (ARGON2_MEMORY_KIB_MIN..=ARGON2_MEMORY_KIB_MAX).contains(&self.memory_kib)
            && (ARGON2_PASSES_MIN..=ARGON2_PASSES_MAX).contains(&self.passes)
            && (ARGON2_LANES_MIN..=ARGON2_LANES_MAX).contains(&self.lanes)
    }
}

impl PassphraseRoot {
    /// Makes a new root key and the file that keeps it, mode 0600. An existing file is never overwritten.
    pub fn create(path: &Path, passphrase: &Credential) -> Result<Self, RootError> {
        if !(ROOT_PASSPHRASE_BYTES_MIN..=ROOT_PASSPHRASE_BYTES_MAX).contains(&passphrase.len()) {
            return Err(RootError::PassphraseLength);
        }
        let root = RootKey::random()?;
        let fresh = Fresh::draw()?;
        let wrapping_key = stretch(path, passphrase, &fresh.salt, Cost::DEFAULT)?;
        disk::create_private(path, &encode(&root, &wrapping_key, Cost::DEFAULT, &fresh)?)?;
        Ok(Self(root))
    }

    /// Opens a file that [`Self::create`] made with this passphrase.
    pub fn open(path: &Path, passphrase: &Credential) -> Result<Self, RootError> {
        Self::decode(path, &disk::read_private(path)?, passphrase)
    }

    /// The root that the bytes of the file at `path` hold.
    pub(crate) fn decode(path: &Path, bytes: &[u8], passphrase: &Credential) -> Result<Self, RootError> {
        if passphrase.len() > ROOT_PASSPHRASE_BYTES_MAX {
            return Err(RootError::PassphraseLength);
        }
        let malformed = || RootError::MalformedFile { path: path.to_owned() };
        let (kind, ..) = header::split(bytes).ok_or_else(malformed)?;
        if kind == Kind::File {
            return Err(RootError::NoPassphrase { path: path.to_owned() });
        }
        let file = File::split(bytes).ok_or_else(malformed)?;
        let wrapping_key = stretch(path, passphrase, file.salt, file.cost)?;
        match file.unwrap(&wrapping_key) {
            Ok(root) => Ok(Self(root)),
            Err(CryptoError::NotAuthentic { .. }) => {
                Err(RootError::WrongPassphrase { path: path.to_owned() })
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl RootHolder for PassphraseRoot {
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

/// A file of this kind taken apart, its cost within the limits.
struct File<'a> {
    aad: &'a [u8],
    ciphertext: &'a [u8; KEY_BYTES],
    cost: Cost,
    nonce: &'a [u8; NONCE_BYTES],
    root_id: [u8; 16],
    salt: &'a [u8; SALT_BYTES],
    tag: &'a [u8; TAG_BYTES],
}

impl<'a> File<'a> {
    fn split(bytes: &'a [u8]) -> Option<Self> {
        let aad = bytes.get(..AAD_BYTES)?;
        let (_, root_id, rest) = header::split(bytes)?;
        let (memory_kib, rest) = rest.split_first_chunk()?;
        let (passes, rest) = rest.split_first_chunk()?;
        let (lanes, rest) = rest.split_first_chunk()?;
        let (salt, rest) = rest.split_first_chunk()?;
        let (nonce, rest) = rest.split_first_chunk()?;
        let (ciphertext, rest) = rest.split_first_chunk()?;
        let tag = rest.try_into().ok()?;
        let cost = Cost {
            memory_kib: u32::from_be_bytes(*memory_kib),
            passes: u32::from_be_bytes(*passes),
            lanes: u32::from_be_bytes(*lanes),
        };
        cost.is_within_limits().then_some(Self { aad, ciphertext, cost, nonce, root_id, salt, tag })
    }

    fn unwrap(&self, wrapping_key: &SecretKey) -> Result<RootKey, CryptoError> {
        let mut key = SecretKey::zeroed_of_ring();
        let body = (self.ciphertext.as_slice(), self.tag);
        aead::open(WHAT, wrapping_key.expose(), self.nonce, self.aad, body, key.expose_mut())?;
        Ok(RootKey::new(self.root_id, key))
    }
}

fn encode(
    root: &RootKey,
    wrapping_key: &SecretKey,
    cost: Cost,
    fresh: &Fresh<SALT_BYTES>,
) -> Result<Vec<u8>, CryptoError> {
    let mut bytes = Vec::with_capacity(FILE_BYTES);
    header::push(&mut bytes, Kind::Passphrase, root.root_id().as_bytes());
    for number in [cost.memory_kib, cost.passes, cost.lanes] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes.extend_from_slice(&fresh.salt);
    bytes.extend_from_slice(&fresh.nonce);
    let aad = bytes.clone();
    bytes.resize(FILE_BYTES, 0);
    let body = bytes.get_mut(AAD_BYTES..).ok_or(CryptoError::Module)?;
    aead::seal(wrapping_key.expose(), &fresh.nonce, &aad, root.expose_key().expose(), body)?;
    Ok(bytes)
}

/// `Argon2id(passphrase, salt, cost)` → 32 bytes. RFC 9106.
fn stretch(
    path: &Path,
    passphrase: &Credential,
    salt: &[u8; SALT_BYTES],
    cost: Cost,
) -> Result<SecretKey, RootError> {
    if suite::IS_FIPS {
        return Err(RootError::NotInModule { path: path.to_owned() });
    }
    let module = |_| RootError::Crypto(CryptoError::Module);
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(KEY_BYTES)).map_err(module)?;
    // Our own memory, because the library does not wipe what it allocates, and because a host that lacks it gets an
    // error and not an abort.
    let mut memory = Zeroizing::new(Vec::<Block>::new());
    if memory.try_reserve_exact(params.block_count()).is_err() {
        return Err(RootError::OutOfMemory { path: path.to_owned() });
    }
    memory.resize(params.block_count(), Block::new());
    let mut key = SecretKey::zeroed_of_ring();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(passphrase.expose(), salt, key.expose_mut(), memory.as_mut_slice())
        .map_err(module)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{TestDirectory, each_bit_flipped, fixed, hex, root, secret_key};
    use crate::keyring::Scope;
    use argon2::{AssociatedData, ParamsBuilder};

    const PURPOSE: RootPurpose<'_> = RootPurpose::DomainKey { scope: Scope::Global, version: 1 };

    fn passphrase(text: &str) -> Credential {
        Credential::new(text.as_bytes().to_vec())
    }

    #[test]
    fn a_wrong_passphrase_is_refused() {
        let directory = TestDirectory::new();
        let path = directory.join("root.key");
        let made = PassphraseRoot::create(&path, &passphrase("correct horse")).unwrap();
        for wrong in ["", "correct hors", "Correct horse", "correct horse "] {
            let refused = PassphraseRoot::open(&path, &passphrase(wrong)).map(|_| ()).unwrap_err();
            assert_eq!(refused.to_string(), format!("the passphrase does not open `{}`", path.display()));
        }
        let wrapped = made.wrap(&PURPOSE, &RootSecret::new(&[7; 32]).unwrap()).unwrap();
        let opened = PassphraseRoot::open(&path, &passphrase("correct horse")).unwrap();
        assert_eq!(opened.unwrap(&PURPOSE, &wrapped).unwrap().expose(), [7; 32]);
    }

    #[test]
    fn files_of_the_other_kind_are_refused() {
        let directory = TestDirectory::new();
        let (plain, wrapped) = (directory.join("plain"), directory.join("wrapped"));
        crate::FileRoot::create(&plain).unwrap();
        let refused = PassphraseRoot::open(&plain, &passphrase("correct horse"));
        assert!(matches!(refused, Err(RootError::NoPassphrase { .. })));
        PassphraseRoot::create(&wrapped, &passphrase("correct horse")).unwrap();
        assert!(matches!(crate::FileRoot::open(&wrapped), Err(RootError::PassphraseNeeded { .. })));
    }

    #[test]
    fn passphrases_keep_to_their_length() {
        let directory = TestDirectory::new();
        let path = directory.join("root.key");
        for length in [0, ROOT_PASSPHRASE_BYTES_MIN - 1, ROOT_PASSPHRASE_BYTES_MAX + 1] {
            let refused = PassphraseRoot::create(&path, &passphrase(&"p".repeat(length)));
            assert!(matches!(refused, Err(RootError::PassphraseLength)), "{length} bytes");
            assert!(!path.exists());
        }
        let longest = passphrase(&"p".repeat(ROOT_PASSPHRASE_BYTES_MAX));
        PassphraseRoot::create(&path, &longest).unwrap();
        assert!(PassphraseRoot::open(&path, &longest).is_ok());
        let longer = passphrase(&"p".repeat(ROOT_PASSPHRASE_BYTES_MAX + 1));
        assert!(matches!(PassphraseRoot::open(&path, &longer), Err(RootError::PassphraseLength)));
        let shortest = directory.join("shortest.key");
        assert!(
            PassphraseRoot::create(&shortest, &passphrase(&"p".repeat(ROOT_PASSPHRASE_BYTES_MIN))).is_ok()
        );
    }

    #[test]
    fn every_flipped_bit_and_missing_byte_is_refused() {
        let key = secret_key(0x71);
        let bytes = encode(&root(0x61), &key, Cost::DEFAULT, &fixed()).unwrap();
        // The wrapping key is given here, so that no bit costs a run of Argon2id; a flipped salt shows all the same.
        let open = |bytes: &[u8]| File::split(bytes).and_then(|file| file.unwrap(&key).ok());
        each_bit_flipped(&bytes, |altered| assert!(open(altered).is_none()));
        for length in 0..bytes.len() {
            assert!(open(&bytes[..length]).is_none());
        }
        assert!(open(&[bytes.as_slice(), &[0]].concat()).is_none());
        assert_eq!(open(&bytes).unwrap().root_id(), root(0x61).root_id());
    }

    #[test]
    fn costs_past_their_limits_are_refused_before_they_are_paid() {
        let bytes = encode(&root(0x61), &secret_key(0x71), Cost::DEFAULT, &fixed()).unwrap();
        let split = |at: usize, number: u32| {
            let mut altered = bytes.clone();
            altered[at..at + 4].copy_from_slice(&number.to_be_bytes());
            File::split(&altered).map(|file| file.cost)
        };
        for (at, min, max) in [
            (26, ARGON2_MEMORY_KIB_MIN, ARGON2_MEMORY_KIB_MAX),
            (30, ARGON2_PASSES_MIN, ARGON2_PASSES_MAX),
            (34, ARGON2_LANES_MIN, ARGON2_LANES_MAX),
        ] {
            assert_eq!([split(at, min - 1), split(at, max + 1), split(at, u32::MAX)], [None; 3]);
            assert!(split(at, min).is_some() && split(at, max).is_some());
        }
        let Err(refused) = PassphraseRoot::decode(
            Path::new("root.key"),
            &{
                let mut altered = bytes.clone();
                altered[26..30].copy_from_slice(&u32::MAX.to_be_bytes());
                altered
            },
            &passphrase("correct horse"),
        ) else {
            panic!("opened")
        };
        assert!(matches!(refused, RootError::MalformedFile { .. }));
    }

    /// RFC 9106 section 5.3.
    #[test]
    fn argon2id_vector_holds() {
        let associated = AssociatedData::new(&[4; 12]).unwrap();
        let params = ParamsBuilder::new().m_cost(32).t_cost(3).p_cost(4).data(associated).build().unwrap();
        let argon2 = Argon2::new_with_secret(&[3; 8], Algorithm::Argon2id, Version::V0x13, params).unwrap();
        let mut tag = [0; 32];
        argon2.hash_password_into(&[1; 32], &[2; 16], &mut tag).unwrap();
        assert_eq!(tag.to_vec(), hex("0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"));
    }

    /// Computed with the Python package `cryptography`: `Argon2id(salt, 32, 3, 4, 65536).derive(passphrase)`, then
    /// `AESGCM(wrapping key).encrypt(nonce, root key, aad)`.
    #[test]
    fn golden_file() {
        let (path, passphrase, fresh) = (Path::new("root.key"), passphrase("correct horse"), fixed());
        let key = stretch(path, &passphrase, &fresh.salt, Cost::DEFAULT).unwrap();
        let bytes = encode(&root(0x61), &key, Cost::DEFAULT, &fresh).unwrap();
        assert_eq!(
            bytes,
            hex("53545247524f4f54010261616161616161616161616161616161000100000000000300000004a0a1\
                 a2a3a4a5a6a7a8a9aaabacadaeafc0c1c2c3c4c5c6c7c8c9cacbe3646b6d06bdd3e96a01c8223829\
                 4ef966b43d514db93b39fd051aac290262ca1402afeff1d51a3cd0c6606f6cf6ea7e")
        );
        let opened = PassphraseRoot::decode(path, &bytes, &passphrase).unwrap();
        assert_eq!(opened.0.expose_key().expose(), &[0x61; 32]);
    }
}
