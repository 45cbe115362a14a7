//! The versions of one line of keys, and a region's domain keys.

use std::sync::{Arc, PoisonError, RwLock};

use crate::error::CryptoError;
use crate::keyring::Scope;
use crate::secret::SecretKey;

/// Keys by version, at least one. The newest makes, every one opens.
pub(crate) struct Versions {
    current: (u32, Arc<SecretKey>),
    /// Ascending.
    older: Vec<(u32, Arc<SecretKey>)>,
}

impl Versions {
    /// None for no keys at all. INVARIANT: the caller has seen to it that no version occurs twice.
    pub(crate) fn new(keys: Vec<(u32, SecretKey)>) -> Option<Self> {
        Self::shared(keys.into_iter().map(|(version, key)| (version, Arc::new(key))).collect())
    }

    fn shared(mut keys: Vec<(u32, Arc<SecretKey>)>) -> Option<Self> {
        keys.sort_unstable_by_key(|(version, _)| *version);
        let current = keys.pop()?;
        Some(Self { current, older: keys })
    }

    pub(crate) fn current(&self) -> (u32, &SecretKey) {
        (self.current.0, &self.current.1)
    }

    pub(crate) fn version(&self, version: u32) -> Option<&Arc<SecretKey>> {
        if version == self.current.0 {
            return Some(&self.current.1);
        }
        let at = self.older.binary_search_by_key(&version, |(version, _)| *version).ok()?;
        self.older.get(at).map(|(_, key)| key)
    }

    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &SecretKey> {
        std::iter::once(&*self.current.1).chain(self.older.iter().rev().map(|(_, key)| &**key))
    }

    fn numbers(&self) -> Vec<u32> {
        self.older.iter().map(|(version, _)| *version).chain([self.current.0]).collect()
    }
}

/// The domain keys of one scope. They come and go while the process runs, behind a lock that is held only to copy a
/// pointer; a version that is dropped is wiped when the last seal or opening under way with it has ended.
pub(crate) struct DomainKeys {
    keys: RwLock<Arc<Versions>>,
}

impl DomainKeys {
    pub(crate) fn new(scope: Scope<'_>, keys: Vec<(u32, SecretKey)>) -> Result<Self, CryptoError> {
        let missing = || CryptoError::MissingDomainKey { scope: scope.to_string(), version: 1 };
        Ok(Self { keys: RwLock::new(Arc::new(Versions::new(keys).ok_or_else(missing)?)) })
    }

    pub(crate) fn current(&self) -> (u32, Arc<SecretKey>) {
        let versions = self.versions();
        (versions.current.0, Arc::clone(&versions.current.1))
    }

    pub(crate) fn version(&self, scope: Scope<'_>, version: u32) -> Result<Arc<SecretKey>, CryptoError> {
        let versions = self.versions();
        let key = versions.version(version);
        key.cloned().ok_or_else(|| CryptoError::MissingDomainKey { scope: scope.to_string(), version })
    }

    /// Ascending; the last one is current.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.versions().numbers()
    }

    /// Keeps the versions that `keep` names, adds new ones, and tells whether another version is current now. Nothing
    /// happens if nothing would remain.
    pub(crate) fn replace(&self, keep: &[u32], new: Vec<(u32, SecretKey)>) -> bool {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let kept = keep.iter().filter_map(|kept| Some((*kept, Arc::clone(keys.version(*kept)?))));
        let new = new.into_iter().map(|(version, key)| (version, Arc::new(key)));
        let Some(next) = Versions::shared(kept.chain(new).collect()) else { return false };
        let has_new_current = next.current.0 != keys.current.0;
        *keys = Arc::new(next);
        has_new_current
    }

    fn versions(&self) -> Arc<Versions> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::secret_key;

    #[test]
    fn the_newest_is_current_and_every_version_is_found() {
        assert!(Versions::new(Vec::new()).is_none());
        let versions = Versions::new([3, 1, 7].map(|n| (u32::from(n), secret_key(n))).into()).unwrap();
        assert_eq!(versions.current().0, 7);
        for missing in [0, 2, 4, 8, u32::MAX] {
            assert!(versions.version(missing).is_none());
        }
        for version in [1_u8, 3, 7] {
            assert_eq!(versions.version(u32::from(version)).unwrap().expose(), &[version; 32]);
        }
        let order: Vec<u8> = versions.newest_first().map(|key| key.expose()[0]).collect();
        assert_eq!(order, [7, 3, 1]);
    }

    #[test]
    fn domain_keys_are_replaced_whole() {
        let keys = DomainKeys::new(Scope::Global, vec![(1, secret_key(1)), (2, secret_key(2))]).unwrap();
        assert!(!keys.replace(&[], Vec::new()));
        assert_eq!(keys.numbers(), [1, 2]);
        let old = keys.version(Scope::Global, 1).unwrap();
        assert!(keys.replace(&[1, 2], vec![(3, secret_key(3))]));
        assert_eq!((keys.numbers(), keys.current().0), (vec![1, 2, 3], 3));
        assert!(!keys.replace(&[2, 3, 9], Vec::new()));
        assert_eq!(keys.numbers(), [2, 3]);
        assert!(keys.version(Scope::Global, 1).is_err());
        // Whoever held it may end what they began.
        assert_eq!(old.expose(), &[1; 32]);
    }

    #[test]
    fn a_scope_without_domain_keys_is_refused() {
        let missing = CryptoError::MissingDomainKey { scope: "global".to_owned(), version: 1 };
        assert_eq!(DomainKeys::new(Scope::Global, vec![]).map(|_| ()).unwrap_err(), missing);
        // Older versions may have been destroyed.
        assert!(DomainKeys::new(Scope::Global, vec![(2, secret_key(2))]).is_ok());
    }
}
