//! Grants: what they allow and to whom, their tokens, their names, their children and their end.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{
    Caller, Deployment, EU, FOREIGN, NO_KEY, OPERATOR, OWNER, ROOT, ROOT_EU, Refusal, STRANGER, US, base64,
    key_arn, policy, refusal, root_of, text,
};
use serde_json::{Value, json};
use strongroom_kms::BUILT;
use strongroom_policy::{GrantConstraints, GrantFacts, GrantOperation, GrantPrincipal, GrantTerms};
use strongroom_records::{GrantRow, KeyRow, Readiness, Writes};
use strongroom_types::{Env, GrantId, KeyId, RegionName, limits};
use strongroom_wire::Operation;

const SERVICE: &str = "logs.us-east-1.amazonaws.com";
const SOURCE: &str = "arn:aws:logs:us-east-1:111122223333:group";

fn root_arn(account: &str) -> String {
    format!("arn:aws:iam::{account}:root")
}

/// A grant to the stranger; `more` replaces and adds members.
fn request(key_id: &str, operations: &[&str], more: Value) -> Value {
    let mut body =
        json!({ "KeyId": key_id, "GranteePrincipal": root_arn(STRANGER), "Operations": operations });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    body
}

struct Made {
    id: String,
    token: String,
}

impl Deployment {
    fn grant_as(&self, caller: Caller, key: &str, operations: &[&str], more: Value) -> Made {
        let answer = self.ok(caller, "CreateGrant", request(key, operations, more));
        assert_eq!(answer.as_object().unwrap().len(), 2);
        Made { id: text(&answer["GrantId"]), token: text(&answer["GrantToken"]) }
    }

    fn grant(&self, key: &str, operations: &[&str], more: Value) -> Made {
        self.grant_as(ROOT, key, operations, more)
    }

    fn revoke(&self, key: &str, grant: &Made) {
        let body = json!({ "KeyId": key, "GrantId": grant.id });
        assert_eq!(self.ok(ROOT, "RevokeGrant", body), Value::Null);
    }

    fn listed(&self, key: &str) -> Vec<Value> {
        self.ok(ROOT, "ListGrants", json!({ "KeyId": key }))["Grants"].as_array().unwrap().clone()
    }

    fn stranger_encrypts(&self, arn: &str, context: Value) -> Result<Value, Refusal> {
        let body = json!({ "KeyId": arn, "Plaintext": base64(b"x"), "EncryptionContext": context });
        self.call(FOREIGN, "Encrypt", body)
    }
}

fn denied(action: &str) -> Refusal {
    let why = "because the resource does not exist in this Region, no resource-based policies allow access, \
               or a resource-based policy explicitly denies access";
    let who = root_arn(STRANGER);
    let message = format!("User: {who} is not authorized to perform: kms:{action} on this resource {why}");
    refusal("AccessDenied", message)
}

fn invalid_token() -> Refusal {
    refusal("InvalidGrantToken", "The grant token is not valid.")
}

/// A key of the owner, and its ARN.
fn with_key() -> (Deployment, String, String) {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(ROOT);
    let arn = key_arn(US, OWNER, &key_id);
    (deployment, key_id, arn)
}

#[test]
fn a_grant_allows_its_operations_and_no_others_until_it_is_revoked() {
    let (deployment, key_id, arn) = with_key();
    let blob = deployment.encrypt(ROOT, &key_id, b"x");
    let try_all = || {
        let mut allowed = Vec::new();
        for (operation, action, body) in [
            ("Decrypt", "Decrypt", json!({ "CiphertextBlob": blob, "KeyId": arn })),
            ("DescribeKey", "DescribeKey", json!({ "KeyId": arn })),
            ("Encrypt", "Encrypt", json!({ "KeyId": arn, "Plaintext": "eA==" })),
            ("GenerateDataKey", "GenerateDataKey", json!({ "KeyId": arn, "NumberOfBytes": 8 })),
            (
                "GenerateDataKeyWithoutPlaintext",
                "GenerateDataKeyWithoutPlaintext",
                json!({ "KeyId": arn, "NumberOfBytes": 8 }),
            ),
            ("GetKeyPolicy", "GetKeyPolicy", json!({ "KeyId": arn })),
            ("ListGrants", "ListGrants", json!({ "KeyId": arn })),
            ("DisableKey", "DisableKey", json!({ "KeyId": arn })),
        ] {
            match deployment.call(FOREIGN, operation, body) {
                Ok(_) => allowed.push(operation),
                Err(told) => assert_eq!(told, denied(action)),
            }
        }
        allowed
    };
    assert!(try_all().is_empty());
    let first = deployment.grant(&key_id, &["Encrypt", "DescribeKey"], json!({}));
    assert_eq!(try_all(), ["DescribeKey", "Encrypt"]);
    let second = deployment.grant(&key_id, &["Decrypt", "Encrypt"], json!({}));
    assert_eq!(try_all(), ["Decrypt", "DescribeKey", "Encrypt"]);
    deployment.revoke(&key_id, &first);
    assert_eq!(try_all(), ["Decrypt", "Encrypt"]);
    deployment.revoke(&key_id, &second);
    assert!(try_all().is_empty());
    // To somebody else it is no grant.
    deployment.grant(&key_id, &["Decrypt", "Encrypt"], json!({ "GranteePrincipal": root_arn(OWNER) }));
    assert!(try_all().is_empty());
    // Nor on another key.
    let other = deployment.create_key(ROOT);
    deployment.grant(&other, &["Decrypt", "Encrypt"], json!({}));
    assert!(try_all().is_empty());
    deployment.assert_clean();
}

