//! One file per table. Each opens with its row key, its codec and its invariants.

pub(crate) mod access_key;
pub(crate) mod account;
pub(crate) mod account_key;
pub(crate) mod alias;
pub(crate) mod deployment;
pub(crate) mod domain_key;
pub(crate) mod grant;
pub(crate) mod identity;
pub(crate) mod identity_name;
pub(crate) mod key;
pub(crate) mod key_usage;
pub(crate) mod orphaned_grants;
pub(crate) mod outbox;
pub(crate) mod retirable;
pub(crate) mod state;
pub(crate) mod usage_tracking;

use crate::address::{Address, Table};
use crate::writes::Kept;

/// What a table's row type must say of itself.
pub trait Row: Sized + Send + Sync + 'static {
    const TABLE: Table;

    fn encode(&self) -> zeroize::Zeroizing<Vec<u8>>;

    /// `address` lets a row check that what it says of itself agrees with where it stands.
    fn decode(address: &Address, bytes: &[u8]) -> Result<Self, minicbor::decode::Error>;

    /// The row itself, where somebody keeps it in memory once it is written.
    fn into_kept(self) -> Kept {
        Kept::Nowhere
    }
}

/// The plain [`Row`] implementation of a CBOR type; `$agrees` compares the row with its address.
macro_rules! cbor_row {
    ($type:ty, $table:expr, $agrees:expr $(, $kept:expr)?) => {
        impl $crate::tables::Row for $type {
            const TABLE: $crate::address::Table = $table;

            fn encode(&self) -> zeroize::Zeroizing<Vec<u8>> {
                zeroize::Zeroizing::new($crate::codec::to_bytes(self))
            }

            fn decode(
                address: &$crate::address::Address,
                bytes: &[u8],
            ) -> Result<Self, minicbor::decode::Error> {
                let row: Self = $crate::codec::from_bytes(bytes)?;
                let agrees: fn(&Self, &$crate::address::Address) -> bool = $agrees;
                if !agrees(&row, address) {
                    return Err(minicbor::decode::Error::message("the row is not of its address"));
                }
                Ok(row)
            }

            $(fn into_kept(self) -> $crate::writes::Kept {
                $kept(self)
            })?
        }
    };
}
pub(crate) use cbor_row;
