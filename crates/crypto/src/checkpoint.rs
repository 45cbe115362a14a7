//! Signatures over audit checkpoints: Ed25519 (RFC 8032), so that whoever holds the public key can check the trail
//! without asking this service.
//!
//! Formula: `signature = Ed25519(checkpoint seed, "strongroom/checkpoint/v1" ‖ 00 ‖ checkpoint)`. The label keeps the
//! signature from meaning anything elsewhere.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::error::CryptoError;
use crate::keyring::Keyring;
use crate::secret::SecretKey;

const LABEL: &[u8] = b"strongroom/checkpoint/v1\0";

impl Keyring {
    /// Signs one checkpoint of the audit trail.
    pub fn sign_checkpoint(&self, checkpoint: &[u8]) -> Result<[u8; 64], CryptoError> {
        let signature =
            self.checkpoint_key().try_sign(&labelled(checkpoint)).map_err(|_| CryptoError::Module)?;
        signature.as_ref().try_into().map_err(|_| CryptoError::Module)
    }

    /// The key that verifies what [`Self::sign_checkpoint`] signs.
    pub fn checkpoint_public_key(&self) -> Result<[u8; 32], CryptoError> {
        self.checkpoint_key().public_key().as_ref().try_into().map_err(|_| CryptoError::Module)
    }
}

/// Whether `signature` was made over `checkpoint` by the holder of `public_key`'s other half.
pub fn verify_checkpoint(
    public_key: &[u8; 32],
    checkpoint: &[u8],
    signature: &[u8; 64],
) -> Result<(), CryptoError> {
    UnparsedPublicKey::new(&ED25519, public_key)
        .verify(&labelled(checkpoint), signature)
        .map_err(|_| CryptoError::NotAuthentic { what: "checkpoint" })
}

/// The key pair of a seed. AWS-LC keeps it and wipes it when it is freed.
pub(crate) fn key_pair(seed: &SecretKey) -> Result<Ed25519KeyPair, CryptoError> {
    Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(|_| CryptoError::Module)
}

fn labelled(checkpoint: &[u8]) -> Vec<u8> {
    [LABEL, checkpoint].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{each_bit_flipped, hex, keyring, secret_key};

    #[test]
    fn every_flipped_bit_is_refused() {
        let keyring = keyring();
        let (key, signature) =
            (keyring.checkpoint_public_key().unwrap(), keyring.sign_checkpoint(b"point").unwrap());
        each_bit_flipped(&signature, |altered| {
            assert!(verify_checkpoint(&key, b"point", altered.try_into().unwrap()).is_err());
        });
        each_bit_flipped(b"point", |altered| assert!(verify_checkpoint(&key, altered, &signature).is_err()));
        each_bit_flipped(&key, |altered| {
            assert!(verify_checkpoint(altered.try_into().unwrap(), b"point", &signature).is_err());
        });
        verify_checkpoint(&key, b"point", &signature).unwrap();
    }

    #[test]
    fn a_signature_without_the_label_is_refused() {
        let keyring = keyring();
        let bare = keyring.checkpoint_key().sign(b"point");
        let key = keyring.checkpoint_public_key().unwrap();
        assert!(verify_checkpoint(&key, b"point", bare.as_ref().try_into().unwrap()).is_err());
    }

    /// RFC 8032 section 7.1, tests 1 and 2.
    #[test]
    fn ed25519_vectors_hold() {
        for (seed, public_key, message, signature) in [
            (
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                "",
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b\
                 d25bf5f0595bbe24655141438e7a100b",
            ),
            (
                "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
                "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
                "72",
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c\
                 387b2eaeb4302aeeb00d291612bb0c00",
            ),
        ] {
            let mut key = secret_key(0);
            key.expose_mut().copy_from_slice(&hex(seed));
            let pair = key_pair(&key).unwrap();
            assert_eq!(pair.public_key().as_ref(), hex(public_key));
            assert_eq!(pair.sign(&hex(message)).as_ref(), hex(signature));
        }
    }

    /// Computed with the Python package `cryptography`: `Ed25519PrivateKey.sign(label + checkpoint)`.
    #[test]
    fn golden_checkpoint() {
        let keyring = keyring();
        assert_eq!(
            keyring.checkpoint_public_key().unwrap().to_vec(),
            hex("db995fe25169d141cab9bbba92baa01f9f2e1ece7df4cb2ac05190f37fcc1f9d")
        );
        assert_eq!(
            keyring.sign_checkpoint(b"a checkpoint").unwrap().to_vec(),
            hex("ab97c8dce982f1600a9e1c5964ace9a6e9b9a2c6e7d88453d7039847910ca95641e0d035dfb790e6\
                 9acf1b798ffd7c6e64420a5ef89d840d044eb2bb0c864c09")
        );
    }
}
