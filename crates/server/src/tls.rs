//! TLS: the certificate that the main listener shows, and what it agrees on with a client.
//!
//! TLS 1.2 and 1.3 on AWS-LC, with suites that authenticate what they encrypt (AEAD) and exchange fresh keys, and
//! X25519MLKEM768 first among the groups. Sessions are resumed by tickets, whose keys are random, change every six hours
//! and go with the configuration they belong to. Early data (0-RTT) is never accepted: it can be replayed.
//!
//! Files are read again when they change and on SIGHUP ([`FileWatch`](crate::watch::FileWatch)). What is open goes on as it began; new connections get
//! the new certificate. Files that cannot be used change nothing, and are logged and counted.
//!
//! A client's certificate is a second gate before the signature, not an identity: it decides whether somebody may talk to
//! the service, and nothing else. Revocation lists are not read; replace the CA to shut clients out.

mod capped;
mod dev;
mod files;
mod handshake;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use strongroom_types::Timestamp;
use strongroom_types::limits::TLS_HANDSHAKES_WAITING_MAX;

use crate::config::TlsConfig;
use crate::gate::Gate;
use crate::metrics::Metrics;
use crate::watch::{Look, Watched};

pub use dev::{DevCertificateError, DevCertificates, make_dev_certificates};
pub use files::TlsError;
pub(crate) use files::certificates;
#[cfg(test)]
pub(crate) use files::provider;
pub(crate) use handshake::{Protocol, Turns, shake};

/// What every new connection is served with, and where it comes from.
#[derive(Debug)]
pub struct Tls {
    config: TlsConfig,
    current: RwLock<Loaded>,
    failed_reloads: AtomicU64,
    failed_handshakes: AtomicU64,
    waiting: Gate,
}

/// The content of the files, ready for use.
#[derive(Debug, Clone)]
struct Loaded {
    server: Arc<ServerConfig>,
    /// When the first of the certificates shown ends.
    not_after: Timestamp,
    /// The files as they were before they were read.
    look: Look,
}

impl Tls {
    /// Reads the files. `Ok(None)` if the configuration names none.
    pub fn load(config: &TlsConfig) -> Result<Option<Arc<Self>>, TlsError> {
        if !config.is_on() {
            return Ok(None);
        }
        Ok(Some(Arc::new(Self {
            current: RwLock::new(files::load(config)?),
            config: config.clone(),
            failed_reloads: AtomicU64::new(0),
            failed_handshakes: AtomicU64::new(0),
            waiting: Gate::new(TLS_HANDSHAKES_WAITING_MAX),
        })))
    }

    pub fn register(self: &Arc<Self>, metrics: &Metrics) {
        let tls = Arc::clone(self);
        metrics.register_gauge_fn(
            "strongroom_tls_certificate_not_after_seconds",
            "When the certificate in use ends, in seconds since the Unix epoch.",
            Box::new(move || seconds(tls.current().not_after)),
        );
        let tls = Arc::clone(self);
        metrics.register_counter_fn(
            "strongroom_tls_reloads_failed",
            "Changed certificate files that could not be used.",
            Box::new(move || tls.failed_reloads.load(Ordering::Relaxed)),
        );
        let tls = Arc::clone(self);
        metrics.register_counter_fn(
            "strongroom_tls_handshakes_failed",
            "TLS handshakes that came to no connection.",
            Box::new(move || tls.failed_handshakes.load(Ordering::Relaxed)),
        );
        let tls = Arc::clone(self);
        metrics.register_counter_fn(
            "strongroom_tls_handshakes_refused",
            "TLS handshakes refused because too many were waiting.",
            Box::new(move || u64::try_from(tls.waiting.refused()).unwrap_or(u64::MAX)),
        );
    }

    /// Clients will refuse a certificate that has ended; whoever starts the server should hear of it first.
    pub(crate) fn warn_if_over(&self, now: Timestamp) {
        let not_after = self.current().not_after;
        if not_after < now {
            tracing::warn!(not_after = not_after.to_extended_iso8601(), "the TLS certificate has ended");
        }
    }

    /// Reads the files again. If they cannot be used, everything stays as it is.
    pub(crate) fn reload(&self) -> Result<Timestamp, TlsError> {
        let loaded = files::load(&self.config).inspect_err(|_| {
            self.failed_reloads.fetch_add(1, Ordering::Relaxed);
        })?;
        let not_after = loaded.not_after;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(not_after)
    }

    #[cfg(test)]
    pub(crate) fn failed_handshakes(&self) -> u64 {
        self.failed_handshakes.load(Ordering::Relaxed)
    }

    fn current(&self) -> Loaded {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Watched for Tls {
    fn seen(&self) -> Look {
        self.current().look
    }

    fn look(&self) -> Look {
        files::look(&self.config)
    }

    fn reload(&self) {
        match Self::reload(self) {
            Ok(not_after) => {
                tracing::info!(not_after = not_after.to_extended_iso8601(), "new TLS certificate in use");
            }
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "the changed TLS files cannot be used; the certificate in use stays"
            ),
        }
    }
}

fn seconds(time: Timestamp) -> f64 {
    Duration::from_millis(time.as_millis()).as_secs_f64()
}

#[cfg(test)]
pub(crate) mod tests;
