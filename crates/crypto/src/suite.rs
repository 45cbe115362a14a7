//! Which algorithm does what for which key spec, and which library computes it: the one place that chooses.
//!
//! | keys | library | why |
//! |---|---|---|
//! | RSA, NIST curves, Ed25519, ML-DSA, ML-KEM, HMAC | AWS-LC through `aws-lc-rs` | everything that it can do |
//! | Ed25519ph, ML-DSA over an external mu, ML-KEM seeds | AWS-LC through `crypto-ffi` | `aws-lc-rs` does not offer them |
//! | secp256k1 | `k256` | no less constant in time than AWS-LC's generic curve code, and seven times as fast |
//! | SM2, SM3 | `sm2`, `sm3` | AWS-LC has neither |
//!
//! A build with the feature `fips` computes with AWS-LC's FIPS module, and what the module does not do is refused: secp256k1
//! and SM2 here, passphrases (Argon2id) in `root/passphrase.rs`.
//!
//! Sources: AWS KMS developer guide, "Key spec reference"; API reference, Sign, Verify, Encrypt, GenerateMac.

use strongroom_types::{KeySpec, KeyUsage};

use crate::error::CryptoError;

/// Whether this build computes with AWS-LC's FIPS module.
pub const IS_FIPS: bool = cfg!(feature = "fips");

/// Whether this build has keys of this spec: in one with the FIPS module, only those that the module computes with.
pub const fn is_offered(spec: KeySpec) -> bool {
    !(IS_FIPS && matches!(spec, KeySpec::EccSecgP256k1 | KeySpec::Sm2))
}

/// Refuses a spec that this build does not have.
pub(crate) const fn check_offered(spec: KeySpec) -> Result<(), CryptoError> {
    if is_offered(spec) { Ok(()) } else { Err(CryptoError::NotInModule) }
}

/// Makes sure that the module is the one that this build is for. AWS-LC's FIPS module tests itself when it is loaded, and
/// ends the process if it fails.
pub fn check_module() -> Result<(), CryptoError> {
    if IS_FIPS { aws_lc_rs::try_fips_mode().map_err(|_| CryptoError::NotInModule) } else { Ok(()) }
}

/// How a message is signed. AWS's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningAlgorithm {
    Ecdsa256,
    Ecdsa384,
    Ecdsa512,
    Ed25519,
    Ed25519Ph,
    MlDsa,
    RsaPkcs1Sha256,
    RsaPkcs1Sha384,
    RsaPkcs1Sha512,
    RsaPssSha256,
    RsaPssSha384,
    RsaPssSha512,
    Sm2Dsa,
}

/// How a few bytes are encrypted with a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicEncryption {
    /// RSAES-OAEP, SHA-1 for the label and for MGF1 (RFC 8017 section 7.1). SHA-1 is no weakness here.
    OaepSha1,
    OaepSha256,
    /// GM/T 0003.4 with SM3, in the ASN.1 of GM/T 0009.
    Sm2Pke,
}

