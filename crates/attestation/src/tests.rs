use std::time::Duration;

use proptest::prelude::*;
use strongroom_testkit::attestation::rcgen::{BasicConstraints, IsCa, KeyUsagePurpose};
use strongroom_testkit::attestation::{
    Authority, Payload, Recipient, Role, bytes, cose, list, made, map, null, number, register, set_validity,
    text,
};
use strongroom_types::limits::{
    ATTESTATION_DOCUMENT_BYTES_MAX, ATTESTATION_MODULE_ID_BYTES_MAX, ATTESTATION_PAYLOAD_BYTES_MAX,
    ATTESTATION_ROOTS_MAX, ATTESTATION_USER_DATA_BYTES_MAX, CLOCK_SKEW_SECS_MAX,
};
use strongroom_types::{Plaintext, Timestamp};

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);
const AGE_MAX: Duration = Duration::from_secs(300);

fn trusting(authority: &Authority) -> Verifier {
    Verifier::new(Roots::from_certificates([&authority.root[..]]).unwrap(), AGE_MAX)
}

fn refused(authority: &Authority, document: &[u8]) -> AttestationError {
    trusting(authority).verify(document, NOW).unwrap_err()
}

fn malformed(what: &'static str) -> AttestationError {
    AttestationError::Malformed { what }
}

/// An authority, a recipient and the payload of a good document.
fn scene() -> (Authority, Recipient, Payload) {
    let (authority, recipient) = (Authority::new(NOW), Recipient::new());
    let payload = authority.enclave(NOW, &recipient.public_key);
    (authority, recipient, payload)
}

#[test]
fn what_is_no_cose_sign1_is_refused() {
    let (authority, _, payload) = scene();
    let good = authority.sign(&payload);
    let protected = made(|e| e.map(1)?.i64(1)?.i64(-35)?.ok());
    let shape = malformed("no COSE_Sign1");
    let algorithm = malformed("its algorithm is not ES384");
    for (document, expected) in [
        (vec![], shape),
        (b"x".repeat(64), shape),
        (vec![0xd1; 5], shape),
        ([&[0xd1][..], &good].concat(), shape),
        (good[..good.len() - 1].to_vec(), shape),
        ([&good[..], &[0]].concat(), malformed("bytes after the COSE_Sign1")),
        (authority.sign_parts(&[], &payload.encode()), algorithm),
        // ES256, and ES384 with something beside it.
        (authority.sign_parts(&made(|e| e.map(1)?.i64(1)?.i64(-7)?.ok()), &payload.encode()), algorithm),
        (
            authority
                .sign_parts(&made(|e| e.map(2)?.i64(1)?.i64(-35)?.i64(2)?.array(0)?.ok()), &payload.encode()),
            algorithm,
        ),
        (cose(&protected, &payload.encode(), &[1; 95]), malformed("a signature of another length")),
        (authority.sign_bytes(&vec![0; ATTESTATION_PAYLOAD_BYTES_MAX + 1]), malformed("too long")),
        (vec![0; ATTESTATION_DOCUMENT_BYTES_MAX + 1], malformed("too long")),
        (authority.sign_bytes(&vec![0; ATTESTATION_PAYLOAD_BYTES_MAX]), malformed("payload")),
    ] {
        assert_eq!(refused(&authority, &document), expected, "{document:02x?}");
    }
    assert!(trusting(&authority).verify(&good, NOW).is_ok());
    // The tag may stand before it.
    assert!(trusting(&authority).verify(&[&[0xd2][..], &good].concat(), NOW).is_ok());
}

