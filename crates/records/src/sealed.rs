//! Sealed rows: how a row of the store is opened, and what its value is bound to.

use strongroom_crypto::{Cell, Keyring, sealed_tag};
use strongroom_store::Store;

use crate::address::Address;
use crate::error::RecordsError;
use crate::tables::Row;
use crate::writes::{Loaded, Mark};

/// The column name that is authenticated with every row: rows have one value.
const COLUMN: &str = "row";

pub(crate) fn load<R: Row>(
    store: &dyn Store,
    keyring: &Keyring,
    address: &Address,
) -> Result<Option<Loaded<R>>, RecordsError> {
    store.get(address.as_str())?.map(|row| open(keyring, address, &row)).transpose()
}

pub(crate) fn parse(address: &str) -> Result<Address, RecordsError> {
    Address::parse(address).ok_or_else(|| RecordsError::BadRow {
        address: address.to_owned(),
        reason: "its address is not of any table",
        source: None,
    })
}

/// Opens a sealed row under its own address and version, and decodes it.
pub(crate) fn open<R: Row>(
    keyring: &Keyring,
    address: &Address,
    row: &strongroom_store::Row,
) -> Result<Loaded<R>, RecordsError> {
    let bad = |reason| RecordsError::BadRow { address: address.to_string(), reason, source: None };
    if address.table() != R::TABLE {
        return Err(bad("it is of another table"));
    }
    let tag = sealed_tag(&row.value).ok_or_else(|| bad("it is not a sealed row"))?;
    let plain = keyring
        .open_row(&cell(address, row.version), &row.value)
        .map_err(|source| RecordsError::bad_row(address.as_str(), "it does not open", source))?;
    let decoded = R::decode(address, &plain)
        .map_err(|source| RecordsError::bad_row(address.as_str(), "it does not decode", source))?;
    Ok(Loaded::new(address.clone(), Mark { version: row.version, tag }, decoded))
}

/// What a sealed value is bound to.
pub(crate) fn cell(address: &Address, version: u64) -> Cell<'_> {
    Cell {
        scope: address.scope().to_crypto(),
        table: address.table().name(),
        address: address.as_str(),
        column: COLUMN,
        version,
    }
}
