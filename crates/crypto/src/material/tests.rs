use super::*;
use crate::fixtures::{
    assert_absent, each_bit_flipped, fixed, global_only, hex, keyring, region, secret_key,
};
use proptest::prelude::*;

assert_absent!(Secret: Clone, std::fmt::Display, std::ops::Deref, AsRef<[u8]>, PartialEq);
assert_absent!(KeyMaterial: Clone, std::fmt::Display, std::ops::Deref, AsRef<[u8]>, PartialEq);
assert_absent!(GivenMaterial: Clone, std::fmt::Display, std::ops::Deref, AsRef<[u8]>, PartialEq);
assert_absent!(WrappedKey: std::fmt::Display, std::ops::Deref, AsRef<[u8]>, strongroom_types::LogSafe);

fn key_id() -> KeyId {
    KeyId::parse("1234abcd-12ab-34cd-56ef-1234567890ab").unwrap()
}

/// The wrapped bytes with an empty slot.
fn stored(wrapped: &WrappedKey) -> WrappedKey {
    WrappedKey::from_bytes(wrapped.as_bytes()).unwrap()
}

#[test]
fn every_flipped_bit_is_refused() {
    let (keyring, eu) = (keyring(), region("eu-central-1"));
    let (id, wrapped) = keyring.generate_symmetric(&eu, &key_id()).unwrap();
    each_bit_flipped(wrapped.as_bytes(), |altered| {
        let altered = WrappedKey::from_bytes(altered).unwrap();
        assert!(keyring.material(&eu, &key_id(), &altered, KeyUsage::EncryptDecrypt).is_err());
        assert!(keyring.check_material(&eu, &key_id(), &id, &altered, None).is_err());
    });
    keyring.check_material(&eu, &key_id(), &id, &stored(&wrapped), None).unwrap();
    keyring.check_material(&eu, &key_id(), &id, &wrapped, None).unwrap();
}

#[test]
fn another_key_or_region_is_refused_with_the_slot_filled_or_empty() {
    let (keyring, eu, us) = (keyring(), region("eu-central-1"), region("us-east-1"));
    let (_, filled) = keyring.generate_symmetric(&eu, &key_id()).unwrap();
    let other_key = KeyId::from_parts([7; 16], false);
    let multi_region = KeyId::from_parts(*key_id().as_bytes(), true);
    for (what, wrapped) in [("empty", stored(&filled)), ("filled", filled)] {
        for (region, key_id) in [(&us, &key_id()), (&eu, &other_key), (&eu, &multi_region)] {
            assert!(
                keyring.material(region, key_id, &wrapped, KeyUsage::EncryptDecrypt).is_err(),
                "{what}: {region} {key_id}"
            );
        }
        assert!(keyring.material(&eu, &key_id(), &wrapped, KeyUsage::EncryptDecrypt).is_ok(), "{what}");
    }
}

#[test]
fn another_id_is_refused() {
    let (keyring, eu) = (keyring(), region("eu-central-1"));
    let (id, wrapped) = keyring.generate_symmetric(&eu, &key_id()).unwrap();
    let (other, _) = keyring.generate_symmetric(&eu, &key_id()).unwrap();
    assert_ne!(id, other);
    let refused = keyring.check_material(&eu, &key_id(), &other, &wrapped, None);
    assert_eq!(refused, Err(CryptoError::NotAuthentic { what: "key material id" }));
    keyring.check_material(&eu, &key_id(), &id, &wrapped, None).unwrap();
}

#[test]
fn another_keyring_is_refused() {
    let (keyring, eu) = (keyring(), region("eu-central-1"));
    let (_, wrapped) = keyring.generate_symmetric(&eu, &key_id()).unwrap();
    let missing = CryptoError::MissingScope { scope: "eu-central-1".to_owned() };
    let other = global_only(0x77);
    assert_eq!(
        other.material(&eu, &key_id(), &stored(&wrapped), KeyUsage::EncryptDecrypt).unwrap_err(),
        missing
    );
    assert_eq!(other.generate_symmetric(&eu, &key_id()).unwrap_err(), missing);
}

