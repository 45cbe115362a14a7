//! GenerateDataKey, GenerateDataKeyWithoutPlaintext and GenerateRandom.

mod common;

use std::collections::BTreeSet;

use common::{Deployment, OWNER, ROOT, US, bytes, key_arn, refusal};
use serde_json::{Value, json};

const BOTH: [&str; 2] = ["GenerateDataKey", "GenerateDataKeyWithoutPlaintext"];

fn range(constraint: &str, value: u32) -> common::Refusal {
    let message = format!(
        "1 validation error detected: Value '{value}' at 'numberOfBytes' failed to satisfy constraint: \
         Member must have value {constraint}"
    );
    refusal("Validation", message)
}

#[test]
fn exactly_one_of_size_and_spec_is_given() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let message = "Please specify either number of bytes or key spec.";
    for operation in BOTH {
        for body in [
            json!({ "KeyId": key_id }),
            json!({ "KeyId": key_id, "KeySpec": "AES_128", "NumberOfBytes": 16 }),
        ] {
            assert_eq!(deployment.refused(ROOT, operation, body), refusal("Validation", message));
        }
    }
}

#[test]
fn a_data_key_has_one_to_1024_bytes() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    for operation in BOTH {
        let refused = |size: u32| {
            deployment.refused(ROOT, operation, json!({ "KeyId": key_id, "NumberOfBytes": size }))
        };
        assert_eq!(refused(0), range("greater than or equal to 1", 0));
        assert_eq!(refused(1025), range("less than or equal to 1024", 1025));
    }
    for (body, length) in [
        (json!({ "NumberOfBytes": 1 }), 1),
        (json!({ "NumberOfBytes": 1024 }), 1024),
        (json!({ "KeySpec": "AES_128" }), 16),
        (json!({ "KeySpec": "AES_256" }), 32),
    ] {
        let mut body = body;
        body["KeyId"] = json!(key_id);
        let answer = deployment.ok(ROOT, "GenerateDataKey", body.clone());
        assert_eq!(bytes(&answer["Plaintext"]).len(), length);
        let wrapped = deployment.ok(ROOT, "GenerateDataKeyWithoutPlaintext", body);
        let opened = deployment.ok(ROOT, "Decrypt", json!({ "CiphertextBlob": wrapped["CiphertextBlob"] }));
        assert_eq!(bytes(&opened["Plaintext"]).len(), length);
    }
}

#[test]
fn the_wrapped_key_opens_to_the_plain_one_in_its_context_only() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let context = json!({ "file": "a" });
    let body = json!({ "KeyId": key_id, "KeySpec": "AES_256", "EncryptionContext": context });
    let answer = deployment.ok(ROOT, "GenerateDataKey", body);
    let decrypt = |context: &Value| {
        let body = json!({ "CiphertextBlob": answer["CiphertextBlob"], "EncryptionContext": context });
        deployment.call(ROOT, "Decrypt", body)
    };
    assert_eq!(decrypt(&json!({ "file": "b" })).unwrap_err(), common::bare("InvalidCiphertext"));
    let opened = decrypt(&context).unwrap();
    assert_eq!(
        (&opened["Plaintext"], &opened["KeyMaterialId"]),
        (&answer["Plaintext"], &answer["KeyMaterialId"])
    );
}

#[test]
fn the_answers_have_aws_s_members_and_no_others() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let members = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let body = json!({ "KeyId": key_id, "KeySpec": "AES_256" });
    let answer = deployment.ok(ROOT, "GenerateDataKey", body.clone());
    assert_eq!(members(&answer), ["CiphertextBlob", "KeyId", "KeyMaterialId", "Plaintext"]);
    let wrapped = deployment.ok(ROOT, "GenerateDataKeyWithoutPlaintext", body);
    assert_eq!(members(&wrapped), ["CiphertextBlob", "KeyId", "KeyMaterialId"]);
    assert_eq!(answer["KeyId"], json!(key_arn(US, OWNER, &key_id)));
}

#[test]
fn random_bytes_are_one_to_1024_and_must_be_counted() {
    let deployment = Deployment::new();
    let refused = |body| deployment.refused(ROOT, "GenerateRandom", body);
    assert_eq!(refused(json!({})), refusal("Validation", "NumberOfBytes is required."));
    assert_eq!(refused(json!({ "NumberOfBytes": 0 })), range("greater than or equal to 1", 0));
    assert_eq!(refused(json!({ "NumberOfBytes": 1025 })), range("less than or equal to 1024", 1025));
    let store = json!({ "NumberOfBytes": 1, "CustomKeyStoreId": "cks-1234567890abcdef0" });
    assert_eq!(refused(store).error, "UnsupportedOperationException");
    for size in [1, 1024] {
        let answer = deployment.ok(ROOT, "GenerateRandom", json!({ "NumberOfBytes": size }));
        assert_eq!(bytes(&answer["Plaintext"]).len(), size);
        assert_eq!(answer.as_object().unwrap().len(), 1);
    }
}

#[test]
fn no_two_keys_and_no_two_randoms_are_alike() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let mut seen = BTreeSet::new();
    for _ in 0..40 {
        let key = deployment.ok(ROOT, "GenerateDataKey", json!({ "KeyId": key_id, "KeySpec": "AES_256" }));
        let random = deployment.ok(ROOT, "GenerateRandom", json!({ "NumberOfBytes": 32 }));
        assert!(seen.insert(bytes(&key["Plaintext"])) && seen.insert(bytes(&random["Plaintext"])));
    }
}
