//! The stages, in order.
//!
//! [`Corridor::receive`]: open the trail, authenticate, name the operation. [`Visit::walk`]: decode, decide and run, commit,
//! record, answer. Each stage does its one thing; read top to bottom.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use strongroom_audit::{EventKind, JournalError, Place, Value};
use strongroom_records::{
    Address, CommitError, KeyUse, OutboxRow, RecordsError, Seen, TrackedOperation, Writes,
};
use strongroom_types::{RequestId, Timestamp, limits};
use strongroom_wire::{self as wire, ErrorKind, FromBody, StsOperation, WireError, WireReply, WireRequest};

use crate::arrival::{Answer, Arrival};
use crate::authenticate::{AuthenticationError, Authenticator};
use crate::caller::Caller;
use crate::decide::{About, Place as Where, Ran, decide_and_run};
use crate::facts::Setting;
use crate::fault::Fault;
use crate::operation::{Done, Kind, Operation, Weight};
use crate::parts::Parts;
use crate::protocol::{Protocol, has_content_type};
use crate::record::{Beginning, End, event, with_recipient};
use crate::stranger;
use crate::turns::Turns;

/// The name under which requests that name no operation are counted and recorded.
const UNKNOWN: &str = "Unknown";

/// How often, and how long apart, an unknown outcome is asked for before the caller is told that it is not known.
const SETTLE_ATTEMPTS: u32 = 20;
const SETTLE_PAUSE: Duration = Duration::from_millis(100);

/// The corridor of one deployment.
pub struct Corridor {
    authenticator: Authenticator,
    pub(crate) parts: Parts,
    turns: Turns,
}

/// The operation that a request names, and its service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    Kms(wire::Operation),
    Sts(StsOperation),
}

impl Named {
    fn name(self) -> &'static str {
        match self {
            Self::Kms(operation) => operation.name(),
            Self::Sts(operation) => operation.name(),
        }
    }
}

/// A request whose caller is known, on its way through the corridor.
///
/// Its place in the journal is reserved. If it is dropped before it was recorded (the connection closed, the
/// operation panicked), it leaves an *abandoned* record there.
pub struct Visit {
    arrival: Arrival,
    caller: Caller,
    corridor: Arc<Corridor>,
    /// It computed beside the event loops, so its record may wait for others that do.
    is_patient: bool,
    operation: &'static str,
    place: Option<Place>,
    protocol: Protocol,
    request_id: RequestId,
    time: Timestamp,
}

impl Corridor {
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self { authenticator: Authenticator::new(), parts, turns: Turns::default() })
    }

    /// Signing keys kept in memory.
    pub fn signing_keys_cached(&self) -> usize {
        self.authenticator.cached()
    }

    /// Opens the trail, finds out who calls and which operation is meant. An `Err` is a finished answer.
    pub async fn receive(self: &Arc<Self>, arrival: Arrival) -> Result<(Visit, Named), Answer> {
        let request_id = RequestId::from_random(self.parts.env.random_id());
        let time = self.parts.env.now();
        let protocol = Protocol::of(&arrival);
        let place = match self.parts.journal.reserve() {
            Ok(place) => place,
            Err(error) => return Err(unrecorded(protocol, request_id, UNKNOWN, &error)),
        };
        let caller = match self.authenticator.authenticate(&arrival, protocol, &self.parts, time) {
            Ok(caller) => caller,
            Err(AuthenticationError::Refused(error)) => {
                stranger::record(&self.parts.strangers, &arrival, &error, time);
                return Err(protocol.refusal(request_id, UNKNOWN, &error));
            }
            Err(AuthenticationError::Unreadable(error)) => {
                let fault = Fault::internal(error);
                log_fault(&fault, request_id, UNKNOWN);
                stranger::record(&self.parts.strangers, &arrival, fault.error(), time);
                return Err(protocol.refusal(request_id, UNKNOWN, fault.error()));
            }
        };
        let named = named_operation(&arrival, protocol);
        let operation = named.as_ref().map_or(UNKNOWN, |named| named.name());
        let corridor = Arc::clone(self);
        let place = Some(place);
        let is_patient = false;
        let mut visit =
            Visit { arrival, caller, corridor, is_patient, operation, place, protocol, request_id, time };
        match named {
            Ok(named) => Ok((visit, named)),
            Err(fault) => Err(visit.refused(fault, None, &About::default(), true).await),
        }
    }
}

