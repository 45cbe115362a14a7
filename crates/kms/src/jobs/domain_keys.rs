//! The life of domain keys: a new version, everything moved under it, the older ones destroyed.
//!
//! A version seals for 30 days, or for one day once material that it wrapped has been destroyed: SQLite leaves copies of
//! some deleted rows in unused parts of its pages, and what is left of a material opens only with the domain key that
//! wrapped it. So the destruction of that version is the last word in the destruction of a key. The day between bounds how
//! often everything is written again.
//!
//! A new version is stored, with the note of when and its record, before anything is sealed with it; after a crash or an
//! unknown outcome the store says which versions there are. Then passes of [`Renewal`] move what is left, a bounded number
//! of rows in each tick. After a whole pass that met nothing under older versions, and that began a minute after the last row
//! was moved, they are destroyed in the store, then in memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use strongroom_audit::{EventSource, Value};
use strongroom_crypto::RootHolder;
use strongroom_pipeline::{Job, JobCorridor, JobDone, JobError, JobPermit, JobReader, World};
use strongroom_records::{DomainKeyRow, Loaded, RecordsError, Renewal, RowScope, Unreferenced, Writes};
use strongroom_types::{Monotonic, RegionName, Timestamp, limits};

use crate::jobs::JobStats;

const LIFETIME: Duration = Duration::from_secs(limits::DOMAIN_KEY_LIFETIME_SECS);
const LIFETIME_MIN: Duration = Duration::from_secs(limits::DOMAIN_KEY_LIFETIME_SECS_MIN);
const GRACE: Duration = Duration::from_secs(limits::DOMAIN_KEY_GRACE_SECS);

/// The domain keys of all scopes.
pub(super) struct DomainKeys {
    scopes: Vec<ScopeKeys>,
}

impl DomainKeys {
    pub(super) fn new(regions: &[RegionName], root: &Arc<dyn RootHolder>) -> Self {
        let own = regions.iter().map(|region| (RowScope::Region(region.clone()), region));
        // The trail of the first region has the records about rows of no region.
        let global = regions.first().map(|region| (RowScope::Global, region));
        let scopes = own.chain(global).map(|(scope, region)| ScopeKeys {
            is_stale: false,
            moved: None,
            pass: None,
            task: ScopeTask { scope, region: region.clone(), root: Arc::clone(root) },
        });
        Self { scopes: scopes.collect() }
    }

    /// `true` if a version was destroyed.
    pub(super) fn tick(&mut self, corridor: &JobCorridor, stats: &JobStats) -> bool {
        let (mut has_destroyed, mut older) = (false, 0);
        for keys in &mut self.scopes {
            match keys.tick(corridor) {
                Ok(destroyed) => has_destroyed |= destroyed,
                Err(error) => stats.failed("renewing a domain key", &keys.task.scope.as_str(), &error),
            }
            let versions = corridor.domain_key_versions(&keys.task.scope).unwrap_or_default();
            older += versions.len().saturating_sub(1) as u64;
        }
        stats.domain_keys_older.store(older, Ordering::Relaxed);
        has_destroyed
    }
}

/// The domain keys of one scope.
struct ScopeKeys {
    /// Whether the store may hold other versions than memory: after an attempt to change them, until they are taken up.
    is_stale: bool,
    /// When the last row was moved, or the newest version taken up.
    moved: Option<Monotonic>,
    /// The pass under way, and when it began.
    pass: Option<(Monotonic, Renewal)>,
    task: ScopeTask,
}

impl ScopeKeys {
    fn tick(&mut self, corridor: &JobCorridor) -> Result<bool, JobError> {
        self.take_up(corridor)?;
        if self.change::<CreateDomainKey>(corridor, |task| task.clone())? {
            self.moved = Some(corridor.env().monotonic());
            self.pass = None;
        }
        match self.renew(corridor)? {
            Some(unreferenced) => {
                let region = self.task.region.clone();
                self.change::<DestroyDomainKeys>(corridor, |_| Unused { region, unreferenced })
            }
            None => Ok(false),
        }
    }

    /// Runs a job that changes which versions are stored, and has memory follow.
    fn change<J: Job>(
        &mut self,
        corridor: &JobCorridor,
        task: impl FnOnce(&ScopeTask) -> J::Task,
    ) -> Result<bool, JobError> {
        // Until it is known otherwise: an error may be an unknown outcome.
        self.is_stale = true;
        let has_changed = corridor.run::<J>(&task(&self.task))?;
        self.is_stale = has_changed;
        self.take_up(corridor)?;
        Ok(has_changed)
    }

    fn take_up(&mut self, corridor: &JobCorridor) -> Result<(), JobError> {
        if self.is_stale {
            corridor.take_up_domain_keys(&*self.task.root, &self.task.scope)?;
            (self.is_stale, self.pass) = (false, None);
        }
        Ok(())
    }

