use super::*;
use crate::Cell;
use crate::fixtures::{assert_absent, keyring, region, root};
use crate::root::RootPurpose;

assert_absent!(Keyring: Clone, std::fmt::Display, PartialEq);

const _: fn() = || {
    fn shared_between_threads<T: Send + Sync>() {}
    shared_between_threads::<Keyring>();
};

fn regions() -> [RegionName; 2] {
    [region("us-east-1"), region("eu-central-1")]
}

fn cell<'a>(scope: Scope<'a>) -> Cell<'a> {
    Cell { scope, table: "keys", address: "keys/1", column: "value", version: 1 }
}

/// Whether what one ring sealed the other opens, in every scope.
fn agree(a: &Keyring, b: &Keyring) -> bool {
    a.regions().map(Scope::Region).chain([Scope::Global]).all(|scope| {
        let sealed = a.seal_row(&cell(scope), b"value").unwrap();
        b.open_row(&cell(scope), &sealed).is_ok()
    })
}

#[test]
fn two_new_rings_do_not_agree() {
    let root = root(1);
    let (a, _) = Keyring::create(&root, &regions()).unwrap();
    let (b, _) = Keyring::create(&root, &regions()).unwrap();
    assert!(!agree(&a, &b));
    assert_ne!(a.checkpoint_public_key().unwrap(), b.checkpoint_public_key().unwrap());
}

#[test]
fn a_ring_opens_from_its_entries() {
    let root = root(1);
    let (made, entries) = Keyring::create(&root, &regions()).unwrap();
    let mut names: Vec<_> = entries.iter().map(|entry| entry.name.to_string()).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "keyring/eu-central-1/domain/1",
            "keyring/global/domain/1",
            "keyring/global/service/checkpoint/1",
            "keyring/global/service/grant-token/1",
            "keyring/global/service/import-token/1",
            "keyring/global/service/marker/1",
            "keyring/global/service/material-id/1",
            "keyring/global/service/row-state/1",
            "keyring/global/service/session-token/1",
            "keyring/us-east-1/domain/1",
        ]
    );
    let opened = Keyring::open(&root, &entries).unwrap();
    assert!(agree(&made, &opened) && agree(&opened, &made));
    assert_eq!(made.checkpoint_public_key().unwrap(), opened.checkpoint_public_key().unwrap());
    assert_eq!(opened.regions().map(RegionName::as_str).collect::<Vec<_>>(), ["eu-central-1", "us-east-1"]);
}

#[test]
fn another_root_is_refused() {
    let (_, entries) = Keyring::create(&root(1), &regions()).unwrap();
    let refused = Keyring::open(&root(2), &entries).unwrap_err();
    assert!(matches!(refused, KeyringError::Root { source: RootError::OtherRoot { .. }, .. }));
}

#[test]
fn entries_that_trade_names_are_refused() {
    let root = root(1);
    let (_, entries) = Keyring::create(&root, &regions()).unwrap();
    for (a, b) in (1..entries.len()).map(|b| (b - 1, b)) {
        let mut traded = entries.clone();
        (traded[a].wrapped, traded[b].wrapped) = (entries[b].wrapped.clone(), entries[a].wrapped.clone());
        let refused = Keyring::open(&root, &traded).unwrap_err();
        assert!(matches!(refused, KeyringError::Root { source: RootError::NotAuthentic, .. }));
    }
    let mut renumbered = entries;
    renumbered[0].name = KeyringName::GlobalDomain { version: 2 };
    assert!(Keyring::open(&root, &renumbered).is_err());
}

#[test]
fn a_ring_with_a_missing_entry_is_refused() {
    let root = root(1);
    let (_, entries) = Keyring::create(&root, &[]).unwrap();
    for missing in 0..entries.len() {
        let mut rest = entries.clone();
        rest.remove(missing);
        assert!(
            matches!(Keyring::open(&root, &rest), Err(KeyringError::Crypto(_))),
            "{}",
            entries[missing].name
        );
    }
    assert!(Keyring::open(&root, &[]).is_err());
}

#[test]
fn an_entry_twice_is_refused() {
    let root = root(1);
    let (_, mut entries) = Keyring::create(&root, &[]).unwrap();
    entries.push(entries[0].clone());
    assert!(matches!(Keyring::open(&root, &entries), Err(KeyringError::DuplicateEntry { .. })));
    let twice = [region("us-east-1"), region("us-east-1")];
    assert!(matches!(Keyring::create(&root, &twice), Err(KeyringError::DuplicateRegion { .. })));
}

#[test]
fn a_wrapped_secret_of_another_length_is_refused() {
    let root = root(1);
    let (_, mut entries) = Keyring::create(&root, &[]).unwrap();
    let short = RootSecret::new(&[1; 31]).unwrap();
    entries[0].wrapped = root.wrap(&entries[0].name.root_purpose(), &short).unwrap();
    assert!(matches!(
        Keyring::open(&root, &entries),
        Err(KeyringError::Root { source: RootError::MalformedWrapping, .. })
    ));
}

#[test]
fn a_region_is_added_once() {
    let root = root(1);
    let (mut ring, mut entries) = Keyring::create(&root, &[region("us-east-1")]).unwrap();
    assert!(matches!(
        ring.add_region(&root, &region("us-east-1")),
        Err(KeyringError::DuplicateRegion { .. })
    ));
    let eu = region("eu-central-1");
    assert!(!ring.has_region(&eu) && ring.seal_row(&cell(Scope::Region(&eu)), b"value").is_err());

    entries.push(ring.add_region(&root, &eu).unwrap());
    assert!(ring.has_region(&eu));
    let opened = Keyring::open(&root, &entries).unwrap();
    assert!(agree(&ring, &opened));
    assert_eq!(opened.regions().count(), 2);
}

