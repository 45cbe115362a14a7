//! Every operation on a key in every state, by the real operations: two tables, to be read beside AWS's ("Key states of
//! AWS KMS keys"). What they hold, `conformance/test_states.py` holds against the running service.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;

use common::{Deployment, NO_KEY, OWNER, ROOT, Refusal, US, base64, key_arn};
use serde_json::{Value, json};
use strongroom_kms::BUILT;
use strongroom_records::KeyState;
use strongroom_wire::Operation;

const EVENTS: &str = include_str!("states/events.txt");
const OPERATIONS: &str = include_str!("states/operations.txt");

/// The operations that are about no key, or make one.
const WITHOUT_KEY: [Operation; 4] =
    [Operation::CreateKey, Operation::GenerateRandom, Operation::ListKeys, Operation::ListRetirableGrants];
/// The operations that are there to move a key to another state.
const EVENT_OPERATIONS: [&str; 4] = ["CancelKeyDeletion", "DisableKey", "EnableKey", "ScheduleKeyDeletion"];

/// The answers, each with its code in the tables.
const ANSWERS: [(&str, &str, &str); 9] = [
    ("CR", "KMSInvalidState", "<arn> is creating."),
    ("D", "Disabled", "<arn> is disabled."),
    ("NPD", "KMSInvalidState", "<arn> is not pending deletion."),
    ("PD", "KMSInvalidState", "<arn> is pending deletion."),
    ("PI", "KMSInvalidState", "<arn> is pending import."),
    ("UN", "KMSInvalidState", "<arn> is unavailable."),
    ("UP", "KMSInvalidState", "<arn> is updating."),
    ("dry", "DryRunOperation", "The request would have succeeded, but the DryRun option is set."),
    ("ok", "", "it is done"),
];

/// Two keys, one of which is in the state in question, and what there is of them.
struct Scene<'a> {
    key_id: &'a str,
    blob: &'a str,
    grant_id: &'a str,
    other: &'a str,
    other_blob: &'a str,
    /// What the key made, or takes, for the operation: a signature, a MAC, an encapsulation, a public key.
    proof: &'a str,
}

