//! ScheduleKeyDeletion and CancelKeyDeletion: the waiting period, what is shown of it, and that it can be called off.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{Deployment, NO_KEY, OWNER, ROOT, ROOT_EU, US, base64, key_arn, refusal};
use serde_json::{Value, json};

const DAY: f64 = 86_400.0;
/// When the deployment's clock begins.
const START: f64 = 1_767_225_600.0;

fn schedule(deployment: &Deployment, key_id: &str, days: Option<u32>) -> Result<Value, common::Refusal> {
    let mut body = json!({ "KeyId": key_id });
    if let Some(days) = days {
        body["PendingWindowInDays"] = json!(days);
    }
    deployment.call(ROOT, "ScheduleKeyDeletion", body)
}

fn metadata(deployment: &Deployment, key_id: &str) -> Value {
    deployment.ok(ROOT, "DescribeKey", json!({ "KeyId": key_id }))["KeyMetadata"].clone()
}

#[test]
fn a_waiting_period_has_7_to_30_days_and_no_more() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    for days in [1, 6, 31, 365] {
        let told = refusal("Validation", "PendingWindowInDays must be between 7 and 30");
        assert_eq!(schedule(&deployment, &key_id, Some(days)).unwrap_err(), told, "{days}");
    }
    // The model's own bounds come first.
    for (days, bound) in [(0, "greater than or equal to 1"), (366, "less than or equal to 365")] {
        let message = format!(
            "1 validation error detected: Value '{days}' at 'pendingWindowInDays' failed to satisfy constraint: \
             Member must have value {bound}"
        );
        assert_eq!(schedule(&deployment, &key_id, Some(days)).unwrap_err(), refusal("Validation", message));
    }
    assert_eq!(metadata(&deployment, &key_id)["KeyState"], json!("Enabled"));
    for (days, effective) in [(Some(7), 7), (Some(30), 30), (None, 30)] {
        let key_id = deployment.create_key(ROOT);
        let answer = schedule(&deployment, &key_id, days).unwrap();
        assert_eq!(answer["PendingWindowInDays"], json!(effective));
        assert_eq!(answer["DeletionDate"].as_f64(), Some(START + f64::from(effective) * DAY));
    }
}

#[test]
fn a_key_that_is_not_there_is_not_deleted() {
    let deployment = Deployment::new();
    let told = refusal("NotFound", format!("Key '{}' does not exist", key_arn(US, OWNER, NO_KEY)));
    for operation in ["ScheduleKeyDeletion", "CancelKeyDeletion"] {
        assert_eq!(deployment.refused(ROOT, operation, json!({ "KeyId": NO_KEY })), told);
    }
    let there = deployment.create_key(ROOT_EU);
    assert_eq!(schedule(&deployment, &there, None).unwrap_err().error, "NotFoundException");
}

#[test]
fn the_right_to_it_is_needed() {
    let deployment = Deployment::new();
    let policy =
        common::policy("Allow", common::root_of(OWNER), json!(["kms:PutKeyPolicy", "kms:DescribeKey"]));
    let key_id = deployment.create_key_with(ROOT, json!({ "Policy": policy }));
    for operation in ["ScheduleKeyDeletion", "CancelKeyDeletion"] {
        let message = format!(
            "User: arn:aws:iam::{OWNER}:root is not authorized to perform: kms:{operation} on resource: {} because no \
             resource-based policy allows the kms:{operation} action",
            key_arn(US, OWNER, &key_id)
        );
        let told = deployment.refused(ROOT, operation, json!({ "KeyId": key_id }));
        assert_eq!(told, refusal("AccessDenied", message));
    }
}