#[test]
fn members_have_the_shapes_that_aws_says() {
    let (authority, _, payload) = scene();
    let registers = |indexes: &[u8], length: usize| {
        map(&indexes.iter().map(|index| (*index, vec![*index; length])).collect::<Vec<_>>())
    };
    let all: Vec<u8> = (0..32).collect();
    for (name, bad, good) in [
        (
            "module_id",
            vec![text(""), text(&"m".repeat(ATTESTATION_MODULE_ID_BYTES_MAX + 1)), number(1)],
            vec![text("m"), text(&"m".repeat(ATTESTATION_MODULE_ID_BYTES_MAX))],
        ),
        ("digest", vec![text("SHA256"), text("sha384"), null()], vec![]),
        ("timestamp", vec![number(0), text("1"), null()], vec![]),
        (
            "pcrs",
            vec![
                registers(&[], 48),
                registers(&[32], 48),
                registers(&[3, 3], 48),
                registers(&[0], 0),
                registers(&[0], 47),
                registers(&[0], 65),
                null(),
                list(&[&[0; 48]]),
                made(|e| e.map(1)?.str("0")?.bytes(&[0; 48])?.ok()),
                made(|e| e.map(1)?.i8(-1)?.bytes(&[0; 48])?.ok()),
            ],
            vec![registers(&[0, 31], 32), registers(&[5], 48), registers(&all, 64)],
        ),
        ("certificate", vec![bytes(&[]), bytes(&[0; 1025]), null(), bytes(&[0x30; 1024])], vec![]),
        ("cabundle", vec![list(&[]), list(&[&[]]), list(&[&[0; 1025]]), null(), number(1)], vec![]),
        ("public_key", vec![bytes(&[]), bytes(&[0; 1025]), text("key")], vec![]),
        (
            "user_data",
            vec![bytes(&[0; ATTESTATION_USER_DATA_BYTES_MAX + 1]), text("data")],
            vec![null(), bytes(&[]), bytes(&[0; ATTESTATION_USER_DATA_BYTES_MAX])],
        ),
        ("nonce", vec![bytes(&[0; ATTESTATION_USER_DATA_BYTES_MAX + 1])], vec![bytes(&[7; 20])]),
        ("something_new", vec![], vec![null(), list(&[&[1]]), number(7)]),
    ] {
        for value in bad {
            let document = authority.sign(&payload.clone().with(name, value.clone()));
            assert_eq!(refused(&authority, &document), malformed(name), "{value:02x?}");
        }
        for value in good {
            let document = authority.sign(&payload.clone().with(name, value.clone()));
            let verified = trusting(&authority).verify(&document, NOW);
            assert!(verified.is_ok(), "{name} {value:02x?}: {verified:?}");
        }
    }
}

#[test]
fn what_must_be_there_is_there_once() {
    let (authority, _, payload) = scene();
    for name in ["module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"] {
        let document = authority.sign(&payload.clone().without(name));
        assert_eq!(refused(&authority, &document), malformed(name));
    }
    for (name, value) in payload.0.clone() {
        let document = authority.sign(&payload.clone().with_another(name, value));
        assert_eq!(refused(&authority, &document), malformed(name));
    }
    let with_bytes_behind = [payload.encode(), vec![0]].concat();
    let document = authority.sign_bytes(&with_bytes_behind);
    assert_eq!(refused(&authority, &document), malformed("bytes after the payload"));
    for name in ["user_data", "nonce"] {
        assert!(trusting(&authority).verify(&authority.sign(&payload.clone().without(name)), NOW).is_ok());
    }
}

#[test]
fn maps_and_lists_may_say_their_end_instead_of_their_length() {
    let (authority, _, payload) = scene();
    let endless = |head: u8, items: Vec<Vec<u8>>| [vec![head], items.concat(), vec![0xff]].concat();
    let cabundle = endless(0x9f, vec![bytes(&authority.root), bytes(&authority.intermediate)]);
    let registers = endless(0xbf, vec![number(4), bytes(&register(4))]);
    let payload = payload.with("cabundle", cabundle).with("pcrs", registers);
    let members = payload.0.iter().map(|(name, value)| [text(name), value.clone()].concat()).collect();
    let whole = endless(0xbf, members);
    let unended = authority.sign_bytes(&whole[..whole.len() - 1]);
    assert_eq!(refused(&authority, &unended), malformed("no end"));
    let attestation = trusting(&authority).verify(&authority.sign_bytes(&whole), NOW).unwrap();
    assert_eq!(attestation.registers(Platform::Enclave).count(), 1);
}

