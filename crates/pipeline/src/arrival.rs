//! What comes in from a listener, and what goes back to it.

use std::net::IpAddr;

use strongroom_types::RequestId;
use zeroize::Zeroizing;

/// One request, read whole: the head as the HTTP library parsed it and the raw bytes of the body.
pub struct Arrival {
    pub method: http::Method,
    /// The path as it stood in the request line, not decoded.
    pub path: String,
    /// The query as it stood in the request line, without `?`, not decoded; empty if there was none.
    pub query: String,
    pub headers: http::HeaderMap,
    /// Wiped when dropped: it may hold a plaintext.
    pub body: Zeroizing<Vec<u8>>,
    pub source: IpAddr,
    /// How the connection is protected, if it has TLS.
    pub tls: Option<Tls>,
}

/// What the audit trail says of a connection's TLS.
#[derive(Debug, Clone, Copy)]
pub struct Tls {
    pub version: &'static str,
    pub cipher_suite: &'static str,
    pub key_exchange: Option<&'static str>,
}

/// The answer to one [`Arrival`]. The pipeline has recorded it before it gives it out.
pub struct Answer {
    pub status: u16,
    pub request_id: RequestId,
    /// Wiped when dropped: it may hold a plaintext.
    pub body: Zeroizing<Vec<u8>>,
    /// The body's media type.
    pub content_type: &'static str,
    /// The operation, for metrics: one of a closed list, `Unknown` included.
    pub operation: &'static str,
    /// `Success` or the name of the error, for metrics: one of a closed list.
    pub outcome: &'static str,
}
