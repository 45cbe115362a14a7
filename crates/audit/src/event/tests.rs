use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use strongroom_types::limits::{
    AUDIT_ADDITIONAL_BYTES_MAX, AUDIT_NAME_BYTES_MAX, AUDIT_PARAMETERS_BYTES_MAX, AUDIT_PLACE_BYTES,
    AUDIT_RECORD_BYTES_MAX, AUDIT_RESOURCES_MAX, AUDIT_TEXT_BYTES_MAX, AUDIT_VALUE_DEPTH_MAX,
};

use super::*;
use crate::format::RECORD_FRAME_BYTES;
use crate::testing::{account, encrypt, id};

fn encoded(event: &Event<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    event.encode(&mut bytes);
    bytes
}

/// The event as a reader sees it.
fn seen(event: &Event<'_>) -> Event<'static> {
    Event::decode(&encoded(event)).unwrap().into_owned()
}

#[test]
fn bytes_that_are_no_event_are_refused() {
    let bytes = encoded(&encrypt(1));
    for length in 0..bytes.len() {
        assert!(matches!(Event::decode(&bytes[..length]), Err(EventError::Malformed(_))), "{length}");
    }
    let longer = [&bytes[..], &[0xf6]].concat();
    assert!(matches!(Event::decode(&longer), Err(EventError::Malformed(_))));
    assert!(matches!(Event::decode(&[0x9f, 1, 0xff]), Err(EventError::Malformed(_))));
}

#[test]
fn other_versions_are_refused() {
    let mut bytes = encoded(&encrypt(1));
    bytes[1] = 2;
    assert!(matches!(Event::decode(&bytes), Err(EventError::Version(2))));
    assert!(matches!(Event::decode_id(&bytes), Err(EventError::Version(2))));
}

#[test]
fn fields_of_later_programs_are_skipped() {
    let mut bytes = encoded(&encrypt(1));
    assert_eq!(bytes[0], 0x80 + 20);
    bytes[0] += 2;
    bytes.extend_from_slice(&[0xa1, 0x61, b'x', 0x05, 0xf5]);
    assert_eq!(Event::decode(&bytes).unwrap(), encrypt(1));
}

#[test]
fn id_is_read_without_the_rest() {
    assert_eq!(Event::decode_id(&encoded(&encrypt(77))).unwrap(), id(77));
}

#[test]
fn texts_past_their_limit_are_cut_at_a_character() {
    let mut event = encrypt(1);
    event.user_agent = "a".repeat(AUDIT_TEXT_BYTES_MAX).into();
    assert_eq!(seen(&event).user_agent.len(), AUDIT_TEXT_BYTES_MAX);
    event.user_agent = "a".repeat(AUDIT_TEXT_BYTES_MAX + 1).into();
    assert_eq!(seen(&event).user_agent.len(), AUDIT_TEXT_BYTES_MAX);
    event.user_agent = format!("{}ü", "a".repeat(AUDIT_TEXT_BYTES_MAX - 1)).into();
    assert_eq!(seen(&event).user_agent.len(), AUDIT_TEXT_BYTES_MAX - 1);
    event.name = "n".repeat(AUDIT_NAME_BYTES_MAX + 1).into();
    assert_eq!(seen(&event).name.len(), AUDIT_NAME_BYTES_MAX);
}

#[test]
fn resources_past_their_limit_are_left_out() {
    let mut event = encrypt(1);
    event.resources = vec![event.resources[0].clone(); AUDIT_RESOURCES_MAX + 1].into();
    assert_eq!(seen(&event).resources.len(), AUDIT_RESOURCES_MAX);
}

/// One field whose encoding as a list has exactly `bytes` bytes: map 1, name 2, text head 5.
fn parameters(bytes: usize) -> Parameters<'static> {
    vec![("p".into(), Value::from("v".repeat(bytes - 8)))].into()
}

#[test]
fn parameters_past_their_limit_are_replaced_by_a_marker() {
    let mut event = encrypt(1);
    event.request_parameters = parameters(AUDIT_PARAMETERS_BYTES_MAX + 1);
    event.additional = parameters(70_000.min(AUDIT_ADDITIONAL_BYTES_MAX * 2));
    event.response_elements = parameters(AUDIT_PARAMETERS_BYTES_MAX);
    let read = seen(&event);
    assert_eq!(read.request_parameters, Parameters::Omitted);
    assert_eq!(read.additional, Parameters::Omitted);
    assert_eq!(read.response_elements, event.response_elements);
    assert_eq!(read.resources, event.resources);
}

