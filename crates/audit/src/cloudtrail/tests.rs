use super::*;
use crate::event::{EventSource, Failure, Items};
use crate::testing::{account, encrypt, id};

fn json(event: &Event<'_>) -> String {
    serde_json::to_string_pretty(&to_cloudtrail(event)).unwrap()
}

#[test]
fn encrypt_has_its_golden_json() {
    assert_eq!(json(&encrypt(1)), include_str!("encrypt.json").trim_end());
}

#[test]
fn failed_decrypt_has_its_golden_json() {
    let mut event = encrypt(2);
    event.name = "Decrypt".into();
    event.failure = Some(Failure {
        code: "InvalidCiphertextException".into(),
        message: Some("the ciphertext cannot be \"opened\"".into()),
    });
    event.request_parameters = vec![("encryptionAlgorithm".into(), "SYMMETRIC_DEFAULT".into())].into();
    event.resources = Items::default();
    assert_eq!(json(&event), include_str!("decrypt_failed.json").trim_end());
}

#[test]
fn create_key_has_its_golden_json() {
    let mut event = encrypt(3);
    event.name = "CreateKey".into();
    event.read_only = false;
    event.request_parameters = vec![
        ("description".into(), "".into()),
        ("origin".into(), "AWS_KMS".into()),
        ("keySpec".into(), "SYMMETRIC_DEFAULT".into()),
        ("customerMasterKeySpec".into(), "SYMMETRIC_DEFAULT".into()),
        ("keyUsage".into(), "ENCRYPT_DECRYPT".into()),
        ("bypassPolicyLockoutSafetyCheck".into(), false.into()),
        ("multiRegion".into(), false.into()),
    ]
    .into();
    let metadata = vec![
        ("aWSAccountId".into(), "111122223333".into()),
        ("keyId".into(), "1234abcd-12ab-34cd-56ef-1234567890ab".into()),
        ("creationDate".into(), Timestamp::from_secs(1_660_171_107).into()),
        ("enabled".into(), true.into()),
        ("encryptionAlgorithms".into(), Value::List(vec!["SYMMETRIC_DEFAULT".into()].into())),
        ("pendingDeletionWindowInDays".into(), 7.into()),
        ("customKeyStoreId".into(), Value::Null),
    ];
    event.response_elements = vec![("keyMetadata".into(), Value::Map(metadata.into()))].into();
    assert_eq!(json(&event), include_str!("create_key.json").trim_end());
}

#[test]
fn service_event_has_its_golden_json() {
    let mut event = encrypt(4);
    event.kind = EventKind::ServiceEvent;
    event.request_id = None;
    event.identity = Identity::service(account());
    event.name = "RotateKey".into();
    event.source_ip = "AWS Internal".into();
    event.user_agent = "AWS Internal".into();
    event.tls = None;
    event.read_only = false;
    event.request_parameters = Parameters::None;
    event.additional = vec![
        ("keyId".into(), "1234abcd-12ab-34cd-56ef-1234567890ab".into()),
        ("rotationType".into(), "AUTOMATIC".into()),
    ]
    .into();
    assert_eq!(json(&event), include_str!("service_event.json").trim_end());
}

#[test]
fn abandoned_request_is_marked() {
    let mut event = encrypt(5);
    event.kind = EventKind::Abandoned;
    assert!(json(&event).contains("\"additionalEventData\": {\n    \"abandoned\": true\n  },\n"));
    event.additional = vec![("keyMaterialId".into(), "00".into())].into();
    event.response_elements = Parameters::Omitted;
    event.source = EventSource::Strongroom;
    let shown = json(&event);
    assert!(shown.contains("{\n    \"keyMaterialId\": \"00\",\n    \"abandoned\": true\n  },\n"));
    assert!(shown.contains("\"responseElements\": {\n    \"omitted\": true\n  },\n"));
    assert!(shown.contains("\"eventSource\": \"strongroom\""));
    assert!(shown.contains(&format!("\"eventID\": \"{}\"", id(5))));
}

#[test]
fn dates_in_parameters_are_spelled_out() {
    for (secs, text) in [
        (1_660_171_107, "Aug 10, 2022, 10:38:27 PM"),
        (0, "Jan 1, 1970, 12:00:00 AM"),
        (43_200, "Jan 1, 1970, 12:00:00 PM"),
        (1_735_689_599, "Dec 31, 2024, 11:59:59 PM"),
        (1_735_635_661, "Dec 31, 2024, 9:01:01 AM"),
    ] {
        assert_eq!(long_date(Timestamp::from_secs(secs)), text);
    }
}
