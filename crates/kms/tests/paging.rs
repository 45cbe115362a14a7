//! ListKeys and ListAliases page by page; a marker is good for one list of one caller, for a day.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{Caller, Deployment, FOREIGN, ROOT, ROOT_EU, refusal};
use serde_json::{Value, json};

fn invalid() -> common::Refusal {
    refusal("InvalidMarker", "The marker is not valid for this request.")
}

/// All pages of a list, each with its marker; checks what every page must say.
fn pages(deployment: &Deployment, operation: &str, body: &Value, limit: usize) -> Vec<Vec<Value>> {
    let list = if operation == "ListKeys" { "Keys" } else { "Aliases" };
    let mut pages = Vec::new();
    let mut marker = Value::Null;
    loop {
        let mut body = body.clone();
        body["Limit"] = json!(limit);
        body["Marker"] = marker;
        let answer = deployment.ok(ROOT, operation, body);
        let page = answer[list].as_array().unwrap().clone();
        let truncated = answer["Truncated"].as_bool().unwrap();
        assert_eq!(answer.get("NextMarker").is_some(), truncated);
        assert!(page.len() <= limit && (page.len() == limit || !truncated));
        pages.push(page);
        if !truncated {
            return pages;
        }
        marker = answer["NextMarker"].clone();
    }
}

/// Five keys; the first of them has five aliases, the second one.
fn filled() -> (Deployment, Vec<String>) {
    let deployment = Deployment::new();
    let keys: Vec<_> = (0..5).map(|_| deployment.create_key(ROOT)).collect();
    for name in ["alias/a", "alias/b/c", "alias/d", "alias/e_f", "alias/g-h"] {
        deployment.create_alias(ROOT, name, &keys[0]);
    }
    deployment.create_alias(ROOT, "alias/c", &keys[1]);
    (deployment, keys)
}

fn marker(deployment: &Deployment, caller: Caller, operation: &str, body: Value) -> String {
    common::text(&deployment.ok(caller, operation, body)["NextMarker"])
}

#[test]
fn markers_that_were_never_given_out_are_invalid() {
    let (deployment, _) = filled();
    let good = marker(&deployment, ROOT, "ListKeys", json!({ "Limit": 1 }));
    let mut altered = good.clone().into_bytes();
    let last = altered.len() - 5;
    altered[last] = if altered[last] == b'A' { b'B' } else { b'A' };
    let altered = String::from_utf8(altered).unwrap();
    for bad in ["x", "AAAA", &altered, &good[1..], &format!("{good}A")] {
        for operation in ["ListKeys", "ListAliases"] {
            assert_eq!(deployment.refused(ROOT, operation, json!({ "Marker": bad })), invalid(), "{bad}");
        }
    }
    deployment.ok(ROOT, "ListKeys", json!({ "Marker": good }));
}

#[test]
fn a_marker_is_bound_to_its_list() {
    let (deployment, keys) = filled();
    for _ in 0..2 {
        deployment.create_key(ROOT_EU);
        deployment.create_key(FOREIGN);
    }
    let of_keys = marker(&deployment, ROOT, "ListKeys", json!({ "Limit": 1 }));
    let of_aliases = marker(&deployment, ROOT, "ListAliases", json!({ "Limit": 1 }));
    let of_one_key = marker(&deployment, ROOT, "ListAliases", json!({ "Limit": 1, "KeyId": keys[0] }));
    for (caller, operation, body) in [
        (ROOT, "ListAliases", json!({ "Marker": of_keys })),
        (ROOT, "ListKeys", json!({ "Marker": of_aliases })),
        (ROOT_EU, "ListKeys", json!({ "Marker": of_keys })),
        (FOREIGN, "ListKeys", json!({ "Marker": of_keys })),
        (ROOT, "ListAliases", json!({ "Marker": of_one_key })),
        (ROOT, "ListAliases", json!({ "Marker": of_one_key, "KeyId": keys[1] })),
        (ROOT, "ListAliases", json!({ "Marker": of_aliases, "KeyId": keys[0] })),
        (ROOT, "ListKeys", json!({ "Marker": of_keys, "ResourceOwners": ["OTHER_ACCOUNTS_VIA_RAM"] })),
    ] {
        assert_eq!(deployment.refused(caller, operation, body.clone()), invalid(), "{operation} {body}");
    }
    // The size of the page is not part of the list, and the default owner is oneself.
    deployment.ok(ROOT, "ListKeys", json!({ "Marker": of_keys, "Limit": 3, "ResourceOwners": ["SELF"] }));
    deployment.ok(ROOT, "ListAliases", json!({ "Marker": of_one_key, "KeyId": keys[0] }));
}