#[test]
fn largest_event_stays_below_the_limit_of_a_record() {
    let mut event = largest_bare();
    event.request_parameters = parameters(AUDIT_PARAMETERS_BYTES_MAX);
    event.response_elements = parameters(AUDIT_PARAMETERS_BYTES_MAX);
    event.additional = vec![("p".into(), Value::from("v".repeat(AUDIT_ADDITIONAL_BYTES_MAX - 6)))].into();
    let bytes = encoded(&event);
    assert!(bytes.len() <= AUDIT_RECORD_BYTES_MAX);
    assert!(bytes.len() > AUDIT_PARAMETERS_BYTES_MAX * 2 + AUDIT_ADDITIONAL_BYTES_MAX - 8);
}

#[test]
fn values_nested_too_deep_are_replaced_by_a_marker() {
    let nested = |depth: usize| {
        let value = (0..depth).fold(Value::Null, |value, _| Value::List(vec![value].into()));
        Parameters::from(vec![("p".into(), value)])
    };
    let mut event = encrypt(1);
    event.request_parameters = nested(AUDIT_VALUE_DEPTH_MAX + 1);
    event.response_elements = nested(AUDIT_VALUE_DEPTH_MAX);
    let read = seen(&event);
    assert_eq!(read.request_parameters, Parameters::Omitted);
    assert_eq!(read.response_elements, event.response_elements);
}

fn largest_bare() -> Event<'static> {
    let name = || Cow::from("n".repeat(AUDIT_NAME_BYTES_MAX));
    let text = || Cow::from("t".repeat(AUDIT_TEXT_BYTES_MAX));
    Event {
        region: name(),
        name: name(),
        source_ip: name(),
        user_agent: text(),
        identity: Identity {
            kind: IdentityKind::Unknown,
            account: Some(account()),
            arn: Some(text()),
            principal_id: Some(name()),
            access_key_id: Some(name()),
            invoked_by: Some(name()),
        },
        tls: Some(TlsDetails {
            version: name(),
            cipher_suite: name(),
            host_header: Some(name()),
            key_exchange: Some(name()),
        }),
        failure: Some(Failure { code: name(), message: Some(text()) }),
        resources: vec![Resource { arn: text(), account: account(), kind: name() }; AUDIT_RESOURCES_MAX]
            .into(),
        ..encrypt(1)
    }
}

#[test]
fn bare_event_always_fits_its_place() {
    let mut bytes = Vec::new();
    largest_bare().encode_bare(&mut bytes);
    assert!(bytes.len() + RECORD_FRAME_BYTES <= AUDIT_PLACE_BYTES, "{}", bytes.len());
    let read = Event::decode(&bytes).unwrap();
    assert_eq!(read.request_parameters, Parameters::Omitted);
    assert_eq!(read.response_elements, Parameters::None);
}

#[test]
fn event_has_its_golden_bytes() {
    let mut event = encrypt(5);
    event.time = Timestamp::from_millis(1);
    event.kind = EventKind::Abandoned;
    event.tls = None;
    event.failure = Some(Failure { code: "E".into(), message: None });
    event.identity = Identity::service(account());
    event.request_parameters = vec![
        ("n".into(), Value::Null),
        ("b".into(), true.into()),
        ("i".into(), (-1).into()),
        ("t".into(), Timestamp::from_millis(2003).into()),
        ("l".into(), Value::List(vec![7.into()].into())),
        ("m".into(), Value::Map(Items::default())),
    ]
    .into();
    event.resources = vec![Resource { arn: "a".into(), account: account(), kind: "k".into() }].into();
    let account = [0x1b, 0, 0, 0, 0x19, 0xdf, 0x66, 0x90, 0xe5];
    let golden = [
        &[0x94, 0x01][..],
        &[0x50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5],
        &[0x50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 5],
        &[0x01],
        b"\x69us-east-1",
        &[0x02, 0x00],
        &[0x86, 0x02],
        &account,
        &[0xf6, 0xf6, 0xf6],
        b"\x6cAWS Internal",
        b"\x67Encrypt",
        b"\x69192.0.2.7",
        b"\x6baws-cli/2.0",
        &[0xf6],
        b"\x61E",
        &[0xf6, 0xf5],
        &[0xa6, 0x61, b'n', 0xf6, 0x61, b'b', 0xf5, 0x61, b'i', 0x20, 0x61, b't'],
        &[0xd9, 0x03, 0xe9, 0xa2, 0x01, 0x02, 0x22, 0x03],
        &[0x61, b'l', 0x81, 0x07, 0x61, b'm', 0xa0],
        &[0xf6, 0xf6],
        &[0x81, 0x83, 0x61, b'a'],
        &account,
        b"\x61k",
        &account,
    ]
    .concat();
    assert_eq!(encoded(&event), golden);
    assert_eq!(Event::decode(&golden).unwrap(), event);
}

