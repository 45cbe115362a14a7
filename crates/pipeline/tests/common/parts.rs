//! A store with a gate, a disk that fails when it is told to, a signer whose signatures are all good.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use strongroom_audit::{
    CheckpointSignError, CheckpointSigner, CheckpointVerifier, DiskFiles, SegmentFile, SegmentFiles, Verdict,
};
use strongroom_store::{Batch, BatchOutcome, CommitError, GroupCommit, Op, Row, Store, StoreError};
use strongroom_testkit::store::{Call, Fault, MemoryStore};

pub(crate) struct Gated {
    pub(crate) gate: Arc<Mutex<()>>,
    /// How the next group fails that deletes something.
    pub(crate) next_deletion: Arc<Mutex<Option<Fault>>>,
    pub(crate) store: MemoryStore,
}

impl Store for Gated {
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
        let _open = self.gate.lock().unwrap();
        let deletes = batches.iter().flat_map(|batch| &batch.ops).any(|op| matches!(op, Op::Delete { .. }));
        if deletes && let Some(fault) = self.next_deletion.lock().unwrap().take() {
            self.store.fail_next(Call::CommitGroup, fault);
        }
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

/// The switch of a disk: while it is on, nothing can be written. It can also be told which calls are to fail.
#[derive(Clone, Default)]
pub(crate) struct FailingFiles {
    is_failing: Arc<AtomicBool>,
    plan: Arc<Mutex<Plan>>,
}

#[derive(Default)]
struct Plan {
    calls: u64,
    failing: Range<u64>,
}

struct Files(FailingFiles, DiskFiles);
struct OneFile(FailingFiles, Box<dyn SegmentFile>);

impl FailingFiles {
    pub(crate) fn set_failing(&self, is_failing: bool) {
        self.is_failing.store(is_failing, SeqCst);
    }

    pub(crate) fn over(&self, files: DiskFiles) -> impl SegmentFiles + use<> {
        Files(self.clone(), files)
    }

    /// How many calls there were.
    pub(crate) fn calls(&self) -> u64 {
        self.plan.lock().unwrap().calls
    }

    /// After `skipped` calls more, `count` fail.
    pub(crate) fn fail_after(&self, skipped: u64, count: u64) {
        let mut plan = self.plan.lock().unwrap();
        let first = plan.calls + skipped;
        plan.failing = first..first + count;
    }

    fn works(&self) -> io::Result<()> {
        let mut plan = self.plan.lock().unwrap();
        let call = plan.calls;
        plan.calls += 1;
        if self.is_failing.load(SeqCst) || plan.failing.contains(&call) {
            Err(io::Error::other("the test ordered a fault"))
        } else {
            Ok(())
        }
    }
}

impl SegmentFiles for Files {
    fn create(&mut self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        self.0.works()?;
        Ok(Box::new(OneFile(self.0.clone(), self.1.create(name)?)))
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.0.works()?;
        self.1.rename(from, to)
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        self.0.works()?;
        self.1.sync_directory()
    }
}

impl SegmentFile for OneFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.works()?;
        self.1.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.works()?;
        self.1.sync()
    }
}

pub(crate) struct OneSigner;

impl CheckpointSigner for OneSigner {
    fn sign(&self, _: &[u8]) -> Result<[u8; 64], CheckpointSignError> {
        Ok([1; 64])
    }

    fn public_key(&self) -> [u8; 32] {
        [2; 32]
    }
}

impl CheckpointVerifier for OneSigner {
    fn verify(&self, _: &[u8; 32], _: &[u8], _: &[u8; 64]) -> Verdict {
        Verdict::Valid
    }
}
