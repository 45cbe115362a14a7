//! Table `retirable`: `retirable/<region>/<principal tag>/<key id>/<grant id>`. The index that ListRetirableGrants walks.
//!
//! The tag is `crypto`'s `principal_tag` of the retiring principal: names that clients choose do not stand in addresses.
//!
//! INVARIANT: there is an index row exactly when there is a grant with this retiring principal; both are written and
//! deleted in one batch, and `check` compares them both ways.

use minicbor::{Decode, Encode};
use strongroom_crypto::principal_tag;
use strongroom_policy::GrantPrincipal;
use strongroom_types::{GrantId, KeyId, RegionName};

use crate::address::{Address, RowScope, Table};
use crate::codec;
use crate::tables::cbor_row;
use crate::tables::grant::kind_of;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RetirableRow {
    #[cbor(n(0), with = "codec::grant_principal")]
    pub retiring: GrantPrincipal,
    #[cbor(n(1), with = "codec::key_id")]
    pub key_id: KeyId,
    #[cbor(n(2), with = "codec::grant_id")]
    pub grant_id: GrantId,
}

impl RetirableRow {
    pub fn address(
        region: &RegionName,
        retiring: &GrantPrincipal,
        key_id: &KeyId,
        grant_id: &GrantId,
    ) -> Address {
        let tag = tag_text(retiring);
        let scope = RowScope::Region(region.clone());
        Address::new(Table::Retirable, scope, format_args!("{tag}/{key_id}/{grant_id}"))
    }

    /// What the index rows of all grants that this principal may retire begin with.
    pub fn prefix(region: &RegionName, retiring: &GrantPrincipal) -> String {
        format!("{}/{region}/{}/", Table::Retirable.name(), tag_text(retiring))
    }

    fn agrees_with(&self, address: &Address) -> bool {
        let RowScope::Region(region) = address.scope() else { return false };
        *address == Self::address(region, &self.retiring, &self.key_id, &self.grant_id)
    }
}

fn tag_text(retiring: &GrantPrincipal) -> String {
    let tag = principal_tag(kind_of(retiring), retiring.as_str());
    tag.iter().map(|byte| format!("{byte:02x}")).collect()
}

cbor_row!(RetirableRow, Table::Retirable, |row, address| row.agrees_with(address));
