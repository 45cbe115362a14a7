//! Two accounts: what one may do with the other's keys, and that it learns nothing of the rest.

mod common;

use common::{
    Deployment, FOREIGN, NO_KEY, OWNER, ROOT, STRANGER, US, base64, bytes, key_arn, policy, refusal, root_of,
};
use serde_json::{Value, json};

/// The built operations that name a key, for this key. `alias/own` is the caller's.
fn operations(key: &str) -> Vec<(&'static str, Value)> {
    let open = policy("Allow", json!("*"), json!("kms:*"));
    let tags = json!([{ "TagKey": "a", "TagValue": "" }]);
    vec![
        ("CancelKeyDeletion", json!({ "KeyId": key })),
        ("CreateAlias", json!({ "AliasName": "alias/mine", "TargetKeyId": key })),
        ("CreateGrant", json!({ "KeyId": key, "GranteePrincipal": STRANGER, "Operations": ["Encrypt"] })),
        ("DescribeKey", json!({ "KeyId": key })),
        ("DisableKey", json!({ "KeyId": key })),
        ("EnableKey", json!({ "KeyId": key })),
        ("Encrypt", json!({ "KeyId": key, "Plaintext": base64(b"x") })),
        ("GenerateDataKey", json!({ "KeyId": key, "NumberOfBytes": 16 })),
        ("GenerateDataKeyWithoutPlaintext", json!({ "KeyId": key, "NumberOfBytes": 16 })),
        ("GetKeyPolicy", json!({ "KeyId": key })),
        ("ListAliases", json!({ "KeyId": key })),
        ("ListGrants", json!({ "KeyId": key })),
        ("ListKeyPolicies", json!({ "KeyId": key })),
        ("ListResourceTags", json!({ "KeyId": key })),
        ("PutKeyPolicy", json!({ "KeyId": key, "Policy": open })),
        ("ScheduleKeyDeletion", json!({ "KeyId": key })),
        ("TagResource", json!({ "KeyId": key, "Tags": tags })),
        ("UntagResource", json!({ "KeyId": key, "TagKeys": ["a"] })),
        ("UpdateAlias", json!({ "AliasName": "alias/own", "TargetKeyId": key })),
        ("UpdateKeyDescription", json!({ "KeyId": key, "Description": "x" })),
    ]
}

/// Those of them that AWS lets other accounts do.
const ACROSS: [&str; 6] = [
    "CreateGrant",
    "DescribeKey",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "ListGrants",
];
/// Those of them that take no alias.
const KEYS_ONLY: [&str; 2] = ["CreateGrant", "ListGrants"];

fn denied(action: &str, on: &str) -> common::Refusal {
    refusal(
        "AccessDenied",
        format!(
            "User: arn:aws:iam::{STRANGER}:root is not authorized to perform: kms:{action} on {on} because the resource \
             does not exist in this Region, no resource-based policies allow access, or a resource-based policy \
             explicitly denies access"
        ),
    )
}

#[test]
fn unknown_and_forbidden_foreign_keys_are_refused_alike() {
    let deployment = Deployment::new();
    deployment.create_alias(FOREIGN, "alias/own", &deployment.create_key(FOREIGN));
    let forbidden = deployment.create_key(ROOT);
    let disabled = deployment.create_key(ROOT);
    deployment.ok(ROOT, "DisableKey", json!({ "KeyId": disabled }));
    let denying = deployment.create_key(ROOT);
    let deny = json!([
        { "Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*" },
        { "Effect": "Deny", "Principal": root_of(STRANGER), "Action": "kms:*", "Resource": "*" },
    ]);
    let deny = json!({ "Version": "2012-10-17", "Statement": deny }).to_string();
    deployment.ok(ROOT, "PutKeyPolicy", json!({ "KeyId": denying, "Policy": deny }));
    for key_id in [NO_KEY, &forbidden, &disabled, &denying] {
        for (operation, body) in operations(&key_arn(US, OWNER, key_id)) {
            let told = deployment.refused(FOREIGN, operation, body);
            assert_eq!(told, denied(operation, "this resource"), "{operation}");
        }
    }
    deployment.assert_clean();
}

#[test]
fn unknown_and_forbidden_foreign_aliases_are_refused_alike() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    deployment.create_alias(ROOT, "alias/app", &key_id);
    for name in ["app", "absent"] {
        let arn = format!("arn:aws:kms:{US}:{OWNER}:alias/{name}");
        for (operation, body) in operations(&arn)
            .into_iter()
            .filter(|(operation, _)| ACROSS.contains(operation) && !KEYS_ONLY.contains(operation))
        {
            assert_eq!(
                deployment.refused(FOREIGN, operation, body),
                denied(operation, "this resource"),
                "{name}"
            );
        }
    }
}

#[test]
fn a_foreign_id_or_alias_without_its_account_is_looked_for_at_home() {
    let deployment = Deployment::new();
    let open = policy("Allow", json!("*"), json!("kms:*"));
    let key_id = deployment.create_key_with(ROOT, json!({ "Policy": open }));
    deployment.create_alias(ROOT, "alias/app", &key_id);
    let told = deployment.refused(FOREIGN, "DescribeKey", json!({ "KeyId": key_id }));
    let arn = key_arn(US, STRANGER, &key_id);
    assert_eq!(told, refusal("NotFound", format!("Key '{arn}' does not exist")));
    let told = deployment.refused(FOREIGN, "DescribeKey", json!({ "KeyId": "alias/app" }));
    let message = format!("Alias arn:aws:kms:{US}:{STRANGER}:alias/app is not found.");
    assert_eq!(told, refusal("NotFound", message));
}

