//! Table `grant`: `grant/<region>/<key id>/<grant id>`. A grant on a key.
//!
//! The first half of a grant's id is the tag of its grantee on this key (`crypto`'s `grantee_tag`), so the grants of one
//! principal on one key stand next to each other, and a decision reads those alone. Tags only find rows: whoever uses a
//! grant compares the principal itself.
//!
//! INVARIANT: a grant belongs to the key of its address *that was made when the grant says* ([`GrantRow::is_of`]). The rows of
//! a destroyed key outlive it for a while; whoever reads grants takes those for absent.
//!
//! INVARIANT: the key's row counts its grants, and a grant with a retiring principal stands in the index `retirable`; all
//! sides change in one batch, and `check` compares them both ways. A grant never changes.

use minicbor::{Decode, Encode};
use strongroom_crypto::{GranteeKind, grantee_tag};
use strongroom_policy::{GrantPrincipal, GrantTerms};
use strongroom_types::{AccountId, GrantId, KeyId, RegionName, Timestamp};

use crate::address::{Address, RowScope, Table};
use crate::codec;
use crate::tables::cbor_row;
use crate::tables::key::KeyRow;
use crate::writes::Kept;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct GrantRow {
    #[cbor(n(0), with = "codec::key_id")]
    pub key_id: KeyId,
    #[cbor(n(1), with = "codec::grant_id")]
    pub grant_id: GrantId,
    #[cbor(n(2), with = "codec::timestamp")]
    pub created: Timestamp,
    /// When the key was made: another key of the same id is not this grant's.
    #[cbor(n(3), with = "codec::timestamp")]
    pub key_created: Timestamp,
    /// What tokens of this grant hold besides its id.
    #[cbor(n(4), with = "codec::serial")]
    pub serial: [u8; 16],
    #[cbor(n(5), with = "codec::grant_principal")]
    pub grantee: GrantPrincipal,
    #[cbor(n(6), with = "codec::optional_grant_principal", has_nil)]
    pub retiring: Option<GrantPrincipal>,
    #[cbor(n(7), with = "codec::account_id")]
    pub issuing_account: AccountId,
    #[cbor(n(8), with = "codec::grant_terms")]
    pub terms: GrantTerms,
    #[n(9)]
    pub name: Option<String>,
}

impl GrantRow {
    pub fn address(region: &RegionName, key_id: &KeyId, grant_id: &GrantId) -> Address {
        let scope = RowScope::Region(region.clone());
        Address::new(Table::Grant, scope, format_args!("{key_id}/{grant_id}"))
    }

    /// What all grants on a key begin with.
    pub fn prefix(region: &RegionName, key_id: &KeyId) -> String {
        format!("{}/{region}/{key_id}/", Table::Grant.name())
    }

    /// What all grants of a principal on a key begin with.
    pub fn grantee_prefix(region: &RegionName, key_id: &KeyId, tag: [u8; 16]) -> String {
        let tag: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}{tag}", Self::prefix(region, key_id))
    }

    /// The key and the grant that an address of this table names.
    pub fn parse_address(address: &Address) -> Option<(KeyId, GrantId)> {
        let (key_id, grant_id) = address.rest().split_once('/')?;
        Some((KeyId::parse(key_id).ok()?, GrantId::parse(grant_id).ok()?))
    }

    /// The half that the ids of all grants of this principal on this key share.
    pub fn grantee_tag(key_id: &KeyId, grantee: &GrantPrincipal) -> [u8; 16] {
        grantee_tag(key_id, kind_of(grantee), grantee.as_str())
    }

    /// Whether it is a grant on this very key, and not on one that had the same id.
    pub fn is_of(&self, key: &KeyRow) -> bool {
        self.key_id == key.key_id() && self.key_created == key.created()
    }

    /// What it occupies in memory, about.
    pub(crate) fn weight_bytes(&self) -> usize {
        let constraints = &self.terms.constraints;
        let contexts = constraints.context_equals.iter().chain(&constraints.context_subset);
        let texts = contexts.map(|context| 4 * context.encoded().len()).sum::<usize>()
            + self.grantee.as_str().len()
            + self.retiring.as_ref().map_or(0, |retiring| retiring.as_str().len());
        1024 + texts
    }

    fn agrees_with(&self, address: &Address) -> bool {
        let RowScope::Region(region) = address.scope() else { return false };
        *address == Self::address(region, &self.key_id, &self.grant_id)
            && self.grant_id.grantee_tag() == Self::grantee_tag(&self.key_id, &self.grantee)
    }
}

pub(crate) fn kind_of(principal: &GrantPrincipal) -> GranteeKind {
    match principal {
        GrantPrincipal::Caller(_) => GranteeKind::Caller,
        GrantPrincipal::Service(_) => GranteeKind::Service,
    }
}

cbor_row!(GrantRow, Table::Grant, |row, address| row.agrees_with(address), |row| Kept::Grant(Box::new(row)));
