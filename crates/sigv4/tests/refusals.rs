//! What is refused, with which message, and in which order; and that what stands just beside it is accepted.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "the lints know only `#[test]` functions as tests"
)]

mod common;

use std::time::Duration;

use common::{DATE, REGION, Request, now, secret};
use http::HeaderValue;
use strongroom_sigv4::{Claim, SignatureError, SigningKey};
use strongroom_types::Timestamp;
use strongroom_types::limits::{CLOCK_SKEW_SECS_MAX, REQUEST_HEADERS_MAX, REQUEST_QUERY_PARAMETERS_MAX};

const INCOMPLETE: &str = "IncompleteSignatureException";
const INVALID: &str = "InvalidSignatureException";

fn at(text: &str) -> Timestamp {
    Timestamp::parse_basic_iso8601(text).unwrap()
}

/// A well-signed request whose `Authorization` is then replaced.
fn with_authorization(value: &str) -> Request {
    let mut request = Request::new().sign();
    request.set("authorization", value);
    request
}

#[track_caller]
fn assert_refused(request: &Request, code: &str, message: &str) {
    let error = request.check(now()).unwrap_err();
    assert_eq!((error.code(), error.to_string().as_str()), (code, message));
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{text}");
    text.replace(from, to)
}

// ---- neither, both, other schemes

#[test]
fn no_signature_at_all_is_missing() {
    let text = "Missing Authentication Token";
    let missing = "MissingAuthenticationTokenException";
    assert_refused(&Request::new(), missing, text);
    let mut request = Request::new();
    request.query = "X-Amz-Signature=00&x-amz-algorithm=AWS4-HMAC-SHA256".into();
    assert_refused(&request, missing, text);
}

#[test]
fn other_schemes_are_missing_and_never_repeated() {
    for value in [
        "Basic dXNlcjpzZXNhbWU=",
        "Bearer sesame",
        "",
        "aws4-hmac-sha256 Credential=sesame",
        "AWS AKID:sesame",
    ] {
        let error = with_authorization(value).check(now()).unwrap_err();
        assert_eq!(error, SignatureError::Missing, "{value}");
        assert!(!error.to_string().contains("sesame"));
    }
}

#[test]
fn header_and_query_together_are_refused() {
    let text = "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.";
    let signed = Request::new().sign();
    let mut request = Request::new().presign(60, None);
    request.set("authorization", signed.authorization());
    assert_refused(&request, INVALID, text);
    // However the name is spelled, and even if the header is of another scheme.
    for (query, authorization) in
        [("%58-Amz-Algorithm", signed.authorization()), ("X-Amz-Algorithm", "Bearer x")]
    {
        let mut request = Request::new().header("authorization", authorization);
        request.query = query.into();
        assert_refused(&request, INVALID, text);
    }
}

// ---- the Authorization header

#[test]
fn only_missing_parts_are_listed() {
    let credential = "Authorization header requires 'Credential' parameter. ";
    let signature = "Authorization header requires 'Signature' parameter. ";
    let signed_headers = "Authorization header requires 'SignedHeaders' parameter. ";
    for (value, problems) in [
        ("AWS4-HMAC-SHA256", format!("{credential}{signature}{signed_headers}")),
        ("AWS4-HMAC-SHA256 ", format!("{credential}{signature}{signed_headers}")),
        ("AWS4-HMAC-SHA256 ,,", format!("{credential}{signature}{signed_headers}")),
        ("AWS4-HMAC-SHA256 Other=1", format!("{credential}{signature}{signed_headers}")),
        ("AWS4-HMAC-SHA256 credential=a", format!("{credential}{signature}{signed_headers}")),
        ("AWS4-HMAC-SHA256 Credential=a", format!("{signature}{signed_headers}")),
        ("AWS4-HMAC-SHA256 SignedHeaders=host,Signature=0", credential.to_owned()),
        ("AWS4-HMAC-SHA256 Credential=, SignedHeaders=host, Signature=0", credential.to_owned()),
        ("AWS4-HMAC-SHA256 Credential=a, SignedHeaders=, Signature=0", signed_headers.to_owned()),
    ] {
        assert_refused(&with_authorization(value), INCOMPLETE, &format!("{problems}Authorization={}", value));
    }
}

