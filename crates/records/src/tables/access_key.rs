//! Table `access-key`: `access-key/global/<access key id>`. A signing credential and whose it is.
//!
//! The secret stands in the row in the clear because SigV4 needs it to derive signing keys; the row is sealed like
//! every other, and the secret is a [`Credential`] as soon as the row is opened.

use minicbor::{Decode, Encode};
use strongroom_types::{AccessKeyId, AccountId, Credential, Timestamp, UniqueId};

use crate::address::{Address, RowScope, Table};
use crate::codec;
use crate::tables::cbor_row;
use crate::writes::Kept;

#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub struct AccessKeyRow {
    #[n(0)]
    pub access_key_id: String,
    #[n(1)]
    pub principal: PrincipalRow,
    #[cbor(n(2), with = "codec::credential")]
    pub secret: Credential,
    #[cbor(n(3), with = "codec::timestamp")]
    pub created: Timestamp,
}

/// Whose credential it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum PrincipalRow {
    /// The root user of an account.
    #[n(0)]
    AccountRoot {
        #[cbor(n(0), with = "codec::account_id")]
        account: AccountId,
    },
    /// The deployment's operator, who administers the service and is in no account.
    #[n(1)]
    Operator,
    /// A user, whose row in the table `identity` says the rest.
    #[n(2)]
    User {
        #[cbor(n(0), with = "codec::account_id")]
        account: AccountId,
        #[cbor(n(1), with = "codec::unique_id")]
        unique_id: UniqueId,
    },
}

impl AccessKeyRow {
    pub fn address(id: &AccessKeyId) -> Address {
        Address::new(Table::AccessKey, RowScope::Global, format_args!("{id}"))
    }
}

cbor_row!(
    AccessKeyRow,
    Table::AccessKey,
    |row, address| address.rest() == row.access_key_id,
    Kept::AccessKey
);
