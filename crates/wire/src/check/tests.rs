use strongroom_types::limits::{VALIDATION_MESSAGE_BYTES_MAX, VALIDATION_VALUE_CHARACTERS_MAX};

use crate::*;

/// The message of the `ValidationException` that the body earns.
fn violations<R: WireRequest>(body: impl AsRef<[u8]>) -> String {
    match R::decode(body.as_ref()) {
        Ok(_) => panic!("decoded: {}", String::from_utf8_lossy(body.as_ref())),
        Err(error) => {
            assert_eq!(error.kind, ErrorKind::Validation, "{error:?}");
            error.message.unwrap()
        }
    }
}

/// The one violation.
fn violation<R: WireRequest>(body: impl AsRef<[u8]>) -> String {
    violations::<R>(body).strip_prefix("1 validation error detected: ").unwrap().to_owned()
}

fn alias(name: &str) -> String {
    format!(r#"{{"AliasName":"{name}","TargetKeyId":"k"}}"#)
}

#[test]
fn an_absent_member_and_null_are_the_same_violation() {
    for body in ["", "{}", r#"{"KeyId":null}"#] {
        assert_eq!(
            violation::<DescribeKeyRequest>(body),
            "Value null at 'keyId' failed to satisfy constraint: Member must not be null"
        );
    }
}

#[test]
fn length_is_checked_at_both_ends() {
    assert_eq!(
        violation::<DescribeKeyRequest>(r#"{"KeyId":""}"#),
        "Value '' at 'keyId' failed to satisfy constraint: Member must have length greater than or equal to 1"
    );
    let key_id = |length: usize| format!(r#"{{"KeyId":"{}"}}"#, "k".repeat(length));
    assert_eq!(
        violation::<DescribeKeyRequest>(key_id(2049)),
        format!(
            "Value '{}' at 'keyId' failed to satisfy constraint: Member must have length less than or equal to 2048",
            "k".repeat(2049)
        )
    );
    assert_eq!(DescribeKeyRequest::decode(key_id(2048).as_bytes()).unwrap().key_id.len(), 2048);
}

#[test]
fn length_counts_characters() {
    let tag = |value: &str| format!(r#"{{"KeyId":"k","Tags":[{{"TagKey":"k","TagValue":"{value}"}}]}}"#);
    assert!(TagResourceRequest::decode(tag(&"ü".repeat(256)).as_bytes()).is_ok());
    assert!(TagResourceRequest::decode(tag(&"😀".repeat(256)).as_bytes()).is_ok());
    assert!(
        violation::<TagResourceRequest>(tag(&"😀".repeat(257)))
            .ends_with("😀' at 'tags.1.member.tagValue' failed to satisfy constraint: Member must have length less than or equal to 256")
    );
}

#[test]
fn length_comes_before_pattern() {
    assert_eq!(
        violation::<CreateAliasRequest>(alias("alias/a b")),
        "Value 'alias/a b' at 'aliasName' failed to satisfy constraint: \
         Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$"
    );
    assert_eq!(
        violations::<CreateAliasRequest>(alias("")),
        "2 validation errors detected: Value '' at 'aliasName' failed to satisfy constraint: \
         Member must have length greater than or equal to 1; Value '' at 'aliasName' failed to satisfy constraint: \
         Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$"
    );
    assert_eq!(CreateAliasRequest::decode(alias("alias/a").as_bytes()).unwrap().alias_name, "alias/a");
}

#[test]
fn an_unknown_value_of_a_set_names_the_set_in_the_models_order() {
    assert_eq!(
        violation::<GenerateDataKeyRequest>(r#"{"KeyId":"k","KeySpec":"AES_512"}"#),
        "Value 'AES_512' at 'keySpec' failed to satisfy constraint: Member must satisfy enum value set: [AES_256, AES_128]"
    );
    let request = GenerateDataKeyRequest::decode(br#"{"KeyId":"k","KeySpec":"AES_128"}"#).unwrap();
    assert_eq!(request.key_spec, Some(DataKeySpec::Aes128));
}

#[test]
fn values_have_a_range() {
    let limit = |limit: i32| format!(r#"{{"Limit":{limit}}}"#);
    assert_eq!(
        violation::<ListKeysRequest>(limit(1001)),
        "Value '1001' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 1000"
    );
    for low in [0, -5, i32::MIN] {
        assert_eq!(
            violation::<ListKeysRequest>(limit(low)),
            format!(
                "Value '{low}' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1"
            )
        );
    }
    assert_eq!(ListKeysRequest::decode(limit(1000).as_bytes()).unwrap().limit, Some(1000));
    assert_eq!(ListKeysRequest::decode(limit(1).as_bytes()).unwrap().limit, Some(1));
}

#[test]
fn blobs_and_secrets_are_left_out() {
    let encrypt = |bytes: usize| {
        let mut text = Vec::new();
        crate::base64::encode(&vec![b'!'; bytes], &mut text);
        format!(r#"{{"KeyId":"k","Plaintext":"{}"}}"#, String::from_utf8(text).unwrap())
    };
    assert_eq!(
        violation::<EncryptRequest>(encrypt(4097)),
        "Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096"
    );
    assert_eq!(
        violation::<EncryptRequest>(encrypt(0)),
        "Value at 'plaintext' failed to satisfy constraint: Member must have length greater than or equal to 1"
    );
    assert_eq!(EncryptRequest::decode(encrypt(4096).as_bytes()).unwrap().plaintext.len(), 4096);
    assert_eq!(
        violation::<DecryptRequest>(r#"{"CiphertextBlob":""}"#),
        "Value at 'ciphertextBlob' failed to satisfy constraint: Member must have length greater than or equal to 1"
    );
    let credential = r#"{"CustomKeyStoreName":"n","XksProxyAuthenticationCredential":{"AccessKeyId":"sesame!","RawSecretAccessKey":"sesame"}}"#;
    assert_eq!(
        violations::<CreateCustomKeyStoreRequest>(credential),
        "3 validation errors detected: Value at 'xksProxyAuthenticationCredential.accessKeyId' failed to satisfy \
         constraint: Member must have length greater than or equal to 20; Value at \
         'xksProxyAuthenticationCredential.accessKeyId' failed to satisfy constraint: Member must satisfy regular \
         expression pattern: ^[A-Z2-7]+$; Value at 'xksProxyAuthenticationCredential.rawSecretAccessKey' failed to \
         satisfy constraint: Member must have length greater than or equal to 43"
    );
}

#[test]
fn paths_lead_into_lists_and_structures() {
    let body = r#"{"KeyId":"k","Tags":[{"TagKey":"a","TagValue":"b"},{"TagValue":"b"},null]}"#;
    assert_eq!(
        violations::<TagResourceRequest>(body),
        "2 validation errors detected: Value null at 'tags.2.member.tagKey' failed to satisfy constraint: \
         Member must not be null; Value null at 'tags.3.member' failed to satisfy constraint: Member must not be null"
    );
    let body = r#"{"KeyId":"k","Operations":["Encrypt","Fly"],"Constraints":{"SourceArn":"x"}}"#;
    let text = violations::<CreateGrantRequest>(body);
    assert!(text.starts_with("3 validation errors detected: Value 'Fly' at 'operations.2.member' failed to satisfy constraint: Member must satisfy enum value set: [Decrypt, Encrypt, "), "{text}");
    assert!(text.contains("Value 'x' at 'constraints.sourceArn' failed to satisfy constraint: Member must have length greater than or equal to 20; "));
}

#[test]
fn lists_have_a_size() {
    let tokens =
        |count: usize| format!(r#"{{"KeyId":"k","GrantTokens":[{}]}}"#, vec![r#""t""#; count].join(","));
    assert_eq!(
        violation::<DescribeKeyRequest>(tokens(11)),
        "Value '[t, t, t, t, t, t, t, t, t, t, t]' at 'grantTokens' failed to satisfy constraint: \
         Member must have length less than or equal to 10"
    );
    assert_eq!(DescribeKeyRequest::decode(tokens(10).as_bytes()).unwrap().grant_tokens.unwrap().len(), 10);
    assert_eq!(
        violation::<ListKeysRequest>(r#"{"ResourceOwners":[]}"#),
        "Value '[]' at 'resourceOwners' failed to satisfy constraint: Member must have length greater than or equal to 1"
    );
}

#[test]
fn violations_stand_in_the_models_order_whatever_the_bodys() {
    let expected = "2 validation errors detected: \
         Value null at 'keyId' failed to satisfy constraint: Member must not be null; \
         Value null at 'plaintext' failed to satisfy constraint: Member must not be null";
    assert_eq!(violations::<EncryptRequest>("{}"), expected);
    assert_eq!(violations::<EncryptRequest>(r#"{"Plaintext":null,"KeyId":null}"#), expected);
}

#[test]
fn a_long_value_is_cut() {
    let key_id = |length: usize| format!(r#"{{"KeyId":"{}"}}"#, "é".repeat(length));
    let shown = |length: usize| {
        violation::<DescribeKeyRequest>(key_id(length)).chars().filter(|character| *character == 'é').count()
    };
    assert_eq!(shown(VALIDATION_VALUE_CHARACTERS_MAX), VALIDATION_VALUE_CHARACTERS_MAX);
    assert_eq!(shown(VALIDATION_VALUE_CHARACTERS_MAX + 1), VALIDATION_VALUE_CHARACTERS_MAX);
}

#[test]
fn many_violations_are_counted_but_not_all_spelled_out() {
    let body = format!(r#"{{"KeyId":"k","Tags":[{}]}}"#, vec!["{}"; 1000].join(","));
    let text = violations::<TagResourceRequest>(body);
    assert!(text.starts_with("2000 validation errors detected: Value null at 'tags.1.member.tagKey' "));
    assert!(text.ends_with("Member must not be null"));
    assert!(text.len() <= VALIDATION_MESSAGE_BYTES_MAX + 40);
    // One more would not have fitted.
    assert!(text.len() > VALIDATION_MESSAGE_BYTES_MAX - 120);
}