#[test]
fn unknown_versions_kinds_and_lengths_are_refused() {
    let (keyring, eu) = (keyring(), region("eu-central-1"));
    let (_, wrapped) = keyring.generate_symmetric(&eu, &key_id()).unwrap();
    let malformed = CryptoError::Malformed { what: "wrapped key" };
    let refusal = |bytes: &[u8]| {
        keyring
            .material(&eu, &key_id(), &WrappedKey::from_bytes(bytes).unwrap(), KeyUsage::EncryptDecrypt)
            .map(|_| ())
            .unwrap_err()
    };
    for (at, value) in [(0, 0), (0, 2), (1, 0), (1, 2)] {
        let mut altered = wrapped.as_bytes().to_vec();
        altered[at] = value;
        assert_eq!(refusal(&altered), malformed);
    }
    for length in 0..wrapped.as_bytes().len() {
        assert_eq!(refusal(&wrapped.as_bytes()[..length]), malformed);
    }
    assert_eq!(refusal(&[wrapped.as_bytes(), &[0]].concat()), malformed);
    let mut altered = wrapped.as_bytes().to_vec();
    altered[5] = 3;
    let missing = CryptoError::MissingDomainKey { scope: "eu-central-1".to_owned(), version: 3 };
    assert_eq!(refusal(&altered), missing);
}

#[test]
fn one_byte_past_the_limit_is_refused() {
    assert!(WrappedKey::from_bytes(&[0; WRAPPED_KEY_BYTES_MAX]).is_ok());
    let too_large = CryptoError::TooLarge { max_bytes: 8192, what: "wrapped key" };
    assert_eq!(WrappedKey::from_bytes(&[0; WRAPPED_KEY_BYTES_MAX + 1]).unwrap_err(), too_large);
    let encoded =
        minicbor::to_vec(minicbor::bytes::ByteVec::from(vec![0; WRAPPED_KEY_BYTES_MAX + 1])).unwrap();
    assert!(minicbor::decode::<WrappedKey>(&encoded).is_err());
}

#[test]
fn the_slot_is_filled_once_and_shared_by_clones() {
    let (keyring, eu) = (keyring(), region("eu-central-1"));
    let (_, made) = keyring.generate_symmetric(&eu, &key_id()).unwrap();
    assert!(made.0.slot.get().is_some());
    let wrapped = stored(&made);
    let clone = wrapped.clone();
    assert!(wrapped.0.slot.get().is_none());
    let first: *const KeyMaterial =
        keyring.material(&eu, &key_id(), &wrapped, KeyUsage::EncryptDecrypt).unwrap();
    assert!(std::ptr::eq(first, keyring.material(&eu, &key_id(), &clone, KeyUsage::EncryptDecrypt).unwrap()));
}

#[test]
fn a_failed_unwrap_leaves_the_slot_empty() {
    let (keyring, eu, us) = (keyring(), region("eu-central-1"), region("us-east-1"));
    let (_, made) = keyring.generate_symmetric(&eu, &key_id()).unwrap();
    let wrapped = stored(&made);
    assert!(keyring.material(&us, &key_id(), &wrapped, KeyUsage::EncryptDecrypt).is_err());
    assert!(wrapped.0.slot.get().is_none());
    assert!(keyring.material(&eu, &key_id(), &wrapped, KeyUsage::EncryptDecrypt).is_ok());
}

