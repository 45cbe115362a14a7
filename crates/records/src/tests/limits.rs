//! Each limit, at it and one past it; a batch past a limit harms nobody else's.

use strongroom_crypto::ROW_OVERHEAD_BYTES;
use strongroom_store::{Batch, BatchOutcome, GroupCommit, Op, Row as StoredRow, StoreError};
use strongroom_types::limits::{
    ALIASES_PER_KEY_MAX, BATCH_OPS_MAX, BATCH_PRECONDITIONS_MAX, DESCRIPTION_CHARACTERS_MAX,
    POLICY_CHARACTERS_MAX, REGIONS_MAX, ROW_VALUE_BYTES_MAX, TAG_KEY_CHARACTERS_MAX,
    TAG_VALUE_CHARACTERS_MAX, TAGS_PER_KEY_MAX,
};
use strongroom_types::{RequestId, Tag, TagKey, TagValue};

use super::*;
use crate::tables::Row;
use crate::{CommitError, RecordsError, Seen};

fn accounts(count: usize) -> Writes {
    let mut writes = Writes::default();
    for number in 0..count as u64 {
        writes.create(AccountRow::address(numbered(number)), account_row(number, 0));
    }
    writes
}

fn absences(count: usize) -> Vec<Seen> {
    (0..count as u64).map(|number| Seen::absent(AccountRow::address(numbered(1000 + number)))).collect()
}

#[test]
fn a_batch_holds_its_limit_of_operations_and_no_more() {
    let deployment = Deployment::new();
    let refused = deployment.records.commit_blocking(accounts(BATCH_OPS_MAX + 1), Vec::new());
    assert!(matches!(refused, Err(CommitError::Failed(RecordsError::Store(_)))), "{refused:?}");
    assert_eq!(deployment.check().rows["account"], 1);
    deployment.records.commit_blocking(accounts(BATCH_OPS_MAX), Vec::new()).unwrap();
    assert_eq!(deployment.check().rows["account"], 1 + BATCH_OPS_MAX as u64);
    deployment.assert_clean();
}

#[test]
fn a_decision_sees_its_limit_of_rows_and_no_more() {
    let deployment = Deployment::new();
    let refused = deployment.records.commit_blocking(accounts(1), absences(BATCH_PRECONDITIONS_MAX));
    let too_many = |error: &RecordsError| matches!(error, RecordsError::Store(StoreError::TooManyPreconditions { found }) if *found == BATCH_PRECONDITIONS_MAX + 1);
    assert!(matches!(&refused, Err(CommitError::Failed(error)) if too_many(error)), "{refused:?}");
    deployment.records.commit_blocking(accounts(1), absences(BATCH_PRECONDITIONS_MAX - 1)).unwrap();
    deployment.assert_clean();
}

/// An outbox row whose sealed value has this size.
fn outbox_row(sealed_bytes: usize) -> Writes {
    let row = |length| OutboxRow { created: CREATED, event: vec![0; length] };
    let guess = sealed_bytes - ROW_OVERHEAD_BYTES - 100;
    let frame = row(guess).encode().len() - guess;
    let row = row(sealed_bytes - ROW_OVERHEAD_BYTES - frame);
    assert_eq!(row.encode().len() + ROW_OVERHEAD_BYTES, sealed_bytes);
    let mut writes = Writes::default();
    writes.create(OutboxRow::address(&us(), &RequestId::from_bytes([1; 16])), row);
    writes
}

#[test]
fn a_value_has_its_limit_of_bytes_and_no_more() {
    let deployment = Deployment::new();
    let refused = deployment.records.commit_blocking(outbox_row(ROW_VALUE_BYTES_MAX + 1), Vec::new());
    assert!(matches!(refused, Err(CommitError::Failed(RecordsError::Seal { .. }))), "{refused:?}");
    deployment.records.commit_blocking(outbox_row(ROW_VALUE_BYTES_MAX), Vec::new()).unwrap();
    let address = OutboxRow::address(&us(), &RequestId::from_bytes([1; 16]));
    assert!(deployment.records.load::<OutboxRow>(&address).unwrap().is_some());
    deployment.assert_clean();
}