#[test]
fn missing_date_is_listed_last() {
    let date = "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ";
    let mut request = Request::new().sign();
    request.headers.remove("x-amz-date");
    let value = request.authorization().to_owned();
    assert_refused(&request, INCOMPLETE, &format!("{date}Authorization={value}"));
    request.set("authorization", "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=host");
    assert_refused(
        &request,
        INCOMPLETE,
        &format!(
            "Authorization header requires 'Signature' parameter. {date}\
             Authorization=AWS4-HMAC-SHA256 Credential=a, SignedHeaders=host"
        ),
    );
}

#[test]
fn part_without_equal_sign_is_named() {
    let value = "AWS4-HMAC-SHA256 Signature=b,    Credential,    SignedHeaders";
    assert_refused(
        &with_authorization(value),
        INCOMPLETE,
        &format!(
            "'Credential' not a valid key=value pair (missing equal-sign) in Authorization header: '{value}'."
        ),
    );
}

#[test]
fn repeated_parts_and_headers_are_refused() {
    let value = Request::new().sign().authorization().to_owned();
    for name in ["Credential", "SignedHeaders", "Signature"] {
        for repetition in [format!("{value}, {name}=x"), format!("{value}, {name}=")] {
            assert_eq!(
                with_authorization(&repetition).check(now()),
                Err(SignatureError::ParameterRepeated { name }),
                "{repetition}"
            );
        }
    }
    for (header, name) in [
        ("authorization", "Authorization"),
        ("x-amz-date", "X-Amz-Date"),
        ("x-amz-security-token", "X-Amz-Security-Token"),
    ] {
        let mut request = Request::new().header("x-amz-security-token", "token").sign();
        let value = request.headers.get(header).unwrap().clone();
        request.headers.append(header, value);
        assert_eq!(request.check(now()), Err(SignatureError::ParameterRepeated { name }));
    }
}

#[test]
fn separators_order_and_unknown_parts_do_not_matter() {
    let value = Request::new().sign().authorization().to_owned();
    let (algorithm, parts) = value.split_once(' ').unwrap();
    let mut parts: Vec<&str> = parts.split(", ").collect();
    for separator in [",", ", ", " ,\t ", ",,"] {
        parts.rotate_left(1);
        let value = format!("{algorithm} {}{separator}Other=1,", parts.join(separator));
        assert_eq!(with_authorization(&value).check(now()), Ok(()), "{value}");
    }
}

#[test]
fn other_algorithms_are_refused() {
    let value = Request::new().sign().authorization().to_owned();
    for algorithm in ["AWS4-HMAC-SHA25", "AWS4-ECDSA-P256-SHA256", "AWS4-hmac-sha256"] {
        assert_refused(
            &with_authorization(&replaced(&value, "AWS4-HMAC-SHA256", algorithm)),
            INCOMPLETE,
            &format!("Unsupported AWS 'algorithm': '{algorithm}' (only AWS4-HMAC-SHA256 for now). "),
        );
    }
}

#[test]
fn credential_has_exactly_five_parts() {
    let value = Request::new().sign().authorization().to_owned();
    let credential = "AKIDEXAMPLE/20150830/us-east-1/kms/aws4_request";
    for wrong in
        ["a", "a/b/c/d", "/20150830/us-east-1/kms/aws4_request/", &format!("{credential}/"), "////////"]
    {
        assert_refused(
            &with_authorization(&replaced(&value, credential, wrong)),
            INCOMPLETE,
            &format!(
                "Credential must have exactly 5 slash-delimited elements, \
                 e.g. keyid/date/region/service/term, got '{wrong}'"
            ),
        );
    }
}

#[test]
fn signature_in_another_form_is_a_mismatch() {
    let value = Request::new().sign().authorization().to_owned();
    let signature = value.rsplit_once('=').unwrap().1.to_owned();
    for wrong in [
        signature.to_uppercase(),
        signature.get(..63).unwrap().to_owned(),
        format!("{signature}0"),
        format!("{signature}="),
        "0".repeat(64),
        "not hexadecimal".into(),
    ] {
        let request = with_authorization(&replaced(&value, &signature, &wrong));
        assert_eq!(request.check(now()), Err(SignatureError::Mismatch), "{wrong}");
    }
}

