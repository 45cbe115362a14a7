//! The cases of AWS's public SigV4 test suite, with their published signatures: each signed by us, compared, and
//! verified. Source: <https://github.com/awslabs/aws-c-auth/tree/main/tests/aws-signing-test-suite> (v4).
//!
//! Left out are the cases for S3 (paths not normalised) and the one with a folded header line, which no HTTP library
//! lets through.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "the lints know only `#[test]` functions as tests"
)]

mod common;

use common::{ACCESS_KEY_ID, REGION, Request, now, secret};
use http::Method;
use strongroom_sigv4::{SignatureError, SigningScope, presign, sign};

struct Case {
    name: &'static str,
    method: Method,
    path: &'static str,
    query: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    token: Option<&'static str>,
    header_signature: &'static str,
    query_signature: &'static str,
}

const LONG_TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";

fn case(
    name: &'static str,
    path: &'static str,
    header_signature: &'static str,
    query_signature: &'static str,
) -> Case {
    let (method, headers, body, token) = (Method::GET, &[][..], "", None);
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    Case { name, method, path, query, headers, body, token, header_signature, query_signature }
}

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    let vanilla = ("5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31", "e93c787ed7f371d5c6b165c1b38ede9550f4dce4144713e844b25b7192d3865d");
    let post_vanilla = ("5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b", "2ce6e6d2e0cf2f9d1b55fafec88cd20574c31dc2e7631979f71ba2310083e95b");
    let param = ("a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb", "49096700cbbaa5753443850f40df10f904fc2fdb544dc9512203cc77c471a9de");
    let post_param = ("28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11", "a9ef26247f293bffe40eeff86a0480ba8c14d31503b2e0c3399e3a16bf1a3682");
    let post = || case("", "/", post_vanilla.0, post_vanilla.1);
    vec![
        case("get-vanilla", "/", vanilla.0, vanilla.1),
        case("get-vanilla-query", "/?", vanilla.0, vanilla.1),
        case("get-relative-normalized", "/example/..", vanilla.0, vanilla.1),
        case("get-relative-relative-normalized", "/example1/example2/../..", vanilla.0, vanilla.1),
        case("get-slash-dot-slash-normalized", "/./", vanilla.0, vanilla.1),
        case("get-slash-normalized", "//", vanilla.0, vanilla.1),
        case("get-slash-pointless-dot-normalized", "/./example", "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5", "35034b1a0bdd969f346975386daf8aedfd4976573b8348cf4f67eaa41c5857de"),
        case("get-slashes-normalized", "//example//", "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84", "c1834e8fb0307243711f0f907f6ab7311ed300d87f13792d7ee4da89ab93e082"),
        case("get-space-normalized", "/example space/", "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741", "7a1f416954786484c9824d93c1f26ef64acb9b1b6c9154d08c9f07d0e394abf6"),
        case("get-unreserved", "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f", "95968482db1b9e0fadef6efc1bd24689f77c77d9ef56919c96a28cc92e0d6005"),
        case("get-utf8", "/ሴ", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85", "10eae3f14a260bd3911cc6d008d3c576d143b05b62f09782a7a4b37f52178e44"),
        case("get-vanilla-empty-query-key", "/?Param1=value1", param.0, param.1),
        case("get-vanilla-query-order-encoded", "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1", "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac", "c5f1848ceec943ac2ca68ee720460c23aaae30a2300586597ada94c4a65e4787"),
        case("get-vanilla-query-order-key-case", "/?Param2=value2&Param1=value1", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500", "86012e2c9ad4d77369f5d81c11f75158aae4f895a085212cc6d3f923d300bed5"),
        case("get-vanilla-utf8-query", "/?ሴ=bar", "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04", "0bdd809b1519ac4f0c1dc3540e2cc46bd0c7f778eda408b2ebf3b913d21ff600"),
        case("get-vanilla-query-unreserved", "/?-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197", "8e76a88a7433637b12778d5592799b29ad21ecd6cf6325051c21d86f0acda2bf"),
        Case { headers: &[("My-Header1", "value2"), ("My-Header1", "value2"), ("My-Header1", "value1")], ..case("get-header-key-duplicate", "/", "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea", "3349ee0b81b4b589da0ff28a395c3591e04de515651dd74f298fa992d1507a97") },
        Case { headers: &[("My-Header1", "value4"), ("My-Header1", "value1"), ("My-Header1", "value3"), ("My-Header1", "value2")], ..case("get-header-value-order", "/", "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01", "313720e71ca6202fdcfa9b20f88de01a4eb0638a83c833b1c184359a4eda864e") },
        Case { headers: &[("My-Header1", " value1"), ("My-Header2", " \"a   b   c\"")], ..case("get-header-value-trim", "/", "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736", "e7bb0fd515e125e1aec2ecc4c0c17484fb06f6846b927c35e46005dd3df3acd4") },
        Case { token: Some("6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"), ..case("get-vanilla-with-session-token", "/", "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8", "7ff2b50b376cb4d151970630573d6291dc128cc5c2a12ffb237f73cc53f67b6c") },
        Case { name: "post-header-key-case", method: Method::POST, ..post() },
        Case { name: "post-vanilla", method: Method::POST, ..post() },
        Case { method: Method::POST, headers: &[("My-Header1", "value1")], ..case("post-header-key-sort", "/", "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c", "c09d07e0d55871f10f2a6d350d994acf6825a3cae70673d7def55616e6119dd7") },
        Case { method: Method::POST, headers: &[("My-Header1", "VALUE1")], ..case("post-header-value-case", "/", "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d", "0698bc9e4f7f9139065ba2909c0e99da257e8e2a42492a097bcd46d792391fed") },
        Case { method: Method::POST, token: Some(LONG_TOKEN), ..case("post-sts-header-before", "/", "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead", "46c2e3c63c1dbe7d39f8ada16fe7f001c1f56c5791441565323677f96308871c") },
        Case { method: Method::POST, ..case("post-vanilla-empty-query-value", "/?Param1=value1", post_param.0, post_param.1) },
        Case { method: Method::POST, ..case("post-vanilla-query", "/?Param1=value1", post_param.0, post_param.1) },
        Case { method: Method::POST, body: "Param1=value1", headers: &[("Content-Type", "application/x-www-form-urlencoded"), ("Content-Length", "13"), ("x-amz-content-sha256", "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e")], ..case("post-x-www-form-urlencoded", "/", "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b", "89a40deed0f26f9461242825a082d2222717248abc7ab41f552ad84a94ad46e9") },
        Case { method: Method::POST, body: "Param1=value1", headers: &[("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"), ("Content-Length", "13"), ("x-amz-content-sha256", "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e")], ..case("post-x-www-form-urlencoded-parameters", "/", "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422", "0dbeb9b026c7b6675f266b8427efec9b4fa8b1f6ef1477d717aea231106eab4d") },
    ]
}

fn scope() -> SigningScope<'static> {
    SigningScope { access_key_id: ACCESS_KEY_ID, region: REGION, service: "service", signed_at: now() }
}

