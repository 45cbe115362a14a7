//! Rows once they are opened, and what else is CBOR: a store's standing.

use std::fmt::Debug;

use strongroom_records::{
    AccessKeyRow, AccountKeyRow, AccountRow, Address, AliasRow, DeploymentRow, DomainKeyRow, GrantRow,
    IdentityNameRow, IdentityRow, KeyRow, KeyUsageRow, OrphanedGrantsRow, OutboxRow, RetirableRow, Row,
    Standing, StateRow, Table, UsageTrackingRow,
};

use crate::input::Input;

/// The length of an address in one byte, the address, the row.
///
/// A row that decodes encodes to bytes that are the same row; where it stands reads back from its text.
pub(crate) fn row(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let address = input.text_field();
    let bytes = input.rest();
    standing(bytes);
    let Some(address) = Address::parse(&address) else { return };
    assert_eq!(Address::parse(address.as_str()).as_ref(), Some(&address));
    match address.table() {
        Table::AccessKey => check::<AccessKeyRow>(&address, bytes),
        Table::Account => check::<AccountRow>(&address, bytes),
        Table::AccountKey => check::<AccountKeyRow>(&address, bytes),
        Table::Alias => check::<AliasRow>(&address, bytes),
        Table::Deployment => check::<DeploymentRow>(&address, bytes),
        Table::DomainKey => check::<DomainKeyRow>(&address, bytes),
        Table::Grant => check::<GrantRow>(&address, bytes),
        Table::Identity => check::<IdentityRow>(&address, bytes),
        Table::IdentityName => check::<IdentityNameRow>(&address, bytes),
        Table::Key => check::<KeyRow>(&address, bytes),
        Table::KeyUsage => check::<KeyUsageRow>(&address, bytes),
        Table::OrphanedGrants => check::<OrphanedGrantsRow>(&address, bytes),
        Table::Outbox => check::<OutboxRow>(&address, bytes),
        Table::Retirable => check::<RetirableRow>(&address, bytes),
        Table::State => check::<StateRow>(&address, bytes),
        Table::UsageTracking => check::<UsageTrackingRow>(&address, bytes),
    }
}

fn check<R: Row + Debug>(address: &Address, bytes: &[u8]) {
    let Ok(row) = R::decode(address, bytes) else { return };
    let encoded = row.encode();
    let again = R::decode(address, &encoded).expect("what was encoded decodes");
    assert_eq!(again.encode(), encoded);
    // Rows with secrets cannot be compared, but all can be shown.
    assert_eq!(format!("{again:?}"), format!("{row:?}"));
}

fn standing(bytes: &[u8]) {
    if let Some(standing) = Standing::parse(bytes) {
        assert_eq!(Standing::parse(&standing.to_bytes()).as_ref(), Some(&standing));
        assert!(standing.behind(&standing).is_empty() || has_a_shard_twice(&standing));
    }
}

fn has_a_shard_twice(standing: &Standing) -> bool {
    let mut names: Vec<&str> = standing.0.iter().map(|shard| shard.shard.as_str()).collect();
    names.sort_unstable();
    names.windows(2).any(|pair| pair[0] == pair[1])
}