#[test]
fn an_explicit_deny_is_stronger_than_a_grant() {
    let (deployment, key_id, arn) = with_key();
    deployment.grant(&key_id, &["Encrypt"], json!({}));
    deployment.stranger_encrypts(&arn, json!({})).unwrap();
    let statements = json!([
        { "Effect": "Allow", "Principal": root_of(OWNER), "Action": "kms:*", "Resource": "*" },
        { "Effect": "Deny", "Principal": root_of(STRANGER), "Action": "kms:Encrypt", "Resource": "*" },
    ]);
    let denying = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
    deployment.ok(ROOT, "PutKeyPolicy", json!({ "KeyId": key_id, "Policy": denying }));
    assert_eq!(deployment.stranger_encrypts(&arn, json!({})), Err(denied("Encrypt")));
}

#[test]
fn a_grant_allows_the_own_account_what_its_policy_does_not() {
    let deployment = Deployment::new();
    let narrow =
        policy("Allow", root_of(OWNER), json!(["kms:CreateGrant", "kms:DescribeKey", "kms:PutKeyPolicy"]));
    let key_id = deployment.create_key_with(ROOT, json!({ "Policy": narrow }));
    let body = json!({ "KeyId": key_id, "Plaintext": "eA==" });
    assert_eq!(deployment.refused(ROOT, "Encrypt", body.clone()).error, "AccessDeniedException");
    deployment.grant(&key_id, &["Encrypt"], json!({ "GranteePrincipal": root_arn(OWNER) }));
    deployment.ok(ROOT, "Encrypt", body.clone());
    assert_eq!(deployment.refused(OPERATOR, "Encrypt", body).error, "AccessDeniedException");
}

#[test]
fn constraints_are_held_against_the_context_of_the_request() {
    let (deployment, key_id, arn) = with_key();
    let pairs = json!({ "app": "a", "env": "test" });
    let equals = deployment.grant(
        &key_id,
        &["Encrypt"],
        json!({ "Constraints": { "EncryptionContextEquals": pairs } }),
    );
    let more = json!({ "app": "a", "env": "test", "more": "1" });
    for context in [json!({}), json!({ "app": "a" }), json!({ "App": "a", "env": "test" }), more.clone()] {
        assert_eq!(deployment.stranger_encrypts(&arn, context), Err(denied("Encrypt")));
    }
    deployment.stranger_encrypts(&arn, pairs.clone()).unwrap();
    deployment.revoke(&key_id, &equals);
    assert_eq!(deployment.stranger_encrypts(&arn, pairs.clone()), Err(denied("Encrypt")));
    deployment.grant(&key_id, &["Encrypt"], json!({ "Constraints": { "EncryptionContextSubset": pairs } }));
    for context in [json!({}), json!({ "app": "a" }), json!({ "app": "a", "env": "Test" })] {
        assert_eq!(deployment.stranger_encrypts(&arn, context), Err(denied("Encrypt")));
    }
    for context in [pairs, more] {
        deployment.stranger_encrypts(&arn, context).unwrap();
    }
    // A source that no caller has.
    let other = deployment.create_key(ROOT);
    deployment.grant(&other, &["DescribeKey", "Encrypt"], json!({ "Constraints": { "SourceArn": SOURCE } }));
    let arn = key_arn(US, OWNER, &other);
    assert_eq!(deployment.stranger_encrypts(&arn, json!({})), Err(denied("Encrypt")));
    assert_eq!(deployment.refused(FOREIGN, "DescribeKey", json!({ "KeyId": arn })), denied("DescribeKey"));
}

#[test]
fn both_sides_of_a_re_encrypt_have_their_own_context() {
    let (deployment, key_id, arn) = with_key();
    let (old, new) = (json!({ "is": "old" }), json!({ "is": "new" }));
    let sealed = json!({ "KeyId": key_id, "Plaintext": "eA==", "EncryptionContext": old });
    let blob = text(&deployment.ok(ROOT, "Encrypt", sealed)["CiphertextBlob"]);
    let constrained = |context: &Value| json!({ "Constraints": { "EncryptionContextEquals": context } });
    let call = |from: &Value, to: &Value| {
        let body = json!({
            "CiphertextBlob": blob, "SourceKeyId": arn, "DestinationKeyId": arn,
            "SourceEncryptionContext": from, "DestinationEncryptionContext": to,
        });
        deployment.call(FOREIGN, "ReEncrypt", body)
    };
    deployment.grant(&key_id, &["ReEncryptTo"], constrained(&new));
    assert_eq!(call(&old, &new), Err(denied("ReEncryptFrom")));
    deployment.grant(&key_id, &["ReEncryptFrom"], constrained(&old));
    assert_eq!(call(&new, &new), Err(denied("ReEncryptFrom")));
    assert_eq!(call(&old, &old), Err(denied("ReEncryptTo")));
    call(&old, &new).unwrap();
}

#[test]
fn the_same_name_and_parameters_are_the_same_grant() {
    let (deployment, key_id, arn) = with_key();
    let named = |name: &str| json!({ "Name": name });
    let first = deployment.grant(&key_id, &["Encrypt", "Decrypt"], named("one"));
    let again = deployment.grant(&arn, &["Decrypt", "Encrypt", "Decrypt"], named("one"));
    assert_eq!((&first.id, first.token == again.token), (&again.id, false));
    assert_eq!(deployment.listed(&key_id).len(), 1);
    let mut ids = std::collections::BTreeSet::from([first.id.clone()]);
    let context = json!({ "a": "1" });
    for (operations, more) in [
        (&["Encrypt", "Decrypt"][..], named("two")),
        (&["Encrypt"], named("one")),
        (&["Encrypt", "Decrypt"], json!({ "Name": "one", "RetiringPrincipal": root_arn(OWNER) })),
        (&["Encrypt", "Decrypt"], json!({ "Name": "one", "GranteePrincipal": root_arn(OWNER) })),
        (
            &["Encrypt", "Decrypt"],
            json!({ "Name": "one", "Constraints": { "EncryptionContextEquals": context } }),
        ),
        (
            &["Encrypt", "Decrypt"],
            json!({ "Name": "one", "Constraints": { "EncryptionContextSubset": context } }),
        ),
        (&["Encrypt", "Decrypt"], json!({})),
        (&["Encrypt", "Decrypt"], json!({})),
    ] {
        assert!(ids.insert(deployment.grant(&key_id, operations, more).id), "another grant");
    }
    assert_eq!(deployment.listed(&key_id).len(), 9);
    // Both tokens are of the grant. Made anew after its end it is another one, and the old tokens are of none.
    let use_token = |made: &Made| {
        let body = json!({ "KeyId": arn, "Plaintext": "eA==", "GrantTokens": [made.token] });
        deployment.call(ROOT, "Encrypt", body).map(|_| ())
    };
    assert_eq!((use_token(&first), use_token(&again)), (Ok(()), Ok(())));
    deployment.revoke(&key_id, &first);
    assert_eq!(use_token(&again), Err(invalid_token()));
    let anew = deployment.grant(&key_id, &["Encrypt", "Decrypt"], named("one"));
    assert_eq!((use_token(&first), use_token(&anew)), (Err(invalid_token()), Ok(())));
    deployment.assert_clean();
}

