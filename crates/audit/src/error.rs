//! What can go wrong with the journal.

use std::io;
use std::path::PathBuf;

use crate::event::EventError;
use crate::format::HeaderFault;

/// Why a record was not taken, or is not known to be on the disk.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("the events are more than one batch may hold")]
    BatchTooLarge,
    #[error("the store's state is longer than a checkpoint may hold")]
    CheckpointStateTooLarge,
    #[error("the audit journal is closed")]
    Closed,
    #[error("too many audit records wait for the disk")]
    Full,
    #[error("the audit journal's writer could not be started")]
    Spawn(#[source] io::Error),
    #[error("the audit journal could not be taken up")]
    Read(#[from] ReadError),
    /// The record may reach the disk later. Whoever waited must not answer as if it had.
    #[error("the audit record could not be written in time")]
    SyncFailed,
    #[error("the audit journal cannot be written at present")]
    Unavailable,
    #[error("the audit journal in `{directory}` could not be written")]
    Write { directory: PathBuf, source: io::Error },
}

/// What a reader found wrong.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the checkpoint at byte {offset} of `{segment}` {fault}")]
    Checkpoint { segment: String, offset: u64, fault: CheckpointFault },
    #[error("the record at byte {offset} of `{segment}` is damaged: {fault}")]
    Corrupt { segment: String, offset: u64, fault: RecordFault },
    #[error("the event at byte {offset} of `{segment}` cannot be read")]
    Event { segment: String, offset: u64, source: EventError },
    #[error("the header of `{segment}` is damaged: {fault}")]
    Header { segment: String, fault: HeaderFault },
    #[error("`{path}` could not be read")]
    Io { path: PathBuf, source: io::Error },
    #[error("`{segment}` does not continue `{previous}`: {fault}")]
    Link { previous: String, segment: String, fault: LinkFault },
    #[error("record {sequence} is not in the journal any more")]
    Missing { sequence: u64 },
    #[error("the payload of the record at byte {offset} of `{segment}` has the wrong form")]
    Payload { segment: String, offset: u64 },
}

/// Why bytes are not the record that must stand there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    #[error("the chain of hashes is broken")]
    Chain,
    #[error("its checksum does not match")]
    Checksum,
    #[error("its head cannot be one of a record")]
    Head,
    #[error("its sequence number is not the next")]
    Sequence,
    #[error("it is cut short")]
    Short,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointFault {
    #[error("has a signature that does not verify")]
    Invalid,
    #[error("names another place in the chain")]
    Misplaced,
    #[error("is signed with a key that is not this deployment's")]
    UnknownKey,
    #[error("is not signed")]
    Unsigned,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkFault {
    #[error("the chain of hashes is broken")]
    Chain,
    #[error("it names another predecessor")]
    Predecessor,
    #[error("records are missing or too many")]
    Sequence,
    #[error("bytes stand behind the end of the earlier one")]
    Tail,
}
