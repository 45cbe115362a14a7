//! A root key in memory, whatever file it came from.
//!
//! Formula: `wrapped = header ‖ AES-256-GCM(root key, nonce, aad, secret)`, `header = version 1 (= 1) | root id 16 |
//! nonce 12`, `aad = header ‖ purpose` ([`RootPurpose::to_bytes`]).
//!
//! Nonces are random under one key: NIST SP 800-38D section 8.3 allows 2^32 of them. A deployment wraps a handful of
//! keys in a month.

use std::fmt;

use crate::aead::{self, NONCE_BYTES, TAG_BYTES};
use crate::error::CryptoError;
use crate::random;
use crate::root::{RootError, RootHolder, RootId, RootPurpose, RootSecret};
use crate::secret::SecretKey;

const FORMAT: u8 = 1;
const HEADER_BYTES: usize = 1 + 16 + NONCE_BYTES;

pub(crate) struct RootKey {
    id: RootId,
    key: SecretKey,
}

impl RootKey {
    pub(crate) fn new(id: [u8; 16], key: SecretKey) -> Self {
        Self { id: RootId::from_bytes(id), key }
    }

    pub(crate) fn random() -> Result<Self, CryptoError> {
        Ok(Self::new(random::random_array()?, SecretKey::random_of_ring()?))
    }

    pub(crate) fn expose_key(&self) -> &SecretKey {
        &self.key
    }

    fn wrap_with(
        &self,
        purpose: &RootPurpose<'_>,
        secret: &RootSecret,
        nonce: &[u8; NONCE_BYTES],
    ) -> Result<Vec<u8>, RootError> {
        let size = HEADER_BYTES + secret.expose().len() + TAG_BYTES;
        let mut wrapped = Vec::with_capacity(size);
        wrapped.push(FORMAT);
        wrapped.extend_from_slice(self.id.as_bytes());
        wrapped.extend_from_slice(nonce);
        let aad = [wrapped.as_slice(), &purpose.to_bytes()].concat();
        wrapped.resize(size, 0);
        let body = wrapped.get_mut(HEADER_BYTES..).ok_or(CryptoError::Module)?;
        aead::seal(self.key.expose(), nonce, &aad, secret.expose(), body)?;
        Ok(wrapped)
    }
}

impl RootHolder for RootKey {
    fn root_id(&self) -> RootId {
        self.id
    }

    fn wrap(&self, purpose: &RootPurpose<'_>, secret: &RootSecret) -> Result<Vec<u8>, RootError> {
        self.wrap_with(purpose, secret, &random::random_array()?)
    }

    fn unwrap(&self, purpose: &RootPurpose<'_>, wrapped: &[u8]) -> Result<RootSecret, RootError> {
        let parts = Wrapped::split(wrapped).ok_or(RootError::MalformedWrapping)?;
        if parts.root_id != self.id {
            return Err(RootError::OtherRoot { found: parts.root_id, ours: self.id });
        }
        let aad = [parts.header, &purpose.to_bytes()].concat();
        let mut secret = RootSecret::new(parts.ciphertext).map_err(|_| RootError::MalformedWrapping)?;
        let body = (parts.ciphertext, parts.tag);
        match aead::open("wrapped secret", self.key.expose(), parts.nonce, &aad, body, secret.expose_mut()) {
            Ok(()) => Ok(secret),
            Err(CryptoError::NotAuthentic { .. }) => Err(RootError::NotAuthentic),
            Err(error) => Err(error.into()),
        }
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootKey({})", self.id)
    }
}

struct Wrapped<'a> {
    ciphertext: &'a [u8],
    header: &'a [u8],
    nonce: &'a [u8; NONCE_BYTES],
    root_id: RootId,
    tag: &'a [u8; TAG_BYTES],
}

