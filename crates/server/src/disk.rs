//! The room on the disk of the data directory: measured, announced before it ends, and kept back a little.
//!
//! - *Ample*: nothing to say.
//! - *Low*: less is free than `disk_free_alarm_mib`. The log says so once, the metrics and `/readyz` all the time.
//! - *Full*: nearly nothing is free. The reserve, a file of `disk_reserve_mib` that holds nothing, is given back to the
//!   file system, and the doorway is shut: what is in flight can be recorded, the store can settle and close, and nothing
//!   new uses the room up. When there is room for the reserve again, it is taken and requests are let in, without a restart.
//!
//! A disk that fills faster than it is looked at, or a reserve that could not be allocated, leaves what was there before:
//! the journal cannot be written, requests are refused one by one, and nothing that was acknowledged is lost.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;

const LOOK_EVERY: Duration = Duration::from_secs(1);
const MIB: u64 = 1024 * 1024;
/// With less than this free the disk counts as full. The journal alone is filled a mebibyte ahead.
const FULL_BYTES: u64 = 16 * MIB;
/// So much more than the reserve must be free before it is taken, so that taking it does not fill the disk again.
const MARGIN_BYTES: u64 = 2 * FULL_BYTES;

/// What the configuration says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DiskLimits {
    pub(crate) alarm_bytes: u64,
    pub(crate) reserve_bytes: u64,
}

/// How much room there is, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Ample,
    Low,
    Full,
}

/// The file system, as far as it matters here; tests have their own.
pub(crate) trait Disk: Send + 'static {
    /// Bytes that this user may still write.
    fn free_bytes(&self) -> io::Result<u64>;
    /// Bytes that the reserve holds.
    fn held_bytes(&self) -> io::Result<u64>;
    /// Makes the reserve hold so many bytes.
    fn hold(&self, bytes: u64) -> io::Result<()>;
    /// Gives back what the reserve holds.
    fn release(&self) -> io::Result<()>;
}

/// What was seen last, for whoever asks.
#[derive(Debug, Default)]
pub(crate) struct DiskStatus {
    free: AtomicU64,
    held: AtomicU64,
    level: AtomicU8,
}

impl DiskStatus {
    pub(crate) fn free_bytes(&self) -> u64 {
        self.free.load(Ordering::Relaxed)
    }

    pub(crate) fn held_bytes(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    pub(crate) fn level(&self) -> Level {
        match self.level.load(Ordering::Relaxed) {
            0 => Level::Ample,
            1 => Level::Low,
            _ => Level::Full,
        }
    }
}

/// Decides, each time it looks, what to do about the disk.
pub(crate) struct Watch<D> {
    disk: D,
    has_complained: bool,
    limits: DiskLimits,
    set_shut: Box<dyn Fn(bool) + Send>,
    status: Arc<DiskStatus>,
}

impl<D: Disk> Watch<D> {
    /// `set_shut` is told whenever requests are to be refused, and when no longer.
    pub(crate) fn new(disk: D, limits: DiskLimits, set_shut: Box<dyn Fn(bool) + Send>) -> Self {
        Self { disk, has_complained: false, limits, set_shut, status: Arc::default() }
    }

    pub(crate) fn look(&mut self) {
        let seen = self.disk.free_bytes().and_then(|free| Ok((free, self.disk.held_bytes()?)));
        let outcome = seen.and_then(|(free, held)| self.act(free, held));
        match outcome {
            Ok(()) => self.has_complained = false,
            // Once, not every second.
            Err(error) if !std::mem::replace(&mut self.has_complained, true) => {
                tracing::warn!(%error, "the disk's reserve cannot be kept, or its room not be measured");
            }
            Err(_) => {}
        }
    }

    fn act(&mut self, free: u64, held: u64) -> io::Result<()> {
        self.status.free.store(free, Ordering::Relaxed);
        self.status.held.store(held, Ordering::Relaxed);
        let wanted = self.limits.reserve_bytes;
        let was = self.status.level();
        if held > 0 && free < FULL_BYTES {
            (self.set_shut)(true);
            self.enter(Level::Full, free);
            self.disk.release()?;
            self.status.held.store(0, Ordering::Relaxed);
            return Ok(());
        }
        if held != wanted && free.saturating_add(held) >= wanted.saturating_add(MARGIN_BYTES) {
            self.disk.hold(wanted)?;
            self.status.held.store(wanted, Ordering::Relaxed);
        } else if was == Level::Full {
            return Ok(());
        }
        (self.set_shut)(false);
        self.enter(if free < self.limits.alarm_bytes { Level::Low } else { Level::Ample }, free);
        Ok(())
    }

