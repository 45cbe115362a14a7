//! SM2 (GM/T 0003; ISO/IEC 14888-3) with RustCrypto's `sm2`, which nobody has audited; AWS-LC has no SM2.
//!
//! Signatures are DER over SM3 with the standard's identity `1234567812345678`; ciphertexts are the ASN.1 of GM/T 0009.
//! Only the scalar is kept, wiped when dropped: that crate's own key types are not. Each use derives from it anew what it
//! needs, which costs one multiplication of the base point.

use sm2::dsa::signature::hazmat::{PrehashVerifier, RandomizedPrehashSigner};
use sm2::dsa::signature::{RandomizedSigner, Verifier};
use sm2::dsa::{DerSignature, Signature, SigningKey, VerifyingKey};
use sm2::elliptic_curve::point::AffineCoordinates;
use sm2::pkcs8::{DecodePublicKey, EncodePrivateKey, EncodePublicKey};
use sm2::pke::{DecryptingKey, EncryptingKey};
use sm2::{ProjectivePoint, PublicKey, SecretKey};
use strongroom_types::Plaintext;
use zeroize::Zeroizing;

use super::{NewPair, failed, malformed, unsuited};
use crate::error::CryptoError;
use crate::random::{self, AwsLcRng};
use crate::suite::{PublicEncryption, Signed, SigningAlgorithm};

const SCALAR_BYTES: usize = 32;
/// The signer's identity where none was agreed on (GM/T 0009 section 10).
const IDENTITY: &str = "1234567812345678";
/// A scalar that is drawn is not below the order once in four thousand million times.
const DRAWS_MAX: usize = 8;

pub(super) fn generate() -> Result<NewPair, CryptoError> {
    let mut secret = Zeroizing::new(vec![0; SCALAR_BYTES]);
    for _ in 0..DRAWS_MAX {
        random::fill(&mut secret)?;
        if let Ok(private) = Private::parse(&secret) {
            let public = private.public_key()?;
            return Ok(NewPair { secret, public });
        }
    }
    Err(CryptoError::Module)
}

pub(super) fn to_pkcs8(secret: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let document = scalar(secret)?.to_pkcs8_der().map_err(failed)?;
    Ok(document.as_bytes().to_vec())
}

/// Wiped when dropped.
fn scalar(secret: &[u8]) -> Result<SecretKey, CryptoError> {
    // The crate would take a shorter one, as if zeros stood before it.
    if secret.len() != SCALAR_BYTES {
        return Err(malformed());
    }
    SecretKey::from_slice(secret).map_err(|_| malformed())
}

pub(crate) struct Private(SecretKey);

impl Private {
    pub(super) fn parse(secret: &[u8]) -> Result<Self, CryptoError> {
        scalar(secret).map(Self)
    }

    pub(super) fn public_key(&self) -> Result<Vec<u8>, CryptoError> {
        let public = self.0.public_key().to_public_key_der().map_err(failed)?;
        Ok(public.as_bytes().to_vec())
    }

    pub(super) fn sign(
        &self,
        algorithm: SigningAlgorithm,
        signed: Signed<'_>,
    ) -> Result<Vec<u8>, CryptoError> {
        if algorithm != SigningAlgorithm::Sm2Dsa {
            return Err(unsuited());
        }
        let key = SigningKey::new(IDENTITY, &self.0).map_err(failed)?;
        let signature: Signature = match signed {
            Signed::Message(message) => key.try_sign_with_rng(&mut AwsLcRng, message).map_err(failed)?,
            Signed::Digest(bytes) if bytes.len() == SCALAR_BYTES => {
                key.sign_prehash_with_rng(&mut AwsLcRng, bytes).map_err(failed)?
            }
            Signed::Digest(_) | Signed::Mu(_) => return Err(unsuited()),
        };
        Ok(DerSignature::from(signature).as_bytes().to_vec())
    }

    pub(super) fn decrypt(
        &self,
        algorithm: PublicEncryption,
        ciphertext: &[u8],
    ) -> Result<Option<Plaintext>, CryptoError> {
        if algorithm != PublicEncryption::Sm2Pke {
            return Err(unsuited());
        }
        let plaintext = DecryptingKey::new(self.0.clone()).decrypt_der(ciphertext);
        Ok(plaintext.ok().map(Plaintext::new))
    }

    /// `x([d]Q)`; the cofactor is one.
    pub(super) fn agree(&self, peer: &[u8]) -> Result<Option<Plaintext>, CryptoError> {
        let Ok(peer) = PublicKey::from_public_key_der(peer) else { return Ok(None) };
        let scalar = Zeroizing::new(self.0.to_nonzero_scalar());
        let point = (ProjectivePoint::from(*peer.as_affine()) * **scalar).to_affine();
        Ok(Some(Plaintext::new(point.x().to_vec())))
    }
}

pub(super) fn verify(
    public: &[u8],
    algorithm: SigningAlgorithm,
    signed: Signed<'_>,
    signature: &[u8],
) -> Result<bool, CryptoError> {
    if algorithm != SigningAlgorithm::Sm2Dsa {
        return Err(unsuited());
    }
    let key = VerifyingKey::new(IDENTITY, parse_public(public)?).map_err(failed)?;
    let signature = Signature::from_der(signature);
    let verified =
        |verify: &dyn Fn(&Signature) -> bool| Ok(signature.is_ok_and(|signature| verify(&signature)));
    match signed {
        Signed::Message(message) => verified(&|signature| key.verify(message, signature).is_ok()),
        Signed::Digest(bytes) if bytes.len() == SCALAR_BYTES => {
            verified(&|signature| key.verify_prehash(bytes, signature).is_ok())
        }
        Signed::Digest(_) | Signed::Mu(_) => Err(unsuited()),
    }
}

pub(super) fn encrypt(
    public: &[u8],
    algorithm: PublicEncryption,
    plaintext: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    if algorithm != PublicEncryption::Sm2Pke {
        return Err(unsuited());
    }
    EncryptingKey::new(parse_public(public)?).encrypt_der(&mut AwsLcRng, plaintext).map_err(failed)
}

fn parse_public(public: &[u8]) -> Result<PublicKey, CryptoError> {
    PublicKey::from_public_key_der(public).map_err(|_| malformed())
}
