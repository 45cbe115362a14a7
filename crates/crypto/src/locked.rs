//! Memory for keys: locked into RAM, left out of core dumps, and handed out in slots of 64 bytes.
//!
//! The allocator cannot give this. A page that is locked for one key would be locked for whatever else lies in it, and
//! unlocked with the first of them that is freed (mlock(2): locks do not nest). So keys lie in pages of their own, made with
//! mmap(2), MADV_DONTDUMP and mlock(2), cut into slots, and never given back to the system: a slot that is dropped is
//! wiped and used again. That a page lives for ever is also what lets a slot be an ordinary `&'static mut`, so that no
//! unsafe code is needed here, and reading a key costs what reading any other memory costs. Of the libraries that lock memory,
//! memmap2 is the one that has all three as safe functions: region cannot leave pages out of dumps, those of memsec and rustix
//! are unsafe to call, and secrets brings libsodium.
//!
//! Pages are of two [`Holding`]s. The ring's are taken whole at first use, 64 KiB for a thousand keys: as much as a process
//! may lock on any system (RLIMIT_MEMLOCK is 64 KiB before Linux 5.16, and 8 MiB since), so that nothing else can use the
//! limit up before a later domain key needs its place. Those of materials grow with what is cached, and where the limit is
//! met they grow unlocked, which [`key_memory`] tells.
//!
//! What it deliberately does not do: hide keys from whoever can read the process's memory; hold what AWS-LC makes of keys
//! (expanded AES keys, HMAC states, the checkpoint key pair), which lies in ordinary memory, wiped when freed; hold keys
//! of more than 64 bytes.
//!
//! State of the whole process, as every allocator's is: the limit it lives under is the process's.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use memmap2::{Advice, MmapMut};
use zeroize::Zeroize;

const HALF_BYTES: usize = 32;
/// The largest secret that a slot holds. Also a line of the processor's cache: two keys share none.
pub(crate) const SLOT_BYTES: usize = 2 * HALF_BYTES;
/// Taken from the system at once. Whole pages, also where those have 64 KiB.
const CHUNK_BYTES: usize = 64 * 1024;

type Memory = [[u8; HALF_BYTES]; 2];

/// What a slot is for, and with what it shares its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holding {
    /// Key material of the service's users, and keys that live for one command.
    Material,
    /// The root key, domain keys, service keys.
    Ring,
}

/// Where keys lie at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyMemory {
    /// Memory set apart for keys and locked.
    pub locked_bytes: usize,
    /// Key materials in memory that could not be locked.
    pub materials_unlocked: usize,
    /// Root, domain and service keys in memory that could not be locked.
    pub ring_unlocked: usize,
}

/// Where keys lie at the moment, for the log and the metrics.
pub fn key_memory() -> KeyMemory {
    let (ring, materials) = (RING.lock().tally, MATERIALS.lock().tally);
    KeyMemory {
        locked_bytes: ring.locked_bytes + materials.locked_bytes,
        materials_unlocked: materials.unlocked_in_use,
        ring_unlocked: ring.unlocked_in_use,
    }
}

/// Sets the memory of root key and keyring apart, which is done at the first key otherwise. Whether it is locked.
pub fn reserve_ring() -> bool {
    drop(Slot::new(Holding::Ring));
    let ring = RING.lock();
    ring.unlocked.is_empty() && !ring.locked.is_empty()
}

/// Bytes of memory that one cached symmetric key material takes.
pub const KEY_SLOT_BYTES: usize = SLOT_BYTES;
/// Memory that the root key and the keyring lock.
pub const RING_BYTES: usize = CHUNK_BYTES;

/// 64 bytes for one secret, zeros at first; wiped and given back when dropped.
pub(crate) struct Slot {
    holding: Holding,
    is_locked: bool,
    /// Always there, until it is dropped.
    memory: Option<&'static mut Memory>,
}

impl Slot {
    pub(crate) fn new(holding: Holding) -> Self {
        pool(holding).take(holding)
    }

    pub(crate) fn halves(&self) -> &Memory {
        match &self.memory {
            Some(memory) => memory,
            None => unreachable!("only drop takes the memory"),
        }
    }

    pub(crate) fn halves_mut(&mut self) -> &mut Memory {
        match &mut self.memory {
            Some(memory) => memory,
            None => unreachable!("only drop takes the memory"),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            pool(self.holding).give_back(memory, self.is_locked);
        }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot(..)")
    }
}

static MATERIALS: Pool = Pool::new();
static RING: Pool = Pool::new();

fn pool(holding: Holding) -> &'static Pool {
    match holding {
        Holding::Material => &MATERIALS,
        Holding::Ring => &RING,
    }
}

struct Pool(Mutex<Slots>);

/// Free slots, and how many of what kind there are. Slots in use are with whoever uses them.
struct Slots {
    locked: Vec<&'static mut Memory>,
    tally: Tally,
    unlocked: Vec<&'static mut Memory>,
}

#[derive(Clone, Copy)]
struct Tally {
    locked_bytes: usize,
    unlocked_in_use: usize,
}

