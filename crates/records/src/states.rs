//! The states of all shards: what each holds, as one number that every batch moves.

use std::collections::HashMap;

use strongroom_crypto::{Keyring, SetHash};
use strongroom_store::{Op, Store};
use strongroom_types::RegionName;

use crate::address::{Address, RowScope};
use crate::error::RecordsError;
use crate::sealed::{cell, load};
use crate::standing::{ShardStanding, Standing};
use crate::tables::Row;
use crate::tables::state::StateRow;
use crate::writes::Mark;

/// How a batch moves a shard's state.
pub(crate) struct Delta {
    pub(crate) scope: RowScope,
    pub(crate) hash: SetHash,
    pub(crate) rows_added: u64,
    pub(crate) rows_removed: u64,
}

/// The states of all shards as the last commit left them.
#[derive(Clone, Default)]
pub(crate) struct States {
    shards: HashMap<RowScope, ShardState>,
}

#[derive(Clone)]
struct ShardState {
    version: u64,
    row: StateRow,
    touched: bool,
}

impl States {
    pub(crate) fn insert(&mut self, scope: RowScope, version: u64, row: StateRow) {
        self.shards.insert(scope, ShardState { version, row, touched: false });
    }

    /// A shard that has no state row yet and is to get one.
    pub(crate) fn insert_new(&mut self, scope: RowScope) {
        self.shards.insert(scope, ShardState { version: 0, row: StateRow::default(), touched: true });
    }

    pub(crate) fn apply(&mut self, deltas: &[Delta]) {
        for delta in deltas {
            let shard = self.shards.entry(delta.scope.clone()).or_insert_with(|| ShardState {
                version: 0,
                row: StateRow::default(),
                touched: false,
            });
            let mut hash = SetHash::from_bytes(shard.row.set_hash);
            hash.xor(delta.hash.as_bytes());
            shard.row.set_hash = *hash.as_bytes();
            shard.row.rows =
                shard.row.rows.saturating_add(delta.rows_added).saturating_sub(delta.rows_removed);
            shard.touched = true;
        }
    }

    /// The sealed state rows of the shards that changed, each one version further.
    pub(crate) fn seal_touched(&mut self, keyring: &Keyring) -> Result<Vec<Op>, RecordsError> {
        let touched = self.shards.iter_mut().filter(|(_, shard)| shard.touched);
        touched.map(|(scope, shard)| seal_state(keyring, scope, shard)).collect()
    }

    pub(crate) fn seal_all(&mut self, keyring: &Keyring) -> Result<Vec<Op>, RecordsError> {
        self.shards.iter_mut().map(|(scope, shard)| seal_state(keyring, scope, shard)).collect()
    }

    pub(crate) fn settle(&mut self) {
        for shard in self.shards.values_mut() {
            shard.touched = false;
        }
    }

    /// All shards in the order of their names.
    pub(crate) fn standing(&self) -> Standing {
        let mut shards: Vec<_> = self.shards.iter().collect();
        shards.sort_unstable_by_key(|(scope, _)| *scope);
        let standing = |(scope, shard): (&RowScope, &ShardState)| ShardStanding {
            shard: scope.as_str().to_owned(),
            version: shard.version,
            set_hash: shard.row.set_hash,
            rows: shard.row.rows,
        };
        Standing(shards.into_iter().map(standing).collect())
    }

    pub(crate) fn row(&self, scope: &RowScope) -> Option<&StateRow> {
        self.shards.get(scope).map(|shard| &shard.row)
    }
}

fn seal_state(keyring: &Keyring, scope: &RowScope, shard: &mut ShardState) -> Result<Op, RecordsError> {
    let address = StateRow::address(scope);
    shard.version = shard.version.saturating_add(1);
    let value = keyring
        .seal_row(&cell(&address, shard.version), &shard.row.encode())
        .map_err(|source| RecordsError::Seal { address: address.to_string(), source })?;
    Ok(Op::Put { address: address.as_str().to_owned(), version: shard.version, value })
}

/// Every shard of a deployment.
pub(crate) fn scopes(regions: &[RegionName]) -> impl Iterator<Item = RowScope> + '_ {
    std::iter::once(RowScope::Global).chain(regions.iter().cloned().map(RowScope::Region))
}

pub(crate) fn load_states(
    store: &dyn Store,
    keyring: &Keyring,
    regions: &[RegionName],
) -> Result<States, RecordsError> {
    let mut states = States::default();
    for scope in scopes(regions) {
        let address = StateRow::address(&scope);
        let loaded = load::<StateRow>(store, keyring, &address)?
            .ok_or_else(|| RecordsError::MissingRow { address: address.to_string() })?;
        states.insert(scope, loaded.version(), (*loaded).clone());
    }
    Ok(states)
}

pub(crate) fn row_mac(keyring: &Keyring, address: &Address, mark: Mark) -> Result<[u8; 32], RecordsError> {
    keyring
        .row_state_mac(address.as_str(), mark.version, &mark.tag)
        .map_err(|source| RecordsError::Seal { address: address.to_string(), source })
}
