use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;

use strongroom_policy::{GrantConstraints, GrantTerms};
use strongroom_types::{AccountId, EncryptionContext, KeyId, RegionName, Timestamp};

use super::*;
use crate::address::Address;
use crate::writes::Mark;

const ARN: &str = "arn:aws:iam::111122223333:user/Bob";
const CREATED: Timestamp = Timestamp::from_secs(1_767_225_600);

fn us() -> RegionName {
    RegionName::parse("us-east-1").unwrap()
}

fn key_id() -> KeyId {
    KeyId::from_parts([1; 16], false)
}

fn context(pairs: &[(&str, &str)]) -> EncryptionContext {
    EncryptionContext::new(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()).unwrap()
}

fn grant(number: u64, operations: &[GrantOperation], constraints: GrantConstraints) -> Loaded<GrantRow> {
    let grantee = GrantPrincipal::Caller(ARN.into());
    let mut half = [0; 16];
    half[..8].copy_from_slice(&number.to_be_bytes());
    let grant_id = GrantId::from_halves(GrantRow::grantee_tag(&key_id(), &grantee), half);
    let row = GrantRow {
        key_id: key_id(),
        grant_id,
        created: CREATED,
        key_created: CREATED,
        serial: [0; 16],
        grantee,
        retiring: None,
        issuing_account: AccountId::parse("111122223333").unwrap(),
        terms: GrantTerms { constraints, operations: operations.to_vec() },
        name: None,
    };
    let address: Address = GrantRow::address(&us(), &key_id(), &grant_id);
    Loaded::new(address, Mark { version: 1, tag: [0; 16] }, row)
}

fn place() -> Place {
    Place {
        region: us(),
        key_id: key_id(),
        tag: grant(0, &[], GrantConstraints::default()).grant_id.grantee_tag(),
    }
}

fn equals(context: EncryptionContext) -> GrantConstraints {
    GrantConstraints { context_equals: Some(context), ..GrantConstraints::default() }
}

fn subset(context: EncryptionContext) -> GrantConstraints {
    GrantConstraints { context_subset: Some(context), ..GrantConstraints::default() }
}

/// Every way to be constrained, in every combination of operations: what the index finds is what a look at all of them
/// finds, before and after half of them are removed.
#[test]
fn the_index_finds_what_a_look_at_all_grants_finds() {
    let pairs: [&[(&str, &str)]; 5] =
        [&[], &[("a", "1")], &[("a", "2")], &[("a", "1"), ("b", "1")], &[("b", "1")]];
    let source = || Some("arn:aws:s3:::bucket".into());
    let mut all: Vec<GrantConstraints> = vec![GrantConstraints::default()];
    all.extend(pairs.iter().flat_map(|pairs| [equals(context(pairs)), subset(context(pairs))]));
    all.push(GrantConstraints { context_subset: Some(context(&[("a", "1")])), ..equals(context(pairs[3])) });
    all.extend(
        all.clone().into_iter().map(|constraints| GrantConstraints { source_arn: source(), ..constraints }),
    );
    let operations = [GrantOperation::Decrypt, GrantOperation::DescribeKey, GrantOperation::CreateGrant];
    let mut grants = Vec::new();
    for (at, constraints) in all.iter().enumerate() {
        let given = if at % 2 == 0 { &operations[..] } else { &operations[at % 3..=at % 3] };
        grants.push(Arc::new(grant(at as u64, given, constraints.clone())));
    }
    let mut index = Index::default();
    grants.iter().for_each(|grant| index.put(Arc::clone(grant)));
    let child =
        GrantTerms { constraints: subset(context(&[("a", "1")])), operations: vec![GrantOperation::Decrypt] };
    let mut found = BTreeSet::new();
    for round in 0..2 {
        for operation in [GrantOperation::Encrypt].into_iter().chain(operations) {
            for source_arn in [None, Some("arn:aws:s3:::bucket"), Some("arn:aws:s3:::other")] {
                for context in [None].into_iter().chain(pairs.map(|pairs| Some(context(pairs)))) {
                    for forbidden in 0..grants.len() {
                        let facts = GrantFacts { child: Some(&child), context: context.as_ref(), source_arn };
                        // Each in turn is left out, so that not only the first one is ever found.
                        let allows = |grant: &GrantRow| {
                            grant.grant_id != grants[forbidden].grant_id
                                && grant.terms.allow(operation, &facts)
                        };
                        let expected = grants.iter().any(|grant| allows(grant));
                        let told = index.find(operation, &facts, allows);
                        assert_eq!(told.is_some(), expected, "{operation:?} {facts:?} {forbidden}");
                        found.extend(told.filter(|grant| allows(grant)).map(|grant| grant.grant_id));
                    }
                }
            }
        }
        if round == 0 {
            assert!(found.len() > 5, "the table reaches different ones: {}", found.len());
            grants.retain(|grant| grant.grant_id.as_bytes()[23] % 2 == 0);
            let kept: BTreeSet<_> = grants.iter().map(|grant| grant.grant_id).collect();
            (0..all.len() as u64)
                .map(|number| grant(number, &[], GrantConstraints::default()).grant_id)
                .filter(|id| !kept.contains(id))
                .for_each(|id| index.remove(&id));
        }
    }
    grants.iter().for_each(|grant| index.remove(&grant.grant_id));
    assert_eq!((index.len(), index.weight_bytes()), (0, 0));
}

