//! The audit trail: what was asked, by whom, and what came of it.
//!
//! - [`Event`] is one audit event; [`to_cloudtrail`] shows it as CloudTrail does.
//! - [`Journal`] takes events and says when they are on the disk. Nothing is answered before it has said so.
//! - [`JournalReader`] and [`verify`] read a journal and trust nothing in it; [`event_ids_since`] makes the replay of
//!   the outbox idempotent, [`each_event_after`] tells what happened since somebody looked last.
//! - [`survey`] tells how far a journal reaches and what its newest checkpoint says of the store.
//! - [`StrangerLog`] keeps failures of callers who are not known yet, capped and without promises.
//!
//! What it deliberately does not do: decide what is recorded (the pipeline does), hold the key that signs checkpoints
//! (`crypto` does, behind [`CheckpointSigner`]), export to anywhere.
//!
//! The bytes stand in `docs/formats.md#journal`; golden tests hold them.

mod checkpoint;
mod cloudtrail;
mod error;
mod event;
mod extent;
mod files;
mod format;
mod journal;
mod note;
mod reader;
mod scan;
mod sequence;
mod spare;
mod stats;
mod stranger;
mod survey;
#[cfg(test)]
mod testing;
mod verify;

pub use checkpoint::{Checkpoint, CheckpointSignError, CheckpointSigner, CheckpointVerifier, Verdict};
pub use cloudtrail::to_cloudtrail;
pub use error::{CheckpointFault, JournalError, LinkFault, ReadError, RecordFault};
pub use event::{
    Event, EventError, EventKind, EventSource, Failure, Field, Identity, IdentityKind, Items, Parameters,
    Resource, TlsDetails, Value,
};
pub use extent::{Extent, extents};
pub use files::{DiskFiles, SegmentFile, SegmentFiles};
pub use format::HeaderFault;
pub use journal::{Appenders, Computing, Journal, JournalEnd, JournalOptions, Place, Synced, Ticket};
pub use note::Note;
pub use reader::{Entry, JournalReader, Record, TornTail, each_event_after, event_ids_since};
pub use sequence::Sequence;
pub use stats::{JournalStats, SYNC_BUCKETS_MICROS};
pub use stranger::{Stranger, StrangerLog, StrangerLogError, StrangerStats};
pub use survey::{Survey, survey};
pub use verify::{Report, verify};
