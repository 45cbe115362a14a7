//! Operations that change nothing: their record is on the disk before their answer leaves.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::{Arc, mpsc};

use common::requests::{Draft, PLAINTEXT, PLAINTEXT_BASE64, assert_refused, assert_success};
use common::{House, ROOT, SECRET, account, operations, walk};
use strongroom_audit::{EventKind, IdentityKind, Parameters};
use strongroom_types::KeyId;

fn contains(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

#[test]
fn the_record_is_in_the_journal_before_the_answer() {
    let house = House::new();
    let key_id = house.create_key(None);
    for round in 1..=3 {
        let answer = house.call(Draft::look(&house, &key_id).signed());
        assert_success(&answer);
        // Nothing was closed or waited for in between.
        let [event] = &house.site.events_of(answer.request_id)[..] else { panic!("round {round}") };
        assert_eq!(event.failure, None);
    }
    assert_eq!(operations::runs(), 3);
}

#[test]
fn a_refusal_is_in_the_journal_before_the_answer() {
    let house = House::new();
    let nobody = strongroom_types::KeyId::single_region([7; 16]);
    let answer = house.call(Draft::look(&house, &nobody).signed());
    assert_refused(&answer, "NotFoundException");
    let [event] = &house.site.events_of(answer.request_id)[..] else { panic!() };
    assert_eq!(
        event.failure.as_ref().unwrap().message.as_deref(),
        Some(&*format!("Invalid keyId '{nobody}'"))
    );
    assert!(event.resources.is_empty());
}

#[test]
fn the_record_tells_who_asked_what_and_from_where() {
    let house = House::new();
    let key_id = house.create_key(None);
    let answer = house.call(Draft::look(&house, &key_id).signed());
    let [event] = &house.site.events_of(answer.request_id)[..] else { panic!() };
    assert_eq!((event.kind, &*event.name, &*event.region), (EventKind::ApiCall, "Encrypt", "us-east-1"));
    assert_eq!((&*event.source_ip, &*event.user_agent), ("192.0.2.7", "pipeline-test/1"));
    assert_eq!((event.identity.kind, event.identity.account), (IdentityKind::Root, Some(account())));
    assert_eq!(event.identity.arn.as_deref(), Some("arn:aws:iam::111122223333:root"));
    assert_eq!(event.identity.access_key_id.as_deref(), Some(ROOT));
    assert_eq!(event.recipient, Some(account()));
    assert!(event.read_only);
    assert_ne!(event.id, answer.request_id);
    let [resource] = &event.resources[..] else { panic!("{:?}", event.resources) };
    assert_eq!(resource.arn, format!("arn:aws:kms:us-east-1:111122223333:key/{key_id}"));
    assert_eq!(resource.kind, "AWS::KMS::Key");
    let names = |parameters: &Parameters<'_>| match parameters {
        Parameters::Fields(fields) => fields.iter().map(|(name, _)| name.to_string()).collect(),
        _ => Vec::new(),
    };
    assert_eq!(names(&event.request_parameters), ["keyId"]);
    assert_eq!(names(&event.additional), ["looked"]);
    assert_eq!(event.response_elements, Parameters::None);
}

