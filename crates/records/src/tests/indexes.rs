//! `check` compares each index both ways and opens every material.

use strongroom_policy::{GrantConstraints, GrantOperation, GrantPrincipal, GrantTerms};
use strongroom_types::{GrantId, RequestId};

use super::*;
use crate::{
    GrantRow, KeyUsageRow, KeyUse, OrphanedGrantsRow, RetirableRow, TrackedOperation, UsageTrackingRow,
};

/// Commits what no operation would: the state rows count it, so that only the index itself can be wrong.
fn problems(build: impl FnOnce(&Deployment, &mut Writes)) -> Vec<String> {
    let deployment = Deployment::new();
    let mut writes = Writes::default();
    build(&deployment, &mut writes);
    deployment.records.commit_blocking(writes, Vec::new()).unwrap();
    deployment.check().problems
}

#[test]
fn an_index_row_without_its_key_is_found() {
    let key_id = KeyId::single_region([1; 16]);
    let address = AccountKeyRow::address(&us(), account(), &key_id);
    let found = problems(|_, writes| writes.create(address.clone(), AccountKeyRow { key_id }));
    assert_eq!(found, [format!("index row `{address}` has no key")]);
}

#[test]
fn an_index_row_of_another_account_is_found() {
    let found = problems(|deployment, writes| {
        let key_id = deployment.create_key(&us(), &[]);
        writes.create(AccountKeyRow::address(&us(), numbered(5), &key_id), AccountKeyRow { key_id });
    });
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("index row `account-key/us-east-1/000000000005/"), "{found:?}");
}

#[test]
fn a_key_without_its_index_row_is_found() {
    let found = problems(|deployment, writes| {
        let key = deployment.new_key(&us());
        writes.create(KeyRow::address(&us(), &key.key_id()), key);
    });
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("key row `key/us-east-1/") && found[0].ends_with("is in no index"),
        "{found:?}"
    );
}

#[test]
fn an_alias_that_its_target_does_not_list_is_found() {
    let address = AliasRow::address(&us(), account(), &alias_name("alias/stray"));
    let words = format!("alias row `{address}` is not listed by its target");
    let nowhere = problems(|_, writes| writes.create(address.clone(), alias(KeyId::single_region([1; 16]))));
    assert_eq!(nowhere, [&*words]);
    let unlisted = problems(|deployment, writes| {
        writes.create(address.clone(), alias(deployment.create_key(&us(), &["alias/other"])));
    });
    assert_eq!(unlisted, [&*words]);
}

#[test]
fn a_listed_alias_that_is_not_there_or_is_anothers_is_found() {
    let found = problems(|deployment, writes| {
        let key_id = deployment.create_key(&us(), &[]);
        deployment.create_key(&us(), &["alias/taken"]);
        let loaded = deployment.key(&key_id);
        let mut key = (**loaded).clone();
        key.add_alias(alias_name("alias/taken"));
        key.add_alias(alias_name("alias/absent"));
        writes.update(&loaded, key);
    });
    assert_eq!(found.len(), 2);
    assert!(found[0].ends_with("lists alias `alias/absent`, which is not its own"), "{found:?}");
    assert!(found[1].ends_with("lists alias `alias/taken`, which is not its own"), "{found:?}");
}

#[test]
fn a_material_that_does_not_open_is_found() {
    let found = problems(|deployment, writes| {
        let (id, wrapped) =
            deployment.keyring.generate_symmetric(&eu(), &KeyId::single_region([1; 16])).unwrap();
        let key_id = KeyId::single_region([2; 16]);
        let policy_text = default_key_policy(us().partition(), account());
        let key = KeyRow::new(NewKey {
            region: us(),
            account: account(),
            key_id,
            created: CREATED,
            description: String::new(),
            policy: KeyPolicy::parse(&policy_text).unwrap(),
            policy_text,
            spec: KeySpec::SymmetricDefault,
            usage: KeyUsage::EncryptDecrypt,
            material: Material { id, wrapped, created: CREATED },
            public_key: None,
        });
        writes.create(AccountKeyRow::address(&us(), account(), &key_id), AccountKeyRow { key_id });
        writes.create(KeyRow::address(&us(), &key_id), key);
    });
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("material "), "{found:?}");
}

