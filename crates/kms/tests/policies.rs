//! GetKeyPolicy and PutKeyPolicy: what is stored, what is enforced, what is refused.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use common::{
    Deployment, FOREIGN, OWNER, ROOT, Refusal, STRANGER, US, base64, key_arn, policy, refusal, root_of,
};
use serde_json::{Value, json};

fn put(deployment: &Deployment, key_id: &str, policy: &str) -> Result<Value, Refusal> {
    deployment.call(ROOT, "PutKeyPolicy", json!({ "KeyId": key_id, "Policy": policy }))
}

fn get(deployment: &Deployment, key_id: &str) -> String {
    common::text(&deployment.ok(ROOT, "GetKeyPolicy", json!({ "KeyId": key_id }))["Policy"])
}

fn malformed(message: &str) -> Refusal {
    refusal("MalformedPolicyDocument", message)
}

const LOCKOUT: &str = "The new key policy will not allow you to update the key policy in the future.";
const PRINCIPALS: &str = "Policy contains a statement with one or more invalid principals.";

#[test]
fn policies_that_mean_nothing_are_malformed_and_change_nothing() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let before = get(&deployment, &key_id);
    for text in
        ["x", "{}", "[]", r#"{"Version":"2012-10-17"}"#, r#"{"Version":"2012-10-17","Statement":[{}]}"#]
    {
        assert_eq!(
            put(&deployment, &key_id, text).unwrap_err().error,
            "MalformedPolicyDocumentException",
            "{text}"
        );
        let created = deployment.refused(ROOT, "CreateKey", json!({ "Policy": text }));
        assert_eq!(created.error, "MalformedPolicyDocumentException", "{text}");
    }
    assert_eq!(get(&deployment, &key_id), before);
    assert_eq!(deployment.ok(ROOT, "ListKeys", json!({}))["Keys"].as_array().unwrap().len(), 1);
}

#[test]
fn principals_that_do_not_exist_are_refused() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    for principal in [
        root_of("999999999999"),
        json!({ "AWS": "999999999999" }),
        json!({ "AWS": format!("arn:aws:iam::{OWNER}:user/alice") }),
        json!({ "AWS": format!("arn:aws-cn:iam::{OWNER}:root") }),
        json!({ "AWS": ["*", format!("arn:aws:iam::{OWNER}:role/admin")] }),
    ] {
        let text = policy("Allow", principal, json!("kms:*"));
        assert_eq!(put(&deployment, &key_id, &text).unwrap_err(), malformed(PRINCIPALS), "{text}");
    }
    for principal in [root_of(OWNER), json!({ "AWS": [OWNER, STRANGER] }), json!("*")] {
        put(&deployment, &key_id, &policy("Allow", principal, json!("kms:*"))).unwrap();
    }
}

#[test]
fn a_policy_that_locks_its_author_out_needs_the_bypass() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    for text in [
        policy("Allow", root_of(OWNER), json!("kms:Encrypt")),
        policy("Allow", root_of(STRANGER), json!("kms:*")),
        policy("Deny", json!("*"), json!("kms:PutKeyPolicy")),
    ] {
        assert_eq!(put(&deployment, &key_id, &text).unwrap_err(), malformed(LOCKOUT));
        assert_eq!(deployment.refused(ROOT, "CreateKey", json!({ "Policy": text })), malformed(LOCKOUT));
        let bypass = json!({ "Policy": text, "BypassPolicyLockoutSafetyCheck": true });
        deployment.ok(ROOT, "CreateKey", bypass);
    }
    let text = policy("Allow", root_of(OWNER), json!("kms:Encrypt"));
    let bypass = json!({ "KeyId": key_id, "Policy": text, "BypassPolicyLockoutSafetyCheck": true });
    assert_eq!(deployment.ok(ROOT, "PutKeyPolicy", bypass), Value::Null);
    assert_eq!(put(&deployment, &key_id, &text).unwrap_err().error, "AccessDeniedException");
}

#[test]
fn a_policy_has_32768_characters_and_no_more() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let of_length = |length: usize| {
        let text = policy("Allow", json!("*"), json!("kms:*"));
        format!("{}{text}", " ".repeat(length - text.len()))
    };
    assert_eq!(put(&deployment, &key_id, &of_length(32_769)).unwrap_err().error, "LimitExceededException");
    put(&deployment, &key_id, &of_length(32_768)).unwrap();
    assert_eq!(get(&deployment, &key_id).len(), 32_768);
}

