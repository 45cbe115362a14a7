//! Why a document, or a root, is not accepted. The texts go to callers: they name no byte of the document.

/// Why a document says nothing that could be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AttestationError {
    #[error("a certificate of the attestation document is not valid at this time")]
    CertificateExpired,
    #[error("the attestation document has expired")]
    Expired,
    #[error("the attestation document is from the future")]
    FromTheFuture,
    #[error("the attestation document is malformed: {what}")]
    Malformed { what: &'static str },
    #[error("the attestation document has no public key")]
    NoPublicKey,
    /// Nobody has said whom to trust.
    #[error("there is no root certificate to verify attestation documents against")]
    NoRoots,
    #[error("the public key of the attestation document is no RSA key of 2048 to 4096 bits")]
    PublicKey,
    #[error("the signature of the attestation document is not valid")]
    Signature,
    #[error("the certificates of the attestation document do not lead to a trusted root")]
    Untrusted,
}

/// Why a certificate cannot be a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RootError {
    #[error("it is no X.509 certificate that can be read")]
    Malformed,
    #[error("it is no certificate of a CA that may sign certificates")]
    NoCa,
    #[error("there are more than {max} root certificates", max = strongroom_types::limits::ATTESTATION_ROOTS_MAX)]
    TooMany,
}

pub(crate) const fn malformed(what: &'static str) -> AttestationError {
    AttestationError::Malformed { what }
}
