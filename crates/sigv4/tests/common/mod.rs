//! A request that the tests can take apart, and the published credentials of AWS's test suite.
#![allow(dead_code, reason = "each test binary uses its own part")]

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use strongroom_sigv4::{Claim, RequestView, SignatureError, SigningKey, SigningScope};
use strongroom_types::{Credential, Timestamp};

pub(crate) const ACCESS_KEY_ID: &str = "AKIDEXAMPLE";
pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
pub(crate) const REGION: &str = "us-east-1";
pub(crate) const DATE: &str = "20150830T123600Z";

#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// `POST /` with `host` and `x-amz-date`, as all KMS requests have it; not signed yet.
    pub(crate) fn new() -> Self {
        Self {
            method: Method::POST,
            path: "/".into(),
            query: String::new(),
            headers: HeaderMap::new(),
            body: vec![],
        }
        .header("host", "example.amazonaws.com")
        .header("x-amz-date", DATE)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.append(name, value);
        self
    }

    pub(crate) fn append(&mut self, name: &str, value: &str) {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        self.headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }

    /// Replaces the header, or adds it.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.headers.remove(name);
        self.append(name, value);
    }

    pub(crate) fn view(&self) -> RequestView<'_> {
        RequestView { method: &self.method, path: &self.path, query: &self.query, headers: &self.headers }
    }

    /// Signs for service `kms` in the header.
    pub(crate) fn sign(mut self) -> Self {
        let value =
            strongroom_sigv4::sign(&self.view(), &self.body, &scope(), &scope().derive_key(&secret()))
                .unwrap();
        self.append("authorization", &value);
        self
    }

    /// Signs for service `kms` in the query.
    pub(crate) fn presign(mut self, expires_secs: u64, security_token: Option<&str>) -> Self {
        self.headers.remove("x-amz-date");
        let key = scope().derive_key(&secret());
        self.query =
            strongroom_sigv4::presign(&self.view(), &self.body, &scope(), expires_secs, security_token, &key)
                .unwrap();
        self
    }

    pub(crate) fn authorization(&self) -> &str {
        self.headers.get("authorization").unwrap().to_str().unwrap()
    }

    /// The whole walk, as the pipeline does it, with the right secret.
    pub(crate) fn check(&self, now: Timestamp) -> Result<(), SignatureError> {
        self.check_with(now, "kms", &Credential::new(SECRET.as_bytes().to_vec()))
    }

    pub(crate) fn check_with(
        &self,
        now: Timestamp,
        service: &str,
        secret: &Credential,
    ) -> Result<(), SignatureError> {
        let view = self.view();
        let claim = Claim::parse(&view)?;
        claim.check_time(now)?;
        claim.check_scope(service, |region| region == REGION)?;
        let key = SigningKey::derive(secret, claim.scope_date(), claim.scope_region(), claim.scope_service());
        claim.verify(&view, &self.body, &key)
    }
}

pub(crate) fn now() -> Timestamp {
    Timestamp::parse_basic_iso8601(DATE).unwrap()
}

pub(crate) fn secret() -> Credential {
    Credential::new(SECRET.as_bytes().to_vec())
}

pub(crate) fn scope() -> SigningScope<'static> {
    SigningScope { access_key_id: ACCESS_KEY_ID, region: REGION, service: "kms", signed_at: now() }
}
