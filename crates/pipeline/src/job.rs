//! Jobs: what the service does by itself, by the same corridor as requests.
//!
//! A [`Job`] finds its rows through a [`JobReader`], runs with a [`JobPermit`] that holds them, and hands out its
//! [`Writes`]. They are committed with their record in one batch, and only if every row that was seen still holds;
//! otherwise the job is decided again and may find that there is nothing to do any more. The record is CloudTrail's
//! `AwsServiceEvent`, whose caller is the service.
//!
//! No request can take this road: a [`Job`] is not an [`Operation`](crate::Operation), its task is decoded from nothing, and a
//! [`JobPermit`] is not a [`Permit`](crate::Permit). What fails is an error for the log and is tried again by whoever drives
//! the jobs; a job that did nothing leaves no record.

use std::sync::Arc;

use strongroom_audit::{EventSource, JournalError, Value};
use strongroom_crypto::RootHolder;
use strongroom_records::{
    AccountKeyRow, Address, AliasRow, CommitError, DeploymentRow, DomainKeyRow, KeyRow, KeyState,
    KeyUsageRow, Loaded, OutboxRow, Records, RecordsError, Renewal, Row, RowScope, Seen, Writes,
};
use strongroom_types::{AccountId, AliasName, Env, KeyId, RegionName, RequestId, Timestamp, limits};

use crate::corridor::{Corridor, settle};
use crate::decide::decide_and_run_job;
use crate::operation::{Key, World};
use crate::parts::Parts;
use crate::permit::JobPermit;
use crate::record::service_event;

/// One kind of thing that the service does by itself.
pub trait Job: Sized + Send + Sync + 'static {
    /// Which one is to be done. It says where to look, never that it must be done: the rows do.
    type Task: Send + Sync;
    /// The rows that the decision sees and the permit hands to [`run`](Self::run).
    type Rows: Send + Sync;

    /// The event's name and source in the audit trail.
    const NAME: &'static str;
    const SOURCE: EventSource;

    /// The region whose trail has the record.
    fn region(task: &Self::Task) -> &RegionName;

    /// Finds the rows that the task is about.
    fn targets(task: &Self::Task, reader: &mut JobReader<'_>) -> Result<Self::Rows, JobError>;

    /// Does it, if the rows call for it: nothing to write means that there was nothing to do.
    fn run(permit: &JobPermit<'_, Self>, world: &World<'_>) -> Result<JobDone, JobError>;
}

/// What a job leaves when it has run.
#[derive(Default)]
pub struct JobDone {
    pub writes: Writes,
    /// The key that it was about, whose account owns the record.
    pub key: Option<Key>,
    /// `serviceEventDetails` of the record.
    pub details: Vec<(&'static str, Value<'static>)>,
}