#[test]
fn every_bit_counts() {
    let (authority, _, payload) = scene();
    let verifier = trusting(&authority);
    let document = authority.sign(&payload);
    // The head of the payload and its end, the signature: certificates in between are as good as the signature's.
    let signature = document.len() - 96;
    for at in (0..120).chain(signature - 120..document.len()) {
        for bit in [0x01, 0x80] {
            let mut altered = document.clone();
            altered[at] ^= bit;
            assert!(verifier.verify(&altered, NOW).is_err(), "{at} {bit}");
        }
    }
    assert!(verifier.verify(&document, NOW).is_ok());
}

#[test]
fn a_signature_of_another_key_or_over_something_else_is_refused() {
    let (authority, recipient, payload) = scene();
    let other = Authority::new(NOW);
    // Certificates that lead to the root, signed by somebody else.
    let document = other.sign(&payload);
    assert_eq!(refused(&authority, &document), AttestationError::Signature);
    // The signature of another document.
    let mut mixed = authority.sign(&payload);
    let later = Timestamp::from_millis(NOW.as_millis() + 1);
    let twin = authority.sign(&authority.enclave(later, &recipient.public_key));
    let at = mixed.len() - 96;
    mixed[at..].copy_from_slice(&twin[at..]);
    assert_eq!(refused(&authority, &mixed), AttestationError::Signature);
}

#[test]
fn only_configured_roots_are_trusted() {
    let (authority, recipient, payload) = scene();
    let document = authority.sign(&payload);
    let other = Authority::new(NOW);
    let nobody = Verifier::new(Roots::default(), AGE_MAX);
    assert_eq!(nobody.verify(&document, NOW).unwrap_err(), AttestationError::NoRoots);
    // The root that the document brings along is no reason to trust it.
    assert_eq!(refused(&other, &document), AttestationError::Untrusted);
    // Neither is a CA below the root enough, nor a bundle that leaves a step out.
    let document_without = |bundle: &[&[u8]]| {
        authority.sign(&authority.enclave(NOW, &recipient.public_key).with("cabundle", list(bundle)))
    };
    assert_eq!(refused(&authority, &document_without(&[&authority.root])), AttestationError::Untrusted);
    // Roots can be exchanged; the root itself may be left out of the bundle.
    other_trusted(&authority, &other, &document);
    assert!(trusting(&authority).verify(&document_without(&[&authority.intermediate]), NOW).is_ok());
}

fn other_trusted(authority: &Authority, other: &Authority, document: &[u8]) {
    let verifier = trusting(other);
    assert!(verifier.verify(document, NOW).is_err());
    let both = [&other.root[..], &authority.root[..]];
    verifier.replace_roots(Roots::from_certificates(both).unwrap());
    assert!(verifier.verify(document, NOW).is_ok());
    verifier.replace_roots(Roots::from_certificates([&other.root[..]]).unwrap());
    assert!(verifier.verify(document, NOW).is_err());
}

#[test]
fn each_certificate_is_valid_at_the_time() {
    let recipient = Recipient::new();
    let hour = Duration::from_secs(3600);
    // A root that is over is none, whether or not the document brings it along.
    for role in [Role::Root, Role::Intermediate, Role::Leaf] {
        let over = Authority::shaped(NOW, |other, params| {
            if other == role {
                let end = NOW.saturating_sub(Duration::from_secs(1));
                set_validity(params, NOW.saturating_sub(hour), end);
            }
        });
        let early = Authority::shaped(NOW, |other, params| {
            if other == role {
                let begin = NOW.saturating_add(Duration::from_secs(1));
                set_validity(params, begin, NOW.saturating_add(hour));
            }
        });
        for authority in [over, early] {
            let document = authority.sign(&authority.enclave(NOW, &recipient.public_key));
            assert_eq!(refused(&authority, &document), AttestationError::CertificateExpired, "{role:?}");
            let payload = authority.enclave(NOW, &recipient.public_key);
            let document = authority.sign(&payload.with("cabundle", list(&[&authority.intermediate])));
            assert!(trusting(&authority).verify(&document, NOW).is_err(), "{role:?}");
        }
    }
}

