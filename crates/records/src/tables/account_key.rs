//! Table `account-key`: `account-key/<region>/<account>/<key id>`. The index that ListKeys walks.
//!
//! INVARIANT: there is an index row exactly when there is a key row of that account and region; both are written and
//! deleted in one batch, and `check` compares them both ways.

use minicbor::{Decode, Encode};
use strongroom_types::{AccountId, KeyId, RegionName};

use crate::address::{Address, RowScope, Table};
use crate::codec;
use crate::tables::cbor_row;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AccountKeyRow {
    #[cbor(n(0), with = "codec::key_id")]
    pub key_id: KeyId,
}

impl AccountKeyRow {
    pub fn address(region: &RegionName, account: AccountId, key_id: &KeyId) -> Address {
        Address::new(Table::AccountKey, RowScope::Region(region.clone()), format_args!("{account}/{key_id}"))
    }

    /// What all index rows of an account in a region begin with.
    pub fn prefix(region: &RegionName, account: AccountId) -> String {
        format!("{}/{region}/{account}/", Table::AccountKey.name())
    }
}

cbor_row!(AccountKeyRow, Table::AccountKey, |row, address| {
    address.rest().rsplit('/').next() == Some(row.key_id.to_string().as_str())
});
