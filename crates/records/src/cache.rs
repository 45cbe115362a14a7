//! Rows kept in memory, never older than the last commit that has returned.
//!
//! INVARIANT (decisions are never stale): once a commit has returned, no lookup yields the row it replaced. Two roads
//! lead into the cache. The committing thread [`applies`](RowCache::apply) its change after the store has it and before
//! it answers. A reader that misses [`fills`](RowCache::fill) the cache from the store; between its read and its
//! insert a commit may have passed, so it notes its shard's generation before reading and inserts only if no change
//! was applied since.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use quick_cache::sync::Cache;

use crate::error::RecordsError;

/// Enough that two fills seldom meet; a power of two.
const SHARDS: u64 = 64;

pub(crate) struct RowCache<K, V> {
    rows: Cache<K, Arc<V>>,
    shards: Vec<Shard>,
    hasher: RandomState,
}

#[derive(Default)]
struct Shard {
    /// Grows with every change applied to a row of this shard.
    generation: AtomicU64,
    /// Held while the cache is changed, so that "no change since" and "insert" are one step.
    changing: Mutex<()>,
}

impl<K: Hash + Eq + Clone, V> RowCache<K, V> {
    pub(crate) fn new(rows_max: usize) -> Self {
        Self {
            rows: Cache::new(rows_max),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The row, from memory or through `load`.
    pub(crate) fn get_or_load(
        &self,
        key: &K,
        load: impl FnOnce() -> Result<Option<V>, RecordsError>,
    ) -> Result<Option<Arc<V>>, RecordsError> {
        match self.rows.get(key) {
            Some(row) => Ok(Some(row)),
            None => self.fill(key, load),
        }
    }

    #[cold]
    fn fill(
        &self,
        key: &K,
        load: impl FnOnce() -> Result<Option<V>, RecordsError>,
    ) -> Result<Option<Arc<V>>, RecordsError> {
        let Some(shard) = self.shard(key) else { return Ok(load()?.map(Arc::new)) };
        let generation = shard.generation.load(Ordering::Acquire);
        let Some(row) = load()?.map(Arc::new) else { return Ok(None) };
        let _changing = shard.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if shard.generation.load(Ordering::Acquire) == generation {
            self.rows.insert(key.clone(), Arc::clone(&row));
        }
        Ok(Some(row))
    }

    /// Makes the cache say what the store says now: the new row, or nothing.
    pub(crate) fn apply(&self, key: K, row: Option<V>) {
        let shard = self.shard(&key);
        let _changing = shard.map(|shard| {
            let guard = shard.changing.lock().unwrap_or_else(PoisonError::into_inner);
            shard.generation.fetch_add(1, Ordering::AcqRel);
            guard
        });
        match row {
            Some(row) => self.rows.insert(key, Arc::new(row)),
            None => {
                self.rows.remove(&key);
            }
        }
    }

    fn shard(&self, key: &K) -> Option<&Shard> {
        let place = self.hasher.hash_one(key) % SHARDS;
        self.shards.get(usize::try_from(place).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fill_that_a_commit_overtook_is_not_kept() {
        let cache = RowCache::new(16);
        let got = cache
            .get_or_load(&1, || {
                cache.apply(1, Some("new"));
                Ok(Some("old"))
            })
            .unwrap();
        assert_eq!(got.as_deref(), Some(&"old"));
        assert_eq!(cache.get_or_load(&1, || Ok(None)).unwrap().as_deref(), Some(&"new"));
    }

    #[test]
    fn a_fill_that_a_deletion_overtook_is_not_kept() {
        let cache = RowCache::new(16);
        cache
            .get_or_load(&1, || {
                cache.apply(1, None);
                Ok(Some("old"))
            })
            .unwrap();
        assert_eq!(cache.get_or_load(&1, || Ok(None)).unwrap(), None);
    }

    #[test]
    fn absence_and_failure_are_not_kept() {
        let cache = RowCache::<u8, &str>::new(16);
        assert!(cache.get_or_load(&1, || Err(RecordsError::MissingRow { address: "x".into() })).is_err());
        assert_eq!(cache.get_or_load(&1, || Ok(None)).unwrap(), None);
        assert_eq!(cache.get_or_load(&1, || Ok(Some("row"))).unwrap().as_deref(), Some(&"row"));
        assert_eq!(cache.get_or_load(&1, || panic!("kept")).unwrap().as_deref(), Some(&"row"));
    }

    #[test]
    fn the_cache_is_bounded() {
        let cache = RowCache::new(100);
        for n in 0..10_000 {
            cache.apply(n, Some(n));
        }
        assert!(cache.len() <= 100);
    }
}
