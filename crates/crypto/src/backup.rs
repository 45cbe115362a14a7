//! The key of one backup file, and its frames.
//!
//! Formula: `sealed = nonce ‖ AES-256-GCM(backup key, nonce, aad, plaintext)`, `aad = "strongroom/backup/v1" ‖ 00 ‖
//! f(header hash 32) ‖ f(be64(number)) ‖ f(kind 1)`, `f(x) = be32(length) ‖ x`. The backup key is random, used for one
//! file, and stands in that file's header wrapped by the root key for the purpose `backup`.
//!
//! A frame is bound to its file (the hash of the header, which holds the wrapped key), to its place and to its kind: none
//! can be left out, moved, repeated or taken from another backup. Nonces are random under one key: NIST SP 800-38D
//! section 8.3 allows 2^32 of them, and a frame holds up to a mebibyte.

use std::fmt;

use crate::aead::{self, NONCE_BYTES, TAG_BYTES};
use crate::error::CryptoError;
use crate::fields::push_field;
use crate::random;
use crate::root::{RootError, RootHolder, RootPurpose, RootSecret};
use crate::secret::SecretKey;

const LABEL: &[u8] = b"strongroom/backup/v1\0";
/// What sealing adds to a frame's plaintext.
pub const BACKUP_FRAME_OVERHEAD_BYTES: usize = NONCE_BYTES + TAG_BYTES;

/// The key of one backup file.
pub struct BackupKey(SecretKey);

/// Which frame of which file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupFrame {
    /// SHA-256 of the file's header.
    pub header_hash: [u8; 32],
    /// Frames of a file are numbered from 0.
    pub number: u64,
    pub kind: u8,
}

impl BackupKey {
    /// A new key, and the same wrapped by the root.
    pub fn create(root: &dyn RootHolder) -> Result<(Self, Vec<u8>), RootError> {
        let key = SecretKey::random()?;
        let wrapped = root.wrap(&RootPurpose::Backup, &RootSecret::new(key.expose())?)?;
        Ok((Self(key), wrapped))
    }

    /// The key that [`Self::create`] wrapped.
    pub fn open(root: &dyn RootHolder, wrapped: &[u8]) -> Result<Self, RootError> {
        let secret = root.unwrap(&RootPurpose::Backup, wrapped)?;
        let mut key = SecretKey::zeroed();
        if secret.expose().len() != key.expose().len() {
            return Err(RootError::MalformedWrapping);
        }
        key.expose_mut().copy_from_slice(secret.expose());
        Ok(Self(key))
    }

    /// `nonce 12 | ciphertext n | tag 16`.
    pub fn seal(&self, frame: &BackupFrame, plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.seal_with(frame, plaintext, &random::random_array()?)
    }

    /// Opens what [`Self::seal`] made for this frame.
    pub fn open_frame(&self, frame: &BackupFrame, sealed: &[u8]) -> Result<Vec<u8>, CryptoError> {
        const WHAT: &str = "backup frame";
        let not_authentic = CryptoError::NotAuthentic { what: WHAT };
        let split = sealed.split_first_chunk::<NONCE_BYTES>();
        let split = split.and_then(|(nonce, rest)| Some((nonce, rest.split_last_chunk::<TAG_BYTES>()?)));
        let Some((nonce, body)) = split else { return Err(not_authentic) };
        let mut plaintext = vec![0; body.0.len()];
        aead::open(WHAT, self.0.expose(), nonce, &frame.associated_data(), body, &mut plaintext)?;
        Ok(plaintext)
    }

    fn seal_with(
        &self,
        frame: &BackupFrame,
        plaintext: &[u8],
        nonce: &[u8; NONCE_BYTES],
    ) -> Result<Vec<u8>, CryptoError> {
        let mut sealed = vec![0; plaintext.len() + BACKUP_FRAME_OVERHEAD_BYTES];
        let (head, body) = sealed.split_at_mut_checked(NONCE_BYTES).ok_or(CryptoError::Module)?;
        head.copy_from_slice(nonce);
        aead::seal(self.0.expose(), nonce, &frame.associated_data(), plaintext, body)?;
        Ok(sealed)
    }
}

impl BackupFrame {
    fn associated_data(&self) -> Vec<u8> {
        let mut aad = LABEL.to_vec();
        push_field(&mut aad, &self.header_hash);
        push_field(&mut aad, &self.number.to_be_bytes());
        push_field(&mut aad, &[self.kind]);
        aad
    }
}

impl fmt::Debug for BackupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BackupKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{assert_absent, each_bit_flipped, fixed, hex, root, secret_key};

    assert_absent!(BackupKey: Clone, fmt::Display, std::ops::Deref, AsRef<[u8]>, PartialEq);

    const FRAME: BackupFrame = BackupFrame { header_hash: [0x77; 32], number: 258, kind: 2 };

    #[test]
    fn every_flipped_bit_and_missing_byte_is_refused() {
        let (key, _) = BackupKey::create(&root(0x61)).unwrap();
        let sealed = key.seal(&FRAME, b"rows").unwrap();
        each_bit_flipped(&sealed, |altered| assert!(key.open_frame(&FRAME, altered).is_err()));
        for length in 0..sealed.len() {
            assert!(key.open_frame(&FRAME, &sealed[..length]).is_err(), "{length} bytes");
        }
        assert_eq!(key.open_frame(&FRAME, &sealed).unwrap(), b"rows");
    }

    #[test]
    fn a_frame_of_another_file_place_or_kind_is_refused() {
        let (key, _) = BackupKey::create(&root(0x61)).unwrap();
        let sealed = key.seal(&FRAME, b"rows").unwrap();
        for other in [
            BackupFrame { header_hash: [0x78; 32], ..FRAME },
            BackupFrame { number: 259, ..FRAME },
            BackupFrame { kind: 3, ..FRAME },
        ] {
            assert!(key.open_frame(&other, &sealed).is_err(), "{other:?}");
        }
    }

    #[test]
    fn another_root_or_purpose_does_not_open_the_key() {
        let (key, wrapped) = BackupKey::create(&root(0x61)).unwrap();
        assert!(matches!(BackupKey::open(&root(0x62), &wrapped), Err(RootError::OtherRoot { .. })));
        let secret = RootSecret::new(&[7; 32]).unwrap();
        let foreign = root(0x61)
            .wrap(&RootPurpose::DomainKey { scope: crate::keyring::Scope::Global, version: 1 }, &secret);
        assert!(matches!(BackupKey::open(&root(0x61), &foreign.unwrap()), Err(RootError::NotAuthentic)));
        let short = root(0x61).wrap(&RootPurpose::Backup, &RootSecret::new(&[7; 31]).unwrap()).unwrap();
        assert!(matches!(BackupKey::open(&root(0x61), &short), Err(RootError::MalformedWrapping)));
        let again = BackupKey::open(&root(0x61), &wrapped).unwrap();
        assert_eq!(again.open_frame(&FRAME, &key.seal(&FRAME, b"x").unwrap()).unwrap(), b"x");
    }

    /// Computed with the Python package `cryptography`: `AESGCM(key).encrypt(nonce, plaintext, aad)`.
    #[test]
    fn golden_frame() {
        let key = BackupKey(secret_key(0x0b));
        let sealed = key.seal_with(&FRAME, b"rows", &fixed::<16>().nonce).unwrap();
        assert_eq!(sealed, hex("c0c1c2c3c4c5c6c7c8c9cacb646022829b4a5405eec5e90ed913bd1d5dd60db1"));
        assert_eq!(key.open_frame(&FRAME, &sealed).unwrap(), b"rows");
    }
}
