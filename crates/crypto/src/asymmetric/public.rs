//! The public half of a key, as its row keeps it and as callers get it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{Algorithm, Digest};
use aws_lc_rs::signature::{ParsedPublicKey, UnparsedPublicKey, VerificationAlgorithm};
use strongroom_types::limits::PUBLIC_KEY_BYTES_MAX;
use strongroom_types::{KeySpec, Plaintext};

use super::{edwards, malformed, ml_dsa, ml_kem, nist, rsa, secp256k1, sm2, unsuited};
use crate::error::CryptoError;
use crate::suite::{self, PublicEncryption, Signed, SigningAlgorithm};

/// A DER SubjectPublicKeyInfo (RFC 5280 section 4.1). No secret.
///
/// A private slot keeps it parsed for the algorithm it first verified with, which for nearly every key is the only one.
/// Clones share it.
#[derive(Clone)]
pub struct PublicKey(Arc<Public>);

struct Public {
    der: Box<[u8]>,
    parsed: OnceLock<(SigningAlgorithm, ParsedPublicKey)>,
}

/// What `Encapsulate` gives: a secret, and how the holder of the private half comes by it.
pub struct Encapsulated {
    pub ciphertext: Vec<u8>,
    pub shared_secret: Plaintext,
}

impl PublicKey {
    /// Takes the bytes as they were stored. Whether they are a key is seen when they are used.
    pub fn from_der(der: &[u8]) -> Result<Self, CryptoError> {
        if der.len() > PUBLIC_KEY_BYTES_MAX {
            return Err(CryptoError::TooLarge { max_bytes: PUBLIC_KEY_BYTES_MAX, what: "public key" });
        }
        Ok(Self(Arc::new(Public { der: der.into(), parsed: OnceLock::new() })))
    }

    pub fn as_der(&self) -> &[u8] {
        &self.0.der
    }

    /// Whether it is a signature of this key over what was signed. That the spec has the algorithm, and the algorithm the
    /// kind of input, is the caller's to see to: it is an error here.
    pub fn verify(
        &self,
        spec: KeySpec,
        algorithm: SigningAlgorithm,
        signed: Signed<'_>,
        signature: &[u8],
    ) -> Result<bool, CryptoError> {
        suite::check_offered(spec)?;
        match spec {
            KeySpec::Rsa2048 | KeySpec::Rsa3072 | KeySpec::Rsa4096 => {
                let (verifying, hash) = rsa::verifying(algorithm)?;
                self.verify_with(algorithm, verifying, Some(hash), signed, signature)
            }
            KeySpec::EccNistP256 | KeySpec::EccNistP384 | KeySpec::EccNistP521 => {
                let (verifying, hash) = nist::verifying(spec, algorithm)?;
                self.verify_with(algorithm, verifying, Some(hash), signed, signature)
            }
            KeySpec::EccSecgP256k1 => secp256k1::verify(self.as_der(), algorithm, signed, signature),
            KeySpec::EccNistEdwards25519 => match algorithm {
                SigningAlgorithm::Ed25519 => {
                    self.verify_with(algorithm, edwards::verifying(), None, signed, signature)
                }
                SigningAlgorithm::Ed25519Ph => edwards::verify_prehashed(self.as_der(), signed, signature),
                _ => Err(unsuited()),
            },
            KeySpec::MlDsa44 | KeySpec::MlDsa65 | KeySpec::MlDsa87 => match (algorithm, signed) {
                (SigningAlgorithm::MlDsa, Signed::Mu(mu)) => {
                    ml_dsa::verify_mu(spec, self.as_der(), mu, signature)
                }
                (SigningAlgorithm::MlDsa, _) => {
                    self.verify_with(algorithm, ml_dsa::verifying(spec)?, None, signed, signature)
                }
                _ => Err(unsuited()),
            },
            KeySpec::Sm2 => sm2::verify(self.as_der(), algorithm, signed, signature),
            _ => Err(unsuited()),
        }
    }

    /// Encrypts for the holder of the private half. `plaintext` is within the algorithm's limit.
    pub fn encrypt(
        &self,
        spec: KeySpec,
        algorithm: PublicEncryption,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        suite::check_offered(spec)?;
        match spec {
            KeySpec::Rsa2048 | KeySpec::Rsa3072 | KeySpec::Rsa4096 => {
                rsa::encrypt(self.as_der(), algorithm, plaintext)
            }
            KeySpec::Sm2 => sm2::encrypt(self.as_der(), algorithm, plaintext),
            _ => Err(unsuited()),
        }
    }

    /// `ML-KEM.Encaps` (FIPS 203 section 7.2).
    pub fn encapsulate(&self, spec: KeySpec) -> Result<Encapsulated, CryptoError> {
        ml_kem::encapsulate(spec, self.as_der())
    }

    /// Verifies with AWS-LC. Without a hash the algorithm takes messages only.
    fn verify_with(
        &self,
        algorithm: SigningAlgorithm,
        verifying: &'static dyn VerificationAlgorithm,
        hash: Option<&'static Algorithm>,
        signed: Signed<'_>,
        signature: &[u8],
    ) -> Result<bool, CryptoError> {
        let parsed = self.parsed(algorithm, verifying)?;
        match (signed, hash) {
            (Signed::Message(message), _) => Ok(match parsed {
                Some(key) => key.verify_sig(message, signature),
                None => UnparsedPublicKey::new(verifying, self.as_der()).verify(message, signature),
            }
            .is_ok()),
            (Signed::Digest(bytes), Some(hash)) => {
                let digest = Digest::import_less_safe(bytes, hash).map_err(|_| unsuited())?;
                Ok(match parsed {
                    Some(key) => key.verify_digest_sig(&digest, signature),
                    None => {
                        UnparsedPublicKey::new(verifying, self.as_der()).verify_digest(&digest, signature)
                    }
                }
                .is_ok())
            }
            (Signed::Digest(_) | Signed::Mu(_), _) => Err(unsuited()),
        }
    }

    /// The key parsed for this algorithm; `None` if the slot holds it for another one.
    fn parsed(
        &self,
        algorithm: SigningAlgorithm,
        verifying: &'static dyn VerificationAlgorithm,
    ) -> Result<Option<&ParsedPublicKey>, CryptoError> {
        let slot = &self.0.parsed;
        if slot.get().is_none() {
            let key = ParsedPublicKey::new(verifying, self.as_der()).map_err(|_| malformed())?;
            // Another thread may have been faster, maybe with another algorithm.
            let _ = slot.set((algorithm, key));
        }
        Ok(slot.get().filter(|(held, _)| *held == algorithm).map(|(_, key)| key))
    }
}

/// Equal when the bytes are; the slot does not count.
impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.as_der() == other.as_der()
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} bytes)", self.as_der().len())
    }
}

impl<C> minicbor::Encode<C> for PublicKey {
    fn encode<W: minicbor::encode::Write>(
        &self,
        encoder: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        encoder.bytes(self.as_der())?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for PublicKey {
    fn decode(decoder: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::from_der(decoder.bytes()?).map_err(minicbor::decode::Error::message)
    }
}
