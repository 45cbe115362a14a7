//! One request: from hyper's form to an `Arrival`, through the service, and back.

use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use http::Request;
use http::header::EXPECT;
use http::request::Parts as Head;
use hyper::body::Incoming;
use strongroom_pipeline::{Answer, Arrival, Tls};
use strongroom_types::{Env, RequestId};
use zeroize::Zeroizing;

use crate::body::{BodyError, Budget, collect, discard};
use crate::gate::Gate;
use crate::metrics::Recorder;
use crate::refusal::{Refusal, Reply, UNKNOWN_OPERATION, closing, reply_to};

/// What answers requests.
pub trait Service: Send + Sync + 'static {
    /// Answers one request. The future is dropped if the connection is lost, or if the process ends before it is done.
    fn call(&self, arrival: Arrival) -> impl Future<Output = Answer> + Send;
}

impl<S: Service> Service for Arc<S> {
    fn call(&self, arrival: Arrival) -> impl Future<Output = Answer> + Send {
        S::call(self, arrival)
    }
}

/// What the requests of one thread have in common.
pub(crate) struct Host<S> {
    pub(crate) budget: Arc<Budget>,
    pub(crate) env: Arc<dyn Env>,
    pub(crate) recorder: Arc<Recorder>,
    /// The requests that the service has, of all threads together.
    pub(crate) requests: Arc<Gate>,
    pub(crate) service: Arc<S>,
}

/// Who is at the other end of a connection, as far as the connection shows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) source: IpAddr,
    pub(crate) tls: Option<Tls>,
}

/// Whoever watches the time that one request takes.
pub(crate) trait RequestWatch {
    /// The head is complete.
    fn start_body(&self) -> Instant;

    /// The body is complete: from now on it is the service that takes time.
    fn start_call(&self);

    /// The answer is ready.
    fn end_request(&self) -> Instant;

    /// Whether the body has taken too long. If not, the task is woken when it has.
    fn is_body_expired(&mut self, context: &mut Context<'_>) -> bool;

    /// Whether the connection shall end with this request.
    fn is_last(&self) -> bool;
}

/// A request that ended and what the metrics say of it.
struct Ended {
    operation: &'static str,
    outcome: &'static str,
    reply: Reply,
}

impl<S: Service> Host<S> {
    /// Answers one request, or fails if its connection is gone.
    pub(crate) async fn handle<W: RequestWatch>(
        &self,
        mut watch: W,
        peer: Peer,
        request: Request<Incoming>,
    ) -> Result<Reply, hyper::Error> {
        let started = watch.start_body();
        let (head, mut body) = request.into_parts();
        let collected = collect(&mut body, &self.budget, |context| watch.is_body_expired(context)).await;
        let ended = match collected {
            Ok(collected) => {
                watch.start_call();
                // The body counts until the service is done with it, hence the name: `_` would drop it here.
                let _reservation = collected.reservation;
                // Asked before the corridor, which costs a signature's check and a place in the journal. A stranger's
                // request is in there for microseconds, since it never waits for the disk: only callers fill the gate.
                match self.requests.pass() {
                    Some(_passage) => self.answer(arrival(head, collected.bytes, peer)).await,
                    None => self.refuse(Refusal::Throttled),
                }
            }
            Err(BodyError::Lost(error)) => return Err(error),
            Err(BodyError::TooLarge) => {
                self.refuse_body(Refusal::BodyTooLarge, &head, &mut body, &mut watch).await
            }
            Err(BodyError::Exhausted) => {
                self.refuse_body(Refusal::Exhausted, &head, &mut body, &mut watch).await
            }
            Err(BodyError::TimedOut) => {
                self.refuse_body(Refusal::BodyTimedOut, &head, &mut body, &mut watch).await
            }
        };
        let is_last = watch.is_last();
        let duration = watch.end_request().saturating_duration_since(started);
        self.recorder.record(ended.operation, ended.outcome, duration);
        Ok(if is_last { closing(ended.reply) } else { ended.reply })
    }

    async fn answer(&self, arrival: Arrival) -> Ended {
        // Inside the block: a service that is no `async fn` may panic before it has made its future.
        match caught(async { self.service.call(arrival).await }).await {
            Ok(answer) => {
                Ended { operation: answer.operation, outcome: answer.outcome, reply: reply_to(answer) }
            }
            Err(Panicked) => self.refuse(Refusal::Internal),
        }
    }

    /// Refuses a request whose body was not read. The rest of the body is read and thrown away, within limits: closing
    /// a connection on a client that is still sending resets it, and the client may never see the answer. A client that
    /// waits for `100 Continue` is not sending yet and gets its answer at once (RFC 9110 section 10.1.1).
    async fn refuse_body<W: RequestWatch>(
        &self,
        refusal: Refusal,
        head: &Head,
        body: &mut Incoming,
        watch: &mut W,
    ) -> Ended {
        let is_waiting = head.headers.contains_key(EXPECT);
        let is_at_end = !is_waiting && discard(body, |context| watch.is_body_expired(context)).await;
        let ended = self.refuse(refusal);
        if is_at_end { ended } else { Ended { reply: closing(ended.reply), ..ended } }
    }

    fn refuse(&self, refusal: Refusal) -> Ended {
        let request_id = RequestId::from_random(self.env.random_id());
        tracing::debug!(%request_id, refusal = refusal.name(), "refused");
        Ended { operation: UNKNOWN_OPERATION, outcome: refusal.name(), reply: refusal.reply(request_id) }
    }
}

fn arrival(head: Head, body: Zeroizing<Vec<u8>>, peer: Peer) -> Arrival {
    Arrival {
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        method: head.method,
        headers: head.headers,
        body,
        source: peer.source,
        tls: peer.tls,
    }
}

/// The service has panicked. The panic itself was logged by the hook.
#[derive(Debug)]
struct Panicked;

/// Runs a call so that a panic ends the call and nothing else.
///
/// `AssertUnwindSafe`: the future is not polled again, and dropped at the end; what it shares with other requests guards
/// itself (locks are poisoned, a trail records its request as abandoned).
async fn caught<F: Future>(call: F) -> Result<F::Output, Panicked> {
    let mut call = pin!(call);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(context))) {
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}