/// Why a job did not get through. It is for the log, and the job for later.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error("the change was not committed")]
    Commit(#[from] CommitError),
    #[error("too many changes met on the same rows")]
    Conflicts,
    #[error("the audit journal cannot be written")]
    Journal(#[from] JournalError),
    #[error("a row cannot be read")]
    Records(#[from] RecordsError),
}

/// How a job reaches rows. What is seen through it, absences too, must still hold when the job is committed.
pub struct JobReader<'a> {
    records: &'a Records,
    seen: Vec<Seen>,
}

impl<'a> JobReader<'a> {
    pub(crate) fn new(records: &'a Records) -> Self {
        Self { records, seen: Vec::new() }
    }

    pub(crate) fn into_seen(self) -> Vec<Seen> {
        self.seen
    }

    pub fn key(&mut self, region: &RegionName, key_id: &KeyId) -> Result<Option<Key>, RecordsError> {
        let key = self.records.key(region, key_id)?;
        self.see(key.as_deref(), || KeyRow::address(region, key_id));
        Ok(key)
    }

    pub fn alias(
        &mut self,
        region: &RegionName,
        account: AccountId,
        name: &AliasName,
    ) -> Result<Option<Arc<Loaded<AliasRow>>>, RecordsError> {
        let alias = self.records.alias(region, account, name)?;
        self.see(alias.as_deref(), || AliasRow::address(region, account, name));
        Ok(alias)
    }

    /// A key's row in the index of its account.
    pub fn account_key(
        &mut self,
        region: &RegionName,
        account: AccountId,
        key_id: &KeyId,
    ) -> Result<Option<Loaded<AccountKeyRow>>, RecordsError> {
        self.load(AccountKeyRow::address(region, account, key_id))
    }

    /// When a key was last used.
    pub fn key_usage(
        &mut self,
        region: &RegionName,
        key_id: &KeyId,
    ) -> Result<Option<Loaded<KeyUsageRow>>, RecordsError> {
        self.load(KeyUsageRow::address(region, key_id))
    }

    /// What is known of a scope's newest domain key.
    pub fn domain_key(&mut self, scope: &RowScope) -> Result<Option<Loaded<DomainKeyRow>>, RecordsError> {
        self.load(DomainKeyRow::address(scope))
    }

    /// When the deployment was made. That never changes, so it need not be tracked.
    pub fn deployment_created(&self) -> Result<Timestamp, RecordsError> {
        let address = DeploymentRow::address();
        let row = self.records.load::<DeploymentRow>(&address)?;
        row.map(|row| row.created).ok_or_else(|| RecordsError::MissingRow { address: address.to_string() })
    }

    fn load<R: Row>(&mut self, address: Address) -> Result<Option<Loaded<R>>, RecordsError> {
        let row = self.records.load::<R>(&address)?;
        self.see(row.as_ref(), || address);
        Ok(row)
    }

    fn see<R>(&mut self, row: Option<&Loaded<R>>, address: impl FnOnce() -> Address) {
        self.seen.push(row.map_or_else(|| Seen::absent(address()), Loaded::seen));
    }
}

/// Keys that are pending deletion, from a walk over all keys of a region.
pub struct PendingKeys {
    pub keys: Vec<(KeyId, Timestamp)>,
    /// Where to go on; `None` at the end.
    pub last: Option<String>,
}

/// The corridor as jobs walk it, and the upkeep that goes with it. Nothing here hands out a row.
pub struct JobCorridor {
    corridor: Arc<Corridor>,
}

impl JobCorridor {
    pub fn new(corridor: Arc<Corridor>) -> Self {
        Self { corridor }
    }

    /// Runs a job to its end: `true` if it changed something. Blocks.
    pub fn run<J: Job>(&self, task: &J::Task) -> Result<bool, JobError> {
        let parts = self.parts();
        // As for a request: nothing is done while nothing can be recorded.
        drop(parts.journal.reserve()?);
        for _ in 0..limits::DECISION_ATTEMPTS_MAX {
            let (done, seen) = decide_and_run_job::<J>(parts, task)?;
            if done.writes.is_empty() {
                return Ok(false);
            }
            let (writes, outbox) = with_outbox::<J>(parts, task, done);
            match parts.records.commit_blocking(writes, seen) {
                Ok(()) => return Ok(true),
                Err(CommitError::Conflict { address }) => {
                    tracing::debug!(job = J::NAME, row = address, "deciding again");
                }
                Err(CommitError::Unknown) if settle(parts, &outbox)? => return Ok(true),
                Err(error) => return Err(error.into()),
            }
        }
        Err(JobError::Conflicts)
    }

    pub fn env(&self) -> &dyn Env {
        &*self.parts().env
    }

    pub fn regions(&self) -> &[RegionName] {
        &self.parts().regions
    }

    /// A page of the keys of a region that are pending deletion, out of at most `rows_max` keys. A key that cannot be read
    /// is named in the log and passed over.
    pub fn pending_keys(
        &self,
        region: &RegionName,
        after: Option<&str>,
        rows_max: usize,
    ) -> Result<PendingKeys, RecordsError> {
        let prefix = KeyRow::prefix(region);
        let page = self.parts().records.page::<KeyRow>(&prefix, after, rows_max, |_| true)?;
        let mut keys = Vec::new();
        for row in page.rows {
            match row {
                Ok(key) if key.state() == KeyState::PendingDeletion => {
                    keys.extend(key.deletion_date().map(|date| (key.key_id(), date)));
                }
                Ok(_) => {}
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "a key that may be due for deletion cannot be read");
                }
            }
        }
        Ok(PendingKeys { keys, last: page.last })
    }

    /// Begins to move what is under older domain keys; `None` if there are none.
    pub fn renewal(&self, scope: &RowScope) -> Result<Option<Renewal>, RecordsError> {
        self.parts().records.renewal(scope)
    }

    /// One bounded step of that.
    pub fn renew(&self, renewal: &mut Renewal) -> Result<(), RecordsError> {
        self.parts().records.renew(renewal)
    }

    /// Makes the domain keys in memory those of the store.
    pub fn take_up_domain_keys(&self, root: &dyn RootHolder, scope: &RowScope) -> Result<(), RecordsError> {
        self.parts().records.take_up_domain_keys(root, scope)
    }

    /// Versions of a scope's domain key that are in use.
    pub fn domain_key_versions(&self, scope: &RowScope) -> Result<Vec<u32>, RecordsError> {
        self.parts().records.domain_key_versions(scope)
    }

    /// Removes grants of destroyed keys, about `rows_max` at most; returns how many. The record of the key's destruction is
    /// their record, too.
    pub fn sweep_orphaned_grants(&self, region: &RegionName, rows_max: usize) -> Result<usize, RecordsError> {
        self.parts().records.sweep_orphaned_grants(region, rows_max)
    }

    /// Removes from the store's log whatever was deleted before this call.
    pub fn truncate_log(&self) -> Result<(), RecordsError> {
        self.parts().records.truncate_log()
    }

    fn parts(&self) -> &Parts {
        &self.corridor.parts
    }
}

/// Adds the sealed record to what is written, and says where it will stand.
fn with_outbox<J: Job>(parts: &Parts, task: &J::Task, mut done: JobDone) -> (Writes, Address) {
    let (time, region) = (parts.env.now(), J::region(task));
    let [id, row_id] = [(), ()].map(|()| RequestId::from_random(parts.env.random_id()));
    let mut event = Vec::with_capacity(512);
    service_event((J::SOURCE, J::NAME), (id, time), region, &done).encode(&mut event);
    let address = OutboxRow::address(region, &row_id);
    done.writes.create(address.clone(), OutboxRow { created: time, event });
    (done.writes, address)
}
