//! GetKeyLastUsage and kms:TrailingDaysWithoutKeyUsage: what counts as a use, what does not, and where that is kept.

#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{
    AnySigner, Deployment, FOREIGN, OWNER, ROOT, ROOT_EU, Refusal, US, base64, key_arn, refusal, root_of,
    text,
};
use serde_json::{Value, json};
use strongroom_audit::{Entry, JournalReader};
use strongroom_kms::BUILT;
use strongroom_store::Row;
use strongroom_testkit::store::{Call, Fault};
use strongroom_types::{Env, Timestamp};
use strongroom_wire::KeyLastUsageTrackingOperation;

const HOUR: Duration = Duration::from_secs(3600);

fn usage(deployment: &Deployment, key_id: &str) -> Value {
    deployment.ok(ROOT, "GetKeyLastUsage", json!({ "KeyId": key_id }))
}

fn last_use(deployment: &Deployment, key_id: &str) -> Value {
    usage(deployment, key_id)["KeyLastUsage"].clone()
}

fn seconds(time: Timestamp) -> Value {
    let mut out = Vec::new();
    time.write_epoch_seconds(&mut out);
    serde_json::from_slice(&out).unwrap()
}

/// The last event of the trail with this name, as the answer to GetKeyLastUsage names it.
fn in_the_trail(deployment: &Deployment, operation: &str) -> Value {
    let reader = JournalReader::open(&deployment.journal_directory(), Arc::new(AnySigner)).unwrap();
    let mut found = None;
    for record in reader {
        let record = record.unwrap();
        if let Entry::Event(event) = record.entry().unwrap()
            && event.name == operation
        {
            found = Some(json!({
                "Operation": operation,
                "Timestamp": seconds(event.time),
                "CloudTrailEventId": event.id.to_string(),
                "KmsRequestId": event.request_id.unwrap().to_string(),
            }));
        }
    }
    found.unwrap()
}

/// Every tracked operation, on a key of the kind that it is for, in the order of their names.
fn uses(deployment: &Deployment) -> Vec<(&'static str, Value)> {
    let key = |spec: &str, usage: &str| {
        deployment.create_key_with(ROOT, json!({ "KeySpec": spec, "KeyUsage": usage }))
    };
    let made = |operation: &str, body: &Value, member: &str| {
        text(&deployment.ok(ROOT, operation, body.clone())[member])
    };
    let symmetric = deployment.create_key(ROOT);
    let blob = deployment.encrypt(ROOT, &symmetric, b"x");
    let (message, kem) = (base64(b"m"), key("ML_KEM_512", "ENCAPSULATE_DECAPSULATE"));
    let maced = json!({
        "KeyId": key("HMAC_256", "GENERATE_VERIFY_MAC"), "Message": message, "MacAlgorithm": "HMAC_SHA_256",
    });
    let signed = json!({
        "KeyId": key("ECC_NIST_P256", "SIGN_VERIFY"), "Message": message, "SigningAlgorithm": "ECDSA_SHA_256",
    });
    let agreement = key("ECC_NIST_P256", "KEY_AGREEMENT");
    let encapsulated = json!({ "KeyId": kem, "EncapsulationAlgorithm": "ML_KEM" });
    let with = |body: &Value, member: &str, value: String| {
        let mut body = body.clone();
        body[member] = json!(value);
        body
    };
    let sealed = "SharedSecretCiphertextBlob";
    let decapsulated = with(&encapsulated, sealed, made("Encapsulate", &encapsulated, sealed));
    let public = made("GetPublicKey", &json!({ "KeyId": agreement }), "PublicKey");
    let derived = json!({ "KeyId": agreement, "KeyAgreementAlgorithm": "ECDH", "PublicKey": public });
    let verified = with(&signed, "Signature", made("Sign", &signed, "Signature"));
    let mac_verified = with(&maced, "Mac", made("GenerateMac", &maced, "Mac"));
    let pair = json!({ "KeyId": symmetric, "KeyPairSpec": "ECC_NIST_P256" });
    vec![
        ("Decapsulate", decapsulated),
        ("Decrypt", json!({ "KeyId": symmetric, "CiphertextBlob": blob })),
        ("DeriveSharedSecret", derived),
        ("Encapsulate", encapsulated),
        ("Encrypt", json!({ "KeyId": symmetric, "Plaintext": base64(b"x") })),
        ("GenerateDataKey", json!({ "KeyId": symmetric, "KeySpec": "AES_256" })),
        ("GenerateDataKeyPair", pair.clone()),
        ("GenerateDataKeyPairWithoutPlaintext", pair),
        ("GenerateDataKeyWithoutPlaintext", json!({ "KeyId": symmetric, "NumberOfBytes": 7 })),
        ("GenerateMac", maced),
        ("ReEncrypt", json!({ "KeyId": symmetric, "CiphertextBlob": blob, "DestinationKeyId": symmetric })),
        ("Sign", signed),
        ("Verify", verified),
        ("VerifyMac", mac_verified),
    ]
}

