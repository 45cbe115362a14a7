//! What the committing thread does while the store fails.
//!
//! A commit whose outcome is unknown leaves three things open: the states, the outbox rows of its batches, which are the
//! records of what was done, and whether the store can be written at all. Nobody else may come to close them: the request
//! may have gone away, and no request comes where a load balancer believes what `/readyz` says. So this thread asks by
//! itself, until the store answers.
//!
//! What it deliberately does not do: answer requests. Those look for their own outbox row, for as long as they wait.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use strongroom_store::{Batch, CommitError};

use crate::committer::{CommitStats, Committer, Job};
use crate::error::RecordsError;
use crate::sealed::load;
use crate::states::{States, load_states};
use crate::tables::outbox::OutboxRow;
use crate::writes::Kept;

impl Committer {
    /// Waits for the next batch; meanwhile it asks a failing store now and then whether it works again.
    pub(crate) fn next_job(&mut self, queue: &Receiver<Job>) -> Option<Job> {
        while self.stats.is_failing() {
            match queue.recv_timeout(self.probe_every) {
                Ok(job) => return Some(job),
                Err(RecvTimeoutError::Timeout) => self.probe(),
                Err(RecvTimeoutError::Disconnected) => {
                    self.probe();
                    return None;
                }
            }
        }
        queue.recv().ok()
    }

    /// Remembers the records of batches of which nobody knows whether they were applied.
    pub(crate) fn lose_outcome(&mut self, jobs: &[Job]) {
        self.states = None;
        let changes = jobs.iter().flat_map(|job| job.sealed.changes());
        let rows = changes.filter(|change| matches!(change.row, Some((_, Kept::Outbox(_)))));
        self.unsettled.extend(rows.map(|change| change.address.clone()));
    }

    /// Reads what an unknown outcome has left open: which records are there, and the states.
    pub(crate) fn take_stock(&mut self) -> Result<States, RecordsError> {
        while let Some(address) = self.unsettled.last() {
            match load::<OutboxRow>(&*self.store, &self.keyring, address) {
                // The drainer outlives the commits; were it gone, the row stays for the next start.
                Ok(Some(row)) => drop(self.outbox.send(row)),
                Ok(None) => {}
                Err(error @ RecordsError::Store(_)) => return Err(error),
                // One row that does not open must not keep all others from being written. It stays where it is.
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(row = %address, error, "an outbox row does not open");
                }
            }
            self.unsettled.pop();
        }
        let states = load_states(&*self.store, &self.keyring, &self.regions)?;
        self.states = Some(states.clone());
        Ok(states)
    }

    /// Commits nothing, which is written and synced like anything else.
    fn probe(&mut self) {
        if self.states.is_none()
            && let Err(error) = self.take_stock()
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "the store still fails");
            return;
        }
        match self.store.commit_group(&[Batch::default()], &mut |_| Vec::new()) {
            Ok(_) => {
                tracing::warn!("the store works again");
                self.stats.set_failing(false);
            }
            // Nothing of ours was in it, so nothing of ours is open.
            Err(error @ (CommitError::Failed(_) | CommitError::Unknown(_))) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the store still fails");
            }
        }
    }
}

impl CommitStats {
    /// Whether the last commit failed, and none has succeeded since.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Acquire)
    }

    pub(crate) fn set_failing(&self, is_failing: bool) {
        self.failing.store(is_failing, Ordering::Release);
    }
}