fn text() -> impl Strategy<Value = Cow<'static, str>> {
    "\\PC{0,40}".prop_map(Cow::from)
}

fn value() -> impl Strategy<Value = Value<'static>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Integer),
        text().prop_map(Value::Text),
        (0..u64::MAX / 2).prop_map(|ms| Value::Timestamp(Timestamp::from_millis(ms))),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(|items| Value::List(items.into())),
            vec((text(), inner), 0..5).prop_map(|fields| Value::Map(fields.into())),
        ]
    })
}

fn any_parameters() -> impl Strategy<Value = Parameters<'static>> {
    prop_oneof![
        Just(Parameters::None),
        Just(Parameters::Omitted),
        vec((text(), value()), 0..6).prop_map(Parameters::from),
    ]
}

fn an_account() -> impl Strategy<Value = AccountId> {
    (0..1_000_000_000_000_u64).prop_map(|number| AccountId::parse(&format!("{number:012}")).unwrap())
}

fn an_identity() -> impl Strategy<Value = Identity<'static>> {
    let kind = prop_oneof![
        Just(IdentityKind::Root),
        Just(IdentityKind::Operator),
        Just(IdentityKind::Service),
        Just(IdentityKind::Unknown),
        Just(IdentityKind::User),
        Just(IdentityKind::AssumedRole),
    ];
    let texts = (option::of(text()), option::of(text()), option::of(text()), option::of(text()));
    (kind, option::of(an_account()), texts).prop_map(
        |(kind, account, (arn, principal_id, access_key_id, invoked_by))| Identity {
            kind,
            account,
            arn,
            principal_id,
            access_key_id,
            invoked_by,
        },
    )
}

prop_compose! {
    fn an_event()(
        (id, request_id, millis) in (any::<[u8; 16]>(), option::of(any::<[u8; 16]>()), any::<u64>()),
        (kind, source) in (0..3_usize, 0..4_usize),
        identity in an_identity(),
        (region, name, source_ip, user_agent) in (text(), text(), text(), text()),
        tls in option::of((text(), text(), option::of(text()), option::of(text()))),
        failure in option::of((text(), option::of(text()))),
        read_only in any::<bool>(),
        (request_parameters, response_elements, additional) in (any_parameters(), any_parameters(), any_parameters()),
        resources in vec((text(), an_account(), text()), 0..=AUDIT_RESOURCES_MAX),
        recipient in option::of(an_account()),
    ) -> Event<'static> {
        let resource = |(arn, account, kind)| Resource { arn, account, kind };
        Event {
            id: RequestId::from_bytes(id),
            request_id: request_id.map(RequestId::from_bytes),
            time: Timestamp::from_millis(millis),
            kind: [EventKind::ApiCall, EventKind::ServiceEvent, EventKind::Abandoned][kind],
            source: [EventSource::Kms, EventSource::Iam, EventSource::Sts, EventSource::Strongroom][source],
            tls: tls.map(|(version, cipher_suite, host_header, key_exchange)| {
                TlsDetails { version, cipher_suite, host_header, key_exchange }
            }),
            failure: failure.map(|(code, message)| Failure { code, message }),
            resources: resources.into_iter().map(resource).collect::<Vec<_>>().into(),
            region, name, source_ip, user_agent, identity, read_only, recipient,
            request_parameters, response_elements, additional,
        }
    }
}

proptest! {
    #[test]
    fn event_reads_back_as_it_was_written(event in an_event()) {
        let bytes = encoded(&event);
        let read = Event::decode(&bytes).unwrap();
        prop_assert_eq!(&read, &event);
        prop_assert_eq!(encoded(&read.into_owned()), bytes);
    }

    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        let _ = Event::decode(&bytes);
        let _ = Event::decode(&[&[0x94, 0x01], &bytes[..]].concat());
    }
}
