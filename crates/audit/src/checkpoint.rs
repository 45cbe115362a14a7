//! Checkpoints: signed statements of how far the journal reached and what the store held.
//!
//! A chain alone shows a change only to who knows a later link. A checkpoint's signature fixes the chain at its place:
//! whoever rewrites records before it must forge the signature. What follows the last checkpoint, and the removal of
//! the whole end of the journal, no signature can show.

use strongroom_types::Timestamp;
use strongroom_types::limits::AUDIT_CHECKPOINT_STATE_BYTES_MAX;

use crate::format::{CHAIN_BYTES, Chain, put, take, take_u64};

const CHAIN_AT: usize = 8;
const PUBLIC_KEY_AT: usize = CHAIN_AT + CHAIN_BYTES + 8;
const SIGNATURE_AT: usize = PUBLIC_KEY_AT + 32;
const STATE_AT: usize = SIGNATURE_AT + 64;

/// Signs checkpoints with Ed25519 (RFC 8032). The key is a service key; `crypto` holds it, and puts its label for
/// checkpoints before the bytes, as the verifier does.
pub trait CheckpointSigner: Send + Sync {
    fn sign(&self, bytes: &[u8]) -> Result<[u8; 64], CheckpointSignError>;

    /// The public half of the key that signs now.
    fn public_key(&self) -> [u8; 32];
}

/// The key cannot be used. The record is then written without a signature, and the log says why.
#[derive(Debug, thiserror::Error)]
#[error("the checkpoint could not be signed")]
pub struct CheckpointSignError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Judges the signature of a checkpoint. The implementor knows which public keys are the deployment's own: a key that
/// merely stands in the file proves nothing.
pub trait CheckpointVerifier: Send + Sync {
    fn verify(&self, public_key: &[u8; 32], bytes: &[u8], signature: &[u8; 64]) -> Verdict;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Invalid,
    UnknownKey,
    Valid,
}

/// `sequence be64 | chain 32 | time be64 | public key 32 | signature 64 | state`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The last record before this one.
    pub sequence: u64,
    /// That record's link of the chain.
    pub chain: [u8; 32],
    pub time: Timestamp,
    pub public_key: [u8; 32],
    /// All zero if the key could not be used.
    pub signature: [u8; 64],
    /// The store's state as the caller gave it; empty if none was given.
    pub state: Vec<u8>,
}

impl Checkpoint {
    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let rest = &mut { payload };
        let checkpoint = Self {
            sequence: take_u64(rest)?,
            chain: take(rest)?,
            time: Timestamp::from_millis(take_u64(rest)?),
            public_key: take(rest)?,
            signature: take(rest)?,
            state: rest.to_vec(),
        };
        (checkpoint.state.len() <= AUDIT_CHECKPOINT_STATE_BYTES_MAX).then_some(checkpoint)
    }

    pub fn is_signed(&self) -> bool {
        self.signature != [0; 64]
    }

    /// What the signature covers, behind `crypto`'s label: everything but the signature.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = self.sequence.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.chain);
        bytes.extend_from_slice(&self.time.as_millis().to_be_bytes());
        bytes.extend_from_slice(&self.public_key);
        bytes.extend_from_slice(&self.state);
        bytes
    }
}

/// Appends a payload whose chain, key and signature are still open: the chain is known only when the record is sealed.
pub(crate) fn append_open(out: &mut Vec<u8>, sequence: u64, time: Timestamp, state: &[u8]) {
    out.extend_from_slice(&sequence.to_be_bytes());
    out.extend_from_slice(&[0; CHAIN_BYTES]);
    out.extend_from_slice(&time.as_millis().to_be_bytes());
    out.extend_from_slice(&[0; STATE_AT - PUBLIC_KEY_AT]);
    out.extend_from_slice(state);
}

/// Fills in what [`append_open`] left open; false if `payload` is not such a payload.
pub(crate) fn seal(payload: &mut [u8], chain: &Chain, signer: &dyn CheckpointSigner) -> bool {
    if !put(payload, CHAIN_AT, chain) || !put(payload, PUBLIC_KEY_AT, &signer.public_key()) {
        return false;
    }
    let Some(checkpoint) = Checkpoint::decode(payload) else { return false };
    match signer.sign(&checkpoint.signed_bytes()) {
        Ok(signature) => put(payload, SIGNATURE_AT, &signature),
        Err(error) => {
            // The record keeps its place: a missing signature must not stop the trail, and `verify` reports it.
            tracing::error!(sequence = checkpoint.sequence, error = %error, "audit checkpoint is not signed");
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{BrokenSigner, TestSigner};

    fn sealed(signer: &dyn CheckpointSigner) -> Vec<u8> {
        let mut payload = Vec::new();
        append_open(&mut payload, 7, Timestamp::from_millis(0x0102), b"state");
        assert!(seal(&mut payload, &[0xcc; 32], signer));
        payload
    }

    #[test]
    fn short_payload_is_refused() {
        assert_eq!(Checkpoint::decode(&[0; STATE_AT - 1]), None);
        assert!(!seal(&mut [0; STATE_AT - 1], &[0; 32], &TestSigner::new()));
        assert_eq!(Checkpoint::decode(&[0; STATE_AT + AUDIT_CHECKPOINT_STATE_BYTES_MAX + 1]), None);
        assert!(Checkpoint::decode(&[0; STATE_AT + AUDIT_CHECKPOINT_STATE_BYTES_MAX]).is_some());
    }

    #[test]
    fn unusable_key_leaves_the_checkpoint_unsigned() {
        let checkpoint = Checkpoint::decode(&sealed(&BrokenSigner)).unwrap();
        assert!(!checkpoint.is_signed());
        assert_eq!(checkpoint.chain, [0xcc; 32]);
    }

    #[test]
    fn checkpoint_has_its_golden_bytes() {
        let signer = TestSigner::new();
        let payload = sealed(&signer);
        let parts =
            [&[0, 0, 0, 0, 0, 0, 0, 7][..], &[0xcc; 32], &[0, 0, 0, 0, 0, 0, 1, 2], &signer.public_key()];
        assert_eq!(payload[..SIGNATURE_AT], parts.concat());
        assert_eq!(&payload[STATE_AT..], b"state");
        let signed = [&parts.concat()[..], b"state"].concat();
        assert_eq!(payload[SIGNATURE_AT..STATE_AT], signer.sign(&signed).unwrap());
    }

    #[test]
    fn change_of_any_signed_byte_is_found() {
        let signer = TestSigner::new();
        let payload = sealed(&signer);
        for at in 0..payload.len() {
            let mut changed = payload.clone();
            changed[at] ^= 1;
            let checkpoint = Checkpoint::decode(&changed).unwrap();
            let verdict =
                signer.verify(&checkpoint.public_key, &checkpoint.signed_bytes(), &checkpoint.signature);
            assert_ne!(verdict, Verdict::Valid, "byte {at}");
        }
        let checkpoint = Checkpoint::decode(&payload).unwrap();
        let verdict =
            signer.verify(&checkpoint.public_key, &checkpoint.signed_bytes(), &checkpoint.signature);
        assert_eq!(verdict, Verdict::Valid);
    }
}