#[test]
fn a_marker_is_good_for_a_day() {
    let (deployment, _) = filled();
    let marker = marker(&deployment, ROOT, "ListKeys", json!({ "Limit": 1 }));
    deployment.env.advance(Duration::from_secs(24 * 60 * 60));
    deployment.ok(ROOT, "ListKeys", json!({ "Marker": marker }));
    deployment.env.advance(Duration::from_secs(1));
    assert_eq!(deployment.refused(ROOT, "ListKeys", json!({ "Marker": marker })), invalid());
}

#[test]
fn a_page_has_its_limit_of_entries_and_no_more() {
    let (deployment, _) = filled();
    let told = |operation, limit: u32| deployment.refused(ROOT, operation, json!({ "Limit": limit }));
    let constraint = |limit: u32, bound: &str| {
        let message = format!(
            "1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint: Member must have \
             value {bound}"
        );
        refusal("Validation", message)
    };
    for operation in ["ListKeys", "ListAliases"] {
        assert_eq!(told(operation, 0), constraint(0, "greater than or equal to 1"));
        assert_eq!(told(operation, 1001), constraint(1001, "less than or equal to 1000"));
    }
    assert_eq!(told("ListAliases", 101), constraint(101, "less than or equal to 100"));
    deployment.ok(ROOT, "ListAliases", json!({ "Limit": 100 }));
    deployment.ok(ROOT, "ListKeys", json!({ "Limit": 1000 }));
}

#[test]
fn pages_of_any_size_hold_everything_once() {
    let (deployment, mut keys) = filled();
    keys.sort();
    for limit in 1..=7 {
        let listed = pages(&deployment, "ListKeys", &json!({}), limit).concat();
        assert_eq!(listed.iter().map(|key| common::text(&key["KeyId"])).collect::<Vec<_>>(), keys);
        let names = |body: &Value| {
            let listed = pages(&deployment, "ListAliases", body, limit).concat();
            listed.iter().map(|alias| common::text(&alias["AliasName"])).collect::<Vec<_>>()
        };
        let all = ["alias/a", "alias/b/c", "alias/c", "alias/d", "alias/e_f", "alias/g-h"];
        assert_eq!(names(&json!({})), all);
        let own = names(
            &json!({ "KeyId": deployment.ok(ROOT, "DescribeKey", json!({ "KeyId": "alias/a" }))["KeyMetadata"]["KeyId"] }),
        );
        assert_eq!(own, ["alias/a", "alias/b/c", "alias/d", "alias/e_f", "alias/g-h"]);
    }
}

#[test]
fn the_default_pages_are_aws_s() {
    let deployment = Deployment::new();
    let keys: Vec<_> = (0..101).map(|_| deployment.create_key(ROOT)).collect();
    for number in 0..51 {
        deployment.create_alias(ROOT, &format!("alias/{number}"), &keys[number % 2]);
    }
    let count = |operation, list: &str| {
        let answer = deployment.ok(ROOT, operation, json!({}));
        (answer[list].as_array().unwrap().len(), answer["Truncated"].as_bool().unwrap())
    };
    assert_eq!(count("ListKeys", "Keys"), (100, true));
    assert_eq!(count("ListAliases", "Aliases"), (50, true));
}

#[test]
fn an_entry_that_was_deleted_between_two_pages_does_not_end_the_list() {
    let (deployment, _) = filled();
    let answer = deployment.ok(ROOT, "ListAliases", json!({ "Limit": 2 }));
    let last = &answer["Aliases"][1]["AliasName"];
    deployment.ok(ROOT, "DeleteAlias", json!({ "AliasName": last }));
    let rest = deployment.ok(ROOT, "ListAliases", json!({ "Marker": answer["NextMarker"] }));
    let names: Vec<_> = rest["Aliases"].as_array().unwrap().iter().map(|alias| &alias["AliasName"]).collect();
    assert_eq!(names, ["alias/c", "alias/d", "alias/e_f", "alias/g-h"]);
}

#[test]
fn keys_that_others_would_share_are_none() {
    let (deployment, _) = filled();
    let shared = deployment.ok(ROOT, "ListKeys", json!({ "ResourceOwners": ["OTHER_ACCOUNTS_VIA_RAM"] }));
    assert_eq!(shared, json!({ "Keys": [], "Truncated": false }));
}
