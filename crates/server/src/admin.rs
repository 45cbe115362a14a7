//! The second listener: health, readiness, metrics.
//!
//! No secrets and no callers; anything but reading is refused, and requests of more than a small head do not exist.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;

use crate::metrics::Metrics;
use crate::refusal::Reply;
use crate::shutdown::Shutdown;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Whether the service can do its work. The reasons are shown to whoever asks: they hold no secrets.
pub trait Health: Send + Sync + 'static {
    /// The process works: the journal can be written. If not, a restart or an operator is needed.
    fn healthy(&self) -> Result<(), String>;

    /// Requests can be served: healthy, unsealed, started. If not, it may help to wait. If so, there may be something that
    /// an operator should see.
    fn ready(&self) -> Result<Option<String>, String>;
}

/// What the admin listener shows.
pub(crate) struct Admin {
    pub(crate) health: Arc<dyn Health>,
    pub(crate) metrics: Arc<Metrics>,
    /// Of the main listener: a server that shuts down is not ready.
    pub(crate) shutdown: Shutdown,
}

impl Admin {
    pub(crate) fn handle<B>(&self, request: &Request<B>) -> Result<Reply, Infallible> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut reply = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            reply.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Ok(reply);
        }
        Ok(match request.uri().path() {
            "/healthz" => verdict(self.health.healthy().map(|()| None)),
            "/metrics" => self.metrics(),
            "/readyz" if self.shutdown.is_triggered() => verdict(Err("shutting down".to_owned())),
            "/readyz" => verdict(self.health.ready()),
            _ => text(StatusCode::NOT_FOUND, "use /healthz, /readyz or /metrics\n"),
        })
    }

    fn metrics(&self) -> Reply {
        match self.metrics.encode() {
            Ok(metrics) => reply(StatusCode::OK, OPEN_METRICS, metrics.into()),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n"),
        }
    }
}

fn verdict(result: Result<Option<String>, String>) -> Reply {
    match result {
        Ok(None) => text(StatusCode::OK, "ok\n"),
        Ok(Some(remark)) => reply(StatusCode::OK, TEXT, format!("ok; {remark}\n").into()),
        Err(reason) => reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{reason}\n").into()),
    }
}

fn text(status: StatusCode, content: &'static str) -> Reply {
    reply(status, TEXT, Bytes::from_static(content.as_bytes()))
}

fn reply(status: StatusCode, content_type: HeaderValue, content: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(content));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, content_type);
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}