#[test]
fn mismatch_says_nothing_of_the_expected_signature() {
    let mut request = Request::new().sign();
    let expected = request.authorization().rsplit_once('=').unwrap().1.to_owned();
    let value = replaced(request.authorization(), &expected, &"0".repeat(64));
    request.set("authorization", &value);
    let error = request.check(now()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access \
         Key and signing method. Consult the service documentation for details."
    );
    assert!(!format!("{error:?}").contains(&expected));
}

#[test]
fn header_that_is_not_ascii_is_incomplete() {
    let mut request = Request::new().sign();
    request
        .headers
        .insert("authorization", HeaderValue::from_bytes(b"AWS4-HMAC-SHA256 Credential=\xff").unwrap());
    assert!(matches!(request.check(now()), Err(SignatureError::HeaderIncomplete { .. })));
    let mut request = Request::new().sign();
    request.headers.insert("x-amz-security-token", HeaderValue::from_bytes(b"\xff").unwrap());
    assert_eq!(request.check(now()), Err(SignatureError::TokenMalformed));
}

// ---- dates

#[test]
fn malformed_dates_are_refused() {
    for date in [
        "201",
        "2015-08-30T12:36:00Z",
        "20150830T123600",
        "20150230T123600Z",
        "Sun, 30 Aug 2015 12:36:00 GMT",
        "",
    ] {
        let mut request = Request::new().sign();
        request.set("x-amz-date", date);
        let text = format!(
            "Date must be in ISO-8601 'basic format'. Got '{date}'. See http://en.wikipedia.org/wiki/ISO_8601"
        );
        assert_refused(&request, INCOMPLETE, &text);
        let mut request = Request::new().presign(60, None);
        request.query =
            replaced(&request.query, &format!("X-Amz-Date={DATE}"), &format!("X-Amz-Date={date}"));
        match date {
            "" => assert_eq!(
                request.check(now()).unwrap_err().to_string(),
                "AWS query-string parameters must include 'X-Amz-Date'. Re-examine the query-string parameters."
            ),
            _ => assert_refused(&request, INCOMPLETE, &text),
        }
    }
}

#[test]
fn date_header_serves_where_there_is_no_amz_date() {
    for date in [DATE, "Sun, 30 Aug 2015 12:36:00 GMT", "Sun, 30 Aug 2015 12:36:00 -0000"] {
        let mut request = Request::new();
        request.headers.remove("x-amz-date");
        let request = request.header("date", date).sign();
        assert_eq!(request.check(now()), Ok(()), "{date}");
    }
    let mut request = Request::new();
    request.headers.remove("x-amz-date");
    let mut request = request.header("date", DATE).sign();
    request.set("date", "yesterday");
    assert!(matches!(request.check(now()), Err(SignatureError::DateMalformed { .. })));
}

#[test]
fn amz_date_goes_before_date() {
    let request = Request::new().header("date", "Mon, 31 Aug 2015 12:36:00 GMT").sign();
    assert_eq!(request.check(now()), Ok(()));
    assert_eq!(Claim::parse(&request.view()).unwrap().signed_at(), now());
}

#[test]
fn window_is_closed_a_millisecond_past_its_limit() {
    let request = Request::new().sign();
    let skew = Duration::from_secs(CLOCK_SKEW_SECS_MAX);
    let millisecond = Duration::from_millis(1);
    let late = request.check(now().saturating_add(skew + millisecond)).unwrap_err();
    assert!(matches!(late, SignatureError::Expired { .. }));
    let early = request.check(now().saturating_sub(skew + millisecond)).unwrap_err();
    assert!(matches!(early, SignatureError::NotYetCurrent { .. }));
    assert_eq!(request.check(now().saturating_add(skew)), Ok(()));
    assert_eq!(request.check(now().saturating_sub(skew)), Ok(()));
}

#[test]
fn skew_is_told_in_the_words_of_aws() {
    let request = Request::new().sign();
    let late = request.check(at("20150830T124101Z")).unwrap_err();
    assert_eq!(
        (late.code(), late.to_string().as_str()),
        (
            INVALID,
            "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.)"
        )
    );
    let early = request.check(at("20150830T123059Z")).unwrap_err();
    assert_eq!(
        (early.code(), early.to_string().as_str()),
        (
            INVALID,
            "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z (20150830T123059Z + 5 min.)"
        )
    );
}

