//! ML-KEM (FIPS 203) with AWS-LC. Keys are kept as their seeds `d ‖ z`, from which `crypto-ffi` expands them; the documents
//! are RFC 9935's.

use aws_lc_rs::kem::{
    Algorithm, AlgorithmId, Ciphertext, DecapsulationKey, EncapsulationKey, ML_KEM_512, ML_KEM_768,
    ML_KEM_1024,
};
use strongroom_crypto_ffi::{ML_KEM_SEED_BYTES as SEED_BYTES, MlKem, ml_kem_expand};
use strongroom_types::{KeySpec, Plaintext};
use zeroize::Zeroizing;

use super::public::Encapsulated;
use super::{NewPair, der, failed, malformed, unsuited};
use crate::error::CryptoError;
use crate::random;

/// 2.16.840.1.101.3.4.4, without its last number: 1 to 3 by size.
const OID_HEAD: [u8; 8] = [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 4];

struct Set {
    algorithm: &'static Algorithm<AlgorithmId>,
    ciphertext_bytes: usize,
    expanding: MlKem,
    oid_end: u8,
}

fn set(spec: KeySpec) -> Result<Set, CryptoError> {
    Ok(match spec {
        KeySpec::MlKem512 => {
            Set { algorithm: &ML_KEM_512, ciphertext_bytes: 768, expanding: MlKem::MlKem512, oid_end: 1 }
        }
        KeySpec::MlKem768 => {
            Set { algorithm: &ML_KEM_768, ciphertext_bytes: 1088, expanding: MlKem::MlKem768, oid_end: 2 }
        }
        KeySpec::MlKem1024 => {
            Set { algorithm: &ML_KEM_1024, ciphertext_bytes: 1568, expanding: MlKem::MlKem1024, oid_end: 3 }
        }
        _ => return Err(unsuited()),
    })
}

impl Set {
    fn oid(&self) -> Vec<u8> {
        [&OID_HEAD[..], &[self.oid_end]].concat()
    }

    /// Version 0, the algorithm, and the seed as `[0] IMPLICIT OCTET STRING` (RFC 9935 section 6).
    fn pkcs8(&self, seed: &[u8; SEED_BYTES]) -> Vec<u8> {
        let head = [0x30, 0x54, 2, 1, 0, 0x30, 0x0b, 6, 9];
        [&head[..], &OID_HEAD, &[self.oid_end, 4, 0x42, 0x80, SEED_BYTES as u8], seed].concat()
    }
}

pub(super) fn generate(spec: KeySpec) -> Result<NewPair, CryptoError> {
    let mut secret = Zeroizing::new(vec![0; SEED_BYTES]);
    random::fill(&mut secret)?;
    let public = Private::parse(spec, &secret)?.public_key;
    Ok(NewPair { secret, public })
}

pub(super) fn to_pkcs8(spec: KeySpec, seed: &[u8]) -> Result<Vec<u8>, CryptoError> {
    Ok(set(spec)?.pkcs8(seed.try_into().map_err(|_| malformed())?))
}

pub(crate) struct Private {
    ciphertext_bytes: usize,
    key: DecapsulationKey,
    public_key: Vec<u8>,
}

impl Private {
    pub(super) fn parse(spec: KeySpec, secret: &[u8]) -> Result<Self, CryptoError> {
        let set = set(spec)?;
        let seed = secret.try_into().map_err(|_| malformed())?;
        let expanded = ml_kem_expand(set.expanding, seed).ok_or(malformed())?;
        let key = DecapsulationKey::new(set.algorithm, &expanded.decapsulation_key).map_err(failed)?;
        let public_key = der::public_key(&set.oid(), &expanded.encapsulation_key);
        Ok(Self { ciphertext_bytes: set.ciphertext_bytes, key, public_key })
    }

    pub(super) fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    pub(super) fn decapsulate(&self, ciphertext: &[u8]) -> Result<Option<Plaintext>, CryptoError> {
        if ciphertext.len() != self.ciphertext_bytes {
            return Ok(None);
        }
        let secret = self.key.decapsulate(Ciphertext::from(ciphertext)).map_err(failed)?;
        Ok(Some(Plaintext::new(secret.as_ref().to_vec())))
    }
}

pub(super) fn encapsulate(spec: KeySpec, public: &[u8]) -> Result<Encapsulated, CryptoError> {
    let set = set(spec)?;
    // The key is the end of its SubjectPublicKeyInfo.
    let start = public.len().checked_sub(set.expanding.encapsulation_key_bytes()).ok_or(malformed())?;
    let raw = public.get(start..).ok_or(malformed())?;
    let key = EncapsulationKey::new(set.algorithm, raw).map_err(|_| malformed())?;
    let (ciphertext, secret) = key.encapsulate().map_err(failed)?;
    Ok(Encapsulated {
        ciphertext: ciphertext.as_ref().to_vec(),
        shared_secret: Plaintext::new(secret.as_ref().to_vec()),
    })
}