    fn enter(&self, level: Level, free_bytes: u64) {
        let was = self.status.level();
        self.status.level.store(level as u8, Ordering::Relaxed);
        match level {
            _ if level == was => {}
            Level::Ample => tracing::info!(free_bytes, "there is room on the disk again"),
            Level::Low => {
                let alarm_bytes = self.limits.alarm_bytes;
                tracing::warn!(
                    free_bytes,
                    alarm_bytes,
                    "little room is left on the disk of the data directory"
                );
            }
            Level::Full => {
                tracing::error!(
                    free_bytes,
                    "the disk is full: the reserve is given back, and requests are refused"
                );
            }
        }
    }
}

/// The thread that looks. It ends when this is dropped.
pub(crate) struct DiskWatch {
    pub(crate) status: Arc<DiskStatus>,
    stop: Mutex<Option<Sender<()>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl DiskWatch {
    /// Looks once before it returns.
    pub(crate) fn start<D: Disk>(mut watch: Watch<D>) -> io::Result<Self> {
        watch.look();
        let status = Arc::clone(&watch.status);
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new().name("strongroom-disk".to_owned());
        let thread = thread.spawn(move || {
            while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                watch.look();
            }
        })?;
        Ok(Self { status, stop: Mutex::new(Some(stop)), thread: Mutex::new(Some(thread)) })
    }
}

impl Drop for DiskWatch {
    fn drop(&mut self) {
        drop(self.stop.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A panic of it was logged by the hook; there is nothing to clean up.
            let _ = thread.join();
        }
    }
}

/// The file system of the data directory, and the reserve in it.
pub(crate) struct DataDisk {
    pub(crate) directory: PathBuf,
    pub(crate) reserve: PathBuf,
}

impl Disk for DataDisk {
    fn free_bytes(&self) -> io::Result<u64> {
        let found = statvfs(&self.directory)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn held_bytes(&self) -> io::Result<u64> {
        match fs::metadata(&self.reserve) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    fn hold(&self, bytes: u64) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&self.reserve)?;
        let held = match bytes {
            0 => Ok(()),
            _ => match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
                // Some file systems cannot; zeros take the same room.
                Err(Errno::OPNOTSUPP) => {
                    io::copy(&mut io::Read::take(io::repeat(0), bytes), &mut file).map(|_| ())
                }
                outcome => Ok(outcome?),
            },
        };
        // A part of a reserve would look like a whole one.
        held.and_then(|()| file.flush()).inspect_err(|_| drop(file.set_len(0)))
    }

