//! Table `outbox`: `outbox/<region>/<request id>`. The audit record of a mutation, in the batch that made it true.
//!
//! The reply to a mutation needs only the commit of its batch; the drainer appends the record to the journal
//! afterwards and deletes the row ten minutes later. Until then the row also settles a commit whose outcome was
//! unknown: it is there exactly when the batch was applied.

use minicbor::{Decode, Encode};
use strongroom_types::{RegionName, RequestId, Timestamp};

use crate::address::{Address, RowScope, Table};
use crate::codec;
use crate::tables::cbor_row;
use crate::writes::Kept;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct OutboxRow {
    #[cbor(n(0), with = "codec::timestamp")]
    pub created: Timestamp,
    /// The event as the journal will hold it.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub event: Vec<u8>,
}

impl OutboxRow {
    pub fn address(region: &RegionName, request_id: &RequestId) -> Address {
        Address::new(Table::Outbox, RowScope::Region(region.clone()), format_args!("{request_id}"))
    }

    pub fn prefix(region: &RegionName) -> String {
        format!("{}/{region}/", Table::Outbox.name())
    }
}

cbor_row!(OutboxRow, Table::Outbox, |_, address| RequestId::parse(address.rest()).is_ok(), Kept::Outbox);
