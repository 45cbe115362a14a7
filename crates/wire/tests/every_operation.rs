//! What holds for each of the operations alike.
#![expect(clippy::unwrap_used, reason = "the helpers of these tests may fail as the tests themselves do")]

use proptest::prelude::*;
use serde_json::Value;
use strongroom_wire::*;

/// Decodes a body as the request of an operation; `Ok` is its `Debug` form.
type Decode = fn(&[u8]) -> Result<String, WireError>;

fn decode<R: WireRequest + std::fmt::Debug>(body: &[u8]) -> Result<String, WireError> {
    R::decode(body).map(|request| format!("{request:#?}"))
}

macro_rules! requests {
    ($($request:ident)+) => { [$(($request::OPERATION, decode::<$request> as Decode),)+] };
}

const REQUESTS: [(Operation, Decode); 56] = requests! {
    CancelKeyDeletionRequest ConnectCustomKeyStoreRequest CreateAliasRequest CreateCustomKeyStoreRequest
    CreateGrantRequest CreateKeyRequest DecapsulateRequest DecryptRequest DeleteAliasRequest
    DeleteCustomKeyStoreRequest DeleteImportedKeyMaterialRequest DeriveSharedSecretRequest
    DescribeCustomKeyStoresRequest DescribeKeyRequest DisableKeyRequest DisableKeyRotationRequest
    DisconnectCustomKeyStoreRequest EnableKeyRequest EnableKeyRotationRequest EncapsulateRequest EncryptRequest
    GenerateDataKeyRequest GenerateDataKeyPairRequest GenerateDataKeyPairWithoutPlaintextRequest
    GenerateDataKeyWithoutPlaintextRequest GenerateMacRequest GenerateRandomRequest GetKeyLastUsageRequest
    GetKeyPolicyRequest GetKeyRotationStatusRequest GetParametersForImportRequest GetPublicKeyRequest
    ImportKeyMaterialRequest ListAliasesRequest ListGrantsRequest ListKeyPoliciesRequest ListKeyRotationsRequest
    ListKeysRequest ListResourceTagsRequest ListRetirableGrantsRequest PutKeyPolicyRequest ReEncryptRequest
    ReplicateKeyRequest RetireGrantRequest RevokeGrantRequest RotateKeyOnDemandRequest ScheduleKeyDeletionRequest
    SignRequest TagResourceRequest UntagResourceRequest UpdateAliasRequest UpdateCustomKeyStoreRequest
    UpdateKeyDescriptionRequest UpdatePrimaryRegionRequest VerifyRequest VerifyMacRequest
};

fn model() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../model/kms.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A complete request for each operation.
fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/requests.json")).unwrap()
}

fn path_name(member: &str) -> String {
    member[..1].to_ascii_lowercase() + &member[1..]
}

#[test]
fn unknown_targets_are_refused() {
    for target in [
        "",
        "Encrypt",
        "TrentService",
        "TrentService.",
        "TrentService.encrypt",
        "trentservice.Encrypt",
        "TrentService.Encrypt ",
        "TrentService.TrentService.Encrypt",
        "DynamoDB_20120810.Encrypt",
    ] {
        assert_eq!(Operation::from_target(target), None, "{target}");
    }
}

#[test]
fn every_operation_is_found_by_its_target() {
    let mut tested: Vec<Operation> = REQUESTS.iter().map(|(operation, _)| *operation).collect();
    tested.sort();
    assert_eq!(tested, Operation::ALL);
    for operation in Operation::ALL {
        assert_eq!(Operation::from_target(&format!("TrentService.{operation}")), Some(operation));
    }
}