#[test]
fn no_secret_is_in_any_byte_of_the_trail() {
    let house = House::new();
    let key_id = house.create_key(None);
    let everything = [
        Draft::look(&house, &key_id),
        Draft::change(&house, &key_id),
        Draft::heavy(&house, &key_id),
        Draft { access_key_id: "AKIAUNKNOWNEXAMPLE00", ..Draft::look(&house, &key_id) },
        // A client that takes its secret for its id.
        Draft { access_key_id: SECRET, ..Draft::look(&house, &key_id) },
        Draft { token: Some("TOKEN-MARKER"), ..Draft::look(&house, &key_id) },
        Draft::new(&house, "Encrypt", format!(r#"{{"Plaintext":"{PLAINTEXT_BASE64}"}}"#)),
        Draft::new(&house, "Encrypt", format!(r#"{{"KeyId":3,"Plaintext":"{PLAINTEXT_BASE64}"}}"#)),
        Draft::new(&house, "Nonsense", format!(r#"{{"Plaintext":"{PLAINTEXT_BASE64}"}}"#)),
    ];
    for draft in everything {
        house.call(draft.signed());
    }
    let trail = house.close().trail_bytes();
    assert!(contains(&trail, &key_id.to_string()), "the search finds what is there");
    assert!(contains(&trail, ROOT));
    for secret in [PLAINTEXT, PLAINTEXT_BASE64, SECRET, "TOKEN-MARKER", "AWS4-HMAC-SHA256"] {
        assert!(!contains(&trail, secret), "{secret}");
    }
}

#[test]
fn a_visit_that_is_dropped_leaves_an_abandoned_record() {
    let house = House::new();
    let key_id = house.create_key(None);
    let Ok((visit, _)) = house.wait(house.corridor.receive(Draft::look(&house, &key_id).signed())) else {
        panic!("refused")
    };
    drop(visit);
    let site = house.close();
    let [event] = &site.events()[..] else { panic!("{:?}", site.events()) };
    assert_eq!((event.kind, &*event.name), (EventKind::Abandoned, "Encrypt"));
    assert_eq!(event.identity.access_key_id.as_deref(), Some(ROOT));
    assert_eq!((operations::runs(), event.request_parameters.clone()), (0, Parameters::None));
}

#[test]
fn a_panic_in_an_operation_leaves_an_abandoned_record() {
    let house = House::new();
    let key_id = house.create_key(None);
    operations::in_each_run(|_| panic!("the test wants this panic"));
    let local = tokio::task::LocalSet::new();
    let arrival = Draft::look(&house, &key_id).signed();
    let task = local.spawn_local(walk(Arc::clone(&house.corridor), arrival));
    let end = house.wait(local.run_until(task));
    assert!(end.is_err_and(|error| error.is_panic()));
    drop(local);
    // The next request is served as ever.
    operations::in_each_run(|_| ());
    assert_success(&house.call(Draft::look(&house, &key_id).signed()));
    let kinds: Vec<_> = house.close().events().iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Abandoned, EventKind::ApiCall]);
}

#[test]
fn a_panic_beside_the_event_loop_is_an_internal_fault_and_recorded() {
    let house = House::new();
    let key_id = house.create_key(None);
    assert_success(&house.call(Draft::heavy(&house, &key_id).signed()));
    house.records.commit_blocking(operations::switched(&house.key(&key_id)), Vec::new()).unwrap();
    let answer = house.call(Draft::heavy(&house, &key_id).signed());
    assert_refused(&answer, "KMSInternalException");
    let [event] = &house.site.events_of(answer.request_id)[..] else { panic!() };
    assert_eq!(event.failure.as_ref().unwrap().code, "KMSInternalException");
}

/// Lets a heavy request begin, as far as reading its key, drops it there, and lets what it began go on.
fn dropped_while_it_runs(house: &House, key_id: &KeyId) {
    let ((begun, is_begun), (go, may_go)) = (mpsc::channel(), mpsc::channel());
    house.site.store.after_reading("key/", move || {
        begun.send(()).unwrap();
        let _: Result<(), _> = may_go.recv();
    });
    let (corridor, arrival) = (Arc::clone(&house.corridor), Draft::heavy(house, key_id).signed());
    house.wait(async {
        tokio::select! {
            biased;
            _ = walk(corridor, arrival) => panic!("answered before it went on"),
            () = async { is_begun.recv().unwrap() } => {}
        }
    });
    drop(go);
}

#[test]
fn what_runs_beside_the_event_loop_is_recorded_also_if_nobody_waits_for_it() {
    let house = House::new();
    let key_id = house.create_key(None);
    // Nothing is cached: the key is read.
    let house = House::open(house.close(), true);
    dropped_while_it_runs(&house, &key_id);
    let site = house.close();
    let [event] = &site.events()[..] else { panic!("{:?}", site.events()) };
    assert_eq!((event.kind, &*event.name, &event.failure), (EventKind::ApiCall, "GetPublicKey", &None));
    assert_eq!(event.resources.len(), 1);
}

#[test]
fn what_has_not_begun_beside_the_event_loop_is_abandoned_at_once() {
    let house = House::new();
    let key_id = house.create_key(None);
    let ((begun, is_begun), (go, may_go)) = (mpsc::channel(), mpsc::channel());
    let appended = house.journal.appended();
    house.wait(async {
        // The only thread is taken.
        drop(tokio::task::spawn_blocking(move || {
            begun.send(()).unwrap();
            let _: Result<(), _> = may_go.recv();
        }));
        is_begun.recv().unwrap();
        let (corridor, arrival) = (Arc::clone(&house.corridor), Draft::heavy(&house, &key_id).signed());
        tokio::select! {
            biased;
            _ = walk(corridor, arrival) => panic!("answered before it can have begun"),
            () = std::future::ready(()) => {}
        }
    });
    assert_eq!(house.journal.appended(), appended + 1);
    drop(go);
    let site = house.close();
    let [event] = &site.events()[..] else { panic!("{:?}", site.events()) };
    assert_eq!((event.kind, &*event.name), (EventKind::Abandoned, "GetPublicKey"));
}

#[test]
fn a_key_row_that_cannot_be_read_refuses_the_request_and_is_recorded() {
    let house = House::new();
    let (bad, good) = (house.create_key(None), house.create_key(None));
    let site = house.close();
    let address = strongroom_records::KeyRow::address(&common::region(), &bad);
    site.store.tamper(|rows| rows.get_mut(address.as_str()).unwrap().value[50] ^= 1);
    let house = House::open(site, true);
    let answer = house.call(Draft::look(&house, &bad).signed());
    assert_refused(&answer, "KMSInternalException");
    assert_eq!(operations::runs(), 0);
    assert_eq!(house.site.events_of(answer.request_id).len(), 1);
    assert_success(&house.call(Draft::look(&house, &good).signed()));
}

#[test]
fn a_journal_that_cannot_be_written_refuses_and_runs_nothing() {
    let house = House::new();
    let key_id = house.create_key(None);
    let version = house.key(&key_id).version();
    house.disk.set_failing(true);
    // The first request finds out. It has run, but nobody is told what came of it.
    let first = house.call(Draft::look(&house, &key_id).signed());
    assert_refused(&first, "KMSInternalException");
    assert_eq!(operations::runs(), 1);
    for draft in [Draft::look(&house, &key_id), Draft::change(&house, &key_id)] {
        let answer = house.call(draft.signed());
        assert_refused(&answer, "KMSInternalException");
        assert_eq!(
            (answer.operation, operations::runs()),
            ("Unknown", 1),
            "refused before anything is looked at"
        );
    }
    assert_eq!(house.site.outbox_rows(), 0);
    assert_eq!(house.key(&key_id).version(), version);
    house.disk.set_failing(false);
    while !house.journal.stats().is_available {
        std::thread::yield_now();
    }
    let answer = house.call(Draft::look(&house, &key_id).signed());
    assert_success(&answer);
    let site = house.close();
    // The record of the first reached the disk after all: a record without an answer is right.
    assert_eq!(site.events_of(first.request_id).len(), 1);
    assert_eq!(site.events_of(answer.request_id).len(), 1);
}

/// Its event loop has others to answer meanwhile.
#[test]
fn long_texts_under_many_wildcards_are_looked_at_beside_the_event_loop() {
    let house = House::new();
    let patterns = vec![r#""*a*b*""#; 100].join(",");
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":[
            {{"Effect":"Allow","Principal":{{"AWS":"{}"}},"Action":"kms:*","Resource":"*"}},
            {{"Effect":"Deny","Principal":"*","Action":"kms:*","Resource":"*",
              "Condition":{{"StringLike":{{"aws:UserAgent":[{patterns}]}}}}}}]}}"#,
        account()
    );
    let key_id = house.create_key(Some(&policy));
    let look = |plaintext: &str| {
        let body = format!(r#"{{"KeyId":"{key_id}","Plaintext":"{plaintext}"}}"#);
        assert_success(&house.call(Draft::new(&house, "Encrypt", body).signed()));
        operations::runs()
    };
    assert_eq!(look("QUFB"), 1);
    assert_eq!(look(&"QUFB".repeat(1300)), 1, "it ran on this thread");
    assert_eq!(look("QUFB"), 2);
    // Under a policy of one pattern the same text is looked at here.
    let key_id = house.create_key(None);
    let body = format!(r#"{{"KeyId":"{key_id}","Plaintext":"{}"}}"#, "QUFB".repeat(1300));
    assert_success(&house.call(Draft::new(&house, "Encrypt", body).signed()));
    assert_eq!(operations::runs(), 3);
}
