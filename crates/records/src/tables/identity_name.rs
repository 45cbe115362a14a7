//! Table `identity-name`: `identity-name/global/<account>/<user or role>/<name in lower case>`. Who has a name.
//!
//! Names are unique in an account in whatever case (IAM user guide, "IAM identifiers"), and do not hold the path.

use minicbor::{Decode, Encode};
use strongroom_types::{AccountId, UniqueId, UniqueIdKind};

use crate::address::{Address, RowScope, Table};
use crate::codec;
use crate::tables::cbor_row;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct IdentityNameRow {
    #[cbor(n(0), with = "codec::unique_id")]
    pub unique_id: UniqueId,
}

impl IdentityNameRow {
    /// `name` is the name alone, without its path.
    pub fn address(account: AccountId, kind: UniqueIdKind, name: &str) -> Address {
        let kind = kind_name(kind);
        let name = name.to_ascii_lowercase();
        Address::new(Table::IdentityName, RowScope::Global, format_args!("{account}/{kind}/{name}"))
    }
}

fn kind_name(kind: UniqueIdKind) -> &'static str {
    match kind {
        UniqueIdKind::Role => "role",
        UniqueIdKind::User => "user",
    }
}

cbor_row!(IdentityNameRow, Table::IdentityName, |row, address| {
    address.rest().split('/').nth(1) == Some(kind_name(row.unique_id.kind()))
});
