//! Every operation on a key in every state: the whole table, to be read beside AWS's ("Key states of AWS KMS keys").

mod common;

use common::{Deployment, NO_KEY, OWNER, ROOT, Refusal, US, base64, key_arn};
use serde_json::{Value, json};
use strongroom_records::KeyState;

const GOLDEN: &str = include_str!("states.txt");

/// The operations that are about one key, each ready to be sent.
fn operations(
    key_id: &str,
    other: &str,
    blob: &str,
    other_blob: &str,
) -> Vec<(&'static str, &'static str, Value)> {
    let policy = common::policy("Allow", json!("*"), json!("kms:*"));
    vec![
        ("CreateAlias", "", json!({ "AliasName": "alias/new", "TargetKeyId": key_id })),
        ("Decrypt", "", json!({ "CiphertextBlob": blob })),
        ("DeleteAlias", "", json!({ "AliasName": "alias/old" })),
        ("DescribeKey", "", json!({ "KeyId": key_id })),
        ("DisableKey", "", json!({ "KeyId": key_id })),
        ("EnableKey", "", json!({ "KeyId": key_id })),
        ("Encrypt", "", json!({ "KeyId": key_id, "Plaintext": base64(b"x") })),
        ("Encrypt", " dry", json!({ "KeyId": key_id, "Plaintext": base64(b"x"), "DryRun": true })),
        ("GenerateDataKey", "", json!({ "KeyId": key_id, "KeySpec": "AES_256" })),
        ("GenerateDataKeyWithoutPlaintext", "", json!({ "KeyId": key_id, "KeySpec": "AES_256" })),
        ("GetKeyPolicy", "", json!({ "KeyId": key_id })),
        ("ListAliases", "", json!({ "KeyId": key_id })),
        ("PutKeyPolicy", "", json!({ "KeyId": key_id, "Policy": policy })),
        ("ReEncrypt", " from", json!({ "CiphertextBlob": blob, "DestinationKeyId": other })),
        ("ReEncrypt", " to", json!({ "CiphertextBlob": other_blob, "DestinationKeyId": key_id })),
    ]
}

fn cell(answer: Result<Value, Refusal>, key_id: &str) -> String {
    match answer {
        Ok(_) => "ok".to_owned(),
        Err(Refusal { error, message }) => {
            let error = error.trim_end_matches("Exception");
            let message = message.unwrap_or_default().replace(&key_arn(US, OWNER, key_id), "<arn>");
            let message = if error == "DryRunOperation" { String::new() } else { format!(": {message}") };
            format!("{error}{message}")
        }
    }
}

#[test]
fn every_operation_in_every_state_is_as_published() {
    let deployment = Deployment::new();
    let other = deployment.create_key(ROOT);
    let other_blob = deployment.encrypt(ROOT, &other, b"x");
    let mut table = String::new();
    for state in KeyState::ALL {
        table.push_str(&format!("{state}\n"));
        let count = operations(NO_KEY, &other, "", &other_blob).len();
        for at in 0..count {
            // A key of its own for each: some operations change it.
            let key_id = deployment.create_key(ROOT);
            let blob = deployment.encrypt(ROOT, &key_id, b"x");
            deployment.create_alias(ROOT, "alias/old", &key_id);
            deployment.set_state(US, &key_id, *state);
            let (operation, variant, body) = operations(&key_id, &other, &blob, &other_blob).swap_remove(at);
            let cell = cell(deployment.call(ROOT, operation, body), &key_id);
            table.push_str(&format!("  {:<33}{cell}\n", format!("{operation}{variant}")));
            for alias in ["alias/old", "alias/new"] {
                // The next key wants the names.
                let _ = deployment.call(ROOT, "DeleteAlias", json!({ "AliasName": alias }));
            }
        }
    }
    deployment.assert_clean();
    assert_eq!(table, GOLDEN, "\n{table}");
}

#[test]
fn switching_a_key_off_and_on_works_at_once_and_twice() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let described = |enabled: bool, state: &str| {
        let metadata = &deployment.ok(ROOT, "DescribeKey", json!({ "KeyId": key_id }))["KeyMetadata"];
        assert_eq!((&metadata["Enabled"], &metadata["KeyState"]), (&json!(enabled), &json!(state)));
    };
    let encrypt = json!({ "KeyId": key_id, "Plaintext": base64(b"x") });
    let disabled = common::refusal("Disabled", format!("{} is disabled.", key_arn(US, OWNER, &key_id)));
    for _ in 0..2 {
        assert_eq!(deployment.ok(ROOT, "DisableKey", json!({ "KeyId": key_id })), Value::Null);
        described(false, "Disabled");
        assert_eq!(deployment.refused(ROOT, "Encrypt", encrypt.clone()), disabled);
    }
    for _ in 0..2 {
        assert_eq!(deployment.ok(ROOT, "EnableKey", json!({ "KeyId": key_id })), Value::Null);
        described(true, "Enabled");
        deployment.ok(ROOT, "Encrypt", encrypt.clone());
    }
}
