//! What the journal is told of the event loops whose requests append to it.
//!
//! A group of records is worth its sync when it is large. While loops are still at work, more records will come within
//! microseconds; once all of them have nothing left to do, everybody waits for the disk, and any further waiting would
//! be idle time. So each loop says when it has run out of work and when it has some again, and the writer gathers
//! between the two.
//!
//! Only a hint: the writer waits no longer than its own limit, whatever it is told.

use std::fmt;
use std::sync::Arc;

use crate::journal::shared::Shared;

/// For one event loop after another to say whether they have work. All clones speak of the same journal.
#[derive(Clone)]
pub struct Appenders(Arc<Shared>);

impl Appenders {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// A loop has work now. It is to say [`idle`](Self::idle) once for each time that it says this.
    pub fn busy(&self) {
        self.0.busy();
    }

    /// A loop has run out of work, or ends.
    pub fn idle(&self) {
        self.0.idle();
    }
}

impl fmt::Debug for Appenders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Appenders(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::journal::shared::Haste::Hurried;
    use crate::journal::shared::testing::{FOR_EVER, append, shared, taken_for_loops, while_gathering};

    #[test]
    fn loops_that_are_idle_are_not_waited_for() {
        let shared = shared();
        let appenders = Appenders::new(Arc::clone(&shared));
        appenders.busy();
        appenders.busy();
        appenders.idle();
        appenders.idle();
        append(&shared, 1, Hurried);
        assert_eq!(taken_for_loops(&shared, Some(FOR_EVER)), Some(1));
    }

    #[test]
    fn busy_loops_are_not_waited_for_without_need_or_past_the_limit() {
        let shared = shared();
        Appenders::new(Arc::clone(&shared)).busy();
        for gathering in [None, Some(Duration::ZERO)] {
            append(&shared, 1, Hurried);
            assert_eq!(taken_for_loops(&shared, gathering), Some(1));
        }
    }

    #[test]
    fn group_takes_what_busy_loops_append_until_the_last_is_idle() {
        let shared = shared();
        let appenders = Appenders::new(Arc::clone(&shared));
        appenders.busy();
        appenders.busy();
        append(&shared, 1, Hurried);
        let records = while_gathering(&shared, || {
            append(&shared, 2, Hurried);
            appenders.idle();
            append(&shared, 3, Hurried);
            appenders.idle();
        });
        assert_eq!(records, Some(3));
    }

    #[test]
    fn closing_ends_the_gathering() {
        let shared = shared();
        Appenders::new(Arc::clone(&shared)).busy();
        append(&shared, 1, Hurried);
        // The record, and the checkpoint that closing adds.
        assert_eq!(while_gathering(&shared, || shared.close()), Some(2));
    }
}
