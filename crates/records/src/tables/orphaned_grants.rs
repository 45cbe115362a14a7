//! Table `orphaned-grants`: `orphaned-grants/<region>/<key id>/<created>`. A destroyed key whose grants are still to be removed.
//!
//! A key may have more grants than one batch can delete. So the batch that destroys it writes this row instead; from then
//! on nobody is given the grants (their key is gone), a job removes them, and this row last.

use minicbor::{Decode, Encode};
use strongroom_types::{KeyId, RegionName, Timestamp};

use crate::address::{Address, RowScope, Table};
use crate::codec;
use crate::tables::cbor_row;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct OrphanedGrantsRow {
    #[cbor(n(0), with = "codec::key_id")]
    pub key_id: KeyId,
    /// When the key was made, as its grants say it.
    #[cbor(n(1), with = "codec::timestamp")]
    pub key_created: Timestamp,
}

impl OrphanedGrantsRow {
    pub fn address(region: &RegionName, key_id: &KeyId, key_created: Timestamp) -> Address {
        let scope = RowScope::Region(region.clone());
        let created = key_created.as_millis();
        Address::new(Table::OrphanedGrants, scope, format_args!("{key_id}/{created}"))
    }

    pub fn prefix(region: &RegionName) -> String {
        format!("{}/{region}/", Table::OrphanedGrants.name())
    }

    fn agrees_with(&self, address: &Address) -> bool {
        let RowScope::Region(region) = address.scope() else { return false };
        *address == Self::address(region, &self.key_id, self.key_created)
    }
}

cbor_row!(OrphanedGrantsRow, Table::OrphanedGrants, |row, address| row.agrees_with(address));