/// What is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signed<'a> {
    /// A message that is hashed here.
    Message(&'a [u8]),
    /// A message's hash.
    Digest(&'a [u8]),
    /// The representative of a message, which ML-DSA's signer has computed elsewhere (FIPS 204 section 6.2).
    Mu(&'a [u8]),
}

const RSA_SIGNING: &[SigningAlgorithm] = &[
    SigningAlgorithm::RsaPkcs1Sha256,
    SigningAlgorithm::RsaPkcs1Sha384,
    SigningAlgorithm::RsaPkcs1Sha512,
    SigningAlgorithm::RsaPssSha256,
    SigningAlgorithm::RsaPssSha384,
    SigningAlgorithm::RsaPssSha512,
];

impl SigningAlgorithm {
    /// What keys of this spec sign with, in the order of AWS's answers.
    pub const fn of(spec: KeySpec) -> &'static [Self] {
        match spec {
            KeySpec::Rsa2048 | KeySpec::Rsa3072 | KeySpec::Rsa4096 => RSA_SIGNING,
            KeySpec::EccNistP256 | KeySpec::EccSecgP256k1 => &[Self::Ecdsa256],
            KeySpec::EccNistP384 => &[Self::Ecdsa384],
            KeySpec::EccNistP521 => &[Self::Ecdsa512],
            KeySpec::EccNistEdwards25519 => &[Self::Ed25519, Self::Ed25519Ph],
            KeySpec::MlDsa44 | KeySpec::MlDsa65 | KeySpec::MlDsa87 => &[Self::MlDsa],
            KeySpec::Sm2 => &[Self::Sm2Dsa],
            KeySpec::SymmetricDefault
            | KeySpec::Hmac224
            | KeySpec::Hmac256
            | KeySpec::Hmac384
            | KeySpec::Hmac512
            | KeySpec::MlKem512
            | KeySpec::MlKem768
            | KeySpec::MlKem1024 => &[],
        }
    }

    /// Bytes of a digest that is signed in place of its message; `None` where only messages are signed.
    pub const fn digest_bytes(self) -> Option<usize> {
        match self {
            Self::Ecdsa256 | Self::RsaPkcs1Sha256 | Self::RsaPssSha256 | Self::Sm2Dsa => Some(32),
            Self::Ecdsa384 | Self::RsaPkcs1Sha384 | Self::RsaPssSha384 => Some(48),
            Self::Ecdsa512 | Self::RsaPkcs1Sha512 | Self::RsaPssSha512 | Self::Ed25519Ph => Some(64),
            Self::Ed25519 | Self::MlDsa => None,
        }
    }
}

impl PublicEncryption {
    /// What keys of this spec encrypt with, in the order of AWS's answers.
    pub const fn of(spec: KeySpec) -> &'static [Self] {
        match spec {
            KeySpec::Rsa2048 | KeySpec::Rsa3072 | KeySpec::Rsa4096 => &[Self::OaepSha1, Self::OaepSha256],
            KeySpec::Sm2 => &[Self::Sm2Pke],
            _ => &[],
        }
    }

    /// The longest plaintext: `modulus − 2 · hash − 2` for OAEP; what AWS allows for SM2.
    pub const fn plaintext_bytes_max(self, spec: KeySpec) -> usize {
        let modulus = match spec {
            KeySpec::Rsa2048 => 256,
            KeySpec::Rsa3072 => 384,
            KeySpec::Rsa4096 => 512,
            _ => return 1024,
        };
        match self {
            Self::OaepSha1 => modulus - 42,
            Self::OaepSha256 => modulus - 66,
            Self::Sm2Pke => 1024,
        }
    }
}

/// Bytes of a spec's material as it is wrapped; `None` where it is a PKCS #8 document, which has no fixed length.
pub(crate) const fn secret_bytes(spec: KeySpec) -> Option<usize> {
    match spec {
        KeySpec::Hmac224 => Some(28),
        KeySpec::SymmetricDefault
        | KeySpec::Hmac256
        | KeySpec::EccNistEdwards25519
        | KeySpec::MlDsa44
        | KeySpec::MlDsa65
        | KeySpec::MlDsa87
        | KeySpec::Sm2 => Some(32),
        KeySpec::Hmac384 => Some(48),
        KeySpec::Hmac512 | KeySpec::MlKem512 | KeySpec::MlKem768 | KeySpec::MlKem1024 => Some(64),
        KeySpec::Rsa2048
        | KeySpec::Rsa3072
        | KeySpec::Rsa4096
        | KeySpec::EccNistP256
        | KeySpec::EccNistP384
        | KeySpec::EccNistP521
        | KeySpec::EccSecgP256k1 => None,
    }
}

/// Whether a key of this spec can be for this.
pub(crate) fn fits(spec: KeySpec, usage: KeyUsage) -> bool {
    spec.usages().contains(&usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usage_has_its_algorithms() {
        for spec in KeySpec::ALL {
            let signs = fits(*spec, KeyUsage::SignVerify);
            assert_eq!(signs, !SigningAlgorithm::of(*spec).is_empty(), "{spec}");
            let encrypts = fits(*spec, KeyUsage::EncryptDecrypt) && spec.is_asymmetric();
            assert_eq!(encrypts, !PublicEncryption::of(*spec).is_empty(), "{spec}");
        }
    }

    /// AWS KMS API reference, Encrypt: maximum size of the data.
    #[test]
    fn plaintext_limits_are_the_published_ones() {
        use KeySpec::{Rsa2048, Rsa3072, Rsa4096, Sm2};
        let limits = [Rsa2048, Rsa3072, Rsa4096].map(|spec| {
            [PublicEncryption::OaepSha1, PublicEncryption::OaepSha256]
                .map(|algorithm| algorithm.plaintext_bytes_max(spec))
        });
        assert_eq!(limits, [[214, 190], [342, 318], [470, 446]]);
        assert_eq!(PublicEncryption::Sm2Pke.plaintext_bytes_max(Sm2), 1024);
    }
}
