//! The shape that sealed rows, wrapped materials and markers share:
//! `prefix | salt 16 | nonce 12 | ciphertext n | tag 16`.
//!
//! Each is sealed with AES-256-GCM under a key of its own, derived with the salt. The associated data is
//! `prefix ‖ salt ‖ nonce ‖ fields, each length-prefixed`, so that no byte of the header and nothing of the place it
//! belongs to can be exchanged.

use crate::aead::{self, NONCE_BYTES, TAG_BYTES};
use crate::error::CryptoError;
use crate::fields::{encoded_len, push_field};
use crate::random::Fresh;
use crate::secret::KEY_BYTES;

pub(crate) const SALT_BYTES: usize = 16;
/// What an envelope adds to its prefix and plaintext.
pub(crate) const ENVELOPE_BYTES: usize = SALT_BYTES + NONCE_BYTES + TAG_BYTES;

/// A sealed value taken apart. Nothing in it is authentic before [`Envelope::open`] succeeds.
pub(crate) struct Envelope<'a, const PREFIX: usize> {
    pub(crate) prefix: &'a [u8; PREFIX],
    pub(crate) salt: &'a [u8; SALT_BYTES],
    pub(crate) tag: &'a [u8; TAG_BYTES],
    ciphertext: &'a [u8],
    header: &'a [u8],
    nonce: &'a [u8; NONCE_BYTES],
}

impl<'a, const PREFIX: usize> Envelope<'a, PREFIX> {
    pub(crate) fn parse(sealed: &'a [u8]) -> Option<Self> {
        let header = sealed.get(..PREFIX + SALT_BYTES + NONCE_BYTES)?;
        let (prefix, rest) = sealed.split_first_chunk()?;
        let (salt, rest) = rest.split_first_chunk()?;
        let (nonce, rest) = rest.split_first_chunk()?;
        let (ciphertext, tag) = rest.split_last_chunk()?;
        Some(Self { prefix, salt, tag, ciphertext, header, nonce })
    }

    pub(crate) fn plaintext_len(&self) -> usize {
        self.ciphertext.len()
    }

    /// Opens into `plaintext`, which has [`Self::plaintext_len`] bytes.
    pub(crate) fn open(
        &self,
        what: &'static str,
        key: &[u8; KEY_BYTES],
        fields: &[&[u8]],
        plaintext: &mut [u8],
    ) -> Result<(), CryptoError> {
        let aad = associated_data(self.header, fields);
        aead::open(what, key, self.nonce, &aad, (self.ciphertext, self.tag), plaintext)
    }
}

/// Seals `plaintext` under `key`, which the caller derived with `fresh.salt`.
pub(crate) fn seal<const PREFIX: usize>(
    prefix: &[u8; PREFIX],
    fresh: &Fresh<SALT_BYTES>,
    key: &[u8; KEY_BYTES],
    fields: &[&[u8]],
    plaintext: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    let size = PREFIX + ENVELOPE_BYTES + plaintext.len();
    let mut sealed = Vec::with_capacity(size);
    sealed.extend_from_slice(prefix);
    sealed.extend_from_slice(&fresh.salt);
    sealed.extend_from_slice(&fresh.nonce);
    let aad = associated_data(&sealed, fields);
    let header_len = sealed.len();
    sealed.resize(size, 0);
    let body = sealed.get_mut(header_len..).ok_or(CryptoError::Module)?;
    aead::seal(key, &fresh.nonce, &aad, plaintext, body)?;
    Ok(sealed)
}

/// `version 1 | key version 4`, with which every prefix begins or ends.
pub(crate) fn versioned_prefix(format: u8, key_version: u32) -> [u8; 5] {
    let [a, b, c, d] = key_version.to_be_bytes();
    [format, a, b, c, d]
}

fn associated_data(header: &[u8], fields: &[&[u8]]) -> Vec<u8> {
    let mut aad = Vec::with_capacity(header.len() + encoded_len(fields));
    aad.extend_from_slice(header);
    for field in fields {
        push_field(&mut aad, field);
    }
    aad
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_short_to_be_an_envelope_is_refused() {
        let shortest = [0; 5 + ENVELOPE_BYTES];
        for length in 0..shortest.len() {
            assert!(Envelope::<5>::parse(&shortest[..length]).is_none(), "{length} bytes");
        }
        assert_eq!(Envelope::<5>::parse(&shortest).unwrap().plaintext_len(), 0);
    }

    #[test]
    fn fields_cannot_trade_bytes() {
        let key = [7; 32];
        let sealed = seal(b"v", &Fresh::draw().unwrap(), &key, &[b"ab", b"c"], b"plain").unwrap();
        let envelope = Envelope::<1>::parse(&sealed).unwrap();
        let mut plaintext = [0; 5];
        for fields in [&[&b"a"[..], b"bc"][..], &[b"abc"], &[b"ab", b"c", b""], &[b"ab"], &[b"c", b"ab"]] {
            assert!(envelope.open("test", &key, fields, &mut plaintext).is_err());
        }
        envelope.open("test", &key, &[b"ab", b"c"], &mut plaintext).unwrap();
        assert_eq!(&plaintext, b"plain");
    }
}
