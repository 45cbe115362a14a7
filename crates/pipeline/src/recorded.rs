//! Answers, between their record and their leaving.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use strongroom_audit::{JournalError, Synced};
use strongroom_types::RequestId;
use strongroom_wire::{ErrorKind, WireError};

use crate::arrival::Answer;
use crate::beside::Settle;
use crate::protocol::Protocol;

/// An answer whose record is in the journal's memory.
#[must_use = "the answer leaves when its record is durable"]
pub(crate) struct Recorded {
    pub(crate) answer: Answer,
    pub(crate) protocol: Protocol,
    /// `None`: it has been recorded otherwise.
    pub(crate) synced: Option<Synced>,
}

impl Recorded {
    /// The answer, once its record is synced.
    pub(crate) async fn durable(self) -> Answer {
        let Self { answer, protocol, synced } = self;
        let Some(synced) = synced else { return answer };
        // INVARIANT: this may have been seen ready already (`poll_settled`); a `Synced` says the same each time.
        match synced.await {
            Ok(_) => answer,
            Err(error) => unrecorded(protocol, answer.request_id, answer.operation, &error),
        }
    }
}

impl Settle for Recorded {
    fn poll_settled(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.synced.as_mut().map_or(Poll::Ready(()), |synced| Pin::new(synced).poll(context).map(|_| ()))
    }
}

/// The one answer that is not recorded: there is nowhere to record it.
pub(crate) fn unrecorded(
    protocol: Protocol,
    request_id: RequestId,
    operation: &'static str,
    error: &JournalError,
) -> Answer {
    tracing::error!(
        request = %request_id,
        operation,
        error = error as &dyn std::error::Error,
        "refused: the audit journal cannot be written"
    );
    let message = "The audit journal cannot be written. The request can be retried.".to_owned();
    protocol.refusal(
        request_id,
        operation,
        &WireError { kind: ErrorKind::KmsInternal, message: Some(message) },
    )
}