#[test]
fn a_scheduled_deletion_is_answered_and_shown_until_it_is_called_off() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let arn = key_arn(US, OWNER, &key_id);
    assert_eq!(metadata(&deployment, &key_id).get("DeletionDate"), None);
    deployment.env.advance(Duration::from_millis(1500));
    let answer = schedule(&deployment, &arn, Some(7)).unwrap();
    let date = &answer["DeletionDate"];
    assert_eq!(date.as_f64(), Some(START + 1.5 + 7.0 * DAY));
    let expected = json!({
        "DeletionDate": date, "KeyId": arn, "KeyState": "PendingDeletion", "PendingWindowInDays": 7,
    });
    assert_eq!(answer, expected);
    let shown = metadata(&deployment, &key_id);
    assert_eq!((&shown["KeyState"], &shown["Enabled"]), (&json!("PendingDeletion"), &json!(false)));
    assert_eq!(&shown["DeletionDate"], date);
    // A second call neither shortens nor lengthens it.
    let told = schedule(&deployment, &key_id, Some(30)).unwrap_err();
    assert_eq!(told, refusal("KMSInvalidState", format!("{arn} is pending deletion.")));
    assert_eq!(&metadata(&deployment, &key_id)["DeletionDate"], date);
    let cancelled = deployment.ok(ROOT, "CancelKeyDeletion", json!({ "KeyId": key_id }));
    assert_eq!(cancelled, json!({ "KeyId": arn }));
    let shown = metadata(&deployment, &key_id);
    assert_eq!((&shown["KeyState"], shown.get("DeletionDate")), (&json!("Disabled"), None));
    let told = deployment.refused(ROOT, "CancelKeyDeletion", json!({ "KeyId": key_id }));
    assert_eq!(told, refusal("KMSInvalidState", format!("{arn} is not pending deletion.")));
    deployment.assert_clean();
}

#[test]
fn nothing_is_lost_by_a_deletion_that_was_called_off() {
    let deployment = Deployment::new();
    let tags = json!([{ "TagKey": "team", "TagValue": "payments" }]);
    let key_id = deployment.create_key_with(ROOT, json!({ "Description": "kept", "Tags": tags }));
    deployment.create_alias(ROOT, "alias/app", &key_id);
    let blob = deployment.encrypt(ROOT, &key_id, b"kept");
    let before = metadata(&deployment, &key_id);
    schedule(&deployment, &key_id, None).unwrap();
    let pending = refusal("KMSInvalidState", format!("{} is pending deletion.", key_arn(US, OWNER, &key_id)));
    for key in [&key_id, "alias/app"] {
        let encrypt = json!({ "KeyId": key, "Plaintext": base64(b"x") });
        assert_eq!(deployment.refused(ROOT, "Encrypt", encrypt), pending);
    }
    deployment.ok(ROOT, "CancelKeyDeletion", json!({ "KeyId": key_id }));
    // Disabled is not enabled.
    let told = deployment.refused(ROOT, "Decrypt", json!({ "CiphertextBlob": blob }));
    assert_eq!(told.error, "DisabledException");
    deployment.ok(ROOT, "EnableKey", json!({ "KeyId": key_id }));
    assert_eq!(metadata(&deployment, "alias/app"), before);
    let opened = deployment.ok(ROOT, "Decrypt", json!({ "CiphertextBlob": blob }));
    assert_eq!(common::bytes(&opened["Plaintext"]), b"kept");
    assert_eq!(deployment.ok(ROOT, "ListResourceTags", json!({ "KeyId": key_id }))["Tags"], tags);
    deployment.assert_clean();
}

#[test]
fn an_alias_can_be_taken_from_a_key_that_is_to_be_deleted_and_not_given_to_it() {
    let deployment = Deployment::new();
    let (old, new) = (deployment.create_key(ROOT), deployment.create_key(ROOT));
    deployment.create_alias(ROOT, "alias/app", &old);
    schedule(&deployment, &old, None).unwrap();
    let update = |target: &str| json!({ "AliasName": "alias/app", "TargetKeyId": target });
    let told = refusal("KMSInvalidState", format!("{} is pending deletion.", key_arn(US, OWNER, &old)));
    // Not even by the alias that it has.
    assert_eq!(deployment.refused(ROOT, "UpdateAlias", update(&old)), told);
    deployment.ok(ROOT, "UpdateAlias", update(&new));
    assert_eq!(deployment.refused(ROOT, "UpdateAlias", update(&old)), told);
    assert_eq!(metadata(&deployment, "alias/app")["KeyId"], json!(new));
    deployment.assert_clean();
}

#[test]
fn keys_that_are_to_be_deleted_are_still_listed() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    schedule(&deployment, &key_id, None).unwrap();
    assert_eq!(deployment.ok(ROOT, "ListKeys", json!({}))["Keys"][0]["KeyId"], json!(key_id));
}
