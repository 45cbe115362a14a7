//! Many threads, many batches, three shards: the state rows count exactly what is there.

use std::collections::BTreeMap;
use std::thread;

use proptest::prelude::*;
use strongroom_testkit::random::SeededRandom;
use strongroom_types::RequestId;

use super::*;
use crate::tables::Row;
use crate::{Address, CommitError};

const THREADS: u64 = 4;
const STEPS: u64 = 60;
const ROWS: u64 = 9;

/// Rows that belong to nothing else, spread over the shards.
fn address(number: u64) -> Address {
    let id = RequestId::from_bytes([u8::try_from(number).unwrap(); 16]);
    match number % 3 {
        0 => AccountRow::address(numbered(number)),
        1 => OutboxRow::address(&us(), &id),
        _ => OutboxRow::address(&eu(), &id),
    }
}

/// One random change of one row, of whichever type it is.
fn change<R: Row>(records: &Records, writes: &mut Writes, address: &Address, row: R, delete: bool) -> bool {
    match records.load::<R>(address).unwrap() {
        Some(loaded) if delete => writes.delete(&loaded),
        Some(loaded) => writes.update(&loaded, row),
        None if delete => return false,
        None => writes.create(address.clone(), row),
    }
    true
}

/// One batch of one to three rows; tells which of them exist afterwards if it was applied.
fn batch(records: &Records, random: &mut SeededRandom) -> Option<Vec<(u64, bool)>> {
    let mut writes = Writes::default();
    let mut after = Vec::new();
    let first = random.below(ROWS);
    for number in (0..1 + random.below(3)).map(|step| (first + step) % ROWS) {
        let (delete, address) = (random.chance(350), address(number));
        let millis = random.next_u64() >> 20;
        let changed = if number.is_multiple_of(3) {
            change(records, &mut writes, &address, account_row(number, millis), delete)
        } else {
            let row = OutboxRow { created: Timestamp::from_millis(millis), event: random.bytes(20) };
            change(records, &mut writes, &address, row, delete)
        };
        if changed {
            after.push((number, !delete));
        }
    }
    match records.commit_blocking(writes, Vec::new()) {
        Ok(()) => Some(after),
        Err(CommitError::Conflict { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn concurrent_batches_keep_the_states_right(seed in any::<u64>()) {
        let deployment = Deployment::new();
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let records = &deployment.records;
                scope.spawn(move || {
                    let mut random = SeededRandom::new(seed ^ thread);
                    for _ in 0..STEPS {
                        batch(records, &mut random);
                    }
                });
            }
        });
        prop_assert_eq!(deployment.check().problems, Vec::<String>::new());
        let deployment = deployment.restart();
        let mut random = SeededRandom::new(seed);
        batch(&deployment.records, &mut random);
        prop_assert_eq!(deployment.check().problems, Vec::<String>::new());
    }

    /// With one thread nothing conflicts, and the rows are those of a plain map.
    #[test]
    fn the_rows_are_those_of_a_model(seed in any::<u64>()) {
        let deployment = Deployment::new();
        let mut model = BTreeMap::new();
        let mut random = SeededRandom::new(seed);
        for _ in 0..STEPS {
            let after = batch(&deployment.records, &mut random).expect("nobody else writes");
            model.extend(after);
        }
        let rows = deployment.store.rows();
        for (number, exists) in model {
            prop_assert_eq!(rows.contains_key(address(number).as_str()), exists, "row {}", number);
        }
        prop_assert_eq!(deployment.check().problems, Vec::<String>::new());
    }
}
