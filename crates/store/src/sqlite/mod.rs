//! The embedded store: one SQLite database in write-ahead-log mode.
//!
//! **Files.** `strongroom.sqlite3` in the data directory, readable by its owner alone, and beside it the `-wal` and
//! `-shm` files that SQLite keeps while the database is open. The caller holds the lock on the data directory.
//!
//! **Connections.** One writer, behind a mutex; some readers, opened when first needed; one for checkpoints, with a
//! thread of its own, because a checkpoint inside a commit would make that commit a hundred times slower.
//!
//! **Busy.** In this mode readers wait for nobody and nobody waits for them, and the writer's mutex keeps our own
//! threads apart. What is left is a foreign process, such as an operator's shell: every connection waits for it for
//! two seconds, then the call fails with `Busy` and nothing has changed. Nothing is tried twice here.
//!
//! **Errors.** A connection that has seen an error is not used again. If COMMIT itself failed, the outcome is not
//! known; `writer` tells how it is settled.
//!
//! **Deletion.** `secure_delete` overwrites what is deleted with zeros, and `truncate_log` cuts the log, which still
//! has it, to nothing. Two kinds of copy stay: those that the file system or the disk keeps, and, rarely, one in the
//! unused part of a page from which SQLite had moved the row while it was alive (some 25 of 50,000 deleted rows, when
//! this was measured). So the last word in destroying a sealed value is to destroy the key that sealed it.

mod checkpointer;
mod connection;
mod file;
mod readers;
mod restoration;
mod rows;
mod snapshot;
mod store;
mod writer;

pub use restoration::Restoration;
pub use snapshot::Snapshot;
pub use store::SqliteStore;
