//! The roots that attestation documents are verified against: PEM files, read again when they change and on SIGHUP.
//!
//! Files that cannot be used change nothing, and are logged and counted.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use strongroom_attestation::{RootError, Roots, Verifier};
use strongroom_types::Timestamp;

use crate::config::AttestationConfig;
use crate::metrics::Metrics;
use crate::tls::{TlsError, certificates};
use crate::watch::{Look, Watched, look_at};

/// The files, and the verifier that they were read for.
#[derive(Debug)]
pub(crate) struct RootFiles {
    paths: Vec<PathBuf>,
    verifier: Arc<Verifier>,
    failed_reloads: AtomicU64,
    loaded: Mutex<Loaded>,
}

#[derive(Debug, Clone)]
struct Loaded {
    look: Look,
    /// When the first of the roots ends.
    not_after: Option<Timestamp>,
}

/// Why roots cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RootFilesError {
    #[error(transparent)]
    File(#[from] TlsError),
    #[error("`{path}` does not hold roots of attestation documents")]
    Roots { path: PathBuf, source: RootError },
    #[error("`roots` of `[attestation]` cannot be used together")]
    Together(#[source] RootError),
}

impl RootFiles {
    /// Has the verifier trust what is in the files.
    pub(crate) fn load(
        config: &AttestationConfig,
        verifier: &Arc<Verifier>,
    ) -> Result<Arc<Self>, RootFilesError> {
        let files = Self {
            paths: config.roots.clone(),
            verifier: Arc::clone(verifier),
            failed_reloads: AtomicU64::new(0),
            loaded: Mutex::new(Loaded { look: Look::new(), not_after: None }),
        };
        files.read()?;
        Ok(Arc::new(files))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    pub(crate) fn register(self: &Arc<Self>, metrics: &Metrics) {
        let files = Arc::clone(self);
        metrics.register_gauge_fn(
            "strongroom_attestation_root_not_after_seconds",
            "When the first root of attestation documents ends, in seconds since the Unix epoch; 0 without roots.",
            Box::new(move || {
                let not_after = files.loaded().not_after.unwrap_or_default();
                Duration::from_millis(not_after.as_millis()).as_secs_f64()
            }),
        );
        let files = Arc::clone(self);
        metrics.register_counter_fn(
            "strongroom_attestation_reloads_failed",
            "Changed files of roots of attestation documents that could not be used.",
            Box::new(move || files.failed_reloads.load(Ordering::Relaxed)),
        );
    }

    /// All or nothing: of files that cannot be used, none is.
    fn read(&self) -> Result<usize, RootFilesError> {
        let look = self.look();
        let mut all = Vec::new();
        for path in &self.paths {
            let found = certificates(path)?;
            let judged = Roots::from_certificates(found.iter().map(|certificate| &**certificate));
            judged.map_err(|source| RootFilesError::Roots { path: path.clone(), source })?;
            all.extend(found);
        }
        let roots = Roots::from_certificates(all.iter().map(|certificate| &**certificate));
        let roots = roots.map_err(RootFilesError::Together)?;
        let (count, not_after) = (roots.len(), roots.not_after());
        self.verifier.replace_roots(roots);
        *self.loaded.lock().unwrap_or_else(PoisonError::into_inner) = Loaded { look, not_after };
        Ok(count)
    }

    fn loaded(&self) -> Loaded {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Watched for RootFiles {
    fn seen(&self) -> Look {
        self.loaded().look
    }

    fn look(&self) -> Look {
        self.paths.iter().map(|path| look_at(path)).collect()
    }

    fn reload(&self) {
        match self.read() {
            Ok(roots) => tracing::info!(roots, "new roots of attestation documents in use"),
            Err(error) => {
                self.failed_reloads.fetch_add(1, Ordering::Relaxed);
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the changed roots of attestation documents cannot be used; those in use stay"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use strongroom_attestation::AttestationError;
    use strongroom_testkit::attestation::{Authority, Recipient};
    use strongroom_testkit::scratch::ScratchDirectory;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

    fn config(paths: &[PathBuf]) -> AttestationConfig {
        AttestationConfig { roots: paths.to_vec(), ..AttestationConfig::default() }
    }

    fn nobody() -> Arc<Verifier> {
        Arc::new(Verifier::new(Roots::default(), Duration::from_secs(300)))
    }

    /// The chain, as far as it is read.
    fn told(error: &dyn std::error::Error) -> String {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }

    #[test]
    fn what_is_no_root_keeps_the_server_from_starting() {
        let scratch = ScratchDirectory::new();
        let path = scratch.path().join("root.pem");
        let load = |paths: &[PathBuf]| RootFiles::load(&config(paths), &nobody());
        assert!(told(&load(std::slice::from_ref(&path)).unwrap_err()).contains("cannot read"));
        fs::write(&path, "no certificate").unwrap();
        assert!(
            told(&load(std::slice::from_ref(&path)).unwrap_err())
                .contains("holds no certificate in PEM form")
        );
        let authority = Authority::new(NOW);
        fs::write(&path, Authority::pem(&authority.certificate)).unwrap();
        assert!(
            told(&load(std::slice::from_ref(&path)).unwrap_err()).contains("CA that may sign certificates")
        );
        fs::write(&path, Authority::pem(&authority.root)).unwrap();
        let many = vec![path.clone(); strongroom_types::limits::ATTESTATION_ROOTS_MAX + 1];
        assert!(told(&load(&many).unwrap_err()).contains("more than"));
        assert!(load(&[path]).is_ok());
        assert!(load(&[]).unwrap().is_empty());
    }

    #[test]
    fn changed_files_are_read_again_and_bad_ones_change_nothing() {
        let scratch = ScratchDirectory::new();
        let path = scratch.path().join("root.pem");
        let (first, second) = (Authority::new(NOW), Authority::new(NOW));
        let recipient = Recipient::new();
        let document = |authority: &Authority| authority.sign(&authority.enclave(NOW, &recipient.public_key));
        let verifier = nobody();
        assert_eq!(verifier.verify(&document(&first), NOW).unwrap_err(), AttestationError::NoRoots);

        fs::write(&path, Authority::pem(&first.root)).unwrap();
        let files = RootFiles::load(&config(std::slice::from_ref(&path)), &verifier).unwrap();
        assert_eq!(files.seen(), files.look());
        assert!(verifier.verify(&document(&first), NOW).is_ok());
        assert!(verifier.verify(&document(&second), NOW).is_err());

        fs::write(&path, "no certificate, and of another length").unwrap();
        assert_ne!(files.seen(), files.look());
        files.reload();
        assert_eq!(files.failed_reloads.load(Ordering::Relaxed), 1);
        assert!(verifier.verify(&document(&first), NOW).is_ok());

        fs::write(&path, Authority::pem(&second.root)).unwrap();
        files.reload();
        assert!(verifier.verify(&document(&first), NOW).is_err());
        assert!(verifier.verify(&document(&second), NOW).is_ok());
        assert!(files.loaded().not_after.unwrap() > NOW);
    }
}
