//! Audit events: what records of the journal and outbox rows hold.

use serde_json::Value;
use strongroom_audit::{Event, to_cloudtrail};
use strongroom_types::limits::{
    AUDIT_ADDITIONAL_BYTES_MAX, AUDIT_NAME_BYTES_MAX, AUDIT_RECORD_BYTES_MAX, AUDIT_RESOURCES_MAX,
};

/// An event that decodes can be shown as CloudTrail's JSON, and encodes within its limit to bytes that are the same event.
/// What is over a limit is cut once.
pub(crate) fn event(bytes: &[u8]) {
    let Ok(event) = Event::decode(bytes) else { return };
    let shown = serde_json::to_value(to_cloudtrail(&event)).expect("every event can be shown");
    assert_eq!(shown["eventID"], Value::from(event.id.to_string()));
    let encoded = encoded(&event);
    let again = Event::decode(&encoded).expect("what was encoded decodes");
    assert_eq!(self::encoded(&again), encoded);
    if is_small(&event) && bytes.len() < AUDIT_ADDITIONAL_BYTES_MAX {
        assert_eq!(again, event);
    }
    assert_eq!(event.clone().into_owned(), event);
}

fn encoded(event: &Event<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    event.encode(&mut bytes);
    assert!(bytes.len() <= AUDIT_RECORD_BYTES_MAX, "{} bytes", bytes.len());
    bytes
}

/// Whether no text and no list of it is over its limit; some texts have a higher one.
fn is_small(event: &Event<'_>) -> bool {
    let (identity, tls, failure) = (&event.identity, event.tls.as_ref(), event.failure.as_ref());
    let texts = [
        Some(&event.region),
        Some(&event.name),
        Some(&event.source_ip),
        Some(&event.user_agent),
        identity.arn.as_ref(),
        identity.principal_id.as_ref(),
        identity.access_key_id.as_ref(),
        identity.invoked_by.as_ref(),
        tls.map(|tls| &tls.version),
        tls.map(|tls| &tls.cipher_suite),
        tls.and_then(|tls| tls.host_header.as_ref()),
        tls.and_then(|tls| tls.key_exchange.as_ref()),
        failure.map(|failure| &failure.code),
        failure.and_then(|failure| failure.message.as_ref()),
    ];
    let resources = event.resources.iter().flat_map(|resource| [&resource.arn, &resource.kind]);
    event.resources.len() <= AUDIT_RESOURCES_MAX
        && texts.into_iter().flatten().chain(resources).all(|text| text.len() <= AUDIT_NAME_BYTES_MAX)
}