#[test]
fn a_grant_that_is_put_again_replaces_itself() {
    let mut index = Index::default();
    index.put(Arc::new(grant(1, &[GrantOperation::Decrypt], subset(context(&[("a", "1")])))));
    let weight = index.weight_bytes();
    index.put(Arc::new(grant(1, &[GrantOperation::Decrypt], subset(context(&[("a", "1")])))));
    assert_eq!((index.len(), index.weight_bytes()), (1, weight));
}

/// However many grants differ in a value, only those that may allow are asked.
#[test]
fn of_many_grants_only_those_that_may_allow_are_asked() {
    let mut index = Index::default();
    for number in 0..3000_u64 {
        let value = number.to_string();
        let pairs = [("account", "111122223333"), ("volume", &value)];
        let constraints = match number % 3 {
            0 => equals(context(&pairs)),
            1 => subset(context(&pairs)),
            _ => GrantConstraints::default(),
        };
        let operation = if number % 3 == 2 { GrantOperation::DescribeKey } else { GrantOperation::Decrypt };
        index.put(Arc::new(grant(number, &[operation], constraints)));
    }
    for (volume, more, expected) in
        [("9", false, true), ("10", true, true), ("9", true, false), ("x", false, false)]
    {
        let mut pairs = vec![("account", "111122223333"), ("volume", volume)];
        pairs.extend(more.then_some(("z", "1")));
        let context = context(&pairs);
        let facts = GrantFacts { context: Some(&context), ..GrantFacts::default() };
        let asked = std::cell::Cell::new(0);
        let found = index.find(GrantOperation::Decrypt, &facts, |grant| {
            asked.set(asked.get() + 1);
            grant.terms.allow(GrantOperation::Decrypt, &facts)
        });
        assert_eq!(found.is_some(), expected, "{volume} {more}");
        assert!(asked.get() <= 2, "{} were asked", asked.get());
    }
}

fn allows(entry: &Entry) -> bool {
    let found =
        entry.with_index(|index| index.find(GrantOperation::Decrypt, &GrantFacts::default(), |_| true));
    found.flatten().is_some()
}

fn free(number: u64) -> Loaded<GrantRow> {
    grant(number, &[GrantOperation::Decrypt], GrantConstraints::default())
}

