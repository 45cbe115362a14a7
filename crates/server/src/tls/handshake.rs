//! One handshake, and how many handshakes share a thread with the connections that are open already.
//!
//! A handshake costs some hundred microseconds of computing (a signature, two key agreements), hundreds of times what a
//! stranger pays for asking. So handshakes take turns: a thread does one, then lets everything else that is ready run,
//! then does the next. Connections that are open go on, a little slower, whatever the flood. Those that have not sent
//! their hello cost no turn, those whose client has left while they waited cost none either, and those that wait are
//! bounded.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use rustls::server::Acceptor;
use rustls::{CipherSuite, ProtocolVersion, ServerConnection};
use strongroom_pipeline::Tls as TlsDetails;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::Tls;
use super::capped::Capped;

/// What client and server have agreed to speak inside TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Also for clients that named none.
    Http1,
    Http2,
}

/// The turns of one thread.
#[derive(Debug)]
pub(crate) struct Turns(Semaphore);

impl Turns {
    pub(crate) fn new() -> Self {
        Self(Semaphore::new(1))
    }
}

/// A connection whose handshake is done.
#[derive(Debug)]
pub(crate) struct Shaken {
    pub(crate) details: TlsDetails,
    pub(crate) protocol: Protocol,
    pub(crate) stream: TlsStream<Capped>,
}

/// Does the handshake, within `limit` from its first byte to its last. `None` if it comes to nothing.
pub(crate) async fn shake(
    tls: &Arc<Tls>,
    turns: &Turns,
    stream: TcpStream,
    limit: Duration,
) -> Option<Shaken> {
    let shaken = match timeout(limit, shake_in_turn(tls, turns, stream)).await {
        Ok(Ok(mut stream)) => {
            stream.get_mut().0.lift();
            let (_, session) = stream.get_ref();
            let (details, protocol) = (details(session), protocol(session));
            return Some(Shaken { details, protocol, stream });
        }
        Ok(Err(error)) => error,
        Err(_) => io::ErrorKind::TimedOut.into(),
    };
    tls.failed_handshakes.fetch_add(1, Ordering::Relaxed);
    tracing::debug!(error = &shaken as &dyn std::error::Error, "no TLS connection");
    None
}

async fn shake_in_turn(tls: &Tls, turns: &Turns, stream: TcpStream) -> io::Result<TlsStream<Capped>> {
    let hello = LazyConfigAcceptor::new(Acceptor::default(), Capped::new(stream)).await?;
    let waiting = tls.waiting.pass().ok_or_else(|| io::Error::other("too many handshakes wait"))?;
    let turn = turns.0.acquire().await.map_err(io::Error::other)?;
    if hello.io.is_gone().await {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    // Asked now, so that a certificate that was replaced while this one waited is the one that is shown.
    let mut rest = Box::pin(hello.into_stream(tls.current().server));
    // The computing is in the first step; what follows waits for the client.
    let first = poll_fn(|context| Poll::Ready(rest.as_mut().poll(context))).await;
    yield_now().await;
    drop((turn, waiting));
    match first {
        Poll::Ready(shaken) => shaken,
        Poll::Pending => finish(rest).await,
    }
}

async fn finish<F: Future<Output = io::Result<TlsStream<Capped>>>>(
    rest: Pin<Box<F>>,
) -> io::Result<TlsStream<Capped>> {
    rest.await
}

fn protocol(session: &ServerConnection) -> Protocol {
    match session.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        _ => Protocol::Http1,
    }
}

/// In the words of CloudTrail's `tlsDetails`: the cipher suites of TLS 1.3 by their standard's names, those of TLS 1.2 by
/// OpenSSL's.
fn details(session: &ServerConnection) -> TlsDetails {
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        _ => "unknown",
    };
    let cipher_suite = match session.negotiated_cipher_suite().map(|suite| suite.suite()) {
        Some(CipherSuite::TLS13_AES_128_GCM_SHA256) => "TLS_AES_128_GCM_SHA256",
        Some(CipherSuite::TLS13_AES_256_GCM_SHA384) => "TLS_AES_256_GCM_SHA384",
        Some(CipherSuite::TLS13_CHACHA20_POLY1305_SHA256) => "TLS_CHACHA20_POLY1305_SHA256",
        Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256) => "ECDHE-ECDSA-AES128-GCM-SHA256",
        Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384) => "ECDHE-ECDSA-AES256-GCM-SHA384",
        Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256) => "ECDHE-ECDSA-CHACHA20-POLY1305",
        Some(CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256) => "ECDHE-RSA-AES128-GCM-SHA256",
        Some(CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) => "ECDHE-RSA-AES256-GCM-SHA384",
        Some(CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256) => "ECDHE-RSA-CHACHA20-POLY1305",
        _ => "unknown",
    };
    let group = session.negotiated_key_exchange_group().and_then(|group| group.name().as_str());
    TlsDetails { version, cipher_suite, key_exchange: group }
}
