use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use hyper::body::SizeHint;

use super::*;

const MAX: usize = REQUEST_BODY_BYTES_MAX;

/// A body that is there at once, piece by piece, with or without an announced length.
struct Pieces {
    pieces: VecDeque<Bytes>,
    announced: Option<usize>,
    /// What comes after the pieces: nothing, for ever, instead of the end.
    stalls: bool,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.pieces.pop_front() {
            None if self.stalls => Poll::Pending,
            piece => Poll::Ready(piece.map(|piece| Ok(Frame::data(piece)))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.announced.map_or_else(SizeHint::default, |n| SizeHint::with_exact(n.try_into().unwrap()))
    }
}

fn announced(length: usize) -> Pieces {
    Pieces { pieces: [Bytes::from(vec![b'x'; length])].into(), announced: Some(length), stalls: false }
}

fn chunked(lengths: impl IntoIterator<Item = usize>) -> Pieces {
    let pieces = lengths.into_iter().map(|length| Bytes::from(vec![b'x'; length])).collect();
    Pieces { pieces, announced: None, stalls: false }
}

/// A body of which one byte comes and the rest never does.
fn stalled(announced: usize) -> Pieces {
    Pieces { pieces: [Bytes::from_static(b"x")].into(), announced: Some(announced), stalls: true }
}

/// The result of a future that never has to wait.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future waits"),
    }
}

fn collected(mut body: Pieces, budget: &Arc<Budget>) -> Result<Collected, BodyError<Infallible>> {
    now(collect(&mut body, budget, |_| false))
}

#[test]
fn an_announced_body_one_byte_past_the_limit_is_refused_unread() {
    let mut body = announced(MAX + 1);
    let budget = Arc::default();
    let refused = now(collect(&mut body, &budget, |_| false));
    assert!(matches!(refused, Err(BodyError::TooLarge)));
    assert_eq!(body.pieces.len(), 1);
    assert_eq!(collected(announced(MAX), &budget).unwrap().bytes.len(), MAX);
}

#[test]
fn a_chunked_body_one_byte_past_the_limit_is_refused() {
    let budget = Arc::default();
    assert!(matches!(collected(chunked([MAX, 1]), &budget), Err(BodyError::TooLarge)));
    assert!(matches!(collected(chunked([MAX + 1]), &budget), Err(BodyError::TooLarge)));
    assert_eq!(budget.in_use_bytes(), 0);
    assert_eq!(collected(chunked([MAX - 1, 1]), &budget).unwrap().bytes.len(), MAX);
}

#[test]
fn an_expired_body_is_refused() {
    let refused = now(collect(&mut stalled(3), &Arc::default(), |_| true));
    assert!(matches!(refused, Err(BodyError::TimedOut)));
}

#[test]
fn large_bodies_leave_the_reserve_to_small_ones() {
    let budget = Arc::<Budget>::default();
    let large = UNAUTHENTICATED_BODIES_BYTES_MAX - SMALL_BODIES_BYTES_RESERVED;
    assert!(budget.reserve(large + 1).is_none());
    let all = budget.reserve(large).unwrap();
    assert!(budget.reserve(SMALL_BODY_BYTES_MAX + 1).is_none());
    assert!(matches!(collected(announced(SMALL_BODY_BYTES_MAX + 1), &budget), Err(BodyError::Exhausted)));
    assert!(matches!(collected(chunked([SMALL_BODY_BYTES_MAX + 1]), &budget), Err(BodyError::Exhausted)));
    assert!(collected(announced(SMALL_BODY_BYTES_MAX), &budget).is_ok());
    drop(all);
    assert!(collected(announced(SMALL_BODY_BYTES_MAX + 1), &budget).is_ok());
    assert_eq!(budget.in_use_bytes(), 0);
}

#[test]
fn an_exhausted_budget_refuses_small_bodies_too() {
    let budget = Arc::<Budget>::default();
    let count = UNAUTHENTICATED_BODIES_BYTES_MAX / SMALL_BODY_BYTES_MAX;
    let all: Vec<_> = (0..count).map(|_| budget.reserve(SMALL_BODY_BYTES_MAX).unwrap()).collect();
    assert!(budget.reserve(1).is_none());
    assert!(matches!(collected(announced(1), &budget), Err(BodyError::Exhausted)));
    assert!(collected(announced(0), &budget).is_ok());
    drop(all);
    assert!(budget.reserve(1).is_some());
    assert!(budget.reserve(usize::MAX).is_none());
}

#[test]
fn an_announced_body_fits_its_buffer_exactly() {
    let budget = Arc::default();
    let body = collected(announced(1000), &budget).unwrap();
    assert_eq!((body.bytes.len(), body.bytes.capacity(), budget.in_use_bytes()), (1000, 1000, 1000));
}

#[test]
fn a_chunked_body_grows_by_doubling_and_pays_for_it() {
    let budget = Arc::default();
    let body = collected(chunked([1, 4095, 1, 10_000]), &budget).unwrap();
    assert_eq!(*body.bytes, vec![b'x'; 14_097]);
    assert_eq!((body.bytes.capacity(), budget.in_use_bytes()), (16_384, 16_384));
    drop(body);
    assert_eq!(budget.in_use_bytes(), 0);
}

#[test]
fn a_refused_body_is_thrown_away_up_to_its_limit() {
    assert!(!now(discard(&mut announced(REFUSED_BODY_BYTES_MAX + 1), |_| false)));
    assert!(!now(discard(&mut chunked([REFUSED_BODY_BYTES_MAX, 1]), |_| false)));
    assert!(!now(discard(&mut stalled(3), |_| true)));
    assert!(now(discard(&mut announced(REFUSED_BODY_BYTES_MAX), |_| false)));
    assert!(now(discard(&mut chunked([REFUSED_BODY_BYTES_MAX - 1, 1]), |_| false)));
}