#[test]
fn blobs_of_unknown_and_forbidden_keys_are_refused_alike() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let own = deployment.create_key(FOREIGN);
    let blob = deployment.encrypt(ROOT, &key_id, b"x");
    let mut unknown = bytes(&json!(blob));
    unknown[3] ^= 1;
    let on = "the resource associated with this ciphertext";
    for blob in [blob.clone(), base64(&unknown)] {
        let told = deployment.refused(FOREIGN, "Decrypt", json!({ "CiphertextBlob": blob }));
        assert_eq!(told, denied("Decrypt", on));
        let body = json!({ "CiphertextBlob": blob, "DestinationKeyId": own });
        assert_eq!(deployment.refused(FOREIGN, "ReEncrypt", body), denied("ReEncryptFrom", on));
    }
    // The right to the one key is no right to the other.
    let named = json!({ "KeyId": own, "CiphertextBlob": blob });
    assert_eq!(deployment.refused(FOREIGN, "Decrypt", named).error, "IncorrectKeyException");
}

#[test]
fn a_key_that_names_the_other_account_is_its_to_use_and_not_to_govern() {
    let deployment = Deployment::new();
    deployment.create_alias(FOREIGN, "alias/own", &deployment.create_key(FOREIGN));
    let shared = policy("Allow", json!({ "AWS": [OWNER, STRANGER] }), json!("kms:*"));
    let key_id = deployment.create_key_with(ROOT, json!({ "Policy": shared }));
    deployment.create_alias(ROOT, "alias/app", &key_id);
    let arn = key_arn(US, OWNER, &key_id);
    for (operation, body) in operations(&arn) {
        let answer = deployment.call(FOREIGN, operation, body);
        if ACROSS.contains(&operation) {
            assert!(answer.is_ok(), "{operation}: {answer:?}");
        } else {
            assert_eq!(answer.unwrap_err(), denied(operation, "this resource"), "{operation}");
        }
    }
    let encrypt =
        json!({ "KeyId": format!("arn:aws:kms:{US}:{OWNER}:alias/app"), "Plaintext": base64(b"from there") });
    let encrypted = deployment.ok(FOREIGN, "Encrypt", encrypt);
    assert_eq!(encrypted["KeyId"], json!(arn));
    for caller in [ROOT, FOREIGN] {
        let opened =
            deployment.ok(caller, "Decrypt", json!({ "CiphertextBlob": encrypted["CiphertextBlob"] }));
        assert_eq!(bytes(&opened["Plaintext"]), b"from there");
    }
    let own = deployment.create_key(FOREIGN);
    let body = json!({ "CiphertextBlob": encrypted["CiphertextBlob"], "DestinationKeyId": own });
    assert_eq!(deployment.ok(FOREIGN, "ReEncrypt", body)["KeyId"], json!(key_arn(US, STRANGER, &own)));
    assert_eq!(
        deployment.ok(ROOT, "DescribeKey", json!({ "KeyId": key_id }))["KeyMetadata"]["Enabled"],
        json!(true)
    );
    deployment.assert_clean();
}

#[test]
fn only_what_the_policy_grants_is_granted() {
    let deployment = Deployment::new();
    deployment.create_alias(FOREIGN, "alias/own", &deployment.create_key(FOREIGN));
    let statements = json!([
        { "Effect": "Allow", "Principal": root_of(OWNER), "Action": "kms:*", "Resource": "*" },
        { "Effect": "Allow", "Principal": root_of(STRANGER), "Action": "kms:Encrypt", "Resource": "*" },
    ]);
    let text = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
    let key_id = deployment.create_key_with(ROOT, json!({ "Policy": text }));
    for (operation, body) in operations(&key_arn(US, OWNER, &key_id)) {
        let answer = deployment.call(FOREIGN, operation, body);
        assert_eq!(answer.is_ok(), operation == "Encrypt", "{operation}: {answer:?}");
    }
    let blob = deployment.encrypt(FOREIGN, &key_arn(US, OWNER, &key_id), b"x");
    let told = deployment.refused(FOREIGN, "Decrypt", json!({ "CiphertextBlob": blob }));
    assert_eq!(told, denied("Decrypt", "the resource associated with this ciphertext"));
}

#[test]
fn each_account_lists_its_own() {
    let deployment = Deployment::new();
    let (here, there) = (deployment.create_key(ROOT), deployment.create_key(FOREIGN));
    deployment.create_alias(ROOT, "alias/app", &here);
    deployment.create_alias(FOREIGN, "alias/app", &there);
    for (caller, account, key_id) in [(ROOT, OWNER, &here), (FOREIGN, STRANGER, &there)] {
        let keys = &deployment.ok(caller, "ListKeys", json!({}))["Keys"];
        assert_eq!(keys, &json!([{ "KeyArn": key_arn(US, account, key_id), "KeyId": key_id }]));
        let aliases = &deployment.ok(caller, "ListAliases", json!({}))["Aliases"];
        let target = (&aliases[0]["TargetKeyId"], aliases.as_array().unwrap().len());
        assert_eq!(target, (&json!(key_id), 1));
    }
    // The name of the other's alias is no way to it.
    let told = deployment.refused(FOREIGN, "DeleteAlias", json!({ "AliasName": "alias/none" }));
    assert_eq!(told.error, "NotFoundException");
    deployment.ok(FOREIGN, "DeleteAlias", json!({ "AliasName": "alias/app" }));
    deployment.ok(ROOT, "DescribeKey", json!({ "KeyId": "alias/app" }));
    deployment.assert_clean();
}
