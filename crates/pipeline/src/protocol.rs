//! Which service a request is for, and how its answers are written.
//!
//! One endpoint serves all services, so the request's form tells them apart: KMS's JSON protocol names its operation in
//! `X-Amz-Target`, the query protocol of STS in a form. The signature must be for the same service.

use http::{Method, header};
use strongroom_audit::EventSource;
use strongroom_types::RequestId;
use strongroom_wire::{
    ErrorKind, QueryFormat, WireError, WireReply, encode_error, encode_query_error, encode_query_reply,
    query_error,
};
use zeroize::Zeroizing;

use crate::arrival::{Answer, Arrival};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// AWS JSON 1.1, as KMS speaks it.
    Json,
    /// The query protocol, as STS speaks it.
    Query(QueryFormat),
}

impl Protocol {
    pub(crate) fn of(arrival: &Arrival) -> Self {
        if arrival.headers.contains_key("x-amz-target") {
            return Self::Json;
        }
        let has_form = match arrival.method {
            Method::POST => has_content_type(arrival, b"application/x-www-form-urlencoded"),
            Method::GET => arrival.query.split('&').any(|parameter| parameter.starts_with("Action=")),
            _ => false,
        };
        if !has_form {
            return Self::Json;
        }
        let accepts_json = arrival
            .headers
            .get(header::ACCEPT)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"application/json"));
        Self::Query(if accepts_json { QueryFormat::Json } else { QueryFormat::Xml })
    }

    /// The service's name in a credential's scope.
    pub(crate) const fn service(self) -> &'static str {
        match self {
            Self::Json => "kms",
            Self::Query(_) => "sts",
        }
    }

    pub(crate) const fn source(self) -> EventSource {
        match self {
            Self::Json => EventSource::Kms,
            Self::Query(_) => EventSource::Sts,
        }
    }

    /// The error's name as callers and the trail see it.
    pub(crate) const fn error_name(self, kind: ErrorKind) -> &'static str {
        match self {
            Self::Json => kind.name(),
            Self::Query(_) => query_error(kind).0,
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/x-amz-json-1.1",
            Self::Query(QueryFormat::Json) => "application/json",
            Self::Query(QueryFormat::Xml) => "text/xml",
        }
    }

    pub(crate) fn success<Reply: WireReply>(
        self,
        request_id: RequestId,
        operation: &'static str,
        reply: &Reply,
    ) -> Answer {
        // Reserved whole: a buffer that grows leaves a copy of a plaintext behind.
        let mut body = Zeroizing::new(Vec::with_capacity(reply.size_hint()));
        match self {
            Self::Json => reply.encode(&mut body),
            Self::Query(format) => {
                encode_query_reply(format, operation, &request_id.to_string(), reply, &mut body);
            }
        }
        Answer {
            status: 200,
            request_id,
            body,
            content_type: self.content_type(),
            operation,
            outcome: "Success",
        }
    }

    pub(crate) fn refusal(self, request_id: RequestId, operation: &'static str, error: &WireError) -> Answer {
        let mut body = Zeroizing::new(Vec::with_capacity(256));
        let status = match self {
            Self::Json => {
                encode_error(error, &mut body);
                error.kind.status()
            }
            Self::Query(format) => {
                encode_query_error(format, error, &request_id.to_string(), &mut body);
                query_error(error.kind).1
            }
        };
        let outcome = self.error_name(error.kind);
        Answer { status, request_id, body, content_type: self.content_type(), operation, outcome }
    }
}

/// The one content type of a request, with or without parameters.
pub(crate) fn has_content_type(arrival: &Arrival, wanted: &[u8]) -> bool {
    let mut values = arrival.headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(wanted)
}