#[test]
fn a_key_that_nobody_has_used_has_no_use() {
    let deployment = Deployment::new();
    let began = deployment.env.now();
    deployment.env.advance(HOUR);
    let created = deployment.env.now();
    let key_id = deployment.create_key(ROOT);
    deployment.env.advance(HOUR);
    // None of these is a use.
    for (operation, body) in [
        ("CreateGrant", json!({ "GranteePrincipal": OWNER, "Operations": ["Encrypt"] })),
        ("DescribeKey", json!({})),
        ("DisableKey", json!({})),
        ("EnableKey", json!({})),
        ("GetKeyLastUsage", json!({})),
        ("GetKeyPolicy", json!({})),
        ("TagResource", json!({ "Tags": [{ "TagKey": "a", "TagValue": "b" }] })),
    ] {
        let mut body = body;
        body["KeyId"] = json!(key_id);
        deployment.ok(ROOT, operation, body);
    }
    deployment.ok(ROOT, "GenerateRandom", json!({ "NumberOfBytes": 1 }));
    let told = |key_id: &str| {
        json!({
            "KeyId": key_id,
            "KeyLastUsage": {},
            "TrackingStartDate": seconds(created),
            "KeyCreationDate": seconds(created),
        })
    };
    assert!(began < created);
    assert_eq!(usage(&deployment, &key_id), told(&key_id));
    assert_eq!(usage(&deployment, &key_arn(US, OWNER, &key_id)), told(&key_id));
}

#[test]
fn other_accounts_and_aliases_are_refused() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    deployment.create_alias(ROOT, "alias/app", &key_id);
    let ask = |caller, key: &str| deployment.refused(caller, "GetKeyLastUsage", json!({ "KeyId": key }));
    assert_eq!(ask(ROOT, "alias/app"), refusal("NotFound", "Invalid keyId 'alias/app'"));
    let everyone = common::policy("Allow", json!("*"), json!("kms:*"));
    deployment.ok(ROOT, "PutKeyPolicy", json!({ "KeyId": key_id, "Policy": everyone }));
    assert_eq!(ask(FOREIGN, &key_arn(US, OWNER, &key_id)).error, "AccessDeniedException");
    assert_eq!(ask(ROOT_EU, &key_id).error, "NotFoundException");
    let silent = common::policy("Allow", root_of(OWNER), json!(["kms:PutKeyPolicy", "kms:Encrypt"]));
    deployment.ok(ROOT, "PutKeyPolicy", json!({ "KeyId": key_id, "Policy": silent }));
    assert_eq!(ask(ROOT, &key_id).error, "AccessDeniedException");
}

#[test]
fn every_tracked_operation_counts_once_it_succeeds() {
    let deployment = Deployment::new();
    let uses = uses(&deployment);
    let names: Vec<_> = uses.iter().map(|(name, _)| *name).collect();
    let mut tracked: Vec<_> = KeyLastUsageTrackingOperation::ALL.iter().map(|name| name.as_str()).collect();
    tracked.sort_unstable();
    assert_eq!(names, tracked);
    assert!(names.iter().all(|name| BUILT.iter().any(|built| built.name() == *name)));
    for (operation, body) in uses {
        let key_id = text(&body["KeyId"]);
        deployment.env.advance(Duration::from_millis(1500));
        let before = last_use(&deployment, &key_id);
        let mut dry = body.clone();
        dry["DryRun"] = json!(true);
        let refused = deployment.refused(ROOT, operation, dry);
        assert_eq!(refused.error, "DryRunOperationException", "{operation}");
        let mut tokened = body.clone();
        tokened["GrantTokens"] = json!(["AAAA"]);
        assert_eq!(deployment.refused(ROOT, operation, tokened).error, "InvalidGrantTokenException");
        deployment.ok(ROOT, "DisableKey", json!({ "KeyId": key_id }));
        assert_eq!(deployment.refused(ROOT, operation, body.clone()).error, "DisabledException");
        deployment.ok(ROOT, "EnableKey", json!({ "KeyId": key_id }));
        assert_eq!(last_use(&deployment, &key_id), before, "{operation}");
        deployment.ok(ROOT, operation, body);
        let told = last_use(&deployment, &key_id);
        assert_ne!(told, before, "{operation}");
        assert_eq!(told, in_the_trail(&deployment, operation));
        deployment.write_uses();
        assert_eq!(last_use(&deployment, &key_id), told, "{operation}");
    }
    deployment.assert_clean();
}

