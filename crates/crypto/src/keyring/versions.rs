//! The versions of one line of keys, and a region's domain keys.

use crate::error::CryptoError;
use crate::keyring::Scope;
use crate::secret::SecretKey;

/// Keys by version, at least one. The newest makes, every one opens.
pub(crate) struct Versions {
    current: (u32, SecretKey),
    /// Ascending.
    older: Vec<(u32, SecretKey)>,
}

impl Versions {
    /// None for no keys at all. INVARIANT: the caller has seen to it that no version occurs twice.
    pub(crate) fn new(mut keys: Vec<(u32, SecretKey)>) -> Option<Self> {
        keys.sort_unstable_by_key(|(version, _)| *version);
        let current = keys.pop()?;
        Some(Self { current, older: keys })
    }

    pub(crate) fn current(&self) -> (u32, &SecretKey) {
        (self.current.0, &self.current.1)
    }

    pub(crate) fn version(&self, version: u32) -> Option<&SecretKey> {
        if version == self.current.0 {
            return Some(&self.current.1);
        }
        let at = self.older.binary_search_by_key(&version, |(version, _)| *version).ok()?;
        self.older.get(at).map(|(_, key)| key)
    }

    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &SecretKey> {
        std::iter::once(&self.current.1).chain(self.older.iter().rev().map(|(_, key)| key))
    }
}

/// The domain keys of one scope.
pub(crate) struct DomainKeys {
    keys: Versions,
}

impl DomainKeys {
    pub(crate) fn new(scope: Scope<'_>, keys: Vec<(u32, SecretKey)>) -> Result<Self, CryptoError> {
        let missing = || CryptoError::MissingDomainKey { scope: scope.to_string(), version: 1 };
        Ok(Self { keys: Versions::new(keys).ok_or_else(missing)? })
    }

    pub(crate) fn current(&self) -> (u32, &SecretKey) {
        self.keys.current()
    }

    pub(crate) fn version(&self, scope: Scope<'_>, version: u32) -> Result<&SecretKey, CryptoError> {
        self.keys
            .version(version)
            .ok_or_else(|| CryptoError::MissingDomainKey { scope: scope.to_string(), version })
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
    fn a_scope_without_domain_keys_is_refused() {
        let missing = CryptoError::MissingDomainKey { scope: "global".to_owned(), version: 1 };
        assert_eq!(DomainKeys::new(Scope::Global, vec![]).map(|_| ()).unwrap_err(), missing);
        // Older versions may have been destroyed.
        assert!(DomainKeys::new(Scope::Global, vec![(2, secret_key(2))]).is_ok());
    }
}
