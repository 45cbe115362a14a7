//! Reads certificates again when their files change, and when told to by SIGHUP.
//!
//! Looks at the files' metadata every few seconds: tools replace certificates by writing, by renaming and by exchanging
//! symbolic links, and a look finds all of that on every file system.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use strongroom_types::Timestamp;
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use super::Tls;
use crate::config::TlsConfig;
use crate::shutdown::Shutdown;

/// How often the files are looked at.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// What changes when files are replaced or written: of each its file system, number, size and time.
pub(super) type Look = Vec<Option<(u64, u64, u64, i64, i64)>>;

/// The thread that watches. Ends with `stop`, which dropping this triggers.
#[derive(Debug)]
pub(crate) struct TlsWatch {
    stop: Shutdown,
    thread: Option<thread::JoinHandle<()>>,
}

impl TlsWatch {
    /// When this returns, SIGHUP is listened to, instead of ending the process.
    pub(crate) fn start(tls: &Arc<Tls>, interval: Duration) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let hangup = {
            let _context = runtime.enter();
            signal(SignalKind::hangup())?
        };
        let (tls, stop) = (Arc::clone(tls), Shutdown::new());
        let stopped = stop.clone();
        let thread = thread::Builder::new()
            .name("strongroom-tls".to_owned())
            .spawn(move || runtime.block_on(watch(&tls, hangup, interval, &stopped)))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for TlsWatch {
    fn drop(&mut self) {
        self.stop.trigger();
        if let Some(thread) = self.thread.take() {
            // A panic was logged by the hook; there is nothing to do about it here.
            let _ = thread.join();
        }
    }
}

async fn watch(tls: &Tls, mut hangup: Signal, interval: Duration, stop: &Shutdown) {
    // From before the files were read: what has changed since then is seen.
    let mut seen = tls.current().look;
    loop {
        let is_told = tokio::select! {
            () = stop.triggered() => return,
            _ = hangup.recv() => true,
            () = sleep(interval) => false,
        };
        let now = look(&tls.config);
        if is_told || now != seen {
            // A file that is still being written will have another time or size at the next look.
            seen = now;
            report(tls.reload());
        }
    }
}

fn report(reloaded: Result<Timestamp, super::TlsError>) {
    match reloaded {
        Ok(not_after) => {
            tracing::info!(not_after = not_after.to_extended_iso8601(), "new TLS certificate in use");
        }
        Err(error) => tracing::error!(
            error = &error as &dyn std::error::Error,
            "the changed TLS files cannot be used; the certificate in use stays"
        ),
    }
}

pub(super) fn look(config: &TlsConfig) -> Look {
    [&config.certificate, &config.key, &config.client_ca]
        .into_iter()
        .map(|path| path.as_deref().and_then(look_at))
        .collect()
}

fn look_at(path: &Path) -> Option<(u64, u64, u64, i64, i64)> {
    let metadata = path.metadata().ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}
