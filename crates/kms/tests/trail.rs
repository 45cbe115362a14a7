//! What the trail says of each operation, and what it must never hold.

#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{AnySigner, Deployment, FOREIGN, NO_KEY, OPERATOR, OWNER, ROOT, US, base64, key_arn};
use serde_json::{Value, json};
use std::sync::Arc;
use strongroom_audit::{Entry, Event, JournalReader, to_cloudtrail};
use strongroom_records::OutboxRow;
use strongroom_types::RegionName;

/// All events: those of reads from the journal, those of changes from the outbox, as CloudTrail shows them.
fn events(deployment: &Deployment) -> Vec<Value> {
    let cloudtrail = |event: &Event<'_>| serde_json::to_value(to_cloudtrail(event)).unwrap();
    let mut events = Vec::new();
    for record in JournalReader::open(&deployment.journal_directory(), Arc::new(AnySigner)).unwrap() {
        if let Entry::Event(event) = record.unwrap().entry().unwrap() {
            events.push(cloudtrail(&event));
        }
    }
    let prefix = OutboxRow::prefix(&RegionName::parse(US).unwrap());
    let rows = deployment.records.scan::<OutboxRow>(&prefix, None, 1000).unwrap();
    events.extend(rows.iter().map(|row| cloudtrail(&Event::decode(&row.event).unwrap())));
    events
}

fn event_of(deployment: &Deployment, operation: &str) -> Value {
    let mut found = events(deployment).into_iter().filter(|event| event["eventName"] == json!(operation));
    let event = found.next().unwrap_or_else(|| panic!("no {operation}"));
    assert!(found.next().is_none(), "two of {operation}");
    event
}

#[test]
fn no_plaintext_no_ciphertext_and_no_token_is_recorded() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let marker = "PLAINTEXT-MARKER-58213";
    let blob = deployment.encrypt(ROOT, &key_id, marker.as_bytes());
    let mut secrets = vec![marker.to_owned(), base64(marker.as_bytes()), "TOKEN-MARKER".to_owned()];
    secrets.push(common::signing::SECRET.to_owned());
    for (operation, body) in [
        ("Decrypt", json!({ "CiphertextBlob": blob })),
        ("ReEncrypt", json!({ "CiphertextBlob": blob, "DestinationKeyId": key_id })),
        ("GenerateDataKey", json!({ "KeyId": key_id, "KeySpec": "AES_256" })),
        ("GenerateRandom", json!({ "NumberOfBytes": 32 })),
    ] {
        let answer = deployment.ok(ROOT, operation, body);
        for member in ["CiphertextBlob", "Plaintext"] {
            secrets.extend(answer.get(member).map(common::text));
        }
    }
    secrets.push(blob.clone());
    for (caller, operation, body) in [
        (ROOT, "Encrypt", json!({ "KeyId": NO_KEY, "Plaintext": base64(marker.as_bytes()) })),
        (
            FOREIGN,
            "Encrypt",
            json!({ "KeyId": key_arn(US, OWNER, &key_id), "Plaintext": base64(marker.as_bytes()) }),
        ),
        (OPERATOR, "Decrypt", json!({ "CiphertextBlob": blob })),
        (
            ROOT,
            "Encrypt",
            json!({ "KeyId": key_id, "Plaintext": base64(marker.as_bytes()), "GrantTokens": ["TOKEN-MARKER"] }),
        ),
        (ROOT, "Encrypt", json!({ "KeyId": 1, "Plaintext": base64(marker.as_bytes()) })),
        (ROOT, "Encrypt", json!({ "KeyId": key_id, "Plaintext": base64(&marker.repeat(300).into_bytes()) })),
    ] {
        deployment.refused(caller, operation, body);
    }
    let recorded = json!(events(&deployment)).to_string();
    let mut trail: Vec<u8> = recorded.into_bytes();
    for file in std::fs::read_dir(deployment.journal_directory()).unwrap() {
        trail.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    for row in deployment.store.rows().values() {
        trail.extend(&row.value);
    }
    let contains = |needle: &[u8]| trail.windows(needle.len()).any(|window| window == needle);
    assert!(contains(key_id.as_bytes()), "the search finds what is there");
    for secret in &secrets {
        assert!(!contains(secret.as_bytes()), "{secret}");
        if let Ok(raw) = base64_simd::STANDARD.decode_to_vec(secret) {
            assert!(!contains(&raw), "{secret}, decoded");
        }
    }
}

