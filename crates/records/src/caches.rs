//! The caches of one process: which tables are kept in memory, and how a committed change reaches them.

use strongroom_types::{AccessKeyId, AccountId, AliasName, KeyId, RegionName, UniqueId};

use crate::address::{Address, RowScope, Table};
use crate::cache::RowCache;
use crate::grants::GrantCache;
use crate::tables::access_key::AccessKeyRow;
use crate::tables::alias::AliasRow;
use crate::tables::grant::GrantRow;
use crate::tables::identity::IdentityRow;
use crate::tables::key::KeyRow;
use crate::tables::outbox::OutboxRow;
use crate::writes::{Kept, Loaded, Mark};

pub(crate) type KeyCache = RowCache<(RegionName, KeyId), Loaded<KeyRow>>;
pub(crate) type AliasCache = RowCache<(RegionName, AccountId, AliasName), Loaded<AliasRow>>;
pub(crate) type IdentityCache = RowCache<UniqueId, Loaded<IdentityRow>>;
pub(crate) type AccessKeyCache = RowCache<AccessKeyId, Loaded<AccessKeyRow>>;

pub(crate) struct Caches {
    pub(crate) access_keys: AccessKeyCache,
    pub(crate) aliases: AliasCache,
    pub(crate) grants: GrantCache,
    pub(crate) identities: IdentityCache,
    pub(crate) keys: KeyCache,
}

/// What memory must say of an address once the batch is applied.
pub(crate) struct Change {
    pub(crate) address: Address,
    pub(crate) row: Option<(Mark, Kept)>,
}

impl Caches {
    pub(crate) fn new(rows_max: usize) -> Self {
        Self {
            access_keys: RowCache::new(rows_max),
            aliases: RowCache::new(rows_max),
            grants: GrantCache::default(),
            identities: RowCache::new(rows_max),
            keys: RowCache::new(rows_max),
        }
    }

    /// Puts a change into the cache of its table; returns an outbox row, which no cache keeps.
    pub(crate) fn apply(&self, change: Change) -> Option<Loaded<OutboxRow>> {
        let Change { address, row } = change;
        match row {
            Some((mark, Kept::Key(row))) => {
                let place = (row.region().clone(), row.key_id());
                self.keys.apply(place, Some(Loaded::new(address, mark, *row)));
            }
            Some((mark, Kept::Grant(row))) => {
                if let RowScope::Region(region) = address.scope().clone() {
                    self.grants.put(&region, Loaded::new(address, mark, *row));
                }
            }
            None if address.table() == Table::Grant => {
                if let (RowScope::Region(region), Some((key_id, grant_id))) =
                    (address.scope(), GrantRow::parse_address(&address))
                {
                    self.grants.remove(region, &key_id, &grant_id);
                }
            }
            Some((mark, Kept::Alias(row))) => {
                if let (RowScope::Region(region), Some((account, name))) =
                    (address.scope().clone(), AliasRow::parse_address(&address))
                {
                    self.aliases.apply((region, account, name), Some(Loaded::new(address, mark, row)));
                }
            }
            Some((mark, Kept::AccessKey(row))) => {
                if let Ok(id) = AccessKeyId::parse(&row.access_key_id) {
                    self.access_keys.apply(id, Some(Loaded::new(address, mark, row)));
                }
            }
            Some((mark, Kept::Identity(row))) => {
                self.identities.apply(row.unique_id(), Some(Loaded::new(address, mark, *row)));
            }
            Some((mark, Kept::Outbox(row))) => return Some(Loaded::new(address, mark, row)),
            Some((_, Kept::Nowhere)) => {}
            Some((_, Kept::Unread)) | None => self.forget(&address),
        }
        None
    }

    /// Drops what is kept of an address: it was deleted, or its state is not known.
    pub(crate) fn forget(&self, address: &Address) {
        let RowScope::Region(region) = address.scope() else {
            if let (Table::AccessKey, Ok(id)) = (address.table(), AccessKeyId::parse(address.rest())) {
                self.access_keys.apply(id, None);
            }
            if let (Table::Identity, Ok(id)) = (address.table(), UniqueId::parse(address.rest())) {
                self.identities.apply(id, None);
            }
            return;
        };
        match address.table() {
            Table::Key => {
                if let Ok(key_id) = KeyId::parse(address.rest()) {
                    self.keys.apply((region.clone(), key_id), None);
                }
            }
            Table::Alias => {
                if let Some((account, name)) = AliasRow::parse_address(address) {
                    self.aliases.apply((region.clone(), account, name), None);
                }
            }
            Table::Grant => {
                if let Some((key_id, grant_id)) = GrantRow::parse_address(address) {
                    self.grants.forget(region, &key_id, &grant_id);
                }
            }
            Table::AccessKey
            | Table::Account
            | Table::AccountKey
            | Table::Deployment
            | Table::DomainKey
            | Table::KeyUsage
            | Table::OrphanedGrants
            | Table::Identity
            | Table::IdentityName
            | Table::Outbox
            | Table::Retirable
            | Table::State
            | Table::UsageTracking => {}
        }
    }
}
