//! Tags: TagResource, UntagResource, ListResourceTags and the Tags of CreateKey.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use common::{Deployment, FOREIGN, OWNER, ROOT, ROOT_EU, US, key_arn, refusal};
use serde_json::{Value, json};

/// `[{TagKey, TagValue}, …]`
fn tags(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(key, value)| json!({ "TagKey": key, "TagValue": value })).collect()
}

fn numbered(range: std::ops::Range<usize>) -> Value {
    range.map(|number| json!({ "TagKey": format!("tag-{number:02}"), "TagValue": "" })).collect()
}

fn tag(deployment: &Deployment, key_id: &str, tags: Value) -> Result<Value, common::Refusal> {
    deployment.call(ROOT, "TagResource", json!({ "KeyId": key_id, "Tags": tags }))
}

fn untag(deployment: &Deployment, key_id: &str, names: Value) -> Result<Value, common::Refusal> {
    deployment.call(ROOT, "UntagResource", json!({ "KeyId": key_id, "TagKeys": names }))
}

fn listed(deployment: &Deployment, key_id: &str) -> Value {
    deployment.ok(ROOT, "ListResourceTags", json!({ "KeyId": key_id }))["Tags"].clone()
}

/// Tags that no key may have, and what is told of them.
fn wrong() -> Vec<(Value, &'static str)> {
    let reserved = "Tags beginning with aws: are reserved";
    vec![
        (tags(&[("a", "1"), ("b", "2"), ("a", "3")]), "Duplicate tag keys"),
        (numbered(0..51), "Too many tags"),
        (tags(&[("aws:x", "")]), reserved),
        (tags(&[("a", ""), ("AWS:cloudformation:stack", "")]), reserved),
        (tags(&[("Owner", "My & My Team")]), "Invalid tag"),
        (tags(&[("a\n", "")]), "Invalid tag"),
        (tags(&[("a", "{b}")]), "Invalid tag"),
    ]
}

#[test]
fn tags_that_no_key_may_have_are_refused_and_change_nothing() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    tag(&deployment, &key_id, tags(&[("a", "0")])).unwrap();
    for (tags, message) in wrong() {
        let told = refusal("Tag", message);
        assert_eq!(tag(&deployment, &key_id, tags.clone()).unwrap_err(), told, "{tags}");
        assert_eq!(deployment.refused(ROOT, "CreateKey", json!({ "Tags": tags })), told, "{tags}");
    }
    assert_eq!(listed(&deployment, &key_id), tags(&[("a", "0")]));
    assert_eq!(deployment.ok(ROOT, "ListKeys", json!({}))["Keys"].as_array().unwrap().len(), 1);
    deployment.assert_clean();
}

#[test]
fn a_tag_has_its_lengths_and_no_more() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let member = |name: &str, bound: &str| {
        format!("at 'tags.1.member.{name}' failed to satisfy constraint: Member must have length {bound}")
    };
    for (key, value, told) in [
        (String::new(), String::new(), member("tagKey", "greater than or equal to 1")),
        ("é".repeat(129), String::new(), member("tagKey", "less than or equal to 128")),
        ("k".to_owned(), "é".repeat(257), member("tagValue", "less than or equal to 256")),
    ] {
        let refused = tag(&deployment, &key_id, tags(&[(&key, &value)])).unwrap_err();
        assert_eq!(refused.error, "ValidationException");
        assert!(refused.message.unwrap().ends_with(&told), "{told}");
    }
    let longest = tags(&[(&"é".repeat(128), &"é".repeat(256))]);
    tag(&deployment, &key_id, longest.clone()).unwrap();
    assert_eq!(listed(&deployment, &key_id), longest);
}

#[test]
fn a_key_has_fifty_tags_and_no_more() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key_with(ROOT, json!({ "Tags": numbered(0..50) }));
    let told = refusal("Tag", "Too many tags");
    assert_eq!(tag(&deployment, &key_id, tags(&[("one-more", "")])).unwrap_err(), told);
    // All of a request, or nothing of it.
    assert_eq!(tag(&deployment, &key_id, tags(&[("tag-00", "x"), ("one-more", "")])).unwrap_err(), told);
    assert_eq!(listed(&deployment, &key_id), numbered(0..50));
    tag(&deployment, &key_id, tags(&[("tag-00", "replaced")])).unwrap();
    untag(&deployment, &key_id, json!(["tag-49"])).unwrap();
    tag(&deployment, &key_id, tags(&[("one-more", "")])).unwrap();
    let names = listed(&deployment, &key_id);
    assert_eq!((names.as_array().unwrap().len(), &names[1]["TagValue"]), (50, &json!("replaced")));
    deployment.assert_clean();
}

