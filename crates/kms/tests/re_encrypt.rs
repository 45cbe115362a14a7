//! ReEncrypt: from one key to another without a plaintext outside.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use common::{Deployment, OWNER, ROOT, ROOT_EU, US, bare, bytes, key_arn, refusal};
use serde_json::{Value, json};

fn material(deployment: &Deployment, key_id: &str) -> Value {
    deployment.ok(ROOT, "DescribeKey", json!({ "KeyId": key_id }))["KeyMetadata"]["CurrentKeyMaterialId"]
        .clone()
}

#[test]
fn the_source_that_is_named_must_be_the_blobs() {
    let deployment = Deployment::new();
    let (from, to) = (deployment.create_key(ROOT), deployment.create_key(ROOT));
    let blob = deployment.encrypt(ROOT, &from, b"secret");
    let body = json!({ "CiphertextBlob": blob, "SourceKeyId": to, "DestinationKeyId": to });
    let message = "The key ID in the request does not identify a CMK that can perform this operation.";
    assert_eq!(deployment.refused(ROOT, "ReEncrypt", body), refusal("IncorrectKey", message));
}

#[test]
fn a_source_that_does_not_open_is_refused() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let blob = deployment.encrypt(ROOT, &key_id, b"secret");
    let context = json!({ "another": "context" });
    let body =
        json!({ "CiphertextBlob": blob, "DestinationKeyId": key_id, "SourceEncryptionContext": context });
    assert_eq!(deployment.refused(ROOT, "ReEncrypt", body), bare("InvalidCiphertext"));
}

#[test]
fn a_destination_in_another_region_is_refused() {
    let deployment = Deployment::new();
    let (here, there) = (deployment.create_key(ROOT), deployment.create_key(ROOT_EU));
    let blob = deployment.encrypt(ROOT, &here, b"secret");
    let body = json!({ "CiphertextBlob": blob, "DestinationKeyId": key_arn("eu-central-1", OWNER, &there) });
    assert_eq!(deployment.refused(ROOT, "ReEncrypt", body), refusal("NotFound", "Invalid arn eu-central-1"));
}

#[test]
fn each_side_needs_its_own_right() {
    let deployment = Deployment::new();
    let all_but = |action: &str| {
        let allow = json!({ "Effect": "Allow", "Principal": common::root_of(OWNER), "Action": "kms:*", "Resource": "*" });
        let deny = json!({ "Effect": "Deny", "Principal": "*", "Action": action, "Resource": "*" });
        json!({ "Policy": json!({ "Version": "2012-10-17", "Statement": [allow, deny] }).to_string() })
    };
    let free = deployment.create_key(ROOT);
    let not_from = deployment.create_key_with(ROOT, all_but("kms:ReEncryptFrom"));
    let not_to = deployment.create_key_with(ROOT, all_but("kms:ReEncryptTo"));
    let re_encrypt = |from: &str, to: &str| {
        let blob = deployment.encrypt(ROOT, from, b"secret");
        deployment.call(ROOT, "ReEncrypt", json!({ "CiphertextBlob": blob, "DestinationKeyId": to }))
    };
    let denied = |action: &str, key_id: &str| {
        let arn = key_arn(US, OWNER, key_id);
        let who = format!("User: arn:aws:iam::{OWNER}:root is not authorized to perform: kms:{action}");
        refusal(
            "AccessDenied",
            format!("{who} on resource: {arn} with an explicit deny in a resource-based policy"),
        )
    };
    let by_blob = re_encrypt(&not_from, &free).unwrap_err();
    assert_eq!(by_blob.error, "AccessDeniedException");
    let body = |from: &str| json!({ "CiphertextBlob": deployment.encrypt(ROOT, from, b"x"), "SourceKeyId": from, "DestinationKeyId": free });
    assert_eq!(deployment.refused(ROOT, "ReEncrypt", body(&not_from)), denied("ReEncryptFrom", &not_from));
    assert_eq!(re_encrypt(&free, &not_to).unwrap_err(), denied("ReEncryptTo", &not_to));
    re_encrypt(&not_to, &not_from).unwrap();
}

#[test]
fn a_blob_moves_between_keys_and_contexts() {
    let deployment = Deployment::new();
    let (from, to) = (deployment.create_key(ROOT), deployment.create_key(ROOT));
    let context = json!({ "stage": "one" });
    let body = json!({ "KeyId": from, "Plaintext": common::base64(b"secret"), "EncryptionContext": context });
    let blob = deployment.ok(ROOT, "Encrypt", body)["CiphertextBlob"].clone();
    let moved = deployment.ok(
        ROOT,
        "ReEncrypt",
        json!({
            "CiphertextBlob": blob,
            "DestinationEncryptionContext": { "stage": "two" },
            "DestinationKeyId": to,
            "SourceEncryptionContext": context,
        }),
    );
    let expected = json!({
        "CiphertextBlob": moved["CiphertextBlob"],
        "DestinationEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "DestinationKeyMaterialId": material(&deployment, &to),
        "KeyId": key_arn(US, OWNER, &to),
        "SourceEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "SourceKeyId": key_arn(US, OWNER, &from),
        "SourceKeyMaterialId": material(&deployment, &from),
    });
    assert_eq!(moved, expected);
    let decrypt = |context: Value| {
        let body =
            json!({ "CiphertextBlob": moved["CiphertextBlob"], "KeyId": to, "EncryptionContext": context });
        deployment.call(ROOT, "Decrypt", body)
    };
    assert_eq!(decrypt(json!({ "stage": "one" })).unwrap_err(), bare("InvalidCiphertext"));
    assert_eq!(bytes(&decrypt(json!({ "stage": "two" })).unwrap()["Plaintext"]), b"secret");
}

#[test]
fn the_same_key_may_be_both_sides() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let blob = deployment.encrypt(ROOT, &key_id, b"secret");
    let moved =
        deployment.ok(ROOT, "ReEncrypt", json!({ "CiphertextBlob": blob, "DestinationKeyId": key_id }));
    assert_ne!(moved["CiphertextBlob"], json!(blob));
    assert_eq!(
        (&moved["KeyId"], &moved["SourceKeyMaterialId"]),
        (&moved["SourceKeyId"], &moved["DestinationKeyMaterialId"])
    );
}