    /// A part of a pass; at its end, what it proved.
    fn renew(&mut self, corridor: &JobCorridor) -> Result<Option<Unreferenced>, JobError> {
        let now = corridor.env().monotonic();
        let (begun, mut pass) = match self.pass.take() {
            Some(under_way) => under_way,
            None => match corridor.renewal(&self.task.scope)? {
                Some(pass) => (now, pass),
                None => return Ok(None),
            },
        };
        for _ in 0..limits::RENEWAL_STEPS {
            if pass.is_done() {
                break;
            }
            if let Err(error) = corridor.renew(&mut pass) {
                self.pass = Some((begun, pass));
                return Err(error.into());
            }
        }
        if !pass.is_done() {
            self.pass = Some((begun, pass));
            return Ok(None);
        }
        let renewed = pass.renewed();
        tracing::info!(
            scope = self.task.scope.as_str(),
            moved = renewed.moved,
            left = renewed.left,
            "looked for what is under older domain keys"
        );
        if renewed.moved > 0 {
            self.moved = Some(now);
        }
        let has_waited = self.moved.is_none_or(|moved| moved.until(begun) >= GRACE);
        Ok(pass.unreferenced().filter(|_| has_waited))
    }
}

/// The job that makes a scope's next domain key, if it is time.
struct CreateDomainKey;

#[derive(Clone)]
struct ScopeTask {
    scope: RowScope,
    region: RegionName,
    root: Arc<dyn RootHolder>,
}

/// What is known of the newest version.
struct Newest {
    row: Option<Loaded<DomainKeyRow>>,
    deployment_created: Timestamp,
}

impl Newest {
    /// Why there is to be a new version now, if there is.
    fn reason(&self, now: Timestamp) -> Option<&'static str> {
        let (since, is_spent) =
            self.row.as_ref().map_or((self.deployment_created, false), |row| (row.since, row.spent));
        // Made while the clock was ahead: such a version would seal until the clock has come there.
        if now.until(since) > LIFETIME_MIN {
            return Some("made in the future");
        }
        match since.until(now) {
            age if age >= LIFETIME => Some("age"),
            age if age >= LIFETIME_MIN && is_spent => Some("destroyed material"),
            _ => None,
        }
    }
}

impl Job for CreateDomainKey {
    type Task = ScopeTask;
    type Rows = Newest;

    const NAME: &'static str = "CreateDomainKey";
    const SOURCE: EventSource = EventSource::Strongroom;

    fn region(task: &ScopeTask) -> &RegionName {
        &task.region
    }

    fn targets(task: &ScopeTask, reader: &mut JobReader<'_>) -> Result<Newest, JobError> {
        let row = reader.domain_key(&task.scope)?;
        Ok(Newest { row, deployment_created: reader.deployment_created()? })
    }

    fn run(permit: &JobPermit<'_, Self>, world: &World<'_>) -> Result<JobDone, JobError> {
        let (task, newest, now) = (permit.task(), permit.rows(), world.env.now());
        let Some(reason) = newest.reason(now) else { return Ok(JobDone::default()) };
        let scope = task.scope.to_crypto();
        let entry = world
            .keyring
            .next_domain_key(&*task.root, scope)
            .map_err(|source| RecordsError::DomainKeys { scope: scope.to_string(), source })?;
        let version = entry.name.domain_version(scope).unwrap_or_default();
        let row = DomainKeyRow { version, since: now, spent: false };
        let mut writes = Writes::default();
        match &newest.row {
            Some(old) => writes.update(old, row),
            None => writes.create(DomainKeyRow::address(&task.scope), row),
        }
        writes.create_domain_key(entry);
        let details = vec![
            ("scope", Value::from(scope.as_str().to_owned())),
            ("version", Value::Integer(version.into())),
            ("reason", Value::from(reason)),
        ];
        Ok(JobDone { writes, key: None, details })
    }
}

/// The job that destroys the domain keys that nothing refers to any more.
struct DestroyDomainKeys;

struct Unused {
    region: RegionName,
    unreferenced: Unreferenced,
}

impl Job for DestroyDomainKeys {
    type Task = Unused;
    type Rows = ();

    const NAME: &'static str = "DestroyDomainKeys";
    const SOURCE: EventSource = EventSource::Strongroom;

    fn region(task: &Unused) -> &RegionName {
        &task.region
    }

    /// That nothing refers to them is what the task proves; it cannot come about again.
    fn targets(_: &Unused, _: &mut JobReader<'_>) -> Result<(), JobError> {
        Ok(())
    }

    fn run(permit: &JobPermit<'_, Self>, _: &World<'_>) -> Result<JobDone, JobError> {
        let unreferenced = &permit.task().unreferenced;
        let mut writes = Writes::default();
        writes.destroy_domain_keys(unreferenced);
        let versions = unreferenced.versions().iter().map(|version| Value::Integer((*version).into()));
        let details = vec![
            ("scope", Value::from(unreferenced.scope().as_str().to_owned())),
            ("versions", Value::List(versions.collect::<Vec<_>>().into())),
        ];
        Ok(JobDone { writes, key: None, details })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn reason(age: Duration) -> Option<&'static str> {
        let deployment_created = NOW.saturating_sub(age);
        Newest { row: None, deployment_created }.reason(NOW)
    }

    #[test]
    fn a_first_version_is_as_old_as_the_deployment() {
        assert_eq!(reason(LIFETIME - Duration::from_millis(1)), None);
        assert_eq!(reason(LIFETIME), Some("age"));
        let ahead = |ahead| Newest { row: None, deployment_created: NOW.saturating_add(ahead) }.reason(NOW);
        assert_eq!(ahead(LIFETIME_MIN), None);
        assert_eq!(ahead(LIFETIME_MIN + Duration::from_millis(1)), Some("made in the future"));
    }
}
