//! Key specs, usages and algorithms: between the model's names, the rows' and `crypto`'s; and which of them fit.
//!
//! The order of refusals is what AWS's answers show: the key's usage, its spec's algorithms, its state, then the rest.

use strongroom_crypto::{PublicEncryption, PublicKey, SigningAlgorithm};
use strongroom_pipeline::{Fault, Offers};
use strongroom_records::{KeyOrigin, KeyRow};
use strongroom_types::{KeySpec, KeyUsage, RegionName};
use strongroom_wire::{
    DataKeyPairSpec, EncapsulationAlgorithmSpec, EncryptionAlgorithmSpec, KeyAgreementAlgorithmSpec,
    KeySpec as WireKeySpec, KeyUsageType, MacAlgorithmSpec, OriginType, SigningAlgorithmSpec,
};

use crate::fault;

/// Two functions between an enumeration of the model and one of ours, with the same variants in both.
macro_rules! same_names {
    ($to_wire:ident, $from_wire:ident: $ours:ty, $wire:ty { $($variant:ident),+ $(,)? }) => {
        pub(crate) fn $to_wire(value: $ours) -> $wire {
            match value { $(<$ours>::$variant => <$wire>::$variant),+ }
        }

        pub(crate) fn $from_wire(value: $wire) -> $ours {
            match value { $(<$wire>::$variant => <$ours>::$variant),+ }
        }
    };
}

same_names!(wire_spec, spec_of: KeySpec, WireKeySpec {
    SymmetricDefault, Hmac224, Hmac256, Hmac384, Hmac512, Rsa2048, Rsa3072, Rsa4096, EccNistP256, EccNistP384,
    EccNistP521, EccSecgP256k1, EccNistEdwards25519, MlDsa44, MlDsa65, MlDsa87, MlKem512, MlKem768, MlKem1024, Sm2,
});

same_names!(wire_usage, usage_of: KeyUsage, KeyUsageType {
    EncryptDecrypt, SignVerify, GenerateVerifyMac, KeyAgreement, EncapsulateDecapsulate,
});

pub(crate) fn wire_origin(origin: KeyOrigin) -> OriginType {
    match origin {
        KeyOrigin::AwsKms => OriginType::AwsKms,
    }
}

pub(crate) fn pair_spec(spec: DataKeyPairSpec) -> KeySpec {
    match spec {
        DataKeyPairSpec::Rsa2048 => KeySpec::Rsa2048,
        DataKeyPairSpec::Rsa3072 => KeySpec::Rsa3072,
        DataKeyPairSpec::Rsa4096 => KeySpec::Rsa4096,
        DataKeyPairSpec::EccNistP256 => KeySpec::EccNistP256,
        DataKeyPairSpec::EccNistP384 => KeySpec::EccNistP384,
        DataKeyPairSpec::EccNistP521 => KeySpec::EccNistP521,
        DataKeyPairSpec::EccSecgP256k1 => KeySpec::EccSecgP256k1,
        DataKeyPairSpec::Sm2 => KeySpec::Sm2,
        DataKeyPairSpec::EccNistEdwards25519 => KeySpec::EccNistEdwards25519,
        DataKeyPairSpec::MlKem512 => KeySpec::MlKem512,
        DataKeyPairSpec::MlKem768 => KeySpec::MlKem768,
        DataKeyPairSpec::MlKem1024 => KeySpec::MlKem1024,
    }
}