/// The operation that a request names. `POST /` with `X-Amz-Target: TrentService.<Operation>` and the protocol's content
/// type for KMS: nothing else is taken for it, since a browser may send other types to any site without asking. A form
/// at `/` for STS.
fn named_operation(arrival: &Arrival, protocol: Protocol) -> Result<Named, Fault> {
    let unknown = || Fault::bare(ErrorKind::UnknownOperation);
    if arrival.path != "/" {
        return Err(unknown());
    }
    match protocol {
        Protocol::Json => {
            if arrival.method != Method::POST || !has_content_type(arrival, b"application/x-amz-json-1.1") {
                return Err(unknown());
            }
            let target = arrival.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
            target.and_then(wire::Operation::from_target).map(Named::Kms).ok_or_else(unknown)
        }
        Protocol::Query(_) => {
            let is_get = arrival.method == Method::GET;
            let form = if is_get { arrival.query.as_bytes() } else { &arrival.body };
            Ok(Named::Sts(StsOperation::from_form(form)?))
        }
    }
}

impl Visit {
    /// Walks one operation to its answer.
    pub async fn walk<Op: Operation>(mut self) -> Answer {
        let read_only = Op::KIND == Kind::Read;
        let request = match Op::Request::from_body(&self.arrival.body) {
            Ok(request) => Arc::new(request),
            Err(error) => return self.refused(error.into(), None, &About::default(), read_only).await,
        };
        let Ran { about, result } = self.attempt::<Op>(&request).await;
        match result {
            Err(fault) => self.refused(fault, Some(Op::parameters(&request)), &about, read_only).await,
            Ok((done, _)) if done.writes.is_empty() => self.answered::<Op>(&request, done, &about).await,
            // Boxed, so that the futures of operations that only read stay small.
            Ok((done, seen)) => Box::pin(self.change::<Op>(&request, done, seen, about)).await,
        }
    }

    /// Commits what an operation wants written, with its record, if all that its decision saw still holds. Otherwise the
    /// decision is taken again.
    async fn change<Op: Operation>(
        &mut self,
        request: &Arc<Op::Request>,
        mut done: Done<Op::Reply>,
        mut seen: Vec<Seen>,
        mut about: About,
    ) -> Answer {
        let mut turn = None;
        for attempt in 1..=limits::DECISION_ATTEMPTS_MAX {
            if done.writes.is_empty() {
                return self.answered::<Op>(request, done, &about).await;
            }
            // Whoever has a turn is not overtaken.
            let taken = if turn.is_none() { self.taken(&done.writes, &seen) } else { None };
            let met = match taken {
                Some(address) => address,
                None => {
                    let writes = self.with_outbox::<Op>(request, &about, &mut done);
                    match self.corridor.parts.records.commit(writes, seen).await {
                        Ok(()) => return self.changed(&done.reply),
                        Err(CommitError::Unknown) if self.was_applied().await => {
                            return self.changed(&done.reply);
                        }
                        Err(CommitError::Conflict { address }) => address,
                        Err(error) => {
                            let parameters = Op::parameters(request);
                            return self
                                .refused(Fault::internal(error), Some(parameters), &about, false)
                                .await;
                        }
                    }
                }
            };
            tracing::debug!(request = %self.request_id, row = met, "deciding again");
            if turn.is_none() {
                turn = Some(self.corridor.turns.wait(&met).await);
            }
            if attempt == limits::DECISION_ATTEMPTS_MAX {
                break;
            }
            let ran = self.attempt::<Op>(request).await;
            about = ran.about;
            (done, seen) = match ran.result {
                Ok(ran) => ran,
                Err(fault) => return self.refused(fault, Some(Op::parameters(request)), &about, false).await,
            };
        }
        let message = "Too many concurrent changes. Reduce the frequency of your calls.";
        let fault = Fault::new(ErrorKind::Throttling, message);
        self.refused(fault, Some(Op::parameters(request)), &about, false).await
    }

    /// Refuses an operation that is routed but not built: after authentication, with its request checked.
    pub async fn refuse<Request: WireRequest>(mut self, fault: Fault) -> Answer {
        let fault = match Request::decode(&self.arrival.body) {
            Ok(_) => fault,
            Err(error) => error.into(),
        };
        self.refused(fault, None, &About::default(), true).await
    }

