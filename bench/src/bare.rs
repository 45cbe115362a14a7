//! The bare server: what HTTP alone costs with hyper, as the service uses it.
//!
//! One single-threaded runtime and one SO_REUSEPORT listener per core, hyper with the service's settings, the body read
//! whole into one buffer, a reply of the service's size under the service's headers.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::num::NonZero;
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, EXPIRES, HeaderName, HeaderValue, PRAGMA};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::{Domain, Protocol, Socket, Type};
use strongroom_types::limits::REQUEST_HEAD_BYTES_MAX;
use tokio::net::TcpListener;
use tokio::runtime;

use crate::bare_journal::BareJournal;
use crate::error::{BenchError, io_error};
use crate::operation::Operation;
use crate::options::BareOptions;

const BACKLOG: i32 = 4096;
const TARGET: HeaderName = HeaderName::from_static("x-amz-target");

/// What each operation is answered with, and what must be on the disk before.
struct Replies {
    of: Vec<(String, Bytes)>,
    journal: Option<BareJournal>,
}

pub(crate) fn run(options: &BareOptions) -> Result<(), BenchError> {
    let failed = || io_error("start the bare server");
    let journal = options.journal.as_deref().map(BareJournal::start).transpose().map_err(failed())?;
    let replies = Arc::new(Replies::new(&options.replies, journal));
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let listeners = (0..threads).map(|_| bind(options.listen)).collect::<io::Result<Vec<_>>>();
    let mut serving = Vec::with_capacity(threads);
    for listener in listeners.map_err(failed())? {
        let replies = Arc::clone(&replies);
        serving.push(thread::spawn(move || serve(listener, &replies)));
    }
    for thread in serving {
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map_err(failed())?;
    }
    Ok(())
}

impl Replies {
    fn new(sizes: &[(Operation, usize)], journal: Option<BareJournal>) -> Self {
        let reply = |(operation, bytes): &(Operation, usize)| {
            (format!("TrentService.{operation}"), Bytes::from(vec![b'x'; *bytes]))
        };
        Self { of: sizes.iter().map(reply).collect(), journal }
    }

    fn find(&self, headers: &HeaderMap) -> Option<Bytes> {
        let target = headers.get(TARGET)?;
        let found = self.of.iter().find(|(name, _)| target == name.as_str());
        found.map(|(_, reply)| reply.clone())
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let (head, mut body) = request.into_parts();
        let announced = body.size_hint().exact().unwrap_or_default();
        let mut collected = Vec::with_capacity(usize::try_from(announced).unwrap_or_default());
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                collected.extend_from_slice(&data);
            }
        }
        // Used, so that the reading cannot be left out.
        std::hint::black_box(&collected);
        let found = self.find(&head.headers);
        let status = match (&found, &self.journal) {
            (None, _) => StatusCode::BAD_REQUEST,
            (Some(_), Some(journal)) if !journal.synced().await => StatusCode::INTERNAL_SERVER_ERROR,
            (Some(_), _) => StatusCode::OK,
        };
        Ok(reply(status, found.unwrap_or_default()))
    }
}

fn reply(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut headers = HeaderMap::with_capacity(8);
    for (name, value) in [
        (HeaderName::from_static("x-amzn-requestid"), "00000000-0000-4000-8000-000000000000"),
        (CONTENT_TYPE, "application/x-amz-json-1.1"),
        (CACHE_CONTROL, "no-cache, no-store, must-revalidate, private"),
        (PRAGMA, "no-cache"),
        (EXPIRES, "0"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    *reply.headers_mut() = headers;
    reply
}

fn bind(address: SocketAddr) -> io::Result<StdTcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn serve(listener: StdTcpListener, replies: &Arc<Replies>) -> io::Result<Infallible> {
    let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let mut builder = Builder::new();
    builder
        .max_header_size(REQUEST_HEAD_BYTES_MAX)
        .max_buf_size(REQUEST_HEAD_BYTES_MAX)
        .header_read_timeout(None);
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let (builder, replies) = (builder.clone(), Arc::clone(replies));
            tokio::spawn(async move {
                let service = service_fn(|request| replies.answer(request));
                // A client that has gone is no concern of a server that does nothing.
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::child::free_address;
    use crate::connection::Connection;

    #[test]
    fn replies_have_the_size_that_was_asked_for() {
        let address = free_address().unwrap();
        let replies = Arc::new(Replies::new(&[(Operation::Encrypt, 321)], None));
        let listener = bind(address).unwrap();
        thread::spawn(move || serve(listener, &replies));
        let ask = |target| {
            let head = format!("POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: TrentService.{target}\r\n");
            Connection::open(address).unwrap().ask(format!("{head}Content-Length: 4\r\n\r\nbody").as_bytes())
        };
        assert!(matches!(ask("Decrypt"), Err(BenchError::Refused { status: 400, .. })));
        assert_eq!(ask("Encrypt").unwrap().body.len(), 321);
    }
}