#[test]
fn one_region_past_the_limit_is_refused() {
    let root = root(1);
    let many: Vec<_> = (0..=REGIONS_MAX).map(|n| region(&format!("r-{n}"))).collect();
    assert!(matches!(Keyring::create(&root, &many), Err(KeyringError::TooManyRegions)));
    let (mut ring, _) = Keyring::create(&root, &many[..REGIONS_MAX]).unwrap();
    assert!(matches!(ring.add_region(&root, &many[REGIONS_MAX]), Err(KeyringError::TooManyRegions)));
    assert!(many[..REGIONS_MAX].iter().all(|region| ring.has_region(region)));
}

#[test]
fn every_flipped_bit_of_an_entry_is_refused() {
    let root = root(1);
    let (_, entries) = Keyring::create(&root, &[]).unwrap();
    crate::fixtures::each_bit_flipped(&entries[0].wrapped, |altered| {
        assert!(root.unwrap(&entries[0].name.root_purpose(), altered).is_err());
    });
    let other = RootPurpose::DomainKey { scope: Scope::Global, version: 2 };
    assert!(root.unwrap(&other, &entries[0].wrapped).is_err());
}

#[test]
fn debug_says_the_kind_only() {
    assert_eq!(format!("{:?}", keyring()), "Keyring(2 regions)");
}

/// A ring, its root, and the entries of one region.
fn growing() -> (crate::root::RootKey, Keyring, Vec<KeyringEntry>) {
    let root = root(1);
    let (keyring, mut entries) = Keyring::create(&root, &regions()).unwrap();
    let eu = region("eu-central-1");
    entries.retain(|entry| entry.name.domain_version(Scope::Region(&eu)).is_some());
    (root, keyring, entries)
}

#[test]
fn a_new_domain_key_seals_only_once_it_was_taken_up() {
    let (root, keyring, mut entries) = growing();
    let (eu, us) = (region("eu-central-1"), region("us-east-1"));
    let scope = Scope::Region(&eu);
    let before = keyring.seal_row(&cell(scope), b"value").unwrap();
    let entry = keyring.next_domain_key(&root, scope).unwrap();
    assert_eq!(entry.name.to_string(), "keyring/eu-central-1/domain/2");
    assert_eq!((keyring.domain_key_versions(scope).unwrap(), keyring.epoch()), (vec![1], 0));

    entries.push(entry);
    keyring.take_up_domain_keys(&root, scope, &entries).unwrap();
    assert_eq!((keyring.domain_key_versions(scope).unwrap(), keyring.epoch()), (vec![1, 2], 1));
    let after = keyring.seal_row(&cell(scope), b"value").unwrap();
    assert_eq!(crate::sealed_domain_key_version(&after), Some(2));
    for sealed in [&before, &after] {
        assert!(keyring.open_row(&cell(scope), sealed).is_ok());
    }
    assert_eq!(keyring.domain_key_versions(Scope::Region(&us)).unwrap(), [1]);
    // Taking up the same again changes nothing.
    keyring.take_up_domain_keys(&root, scope, &entries).unwrap();
    assert_eq!(keyring.epoch(), 1);
}

#[test]
fn a_domain_key_that_is_stored_no_longer_is_forgotten() {
    let (root, keyring, mut entries) = growing();
    let eu = region("eu-central-1");
    let scope = Scope::Region(&eu);
    let before = keyring.seal_row(&cell(scope), b"value").unwrap();
    entries.push(keyring.next_domain_key(&root, scope).unwrap());
    keyring.take_up_domain_keys(&root, scope, &entries).unwrap();
    let after = keyring.seal_row(&cell(scope), b"value").unwrap();
    keyring.take_up_domain_keys(&root, scope, &entries[1..]).unwrap();
    assert_eq!((keyring.domain_key_versions(scope).unwrap(), keyring.epoch()), (vec![2], 1));
    assert!(keyring.open_row(&cell(scope), &before).is_err());
    assert!(keyring.open_row(&cell(scope), &after).is_ok());
}

#[test]
fn entries_that_cannot_be_taken_up_change_nothing() {
    let (root, keyring, entries) = growing();
    let (eu, us) = (region("eu-central-1"), region("us-east-1"));
    let scope = Scope::Region(&eu);
    let foreign = keyring.next_domain_key(&root, Scope::Region(&us)).unwrap();
    let global = keyring.next_domain_key(&root, Scope::Global).unwrap();
    let other_root = keyring.next_domain_key(&crate::fixtures::root(2), scope).unwrap();
    for bad in [foreign, global, other_root] {
        let with_bad = [entries.clone(), vec![bad]].concat();
        assert!(keyring.take_up_domain_keys(&root, scope, &with_bad).is_err());
    }
    assert!(keyring.take_up_domain_keys(&root, scope, &[]).is_err());
    assert_eq!((keyring.domain_key_versions(scope).unwrap(), keyring.epoch()), (vec![1], 0));
    let nowhere = region("ap-south-1");
    assert!(keyring.next_domain_key(&root, Scope::Region(&nowhere)).is_err());
}