/// The operations that are about one key, each ready to be sent. `alias/old` is the key's, `alias/other` the other's.
fn operations(scene: &Scene<'_>) -> Vec<(&'static str, &'static str, Value)> {
    let Scene { key_id, blob, grant_id, other, other_blob, proof } = scene;
    let policy = common::policy("Allow", json!("*"), json!("kms:*"));
    let key = json!({ "KeyId": key_id });
    let with = |more: Value| {
        let mut body = key.clone();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let tags = json!([{ "TagKey": "new", "TagValue": "" }]);
    let grant = with(json!({ "GranteePrincipal": OWNER, "Operations": ["Encrypt"] }));
    let ended = with(json!({ "GrantId": grant_id }));
    let signing = json!({ "Message": base64(b"m"), "SigningAlgorithm": "ECDSA_SHA_256" });
    vec![
        ("CancelKeyDeletion", "", key.clone()),
        ("CreateAlias", "", json!({ "AliasName": "alias/new", "TargetKeyId": key_id })),
        ("CreateGrant", "", grant.clone()),
        ("CreateGrant", " dry", {
            let mut grant = grant;
            grant["DryRun"] = json!(true);
            grant
        }),
        ("Decrypt", "", json!({ "CiphertextBlob": blob })),
        ("Decrypt", " dry", json!({ "CiphertextBlob": blob, "DryRun": true })),
        (
            "Decapsulate",
            "",
            with(json!({ "EncapsulationAlgorithm": "ML_KEM", "SharedSecretCiphertextBlob": proof })),
        ),
        ("DeleteAlias", "", json!({ "AliasName": "alias/old" })),
        ("DeriveSharedSecret", "", with(json!({ "KeyAgreementAlgorithm": "ECDH", "PublicKey": proof }))),
        ("DescribeKey", "", key.clone()),
        ("DisableKey", "", key.clone()),
        ("EnableKey", "", key.clone()),
        ("Encapsulate", "", with(json!({ "EncapsulationAlgorithm": "ML_KEM" }))),
        ("Encrypt", "", with(json!({ "Plaintext": base64(b"x") }))),
        ("Encrypt", " dry", with(json!({ "Plaintext": base64(b"x"), "DryRun": true }))),
        ("GenerateDataKey", "", with(json!({ "KeySpec": "AES_256" }))),
        ("GenerateDataKeyPair", "", with(json!({ "KeyPairSpec": "ECC_NIST_P256" }))),
        ("GenerateDataKeyPairWithoutPlaintext", "", with(json!({ "KeyPairSpec": "ECC_NIST_P256" }))),
        ("GenerateDataKeyWithoutPlaintext", "", with(json!({ "KeySpec": "AES_256" }))),
        ("GenerateMac", "", with(json!({ "Message": base64(b"m"), "MacAlgorithm": "HMAC_SHA_256" }))),
        ("GetKeyLastUsage", "", key.clone()),
        ("GetKeyPolicy", "", key.clone()),
        ("GetPublicKey", "", key.clone()),
        ("ListAliases", "", key.clone()),
        ("ListGrants", "", key.clone()),
        ("ListKeyPolicies", "", key.clone()),
        ("ListResourceTags", "", key.clone()),
        ("PutKeyPolicy", "", with(json!({ "Policy": policy }))),
        ("ReEncrypt", " from", json!({ "CiphertextBlob": blob, "DestinationKeyId": other })),
        ("ReEncrypt", " to", json!({ "CiphertextBlob": other_blob, "DestinationKeyId": key_id })),
        ("RetireGrant", "", ended.clone()),
        ("RevokeGrant", "", ended),
        ("ScheduleKeyDeletion", "", key.clone()),
        ("Sign", "", with(signing.clone())),
        (
            "Sign",
            " dry",
            with(json!({ "Message": base64(b"m"), "SigningAlgorithm": "ECDSA_SHA_256", "DryRun": true })),
        ),
        ("TagResource", "", with(json!({ "Tags": tags }))),
        ("UntagResource", "", with(json!({ "TagKeys": ["old"] }))),
        ("UpdateAlias", " from", json!({ "AliasName": "alias/old", "TargetKeyId": other })),
        ("UpdateAlias", " to", json!({ "AliasName": "alias/other", "TargetKeyId": key_id })),
        ("UpdateKeyDescription", "", with(json!({ "Description": "new" }))),
        (
            "Verify",
            "",
            with(json!({ "Message": base64(b"m"), "SigningAlgorithm": "ECDSA_SHA_256", "Signature": proof })),
        ),
        (
            "VerifyMac",
            "",
            with(json!({ "Message": base64(b"m"), "MacAlgorithm": "HMAC_SHA_256", "Mac": proof })),
        ),
    ]
}

/// The key that an operation is tried with, and what it makes of it while it is enabled.
fn key_for(deployment: &Deployment, operation: &str) -> (String, String) {
    let (spec, usage) = match operation {
        "Decapsulate" | "Encapsulate" => ("ML_KEM_768", "ENCAPSULATE_DECAPSULATE"),
        "DeriveSharedSecret" => ("ECC_NIST_P256", "KEY_AGREEMENT"),
        "GenerateMac" | "VerifyMac" => ("HMAC_256", "GENERATE_VERIFY_MAC"),
        "GetPublicKey" | "Sign" | "Verify" => ("ECC_NIST_P256", "SIGN_VERIFY"),
        _ => ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"),
    };
    let tags = json!([{ "TagKey": "old", "TagValue": "" }]);
    let body = json!({ "KeySpec": spec, "KeyUsage": usage, "Tags": tags });
    let key_id = deployment.create_key_with(ROOT, body);
    let (made_by, body, member) = match operation {
        "Decapsulate" => {
            ("Encapsulate", json!({ "EncapsulationAlgorithm": "ML_KEM" }), "SharedSecretCiphertextBlob")
        }
        "DeriveSharedSecret" => ("GetPublicKey", json!({}), "PublicKey"),
        "Verify" => {
            ("Sign", json!({ "Message": base64(b"m"), "SigningAlgorithm": "ECDSA_SHA_256" }), "Signature")
        }
        "VerifyMac" => {
            ("GenerateMac", json!({ "Message": base64(b"m"), "MacAlgorithm": "HMAC_SHA_256" }), "Mac")
        }
        _ => return (key_id, String::new()),
    };
    let mut body = body;
    body["KeyId"] = json!(key_id);
    let proof = common::text(&deployment.ok(ROOT, made_by, body)[member]);
    (key_id, proof)
}

/// The answer's code, or the answer itself if it has none.
fn code(answer: Result<Value, Refusal>, key_id: &str) -> String {
    let Err(Refusal { error, message }) = answer else { return "ok".to_owned() };
    let message = message.unwrap_or_default().replace(&key_arn(US, OWNER, key_id), "<arn>");
    let found =
        ANSWERS.iter().find(|(_, name, text)| error == format!("{name}Exception") && message == *text);
    found.map_or_else(|| format!("{error}: {message}"), |(code, ..)| (*code).to_owned())
}

fn legend() -> String {
    let line = |(code, error, text): &(&str, &str, &str)| match *error {
        "" => format!("{code:<5}{text}\n"),
        error => format!("{code:<5}{error}Exception: {text}\n"),
    };
    ANSWERS.iter().map(line).collect()
}

/// A line of a table: its first cell, then the others, each so wide.
fn line(first: (&str, usize), rest: &[String], width: usize) -> String {
    let cells: String = rest.iter().map(|cell| format!("{cell:<width$}")).collect();
    let (name, first_width) = first;
    format!("{name:<first_width$}{}\n", cells.trim_end())
}

/// Asks for each operation about a key of its own in each state; `look` makes a cell of what came of it.
fn table(
    of: impl Fn(&str) -> bool,
    look: impl Fn(&Deployment, &str, KeyState, &str, Result<Value, Refusal>) -> String,
) -> Vec<(String, Vec<String>)> {
    let deployment = Deployment::new();
    let other = deployment.create_key(ROOT);
    let other_blob = deployment.encrypt(ROOT, &other, b"x");
    let nothing =
        Scene { key_id: NO_KEY, blob: "", grant_id: "", other: &other, other_blob: &other_blob, proof: "" };
    let mut rows = Vec::new();
    for (at, (operation, variant, _)) in operations(&nothing).into_iter().enumerate() {
        if !of(operation) {
            continue;
        }
        let cells = KeyState::ALL.iter().map(|state| {
            let (key_id, proof) = key_for(&deployment, operation);
            let blob = deployment
                .call(ROOT, "Encrypt", json!({ "KeyId": key_id, "Plaintext": base64(b"x") }))
                .map_or_else(|_| String::new(), |answer| common::text(&answer["CiphertextBlob"]));
            deployment.create_alias(ROOT, "alias/old", &key_id);
            deployment.create_alias(ROOT, "alias/other", &other);
            let grant = json!({ "KeyId": key_id, "GranteePrincipal": OWNER, "Operations": ["DescribeKey"] });
            let grant_id = common::text(&deployment.ok(ROOT, "CreateGrant", grant)["GrantId"]);
            deployment.set_state(US, &key_id, *state);
            let scene = Scene { key_id: &key_id, blob: &blob, grant_id: &grant_id, proof: &proof, ..nothing };
            let (_, _, body) = operations(&scene).swap_remove(at);
            let answer = deployment.call(ROOT, operation, body);
            for alias in ["alias/old", "alias/other", "alias/new"] {
                // The next key wants the names.
                let _ = deployment.call(ROOT, "DeleteAlias", json!({ "AliasName": alias }));
            }
            look(&deployment, operation, *state, &key_id, answer)
        });
        let cells = cells.collect();
        rows.push((format!("{operation}{variant}"), cells));
    }
    deployment.assert_clean();
    rows
}

fn state_of(deployment: &Deployment, key_id: &str) -> String {
    common::text(&deployment.ok(ROOT, "DescribeKey", json!({ "KeyId": key_id }))["KeyMetadata"]["KeyState"])
}

#[test]
fn every_built_operation_is_in_the_table() {
    let scene = Scene { key_id: NO_KEY, blob: "", grant_id: "", other: NO_KEY, other_blob: "", proof: "" };
    let named: BTreeSet<_> = operations(&scene).into_iter().map(|(operation, ..)| operation).collect();
    let built = BUILT.iter().filter(|operation| !WITHOUT_KEY.contains(operation));
    assert_eq!(named, built.map(|operation| operation.name()).collect());
}

#[test]
fn every_operation_in_every_state_answers_as_published() {
    let rows = table(
        |_| true,
        |deployment, operation, state, key_id, answer| {
            if !EVENT_OPERATIONS.contains(&operation) {
                assert_eq!(state_of(deployment, key_id), state.as_str(), "{operation} moves no key");
            }
            code(answer, key_id)
        },
    );
    // The columns are numbered, so that the table is not wider than a page.
    let numbers: Vec<_> = (1..=KeyState::ALL.len()).map(|number| number.to_string()).collect();
    let mut text = legend();
    text.push('\n');
    for (number, state) in numbers.iter().zip(KeyState::ALL) {
        text.push_str(&format!("{number:<5}{state}\n"));
    }
    text.push('\n');
    text.push_str(&line(("", 37), &numbers, 5));
    for (name, cells) in rows {
        text.push_str(&line((&name, 37), &cells, 5));
    }
    assert_eq!(text, OPERATIONS, "\n{text}");
}

#[test]
fn every_event_in_every_state_leads_where_published() {
    let rows = table(
        |operation| EVENT_OPERATIONS.contains(&operation),
        |deployment, _, state, key_id, answer| {
            let after = state_of(deployment, key_id);
            match code(answer, key_id).as_str() {
                "ok" => after,
                refused => {
                    assert_eq!(after, state.as_str(), "what is refused moves no key");
                    refused.to_owned()
                }
            }
        },
    );
    let events: Vec<_> = rows.iter().map(|(event, _)| event.clone()).collect();
    let mut text = format!("{}\n{}", legend(), line(("", 24), &events, 21));
    for (at, state) in KeyState::ALL.iter().enumerate() {
        let cells: Vec<_> = rows.iter().map(|(_, cells)| cells[at].clone()).collect();
        text.push_str(&line((state.as_str(), 24), &cells, 21));
    }
    assert_eq!(text, EVENTS, "\n{text}");
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