pub(crate) fn signing_algorithm(algorithm: SigningAlgorithmSpec) -> SigningAlgorithm {
    match algorithm {
        SigningAlgorithmSpec::RsassaPssSha256 => SigningAlgorithm::RsaPssSha256,
        SigningAlgorithmSpec::RsassaPssSha384 => SigningAlgorithm::RsaPssSha384,
        SigningAlgorithmSpec::RsassaPssSha512 => SigningAlgorithm::RsaPssSha512,
        SigningAlgorithmSpec::RsassaPkcs1V15Sha256 => SigningAlgorithm::RsaPkcs1Sha256,
        SigningAlgorithmSpec::RsassaPkcs1V15Sha384 => SigningAlgorithm::RsaPkcs1Sha384,
        SigningAlgorithmSpec::RsassaPkcs1V15Sha512 => SigningAlgorithm::RsaPkcs1Sha512,
        SigningAlgorithmSpec::EcdsaSha256 => SigningAlgorithm::Ecdsa256,
        SigningAlgorithmSpec::EcdsaSha384 => SigningAlgorithm::Ecdsa384,
        SigningAlgorithmSpec::EcdsaSha512 => SigningAlgorithm::Ecdsa512,
        SigningAlgorithmSpec::Sm2dsa => SigningAlgorithm::Sm2Dsa,
        SigningAlgorithmSpec::MlDsaShake256 => SigningAlgorithm::MlDsa,
        SigningAlgorithmSpec::Ed25519Sha512 => SigningAlgorithm::Ed25519,
        SigningAlgorithmSpec::Ed25519PhSha512 => SigningAlgorithm::Ed25519Ph,
    }
}

fn wire_signing(algorithm: SigningAlgorithm) -> SigningAlgorithmSpec {
    match algorithm {
        SigningAlgorithm::RsaPssSha256 => SigningAlgorithmSpec::RsassaPssSha256,
        SigningAlgorithm::RsaPssSha384 => SigningAlgorithmSpec::RsassaPssSha384,
        SigningAlgorithm::RsaPssSha512 => SigningAlgorithmSpec::RsassaPssSha512,
        SigningAlgorithm::RsaPkcs1Sha256 => SigningAlgorithmSpec::RsassaPkcs1V15Sha256,
        SigningAlgorithm::RsaPkcs1Sha384 => SigningAlgorithmSpec::RsassaPkcs1V15Sha384,
        SigningAlgorithm::RsaPkcs1Sha512 => SigningAlgorithmSpec::RsassaPkcs1V15Sha512,
        SigningAlgorithm::Ecdsa256 => SigningAlgorithmSpec::EcdsaSha256,
        SigningAlgorithm::Ecdsa384 => SigningAlgorithmSpec::EcdsaSha384,
        SigningAlgorithm::Ecdsa512 => SigningAlgorithmSpec::EcdsaSha512,
        SigningAlgorithm::Sm2Dsa => SigningAlgorithmSpec::Sm2dsa,
        SigningAlgorithm::MlDsa => SigningAlgorithmSpec::MlDsaShake256,
        SigningAlgorithm::Ed25519 => SigningAlgorithmSpec::Ed25519Sha512,
        SigningAlgorithm::Ed25519Ph => SigningAlgorithmSpec::Ed25519PhSha512,
    }
}

pub(crate) fn wire_encryption(algorithm: PublicEncryption) -> EncryptionAlgorithmSpec {
    match algorithm {
        PublicEncryption::OaepSha1 => EncryptionAlgorithmSpec::RsaesOaepSha1,
        PublicEncryption::OaepSha256 => EncryptionAlgorithmSpec::RsaesOaepSha256,
        PublicEncryption::Sm2Pke => EncryptionAlgorithmSpec::Sm2pke,
    }
}

/// How the algorithm encrypts with a public key; `None` for the one of symmetric keys.
pub(crate) fn public_encryption(algorithm: EncryptionAlgorithmSpec) -> Option<PublicEncryption> {
    match algorithm {
        EncryptionAlgorithmSpec::SymmetricDefault => None,
        EncryptionAlgorithmSpec::RsaesOaepSha1 => Some(PublicEncryption::OaepSha1),
        EncryptionAlgorithmSpec::RsaesOaepSha256 => Some(PublicEncryption::OaepSha256),
        EncryptionAlgorithmSpec::Sm2pke => Some(PublicEncryption::Sm2Pke),
    }
}