#[test]
fn what_fails_in_the_end_is_no_use() {
    let deployment = Deployment::new();
    let spec = json!({ "KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC" });
    let key_id = deployment.create_key_with(ROOT, spec);
    let body = json!({
        "KeyId": key_id, "Message": base64(b"m"), "MacAlgorithm": "HMAC_SHA_256", "Mac": base64(&[0; 32]),
    });
    assert_eq!(deployment.refused(ROOT, "VerifyMac", body).error, "KMSInvalidMacException");
    assert_eq!(last_use(&deployment, &key_id), json!({}));
}

#[test]
fn a_re_encryption_is_a_use_of_both_keys() {
    let deployment = Deployment::new();
    // Sixty-four stripes: some of these pairs share one, and both orders of two are met.
    for _ in 0..150 {
        let (from, to) = (deployment.create_key(ROOT), deployment.create_key(ROOT));
        let blob = deployment.encrypt(ROOT, &from, b"x");
        deployment.env.advance(Duration::from_millis(1));
        let body = json!({ "CiphertextBlob": blob, "DestinationKeyId": to });
        deployment.ok(ROOT, "ReEncrypt", body);
        let told = last_use(&deployment, &from);
        assert_eq!(told["Operation"], "ReEncrypt");
        assert_eq!(last_use(&deployment, &to), told);
    }
}

#[test]
fn nobody_is_told_an_earlier_use_after_a_later_one() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    deployment.env.advance(HOUR);
    deployment.encrypt(ROOT, &key_id, b"x");
    let told = last_use(&deployment, &key_id);
    // The clock is set back: in memory, then against the row.
    let now = deployment.env.now();
    deployment.env.set_now(now.saturating_sub(Duration::from_secs(60)));
    deployment.encrypt(ROOT, &key_id, b"x");
    assert_eq!(last_use(&deployment, &key_id), told);
    deployment.write_uses();
    deployment.encrypt(ROOT, &key_id, b"x");
    assert_eq!(last_use(&deployment, &key_id), told);
    deployment.write_uses();
    assert_eq!(last_use(&deployment, &key_id), told);
    deployment.env.set_now(now);
    deployment.encrypt(ROOT, &key_id, b"x");
    let later = last_use(&deployment, &key_id);
    assert_eq!(later["Timestamp"], told["Timestamp"]);
    assert_ne!(later["KmsRequestId"], told["KmsRequestId"]);
    deployment.assert_clean();
}

/// A policy that lets the owner do everything, but these two operations only under the condition.
fn limited(condition: &Value) -> String {
    let ends = ["kms:DisableKey", "kms:ScheduleKeyDeletion"];
    let statements = json!([
        { "Effect": "Allow", "Principal": root_of(OWNER), "NotAction": ends, "Resource": "*" },
        { "Effect": "Allow", "Principal": root_of(OWNER), "Action": ends, "Resource": "*", "Condition": condition },
    ]);
    json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
}

fn unused_for(days: u32) -> Value {
    json!({ "NumericGreaterThanEquals": { "kms:TrailingDaysWithoutKeyUsage": days } })
}

fn end(deployment: &Deployment, key_id: &str, operation: &str) -> Result<(), String> {
    let refused = |refusal: Refusal| refusal.error;
    deployment.call(ROOT, operation, json!({ "KeyId": key_id })).map(|_| ()).map_err(refused)
}

#[test]
fn whole_days_without_a_use_decide() {
    let deployment = Deployment::new();
    let denied = Err("AccessDeniedException".to_owned());
    for operation in ["DisableKey", "ScheduleKeyDeletion"] {
        for is_written in [false, true] {
            let policy = limited(&unused_for(2));
            let key_id = deployment.create_key_with(ROOT, json!({ "Policy": policy }));
            // Since it was made.
            deployment.env.advance(48 * HOUR - Duration::from_millis(2));
            assert_eq!(end(&deployment, &key_id, operation), denied);
            deployment.encrypt(ROOT, &key_id, b"x");
            if is_written {
                deployment.write_uses();
            }
            // Since it was used.
            deployment.env.advance(48 * HOUR - Duration::from_millis(1));
            assert_eq!(end(&deployment, &key_id, operation), denied);
            deployment.env.advance(Duration::from_millis(1));
            assert_eq!(end(&deployment, &key_id, operation), Ok(()));
        }
    }
}

