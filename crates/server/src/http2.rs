//! One connection that has agreed on HTTP/2, which needs TLS (ALPN, RFC 7301); in the clear there is HTTP/1.1 alone.
//!
//! Guarantees, beside those of every request: a connection has a bounded number of requests open and sends a bounded
//! amount ahead of them; each open request, until its answer has left, has its head and a fixed part in the budget of all
//! bodies; floods of resets and CONTINUATION frames end the connection; a connection on which nothing is asked ends, and
//! one whose other end is gone is found out by pings.
//!
//! h2 counts frames and resets, hyper runs a task for each stream; what is here are the numbers, the clock and the budget.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http2::Builder;
use hyper::service::HttpService;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use strongroom_types::limits::{
    HTTP2_CONNECTION_WINDOW_BYTES, HTTP2_FRAME_BYTES_MAX, HTTP2_HEAD_BYTES_MAX, HTTP2_RESETS_PENDING_MAX,
    HTTP2_RESETS_PROVOKED_MAX, HTTP2_STREAM_BYTES, HTTP2_STREAM_WINDOW_BYTES, HTTP2_STREAMS_MAX,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Sleep, sleep, sleep_until};

use crate::body::Reservation;
use crate::connection::Watch;
use crate::handle::{Host, Peer, RequestWatch, Service};
use crate::shutdown::Shutdown;

/// How often an idle client is asked whether it is still there, and how long it may take to say so.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// How long, when the server stops, a client without open requests may take to agree that it is over. hyper waits for its
/// word, so that a request that is on its way is still served.
const FAREWELL_TIME: Duration = Duration::from_secs(1);
/// What the answers of one stream may have waiting to be sent.
const SEND_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// A stream is reset with this, without an answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamError {
    #[error("the requests being answered take all the memory they may")]
    Exhausted,
    #[error("the connection is gone")]
    Lost(#[from] hyper::Error),
}

/// hyper's settings.
pub(crate) fn http2() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_frame_size(HTTP2_FRAME_BYTES_MAX)
        .max_header_list_size(HTTP2_HEAD_BYTES_MAX)
        .max_local_error_reset_streams(HTTP2_RESETS_PROVOKED_MAX)
        .max_pending_accept_reset_streams(HTTP2_RESETS_PENDING_MAX)
        .max_send_buf_size(SEND_BUFFER_BYTES_MAX);
    builder
}

/// The streams of one connection. The connection's watch sees it busy as long as any of their requests is.
#[derive(Debug)]
pub(crate) struct Streams {
    open: AtomicUsize,
    watch: Arc<Watch>,
}

impl Streams {
    pub(crate) fn new(watch: Arc<Watch>) -> Self {
        Self { open: AtomicUsize::new(0), watch }
    }

    fn open(self: &Arc<Self>) -> StreamWatch {
        if self.open.fetch_add(1, Ordering::Relaxed) == 0 {
            self.watch.set_busy(true);
        }
        StreamWatch { streams: Arc::clone(self), body_timer: None }
    }

    fn is_idle(&self) -> bool {
        self.open.load(Ordering::Relaxed) == 0
    }
}

/// The watch of one request. Dropped with it, also if the client resets the stream.
#[derive(Debug)]
struct StreamWatch {
    streams: Arc<Streams>,
    /// Set when the body has to be waited for; most come with their head.
    body_timer: Option<Pin<Box<Sleep>>>,
}

impl Drop for StreamWatch {
    fn drop(&mut self) {
        if self.streams.open.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.streams.watch.set_busy(false);
        }
    }
}

impl RequestWatch for StreamWatch {
    fn start_body(&self) -> Instant {
        Instant::now()
    }

    fn start_call(&self) {}

    fn end_request(&self) -> Instant {
        Instant::now()
    }

    fn is_body_expired(&mut self, context: &mut Context<'_>) -> bool {
        let timeout = self.streams.watch.timeouts().body;
        let timer = self.body_timer.get_or_insert_with(|| Box::pin(sleep(timeout)));
        timer.as_mut().poll(context).is_ready()
    }

    fn is_last(&self) -> bool {
        false
    }
}

/// Answers one request. Its part of the budget goes with the answer: a client that lets answers lie pays for them.
pub(crate) async fn handle<S: Service>(
    host: &Host<S>,
    streams: &Arc<Streams>,
    peer: Peer,
    mut request: Request<Incoming>,
) -> Result<Response<Paid>, StreamError> {
    let watch = streams.open();
    let bytes = head_bytes(&request).saturating_add(HTTP2_STREAM_BYTES);
    // An answer would need what there is none of. A client may send a stream again that was reset (RFC 9113 section 8.7
    // is about refused ones; SDKs try again after either).
    let reservation = host.budget.reserve(bytes).ok_or(StreamError::Exhausted)?;
    name_host(&mut request);
    let reply = host.handle(watch, peer, request).await?;
    Ok(reply.map(|body| Paid { body, _reservation: reservation }))
}

