//! A request's body, read whole into one buffer that is wiped when dropped.
//!
//! Guarantees: no body is larger than [`REQUEST_BODY_BYTES_MAX`]; all bodies together, from the announcement of their
//! length until the service has answered, stay within [`UNAUTHENTICATED_BODIES_BYTES_MAX`]. Who sent a body is known
//! only inside the service, so a body counts until the service is done with it.
//!
//! Not guaranteed: hyper's own read buffer, through which the bytes pass, is not wiped.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use strongroom_types::limits::{
    REFUSED_BODY_BYTES_MAX, REQUEST_BODY_BYTES_MAX, SMALL_BODIES_BYTES_RESERVED, SMALL_BODY_BYTES_MAX,
    UNAUTHENTICATED_BODIES_BYTES_MAX,
};
use zeroize::Zeroizing;

/// The first buffer of a body whose length was not announced.
const CHUNKED_BODY_BYTES_START: usize = 4096;

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError<E> {
    #[error("the bodies being read take all the memory they may")]
    Exhausted,
    /// The connection is gone, or what came is not HTTP: there is nobody to answer.
    #[error("the body ended early")]
    Lost(#[source] E),
    #[error("the body took too long")]
    TimedOut,
    #[error("the body is larger than {REQUEST_BODY_BYTES_MAX} bytes")]
    TooLarge,
}

/// The memory that all bodies share.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    in_use: AtomicUsize,
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub(crate) fn in_use_bytes(&self) -> usize {
        self.in_use.load(Ordering::Relaxed)
    }

    /// Takes `bytes` from the budget if they are left. The last [`SMALL_BODIES_BYTES_RESERVED`] go to small bodies only.
    pub(crate) fn reserve(self: &Arc<Self>, bytes: usize) -> Option<Reservation> {
        let limit = if bytes <= SMALL_BODY_BYTES_MAX {
            UNAUTHENTICATED_BODIES_BYTES_MAX
        } else {
            UNAUTHENTICATED_BODIES_BYTES_MAX - SMALL_BODIES_BYTES_RESERVED
        };
        let taken = |in_use: usize| in_use.checked_add(bytes).filter(|total| *total <= limit);
        // Relaxed: only the number matters, no other memory hangs on it.
        self.in_use.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).ok()?;
        Some(Reservation { budget: Arc::clone(self), bytes })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.in_use.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A body that has come in whole, and its part of the budget.
#[derive(Debug)]
pub(crate) struct Collected {
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    pub(crate) reservation: Reservation,
}

/// Reads the body. `is_expired` is asked whenever the body has to be waited for, and wakes the task when it becomes true.
pub(crate) async fn collect<B>(
    body: &mut B,
    budget: &Arc<Budget>,
    mut is_expired: impl FnMut(&mut Context<'_>) -> bool,
) -> Result<Collected, BodyError<B::Error>>
where
    B: Body<Data = Bytes> + Unpin,
{
    let announced = body.size_hint().exact();
    let capacity = announced.map_or(0, |length| usize::try_from(length).unwrap_or(usize::MAX));
    if capacity > REQUEST_BODY_BYTES_MAX {
        return Err(BodyError::TooLarge);
    }
    let reservation = budget.reserve(capacity).ok_or(BodyError::Exhausted)?;
    let mut collected = Collected { bytes: Zeroizing::new(Vec::with_capacity(capacity)), reservation };
    if body.is_end_stream() {
        return Ok(collected);
    }
    while let Some(frame) = next_frame(body, &mut is_expired).await? {
        // Frames that are not data are trailers, which no signature covers: they are left alone.
        if let Ok(data) = frame.into_data() {
            collected.append(&data)?;
        }
    }
    Ok(collected)
}

/// Reads and throws away what is left of a body that was refused. Returns whether its end was reached.
pub(crate) async fn discard<B>(body: &mut B, mut is_expired: impl FnMut(&mut Context<'_>) -> bool) -> bool
where
    B: Body<Data = Bytes> + Unpin,
{
    let limit = u64::try_from(REFUSED_BODY_BYTES_MAX).unwrap_or(u64::MAX);
    if body.size_hint().lower() > limit {
        return false;
    }
    let mut left = REFUSED_BODY_BYTES_MAX;
    loop {
        match next_frame(body, &mut is_expired).await {
            Ok(None) => return true,
            Ok(Some(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                let Some(rest) = left.checked_sub(length) else { return false };
                left = rest;
            }
            Err(_) => return false,
        }
    }
}

async fn next_frame<B>(
    body: &mut B,
    is_expired: &mut impl FnMut(&mut Context<'_>) -> bool,
) -> Result<Option<Frame<Bytes>>, BodyError<B::Error>>
where
    B: Body<Data = Bytes> + Unpin,
{
    poll_fn(|context| match Pin::new(&mut *body).poll_frame(context) {
        Poll::Ready(frame) => Poll::Ready(frame.transpose().map_err(BodyError::Lost)),
        Poll::Pending if is_expired(context) => Poll::Ready(Err(BodyError::TimedOut)),
        Poll::Pending => Poll::Pending,
    })
    .await
}

impl Collected {
    fn append<E>(&mut self, data: &[u8]) -> Result<(), BodyError<E>> {
        let needed = self.bytes.len().saturating_add(data.len());
        if needed > REQUEST_BODY_BYTES_MAX {
            return Err(BodyError::TooLarge);
        }
        if needed > self.bytes.capacity() {
            self.grow(needed)?;
        }
        // INVARIANT: the capacity suffices, so the vector does not move and leaves no unwiped copy behind.
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    /// Moves into a buffer twice as large. Both buffers are paid for until the old one has been wiped.
    fn grow<E>(&mut self, needed: usize) -> Result<(), BodyError<E>> {
        let doubled = self.bytes.capacity().saturating_mul(2);
        let capacity = doubled.clamp(CHUNKED_BODY_BYTES_START, REQUEST_BODY_BYTES_MAX).max(needed);
        let reservation = self.reservation.budget.reserve(capacity).ok_or(BodyError::Exhausted)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
        bytes.extend_from_slice(&self.bytes);
        *self = Self { bytes, reservation };
        Ok(())
    }
}

#[cfg(test)]
mod tests;
