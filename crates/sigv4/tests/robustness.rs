//! Whatever comes in, nothing panics, and nothing unsigned is accepted.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "the lints know only `#[test]` functions as tests"
)]

mod common;

use common::{Request, now};
use http::{HeaderName, HeaderValue, Method};
use proptest::prelude::*;
use strongroom_sigv4::SignatureError;

/// Bytes as a header's value may have them; what it may not have is left out.
fn value() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![Just(b'\t'), 32_u8..127, 128_u8..=255], 0..60)
}

/// Texts near to what a signature looks like: its fragments, in any order.
fn fragments() -> impl Strategy<Value = String> {
    let fragment = prop::sample::select(vec![
        "AWS4-HMAC-SHA256",
        "AWS4-",
        " ",
        ",",
        ";",
        "=",
        "/",
        "&",
        "%",
        "%2F",
        "%0a",
        "+",
        "?",
        "..",
        "Credential=",
        "SignedHeaders=",
        "Signature=",
        "AKIDEXAMPLE/20150830/us-east-1/kms/aws4_request",
        "host",
        "host;x-amz-date",
        "20150830T123600Z",
        "X-Amz-Algorithm=AWS4-HMAC-SHA256",
        "X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fkms%2Faws4_request",
        "X-Amz-Date=20150830T123600Z",
        "X-Amz-Expires=",
        "X-Amz-SignedHeaders=host",
        "X-Amz-Signature=",
        "X-Amz-Security-Token=",
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        "é",
    ]);
    prop::collection::vec(fragment, 0..14).prop_map(|fragments| fragments.concat())
}

fn query_of_fragments() -> impl Strategy<Value = String> {
    prop::collection::vec(fragments(), 0..4).prop_map(|pieces| pieces.join("&"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn arbitrary_requests_are_refused(
        path in any::<String>(),
        query in any::<String>(),
        body in prop::collection::vec(any::<u8>(), 0..40),
        values in prop::collection::vec((0_usize..6, value()), 0..6),
        method in "[A-Z]{1,8}",
    ) {
        let names = ["authorization", "date", "host", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"];
        let mut request = Request::new();
        request.method = Method::from_bytes(method.as_bytes()).unwrap();
        (request.path, request.query, request.body) = (path, query, body);
        for (choice, value) in values {
            let value = HeaderValue::from_bytes(&value).unwrap();
            request.headers.append(HeaderName::from_static(names[choice]), value);
        }
        let error = request.check(now()).unwrap_err();
        prop_assert!(!error.to_string().is_empty());
        prop_assert!(!error.code().is_empty());
    }

    #[test]
    fn fragments_of_a_signature_in_the_header_are_refused(authorization in fragments(), query in query_of_fragments()) {
        let mut request = Request::new();
        request.query = query;
        request.append("authorization", &format!("AWS4-HMAC-SHA256 {authorization}"));
        prop_assert!(request.check(now()).is_err());
    }

    #[test]
    fn fragments_of_a_signature_in_the_query_are_refused(query in query_of_fragments()) {
        let mut request = Request::new();
        request.query = format!("X-Amz-Algorithm=AWS4-HMAC-SHA256&{query}");
        prop_assert!(request.check(now()).is_err());
    }

    /// Past the parser, every path, query, header and body reaches the canonical form.
    #[test]
    fn whatever_can_be_signed_is_verified(
        path in any::<String>(),
        query in "([a-z&=+é]|%[0-9a-f]{2}){0,40}",
        value in value(),
        body in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut request = Request::new();
        (request.path, request.query, request.body) = (path, query, body);
        request.headers.append("my-header1", HeaderValue::from_bytes(&value).unwrap());
        let mut signed = request.sign();
        prop_assert_eq!(signed.check(now()), Ok(()));
        signed.body.push(0);
        prop_assert_eq!(signed.check(now()), Err(SignatureError::Mismatch));
    }

    /// One bit anywhere in the signature.
    #[test]
    fn each_digit_of_the_signature_counts(at in 0_usize..64, digit in "[0-9a-f]") {
        let mut request = Request::new().sign();
        let (head, signature) = request.authorization().rsplit_once('=').unwrap();
        let mut forged = signature.to_owned();
        forged.replace_range(at..=at, &digit);
        let same = forged == signature;
        let value = format!("{head}={forged}");
        request.set("authorization", &value);
        prop_assert_eq!(request.check(now()).is_ok(), same);
    }
}
