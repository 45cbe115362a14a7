//! What the corridor is built from.

use std::sync::Arc;

use strongroom_attestation::Verifier;
use strongroom_audit::{Journal, StrangerLog};
use strongroom_crypto::Keyring;
use strongroom_records::Records;
use strongroom_types::{Env, RegionName};

use crate::usage::KeyUses;

/// What the corridor is built from.
pub struct Parts {
    /// Whom to believe about recipients.
    pub attestation: Arc<Verifier>,
    pub env: Arc<dyn Env>,
    pub journal: Arc<Journal>,
    pub keyring: Arc<Keyring>,
    pub offers: Offers,
    pub records: Arc<Records>,
    pub regions: Vec<RegionName>,
    pub strangers: Arc<StrangerLog>,
    /// When keys were last used.
    pub usage: Arc<KeyUses>,
}

/// AWS's regions in China, which alone have SM2 there.
const REGIONS_OF_CHINA: [&str; 2] = ["cn-north-1", "cn-northwest-1"];

/// What not every region has.
#[derive(Debug, Clone)]
pub struct Offers {
    /// Where keys of the spec SM2 can be made.
    pub sm2_regions: Vec<RegionName>,
}

impl Default for Offers {
    fn default() -> Self {
        Self {
            sm2_regions: REGIONS_OF_CHINA.iter().filter_map(|name| RegionName::parse(name).ok()).collect(),
        }
    }
}

impl Offers {
    pub fn has_sm2(&self, region: &RegionName) -> bool {
        self.sm2_regions.contains(region)
    }
}

impl Parts {
    pub(crate) fn region(&self, name: &str) -> Option<&RegionName> {
        self.regions.iter().find(|region| region.as_str() == name)
    }
}
