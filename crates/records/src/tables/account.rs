//! Table `account`: `account/global/<account id>`. An account of this deployment.

use minicbor::{Decode, Encode};
use strongroom_types::{AccountId, Timestamp};

use crate::address::{Address, RowScope, Table};
use crate::codec;
use crate::tables::cbor_row;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AccountRow {
    #[cbor(n(0), with = "codec::account_id")]
    pub account: AccountId,
    #[cbor(n(1), with = "codec::timestamp")]
    pub created: Timestamp,
}

impl AccountRow {
    pub fn address(account: AccountId) -> Address {
        Address::new(Table::Account, RowScope::Global, format_args!("{account}"))
    }
}

cbor_row!(AccountRow, Table::Account, |row, address| *address == AccountRow::address(row.account));
