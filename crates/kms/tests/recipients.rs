//! Attested recipients: whose document is believed, what policies may ask of it, and that nobody else gets a plaintext.

#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{AnySigner, Deployment, OWNER, ROOT, base64, bytes, refusal, root_of, text};
use serde_json::{Value, json};
use strongroom_attestation::Roots;
use strongroom_audit::{Entry, JournalReader, to_cloudtrail};
use strongroom_testkit::attestation::{Authority, Payload, Recipient, register};
use strongroom_types::Env;

const OPERATIONS: [&str; 5] =
    ["Decrypt", "DeriveSharedSecret", "GenerateDataKey", "GenerateDataKeyPair", "GenerateRandom"];

/// A deployment that believes an authority, a key of each kind, and somebody who is attested.
struct Scene {
    authority: Authority,
    blob: String,
    deployment: Deployment,
    key_id: String,
    peer: Value,
    recipient: Recipient,
    agreement_key_id: String,
}

impl Scene {
    fn new() -> Self {
        let scene = Self::without_roots();
        let roots = Roots::from_certificates([&scene.authority.root[..]]).unwrap();
        scene.deployment.attestation.replace_roots(roots);
        scene
    }

    fn without_roots() -> Self {
        let deployment = Deployment::new();
        let key_id = deployment.create_key(ROOT);
        let agreement = json!({ "KeySpec": "ECC_NIST_P256", "KeyUsage": "KEY_AGREEMENT" });
        let [agreement_key_id, peer] =
            [&agreement; 2].map(|body| deployment.create_key_with(ROOT, body.clone()));
        let peer = deployment.ok(ROOT, "GetPublicKey", json!({ "KeyId": peer }))["PublicKey"].clone();
        let blob = deployment.encrypt(ROOT, &key_id, b"sesame, open the door");
        let authority = Authority::new(deployment.env.now());
        Self { authority, blob, deployment, key_id, peer, recipient: Recipient::new(), agreement_key_id }
    }

    fn enclave(&self) -> Payload {
        self.authority.enclave(self.deployment.env.now(), &self.recipient.public_key)
    }

    fn document(&self) -> Vec<u8> {
        self.authority.sign(&self.enclave())
    }

    fn key_of(&self, operation: &str) -> &str {
        if operation == "DeriveSharedSecret" { &self.agreement_key_id } else { &self.key_id }
    }

    /// A request that would be answered in clear.
    fn body(&self, operation: &str) -> Value {
        let key_id = self.key_of(operation);
        match operation {
            "Decrypt" => json!({ "CiphertextBlob": self.blob }),
            "DeriveSharedSecret" => {
                json!({ "KeyId": key_id, "KeyAgreementAlgorithm": "ECDH", "PublicKey": self.peer })
            }
            "GenerateDataKey" => json!({ "KeyId": key_id, "KeySpec": "AES_256" }),
            "GenerateDataKeyPair" => json!({ "KeyId": key_id, "KeyPairSpec": "ECC_NIST_P256" }),
            "GenerateRandom" => json!({ "NumberOfBytes": 1024 }),
            _ => panic!("{operation}"),
        }
    }

    fn attested(&self, operation: &str, document: &[u8]) -> Value {
        let mut body = self.body(operation);
        body["Recipient"] = json!({
            "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": base64(document)
        });
        body
    }

    fn allow_only_if(&self, operation: &str, condition: &Value) {
        let everything_else = json!({
            "Effect": "Allow", "Principal": root_of(OWNER), "Resource": "*", "NotAction": format!("kms:{operation}")
        });
        let this = json!({
            "Effect": "Allow", "Principal": root_of(OWNER), "Resource": "*", "Action": format!("kms:{operation}"),
            "Condition": condition
        });
        let policy = json!({ "Version": "2012-10-17", "Statement": [everything_else, this] }).to_string();
        let body = json!({ "KeyId": self.key_of(operation), "Policy": policy });
        self.deployment.ok(ROOT, "PutKeyPolicy", body);
    }

    fn last_event(&self) -> Value {
        let directory = self.deployment.journal_directory();
        let mut last = Value::Null;
        for record in JournalReader::open(&directory, Arc::new(AnySigner)).unwrap() {
            if let Entry::Event(event) = record.unwrap().entry().unwrap() {
                last = serde_json::to_value(to_cloudtrail(&event)).unwrap();
            }
        }
        last
    }
}

