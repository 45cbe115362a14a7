//! Ed25519 and Ed25519ph (RFC 8032) with AWS-LC.
//!
//! AWS KMS signs with `ED25519_PH_SHA_512` over a digest that the caller has made, and yet applies the pre-hash of
//! Ed25519ph to it: the caller's digest is hashed a second time (AWS KMS developer guide, "Supported signing algorithms").
//! Whoever verifies elsewhere takes the digest for the message.

use aws_lc_rs::digest::{SHA512, digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, VerificationAlgorithm};
use zeroize::Zeroizing;

use super::{NewPair, failed, malformed, unsuited};
use crate::error::CryptoError;
use crate::random;
use crate::suite::{Signed, SigningAlgorithm};

const SEED_BYTES: usize = 32;
/// RFC 8410 section 7: version 0, id-Ed25519, an OCTET STRING in an OCTET STRING.
const PKCS8_HEAD: [u8; 16] =
    [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, SEED_BYTES as u8];

pub(super) fn generate() -> Result<NewPair, CryptoError> {
    let mut secret = Zeroizing::new(vec![0; SEED_BYTES]);
    random::fill(&mut secret)?;
    let public = Private::parse(&secret)?.public_key()?;
    Ok(NewPair { secret, public })
}

pub(super) fn to_pkcs8(seed: &[u8]) -> Vec<u8> {
    [&PKCS8_HEAD, seed].concat()
}

pub(super) fn verifying() -> &'static dyn VerificationAlgorithm {
    &ED25519
}

pub(crate) struct Private {
    pair: Ed25519KeyPair,
    /// Ed25519ph begins with it.
    seed: Zeroizing<[u8; SEED_BYTES]>,
}

impl Private {
    pub(super) fn parse(secret: &[u8]) -> Result<Self, CryptoError> {
        let mut seed = Zeroizing::new([0; SEED_BYTES]);
        seed.copy_from_slice(secret.first_chunk::<SEED_BYTES>().ok_or(malformed())?);
        let pair = Ed25519KeyPair::from_seed_unchecked(secret).map_err(|_| malformed())?;
        Ok(Self { pair, seed })
    }

    pub(super) fn public_key(&self) -> Result<Vec<u8>, CryptoError> {
        let public: PublicKeyX509Der<'_> = self.pair.public_key().as_der().map_err(failed)?;
        Ok(public.as_ref().to_vec())
    }

    pub(super) fn sign(
        &self,
        algorithm: SigningAlgorithm,
        signed: Signed<'_>,
    ) -> Result<Vec<u8>, CryptoError> {
        match (algorithm, signed) {
            (SigningAlgorithm::Ed25519, Signed::Message(message)) => {
                Ok(self.pair.try_sign(message).map_err(failed)?.as_ref().to_vec())
            }
            (SigningAlgorithm::Ed25519Ph, Signed::Digest(bytes)) => {
                let signature = strongroom_crypto_ffi::ed25519ph_sign(&self.seed, &second_hash(bytes)?);
                Ok(signature.ok_or(CryptoError::Module)?.to_vec())
            }
            _ => Err(unsuited()),
        }
    }
}

/// Verifies Ed25519ph; AWS-LC's own verifier does the rest.
pub(super) fn verify_prehashed(
    public: &[u8],
    signed: Signed<'_>,
    signature: &[u8],
) -> Result<bool, CryptoError> {
    let Signed::Digest(bytes) = signed else { return Err(unsuited()) };
    let hash = second_hash(bytes)?;
    // The key is the end of its SubjectPublicKeyInfo.
    let public: &[u8; 32] = public.last_chunk().ok_or(malformed())?;
    let Ok(signature) = signature.try_into() else { return Ok(false) };
    Ok(strongroom_crypto_ffi::ed25519ph_verify(public, &hash, signature))
}

fn second_hash(bytes: &[u8]) -> Result<[u8; 64], CryptoError> {
    if bytes.len() != 64 {
        return Err(unsuited());
    }
    digest(&SHA512, bytes).as_ref().try_into().map_err(failed)
}
