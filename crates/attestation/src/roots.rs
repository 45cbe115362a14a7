//! Whom to trust.

use rustls_pki_types::{CertificateDer, TrustAnchor};
use strongroom_types::Timestamp;
use strongroom_types::limits::ATTESTATION_ROOTS_MAX;
use webpki::anchor_from_trusted_cert;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::BasicConstraints;
use x509_cert::time::Time;

use crate::chain::may_sign_certificates;
use crate::error::RootError;

/// The roots that certificates of documents may lead to. Without any, no document is believed.
#[derive(Debug, Clone, Default)]
pub struct Roots(Vec<Root>);

#[derive(Debug, Clone)]
struct Root {
    anchor: TrustAnchor<'static>,
    not_before: Timestamp,
    not_after: Timestamp,
    path_length_max: Option<u8>,
}

impl Roots {
    /// Takes certificates in DER.
    pub fn from_certificates<'a>(
        certificates: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Self, RootError> {
        let roots = certificates.into_iter().map(Root::new).collect::<Result<Vec<_>, _>>()?;
        if roots.len() > ATTESTATION_ROOTS_MAX {
            return Err(RootError::TooMany);
        }
        Ok(Self(roots))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// When the first of them ends.
    pub fn not_after(&self) -> Option<Timestamp> {
        self.0.iter().map(|root| root.not_after).min()
    }

    /// Whether the root lets so many CAs stand between itself and a signing certificate. `webpki` does not ask it.
    pub(crate) fn allows(&self, anchor: &TrustAnchor<'_>, intermediates: usize) -> bool {
        let root = self.0.iter().find(|root| root.anchor == *anchor);
        root.is_some_and(|root| root.path_length_max.is_none_or(|max| intermediates <= usize::from(max)))
    }

    /// Those that are valid at this time. `webpki` asks a trusted root for no dates.
    pub(crate) fn valid_at(&self, now: Timestamp) -> Vec<TrustAnchor<'static>> {
        let is_valid = |root: &&Root| root.not_before <= now && now <= root.not_after;
        self.0.iter().filter(is_valid).map(|root| root.anchor.clone()).collect()
    }
}

impl Root {
    fn new(der: &[u8]) -> Result<Self, RootError> {
        let parsed = Certificate::from_der(der).map_err(|_| RootError::Malformed)?;
        let certificate = CertificateDer::from(der);
        let anchor = anchor_from_trusted_cert(&certificate).map_err(|_| RootError::Malformed)?.to_owned();
        let constraints = parsed.tbs_certificate().get_extension::<BasicConstraints>();
        let constraints = constraints.ok().flatten().map(|(_, constraints)| constraints);
        let constraints = constraints.filter(|constraints| constraints.ca).ok_or(RootError::NoCa)?;
        if !may_sign_certificates(&parsed) {
            return Err(RootError::NoCa);
        }
        let validity = parsed.tbs_certificate().validity();
        let secs = |time: &Time| Timestamp::from_secs(time.to_unix_duration().as_secs());
        Ok(Self {
            anchor,
            not_before: secs(&validity.not_before),
            not_after: secs(&validity.not_after),
            path_length_max: constraints.path_len_constraint,
        })
    }
}