#[test]
fn nothing_that_other_keys_take_or_make_is_recorded() {
    let deployment = Deployment::new();
    let marker = base64(b"MESSAGE-MARKER-58213");
    let create = |spec: &str, usage: &str| {
        deployment.create_key_with(ROOT, json!({ "KeySpec": spec, "KeyUsage": usage }))
    };
    let signing = create("ECC_NIST_P256", "SIGN_VERIFY");
    let agreeing = create("ECC_NIST_P256", "KEY_AGREEMENT");
    let peer = deployment.ok(ROOT, "GetPublicKey", json!({ "KeyId": agreeing }))["PublicKey"].clone();
    let mut secrets = vec!["MESSAGE-MARKER-58213".to_owned(), marker.clone()];
    for (operation, body, members) in [
        (
            "Sign",
            json!({ "KeyId": signing, "Message": marker, "SigningAlgorithm": "ECDSA_SHA_256" }),
            &["Signature"][..],
        ),
        (
            "GenerateMac",
            json!({ "KeyId": create("HMAC_256", "GENERATE_VERIFY_MAC"), "Message": marker, "MacAlgorithm": "HMAC_SHA_256" }),
            &["Mac"][..],
        ),
        (
            "DeriveSharedSecret",
            json!({ "KeyId": agreeing, "KeyAgreementAlgorithm": "ECDH", "PublicKey": peer }),
            &["SharedSecret"][..],
        ),
        (
            "Encapsulate",
            json!({ "KeyId": create("ML_KEM_512", "ENCAPSULATE_DECAPSULATE"), "EncapsulationAlgorithm": "ML_KEM" }),
            &["SharedSecret", "SharedSecretCiphertextBlob"][..],
        ),
        (
            "GenerateDataKeyPair",
            json!({ "KeyId": deployment.create_key(ROOT), "KeyPairSpec": "ECC_NIST_P256" }),
            &["PrivateKeyPlaintext", "PrivateKeyCiphertextBlob"][..],
        ),
    ] {
        let answer = deployment.ok(ROOT, operation, body);
        secrets.extend(members.iter().map(|member| common::text(&answer[*member])));
        let event = event_of(&deployment, operation);
        assert_eq!((&event["readOnly"], event["resources"].as_array().unwrap().len()), (&json!(true), 1));
    }
    let recorded = json!(events(&deployment)).to_string();
    assert!(recorded.contains(&signing), "the search finds what is there");
    for secret in &secrets {
        assert!(!recorded.contains(secret.as_str()), "{secret}");
    }
}

#[test]
fn a_refusal_is_recorded_with_its_parameters_and_its_keys() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    deployment.refused(ROOT, "Encrypt", json!({ "KeyId": key_id, "Plaintext": "eA==", "DryRun": true }));
    let event = event_of(&deployment, "Encrypt");
    assert_eq!(event["errorCode"], json!("DryRunOperationException"));
    let expected = json!({ "dryRun": true, "encryptionAlgorithm": "SYMMETRIC_DEFAULT", "keyId": key_id });
    assert_eq!(event["requestParameters"], expected);
    assert_eq!(event["resources"][0]["ARN"], json!(key_arn(US, OWNER, &key_id)));
}

#[test]
fn a_read_is_recorded_with_its_context_and_its_material() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let body = json!({ "KeyId": key_id, "Plaintext": "eA==", "EncryptionContext": { "purpose": "test" } });
    deployment.ok(ROOT, "Encrypt", body);
    let event = event_of(&deployment, "Encrypt");
    assert_eq!(event["requestParameters"]["encryptionContext"], json!({ "purpose": "test" }));
    assert_eq!((&event["readOnly"], &event["responseElements"]), (&json!(true), &Value::Null));
    let described = deployment.ok(ROOT, "DescribeKey", json!({ "KeyId": key_id }));
    let material = &described["KeyMetadata"]["CurrentKeyMaterialId"];
    assert_eq!(&event["additionalEventData"]["keyMaterialId"], material);
}

#[test]
fn both_keys_of_a_re_encrypt_are_its_resources() {
    let deployment = Deployment::new();
    let (from, to) = (deployment.create_key(ROOT), deployment.create_key(ROOT));
    let blob = deployment.encrypt(ROOT, &from, b"x");
    deployment.ok(ROOT, "ReEncrypt", json!({ "CiphertextBlob": blob, "DestinationKeyId": to }));
    let event = event_of(&deployment, "ReEncrypt");
    let arns: Vec<_> =
        event["resources"].as_array().unwrap().iter().map(|resource| &resource["ARN"]).collect();
    assert_eq!(arns, [&json!(key_arn(US, OWNER, &from)), &json!(key_arn(US, OWNER, &to))]);
}

