//! Keys with two halves: making them, and what each half can do.
//!
//! A private half is made of its secret bytes, whose form depends on the spec: a PKCS #8 document (RFC 5958) for RSA, the
//! NIST curves and secp256k1; the seed for Ed25519, ML-DSA and ML-KEM; the scalar for SM2. A public half is always a DER
//! SubjectPublicKeyInfo (RFC 5280). Which library does the work is said in [`suite`](crate::suite).
//!
//! A parsed private half belongs to one usage: a key has one for life, and AWS-LC parses for it. `Ok(None)` and
//! `Ok(false)` are answers about what the caller sent; an error is about the key.

pub(crate) mod der;
mod edwards;
mod ml_dsa;
mod ml_kem;
mod nist;
mod public;
mod rsa;
mod secp256k1;
mod sm2;

use std::fmt;

use strongroom_types::{KeySpec, KeyUsage, Plaintext};
use zeroize::Zeroizing;

use crate::error::CryptoError;
use crate::suite::{self, PublicEncryption, Signed, SigningAlgorithm};

pub use public::{Encapsulated, PublicKey};

const WHAT: &str = "private key";

/// Both halves of a new key.
pub(crate) struct NewPair {
    pub(crate) secret: Zeroizing<Vec<u8>>,
    pub(crate) public: Vec<u8>,
}

/// Makes a key of an asymmetric spec.
pub(crate) fn generate(spec: KeySpec) -> Result<NewPair, CryptoError> {
    suite::check_offered(spec)?;
    match spec {
        KeySpec::Rsa2048 | KeySpec::Rsa3072 | KeySpec::Rsa4096 => rsa::generate(spec),
        KeySpec::EccNistP256 | KeySpec::EccNistP384 | KeySpec::EccNistP521 => nist::generate(spec),
        KeySpec::EccSecgP256k1 => secp256k1::generate(),
        KeySpec::EccNistEdwards25519 => edwards::generate(),
        KeySpec::MlDsa44 | KeySpec::MlDsa65 | KeySpec::MlDsa87 => ml_dsa::generate(spec),
        KeySpec::MlKem512 | KeySpec::MlKem768 | KeySpec::MlKem1024 => ml_kem::generate(spec),
        KeySpec::Sm2 => sm2::generate(),
        KeySpec::SymmetricDefault
        | KeySpec::Hmac224
        | KeySpec::Hmac256
        | KeySpec::Hmac384
        | KeySpec::Hmac512 => Err(unsuited()),
    }
}

/// The secret as a PKCS #8 document, for whoever is handed a key pair.
pub(crate) fn to_pkcs8(spec: KeySpec, secret: &[u8]) -> Result<Plaintext, CryptoError> {
    let document = match spec {
        KeySpec::EccNistEdwards25519 => edwards::to_pkcs8(secret),
        KeySpec::MlKem512 | KeySpec::MlKem768 | KeySpec::MlKem1024 => ml_kem::to_pkcs8(spec, secret)?,
        KeySpec::Sm2 => sm2::to_pkcs8(secret)?,
        KeySpec::Rsa2048
        | KeySpec::Rsa3072
        | KeySpec::Rsa4096
        | KeySpec::EccNistP256
        | KeySpec::EccNistP384
        | KeySpec::EccNistP521
        | KeySpec::EccSecgP256k1 => secret.to_vec(),
        _ => return Err(unsuited()),
    };
    Ok(Plaintext::new(document))
}

/// The public half that belongs to a secret, in DER.
pub(crate) fn public_of(spec: KeySpec, secret: &[u8]) -> Result<Vec<u8>, CryptoError> {
    // Whatever the key is for: parsed for signing or agreeing, each half gives the other.
    let usage = spec.usages().last().ok_or(unsuited())?;
    PrivateKey::parse(spec, *usage, secret)?.public_key()
}

/// The private half of a key, parsed for its one usage. Not outside this crate.
///
/// Each in an allocation of its own size: what a larger one had room for would be whatever lay on the stack when the key was
/// moved there, parts of the secret perhaps, and nobody would wipe it.
pub(crate) enum PrivateKey {
    Edwards(Box<edwards::Private>),
    MlDsa(Box<ml_dsa::Private>),
    MlKem(Box<ml_kem::Private>),
    NistAgree(Box<nist::Agree>),
    NistSign(Box<nist::Sign>),
    RsaDecrypt(Box<rsa::Decrypt>),
    RsaSign(Box<rsa::Sign>),
    Secp256k1(Box<secp256k1::Private>),
    Sm2(Box<sm2::Private>),
}