/// Every operation that takes grant tokens, with a key of the kind that it is for, in the order of their names.
fn with_tokens(deployment: &Deployment) -> Vec<(&'static str, String, Value)> {
    let key = |spec: &str, usage: &str| {
        deployment.create_key_with(ROOT, json!({ "KeySpec": spec, "KeyUsage": usage }))
    };
    let made = |operation: &str, body: &Value, member: &str| {
        common::text(&deployment.ok(ROOT, operation, body.clone())[member])
    };
    let symmetric = deployment.create_key(ROOT);
    let (mac, signing) = (key("HMAC_256", "GENERATE_VERIFY_MAC"), key("ECC_NIST_P256", "SIGN_VERIFY"));
    let (agreement, kem) =
        (key("ECC_NIST_P256", "KEY_AGREEMENT"), key("ML_KEM_512", "ENCAPSULATE_DECAPSULATE"));
    let blob = deployment.encrypt(ROOT, &symmetric, b"x");
    let message = base64(b"m");
    let maced = json!({ "KeyId": mac, "Message": message, "MacAlgorithm": "HMAC_SHA_256" });
    let signed = json!({ "KeyId": signing, "Message": message, "SigningAlgorithm": "ECDSA_SHA_256" });
    let encapsulated = json!({ "KeyId": kem, "EncapsulationAlgorithm": "ML_KEM" });
    let with = |body: &Value, member: &str, value: String| {
        let mut body = body.clone();
        body[member] = json!(value);
        body
    };
    let decapsulated = with(
        &encapsulated,
        "SharedSecretCiphertextBlob",
        made("Encapsulate", &encapsulated, "SharedSecretCiphertextBlob"),
    );
    let public = made("GetPublicKey", &json!({ "KeyId": agreement }), "PublicKey");
    let derived = json!({ "KeyId": agreement, "KeyAgreementAlgorithm": "ECDH", "PublicKey": public });
    let verified = with(&signed, "Signature", made("Sign", &signed, "Signature"));
    let mac_verified = with(&maced, "Mac", made("GenerateMac", &maced, "Mac"));
    let pair = json!({ "KeyId": symmetric, "KeyPairSpec": "ECC_NIST_P256" });
    let of = |key: &str, name: &'static str, body: Value| (name, key.to_owned(), body);
    vec![
        of(&symmetric, "CreateGrant", request(&symmetric, &["Decrypt"], json!({}))),
        of(&kem, "Decapsulate", decapsulated),
        of(&symmetric, "Decrypt", json!({ "CiphertextBlob": blob })),
        of(&agreement, "DeriveSharedSecret", derived),
        of(&symmetric, "DescribeKey", json!({ "KeyId": symmetric })),
        of(&kem, "Encapsulate", encapsulated),
        of(&symmetric, "Encrypt", json!({ "KeyId": symmetric, "Plaintext": base64(b"x") })),
        of(&symmetric, "GenerateDataKey", json!({ "KeyId": symmetric, "KeySpec": "AES_256" })),
        of(&symmetric, "GenerateDataKeyPair", pair.clone()),
        of(&symmetric, "GenerateDataKeyPairWithoutPlaintext", pair),
        of(&symmetric, "GenerateDataKeyWithoutPlaintext", json!({ "KeyId": symmetric, "NumberOfBytes": 7 })),
        of(&mac, "GenerateMac", maced),
        of(&signing, "GetPublicKey", json!({ "KeyId": signing })),
        of(&symmetric, "ReEncrypt", json!({ "CiphertextBlob": blob, "DestinationKeyId": symmetric })),
        of(&signing, "Sign", signed),
        of(&signing, "Verify", verified),
        of(&mac, "VerifyMac", mac_verified),
    ]
}

/// AWS KMS API reference: the operations with a parameter GrantTokens.
const HAVE_TOKENS: [Operation; 17] = [
    Operation::CreateGrant,
    Operation::Decapsulate,
    Operation::Decrypt,
    Operation::DeriveSharedSecret,
    Operation::DescribeKey,
    Operation::Encapsulate,
    Operation::Encrypt,
    Operation::GenerateDataKey,
    Operation::GenerateDataKeyPair,
    Operation::GenerateDataKeyPairWithoutPlaintext,
    Operation::GenerateDataKeyWithoutPlaintext,
    Operation::GenerateMac,
    Operation::GetPublicKey,
    Operation::ReEncrypt,
    Operation::Sign,
    Operation::Verify,
    Operation::VerifyMac,
];