fn plaintext_member(operation: &str) -> &'static str {
    match operation {
        "DeriveSharedSecret" => "SharedSecret",
        "GenerateDataKeyPair" => "PrivateKeyPlaintext",
        _ => "Plaintext",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_built_operation_with_a_recipient_is_among_these() {
    let model: Value = serde_json::from_str(include_str!("../../../model/kms.json")).unwrap();
    let has_recipient = |operation: &Value| {
        let shape = text(&operation["input"]["shape"]);
        model["shapes"][shape]["members"].get("Recipient").is_some()
    };
    let operations = model["operations"].as_object().unwrap();
    let with_recipient: Vec<&str> = operations
        .iter()
        .filter(|(name, operation)| {
            let is_built = strongroom_kms::BUILT.iter().any(|built| built.name() == *name);
            is_built && operation.get("input").is_some() && has_recipient(operation)
        })
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(with_recipient, OPERATIONS);
}

#[test]
fn without_a_root_nobody_is_a_recipient() {
    let scene = Scene::without_roots();
    let expected = refusal(
        "UnsupportedOperation",
        "Recipient is not enabled: there is no root certificate to verify attestation documents against; name one in \
         `roots` of `[attestation]`",
    );
    for operation in OPERATIONS {
        let body = scene.attested(operation, &scene.document());
        assert_eq!(scene.deployment.refused(ROOT, operation, body), expected, "{operation}");
    }
}

#[test]
fn a_document_that_is_not_believed_is_refused() {
    let scene = Scene::new();
    let now = scene.deployment.env.now();
    let other = Authority::new(now);
    let mut altered = scene.document();
    let last = altered.len() - 1;
    altered[last] ^= 1;
    let old = scene.authority.sign(
        &scene
            .authority
            .enclave(now.saturating_sub(Duration::from_millis(300_001)), &scene.recipient.public_key),
    );
    for (document, why) in [
        (b"x".repeat(64), "the attestation document is malformed: no COSE_Sign1"),
        (altered, "the signature of the attestation document is not valid"),
        (old, "the attestation document has expired"),
        (
            other.sign(&other.enclave(now, &scene.recipient.public_key)),
            "the certificates of the attestation document do not lead to a trusted root",
        ),
        (
            scene.authority.sign(&scene.enclave().without("public_key")),
            "the attestation document has no public key",
        ),
        (
            scene.authority.sign(&scene.authority.enclave(now, b"sesame")),
            "the public key of the attestation document is no RSA key of 2048 to 4096 bits",
        ),
    ] {
        let expected = refusal("Validation", format!("Recipient is not valid: {why}."));
        for operation in OPERATIONS {
            let body = scene.attested(operation, &document);
            assert_eq!(scene.deployment.refused(ROOT, operation, body), expected, "{operation}");
            let event = scene.last_event();
            assert_eq!(event["errorCode"], "ValidationException");
            assert!(event.get("additionalEventData").is_none(), "{event}");
        }
    }
}

#[test]
fn half_a_recipient_is_none() {
    let scene = Scene::new();
    let document = base64(&scene.document());
    for operation in OPERATIONS {
        for (recipient, missing) in [
            (json!({ "AttestationDocument": document }), "keyEncryptionAlgorithm"),
            (json!({ "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256" }), "attestationDocument"),
            (json!({}), "keyEncryptionAlgorithm"),
        ] {
            let mut body = scene.body(operation);
            body["Recipient"] = recipient;
            let message = format!(
                "1 validation error detected: Value null at 'recipient.{missing}' failed to satisfy constraint: \
                 Member must not be null"
            );
            assert_eq!(scene.deployment.refused(ROOT, operation, body), refusal("Validation", message));
        }
        let mut body = scene.attested(operation, &scene.document());
        body["Recipient"]["KeyEncryptionAlgorithm"] = json!("RSAES_OAEP_SHA_1");
        let refused = scene.deployment.refused(ROOT, operation, body);
        assert!(refused.message.unwrap().contains("enum value set: [RSAES_OAEP_SHA_256]"), "{operation}");
    }
}

#[test]
fn certificates_end_while_the_server_runs() {
    let scene = Scene::new();
    scene.deployment.env.advance(Duration::from_secs(3601));
    // The document is new.
    let body = scene.attested("GenerateRandom", &scene.document());
    let why = "Recipient is not valid: a certificate of the attestation document is not valid at this time.";
    assert_eq!(scene.deployment.refused(ROOT, "GenerateRandom", body), refusal("Validation", why));
}

#[test]
fn the_recipient_alone_gets_the_plaintext() {
    let scene = Scene::new();
    let open = |answer: &Value| scene.recipient.open(&bytes(&answer["CiphertextForRecipient"]));
    for operation in OPERATIONS {
        for document in [
            scene.document(),
            scene
                .authority
                .sign(&scene.authority.nitro_tpm(scene.deployment.env.now(), &scene.recipient.public_key)),
        ] {
            let clear = scene.deployment.ok(ROOT, operation, scene.body(operation));
            let answer = scene.deployment.ok(ROOT, operation, scene.attested(operation, &document));
            let plaintext = open(&answer);
            // All other members are as ever, but for the material's id.
            let members = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
            let mut expected = members(&clear);
            expected.retain(|name| name != plaintext_member(operation) && name != "KeyMaterialId");
            expected.push("CiphertextForRecipient".to_owned());
            expected.sort();
            let mut found = members(&answer);
            found.sort();
            assert_eq!(found, expected);
            assert!(!answer.to_string().contains(&base64(&plaintext)));
            let decrypted = |blob: &Value| {
                let body = json!({ "CiphertextBlob": blob });
                bytes(&scene.deployment.ok(ROOT, "Decrypt", body)["Plaintext"])
            };
            match operation {
                "Decrypt" => assert_eq!(plaintext, b"sesame, open the door"),
                "DeriveSharedSecret" => assert_eq!(plaintext, bytes(&clear["SharedSecret"])),
                "GenerateDataKey" => assert_eq!(plaintext, decrypted(&answer["CiphertextBlob"])),
                "GenerateDataKeyPair" => {
                    assert_eq!(plaintext, decrypted(&answer["PrivateKeyCiphertextBlob"]));
                }
                _ => assert_eq!(plaintext.len(), 1024),
            }
        }
    }
}

#[test]
fn a_dry_run_verifies_the_document_and_answers_nobody() {
    let scene = Scene::new();
    let message = "The request would have succeeded, but the DryRun option is set.";
    // GenerateRandom has no dry run.
    for operation in &OPERATIONS[..4] {
        let mut body = scene.attested(operation, b"no document");
        body["DryRun"] = json!(true);
        assert_eq!(scene.deployment.refused(ROOT, operation, body).error, "ValidationException");
        let mut body = scene.attested(operation, &scene.document());
        body["DryRun"] = json!(true);
        let refused = scene.deployment.refused(ROOT, operation, body);
        assert_eq!(refused, refusal("DryRunOperation", message), "{operation}");
    }
}

#[test]
fn conditions_ask_what_was_attested() {
    let scene = Scene::new();
    let now = scene.deployment.env.now();
    let instance = scene.authority.sign(&scene.authority.nitro_tpm(now, &scene.recipient.public_key));
    let enclave = scene.document();
    for operation in &OPERATIONS[..4] {
        for (key, index, document, other_document) in [
            ("kms:RecipientAttestation:ImageSha384", 0, &enclave, &instance),
            ("kms:RecipientAttestation:PCR0", 0, &enclave, &instance),
            ("kms:RecipientAttestation:PCR8", 8, &enclave, &instance),
            ("KMS:recipientattestation:pcr4", 4, &enclave, &instance),
            ("kms:RecipientAttestation:NitroTPMPCR4", 4, &instance, &enclave),
            ("kms:RecipientAttestation:NitroTPMPCR23", 23, &instance, &enclave),
        ] {
            let value = hex(&register(index));
            let call = |document: &Vec<u8>| {
                scene.deployment.call(ROOT, operation, scene.attested(operation, document))
            };
            scene.allow_only_if(operation, &json!({ "StringEquals": { key: hex(&register(index + 1)) } }));
            assert_eq!(call(document).unwrap_err().error, "AccessDeniedException", "{operation} {key}");
            // What was measured is in lower case.
            scene.allow_only_if(operation, &json!({ "StringEquals": { key: value.to_uppercase() } }));
            assert_eq!(call(document).unwrap_err().error, "AccessDeniedException", "{operation} {key}");
            scene.allow_only_if(operation, &json!({ "StringEquals": { key: value } }));
            assert_eq!(call(other_document).unwrap_err().error, "AccessDeniedException", "{operation} {key}");
            let in_clear = scene.deployment.refused(ROOT, operation, scene.body(operation));
            assert_eq!(in_clear.error, "AccessDeniedException", "{operation} {key}");
            assert!(call(document).is_ok(), "{operation} {key}");
            scene.allow_only_if(
                operation,
                &json!({ "StringEqualsIgnoreCase": { key: value.to_uppercase() } }),
            );
            assert!(call(document).is_ok(), "{operation} {key}");
        }
        // Absent without a recipient, and absent where it was not measured.
        scene.allow_only_if(operation, &json!({ "Null": { "kms:RecipientAttestation:PCR5": true } }));
        assert!(scene.deployment.call(ROOT, operation, scene.body(operation)).is_ok());
        assert!(scene.deployment.call(ROOT, operation, scene.attested(operation, &enclave)).is_ok());
        scene.allow_only_if(operation, &json!({ "Null": { "kms:RecipientAttestation:PCR1": false } }));
        assert!(scene.deployment.call(ROOT, operation, scene.body(operation)).is_err());
        assert!(scene.deployment.call(ROOT, operation, scene.attested(operation, &enclave)).is_ok());
    }
}

#[test]
fn nothing_of_a_document_that_was_not_verified_reaches_a_policy() {
    let scene = Scene::new();
    let key = "kms:RecipientAttestation:ImageSha384";
    scene.allow_only_if("Decrypt", &json!({ "StringEquals": { key: hex(&register(0)) } }));
    // It says what the policy asks for, and everything but its signature is right.
    let mut forged = scene.document();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let refused = scene.deployment.refused(ROOT, "Decrypt", scene.attested("Decrypt", &forged));
    assert_eq!(refused.error, "ValidationException");
    let allowed = scene.deployment.ok(ROOT, "Decrypt", scene.attested("Decrypt", &scene.document()));
    assert!(allowed.get("Plaintext").is_none());
}

#[test]
fn a_key_that_is_not_there_is_told_before_the_document_is_looked_at() {
    let scene = Scene::new();
    let mut body = scene.attested("GenerateDataKey", b"no document");
    body["KeyId"] = json!(common::NO_KEY);
    assert_eq!(scene.deployment.refused(ROOT, "GenerateDataKey", body).error, "NotFoundException");
}

#[test]
fn the_trail_tells_who_was_attested_and_nothing_that_was_sent() {
    let scene = Scene::new();
    let zeros = vec![(0, vec![0; 48]), (2, vec![0; 48]), (3, register(3))];
    let debug = strongroom_testkit::attestation::map(&zeros);
    let now = scene.deployment.env.now();
    let module = "i-0123456789abcdef0-enc0123456789abcdef";
    let enclave_registers = json!({
        "attestationDocumentModuleId": module,
        "attestationDocumentEnclaveImageDigest": hex(&register(0)),
        "attestationDocumentEnclavePCR1": hex(&register(1)),
        "attestationDocumentEnclavePCR2": hex(&register(2)),
        "attestationDocumentEnclavePCR3": hex(&register(3)),
        "attestationDocumentEnclavePCR4": hex(&register(4)),
        "attestationDocumentEnclavePCR8": hex(&register(8)),
    });
    for (payload, expected) in [
        (scene.enclave(), enclave_registers.clone()),
        (
            scene.enclave().with("pcrs", debug),
            json!({
                "attestationDocumentModuleId": module,
                "attestationDocumentEnclaveImageDigest": "0".repeat(96),
                "attestationDocumentEnclavePCR3": hex(&register(3)),
            }),
        ),
        (
            scene.authority.nitro_tpm(now, &scene.recipient.public_key),
            json!({
                "attestationDocumentModuleId": module,
                // Register 0 is zero but for its last byte.
                "attestationDocumentNitroTPMPCR0": hex(&register(0)),
                "attestationDocumentNitroTPMPCR4": hex(&register(4)),
                "attestationDocumentNitroTPMPCR7": hex(&register(7)),
                "attestationDocumentNitroTPMPCR23": hex(&register(23)),
            }),
        ),
    ] {
        let document = scene.authority.sign(&payload);
        for operation in OPERATIONS {
            let answer = scene.deployment.ok(ROOT, operation, scene.attested(operation, &document));
            let event = scene.last_event();
            assert_eq!(event["eventName"], *operation);
            assert_eq!(event["additionalEventData"]["recipient"], expected, "{operation}");
            let shown = event.to_string();
            for secret in [
                base64(&document),
                text(&answer["CiphertextForRecipient"]),
                base64(&scene.recipient.public_key),
                base64(&scene.recipient.open(&bytes(&answer["CiphertextForRecipient"]))),
            ] {
                assert!(!shown.contains(&secret), "{shown}");
            }
        }
    }
    // A refusal that was decided on what was attested says so as well.
    scene.allow_only_if("Decrypt", &json!({ "StringEquals": { "kms:RecipientAttestation:PCR0": "00" } }));
    scene.deployment.refused(ROOT, "Decrypt", scene.attested("Decrypt", &scene.document()));
    let event = scene.last_event();
    assert_eq!(event["errorCode"], "AccessDenied");
    assert_eq!(event["additionalEventData"]["recipient"], enclave_registers);
}
