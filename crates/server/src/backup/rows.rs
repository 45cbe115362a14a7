//! Rows as bytes: `f(address) ‖ be64(version) ‖ f(value)`, one after the other, in the order of their addresses.

use strongroom_store::Row;

use super::format::{push, take, take_field, text};

pub(super) fn encoded_bytes(address: &str, row: &Row) -> usize {
    4 + address.len() + 8 + 4 + row.value.len()
}

pub(super) fn encode(out: &mut Vec<u8>, address: &str, row: &Row) {
    push(out, address.as_bytes());
    out.extend_from_slice(&row.version.to_be_bytes());
    push(out, &row.value);
}

/// The rows of one frame: rows are not cut. `None` if the bytes are no rows.
pub(super) fn decode(mut bytes: &[u8]) -> Option<Vec<(String, Row)>> {
    let mut rows = Vec::new();
    while !bytes.is_empty() {
        let address = text(take_field(&mut bytes)?)?;
        let version = u64::from_be_bytes(take(&mut bytes)?);
        let value = take_field(&mut bytes)?.to_vec();
        rows.push((address, Row { version, value }));
    }
    Some(rows)
}