fn request(case: &Case) -> Request {
    let mut request = Request::new();
    request.method = case.method.clone();
    request.path = case.path.into();
    request.query = case.query.into();
    request.body = case.body.into();
    for (name, value) in case.headers {
        request.append(name, value);
    }
    request
}

#[test]
fn header_signatures_are_the_published_ones() {
    let key = scope().derive_key(&secret());
    for case in cases() {
        let mut request = request(&case);
        if let Some(token) = case.token {
            request.append("x-amz-security-token", token);
        }
        let value = sign(&request.view(), &request.body, &scope(), &key).unwrap();
        assert!(value.ends_with(&format!("Signature={}", case.header_signature)), "{}: {value}", case.name);
        request.append("authorization", &value);
        assert_eq!(request.check_with(now(), "service", &secret()), Ok(()), "{}", case.name);
    }
}

#[test]
fn query_signatures_are_the_published_ones() {
    let key = scope().derive_key(&secret());
    for case in cases() {
        let mut request = request(&case);
        // The suite sends neither of them when it presigns.
        request.headers.remove("x-amz-date");
        request.headers.remove("x-amz-content-sha256");
        let query = presign(&request.view(), &request.body, &scope(), 3600, case.token, &key).unwrap();
        let signature = format!("&X-Amz-Signature={}", case.query_signature);
        assert!(query.ends_with(&signature), "{}: {query}", case.name);
        request.query = query;
        assert_eq!(request.check_with(now(), "service", &secret()), Ok(()), "{}", case.name);
    }
}

/// The suite's `post-sts-header-after` adds the token after signing, as some AWS services want it; KMS does not.
#[test]
fn session_token_added_after_signing_is_refused() {
    let request = Request::new().sign().header("x-amz-security-token", LONG_TOKEN);
    assert_eq!(request.check(now()), Err(SignatureError::HeadersUnsigned));
}

/// The example request of the AWS General Reference, "Signature Version 4 signing process".
#[test]
fn published_example_request_is_accepted() {
    let mut request = Request::new();
    request.method = Method::GET;
    request.query = "Action=ListUsers&Version=2010-05-08".into();
    request.set("host", "iam.amazonaws.com");
    let request = request.header("content-type", "application/x-www-form-urlencoded; charset=utf-8").header(
        "authorization",
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date, \
         Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
    );
    assert_eq!(request.check_with(now(), "iam", &secret()), Ok(()));
}
