//! The proof that a decision was taken.

use crate::caller::Caller;
use crate::operation::Operation;

/// A decision's yes, with the request it was about and the very rows it saw.
///
/// INVARIANT: minted by `decide` alone, after every check of the operation was allowed. Its fields are private, and it
/// can neither be cloned nor made elsewhere, so an operation that runs has been decided.
pub struct Permit<Op: Operation> {
    request: std::sync::Arc<Op::Request>,
    rows: Op::Rows,
    caller: Caller,
}

impl<Op: Operation> Permit<Op> {
    pub(crate) fn mint(request: std::sync::Arc<Op::Request>, rows: Op::Rows, caller: Caller) -> Self {
        Self { request, rows, caller }
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
}
