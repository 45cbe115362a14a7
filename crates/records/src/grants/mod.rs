//! Grants: those of one principal on one key in memory, and the removal of those of destroyed keys.
//!
//! A decision that no policy has taken asks for the caller's grants on the key. They are read once, all of them, and kept
//! ([`cache`]) in a form that finds the one that allows without looking at the others ([`index`]).
//!
//! It guarantees that
//!
//! - once a commit has returned, no look-up finds a grant that it removed, nor misses one that it made: the committing
//!   thread applies each change to what is in memory before it answers, also to what is just being read;
//! - what is kept is bounded by [`CACHED_GRANTS_BYTES_MAX`](strongroom_types::limits::CACHED_GRANTS_BYTES_MAX);
//! - the grants of a destroyed key are nobody's: a grant is found only for the very key that it was made on.

mod cache;
mod index;
mod sweep;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use strongroom_policy::{GrantFacts, GrantOperation, GrantPrincipal};
use strongroom_types::{GrantId, limits};

pub(crate) use self::cache::GrantCache;
use self::cache::{Entry, Place};
use self::index::Index;
use crate::error::RecordsError;
use crate::records::Records;
use crate::sealed::{open, parse};
use crate::tables::grant::GrantRow;
use crate::tables::key::KeyRow;
use crate::writes::Loaded;

/// Rows read at once.
const PAGE_ROWS: usize = 500;

/// The grants of one principal on one key, as they stand now and after each commit.
pub struct GranteeGrants(Arc<Entry>);

/// Whether a principal's grants on a key can be looked at.
pub enum Readiness {
    /// They must be read first, and are too many to be read on an event loop.
    MustRead,
    Ready(GranteeGrants),
}

impl GranteeGrants {
    /// A grant on this key that allows the operation to a caller who goes by these names.
    pub fn find(
        &self,
        key: &KeyRow,
        caller_names: &[&str],
        operation: GrantOperation,
        facts: &GrantFacts<'_>,
    ) -> Option<Arc<Loaded<GrantRow>>> {
        let allows = |grant: &GrantRow| {
            // The tag only finds rows.
            grant.is_of(key) && grant.grantee.is_one_of(caller_names) && grant.terms.allow(operation, facts)
        };
        self.0.with_index(|index| index.find(operation, facts, allows)).flatten()
    }
}

impl Records {
    /// The grants on `key` of the principal with this name. `may_read_many`: whether this thread may take its time.
    pub fn grantee_grants(
        &self,
        key: &KeyRow,
        name: &str,
        may_read_many: bool,
    ) -> Result<Readiness, RecordsError> {
        let grantee = GrantPrincipal::Caller(name.into());
        let tag = GrantRow::grantee_tag(&key.key_id(), &grantee);
        let place = Place { region: key.region().clone(), key_id: key.key_id(), tag };
        let cache = self.grant_cache();
        if let Some(entry) = cache.ready(&place) {
            return Ok(Readiness::Ready(GranteeGrants(entry)));
        }
        if !may_read_many && key.grants() > limits::GRANTS_READ_AT_ONCE_MAX {
            return Ok(Readiness::MustRead);
        }
        let entry = cache.read(&place, || self.read_grants(&place))?;
        Ok(Readiness::Ready(GranteeGrants(entry)))
    }

    /// One grant on a key, from the store. A grant on an earlier key of the same id is none.
    pub fn grant(&self, key: &KeyRow, id: &GrantId) -> Result<Option<Loaded<GrantRow>>, RecordsError> {
        let grant = self.load::<GrantRow>(&GrantRow::address(key.region(), &key.key_id(), id))?;
        Ok(grant.filter(|grant| grant.is_of(key)))
    }

    fn read_grants(&self, place: &Place) -> Result<Index, RecordsError> {
        let prefix = GrantRow::grantee_prefix(&place.region, &place.key_id, place.tag);
        let mut index = Index::default();
        let mut after: Option<String> = None;
        loop {
            let page = self.store.scan(&prefix, after.as_deref(), PAGE_ROWS)?;
            after = page.last().map(|(address, _)| address.clone());
            let is_last = page.len() < PAGE_ROWS;
            for (address, row) in page {
                let address = parse(&address)?;
                self.check_trusted(&address)?;
                index.put(Arc::new(open(&self.keyring, &address, &row)?));
            }
            if is_last {
                return Ok(index);
            }
        }
    }
}