#[test]
fn a_deployment_in_order_is_clean_and_counted() {
    let deployment = Deployment::new();
    deployment.create_key(&us(), &["alias/a", "alias/b"]);
    deployment.create_key(&us(), &[]);
    deployment.create_key(&eu(), &["alias/a"]);
    let mut told = Vec::new();
    let report =
        check(&deployment.store, &deployment.keyring, &deployment.regions, &mut |rows| told.push(rows));
    let report = report.unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(report.materials, 3);
    let rows: Vec<_> = report.rows.iter().filter(|(table, _)| **table != "keyring").collect();
    assert_eq!(
        rows,
        [
            (&"access-key", &1),
            (&"account", &1),
            (&"account-key", &3),
            (&"alias", &3),
            (&"deployment", &1),
            (&"key", &3),
            (&"state", &3)
        ]
    );
    assert_eq!(told, [report.rows.values().sum::<u64>()]);
}

fn grant_row(key: &KeyRow, retiring: Option<&str>) -> GrantRow {
    let grantee = GrantPrincipal::Caller("arn:aws:iam::111122223333:root".into());
    let key_id = key.key_id();
    GrantRow {
        key_id,
        grant_id: GrantId::from_halves(GrantRow::grantee_tag(&key_id, &grantee), [7; 16]),
        created: CREATED,
        key_created: key.created(),
        serial: [8; 16],
        grantee,
        retiring: retiring.map(|arn| GrantPrincipal::Caller(arn.into())),
        issuing_account: account(),
        terms: GrantTerms {
            constraints: GrantConstraints::default(),
            operations: vec![GrantOperation::Decrypt],
        },
        name: None,
    }
}

fn counted(key: &KeyRow) -> KeyRow {
    let mut key = key.clone();
    key.count_grant();
    key
}

#[test]
fn grants_and_their_indexes_are_compared_both_ways() {
    let address = |row: &GrantRow| GrantRow::address(&us(), &row.key_id, &row.grant_id);
    let retirable = |row: &GrantRow, retiring: &str| {
        let retiring = GrantPrincipal::Caller(retiring.into());
        let (key_id, grant_id) = (row.key_id, row.grant_id);
        let index = RetirableRow { retiring: retiring.clone(), key_id, grant_id };
        (RetirableRow::address(&us(), &retiring, &key_id, &grant_id), index)
    };
    let nobodys = problems(|deployment, writes| {
        let row = grant_row(&deployment.new_key(&us()), None);
        writes.create(address(&row), row);
    });
    assert!(nobodys.len() == 1 && nobodys[0].ends_with("has no key"), "{nobodys:?}");
    let uncounted = problems(|deployment, writes| {
        let row = grant_row(&deployment.key(&deployment.create_key(&us(), &[])), None);
        writes.create(address(&row), row);
    });
    assert!(uncounted.len() == 1 && uncounted[0].ends_with("counts 0 grants and has 1"), "{uncounted:?}");
    let missing = problems(|deployment, writes| {
        let key = deployment.key(&deployment.create_key(&us(), &[]));
        writes.update(&key, counted(&key));
    });
    assert!(missing.len() == 1 && missing[0].ends_with("counts 1 grants and has 0"), "{missing:?}");
    let unindexed = problems(|deployment, writes| {
        let key = deployment.key(&deployment.create_key(&us(), &[]));
        let row = grant_row(&key, Some("arn:aws:iam::111122223333:root"));
        writes.update(&key, counted(&key));
        writes.create(address(&row), row);
    });
    assert!(
        unindexed.len() == 1 && unindexed[0].ends_with("index of its retiring principal"),
        "{unindexed:?}"
    );
    let stray = problems(|deployment, writes| {
        let key = deployment.key(&deployment.create_key(&us(), &[]));
        let row = grant_row(&key, None);
        let (at, index) = retirable(&row, "arn:aws:iam::111122223333:root");
        writes.update(&key, counted(&key));
        writes.create(at, index);
        writes.create(address(&row), row);
    });
    assert!(stray.len() == 1 && stray[0].ends_with("has no grant"), "{stray:?}");
    let earlier = problems(|deployment, writes| {
        let key = deployment.key(&deployment.create_key(&us(), &[]));
        let key_created = Timestamp::from_millis(key.created().as_millis() - 1);
        let row = GrantRow { key_created, ..grant_row(&key, None) };
        writes.create(address(&row), row);
    });
    assert!(earlier.len() == 1 && earlier[0].ends_with("has no key"), "{earlier:?}");
    let alive = problems(|deployment, writes| {
        let key = deployment.key(&deployment.create_key(&us(), &[]));
        let (key_id, key_created) = (key.key_id(), key.created());
        let at = OrphanedGrantsRow::address(&us(), &key_id, key_created);
        writes.create(at, OrphanedGrantsRow { key_id, key_created });
    });
    assert!(alive.len() == 1 && alive[0].ends_with("is of a key that is there"), "{alive:?}");
    let sound = problems(|deployment, writes| {
        let key = deployment.key(&deployment.create_key(&us(), &[]));
        let row = grant_row(&key, Some("arn:aws:iam::111122223333:root"));
        let (at, index) = retirable(&row, "arn:aws:iam::111122223333:root");
        writes.update(&key, counted(&key));
        writes.create(at, index);
        writes.create(address(&row), row);
        // A destroyed key's, on their way out.
        let gone = deployment.new_key(&us());
        let (key_id, key_created) = (gone.key_id(), gone.created());
        let row = grant_row(&gone, None);
        writes.create(address(&row), row);
        let at = OrphanedGrantsRow::address(&us(), &key_id, key_created);
        writes.create(at, OrphanedGrantsRow { key_id, key_created });
    });
    assert_eq!(sound, Vec::<String>::new());
}

