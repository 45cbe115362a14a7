//! Encrypt and Decrypt: what opens, what does not, and in which words.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use common::{Deployment, NO_KEY, OWNER, ROOT, US, bare, base64, bytes, key_arn, refusal};
use serde_json::{Value, json};

const TOO_LONG: &str = "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: \
                        Member must have length less than or equal to 4096";
const INCORRECT_KEY: &str =
    "The key ID in the request does not identify a CMK that can perform this operation.";

fn decrypt(deployment: &Deployment, blob: &str, context: Value) -> Result<Vec<u8>, common::Refusal> {
    let answer =
        deployment.call(ROOT, "Decrypt", json!({ "CiphertextBlob": blob, "EncryptionContext": context }));
    answer.map(|answer| bytes(&answer["Plaintext"]))
}

fn encrypt(deployment: &Deployment, key_id: &str, context: Value) -> String {
    let body = json!({ "KeyId": key_id, "Plaintext": base64(b"secret"), "EncryptionContext": context });
    common::text(&deployment.ok(ROOT, "Encrypt", body)["CiphertextBlob"])
}

#[test]
fn a_plaintext_has_one_to_4096_bytes() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let encrypt = |length| {
        deployment.call(ROOT, "Encrypt", json!({ "KeyId": key_id, "Plaintext": base64(&vec![7; length]) }))
    };
    assert_eq!(encrypt(4097).unwrap_err(), refusal("Validation", TOO_LONG));
    let too_short = TOO_LONG.replace("less than or equal to 4096", "greater than or equal to 1");
    assert_eq!(encrypt(0).unwrap_err(), refusal("Validation", too_short));
    for length in [1, 4096] {
        let blob = bytes(&encrypt(length).unwrap()["CiphertextBlob"]);
        assert_eq!(blob.len(), length + 119);
        assert_eq!(decrypt(&deployment, &base64(&blob), Value::Null).unwrap(), vec![7; length]);
    }
}

#[test]
fn a_ciphertext_has_one_to_6144_bytes() {
    let deployment = Deployment::new();
    let told = decrypt(&deployment, &base64(&vec![9; 6145]), Value::Null).unwrap_err();
    let constraint = "1 validation error detected: Value at 'ciphertextBlob' failed to satisfy constraint: \
                      Member must have length less than or equal to 6144";
    assert_eq!(told, refusal("Validation", constraint));
    for length in [1, 118, 119, 6144] {
        let told = decrypt(&deployment, &base64(&vec![9; length]), Value::Null).unwrap_err();
        assert_eq!(told, bare("InvalidCiphertext"), "{length}");
    }
}

#[test]
fn a_flipped_bit_anywhere_is_one_and_the_same_refusal() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let blob = bytes(&json!(encrypt(&deployment, &key_id, Value::Null)));
    for at in 0..blob.len() {
        let mut altered = blob.clone();
        altered[at] ^= 1;
        let told = decrypt(&deployment, &base64(&altered), Value::Null).unwrap_err();
        // Bytes 2 to 18 name the key (the flag of a multi-Region key, the id): another one is nobody's.
        let names_the_key = (2..19).contains(&at);
        let expected = if names_the_key { "AccessDeniedException" } else { "InvalidCiphertextException" };
        assert_eq!(told.error, expected, "byte {at}");
        let named = json!({ "KeyId": key_id, "CiphertextBlob": base64(&altered) });
        let told = deployment.refused(ROOT, "Decrypt", named);
        let incorrect = refusal("IncorrectKey", INCORRECT_KEY);
        assert_eq!(told, if names_the_key { incorrect } else { bare("InvalidCiphertext") }, "byte {at}");
    }
    assert_eq!(decrypt(&deployment, &base64(&blob), Value::Null).unwrap(), b"secret");
}

#[test]
fn another_context_does_not_open() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let blob = encrypt(&deployment, &key_id, json!({ "purpose": "test", "stage": "one" }));
    for context in [
        Value::Null,
        json!({}),
        json!({ "purpose": "test" }),
        json!({ "purpose": "test", "stage": "two" }),
        json!({ "Purpose": "test", "stage": "one" }),
        json!({ "purpose": "test", "stage": "one", "more": "" }),
        json!({ "purpos": "etest", "stage": "one" }),
        json!({ "purpose": "one", "stage": "test" }),
    ] {
        assert_eq!(
            decrypt(&deployment, &blob, context.clone()).unwrap_err(),
            bare("InvalidCiphertext"),
            "{context}"
        );
    }
    // The order in which it is written does not matter.
    let body =
        format!(r#"{{"CiphertextBlob":"{blob}","EncryptionContext":{{"stage":"one","purpose":"test"}}}}"#);
    assert_eq!(bytes(&deployment.call_raw(ROOT, "Decrypt", body).unwrap()["Plaintext"]), b"secret");
}

#[test]
fn absent_and_empty_contexts_are_the_same() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    for sealed in [Value::Null, json!({})] {
        let blob = encrypt(&deployment, &key_id, sealed);
        for opened in [Value::Null, json!({})] {
            assert_eq!(decrypt(&deployment, &blob, opened).unwrap(), b"secret");
        }
        assert_eq!(decrypt(&deployment, &blob, json!({ "": "" })).unwrap_err(), bare("InvalidCiphertext"));
    }
}

