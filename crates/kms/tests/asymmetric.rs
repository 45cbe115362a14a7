//! Keys of every other spec than the symmetric one: their metadata, what each refuses and in which order, and what they do
//! for each other. That the cryptography is what others compute is `conformance/test_key_specs.py`'s to show.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Deployment, OWNER, ROOT, Refusal, US, bare, base64, bytes, key_arn, refusal};
use serde_json::{Value, json};
use strongroom_types::{KeySpec, KeyUsage};

fn with(body: &Value, more: Value) -> Value {
    let mut body = body.clone();
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn create(deployment: &Deployment, spec: KeySpec, usage: KeyUsage) -> String {
    deployment.create_key_with(ROOT, json!({ "KeySpec": spec.as_str(), "KeyUsage": usage.as_str() }))
}

/// Every spec outside of China, but for the slower RSA sizes.
fn specs() -> impl Iterator<Item = (KeySpec, KeyUsage)> {
    let slow = [KeySpec::Rsa3072, KeySpec::Rsa4096, KeySpec::Sm2];
    let specs = KeySpec::ALL.iter().filter(move |spec| !slow.contains(spec));
    specs.flat_map(|spec| spec.usages().iter().map(move |usage| (*spec, *usage)))
}

const RSA_SIGNING: [&str; 6] = [
    "RSASSA_PKCS1_V1_5_SHA_256",
    "RSASSA_PKCS1_V1_5_SHA_384",
    "RSASSA_PKCS1_V1_5_SHA_512",
    "RSASSA_PSS_SHA_256",
    "RSASSA_PSS_SHA_384",
    "RSASSA_PSS_SHA_512",
];

/// The one list of algorithms that a key of this kind shows, by AWS's documentation.
fn algorithms(spec: KeySpec, usage: KeyUsage) -> (&'static str, Vec<&'static str>) {
    match (usage, spec.as_str()) {
        (KeyUsage::EncryptDecrypt, "SYMMETRIC_DEFAULT") => {
            ("EncryptionAlgorithms", vec!["SYMMETRIC_DEFAULT"])
        }
        (KeyUsage::EncryptDecrypt, _) => {
            ("EncryptionAlgorithms", vec!["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"])
        }
        (KeyUsage::KeyAgreement, _) => ("KeyAgreementAlgorithms", vec!["ECDH"]),
        (KeyUsage::EncapsulateDecapsulate, _) => ("EncapsulationAlgorithms", vec!["ML_KEM"]),
        (KeyUsage::GenerateVerifyMac, "HMAC_224") => ("MacAlgorithms", vec!["HMAC_SHA_224"]),
        (KeyUsage::GenerateVerifyMac, "HMAC_256") => ("MacAlgorithms", vec!["HMAC_SHA_256"]),
        (KeyUsage::GenerateVerifyMac, "HMAC_384") => ("MacAlgorithms", vec!["HMAC_SHA_384"]),
        (KeyUsage::GenerateVerifyMac, _) => ("MacAlgorithms", vec!["HMAC_SHA_512"]),
        (KeyUsage::SignVerify, "RSA_2048") => ("SigningAlgorithms", RSA_SIGNING.to_vec()),
        (KeyUsage::SignVerify, "ECC_NIST_P256" | "ECC_SECG_P256K1") => {
            ("SigningAlgorithms", vec!["ECDSA_SHA_256"])
        }
        (KeyUsage::SignVerify, "ECC_NIST_P384") => ("SigningAlgorithms", vec!["ECDSA_SHA_384"]),
        (KeyUsage::SignVerify, "ECC_NIST_P521") => ("SigningAlgorithms", vec!["ECDSA_SHA_512"]),
        (KeyUsage::SignVerify, "ECC_NIST_EDWARDS25519") => {
            ("SigningAlgorithms", vec!["ED25519_SHA_512", "ED25519_PH_SHA_512"])
        }
        (KeyUsage::SignVerify, _) => ("SigningAlgorithms", vec!["ML_DSA_SHAKE_256"]),
    }
}

#[test]
fn every_spec_is_made_and_described_with_its_one_list_of_algorithms() {
    let deployment = Deployment::new();
    for (spec, usage) in specs() {
        let body = json!({ "KeySpec": spec.as_str(), "KeyUsage": usage.as_str() });
        let metadata = deployment.ok(ROOT, "CreateKey", body)["KeyMetadata"].clone();
        let (list, expected) = algorithms(spec, usage);
        assert_eq!(metadata[list], json!(expected), "{spec} {usage}");
        let lists = metadata.as_object().unwrap().keys().filter(|name| name.ends_with("Algorithms")).count();
        assert_eq!(lists, 1, "{metadata}");
        assert_eq!(
            (&metadata["KeySpec"], &metadata["CustomerMasterKeySpec"]),
            (&json!(spec.as_str()), &json!(spec.as_str()))
        );
        assert_eq!(metadata["KeyUsage"], json!(usage.as_str()));
        assert_eq!(metadata["Enabled"], json!(true));
        let has_material_id = metadata.get("CurrentKeyMaterialId").is_some();
        assert_eq!(has_material_id, spec == KeySpec::SymmetricDefault, "{spec}");
        let described = deployment.ok(ROOT, "DescribeKey", json!({ "KeyId": metadata["KeyId"] }));
        assert_eq!(described["KeyMetadata"], metadata);

        let public = deployment.call(ROOT, "GetPublicKey", json!({ "KeyId": metadata["KeyId"] }));
        if spec.is_asymmetric() {
            let public = public.unwrap();
            assert_eq!((&public[list], &public["KeyId"]), (&json!(expected), &metadata["Arn"]), "{spec}");
            assert_eq!(
                (&public["KeySpec"], &public["CustomerMasterKeySpec"]),
                (&metadata["KeySpec"], &metadata["KeySpec"])
            );
            assert_eq!(public["KeyUsage"], metadata["KeyUsage"]);
            assert!(bytes(&public["PublicKey"]).starts_with(&[0x30]));
            assert_eq!(public.as_object().unwrap().len(), 6, "{public}");
        } else {
            assert_eq!(public.unwrap_err().error, "UnsupportedOperationException", "{spec}");
        }
    }
    deployment.assert_clean();
}

#[test]
fn a_usage_that_a_spec_does_not_have_makes_no_key() {
    let deployment = Deployment::new();
    for spec in KeySpec::ALL {
        for usage in KeyUsage::ALL.iter().filter(|usage| !spec.usages().contains(usage)) {
            let body = json!({ "KeySpec": spec.as_str(), "KeyUsage": usage.as_str() });
            let message = format!("KeyUsage {usage} is not compatible with KeySpec {spec}");
            assert_eq!(deployment.refused(ROOT, "CreateKey", body), refusal("Validation", message));
        }
    }
    // SM2 is China's.
    let sm2 = json!({ "KeySpec": "SM2", "KeyUsage": "SIGN_VERIFY" });
    assert_eq!(deployment.refused(ROOT, "CreateKey", sm2).error, "UnsupportedOperationException");
    let symmetric = deployment.create_key(ROOT);
    let pair = json!({ "KeyId": symmetric, "KeyPairSpec": "SM2" });
    assert_eq!(deployment.refused(ROOT, "GenerateDataKeyPair", pair).error, "UnsupportedOperationException");
    assert_eq!(deployment.ok(ROOT, "ListKeys", json!({}))["Keys"].as_array().unwrap().len(), 1);
}

/// Each operation that has a usage, ready to be sent to any key.
fn operations() -> Vec<(&'static str, KeyUsage, Value)> {
    let message = base64(b"m");
    vec![
        (
            "Decapsulate",
            KeyUsage::EncapsulateDecapsulate,
            json!({ "EncapsulationAlgorithm": "ML_KEM", "SharedSecretCiphertextBlob": message }),
        ),
        (
            "DeriveSharedSecret",
            KeyUsage::KeyAgreement,
            json!({ "KeyAgreementAlgorithm": "ECDH", "PublicKey": message }),
        ),
        ("Encapsulate", KeyUsage::EncapsulateDecapsulate, json!({ "EncapsulationAlgorithm": "ML_KEM" })),
        ("Encrypt", KeyUsage::EncryptDecrypt, json!({ "Plaintext": message })),
        ("GenerateDataKey", KeyUsage::EncryptDecrypt, json!({ "KeySpec": "AES_256" })),
        ("GenerateDataKeyPair", KeyUsage::EncryptDecrypt, json!({ "KeyPairSpec": "ECC_NIST_P256" })),
        (
            "GenerateDataKeyPairWithoutPlaintext",
            KeyUsage::EncryptDecrypt,
            json!({ "KeyPairSpec": "ECC_NIST_P256" }),
        ),
        ("GenerateDataKeyWithoutPlaintext", KeyUsage::EncryptDecrypt, json!({ "KeySpec": "AES_256" })),
        (
            "GenerateMac",
            KeyUsage::GenerateVerifyMac,
            json!({ "Message": message, "MacAlgorithm": "HMAC_SHA_256" }),
        ),
        ("Sign", KeyUsage::SignVerify, json!({ "Message": message, "SigningAlgorithm": "ECDSA_SHA_256" })),
        (
            "Verify",
            KeyUsage::SignVerify,
            json!({ "Message": message, "SigningAlgorithm": "ECDSA_SHA_256", "Signature": message }),
        ),
        (
            "VerifyMac",
            KeyUsage::GenerateVerifyMac,
            json!({ "Message": message, "MacAlgorithm": "HMAC_SHA_256", "Mac": message }),
        ),
    ]
}

#[test]
fn a_key_for_something_else_is_refused_before_its_state_is_looked_at() {
    let deployment = Deployment::new();
    let symmetric = deployment.create_key(ROOT);
    for (spec, usage) in specs().filter(|(spec, _)| *spec != KeySpec::SymmetricDefault) {
        let key_id = create(&deployment, spec, usage);
        let arn = key_arn(US, OWNER, &key_id);
        deployment.ok(ROOT, "DisableKey", json!({ "KeyId": key_id }));
        for (operation, needed, body) in operations() {
            if needed == usage {
                continue;
            }
            let message = format!("{arn} key usage is {usage} which is not valid for {operation}.");
            let told = deployment.refused(ROOT, operation, with(&body, json!({ "KeyId": key_id })));
            assert_eq!(told, refusal("InvalidKeyUsage", message), "{spec}");
        }
        if usage != KeyUsage::EncryptDecrypt {
            let blob = deployment.encrypt(ROOT, &symmetric, b"x");
            let decrypt = json!({ "KeyId": key_id, "CiphertextBlob": blob });
            assert_eq!(deployment.refused(ROOT, "Decrypt", decrypt).error, "IncorrectKeyException");
            let from =
                json!({ "SourceKeyId": key_id, "CiphertextBlob": blob, "DestinationKeyId": symmetric });
            assert_eq!(deployment.refused(ROOT, "ReEncrypt", from).error, "IncorrectKeyException");
            let to = json!({ "CiphertextBlob": blob, "DestinationKeyId": key_id });
            let message = format!("{arn} key usage is {usage} which is not valid for ReEncrypt.");
            assert_eq!(deployment.refused(ROOT, "ReEncrypt", to), refusal("InvalidKeyUsage", message));
        }
    }
}

#[test]
fn an_algorithm_of_another_spec_is_refused_before_the_state_is_looked_at() {
    let deployment = Deployment::new();
    let told = |algorithm: &str, spec: KeySpec| {
        refusal("InvalidKeyUsage", format!("Algorithm {algorithm} is incompatible with key spec {spec}."))
    };
    let every = [
        "ECDSA_SHA_256",
        "ECDSA_SHA_384",
        "ECDSA_SHA_512",
        "ED25519_SHA_512",
        "ED25519_PH_SHA_512",
        "ML_DSA_SHAKE_256",
        "RSASSA_PSS_SHA_256",
        "SM2DSA",
    ];
    for (spec, usage) in specs() {
        let key_id = create(&deployment, spec, usage);
        deployment.ok(ROOT, "DisableKey", json!({ "KeyId": key_id }));
        let (_, own) = algorithms(spec, usage);
        let call = |operation: &str, body: Value| {
            deployment.refused(ROOT, operation, with(&body, json!({ "KeyId": key_id })))
        };
        match usage {
            KeyUsage::SignVerify => {
                for algorithm in every.iter().filter(|algorithm| !own.contains(algorithm)) {
                    let body = json!({ "Message": base64(b"m"), "SigningAlgorithm": algorithm });
                    assert_eq!(call("Sign", body.clone()), told(algorithm, spec));
                    assert_eq!(
                        call("Verify", with(&body, json!({ "Signature": base64(b"s") }))),
                        told(algorithm, spec)
                    );
                }
            }
            KeyUsage::GenerateVerifyMac => {
                for algorithm in ["HMAC_SHA_224", "HMAC_SHA_256", "HMAC_SHA_384", "HMAC_SHA_512"] {
                    if !own.contains(&algorithm) {
                        let body = json!({ "Message": base64(b"m"), "MacAlgorithm": algorithm });
                        assert_eq!(call("GenerateMac", body.clone()), told(algorithm, spec));
                        assert_eq!(
                            call("VerifyMac", with(&body, json!({ "Mac": base64(b"s") }))),
                            told(algorithm, spec)
                        );
                    }
                }
            }
            KeyUsage::EncryptDecrypt if spec.is_asymmetric() => {
                let text = json!({ "Plaintext": base64(b"m") });
                assert_eq!(call("Encrypt", text.clone()), told("SYMMETRIC_DEFAULT", spec));
                assert_eq!(
                    call("Encrypt", with(&text, json!({ "EncryptionAlgorithm": "SM2PKE" }))),
                    told("SM2PKE", spec)
                );
                assert_eq!(
                    call("Decrypt", json!({ "CiphertextBlob": base64(b"m") })),
                    told("SYMMETRIC_DEFAULT", spec)
                );
                for operation in ["GenerateDataKey", "GenerateDataKeyWithoutPlaintext"] {
                    assert_eq!(
                        call(operation, json!({ "KeySpec": "AES_256" })),
                        told("SYMMETRIC_DEFAULT", spec)
                    );
                }
                for operation in ["GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext"] {
                    assert_eq!(
                        call(operation, json!({ "KeyPairSpec": "RSA_2048" })),
                        told("SYMMETRIC_DEFAULT", spec)
                    );
                }
            }
            _ => {}
        }
    }
}

/// A signing key, and what its algorithms take: message type and length.
fn signing_cases() -> Vec<(KeySpec, &'static str, &'static str, usize)> {
    vec![
        (KeySpec::Rsa2048, "RSASSA_PKCS1_V1_5_SHA_256", "DIGEST", 32),
        (KeySpec::Rsa2048, "RSASSA_PKCS1_V1_5_SHA_384", "DIGEST", 48),
        (KeySpec::Rsa2048, "RSASSA_PKCS1_V1_5_SHA_512", "DIGEST", 64),
        (KeySpec::Rsa2048, "RSASSA_PSS_SHA_256", "DIGEST", 32),
        (KeySpec::Rsa2048, "RSASSA_PSS_SHA_384", "DIGEST", 48),
        (KeySpec::Rsa2048, "RSASSA_PSS_SHA_512", "DIGEST", 64),
        (KeySpec::EccNistP256, "ECDSA_SHA_256", "DIGEST", 32),
        (KeySpec::EccNistP384, "ECDSA_SHA_384", "DIGEST", 48),
        (KeySpec::EccNistP521, "ECDSA_SHA_512", "DIGEST", 64),
        (KeySpec::EccSecgP256k1, "ECDSA_SHA_256", "DIGEST", 32),
        (KeySpec::EccNistEdwards25519, "ED25519_PH_SHA_512", "DIGEST", 64),
        (KeySpec::MlDsa44, "ML_DSA_SHAKE_256", "EXTERNAL_MU", 64),
        (KeySpec::MlDsa65, "ML_DSA_SHAKE_256", "EXTERNAL_MU", 64),
        (KeySpec::MlDsa87, "ML_DSA_SHAKE_256", "EXTERNAL_MU", 64),
    ]
}

fn sign_and_verify(deployment: &Deployment, body: &Value) -> [Result<Value, Refusal>; 2] {
    let signed = deployment.call(ROOT, "Sign", body.clone());
    let signature =
        signed.as_ref().map_or_else(|_| json!(base64(b"s")), |answer| answer["Signature"].clone());
    [signed, deployment.call(ROOT, "Verify", with(body, json!({ "Signature": signature })))]
}

#[test]
fn messages_digests_and_mus_have_their_algorithms_and_lengths() {
    let deployment = Deployment::new();
    for (spec, algorithm, kind, length) in signing_cases() {
        let key_id = create(&deployment, spec, KeyUsage::SignVerify);
        let body = |kind: &str, length: usize| json!({ "KeyId": key_id, "SigningAlgorithm": algorithm, "MessageType": kind, "Message": base64(&vec![7; length]) });
        for wrong in [1, length - 1, length + 1, 4096] {
            let message = format!("Digest is invalid length for algorithm {algorithm}.");
            for answer in sign_and_verify(&deployment, &body(kind, wrong)) {
                assert_eq!(answer.unwrap_err(), refusal("Validation", &message), "{spec}");
            }
        }
        for other in ["RAW", "DIGEST", "EXTERNAL_MU"] {
            let takes = other == kind || (other == "RAW" && algorithm != "ED25519_PH_SHA_512");
            for answer in sign_and_verify(&deployment, &body(other, length)) {
                match answer {
                    Ok(answer) => {
                        assert!(takes, "{algorithm} {other}");
                        assert_eq!(answer["KeyId"], json!(key_arn(US, OWNER, &key_id)));
                        assert_eq!(answer["SigningAlgorithm"], json!(algorithm));
                        assert!(answer.get("SignatureValid").is_none_or(|valid| *valid == json!(true)));
                    }
                    Err(told) => {
                        assert!(!takes, "{algorithm} {other}: {told:?}");
                        assert_eq!(told.error, "ValidationException");
                    }
                }
            }
        }
    }
    // Ed25519 takes messages alone.
    let key_id = create(&deployment, KeySpec::EccNistEdwards25519, KeyUsage::SignVerify);
    let body = json!({ "KeyId": key_id, "SigningAlgorithm": "ED25519_SHA_512", "Message": base64(&[7; 64]) });
    for (kind, takes) in [("DIGEST", false), ("EXTERNAL_MU", false), ("RAW", true)] {
        for answer in sign_and_verify(&deployment, &with(&body, json!({ "MessageType": kind }))) {
            assert_eq!(answer.is_ok(), takes, "{kind}");
        }
    }
}

#[test]
fn what_does_not_verify_is_an_error_without_words() {
    let deployment = Deployment::new();
    for (spec, algorithm, kind, length) in signing_cases() {
        let [key_id, other] = [(); 2].map(|()| create(&deployment, spec, KeyUsage::SignVerify));
        let body = json!({ "KeyId": key_id, "SigningAlgorithm": algorithm, "MessageType": kind, "Message": base64(&vec![7; length]) });
        let signature = deployment.ok(ROOT, "Sign", body.clone())["Signature"].clone();
        let verify = with(&body, json!({ "Signature": signature }));
        for wrong in [
            json!({ "KeyId": other }),
            json!({ "Message": base64(&vec![8; length]) }),
            json!({ "Signature": base64(b"s") }),
            json!({ "Signature": base64(&[&bytes(&signature)[..], &[0]].concat()) }),
        ] {
            let wrong = with(&verify, wrong);
            assert_eq!(
                deployment.refused(ROOT, "Verify", wrong.clone()),
                bare("KMSInvalidSignature"),
                "{spec}"
            );
            let dry = with(&wrong, json!({ "DryRun": true }));
            assert_eq!(deployment.refused(ROOT, "Verify", dry), bare("KMSInvalidSignature"));
        }
        for (operation, body) in [("Sign", &body), ("Verify", &verify)] {
            let told = deployment.refused(ROOT, operation, with(body, json!({ "DryRun": true })));
            assert_eq!(told.error, "DryRunOperationException");
            let told = deployment.refused(ROOT, operation, with(body, json!({ "GrantTokens": ["t"] })));
            assert_eq!(told.error, "InvalidGrantTokenException");
        }
        deployment.ok(ROOT, "Verify", verify);
    }
}

#[test]
fn macs_verify_and_do_not_verify() {
    let deployment = Deployment::new();
    for (spec, algorithm, size) in [
        (KeySpec::Hmac224, "HMAC_SHA_224", 28),
        (KeySpec::Hmac256, "HMAC_SHA_256", 32),
        (KeySpec::Hmac384, "HMAC_SHA_384", 48),
        (KeySpec::Hmac512, "HMAC_SHA_512", 64),
    ] {
        let [key_id, other] = [(); 2].map(|()| create(&deployment, spec, KeyUsage::GenerateVerifyMac));
        let body = json!({ "KeyId": key_id, "MacAlgorithm": algorithm, "Message": base64(&[7; 4096]) });
        let made = deployment.ok(ROOT, "GenerateMac", body.clone());
        let mac = bytes(&made["Mac"]);
        assert_eq!((mac.len(), &made["MacAlgorithm"]), (size, &json!(algorithm)));
        let verify = with(&body, json!({ "Mac": base64(&mac) }));
        for wrong in [
            json!({ "KeyId": other }),
            json!({ "Message": base64(b"m") }),
            json!({ "Mac": base64(&mac[1..]) }),
            json!({ "Mac": base64(&[&mac[..], &[0]].concat()) }),
        ] {
            assert_eq!(
                deployment.refused(ROOT, "VerifyMac", with(&verify, wrong)),
                bare("KMSInvalidMac"),
                "{spec}"
            );
        }
        for (operation, body) in [("GenerateMac", &body), ("VerifyMac", &verify)] {
            let told = deployment.refused(ROOT, operation, with(body, json!({ "DryRun": true })));
            assert_eq!(told.error, "DryRunOperationException");
            let told = deployment.refused(ROOT, operation, with(body, json!({ "GrantTokens": ["t"] })));
            assert_eq!(told.error, "InvalidGrantTokenException");
        }
        let expected =
            json!({ "KeyId": key_arn(US, OWNER, &key_id), "MacAlgorithm": algorithm, "MacValid": true });
        assert_eq!(deployment.ok(ROOT, "VerifyMac", verify), expected);
    }
}

#[test]
fn rsa_keys_encrypt_up_to_their_limit_and_re_encrypt_to_and_from_blobs() {
    let deployment = Deployment::new();
    let (rsa, symmetric) =
        (create(&deployment, KeySpec::Rsa2048, KeyUsage::EncryptDecrypt), deployment.create_key(ROOT));
    for (algorithm, max) in [("RSAES_OAEP_SHA_1", 214), ("RSAES_OAEP_SHA_256", 190)] {
        let encrypt = |length: usize| json!({ "KeyId": rsa, "EncryptionAlgorithm": algorithm, "Plaintext": base64(&vec![7; length]) });
        let message = format!(
            "Algorithm {algorithm} and key spec RSA_2048 cannot encrypt data larger than {max} bytes."
        );
        assert_eq!(deployment.refused(ROOT, "Encrypt", encrypt(max + 1)), refusal("Validation", message));
        let context = with(&encrypt(1), json!({ "EncryptionContext": { "a": "b" } }));
        assert_eq!(deployment.refused(ROOT, "Encrypt", context).error, "ValidationException");
        let answer = deployment.ok(ROOT, "Encrypt", encrypt(max));
        assert_eq!(answer["EncryptionAlgorithm"], json!(algorithm));
        assert_eq!(bytes(&answer["CiphertextBlob"]).len(), 256);
        let decrypt = json!({ "KeyId": rsa, "EncryptionAlgorithm": algorithm, "CiphertextBlob": answer["CiphertextBlob"] });
        for wrong in [
            json!({ "CiphertextBlob": base64(&[1; 256]) }),
            json!({ "CiphertextBlob": base64(&[1; 255]) }),
            json!({ "EncryptionAlgorithm": if max == 214 { "RSAES_OAEP_SHA_256" } else { "RSAES_OAEP_SHA_1" } }),
        ] {
            assert_eq!(deployment.refused(ROOT, "Decrypt", with(&decrypt, wrong)), bare("InvalidCiphertext"));
        }
        let unnamed = json!({ "EncryptionAlgorithm": algorithm, "CiphertextBlob": answer["CiphertextBlob"] });
        assert_eq!(deployment.refused(ROOT, "Decrypt", unnamed).error, "ValidationException");
        let opened = deployment.ok(ROOT, "Decrypt", decrypt);
        assert_eq!(bytes(&opened["Plaintext"]), vec![7; max]);
        assert!(opened.get("KeyMaterialId").is_none());

        let to_blob = json!({
            "SourceKeyId": rsa, "SourceEncryptionAlgorithm": algorithm, "CiphertextBlob": answer["CiphertextBlob"],
            "DestinationKeyId": symmetric, "DestinationEncryptionContext": { "a": "b" },
        });
        let blob = deployment.ok(ROOT, "ReEncrypt", to_blob);
        assert!(blob.get("SourceKeyMaterialId").is_none() && blob.get("DestinationKeyMaterialId").is_some());
        assert_eq!(blob["SourceEncryptionAlgorithm"], json!(algorithm));
        let back = json!({
            "CiphertextBlob": blob["CiphertextBlob"], "SourceEncryptionContext": { "a": "b" },
            "DestinationKeyId": rsa, "DestinationEncryptionAlgorithm": algorithm,
        });
        let back = deployment.ok(ROOT, "ReEncrypt", back);
        assert!(back.get("SourceKeyMaterialId").is_some() && back.get("DestinationKeyMaterialId").is_none());
        let decrypt = json!({ "KeyId": rsa, "EncryptionAlgorithm": algorithm, "CiphertextBlob": back["CiphertextBlob"] });
        assert_eq!(bytes(&deployment.ok(ROOT, "Decrypt", decrypt)["Plaintext"]), vec![7; max]);

        let long = deployment.encrypt(ROOT, &symmetric, &vec![7; max + 1]);
        let too_long = json!({ "CiphertextBlob": long, "DestinationKeyId": rsa, "DestinationEncryptionAlgorithm": algorithm });
        for dry_run in [false, true] {
            let told = deployment.refused(ROOT, "ReEncrypt", with(&too_long, json!({ "DryRun": dry_run })));
            assert_eq!(told.error, "ValidationException");
        }
    }
}

#[test]
fn two_keys_agree_and_a_peer_that_is_none_is_refused_without_words() {
    let deployment = Deployment::new();
    let public =
        |key_id: &str| deployment.ok(ROOT, "GetPublicKey", json!({ "KeyId": key_id }))["PublicKey"].clone();
    let elsewhere = create(&deployment, KeySpec::EccSecgP256k1, KeyUsage::SignVerify);
    for (spec, size) in [(KeySpec::EccNistP256, 32), (KeySpec::EccNistP384, 48), (KeySpec::EccNistP521, 66)] {
        let [one, other] = [(); 2].map(|()| create(&deployment, spec, KeyUsage::KeyAgreement));
        let derive = |key_id: &str, peer: Value| json!({ "KeyId": key_id, "KeyAgreementAlgorithm": "ECDH", "PublicKey": peer });
        for wrong in [public(&elsewhere), json!(base64(b"no key")), json!(base64(&[4; 65]))] {
            for dry_run in [false, true] {
                let body = with(&derive(&one, wrong.clone()), json!({ "DryRun": dry_run }));
                assert_eq!(
                    deployment.refused(ROOT, "DeriveSharedSecret", body),
                    bare("Validation"),
                    "{spec}"
                );
            }
        }
        let dry = with(&derive(&one, public(&other)), json!({ "DryRun": true }));
        assert_eq!(deployment.refused(ROOT, "DeriveSharedSecret", dry).error, "DryRunOperationException");
        let mine = deployment.ok(ROOT, "DeriveSharedSecret", derive(&one, public(&other)));
        let theirs = deployment.ok(ROOT, "DeriveSharedSecret", derive(&other, public(&one)));
        assert_eq!(
            (&mine["SharedSecret"], bytes(&mine["SharedSecret"]).len()),
            (&theirs["SharedSecret"], size)
        );
        assert_eq!((&mine["KeyOrigin"], &mine["KeyAgreementAlgorithm"]), (&json!("AWS_KMS"), &json!("ECDH")));
    }
}

#[test]
fn encapsulations_of_a_wrong_length_alone_are_refused() {
    let deployment = Deployment::new();
    for (spec, size) in [(KeySpec::MlKem512, 768), (KeySpec::MlKem768, 1088), (KeySpec::MlKem1024, 1568)] {
        let key_id = create(&deployment, spec, KeyUsage::EncapsulateDecapsulate);
        let body = json!({ "KeyId": key_id, "EncapsulationAlgorithm": "ML_KEM" });
        let made = deployment.ok(ROOT, "Encapsulate", body.clone());
        let blob = bytes(&made["SharedSecretCiphertextBlob"]);
        assert_eq!(blob.len(), size);
        let decapsulate = |blob: &[u8]| with(&body, json!({ "SharedSecretCiphertextBlob": base64(blob) }));
        for wrong in [&blob[1..], &[&blob[..], &[0]].concat(), &[0]] {
            for dry_run in [false, true] {
                let body = with(&decapsulate(wrong), json!({ "DryRun": dry_run }));
                assert_eq!(
                    deployment.refused(ROOT, "Decapsulate", body),
                    bare("InvalidCiphertext"),
                    "{spec}"
                );
            }
        }
        let rejected = deployment.ok(ROOT, "Decapsulate", decapsulate(&vec![0; size]));
        assert_eq!(bytes(&rejected["SharedSecret"]).len(), 32);
        assert_ne!(rejected["SharedSecret"], made["SharedSecret"]);
        let opened = deployment.ok(ROOT, "Decapsulate", decapsulate(&blob));
        assert_eq!(opened["SharedSecret"], made["SharedSecret"]);
        for operation in ["Encapsulate", "Decapsulate"] {
            let body = if operation == "Encapsulate" { body.clone() } else { decapsulate(&blob) };
            let told = deployment.refused(ROOT, operation, with(&body, json!({ "DryRun": true })));
            assert_eq!(told.error, "DryRunOperationException");
        }
    }
}

#[test]
fn a_data_key_pair_comes_with_its_private_half_in_a_blob() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let context = json!({ "a": "b" });
    for spec in [
        "RSA_2048",
        "ECC_NIST_P256",
        "ECC_NIST_P384",
        "ECC_NIST_P521",
        "ECC_SECG_P256K1",
        "ECC_NIST_EDWARDS25519",
        "ML_KEM_512",
        "ML_KEM_768",
        "ML_KEM_1024",
    ] {
        let body = json!({ "KeyId": key_id, "KeyPairSpec": spec, "EncryptionContext": context });
        let pair = deployment.ok(ROOT, "GenerateDataKeyPair", body.clone());
        let without = deployment.ok(ROOT, "GenerateDataKeyPairWithoutPlaintext", body);
        assert!(without.get("PrivateKeyPlaintext").is_none());
        assert_ne!(without["PublicKey"], pair["PublicKey"], "{spec}");
        let open = |blob: &Value, context: &Value| {
            deployment.call(ROOT, "Decrypt", json!({ "CiphertextBlob": blob, "EncryptionContext": context }))
        };
        for made in [&pair, &without] {
            assert_eq!(
                open(&made["PrivateKeyCiphertextBlob"], &json!({})).unwrap_err(),
                bare("InvalidCiphertext")
            );
            let opened = open(&made["PrivateKeyCiphertextBlob"], &context).unwrap();
            if let Some(plaintext) = made.get("PrivateKeyPlaintext") {
                assert_eq!(opened["Plaintext"], *plaintext, "{spec}");
            }
            assert_eq!(made["KeyPairSpec"], json!(spec));
            assert_eq!(made["KeyMaterialId"], opened["KeyMaterialId"]);
        }
        if spec.starts_with("ML_KEM") {
            assert_eq!(bytes(&pair["PrivateKeyPlaintext"]).len(), 86);
        }
    }
}