#[test]
fn a_change_is_recorded_with_what_it_made() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key_with(ROOT, json!({ "Description": "for payments" }));
    let event = event_of(&deployment, "CreateKey");
    assert_eq!(event["readOnly"], json!(false));
    assert_eq!(event["requestParameters"]["description"], json!("for payments"));
    assert_eq!(event["requestParameters"]["keySpec"], json!("SYMMETRIC_DEFAULT"));
    let arn = json!(key_arn(US, OWNER, &key_id));
    assert_eq!(event["responseElements"]["keyMetadata"]["arn"], arn);
    assert_eq!(event["resources"][0]["ARN"], arn);
    deployment.create_alias(ROOT, "alias/app", &key_id);
    let event = event_of(&deployment, "CreateAlias");
    let kinds: Vec<_> =
        event["resources"].as_array().unwrap().iter().map(|resource| &resource["type"]).collect();
    assert_eq!(kinds, ["AWS::KMS::Key", "AWS::KMS::Alias"]);
    let policy = common::policy("Allow", json!("*"), json!("kms:*"));
    deployment.ok(ROOT, "PutKeyPolicy", json!({ "KeyId": key_id, "Policy": policy }));
    assert_eq!(event_of(&deployment, "PutKeyPolicy")["requestParameters"]["policyName"], json!("default"));
    deployment.ok(ROOT, "DisableKey", json!({ "KeyId": key_id }));
    assert_eq!(event_of(&deployment, "DisableKey")["responseElements"]["keyId"], arn);
}

#[test]
fn grants_are_recorded_with_their_ids_and_without_their_tokens() {
    for end in ["RetireGrant", "RevokeGrant"] {
        grant_is_recorded(end);
    }
}

fn grant_is_recorded(end: &str) {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let arn = json!(key_arn(US, OWNER, &key_id));
    let root = format!("arn:aws:iam::{OWNER}:root");
    let body = json!({
        "KeyId": key_id, "GranteePrincipal": root, "RetiringPrincipal": root, "Operations": ["Encrypt", "Decrypt"],
        "Constraints": { "EncryptionContextSubset": { "a": "1" } }, "Name": "one",
    });
    let answer = deployment.ok(ROOT, "CreateGrant", body);
    let event = event_of(&deployment, "CreateGrant");
    let expected = json!({
        "constraints": { "encryptionContextSubset": { "a": "1" } }, "granteePrincipal": root, "keyId": key_id,
        "name": "one", "operations": ["Encrypt", "Decrypt"], "retiringPrincipal": root,
    });
    assert_eq!(event["requestParameters"], expected);
    assert_eq!(event["responseElements"], json!({ "grantId": answer["GrantId"], "keyId": arn }));
    assert_eq!((&event["readOnly"], &event["resources"][0]["ARN"]), (&json!(false), &arn));
    let ended = match end {
        "RetireGrant" => json!({ "GrantToken": answer["GrantToken"] }),
        _ => json!({ "KeyId": key_id, "GrantId": answer["GrantId"] }),
    };
    deployment.ok(ROOT, end, ended);
    let event = event_of(&deployment, end);
    assert_eq!(event["responseElements"], json!({ "keyId": arn }));
    assert_eq!(event["resources"][0]["ARN"], arn);
    match end {
        "RetireGrant" => {
            assert_eq!(event["requestParameters"], Value::Null);
            assert_eq!(event["additionalEventData"]["grantId"], answer["GrantId"]);
        }
        _ => assert_eq!(event["requestParameters"], json!({ "grantId": answer["GrantId"], "keyId": key_id })),
    }
    deployment.ok(ROOT, "ListGrants", json!({ "KeyId": key_id, "Limit": 5 }));
    let event = event_of(&deployment, "ListGrants");
    assert_eq!(
        (&event["readOnly"], &event["requestParameters"]),
        (&json!(true), &json!({ "keyId": key_id, "limit": 5 }))
    );
    deployment.ok(ROOT, "ListRetirableGrants", json!({ "RetiringPrincipal": root }));
    assert_eq!(
        event_of(&deployment, "ListRetirableGrants")["requestParameters"],
        json!({ "retiringPrincipal": root })
    );
    let trail = json!(events(&deployment)).to_string();
    assert!(trail.contains(&common::text(&answer["GrantId"])));
    assert!(!trail.contains(&common::text(&answer["GrantToken"])));
}