#[test]
fn clock_at_either_end_of_time_is_no_panic() {
    let request = Request::new().sign();
    assert!(request.check(Timestamp::from_millis(0)).is_err());
    assert!(request.check(Timestamp::from_millis(u64::MAX)).is_err());
    assert!(!request.check(Timestamp::from_millis(0)).unwrap_err().to_string().is_empty());
    assert!(!request.check(Timestamp::from_millis(u64::MAX)).unwrap_err().to_string().is_empty());
}

// ---- scope

#[test]
fn all_faults_of_the_scope_are_told_in_one_message() {
    let value = Request::new().sign().authorization().to_owned();
    let value = replaced(&value, "AKIDEXAMPLE/20150830/us-east-1/kms/aws4_request", "a/b/c/d/e");
    assert_refused(
        &with_authorization(&value),
        INVALID,
        "Credential should be scoped to a valid region. \
         Credential should be scoped to correct service: 'kms'. \
         Credential should be scoped with a valid terminator: 'aws4_request', not 'e'. \
         Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
         'b' != '20150830', from '20150830T123600Z'.",
    );
}

#[test]
fn each_part_of_the_scope_is_checked() {
    for (from, to, message) in [
        ("/us-east-1/", "/eu-west-9/", "Credential should be scoped to a valid region. "),
        ("/kms/", "/KMS/", "Credential should be scoped to correct service: 'kms'. "),
        (
            "/aws4_request",
            "/aws4_Request",
            "Credential should be scoped with a valid terminator: 'aws4_request', not 'aws4_Request'. ",
        ),
        (
            "/20150830/",
            "/20150829/",
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
             '20150829' != '20150830', from '20150830T123600Z'.",
        ),
    ] {
        let value = Request::new().sign().authorization().to_owned();
        assert_refused(&with_authorization(&replaced(&value, from, to)), INVALID, message);
    }
}

#[test]
fn verify_alone_refuses_a_scope_of_another_day() {
    // Signed with the key of the 29th for an instant of the 30th. Whoever holds a day's key, and no more, must not be
    // able to sign for other days, even if the caller has forgotten `check_scope`.
    let key = SigningKey::derive(&secret(), "20150829", REGION, "kms");
    let mut request = Request::new();
    let value = strongroom_sigv4::sign(&request.view(), b"", &common::scope(), &key).unwrap();
    request.append("authorization", &value);
    assert_eq!(Claim::parse(&request.view()).unwrap().verify(&request.view(), b"", &key), Ok(()));
    for (from, to) in [("/20150830/", "/20150829/"), ("/aws4_request", "/aws4_other")] {
        request.set("authorization", &replaced(&value, from, to));
        let view = request.view();
        assert_eq!(Claim::parse(&view).unwrap().verify(&view, b"", &key), Err(SignatureError::Mismatch));
    }
}

// ---- signed headers

#[test]
fn host_must_be_signed() {
    let value = replaced(Request::new().sign().authorization(), "host;", "");
    assert_refused(
        &with_authorization(&value),
        INVALID,
        "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
    );
}

#[test]
fn amz_header_that_was_not_signed_is_refused() {
    for name in ["x-amz-target", "x-amz-security-token", "x-amz-content-sha256", "x-amz-anything"] {
        assert_refused(
            &Request::new().sign().header(name, "x"),
            INVALID,
            "There were headers present in the request which were not signed",
        );
    }
    assert_eq!(
        Request::new().sign().header("x-amzn-trace-id", "x").header("accept", "x").check(now()),
        Ok(())
    );
    assert_eq!(Request::new().header("x-amz-target", "TrentService.Encrypt").sign().check(now()), Ok(()));
}

#[test]
fn amz_header_in_place_of_a_signed_one_is_refused() {
    // As many as were signed, but not the same.
    let mut request = Request::new().header("x-amz-target", "TrentService.Encrypt").sign();
    request.headers.remove("x-amz-target");
    request.append("x-amz-other", "TrentService.Encrypt");
    assert_eq!(request.check(now()), Err(SignatureError::Mismatch));
}

