//! Small texts: ids, ARNs, addresses, names, dates, targets, and the form of the query protocol.

use std::fmt::{Debug, Display};

use strongroom_crypto::KeyringName;
use strongroom_policy::{ActionSet, PolicyPrincipal};
use strongroom_records::Address;
use strongroom_types::{
    AccessKeyId, AccountId, AliasName, KeyId, KeyReference, MaterialId, RegionName, RequestId, TagKey,
    TagValue, Timestamp,
};
use strongroom_wire::{Operation, QueryFormat, StsOperation, encode_query_error};

/// Whatever is read from a text is written as that text: no two texts name one thing.
pub(crate) fn text(bytes: &[u8]) {
    form(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    check(text, AccessKeyId::parse(text));
    check(text, AccountId::parse(text));
    check(text, AliasName::parse(text));
    check(text, KeyId::parse(text));
    check(text, MaterialId::parse(text));
    check(text, RegionName::parse(text));
    check(text, RequestId::parse(text));
    check(text, KeyringName::parse(text));
    check(text, Address::parse(text).ok_or(()));
    check(text, TagKey::parse(text).as_ref().map(TagKey::as_str));
    check(text, TagValue::parse(text).as_ref().map(TagValue::as_str));
    check(text, Timestamp::parse_basic_iso8601(text).map(Timestamp::to_basic_iso8601).ok_or(()));
    check(text, Operation::from_target(text).map(|operation| format!("TrentService.{operation}")).ok_or(()));
    match KeyReference::parse(text) {
        Ok(KeyReference::Alias(name)) => assert_eq!(name.as_str(), text),
        Ok(KeyReference::AliasArn(arn)) => check(text, Ok::<_, ()>(arn)),
        Ok(KeyReference::Arn(arn)) => check(text, Ok::<_, ()>(arn)),
        Ok(KeyReference::Id(id)) => check(text, Ok::<_, ()>(id)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let _ = PolicyPrincipal::parse_aws(text);
    let _ = PolicyPrincipal::parse_service(text);
    if let Some(actions) = ActionSet::matching(text) {
        assert!(actions.iter().all(|action| actions.contains(action)));
    }
}

fn check<T: Display, E: Debug>(text: &str, parsed: Result<T, E>) {
    if let Ok(parsed) = parsed {
        assert_eq!(parsed.to_string(), text);
    }
}

fn form(bytes: &[u8]) {
    match StsOperation::from_form(bytes) {
        Ok(operation) => {
            let doubled = [bytes, b"&Action=", operation.name().as_bytes()].concat();
            assert!(StsOperation::from_form(&doubled).is_err(), "a parameter is accepted twice");
        }
        Err(error) => {
            for format in [QueryFormat::Json, QueryFormat::Xml] {
                let mut answer = Vec::new();
                encode_query_error(format, &error, "id", &mut answer);
                assert!(std::str::from_utf8(&answer).is_ok());
            }
        }
    }
}
