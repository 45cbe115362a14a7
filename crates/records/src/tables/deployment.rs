//! Table `deployment`: one row, `deployment/global/deployment`.
//!
//! What `init` decided and `serve` must agree with: the format, the regions, the accounts' home. Written once by
//! `init`, changed only by offline commands.

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
