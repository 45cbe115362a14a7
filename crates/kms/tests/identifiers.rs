//! Keys by id, ARN, alias and alias ARN: which operation takes what, and what each wrong one is told.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use common::{
    Deployment, EU, NO_KEY, OPERATOR, OWNER, ROOT, ROOT_EU, Refusal, STRANGER, US, base64, key_arn, refusal,
};
use serde_json::{Value, json};

fn alias_arn(region: &str, account: &str, name: &str) -> String {
    format!("arn:aws:kms:{region}:{account}:alias/{name}")
}

/// The operations that take all four forms, and the member that names the key.
const ANY_FORM: [(&str, &str); 5] = [
    ("DescribeKey", "KeyId"),
    ("Encrypt", "KeyId"),
    ("GenerateDataKey", "KeyId"),
    ("GenerateDataKeyWithoutPlaintext", "KeyId"),
    ("ReEncrypt", "DestinationKeyId"),
];

/// The operations that take ids and key ARNs only.
const KEYS_ONLY: [&str; 13] = [
    "DisableKey",
    "EnableKey",
    "GetKeyLastUsage",
    "GetKeyPolicy",
    "ListAliases",
    "ListKeyPolicies",
    "ListResourceTags",
    "PutKeyPolicy",
    "TagResource",
    "UntagResource",
    "UpdateKeyDescription",
    "ScheduleKeyDeletion",
    "CancelKeyDeletion",
];

fn body(operation: &str, member: &str, key: &str, blob: &str) -> Value {
    let mut body = match operation {
        "Encrypt" => json!({ "Plaintext": base64(b"x") }),
        "GenerateDataKey" | "GenerateDataKeyWithoutPlaintext" => json!({ "NumberOfBytes": 1 }),
        "PutKeyPolicy" => json!({ "Policy": common::policy("Allow", json!("*"), json!("kms:*")) }),
        "ReEncrypt" => json!({ "CiphertextBlob": blob }),
        "TagResource" => json!({ "Tags": [{ "TagKey": "a", "TagValue": "b" }] }),
        "UntagResource" => json!({ "TagKeys": ["a"] }),
        "UpdateKeyDescription" => json!({ "Description": "new" }),
        _ => json!({}),
    };
    body[member] = json!(key);
    body
}

/// What is told of each text, whatever is asked.
fn wrong_texts() -> Vec<(String, Refusal)> {
    let invalid_id = |text: &str| (text.to_owned(), refusal("NotFound", format!("Invalid keyId '{text}'")));
    let invalid_arn = |text: String| (text.clone(), refusal("InvalidArn", format!("Invalid arn {text}")));
    let bare_hex = NO_KEY.replace('-', "");
    vec![
        invalid_id("nonsense"),
        invalid_id(&bare_hex),
        invalid_id(&NO_KEY.to_uppercase()),
        invalid_id("mrk-1234"),
        invalid_arn("arn:aws:kms".to_owned()),
        invalid_arn(format!("arn:aws:s3:{US}:{OWNER}:key/{NO_KEY}")),
        invalid_arn(format!("arn:aws:kms:{US}:1:key/{NO_KEY}")),
        invalid_arn(format!("arn:aws-cn:kms:{US}:{OWNER}:key/{NO_KEY}")),
        (key_arn(EU, OWNER, NO_KEY), refusal("NotFound", format!("Invalid arn {EU}"))),
        (key_arn("ap-south-1", OWNER, NO_KEY), refusal("NotFound", "Invalid arn ap-south-1")),
        (
            NO_KEY.to_owned(),
            refusal("NotFound", format!("Key '{}' does not exist", key_arn(US, OWNER, NO_KEY))),
        ),
        (
            key_arn(US, OWNER, NO_KEY),
            refusal("NotFound", format!("Key '{}' does not exist", key_arn(US, OWNER, NO_KEY))),
        ),
    ]
}

#[test]
fn wrong_texts_are_told_apart_in_every_operation() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    deployment.create_alias(ROOT, "alias/app", &key_id);
    let blob = deployment.encrypt(ROOT, &key_id, b"x");
    let operations = ANY_FORM.into_iter().chain(KEYS_ONLY.map(|operation| (operation, "KeyId")));
    for (operation, member) in operations {
        for (text, told) in wrong_texts() {
            let body = body(operation, member, &text, &blob);
            assert_eq!(deployment.refused(ROOT, operation, body), told, "{operation} {text}");
        }
    }
    for (text, told) in wrong_texts() {
        let decrypt = json!({ "KeyId": text, "CiphertextBlob": blob });
        assert_eq!(deployment.refused(ROOT, "Decrypt", decrypt), told);
        let alias = |name: &str| json!({ "AliasName": name, "TargetKeyId": text });
        assert_eq!(deployment.refused(ROOT, "CreateAlias", alias("alias/new")), told);
        assert_eq!(deployment.refused(ROOT, "UpdateAlias", alias("alias/app")), told);
    }
}