#[test]
fn signed_header_that_was_not_sent_is_a_mismatch() {
    let mut request = Request::new().header("accept", "").sign();
    assert_eq!(request.check(now()), Ok(()));
    request.headers.remove("accept");
    assert_eq!(request.check(now()), Err(SignatureError::Mismatch));
}

#[test]
fn signed_headers_that_are_not_canonical_are_refused() {
    let value = Request::new().sign().authorization().to_owned();
    for list in
        ["x-amz-date;host", "host;host;x-amz-date", "Host;x-amz-date", ";host;x-amz-date", "host;x-amz-date;"]
    {
        let request = with_authorization(&replaced(&value, "host;x-amz-date", list));
        assert_eq!(request.check(now()), Err(SignatureError::SignedHeadersMalformed), "{list}");
        assert_eq!(request.check(now()).unwrap_err().code(), INCOMPLETE);
    }
    for list in ["a b;host;x-amz-date", "a:b;host;x-amz-date", "host;x-amz-date;é"] {
        let request = with_authorization(&replaced(&value, "host;x-amz-date", list));
        assert_eq!(request.check(now()), Err(SignatureError::Mismatch), "{list}");
    }
}

#[test]
fn one_signed_header_past_the_limit_is_refused() {
    let with_headers = |count: usize| {
        let mut request = Request::new();
        for n in 2..count {
            request.append(&format!("a{n:03}"), "x");
        }
        request
    };
    let request = with_headers(REQUEST_HEADERS_MAX).sign();
    assert_eq!(request.check(now()), Ok(()));
    let value = replaced(request.authorization(), "SignedHeaders=", "SignedHeaders=a000;");
    let request = with_authorization(&value);
    assert_eq!(request.check(now()), Err(SignatureError::SignedHeadersMalformed));
}

#[test]
fn bytes_that_are_not_utf8_are_signed_as_they_are() {
    let mut request = Request::new();
    request.headers.append("my-header1", HeaderValue::from_bytes(b"\xff  \xfe").unwrap());
    let mut request = request.sign();
    assert_eq!(request.check(now()), Ok(()));
    request.headers.insert("my-header1", HeaderValue::from_bytes(b"\xff  \xfd").unwrap());
    assert_eq!(request.check(now()), Err(SignatureError::Mismatch));
}

// ---- the body

#[test]
fn content_hash_must_be_the_hash_of_the_body() {
    let with_hash = |hash: &str| {
        let mut request = Request::new().header("x-amz-content-sha256", hash);
        request.body = b"{}".to_vec();
        request.sign()
    };
    let hash = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    for unsupported in [
        "UNSIGNED-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "",
        &hash.to_uppercase(),
        hash.get(..63).unwrap(),
    ] {
        assert_eq!(
            with_hash(unsupported).check(now()),
            Err(SignatureError::ContentHashUnsupported),
            "{unsupported}"
        );
    }
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_refused(
        &with_hash(empty),
        INVALID,
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
    );
    let mut twice = Request::new().header("x-amz-content-sha256", hash).header("x-amz-content-sha256", hash);
    twice.body = b"{}".to_vec();
    assert!(matches!(twice.sign().check(now()), Err(SignatureError::ParameterRepeated { .. })));
    assert_eq!(with_hash(hash).check(now()), Ok(()));
}

#[test]
fn changed_body_is_a_mismatch() {
    let mut request = Request::new();
    request.body = b"{}".to_vec();
    let mut request = request.sign();
    assert_eq!(request.check(now()), Ok(()));
    request.body.push(b' ');
    assert_eq!(request.check(now()), Err(SignatureError::Mismatch));
}

// ---- presigned requests

#[test]
fn missing_query_parameters_are_listed() {
    let mut request = Request::new();
    request.query = "X-Amz-Algorithm=".into();
    assert_refused(
        &request,
        INCOMPLETE,
        "AWS query-string parameters must include 'X-Amz-Algorithm'. \
         AWS query-string parameters must include 'X-Amz-Credential'. \
         AWS query-string parameters must include 'X-Amz-Signature'. \
         AWS query-string parameters must include 'X-Amz-SignedHeaders'. \
         AWS query-string parameters must include 'X-Amz-Date'. \
         Re-examine the query-string parameters.",
    );
    for name in ["X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date"] {
        let mut request = Request::new().presign(60, None);
        request.query = replaced(&request.query, name, &name.to_lowercase());
        assert_refused(
            &request,
            INCOMPLETE,
            &format!(
                "AWS query-string parameters must include '{name}'. Re-examine the query-string parameters."
            ),
        );
    }
}

