//! CreateAlias, UpdateAlias, DeleteAlias and what ListAliases shows of them.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{Deployment, EU, NO_KEY, OWNER, ROOT, ROOT_EU, US, key_arn, refusal};
use serde_json::{Value, json};

fn create(deployment: &Deployment, name: &str, target: &str) -> Result<Value, common::Refusal> {
    deployment.call(ROOT, "CreateAlias", json!({ "AliasName": name, "TargetKeyId": target }))
}

fn delete(deployment: &Deployment, name: &str) -> Result<Value, common::Refusal> {
    deployment.call(ROOT, "DeleteAlias", json!({ "AliasName": name }))
}

fn update(deployment: &Deployment, name: &str, target: &str) -> Result<Value, common::Refusal> {
    deployment.call(ROOT, "UpdateAlias", json!({ "AliasName": name, "TargetKeyId": target }))
}

fn names(deployment: &Deployment, body: Value) -> Vec<String> {
    let listed = deployment.ok(ROOT, "ListAliases", body);
    listed["Aliases"].as_array().unwrap().iter().map(|alias| common::text(&alias["AliasName"])).collect()
}

fn arn(name: &str) -> String {
    format!("arn:aws:kms:{US}:{OWNER}:{name}")
}

#[test]
fn names_that_are_no_aliases_are_refused() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let prefix = "Alias must start with the prefix \"alias/\". \
                  Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html";
    for name in ["app", "alia/app", "Alias/app"] {
        assert_eq!(create(&deployment, name, &key_id).unwrap_err(), refusal("Validation", prefix));
        assert_eq!(update(&deployment, name, &key_id).unwrap_err(), refusal("Validation", prefix));
        assert_eq!(delete(&deployment, name).unwrap_err(), refusal("Validation", prefix));
    }
    for name in ["alias/", "alias/a:b"] {
        let told = refusal("Validation", format!("{name} contains invalid characters for an alias"));
        assert_eq!(create(&deployment, name, &key_id).unwrap_err(), told);
        assert_eq!(update(&deployment, name, &key_id).unwrap_err(), told);
        assert_eq!(delete(&deployment, name).unwrap_err(), told);
    }
    for name in ["alias/aws/s3", "alias/aws/"] {
        let told = create(&deployment, name, &key_id).unwrap_err();
        assert_eq!((&*told.error, told.message), ("NotAuthorizedException", None));
        assert_eq!(update(&deployment, name, &key_id).unwrap_err().error, "NotAuthorizedException");
        assert_eq!(delete(&deployment, name).unwrap_err().error, "NotAuthorizedException");
    }
    // The model's own pattern and length come first.
    for name in ["alias/a b".to_owned(), format!("alias/{}", "a".repeat(251))] {
        let told = create(&deployment, &name, &key_id).unwrap_err();
        assert!(told.message.unwrap().starts_with("1 validation error detected: Value '"), "{name}");
    }
    assert_eq!(names(&deployment, json!({})), Vec::<String>::new());
    create(&deployment, &format!("alias/{}", "a".repeat(250)), &key_id).unwrap();
    create(&deployment, "alias/awsome", &key_id).unwrap();
}

#[test]
fn an_alias_may_not_point_to_an_alias() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    create(&deployment, "alias/app", &key_id).unwrap();
    for target in ["alias/app".to_owned(), arn("alias/app")] {
        let told = refusal("Validation", "Aliases must refer to keys. Not aliases");
        assert_eq!(create(&deployment, "alias/second", &target).unwrap_err(), told);
        assert_eq!(update(&deployment, "alias/app", &target).unwrap_err(), told);
    }
    create(&deployment, "alias/second", &key_arn(US, OWNER, &key_id)).unwrap();
}