    fn release(&self) -> io::Result<()> {
        OpenOptions::new().write(true).open(&self.reserve)?.set_len(0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use strongroom_testkit::scratch::ScratchDirectory;

    use super::*;

    const RESERVE: u64 = 64 * MIB;
    const LIMITS: DiskLimits = DiskLimits { alarm_bytes: 1024 * MIB, reserve_bytes: RESERVE };

    /// A disk whose room beside the reserve is what the test says.
    #[derive(Clone, Default)]
    struct Fake {
        free: Arc<AtomicU64>,
        held: Arc<AtomicU64>,
        is_broken: Arc<AtomicBool>,
    }

    impl Disk for Fake {
        fn free_bytes(&self) -> io::Result<u64> {
            Ok(self.free.load(Ordering::Relaxed))
        }

        fn held_bytes(&self) -> io::Result<u64> {
            Ok(self.held.load(Ordering::Relaxed))
        }

        fn hold(&self, bytes: u64) -> io::Result<()> {
            if self.is_broken.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let room = self.free.load(Ordering::Relaxed) + self.held.swap(bytes, Ordering::Relaxed);
            self.free.store(room - bytes, Ordering::Relaxed);
            Ok(())
        }

        fn release(&self) -> io::Result<()> {
            self.free.fetch_add(self.held.swap(0, Ordering::Relaxed), Ordering::Relaxed);
            Ok(())
        }
    }

    struct Scene {
        disk: Fake,
        is_shut: Arc<AtomicBool>,
        watch: Watch<Fake>,
    }

    impl Scene {
        fn new(limits: DiskLimits) -> Self {
            let (disk, is_shut) = (Fake::default(), Arc::new(AtomicBool::new(false)));
            let shut_now = Arc::clone(&is_shut);
            let set_shut = Box::new(move |shut| shut_now.store(shut, Ordering::Relaxed));
            Self { disk: disk.clone(), is_shut, watch: Watch::new(disk, limits, set_shut) }
        }

        /// Level, bytes held, whether requests are refused, after a look at a disk with so much free.
        fn with_free(&mut self, free: u64) -> (Level, u64, bool) {
            self.disk.free.store(free, Ordering::Relaxed);
            self.watch.look();
            let held = self.disk.held.load(Ordering::Relaxed);
            assert_eq!(self.watch.status.held_bytes(), held);
            (self.watch.status.level(), held, self.is_shut.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn little_room_is_announced_at_the_limit_and_not_before() {
        let mut scene = Scene::new(LIMITS);
        assert_eq!(scene.with_free(9000 * MIB), (Level::Ample, RESERVE, false));
        assert_eq!(scene.with_free(1024 * MIB), (Level::Ample, RESERVE, false));
        assert_eq!(scene.with_free(1024 * MIB - 1), (Level::Low, RESERVE, false));
        assert_eq!(scene.watch.status.free_bytes(), 1024 * MIB - 1);
        assert_eq!(scene.with_free(2000 * MIB), (Level::Ample, RESERVE, false));
    }

    #[test]
    fn a_full_disk_gives_the_reserve_back_and_refuses_requests_until_there_is_room() {
        let mut scene = Scene::new(LIMITS);
        scene.with_free(9000 * MIB);
        assert_eq!(scene.with_free(FULL_BYTES), (Level::Low, RESERVE, false));
        assert_eq!(scene.with_free(FULL_BYTES - 1), (Level::Full, 0, true));
        // What was given back is not room yet.
        assert_eq!(scene.with_free(FULL_BYTES - 1 + RESERVE), (Level::Full, 0, true));
        assert_eq!(scene.with_free(RESERVE + MARGIN_BYTES - 1), (Level::Full, 0, true));
        assert_eq!(scene.with_free(RESERVE + MARGIN_BYTES), (Level::Low, RESERVE, false));
        assert_eq!(scene.with_free(9000 * MIB), (Level::Ample, RESERVE, false));
    }

    #[test]
    fn without_a_reserve_nothing_is_refused() {
        let mut scene = Scene::new(DiskLimits { reserve_bytes: 0, ..LIMITS });
        assert_eq!(scene.with_free(9000 * MIB), (Level::Ample, 0, false));
        assert_eq!(scene.with_free(0), (Level::Low, 0, false));
    }

    #[test]
    fn a_reserve_for_which_there_is_no_room_is_taken_when_there_is() {
        let mut scene = Scene::new(LIMITS);
        assert_eq!(scene.with_free(RESERVE), (Level::Low, 0, false));
        scene.disk.is_broken.store(true, Ordering::Relaxed);
        assert_eq!(scene.with_free(9000 * MIB), (Level::Low, 0, false));
        scene.disk.is_broken.store(false, Ordering::Relaxed);
        assert_eq!(scene.with_free(9000 * MIB), (Level::Ample, RESERVE, false));
    }

    #[test]
    fn another_size_of_the_reserve_is_taken_over() {
        let mut scene = Scene::new(LIMITS);
        scene.disk.held.store(7, Ordering::Relaxed);
        assert_eq!(scene.with_free(9000 * MIB), (Level::Ample, RESERVE, false));
    }

    #[test]
    fn a_reserve_takes_room_on_the_disk_and_gives_it_back() {
        let directory = ScratchDirectory::new();
        let reserve = directory.path().join("reserve");
        let disk = DataDisk { directory: directory.path().to_owned(), reserve: reserve.clone() };
        assert!(disk.free_bytes().unwrap() > 0);
        assert_eq!(disk.held_bytes().unwrap(), 0);
        assert!(disk.release().is_err());
        for bytes in [3 * MIB, MIB, 0] {
            disk.hold(bytes).unwrap();
            assert_eq!(disk.held_bytes().unwrap(), bytes);
            let blocks = std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&reserve).unwrap());
            assert!(blocks * 512 >= bytes);
        }
        disk.hold(MIB).unwrap();
        disk.release().unwrap();
        assert_eq!(disk.held_bytes().unwrap(), 0);
    }

    #[test]
    fn the_thread_ends_when_it_is_dropped() {
        let scene = Scene::new(LIMITS);
        scene.disk.free.store(MIB, Ordering::Relaxed);
        let watch = DiskWatch::start(scene.watch).unwrap();
        assert_eq!(watch.status.level(), Level::Low);
        drop(watch);
    }
}
