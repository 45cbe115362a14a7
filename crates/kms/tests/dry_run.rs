//! A dry run is refused with `DryRunOperation` where the call would have succeeded, and otherwise as the call would be.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use common::{Deployment, NO_KEY, OWNER, ROOT, Refusal, US, bare, base64, key_arn, refusal};
use serde_json::{Value, json};

fn would_succeed() -> Refusal {
    refusal("DryRunOperation", "The request would have succeeded, but the DryRun option is set.")
}

/// Every built operation that has DryRun, ready to succeed.
fn operations(deployment: &Deployment, key_id: &str) -> Vec<(&'static str, Value)> {
    let blob = deployment.encrypt(ROOT, key_id, b"x");
    vec![
        ("CreateGrant", json!({ "KeyId": key_id, "GranteePrincipal": OWNER, "Operations": ["Encrypt"] })),
        ("GenerateDataKeyPair", json!({ "KeyId": key_id, "KeyPairSpec": "ECC_NIST_P256" })),
        ("GenerateDataKeyPairWithoutPlaintext", json!({ "KeyId": key_id, "KeyPairSpec": "RSA_2048" })),
        ("Decrypt", json!({ "CiphertextBlob": blob, "KeyId": key_id })),
        ("Encrypt", json!({ "KeyId": key_id, "Plaintext": base64(b"x") })),
        ("GenerateDataKey", json!({ "KeyId": key_id, "KeySpec": "AES_256" })),
        ("GenerateDataKeyWithoutPlaintext", json!({ "KeyId": key_id, "NumberOfBytes": 7 })),
        ("ReEncrypt", json!({ "CiphertextBlob": blob, "SourceKeyId": key_id, "DestinationKeyId": key_id })),
    ]
}

fn with(mut body: Value, member: &str, value: Value) -> Value {
    body[member] = value;
    body
}

fn dry(body: Value) -> Value {
    with(body, "DryRun", json!(true))
}

#[test]
fn what_would_be_refused_is_refused_in_the_same_words() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let operations = operations(&deployment, &key_id);
    let forbidden = common::policy("Deny", json!("*"), json!(["kms:*"]));
    let make = |what: &str| match what {
        "disabled" => drop(deployment.ok(ROOT, "DisableKey", json!({ "KeyId": key_id }))),
        "forbidden" => {
            deployment.ok(ROOT, "EnableKey", json!({ "KeyId": key_id }));
            let policy =
                json!({ "KeyId": key_id, "Policy": forbidden, "BypassPolicyLockoutSafetyCheck": true });
            deployment.ok(ROOT, "PutKeyPolicy", policy);
        }
        _ => {}
    };
    for what in ["unknown", "disabled", "forbidden"] {
        make(what);
        for (operation, body) in &operations {
            let member = if *operation == "ReEncrypt" { "DestinationKeyId" } else { "KeyId" };
            let key = if what == "unknown" { NO_KEY } else { &key_id };
            let body = with(body.clone(), member, json!(key));
            let wet = deployment.refused(ROOT, operation, body.clone());
            assert_ne!(wet.error, "DryRunOperationException");
            assert_eq!(deployment.refused(ROOT, operation, dry(body)), wet, "{operation} {what}");
        }
    }
}

#[test]
fn what_would_succeed_says_so_and_gives_nothing() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    for (operation, body) in operations(&deployment, &key_id) {
        assert_eq!(deployment.refused(ROOT, operation, dry(body.clone())), would_succeed(), "{operation}");
        deployment.ok(ROOT, operation, with(body.clone(), "DryRun", json!(false)));
        deployment.ok(ROOT, operation, body);
    }
}

#[test]
fn a_ciphertext_that_does_not_open_is_found_in_a_dry_run() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let blob = deployment.encrypt(ROOT, &key_id, b"x");
    let context = json!({ "another": "context" });
    let decrypt = json!({ "CiphertextBlob": blob, "EncryptionContext": context, "DryRun": true });
    assert_eq!(deployment.refused(ROOT, "Decrypt", decrypt), bare("InvalidCiphertext"));
    let re_encrypt = json!({
        "CiphertextBlob": blob, "SourceEncryptionContext": context, "DestinationKeyId": key_id, "DryRun": true,
    });
    assert_eq!(deployment.refused(ROOT, "ReEncrypt", re_encrypt), bare("InvalidCiphertext"));
}

#[test]
fn ignoring_the_ciphertext_needs_a_dry_run_and_a_named_key() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let blob = deployment.encrypt(ROOT, &key_id, b"x");
    let modifiers = json!(["IGNORE_CIPHERTEXT"]);
    for (operation, member) in [("Decrypt", "KeyId"), ("ReEncrypt", "SourceKeyId")] {
        let base = json!({ "DestinationKeyId": key_id, "DryRunModifiers": modifiers });
        let base = if operation == "Decrypt" { json!({ "DryRunModifiers": modifiers }) } else { base };
        let named = with(base.clone(), member, json!(key_id));
        let told = deployment.refused(ROOT, operation, with(named.clone(), "CiphertextBlob", json!(blob)));
        let message = "DryRunModifiers can only be specified when DryRun is true.";
        assert_eq!(told, refusal("Validation", message));
        let told = deployment.refused(ROOT, operation, dry(with(base, "CiphertextBlob", json!(blob))));
        assert_eq!(told.error, "ValidationException", "{told:?}");
        // Named, in a dry run: only the right is tried, whatever the blob is.
        assert_eq!(deployment.refused(ROOT, operation, dry(named.clone())), would_succeed());
        let garbage = with(named.clone(), "CiphertextBlob", json!(base64(b"garbage")));
        assert_eq!(deployment.refused(ROOT, operation, dry(garbage)), would_succeed());
        let unknown = dry(with(named, member, json!(NO_KEY)));
        let message = format!("Key '{}' does not exist", key_arn(US, OWNER, NO_KEY));
        assert_eq!(deployment.refused(ROOT, operation, unknown), refusal("NotFound", message));
    }
}
