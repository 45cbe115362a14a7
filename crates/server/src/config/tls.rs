//! The `[tls]` table: which files, and whether clients show certificates too.

use std::path::PathBuf;

use serde::Deserialize;

use super::ConfigError;

/// All in PEM form. The files are read when the server starts, and again when they change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// The server's certificate, and those between it and its CA.
    pub certificate: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
    /// Clients' certificates must be signed by one of these.
    pub client_ca: Option<PathBuf>,
    /// Whether clients must show a certificate: `None` is as [`ClientCertificates::Required`] if there is a CA.
    pub client_certificates: Option<ClientCertificates>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// Checked if there is one.
    Optional,
    Required,
}

impl TlsConfig {
    pub fn is_on(&self) -> bool {
        self.certificate.is_some()
    }

    pub(super) fn lay_over(&mut self, overrides: &Self) {
        let Self { certificate, key, client_ca, client_certificates } = overrides.clone();
        self.certificate = certificate.or(self.certificate.take());
        self.key = key.or(self.key.take());
        self.client_ca = client_ca.or(self.client_ca.take());
        self.client_certificates = client_certificates.or(self.client_certificates);
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let needs = |given, missing| Err(ConfigError::TlsIncomplete { given, missing });
        match (&self.certificate, &self.key) {
            (Some(_), None) => return needs("certificate", "key"),
            (None, Some(_)) => return needs("key", "certificate"),
            (None, None) if self.client_ca.is_some() => return needs("client_ca", "certificate"),
            (Some(_), Some(_)) | (None, None) => {}
        }
        match (&self.client_certificates, &self.client_ca) {
            (Some(_), None) => needs("client_certificates", "client_ca"),
            (None, _) | (Some(_), Some(_)) => Ok(()),
        }
    }
}
