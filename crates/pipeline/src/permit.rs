//! The proof that a decision was taken.

use std::sync::Arc;

use strongroom_attestation::Attestation;
use strongroom_crypto::RecipientKey;

use crate::caller::Caller;
use crate::job::Job;
use crate::operation::Operation;

/// A decision's yes, with the request it was about and the very rows it saw.
///
/// INVARIANT: minted by `decide` alone, after every check of the operation was allowed. Its fields are private, and it
/// can neither be cloned nor made elsewhere, so an operation that runs has been decided.
pub struct Permit<Op: Operation> {
    request: Arc<Op::Request>,
    rows: Op::Rows,
    caller: Caller,
    attestation: Option<Arc<Attestation>>,
}

impl<Op: Operation> Permit<Op> {
    pub(crate) fn mint(
        request: Arc<Op::Request>,
        rows: Op::Rows,
        caller: Caller,
        attestation: Option<Arc<Attestation>>,
    ) -> Self {
        Self { request, rows, caller, attestation }
    }

    pub fn request(&self) -> &Op::Request {
        &self.request
    }

    pub fn rows(&self) -> &Op::Rows {
        &self.rows
    }

    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Whom alone the plaintext may be given to, and only in an envelope.
    pub fn recipient(&self) -> Option<&RecipientKey> {
        self.attestation.as_deref().map(Attestation::recipient)
    }
}

/// The same for a job: its task and the rows that say whether it is to be done.
///
/// INVARIANT: minted by `decide` alone, on the road that only [`JobCorridor`](crate::JobCorridor) takes. A request cannot
/// come by one: an [`Operation`] runs with a [`Permit`], which is another type.
pub struct JobPermit<'a, J: Job> {
    task: &'a J::Task,
    rows: J::Rows,
}

impl<'a, J: Job> JobPermit<'a, J> {
    pub(crate) fn mint(task: &'a J::Task, rows: J::Rows) -> Self {
        Self { task, rows }
    }

    pub fn task(&self) -> &J::Task {
        self.task
    }

    pub fn rows(&self) -> &J::Rows {
        &self.rows
    }
}