#[test]
fn there_is_one_policy_and_it_is_called_default() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let named =
        |name: &str| json!({ "KeyId": key_id, "PolicyName": name, "Policy": get(&deployment, &key_id) });
    let none = refusal("NotFound", "No such policy exists");
    for name in ["other", "AWS_RAM", "Default"] {
        assert_eq!(deployment.refused(ROOT, "GetKeyPolicy", named(name)), none);
    }
    assert_eq!(deployment.refused(ROOT, "PutKeyPolicy", named("other")), none);
    let ram = refusal("Validation", "The AWS_RAM policy can only be managed by the RAM service");
    assert_eq!(deployment.refused(ROOT, "PutKeyPolicy", named("AWS_RAM")), ram);
    assert_eq!(deployment.ok(ROOT, "GetKeyPolicy", named("default"))["PolicyName"], json!("default"));
    deployment.ok(ROOT, "PutKeyPolicy", named("default"));
}

#[test]
fn the_text_comes_back_byte_for_byte() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    assert!(
        get(&deployment, &key_id)
            .starts_with("{\n  \"Version\" : \"2012-10-17\",\n  \"Id\" : \"key-default-1\"")
    );
    let text = format!("\t{}\r\n ", policy("Allow", json!("*"), json!("kms:*")).replace("\":", "\" :  "));
    put(&deployment, &key_id, &text).unwrap();
    assert_eq!(get(&deployment, &key_id), text);
    let other = deployment.create_key_with(ROOT, json!({ "Policy": text }));
    assert_eq!(get(&deployment, &other), text);
}

#[test]
fn a_policy_is_in_force_when_the_call_returns() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let encrypt = || deployment.call(ROOT, "Encrypt", json!({ "KeyId": key_id, "Plaintext": base64(b"x") }));
    let without = policy("Allow", root_of(OWNER), json!(["kms:PutKeyPolicy", "kms:DescribeKey"]));
    let with = policy("Allow", root_of(OWNER), json!("kms:*"));
    for _ in 0..3 {
        put(&deployment, &key_id, &without).unwrap();
        let message = format!(
            "User: arn:aws:iam::{OWNER}:root is not authorized to perform: kms:Encrypt on resource: {} because no \
             resource-based policy allows the kms:Encrypt action",
            key_arn(US, OWNER, &key_id)
        );
        assert_eq!(encrypt().unwrap_err(), refusal("AccessDenied", message));
        put(&deployment, &key_id, &with).unwrap();
        encrypt().unwrap();
    }
    deployment.assert_clean();
}

#[test]
fn a_foreign_right_is_in_force_and_out_of_force_when_the_call_returns() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let body = json!({ "KeyId": key_arn(US, OWNER, &key_id), "Plaintext": base64(b"x") });
    let shared = policy("Allow", json!({ "AWS": [OWNER, STRANGER] }), json!("kms:*"));
    let own = policy("Allow", root_of(OWNER), json!("kms:*"));
    for _ in 0..3 {
        put(&deployment, &key_id, &own).unwrap();
        assert_eq!(deployment.refused(FOREIGN, "Encrypt", body.clone()).error, "AccessDeniedException");
        put(&deployment, &key_id, &shared).unwrap();
        deployment.ok(FOREIGN, "Encrypt", body.clone());
    }
}

#[test]
fn the_one_policy_is_listed() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let list = |body: Value| {
        let mut body = body;
        body["KeyId"] = json!(key_id);
        deployment.call(ROOT, "ListKeyPolicies", body)
    };
    for (limit, bound) in [(0, "greater than or equal to 1"), (1001, "less than or equal to 1000")] {
        let told = list(json!({ "Limit": limit })).unwrap_err();
        assert!(told.message.unwrap().ends_with(&format!("Member must have value {bound}")), "{limit}");
    }
    // No marker was ever given out for it, so every one is another list's.
    deployment.create_key(ROOT);
    let of_keys = deployment.ok(ROOT, "ListKeys", json!({ "Limit": 1 }))["NextMarker"].clone();
    for marker in [json!("x"), of_keys] {
        let told = list(json!({ "Marker": marker })).unwrap_err();
        assert_eq!(told, refusal("InvalidMarker", "The marker is not valid for this request."));
    }
    let expected = json!({ "PolicyNames": ["default"], "Truncated": false });
    for body in [json!({}), json!({ "Limit": 1 }), json!({ "Limit": 1000 })] {
        assert_eq!(list(body).unwrap(), expected);
    }
}
