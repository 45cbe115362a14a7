//! Signed requests, and what came back.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use strongroom_pipeline::{Answer, Arrival};
use strongroom_sigv4::{RequestView, SigningScope, sign};
use strongroom_types::{Credential, Env, KeyId, Timestamp};
use zeroize::Zeroizing;

use super::{House, ROOT, SECRET};

/// What the caller wants nobody to keep, and how it stands in a body.
pub(crate) const PLAINTEXT: &str = "PLAINTEXT-MARKER-93714";
pub(crate) const PLAINTEXT_BASE64: &str = "UExBSU5URVhULU1BUktFUi05MzcxNA==";

/// A request that is yet to be signed.
pub(crate) struct Draft {
    pub(crate) access_key_id: &'static str,
    pub(crate) secret: &'static str,
    pub(crate) region: &'static str,
    pub(crate) service: &'static str,
    pub(crate) signed_at: Timestamp,
    pub(crate) token: Option<&'static str>,
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) query: &'static str,
    pub(crate) target: Option<String>,
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
}

impl Draft {
    pub(crate) fn new(house: &House, operation: &str, body: String) -> Self {
        Self {
            access_key_id: ROOT,
            secret: SECRET,
            region: "us-east-1",
            service: "kms",
            signed_at: house.site.env.now(),
            token: None,
            method: Method::POST,
            path: "/",
            query: "",
            target: Some(format!("TrentService.{operation}")),
            content_type: "application/x-amz-json-1.1",
            body,
        }
    }

    pub(crate) fn look(house: &House, key_id: &KeyId) -> Self {
        let body = format!(r#"{{"KeyId":"{key_id}","Plaintext":"{PLAINTEXT_BASE64}"}}"#);
        Self::new(house, "Encrypt", body)
    }

    pub(crate) fn change(house: &House, key_id: &KeyId) -> Self {
        let body = format!(r#"{{"KeyId":"{key_id}","Description":""}}"#);
        Self::new(house, "UpdateKeyDescription", body)
    }

    pub(crate) fn heavy(house: &House, key_id: &KeyId) -> Self {
        Self::new(house, "GetPublicKey", format!(r#"{{"KeyId":"{key_id}"}}"#))
    }

    /// STS's GetCallerIdentity, as a form in the body.
    pub(crate) fn who_am_i(house: &House) -> Self {
        let body = "Action=GetCallerIdentity&Version=2011-06-15".to_owned();
        let content_type = "application/x-www-form-urlencoded; charset=utf-8";
        Self { service: "sts", target: None, content_type, ..Self::new(house, "", body) }
    }

    pub(crate) fn unsigned(self) -> Arrival {
        let mut headers = HeaderMap::new();
        let mut set = |name: &'static str, value: &str| {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        };
        set("host", "kms.example.com");
        set("content-type", self.content_type);
        set("user-agent", "pipeline-test/1");
        set("x-amz-date", &self.signed_at.to_basic_iso8601());
        if let Some(target) = &self.target {
            set("x-amz-target", target);
        }
        if let Some(token) = self.token {
            set("x-amz-security-token", token);
        }
        Arrival {
            method: self.method,
            path: self.path.to_owned(),
            query: self.query.to_owned(),
            headers,
            body: Zeroizing::new(self.body.into_bytes()),
            source: IpAddr::from([192, 0, 2, 7]),
            tls: None,
        }
    }

    pub(crate) fn signed(self) -> Arrival {
        let Self { access_key_id, region, service, signed_at, .. } = self;
        let scope = SigningScope { access_key_id, region, service, signed_at };
        let key = scope.derive_key(&Credential::new(self.secret.into()));
        let mut arrival = self.unsigned();
        let view = RequestView {
            method: &arrival.method,
            path: &arrival.path,
            query: &arrival.query,
            headers: &arrival.headers,
        };
        let authorization = sign(&view, &arrival.body, &scope, &key).unwrap();
        arrival.headers.insert("authorization", HeaderValue::from_str(&authorization).unwrap());
        arrival
    }
}

/// The answer's body as text.
pub(crate) fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.to_vec()).unwrap()
}

pub(crate) fn assert_refused(answer: &Answer, error: &str) {
    assert_eq!(answer.outcome, error, "{}", text(answer));
    assert!(text(answer).starts_with(&format!(r#"{{"__type":"{error}""#)), "{}", text(answer));
    assert_ne!(answer.status, 200);
}

pub(crate) fn assert_success(answer: &Answer) {
    assert_eq!((answer.outcome, answer.status), ("Success", 200), "{}", text(answer));
}
