//! P-256, P-384 and P-521 (FIPS 186-5, SP 800-56A) with AWS-LC: ECDSA in DER with random nonces, ECDH.

use aws_lc_rs::agreement::{
    self, ECDH_P256, ECDH_P384, ECDH_P521, ParsedPublicKey, ParsedPublicKeyFormat, UnparsedPublicKey,
};
use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1,
    ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair as _, VerificationAlgorithm,
};
use strongroom_types::{KeySpec, Plaintext};
use zeroize::Zeroizing;

use super::{NewPair, der, failed, malformed, unsuited};
use crate::error::CryptoError;
use crate::suite::{Signed, SigningAlgorithm};

/// One curve: how it signs, how it agrees, and its hash.
struct Curve {
    agreement: &'static agreement::Algorithm,
    algorithm: SigningAlgorithm,
    hash: &'static digest::Algorithm,
    /// Its AlgorithmIdentifier in DER: id-ecPublicKey and the curve's name (RFC 5480 section 2.1.1).
    identifier: &'static [u8],
    signing: &'static EcdsaSigningAlgorithm,
    verifying: &'static dyn VerificationAlgorithm,
}

fn curve(spec: KeySpec) -> Result<Curve, CryptoError> {
    Ok(match spec {
        KeySpec::EccNistP256 => Curve {
            agreement: &ECDH_P256,
            algorithm: SigningAlgorithm::Ecdsa256,
            hash: &digest::SHA256,
            identifier:
                b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
            signing: &ECDSA_P256_SHA256_ASN1_SIGNING,
            verifying: &ECDSA_P256_SHA256_ASN1,
        },
        KeySpec::EccNistP384 => Curve {
            agreement: &ECDH_P384,
            algorithm: SigningAlgorithm::Ecdsa384,
            hash: &digest::SHA384,
            identifier: b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22",
            signing: &ECDSA_P384_SHA384_ASN1_SIGNING,
            verifying: &ECDSA_P384_SHA384_ASN1,
        },
        KeySpec::EccNistP521 => Curve {
            agreement: &ECDH_P521,
            algorithm: SigningAlgorithm::Ecdsa512,
            hash: &digest::SHA512,
            identifier: b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23",
            signing: &ECDSA_P521_SHA512_ASN1_SIGNING,
            verifying: &ECDSA_P521_SHA512_ASN1,
        },
        _ => return Err(unsuited()),
    })
}

pub(super) fn generate(spec: KeySpec) -> Result<NewPair, CryptoError> {
    let pair = EcdsaKeyPair::generate(curve(spec)?.signing).map_err(failed)?;
    new_pair(&pair)
}

pub(super) fn new_pair(pair: &EcdsaKeyPair) -> Result<NewPair, CryptoError> {
    let document = pair.to_pkcs8v1().map_err(failed)?;
    Ok(NewPair { secret: Zeroizing::new(document.as_ref().to_vec()), public: public_of(pair)? })
}

fn public_of(pair: &EcdsaKeyPair) -> Result<Vec<u8>, CryptoError> {
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(failed)?;
    Ok(public.as_ref().to_vec())
}

pub(super) fn verifying(
    spec: KeySpec,
    algorithm: SigningAlgorithm,
) -> Result<(&'static dyn VerificationAlgorithm, &'static digest::Algorithm), CryptoError> {
    let curve = curve(spec)?;
    if curve.algorithm != algorithm {
        return Err(unsuited());
    }
    Ok((curve.verifying, curve.hash))
}

pub(crate) struct Sign {
    algorithm: SigningAlgorithm,
    hash: &'static digest::Algorithm,
    pair: EcdsaKeyPair,
}

impl Sign {
    pub(super) fn parse(spec: KeySpec, secret: &[u8]) -> Result<Self, CryptoError> {
        let Curve { algorithm, hash, signing, .. } = curve(spec)?;
        let pair = EcdsaKeyPair::from_pkcs8(signing, secret).map_err(|_| malformed())?;
        Ok(Self { algorithm, hash, pair })
    }

    pub(super) fn public_key(&self) -> Result<Vec<u8>, CryptoError> {
        public_of(&self.pair)
    }

    pub(super) fn sign(
        &self,
        algorithm: SigningAlgorithm,
        signed: Signed<'_>,
    ) -> Result<Vec<u8>, CryptoError> {
        if algorithm != self.algorithm {
            return Err(unsuited());
        }
        let signature = match signed {
            Signed::Message(message) => self.pair.sign(&SystemRandom::new(), message).map_err(failed)?,
            Signed::Digest(bytes) => {
                let digest = Digest::import_less_safe(bytes, self.hash).map_err(|_| unsuited())?;
                self.pair.sign_digest(&digest).map_err(failed)?
            }
            Signed::Mu(_) => return Err(unsuited()),
        };
        Ok(signature.as_ref().to_vec())
    }
}

pub(crate) struct Agree {
    identifier: &'static [u8],
    key: agreement::PrivateKey,
}

impl Agree {
    pub(super) fn parse(spec: KeySpec, secret: &[u8]) -> Result<Self, CryptoError> {
        let Curve { agreement, identifier, .. } = curve(spec)?;
        let key = agreement::PrivateKey::from_private_key_der(agreement, secret).map_err(|_| malformed())?;
        Ok(Self { identifier, key })
    }

    pub(super) fn public_key(&self) -> Result<Vec<u8>, CryptoError> {
        let public = self.key.compute_public_key().map_err(failed)?;
        let public: PublicKeyX509Der<'_> = public.as_der().map_err(failed)?;
        Ok(public.as_ref().to_vec())
    }

    /// AWS-LC checks that the peer's point is on the curve; the curves' cofactor is one. It would also take bare points, and
    /// curves that are spelled out instead of named, where all sorts of things can be wrong.
    pub(super) fn agree(&self, peer: &[u8]) -> Result<Option<Plaintext>, CryptoError> {
        if !der::one_sequence(peer).is_some_and(|content| content.starts_with(self.identifier)) {
            return Ok(None);
        }
        let Ok(parsed) = ParsedPublicKey::try_from(UnparsedPublicKey::new(self.key.algorithm(), peer)) else {
            return Ok(None);
        };
        if parsed.format() != ParsedPublicKeyFormat::X509 {
            return Ok(None);
        }
        let secret = agreement::agree(&self.key, parsed, CryptoError::Module, |secret| {
            Ok(Plaintext::new(secret.to_vec()))
        });
        secret.map(Some)
    }
}
