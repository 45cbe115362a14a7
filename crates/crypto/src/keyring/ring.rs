//! Making and opening a keyring.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::hmac;
use aws_lc_rs::signature::Ed25519KeyPair;
use strongroom_types::RegionName;
use strongroom_types::limits::REGIONS_MAX;

use crate::checkpoint;
use crate::error::CryptoError;
use crate::keyring::versions::{DomainKeys, Versions};
use crate::keyring::{KeyringName, Scope, ServicePurpose};
use crate::pool::KeyPool;
use crate::root::{RootError, RootHolder, RootSecret};
use crate::secret::SecretKey;
use crate::state;

/// Every domain and service key, unwrapped. What it can do stands beside each format: rows, materials, blobs, markers,
/// row state, checkpoints.
pub struct Keyring {
    checkpoint: Ed25519KeyPair,
    /// How often another domain key version has become current.
    epoch: AtomicU64,
    global: DomainKeys,
    /// Keys for customers, made ahead. They are of no row yet.
    pool: KeyPool,
    /// Sorted by name: a deployment has a handful of regions, and binary search over them beats hashing.
    regions: Vec<(RegionName, DomainKeys)>,
    /// Derived once: it makes two MACs for every row that is written.
    row_state: hmac::Key,
    services: BTreeMap<ServicePurpose, Versions>,
}

/// One wrapped key of the ring, as its row keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyringEntry {
    pub name: KeyringName,
    pub wrapped: Vec<u8>,
}

/// Why a keyring cannot be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    #[error("the keyring cannot be assembled")]
    Crypto(#[from] CryptoError),
    #[error("`{name}` occurs twice")]
    DuplicateEntry { name: KeyringName },
    #[error("region `{region}` occurs twice")]
    DuplicateRegion { region: RegionName },
    #[error("`{name}` is no domain key of this scope")]
    ForeignEntry { name: KeyringName },
    #[error("`{name}` cannot be wrapped or unwrapped by the root key")]
    Root { name: KeyringName, source: RootError },
    #[error("a keyring has at most {REGIONS_MAX} regions")]
    TooManyRegions,
}

type NamedKeys = BTreeMap<KeyringName, SecretKey>;

impl Keyring {
    /// A new ring with the first version of every key, and its entries, to be stored before anything is sealed with it.
    pub fn create(
        root: &dyn RootHolder,
        regions: &[RegionName],
    ) -> Result<(Self, Vec<KeyringEntry>), KeyringError> {
        let mut keys = NamedKeys::new();
        keys.insert(KeyringName::GlobalDomain { version: 1 }, SecretKey::random_of_ring()?);
        for purpose in ServicePurpose::ALL {
            keys.insert(KeyringName::Service { purpose, version: 1 }, SecretKey::random_of_ring()?);
        }
        for region in regions {
            let name = KeyringName::RegionDomain { region: region.clone(), version: 1 };
            if keys.insert(name, SecretKey::random_of_ring()?).is_some() {
                return Err(KeyringError::DuplicateRegion { region: region.clone() });
            }
        }
        let entries = keys.iter().map(|(name, key)| wrap(root, name, key)).collect::<Result<_, _>>()?;
        Ok((Self::assemble(keys)?, entries))
    }

    /// The ring of stored entries. Every one must unwrap; the global domain key and every service key must be there.
    pub fn open(root: &dyn RootHolder, entries: &[KeyringEntry]) -> Result<Self, KeyringError> {
        let mut keys = NamedKeys::new();
        for entry in entries {
            if keys.insert(entry.name.clone(), unwrap(root, entry)?).is_some() {
                return Err(KeyringError::DuplicateEntry { name: entry.name.clone() });
            }
        }
        Self::assemble(keys)
    }

    /// Adds the first domain key of a region and returns its entry, to be stored before anything is sealed with it.
    pub fn add_region(
        &mut self,
        root: &dyn RootHolder,
        region: &RegionName,
    ) -> Result<KeyringEntry, KeyringError> {
        let Err(at) = self.position(region) else {
            return Err(KeyringError::DuplicateRegion { region: region.clone() });
        };
        if self.regions.len() >= REGIONS_MAX {
            return Err(KeyringError::TooManyRegions);
        }
        let name = KeyringName::RegionDomain { region: region.clone(), version: 1 };
        let key = SecretKey::random_of_ring()?;
        let entry = wrap(root, &name, &key)?;
        let domain_keys = DomainKeys::new(Scope::Region(region), vec![(1, key)])?;
        self.regions.insert(at, (region.clone(), domain_keys));
        Ok(entry)
    }

    /// Makes and wraps the next version of a scope's domain key. Nothing is sealed with it yet: whoever has stored the
    /// entry says so to [`take_up_domain_keys`](Self::take_up_domain_keys).
    pub fn next_domain_key(
        &self,
        root: &dyn RootHolder,
        scope: Scope<'_>,
    ) -> Result<KeyringEntry, KeyringError> {
        let (current, _) = self.domain_keys(scope)?.current();
        let version = current.checked_add(1).ok_or(CryptoError::Module)?;
        wrap(root, &KeyringName::domain(scope, version), &SecretKey::random_of_ring()?)
    }

