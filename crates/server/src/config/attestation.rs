//! The `[attestation]` table: whom to believe about recipients, and for how long.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::Bounded;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AttestationConfig {
    /// Root certificates in PEM form. Without any there are no attested recipients. The files are read when the server
    /// starts, and again when they change.
    pub roots: Vec<PathBuf>,
    /// Certificates that sign documents are valid for three hours.
    pub document_age_max_secs: Bounded<1, 10_800>,
}

impl Default for AttestationConfig {
    fn default() -> Self {
        Self { roots: Vec::new(), document_age_max_secs: Bounded(300) }
    }
}

impl AttestationConfig {
    pub fn document_age_max(&self) -> Duration {
        self.document_age_max_secs.as_secs()
    }
}