#[test]
fn a_name_is_taken_once_in_a_region() {
    let deployment = Deployment::new();
    let (one, other) = (deployment.create_key(ROOT), deployment.create_key(ROOT));
    create(&deployment, "alias/app", &one).unwrap();
    let message = format!("An alias with the name {} already exists", arn("alias/app"));
    for target in [&one, &other] {
        assert_eq!(
            create(&deployment, "alias/app", target).unwrap_err(),
            refusal("AlreadyExists", &*message)
        );
    }
    let there = deployment.create_key(ROOT_EU);
    deployment.create_alias(ROOT_EU, "alias/app", &there);
    let listed = deployment.ok(ROOT_EU, "ListAliases", json!({}));
    assert_eq!(listed["Aliases"][0]["AliasArn"], json!(format!("arn:aws:kms:{EU}:{OWNER}:alias/app")));
    deployment.assert_clean();
}

#[test]
fn an_alias_that_is_not_there_cannot_be_deleted_or_moved() {
    let deployment = Deployment::new();
    let told = refusal("NotFound", format!("Alias {} is not found.", arn("alias/app")));
    assert_eq!(delete(&deployment, "alias/app").unwrap_err(), told);
    let key_id = deployment.create_key(ROOT);
    assert_eq!(update(&deployment, "alias/app", &key_id).unwrap_err(), told);
    create(&deployment, "alias/app", &key_id).unwrap();
    delete(&deployment, "alias/app").unwrap();
    assert_eq!(delete(&deployment, "alias/app").unwrap_err(), told);
}

#[test]
fn a_key_has_fifty_aliases_and_no_more() {
    let deployment = Deployment::new();
    let (key_id, other) = (deployment.create_key(ROOT), deployment.create_key(ROOT));
    let name = |number: usize| format!("alias/number-{number:02}");
    for number in 0..50 {
        create(&deployment, &name(number), &key_id).unwrap();
    }
    let told = create(&deployment, &name(50), &key_id).unwrap_err();
    assert_eq!(told.error, "LimitExceededException");
    create(&deployment, &name(50), &other).unwrap();
    let told = update(&deployment, &name(50), &key_id).unwrap_err();
    assert_eq!(told, refusal("LimitExceeded", "A key can have at most 50 aliases."));
    // One that the key has already is none more.
    update(&deployment, &name(7), &key_id).unwrap();
    delete(&deployment, &name(7)).unwrap();
    create(&deployment, "alias/in-its-place", &key_id).unwrap();
    assert_eq!(names(&deployment, json!({ "KeyId": key_id })).len(), 50);
    deployment.assert_clean();
}

#[test]
fn an_alias_is_in_force_and_out_of_force_when_the_call_returns() {
    let deployment = Deployment::new();
    let (one, other) = (deployment.create_key(ROOT), deployment.create_key(ROOT));
    let target = || deployment.call(ROOT, "DescribeKey", json!({ "KeyId": "alias/app" }));
    for key_id in [&one, &other, &one] {
        assert_eq!(target().unwrap_err().error, "NotFoundException");
        create(&deployment, "alias/app", key_id).unwrap();
        assert_eq!(target().unwrap()["KeyMetadata"]["KeyId"], json!(key_id));
        delete(&deployment, "alias/app").unwrap();
    }
    deployment.assert_clean();
}

#[test]
fn a_listed_alias_has_aws_s_members() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    deployment.env.advance(Duration::from_secs(5));
    create(&deployment, "alias/app", &key_id).unwrap();
    let listed = deployment.ok(ROOT, "ListAliases", json!({}));
    let created = &listed["Aliases"][0]["CreationDate"];
    assert_eq!(created.as_f64(), Some(1_767_225_605.0));
    let expected = json!({
        "AliasArn": arn("alias/app"), "AliasName": "alias/app", "CreationDate": created,
        "LastUpdatedDate": created, "TargetKeyId": key_id,
    });
    assert_eq!(listed, json!({ "Aliases": [expected], "Truncated": false }));
}

