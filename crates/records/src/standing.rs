//! What all shards held at one moment, as audit checkpoints and the anchor name it, and whether the store is behind it.

use std::fmt;

use minicbor::{Decode, Encode};
use strongroom_crypto::Keyring;
use strongroom_store::Store;
use strongroom_types::RegionName;

use crate::address::Address;
use crate::codec;
use crate::error::RecordsError;
use crate::sealed::load;
use crate::states::load_states;
use crate::tables::Row;
use crate::writes::Loaded;

/// What one shard held: its name, the version of its state row, and what that row said.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ShardStanding {
    #[n(0)]
    pub shard: String,
    #[n(1)]
    pub version: u64,
    #[cbor(n(2), with = "minicbor::bytes")]
    pub set_hash: [u8; 32],
    #[n(3)]
    pub rows: u64,
}

/// What all shards held, in the order of their names; `global` comes first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct Standing(#[n(0)] pub Vec<ShardStanding>);

/// One way in which a store is behind a standing that was seen earlier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    pub shard: String,
    pub seen_version: u64,
    pub found: Found,
}

/// What the store has instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Another state of the same version: the store was put back and written to again.
    Different,
    /// Nothing: the shard has no state row.
    Missing,
    /// A state of this version.
    Older(u64),
}

impl Standing {
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        codec::from_bytes(bytes).ok()
    }

    /// An array of `[shard, version of its state row, set-hash, rows]` (CBOR).
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::to_bytes(self)
    }

    /// Where this standing, the store's, is behind `seen`. Versions only grow and a version is written once, so whoever
    /// is not behind is at or after what was seen, unless the store was written to after it was put back.
    pub fn behind(&self, seen: &Self) -> Vec<Behind> {
        let behind = |seen: &ShardStanding| {
            let found = match self.0.iter().find(|shard| shard.shard == seen.shard) {
                None => Found::Missing,
                Some(shard) if shard.version < seen.version => Found::Older(shard.version),
                Some(shard) if shard.version == seen.version && shard != seen => Found::Different,
                Some(_) => return None,
            };
            Some(Behind { shard: seen.shard.clone(), seen_version: seen.version, found })
        };
        seen.0.iter().filter_map(behind).collect()
    }
}

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shard, seen_version, found } = self;
        write!(f, "shard `{shard}` had a state of version {seen_version}, and the store has ")?;
        match found {
            Found::Different => f.write_str("another one of that version"),
            Found::Missing => f.write_str("none"),
            Found::Older(version) => write!(f, "version {version}"),
        }
    }
}

/// What the state rows of a store say, which nobody has taken up yet.
pub fn stored_standing(
    store: &dyn Store,
    keyring: &Keyring,
    regions: &[RegionName],
) -> Result<Standing, RecordsError> {
    Ok(load_states(store, keyring, regions)?.standing())
}

/// A row of a store that nobody has taken up yet.
pub fn stored_row<R: Row>(
    store: &dyn Store,
    keyring: &Keyring,
    address: &Address,
) -> Result<Option<Loaded<R>>, RecordsError> {
    load(store, keyring, address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(shard: &str, version: u64, byte: u8) -> ShardStanding {
        ShardStanding { shard: shard.to_owned(), version, set_hash: [byte; 32], rows: 7 }
    }

    fn behind(store: &[ShardStanding], seen: &[ShardStanding]) -> Vec<String> {
        let behind = Standing(store.to_vec()).behind(&Standing(seen.to_vec()));
        behind.iter().map(Behind::to_string).collect()
    }

    #[test]
    fn a_store_behind_what_was_seen_is_told_by_shard() {
        let store = [shard("global", 9, 1), shard("us-east-1", 12, 1)];
        let seen = [shard("eu-central-1", 1, 1), shard("global", 10, 1), shard("us-east-1", 12, 2)];
        assert_eq!(
            behind(&store, &seen),
            [
                "shard `eu-central-1` had a state of version 1, and the store has none",
                "shard `global` had a state of version 10, and the store has version 9",
                "shard `us-east-1` had a state of version 12, and the store has another one of that version",
            ]
        );
    }

    #[test]
    fn a_store_at_or_after_what_was_seen_is_not_behind() {
        let seen = [shard("global", 9, 1)];
        for store in [shard("global", 9, 1), shard("global", 10, 2)] {
            assert!(behind(&[store, shard("us-east-1", 1, 1)], &seen).is_empty());
        }
        assert!(behind(&seen, &[]).is_empty());
    }

    /// Put together by hand from RFC 8949.
    #[test]
    fn standing_has_its_golden_bytes() {
        let standing = Standing(vec![shard("global", 300, 0xcc)]);
        let golden =
            [&[0x81, 0x84, 0x66][..], b"global", &[0x19, 1, 44, 0x58, 32], &[0xcc; 32], &[7]].concat();
        assert_eq!(standing.to_bytes(), golden);
        assert_eq!(Standing::parse(&golden), Some(standing));
        for length in 0..golden.len() {
            assert_eq!(Standing::parse(&golden[..length]), None);
        }
    }
}
