//! ML-DSA (FIPS 204) with AWS-LC: hedged, the context string empty. A mu that was computed elsewhere goes through
//! `crypto-ffi`.

use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{
    KeyPair as _, ML_DSA_44, ML_DSA_44_SIGNING, ML_DSA_65, ML_DSA_65_SIGNING, ML_DSA_87, ML_DSA_87_SIGNING,
    PqdsaKeyPair, PqdsaSigningAlgorithm, VerificationAlgorithm,
};
use strongroom_crypto_ffi::{MlDsa, MlDsaKey, ml_dsa_verify_mu};
use strongroom_types::KeySpec;
use zeroize::Zeroizing;

use super::{NewPair, failed, malformed, unsuited};
use crate::error::CryptoError;
use crate::random;
use crate::suite::{Signed, SigningAlgorithm};

const SEED_BYTES: usize = 32;

struct Set {
    mu: MlDsa,
    signing: &'static PqdsaSigningAlgorithm,
    verifying: &'static dyn VerificationAlgorithm,
}

fn set(spec: KeySpec) -> Result<Set, CryptoError> {
    Ok(match spec {
        KeySpec::MlDsa44 => Set { mu: MlDsa::MlDsa44, signing: &ML_DSA_44_SIGNING, verifying: &ML_DSA_44 },
        KeySpec::MlDsa65 => Set { mu: MlDsa::MlDsa65, signing: &ML_DSA_65_SIGNING, verifying: &ML_DSA_65 },
        KeySpec::MlDsa87 => Set { mu: MlDsa::MlDsa87, signing: &ML_DSA_87_SIGNING, verifying: &ML_DSA_87 },
        _ => return Err(unsuited()),
    })
}

pub(super) fn generate(spec: KeySpec) -> Result<NewPair, CryptoError> {
    let mut secret = Zeroizing::new(vec![0; SEED_BYTES]);
    random::fill(&mut secret)?;
    let public = Private::parse(spec, &secret)?.public_key()?;
    Ok(NewPair { secret, public })
}

pub(super) fn verifying(spec: KeySpec) -> Result<&'static dyn VerificationAlgorithm, CryptoError> {
    Ok(set(spec)?.verifying)
}

pub(crate) struct Private {
    /// Made when the first mu is to be signed.
    for_mu: OnceLock<MlDsaKey>,
    pair: PqdsaKeyPair,
    seed: Zeroizing<[u8; SEED_BYTES]>,
    set: Set,
}

impl Private {
    pub(super) fn parse(spec: KeySpec, secret: &[u8]) -> Result<Self, CryptoError> {
        let set = set(spec)?;
        let pair = PqdsaKeyPair::from_seed(set.signing, secret).map_err(|_| malformed())?;
        let mut seed = Zeroizing::new([0; SEED_BYTES]);
        seed.copy_from_slice(secret.first_chunk::<SEED_BYTES>().ok_or(malformed())?);
        Ok(Self { for_mu: OnceLock::new(), pair, seed, set })
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
            (SigningAlgorithm::MlDsa, Signed::Message(message)) => {
                let mut signature = vec![0; self.set.signing.signature_len()];
                let length = self.pair.sign(message, &mut signature).map_err(failed)?;
                signature.truncate(length);
                Ok(signature)
            }
            (SigningAlgorithm::MlDsa, Signed::Mu(mu)) => {
                let mu = mu.try_into().map_err(|_| unsuited())?;
                self.key_for_mu()?.sign_mu(mu).ok_or(CryptoError::Module)
            }
            _ => Err(unsuited()),
        }
    }

    fn key_for_mu(&self) -> Result<&MlDsaKey, CryptoError> {
        if self.for_mu.get().is_none() {
            let key = MlDsaKey::from_seed(self.set.mu, &self.seed).ok_or(CryptoError::Module)?;
            // Another thread may have been faster; both made the same.
            let _ = self.for_mu.set(key);
        }
        self.for_mu.get().ok_or(CryptoError::Module)
    }
}

pub(super) fn verify_mu(
    spec: KeySpec,
    public: &[u8],
    mu: &[u8],
    signature: &[u8],
) -> Result<bool, CryptoError> {
    let set = set(spec)?.mu;
    let mu = mu.try_into().map_err(|_| unsuited())?;
    // The key is the end of its SubjectPublicKeyInfo.
    let start = public.len().checked_sub(set.public_key_bytes()).ok_or(malformed())?;
    let public = public.get(start..).ok_or(malformed())?;
    Ok(ml_dsa_verify_mu(set, public, mu, signature))
}
