//! Answers, and those that the server gives by itself because a request never reaches the service or kills it.
//!
//! They have the form of AWS's JSON protocol, so that SDKs read their names and know which ones to try again (botocore,
//! retry mode "standard": `RequestTimeoutException`, `ThrottlingException` and every 500, 502, 503 and 504).

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, EXPIRES, HeaderName, HeaderValue, PRAGMA};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;
use strongroom_pipeline::Answer;
use strongroom_types::RequestId;
use zeroize::Zeroizing;

pub(crate) type Reply = Response<Full<Bytes>>;

/// What the metrics call the operation of a request that was refused before anyone looked at it.
pub(crate) const UNKNOWN_OPERATION: &str = "Unknown";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const JSON: &str = "application/x-amz-json-1.1";
const NO_STORE: HeaderValue = HeaderValue::from_static("no-cache, no-store, must-revalidate, private");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
const EXPIRED: HeaderValue = HeaderValue::from_static("0");
const CLOSE: HeaderValue = HeaderValue::from_static("close");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    BodyTimedOut,
    BodyTooLarge,
    Exhausted,
    Internal,
    Throttled,
}

impl Refusal {
    /// The error's name, on the wire and in the metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::BodyTimedOut => "RequestTimeoutException",
            Self::BodyTooLarge => "RequestEntityTooLargeException",
            Self::Exhausted => "ServiceUnavailableException",
            Self::Internal => "KMSInternalException",
            Self::Throttled => "ThrottlingException",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::BodyTimedOut => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Exhausted => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Throttled => StatusCode::BAD_REQUEST,
        }
    }

    const fn body(self) -> &'static str {
        match self {
            Self::BodyTimedOut => {
                r#"{"__type":"RequestTimeoutException","message":"The request body was not received in time."}"#
            }
            Self::BodyTooLarge => {
                r#"{"__type":"RequestEntityTooLargeException","message":"The request body is larger than 1048576 bytes."}"#
            }
            Self::Exhausted => {
                r#"{"__type":"ServiceUnavailableException","message":"The service is receiving too many large requests. The request can be retried."}"#
            }
            Self::Internal => {
                r#"{"__type":"KMSInternalException","message":"The request was rejected because an internal exception occurred. The request can be retried."}"#
            }
            Self::Throttled => {
                r#"{"__type":"ThrottlingException","message":"You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls."}"#
            }
        }
    }

    pub(crate) fn reply(self, request_id: RequestId) -> Reply {
        reply(self.status(), request_id, JSON, Bytes::from_static(self.body().as_bytes()))
    }
}

/// The service's answer in HTTP. The body keeps its buffer, which is wiped when the last byte has been written.
pub(crate) fn reply_to(answer: Answer) -> Reply {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    reply(status, answer.request_id, answer.content_type, Bytes::from_owner(Wiped(answer.body)))
}

/// Says that the connection ends with this reply.
pub(crate) fn closing(mut reply: Reply) -> Reply {
    reply.headers_mut().insert(CONNECTION, CLOSE);
    reply
}

fn reply(status: StatusCode, request_id: RequestId, content_type: &'static str, body: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    // Room for these and for what hyper adds, so that the map does not grow.
    let mut headers = HeaderMap::with_capacity(8);
    // A UUID is always a valid value.
    if let Ok(request_id) = HeaderValue::try_from(request_id.to_string()) {
        headers.insert(REQUEST_ID, request_id);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert(PRAGMA, NO_CACHE);
    headers.insert(EXPIRES, EXPIRED);
    *reply.headers_mut() = headers;
    reply
}

/// Lends the bytes to hyper, which does not copy them: it writes head and body with one vectored call.
struct Wiped(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use strongroom_types::limits::REQUEST_BODY_BYTES_MAX;

    use super::*;

    const ALL: [Refusal; 5] = [
        Refusal::BodyTimedOut,
        Refusal::BodyTooLarge,
        Refusal::Exhausted,
        Refusal::Internal,
        Refusal::Throttled,
    ];

    #[test]
    fn every_refusal_says_its_name() {
        for refusal in ALL {
            let start = format!(r#"{{"__type":"{}","message":""#, refusal.name());
            assert!(refusal.body().starts_with(&start) && refusal.body().ends_with(r#"."}"#), "{refusal:?}");
            assert!(refusal.status().is_client_error() || refusal.status().is_server_error());
        }
    }

    #[test]
    fn the_size_in_the_message_is_the_limit() {
        assert!(
            Refusal::BodyTooLarge.body().contains(&format!("larger than {REQUEST_BODY_BYTES_MAX} bytes"))
        );
    }

    #[test]
    fn a_status_that_is_none_becomes_500() {
        let answer = Answer {
            status: 1000,
            request_id: RequestId::from_bytes([0; 16]),
            body: Zeroizing::default(),
            content_type: JSON,
            operation: "Encrypt",
            outcome: "Success",
        };
        assert_eq!(reply_to(answer).status(), 500);
    }
}
