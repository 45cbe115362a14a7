//! The recipient that a request names, verified or refused.

use strongroom_attestation::{Attestation, AttestationError, Verifier};
use strongroom_types::Timestamp;
use strongroom_wire::{ErrorKind, KeyEncryptionMechanism, RecipientInfo};

use crate::fault::Fault;

/// Believes the document of a recipient or refuses the request.
pub(crate) fn attest(
    verifier: &Verifier,
    recipient: &RecipientInfo,
    now: Timestamp,
) -> Result<Attestation, Fault> {
    // The model requires neither; without both there is nobody to answer.
    let Some(KeyEncryptionMechanism::RsaesOaepSha256) = recipient.key_encryption_algorithm else {
        return Err(missing("keyEncryptionAlgorithm"));
    };
    let document = recipient.attestation_document.as_deref();
    let document = document.ok_or_else(|| missing("attestationDocument"))?;
    verifier.verify(document, now).map_err(refusal)
}

fn missing(member: &str) -> Fault {
    let message = format!(
        "1 validation error detected: Value null at 'recipient.{member}' failed to satisfy constraint: Member must not be null"
    );
    Fault::new(ErrorKind::Validation, message)
}

fn refusal(error: AttestationError) -> Fault {
    match error {
        AttestationError::NoRoots => {
            let message =
                format!("Recipient is not enabled: {error}; name one in `roots` of `[attestation]`");
            Fault::new(ErrorKind::UnsupportedOperation, message)
        }
        AttestationError::CertificateExpired
        | AttestationError::Expired
        | AttestationError::FromTheFuture
        | AttestationError::Malformed { .. }
        | AttestationError::NoPublicKey
        | AttestationError::PublicKey
        | AttestationError::Signature
        | AttestationError::Untrusted => {
            Fault::new(ErrorKind::Validation, format!("Recipient is not valid: {error}."))
        }
    }
}