#[test]
fn certificates_are_used_for_what_they_are_for() {
    let recipient = Recipient::new();
    let signs = vec![KeyUsagePurpose::DigitalSignature];
    let certifies = vec![KeyUsagePurpose::KeyCertSign];
    let ca = IsCa::Ca(BasicConstraints::Unconstrained);
    for (role, is_ca, usages) in [
        (Role::Leaf, IsCa::ExplicitNoCa, certifies.clone()),
        (Role::Leaf, IsCa::ExplicitNoCa, vec![]),
        (Role::Leaf, ca, signs.clone()),
        (Role::Intermediate, ca, signs.clone()),
        (Role::Intermediate, ca, vec![]),
        (Role::Intermediate, IsCa::ExplicitNoCa, certifies.clone()),
    ] {
        let authority = Authority::shaped(NOW, |other, params| {
            if other == role {
                params.is_ca = is_ca;
                params.key_usages.clone_from(&usages);
            }
        });
        let document = authority.sign(&authority.enclave(NOW, &recipient.public_key));
        assert_eq!(refused(&authority, &document), AttestationError::Untrusted, "{role:?} {usages:?}");
    }
    // The root allows no CA below it, or one.
    let authority = Authority::shaped(NOW, |role, params| {
        if role == Role::Root {
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        }
    });
    let document = authority.sign(&authority.enclave(NOW, &recipient.public_key));
    assert_eq!(refused(&authority, &document), AttestationError::Untrusted);
    let authority = Authority::shaped(NOW, |role, params| match role {
        Role::Root => params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1)),
        Role::Intermediate => params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)),
        Role::Leaf => {}
    });
    let document = authority.sign(&authority.enclave(NOW, &recipient.public_key));
    assert!(trusting(&authority).verify(&document, NOW).is_ok());
}

/// The certificate as AWS publishes it, and the fingerprint that the Nitro Enclaves user guide gives ("Verifying the root of
/// trust").
#[test]
fn aws_s_own_root_is_one() {
    let root = include_bytes!("tests/AWS_NitroEnclaves_Root-G1.der");
    let fingerprint: String =
        strongroom_crypto::sha256(root).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(fingerprint, "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b");
    let roots = Roots::from_certificates([&root[..]]).unwrap();
    assert_eq!(roots.not_after(), Some(Timestamp::from_secs(2_519_044_085)));
}

#[test]
fn only_a_ca_that_may_sign_certificates_is_a_root() {
    let root = |certificate: &[u8]| Roots::from_certificates([certificate]).unwrap_err();
    let authority = Authority::new(NOW);
    assert_eq!(root(b"no certificate"), RootError::Malformed);
    assert_eq!(root(&authority.certificate), RootError::NoCa);
    let mute = Authority::shaped(NOW, |_, params| params.key_usages = vec![KeyUsagePurpose::CrlSign]);
    assert_eq!(root(&mute.root), RootError::NoCa);
    let many = |count| Roots::from_certificates(std::iter::repeat_n(&authority.root[..], count));
    assert_eq!(many(ATTESTATION_ROOTS_MAX + 1).unwrap_err(), RootError::TooMany);
    assert_eq!(many(ATTESTATION_ROOTS_MAX).unwrap().len(), ATTESTATION_ROOTS_MAX);
    let roots = many(1).unwrap();
    assert_eq!(roots.not_after(), Some(NOW.saturating_add(Duration::from_secs(3600))));
    assert!(!roots.is_empty() && Roots::default().is_empty());
}

#[test]
fn a_document_is_believed_while_it_is_fresh() {
    let (authority, recipient, _) = scene();
    let verifier = trusting(&authority);
    let made_at = |time: Timestamp| authority.sign(&authority.enclave(time, &recipient.public_key));
    let millisecond = Duration::from_millis(1);
    let oldest = NOW.saturating_sub(AGE_MAX);
    let expired = verifier.verify(&made_at(oldest.saturating_sub(millisecond)), NOW).unwrap_err();
    assert_eq!(expired, AttestationError::Expired);
    let newest = NOW.saturating_add(Duration::from_secs(CLOCK_SKEW_SECS_MAX));
    let future = verifier.verify(&made_at(newest.saturating_add(millisecond)), NOW).unwrap_err();
    assert_eq!(future, AttestationError::FromTheFuture);
    let never = verifier.verify(
        &authority.sign(&authority.enclave(NOW, &recipient.public_key).with("timestamp", number(u64::MAX))),
        NOW,
    );
    assert_eq!(never.unwrap_err(), AttestationError::FromTheFuture);
    for time in [oldest, NOW, newest] {
        assert!(verifier.verify(&made_at(time), NOW).is_ok(), "{time:?}");
    }
}

