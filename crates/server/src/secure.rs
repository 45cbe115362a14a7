//! Connections with TLS: the handshake, then HTTP/1.1 or HTTP/2 inside.
//!
//! Another type than [`Host`], so that connections in the clear stay exactly as small as they are.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpStream;

use crate::connection::Watch;
use crate::handle::{Host, Peer, Service};
use crate::http2::{self, Streams};
use crate::serve::{Serve, Settings, serve_http1};
use crate::shutdown::Shutdown;
use crate::tls::{Protocol, Tls, Turns, shake};

/// What the connections of one thread are served with.
pub(crate) struct Secure<S> {
    builder: Builder<TokioExecutor>,
    host: Arc<Host<S>>,
    tls: Arc<Tls>,
    turns: Turns,
}

impl<S> Secure<S> {
    pub(crate) fn new(host: Arc<Host<S>>, tls: Arc<Tls>) -> Self {
        Self { builder: http2::http2(), host, tls, turns: Turns::new() }
    }
}

impl<S: Service> Serve for Secure<S> {
    fn serve(
        self: Arc<Self>,
        settings: &Settings,
        stream: TcpStream,
        source: IpAddr,
        watch: Arc<Watch>,
        stop: Shutdown,
    ) -> impl Future<Output = ()> + Send + 'static {
        let builder = settings.builder.clone();
        async move {
            // The time of a head: a client that owes its part of the handshake owes a head as well.
            let limit = watch.timeouts().header;
            let shaken = tokio::select! {
                biased;
                () = stop.triggered() => return,
                shaken = shake(&self.tls, &self.turns, stream, limit) => shaken,
            };
            let Some(shaken) = shaken else { return };
            let peer = Peer { source, tls: Some(shaken.details) };
            match shaken.protocol {
                // Boxed, so that waiting for a handshake takes no more memory than it must.
                Protocol::Http1 => {
                    Box::pin(serve_http1(&self.host, &builder, watch, shaken.stream, peer, &stop)).await;
                }
                Protocol::Http2 => {
                    let streams = Arc::new(Streams::new(watch));
                    let service = service_fn(|request| {
                        let (host, streams) = (Arc::clone(&self.host), Arc::clone(&streams));
                        async move { http2::handle(&host, &streams, peer, request).await }
                    });
                    Box::pin(http2::drive(&self.builder, shaken.stream, service, &streams, &stop)).await;
                }
            }
        }
    }
}