    async fn attempt<Op: Operation>(&mut self, request: &Arc<Op::Request>) -> Ran<Op::Reply> {
        // A document takes about a millisecond to verify.
        if Op::weight(request) == Weight::Light && Op::recipient(request).is_none() {
            let (parts, setting) = (&self.corridor.parts, Setting::new(&self.arrival, self.time));
            if let Some(ran) =
                decide_and_run::<Op>(parts, &self.caller, &setting, request, Where::OnEventLoop)
            {
                return ran;
            }
        }
        self.is_patient = true;
        // Boxed, so that the futures of light operations stay small.
        Box::pin(self.attempt_beside::<Op>(request)).await
    }

    async fn attempt_beside<Op: Operation>(&self, request: &Arc<Op::Request>) -> Ran<Op::Reply> {
        let (corridor, caller) = (Arc::clone(&self.corridor), self.caller.clone());
        let request = Arc::clone(request);
        let setting = Setting::new(&self.arrival, self.time);
        let Setting { text_bytes_max, is_secure, source, time, user_agent } = setting;
        let user_agent = user_agent.cloned();
        let computing = corridor.parts.journal.computing();
        let run = move || {
            let _computing = computing;
            let user_agent = user_agent.as_ref();
            let setting = Setting { text_bytes_max, is_secure, source, time, user_agent };
            decide_and_run::<Op>(&corridor.parts, &caller, &setting, &request, Where::BesideEventLoops)
        };
        let ran = tokio::task::spawn_blocking(run).await;
        let failed = |fault| Ran { about: About::default(), result: Err(fault) };
        match ran {
            Ok(Some(ran)) => ran,
            // Beside the event loops everything can be told.
            Ok(None) => failed(Fault::internal(RecordsError::Overloaded)),
            Err(error) => failed(Fault::internal(error)),
        }
    }

    /// The end of an operation that changed nothing: its record is synced before the answer leaves.
    async fn answered<Op: Operation>(
        &mut self,
        request: &Op::Request,
        done: Done<Op::Reply>,
        about: &About,
    ) -> Answer {
        let end = End {
            additional: with_recipient(done.additional_data, about),
            keys: &about.keys,
            parameters: Some(Op::parameters(request)),
            read_only: Op::KIND == Kind::Read,
            resources: &done.resources,
            response_elements: done.response_elements,
            ..End::default()
        };
        match self.record(end, Op::TRACKED).await {
            Ok(()) => self.success(&done.reply),
            Err(error) => unrecorded(self.protocol, self.request_id, self.operation, &error),
        }
    }

    /// The end of an operation whose change is committed: its record is in the outbox row of that commit.
    fn changed<Reply: WireReply>(&mut self, reply: &Reply) -> Answer {
        drop(self.place.take());
        self.success(reply)
    }

    /// The end of an operation that was refused: that is recorded and synced like anything else.
    async fn refused(
        &mut self,
        fault: Fault,
        parameters: Option<Vec<(&'static str, Value<'_>)>>,
        about: &About,
        read_only: bool,
    ) -> Answer {
        log_fault(&fault, self.request_id, self.operation);
        let end = End {
            additional: with_recipient(Vec::new(), about),
            error: Some(fault.error()),
            keys: &about.keys,
            parameters,
            read_only,
            ..End::default()
        };
        match self.record(end, None).await {
            Ok(()) => self.protocol.refusal(self.request_id, self.operation, fault.error()),
            Err(error) => unrecorded(self.protocol, self.request_id, self.operation, &error),
        }
    }

    /// Appends the record at the reserved place and waits until it is durable. If it is the record of a use, that counts from
    /// now on.
    async fn record(&mut self, end: End<'_>, tracked: Option<TrackedOperation>) -> Result<(), JournalError> {
        let Some(place) = self.place.take() else { return Ok(()) };
        let is_patient = self.is_patient;
        let ticket = self.with_beginning(|beginning| {
            let keys = end.keys;
            let event = event(EventKind::ApiCall, beginning, end);
            let append = || if is_patient { place.append_patiently(&event) } else { place.append(&event) };
            let Some(operation) = tracked else { return append() };
            let Beginning { event_id, request_id, time: at, .. } = *beginning;
            let last = KeyUse { operation, at, event_id, request_id };
            self.corridor.parts.usage.append(keys, last, append)
        });
        ticket.synced().await.map(|_| ())
    }

