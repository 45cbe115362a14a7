//! Requests of the 56 operations.

use std::fmt::Debug;

use serde_json::{Map, Value};
use strongroom_types::limits::VALIDATION_MESSAGE_BYTES_MAX;
use strongroom_wire::*;

type Check = fn(&[u8]);

macro_rules! requests {
    ($($request:ident)+) => { [$(check::<$request> as Check,)+] };
}

/// A corpus names an operation by its place here.
const REQUESTS: [Check; 56] = requests! {
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

/// The operation in one byte, the body in the rest.
///
/// A body that is accepted means the same written another way: its members in another order, without spaces, with other
/// escapes. A member that counts is refused when it is there twice. A refusal is told in JSON, and not at length.
pub(crate) fn json_request(bytes: &[u8]) {
    let Some((operation, body)) = bytes.split_first() else { return };
    REQUESTS[usize::from(*operation) % REQUESTS.len()](body);
}

fn check<R: WireRequest + Debug>(body: &[u8]) {
    let decoded = decode::<R>(body);
    assert_eq!(decoded, decode::<R>(body), "the same body is read in two ways");
    match decoded {
        Ok(request) => check_accepted::<R>(body, &request),
        Err(error) => check_refusal(&error),
    }
}

/// Requests with secrets cannot be compared, but all can be shown.
fn decode<R: WireRequest + Debug>(body: &[u8]) -> Result<String, WireError> {
    R::decode(body).map(|request| format!("{request:?}"))
}

fn check_accepted<R: WireRequest + Debug>(body: &[u8], request: &str) {
    // Unknown members are not looked into, so a body may be accepted that another reader refuses.
    let Ok(Value::Object(members)) = serde_json::from_slice(body) else { return };
    if has_fraction(&Value::Object(members.clone())) {
        // Written again, it may be another number by a hair.
        return;
    }
    let read = |members: &Map<String, Value>| decode::<R>(&serde_json::to_vec(members).unwrap());
    assert_eq!(read(&members).as_deref(), Ok(request), "written another way");
    for name in members.keys().take(8) {
        let mut without = members.clone();
        without.remove(name);
        if read(&without).as_deref() != Ok(request) {
            let written = serde_json::to_string(&members).unwrap();
            let (name, value) = (Value::from(name.as_str()), &members[name]);
            let doubled = format!("{{{name}:{value},{}", &written[1..]);
            let refusal = decode::<R>(doubled.as_bytes()).expect_err("a member is accepted twice");
            assert_eq!(refusal.kind, ErrorKind::Serialization);
        }
    }
}

fn check_refusal(error: &WireError) {
    assert!(matches!(error.kind, ErrorKind::Serialization | ErrorKind::Validation), "{error:?}");
    let message = error.message.as_deref().expect("a refused body has a message");
    // The last violation may begin before the limit and end behind it.
    assert!(message.len() <= 2 * VALIDATION_MESSAGE_BYTES_MAX, "{} bytes", message.len());
    let mut answer = Vec::new();
    encode_error(error, &mut answer);
    let answer: Value = serde_json::from_slice(&answer).expect("a refusal is JSON");
    assert_eq!(answer["message"], message);
}

fn has_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_fraction),
        Value::Object(members) => members.values().any(has_fraction),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}
