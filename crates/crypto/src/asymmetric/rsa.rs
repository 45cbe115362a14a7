//! RSA (RFC 8017) with AWS-LC: signatures in PKCS #1 v1.5 and PSS, encryption with OAEP. The exponent is 65537.
//!
//! OAEP's decryption does not show in its time or its answer why it failed (Manger's attack): AWS-LC sees to the first,
//! `None` for everything to the second.

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{
    KeyPair, KeySize, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPrivateDecryptingKey,
    OaepPublicEncryptingKey, PrivateDecryptingKey, PublicEncryptingKey,
};
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding,
    VerificationAlgorithm,
};
use strongroom_types::{KeySpec, Plaintext};
use zeroize::Zeroizing;

use super::{NewPair, failed, malformed, unsuited};
use crate::error::CryptoError;
use crate::suite::{PublicEncryption, Signed, SigningAlgorithm};

pub(super) fn generate(spec: KeySpec) -> Result<NewPair, CryptoError> {
    let size = match spec {
        KeySpec::Rsa2048 => KeySize::Rsa2048,
        KeySpec::Rsa3072 => KeySize::Rsa3072,
        KeySpec::Rsa4096 => KeySize::Rsa4096,
        _ => return Err(unsuited()),
    };
    let pair = KeyPair::generate(size).map_err(failed)?;
    let secret: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
    let secret = Zeroizing::new(secret.as_ref().to_vec());
    Ok(NewPair { secret, public: public_of(&pair)? })
}

fn public_of(pair: &KeyPair) -> Result<Vec<u8>, CryptoError> {
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(failed)?;
    Ok(public.as_ref().to_vec())
}

fn modulus_bytes(spec: KeySpec) -> usize {
    match spec {
        KeySpec::Rsa2048 => 256,
        KeySpec::Rsa3072 => 384,
        _ => 512,
    }
}

pub(crate) struct Sign(KeyPair);

impl Sign {
    pub(super) fn parse(spec: KeySpec, secret: &[u8]) -> Result<Self, CryptoError> {
        let pair = KeyPair::from_pkcs8(secret).map_err(|_| malformed())?;
        if pair.public_modulus_len() != modulus_bytes(spec) {
            return Err(malformed());
        }
        Ok(Self(pair))
    }

    pub(super) fn public_key(&self) -> Result<Vec<u8>, CryptoError> {
        public_of(&self.0)
    }

    pub(super) fn sign(
        &self,
        algorithm: SigningAlgorithm,
        signed: Signed<'_>,
    ) -> Result<Vec<u8>, CryptoError> {
        let (encoding, hash) = signing(algorithm)?;
        let mut signature = vec![0; self.0.public_modulus_len()];
        match signed {
            Signed::Message(message) => {
                self.0.sign(encoding, &SystemRandom::new(), message, &mut signature).map_err(failed)?;
            }
            Signed::Digest(bytes) => {
                let digest = Digest::import_less_safe(bytes, hash).map_err(|_| unsuited())?;
                self.0.sign_digest(encoding, &digest, &mut signature).map_err(failed)?;
            }
            Signed::Mu(_) => return Err(unsuited()),
        }
        Ok(signature)
    }
}

fn signing(
    algorithm: SigningAlgorithm,
) -> Result<(&'static dyn RsaEncoding, &'static digest::Algorithm), CryptoError> {
    Ok(match algorithm {
        SigningAlgorithm::RsaPkcs1Sha256 => (&RSA_PKCS1_SHA256, &digest::SHA256),
        SigningAlgorithm::RsaPkcs1Sha384 => (&RSA_PKCS1_SHA384, &digest::SHA384),
        SigningAlgorithm::RsaPkcs1Sha512 => (&RSA_PKCS1_SHA512, &digest::SHA512),
        SigningAlgorithm::RsaPssSha256 => (&RSA_PSS_SHA256, &digest::SHA256),
        SigningAlgorithm::RsaPssSha384 => (&RSA_PSS_SHA384, &digest::SHA384),
        SigningAlgorithm::RsaPssSha512 => (&RSA_PSS_SHA512, &digest::SHA512),
        _ => return Err(unsuited()),
    })
}

/// How AWS-LC verifies, and the hash of the message.
pub(super) fn verifying(
    algorithm: SigningAlgorithm,
) -> Result<(&'static dyn VerificationAlgorithm, &'static digest::Algorithm), CryptoError> {
    Ok(match algorithm {
        SigningAlgorithm::RsaPkcs1Sha256 => (&RSA_PKCS1_2048_8192_SHA256, &digest::SHA256),
        SigningAlgorithm::RsaPkcs1Sha384 => (&RSA_PKCS1_2048_8192_SHA384, &digest::SHA384),
        SigningAlgorithm::RsaPkcs1Sha512 => (&RSA_PKCS1_2048_8192_SHA512, &digest::SHA512),
        SigningAlgorithm::RsaPssSha256 => (&RSA_PSS_2048_8192_SHA256, &digest::SHA256),
        SigningAlgorithm::RsaPssSha384 => (&RSA_PSS_2048_8192_SHA384, &digest::SHA384),
        SigningAlgorithm::RsaPssSha512 => (&RSA_PSS_2048_8192_SHA512, &digest::SHA512),
        _ => return Err(unsuited()),
    })
}

pub(crate) struct Decrypt(OaepPrivateDecryptingKey);

impl Decrypt {
    pub(super) fn parse(spec: KeySpec, secret: &[u8]) -> Result<Self, CryptoError> {
        let key = PrivateDecryptingKey::from_pkcs8(secret).map_err(|_| malformed())?;
        if key.key_size_bytes() != modulus_bytes(spec) {
            return Err(malformed());
        }
        OaepPrivateDecryptingKey::new(key).map(Self).map_err(failed)
    }

    pub(super) fn decrypt(
        &self,
        algorithm: PublicEncryption,
        ciphertext: &[u8],
    ) -> Result<Option<Plaintext>, CryptoError> {
        let algorithm = oaep(algorithm)?;
        let mut buffer = Zeroizing::new(vec![0; self.0.min_output_size()]);
        // RFC 8017 section 7.1.2, step 1b. AWS-LC would take a shorter one, as if zeros stood before it.
        if ciphertext.len() != self.0.key_size_bytes() {
            return Ok(None);
        }
        match self.0.decrypt(algorithm, ciphertext, &mut buffer, None) {
            Ok(plaintext) => Ok(Some(Plaintext::new(plaintext.to_vec()))),
            Err(_) => Ok(None),
        }
    }
}

/// `plaintext` is within the algorithm's limit.
pub(super) fn encrypt(
    public: &[u8],
    algorithm: PublicEncryption,
    plaintext: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    let algorithm = oaep(algorithm)?;
    let key = PublicEncryptingKey::from_der(public).map_err(|_| malformed())?;
    let key = OaepPublicEncryptingKey::new(key).map_err(failed)?;
    let mut ciphertext = vec![0; key.ciphertext_size()];
    let length = key.encrypt(algorithm, plaintext, &mut ciphertext, None).map_err(failed)?.len();
    ciphertext.truncate(length);
    Ok(ciphertext)
}

fn oaep(algorithm: PublicEncryption) -> Result<&'static OaepAlgorithm, CryptoError> {
    match algorithm {
        PublicEncryption::OaepSha1 => Ok(&OAEP_SHA1_MGF1SHA1),
        PublicEncryption::OaepSha256 => Ok(&OAEP_SHA256_MGF1SHA256),
        PublicEncryption::Sm2Pke => Err(unsuited()),
    }
}
