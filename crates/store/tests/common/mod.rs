//! A store in a directory of its own, and short ways to write to it.

#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "test code")]

use std::ops::Deref;
use std::path::Path;

use strongroom_store::{
    Batch, BatchOutcome, CommitError, GroupCommit, Op, Row, SqliteStore, Store, StoreError,
};
use strongroom_testkit::scratch::ScratchDirectory;

/// A store that takes its directory with it.
pub(crate) struct Placed {
    // Dropped in this order: the store is closed before its directory goes.
    store: SqliteStore,
    directory: ScratchDirectory,
}

impl Placed {
    pub(crate) fn create() -> Self {
        let directory = ScratchDirectory::new();
        Self { store: SqliteStore::create(directory.path()).unwrap(), directory }
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Deref for Placed {
    type Target = SqliteStore;

    fn deref(&self) -> &SqliteStore {
        &self.store
    }
}

impl Store for Placed {
    fn get(&self, address: &str) -> Result<Option<Row>, StoreError> {
        self.store.get(address)
    }

    fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Row)>, StoreError> {
        self.store.scan(prefix, after, limit)
    }

    fn commit_group(
        &self,
        batches: &[Batch],
        finish: &mut dyn FnMut(&[BatchOutcome]) -> Vec<Op>,
    ) -> Result<GroupCommit, CommitError> {
        self.store.commit_group(batches, finish)
    }

    fn revision(&self) -> Result<u64, StoreError> {
        self.store.revision()
    }

    fn integrity_check(&self) -> Result<(), StoreError> {
        self.store.integrity_check()
    }

    fn truncate_log(&self) -> Result<(), StoreError> {
        self.store.truncate_log()
    }

    fn close(&self) -> Result<(), StoreError> {
        self.store.close()
    }
}

pub(crate) fn put(address: &str, version: u64, value: &[u8]) -> Op {
    Op::Put { address: address.to_owned(), version, value: value.to_vec() }
}

/// Commits one batch without preconditions.
pub(crate) fn write(store: &dyn Store, ops: Vec<Op>) -> Result<GroupCommit, CommitError> {
    store.commit_group(&[Batch { preconditions: Vec::new(), ops }], &mut |_| Vec::new())
}

pub(crate) fn version(store: &dyn Store, address: &str) -> Result<Option<u64>, StoreError> {
    Ok(store.get(address)?.map(|row| row.version))
}