    /// Adds the sealed record to what is written: change and record become true together.
    fn with_outbox<Op: Operation>(
        &self,
        request: &Op::Request,
        about: &About,
        done: &mut Done<Op::Reply>,
    ) -> Writes {
        let end = End {
            additional: with_recipient(std::mem::take(&mut done.additional_data), about),
            keys: &about.keys,
            parameters: Some(Op::parameters(request)),
            read_only: false,
            resources: &done.resources,
            response_elements: done.response_elements.take(),
            error: None,
        };
        let mut bytes = Vec::with_capacity(1024);
        self.with_beginning(|beginning| event(EventKind::ApiCall, beginning, end).encode(&mut bytes));
        let address = OutboxRow::address(self.caller.region(), &self.request_id);
        let mut writes = std::mem::take(&mut done.writes);
        writes.create(address, OutboxRow { created: self.time, event: bytes });
        writes
    }

    /// A row of this change on which others decide in turn.
    fn taken(&self, writes: &Writes, seen: &[Seen]) -> Option<String> {
        let rows = writes.addresses().chain(seen.iter().map(Seen::address));
        self.corridor.turns.taken(rows.map(Address::as_str)).map(str::to_owned)
    }

    /// Settles a commit whose outcome is not known: its outbox row is there exactly when it was applied. The store
    /// answers no read until that can no longer change, so this asks for a while.
    async fn was_applied(&self) -> bool {
        let corridor = Arc::clone(&self.corridor);
        let address = OutboxRow::address(self.caller.region(), &self.request_id);
        let look = move || settle(&corridor.parts, &address);
        match tokio::task::spawn_blocking(look).await {
            Ok(Ok(applied)) => applied,
            Ok(Err(error)) => {
                tracing::error!(request = %self.request_id, error = &error as &dyn std::error::Error, "unsettled");
                false
            }
            Err(error) => {
                tracing::error!(request = %self.request_id, error = &error as &dyn std::error::Error, "unsettled");
                false
            }
        }
    }

    fn with_beginning<T>(&self, use_it: impl FnOnce(&Beginning<'_>) -> T) -> T {
        let source = self.arrival.source.to_string();
        use_it(&Beginning {
            arrival: &self.arrival,
            caller: &self.caller,
            event_id: RequestId::from_random(self.corridor.parts.env.random_id()),
            operation: self.operation,
            protocol: self.protocol,
            request_id: self.request_id,
            source: &source,
            time: self.time,
        })
    }

    fn success<Reply: WireReply>(&self, reply: &Reply) -> Answer {
        self.protocol.success(self.request_id, self.operation, reply)
    }
}

/// Looks for the outbox row until the store answers, but not for ever.
pub(crate) fn settle(parts: &Parts, address: &Address) -> Result<bool, RecordsError> {
    let mut attempts = 1;
    loop {
        match parts.records.load::<OutboxRow>(address) {
            // Its record is handed to the drainer by the committing thread, whoever waits for the answer or not.
            Ok(row) => return Ok(row.is_some()),
            Err(error) if attempts == SETTLE_ATTEMPTS => return Err(error),
            Err(_) => {
                attempts += 1;
                std::thread::sleep(SETTLE_PAUSE);
            }
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            let end = End::default();
            // Nobody waits for it: whoever asked is gone.
            drop(self.with_beginning(|beginning| place.append(&event(EventKind::Abandoned, beginning, end))));
        }
    }
}

/// The one answer that is not recorded: there is nowhere to record it.
fn unrecorded(
    protocol: Protocol,
    request_id: RequestId,
    operation: &'static str,
    error: &JournalError,
) -> Answer {
    tracing::error!(
        request = %request_id,
        operation,
        error = error as &dyn std::error::Error,
        "refused: the audit journal cannot be written"
    );
    let message = "The audit journal cannot be written. The request can be retried.".to_owned();
    protocol.refusal(
        request_id,
        operation,
        &WireError { kind: ErrorKind::KmsInternal, message: Some(message) },
    )
}

fn log_fault(fault: &Fault, request_id: RequestId, operation: &'static str) {
    if let Some(cause) = fault.cause() {
        tracing::error!(request = %request_id, operation, error = cause as &dyn std::error::Error, "internal fault");
    }
}
