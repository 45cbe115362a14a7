//! What callers hand to asymmetric keys: public keys of peers, ciphertexts, signatures, encapsulations.

use std::sync::OnceLock;

use strongroom_crypto::{NewKey, PublicEncryption, PublicKey, Signed, SigningAlgorithm, StoredKey};
use strongroom_types::{KeySpec, KeyUsage};

use crate::input::Input;
use crate::world::{World, world};

const MESSAGE: &[u8] = b"a message that is signed or encrypted";

/// A key, and something that it accepts.
struct Sample {
    key: NewKey,
    spec: KeySpec,
    usage: KeyUsage,
    accepted: Vec<u8>,
}

/// Keys that are made when the process starts: what is changed has the same form in every process.
fn samples() -> &'static [Sample] {
    static SAMPLES: OnceLock<Vec<Sample>> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let agree = KeyUsage::KeyAgreement;
        let sign = KeyUsage::SignVerify;
        [
            (KeySpec::EccNistP256, agree),
            (KeySpec::EccNistP384, agree),
            (KeySpec::EccNistP521, agree),
            (KeySpec::Sm2, agree),
            (KeySpec::Rsa2048, KeyUsage::EncryptDecrypt),
            (KeySpec::Sm2, KeyUsage::EncryptDecrypt),
            (KeySpec::MlKem512, KeyUsage::EncapsulateDecapsulate),
            (KeySpec::Rsa2048, sign),
            (KeySpec::EccNistP256, sign),
            (KeySpec::EccNistP384, sign),
            (KeySpec::EccNistP521, sign),
            (KeySpec::EccSecgP256k1, sign),
            (KeySpec::EccNistEdwards25519, sign),
            (KeySpec::MlDsa44, sign),
            (KeySpec::Sm2, sign),
        ]
        .map(|(spec, usage)| Sample::new(spec, usage))
        .into()
    })
}

/// The first byte says which key, the second whether the rest changes what it accepts or stands in its stead.
///
/// A signature, or a ciphertext, is accepted only as it was made; a peer's key gives a secret of the curve's size or
/// none; an encapsulation gives one whenever it has the right length.
pub(crate) fn key_input(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let samples = samples();
    let sample = &samples[usize::from(input.byte()) % samples.len()];
    let given = if input.byte() & 1 == 0 { input.edited(&sample.accepted) } else { input.rest().to_vec() };
    sample.check(&given);
}

impl Sample {
    fn new(spec: KeySpec, usage: KeyUsage) -> Self {
        let World { keyring, region, key_id, .. } = world();
        let make = || keyring.generate(region, key_id, spec).expect("a key");
        let mut sample = Self { key: make(), spec, usage, accepted: Vec::new() };
        sample.accepted = match usage {
            KeyUsage::KeyAgreement => public(&make()).as_der().to_vec(),
            KeyUsage::EncryptDecrypt => {
                public(&sample.key).encrypt(spec, sample.encryption(), MESSAGE).expect("a ciphertext")
            }
            KeyUsage::EncapsulateDecapsulate => {
                public(&sample.key).encapsulate(spec).expect("an encapsulation").ciphertext
            }
            _ => {
                let signed = Signed::Message(MESSAGE);
                keyring.sign(&sample.stored(), sample.signing(), signed).expect("a signature")
            }
        };
        sample.check(&sample.accepted);
        sample
    }

    fn stored(&self) -> StoredKey<'_> {
        let World { region, key_id, .. } = world();
        StoredKey { key_id, region, spec: self.spec, usage: self.usage, wrapped: &self.key.wrapped }
    }

    fn encryption(&self) -> PublicEncryption {
        *PublicEncryption::of(self.spec).last().expect("an algorithm")
    }

    fn signing(&self) -> SigningAlgorithm {
        *SigningAlgorithm::of(self.spec).first().expect("an algorithm")
    }

    fn check(&self, given: &[u8]) {
        let keyring = &world().keyring;
        let is_sample = given == self.accepted;
        match self.usage {
            KeyUsage::KeyAgreement => {
                let secret = keyring.derive_shared_secret(&self.stored(), given).expect("an answer");
                let size = match self.spec {
                    KeySpec::EccNistP384 => 48,
                    KeySpec::EccNistP521 => 66,
                    _ => 32,
                };
                assert!(secret.is_some() || !is_sample, "the peer is not accepted");
                assert!(secret.is_none_or(|secret| secret.len() == size));
            }
            KeyUsage::EncryptDecrypt => {
                let opened = keyring.decrypt_with_private(&self.stored(), self.encryption(), given);
                let opened = opened.expect("an answer");
                assert_eq!(opened.is_some(), is_sample, "altered, and opened, or the other way round");
                assert!(opened.is_none_or(|opened| opened.expose() == MESSAGE));
            }
            KeyUsage::EncapsulateDecapsulate => {
                let secret = keyring.decapsulate(&self.stored(), given).expect("an answer");
                assert_eq!(secret.is_some(), given.len() == self.accepted.len());
                assert!(secret.is_none_or(|secret| secret.len() == 32));
            }
            _ => {
                let signed = Signed::Message(MESSAGE);
                let verified = public(&self.key).verify(self.spec, self.signing(), signed, given);
                assert_eq!(
                    verified.expect("an answer"),
                    is_sample,
                    "altered, and valid, or the other way round"
                );
            }
        }
    }
}

fn public(key: &NewKey) -> &PublicKey {
    key.public_key.as_ref().expect("a public half")
}
