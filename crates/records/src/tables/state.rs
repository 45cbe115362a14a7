//! Table `state`: `state/<region or global>/rows`. What the shard holds, as one sealed number.
//!
//! Sealing stops a row from being read, forged or moved; it does not stop somebody with the disk from putting back an
//! old row or removing one. So each batch moves this row: the XOR over all other rows of the shard of
//! HMAC(address ‖ version ‖ tag of the sealed value). Its row version grows by one with every group of batches.
//! The root-wrapped keyring entries are not counted: a missing one shows in every row it sealed.

use minicbor::{Decode, Encode};

use crate::address::{Address, RowScope, Table};
use crate::tables::cbor_row;

#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct StateRow {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub set_hash: [u8; 32],
    #[n(1)]
    pub rows: u64,
}

impl StateRow {
    pub fn address(scope: &RowScope) -> Address {
        Address::new(Table::State, scope.clone(), format_args!("rows"))
    }
}

cbor_row!(StateRow, Table::State, |_, address| address.rest() == "rows");
