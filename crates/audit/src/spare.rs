//! The next segment's file, written full of zeros before it is needed.
//!
//! Where a record overwrites bytes that a file has already, a sync costs the file system no commit of its own metadata;
//! where the file grows, it does. Under load a journal grows all the time, and each time everybody who waits for the sync
//! waits for that commit too. So while one segment is being filled, a thread of this module prepares the file of the next.
//!
//! It is never needed: if there is none (too little has been written to want one, the disk has little room, preparing
//! failed), segments grow as they are written. A spare left behind by a killed process is removed at the next start.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::fs::OFlags;

/// No segment has this name, so readers of the directory pass over it.
const NAME: &str = "spare.new";
/// So much is written at once, past the page cache, and then comes a pause: the disk is needed for the records of now, and
/// none of them may wait long behind zeros. Together at most 60 MB in a second, more than a journal of two busy cores takes.
const CHUNK_BYTES: u64 = 128 * 1024;
const PAUSE: Duration = Duration::from_millis(2);
/// Whole blocks are written, of any file system.
const BLOCK_BYTES: u64 = 4096;
/// A disk that would have less room than so many spares after one was made gets none.
const ROOM_SPARES: u64 = 4;

/// Aligned as writing past the page cache wants it (open(2), O_DIRECT).
#[repr(align(4096))]
struct Zeros([u8; CHUNK_BYTES as usize]);

static ZEROS: Zeros = Zeros([0; CHUNK_BYTES as usize]);

pub(crate) struct Spare {
    inner: Arc<Inner>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Inner {
    path: PathBuf,
    bytes: u64,
    is_ready: AtomicBool,
    /// Wanted, and not yet given up or taken.
    is_under_way: AtomicBool,
    ready: Mutex<Option<File>>,
    is_closing: Mutex<bool>,
    closing: Condvar,
}

impl Spare {
    /// For a directory where nothing else makes spares. Nothing is prepared before it is [wanted](Self::want).
    pub(crate) fn new(directory: &Path, bytes: u64) -> Self {
        let path = directory.join(NAME);
        // Of a process that was killed, if it is there at all.
        let _ = fs::remove_file(&path);
        let bytes = bytes.next_multiple_of(BLOCK_BYTES);
        let inner = Inner {
            path,
            bytes,
            is_ready: AtomicBool::new(false),
            is_under_way: AtomicBool::new(false),
            ready: Mutex::new(None),
            is_closing: Mutex::new(false),
            closing: Condvar::new(),
        };
        Self { inner: Arc::new(inner), thread: Mutex::new(None) }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.inner.is_ready.load(Ordering::Acquire)
    }

    /// Begins to prepare a file, unless one is there or in the making.
    pub(crate) fn want(&self) {
        if self.inner.is_under_way.swap(true, Ordering::AcqRel) {
            return;
        }
        let inner = Arc::clone(&self.inner);
        let spawned = thread::Builder::new().name("audit-spare".to_owned()).spawn(move || inner.prepare());
        match spawned {
            Ok(thread) => *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread),
            Err(error) => {
                tracing::debug!(%error, "no thread for a spare audit segment");
                self.inner.is_under_way.store(false, Ordering::Release);
            }
        }
    }

    /// Gives the prepared file, if there is one, the name `to` in the same directory, and its size.
    pub(crate) fn take(&self, to: &Path) -> Option<(File, u64)> {
        let file = self.inner.ready.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        self.inner.is_ready.store(false, Ordering::Release);
        self.inner.is_under_way.store(false, Ordering::Release);
        match fs::rename(&self.inner.path, to) {
            Ok(()) => Some((file, self.inner.bytes)),
            Err(error) => {
                tracing::debug!(%error, "the spare audit segment is not taken");
                None
            }
        }
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        *self.inner.is_closing.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.inner.closing.notify_all();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // It cannot have panicked in a way that matters: a file that is not ready is not used.
            let _ = thread.join();
        }
        if self.inner.ready.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            let _ = fs::remove_file(&self.inner.path);
        }
    }
}