#[test]
fn every_operation_refuses_tokens_that_are_not_of_its_key() {
    let deployment = Deployment::new();
    let operations = with_tokens(&deployment);
    let built: Vec<_> = HAVE_TOKENS.iter().filter(|operation| BUILT.contains(operation)).collect();
    let names: Vec<_> = operations.iter().map(|(name, ..)| *name).collect();
    assert_eq!(names, built.iter().map(|operation| operation.name()).collect::<Vec<_>>());
    let of_another = deployment.grant(&deployment.create_key(ROOT), &["DescribeKey"], json!({}));
    let elsewhere = deployment.create_key(ROOT_EU);
    let of_another_region = deployment.grant_as(ROOT_EU, &elsewhere, &["DescribeKey"], json!({}));
    for (operation, key_id, body) in operations {
        let good = deployment.grant(&key_id, &["DescribeKey"], json!({}));
        let revoked = deployment.grant(&key_id, &["DescribeKey"], json!({}));
        deployment.revoke(&key_id, &revoked);
        let mut forged = good.token.clone().into_bytes();
        let last = forged.len() - 3;
        forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(forged).unwrap();
        let with = |tokens: &[&str]| {
            let mut body = body.clone();
            body["GrantTokens"] = json!(tokens);
            body
        };
        for bad in ["token", &forged, &of_another.token, &of_another_region.token, &revoked.token] {
            assert_eq!(deployment.refused(ROOT, operation, with(&[bad])), invalid_token(), "{operation}");
            let second = with(&[&good.token, bad]);
            assert_eq!(deployment.refused(ROOT, operation, second), invalid_token(), "{operation}");
        }
        deployment.ok(ROOT, operation, with(&[]));
        deployment.ok(ROOT, operation, with(&[&good.token, &good.token]));
    }
    deployment.assert_clean();
}

#[test]
fn a_token_gives_nobody_a_right_and_tells_nobody_of_a_key() {
    let (deployment, key_id, arn) = with_key();
    let made = deployment.grant(&key_id, &["Decrypt"], json!({ "GranteePrincipal": root_arn(OWNER) }));
    let own = deployment.create_key(FOREIGN);
    let of_own = deployment.grant_as(FOREIGN, &own, &["Decrypt"], json!({}));
    let unknown = key_arn(US, OWNER, NO_KEY);
    for token in [&made.token, &of_own.token, &"token".to_owned()] {
        for key in [&arn, &unknown] {
            let body = json!({ "KeyId": key, "Plaintext": "eA==", "GrantTokens": [token] });
            assert_eq!(deployment.refused(FOREIGN, "Encrypt", body), denied("Encrypt"));
        }
    }
}

#[test]
fn a_child_grant_gives_no_more_than_its_parent() {
    let (deployment, key_id, arn) = with_key();
    let parent = deployment.grant(
        &key_id,
        &["CreateGrant", "Decrypt"],
        json!({ "Constraints": { "EncryptionContextSubset": { "app": "a" } } }),
    );
    let subset = |pairs: Value| json!({ "EncryptionContextSubset": pairs });
    let child = |operations: &[&str], constraints: Value| {
        let more = json!({ "GranteePrincipal": root_arn(OWNER), "Constraints": constraints });
        deployment.call(FOREIGN, "CreateGrant", request(&arn, operations, more))
    };
    let narrow = || subset(json!({ "app": "a" }));
    for (operations, constraints) in [
        (&["Decrypt"][..], Value::Null),
        (&["Decrypt"], subset(json!({ "app": "b" }))),
        (&["Decrypt"], subset(json!({ "env": "a" }))),
        (&["Decrypt"], json!({ "EncryptionContextEquals": { "env": "test" } })),
        (&["Encrypt"], narrow()),
        (&["Decrypt", "Encrypt"], narrow()),
        (&["Decrypt", "RetireGrant"], narrow()),
    ] {
        assert_eq!(
            child(operations, constraints.clone()),
            Err(denied("CreateGrant")),
            "{operations:?} {constraints}"
        );
    }
    for (operations, constraints) in [
        (&["Decrypt"][..], narrow()),
        (&["CreateGrant", "Decrypt"], subset(json!({ "app": "a", "env": "test" }))),
        (&["Decrypt"], json!({ "EncryptionContextEquals": { "app": "a" } })),
    ] {
        child(operations, constraints).unwrap();
    }
    let issuers: Vec<_> =
        deployment.listed(&key_id).iter().map(|grant| text(&grant["IssuingAccount"])).collect();
    assert_eq!(issuers.iter().filter(|issuer| **issuer == root_arn(STRANGER)).count(), 3);
    // To oneself no more than to others.
    let to_self = request(&arn, &["Encrypt"], json!({ "Constraints": narrow() }));
    assert_eq!(deployment.refused(FOREIGN, "CreateGrant", to_self), denied("CreateGrant"));
    // The parent's end ends the making of children; the children stay.
    deployment.revoke(&key_id, &parent);
    assert_eq!(child(&["Decrypt"], narrow()), Err(denied("CreateGrant")));
    assert_eq!(deployment.listed(&key_id).len(), 3);
    deployment.assert_clean();
}

