//! Random groups against a map.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use strongroom_store::{Batch, BatchOutcome, Expect, Op, Precondition, Row, Store};

use super::{Case, all_rows};

pub(super) const CASES: &[Case] = &[("random groups agree with a map", random_groups_agree_with_a_map)];

/// Runs of up to thirty random steps.
const RUNS: u32 = 48;

#[derive(Debug, Clone)]
enum Step {
    Commit { batches: Vec<Batch>, finish: Vec<Op> },
    Get { address: String },
    Scan { prefix: String, after: Option<String>, limit: usize },
    Truncate,
}

type Rows = BTreeMap<String, Row>;

/// The literal reading of the trait's documentation.
fn expected(rows: &mut Rows, batches: &[Batch], finish: &[Op]) -> Vec<BatchOutcome> {
    let mut outcomes = Vec::new();
    for batch in batches {
        let failed = batch.preconditions.iter().find(|precondition| {
            let found = rows.get(&precondition.address).map(|row| row.version);
            match precondition.expect {
                Expect::Absent => found.is_some(),
                Expect::Version(version) => found != Some(version),
            }
        });
        outcomes.push(match failed {
            Some(failed) => BatchOutcome::Conflict { address: failed.address.clone() },
            None => {
                batch.ops.iter().for_each(|op| apply(rows, op));
                BatchOutcome::Applied
            }
        });
    }
    if outcomes.contains(&BatchOutcome::Applied) {
        finish.iter().for_each(|op| apply(rows, op));
    }
    outcomes
}

fn apply(rows: &mut Rows, op: &Op) {
    match op {
        Op::Delete { address } => {
            rows.remove(address);
        }
        Op::Put { address, version, value } => {
            rows.insert(address.clone(), Row { version: *version, value: value.clone() });
        }
    }
}

fn check(store: &dyn Store, steps: &[Step]) {
    let mut rows: Rows = all_rows(store).into_iter().collect();
    let mut revision = store.revision().unwrap();
    for step in steps {
        match step {
            Step::Commit { batches, finish } => {
                let outcomes = expected(&mut rows, batches, finish);
                revision += u64::from(outcomes.contains(&BatchOutcome::Applied));
                let done = store.commit_group(batches, &mut |_| finish.clone()).unwrap();
                assert_eq!((done.revision, done.outcomes), (revision, outcomes));
            }
            Step::Get { address } => assert_eq!(store.get(address).unwrap().as_ref(), rows.get(address)),
            Step::Scan { prefix, after, limit } => {
                let matching = rows
                    .iter()
                    .filter(|(address, _)| address.starts_with(prefix.as_str()))
                    .filter(|(address, _)| after.as_ref().is_none_or(|after| *address > after))
                    .take(*limit)
                    .map(|(address, row)| (address.clone(), row.clone()));
                assert_eq!(
                    store.scan(prefix, after.as_deref(), *limit).unwrap(),
                    matching.collect::<Vec<_>>()
                );
            }
            Step::Truncate => store.truncate_log().unwrap(),
        }
    }
    assert_eq!(all_rows(store), rows.into_iter().collect::<Vec<_>>());
}

/// Few different addresses, so that they meet, and with each other's prefixes.
fn address() -> impl Strategy<Value = String> {
    "[ab][/0é]?[ab/]?"
}

fn op() -> impl Strategy<Value = Op> {
    let value = prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (0_usize..9000, any::<u8>()).prop_map(|(length, byte)| vec![byte; length]),
    ];
    prop_oneof![
        1 => address().prop_map(|address| Op::Delete { address }),
        3 => (address(), 0_u64..3, value).prop_map(|(address, version, value)| Op::Put { address, version, value }),
    ]
}

fn precondition() -> impl Strategy<Value = Precondition> {
    let expect = prop_oneof![Just(Expect::Absent), (0_u64..3).prop_map(Expect::Version)];
    (address(), expect).prop_map(|(address, expect)| Precondition { address, expect })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let batch = (prop::collection::vec(precondition(), 0..3), prop::collection::vec(op(), 0..6))
        .prop_map(|(preconditions, ops)| Batch { preconditions, ops });
    let commit = (prop::collection::vec(batch, 0..5), prop::collection::vec(op(), 0..3))
        .prop_map(|(batches, finish)| Step::Commit { batches, finish });
    let scan = ("[ab]?[/0é]?", prop::option::of(address()), 0_usize..12)
        .prop_map(|(prefix, after, limit)| Step::Scan { prefix, after, limit });
    let step = prop_oneof![
        12 => commit,
        4 => address().prop_map(|address| Step::Get { address }),
        6 => scan,
        1 => Just(Step::Truncate),
    ];
    prop::collection::vec(step, 1..30)
}

/// The runs share one store: each begins with the rows that the one before left, as its model does.
fn random_groups_agree_with_a_map(store: &dyn Store) {
    let config = Config { cases: RUNS, failure_persistence: None, ..Config::default() };
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, random);
    let result = runner.run(&steps(), |steps| {
        check(store, &steps);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
