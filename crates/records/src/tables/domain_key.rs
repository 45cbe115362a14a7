//! Table `domain-key`: `domain-key/<region or global>/versions`. When the newest domain key of a scope was made, and whether
//! material that it wrapped has been destroyed since.
//!
//! There is no row until a second version is made or a key is destroyed: the first version is as old as the deployment.
//!
//! INVARIANT: written in the batch that stores a new version, so that `version` is the newest one stored; `spent` is set in
//! the batch that destroys a key.

use minicbor::{Decode, Encode};
use strongroom_types::Timestamp;

use crate::address::{Address, RowScope, Table};
use crate::codec;
use crate::tables::cbor_row;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct DomainKeyRow {
    #[n(0)]
    pub version: u32,
    /// When this version was made.
    #[cbor(n(1), with = "codec::timestamp")]
    pub since: Timestamp,
    /// Whether material that this version wrapped has been destroyed: what is left of it on the disk opens only with
    /// this version, so that the version should go, too.
    #[n(2)]
    pub spent: bool,
}

impl DomainKeyRow {
    pub fn address(scope: &RowScope) -> Address {
        Address::new(Table::DomainKey, scope.clone(), format_args!("versions"))
    }
}

cbor_row!(DomainKeyRow, Table::DomainKey, |row, address| row.version > 0 && address.rest() == "versions");
