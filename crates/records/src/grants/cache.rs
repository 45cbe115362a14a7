//! Which principals' grants are in memory, and how a committed change reaches them.
//!
//! INVARIANT (decisions are never stale): an entry is in the map before its grants are read, and the committing thread tells
//! every change to the entry that is in the map, after the store has it and before it answers. While grants are being read
//! their changes are noted, and done once they are read. An entry that was dropped from the map is used no longer than by
//! the requests that hold it, which began before the next change.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use strongroom_types::{GrantId, KeyId, RegionName, limits};

use super::index::Index;
use crate::error::RecordsError;
use crate::tables::grant::GrantRow;
use crate::writes::Loaded;

/// Enough that two requests seldom meet.
const STRIPES: usize = 64;
/// What an entry without grants occupies, about.
const ENTRY_BYTES: usize = 512;
/// Changes noted while grants are being read. More, and what was read is used once and not kept.
const CHANGES_MAX: usize = 4096;

/// Whose grants, on which key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) region: RegionName,
    pub(super) key_id: KeyId,
    pub(super) tag: [u8; 16],
}

pub(crate) struct GrantCache {
    hasher: RandomState,
    stripes: Vec<RwLock<HashMap<Place, Arc<Entry>>>>,
    weight_bytes: Arc<AtomicUsize>,
    weight_bytes_max: usize,
}

pub(super) struct Entry {
    /// Held by whoever reads the grants, so that they are read once.
    reading: Mutex<()>,
    state: RwLock<State>,
    /// Of all entries, to be given back.
    total_bytes: Arc<AtomicUsize>,
    own_bytes: AtomicUsize,
}

enum State {
    Reading { changes: Vec<Change>, are_lost: bool },
    Ready(Index),
}

enum Change {
    Put(Arc<Loaded<GrantRow>>),
    Remove(GrantId),
}

impl Default for GrantCache {
    fn default() -> Self {
        Self::new(limits::CACHED_GRANTS_BYTES_MAX)
    }
}