/// As HTTP/2 counts them: names, values and 32 bytes for each (RFC 9113 section 6.5.2).
fn head_bytes<B>(request: &Request<B>) -> usize {
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 32);
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    headers.sum::<usize>().saturating_add(target)
}

/// HTTP/2 says `:authority` where HTTP/1.1 says `Host`, which is what clients sign (RFC 9113 section 8.3.1). If there
/// are both and they differ, both stand: no signature covers that.
fn name_host<B>(request: &mut Request<B>) {
    let Some(authority) = request.uri().authority() else { return };
    let Ok(authority) = HeaderValue::try_from(authority.as_str()) else { return };
    if request.headers().get(HOST) != Some(&authority) {
        request.headers_mut().append(HOST, authority);
    }
}

/// An answer and the part of the budget that it holds until the last byte has been handed on.
#[derive(Debug)]
pub(crate) struct Paid {
    body: Full<Bytes>,
    _reservation: Reservation,
}

impl Body for Paid {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Serves one connection until it is closed, idle for too long, or idle after `stop`.
pub(crate) async fn drive<T, S>(
    builder: &Builder<TokioExecutor>,
    stream: T,
    service: S,
    streams: &Streams,
    stop: &Shutdown,
) where
    T: AsyncRead + AsyncWrite + Unpin,
    S: HttpService<Incoming, ResBody = Paid>,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let header_timeout = streams.watch.timeouts().header;
    let mut timer = pin!(sleep_until((Instant::now() + header_timeout).into()));
    let mut stopped = pin!(stop.triggered());
    let (mut is_stopping, mut is_leaving) = (false, false);
    let outcome = poll_fn(|context| {
        if !is_stopping && stopped.as_mut().poll(context).is_ready() {
            is_stopping = true;
            connection.as_mut().graceful_shutdown();
            timer.as_mut().reset((Instant::now() + FAREWELL_TIME).into());
        }
        while timer.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            match streams.watch.next_look(now) {
                _ if is_stopping && streams.is_idle() => return Poll::Ready(None),
                Some(_) if is_stopping => timer.as_mut().reset((now + FAREWELL_TIME).into()),
                Some(next) => timer.as_mut().reset(next.into()),
                // Answers that the client does not take would hold the connection for ever.
                None if is_leaving => return Poll::Ready(None),
                None => {
                    is_leaving = true;
                    connection.as_mut().graceful_shutdown();
                    timer.as_mut().reset((now + header_timeout).into());
                }
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Timeouts;
    use crate::gate::Gate;

    const SECOND: Duration = Duration::from_secs(1);

    fn request(uri: &str, host: Option<&str>) -> Request<()> {
        let mut request = Request::builder().uri(uri);
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        request.body(()).unwrap()
    }

    fn hosts(uri: &str, host: Option<&str>) -> Vec<String> {
        let mut request = request(uri, host);
        name_host(&mut request);
        request.headers().get_all(HOST).iter().map(|host| host.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_authority_is_the_host() {
        assert_eq!(hosts("https://kms.example:4599/", None), ["kms.example:4599"]);
        assert_eq!(hosts("https://kms.example/", Some("kms.example")), ["kms.example"]);
        assert_eq!(hosts("/", Some("kms.example")), ["kms.example"]);
    }

    #[test]
    fn a_host_that_is_not_the_authority_makes_two() {
        assert_eq!(hosts("https://kms.example/", Some("other.example")), ["other.example", "kms.example"]);
    }

    #[test]
    fn a_head_counts_names_values_and_the_target() {
        assert_eq!(head_bytes(&request("https://h/path?query", Some("h"))), "host".len() + 1 + 32 + 11);
    }

    #[test]
    fn a_connection_is_busy_until_its_last_request_has_ended() {
        let timeouts = Timeouts { body: SECOND, header: SECOND, idle: SECOND };
        let watch = Arc::new(Watch::new(timeouts, Arc::new(Gate::new(0))));
        let streams = Arc::new(Streams::new(Arc::clone(&watch)));
        assert!(watch.waiting_since().is_some());
        let (one, other) = (streams.open(), streams.open());
        drop(one);
        assert!(watch.waiting_since().is_none() && !streams.is_idle());
        drop(other);
        assert!(watch.waiting_since().is_some() && streams.is_idle());
    }
}
