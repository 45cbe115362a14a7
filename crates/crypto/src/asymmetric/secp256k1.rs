//! ECDSA with SHA-256 on secp256k1 (SEC 2) with `k256`. AWS-LC draws the keys and hashes the messages.
//!
//! Signatures have a low s, as every chain demands; one with a high s verifies all the same, as at AWS. The nonce is
//! RFC 6979's with fresh random bytes mixed in (section 3.6), so that neither a bad generator nor a fault in one of two
//! computations gives the key away.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256K1_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use k256::ecdsa::signature::hazmat::{PrehashVerifier, RandomizedPrehashSigner};
use k256::ecdsa::{DerSignature, Signature, SigningKey, VerifyingKey};
use k256::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePublicKey};

use super::{NewPair, failed, malformed, nist, unsuited};
use crate::error::CryptoError;
use crate::random::AwsLcRng;
use crate::suite::{Signed, SigningAlgorithm};

const DIGEST_BYTES: usize = 32;

pub(super) fn generate() -> Result<NewPair, CryptoError> {
    nist::new_pair(&EcdsaKeyPair::generate(&ECDSA_P256K1_SHA256_ASN1_SIGNING).map_err(failed)?)
}

/// Wiped when dropped: `k256` does it.
pub(crate) struct Private(SigningKey);

impl Private {
    pub(super) fn parse(secret: &[u8]) -> Result<Self, CryptoError> {
        let key = k256::SecretKey::from_pkcs8_der(secret).map_err(|_| malformed())?;
        Ok(Self(SigningKey::from(&key)))
    }

    pub(super) fn public_key(&self) -> Result<Vec<u8>, CryptoError> {
        let public = self.0.verifying_key().to_public_key_der().map_err(failed)?;
        Ok(public.as_bytes().to_vec())
    }

    pub(super) fn sign(
        &self,
        algorithm: SigningAlgorithm,
        signed: Signed<'_>,
    ) -> Result<Vec<u8>, CryptoError> {
        let hash = hash(algorithm, signed)?;
        let signature: DerSignature = self.0.sign_prehash_with_rng(&mut AwsLcRng, &hash).map_err(failed)?;
        Ok(signature.as_bytes().to_vec())
    }
}

pub(super) fn verify(
    public: &[u8],
    algorithm: SigningAlgorithm,
    signed: Signed<'_>,
    signature: &[u8],
) -> Result<bool, CryptoError> {
    let hash = hash(algorithm, signed)?;
    let key = VerifyingKey::from_public_key_der(public).map_err(|_| malformed())?;
    let Ok(signature) = Signature::from_der(signature) else { return Ok(false) };
    Ok(key.verify_prehash(&hash, &signature.normalize_s()).is_ok())
}

fn hash(algorithm: SigningAlgorithm, signed: Signed<'_>) -> Result<[u8; DIGEST_BYTES], CryptoError> {
    if algorithm != SigningAlgorithm::Ecdsa256 {
        return Err(unsuited());
    }
    match signed {
        Signed::Message(message) => digest(&SHA256, message).as_ref().try_into().map_err(failed),
        Signed::Digest(bytes) => bytes.try_into().map_err(|_| unsuited()),
        Signed::Mu(_) => Err(unsuited()),
    }
}
