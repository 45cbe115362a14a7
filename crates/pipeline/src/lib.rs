//! The corridor: authenticate, decode, authorize, run, commit, seal.
//!
//! Read [`corridor`] and you have read the product. A listener hands in an [`Arrival`]; [`Corridor::receive`] opens the
//! trail and finds out who calls ([`Caller`]); the service names the operation by a type and calls [`Visit::walk`], which
//! decodes the request, lets the operation name the rows it is about, has `policy` decide, mints the [`Permit`], runs the
//! operation, commits what it wants written, records what happened, and only then answers.
//!
//! It guarantees that
//!
//! - an operation runs only with a [`Permit`], which holds the very rows that the decision saw and is minted in one place;
//! - an answer leaves only after its record is durable: in the journal, or in the outbox row of the batch that made a
//!   change true; a request that is dropped or panics leaves an *abandoned* record; one that only reads and runs
//!   beside the event loops when it is dropped runs to its end, and leaves the record of that;
//! - a change is committed only if every row its decision saw is unchanged; otherwise the decision is taken again.
//!
//! What the service does by itself ([`Job`]) takes the same corridor from the rows to the record, by a road of its own
//! ([`JobCorridor`]) that no request can take.
//!
//! Of services it knows how to tell them apart ([`Named`]); operations come in as types. It does not do HTTP.

mod arrival;
mod authenticate;
mod beside;
mod caller;
mod corridor;
mod decide;
mod facts;
mod fault;
mod job;
mod operation;
mod outbox;
mod parts;
mod permit;
mod protocol;
mod reader;
mod recipient;
mod record;
mod recorded;
mod stranger;
mod turns;
mod usage;

pub use arrival::{Answer, Arrival, Tls};
pub use caller::Caller;
pub use corridor::{Corridor, Named, Visit};
pub use facts::{NewKeyFacts, RequestFacts, Setting};
pub use fault::Fault;
pub use job::{Job, JobCorridor, JobDone, JobError, JobReader, PendingKeys};
pub use operation::{Check, Checks, Done, Grant, Key, Kind, Operation, Targets, Weight, World};
pub use outbox::{Drainer, DrainerError, OutboxReceiver, OutboxSender};
pub use parts::{Offers, Parts};
pub use permit::{JobPermit, Permit};
pub use reader::{Reader, RetirableGrants};
pub use usage::{KeyUses, UsageError, UsageThread, UsageWriter};