#[test]
fn a_grant_is_retired_by_whom_it_names() {
    let (deployment, key_id, arn) = with_key();
    let owner = json!({ "GranteePrincipal": root_arn(OWNER) });
    let owners = deployment.grant(&key_id, &["Encrypt", "RetireGrant"], owner.clone());
    let grantees = deployment.grant(&key_id, &["Encrypt"], json!({}));
    let by_id = |grant: &Made| json!({ "KeyId": arn, "GrantId": grant.id });
    let by_token = |grant: &Made| json!({ "GrantToken": grant.token });
    // The grantee of a grant without RetireGrant, and somebody whom the grant does not name. An unknown grant looks alike.
    for body in [by_id(&owners), by_token(&owners), by_id(&grantees), by_token(&grantees)] {
        assert_eq!(deployment.refused(FOREIGN, "RetireGrant", body), denied("RetireGrant"));
    }
    let unknown = json!({ "KeyId": arn, "GrantId": "0".repeat(64) });
    assert_eq!(deployment.refused(FOREIGN, "RetireGrant", unknown), denied("RetireGrant"));
    let absent = json!({ "KeyId": key_arn(US, OWNER, NO_KEY), "GrantId": owners.id });
    assert_eq!(deployment.refused(FOREIGN, "RetireGrant", absent), denied("RetireGrant"));
    for body in [by_id(&owners), by_token(&grantees)] {
        assert_eq!(deployment.refused(OPERATOR, "RetireGrant", body).error, "AccessDeniedException");
    }
    // The account that made them; a retiring principal; a grantee who may.
    deployment.ok(ROOT, "RetireGrant", by_id(&owners));
    deployment.ok(ROOT, "RetireGrant", by_token(&grantees));
    let mut retiring = owner;
    retiring["RetiringPrincipal"] = json!(root_arn(STRANGER));
    for grant in [
        deployment.grant(&key_id, &["Encrypt"], retiring),
        deployment.grant(&key_id, &["Encrypt", "RetireGrant"], json!({})),
    ] {
        assert_eq!(deployment.ok(FOREIGN, "RetireGrant", by_token(&grant)), Value::Null);
        assert_eq!(deployment.refused(FOREIGN, "RetireGrant", by_token(&grant)), invalid_token());
        assert_eq!(deployment.refused(ROOT, "RetireGrant", by_token(&grant)), invalid_token());
        let told = deployment.refused(ROOT, "RetireGrant", by_id(&grant));
        assert_eq!(told, refusal("NotFound", format!("Grant {} is not found.", grant.id)));
    }
    assert!(deployment.listed(&key_id).is_empty());
    assert_eq!(deployment.stranger_encrypts(&arn, json!({})), Err(denied("Encrypt")));
    deployment.assert_clean();
}

#[test]
fn what_names_no_grant_is_refused() {
    let (deployment, key_id, _) = with_key();
    let grant = deployment.grant(&key_id, &["Encrypt"], json!({}));
    for body in [
        json!({}),
        json!({ "KeyId": key_id }),
        json!({ "GrantId": grant.id }),
        json!({ "GrantToken": grant.token, "GrantId": grant.id }),
        json!({ "GrantToken": grant.token, "KeyId": key_id, "GrantId": grant.id }),
    ] {
        assert_eq!(deployment.refused(ROOT, "RetireGrant", body).error, "ValidationException");
    }
    for token in ["token", &grant.token[1..]] {
        assert_eq!(deployment.refused(ROOT, "RetireGrant", json!({ "GrantToken": token })), invalid_token());
    }
    let unknown = "0".repeat(64);
    for operation in ["RetireGrant", "RevokeGrant"] {
        let told = deployment.refused(ROOT, operation, json!({ "KeyId": key_id, "GrantId": unknown }));
        assert_eq!(told, refusal("NotFound", format!("Grant {unknown} is not found.")));
        for id in ["x", &"0".repeat(63), &"F".repeat(64)] {
            let told = deployment.refused(ROOT, operation, json!({ "KeyId": key_id, "GrantId": id }));
            assert_eq!(told, refusal("InvalidGrantId", "The grant ID is not valid."));
        }
        let other = deployment.create_key(ROOT);
        let told = deployment.refused(ROOT, operation, json!({ "KeyId": other, "GrantId": grant.id }));
        assert_eq!(told.error, "NotFoundException", "a grant of another key");
    }
    assert_eq!(deployment.listed(&key_id).len(), 1);
}

