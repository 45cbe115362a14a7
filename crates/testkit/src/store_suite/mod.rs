//! What every store must do.
//!
//! [`run`] takes a function that makes a new, empty store; [`reopen`] one that makes a place and gives a function that
//! opens the store in it, again and again. Both panic at the first difference, and the panic names the case.

mod groups;
mod model;
mod refusals;
mod reopening;
mod scans;
mod threads;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use strongroom_store::{Batch, BatchOutcome, CommitError, Expect, GroupCommit, Op, Precondition, Row, Store};

type Case = (&'static str, fn(&dyn Store));

/// Opens the store of one place. The store opened before is closed or dropped by then.
pub type Opener = Box<dyn Fn() -> Box<dyn Store>>;

/// Runs every case that needs no reopening, each on a store of its own.
pub fn run(make: impl Fn() -> Box<dyn Store>) {
    let cases = [refusals::CASES, groups::CASES, scans::CASES, threads::CASES, model::CASES].concat();
    for (name, case) in cases {
        named(name, || case(&*make()));
    }
}

/// Runs every case about what is kept when the store is closed and opened again.
pub fn reopen(make: impl Fn() -> Opener) {
    for (name, case) in reopening::CASES {
        named(name, || case(&make()));
    }
}

/// Adds the case's name to its panic.
fn named(name: &str, case: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(case)) {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        match text.or_else(|| panic.downcast_ref::<&str>().copied()) {
            Some(text) => panic!("the store fails `{name}`: {text}"),
            None => resume_unwind(panic),
        }
    }
}

fn put(address: &str, version: u64, value: &[u8]) -> Op {
    Op::Put { address: address.to_owned(), version, value: value.to_vec() }
}

fn delete(address: &str) -> Op {
    Op::Delete { address: address.to_owned() }
}

fn expect(address: &str, expect: Expect) -> Precondition {
    Precondition { address: address.to_owned(), expect }
}

fn batch(preconditions: impl Into<Vec<Precondition>>, ops: impl Into<Vec<Op>>) -> Batch {
    Batch { preconditions: preconditions.into(), ops: ops.into() }
}

fn conflict(address: &str) -> BatchOutcome {
    BatchOutcome::Conflict { address: address.to_owned() }
}

/// Commits a group that ends with nothing more.
fn commit(store: &dyn Store, batches: &[Batch]) -> Result<GroupCommit, CommitError> {
    store.commit_group(batches, &mut |_| Vec::new())
}

/// Commits one batch of operations without preconditions.
fn write(store: &dyn Store, ops: impl Into<Vec<Op>>) {
    let done = commit(store, &[batch([], ops)]).unwrap();
    assert_eq!(done.outcomes, [BatchOutcome::Applied]);
}

fn version(store: &dyn Store, address: &str) -> Option<u64> {
    store.get(address).unwrap().map(|row| row.version)
}

/// Every row, by pages.
fn all_rows(store: &dyn Store) -> Vec<(String, Row)> {
    let mut rows: Vec<(String, Row)> = Vec::new();
    loop {
        let after = rows.last().map(|(address, _)| address.as_str());
        let page = store.scan("", after, 100).unwrap();
        let last = page.len() < 100;
        rows.extend(page);
        if last {
            return rows;
        }
    }
}