#[test]
fn wrong_aliases_are_told_apart() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let blob = deployment.encrypt(ROOT, &key_id, b"x");
    let absent = refusal("NotFound", format!("Alias {} is not found.", alias_arn(US, OWNER, "absent")));
    for (text, told) in [
        ("alias/absent".to_owned(), absent.clone()),
        (alias_arn(US, OWNER, "absent"), absent),
        (alias_arn(EU, OWNER, "absent"), refusal("NotFound", format!("Invalid arn {EU}"))),
        ("alias/a b".to_owned(), refusal("NotFound", "Invalid keyId 'alias/a b'")),
        ("alias/".to_owned(), refusal("NotFound", "Invalid keyId 'alias/'")),
    ] {
        for (operation, member) in ANY_FORM {
            let body = body(operation, member, &text, &blob);
            assert_eq!(deployment.refused(ROOT, operation, body), told, "{operation} {text}");
        }
    }
}

#[test]
fn operations_on_the_key_itself_take_no_alias() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    deployment.create_alias(ROOT, "alias/app", &key_id);
    for text in ["alias/app".to_owned(), alias_arn(US, OWNER, "app")] {
        for operation in KEYS_ONLY {
            let told = refusal("NotFound", format!("Invalid keyId '{text}'"));
            assert_eq!(
                deployment.refused(ROOT, operation, body(operation, "KeyId", &text, "")),
                told,
                "{operation}"
            );
        }
    }
    for text in [key_id.clone(), key_arn(US, OWNER, &key_id)] {
        // In this order: the last two schedule the key's deletion and call it off.
        for operation in KEYS_ONLY {
            deployment.ok(ROOT, operation, body(operation, "KeyId", &text, ""));
        }
    }
}

#[test]
fn all_four_forms_name_the_key_and_the_answer_has_its_arn() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    deployment.create_alias(ROOT, "alias/team/app", &key_id);
    let blob = deployment.encrypt(ROOT, &key_id, b"x");
    let arn = key_arn(US, OWNER, &key_id);
    for text in [&key_id, &arn, "alias/team/app", &alias_arn(US, OWNER, "team/app")] {
        for (operation, member) in ANY_FORM {
            let answer = deployment.ok(ROOT, operation, body(operation, member, text, &blob));
            let told =
                if operation == "DescribeKey" { &answer["KeyMetadata"]["Arn"] } else { &answer["KeyId"] };
            assert_eq!(told, &json!(arn), "{operation} {text}");
        }
        let decrypted = deployment.ok(ROOT, "Decrypt", json!({ "KeyId": text, "CiphertextBlob": blob }));
        assert_eq!(decrypted["KeyId"], json!(arn));
        let re_encrypt = json!({ "SourceKeyId": text, "CiphertextBlob": blob, "DestinationKeyId": text });
        assert_eq!(deployment.ok(ROOT, "ReEncrypt", re_encrypt)["SourceKeyId"], json!(arn));
    }
}

#[test]
fn a_key_of_one_region_is_unknown_in_the_other() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    deployment.create_alias(ROOT, "alias/app", &key_id);
    let blob = deployment.encrypt(ROOT, &key_id, b"x");
    let elsewhere = key_arn(EU, OWNER, &key_id);
    let describe = |text: &str| deployment.refused(ROOT_EU, "DescribeKey", json!({ "KeyId": text }));
    assert_eq!(describe(&key_id), refusal("NotFound", format!("Key '{elsewhere}' does not exist")));
    assert_eq!(describe(&key_arn(US, OWNER, &key_id)), refusal("NotFound", format!("Invalid arn {US}")));
    let alias = alias_arn(EU, OWNER, "app");
    assert_eq!(describe("alias/app"), refusal("NotFound", format!("Alias {alias} is not found.")));
    let told = deployment.refused(ROOT_EU, "Decrypt", json!({ "CiphertextBlob": blob }));
    assert_eq!(told.error, "AccessDeniedException");
    // The same alias may stand in both.
    let other = deployment.create_key(ROOT_EU);
    deployment.create_alias(ROOT_EU, "alias/app", &other);
    let found = |caller| {
        deployment.ok(caller, "DescribeKey", json!({ "KeyId": "alias/app" }))["KeyMetadata"]["KeyId"].clone()
    };
    assert_eq!((found(ROOT), found(ROOT_EU)), (json!(key_id), json!(other)));
    let keys = |caller| deployment.ok(caller, "ListKeys", json!({}))["Keys"].as_array().unwrap().len();
    assert_eq!((keys(ROOT), keys(ROOT_EU)), (1, 1));
    deployment.assert_clean();
}

#[test]
fn the_operator_can_name_no_key() {
    let deployment = Deployment::new();
    let everyone = common::policy("Allow", json!("*"), json!("kms:*"));
    let key_id = deployment.create_key_with(ROOT, json!({ "Policy": everyone }));
    let why = "because the resource does not exist in this Region, no resource-based policies allow access, \
               or a resource-based policy explicitly denies access";
    let who = "User: arn:aws:strongroom:::operator is not authorized to perform:";
    for text in [&key_id, &key_arn(US, OWNER, &key_id), NO_KEY, &key_arn(US, STRANGER, NO_KEY)] {
        let told = deployment.refused(OPERATOR, "DescribeKey", json!({ "KeyId": text }));
        assert_eq!(told, refusal("AccessDenied", format!("{who} kms:DescribeKey on this resource {why}")));
    }
    for operation in ["CreateKey", "ListKeys", "ListAliases"] {
        let told = deployment.refused(OPERATOR, operation, json!({}));
        let why = format!("because no identity-based policy allows the kms:{operation} action");
        assert_eq!(told, refusal("AccessDenied", format!("{who} kms:{operation} on resource: * {why}")));
    }
}
