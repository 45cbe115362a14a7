use super::*;
use crate::fixtures::{assert_absent, hex, keyring, region};

assert_absent!(DataKeyPair: Clone, std::fmt::Display, std::ops::Deref, AsRef<[u8]>, PartialEq);

fn key_id() -> KeyId {
    KeyId::parse("1234abcd-12ab-34cd-56ef-1234567890ab").unwrap()
}

const HMAC: [KeySpec; 4] = [KeySpec::Hmac224, KeySpec::Hmac256, KeySpec::Hmac384, KeySpec::Hmac512];

#[test]
fn a_key_of_every_spec_is_made_wrapped_and_checked() {
    let (keyring, eu) = (keyring(), region("eu-central-1"));
    for spec in KeySpec::ALL {
        let NewKey { material_id, public_key, wrapped } = keyring.generate(&eu, &key_id(), *spec).unwrap();
        assert_eq!(wrapped.spec(), Some(*spec));
        assert_eq!(public_key.is_some(), spec.is_asymmetric(), "{spec}");
        let check = |id, wrapped, public| keyring.check_material(&eu, &key_id(), id, wrapped, public);
        check(&material_id, &wrapped, public_key.as_ref()).unwrap();
        let other = keyring.generate(&eu, &key_id(), *spec).unwrap();
        assert!(check(&other.material_id, &wrapped, public_key.as_ref()).is_err(), "{spec}");
        if public_key.is_some() {
            let foreign = check(&material_id, &wrapped, other.public_key.as_ref());
            assert_eq!(foreign, Err(CryptoError::NotAuthentic { what: "public key" }), "{spec}");
        }
        assert!(wrapped.as_bytes().len() <= strongroom_types::limits::WRAPPED_KEY_BYTES_MAX, "{spec}");
    }
}

#[test]
fn a_row_and_its_material_must_tell_the_same() {
    let (keyring, eu) = (keyring(), region("eu-central-1"));
    let made = keyring.generate(&eu, &key_id(), KeySpec::EccNistP256).unwrap();
    let key = StoredKey {
        key_id: &key_id(),
        region: &eu,
        spec: KeySpec::EccNistP256,
        usage: KeyUsage::SignVerify,
        wrapped: &made.wrapped,
    };
    let sign = |key: &StoredKey<'_>, algorithm| keyring.sign(key, algorithm, Signed::Message(b"m"));
    let other_spec = StoredKey { spec: KeySpec::EccSecgP256k1, ..key };
    assert_eq!(sign(&other_spec, SigningAlgorithm::Ecdsa256), Err(CryptoError::Unsuited));
    let other_usage = StoredKey { usage: KeyUsage::EncryptDecrypt, ..key };
    assert_eq!(sign(&other_usage, SigningAlgorithm::Ecdsa256), Err(CryptoError::Unsuited));
    assert_eq!(sign(&key, SigningAlgorithm::Ecdsa384), Err(CryptoError::Unsuited));
    let elsewhere = StoredKey { region: &region("us-east-1"), ..key };
    assert!(sign(&elsewhere, SigningAlgorithm::Ecdsa256).is_err());
    assert_eq!(keyring.generate_mac(&key, b"m"), Err(CryptoError::Unsuited));
    sign(&key, SigningAlgorithm::Ecdsa256).unwrap();
    // A key's one usage was fixed by its first use; the row's says the same for ever.
    let agreeing = StoredKey { usage: KeyUsage::KeyAgreement, ..key };
    assert!(keyring.derive_shared_secret(&agreeing, &[]).is_err());
}

#[test]
fn macs_are_their_own_keys() {
    let (keyring, eu, key_id) = (keyring(), region("eu-central-1"), key_id());
    for (spec, size) in HMAC.into_iter().zip([28, 32, 48, 64]) {
        let [one, other] = [(); 2].map(|()| keyring.generate(&eu, &key_id, spec).unwrap().wrapped);
        let [one, other] = [&one, &other].map(|wrapped| StoredKey {
            key_id: &key_id,
            region: &eu,
            spec,
            usage: KeyUsage::GenerateVerifyMac,
            wrapped,
        });
        let mac = keyring.generate_mac(&one, b"message").unwrap();
        assert_eq!(mac.len(), size);
        let verify = |key, message: &[u8], mac: &[u8]| keyring.verify_mac(key, message, mac).unwrap();
        assert!(!verify(&other, b"message", &mac));
        assert!(!verify(&one, b"messagf", &mac));
        for wrong in [&mac[1..], &mac[..size - 1], &[], &[&mac[..], &[0]].concat()] {
            assert!(!verify(&one, b"message", wrong));
        }
        assert!(verify(&one, b"message", &mac));
    }
}