impl Inner {
    fn prepare(&self) {
        match self.fill() {
            Ok(Some(file)) => {
                *self.ready.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
                self.is_ready.store(true, Ordering::Release);
                return;
            }
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "no spare audit segment was made"),
        }
        let _ = fs::remove_file(&self.path);
        self.is_under_way.store(false, Ordering::Release);
    }

    /// `None` if the journal is being closed, or the disk has too little room.
    fn fill(&self) -> io::Result<Option<File>> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let direct = i32::try_from(OFlags::DIRECT.bits()).unwrap_or_default();
        let file = options.clone().custom_flags(direct).open(&self.path).or_else(|error| {
            // A file system that cannot write past the page cache (open(2)).
            if error.kind() == io::ErrorKind::InvalidInput { options.open(&self.path) } else { Err(error) }
        })?;
        let disk = rustix::fs::fstatvfs(&file)?;
        if disk.f_bavail.saturating_mul(disk.f_frsize) < self.bytes.saturating_mul(1 + ROOM_SPARES) {
            return Ok(None);
        }
        let mut at = 0;
        while at < self.bytes {
            let end = at.saturating_add(CHUNK_BYTES).min(self.bytes);
            write_zeros(&file, at, end)?;
            at = end;
            if self.pause() {
                return Ok(None);
            }
        }
        file.sync_all()?;
        // Records are written through the page cache.
        Ok(Some(OpenOptions::new().write(true).open(&self.path)?))
    }

    /// Whether the journal is being closed.
    fn pause(&self) -> bool {
        let is_closing = self.is_closing.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.closing.wait_timeout_while(is_closing, PAUSE, |is_closing| !*is_closing);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Writes zeros from `at` to `end`.
pub(crate) fn write_zeros(file: &File, mut at: u64, end: u64) -> io::Result<()> {
    while at < end {
        let size = usize::try_from(end - at).unwrap_or(usize::MAX).min(ZEROS.0.len());
        file.write_all_at(ZEROS.0.get(..size).unwrap_or_default(), at)?;
        at += size as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDirectory;

    const BYTES: u64 = 3 * CHUNK_BYTES + BLOCK_BYTES;

    fn wait_until_ready(spare: &Spare) {
        while !spare.is_ready() {
            thread::yield_now();
        }
    }

    #[test]
    fn nothing_is_there_until_it_is_wanted_and_nothing_stays_behind() {
        let scratch = TempDirectory::new();
        let spare = Spare::new(scratch.path(), BYTES);
        assert!(spare.take(&scratch.path().join("taken")).is_none());
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
        spare.want();
        wait_until_ready(&spare);
        drop(spare);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
        let spare = Spare::new(scratch.path(), u64::from(u32::MAX));
        spare.want();
        drop(spare);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_spare_is_whole_is_taken_once_and_made_again() {
        let scratch = TempDirectory::new();
        fs::write(scratch.path().join(NAME), b"left behind").unwrap();
        let spare = Spare::new(scratch.path(), BYTES - 5);
        assert!(!scratch.path().join(NAME).exists());
        for round in 0..2 {
            spare.want();
            spare.want();
            wait_until_ready(&spare);
            let taken = scratch.path().join(format!("taken-{round}"));
            let (_, bytes) = spare.take(&taken).unwrap();
            assert_eq!(bytes, BYTES);
            assert_eq!(fs::read(&taken).unwrap(), vec![0; BYTES as usize]);
            assert!(spare.take(&taken).is_none() && !spare.is_ready());
        }
    }

    #[test]
    fn a_disk_with_little_room_gets_none() {
        let scratch = TempDirectory::new();
        let spare = Spare::new(scratch.path(), 1 << 60);
        spare.want();
        while spare.inner.is_under_way.load(Ordering::Acquire) {
            thread::yield_now();
        }
        assert!(!spare.is_ready());
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    }
}
