//! Requests as the SDKs send them.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, Method};
use strongroom_pipeline::Arrival;
use strongroom_sigv4::{RequestView, SigningScope, sign};
use strongroom_types::{Credential, Timestamp};
use zeroize::Zeroizing;

use super::Caller;

pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

pub(crate) fn signed(caller: Caller, signed_at: Timestamp, operation: &str, body: String) -> Arrival {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", format!("kms.{}.example.com", caller.region)),
        ("content-type", "application/x-amz-json-1.1".to_owned()),
        ("user-agent", "kms-test/1".to_owned()),
        ("x-amz-date", signed_at.to_basic_iso8601()),
        ("x-amz-target", format!("TrentService.{operation}")),
    ] {
        headers.insert(name, HeaderValue::from_str(&value).unwrap());
    }
    let Caller { access_key_id, region } = caller;
    let scope = SigningScope { access_key_id, region, service: "kms", signed_at };
    let key = scope.derive_key(&Credential::new(SECRET.into()));
    let view = RequestView { method: &Method::POST, path: "/", query: "", headers: &headers };
    let authorization = sign(&view, body.as_bytes(), &scope, &key).unwrap();
    headers.insert("authorization", HeaderValue::from_str(&authorization).unwrap());
    Arrival {
        method: Method::POST,
        path: "/".to_owned(),
        query: String::new(),
        headers,
        body: Zeroizing::new(body.into_bytes()),
        source: IpAddr::from([192, 0, 2, 7]),
        tls: None,
    }
}
