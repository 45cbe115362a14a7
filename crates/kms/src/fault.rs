//! The single place where inner errors become the errors of KMS.
//!
//! Texts are AWS's own where SDKs or people rely on them. What nobody planned for is `KMSInternalException` outside
//! and full detail in the log.

use std::fmt::Display;

use strongroom_crypto::{CryptoError, DecryptError};
use strongroom_pipeline::Fault;
use strongroom_records::RecordsError;
use strongroom_types::{AliasArn, GrantId, KeyArn};
use strongroom_wire::ErrorKind;

pub(crate) fn records(error: RecordsError) -> Fault {
    Fault::internal(error)
}

pub(crate) fn crypto(error: CryptoError) -> Fault {
    match error {
        CryptoError::NotInModule => {
            unsupported("This server computes with a FIPS module, which does not have keys of this spec.")
        }
        other => Fault::internal(other),
    }
}

/// One answer for every blob that does not open; a material that is missing on our side is not the caller's fault.
pub(crate) fn decrypt(error: DecryptError) -> Fault {
    match error {
        DecryptError::Invalid => invalid_ciphertext(),
        other => Fault::internal(other),
    }
}

pub(crate) fn invalid_ciphertext() -> Fault {
    Fault::bare(ErrorKind::InvalidCiphertext)
}

pub(crate) fn incorrect_key() -> Fault {
    let message = "The key ID in the request does not identify a CMK that can perform this operation.";
    Fault::new(ErrorKind::IncorrectKey, message)
}

pub(crate) fn validation(message: impl Into<String>) -> Fault {
    Fault::new(ErrorKind::Validation, message)
}

/// A single violated constraint in the form of the model's own validation.
pub(crate) fn constraint(value: impl Display, path: &str, constraint: impl Display) -> Fault {
    validation(format!(
        "1 validation error detected: Value '{value}' at '{path}' failed to satisfy constraint: Member must {constraint}"
    ))
}

pub(crate) fn key_not_found(arn: &KeyArn) -> Fault {
    Fault::new(ErrorKind::NotFound, format!("Key '{arn}' does not exist"))
}

pub(crate) fn invalid_key_id(text: &str) -> Fault {
    Fault::new(ErrorKind::NotFound, format!("Invalid keyId '{text}'"))
}

pub(crate) fn arn_of_other_region(region: impl Display) -> Fault {
    Fault::new(ErrorKind::NotFound, format!("Invalid arn {region}"))
}

pub(crate) fn invalid_arn(text: &str) -> Fault {
    Fault::new(ErrorKind::InvalidArn, format!("Invalid arn {text}"))
}

pub(crate) fn alias_not_found(arn: &AliasArn) -> Fault {
    Fault::new(ErrorKind::NotFound, format!("Alias {arn} is not found."))
}

pub(crate) fn alias_exists(arn: &AliasArn) -> Fault {
    Fault::new(ErrorKind::AlreadyExists, format!("An alias with the name {arn} already exists"))
}

pub(crate) fn no_such_policy() -> Fault {
    Fault::new(ErrorKind::NotFound, "No such policy exists")
}

pub(crate) fn disabled(arn: &KeyArn) -> Fault {
    Fault::new(ErrorKind::Disabled, format!("{arn} is disabled."))
}

pub(crate) fn invalid_state(arn: &KeyArn, state: &str) -> Fault {
    Fault::new(ErrorKind::KmsInvalidState, format!("{arn} is {state}."))
}

pub(crate) fn algorithm_incompatible(algorithm: impl Display, spec: impl Display) -> Fault {
    let message = format!("Algorithm {algorithm} is incompatible with key spec {spec}.");
    Fault::new(ErrorKind::InvalidKeyUsage, message)
}

pub(crate) fn key_usage(arn: &KeyArn, usage: impl Display, operation: &str) -> Fault {
    let message = format!("{arn} key usage is {usage} which is not valid for {operation}.");
    Fault::new(ErrorKind::InvalidKeyUsage, message)
}

/// A key that has no public half.
pub(crate) fn no_public_key(arn: &KeyArn, spec: impl Display) -> Fault {
    let message = format!("{arn} key spec is {spec} which is not valid for GetPublicKey.");
    Fault::new(ErrorKind::UnsupportedOperation, message)
}

/// What AWS says of a plaintext that is too long for a public key.
pub(crate) fn plaintext_too_long(algorithm: impl Display, spec: impl Display, max_bytes: usize) -> Fault {
    validation(format!(
        "Algorithm {algorithm} and key spec {spec} cannot encrypt data larger than {max_bytes} bytes."
    ))
}

/// AWS's refusal has no text.
pub(crate) fn invalid_signature() -> Fault {
    Fault::bare(ErrorKind::KmsInvalidSignature)
}

/// AWS's refusal has no text.
pub(crate) fn invalid_mac() -> Fault {
    Fault::bare(ErrorKind::KmsInvalidMac)
}

pub(crate) fn dry_run() -> Fault {
    let message = "The request would have succeeded, but the DryRun option is set.";
    Fault::new(ErrorKind::DryRunOperation, message)
}

pub(crate) fn limit_exceeded(message: impl Into<String>) -> Fault {
    Fault::new(ErrorKind::LimitExceeded, message)
}

/// Each time that the rows were looked at, somebody was changing them.
pub(crate) fn too_many_changes() -> Fault {
    Fault::new(ErrorKind::Throttling, "Too many concurrent changes. Reduce the frequency of your calls.")
}

/// A tag, or tags together, that a key may not have.
pub(crate) fn tag(message: impl Into<String>) -> Fault {
    Fault::new(ErrorKind::Tag, message)
}

pub(crate) fn invalid_marker() -> Fault {
    Fault::new(ErrorKind::InvalidMarker, "The marker is not valid for this request.")
}

pub(crate) fn invalid_grant_id() -> Fault {
    Fault::new(ErrorKind::InvalidGrantId, "The grant ID is not valid.")
}

pub(crate) fn grant_not_found(id: &GrantId) -> Fault {
    Fault::new(ErrorKind::NotFound, format!("Grant {id} is not found."))
}

/// A principal of a grant that is no principal, or none that there is.
pub(crate) fn unknown_principal(text: &str) -> Fault {
    Fault::new(ErrorKind::InvalidArn, format!("ARN does not refer to a valid principal: {text}"))
}

/// Something of AWS's that this service does not do yet.
pub(crate) fn not_built(what: impl Display) -> Fault {
    unsupported(format_args!("{what} is not built yet in this version of Strongroom"))
}

pub(crate) fn unsupported(message: impl Display) -> Fault {
    Fault::new(ErrorKind::UnsupportedOperation, message.to_string())
}
