//! The symmetric ciphertext blob, version 1: what Encrypt and the data key operations hand out.
//!
//! `version 1 | suite 1 | flags 1 | key id 16 | material tag 8 | salt 32 | commitment 32 | nonce 12 | ciphertext n |
//! tag 16`
//!
//! Formula: `key 32 ‖ commitment 32 = KDF(material, "strongroom/blob/v1", key id ‖ material id ‖ salt)`, `ciphertext ‖
//! tag = AES-256-GCM(key, nonce, aad, plaintext)`, `aad = version … nonce ‖ material id 32 ‖ encryption context`. The
//! context's encoding is [`EncryptionContext`]'s. Bit 0 of the flags says that the key is a multi-Region key.
//!
//! AES-GCM alone does not commit to its key: one ciphertext can be made to open under two. The commitment, derived
//! together with the key, pins the blob to one material; it is compared in constant time before anything is opened.
//! No region, account or ARN is inside, so that the members of a multi-Region key open each other's blobs.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use strongroom_types::limits::{CIPHERTEXT_BYTES_MAX, PLAINTEXT_BYTES_MAX};
use strongroom_types::{EncryptionContext, KeyId, KeyUsage, MaterialId, Plaintext, RegionName};
use zeroize::Zeroizing;

use crate::aead::{self, NONCE_BYTES, TAG_BYTES};
use crate::error::CryptoError;
use crate::kdf;
use crate::keyring::Keyring;
use crate::material::{KeyMaterial, WrappedKey};
use crate::random::Fresh;
use crate::secret::KEY_BYTES;

const FORMAT: u8 = 1;
/// KBKDF with HMAC-SHA256, key commitment, AES-256-GCM.
const SUITE: u8 = 1;
const FLAG_MULTI_REGION: u8 = 1;
const SALT_BYTES: usize = 32;
const HEADER_BYTES: usize = 3 + 16 + 8 + SALT_BYTES + COMMITMENT_BYTES + NONCE_BYTES;
const COMMITMENT_BYTES: usize = 32;
/// What a blob adds to its plaintext.
pub const BLOB_OVERHEAD_BYTES: usize = HEADER_BYTES + TAG_BYTES;
const WHAT: &str = "ciphertext blob";

/// A ciphertext blob taken apart. Nothing in it is authentic before [`Keyring::decrypt`] succeeds; its key id only says
/// which key to ask.
pub struct Blob<'a> {
    ciphertext: &'a [u8],
    commitment: &'a [u8; COMMITMENT_BYTES],
    header: &'a [u8],
    key_id: KeyId,
    material_tag: [u8; 8],
    nonce: &'a [u8; NONCE_BYTES],
    salt: &'a [u8; SALT_BYTES],
    tag: &'a [u8; TAG_BYTES],
}

/// The one key material that encrypts, and the names it is bound to.
#[derive(Debug, Clone, Copy)]
pub struct SymmetricKey<'a> {
    pub key_id: &'a KeyId,
    pub material_id: &'a MaterialId,
    pub wrapped: &'a WrappedKey,
}

/// Bytes that are no blob of this service. Callers are told the same as for one that does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    #[error("the ciphertext is larger than {CIPHERTEXT_BYTES_MAX} bytes")]
    TooLong,
    #[error("the ciphertext is shorter than {BLOB_OVERHEAD_BYTES} bytes")]
    TooShort,
    #[error("the ciphertext has an unknown flag")]
    UnknownFlag,
    #[error("the ciphertext is of an unknown suite")]
    UnknownSuite,
    #[error("the ciphertext is of an unknown version")]
    UnknownVersion,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecryptError {
    /// Altered, made under another key, or sent with another encryption context: one answer for all of them.
    #[error("the ciphertext does not open under this key and encryption context")]
    Invalid,
    /// A key material that the blob names could not be used, and no other opened it. For the log: the row is damaged,
    /// its domain key is missing, or the cryptographic module failed.
    #[error("key material {material_id} cannot be used")]
    MaterialUnavailable { material_id: MaterialId, source: CryptoError },
}

impl<'a> Blob<'a> {
    pub fn parse(blob: &'a [u8]) -> Result<Self, BlobError> {
        if blob.len() > CIPHERTEXT_BYTES_MAX {
            return Err(BlobError::TooLong);
        }
        // The version comes first: what a later version looks like beyond its first byte is not known here.
        if blob.first().is_some_and(|version| *version != FORMAT) {
            return Err(BlobError::UnknownVersion);
        }
        let parsed = Self::split(blob).ok_or(BlobError::TooShort)?;
        let &[_, suite, flags, ..] = parsed.header else { return Err(BlobError::TooShort) };
        if suite != SUITE {
            return Err(BlobError::UnknownSuite);
        }
        if flags & !FLAG_MULTI_REGION != 0 {
            return Err(BlobError::UnknownFlag);
        }
        Ok(parsed)
    }

    /// The key that the blob says it was made under.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// The first eight bytes of the material id: a hint which materials to try.
    pub fn material_tag(&self) -> [u8; 8] {
        self.material_tag
    }

    fn split(blob: &'a [u8]) -> Option<Self> {
        let header = blob.get(..HEADER_BYTES)?;
        let ([_, _, flags], rest) = blob.split_first_chunk()?;
        let (key_id, rest) = rest.split_first_chunk()?;
        let (material_tag, rest) = rest.split_first_chunk()?;
        let (salt, rest) = rest.split_first_chunk()?;
        let (commitment, rest) = rest.split_first_chunk()?;
        let (nonce, rest) = rest.split_first_chunk()?;
        let (ciphertext, tag) = rest.split_last_chunk()?;
        let key_id = KeyId::from_parts(*key_id, flags & FLAG_MULTI_REGION != 0);
        Some(Self { ciphertext, commitment, header, key_id, material_tag: *material_tag, nonce, salt, tag })
    }
}

