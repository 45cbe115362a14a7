//! Table `usage-tracking`: `usage-tracking/global/journal`. How far the uses that the journal tells of are in rows.
//!
//! INVARIANT: every use whose record has a number up to `sequence` is in `key-usage`, or was overtaken there by a later one.
//! So whoever starts reads the journal from there.

use minicbor::{Decode, Encode};
use strongroom_types::Timestamp;

use crate::address::{Address, RowScope, Table};
use crate::codec;
use crate::tables::cbor_row;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct UsageTrackingRow {
    /// The last record of the journal that counts as told; zero before the first.
    #[n(0)]
    pub sequence: u64,
    /// Since when no use has been missed.
    #[cbor(n(1), with = "codec::timestamp")]
    pub since: Timestamp,
}

impl UsageTrackingRow {
    pub fn address() -> Address {
        Address::new(Table::UsageTracking, RowScope::Global, format_args!("journal"))
    }
}

cbor_row!(UsageTrackingRow, Table::UsageTracking, |_, address| *address == UsageTrackingRow::address());
