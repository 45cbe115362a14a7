//! Who is not known leaves nothing in the journal; who is known leaves a record of each refusal.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::requests::{Draft, assert_refused, assert_success, text};
use common::{House, OPERATOR, ROOT, operations, region};
use strongroom_audit::{EventKind, IdentityKind};
use strongroom_pipeline::Arrival;
use strongroom_records::{AccessKeyRow, Writes};
use strongroom_types::{AccessKeyId, Credential, Env, KeyId};

/// Refused before anybody is known: nothing runs, nothing in the journal, one line in the log of strangers.
fn stranger(draft: impl FnOnce(&House, &KeyId) -> Arrival, error: &str) -> String {
    let house = House::new();
    let key_id = house.create_key(None);
    let answer = house.call(draft(&house, &key_id));
    assert_refused(&answer, error);
    assert_eq!((operations::runs(), answer.operation), (0, "Unknown"));
    let site = house.close();
    assert_eq!(site.events(), []);
    let lines = std::fs::read_to_string(site.stranger_directory().join("strangers.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 1, "{lines}");
    assert!(lines.contains(&format!(r#""error":"{error}""#)), "{lines}");
    assert!(lines.contains(r#""sourceIPAddress":"192.0.2.7""#), "{lines}");
    lines
}

#[test]
fn an_unsigned_request_is_a_strangers() {
    stranger(|house, key_id| Draft::look(house, key_id).unsigned(), "MissingAuthenticationTokenException");
}

#[test]
fn a_wrong_secret_is_a_strangers() {
    let draft =
        |house: &House, key_id: &KeyId| Draft { secret: "wrong", ..Draft::look(house, key_id) }.signed();
    let lines = stranger(draft, "InvalidSignatureException");
    assert!(lines.contains(ROOT), "{lines}");
}

#[test]
fn a_body_that_was_changed_on_the_way_is_a_strangers() {
    let draft = |house: &House, key_id: &KeyId| {
        let mut arrival = Draft::look(house, key_id).signed();
        arrival.body.push(b' ');
        arrival
    };
    stranger(draft, "InvalidSignatureException");
}

#[test]
fn an_unknown_credential_is_a_strangers() {
    for access_key_id in ["AKIAUNKNOWNEXAMPLE00", "short"] {
        let draft =
            |house: &House, key_id: &KeyId| Draft { access_key_id, ..Draft::look(house, key_id) }.signed();
        stranger(draft, "UnrecognizedClientException");
    }
}

#[test]
fn a_session_token_is_nobodys() {
    let draft =
        |house: &House, key_id: &KeyId| Draft { token: Some("token"), ..Draft::look(house, key_id) }.signed();
    stranger(draft, "UnrecognizedClientException");
}

#[test]
fn a_region_that_is_not_served_is_refused() {
    let draft = |house: &House, key_id: &KeyId| {
        Draft { region: "eu-central-1", ..Draft::look(house, key_id) }.signed()
    };
    stranger(draft, "InvalidSignatureException");
}

#[test]
fn a_clock_may_differ_by_five_minutes_and_no_more() {
    for seconds in [-301_i64, 301] {
        let draft = |house: &House, key_id: &KeyId| {
            let away = Duration::from_secs(seconds.unsigned_abs());
            let now = house.site.env.now();
            let signed_at = if seconds < 0 { now.saturating_sub(away) } else { now.saturating_add(away) };
            Draft { signed_at, ..Draft::look(house, key_id) }.signed()
        };
        stranger(draft, "InvalidSignatureException");
    }
    let house = House::new();
    let key_id = house.create_key(None);
    let now = house.site.env.now();
    for signed_at in
        [now.saturating_sub(Duration::from_secs(300)), now.saturating_add(Duration::from_secs(300))]
    {
        assert_success(&house.call(Draft { signed_at, ..Draft::look(&house, &key_id) }.signed()));
    }
}

#[test]
fn a_credential_that_cannot_be_read_is_our_fault() {
    let house = House::new();
    let key_id = house.create_key(None);
    let address = AccessKeyRow::address(&AccessKeyId::parse(ROOT).unwrap());
    house.site.store.tamper(|rows| rows.get_mut(address.as_str()).unwrap().value[40] ^= 1);
    let answer = house.call(Draft::look(&house, &key_id).signed());
    assert_refused(&answer, "KMSInternalException");
    let operator = Draft { access_key_id: OPERATOR, ..Draft::look(&house, &key_id) };
    assert_refused(&house.call(operator.signed()), "AccessDeniedException");
    let site = house.close();
    assert_eq!(site.events_of(answer.request_id), []);
}

#[test]
fn a_secret_that_was_replaced_is_refused_at_once() {
    let house = House::new();
    let key_id = house.create_key(None);
    assert_success(&house.call(Draft::look(&house, &key_id).signed()));
    assert_success(&house.call(Draft::look(&house, &key_id).signed()));
    assert_eq!(house.corridor.signing_keys_cached(), 1);
    let loaded = house.records.access_key(&AccessKeyId::parse(ROOT).unwrap()).unwrap().unwrap();
    let secret = Credential::new(b"another secret of the same credential".to_vec());
    let row = AccessKeyRow {
        access_key_id: ROOT.to_owned(),
        principal: loaded.principal,
        secret,
        created: loaded.created,
    };
    let mut writes = Writes::default();
    writes.update(&loaded, row);
    house.records.commit_blocking(writes, Vec::new()).unwrap();
    let old = house.call(Draft::look(&house, &key_id).signed());
    assert_refused(&old, "InvalidSignatureException");
    let secret = "another secret of the same credential";
    assert_success(&house.call(Draft { secret, ..Draft::look(&house, &key_id) }.signed()));
}

#[test]
fn a_known_caller_of_an_unknown_operation_is_recorded() {
    let house = House::new();
    let drafts = [
        Draft::new(&house, "Nonsense", "{}".into()),
        Draft { target: None, ..Draft::new(&house, "Encrypt", "{}".into()) },
        Draft { target: Some("OtherService.Encrypt".into()), ..Draft::new(&house, "", "{}".into()) },
        Draft { method: http::Method::GET, ..Draft::new(&house, "Encrypt", String::new()) },
        Draft { content_type: "text/plain", ..Draft::new(&house, "Encrypt", "{}".into()) },
        Draft { content_type: "application/json", ..Draft::new(&house, "Encrypt", "{}".into()) },
        Draft { path: "/keys", ..Draft::new(&house, "Encrypt", "{}".into()) },
    ];
    let answers: Vec<_> = drafts.into_iter().map(|draft| house.call(draft.signed())).collect();
    let site = house.close();
    for answer in answers {
        assert_eq!(text(&answer), r#"{"__type":"UnknownOperationException"}"#);
        let [event] = &site.events_of(answer.request_id)[..] else { panic!() };
        assert_eq!(event.name, "Unknown");
        assert_eq!(event.failure.as_ref().unwrap().code, "UnknownOperationException");
    }
    assert_eq!(std::fs::read(site.stranger_directory().join("strangers.jsonl")).unwrap(), b"");
}

#[test]
fn a_content_type_may_have_parameters() {
    let house = House::new();
    let key_id = house.create_key(None);
    for content_type in ["application/x-amz-json-1.1; charset=utf-8", "Application/X-Amz-JSON-1.1"] {
        assert_success(&house.call(Draft { content_type, ..Draft::look(&house, &key_id) }.signed()));
    }
}

#[test]
fn the_operator_may_do_nothing_to_keys_and_is_recorded() {
    let house = House::new();
    let everyone = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}}"#;
    let key_id = house.create_key(Some(everyone));
    let operator = |draft: Draft| Draft { access_key_id: OPERATOR, ..draft };
    let answers = [
        house.call(operator(Draft::look(&house, &key_id)).signed()),
        house.call(operator(Draft::change(&house, &key_id)).signed()),
    ];
    assert_success(&house.call(Draft::look(&house, &key_id).signed()));
    assert_eq!(operations::runs(), 1, "the root user's alone");
    let site = house.close();
    for answer in answers {
        assert_refused(&answer, "AccessDeniedException");
        assert!(
            text(&answer).contains("User: arn:aws:strongroom:::operator is not authorized"),
            "{}",
            text(&answer)
        );
        let [event] = &site.events_of(answer.request_id)[..] else { panic!() };
        assert_eq!((event.kind, event.identity.kind), (EventKind::ApiCall, IdentityKind::Operator));
        assert_eq!((event.identity.account, event.recipient), (None, None));
        assert_eq!(event.failure.as_ref().unwrap().code, "AccessDenied");
        assert!(event.resources[0].arn.ends_with(&key_id.to_string()));
    }
    assert_eq!(site.outbox_rows(), 0);
}

#[test]
fn a_request_of_the_wrong_shape_is_recorded_without_its_parameters() {
    let house = House::new();
    let key_id = house.create_key(None);
    let cases = [
        (Draft::new(&house, "Encrypt", "{".into()), "SerializationException"),
        (Draft::new(&house, "Encrypt", "{}".into()), "ValidationException"),
        // What is not built is refused after its shape.
        (Draft::new(&house, "EnableKey", "{}".into()), "ValidationException"),
        (
            Draft::new(&house, "EnableKey", format!(r#"{{"KeyId":"{key_id}"}}"#)),
            "UnsupportedOperationException",
        ),
    ];
    let answers: Vec<_> =
        cases.into_iter().map(|(draft, error)| (house.call(draft.signed()), error)).collect();
    assert_eq!(operations::runs(), 0);
    let site = house.close();
    for (answer, error) in answers {
        assert_refused(&answer, error);
        let [event] = &site.events_of(answer.request_id)[..] else { panic!("{error}") };
        assert_eq!(event.failure.as_ref().unwrap().code, error);
        assert_eq!(event.request_parameters, strongroom_audit::Parameters::None);
        assert_eq!(event.region, region().as_str());
    }
}
