//! The anchor's file, and the thread that keeps it up to date.
//!
//! The file lies beside the root key, or where the operator says, outside of the data directory: what it is for is to
//! show that the data directory was put back to an earlier time. It is replaced whole (written aside, synced, renamed,
//! the directory synced), at start, once a minute while something changed, and at an orderly end; never on a request's
//! way. When it cannot be written while the service runs, that is logged and counted, and requests go on.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use strongroom_audit::{Journal, JournalEnd};
use strongroom_crypto::Keyring;
use strongroom_records::{Anchor, Records, Standing};
use strongroom_types::Env;
use strongroom_types::limits::ANCHOR_BYTES_MAX;

const WRITE_EVERY: Duration = Duration::from_secs(60);

/// The bytes of the anchor; `None` if there is no such file. Of one that is too large only as much as shows that it is.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    let limit = u64::try_from(ANCHOR_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Puts these bytes in the place of the file, whole or not at all, and durably.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

/// How the anchor's writing goes, for the metrics.
#[derive(Debug, Default)]
pub(crate) struct AnchorStatus {
    failures: AtomicU64,
    is_failing: AtomicBool,
    written_millis: AtomicU64,
}

impl AnchorStatus {
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// The last attempt failed.
    pub(crate) fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Relaxed)
    }

    /// When it was written last, in milliseconds since 1970.
    pub(crate) fn written_millis(&self) -> u64 {
        self.written_millis.load(Ordering::Relaxed)
    }
}

/// Writes anchors of one deployment.
pub(crate) struct AnchorWriter {
    env: Arc<dyn Env>,
    keyring: Arc<Keyring>,
    last: Option<(Standing, JournalEnd)>,
    path: PathBuf,
    status: Arc<AnchorStatus>,
}

impl AnchorWriter {
    pub(crate) fn new(path: PathBuf, keyring: Arc<Keyring>, env: Arc<dyn Env>) -> Self {
        Self { env, keyring, last: None, path, status: Arc::default() }
    }

    pub(crate) fn status(&self) -> Arc<AnchorStatus> {
        Arc::clone(&self.status)
    }

    /// Writes what was seen, unless that is what the last one says.
    pub(crate) fn write(&mut self, standing: Standing, journal: JournalEnd) -> io::Result<()> {
        let seen = Some((standing, journal));
        if self.last == seen {
            return Ok(());
        }
        let Some((standing, journal)) = &seen else { return Ok(()) };
        let written = self.env.now();
        let anchor = Anchor {
            written,
            journal_sequence: journal.sequence,
            journal_link: journal.link,
            standing: standing.clone(),
        };
        let sealed = anchor.seal(&self.keyring).map_err(io::Error::other);
        let replaced = sealed.and_then(|bytes| replace(&self.path, &bytes));
        self.status.is_failing.store(replaced.is_err(), Ordering::Relaxed);
        match &replaced {
            Ok(()) => {
                self.status.written_millis.store(written.as_millis(), Ordering::Relaxed);
                self.last = seen;
            }
            Err(_) => {
                self.status.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
        replaced
    }

    /// [`write`](Self::write) for when there is nobody to tell but the log.
    pub(crate) fn try_write(&mut self, standing: Standing, journal: JournalEnd) {
        if let Err(error) = self.write(standing, journal) {
            tracing::error!(
                anchor = %self.path.display(),
                error = &error as &dyn std::error::Error,
                "the anchor cannot be written; a rollback to a time after the last one would not be noticed"
            );
        }
    }
}

/// The thread that writes the anchor once a minute.
pub(crate) struct AnchorKeeper {
    stop: Sender<()>,
    thread: JoinHandle<AnchorWriter>,
}

impl AnchorKeeper {
    pub(crate) fn start(
        mut writer: AnchorWriter,
        records: Arc<Records>,
        journal: Arc<Journal>,
    ) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("strongroom-anchor".into()).spawn(move || {
            while stopped.recv_timeout(WRITE_EVERY) == Err(RecvTimeoutError::Timeout) {
                writer.try_write(records.standing(), journal.end());
            }
            writer
        })?;
        Ok(Self { stop, thread })
    }

    /// Ends the thread and gives its writer back, for the last anchor. `None` if the thread had panicked.
    pub(crate) fn stop(self) -> Option<AnchorWriter> {
        drop(self.stop);
        self.thread.join().ok()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use strongroom_testkit::scratch::ScratchDirectory;

    use super::*;

    #[test]
    fn a_file_that_is_not_there_is_no_anchor_and_a_directory_is_an_error() {
        let directory = ScratchDirectory::new();
        assert_eq!(read(&directory.path().join("anchor")).unwrap(), None);
        assert!(read(directory.path()).is_err());
        assert!(replace(&directory.path().join("nowhere/anchor"), b"x").is_err());
    }

    #[test]
    fn of_a_file_past_the_limit_one_byte_more_is_read() {
        let directory = ScratchDirectory::new();
        let path = directory.path().join("anchor");
        for (size, read_bytes) in [(ANCHOR_BYTES_MAX, ANCHOR_BYTES_MAX), (1 << 20, ANCHOR_BYTES_MAX + 1)] {
            replace(&path, &vec![7; size]).unwrap();
            assert_eq!(read(&path).unwrap().unwrap().len(), read_bytes);
        }
    }

    #[test]
    fn a_file_is_replaced_whole_whatever_an_interrupted_attempt_left() {
        let directory = ScratchDirectory::new();
        let path = directory.path().join("anchor");
        fs::write(directory.path().join("anchor.new"), [1; 100]).unwrap();
        for content in [&b"first"[..], b"second", b"x"] {
            replace(&path, content).unwrap();
            assert_eq!(read(&path).unwrap().unwrap(), content);
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
