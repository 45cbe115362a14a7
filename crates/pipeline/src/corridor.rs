//! The stages, in order.
//!
//! [`Corridor::receive`]: open the trail, authenticate, name the operation. [`Visit::walk`]: decode, decide and run, commit,
//! record, answer. Each stage does its one thing; read top to bottom.

use std::sync::Arc;
use std::time::Duration;

use strongroom_audit::{EventKind, JournalError, Place, Value};
use strongroom_records::{Address, CommitError, OutboxRow, RecordsError, Seen, Writes};
use strongroom_types::{RequestId, Timestamp, limits};
use strongroom_wire::{self as wire, ErrorKind, WireError, WireReply, WireRequest, encode_error};
use zeroize::Zeroizing;

use crate::arrival::{Answer, Arrival};
use crate::authenticate::{AuthenticationError, Authenticator};
use crate::caller::Caller;
use crate::decide::{Ran, decide_and_run};
use crate::fault::Fault;
use crate::operation::{Done, Key, Kind, Operation, Weight};
use crate::parts::Parts;
use crate::record::{Beginning, End, event};
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
    parts: Parts,
    turns: Turns,
}

/// A request whose caller is known, on its way through the corridor.
///
/// Its place in the journal is reserved. If it is dropped before it was recorded (the connection closed, the
/// operation panicked), it leaves an *abandoned* record there.
pub struct Visit {
    arrival: Arrival,
    caller: Caller,
    corridor: Arc<Corridor>,
    operation: &'static str,
    place: Option<Place>,
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
    pub async fn receive(self: &Arc<Self>, arrival: Arrival) -> Result<(Visit, wire::Operation), Answer> {
        let request_id = RequestId::from_random(self.parts.env.random_id());
        let time = self.parts.env.now();
        let place = match self.parts.journal.reserve() {
            Ok(place) => place,
            Err(error) => return Err(unrecorded(request_id, UNKNOWN, &error)),
        };
        let caller = match self.authenticator.authenticate(&arrival, &self.parts, time) {
            Ok(caller) => caller,
            Err(AuthenticationError::Refused(error)) => {
                stranger::record(&self.parts.strangers, &arrival, &error, time);
                return Err(refusal(request_id, UNKNOWN, &error));
            }
            Err(AuthenticationError::Unreadable(error)) => {
                let fault = Fault::internal(error);
                log_fault(&fault, request_id, UNKNOWN);
                stranger::record(&self.parts.strangers, &arrival, fault.error(), time);
                return Err(refusal(request_id, UNKNOWN, fault.error()));
            }
        };
        let named = named_operation(&arrival);
        let operation = named.map_or(UNKNOWN, wire::Operation::name);
        let corridor = Arc::clone(self);
        let mut visit = Visit { arrival, caller, corridor, operation, place: Some(place), request_id, time };
        match named {
            Some(operation) => Ok((visit, operation)),
            None => {
                let fault = Fault::bare(ErrorKind::UnknownOperation);
                Err(visit.refused(fault, None, &[], true).await)
            }
        }
    }
}