impl<'a> Wrapped<'a> {
    fn split(wrapped: &'a [u8]) -> Option<Self> {
        let header = wrapped.get(..HEADER_BYTES)?;
        let ([format], rest) = wrapped.split_first_chunk()?;
        let (root_id, rest) = rest.split_first_chunk()?;
        let (nonce, rest) = rest.split_first_chunk()?;
        let (ciphertext, tag) = rest.split_last_chunk()?;
        let root_id = RootId::from_bytes(*root_id);
        (*format == FORMAT).then_some(Self { ciphertext, header, nonce, root_id, tag })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{assert_absent, each_bit_flipped, fixed, hex, root};
    use crate::keyring::{Scope, ServicePurpose};
    use proptest::prelude::*;

    assert_absent!(RootKey: Clone, fmt::Display, std::ops::Deref, AsRef<[u8]>, PartialEq);

    const PURPOSE: RootPurpose<'_> = RootPurpose::DomainKey { scope: Scope::Global, version: 1 };

    fn secret(bytes: &[u8]) -> RootSecret {
        RootSecret::new(bytes).unwrap()
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let root = root(0x61);
        let wrapped = root.wrap(&PURPOSE, &secret(&[7; 32])).unwrap();
        each_bit_flipped(&wrapped, |altered| assert!(root.unwrap(&PURPOSE, altered).is_err()));
        assert_eq!(root.unwrap(&PURPOSE, &wrapped).unwrap().expose(), [7; 32]);
    }

    #[test]
    fn debug_says_the_id_only() {
        let root = RootKey::new([0x61; 16], SecretKey::random().unwrap());
        assert_eq!(format!("{root:?}"), format!("RootKey({})", "61".repeat(16)));
    }

    #[test]
    fn another_purpose_is_refused() {
        let root = root(0x61);
        let wrapped = root.wrap(&PURPOSE, &secret(&[7; 32])).unwrap();
        let region = crate::fixtures::region("us-east-1");
        for other in [
            RootPurpose::DomainKey { scope: Scope::Global, version: 2 },
            RootPurpose::DomainKey { scope: Scope::Region(&region), version: 1 },
            RootPurpose::ServiceKey { purpose: ServicePurpose::Marker, version: 1 },
        ] {
            assert!(matches!(root.unwrap(&other, &wrapped), Err(RootError::NotAuthentic)), "{other:?}");
        }
    }

    #[test]
    fn another_root_is_refused_by_name_and_by_key() {
        let wrapped = root(0x61).wrap(&PURPOSE, &secret(&[7; 32])).unwrap();
        let refused = root(0x62).unwrap(&PURPOSE, &wrapped).unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!(
                "the secret was wrapped by root key {}, this is root key {}",
                "61".repeat(16),
                "62".repeat(16)
            )
        );
        let namesake = RootKey::new([0x61; 16], SecretKey::random().unwrap());
        assert!(matches!(namesake.unwrap(&PURPOSE, &wrapped), Err(RootError::NotAuthentic)));
    }

    #[test]
    fn malformed_wrappings_are_refused() {
        let root = root(0x61);
        let wrapped = root.wrap(&PURPOSE, &secret(&[7; 64])).unwrap();
        let refuse = |bytes: &[u8]| matches!(root.unwrap(&PURPOSE, bytes), Err(RootError::MalformedWrapping));
        for length in 0..=HEADER_BYTES + TAG_BYTES {
            assert!(refuse(&wrapped[..length]), "{length} bytes");
        }
        assert!(refuse(&[wrapped.as_slice(), &[0]].concat()));
        let mut altered = wrapped.clone();
        altered[0] = 2;
        assert!(refuse(&altered));
        assert_eq!(root.unwrap(&PURPOSE, &wrapped).unwrap().expose(), [7; 64]);
    }

    /// Computed with the Python package `cryptography`: `AESGCM(root key).encrypt(nonce, secret, aad)`.
    #[test]
    fn golden_wrapped_secret() {
        let root = root(0x61);
        let nonce = fixed::<16>().nonce;
        let wrapped = root.wrap_with(&PURPOSE, &secret(&[0x11; 32]), &nonce).unwrap();
        assert_eq!(
            wrapped,
            hex("0161616161616161616161616161616161c0c1c2c3c4c5c6c7c8c9cacb1c61e2faafa697ac85f6ef\
                 53bd279ce0be3efb941359c7ae98a4842c9e53dff65a101a47b4f7a02eecace899467e3c46")
        );
        assert_eq!(root.unwrap(&PURPOSE, &wrapped).unwrap().expose(), [0x11; 32]);
    }

    proptest! {
        #[test]
        fn secrets_round_trip(bytes in proptest::collection::vec(any::<u8>(), 1..=64), version: u32) {
            let root = root(0x61);
            let purpose = RootPurpose::ServiceKey { purpose: ServicePurpose::Checkpoint, version };
            let wrapped = root.wrap(&purpose, &secret(&bytes)).unwrap();
            let unwrapped = root.unwrap(&purpose, &wrapped).unwrap();
            prop_assert_eq!(unwrapped.expose(), bytes.as_slice());
        }
    }
}