#[test]
fn the_list_of_a_key_has_its_own_aliases_only() {
    let deployment = Deployment::new();
    let (one, other) = (deployment.create_key(ROOT), deployment.create_key(ROOT));
    for (name, target) in [("alias/c", &one), ("alias/a", &one), ("alias/b", &other)] {
        create(&deployment, name, target).unwrap();
    }
    assert_eq!(names(&deployment, json!({ "KeyId": one })), ["alias/a", "alias/c"]);
    assert_eq!(names(&deployment, json!({ "KeyId": key_arn(US, OWNER, &other) })), ["alias/b"]);
    assert_eq!(names(&deployment, json!({})), ["alias/a", "alias/b", "alias/c"]);
    let told = deployment.refused(ROOT, "ListAliases", json!({ "KeyId": NO_KEY }));
    assert_eq!(told.error, "NotFoundException");
}

#[test]
fn the_right_is_needed_on_the_key_too() {
    let deployment = Deployment::new();
    let but_aliases = json!(["kms:PutKeyPolicy", "kms:DescribeKey", "kms:Encrypt"]);
    let policy = common::policy("Allow", common::root_of(OWNER), but_aliases);
    let key_id = deployment.create_key_with(ROOT, json!({ "Policy": policy }));
    let told = create(&deployment, "alias/app", &key_id).unwrap_err();
    let message = format!(
        "User: arn:aws:iam::{OWNER}:root is not authorized to perform: kms:CreateAlias on resource: {} because no \
         resource-based policy allows the kms:CreateAlias action",
        key_arn(US, OWNER, &key_id)
    );
    assert_eq!(told, refusal("AccessDenied", message));
}

#[test]
fn a_moved_alias_names_the_new_key_when_the_call_returns() {
    let deployment = Deployment::new();
    let (one, other) = (deployment.create_key(ROOT), deployment.create_key(ROOT));
    create(&deployment, "alias/app", &one).unwrap();
    create(&deployment, "alias/stays", &one).unwrap();
    let told = refusal("NotFound", format!("Key '{}' does not exist", key_arn(US, OWNER, NO_KEY)));
    assert_eq!(update(&deployment, "alias/app", NO_KEY).unwrap_err(), told);
    let there = deployment.create_key(ROOT_EU);
    assert_eq!(update(&deployment, "alias/app", &there).unwrap_err().error, "NotFoundException");
    for target in [&other, &other, &one, &other] {
        deployment.env.advance(Duration::from_secs(5));
        assert_eq!(update(&deployment, "alias/app", target).unwrap(), Value::Null);
        let described = deployment.ok(ROOT, "DescribeKey", json!({ "KeyId": "alias/app" }));
        assert_eq!(described["KeyMetadata"]["KeyId"], json!(target));
    }
    assert_eq!(names(&deployment, json!({ "KeyId": one })), ["alias/stays"]);
    let listed = deployment.ok(ROOT, "ListAliases", json!({ "KeyId": other }));
    let dates = ["CreationDate", "LastUpdatedDate"].map(|date| listed["Aliases"][0][date].as_f64());
    assert_eq!(dates, [Some(1_767_225_600.0), Some(1_767_225_620.0)]);
    deployment.assert_clean();
}

#[test]
fn moving_an_alias_needs_the_right_on_both_keys() {
    let deployment = Deployment::new();
    let (open, closed) = (deployment.create_key(ROOT), deployment.create_key(ROOT));
    create(&deployment, "alias/on-open", &open).unwrap();
    create(&deployment, "alias/on-closed", &closed).unwrap();
    let policy =
        common::policy("Allow", common::root_of(OWNER), json!(["kms:PutKeyPolicy", "kms:DescribeKey"]));
    deployment.ok(ROOT, "PutKeyPolicy", json!({ "KeyId": closed, "Policy": policy }));
    let message = format!(
        "User: arn:aws:iam::{OWNER}:root is not authorized to perform: kms:UpdateAlias on resource: {} because no \
         resource-based policy allows the kms:UpdateAlias action",
        key_arn(US, OWNER, &closed)
    );
    for (name, target) in [("alias/on-open", &closed), ("alias/on-closed", &open)] {
        assert_eq!(update(&deployment, name, target).unwrap_err(), refusal("AccessDenied", &*message));
    }
    deployment.assert_clean();
}
