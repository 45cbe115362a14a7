//! One connection: hyper's HTTP/1.1 under the watch of a clock.
//!
//! hyper alone bounds the time of a head, idle time included; a slow body it leaves to the service. So each connection
//! has a [`Watch`] that knows its phase, and [`drive`] looks at it: rarely, with a single timer that is not touched by
//! requests that come and go in time.
//!
//! hyper's read buffer grows to the largest head, stays as large, and belongs to no budget. So the watch also counts what
//! comes in: a connection that sends more than [`SMALL_REQUEST_BYTES_MAX`] before it is answered needs one of
//! [`LARGE_REQUESTS_MAX`](strongroom_types::limits::LARGE_REQUESTS_MAX) places, without which it is closed, and is closed
//! after the answer. All read buffers together have a bound that way, and so has what a client may pipeline.

use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::HttpService;
use hyper_util::rt::TokioIo;
use std::future::poll_fn;
use std::sync::{Arc, OnceLock};
use strongroom_types::limits::{REQUEST_HEADERS_MAX, SMALL_REQUEST_BYTES_MAX};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep_until};

use crate::gate::{Gate, Place};
use crate::handle::RequestWatch;
use crate::shutdown::Shutdown;

/// How long each phase of a connection may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    pub(crate) body: Duration,
    pub(crate) header: Duration,
    pub(crate) idle: Duration,
}

/// What a connection is doing. The numbers are those in [`Watch::phase`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// Nothing of the next request has come.
    Idle,
    Head,
    Body,
    /// The service has the request: however long it takes, that is not the client's fault.
    Call,
    /// The body took too long. The handler answers, and leaves this phase.
    Expired,
}

/// The phase of a connection and since when. Only the connection's own task uses it; the atomics (never contended) are
/// there because the parts that share it must be able to move to another thread together.
#[derive(Debug)]
pub(crate) struct Watch {
    timeouts: Timeouts,
    accepted: Instant,
    phase: AtomicU8,
    since_nanos: AtomicU64,
    /// What has come in since the last answer.
    unanswered_bytes: AtomicUsize,
    large_gate: Arc<Gate>,
    large_place: OnceLock<Place>,
}

impl Watch {
    /// A new connection owes a head, so that a stranger who sends nothing is rid of early.
    pub(crate) fn new(timeouts: Timeouts, large_gate: Arc<Gate>) -> Self {
        Self {
            timeouts,
            accepted: Instant::now(),
            phase: AtomicU8::new(Phase::Head as u8),
            since_nanos: AtomicU64::new(0),
            unanswered_bytes: AtomicUsize::new(0),
            large_gate,
            large_place: OnceLock::new(),
        }
    }

    fn is_body_expired(&self) -> bool {
        self.phase() == Phase::Expired
    }

    /// Counts bytes that came in. `false` if they are too many for a connection without a place for large requests and
    /// there is no place left.
    fn received(&self, bytes: usize) -> bool {
        if self.phase() == Phase::Idle {
            self.enter(Phase::Head);
        }
        // Load and store, not an atomic addition: the connection's own task is the only one here.
        let unanswered = self.unanswered_bytes.load(Ordering::Relaxed).saturating_add(bytes);
        self.unanswered_bytes.store(unanswered, Ordering::Relaxed);
        unanswered <= SMALL_REQUEST_BYTES_MAX || self.has_large_place()
    }

    fn has_large_place(&self) -> bool {
        if self.large_place.get().is_some() {
            return true;
        }
        self.large_gate.enter().is_some_and(|place| self.large_place.set(place).is_ok())
    }

    /// HTTP/2, where several requests are with the service at once: there is one, or there is none any more.
    pub(crate) fn set_busy(&self, is_busy: bool) {
        self.enter(if is_busy { Phase::Call } else { Phase::Idle });
    }

    fn enter(&self, phase: Phase) -> Instant {
        let now = Instant::now();
        let since = u64::try_from(now.duration_since(self.accepted).as_nanos()).unwrap_or(u64::MAX);
        self.since_nanos.store(since, Ordering::Relaxed);
        self.phase.store(phase as u8, Ordering::Relaxed);
        now
    }

    fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Idle,
            1 => Phase::Head,
            2 => Phase::Body,
            3 => Phase::Call,
            _ => Phase::Expired,
        }
    }

    pub(crate) fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// Since when the connection has asked for nothing, or has been owing the rest of a head or of a handshake.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        match self.phase() {
            Phase::Idle | Phase::Head => Some(self.since()),
            Phase::Body | Phase::Call | Phase::Expired => None,
        }
    }

    fn since(&self) -> Instant {
        self.accepted + Duration::from_nanos(self.since_nanos.load(Ordering::Relaxed))
    }

    /// When to look again; `None` if the connection's time is up.
    pub(crate) fn next_look(&self, now: Instant) -> Option<Instant> {
        let phase = self.phase();
        let timeout = match phase {
            Phase::Idle => self.timeouts.idle,
            Phase::Head => self.timeouts.header,
            Phase::Body => self.timeouts.body,
            Phase::Call | Phase::Expired => return Some(self.routine_look(now)),
        };
        let deadline = self.since() + timeout;
        if now < deadline {
            return Some(deadline.min(self.routine_look(now)));
        }
        if phase == Phase::Body {
            self.phase.store(Phase::Expired as u8, Ordering::Relaxed);
            return Some(self.routine_look(now));
        }
        None
    }

    /// A phase that begins after a look must be looked at before it is over: so looks are never farther apart than the
    /// shortest timeout.
    fn routine_look(&self, now: Instant) -> Instant {
        now + self.timeouts.header.min(self.timeouts.body).min(self.timeouts.idle)
    }
}

impl RequestWatch for &Watch {
    fn start_body(&self) -> Instant {
        self.enter(Phase::Body)
    }

    fn start_call(&self) {
        self.phase.store(Phase::Call as u8, Ordering::Relaxed);
    }

    fn end_request(&self) -> Instant {
        self.unanswered_bytes.store(0, Ordering::Relaxed);
        self.enter(Phase::Idle)
    }

    /// [`drive`] has set the phase before it polls the request, on the same task.
    fn is_body_expired(&mut self, _: &mut Context<'_>) -> bool {
        Watch::is_body_expired(self)
    }

    fn is_last(&self) -> bool {
        self.large_place.get().is_some()
    }
}

/// A stream that tells the watch when bytes come in.
pub(crate) struct Watched<T> {
    stream: T,
    watch: Arc<Watch>,
}