#[test]
fn tags_are_added_replaced_and_removed() {
    let deployment = Deployment::new();
    let key_id =
        deployment.create_key_with(ROOT, json!({ "Tags": tags(&[("team", "payments"), ("Team", "x")]) }));
    assert_eq!(listed(&deployment, &key_id), tags(&[("Team", "x"), ("team", "payments")]), "case matters");
    assert_eq!(tag(&deployment, &key_id, tags(&[("team", ""), ("stage", "test")])).unwrap(), Value::Null);
    assert_eq!(listed(&deployment, &key_id), tags(&[("Team", "x"), ("stage", "test"), ("team", "")]));
    // One that is not there is as good as removed.
    let names = json!(["Team", "TEAM", "absent", "Team"]);
    for _ in 0..2 {
        assert_eq!(untag(&deployment, &key_id, names.clone()).unwrap(), Value::Null);
        assert_eq!(listed(&deployment, &key_id), tags(&[("stage", "test"), ("team", "")]));
    }
    deployment.assert_clean();
}

#[test]
fn names_of_aws_cannot_be_removed_either() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key_with(ROOT, json!({ "Tags": tags(&[("a", "")]) }));
    let reserved = refusal("Tag", "Tags beginning with aws: are reserved");
    assert_eq!(untag(&deployment, &key_id, json!(["a", "aws:x"])).unwrap_err(), reserved);
    assert_eq!(untag(&deployment, &key_id, json!(["a", "b&c"])).unwrap_err(), refusal("Tag", "Invalid tag"));
    assert_eq!(listed(&deployment, &key_id), tags(&[("a", "")]));
}

#[test]
fn nothing_to_do_is_done() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key_with(ROOT, json!({ "Tags": [] }));
    tag(&deployment, &key_id, json!([])).unwrap();
    untag(&deployment, &key_id, json!([])).unwrap();
    assert_eq!(listed(&deployment, &key_id), json!([]));
}

#[test]
fn each_right_is_needed() {
    let deployment = Deployment::new();
    let policy =
        common::policy("Allow", common::root_of(OWNER), json!(["kms:PutKeyPolicy", "kms:CreateKey"]));
    let key_id = deployment.create_key_with(ROOT, json!({ "Policy": policy, "Tags": tags(&[("a", "")]) }));
    for (operation, more) in [
        ("ListResourceTags", json!({})),
        ("TagResource", json!({ "Tags": tags(&[("b", "")]) })),
        ("UntagResource", json!({ "TagKeys": ["a"] })),
    ] {
        let mut body = more;
        body["KeyId"] = json!(key_id);
        let message = format!(
            "User: arn:aws:iam::{OWNER}:root is not authorized to perform: kms:{operation} on resource: {} because no \
             resource-based policy allows the kms:{operation} action",
            key_arn(US, OWNER, &key_id)
        );
        assert_eq!(deployment.refused(ROOT, operation, body), refusal("AccessDenied", message));
    }
    // Who may not use the key is not told what is wrong with the tags.
    let told = tag(&deployment, &key_id, tags(&[("aws:x", "")])).unwrap_err();
    assert_eq!(told.error, "AccessDeniedException");
}

#[test]
fn the_operator_makes_no_tagged_key() {
    let deployment = Deployment::new();
    let body = json!({ "Tags": tags(&[("a", "")]) });
    assert_eq!(deployment.refused(common::OPERATOR, "CreateKey", body).error, "AccessDeniedException");
}

/// A deployment with a key of five tags, another of three, and the names of the five.
fn filled() -> (Deployment, String, String) {
    let deployment = Deployment::new();
    let many = deployment.create_key_with(ROOT, json!({ "Tags": numbered(0..5) }));
    let few = deployment.create_key_with(ROOT, json!({ "Tags": numbered(0..3) }));
    (deployment, many, few)
}