#[test]
fn repeated_query_parameters_are_refused() {
    for name in [
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-Security-Token",
        "X-Amz-Signature",
        "X-Amz-SignedHeaders",
    ] {
        let mut request = Request::new().presign(60, Some("token"));
        request.query = format!("{name}=&{}", request.query);
        assert_eq!(request.check(now()), Err(SignatureError::ParameterRepeated { name }));
    }
}

#[test]
fn presigned_request_is_accepted_until_it_expires() {
    let request = Request::new().presign(42, None);
    let after = |secs: u64| now().saturating_add(Duration::from_secs(secs));
    assert_eq!(
        request.check(after(43)).unwrap_err().to_string(),
        "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T123643Z - 42 sec.)"
    );
    assert_eq!(request.check(after(42)), Ok(()));
    assert_eq!(request.check(now().saturating_sub(Duration::from_secs(300))), Ok(()));
    assert!(request.check(now().saturating_sub(Duration::from_secs(301))).is_err());
}

#[test]
fn expiry_is_never_beyond_five_minutes() {
    let after = |secs: u64| now().saturating_add(Duration::from_secs(secs));
    for expires_secs in [300, 301, 604_800, u64::MAX] {
        let request = Request::new().presign(expires_secs, None);
        assert!(request.check(after(301)).is_err(), "{expires_secs}");
        assert_eq!(request.check(after(300)), Ok(()), "{expires_secs}");
    }
    let immediate = Request::new().presign(0, None);
    assert!(immediate.check(after(1)).is_err());
    assert_eq!(immediate.check(now()), Ok(()));
}

#[test]
fn expiry_that_is_no_number_is_refused() {
    for expires in ["", "-1", "%2B1", "1.5", "1e3", "18446744073709551616", "%D9%A1"] {
        let mut request = Request::new().presign(60, None);
        request.query = replaced(&request.query, "X-Amz-Expires=60", &format!("X-Amz-Expires={expires}"));
        assert!(matches!(request.check(now()), Err(SignatureError::ExpiresMalformed { .. })), "{expires}");
    }
}

#[test]
fn changed_expiry_is_a_mismatch() {
    let mut request = Request::new().presign(60, None);
    request.query = replaced(&request.query, "X-Amz-Expires=60", "X-Amz-Expires=61");
    assert_eq!(request.check(now()), Err(SignatureError::Mismatch));
    request.query = replaced(&request.query, "X-Amz-Expires=61&", "");
    assert_eq!(request.check(now()), Err(SignatureError::Mismatch));
}

#[test]
fn presigned_token_comes_from_the_query_only() {
    let request = Request::new().presign(60, Some("to/ken+="));
    assert_eq!(Claim::parse(&request.view()).unwrap().security_token(), Some("to/ken+="));
    assert_eq!(request.check(now()), Ok(()));
    let request = Request::new().header("x-amz-security-token", "other").presign(60, Some("token"));
    assert_eq!(request.check(now()), Err(SignatureError::TokenMalformed));
}

#[test]
fn query_that_cannot_be_decoded_is_refused() {
    let mut request = Request::new().sign();
    request.query = "a=%zz".into();
    assert_eq!(request.check(now()), Err(SignatureError::QueryMalformed));
    for query in ["%zz", "X-Amz-Date=%ff", "X-Amz-Credential=%"] {
        let mut request = Request::new();
        request.query = format!("X-Amz-Algorithm=AWS4-HMAC-SHA256&{query}");
        assert_eq!(request.check(now()), Err(SignatureError::QueryMalformed), "{query}");
    }
}

#[test]
fn one_query_parameter_past_the_limit_is_refused() {
    let mut request = Request::new();
    request.query = "a&".repeat(REQUEST_QUERY_PARAMETERS_MAX);
    let mut request = request.sign();
    assert_eq!(request.check(now()), Ok(()));
    request.query.push('a');
    assert_eq!(request.check(now()), Err(SignatureError::QueryTooLong));
}