impl<T> Watched<T> {
    pub(crate) fn new(stream: T, watch: Arc<Watch>) -> Self {
        Self { stream, watch }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let received = buffer.filled().len().saturating_sub(before);
        if received > 0 && !self.watch.received(received) {
            return Poll::Ready(Err(io::Error::other("too many large requests at once")));
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    /// INVARIANT: true for TCP and for TLS over it. hyper then queues a reply's body as it is; otherwise it would copy it
    /// into a buffer that is not wiped.
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// hyper's settings for heads of at most `head_bytes_max`.
pub(crate) fn http1(head_bytes_max: usize) -> Builder {
    // hyper's own limit, which it checks without allocating as long as it is not set.
    const { assert!(REQUEST_HEADERS_MAX == 100) };
    let mut builder = Builder::new();
    // `pipeline_flush` stays off: with it hyper holds replies back while anything unread is in its buffer, so a reply
    // would wait for the rest of the next head, and the 400 or 431 for a bad head would never be sent.
    builder
        .max_header_size(head_bytes_max)
        .max_buf_size(head_bytes_max)
        // The watch does this, without a timer per request.
        .header_read_timeout(None);
    builder
}

/// Serves one connection until it is closed, expires, or is idle after `stop`.
pub(crate) async fn drive<T, S>(builder: &Builder, stream: Watched<T>, service: S, stop: &Shutdown)
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: HttpService<Incoming, ResBody = Full<Bytes>>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let watch = Arc::clone(&stream.watch);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut timer = pin!(sleep_until(watch.routine_look(Instant::now()).into()));
    let mut stopped = pin!(stop.triggered());
    let mut is_stopping = false;
    let outcome = poll_fn(|context| {
        if !is_stopping && stopped.as_mut().poll(context).is_ready() {
            is_stopping = true;
            connection.as_mut().graceful_shutdown();
        }
        if poll_timer(timer.as_mut(), &watch, context).is_ready() {
            return Poll::Ready(None);
        }
        connection.as_mut().poll(context).map(Some)
    })
    .await;
    match outcome {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!(error = &error as &dyn std::error::Error, "connection ended"),
        None => tracing::debug!("connection timed out"),
    }
}

/// Ready when the connection's time is up. Otherwise the timer is set, and the task will be woken by it.
fn poll_timer(mut timer: Pin<&mut Sleep>, watch: &Watch, context: &mut Context<'_>) -> Poll<()> {
    while timer.as_mut().poll(context).is_ready() {
        match watch.next_look(Instant::now()) {
            Some(next) => timer.as_mut().reset(next.into()),
            None => return Poll::Ready(()),
        }
    }
    Poll::Pending
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const TIMEOUTS: Timeouts = Timeouts {
        body: SECOND.saturating_mul(3),
        header: SECOND.saturating_mul(2),
        idle: SECOND.saturating_mul(9),
    };

    fn new_watch() -> Watch {
        Watch::new(TIMEOUTS, Arc::new(Gate::new(1)))
    }

    #[test]
    fn a_connection_without_a_head_is_over_when_its_time_is() {
        let watch = new_watch();
        let accepted = watch.accepted;
        assert_eq!(watch.next_look(accepted + 2 * SECOND), None);
        assert_eq!(watch.next_look(accepted + SECOND), Some(accepted + 2 * SECOND));
    }

    #[test]
    fn bytes_trickling_in_do_not_prolong_a_head() {
        let watch = new_watch();
        let idle_since = (&watch).end_request();
        watch.received(1);
        let head_since = watch.since_nanos.load(Ordering::Relaxed);
        watch.received(1);
        watch.received(1);
        assert_eq!(watch.since_nanos.load(Ordering::Relaxed), head_since);
        assert_eq!(watch.next_look(idle_since + 8 * SECOND), None);
    }

    #[test]
    fn an_idle_connection_is_looked_at_often_enough_for_the_next_head() {
        let watch = new_watch();
        let since = (&watch).end_request();
        assert_eq!(watch.next_look(since + 9 * SECOND), None);
        assert_eq!(watch.next_look(since + 3 * SECOND), Some(since + 5 * SECOND));
        assert_eq!(watch.next_look(since + 8 * SECOND), Some(since + 9 * SECOND));
    }

    #[test]
    fn a_late_body_is_marked_and_the_connection_kept_for_the_answer() {
        let watch = new_watch();
        let since = (&watch).start_body();
        watch.received(1);
        assert!(watch.next_look(since + 2 * SECOND).is_some() && !watch.is_body_expired());
        assert!(watch.next_look(since + 3 * SECOND).is_some() && watch.is_body_expired());
        assert!(watch.next_look(since + 99 * SECOND).is_some());
        (&watch).end_request();
        assert!(!watch.is_body_expired());
    }

    #[test]
    fn a_call_may_take_its_time() {
        let watch = new_watch();
        let since = (&watch).start_body();
        (&watch).start_call();
        watch.received(1);
        assert!(watch.next_look(since + 1000 * SECOND).is_some());
        assert_eq!(watch.phase(), Phase::Call);
    }

    #[test]
    fn a_request_one_byte_too_large_needs_a_place() {
        let gate = Arc::new(Gate::new(1));
        let [one, other] = [(); 2].map(|()| Watch::new(TIMEOUTS, Arc::clone(&gate)));
        assert!(one.received(SMALL_REQUEST_BYTES_MAX) && !(&one).is_last());
        assert!(one.received(1) && (&one).is_last());
        assert!(other.received(SMALL_REQUEST_BYTES_MAX));
        assert!(!other.received(1) && !(&other).is_last());
        drop(one);
        assert!(other.received(1) && (&other).is_last());
    }

    #[test]
    fn what_was_answered_counts_no_more() {
        let watch = Watch::new(TIMEOUTS, Arc::new(Gate::new(0)));
        assert!(watch.received(SMALL_REQUEST_BYTES_MAX));
        (&watch).end_request();
        assert!(watch.received(SMALL_REQUEST_BYTES_MAX));
        assert!(!watch.received(1));
    }
}