#[test]
fn other_operations_do_not_have_the_fact() {
    let deployment = Deployment::new();
    let condition = json!({ "Null": { "kms:TrailingDaysWithoutKeyUsage": "true" } });
    let statements = json!([
        { "Effect": "Allow", "Principal": root_of(OWNER), "Action": "kms:*", "Resource": "*", "Condition": condition },
        { "Effect": "Allow", "Principal": root_of(OWNER), "Action": "kms:PutKeyPolicy", "Resource": "*" },
    ]);
    let policy = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
    let key_id = deployment.create_key_with(ROOT, json!({ "Policy": policy }));
    for operation in ["DisableKey", "ScheduleKeyDeletion"] {
        assert_eq!(end(&deployment, &key_id, operation), Err("AccessDeniedException".to_owned()));
    }
    for operation in ["DescribeKey", "EnableKey", "GetKeyLastUsage", "GetKeyPolicy"] {
        assert_eq!(end(&deployment, &key_id, operation), Ok(()), "{operation}");
    }
    deployment.encrypt(ROOT, &key_id, b"x");
}

#[test]
fn a_row_that_cannot_be_trusted_refuses_what_needs_it() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key_with(ROOT, json!({ "Policy": limited(&unused_for(0)) }));
    deployment.encrypt(ROOT, &key_id, b"x");
    deployment.write_uses();
    let address = format!("key-usage/{US}/{key_id}");
    let alter = |rows: &mut std::collections::BTreeMap<String, Row>| {
        let last = rows.get_mut(&address).unwrap().value.last_mut().unwrap();
        *last ^= 1;
    };
    deployment.store.tamper(alter);
    let internal = Err("KMSInternalException".to_owned());
    for operation in ["DisableKey", "ScheduleKeyDeletion", "GetKeyLastUsage"] {
        assert_eq!(end(&deployment, &key_id, operation), internal, "{operation}");
    }
    // It is used all the same, and nobody takes the row for absent when the use is to be written.
    deployment.encrypt(ROOT, &key_id, b"x");
    assert_eq!(end(&deployment, &key_id, "GetKeyLastUsage"), internal);
    deployment.write_uses();
    assert_eq!(end(&deployment, &key_id, "GetKeyLastUsage"), internal);
    deployment.store.tamper(alter);
    assert_eq!(end(&deployment, &key_id, "DisableKey"), Ok(()));
    deployment.assert_clean();
}

#[test]
fn who_may_not_ask_is_not_told_that_a_row_is_bad() {
    let deployment = Deployment::new();
    let statement = json!([
        { "Effect": "Allow", "Principal": root_of(OWNER), "NotAction": "kms:GetKeyLastUsage", "Resource": "*" },
    ]);
    let policy = json!({ "Version": "2012-10-17", "Statement": statement }).to_string();
    let key_id = deployment.create_key_with(ROOT, json!({ "Policy": policy }));
    deployment.encrypt(ROOT, &key_id, b"x");
    deployment.write_uses();
    let denied = Err("AccessDeniedException".to_owned());
    assert_eq!(end(&deployment, &key_id, "GetKeyLastUsage"), denied);
    let address = format!("key-usage/{US}/{key_id}");
    deployment.store.tamper(|rows| rows.get_mut(&address).unwrap().value.push(0));
    assert_eq!(end(&deployment, &key_id, "GetKeyLastUsage"), denied);
}

#[test]
fn uses_stay_in_memory_as_long_as_they_cannot_be_written() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    deployment.encrypt(ROOT, &key_id, b"x");
    let told = last_use(&deployment, &key_id);
    for call in [Call::Get, Call::CommitGroup] {
        deployment.store.fail_next(call, Fault::Fail);
        assert!(deployment.try_write_uses().is_err());
        deployment.store.clear_faults();
        while deployment.records.key_usage(&common::regions()[1], &key(&key_id)).is_err() {
            std::thread::yield_now();
        }
        assert_eq!(last_use(&deployment, &key_id), told);
    }
    deployment.write_uses();
    assert_eq!(last_use(&deployment, &key_id), told);
    deployment.assert_clean();
}

fn key(text: &str) -> strongroom_types::KeyId {
    strongroom_types::KeyId::parse(text).unwrap_or_else(|error| panic!("{error}"))
}