impl fmt::Debug for Blob<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({}, {} bytes)", self.key_id, self.ciphertext.len() + BLOB_OVERHEAD_BYTES)
    }
}

impl Keyring {
    /// Encrypts at most [`PLAINTEXT_BYTES_MAX`] bytes under a symmetric key.
    pub fn encrypt(
        &self,
        region: &RegionName,
        key: &SymmetricKey<'_>,
        context: &EncryptionContext,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        if plaintext.len() > PLAINTEXT_BYTES_MAX {
            return Err(CryptoError::TooLarge { max_bytes: PLAINTEXT_BYTES_MAX, what: "plaintext" });
        }
        let material = self.material(region, key.key_id, key.wrapped, KeyUsage::EncryptDecrypt)?;
        seal(material, key.key_id, key.material_id, context, plaintext, &Fresh::draw()?)
    }

    /// Decrypts a blob with whichever of the key's materials it was made with, and says which that was.
    pub fn decrypt<'c>(
        &self,
        region: &RegionName,
        key_id: &KeyId,
        candidates: impl IntoIterator<Item = (&'c MaterialId, &'c WrappedKey)>,
        blob: &Blob<'_>,
        context: &EncryptionContext,
    ) -> Result<(Plaintext, MaterialId), DecryptError> {
        if blob.key_id != *key_id {
            return Err(DecryptError::Invalid);
        }
        let mut refusal = DecryptError::Invalid;
        let named = candidates.into_iter().filter(|(material_id, _)| material_id.tag() == blob.material_tag);
        for (material_id, wrapped) in named {
            let unavailable =
                |source| DecryptError::MaterialUnavailable { material_id: *material_id, source };
            let material = match self.material(region, key_id, wrapped, KeyUsage::EncryptDecrypt) {
                Ok(material) => material,
                Err(source) => {
                    // Another material may share the tag; a damaged one must not hide it.
                    refusal = unavailable(source);
                    continue;
                }
            };
            match open(material, material_id, context, blob) {
                Ok(plaintext) => return Ok((plaintext, *material_id)),
                Err(CryptoError::NotAuthentic { .. }) => {}
                Err(source) => refusal = unavailable(source),
            }
        }
        Err(refusal)
    }
}

fn seal(
    material: &KeyMaterial,
    key_id: &KeyId,
    material_id: &MaterialId,
    context: &EncryptionContext,
    plaintext: &[u8],
    fresh: &Fresh<SALT_BYTES>,
) -> Result<Vec<u8>, CryptoError> {
    let mut derived = Zeroizing::new([0; KEY_BYTES + COMMITMENT_BYTES]);
    let (key, commitment) = derive(material, key_id, material_id, &fresh.salt, &mut derived)?;
    let flags = if key_id.is_multi_region() { FLAG_MULTI_REGION } else { 0 };

    let size = plaintext.len() + BLOB_OVERHEAD_BYTES;
    let mut blob = Vec::with_capacity(size);
    blob.extend_from_slice(&[FORMAT, SUITE, flags]);
    blob.extend_from_slice(key_id.as_bytes());
    blob.extend_from_slice(&material_id.tag());
    blob.extend_from_slice(&fresh.salt);
    blob.extend_from_slice(commitment);
    blob.extend_from_slice(&fresh.nonce);
    let aad = associated_data(&blob, material_id, context);
    blob.resize(size, 0);
    let body = blob.get_mut(HEADER_BYTES..).ok_or(CryptoError::Module)?;
    aead::seal(key, &fresh.nonce, &aad, plaintext, body)?;
    Ok(blob)
}

fn open(
    material: &KeyMaterial,
    material_id: &MaterialId,
    context: &EncryptionContext,
    blob: &Blob<'_>,
) -> Result<Plaintext, CryptoError> {
    let mut derived = Zeroizing::new([0; KEY_BYTES + COMMITMENT_BYTES]);
    let (key, commitment) = derive(material, &blob.key_id, material_id, blob.salt, &mut derived)?;
    verify_slices_are_equal(commitment, blob.commitment)
        .map_err(|_| CryptoError::NotAuthentic { what: WHAT })?;
    let aad = associated_data(blob.header, material_id, context);
    let mut plaintext = Plaintext::new(vec![0; blob.ciphertext.len()]);
    aead::open(WHAT, key, blob.nonce, &aad, (blob.ciphertext, blob.tag), plaintext.expose_mut())?;
    Ok(plaintext)
}

/// Key and commitment, lent from `derived`.
fn derive<'d>(
    material: &KeyMaterial,
    key_id: &KeyId,
    material_id: &MaterialId,
    salt: &[u8; SALT_BYTES],
    derived: &'d mut [u8; KEY_BYTES + COMMITMENT_BYTES],
) -> Result<(&'d [u8; KEY_BYTES], &'d [u8]), CryptoError> {
    kdf::blob_key_and_commitment(material.expose_symmetric()?, key_id, material_id, salt, derived)?;
    derived.split_first_chunk().ok_or(CryptoError::Module)
}

/// `header ‖ material id ‖ context`: the first two have fixed lengths, so nothing can move between the three.
fn associated_data(header: &[u8], material_id: &MaterialId, context: &EncryptionContext) -> Vec<u8> {
    [header, material_id.as_bytes(), context.encoded()].concat()
}

#[cfg(test)]
mod tests;
