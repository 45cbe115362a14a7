//! From the certificate that signed a document to a root.
//!
//! `webpki` finds the way and checks signatures, dates, constraints and critical extensions. It does not look at key usages
//! nor at how many CAs a root allows, which AWS says to look at ("Nitro Enclaves Attestation Process", section 3.2.3); that is
//! done here, on the way it found.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, UnixTime};
use strongroom_types::Timestamp;
use webpki::aws_lc_rs::ECDSA_P384_SHA384;
use webpki::{EndEntityCert, Error, ExtendedKeyUsageValidator, KeyPurposeIdIter, VerifiedPath};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::KeyUsage;

use crate::document::Document;
use crate::error::{AttestationError, malformed};
use crate::roots::Roots;

/// What all certificates of the Nitro PKI are signed with.
const ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[ECDSA_P384_SHA384];

/// AWS says nothing of extended key usages, and its certificates have none.
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        Ok(())
    }
}

/// The public key of the document's certificate, if that leads to a root.
pub(crate) fn signing_key(
    document: &Document<'_>,
    roots: &Roots,
    now: Timestamp,
) -> Result<SubjectPublicKeyInfoDer<'static>, AttestationError> {
    let anchors = roots.valid_at(now);
    let der = CertificateDer::from(document.certificate);
    let certificate = EndEntityCert::try_from(&der).map_err(|_| malformed("certificate"))?;
    // The root is there as well, and no harm: what is trusted is trusted for what was configured.
    let others: Vec<_> = document.cabundle.iter().map(|der| CertificateDer::from(*der)).collect();
    let time = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()));
    let is_right = |path: &VerifiedPath<'_>| {
        check_usages(document.certificate, path)?;
        let intermediates = path.intermediate_certificates().count();
        let allowed = roots.allows(path.anchor(), intermediates);
        allowed.then_some(()).ok_or(Error::PathLenConstraintViolated)
    };
    certificate
        .verify_for_usage(ALGORITHMS, &anchors, &others, time, AnyUsage, None, Some(&is_right))
        .map_err(refusal)?;
    Ok(certificate.subject_public_key_info())
}

/// One word for all that does not lead to a root, but for dates, which others than the sender can be to blame for.
fn refusal(error: Error) -> AttestationError {
    match error {
        Error::CertExpired { .. } | Error::CertNotValidYet { .. } => AttestationError::CertificateExpired,
        _ => AttestationError::Untrusted,
    }
}

fn check_usages(certificate: &[u8], path: &VerifiedPath<'_>) -> Result<(), Error> {
    let parse = |der: &[u8]| Certificate::from_der(der).map_err(|_| Error::BadDer);
    let leaf = parse(certificate)?;
    if !matches!(key_usage(&leaf), Some(usage) if usage.digital_signature()) {
        return Err(Error::EndEntityUsedAsCa);
    }
    for issuer in path.intermediate_certificates() {
        if !may_sign_certificates(&parse(&issuer.der())?) {
            return Err(Error::EndEntityUsedAsCa);
        }
    }
    Ok(())
}

pub(crate) fn may_sign_certificates(certificate: &Certificate) -> bool {
    key_usage(certificate).is_some_and(|usage| usage.key_cert_sign())
}

/// `None` if it has none, or has it twice.
fn key_usage(certificate: &Certificate) -> Option<KeyUsage> {
    let (_, usage) = certificate.tbs_certificate().get_extension::<KeyUsage>().ok()??;
    Some(usage)
}
