//! `check` compares each index both ways and opens every material.

use super::*;

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
