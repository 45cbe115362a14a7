//! The checks, in order.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use strongroom_crypto::{RecipientKey, verify_es384};
use strongroom_types::Timestamp;
use strongroom_types::limits::CLOCK_SKEW_SECS_MAX;

use crate::attestation::Attestation;
use crate::chain::signing_key;
use crate::document::Signed;
use crate::error::AttestationError;
use crate::roots::Roots;

/// Verifies documents against roots, which can be exchanged while it does.
#[derive(Debug)]
pub struct Verifier {
    age_max: Duration,
    roots: RwLock<Arc<Roots>>,
}

impl Verifier {
    /// A document is believed for so long after it was made.
    pub fn new(roots: Roots, age_max: Duration) -> Self {
        Self { age_max, roots: RwLock::new(Arc::new(roots)) }
    }

    /// Trusts others from now on.
    pub fn replace_roots(&self, roots: Roots) {
        *self.roots.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(roots);
    }

    /// Believes a document or not. Takes about a millisecond: four or five signatures are verified.
    pub fn verify(&self, document: &[u8], now: Timestamp) -> Result<Attestation, AttestationError> {
        let roots = Arc::clone(&self.roots.read().unwrap_or_else(PoisonError::into_inner));
        if roots.is_empty() {
            return Err(AttestationError::NoRoots);
        }
        let signed = Signed::parse(document)?;
        let document = signed.document()?;
        let key = signing_key(&document, &roots, now)?;
        if !verify_es384(&key, &signed.signed_bytes(), signed.signature) {
            return Err(AttestationError::Signature);
        }
        self.check_age(document.timestamp_millis, now)?;
        let key = document.public_key.ok_or(AttestationError::NoPublicKey)?;
        let recipient = RecipientKey::from_der(key).ok_or(AttestationError::PublicKey)?;
        Ok(Attestation::new(&document, recipient))
    }

    fn check_age(&self, made_millis: u64, now: Timestamp) -> Result<(), AttestationError> {
        let made = Timestamp::from_millis(made_millis);
        if made.saturating_add(self.age_max) < now {
            return Err(AttestationError::Expired);
        }
        // The hypervisor's clock may be ahead as far as a caller's.
        if now.saturating_add(Duration::from_secs(CLOCK_SKEW_SECS_MAX)) < made {
            return Err(AttestationError::FromTheFuture);
        }
        Ok(())
    }
}