#[test]
fn grants_that_can_not_be_are_refused() {
    let (deployment, key_id, _) = with_key();
    let nine: serde_json::Map<_, _> = (0..9).map(|n| (n.to_string(), json!(""))).collect();
    let both = json!({ "GranteeServicePrincipal": SERVICE });
    let service = |more: Value| {
        let mut body = json!({ "GranteePrincipal": null, "GranteeServicePrincipal": SERVICE });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let source = json!({ "SourceArn": SOURCE });
    for (what, operations, more) in [
        ("nobody", &["Encrypt"][..], json!({ "GranteePrincipal": null })),
        ("two grantees", &["Encrypt"], both),
        (
            "two who may retire",
            &["Encrypt"],
            json!({ "RetiringPrincipal": root_arn(OWNER), "RetiringServicePrincipal": SERVICE }),
        ),
        (
            "a service without a source",
            &["Encrypt"],
            service(json!({ "RetiringPrincipal": root_arn(OWNER) })),
        ),
        ("a service that nobody retires", &["Encrypt"], service(json!({ "Constraints": source }))),
        ("no operation", &[], json!({})),
        ("an operation of other keys", &["Encrypt", "Sign"], json!({})),
        ("GetPublicKey of a symmetric key", &["GetPublicKey"], json!({})),
        ("no operation of the list", &["PutKeyPolicy"], json!({})),
        ("nine pairs", &["Encrypt"], json!({ "Constraints": { "EncryptionContextEquals": nine } })),
        (
            "a long value",
            &["Encrypt"],
            json!({ "Constraints": { "EncryptionContextSubset": { "a": "ä".repeat(385) } } }),
        ),
        ("a name with a space", &["Encrypt"], json!({ "Name": "a b" })),
    ] {
        let told = deployment.refused(ROOT, "CreateGrant", request(&key_id, operations, more));
        assert_eq!(told.error, "ValidationException", "{what}: {told:?}");
    }
    for principal in [
        "123456789012".to_owned(),
        "root".to_owned(),
        "arn:aws:iam::111122223333:group/Admins".to_owned(),
        "arn:aws:iam::111122223333:user/Nobody".to_owned(),
        "arn:aws-cn:iam::111122223333:root".to_owned(),
        root_arn("999999999999"),
    ] {
        for member in ["GranteePrincipal", "RetiringPrincipal"] {
            let body = request(&key_id, &["Encrypt"], json!({ (member): principal }));
            let told = deployment.refused(ROOT, "CreateGrant", body);
            let message = format!("ARN does not refer to a valid principal: {principal}");
            assert_eq!(told, refusal("InvalidArn", message));
        }
    }
    for key in ["alias/x", "x"] {
        let told = deployment.refused(ROOT, "CreateGrant", request(key, &["Encrypt"], json!({})));
        assert_eq!(told.error, "NotFoundException", "{key}");
    }
    assert!(deployment.listed(&key_id).is_empty());
    // At the limits.
    let eight: serde_json::Map<_, _> = (0..8).map(|n| (n.to_string(), json!("ä".repeat(384)))).collect();
    deployment.grant(&key_id, &["Encrypt"], json!({ "Constraints": { "EncryptionContextSubset": eight } }));
    deployment.grant(&key_id, &["Encrypt"], json!({ "GranteePrincipal": STRANGER }));
    deployment.grant(&key_id, &["GenerateDataKeyPair"], json!({}));
    deployment.grant(
        &key_id,
        &["Encrypt"],
        service(json!({ "Constraints": source, "RetiringServicePrincipal": SERVICE })),
    );
    assert_eq!(deployment.listed(&key_id).len(), 4);
    deployment.assert_clean();
}

/// Writes the key's row as if it had so many grants.
fn pretend(deployment: &Deployment, key_id: &str, grants: u32) {
    let region = RegionName::parse(US).unwrap();
    let loaded = deployment.records.key(&region, &KeyId::parse(key_id).unwrap()).unwrap().unwrap();
    let mut row: KeyRow = (**loaded).clone();
    while row.grants() < grants {
        row.count_grant();
    }
    let mut writes = Writes::default();
    writes.update(&loaded, row);
    deployment.records.commit_blocking(writes, Vec::new()).unwrap();
}

#[test]
fn a_key_has_at_most_fifty_thousand_grants() {
    let (deployment, key_id, _) = with_key();
    pretend(&deployment, &key_id, limits::GRANTS_PER_KEY_MAX - 1);
    let last = deployment.grant(&key_id, &["Encrypt"], json!({ "Name": "last" }));
    for more in [json!({}), json!({ "DryRun": true }), json!({ "Name": "next" })] {
        let told = deployment.refused(ROOT, "CreateGrant", request(&key_id, &["Encrypt"], more));
        assert_eq!(told, refusal("LimitExceeded", "A key can have at most 50000 grants."));
    }
    // One that is there already is no grant more.
    assert_eq!(deployment.grant(&key_id, &["Encrypt"], json!({ "Name": "last" })).id, last.id);
    deployment.revoke(&key_id, &last);
    deployment.grant(&key_id, &["Encrypt"], json!({}));
}

#[test]
fn lists_show_what_was_granted() {
    let (deployment, key_id, arn) = with_key();
    assert_eq!(
        deployment.ok(ROOT, "ListGrants", json!({ "KeyId": key_id })),
        json!({ "Grants": [], "Truncated": false })
    );
    let plain = deployment.grant(&key_id, &["Encrypt"], json!({}));
    let entry = &deployment.listed(&key_id)[0];
    let expected = json!({
        "CreationDate": entry["CreationDate"], "GrantId": plain.id, "GranteePrincipal": root_arn(STRANGER),
        "IssuingAccount": root_arn(OWNER), "KeyId": arn, "Name": "", "Operations": ["Encrypt"],
    });
    assert_eq!(entry, &expected);
    let constraints = json!({ "EncryptionContextEquals": { "a": "1" }, "EncryptionContextSubset": { "a": "1" }, "SourceArn": SOURCE });
    let full = json!({
        "GranteePrincipal": null, "GranteeServicePrincipal": SERVICE, "RetiringPrincipal": OWNER, "Name": "full",
        "Constraints": constraints,
    });
    let full = deployment.grant(&key_id, &["Encrypt", "CreateGrant"], full);
    let find = |body: Value| {
        let mut body = body;
        body["KeyId"] = json!(key_id);
        deployment.ok(ROOT, "ListGrants", body)["Grants"].as_array().unwrap().clone()
    };
    let found = find(json!({ "GrantId": full.id }));
    let expected = json!([{
        "Constraints": constraints, "CreationDate": found[0]["CreationDate"], "GrantId": full.id,
        "GranteeServicePrincipal": SERVICE, "IssuingAccount": root_arn(OWNER), "KeyId": arn, "Name": "full",
        "Operations": ["Encrypt", "CreateGrant"], "RetiringPrincipal": root_arn(OWNER),
    }]);
    assert_eq!(json!(found), expected);
    let ids = |body: Value| find(body).iter().map(|grant| text(&grant["GrantId"])).collect::<Vec<_>>();
    assert_eq!(ids(json!({ "GranteePrincipal": root_arn(STRANGER) })), [&*plain.id]);
    assert_eq!(ids(json!({ "GranteePrincipal": root_arn(OWNER) })), Vec::<String>::new());
    assert_eq!(ids(json!({ "GranteeServicePrincipal": SERVICE })), [&*full.id]);
    assert_eq!(
        ids(json!({ "GranteePrincipal": root_arn(STRANGER), "GrantId": full.id })),
        Vec::<String>::new()
    );
    assert_eq!(ids(json!({ "GrantId": "0".repeat(64) })), Vec::<String>::new());
    let told = deployment.refused(ROOT, "ListGrants", json!({ "KeyId": key_id, "GrantId": "x" }));
    assert_eq!(told.error, "InvalidGrantIdException");
}

/// All pages of a list.
fn pages(
    deployment: &Deployment,
    caller: Caller,
    operation: &str,
    body: &Value,
    limit: usize,
) -> Vec<String> {
    let (mut ids, mut marker) = (Vec::new(), Value::Null);
    loop {
        let mut body = body.clone();
        body["Limit"] = json!(limit);
        body["Marker"] = marker;
        let answer = deployment.ok(caller, operation, body);
        let page = answer["Grants"].as_array().unwrap();
        let truncated = answer["Truncated"].as_bool().unwrap();
        assert_eq!(answer.get("NextMarker").is_some(), truncated);
        assert!(page.len() <= limit && (page.len() == limit || !truncated));
        ids.extend(page.iter().map(|grant| text(&grant["GrantId"])));
        if !truncated {
            return ids;
        }
        marker = answer["NextMarker"].clone();
    }
}

#[test]
fn lists_come_page_by_page_and_their_markers_are_theirs() {
    let (deployment, key_id, _) = with_key();
    let other = deployment.create_key(ROOT);
    let mut made: Vec<String> = Vec::new();
    for number in 0..7 {
        let grantee = if number % 2 == 0 { STRANGER } else { OWNER };
        let more = json!({ "GranteePrincipal": root_arn(grantee), "RetiringPrincipal": root_arn(OWNER) });
        let key = if number == 6 { &other } else { &key_id };
        made.push(deployment.grant(key, &["Encrypt"], more).id);
    }
    let of_key = json!({ "KeyId": key_id });
    let of_grantee = json!({ "KeyId": key_id, "GranteePrincipal": root_arn(STRANGER) });
    let retirable = json!({ "RetiringPrincipal": root_arn(OWNER) });
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    for limit in [1, 2, 3, 6, 7, 100] {
        let found = pages(&deployment, ROOT, "ListGrants", &of_key, limit);
        assert_eq!(sorted(found), sorted(made[..6].to_vec()));
        let found = pages(&deployment, ROOT, "ListGrants", &of_grantee, limit);
        assert_eq!(sorted(found), sorted(vec![made[0].clone(), made[2].clone(), made[4].clone()]));
        let found = pages(&deployment, ROOT, "ListRetirableGrants", &retirable, limit);
        assert_eq!(sorted(found), sorted(made.clone()));
    }
    let marker = |operation: &str, body: &Value| {
        let mut body = body.clone();
        body["Limit"] = json!(1);
        deployment.ok(ROOT, operation, body)["NextMarker"].clone()
    };
    let (key, grantee, retire) = (
        marker("ListGrants", &of_key),
        marker("ListGrants", &of_grantee),
        marker("ListRetirableGrants", &retirable),
    );
    for (operation, body, marker) in [
        ("ListGrants", &of_key, &grantee),
        ("ListGrants", &of_grantee, &key),
        ("ListGrants", &json!({ "KeyId": other }), &key),
        ("ListGrants", &of_key, &retire),
        ("ListRetirableGrants", &retirable, &key),
        ("ListGrants", &of_key, &json!("x")),
    ] {
        let mut body = body.clone();
        body["Marker"] = marker.clone();
        assert_eq!(deployment.refused(ROOT, operation, body).error, "InvalidMarkerException");
    }
    for (operation, body) in [("ListGrants", &of_key), ("ListRetirableGrants", &retirable)] {
        let mut body = body.clone();
        body["Limit"] = json!(101);
        assert_eq!(deployment.refused(ROOT, operation, body).error, "ValidationException");
    }
}

#[test]
fn who_may_retire_what_is_its_own_account_s_to_know() {
    let (deployment, key_id, arn) = with_key();
    let by_stranger = json!({ "GranteePrincipal": root_arn(OWNER), "RetiringPrincipal": root_arn(STRANGER) });
    let made = deployment.grant(&key_id, &["Encrypt"], by_stranger);
    let list = |caller, principal: &str| {
        deployment.call(caller, "ListRetirableGrants", json!({ "RetiringPrincipal": principal }))
    };
    let told = list(ROOT, &root_arn(STRANGER)).unwrap_err();
    let message = format!(
        "User: {} is not authorized to perform: kms:ListRetirableGrants on resource: * because no identity-based \
         policy allows the kms:ListRetirableGrants action",
        root_arn(OWNER)
    );
    assert_eq!(told, refusal("AccessDenied", message));
    assert_eq!(list(OPERATOR, &root_arn(STRANGER)).unwrap_err().error, "AccessDeniedException");
    for (body, error) in [
        (json!({}), "ValidationException"),
        (
            json!({ "RetiringPrincipal": root_arn(OWNER), "RetiringServicePrincipal": SERVICE }),
            "ValidationException",
        ),
        (json!({ "RetiringServicePrincipal": SERVICE }), "AccessDeniedException"),
        (json!({ "RetiringPrincipal": "nobody" }), "InvalidArnException"),
    ] {
        assert_eq!(deployment.refused(ROOT, "ListRetirableGrants", body.clone()).error, error, "{body}");
    }
    assert_eq!(list(ROOT, &root_arn(OWNER)).unwrap(), json!({ "Grants": [], "Truncated": false }));
    // The grant is on a key that the stranger may do nothing with.
    let found = list(FOREIGN, &root_arn(STRANGER)).unwrap();
    assert_eq!(
        (&found["Grants"][0]["GrantId"], &found["Grants"][0]["KeyId"]),
        (&json!(made.id), &json!(arn))
    );
    // Elsewhere there are others.
    let elsewhere = Caller { region: EU, ..FOREIGN };
    assert_eq!(list(elsewhere, &root_arn(STRANGER)).unwrap()["Grants"], json!([]));
    deployment.revoke(&key_id, &made);
    assert_eq!(list(FOREIGN, &root_arn(STRANGER)).unwrap()["Grants"], json!([]));
}

#[test]
fn grants_stay_with_a_key_that_is_disabled_or_pending_deletion() {
    let (deployment, key_id, arn) = with_key();
    let made = deployment.grant(&key_id, &["Encrypt"], json!({}));
    deployment.ok(ROOT, "ScheduleKeyDeletion", json!({ "KeyId": key_id }));
    let told = deployment.refused(ROOT, "CreateGrant", request(&key_id, &["Encrypt"], json!({})));
    assert_eq!(told, refusal("KMSInvalidState", format!("{arn} is pending deletion.")));
    assert_eq!(deployment.stranger_encrypts(&arn, json!({})).unwrap_err().error, "KMSInvalidStateException");
    assert_eq!(deployment.listed(&key_id).len(), 1);
    deployment.ok(ROOT, "CancelKeyDeletion", json!({ "KeyId": key_id }));
    deployment.ok(ROOT, "EnableKey", json!({ "KeyId": key_id }));
    deployment.stranger_encrypts(&arn, json!({})).unwrap();
    deployment.ok(ROOT, "ScheduleKeyDeletion", json!({ "KeyId": key_id }));
    deployment.revoke(&key_id, &made);
    deployment.assert_clean();
}

#[test]
fn a_dry_run_makes_and_ends_nothing() {
    let (deployment, key_id, _) = with_key();
    let would = refusal("DryRunOperation", "The request would have succeeded, but the DryRun option is set.");
    let told =
        deployment.refused(ROOT, "CreateGrant", request(&key_id, &["Encrypt"], json!({ "DryRun": true })));
    assert_eq!((told, deployment.listed(&key_id).len()), (would.clone(), 0));
    let made = deployment.grant(&key_id, &["Encrypt"], json!({}));
    for (operation, body) in [
        ("RetireGrant", json!({ "GrantToken": made.token, "DryRun": true })),
        ("RetireGrant", json!({ "KeyId": key_id, "GrantId": made.id, "DryRun": true })),
        ("RevokeGrant", json!({ "KeyId": key_id, "GrantId": made.id, "DryRun": true })),
    ] {
        assert_eq!(deployment.refused(ROOT, operation, body), would);
    }
    assert_eq!(deployment.listed(&key_id).len(), 1);
    let told = deployment.refused(
        FOREIGN,
        "RevokeGrant",
        json!({ "KeyId": key_arn(US, OWNER, &key_id), "GrantId": made.id, "DryRun": true }),
    );
    assert_eq!(told, denied("RevokeGrant"));
}

#[test]
fn many_grants_are_read_beside_the_event_loops_and_found() {
    let (deployment, key_id, arn) = with_key();
    let count = limits::GRANTS_READ_AT_ONCE_MAX + 8;
    for number in 0..count {
        let context = json!({ "number": number.to_string() });
        deployment.grant(
            &key_id,
            &["Encrypt"],
            json!({ "Constraints": { "EncryptionContextEquals": context } }),
        );
    }
    for number in [0, count / 2, count - 1] {
        deployment.stranger_encrypts(&arn, json!({ "number": number.to_string() })).unwrap();
    }
    let other = deployment.stranger_encrypts(&arn, json!({ "number": count.to_string() }));
    assert_eq!(other, Err(denied("Encrypt")));
    deployment.assert_clean();
}

const USER: &str = "AIDAAAAAAAAAAAAAAAAAA";
const ROLE: &str = "AROAAAAAAAAAAAAAAAAAA";
const SESSION: &str = "AROAAAAAAAAAAAAAAAAAA:i-1";

/// The rows are made by hand, and asked as the pipeline asks.
#[test]
fn grants_of_users_and_roles_are_found_by_their_unique_ids() {
    let (deployment, key_id, _) = with_key();
    let region = RegionName::parse(US).unwrap();
    let load = || deployment.records.key(&region, &KeyId::parse(&key_id).unwrap()).unwrap().unwrap();
    let make = |name: &str, operation: GrantOperation| {
        let (loaded, grantee) = (load(), GrantPrincipal::Caller(name.into()));
        let key_id = loaded.key_id();
        let tag = GrantRow::grantee_tag(&key_id, &grantee);
        let row = GrantRow {
            key_id,
            grant_id: GrantId::from_halves(tag, [1; 16]),
            created: deployment.env.now(),
            key_created: loaded.created(),
            serial: [2; 16],
            grantee,
            retiring: None,
            issuing_account: loaded.account(),
            terms: GrantTerms { constraints: GrantConstraints::default(), operations: vec![operation] },
            name: None,
        };
        let mut counted: KeyRow = (**loaded).clone();
        counted.count_grant();
        let mut writes = Writes::default();
        writes.update(&loaded, counted);
        writes.create(GrantRow::address(&region, &key_id, &row.grant_id), row.clone());
        deployment.records.commit_blocking(writes, Vec::new()).unwrap();
        row
    };
    let asks = |names: &[&str], operation: GrantOperation| {
        let key = load();
        names.iter().any(|name| match deployment.records.grantee_grants(&key, name, false).unwrap() {
            Readiness::Ready(grants) => grants.find(&key, names, operation, &GrantFacts::default()).is_some(),
            Readiness::MustRead => unreachable!("there are few"),
        })
    };
    assert!(!asks(&[USER], GrantOperation::Decrypt));
    let of_user = make(USER, GrantOperation::Decrypt);
    make(ROLE, GrantOperation::Encrypt);
    for stranger in ["AIDAAAAAAAAAAAAAAAAAB", "arn:aws:iam::111122223333:root", SESSION, ROLE] {
        assert!(!asks(&[stranger], GrantOperation::Decrypt), "{stranger}");
    }
    assert!(!asks(&[USER], GrantOperation::Encrypt));
    assert!(!asks(&[SESSION], GrantOperation::Encrypt));
    assert!(asks(&[USER], GrantOperation::Decrypt));
    // A session goes by its own name and by its role's.
    assert!(asks(&[SESSION, ROLE], GrantOperation::Encrypt));
    deployment.revoke(&key_id, &Made { id: of_user.grant_id.to_string(), token: String::new() });
    assert!(!asks(&[USER], GrantOperation::Decrypt));
    deployment.assert_clean();
}
