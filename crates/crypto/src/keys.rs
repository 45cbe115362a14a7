//! What customers' keys do, but for the symmetric ones' blobs: signatures, MACs, public-key encryption, agreement,
//! encapsulation; and how keys of every spec are made.
//!
//! A [`StoredKey`] is a key as its row has it. Its first use unwraps and parses the material into the slot of the wrapped
//! key, where it stays as long as the row is cached. Everything about the public half alone is done by [`PublicKey`], which
//! needs no secret.

use std::fmt;

use aws_lc_rs::hmac;
use strongroom_types::{KeyId, KeySpec, KeyUsage, MaterialId, Plaintext, RegionName};
use zeroize::Zeroizing;

use crate::asymmetric::{self, NewPair, PrivateKey, PublicKey};
use crate::error::CryptoError;
use crate::keyring::Keyring;
use crate::material::{KeyMaterial, Secret, WrappedKey};
use crate::random;
use crate::suite::{self, PublicEncryption, Signed, SigningAlgorithm};

/// A key as its row has it.
#[derive(Debug, Clone, Copy)]
pub struct StoredKey<'a> {
    pub key_id: &'a KeyId,
    pub region: &'a RegionName,
    pub spec: KeySpec,
    pub usage: KeyUsage,
    pub wrapped: &'a WrappedKey,
}

/// What is stored of a new key.
#[derive(Debug)]
pub struct NewKey {
    pub material_id: MaterialId,
    /// Of asymmetric keys.
    pub public_key: Option<PublicKey>,
    pub wrapped: WrappedKey,
}

/// A key pair that is handed out, and kept nowhere.
pub struct DataKeyPair {
    /// A PKCS #8 document.
    pub private_key: Plaintext,
    pub public_key: Vec<u8>,
}

impl Keyring {
    /// Makes a key of any spec and wraps it for its region.
    pub fn generate(
        &self,
        region: &RegionName,
        key_id: &KeyId,
        spec: KeySpec,
    ) -> Result<NewKey, CryptoError> {
        if spec == KeySpec::SymmetricDefault {
            let (material_id, wrapped) = self.generate_symmetric(region, key_id)?;
            return Ok(NewKey { material_id, public_key: None, wrapped });
        }
        let (bytes, public_key) = if spec.is_asymmetric() {
            let pair = self.new_pair(spec)?;
            (pair.secret, Some(PublicKey::from_der(&pair.public)?))
        } else {
            let size = suite::secret_bytes(spec).ok_or(CryptoError::Unsuited)?;
            let mut bytes = Zeroizing::new(vec![0; size]);
            random::fill(&mut bytes)?;
            (bytes, None)
        };
        let (material_id, wrapped) = self.wrap_new(region, key_id, &Secret { bytes, spec })?;
        Ok(NewKey { material_id, public_key, wrapped })
    }

    /// Makes a key pair for a caller.
    pub fn generate_data_key_pair(&self, spec: KeySpec) -> Result<DataKeyPair, CryptoError> {
        let pair = self.new_pair(spec)?;
        Ok(DataKeyPair { private_key: asymmetric::to_pkcs8(spec, &pair.secret)?, public_key: pair.public })
    }

    /// Signs. That the spec has the algorithm, and the algorithm the kind of input, is the caller's to see to: it is an error
    /// here.
    pub fn sign(
        &self,
        key: &StoredKey<'_>,
        algorithm: SigningAlgorithm,
        signed: Signed<'_>,
    ) -> Result<Vec<u8>, CryptoError> {
        if !SigningAlgorithm::of(key.spec).contains(&algorithm) {
            return Err(CryptoError::Unsuited);
        }
        self.private(key)?.sign(algorithm, signed)
    }

    /// `HMAC(key, message)` with the hash of the key's spec (RFC 2104, FIPS 198-1).
    pub fn generate_mac(&self, key: &StoredKey<'_>, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        Ok(hmac::sign(self.stored_material(key)?.mac()?, message).as_ref().to_vec())
    }

    /// Whether `mac` is what [`generate_mac`](Self::generate_mac) gives, compared in constant time.
    pub fn verify_mac(&self, key: &StoredKey<'_>, message: &[u8], mac: &[u8]) -> Result<bool, CryptoError> {
        Ok(hmac::verify(self.stored_material(key)?.mac()?, message, mac).is_ok())
    }

    /// Opens what was encrypted with the public half; `None` if it does not open.
    pub fn decrypt_with_private(
        &self,
        key: &StoredKey<'_>,
        algorithm: PublicEncryption,
        ciphertext: &[u8],
    ) -> Result<Option<Plaintext>, CryptoError> {
        self.private(key)?.decrypt(algorithm, ciphertext)
    }

    /// The secret that this key shares with a peer's public key; `None` if that is no public key, in DER, on this curve.
    pub fn derive_shared_secret(
        &self,
        key: &StoredKey<'_>,
        peer: &[u8],
    ) -> Result<Option<Plaintext>, CryptoError> {
        self.private(key)?.agree(peer)
    }

    /// The secret in an encapsulation; `None` for a wrong length. What is not the public half's doing gives a secret all the
    /// same, which nobody else has (implicit rejection).
    pub fn decapsulate(
        &self,
        key: &StoredKey<'_>,
        ciphertext: &[u8],
    ) -> Result<Option<Plaintext>, CryptoError> {
        self.private(key)?.decapsulate(ciphertext)
    }

    fn new_pair(&self, spec: KeySpec) -> Result<NewPair, CryptoError> {
        self.pool().take(spec).map_or_else(|| asymmetric::generate(spec), Ok)
    }

    fn private<'k>(&self, key: &StoredKey<'k>) -> Result<&'k PrivateKey, CryptoError> {
        self.stored_material(key)?.private()
    }

    fn stored_material<'k>(&self, key: &StoredKey<'k>) -> Result<&'k KeyMaterial, CryptoError> {
        // The row and the header of its material are sealed apart; they must tell the same.
        if key.wrapped.spec() != Some(key.spec) || !suite::fits(key.spec, key.usage) {
            return Err(CryptoError::Unsuited);
        }
        self.material(key.region, key.key_id, key.wrapped, key.usage)
    }
}

impl fmt::Debug for DataKeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKeyPair(..)")
    }
}

#[cfg(test)]
mod tests;
