//! Table `key-usage`: `key-usage/<region>/<key id>`. When a key was last used, and for what.
//!
//! There is no row of a key that nobody has used. The row is behind what has happened by what memory holds, and after a kill
//! by what the journal has behind the place that `usage-tracking` names.
//!
//! INVARIANT: there is a row only as long as there is the key's: it is written against the key's row, deleted in the batch
//! that destroys the key, and never goes back to an earlier use.

use minicbor::{Decode, Encode};
use strongroom_types::{KeyId, RegionName, RequestId, Timestamp};

use crate::address::{Address, RowScope, Table};
use crate::codec;
use crate::tables::cbor_row;

macro_rules! tracked {
    ($($name:ident = $number:literal),+ $(,)?) => {
        /// The operations that count as the use of a key (AWS KMS API reference, GetKeyLastUsage). The numbers are part of
        /// the format.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum TrackedOperation {
            $($name),+
        }

        impl TrackedOperation {
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The operation's name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name)),+
                }
            }

            /// The operation of this name, if it counts.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $(stringify!($name) => Some(Self::$name),)+
                    _ => None,
                }
            }

            pub(crate) const fn number(self) -> u8 {
                match self {
                    $(Self::$name => $number),+
                }
            }

            pub(crate) const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)+
                    _ => None,
                }
            }
        }
    };
}

tracked! {
    Decapsulate = 0,
    Decrypt = 1,
    DeriveSharedSecret = 2,
    Encapsulate = 3,
    Encrypt = 4,
    GenerateDataKey = 5,
    GenerateDataKeyPair = 6,
    GenerateDataKeyPairWithoutPlaintext = 7,
    GenerateDataKeyWithoutPlaintext = 8,
    GenerateMac = 9,
    ReEncrypt = 10,
    Sign = 11,
    Verify = 12,
    VerifyMac = 13,
}

/// One use of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyUse {
    pub operation: TrackedOperation,
    /// When the request came, as its record says it.
    pub at: Timestamp,
    /// The id of the record.
    pub event_id: RequestId,
    pub request_id: RequestId,
}

impl KeyUse {
    /// The later of two uses; of two in the same millisecond, `next`.
    #[must_use]
    pub fn later(self, next: Self) -> Self {
        if next.at < self.at { self } else { next }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct KeyUsageRow {
    #[cbor(n(0), with = "codec::key_id")]
    pub key_id: KeyId,
    #[cbor(n(1), with = "codec::tracked_operation")]
    operation: TrackedOperation,
    #[cbor(n(2), with = "codec::timestamp")]
    at: Timestamp,
    #[cbor(n(3), with = "codec::request_id")]
    event_id: RequestId,
    #[cbor(n(4), with = "codec::request_id")]
    request_id: RequestId,
}

impl KeyUsageRow {
    pub fn new(key_id: KeyId, last: KeyUse) -> Self {
        let KeyUse { operation, at, event_id, request_id } = last;
        Self { key_id, operation, at, event_id, request_id }
    }

    pub fn address(region: &RegionName, key_id: &KeyId) -> Address {
        Address::new(Table::KeyUsage, RowScope::Region(region.clone()), format_args!("{key_id}"))
    }

    pub fn last_use(&self) -> KeyUse {
        let Self { operation, at, event_id, request_id, .. } = *self;
        KeyUse { operation, at, event_id, request_id }
    }

    fn agrees_with(&self, address: &Address) -> bool {
        let RowScope::Region(region) = address.scope() else { return false };
        *address == Self::address(region, &self.key_id)
    }
}

cbor_row!(KeyUsageRow, Table::KeyUsage, |row, address| row.agrees_with(address));