#[test]
fn changes_that_come_while_grants_are_read_are_kept() {
    let cache = GrantCache::default();
    // Removed while it was read.
    let entry = cache.read(&place(), || {
        let mut index = Index::default();
        index.put(Arc::new(free(1)));
        cache.remove(&us(), &key_id(), &free(1).grant_id);
        Ok(index)
    });
    assert!(!allows(&entry.unwrap()));
    assert!(!allows(&cache.ready(&place()).unwrap()));
    cache.forget(&us(), &key_id(), &free(1).grant_id);
    assert!(cache.ready(&place()).is_none());
    // Made while it was read.
    let entry = cache.read(&place(), || {
        cache.put(&us(), free(2));
        Ok(Index::default())
    });
    assert!(allows(&entry.unwrap()));
    cache.remove(&us(), &key_id(), &free(2).grant_id);
    assert!(!allows(&cache.ready(&place()).unwrap()));
}

#[test]
fn what_could_not_be_read_is_read_again() {
    let cache = GrantCache::default();
    let failed = cache.read(&place(), || Err(RecordsError::NotWritten));
    assert!(failed.is_err());
    assert!(cache.ready(&place()).is_none());
    // A grant that is forgotten while it is read is used once and not kept.
    let entry = cache.read(&place(), || {
        cache.forget(&us(), &key_id(), &free(1).grant_id);
        Ok(Index::default())
    });
    assert!(!allows(&entry.unwrap()));
    assert!(cache.ready(&place()).is_none());
    // So is one during whose reading too much changed.
    let entry = cache.read(&place(), || {
        (0..5000).for_each(|number| cache.remove(&us(), &key_id(), &free(number).grant_id));
        let mut index = Index::default();
        index.put(Arc::new(free(1)));
        Ok(index)
    });
    assert!(allows(&entry.unwrap()));
    assert!(cache.ready(&place()).is_none());
}

#[test]
fn what_is_kept_is_bounded_and_given_back() {
    let cache = GrantCache::new(100_000);
    for number in 0..1000_u64 {
        let mut tag = [0; 16];
        tag[..8].copy_from_slice(&number.to_be_bytes());
        let place = Place { tag, ..place() };
        let entry = cache.read(&place, || {
            let mut index = Index::default();
            (0..10).for_each(|number| index.put(Arc::new(free(number))));
            Ok(index)
        });
        assert!(allows(&entry.unwrap()));
        assert!(cache.weight_bytes() < 150_000, "{}", cache.weight_bytes());
    }
    drop(cache);
}

/// A grant is revoked and made again, over and over, while others ask: whoever begins to ask after a change has returned
/// finds it as the change left it.
#[test]
fn a_look_that_begins_after_a_change_sees_it() {
    let cache = GrantCache::default();
    // What the store holds; even numbers: the grant is there.
    let store = Mutex::new(0_u64);
    let (started, returned, done) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for reader in 0..3 {
            let (cache, store, started, returned, done) = (&cache, &store, &started, &returned, &done);
            scope.spawn(move || {
                while !done.load(SeqCst) {
                    if reader == 0 {
                        cache.forget(&us(), &key_id(), &free(1).grant_id);
                    }
                    let before = returned.load(SeqCst);
                    let entry = cache.read(&place(), || {
                        let mut index = Index::default();
                        if store.lock().unwrap().is_multiple_of(2) {
                            index.put(Arc::new(free(1)));
                        }
                        thread::yield_now();
                        Ok(index)
                    });
                    let is_there = allows(&entry.unwrap());
                    let after = started.load(SeqCst);
                    let possible = (before..=after).any(|step| step.is_multiple_of(2) == is_there);
                    assert!(possible, "{is_there} between {before} and {after}");
                }
            });
        }
        for step in 1..=20_000_u64 {
            started.store(step, SeqCst);
            *store.lock().unwrap() = step;
            if step.is_multiple_of(2) {
                cache.put(&us(), free(1));
            } else {
                cache.remove(&us(), &key_id(), &free(1).grant_id);
            }
            returned.store(step, SeqCst);
        }
        done.store(true, SeqCst);
    });
}