#[test]
fn pages_of_any_size_hold_every_tag_once() {
    let (deployment, key_id, _) = filled();
    for limit in 1..=7 {
        let (mut found, mut marker) = (Vec::new(), Value::Null);
        loop {
            let body = json!({ "KeyId": key_id, "Limit": limit, "Marker": marker });
            let page = deployment.ok(ROOT, "ListResourceTags", body);
            let tags = page["Tags"].as_array().unwrap();
            let truncated = page["Truncated"].as_bool().unwrap();
            assert_eq!(page.get("NextMarker").is_some(), truncated);
            assert!(tags.len() <= limit && (tags.len() == limit || !truncated));
            found.extend(tags.clone());
            if !truncated {
                break;
            }
            marker = page["NextMarker"].clone();
        }
        assert_eq!(Value::from(found), numbered(0..5));
    }
}

#[test]
fn a_page_may_end_with_the_longest_key() {
    let deployment = Deployment::new();
    // Four bytes per character is the most that UTF-8 takes.
    let (longest, last) = ("\u{20000}".repeat(128), "\u{20001}");
    let key_id = deployment.create_key_with(ROOT, json!({ "Tags": tags(&[(&longest, ""), (last, "")]) }));
    let page = deployment.ok(ROOT, "ListResourceTags", json!({ "KeyId": key_id, "Limit": 1 }));
    assert_eq!(page["Tags"], tags(&[(&longest, "")]));
    let body = json!({ "KeyId": key_id, "Marker": page["NextMarker"] });
    assert_eq!(deployment.ok(ROOT, "ListResourceTags", body)["Tags"], tags(&[(last, "")]));
}

#[test]
fn a_page_of_tags_has_fifty_and_no_more() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key_with(ROOT, json!({ "Tags": numbered(0..50) }));
    let told = deployment.refused(ROOT, "ListResourceTags", json!({ "KeyId": key_id, "Limit": 51 }));
    let message = "1 validation error detected: Value '51' at 'limit' failed to satisfy constraint: Member must have \
                   value less than or equal to 50";
    assert_eq!(told, refusal("Validation", message));
    for body in [json!({ "KeyId": key_id, "Limit": 50 }), json!({ "KeyId": key_id })] {
        let page = deployment.ok(ROOT, "ListResourceTags", body);
        assert_eq!(page, json!({ "Tags": numbered(0..50), "Truncated": false }));
    }
}

#[test]
fn a_marker_is_good_for_the_tags_of_one_key() {
    let (deployment, many, few) = filled();
    let page = deployment.ok(ROOT, "ListResourceTags", json!({ "KeyId": many, "Limit": 1 }));
    let marker = common::text(&page["NextMarker"]);
    let of_keys = deployment.ok(ROOT, "ListKeys", json!({ "Limit": 1 }))["NextMarker"].clone();
    let invalid = refusal("InvalidMarker", "The marker is not valid for this request.");
    for (key_id, marker) in
        [(&few, json!(marker)), (&many, of_keys), (&many, json!("x")), (&many, json!(marker[1..]))]
    {
        let body = json!({ "KeyId": key_id, "Marker": marker });
        assert_eq!(deployment.refused(ROOT, "ListResourceTags", body.clone()), invalid, "{body}");
    }
    // It goes on behind its tag, even when that is gone, and the key may be named otherwise.
    untag(&deployment, &many, json!(["tag-00", "tag-02"])).unwrap();
    let body = json!({ "KeyId": key_arn(US, OWNER, &many), "Marker": marker });
    let rest = deployment.ok(ROOT, "ListResourceTags", body);
    assert_eq!(rest["Tags"], tags(&[("tag-01", ""), ("tag-03", ""), ("tag-04", "")]));
}

#[test]
fn a_key_of_another_region_or_account_cannot_be_tagged() {
    let deployment = Deployment::new();
    let there = deployment.create_key(ROOT_EU);
    assert_eq!(tag(&deployment, &there, tags(&[("a", "")])).unwrap_err().error, "NotFoundException");
    let open = common::policy("Allow", json!("*"), json!("kms:*"));
    let key_id = deployment.create_key_with(ROOT, json!({ "Policy": open }));
    let body = json!({ "KeyId": key_arn(US, OWNER, &key_id), "Tags": tags(&[("a", "")]) });
    assert_eq!(deployment.refused(FOREIGN, "TagResource", body).error, "AccessDeniedException");
    assert_eq!(listed(&deployment, &key_id), json!([]));
}
