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

use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use crate::shutdown::Shutdown;

/// How often the files are looked at.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// What changes when files are replaced or written: of each its file system, number, size and time.
pub(crate) type Look = Vec<Option<(u64, u64, u64, i64, i64)>>;

/// Files that are read again.
pub(crate) trait Watched: Send + Sync {
    /// The files as they were before they were read.
    fn seen(&self) -> Look;

    /// The files as they are.
    fn look(&self) -> Look;

    /// Reads them again, and says in the log what came of it.
    fn reload(&self);
}

/// The thread that watches. Ends with `stop`, which dropping this triggers.
#[derive(Debug)]
pub(crate) struct FileWatch {
    stop: Shutdown,
    thread: Option<thread::JoinHandle<()>>,
}

impl FileWatch {
    /// When this returns, SIGHUP is listened to, instead of ending the process.
    pub(crate) fn start(watched: Vec<Arc<dyn Watched>>, interval: Duration) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let hangup = {
            let _context = runtime.enter();
            signal(SignalKind::hangup())?
        };
        let stop = Shutdown::new();
        let stopped = stop.clone();
        let thread = thread::Builder::new()
            .name("strongroom-watch".to_owned())
            .spawn(move || runtime.block_on(watch(&watched, hangup, interval, &stopped)))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        self.stop.trigger();
        if let Some(thread) = self.thread.take() {
            // A panic was logged by the hook; there is nothing to do about it here.
            let _ = thread.join();
        }
    }
}

async fn watch(watched: &[Arc<dyn Watched>], mut hangup: Signal, interval: Duration, stop: &Shutdown) {
    // From before the files were read: what has changed since then is seen.
    let mut seen: Vec<Look> = watched.iter().map(|files| files.seen()).collect();
    loop {
        let is_told = tokio::select! {
            () = stop.triggered() => return,
            _ = hangup.recv() => true,
            () = sleep(interval) => false,
        };
        for (files, seen) in watched.iter().zip(&mut seen) {
            let now = files.look();
            if is_told || now != *seen {
                // A file that is still being written will have another time or size at the next look.
                *seen = now;
                files.reload();
            }
        }
    }
}

pub(crate) fn look_at(path: &Path) -> Option<(u64, u64, u64, i64, i64)> {
    let metadata = path.metadata().ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}
