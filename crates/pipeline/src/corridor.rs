//! The stages, in order.
//!
//! [`Corridor::receive`]: open the trail, authenticate, name the operation. [`Visit::walk`]: decode, decide and run, commit,
//! record, answer. Each stage does its one thing; read top to bottom.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Method;
use strongroom_audit::{EventKind, Place, Synced, Value};
use strongroom_records::{
    Address, CommitError, KeyUse, OutboxRow, RecordsError, Seen, TrackedOperation, Writes,
};
use strongroom_types::{RequestId, Timestamp, limits};
use strongroom_wire::{self as wire, ErrorKind, FromBody, StsOperation, WireReply, WireRequest};

use crate::arrival::{Answer, Arrival};
use crate::authenticate::{AuthenticationError, Authenticator};
use crate::beside::{Settle, beside};
use crate::caller::Caller;
use crate::decide::{About, Place as Where, Ran, decide_and_run};
use crate::facts::Setting;
use crate::fault::Fault;
use crate::operation::{Done, Kind, Operation, Weight};
use crate::parts::Parts;
use crate::protocol::{Protocol, has_content_type};
use crate::record::{Beginning, End, event, with_recipient};
use crate::recorded::{Recorded, unrecorded};
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

/// What is answered after an attempt.
enum Conclusion<Reply> {
    Change(Change<Reply>),
    Recorded(Recorded),
}

/// What an operation wants written.
struct Change<Reply> {
    about: About,
    done: Done<Reply>,
    seen: Vec<Seen>,
}

impl<Reply> Settle for (Visit, Conclusion<Reply>) {
    fn poll_settled(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.1 {
            Conclusion::Recorded(recorded) => recorded.poll_settled(context),
            Conclusion::Change(_) => Poll::Ready(()),
        }
    }
}

impl<Reply> Settle for (Visit, Ran<Reply>) {
    fn poll_settled(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

/// An operation panicked; what it said is in the log.
#[derive(Debug, thiserror::Error)]
#[error("the operation panicked")]
struct Panicked;

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
            Err(fault) => Err(visit.refused(fault, None, &About::default(), true).durable().await),
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
        let request = match Op::Request::from_body(&self.arrival.body) {
            Ok(request) => Arc::new(request),
            Err(error) => {
                let read_only = Op::KIND == Kind::Read;
                return self.refused(error.into(), None, &About::default(), read_only).durable().await;
            }
        };
        match self.attempt::<Op>(&request) {
            Some(ran) => match self.concluded::<Op>(&request, ran) {
                Conclusion::Recorded(recorded) => recorded.durable().await,
                // Boxed, so that the futures of operations that only read stay small.
                Conclusion::Change(change) => Box::pin(self.change::<Op>(&request, change)).await,
            },
            // Boxed, so that the futures of light operations stay small.
            None => Box::pin(self.walk_beside::<Op>(request)).await,
        }
    }

    /// Walks an operation that computes or reads for long. Its record is appended where it ran, so that its event loop is
    /// woken once: when that is durable.
    async fn walk_beside<Op: Operation>(self, request: Arc<Op::Request>) -> Answer {
        let asked = Arc::clone(&request);
        let concluded = self.beside(move |visit| {
            let ran = visit.attempt_beside::<Op>(&asked);
            visit.concluded::<Op>(&asked, ran)
        });
        match concluded.await {
            Ok((_, Conclusion::Recorded(recorded))) => recorded.durable().await,
            Ok((visit, Conclusion::Change(change))) => visit.change::<Op>(&request, change).await,
            Err(answer) => answer,
        }
    }

    /// What is answered after an attempt: at once, or when a change is committed.
    fn concluded<Op: Operation>(
        &mut self,
        request: &Op::Request,
        Ran { about, result }: Ran<Op::Reply>,
    ) -> Conclusion<Op::Reply> {
        match result {
            Err(fault) => {
                let read_only = Op::KIND == Kind::Read;
                Conclusion::Recorded(self.refused(fault, Some(Op::parameters(request)), &about, read_only))
            }
            Ok((done, _)) if done.writes.is_empty() => {
                Conclusion::Recorded(self.answered::<Op>(request, done, &about))
            }
            Ok((done, seen)) => Conclusion::Change(Change { about, done, seen }),
        }
    }

