//! Two services behind one corridor: a request's form says which one is meant, and its signature must say the same.

mod common;

use common::requests::{Draft, assert_refused, assert_success, text};
use common::{House, OPERATOR, operations};
use http::Method;
use strongroom_audit::EventSource;
use strongroom_pipeline::Answer;

fn assert_refused_in_xml(answer: &Answer, code: &str, status: u16) {
    assert_eq!((answer.outcome, answer.status, answer.content_type), (code, status, "text/xml"));
    let body = text(answer);
    assert!(body.starts_with("<ErrorResponse xmlns="), "{body}");
    assert!(body.contains(&format!("<Code>{code}</Code>")), "{body}");
    assert!(body.contains(&format!("<RequestId>{}</RequestId>", answer.request_id)), "{body}");
}

#[test]
fn a_form_signed_for_kms_is_refused() {
    let house = House::new();
    let answer = house.call(Draft { service: "kms", ..Draft::who_am_i(&house) }.signed());
    assert_refused_in_xml(&answer, "SignatureDoesNotMatch", 403);
    let wanted = "Credential should be scoped to correct service: &apos;sts&apos;. ";
    assert!(text(&answer).contains(wanted), "{}", text(&answer));
    assert_eq!(house.close().events(), []);
}

#[test]
fn a_kms_request_signed_for_sts_is_refused() {
    let house = House::new();
    let key_id = house.create_key(None);
    let answer = house.call(Draft { service: "sts", ..Draft::look(&house, &key_id) }.signed());
    assert_refused(&answer, "InvalidSignatureException");
}

#[test]
fn strangers_are_refused_in_the_words_of_sts() {
    let house = House::new();
    let unsigned = house.call(Draft::who_am_i(&house).unsigned());
    assert_refused_in_xml(&unsigned, "MissingAuthenticationToken", 403);
    assert!(text(&unsigned).contains("<Message>Request is missing Authentication Token</Message>"));
    for (draft, code) in [
        (Draft { secret: "wrong", ..Draft::who_am_i(&house) }, "SignatureDoesNotMatch"),
        (Draft { region: "eu-west-3", ..Draft::who_am_i(&house) }, "SignatureDoesNotMatch"),
        (Draft { access_key_id: "AKIAUNKNOWNEXAMPLE00", ..Draft::who_am_i(&house) }, "InvalidClientTokenId"),
        (Draft { token: Some("x"), ..Draft::who_am_i(&house) }, "InvalidClientTokenId"),
    ] {
        assert_refused_in_xml(&house.call(draft.signed()), code, 403);
    }
    assert_eq!((operations::runs(), house.close().events().len()), (0, 0));
}

#[test]
fn what_names_no_operation_is_refused_and_recorded() {
    let house = House::new();
    let body = "Action=AssumeRole&Version=2011-06-15".to_owned();
    let answer = house.call(Draft { body, ..Draft::who_am_i(&house) }.signed());
    assert_refused_in_xml(&answer, "InvalidAction", 400);
    let elsewhere = house.call(Draft { path: "/sts", ..Draft::who_am_i(&house) }.signed());
    assert_refused_in_xml(&elsewhere, "InvalidAction", 400);
    let events = house.close().events();
    assert_eq!(events.len(), 2);
    for event in events {
        assert_eq!((event.source, &*event.name), (EventSource::Sts, "Unknown"));
        assert_eq!(event.failure.map(|failure| failure.code.into_owned()).as_deref(), Some("InvalidAction"));
    }
}

#[test]
fn every_caller_may_ask_who_they_are_and_it_is_recorded() {
    let house = House::new();
    // The operator may do nothing else.
    let draft = Draft { access_key_id: OPERATOR, ..Draft::who_am_i(&house) };
    let answer = house.call(draft.signed());
    assert_success(&answer);
    assert!(text(&answer).contains("<Arn>arn:aws:strongroom:::operator</Arn>"), "{}", text(&answer));
    let get = Draft {
        method: Method::GET,
        query: "Action=GetCallerIdentity&Version=2011-06-15",
        body: String::new(),
        ..Draft::who_am_i(&house)
    };
    assert_success(&house.call(get.signed()));
    // The same credential is good for both services on the same day.
    let key_id = house.create_key(None);
    assert_success(&house.call(Draft::look(&house, &key_id).signed()));
    assert_success(&house.call(Draft::who_am_i(&house).signed()));
    let events = house.close().events();
    let sources: Vec<_> = events.iter().map(|event| (event.source, &*event.name)).collect();
    let who = (EventSource::Sts, "GetCallerIdentity");
    assert_eq!(sources, [who, who, (EventSource::Kms, "Encrypt"), who]);
}