impl GrantCache {
    pub(super) fn new(weight_bytes_max: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            stripes: (0..STRIPES).map(|_| RwLock::default()).collect(),
            weight_bytes: Arc::default(),
            weight_bytes_max,
        }
    }

    /// The grants, if they are in memory.
    pub(super) fn ready(&self, place: &Place) -> Option<Arc<Entry>> {
        self.entry(place).filter(|entry| entry.is_ready())
    }

    /// The grants, read by `read` if they are not in memory.
    pub(super) fn read(
        &self,
        place: &Place,
        read: impl FnOnce() -> Result<Index, RecordsError>,
    ) -> Result<Arc<Entry>, RecordsError> {
        let entry = match self.entry(place) {
            Some(entry) => entry,
            None => self.insert(place),
        };
        let reading = entry.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if entry.is_ready() {
            drop(reading);
            return Ok(entry);
        }
        // What was noted before is in the store by now.
        *entry.write() = State::Reading { changes: Vec::new(), are_lost: false };
        let index = match read() {
            Ok(index) => index,
            Err(error) => {
                self.drop_entry(place, &entry);
                return Err(error);
            }
        };
        let entry = match entry.publish(index) {
            None => Arc::clone(&entry),
            Some(index) => {
                self.drop_entry(place, &entry);
                Arc::new(Entry::new(State::Ready(index), &Arc::default()))
            }
        };
        drop(reading);
        if self.weight_bytes.load(Ordering::Relaxed) > self.weight_bytes_max {
            self.clear();
        }
        Ok(entry)
    }

    /// A grant was made, or sealed anew.
    pub(crate) fn put(&self, region: &RegionName, grant: Loaded<GrantRow>) {
        if let Some(entry) = self.entry(&place_of(region, &grant.key_id, &grant.grant_id)) {
            entry.apply(Change::Put(Arc::new(grant)));
        }
    }

    pub(crate) fn remove(&self, region: &RegionName, key_id: &KeyId, id: &GrantId) {
        if let Some(entry) = self.entry(&place_of(region, key_id, id)) {
            entry.apply(Change::Remove(*id));
        }
    }

    /// Nobody knows what became of this grant: all that stand with it are to be read again.
    pub(crate) fn forget(&self, region: &RegionName, key_id: &KeyId, id: &GrantId) {
        let place = place_of(region, key_id, id);
        if let Some(stripe) = self.stripe(&place) {
            stripe.write().unwrap_or_else(PoisonError::into_inner).remove(&place);
        }
    }

    fn entry(&self, place: &Place) -> Option<Arc<Entry>> {
        let entries = self.stripe(place)?.read().unwrap_or_else(PoisonError::into_inner);
        entries.get(place).cloned()
    }

    fn insert(&self, place: &Place) -> Arc<Entry> {
        if self.weight_bytes.load(Ordering::Relaxed) > self.weight_bytes_max {
            self.clear();
        }
        let new = || {
            let state = State::Reading { changes: Vec::new(), are_lost: false };
            Arc::new(Entry::new(state, &self.weight_bytes))
        };
        let Some(stripe) = self.stripe(place) else { return new() };
        let mut entries = stripe.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(entries.entry(place.clone()).or_insert_with(new))
    }

    fn drop_entry(&self, place: &Place, entry: &Arc<Entry>) {
        let Some(stripe) = self.stripe(place) else { return };
        let mut entries = stripe.write().unwrap_or_else(PoisonError::into_inner);
        if entries.get(place).is_some_and(|found| Arc::ptr_eq(found, entry)) {
            entries.remove(place);
        }
    }

    fn clear(&self) {
        for stripe in &self.stripes {
            stripe.write().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    fn stripe(&self, place: &Place) -> Option<&RwLock<HashMap<Place, Arc<Entry>>>> {
        let at = self.hasher.hash_one(place) % STRIPES as u64;
        self.stripes.get(usize::try_from(at).unwrap_or_default())
    }

    #[cfg(test)]
    pub(super) fn weight_bytes(&self) -> usize {
        self.weight_bytes.load(Ordering::Relaxed)
    }
}

impl Entry {
    fn new(state: State, total_bytes: &Arc<AtomicUsize>) -> Self {
        total_bytes.fetch_add(ENTRY_BYTES, Ordering::Relaxed);
        Self {
            reading: Mutex::default(),
            state: RwLock::new(state),
            total_bytes: Arc::clone(total_bytes),
            own_bytes: AtomicUsize::new(ENTRY_BYTES),
        }
    }

    /// `None` while they are being read.
    pub(super) fn with_index<T>(&self, look: impl FnOnce(&Index) -> T) -> Option<T> {
        match &*self.state() {
            State::Ready(index) => Some(look(index)),
            State::Reading { .. } => None,
        }
    }

    fn is_ready(&self) -> bool {
        matches!(&*self.state(), State::Ready(_))
    }

    /// Does what was noted while the index was read, and shows it. Gives it back if too much was to be noted.
    fn publish(&self, mut index: Index) -> Option<Index> {
        let mut state = self.write();
        if let State::Reading { changes, are_lost } = &mut *state {
            if *are_lost {
                return Some(index);
            }
            changes.drain(..).for_each(|change| change.apply(&mut index));
        }
        self.weigh(&index);
        *state = State::Ready(index);
        None
    }

    fn apply(&self, change: Change) {
        match &mut *self.write() {
            State::Reading { changes, are_lost } if changes.len() < CHANGES_MAX && !*are_lost => {
                changes.push(change);
            }
            State::Reading { changes, are_lost } => {
                *are_lost = true;
                *changes = Vec::new();
            }
            State::Ready(index) => {
                change.apply(index);
                self.weigh(index);
            }
        }
    }

    fn weigh(&self, index: &Index) {
        let now = ENTRY_BYTES + index.weight_bytes();
        let before = self.own_bytes.swap(now, Ordering::Relaxed);
        self.total_bytes.fetch_add(now, Ordering::Relaxed);
        self.total_bytes.fetch_sub(before, Ordering::Relaxed);
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.total_bytes.fetch_sub(*self.own_bytes.get_mut(), Ordering::Relaxed);
    }
}

impl Change {
    fn apply(self, index: &mut Index) {
        match self {
            Self::Put(grant) => index.put(grant),
            Self::Remove(id) => index.remove(&id),
        }
    }
}

fn place_of(region: &RegionName, key_id: &KeyId, id: &GrantId) -> Place {
    Place { region: region.clone(), key_id: *key_id, tag: id.grantee_tag() }
}
