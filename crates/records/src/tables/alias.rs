//! Table `alias`: `alias/<region>/<account>/<alias name>`. A second name for a key.
//!
//! INVARIANT: an alias's target lists the alias, and every alias that a key lists exists and targets it; all three
//! sides change in one batch, and `check` compares them both ways.

use minicbor::{Decode, Encode};
use strongroom_types::{AccountId, AliasName, KeyId, RegionName, Timestamp};

use crate::address::{Address, RowScope, Table};
use crate::codec;
use crate::tables::cbor_row;
use crate::writes::Kept;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AliasRow {
    #[cbor(n(0), with = "codec::key_id")]
    pub target: KeyId,
    #[cbor(n(1), with = "codec::timestamp")]
    pub created: Timestamp,
    #[cbor(n(2), with = "codec::timestamp")]
    pub updated: Timestamp,
}

impl AliasRow {
    pub fn address(region: &RegionName, account: AccountId, name: &AliasName) -> Address {
        Address::new(Table::Alias, RowScope::Region(region.clone()), format_args!("{account}/{name}"))
    }

    /// What all aliases of an account in a region begin with.
    pub fn prefix(region: &RegionName, account: AccountId) -> String {
        format!("{}/{region}/{account}/", Table::Alias.name())
    }

    /// The account and the name that an address of this table holds.
    pub fn parse_address(address: &Address) -> Option<(AccountId, AliasName)> {
        let (account, name) = address.rest().split_once('/')?;
        Some((AccountId::parse(account).ok()?, AliasName::parse(name).ok()?))
    }
}

cbor_row!(AliasRow, Table::Alias, |_, address| AliasRow::parse_address(address).is_some(), Kept::Alias);
