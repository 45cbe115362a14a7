//! The destruction of keys whose waiting period is over.
//!
//! **Finding them.** The job walks the rows of all keys, a bounded number in each tick, and picks those that are pending
//! deletion and due. There is no index of them and no schedule in memory: a walk cannot miss a commit whose outcome was
//! unknown, needs nothing from the operations that schedule and cancel, and costs about fifteen microseconds a key. A
//! deployment of 2000 keys is walked every minute, one of a million in eight hours; AWS takes up to a day.
//!
//! **Destroying one.** One batch deletes the key's row, in which its materials are, its row in the account's index, the one
//! that says when it was last used, and its aliases, notes that its grants are to be removed, notes at the domain key that something it wrapped is
//! gone (see [`domain_keys`](super::domain_keys)), and holds the record, CloudTrail's `DeleteKey`. It is committed
//! only if all of these rows are as they were seen: a CancelKeyDeletion that comes first wins, and the key is found
//! not to be due. The commit drops the key from the caches, where its unwrapped material is wiped, and the tick then
//! truncates the store's log.
//!
//! A key that is due by a clock that was set forward is not destroyed before an hour of uptime (see
//! [`settled_clock`](super::settled_clock)).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use strongroom_audit::EventSource;
use strongroom_pipeline::{Job, JobCorridor, JobDone, JobError, JobPermit, JobReader, Key, World};
use strongroom_records::{
    AccountKeyRow, AliasRow, DomainKeyRow, KeyState, KeyUsageRow, Loaded, OrphanedGrantsRow, RecordsError,
    RowScope, Writes,
};
use strongroom_types::{KeyId, RegionName, Timestamp, limits};

use crate::jobs::JobStats;

/// A page of the walk.
const PAGE_KEYS: usize = 200;

/// Where the walk is.
#[derive(Debug, Default)]
pub(super) struct Deletions {
    region: usize,
    after: Option<String>,
    /// Keys found pending since the walk began.
    pending: u64,
}

impl Deletions {
    /// One part of the walk; `true` if a key was destroyed. Nothing is due as long as no time is settled, but keys are
    /// counted all the same.
    pub(super) fn tick(
        &mut self,
        corridor: &JobCorridor,
        settled: Option<Timestamp>,
        stats: &JobStats,
    ) -> bool {
        let mut has_destroyed = false;
        for _ in 0..limits::DELETION_WALK_KEYS.div_ceil(PAGE_KEYS) {
            let Some(region) = corridor.regions().get(self.region) else {
                stats.keys_pending.store(self.pending, Ordering::Relaxed);
                *self = Self::default();
                break;
            };
            let page = match corridor.pending_keys(region, self.after.as_deref(), PAGE_KEYS) {
                Ok(page) => page,
                Err(error) => {
                    stats.failed("looking for keys to destroy", region, &error);
                    break;
                }
            };
            for (key_id, date) in page.keys {
                let is_destroyed = settled
                    .filter(|settled| date <= *settled)
                    .is_some_and(|settled| destroy(corridor, region, key_id, settled, stats));
                self.pending += u64::from(!is_destroyed);
                has_destroyed |= is_destroyed;
            }
            if page.last.is_none() {
                self.region += 1;
            }
            self.after = page.last;
        }
        has_destroyed
    }
}

fn destroy(
    corridor: &JobCorridor,
    region: &RegionName,
    key_id: KeyId,
    settled: Timestamp,
    stats: &JobStats,
) -> bool {
    match corridor.run::<DeleteKey>(&DueKey { region: region.clone(), key_id, settled }) {
        Ok(is_destroyed) => {
            if is_destroyed {
                stats.keys_destroyed.fetch_add(1, Ordering::Relaxed);
                tracing::info!(%region, key = %key_id, "the waiting period is over: the key is destroyed");
            }
            is_destroyed
        }
        Err(error) => {
            stats.failed("destroying a key", &key_id, &error);
            false
        }
    }
}

/// The job that destroys one key.
pub(crate) struct DeleteKey;

/// A key that was found due, and by what time.
pub(crate) struct DueKey {
    region: RegionName,
    key_id: KeyId,
    settled: Timestamp,
}