#[test]
fn without_an_rsa_key_there_is_no_recipient() {
    let (authority, recipient, payload) = scene();
    for payload in [payload.clone().without("public_key"), payload.clone().with("public_key", null())] {
        assert_eq!(refused(&authority, &authority.sign(&payload)), AttestationError::NoPublicKey);
    }
    for key in [&b"no key"[..], &recipient.public_key[..200], &[&recipient.public_key[..], &[0]].concat()] {
        let document = authority.sign(&payload.clone().with("public_key", bytes(key)));
        assert_eq!(refused(&authority, &document), AttestationError::PublicKey);
    }
    let attestation = trusting(&authority).verify(&authority.sign(&payload), NOW).unwrap();
    let envelope = attestation.recipient().envelop(&Plaintext::new(b"sesame".to_vec())).unwrap();
    assert_eq!(recipient.open(&envelope), b"sesame");
}

#[test]
fn measurements_have_the_names_that_conditions_call_them() {
    let (authority, recipient, payload) = scene();
    let hex = |index| {
        let digits = register(index).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(digits.to_lowercase(), digits);
        digits
    };
    let enclave = trusting(&authority).verify(&authority.sign(&payload), NOW).unwrap();
    for name in [
        "",
        "pcr",
        "pcr5",
        "pcr00",
        "pcr+0",
        "pcr-0",
        "pcr32",
        "pcr256",
        "PCR0",
        "imagesha256",
        "nitrotpmpcr0",
    ] {
        assert_eq!(enclave.measurement(name), None, "{name}");
    }
    assert_eq!(enclave.measurement("imagesha384"), Some(&*hex(0)));
    assert_eq!(enclave.measurement("pcr0"), Some(&*hex(0)));
    assert_eq!(enclave.measurement("pcr8"), Some(&*hex(8)));
    assert_eq!(enclave.module_id(), "i-0123456789abcdef0-enc0123456789abcdef");
    assert_eq!(enclave.registers(Platform::NitroTpm).count(), 0);
    let registers: Vec<_> = enclave.registers(Platform::Enclave).map(|(index, _)| index).collect();
    assert_eq!(registers, [0, 1, 2, 3, 4, 8]);

    let instance = authority.sign(&authority.nitro_tpm(NOW, &recipient.public_key));
    let instance = trusting(&authority).verify(&instance, NOW).unwrap();
    for name in ["imagesha384", "pcr0", "pcr4", "nitrotpmpcr1", "nitrotpmpcr04"] {
        assert_eq!(instance.measurement(name), None, "{name}");
    }
    assert_eq!(instance.measurement("nitrotpmpcr4"), Some(&*hex(4)));
    assert_eq!(instance.measurement("nitrotpmpcr23"), Some(&*hex(23)));
    assert_eq!(instance.registers(Platform::Enclave).count(), 0);
}

#[test]
fn a_refusal_says_nothing_of_the_bytes() {
    let (authority, _, payload) = scene();
    for payload in [
        payload.clone().with("digest", text("sesame")),
        payload.clone().with("module_id", text(&"sesame".repeat(100))),
        payload.clone().with("public_key", bytes(b"sesame")),
    ] {
        let error = refused(&authority, &authority.sign(&payload));
        assert!(!format!("{error} {error:?}").contains("sesame"));
    }
}

proptest! {
    #[test]
    fn no_bytes_panic_or_are_believed(noise in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..3000) {
        thread_local! {
            static SCENE: (Authority, Vec<u8>) = {
                let (authority, _, payload) = scene();
                let document = authority.sign(&payload);
                (authority, document)
            };
        }
        SCENE.with(|(authority, document)| {
            let verifier = trusting(authority);
            assert!(verifier.verify(&noise, NOW).is_err());
            assert!(verifier.verify(&authority.sign_bytes(&noise), NOW).is_err());
            let mut mixed = document.clone();
            let at = at.min(mixed.len());
            mixed.splice(at..at, noise.iter().copied());
            assert!(noise.is_empty() || verifier.verify(&mixed, NOW).is_err());
        });
    }
}
