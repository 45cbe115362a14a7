//! Table `deployment`: one row, `deployment/global/deployment`.
//!
//! What `init` decided and `serve` must agree with: the format, the regions, the accounts' home. Written once by
//! `init`, changed by offline commands, and by `serve` when it gives an anchor to a deployment that had none.

use minicbor::{Decode, Encode};
use strongroom_types::{RegionName, Timestamp};

use crate::address::{Address, RowScope, Table};
use crate::codec;
use crate::tables::cbor_row;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct DeploymentRow {
    /// The format of all rows: 1.
    #[n(0)]
    pub format: u32,
    #[cbor(n(1), with = "codec::timestamp")]
    pub created: Timestamp,
    /// Sorted, no region twice.
    #[cbor(n(2), with = "codec::region_names")]
    pub regions: Vec<RegionName>,
    /// When the deployment got its anchor, in milliseconds since 1970: from then on a missing anchor is a fault, and not
    /// a deployment of an earlier version.
    #[n(3)]
    pub anchored_millis: Option<u64>,
}

impl DeploymentRow {
    pub const FORMAT: u32 = 1;

    pub fn address() -> Address {
        Address::new(Table::Deployment, RowScope::Global, format_args!("deployment"))
    }
}

cbor_row!(DeploymentRow, Table::Deployment, |row, address| {
    row.format == DeploymentRow::FORMAT && *address == DeploymentRow::address()
});