impl Pool {
    const fn new() -> Self {
        let tally = Tally { locked_bytes: 0, unlocked_in_use: 0 };
        Self(Mutex::new(Slots { locked: Vec::new(), tally, unlocked: Vec::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, holding: Holding) -> Slot {
        let mut slots = self.lock();
        if slots.locked.is_empty() && slots.unlocked.is_empty() {
            slots.grow();
        }
        if let Some(memory) = slots.locked.pop() {
            return Slot { holding, is_locked: true, memory: Some(memory) };
        }
        slots.tally.unlocked_in_use += 1;
        // Without memory from the system there is the allocator's. It is kept like any other slot, so nothing leaks.
        let memory = slots.unlocked.pop().unwrap_or_else(|| Box::leak(Box::default()));
        Slot { holding, is_locked: false, memory: Some(memory) }
    }

    fn give_back(&self, memory: &'static mut Memory, is_locked: bool) {
        memory.as_flattened_mut().zeroize();
        let mut slots = self.lock();
        if is_locked {
            slots.locked.push(memory);
        } else {
            slots.tally.unlocked_in_use = slots.tally.unlocked_in_use.saturating_sub(1);
            slots.unlocked.push(memory);
        }
    }
}

impl Slots {
    /// Takes another chunk from the system, locked if the limit allows.
    fn grow(&mut self) {
        let Ok(chunk) = MmapMut::map_anon(CHUNK_BYTES) else { return };
        // Kernels that cannot leave it out of dumps still make none: the process is not dumpable.
        let _ = chunk.advise(Advice::DontDump);
        let is_locked = chunk.lock().is_ok();
        let chunk: &'static mut MmapMut = Box::leak(Box::new(chunk));
        let (halves, _) = chunk.as_chunks_mut::<HALF_BYTES>();
        let (slots, _) = halves.as_chunks_mut::<2>();
        if is_locked {
            self.tally.locked_bytes += CHUNK_BYTES;
            self.locked.extend(slots);
        } else {
            self.unlocked.extend(slots);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(slot: &Slot) -> usize {
        slot.halves().as_ptr() as usize
    }

    /// A pool of the test's own: others use the process's meanwhile. Its slots are given back by hand.
    fn take(pool: &Pool) -> (&'static mut Memory, bool) {
        let mut slot = pool.take(Holding::Material);
        (slot.memory.take().unwrap(), slot.is_locked)
    }

    #[test]
    fn a_slot_begins_as_zeros_and_holds_what_is_written() {
        let mut slot = Slot::new(Holding::Ring);
        assert_eq!(slot.halves().as_flattened(), [0; SLOT_BYTES]);
        slot.halves_mut().as_flattened_mut().fill(7);
        assert_eq!(slot.halves(), &[[7; 32]; 2]);
        assert_eq!(format!("{slot:?}"), "Slot(..)");
    }

    #[test]
    fn a_slot_that_comes_back_is_wiped() {
        let pool = Pool::new();
        let (memory, is_locked) = take(&pool);
        memory.as_flattened_mut().fill(0xee);
        let place = memory.as_ptr();
        pool.give_back(memory, is_locked);
        let (memory, _) = take(&pool);
        assert_eq!((memory.as_ptr(), memory.as_flattened()), (place, &[0; SLOT_BYTES][..]));
    }

    #[test]
    fn no_two_slots_are_one_and_slots_are_used_again() {
        let pool = Pool::new();
        let per_chunk = CHUNK_BYTES / SLOT_BYTES;
        let mut taken: Vec<_> = (0..=per_chunk).map(|_| take(&pool)).collect();
        let mut places: Vec<_> = taken.iter().map(|(memory, _)| memory.as_ptr() as usize).collect();
        places.sort_unstable();
        assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= SLOT_BYTES));
        let (memory, is_locked) = taken.pop().unwrap();
        let place = memory.as_ptr() as usize;
        pool.give_back(memory, is_locked);
        let (memory, _) = take(&pool);
        assert_eq!(memory.as_ptr() as usize, place);
    }

    #[test]
    fn the_tally_knows_what_is_locked() {
        let pool = Pool::new();
        let (memory, is_locked) = take(&pool);
        let tally = pool.lock().tally;
        // A test may run where nothing may be locked.
        assert_eq!(tally.locked_bytes, if is_locked { CHUNK_BYTES } else { 0 });
        assert_eq!(tally.unlocked_in_use, usize::from(!is_locked));
        pool.give_back(memory, is_locked);
        assert_eq!(pool.lock().tally.unlocked_in_use, 0);
    }

    /// `VmFlags` of proc_pid_smaps(5): `lo` is locked, `dd` is left out of core dumps.
    #[test]
    fn the_pages_of_keys_are_locked_and_left_out_of_dumps() {
        let slot = Slot::new(Holding::Ring);
        let place = address(&slot);
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut is_there = false;
        for line in smaps.lines() {
            let range = line.split_once(' ').and_then(|(range, _)| range.split_once('-'));
            let bounds = range.and_then(|(from, to)| {
                Some((usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?))
            });
            if let Some((from, to)) = bounds {
                is_there = (from..to).contains(&place);
            } else if is_there && let Some(flags) = line.strip_prefix("VmFlags:") {
                let flags: Vec<&str> = flags.split_whitespace().collect();
                assert!(flags.contains(&"dd"), "{flags:?}");
                assert_eq!(flags.contains(&"lo"), slot.is_locked, "{flags:?}");
                return;
            }
        }
        panic!("the slot is in no mapping");
    }

    #[test]
    fn threads_take_and_give_back_at_once() {
        let used = || {
            for round in 0..200_u8 {
                let mut slot = Slot::new(Holding::Material);
                assert_eq!(slot.halves(), &[[0; 32]; 2]);
                slot.halves_mut().as_flattened_mut().fill(round | 1);
                assert!(slot.halves().as_flattened().iter().all(|byte| *byte == round | 1));
            }
        };
        std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(used))));
    }
}
