//! Attestation documents, with the certificates and the public key in them.

use std::sync::OnceLock;
use std::time::Duration;

use strongroom_attestation::{Attestation, AttestationError, Platform, Roots, Verifier};
use strongroom_testkit::attestation::{Authority, Payload, bytes, list};
use strongroom_types::limits::{ATTESTATION_MODULE_ID_BYTES_MAX, ATTESTATION_REGISTERS_MAX};
use strongroom_types::{Plaintext, Timestamp};

use crate::input::Input;

/// Certificates that were made once, with the key that signs documents. They are valid from 2026 to 2036.
const ROOT: &[u8] = include_bytes!("../fixture/attestation-root");
const INTERMEDIATE: &[u8] = include_bytes!("../fixture/attestation-intermediate");
const CERTIFICATE: &[u8] = include_bytes!("../fixture/attestation-certificate");
const KEY: &[u8] = include_bytes!("../fixture/attestation-key");
/// An RSA key of 2048 bits.
const RECIPIENT: &[u8] = include_bytes!("../fixture/attestation-recipient");

const NOW: Timestamp = Timestamp::from_secs(1_780_000_000);

struct World {
    authority: Authority,
    document: Vec<u8>,
    payload: Payload,
    verifier: Verifier,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let authority = Authority::open(ROOT, INTERMEDIATE, CERTIFICATE, KEY);
        let payload = authority.enclave(NOW, RECIPIENT);
        let roots = Roots::from_certificates([ROOT]).expect("a root");
        World {
            document: authority.sign(&payload),
            payload,
            authority,
            verifier: Verifier::new(roots, Duration::from_secs(300)),
        }
    })
}

/// The first byte says what the rest is: a document; what changes a good one; a payload, or what changes a good one, to be
/// signed; what changes the public key, the certificate, or the one above it in a document that is then signed.
///
/// Nothing is believed that was not signed under the root; what is believed has the shapes that it must have, and its
/// recipient gets an envelope.
pub(crate) fn attestation(given: &[u8]) {
    let mut input = Input::new(given);
    let World { authority, document, payload, .. } = world();
    match input.byte() % 7 {
        0 => assert!(verify(input.rest()).is_err(), "unsigned, and believed"),
        1 => {
            let edited = input.edited(document);
            match verify(&edited) {
                // A tag may stand before it, and its unprotected header is not looked at. All that is signed is the same,
                // and so is the signature.
                Ok(attestation) => {
                    assert_eq!(told(&attestation), told(&verify(document).expect("a good one")));
                    let (payload, signature) = (payload.encode(), &document[document.len() - 96..]);
                    assert!(edited.ends_with(signature), "another signature, and believed");
                    assert!(edited.windows(payload.len()).any(|window| window == payload));
                }
                Err(_) => assert_ne!(edited, *document),
            }
        }
        // Whether it is believed is the input's to say.
        2 => drop(check(&authority.sign_bytes(input.rest()))),
        3 => drop(check(&authority.sign_bytes(&input.edited(&payload.encode())))),
        4 => {
            let key = input.edited(RECIPIENT);
            let result = check(&authority.sign(&payload.clone().with("public_key", bytes(&key))));
            assert!(key != RECIPIENT || result.is_ok());
        }
        5 => {
            let certificate = input.edited(CERTIFICATE);
            let result = check(&authority.sign(&payload.clone().with("certificate", bytes(&certificate))));
            assert_eq!(certificate == CERTIFICATE, result.is_ok(), "a certificate that nobody signed");
        }
        _ => {
            let intermediate = input.edited(INTERMEDIATE);
            let bundle = list(&[ROOT, &intermediate]);
            let result = check(&authority.sign(&payload.clone().with("cabundle", bundle)));
            assert_eq!(intermediate == INTERMEDIATE, result.is_ok(), "a CA that nobody signed");
        }
    }
}

fn verify(document: &[u8]) -> Result<Attestation, AttestationError> {
    world().verifier.verify(document, NOW)
}

/// Everything that is told of it.
fn told(attestation: &Attestation) -> String {
    format!("{attestation:?}")
}

fn check(document: &[u8]) -> Result<(), AttestationError> {
    let attestation = verify(document)?;
    assert!((1..=ATTESTATION_MODULE_ID_BYTES_MAX).contains(&attestation.module_id().len()));
    let mut registers = 0;
    for (platform, prefix) in [(Platform::Enclave, "pcr"), (Platform::NitroTpm, "nitrotpmpcr")] {
        for (index, hex) in attestation.registers(platform) {
            assert!(index < ATTESTATION_REGISTERS_MAX);
            assert!([64, 96, 128].contains(&hex.len()), "{hex}");
            assert!(hex.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')), "{hex}");
            assert_eq!(attestation.measurement(&format!("{prefix}{index}")), Some(hex));
            registers += 1;
        }
    }
    assert!(registers > 0);
    assert_eq!(attestation.measurement("imagesha384"), attestation.measurement("pcr0"));
    let envelope = attestation.recipient().envelop(&Plaintext::new(vec![7; 32])).expect("an envelope");
    assert!(!envelope.windows(32).any(|window| window == [7; 32]));
    Ok(())
}