#[test]
fn a_context_has_8192_bytes_and_no_more_and_no_key_twice() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    // Four bytes of count, four of each length, one of the key.
    let context = |bytes: usize| json!({ "k": "v".repeat(bytes - 4 - 8 - 1) });
    let body = json!({ "KeyId": key_id, "Plaintext": base64(b"x"), "EncryptionContext": context(8193) });
    assert_eq!(deployment.refused(ROOT, "Encrypt", body).error, "ValidationException");
    let blob = encrypt(&deployment, &key_id, context(8192));
    assert_eq!(decrypt(&deployment, &blob, context(8192)).unwrap(), b"secret");
    let twice =
        format!(r#"{{"KeyId":"{key_id}","Plaintext":"eA==","EncryptionContext":{{"a":"1","a":"2"}}}}"#);
    assert_eq!(deployment.call_raw(ROOT, "Encrypt", twice).unwrap_err().error, "SerializationException");
}

#[test]
fn a_blob_of_another_key_is_the_incorrect_key() {
    let deployment = Deployment::new();
    let (one, other) = (deployment.create_key(ROOT), deployment.create_key(ROOT));
    let blob = deployment.encrypt(ROOT, &one, b"secret");
    let told = deployment.refused(ROOT, "Decrypt", json!({ "KeyId": other, "CiphertextBlob": blob }));
    assert_eq!(told, refusal("IncorrectKey", INCORRECT_KEY));
    let answer = deployment.ok(ROOT, "Decrypt", json!({ "KeyId": one, "CiphertextBlob": blob }));
    assert_eq!(bytes(&answer["Plaintext"]), b"secret");
}

#[test]
fn asymmetric_algorithms_do_not_fit_a_symmetric_key() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let blob = deployment.encrypt(ROOT, &key_id, b"x");
    let told = |algorithm| {
        refusal(
            "InvalidKeyUsage",
            format!("Algorithm {algorithm} is incompatible with key spec SYMMETRIC_DEFAULT."),
        )
    };
    for algorithm in ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "SM2PKE"] {
        let encrypt = json!({ "KeyId": key_id, "Plaintext": "eA==", "EncryptionAlgorithm": algorithm });
        assert_eq!(deployment.refused(ROOT, "Encrypt", encrypt), told(algorithm));
        let decrypt = json!({ "KeyId": key_id, "CiphertextBlob": blob, "EncryptionAlgorithm": algorithm });
        assert_eq!(deployment.refused(ROOT, "Decrypt", decrypt), told(algorithm));
        let unnamed = json!({ "CiphertextBlob": blob, "EncryptionAlgorithm": algorithm });
        assert_eq!(deployment.refused(ROOT, "Decrypt", unnamed).error, "ValidationException");
    }
    let named = json!({ "KeyId": key_id, "Plaintext": "eA==", "EncryptionAlgorithm": "SYMMETRIC_DEFAULT" });
    assert_eq!(deployment.ok(ROOT, "Encrypt", named)["EncryptionAlgorithm"], json!("SYMMETRIC_DEFAULT"));
}

#[test]
fn nothing_to_decrypt_is_a_missing_member() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let message = "1 validation error detected: Value null at 'ciphertextBlob' failed to satisfy constraint: \
                   Member must not be null";
    for body in [json!({}), json!({ "KeyId": key_id })] {
        assert_eq!(deployment.refused(ROOT, "Decrypt", body), refusal("Validation", message));
    }
}

#[test]
fn the_answers_have_aws_s_members_and_no_others() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let arn = key_arn(US, OWNER, &key_id);
    let encrypted = deployment.ok(ROOT, "Encrypt", json!({ "KeyId": key_id, "Plaintext": "eA==" }));
    let blob = encrypted["CiphertextBlob"].clone();
    let expected =
        json!({ "CiphertextBlob": blob, "KeyId": arn, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT" });
    assert_eq!(encrypted, expected);
    let described = deployment.ok(ROOT, "DescribeKey", json!({ "KeyId": key_id }));
    let material = &described["KeyMetadata"]["CurrentKeyMaterialId"];
    let decrypted = deployment.ok(ROOT, "Decrypt", json!({ "CiphertextBlob": blob }));
    let expected = json!({
        "EncryptionAlgorithm": "SYMMETRIC_DEFAULT", "KeyId": arn, "KeyMaterialId": material, "Plaintext": "eA==",
    });
    assert_eq!(decrypted, expected);
}

#[test]
fn the_same_plaintext_never_gives_the_same_blob() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let blobs: std::collections::BTreeSet<_> =
        (0..50).map(|_| deployment.encrypt(ROOT, &key_id, b"x")).collect();
    assert_eq!(blobs.len(), 50);
    assert!(
        deployment
            .refused(ROOT, "Encrypt", json!({ "KeyId": NO_KEY, "Plaintext": "eA==" }))
            .message
            .is_some()
    );
}