#[test]
fn a_key_at_all_its_limits_fits_its_row() {
    let deployment = Deployment::new();
    let key_id = deployment.create_key(&us(), &[]);
    let loaded = deployment.key(&key_id);
    let mut key = (**loaded).clone();
    for number in 0..ALIASES_PER_KEY_MAX {
        key.add_alias(alias_name(&format!("alias/{number:0250}")));
    }
    // Four bytes per character is the most that UTF-8 takes.
    let letters = |count: usize| "\u{20000}".repeat(count);
    for number in 0..TAGS_PER_KEY_MAX {
        let number = char::from_u32(0x20000 + number as u32).unwrap();
        let tag_key = format!("{number}{}", letters(TAG_KEY_CHARACTERS_MAX - 1));
        let value = letters(TAG_VALUE_CHARACTERS_MAX);
        key.set_tag(Tag { key: TagKey::parse(&tag_key).unwrap(), value: TagValue::parse(&value).unwrap() });
    }
    key.schedule_deletion(CREATED);
    let description = (DESCRIPTION_CHARACTERS_MAX + POLICY_CHARACTERS_MAX) * 4;
    let size = key.encode().len() + description + ROW_OVERHEAD_BYTES;
    assert!(size < ROW_VALUE_BYTES_MAX, "{size}");
    assert_eq!((key.aliases().len(), key.tags().len()), (ALIASES_PER_KEY_MAX, TAGS_PER_KEY_MAX));
}

#[test]
fn a_deployment_of_all_regions_is_initialised_and_opened() {
    let regions: Vec<_> = (0..REGIONS_MAX).map(|number| region(&format!("test-{number:02}"))).collect();
    let deployment = Deployment::with(regions.clone(), Limits::default());
    assert!(deployment.store.rows().len() > BATCH_OPS_MAX, "more than one batch holds");
    let report = deployment.check();
    assert_eq!((report.problems, report.rows["state"]), (Vec::new(), 1 + REGIONS_MAX as u64));
    for region in &regions {
        deployment.create_key(region, &["alias/app"]);
    }
    let deployment = deployment.restart();
    assert_eq!(deployment.check().materials, REGIONS_MAX as u64);
    deployment.assert_clean();
}

/// A store whose commits wait for a gate.
struct Gated {
    entered: std::sync::mpsc::Sender<usize>,
    gate: std::sync::Mutex<Receiver<()>>,
    store: MemoryStore,
}

impl Store for Gated {
    fn get(&self, address: &str) -> Result<Option<StoredRow>, StoreError> {
        self.store.get(address)
    }

    fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, StoredRow)>, StoreError> {
        self.store.scan(prefix, after, limit)
    }

    fn commit_group(
        &self,
        batches: &[Batch],
        finish: &mut dyn FnMut(&[BatchOutcome]) -> Vec<Op>,
    ) -> Result<GroupCommit, strongroom_store::CommitError> {
        self.entered.send(batches.len()).unwrap();
        self.gate.lock().unwrap().recv().unwrap();
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

#[test]
fn batches_that_wait_are_one_group_and_only_so_many_wait() {
    let deployment = Deployment::new();
    let (entered, group_sizes) = channel();
    let (open_gate, gate) = channel();
    let store = Arc::new(Gated { entered, gate: gate.into(), store: deployment.store.clone() });
    let limits = Limits { waiting_batches_max: 4, ..Limits::default() };
    let Deployment { env, keyring, regions, .. } = &deployment;
    let (records, _outbox) = open_on(store, keyring, regions, limits, env);
    let commit = |number: u64| {
        let mut writes = Writes::default();
        writes.create(AccountRow::address(numbered(number)), account_row(number, 0));
        records.commit(writes, Vec::new())
    };
    let first = commit(1);
    assert_eq!(group_sizes.recv().unwrap(), 1);
    // Two of these four want the same row; one more finds no place.
    let waiting: Vec<_> = [2, 3, 3, 4].into_iter().map(&commit).collect();
    let overloaded = wait(commit(5));
    assert!(matches!(overloaded, Err(CommitError::Failed(RecordsError::Overloaded))), "{overloaded:?}");
    open_gate.send(()).unwrap();
    wait(first).unwrap();
    assert_eq!(group_sizes.recv().unwrap(), 4);
    open_gate.send(()).unwrap();
    let outcomes: Vec<_> = waiting.into_iter().map(wait).collect();
    assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false, true]);
    assert!(matches!(outcomes[2], Err(CommitError::Conflict { .. })));
    records.close();
    deployment.assert_clean();
    assert_eq!(deployment.check().rows["account"], 5);
}