fn used(at: u64) -> KeyUse {
    KeyUse {
        operation: TrackedOperation::Encrypt,
        at: Timestamp::from_millis(at),
        event_id: RequestId::from_bytes([1; 16]),
        request_id: RequestId::from_bytes([2; 16]),
    }
}

#[test]
fn a_usage_row_without_its_key_is_found() {
    let problems = problems(|deployment, writes| {
        let gone = deployment.new_key(&us()).key_id();
        writes.create(KeyUsageRow::address(&us(), &gone), KeyUsageRow::new(gone, used(1)));
    });
    assert!(problems.len() == 1 && problems[0].ends_with("has no key"), "{problems:?}");
}

#[test]
fn last_uses_are_written_against_their_keys_and_never_go_back() {
    let deployment = Deployment::new();
    let (key_id, other) = (deployment.create_key(&us(), &[]), deployment.create_key(&us(), &[]));
    let gone = deployment.new_key(&us()).key_id();
    let last = |key_id| {
        let row = deployment.records.key_usage(&us(), key_id).unwrap();
        row.map(|row| row.last_use())
    };
    deployment.records.write_key_uses(&us(), &[(gone, used(5))]).unwrap();
    assert_eq!(last(&gone), None);
    deployment
        .records
        .write_key_uses(&us(), &[(key_id, used(5)), (gone, used(6)), (other, used(7))])
        .unwrap();
    assert_eq!((last(&key_id), last(&gone), last(&other)), (Some(used(5)), None, Some(used(7))));
    deployment.records.write_key_uses(&us(), &[(key_id, used(4)), (other, used(8))]).unwrap();
    assert_eq!((last(&key_id), last(&other)), (Some(used(5)), Some(used(8))));
    // In the same millisecond the one that comes later is the later one.
    let same = KeyUse { request_id: RequestId::from_bytes([3; 16]), ..used(5) };
    deployment.records.write_key_uses(&us(), &[(key_id, same)]).unwrap();
    assert_eq!(last(&key_id), Some(same));
    // What has not changed is not written.
    let version = || deployment.records.key_usage(&us(), &key_id).unwrap().unwrap().version();
    let before = version();
    deployment.records.write_key_uses(&us(), &[(key_id, same), (key_id, used(1))]).unwrap();
    assert_eq!(version(), before);
    deployment.assert_clean();
}

#[test]
fn tracking_moves_only_where_it_has_begun() {
    let deployment = Deployment::new();
    let refused = deployment.records.advance_usage_tracking(5).unwrap_err().to_string();
    assert_eq!(refused, "row `usage-tracking/global/journal` is missing");
    let mut writes = Writes::default();
    writes.create(UsageTrackingRow::address(), UsageTrackingRow { sequence: 3, since: CREATED });
    deployment.records.commit_blocking(writes, Vec::new()).unwrap();
    deployment.records.advance_usage_tracking(5).unwrap();
    let row = deployment.records.usage_tracking().unwrap().unwrap();
    assert_eq!(*row, UsageTrackingRow { sequence: 5, since: CREATED });
    deployment.assert_clean();
}