impl PrivateKey {
    pub(crate) fn parse(spec: KeySpec, usage: KeyUsage, secret: &[u8]) -> Result<Self, CryptoError> {
        use KeyUsage::{EncapsulateDecapsulate, EncryptDecrypt, KeyAgreement, SignVerify};
        suite::check_offered(spec)?;
        Ok(match (spec, usage) {
            (KeySpec::Rsa2048 | KeySpec::Rsa3072 | KeySpec::Rsa4096, EncryptDecrypt) => {
                Self::RsaDecrypt(Box::new(rsa::Decrypt::parse(spec, secret)?))
            }
            (KeySpec::Rsa2048 | KeySpec::Rsa3072 | KeySpec::Rsa4096, SignVerify) => {
                Self::RsaSign(Box::new(rsa::Sign::parse(spec, secret)?))
            }
            (KeySpec::EccNistP256 | KeySpec::EccNistP384 | KeySpec::EccNistP521, SignVerify) => {
                Self::NistSign(Box::new(nist::Sign::parse(spec, secret)?))
            }
            (KeySpec::EccNistP256 | KeySpec::EccNistP384 | KeySpec::EccNistP521, KeyAgreement) => {
                Self::NistAgree(Box::new(nist::Agree::parse(spec, secret)?))
            }
            (KeySpec::EccSecgP256k1, SignVerify) => {
                Self::Secp256k1(Box::new(secp256k1::Private::parse(secret)?))
            }
            (KeySpec::EccNistEdwards25519, SignVerify) => {
                Self::Edwards(Box::new(edwards::Private::parse(secret)?))
            }
            (KeySpec::MlDsa44 | KeySpec::MlDsa65 | KeySpec::MlDsa87, SignVerify) => {
                Self::MlDsa(Box::new(ml_dsa::Private::parse(spec, secret)?))
            }
            (KeySpec::MlKem512 | KeySpec::MlKem768 | KeySpec::MlKem1024, EncapsulateDecapsulate) => {
                Self::MlKem(Box::new(ml_kem::Private::parse(spec, secret)?))
            }
            (KeySpec::Sm2, EncryptDecrypt | SignVerify | KeyAgreement) => {
                Self::Sm2(Box::new(sm2::Private::parse(secret)?))
            }
            _ => return Err(unsuited()),
        })
    }

    fn public_key(&self) -> Result<Vec<u8>, CryptoError> {
        match self {
            Self::Edwards(key) => key.public_key(),
            Self::MlDsa(key) => key.public_key(),
            Self::MlKem(key) => Ok(key.public_key().to_vec()),
            Self::NistAgree(key) => key.public_key(),
            Self::NistSign(key) => key.public_key(),
            // AWS-LC does not give it back from a key for OAEP.
            Self::RsaDecrypt(_) => Err(unsuited()),
            Self::RsaSign(key) => key.public_key(),
            Self::Secp256k1(key) => key.public_key(),
            Self::Sm2(key) => key.public_key(),
        }
    }

    pub(crate) fn sign(
        &self,
        algorithm: SigningAlgorithm,
        signed: Signed<'_>,
    ) -> Result<Vec<u8>, CryptoError> {
        match self {
            Self::Edwards(key) => key.sign(algorithm, signed),
            Self::MlDsa(key) => key.sign(algorithm, signed),
            Self::NistSign(key) => key.sign(algorithm, signed),
            Self::RsaSign(key) => key.sign(algorithm, signed),
            Self::Secp256k1(key) => key.sign(algorithm, signed),
            Self::Sm2(key) => key.sign(algorithm, signed),
            Self::MlKem(_) | Self::NistAgree(_) | Self::RsaDecrypt(_) => Err(unsuited()),
        }
    }

    /// `None` for a ciphertext that does not open: why is not said.
    pub(crate) fn decrypt(
        &self,
        algorithm: PublicEncryption,
        ciphertext: &[u8],
    ) -> Result<Option<Plaintext>, CryptoError> {
        match self {
            Self::RsaDecrypt(key) => key.decrypt(algorithm, ciphertext),
            Self::Sm2(key) => key.decrypt(algorithm, ciphertext),
            _ => Err(unsuited()),
        }
    }

    /// The x-coordinate of the shared point (SP 800-56A section 5.7.1.2); `None` for a `peer` that is no public key in DER
    /// on this key's curve.
    pub(crate) fn agree(&self, peer: &[u8]) -> Result<Option<Plaintext>, CryptoError> {
        match self {
            Self::NistAgree(key) => key.agree(peer),
            Self::Sm2(key) => key.agree(peer),
            _ => Err(unsuited()),
        }
    }

    /// `ML-KEM.Decaps` (FIPS 203 section 7.3): `None` for a ciphertext of another length; every other one gives a secret.
    pub(crate) fn decapsulate(&self, ciphertext: &[u8]) -> Result<Option<Plaintext>, CryptoError> {
        match self {
            Self::MlKem(key) => key.decapsulate(ciphertext),
            _ => Err(unsuited()),
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

/// A key was asked for what it cannot do. Callers are refused before that: this is a bug, or a row that is not what it was.
fn unsuited() -> CryptoError {
    CryptoError::Unsuited
}

fn malformed() -> CryptoError {
    CryptoError::Malformed { what: WHAT }
}

/// For `map_err`: AWS-LC says no more than that it failed.
fn failed<E>(_: E) -> CryptoError {
    CryptoError::Module
}

#[cfg(test)]
mod tests;