#[test]
fn an_alias_moves_between_keys_of_one_kind_alone() {
    let deployment = Deployment::new();
    let keys: Vec<_> = specs()
        .filter(|(spec, _)| {
            matches!(
                spec,
                KeySpec::SymmetricDefault | KeySpec::Hmac256 | KeySpec::Rsa2048 | KeySpec::EccNistP256
            )
        })
        .map(|(spec, usage)| (spec, usage, create(&deployment, spec, usage)))
        .collect();
    for (spec, usage, key_id) in &keys {
        deployment.create_alias(ROOT, "alias/a", key_id);
        for (other_spec, other_usage, other) in &keys {
            let update = json!({ "AliasName": "alias/a", "TargetKeyId": other });
            let alike = usage == other_usage && spec.is_asymmetric() == other_spec.is_asymmetric();
            match deployment.call(ROOT, "UpdateAlias", update) {
                Ok(_) => assert!(alike, "{spec} to {other_spec}"),
                Err(told) => assert!(!alike && told.error == "ValidationException", "{told:?}"),
            }
            let _ = deployment.call(
                ROOT,
                "UpdateAlias",
                json!({ "AliasName": "alias/a", "TargetKeyId": key_id }),
            );
        }
        deployment.ok(ROOT, "DeleteAlias", json!({ "AliasName": "alias/a" }));
    }
    deployment.assert_clean();
}