#[test]
fn each_change_of_a_key_is_recorded_with_its_parameters() {
    let deployment = Deployment::new();
    let tags = json!([{ "TagKey": "team", "TagValue": "payments" }]);
    let key_id = deployment.create_key_with(ROOT, json!({ "Tags": tags }));
    let recorded_tags = json!([{ "tagKey": "team", "tagValue": "payments" }]);
    assert_eq!(event_of(&deployment, "CreateKey")["requestParameters"]["tags"], recorded_tags);
    let other = deployment.create_key(ROOT);
    deployment.create_alias(ROOT, "alias/app", &other);
    let (arn, other_arn) = (key_arn(US, OWNER, &key_id), key_arn(US, OWNER, &other));
    let key = json!({ "keyId": arn });
    for (operation, body, parameters, elements, resources) in [
        (
            "UpdateKeyDescription",
            json!({ "KeyId": key_id, "Description": "new" }),
            json!({ "description": "new", "keyId": key_id }),
            key.clone(),
            vec![arn.clone()],
        ),
        (
            "TagResource",
            json!({ "KeyId": key_id, "Tags": [{ "TagKey": "stage", "TagValue": "" }] }),
            json!({ "keyId": key_id, "tags": [{ "tagKey": "stage", "tagValue": "" }] }),
            key.clone(),
            vec![arn.clone()],
        ),
        (
            "UntagResource",
            json!({ "KeyId": arn, "TagKeys": ["team"] }),
            json!({ "keyId": arn, "tagKeys": ["team"] }),
            key.clone(),
            vec![arn.clone()],
        ),
        (
            "UpdateAlias",
            json!({ "AliasName": "alias/app", "TargetKeyId": key_id }),
            json!({ "aliasName": "alias/app", "targetKeyId": key_id }),
            key.clone(),
            vec![other_arn, arn.clone(), format!("arn:aws:kms:{US}:{OWNER}:alias/app")],
        ),
        (
            "ScheduleKeyDeletion",
            json!({ "KeyId": key_id, "PendingWindowInDays": 7 }),
            json!({ "keyId": key_id, "pendingWindowInDays": 7 }),
            json!({
                "deletionDate": "Jan 8, 2026, 12:00:00 AM", "keyId": arn, "keyState": "PendingDeletion",
                "pendingWindowInDays": 7,
            }),
            vec![arn.clone()],
        ),
        (
            "CancelKeyDeletion",
            json!({ "KeyId": key_id }),
            json!({ "keyId": key_id }),
            key.clone(),
            vec![arn.clone()],
        ),
    ] {
        deployment.ok(ROOT, operation, body);
        let event = event_of(&deployment, operation);
        assert_eq!(event["requestParameters"], parameters, "{operation}");
        assert_eq!(event["responseElements"], elements, "{operation}");
        assert_eq!(event["readOnly"], json!(false), "{operation}");
        let named = event["resources"].as_array().unwrap().iter();
        assert_eq!(named.map(|one| common::text(&one["ARN"])).collect::<Vec<_>>(), resources, "{operation}");
    }
}

#[test]
fn lists_about_a_key_are_reads() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    for operation in ["ListKeyPolicies", "ListResourceTags"] {
        deployment.ok(ROOT, operation, json!({ "KeyId": key_id, "Limit": 10 }));
        let event = event_of(&deployment, operation);
        assert_eq!(event["requestParameters"], json!({ "keyId": key_id, "limit": 10 }));
        assert_eq!((&event["readOnly"], &event["responseElements"]), (&json!(true), &Value::Null));
        assert_eq!(event["resources"][0]["ARN"], json!(key_arn(US, OWNER, &key_id)));
    }
}

#[test]
fn tags_that_are_too_many_to_be_recorded_are_left_out_of_the_record() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let tag = |number: usize| json!({ "TagKey": format!("{number:0128}"), "TagValue": "v".repeat(256) });
    let tags: Vec<_> = (0..1000).map(tag).collect();
    let told = deployment.refused(ROOT, "TagResource", json!({ "KeyId": key_id, "Tags": tags }));
    assert_eq!(told.error, "TagException");
    assert_eq!(event_of(&deployment, "TagResource")["requestParameters"], json!({ "omitted": true }));
}
