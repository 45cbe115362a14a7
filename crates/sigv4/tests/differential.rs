//! AWS's own signer against our verifier and our signer, over requests that proptest makes up.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "the lints know only `#[test]` functions as tests"
)]

mod common;

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings};
use aws_sigv4::sign::v4;
use common::{ACCESS_KEY_ID, REGION, Request, SECRET, secret};
use http::Method;
use proptest::prelude::*;
use strongroom_sigv4::{Claim, SigningScope, presign, sign};
use strongroom_types::{Credential, Timestamp};

/// One made-up request, before it is signed.
#[derive(Debug, Clone)]
struct Unsigned {
    request: Request,
    at: Timestamp,
    token: Option<String>,
    expires_secs: u64,
}

fn path() -> impl Strategy<Value = String> {
    let segment = prop_oneof![
        Just(String::new()),
        Just(".".to_owned()),
        Just("..".to_owned()),
        "([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2}|é|ሴ){0,6}",
    ];
    prop_oneof![
        4 => Just("/".to_owned()),
        6 => prop::collection::vec(segment, 0..6).prop_map(|segments| format!("/{}", segments.join("/"))),
    ]
}

fn query() -> impl Strategy<Value = String> {
    // Escapes of UTF-8 only: the official signer replaces other bytes before it signs them.
    let text = "([A-Za-z0-9._~-]|[/?:@!$'()*,;+]|%20|%2B|%2F|%41|%7e|%25|%3D|%26|%0a|%00|%E1%88%B4|é|ሴ){0,5}";
    let pair = (text, prop::option::of(text)).prop_map(|(name, value)| match value {
        Some(value) => format!("{name}={value}"),
        None => name,
    });
    prop_oneof![
        4 => Just(String::new()),
        6 => prop::collection::vec(pair, 0..6).prop_map(|pairs| pairs.join("&")),
    ]
}

fn headers() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = prop::sample::select(vec![
        "accept",
        "amz-sdk-invocation-id",
        "content-type",
        "my-header1",
        "my-header2",
        "user-agent",
        "x-amz-target",
        "x-amz-z",
        "x-amzn-trace-id",
        "z",
    ]);
    // All printable ASCII, with many spaces. Tabs are where signers differ; see the module `canonical`.
    prop::collection::vec((name.prop_map(str::to_owned), "([ -~]|  ){0,12}"), 0..8)
}

fn unsigned() -> impl Strategy<Value = Unsigned> {
    (
        prop::sample::select(vec![Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH]),
        path(),
        query(),
        prop::sample::select(vec![
            "localhost",
            "localhost:8080",
            "kms.eu-central-1.amazonaws.com",
            "[::1]:4566",
        ]),
        headers(),
        prop::collection::vec(any::<u8>(), 0..200),
        0_u64..4_000_000_000,
        prop::option::of("[A-Za-z0-9+/=]{1,40}"),
        1_u64..100_000,
    )
        .prop_map(|(method, path, query, host, headers, body, at, token, expires_secs)| {
            let mut request = Request::new();
            (request.method, request.path, request.query, request.body) = (method, path, query, body);
            request.headers.clear();
            request.append("host", host);
            for (name, value) in &headers {
                request.append(name, value);
            }
            Unsigned { request, at: Timestamp::from_secs(at), token, expires_secs }
        })
}

impl Unsigned {
    fn scope(&self) -> SigningScope<'static> {
        SigningScope { access_key_id: ACCESS_KEY_ID, region: REGION, service: "kms", signed_at: self.at }
    }

    /// The request as AWS's signer makes it, with the signature in the header or in the query.
    fn signed_by_aws(&self, location: SignatureLocation) -> Request {
        let mut settings = SigningSettings::default();
        settings.signature_location = location;
        settings.expires_in = Some(Duration::from_secs(self.expires_secs));
        let identity = Credentials::new(ACCESS_KEY_ID, SECRET, self.token.clone(), None, "test").into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(REGION)
            .name("kms")
            .time(SystemTime::UNIX_EPOCH + Duration::from_secs(self.at.as_secs()))
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let host = self.request.headers.get("host").unwrap().to_str().unwrap();
        let mut uri = format!("https://{host}{}", self.request.path);
        if !self.request.query.is_empty() {
            uri = format!("{uri}?{}", self.request.query);
        }
        let headers =
            self.request.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
        let body = SignableBody::Bytes(&self.request.body);
        let signable = SignableRequest::new(self.request.method.as_str(), uri, headers, body).unwrap();
        let (instructions, _) = aws_sigv4::http_request::sign(signable, &params).unwrap().into_parts();

        let mut signed = self.request.clone();
        for (name, value) in instructions.headers() {
            signed.append(name, value);
        }
        for (name, value) in instructions.params() {
            let separator = if signed.query.is_empty() { "" } else { "&" };
            signed.query = format!("{}{separator}{name}={}", signed.query, percent_encoded(value));
        }
        signed
    }
}

fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// The same request with one thing changed that the signature covers.
fn tampered(signed: &Request, choice: usize) -> Request {
    let mut request = signed.clone();
    match choice {
        0 => request.body.push(0),
        1 => request.path.push_str("/zz"),
        2 => request.query.push_str("&zz=1"),
        3 => request.method = Method::HEAD,
        4 => request.set("host", "elsewhere"),
        5 => {
            request.headers.remove("host");
        }
        6 => request.append("host", "elsewhere"),
        7 => request.append("x-amz-added", "1"),
        _ => match request.headers.get("authorization").cloned() {
            // The last digit of the signature, wherever the signature is.
            Some(value) => {
                let value = other_last_digit(value.to_str().unwrap());
                request.set("authorization", &value);
            }
            None => {
                let marker = "X-Amz-Signature=";
                let end = request.query.find(marker).unwrap() + marker.len() + 64;
                let (head, tail) = request.query.split_at(end);
                request.query = format!("{}{tail}", other_last_digit(head));
            }
        },
    }
    request
}

fn other_last_digit(text: &str) -> String {
    let (head, last) = text.split_at(text.len() - 1);
    format!("{head}{}", if last == "0" { "1" } else { "0" })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn requests_signed_by_aws_in_the_header_are_accepted(unsigned in unsigned(), choice in 0_usize..9) {
        let signed = unsigned.signed_by_aws(SignatureLocation::Headers);
        prop_assert_eq!(signed.check(unsigned.at), Ok(()));
        let view = signed.view();
        let claim = Claim::parse(&view).unwrap();
        prop_assert_eq!(claim.access_key_id(), ACCESS_KEY_ID);
        prop_assert_eq!(claim.signed_at(), unsigned.at);
        prop_assert_eq!(claim.security_token(), unsigned.token.as_deref());
        prop_assert!(!claim.is_presigned());

        prop_assert!(tampered(&signed, choice).check(unsigned.at).is_err());
        prop_assert!(signed.check_with(unsigned.at, "kms", &Credential::new(b"other".to_vec())).is_err());
    }

    #[test]
    fn requests_presigned_by_aws_are_accepted(unsigned in unsigned(), choice in 0_usize..9) {
        let signed = unsigned.signed_by_aws(SignatureLocation::QueryParams);
        prop_assert_eq!(signed.check(unsigned.at), Ok(()));
        let view = signed.view();
        let claim = Claim::parse(&view).unwrap();
        prop_assert_eq!(claim.access_key_id(), ACCESS_KEY_ID);
        prop_assert_eq!(claim.signed_at(), unsigned.at);
        prop_assert_eq!(claim.security_token(), unsigned.token.as_deref());
        prop_assert!(claim.is_presigned());

        prop_assert!(tampered(&signed, choice).check(unsigned.at).is_err());
        prop_assert!(signed.check_with(unsigned.at, "kms", &Credential::new(b"other".to_vec())).is_err());
    }

    #[test]
    fn our_header_signature_is_that_of_aws(unsigned in unsigned()) {
        let by_aws = unsigned.signed_by_aws(SignatureLocation::Headers);
        let mut bare = by_aws.clone();
        bare.headers.remove("authorization");
        let key = unsigned.scope().derive_key(&secret());
        let ours = sign(&bare.view(), &bare.body, &unsigned.scope(), &key).unwrap();
        prop_assert_eq!(ours.as_str(), by_aws.authorization());
    }

    #[test]
    fn our_query_signature_is_that_of_aws(unsigned in unsigned()) {
        let by_aws = unsigned.signed_by_aws(SignatureLocation::QueryParams);
        let key = unsigned.scope().derive_key(&secret());
        let (request, token) = (&unsigned.request, unsigned.token.as_deref());
        let ours =
            presign(&request.view(), &request.body, &unsigned.scope(), unsigned.expires_secs, token, &key).unwrap();
        let signature = ours.rsplit_once("X-Amz-Signature=").unwrap().1;
        let with_signature = format!("X-Amz-Signature={signature}");
        prop_assert!(by_aws.query.contains(&with_signature));
    }
}