    /// Commits what an operation wants written, with its record, if all that its decision saw still holds. Otherwise the
    /// decision is taken again.
    async fn change<Op: Operation>(
        mut self,
        request: &Arc<Op::Request>,
        change: Change<Op::Reply>,
    ) -> Answer {
        let Change { mut about, mut done, mut seen } = change;
        let mut turn = None;
        for attempt in 1..=limits::DECISION_ATTEMPTS_MAX {
            if done.writes.is_empty() {
                return self.answered::<Op>(request, done, &about).durable().await;
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
                            return self.unchanged::<Op>(Fault::internal(error), request, &about).await;
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
            let ran = match self.attempt::<Op>(request) {
                Some(ran) => ran,
                None => {
                    let asked = Arc::clone(request);
                    match self.beside(move |visit| visit.attempt_beside::<Op>(&asked)).await {
                        Ok((visit, ran)) => {
                            self = visit;
                            ran
                        }
                        Err(answer) => return answer,
                    }
                }
            };
            about = ran.about;
            (done, seen) = match ran.result {
                Ok(ran) => ran,
                Err(fault) => return self.unchanged::<Op>(fault, request, &about).await,
            };
        }
        let message = "Too many concurrent changes. Reduce the frequency of your calls.";
        self.unchanged::<Op>(Fault::new(ErrorKind::Throttling, message), request, &about).await
    }

    /// Refuses an operation that is routed but not built: after authentication, with its request checked.
    pub async fn refuse<Request: WireRequest>(mut self, fault: Fault) -> Answer {
        let fault = match Request::decode(&self.arrival.body) {
            Ok(_) => fault,
            Err(error) => error.into(),
        };
        self.refused(fault, None, &About::default(), true).durable().await
    }

    /// Attempts an operation here, if it is not one of those that take long.
    fn attempt<Op: Operation>(&self, request: &Arc<Op::Request>) -> Option<Ran<Op::Reply>> {
        // A document takes about a millisecond to verify.
        if Op::weight(request) == Weight::Heavy || Op::recipient(request).is_some() {
            return None;
        }
        let setting = Setting::new(&self.arrival, self.time);
        decide_and_run::<Op>(&self.corridor.parts, &self.caller, &setting, request, Where::OnEventLoop)
    }

    /// Attempts any operation, on a thread that may take its time.
    fn attempt_beside<Op: Operation>(&self, request: &Arc<Op::Request>) -> Ran<Op::Reply> {
        let setting = Setting::new(&self.arrival, self.time);
        let (parts, caller) = (&self.corridor.parts, &self.caller);
        // What panics leaves nothing behind that is read again: rows and the request are not written to.
        let ran = panic::catch_unwind(AssertUnwindSafe(|| {
            decide_and_run::<Op>(parts, caller, &setting, request, Where::BesideEventLoops)
        }));
        let failed = |fault| Ran { about: About::default(), result: Err(fault) };
        match ran {
            Ok(Some(ran)) => ran,
            // Beside the event loops everything can be told.
            Ok(None) => failed(Fault::internal(RecordsError::Overloaded)),
            Err(_) => failed(Fault::internal(Panicked)),
        }
    }

    /// Does something for the request beside the event loops. An `Err` is a finished answer.
    async fn beside<T: Send + 'static>(
        self,
        work: impl FnOnce(&mut Self) -> T + Send + 'static,
    ) -> Result<(Self, T), Answer>
    where
        (Self, T): Settle,
    {
        let Self { operation, protocol, request_id, .. } = self;
        let computing = self.corridor.parts.journal.computing();
        let run = move || {
            let _computing = computing;
            let mut visit = self;
            visit.is_patient = true;
            let done = work(&mut visit);
            (visit, done)
        };
        beside(run).await.ok_or_else(|| {
            // What panics in an attempt is caught there; this is a panic behind it, or the end of the process. The visit has been
            // dropped, and has left an abandoned record if it had none.
            let fault = Fault::internal(Panicked);
            log_fault(&fault, request_id, operation);
            protocol.refusal(request_id, operation, fault.error())
        })
    }

    /// The end of an operation that changed nothing.
    fn answered<Op: Operation>(
        &mut self,
        request: &Op::Request,
        done: Done<Op::Reply>,
        about: &About,
    ) -> Recorded {
        let end = End {
            additional: with_recipient(done.additional_data, about),
            keys: &about.keys,
            parameters: Some(Op::parameters(request)),
            read_only: Op::KIND == Kind::Read,
            resources: &done.resources,
            response_elements: done.response_elements,
            ..End::default()
        };
        let synced = self.record(end, Op::TRACKED);
        Recorded { answer: self.success(&done.reply), protocol: self.protocol, synced }
    }

    /// The end of an operation whose change is committed: its record is in the outbox row of that commit.
    fn changed<Reply: WireReply>(&mut self, reply: &Reply) -> Answer {
        drop(self.place.take());
        self.success(reply)
    }

    /// The end of an operation that was refused: that is recorded and synced like anything else.
    fn refused(
        &mut self,
        fault: Fault,
        parameters: Option<Vec<(&'static str, Value<'_>)>>,
        about: &About,
        read_only: bool,
    ) -> Recorded {
        log_fault(&fault, self.request_id, self.operation);
        let end = End {
            additional: with_recipient(Vec::new(), about),
            error: Some(fault.error()),
            keys: &about.keys,
            parameters,
            read_only,
            ..End::default()
        };
        let synced = self.record(end, None);
        let answer = self.protocol.refusal(self.request_id, self.operation, fault.error());
        Recorded { answer, protocol: self.protocol, synced }
    }

    /// The end of an operation that would have changed something, and does not although it had been allowed.
    async fn unchanged<Op: Operation>(
        &mut self,
        fault: Fault,
        request: &Op::Request,
        about: &About,
    ) -> Answer {
        self.refused(fault, Some(Op::parameters(request)), about, false).durable().await
    }

    /// Appends the record at the reserved place. If it is the record of a use, that counts from now on.
    fn record(&mut self, end: End<'_>, tracked: Option<TrackedOperation>) -> Option<Synced> {
        let place = self.place.take()?;
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
        Some(ticket.synced())
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

fn log_fault(fault: &Fault, request_id: RequestId, operation: &'static str) {
    if let Some(cause) = fault.cause() {
        tracing::error!(request = %request_id, operation, error = cause as &dyn std::error::Error, "internal fault");
    }
}