/// RFC 4231 has no key of the lengths that AWS has, but HMAC pads keys with zeros (RFC 2104 section 2): its test cases 1
/// and 2, padded.
#[test]
fn rfc_4231_vectors_hold() {
    let (keyring, eu) = (keyring(), region("eu-central-1"));
    let cases = [
        (
            vec![0x0b; 20],
            &b"Hi There"[..],
            [
                "896fb1128abbdf196832107cd49df33f47b4b1169912ba4f53684b22",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
                "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
                "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4\
             be9d914eeb61f1702e696c203a126854",
            ],
        ),
        (
            b"Jefe".to_vec(),
            b"what do ya want for nothing?",
            [
                "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
                "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fd\
             caeab1a34d4a6b4b636e070a38bce737",
            ],
        ),
    ];
    for (key, message, macs) in cases {
        for (spec, mac) in HMAC.into_iter().zip(macs) {
            let mut bytes = key.clone();
            bytes.resize(suite::secret_bytes(spec).unwrap(), 0);
            let secret = Secret { bytes: Zeroizing::new(bytes), spec };
            let (_, wrapped) = keyring.wrap_new(&eu, &key_id(), &secret).unwrap();
            let key = StoredKey {
                key_id: &key_id(),
                region: &eu,
                spec,
                usage: KeyUsage::GenerateVerifyMac,
                wrapped: &wrapped,
            };
            assert_eq!(keyring.generate_mac(&key, message).unwrap(), hex(mac), "{spec}");
        }
    }
}

#[test]
fn data_key_pairs_belong_together() {
    let keyring = keyring();
    for spec in KeySpec::ALL.iter().filter(|spec| spec.is_asymmetric()) {
        let made = keyring.generate_data_key_pair(*spec);
        if matches!(spec, KeySpec::MlDsa44 | KeySpec::MlDsa65 | KeySpec::MlDsa87) {
            assert_eq!(made.map(|_| ()), Err(CryptoError::Unsuited), "AWS has no such pairs");
            continue;
        }
        let pair = made.unwrap();
        assert_eq!(format!("{pair:?}"), "DataKeyPair(..)");
        assert!(pair.private_key.len() <= strongroom_types::limits::PLAINTEXT_BYTES_MAX, "{spec}");
        let document = pair.private_key.expose();
        // A document, and the seed or scalar in it.
        let bytes = suite::secret_bytes(*spec);
        let secret = match (spec, bytes) {
            (KeySpec::Sm2, _) => continue,
            (_, Some(bytes)) => &document[document.len() - bytes..],
            (_, None) => document,
        };
        assert_eq!(asymmetric::public_of(*spec, secret).unwrap(), pair.public_key, "{spec}");
    }
    assert!(keyring.generate_data_key_pair(KeySpec::SymmetricDefault).is_err());
    assert!(keyring.generate_data_key_pair(KeySpec::Hmac256).is_err());
}

/// RFC 8410 section 7; RFC 9935 section 6.
#[test]
fn seeds_stand_in_their_documents() {
    let ed = asymmetric::to_pkcs8(KeySpec::EccNistEdwards25519, &[7; 32]).unwrap();
    assert_eq!(ed.expose(), [hex("302e020100300506032b657004220420"), vec![7; 32]].concat());
    for (spec, last) in [(KeySpec::MlKem512, "01"), (KeySpec::MlKem768, "02"), (KeySpec::MlKem1024, "03")] {
        let document = asymmetric::to_pkcs8(spec, &[7; 64]).unwrap();
        let head = format!("3054020100300b06096086480165030404{last}04428040");
        assert_eq!(document.expose(), [hex(&head), vec![7; 64]].concat());
    }
}
