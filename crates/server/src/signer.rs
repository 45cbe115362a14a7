//! The keyring as the journal's signer of checkpoints: two crates that do not know each other, joined here.

use std::sync::Arc;

use strongroom_audit::{CheckpointSignError, CheckpointSigner, CheckpointVerifier, Verdict};
use strongroom_crypto::{CryptoError, Keyring, verify_checkpoint};

pub struct Signer {
    keyring: Arc<Keyring>,
    public_key: [u8; 32],
}

impl Signer {
    pub fn new(keyring: Arc<Keyring>) -> Result<Self, CryptoError> {
        let public_key = keyring.checkpoint_public_key()?;
        Ok(Self { keyring, public_key })
    }
}

impl CheckpointSigner for Signer {
    fn sign(&self, bytes: &[u8]) -> Result<[u8; 64], CheckpointSignError> {
        self.keyring.sign_checkpoint(bytes).map_err(|error| CheckpointSignError(Box::new(error)))
    }

    fn public_key(&self) -> [u8; 32] {
        self.public_key
    }
}

impl CheckpointVerifier for Signer {
    fn verify(&self, public_key: &[u8; 32], bytes: &[u8], signature: &[u8; 64]) -> Verdict {
        if *public_key != self.public_key {
            return Verdict::UnknownKey;
        }
        match verify_checkpoint(public_key, bytes, signature) {
            Ok(()) => Verdict::Valid,
            Err(_) => Verdict::Invalid,
        }
    }
}
