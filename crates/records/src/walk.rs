//! A walk through the whole store that is exact although commits go on.
//!
//! The walk reads the rows page by page, in the order of their addresses. The committing thread holds the [`Gate`] while
//! it commits, the walk while it reads a page: so each commit falls between two pages, and what it did to rows that the
//! walk has passed already is added to what the walk has found. At the end, rows found and changes since make what the
//! store holds, at that moment, to the row. No snapshot is needed, and a commit waits for one page at most.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use strongroom_crypto::SetHash;
use strongroom_store::{Batch, BatchOutcome};

use crate::address::{Address, RowScope};

/// What one operation of a batch does to the set-hash and to the number of rows of its shard.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Move {
    pub(crate) hash: SetHash,
    pub(crate) rows: i64,
}

impl Move {
    pub(crate) fn add(&mut self, other: &Self) {
        self.hash.xor(other.hash.as_bytes());
        self.rows = self.rows.saturating_add(other.rows);
    }
}

/// Commits and pages pass one at a time.
#[derive(Default)]
pub(crate) struct Gate(Mutex<Option<Walk>>);

/// The walk under way.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    reached: Reached,
    /// What commits did to rows that were read before.
    moved: BTreeMap<RowScope, Move>,
    is_lost: bool,
}

/// How far it has come.
#[derive(Debug, Default)]
pub(crate) enum Reached {
    At(String),
    End,
    #[default]
    Start,
}

impl Gate {
    /// A panic under the lock leaves a walk whose numbers may be wrong, so it begins again.
    pub(crate) fn enter(&self) -> MutexGuard<'_, Option<Walk>> {
        self.0.lock().unwrap_or_else(|poisoned: PoisonError<_>| {
            let mut guard = poisoned.into_inner();
            if let Some(walk) = guard.as_mut() {
                walk.lose();
            }
            guard
        })
    }
}

impl Walk {
    pub(crate) fn reach(&mut self, reached: Reached) {
        self.reached = reached;
    }

    /// A group was committed.
    pub(crate) fn committed<'m>(
        &mut self,
        batches: &[Batch],
        moves: impl Iterator<Item = &'m [Move]>,
        outcomes: &[BatchOutcome],
    ) {
        for ((batch, moves), outcome) in batches.iter().zip(moves).zip(outcomes) {
            if !outcome.is_applied() {
                continue;
            }
            for (op, moved) in batch.ops.iter().zip(moves) {
                if self.has_passed(op.address())
                    && let Some(address) = Address::parse(op.address())
                {
                    self.moved.entry(address.scope().clone()).or_default().add(moved);
                }
            }
        }
    }

    /// Nobody knows what was committed: what was found may be of before or after it.
    pub(crate) fn lose(&mut self) {
        self.is_lost = true;
    }

    /// What commits did since; `None` if the walk was lost.
    pub(crate) fn into_moved(self) -> Option<BTreeMap<RowScope, Move>> {
        (!self.is_lost).then_some(self.moved)
    }

    fn has_passed(&self, address: &str) -> bool {
        match &self.reached {
            Reached::At(last) => address <= last.as_str(),
            Reached::End => true,
            Reached::Start => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use strongroom_store::Op;

    use super::*;

    fn batch(addresses: &[&str]) -> Batch {
        let ops = addresses.iter().map(|address| Op::Delete { address: (*address).to_owned() }).collect();
        Batch { preconditions: Vec::new(), ops }
    }

    fn moved(reached: Reached, outcomes: &[BatchOutcome]) -> i64 {
        let batches = [batch(&["account/global/1", "account/global/3"]), batch(&["account/global/2"])];
        let one = Move { hash: SetHash::default(), rows: 1 };
        let moves = [[one, one], [one, one]];
        let mut walk = Walk::default();
        walk.reach(reached);
        walk.committed(&batches, moves.iter().map(<[Move; 2]>::as_slice), outcomes);
        let moved = walk.into_moved().unwrap();
        moved.get(&RowScope::Global).map_or(0, |moved| moved.rows)
    }

    #[test]
    fn rows_that_are_read_later_are_not_counted_twice() {
        let both = [BatchOutcome::Applied, BatchOutcome::Applied];
        assert_eq!(moved(Reached::Start, &both), 0);
        assert_eq!(moved(Reached::At("account/global/0".into()), &both), 0);
        assert_eq!(moved(Reached::At("account/global/1".into()), &both), 1);
        assert_eq!(moved(Reached::At("account/global/2".into()), &both), 2);
        assert_eq!(moved(Reached::End, &both), 3);
    }

    #[test]
    fn a_batch_that_was_not_applied_moves_nothing() {
        let conflict = BatchOutcome::Conflict { address: "account/global/1".into() };
        assert_eq!(moved(Reached::End, &[conflict, BatchOutcome::Applied]), 1);
    }

    #[test]
    fn a_lost_walk_comes_to_nothing() {
        let gate = Gate::default();
        *gate.enter() = Some(Walk::default());
        gate.enter().as_mut().unwrap().lose();
        assert!(gate.enter().take().unwrap().into_moved().is_none());
    }
}