#[test]
fn threads_that_race_for_the_slot_get_the_same_material() {
    let (keyring, eu) = (keyring(), region("eu-central-1"));
    let wrapped = stored(&keyring.generate_symmetric(&eu, &key_id()).unwrap().1);
    let places = std::thread::scope(|scope| {
        let open = || {
            std::ptr::from_ref(keyring.material(&eu, &key_id(), &wrapped, KeyUsage::EncryptDecrypt).unwrap())
                .addr()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(places.iter().all(|place| *place == places[0]));
}

#[test]
fn wrapped_keys_are_cbor_byte_strings() {
    let (keyring, eu) = (keyring(), region("eu-central-1"));
    let (id, wrapped) = keyring.generate_symmetric(&eu, &key_id()).unwrap();
    let encoded = minicbor::to_vec(&wrapped).unwrap();
    assert_eq!(encoded[..2], [0x58, 82]);
    assert_eq!(encoded[2..], *wrapped.as_bytes());
    assert_eq!(minicbor::len(&wrapped), encoded.len());
    let decoded: WrappedKey = minicbor::decode(&encoded).unwrap();
    assert_eq!(decoded, wrapped);
    keyring.check_material(&eu, &key_id(), &id, &decoded, None).unwrap();
    assert!(minicbor::decode::<WrappedKey>(&[0x83, 1, 2, 3]).is_err());
}

#[test]
fn debug_says_kind_and_length_only() {
    let wrapped = WrappedKey::from_bytes(&[0x58; 82]).unwrap();
    assert_eq!(format!("{wrapped:?}"), "WrappedKey(82 bytes)");
    assert_eq!(format!("{:?}", KeyMaterial::Symmetric(secret_key(0x51))), "KeyMaterial(..)");
}

#[test]
fn ids_of_older_service_keys_stay_good() {
    let (keyring, eu) = (keyring(), region("eu-central-1"));
    let material = Secret::symmetric(&secret_key(0x51));
    let wrapped = keyring.wrap_material(&eu, &key_id(), &material).unwrap();
    let service_keys = keyring.service_keys(ServicePurpose::MaterialId).unwrap();
    assert_eq!(service_keys.newest_first().count(), 2);
    for service_key in service_keys.newest_first() {
        let id = material_id(service_key, &key_id(), &material).unwrap();
        keyring.check_material(&eu, &key_id(), &id, &wrapped, None).unwrap();
    }
}

/// RFC 4231 sections 4.2 to 4.4, test cases 1 to 3.
#[test]
fn hmac_vectors_hold() {
    for (key, message, mac) in [
        (
            vec![0x0b; 20],
            b"Hi There".to_vec(),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            b"Jefe".to_vec(),
            b"what do ya want for nothing?".to_vec(),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (vec![0xaa; 20], vec![0xdd; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
    ] {
        assert_eq!(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &message).as_ref(), hex(mac));
    }
}

#[test]
fn material_moves_under_the_current_domain_key() {
    let (keyring, eu) = (keyring(), region("eu-central-1"));
    let scope = Scope::Region(&eu);
    let material = Secret::symmetric(&secret_key(0x51));
    let service_key = keyring.service_keys(ServicePurpose::MaterialId).unwrap().current().1;
    let id = material_id(service_key, &key_id(), &material).unwrap();
    let first = keyring.domain_keys(scope).unwrap().version(scope, 1).unwrap();
    let bytes = wrap_with(1, &first, &eu, &key_id(), &material, &fixed()).unwrap();
    let old = WrappedKey::from_bytes(&bytes).unwrap();
    let other_key = KeyId::from_parts([7; 16], false);
    assert!(keyring.rewrap(&eu, &other_key, &old).is_err());

    for is_unwrapped in [false, true] {
        let new = keyring.rewrap(&eu, &key_id(), &old).unwrap().unwrap();
        assert_eq!([old.domain_key_version(), new.domain_key_version()], [Some(1), Some(2)]);
        assert_eq!(new.0.slot.get().is_some(), is_unwrapped);
        keyring.check_material(&eu, &key_id(), &id, &stored(&new), None).unwrap();
        assert_eq!(
            keyring
                .material(&eu, &key_id(), &new, KeyUsage::EncryptDecrypt)
                .unwrap()
                .expose_symmetric()
                .unwrap()
                .expose(),
            &[0x51; 32]
        );
        assert_eq!(keyring.rewrap(&eu, &key_id(), &new), Ok(None));
        keyring.material(&eu, &key_id(), &old, KeyUsage::EncryptDecrypt).unwrap();
    }
}

/// Computed with Python: `hmac.new(service key, label + fields, sha256)`.
#[test]
fn golden_material_id() {
    let keyring = keyring();
    let service_key = keyring.service_keys(ServicePurpose::MaterialId).unwrap().current().1;
    let id = material_id(service_key, &key_id(), &Secret::symmetric(&secret_key(0x51))).unwrap();
    assert_eq!(id.to_string(), "68a657ba429ba6e2fdb9ff2d4dee72198ca99746ccadfa96c31c9a7f0724ec36");
}

/// Computed with the Python package `cryptography`: `AESGCM(wrap key).encrypt(nonce, material, aad)`.
#[test]
fn golden_wrapped_key() {
    let (keyring, eu) = (keyring(), region("eu-central-1"));
    let material = Secret::symmetric(&secret_key(0x51));
    let (version, domain_key) = keyring.domain_keys(Scope::Region(&eu)).unwrap().current();
    let bytes = wrap_with(version, &domain_key, &eu, &key_id(), &material, &fixed()).unwrap();
    assert_eq!(
        bytes,
        hex("010100000002a0a1a2a3a4a5a6a7a8a9aaabacadaeafc0c1c2c3c4c5c6c7c8c9cacb83c91d61124b\
             6c10dae4547bd03d8d3e8d5a8b1333079d9c231f38e4114176face60d77526fb5a86072dc4c3cef1\
             9bad")
    );
    let wrapped = WrappedKey::from_bytes(&bytes).unwrap();
    let opened = keyring.material(&eu, &key_id(), &wrapped, KeyUsage::EncryptDecrypt).unwrap();
    assert_eq!(opened.expose_symmetric().unwrap().expose(), &[0x51; 32]);
}

/// As above, for materials of other kinds.
#[test]
fn golden_wrapped_keys_of_other_kinds() {
    let (keyring, eu) = (keyring(), region("eu-central-1"));
    let (version, domain_key) = keyring.domain_keys(Scope::Region(&eu)).unwrap().current();
    let head = "00000002a0a1a2a3a4a5a6a7a8a9aaabacadaeafc0c1c2c3c4c5c6c7c8c9cacb83c91d61124b6c10dae4547bd03d8d3e8d5a8b13\
                33079d9c231f38e4";
    for (spec, length, kind, rest) in [
        (KeySpec::Hmac224, 28, "0102", "335cc1d2aff360334866028c27cfad3c"),
        (
            KeySpec::Hmac512,
            64,
            "0105",
            "114176faf13b1f3dc6d2586013015ccf371ae06051f23c28b6a1238e999aa66af444045c7729368ad525b48be31f7eadd100058e",
        ),
        (KeySpec::EccNistEdwards25519, 32, "010d", "114176fa34502a4a431018a1708020db0b6e61fd"),
        (KeySpec::Sm2, 32, "0114", "114176fa17b5c50e3fef2c972b7d3fe8908cc0d0"),
    ] {
        let secret = Secret { bytes: Zeroizing::new(vec![0x51; length]), spec };
        let bytes = wrap_with(version, &domain_key, &eu, &key_id(), &secret, &fixed()).unwrap();
        assert_eq!(bytes, hex(&format!("{kind}{head}{rest}")), "{spec}");
        let wrapped = WrappedKey::from_bytes(&bytes).unwrap();
        assert_eq!(wrapped.spec(), Some(spec));
        let opened = keyring.unwrap_material(&eu, &key_id(), &bytes).unwrap();
        assert_eq!((opened.spec, &opened.bytes[..]), (spec, &secret.bytes[..]));
        assert_eq!(format!("{opened:?}"), "Secret(..)");
        each_bit_flipped(&bytes, |altered| {
            assert!(keyring.unwrap_material(&eu, &key_id(), altered).is_err());
        });
    }
}

#[test]
fn a_kind_that_is_none_is_refused() {
    for kind in [0, 21, 255] {
        assert_eq!(spec_of(kind), None);
    }
    for spec in KeySpec::ALL {
        assert_eq!(spec_of(kind_of(*spec)), Some(*spec));
    }
}

proptest! {
    #[test]
    fn materials_round_trip(random: [u8; 16], multi_region: bool) {
        let (keyring, eu) = (keyring(), region("eu-central-1"));
        let key_id = KeyId::from_parts(random, multi_region);
        let (id, wrapped) = keyring.generate_symmetric(&eu, &key_id).unwrap();
        prop_assert!(keyring.check_material(&eu, &key_id, &id, &stored(&wrapped), None).is_ok());
    }

    #[test]
    fn arbitrary_bytes_do_not_unwrap(bytes: Vec<u8>) {
        let (keyring, eu) = (keyring(), region("eu-central-1"));
        let wrapped = WrappedKey::from_bytes(&bytes).unwrap();
        prop_assert!(keyring.material(&eu, &key_id(), &wrapped, KeyUsage::EncryptDecrypt).is_err());
    }
}

const GIVEN_ID: &str = "e02d264e1eb2b56ffce575095ca05c435ab5c29ac4e5116115648f47d660309a";

fn given(text: &str) -> Option<GivenMaterial> {
    GivenMaterial::from_base64(&Credential::new(text.as_bytes().to_vec()))
}

#[test]
fn given_material_is_32_bytes_in_base64() {
    let text = |length: usize| base64_simd::STANDARD.encode_to_string(vec![7; length]);
    for wrong in ["", "?", &text(31), &text(33), &text(32)[..43], &format!("{} ", text(32))] {
        assert!(given(wrong).is_none(), "{wrong}");
    }
    let material = given(&text(32)).unwrap();
    assert_eq!(*material.0.bytes, [7; 32]);
    assert_eq!(format!("{material:?}"), "GivenMaterial(..)");
}

#[test]
fn given_material_has_an_id_of_no_deployment_and_checks_like_any_other() {
    let (keyring, eu) = (keyring(), region("eu-central-1"));
    let text = base64_simd::STANDARD.encode_to_string([7; 32]);
    let (id, wrapped) = keyring.danger_wrap_given(&eu, &key_id(), given(&text).unwrap()).unwrap();
    let (other, _) = keyring.generate_symmetric(&eu, &key_id()).unwrap();
    assert!(keyring.check_material(&eu, &key_id(), &other, &stored(&wrapped), None).is_err());
    keyring.check_material(&eu, &key_id(), &id, &stored(&wrapped), None).unwrap();
    // Python: hmac.digest(bytes(32), label + b"\0" + f(key id) + f(material), "sha256"), f(x) = be32(len(x)) + x
    assert_eq!(id.to_string(), GIVEN_ID);
}
