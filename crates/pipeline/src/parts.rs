//! What the corridor is built from.

use std::sync::Arc;

use strongroom_attestation::Verifier;
use strongroom_audit::{Journal, StrangerLog};
use strongroom_crypto::Keyring;
use strongroom_records::Records;
use strongroom_types::{Env, RegionName};

/// What the corridor is built from.
pub struct Parts {
    /// Whom to believe about recipients.
    pub attestation: Arc<Verifier>,
    pub env: Arc<dyn Env>,
    pub journal: Arc<Journal>,
    pub keyring: Arc<Keyring>,
    pub records: Arc<Records>,
    pub regions: Vec<RegionName>,
    pub strangers: Arc<StrangerLog>,
}

impl Parts {
    pub(crate) fn region(&self, name: &str) -> Option<&RegionName> {
        self.regions.iter().find(|region| region.as_str() == name)
    }
}
