//! CreateKey, DescribeKey and UpdateKeyDescription: the metadata, the refusals, and what is routed but not built.

mod common;

use common::{Deployment, OWNER, ROOT, US, key_arn, refusal};
use serde_json::{Value, json};
use strongroom_kms::BUILT;
use strongroom_wire::Operation;

fn refused(deployment: &Deployment, body: Value) -> common::Refusal {
    deployment.refused(ROOT, "CreateKey", body)
}

#[test]
fn what_contradicts_itself_is_refused_in_aws_s_words() {
    let deployment = Deployment::new();
    let validation = |body: Value, message: &str| {
        assert_eq!(refused(&deployment, body.clone()), refusal("Validation", message), "{body}");
    };
    let usage = "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.";
    validation(json!({ "KeySpec": "RSA_2048" }), usage);
    validation(json!({ "CustomerMasterKeySpec": "HMAC_256" }), usage);
    for (usage, spec) in [
        ("SIGN_VERIFY", "SYMMETRIC_DEFAULT"),
        ("ENCRYPT_DECRYPT", "ECC_NIST_P256"),
        ("KEY_AGREEMENT", "RSA_2048"),
        ("ENCRYPT_DECRYPT", "HMAC_512"),
        ("SIGN_VERIFY", "ML_KEM_768"),
    ] {
        let message = format!("KeyUsage {usage} is not compatible with KeySpec {spec}");
        validation(json!({ "KeyUsage": usage, "KeySpec": spec }), &message);
    }
    let both = json!({ "KeySpec": "SYMMETRIC_DEFAULT", "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT" });
    assert_eq!(refused(&deployment, both).error, "ValidationException");
}

#[test]
fn what_is_not_built_is_refused_and_creates_nothing() {
    let deployment = Deployment::new();
    for body in [
        json!({ "Origin": "EXTERNAL" }),
        json!({ "Origin": "AWS_CLOUDHSM", "CustomKeyStoreId": "cks-1234567890abcdef0" }),
        json!({ "CustomKeyStoreId": "cks-1234567890abcdef0" }),
        json!({ "XksKeyId": "x" }),
        json!({ "MultiRegion": true }),
    ] {
        assert_eq!(refused(&deployment, body.clone()).error, "UnsupportedOperationException", "{body}");
    }
    assert_eq!(deployment.ok(ROOT, "ListKeys", json!({}))["Keys"], json!([]));
    deployment.create_key_with(ROOT, json!({ "MultiRegion": false, "Origin": "AWS_KMS" }));
}

#[test]
fn a_description_has_8192_characters_and_no_more() {
    let deployment = Deployment::new();
    let told = refused(&deployment, json!({ "Description": "d".repeat(8193) }));
    assert!(told.message.unwrap().ends_with("Member must have length less than or equal to 8192"));
    // Characters, not bytes.
    let description = "é".repeat(8192);
    let key_id = deployment.create_key_with(ROOT, json!({ "Description": description }));
    let described = deployment.ok(ROOT, "DescribeKey", json!({ "KeyId": key_id }));
    assert_eq!(described["KeyMetadata"]["Description"], json!(description));
}

#[test]
fn a_description_is_replaced_whole() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key_with(ROOT, json!({ "Description": "first" }));
    let update = |description: Value| {
        deployment.call(ROOT, "UpdateKeyDescription", json!({ "KeyId": key_id, "Description": description }))
    };
    let described = || deployment.ok(ROOT, "DescribeKey", json!({ "KeyId": key_id }))["KeyMetadata"].clone();
    let before = described();
    for (wrong, told) in [
        (json!("d".repeat(8193)), "Member must have length less than or equal to 8192"),
        (Value::Null, "Value null at 'description' failed to satisfy constraint: Member must not be null"),
    ] {
        assert!(update(wrong).unwrap_err().message.unwrap().ends_with(told));
    }
    assert_eq!(described(), before);
    for description in ["é".repeat(8192), "second".to_owned(), "second".to_owned(), String::new()] {
        assert_eq!(update(json!(description)).unwrap(), Value::Null);
        let mut expected = before.clone();
        expected["Description"] = json!(description);
        assert_eq!(described(), expected);
    }
    deployment.assert_clean();
}

#[test]
fn the_metadata_is_whole_and_the_same_in_both_answers() {
    let deployment = Deployment::new();
    let created = deployment.ok(ROOT, "CreateKey", json!({}));
    let metadata = &created["KeyMetadata"];
    let key_id = common::text(&metadata["KeyId"]);
    let material = common::text(&metadata["CurrentKeyMaterialId"]);
    assert!(
        material.len() == 64 && material.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
    );
    let expected = json!({
        "AWSAccountId": OWNER,
        "Arn": key_arn(US, OWNER, &key_id),
        "CreationDate": metadata["CreationDate"],
        "CurrentKeyMaterialId": material,
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "Description": "",
        "Enabled": true,
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "KeyId": key_id,
        "KeyManager": "CUSTOMER",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "KeyState": "Enabled",
        "KeyUsage": "ENCRYPT_DECRYPT",
        "MultiRegion": false,
        "Origin": "AWS_KMS",
    });
    assert_eq!(metadata, &expected);
    assert_eq!(metadata["CreationDate"].as_f64(), Some(1_767_225_600.0));
    assert_eq!(deployment.ok(ROOT, "DescribeKey", json!({ "KeyId": key_id })), created);
    deployment.assert_clean();
}

#[test]
fn explicit_defaults_are_the_defaults() {
    let deployment = Deployment::new();
    for body in [
        json!({ "KeySpec": "SYMMETRIC_DEFAULT", "KeyUsage": "ENCRYPT_DECRYPT", "Origin": "AWS_KMS" }),
        json!({ "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT" }),
    ] {
        let created = deployment.ok(ROOT, "CreateKey", body);
        assert_eq!(created["KeyMetadata"]["KeySpec"], json!("SYMMETRIC_DEFAULT"));
    }
}

#[test]
fn every_operation_of_the_protocol_answers_and_what_is_not_built_says_so() {
    let deployment = Deployment::new();
    for operation in Operation::ALL.iter().filter(|operation| !BUILT.contains(operation)) {
        let told = deployment.refused(ROOT, operation.name(), json!({}));
        if told.error == "ValidationException" {
            // Its shape is checked first, as it will be.
            continue;
        }
        let message = format!("{} is not built yet in this version of Strongroom", operation.name());
        assert_eq!(told, refusal("UnsupportedOperation", message));
    }
    let told = deployment.refused(ROOT, "GetKeyRotationStatus", json!({ "KeyId": "x" }));
    assert_eq!(told.error, "UnsupportedOperationException");
}