    /// Makes the domain keys of a scope those of its stored entries: new versions are unwrapped, the newest seals from
    /// now on, and versions that are stored no longer are wiped. Refused whole if one does not open.
    pub fn take_up_domain_keys(
        &self,
        root: &dyn RootHolder,
        scope: Scope<'_>,
        entries: &[KeyringEntry],
    ) -> Result<(), KeyringError> {
        let domain_keys = self.domain_keys(scope)?;
        let known = domain_keys.numbers();
        let (mut keep, mut new) = (Vec::new(), Vec::new());
        for entry in entries {
            match entry.name.domain_version(scope) {
                Some(version) if known.contains(&version) => keep.push(version),
                Some(version) => new.push((version, unwrap(root, entry)?)),
                None => return Err(KeyringError::ForeignEntry { name: entry.name.clone() }),
            }
        }
        if keep.is_empty() && new.is_empty() {
            let scope = scope.to_string();
            return Err(CryptoError::MissingDomainKey { scope, version: 1 }.into());
        }
        // After the exchange, so that whoever reads the new epoch seals with the new key.
        if domain_keys.replace(&keep, new) {
            self.epoch.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }

    /// The versions of a scope's domain key, ascending; the last one seals.
    pub fn domain_key_versions(&self, scope: Scope<'_>) -> Result<Vec<u32>, CryptoError> {
        self.domain_keys(scope).map(DomainKeys::numbers)
    }

    /// Grows each time that another domain key version begins to seal. What was sealed between two readings of the same
    /// epoch was sealed under the versions that were current all the while.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// The regions that have domain keys, in the order of their names.
    pub fn regions(&self) -> impl Iterator<Item = &RegionName> {
        self.regions.iter().map(|(region, _)| region)
    }

    pub fn has_region(&self, region: &RegionName) -> bool {
        self.position(region).is_ok()
    }

    pub(crate) fn domain_keys(&self, scope: Scope<'_>) -> Result<&DomainKeys, CryptoError> {
        let found = match scope {
            Scope::Global => Some(&self.global),
            Scope::Region(region) => {
                self.position(region).ok().and_then(|at| self.regions.get(at)).map(|(_, keys)| keys)
            }
        };
        found.ok_or_else(|| CryptoError::MissingScope { scope: scope.to_string() })
    }

    pub(crate) fn service_keys(&self, purpose: ServicePurpose) -> Result<&Versions, CryptoError> {
        self.services.get(&purpose).ok_or(missing_service_key(purpose))
    }

    pub(crate) fn pool(&self) -> &KeyPool {
        &self.pool
    }

    pub(crate) fn row_state_key(&self) -> &hmac::Key {
        &self.row_state
    }

    pub(crate) fn checkpoint_key(&self) -> &Ed25519KeyPair {
        &self.checkpoint
    }

    pub(crate) fn assemble(keys: NamedKeys) -> Result<Self, KeyringError> {
        let mut global = Vec::new();
        let mut regions = BTreeMap::<RegionName, Vec<_>>::new();
        let mut services = BTreeMap::<ServicePurpose, Vec<_>>::new();
        for (name, key) in keys {
            match name {
                KeyringName::GlobalDomain { version } => global.push((version, key)),
                KeyringName::RegionDomain { region, version } => {
                    regions.entry(region).or_default().push((version, key));
                }
                KeyringName::Service { purpose, version } => {
                    services.entry(purpose).or_default().push((version, key));
                }
            }
        }
        if regions.len() > REGIONS_MAX {
            return Err(KeyringError::TooManyRegions);
        }
        let global = DomainKeys::new(Scope::Global, global)?;
        let regions = regions.into_iter().map(|(region, keys)| {
            let keys = DomainKeys::new(Scope::Region(&region), keys)?;
            Ok((region, keys))
        });
        let regions = regions.collect::<Result<_, CryptoError>>()?;
        let services: BTreeMap<_, _> = services
            .into_iter()
            .filter_map(|(purpose, keys)| Versions::new(keys).map(|versions| (purpose, versions)))
            .collect();
        for purpose in ServicePurpose::ALL {
            if !services.contains_key(&purpose) {
                return Err(missing_service_key(purpose).into());
            }
        }
        let seeds = services.get(&ServicePurpose::Checkpoint);
        let (_, seed) = seeds.ok_or(missing_service_key(ServicePurpose::Checkpoint))?.current();
        let checkpoint = checkpoint::key_pair(seed)?;
        let row_state = state::mac_key(&services)?;
        let (epoch, pool) = (AtomicU64::new(0), KeyPool::default());
        Ok(Self { checkpoint, epoch, global, pool, regions, row_state, services })
    }

    fn position(&self, region: &RegionName) -> Result<usize, usize> {
        self.regions.binary_search_by(|(name, _)| name.cmp(region))
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} regions)", self.regions.len())
    }
}

fn wrap(root: &dyn RootHolder, name: &KeyringName, key: &SecretKey) -> Result<KeyringEntry, KeyringError> {
    let wrapped = RootSecret::new(key.expose()).and_then(|secret| root.wrap(&name.root_purpose(), &secret));
    match wrapped {
        Ok(wrapped) => Ok(KeyringEntry { name: name.clone(), wrapped }),
        Err(source) => Err(KeyringError::Root { name: name.clone(), source }),
    }
}

fn unwrap(root: &dyn RootHolder, entry: &KeyringEntry) -> Result<SecretKey, KeyringError> {
    let failed = |source| KeyringError::Root { name: entry.name.clone(), source };
    let secret = root.unwrap(&entry.name.root_purpose(), &entry.wrapped).map_err(failed)?;
    let mut key = SecretKey::zeroed_of_ring();
    if secret.expose().len() != key.expose().len() {
        return Err(failed(RootError::MalformedWrapping));
    }
    key.expose_mut().copy_from_slice(secret.expose());
    Ok(key)
}

fn missing_service_key(purpose: ServicePurpose) -> CryptoError {
    CryptoError::MissingServiceKey { purpose: purpose.as_str() }
}

#[cfg(test)]
mod tests;