#[test]
fn an_empty_object_names_every_required_member() {
    let model = model();
    for (operation, decode) in REQUESTS {
        let input = model["operations"][operation.name()]["input"]["shape"].as_str().unwrap();
        let shape = &model["shapes"][input];
        let required = shape["required"].as_array().cloned().unwrap_or_default();
        // In the order of the members, which is not always that of the list of required ones.
        let mut nulls: Vec<String> = required
            .iter()
            .map(|name| path_name(name.as_str().unwrap()))
            .map(|path| {
                format!("Value null at '{path}' failed to satisfy constraint: Member must not be null")
            })
            .collect();
        match decode(b"{}") {
            Ok(_) => assert!(required.is_empty(), "{operation}"),
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::Validation);
                let message = error.message.unwrap();
                let (head, text) = message.split_once(" detected: ").unwrap();
                let plural = if required.len() == 1 { "error" } else { "errors" };
                assert_eq!(head, format!("{} validation {plural}", required.len()), "{operation}");
                let mut found: Vec<&str> = text.split("; ").collect();
                found.sort_unstable();
                nulls.sort_unstable();
                assert_eq!(found, nulls, "{operation}");
            }
        }
    }
}

#[test]
fn every_member_of_the_wrong_type_is_refused() {
    let vectors = vectors();
    for (operation, decode) in REQUESTS {
        for name in vectors[operation.name()].as_object().unwrap().keys() {
            for wrong in [Value::from(1.5), Value::from(vec![Value::from(vec![1])])] {
                let mut body = vectors[operation.name()].clone();
                if name == "ValidTo" && wrong.is_number() {
                    continue;
                }
                body[name] = wrong;
                let error = decode(body.to_string().as_bytes()).unwrap_err();
                assert_eq!(error.kind, ErrorKind::Serialization, "{operation} {name}");
            }
        }
    }
}

/// Complete requests arrive in the right fields; secrets are not shown. A changed golden file is a changed meaning of
/// the wire.
#[test]
fn complete_requests_decode_to_their_golden_form() {
    let vectors = vectors();
    let mut found = String::new();
    for (operation, decode) in REQUESTS {
        let body = vectors[operation.name()].to_string();
        found.push_str(&decode(body.as_bytes()).unwrap_or_else(|error| panic!("{operation}: {error:?}")));
        found.push('\n');
    }
    assert!(!found.contains("attack at dawn") && !found.contains("s3sam3"));
    let actual = concat!(env!("CARGO_TARGET_TMPDIR"), "/requests.golden");
    std::fs::write(actual, &found).unwrap();
    assert!(found == include_str!("vectors/requests.golden"), "see {actual}");
}

#[test]
fn vectors_are_complete() {
    let (model, vectors) = (model(), vectors());
    for operation in Operation::ALL {
        let input = model["operations"][operation.name()]["input"]["shape"].as_str().unwrap();
        let members = model["shapes"][input]["members"].as_object().unwrap();
        for name in members.keys() {
            assert!(!vectors[operation.name()][name].is_null(), "{operation} {name}");
        }
    }
}

#[test]
fn the_table_of_errors_is_that_of_the_model() {
    let model = model();
    for (name, shape) in model["shapes"].as_object().unwrap() {
        assert_eq!(shape["exception"] == true, ErrorKind::from_name(name).is_some(), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_bytes_never_panic(body: Vec<u8>, text in r#"[\[\]{}:,"a-c\\0-9. tfn]{0,40}"#) {
        for (_, decode) in REQUESTS {
            let _ = decode(&body);
            let _ = decode(text.as_bytes());
        }
    }

    /// A complete request with some bytes changed, put in or cut off.
    #[test]
    fn damaged_requests_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), cut: prop::sample::Index
    ) {
        let vectors = vectors();
        for (operation, decode) in REQUESTS {
            let whole = vectors[operation.name()].to_string().into_bytes();
            let mut body = whole.clone();
            for (at, byte) in &changes {
                let at = at.index(body.len());
                body[at] = *byte;
            }
            let _ = decode(&body);
            prop_assert!(decode(&whole[..cut.index(whole.len() - 1) + 1]).is_err());
        }
    }
}
