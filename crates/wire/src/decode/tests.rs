use strongroom_types::limits::{
    ENCRYPTION_CONTEXT_BYTES_MAX, JSON_DEPTH_MAX, JSON_LIST_ITEMS_MAX, REQUEST_BODY_BYTES_MAX,
};

use crate::*;

fn refusal<R: WireRequest>(body: impl AsRef<[u8]>) -> WireError {
    match R::decode(body.as_ref()) {
        Ok(_) => panic!("decoded: {}", String::from_utf8_lossy(body.as_ref())),
        Err(error) => error,
    }
}

/// The message of the `SerializationException` that the body earns.
fn malformed<R: WireRequest>(body: impl AsRef<[u8]>) -> String {
    let error = refusal::<R>(body);
    assert_eq!(error.kind, ErrorKind::Serialization);
    error.message.unwrap()
}

fn encrypt(members: &str) -> EncryptRequest {
    EncryptRequest::decode(format!(r#"{{"KeyId":"k","Plaintext":"AA==",{members}}}"#).as_bytes()).unwrap()
}

/// A value of that many arrays inside each other.
fn nested(depth: usize) -> String {
    "[".repeat(depth) + &"]".repeat(depth)
}

#[test]
fn what_is_not_json_is_refused() {
    for body in
        ["{", "}", "{]", r#"{"KeyId""#, r#"{"KeyId":"#, r#"{"KeyId":"a"}{}"#, r#"{"KeyId":"a",}"#, " ", "nul"]
    {
        let message = malformed::<DescribeKeyRequest>(body);
        assert!(
            ["Malformed JSON", "Unexpected end of input"].contains(&message.as_str()),
            "{body}: {message}"
        );
    }
    for body in [
        r#"{KeyId:"a"}"#,
        r"{'KeyId':'a'}",
        "{\"KeyId\":\"\n\"}",
        r#"{"KeyId":"\x"}"#,
        r#"{"KeyId":"\ud800"}"#,
    ] {
        assert_eq!(malformed::<DescribeKeyRequest>(body), "Malformed JSON", "{body}");
    }
}

#[test]
fn what_is_not_utf_8_is_refused_wherever_it_stands() {
    for body in [
        &b"{\"KeyId\":\"\xff\"}"[..],
        b"{\"KeyId\":\"a\",\"Other\":\"\xc3\"}",
        b"\xef\xbb",
        b"{\"\xed\xa0\x80\":1}",
    ] {
        assert_eq!(malformed::<DescribeKeyRequest>(body), "Invalid UTF-8");
    }
}

#[test]
fn a_wrong_type_is_named_without_its_value() {
    let wrong = [
        (r#""SECRET-7919""#, "STRING_VALUE"),
        ("7919", "NUMBER_VALUE"),
        ("7919.5", "NUMBER_VALUE"),
        ("-7919", "NUMBER_VALUE"),
        ("79199999999999999999", "NUMBER_VALUE"),
        ("true", "TRUE_VALUE"),
        ("false", "FALSE_VALUE"),
        (r#"{"SECRET-7919":7919}"#, "Start of structure or map found"),
        (r#"["SECRET-7919",7919]"#, "Start of list found"),
    ];
    // Each member with the one kind of value that it takes.
    type Refuse = fn(&str) -> String;
    let members: [(&str, &str, Refuse); 8] = [
        ("KeyId", "STRING_VALUE", |body| malformed::<EncryptRequest>(body)),
        ("EncryptionContext", "Start of structure or map found", |body| malformed::<EncryptRequest>(body)),
        ("GrantTokens", "Start of list found", |body| malformed::<EncryptRequest>(body)),
        ("DryRun", "TRUE_VALUE", |body| malformed::<EncryptRequest>(body)),
        ("NumberOfBytes", "", |body| malformed::<GenerateRandomRequest>(body)),
        ("Recipient", "Start of structure or map found", |body| malformed::<GenerateRandomRequest>(body)),
        ("ImportToken", "", |body| malformed::<ImportKeyMaterialRequest>(body)),
        ("KeyStorePassword", "STRING_VALUE", |body| malformed::<CreateCustomKeyStoreRequest>(body)),
    ];
    for (member, taken, refuse) in members {
        for (value, found) in wrong {
            let boolean = taken == "TRUE_VALUE" && found == "FALSE_VALUE";
            // Whole numbers and base64 have tests of their own.
            let own_test = member == "NumberOfBytes" && value.ends_with("7919") && found == "NUMBER_VALUE";
            if found == taken || boolean || own_test {
                continue;
            }
            let message = refuse(&format!(r#"{{"{member}":{value}}}"#));
            assert!(message.starts_with(found), "{member} {value}: {message}");
            assert!(!message.contains("7919"), "{message}");
        }
    }
}

#[test]
fn a_body_must_be_an_object() {
    for body in ["null", "1", "true", r#""a""#, "[]"] {
        malformed::<ListKeysRequest>(body);
    }
}

#[test]
fn texts_of_mismatches_are_those_of_aws() {
    assert_eq!(
        malformed::<DescribeKeyRequest>(r#"{"KeyId":1}"#),
        "NUMBER_VALUE can not be converted to a String"
    );
    assert_eq!(
        malformed::<DescribeKeyRequest>(r#"{"KeyId":{}}"#),
        "Start of structure or map found where not expected."
    );
    assert_eq!(malformed::<DescribeKeyRequest>(r#"{"KeyId":[]}"#), "Start of list found where not expected.");
}

#[test]
fn a_member_that_occurs_twice_is_refused() {
    for body in [
        r#"{"KeyId":"a","KeyId":"a"}"#,
        r#"{"KeyId":"a","KeyId":null}"#,
        r#"{"KeyId":null,"KeyId":"a"}"#,
        r#"{"KeyId":"a","Limit":1,"Key\u0049d":"b"}"#,
    ] {
        assert_eq!(
            malformed::<ListGrantsRequest>(body),
            "Duplicate member found where not expected.",
            "{body}"
        );
    }
    let inner = r#"{"KeyId":"a","Tags":[{"TagKey":"a","TagValue":"b","TagKey":"c"}]}"#;
    assert_eq!(malformed::<TagResourceRequest>(inner), "Duplicate member found where not expected.");
    let context = r#"{"KeyId":"k","Plaintext":"AA==","EncryptionContext":{"a":"1","b":"2","\u0061":"1"}}"#;
    assert_eq!(malformed::<EncryptRequest>(context), "Duplicate key found where not expected.");
}

#[test]
fn depth_is_limited_in_members_that_nobody_knows() {
    // The body itself is one level.
    let body = |depth: usize| format!(r#"{{"Other":{}}}"#, nested(depth - 1));
    assert!(ListKeysRequest::decode(body(JSON_DEPTH_MAX).as_bytes()).is_ok());
    assert_eq!(malformed::<ListKeysRequest>(body(JSON_DEPTH_MAX + 1)), "JSON is nested too deep");
    // An item of a list inside the body has two levels above it, and its own makes three.
    let tag = |depth: usize| {
        let other = nested(depth - 3);
        format!(r#"{{"KeyId":"a","Tags":[{{"TagKey":"a","TagValue":"b","Other":{other}}}]}}"#)
    };
    assert!(TagResourceRequest::decode(tag(JSON_DEPTH_MAX).as_bytes()).is_ok());
    assert_eq!(malformed::<TagResourceRequest>(tag(JSON_DEPTH_MAX + 1)), "JSON is nested too deep");
}

#[test]
fn a_body_of_brackets_is_refused() {
    for (prefix, unit) in [
        ("", "["),
        ("", r#"{"":"#),
        (r#"{"Other":"#, "["),
        (r#"{"Other":"#, r#"{"":"#),
        (r#"{"KeyId":"#, "["),
        (r#"{"Plaintext":"#, "["),
        (r#"{"Plaintext":"#, r#"{"":"#),
        (r#"{"EncryptionContext":{"a":"#, "["),
        (r#"{"GrantTokens":["#, "["),
    ] {
        malformed::<EncryptRequest>(prefix.to_owned() + &unit.repeat(REQUEST_BODY_BYTES_MAX / unit.len()));
    }
}

#[test]
fn what_is_not_base64_is_refused() {
    for text in [
        "AA",
        "AA=",
        "A A=",
        "AA==\\n",
        "A-==",
        "AB==",
        "*",
        "\\u00e9A==",
        "\\ud83d\\ude00",
        "AA==AA==",
        "\\\\",
    ] {
        let body = format!(r#"{{"KeyId":"k","Plaintext":"{text}"}}"#);
        assert_eq!(
            malformed::<EncryptRequest>(&body),
            "STRING_VALUE can not be converted to a Blob",
            "{text}"
        );
        malformed::<DecryptRequest>(format!(r#"{{"CiphertextBlob":"{text}"}}"#));
    }
}

#[test]
fn integers_are_whole_and_of_32_bits() {
    for number in ["1.0", "1e2", "2147483648", "-2147483649", "1e999", "99999999999999999999"] {
        malformed::<GenerateRandomRequest>(format!(r#"{{"NumberOfBytes":{number}}}"#));
    }
    let request = GenerateRandomRequest::decode(br#"{"NumberOfBytes":32}"#).unwrap();
    assert_eq!(request.number_of_bytes, Some(32));
}

#[test]
fn null_in_a_context_is_refused() {
    let body = r#"{"KeyId":"k","Plaintext":"AA==","EncryptionContext":{"a":null}}"#;
    assert_eq!(malformed::<EncryptRequest>(body), "NULL_VALUE can not be converted to a String");
}

#[test]
fn an_empty_body_is_an_empty_object() {
    assert!(ListKeysRequest::decode(b"").is_ok());
    assert!(ListKeysRequest::decode(b" { } ").is_ok());
}

#[test]
fn null_is_absent_and_strangers_are_ignored() {
    let body =
        br#"{"Limit":null,"Other":{"Limit":["a",{"b":[null,1.5,true]}]},"Marker":null,"":"","Other":7}"#;
    let request = ListKeysRequest::decode(body).unwrap();
    assert_eq!(request, ListKeysRequest { limit: None, marker: None, resource_owners: None });
}

#[test]
fn escapes_mean_what_they_stand_for() {
    let body = br#"{"\u004beyId":"\u0061lias\/\u00e4","Plaintext":"\u0041QI\/\u002B\/\/\/"}"#;
    let request = EncryptRequest::decode(body).unwrap();
    assert_eq!(request.key_id, "alias/ä");
    assert_eq!(request.plaintext.expose(), b"\x01\x02\x3f\xfb\xff\xff");
    let body = br#"{"CustomKeyStoreName":"n","KeyStorePassword":"se\"\u0073am\ud83d\ude00"}"#;
    let request = CreateCustomKeyStoreRequest::decode(body).unwrap();
    assert_eq!(request.key_store_password.unwrap().expose(), "se\"sam😀".as_bytes());
}

#[test]
fn contexts_keep_every_character() {
    let request = encrypt(r#""EncryptionContext":{"z":"","\ud83d\ude00":"\u0000é","A":"\"\\"}"#);
    let context = request.encryption_context.unwrap();
    let pairs: Vec<_> = context.pairs().iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(pairs, [("A", "\"\\"), ("z", ""), ("😀", "\0é")]);
    // Absent and empty are told apart here; what that means is for the operation.
    assert!(encrypt(r#""EncryptionContext":{}"#).encryption_context.unwrap().is_empty());
    assert!(encrypt(r#""EncryptionContext":null"#).encryption_context.is_none());
}

#[test]
fn a_context_one_byte_past_the_limit_is_a_violation() {
    let body = |bytes: usize| {
        let value = "v".repeat(bytes - 13);
        format!(r#"{{"KeyId":"k","Plaintext":"AA==","EncryptionContext":{{"k":"{value}"}}}}"#)
    };
    assert!(EncryptRequest::decode(body(ENCRYPTION_CONTEXT_BYTES_MAX).as_bytes()).is_ok());
    let error = refusal::<EncryptRequest>(body(ENCRYPTION_CONTEXT_BYTES_MAX + 1));
    assert_eq!(
        error,
        WireError::new(
            ErrorKind::Validation,
            "1 validation error detected: Value at 'encryptionContext' failed to satisfy constraint: \
             Member must have length less than or equal to 8192"
        )
    );
}

#[test]
fn what_follows_too_large_a_context_is_still_read() {
    let pairs: Vec<_> = (0..2000).map(|n| format!(r#""key-{n}":"value""#)).collect();
    let pairs = pairs.join(",");
    let body = format!(r#"{{"EncryptionContext":{{{pairs}}},"KeyId":"k","Plaintext":"AA=="}}"#);
    assert_eq!(refusal::<EncryptRequest>(body).kind, ErrorKind::Validation);
    malformed::<EncryptRequest>(format!(r#"{{"EncryptionContext":{{{pairs}}},"KeyId":1}}"#));
    malformed::<EncryptRequest>(format!(r#"{{"EncryptionContext":{{{pairs},"#));
}

#[test]
fn a_list_has_a_limit_even_if_the_model_has_none() {
    let body = |count: usize| {
        let keys = vec![r#""k""#; count].join(",");
        format!(r#"{{"KeyId":"k","TagKeys":[{keys}]}}"#)
    };
    let request = UntagResourceRequest::decode(body(JSON_LIST_ITEMS_MAX).as_bytes()).unwrap();
    assert_eq!(request.tag_keys.len(), JSON_LIST_ITEMS_MAX);
    let message = refusal::<UntagResourceRequest>(body(JSON_LIST_ITEMS_MAX + 1)).message.unwrap();
    assert!(message.starts_with("1 validation error detected: Value '[k, k, "));
    assert!(message.ends_with(
        "' at 'tagKeys' failed to satisfy constraint: Member must have length less than or equal to 1000"
    ));
}

#[test]
fn times_are_seconds_with_a_fraction() {
    let valid_to = |number: &str| {
        let body = format!(
            r#"{{"KeyId":"k","ImportToken":"AA==","EncryptedKeyMaterial":"AA==","ValidTo":{number}}}"#
        );
        ImportKeyMaterialRequest::decode(body.as_bytes()).unwrap().valid_to.unwrap().as_millis()
    };
    assert_eq!(valid_to("1790000000"), 1_790_000_000_000);
    assert_eq!(valid_to("1790000000.56"), 1_790_000_000_560);
    assert_eq!(valid_to("1.79e9"), 1_790_000_000_000);
    assert_eq!(valid_to("-1"), 0);
    assert_eq!(valid_to("-1.5"), 0);
    assert_eq!(valid_to("1e300"), u64::MAX);
    malformed::<ImportKeyMaterialRequest>(r#"{"ValidTo":"2026-11-22T00:00:00Z"}"#);
}

#[test]
fn nothing_secret_is_shown() {
    let body = br#"{"KeyId":"k","Plaintext":"c2VzYW1l"}"#;
    let text = format!("{:?}", EncryptRequest::decode(body).unwrap());
    assert!(text.contains("plaintext: Plaintext(..)"), "{text}");
    let text = format!("{:?}", DecryptRequest::decode(br#"{"CiphertextBlob":"c2VzYW1l"}"#).unwrap());
    assert!(text.contains("ciphertext_blob: Some(6 bytes)"), "{text}");
}

/// Fails to compile (ambiguous impls) if `$type` ever implements `$bound`.
macro_rules! assert_absent {
    ($type:ty: $($bound:path),+) => {$(
        const _: fn() = || {
            trait Ambiguous<A> { fn some() {} }
            impl<T: ?Sized> Ambiguous<()> for T {}
            struct Present;
            impl<T: ?Sized + $bound> Ambiguous<Present> for T {}
            let _ = <$type as Ambiguous<_>>::some;
        };
    )+};
}

assert_absent!(EncryptRequest: Clone, std::fmt::Display, PartialEq, strongroom_types::LogSafe, serde::Serialize);
assert_absent!(CreateCustomKeyStoreRequest: Clone, std::fmt::Display, PartialEq, strongroom_types::LogSafe);
assert_absent!(DecryptReply: Clone, std::fmt::Display, PartialEq, strongroom_types::LogSafe, serde::Serialize);
assert_absent!(DecryptRequest: std::fmt::Display, strongroom_types::LogSafe, serde::Serialize);