/// The MAC that keys of this spec make: one each.
pub(crate) fn mac_algorithm(spec: KeySpec) -> Option<MacAlgorithmSpec> {
    match spec {
        KeySpec::Hmac224 => Some(MacAlgorithmSpec::HmacSha224),
        KeySpec::Hmac256 => Some(MacAlgorithmSpec::HmacSha256),
        KeySpec::Hmac384 => Some(MacAlgorithmSpec::HmacSha384),
        KeySpec::Hmac512 => Some(MacAlgorithmSpec::HmacSha512),
        _ => None,
    }
}

/// The algorithms that answers about a key list: the one list that belongs to its usage (AWS KMS API reference,
/// KeyMetadata).
#[derive(Debug, Default)]
pub(crate) struct Algorithms {
    pub(crate) agreement: Option<Vec<KeyAgreementAlgorithmSpec>>,
    pub(crate) encapsulation: Option<Vec<EncapsulationAlgorithmSpec>>,
    pub(crate) encryption: Option<Vec<EncryptionAlgorithmSpec>>,
    pub(crate) mac: Option<Vec<MacAlgorithmSpec>>,
    pub(crate) signing: Option<Vec<SigningAlgorithmSpec>>,
}

impl Algorithms {
    pub(crate) fn of(spec: KeySpec, usage: KeyUsage) -> Self {
        let mut lists = Self::default();
        match usage {
            KeyUsage::EncryptDecrypt if spec == KeySpec::SymmetricDefault => {
                lists.encryption = Some(vec![EncryptionAlgorithmSpec::SymmetricDefault]);
            }
            KeyUsage::EncryptDecrypt => {
                let algorithms = PublicEncryption::of(spec).iter().copied().map(wire_encryption);
                lists.encryption = Some(algorithms.collect());
            }
            KeyUsage::SignVerify => {
                lists.signing = Some(SigningAlgorithm::of(spec).iter().copied().map(wire_signing).collect());
            }
            KeyUsage::GenerateVerifyMac => lists.mac = Some(mac_algorithm(spec).into_iter().collect()),
            KeyUsage::KeyAgreement => lists.agreement = Some(vec![KeyAgreementAlgorithmSpec::Ecdh]),
            KeyUsage::EncapsulateDecapsulate => {
                lists.encapsulation = Some(vec![EncapsulationAlgorithmSpec::MlKem]);
            }
        }
        lists
    }

    /// The list's name as CloudTrail has it, and what it holds.
    pub(crate) fn named(&self) -> (&'static str, Vec<&'static str>) {
        if let Some(list) = &self.signing {
            ("signingAlgorithms", list.iter().map(|algorithm| algorithm.as_str()).collect())
        } else if let Some(list) = &self.mac {
            ("macAlgorithms", list.iter().map(|algorithm| algorithm.as_str()).collect())
        } else if let Some(list) = &self.agreement {
            ("keyAgreementAlgorithms", list.iter().map(|algorithm| algorithm.as_str()).collect())
        } else if let Some(list) = &self.encapsulation {
            ("encapsulationAlgorithms", list.iter().map(|algorithm| algorithm.as_str()).collect())
        } else {
            let list = self.encryption.iter().flatten();
            ("encryptionAlgorithms", list.map(|algorithm| algorithm.as_str()).collect())
        }
    }
}

/// Refuses to make SM2 keys in a region that does not have them.
pub(crate) fn check_region(spec: KeySpec, region: &RegionName, offers: &Offers) -> Result<(), Fault> {
    if spec == KeySpec::Sm2 && !offers.has_sm2(region) {
        return Err(fault::unsupported(format_args!("KeySpec {spec} is not supported in region {region}")));
    }
    Ok(())
}

/// Refuses a key that is for something else.
pub(crate) fn check_usage(key: &KeyRow, usage: KeyUsage, operation: &str) -> Result<(), Fault> {
    if key.usage() == usage { Ok(()) } else { Err(fault::key_usage(key.arn(), key.usage(), operation)) }
}

/// The public half of an asymmetric key. That a row has none is no caller's fault.
pub(crate) fn public_key(key: &KeyRow) -> Result<&PublicKey, Fault> {
    key.public_key().ok_or_else(|| Fault::internal(NoPublicKey))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the row of an asymmetric key has no public key")]
struct NoPublicKey;