/// The content type of AWS JSON 1.1, with or without parameters. Nothing else is taken for it: a browser may send other
/// types to any site without asking.
fn is_json_1_1(arrival: &Arrival) -> bool {
    let mut values = arrival.headers.get_all(http::header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/x-amz-json-1.1")
}

/// `POST /` with `X-Amz-Target: TrentService.<Operation>` and the protocol's content type.
fn named_operation(arrival: &Arrival) -> Option<wire::Operation> {
    if arrival.method != http::Method::POST || arrival.path != "/" || !is_json_1_1(arrival) {
        return None;
    }
    let target = arrival.headers.get("x-amz-target")?;
    wire::Operation::from_target(target.to_str().ok()?)
}

impl Visit {
    /// Walks one operation to its answer.
    pub async fn walk<Op: Operation>(mut self) -> Answer {
        let read_only = Op::KIND == Kind::Read;
        let request = match Op::Request::decode(&self.arrival.body) {
            Ok(request) => Arc::new(request),
            Err(error) => return self.refused(error.into(), None, &[], read_only).await,
        };
        let Ran { keys, result } = self.attempt::<Op>(&request).await;
        match result {
            Err(fault) => self.refused(fault, Some(Op::parameters(&request)), &keys, read_only).await,
            Ok((done, _)) if done.writes.is_empty() => self.answered::<Op>(&request, done, &keys).await,
            // Boxed, so that the futures of operations that only read stay small.
            Ok((done, seen)) => Box::pin(self.change::<Op>(&request, done, seen, keys)).await,
        }
    }

    /// Commits what an operation wants written, with its record, if all that its decision saw still holds. Otherwise the
    /// decision is taken again.
    async fn change<Op: Operation>(
        &mut self,
        request: &Arc<Op::Request>,
        mut done: Done<Op::Reply>,
        mut seen: Vec<Seen>,
        mut keys: Vec<Key>,
    ) -> Answer {
        let mut turn = None;
        for attempt in 1..=limits::DECISION_ATTEMPTS_MAX {
            if done.writes.is_empty() {
                return self.answered::<Op>(request, done, &keys).await;
            }
            let writes = self.with_outbox::<Op>(request, &keys, &mut done);
            match self.corridor.parts.records.commit(writes, seen).await {
                Ok(()) => return self.changed(&done.reply),
                Err(CommitError::Unknown) if self.was_applied().await => return self.changed(&done.reply),
                Err(CommitError::Conflict { address }) => {
                    tracing::debug!(request = %self.request_id, row = address, "deciding again");
                    if turn.is_none() {
                        turn = Some(self.corridor.turns.wait(&address).await);
                    }
                }
                Err(error) => {
                    let parameters = Op::parameters(request);
                    return self.refused(Fault::internal(error), Some(parameters), &keys, false).await;
                }
            }
            if attempt == limits::DECISION_ATTEMPTS_MAX {
                break;
            }
            let ran = self.attempt::<Op>(request).await;
            keys = ran.keys;
            (done, seen) = match ran.result {
                Ok(ran) => ran,
                Err(fault) => return self.refused(fault, Some(Op::parameters(request)), &keys, false).await,
            };
        }
        let message = "Too many concurrent changes. Reduce the frequency of your calls.";
        let fault = Fault::new(ErrorKind::Throttling, message);
        self.refused(fault, Some(Op::parameters(request)), &keys, false).await
    }

    /// Refuses an operation that is routed but not built: after authentication, with its request checked.
    pub async fn refuse<Request: WireRequest>(mut self, fault: Fault) -> Answer {
        let fault = match Request::decode(&self.arrival.body) {
            Ok(_) => fault,
            Err(error) => error.into(),
        };
        self.refused(fault, None, &[], true).await
    }

    async fn attempt<Op: Operation>(&self, request: &Arc<Op::Request>) -> Ran<Op::Reply> {
        match Op::weight(request) {
            Weight::Light => decide_and_run::<Op>(&self.corridor.parts, &self.caller, request),
            Weight::Heavy => {
                let (corridor, caller) = (Arc::clone(&self.corridor), self.caller.clone());
                let request = Arc::clone(request);
                let run = move || decide_and_run::<Op>(&corridor.parts, &caller, &request);
                let ran = tokio::task::spawn_blocking(run).await;
                ran.unwrap_or_else(|error| Ran { keys: Vec::new(), result: Err(Fault::internal(error)) })
            }
        }
    }

    /// The end of an operation that changed nothing: its record is synced before the answer leaves.
    async fn answered<Op: Operation>(
        &mut self,
        request: &Op::Request,
        done: Done<Op::Reply>,
        keys: &[Key],
    ) -> Answer {
        let end = End {
            additional: done.additional_data,
            keys,
            parameters: Some(Op::parameters(request)),
            read_only: Op::KIND == Kind::Read,
            resources: &done.resources,
            response_elements: done.response_elements,
            ..End::default()
        };
        match self.record(end).await {
            Ok(()) => self.success(&done.reply),
            Err(error) => unrecorded(self.request_id, self.operation, &error),
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
        keys: &[Key],
        read_only: bool,
    ) -> Answer {
        log_fault(&fault, self.request_id, self.operation);
        let end = End { error: Some(fault.error()), keys, parameters, read_only, ..End::default() };
        match self.record(end).await {
            Ok(()) => refusal(self.request_id, self.operation, fault.error()),
            Err(error) => unrecorded(self.request_id, self.operation, &error),
        }
    }

    /// Appends the record at the reserved place and waits until it is durable.
    async fn record(&mut self, end: End<'_>) -> Result<(), JournalError> {
        let Some(place) = self.place.take() else { return Ok(()) };
        let ticket =
            self.with_beginning(|beginning| place.append(&event(EventKind::ApiCall, beginning, end)));
        ticket.synced().await.map(|_| ())
    }

    /// Adds the sealed record to what is written: change and record become true together.
    fn with_outbox<Op: Operation>(
        &self,
        request: &Op::Request,
        keys: &[Key],
        done: &mut Done<Op::Reply>,
    ) -> Writes {
        let end = End {
            additional: std::mem::take(&mut done.additional_data),
            keys,
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
            request_id: self.request_id,
            source: &source,
            time: self.time,
        })
    }

    fn success<Reply: WireReply>(&self, reply: &Reply) -> Answer {
        // Reserved whole: a buffer that grows leaves a copy of a plaintext behind.
        let mut body = Zeroizing::new(Vec::with_capacity(reply.size_hint()));
        reply.encode(&mut body);
        let (request_id, operation) = (self.request_id, self.operation);
        Answer { status: 200, request_id, body, operation, outcome: "Success" }
    }
}

/// Looks for the outbox row until the store answers, but not for ever.
fn settle(parts: &Parts, address: &Address) -> Result<bool, RecordsError> {
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

fn refusal(request_id: RequestId, operation: &'static str, error: &WireError) -> Answer {
    let mut body = Zeroizing::new(Vec::with_capacity(256));
    encode_error(error, &mut body);
    Answer { status: error.kind.status(), request_id, body, operation, outcome: error.kind.name() }
}

/// The one answer that is not recorded: there is nowhere to record it.
fn unrecorded(request_id: RequestId, operation: &'static str, error: &JournalError) -> Answer {
    tracing::error!(
        request = %request_id,
        operation,
        error = error as &dyn std::error::Error,
        "refused: the audit journal cannot be written"
    );
    let message = "The audit journal cannot be written. The request can be retried.".to_owned();
    refusal(request_id, operation, &WireError { kind: ErrorKind::KmsInternal, message: Some(message) })
}

fn log_fault(fault: &Fault, request_id: RequestId, operation: &'static str) {
    if let Some(cause) = fault.cause() {
        tracing::error!(request = %request_id, operation, error = cause as &dyn std::error::Error, "internal fault");
    }
}
