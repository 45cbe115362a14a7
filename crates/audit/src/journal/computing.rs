//! What the journal is told of operations that compute for long.
//!
//! Where private keys work, the processors are what everybody waits for, and a sync for each signature, with the answer that
//! follows it, takes a good part of one away from the next. So the record of an operation that computed for long may wait for
//! company: as long as more of them compute than there are processors, so that a sync would only be in their way, and more than
//! twice as many as wait; no longer than some milliseconds; and only while no other record waits. Whoever computes alone, or
//! beside idle processors, waits for nobody.

use std::fmt;
use std::sync::Arc;

use crate::journal::shared::Shared;

/// An operation that computes, until this is dropped.
#[must_use = "an operation computes until this is dropped"]
pub struct Computing(Arc<Shared>);

impl Computing {
    pub(crate) fn begin(shared: Arc<Shared>) -> Self {
        shared.begin_computing();
        Self(shared)
    }
}

impl Drop for Computing {
    fn drop(&mut self) {
        self.0.end_computing();
    }
}

impl fmt::Debug for Computing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Computing(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::shared::Haste;
    use crate::journal::shared::testing::{FOR_EVER, append, shared, taken_in_company, while_gathering};

    /// Of the journal in these tests, which believes in two processors.
    fn computing<const N: usize>(shared: &Arc<Shared>) -> [Computing; N] {
        std::array::from_fn(|_| Computing::begin(Arc::clone(shared)))
    }

    #[test]
    fn record_in_haste_waits_for_nobody() {
        let shared = shared();
        let _computing = computing::<8>(&shared);
        append(&shared, 1, Haste::Patient);
        append(&shared, 2, Haste::Hurried);
        assert_eq!(taken_in_company(&shared, FOR_EVER), Some(2));
    }

    #[test]
    fn no_more_computing_than_processors_is_not_waited_for() {
        let shared = shared();
        let _computing = computing::<2>(&shared);
        append(&shared, 1, Haste::Patient);
        assert_eq!(taken_in_company(&shared, FOR_EVER), Some(1));
    }

    #[test]
    fn nobody_waits_past_the_limit() {
        let shared = shared();
        let _computing = computing::<8>(&shared);
        append(&shared, 1, Haste::Patient);
        assert_eq!(taken_in_company(&shared, std::time::Duration::ZERO), Some(1));
    }

    #[test]
    fn record_that_is_half_as_many_as_compute_waits_for_nobody() {
        let shared = shared();
        let _computing = computing::<4>(&shared);
        append(&shared, 1, Haste::Patient);
        append(&shared, 2, Haste::Patient);
        assert_eq!(taken_in_company(&shared, FOR_EVER), Some(2));
    }

    #[test]
    fn wait_ends_also_when_some_end_without_a_record() {
        let shared = shared();
        let mut computing = Vec::from(computing::<8>(&shared));
        append(&shared, 1, Haste::Patient);
        append(&shared, 2, Haste::Patient);
        append(&shared, 3, Haste::Patient);
        assert_eq!(while_gathering(&shared, || computing.truncate(6)), Some(3));
    }

    #[test]
    fn patient_records_wait_until_half_as_many_as_compute_are_there() {
        let shared = shared();
        let _computing = computing::<8>(&shared);
        append(&shared, 1, Haste::Patient);
        let records = while_gathering(&shared, || (2..=4).for_each(|n| append(&shared, n, Haste::Patient)));
        assert_eq!(records, Some(4));
    }

    #[test]
    fn patient_records_wait_until_the_processors_suffice() {
        let shared = shared();
        let all = computing::<8>(&shared);
        append(&shared, 1, Haste::Patient);
        let mut left = Vec::from(all);
        let records = while_gathering(&shared, || {
            append(&shared, 2, Haste::Patient);
            left.truncate(2);
        });
        assert_eq!(records, Some(2));
    }

    #[test]
    fn patient_records_wait_until_one_in_haste_comes() {
        let shared = shared();
        let _computing = computing::<8>(&shared);
        append(&shared, 1, Haste::Patient);
        assert_eq!(while_gathering(&shared, || append(&shared, 2, Haste::Hurried)), Some(2));
        // The next group has forgotten it.
        append(&shared, 3, Haste::Patient);
        assert_eq!(while_gathering(&shared, || append(&shared, 4, Haste::Hurried)), Some(2));
    }

    #[test]
    fn notes_and_closing_end_the_wait() {
        let shared = shared();
        let _computing = computing::<8>(&shared);
        append(&shared, 1, Haste::Patient);
        assert_eq!(while_gathering(&shared, || drop(shared.append_note("note"))), Some(2));
        append(&shared, 2, Haste::Patient);
        // The record, and the checkpoint that closing adds.
        assert_eq!(while_gathering(&shared, || shared.close()), Some(2));
    }
}