#[test]
fn order_and_spelling_of_the_query_do_not_matter() {
    let mut request = Request::new().presign(60, None);
    let mut pieces: Vec<&str> = request.query.split('&').collect();
    pieces.reverse();
    request.query = replaced(&pieces.join("&&"), "X-Amz-Signature", "%58-Amz-Signatur%65");
    request.query = replaced(&request.query, "%2F", "/");
    assert_eq!(request.check(now()), Ok(()));
}

// ---- order, and what is not shown

#[test]
fn errors_come_in_order() {
    // Each step repairs the fault that was told and uncovers the next.
    let mut request = Request::new().header("x-amz-target", "TrentService.Encrypt").sign();
    let good = request.authorization().to_owned();
    request.headers.remove("x-amz-date");
    request.append("x-amz-extra", "1");
    let no_credential = replaced(&good, "Credential=", "Other=");
    let no_host = replaced(&good, "host;", "");
    let algorithm = replaced(&good, "SHA256 ", "SHA1 ");
    let (algorithm, no_host) =
        (replaced(&algorithm, "/kms/", "/"), replaced(&replaced(&no_host, "SHA256 ", "SHA1 "), "/kms/", "/"));
    let five = replaced(&good, "/kms/", "/");
    let scope = replaced(&good, "/kms/", "/sts/");
    let mut codes = Vec::new();
    let mut step = |request: &Request, now| codes.push(request.check(now).unwrap_err());

    request.query = "X-Amz-Algorithm=x".into();
    request.set("authorization", &no_credential);
    step(&request, now());
    request.query.clear();
    step(&request, now());
    request.set("authorization", &no_host);
    request.set("x-amz-date", "x");
    step(&request, now());
    request.set("x-amz-date", "20150830T000000Z");
    step(&request, now());
    request.set("authorization", &algorithm);
    step(&request, now());
    request.set("authorization", &five);
    step(&request, now());
    request.set("authorization", &scope);
    step(&request, now());
    request.set("x-amz-date", DATE);
    step(&request, now());
    request.set("authorization", &good);
    request.body.push(0);
    step(&request, now());
    request.headers.remove("x-amz-extra");
    step(&request, now());

    let names: Vec<String> = codes.iter().map(|error| format!("{error:?}")).collect();
    let names: Vec<&str> = names.iter().map(|name| name.split([' ', '{']).next().unwrap()).collect();
    assert_eq!(
        names,
        [
            "HeaderAndQuery",
            "HeaderIncomplete",
            "DateMalformed",
            "HostUnsigned",
            "AlgorithmUnsupported",
            "CredentialMalformed",
            "Expired",
            "Scope",
            "HeadersUnsigned",
            "Mismatch"
        ]
    );
    request.body.clear();
    assert_eq!(request.check(now()), Ok(()));
}

#[test]
fn debug_of_a_claim_shows_neither_token_nor_signature() {
    let request = Request::new().header("x-amz-security-token", "sesame").sign();
    let view = request.view();
    let shown = format!("{:?}", Claim::parse(&view).unwrap());
    assert!(shown.contains("AKIDEXAMPLE"));
    assert!(!shown.contains("sesame"));
    assert!(!shown.contains(request.authorization().rsplit_once('=').unwrap().1));
}

#[test]
fn signer_refuses_what_the_verifier_would() {
    let key = common::scope().derive_key(&secret());
    let sign = |request: &Request| strongroom_sigv4::sign(&request.view(), b"", &common::scope(), &key);
    let mut request = Request::new();
    request.headers.remove("host");
    assert_eq!(sign(&request), Err(SignatureError::HostUnsigned));
    let mut request = Request::new();
    request.headers.remove("x-amz-date");
    assert_eq!(sign(&request), Err(SignatureError::Missing));
    request.append("x-amz-date", "20150830T123601Z");
    assert!(matches!(sign(&request), Err(SignatureError::DateMalformed { .. })));
    let mut request = Request::new();
    request.query = "%".into();
    assert_eq!(sign(&request), Err(SignatureError::QueryMalformed));
}
