//! Failures of callers who are not known: to the log that cannot be filled.

use strongroom_audit::{Stranger, StrangerLog};
use strongroom_sigv4::{Claim, RequestView};
use strongroom_types::Timestamp;
use strongroom_wire::WireError;

use crate::arrival::Arrival;

pub(crate) fn record(log: &StrangerLog, arrival: &Arrival, error: &WireError, time: Timestamp) {
    let view = RequestView {
        method: &arrival.method,
        path: &arrival.path,
        query: &arrival.query,
        headers: &arrival.headers,
    };
    // Who they claim to be, where the claim can be read at all.
    let claim = Claim::parse(&view).ok();
    let user_agent = arrival.headers.get(http::header::USER_AGENT).and_then(|value| value.to_str().ok());
    log.record(&Stranger {
        time,
        source_ip: arrival.source,
        error: error.kind.name(),
        access_key_id: claim.as_ref().map(Claim::access_key_id),
        user_agent,
    });
}