/// Everything that names the key.
pub(crate) struct Doomed {
    key: Key,
    index: Option<Loaded<AccountKeyRow>>,
    aliases: Vec<Arc<Loaded<AliasRow>>>,
    usage: Option<Loaded<KeyUsageRow>>,
    domain_key: Option<Loaded<DomainKeyRow>>,
    deployment_created: Timestamp,
}

impl Job for DeleteKey {
    type Task = DueKey;
    type Rows = Option<Doomed>;

    const NAME: &'static str = "DeleteKey";
    const SOURCE: EventSource = EventSource::Kms;

    fn region(task: &DueKey) -> &RegionName {
        &task.region
    }

    fn targets(task: &DueKey, reader: &mut JobReader<'_>) -> Result<Self::Rows, JobError> {
        let region = &task.region;
        let Some(key) = reader.key(region, &task.key_id)? else { return Ok(None) };
        if !is_due(&key, task.settled) {
            return Ok(None);
        }
        let account = key.account();
        let mut aliases = Vec::with_capacity(key.aliases().len());
        for name in key.aliases() {
            // An alias that is gone or another key's is for `check` to tell of; it is not this key's to delete.
            let alias = reader.alias(region, account, name)?;
            aliases.extend(alias.filter(|alias| alias.target == task.key_id));
        }
        let index = reader.account_key(region, account, &task.key_id)?;
        let usage = reader.key_usage(region, &task.key_id)?;
        let domain_key = reader.domain_key(&RowScope::Region(region.clone()))?;
        let deployment_created = reader.deployment_created()?;
        Ok(Some(Doomed { key, index, aliases, usage, domain_key, deployment_created }))
    }

    fn run(permit: &JobPermit<'_, Self>, world: &World<'_>) -> Result<JobDone, JobError> {
        let Some(doomed) = permit.rows() else { return Ok(JobDone::default()) };
        let mut writes = Writes::default();
        writes.delete(&doomed.key);
        if let Some(index) = &doomed.index {
            writes.delete(index);
        }
        if let Some(usage) = &doomed.usage {
            writes.delete(usage);
        }
        doomed.aliases.iter().for_each(|alias| writes.delete(alias));
        orphan_grants(&doomed.key, &mut writes);
        spend_domain_key(doomed, &permit.task().region, world, &mut writes)?;
        Ok(JobDone { writes, key: Some(Arc::clone(&doomed.key)), details: Vec::new() })
    }
}

fn is_due(key: &Key, settled: Timestamp) -> bool {
    key.state() == KeyState::PendingDeletion && key.deletion_date().is_some_and(|date| date <= settled)
}

/// Notes that the key's grants are to be removed. There may be more than a batch can hold; without their key they are
/// nobody's at once (see [`orphaned_grants`](super::orphaned_grants)).
fn orphan_grants(key: &Key, writes: &mut Writes) {
    if key.grants() > 0 {
        let (key_id, key_created) = (key.key_id(), key.created());
        let address = OrphanedGrantsRow::address(key.region(), &key_id, key_created);
        writes.create(address, OrphanedGrantsRow { key_id, key_created });
    }
}

/// Notes that the newest domain key has wrapped what is destroyed. What an older one has wrapped needs no note: older ones
/// are on their way out.
fn spend_domain_key(
    doomed: &Doomed,
    region: &RegionName,
    world: &World<'_>,
    writes: &mut Writes,
) -> Result<(), JobError> {
    let scope = RowScope::Region(region.clone());
    let versions = world.keyring.domain_key_versions(scope.to_crypto());
    let versions =
        versions.map_err(|source| RecordsError::Seal { address: scope.as_str().to_owned(), source })?;
    let Some(&newest) = versions.last() else { return Ok(()) };
    let has_wrapped =
        doomed.key.materials().iter().any(|material| material.wrapped.domain_key_version() == Some(newest));
    match &doomed.domain_key {
        _ if !has_wrapped => {}
        Some(row) if row.spent || row.version != newest => {}
        Some(row) => writes.update(row, DomainKeyRow { spent: true, ..(**row).clone() }),
        None => {
            let row = DomainKeyRow { version: newest, since: doomed.deployment_created, spent: true };
            writes.create(DomainKeyRow::address(&scope), row);
        }
    }
    Ok(())
}
