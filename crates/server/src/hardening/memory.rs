//! Memory that is not written to swap.
//!
//! Where RLIMIT_MEMLOCK is unlimited, or can be made so (by root, or by `LimitMEMLOCK=infinity`), everything that the process
//! has or will have is locked: also plaintexts in flight, signing secrets and what AWS-LC makes of keys. Otherwise the memory
//! that `crypto` sets apart for keys is, as far as the limit goes: that is what the limit is asked for last.
//!
//! Locked on fault: what was never touched takes no memory.

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use strongroom_crypto::{KEY_SLOT_BYTES, RING_BYTES, reserve_ring};

/// How much of the process's memory is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockedMemory {
    All,
    /// Root, domain and service keys, and cached key material up to this many keys.
    Keys {
        limit_bytes: u64,
        materials_max: u64,
    },
    /// Not even the keys.
    Nothing {
        limit_bytes: u64,
    },
}

/// Locks what may be locked. To be called before rights are given up and before a key is read.
pub(crate) fn lock_memory() -> LockedMemory {
    // Root may; for everybody else the soft limit goes as far as the hard one.
    let unlimited = Rlimit { current: None, maximum: None };
    if setrlimit(Resource::Memlock, unlimited).is_err() {
        let maximum = getrlimit(Resource::Memlock).maximum;
        let _ = setrlimit(Resource::Memlock, Rlimit { current: maximum, maximum });
    }
    let limit = getrlimit(Resource::Memlock).current;
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    // With a limit, locking what is yet to come would make allocations fail once it is met.
    if limit.is_none() && mlockall(flags).is_ok() {
        reserve_ring();
        return LockedMemory::All;
    }
    let limit_bytes = limit.unwrap_or(u64::MAX);
    if reserve_ring() { keys_within(limit_bytes) } else { LockedMemory::Nothing { limit_bytes } }
}

fn keys_within(limit_bytes: u64) -> LockedMemory {
    let bytes = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let materials_max = limit_bytes.saturating_sub(bytes(RING_BYTES)) / bytes(KEY_SLOT_BYTES);
    LockedMemory::Keys { limit_bytes, materials_max }
}

impl LockedMemory {
    /// What the log says of it.
    pub(crate) fn describe(self, cached_rows_max: usize) -> String {
        let needed = u64::try_from(cached_rows_max).unwrap_or(u64::MAX);
        match self {
            Self::All => "all memory is locked".to_owned(),
            Self::Keys { materials_max, .. } if materials_max >= needed => {
                "keys and cached key material are locked".to_owned()
            }
            Self::Keys { limit_bytes, materials_max } => format!(
                "keys are locked, cached key material only up to {materials_max} keys: RLIMIT_MEMLOCK is {}",
                size(limit_bytes)
            ),
            Self::Nothing { limit_bytes } => {
                format!("keys are not locked: RLIMIT_MEMLOCK is {}", size(limit_bytes))
            }
        }
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        bytes if bytes >= 1024 * 1024 => format!("{} MiB", bytes / (1024 * 1024)),
        bytes => format!("{} KiB", bytes / 1024),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_says_how_far_the_limit_goes() {
        assert_eq!(keys_within(8 << 20).describe(100_000), "keys and cached key material are locked");
        assert_eq!(
            keys_within(8 << 20).describe(130_049),
            "keys are locked, cached key material only up to 130048 keys: RLIMIT_MEMLOCK is 8 MiB"
        );
        assert_eq!(
            keys_within(64 << 10).describe(1000),
            "keys are locked, cached key material only up to 0 keys: RLIMIT_MEMLOCK is 64 KiB"
        );
        assert_eq!(
            LockedMemory::Nothing { limit_bytes: 0 }.describe(1000),
            "keys are not locked: RLIMIT_MEMLOCK is 0 KiB"
        );
        assert_eq!(LockedMemory::All.describe(1000), "all memory is locked");
    }
}
