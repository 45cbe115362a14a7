//! Uses out of the journal: those of an earlier process, and those that found no room in memory.

use std::collections::HashMap;
use std::path::Path;

use strongroom_audit::{Event, EventKind, EventSource, Journal, each_event_after};
use strongroom_records::{
    CommitError, KeyUse, Records, RecordsError, TrackedOperation, UsageTrackingRow, Writes,
};
use strongroom_types::{Env, KeyReference, RegionName, Timestamp, limits};

use super::{KeyUses, Noted, Place, UsageError, batches};

impl KeyUses {
    /// Takes up what an earlier process has left: rows, and uses that stand in the journal alone. A deployment that has not
    /// tracked uses before begins now.
    pub fn take_up(
        records: &Records,
        journal: &Journal,
        directory: &Path,
        env: &dyn Env,
        regions: &[RegionName],
    ) -> Result<Self, UsageError> {
        let end = journal.end().sequence;
        let Some(row) = records.usage_tracking()? else {
            let since = env.now();
            begin(records, UsageTrackingRow { sequence: end, since })?;
            return Ok(Self::new(regions, since));
        };
        let uses = Self::new(regions, row.since);
        if row.sequence > end {
            // It was put back, or begun anew: of what it held nobody knows.
            tracing::warn!(
                written = row.sequence,
                journal = end,
                "the audit journal ends before the last uses of keys that are in rows"
            );
            uses.begin_anew(records, env.now(), end)?;
            return Ok(uses);
        }
        let left = uses.replay(records, directory, env, (row.sequence, end))?;
        if !left.is_empty() {
            tracing::info!(keys = left.len(), "taking up the last uses of keys from the audit journal");
        }
        // Nobody else uses them yet: what finds no room is written.
        let mut over = Vec::new();
        for (place, noted) in left {
            let mut stripe = uses.stripe(super::stripe_of(place));
            if uses.has_room(&stripe) {
                uses.note(&mut stripe, place, noted);
            } else {
                over.push((place, noted));
            }
        }
        uses.write_all(records, over)?;
        Ok(uses)
    }

    /// Gathers the uses behind the record `after`, up to the record `upto`. What is too much for memory is written.
    ///
    /// A journal of which something cannot be read stops nothing. From then on there is a gap in what is known, and the
    /// tracking begins anew behind it.
    pub(super) fn replay(
        &self,
        records: &Records,
        directory: &Path,
        env: &dyn Env,
        (after, upto): (u64, u64),
    ) -> Result<HashMap<Place, Noted>, UsageError> {
        let mut found: HashMap<Place, Noted> = HashMap::new();
        let mut failed = None;
        let read = each_event_after(directory, after, upto, |sequence, event| {
            let Some(last) = use_in(event) else { return };
            for resource in event.resources.iter() {
                let Ok(KeyReference::Arn(arn)) = KeyReference::parse(&resource.arn) else { continue };
                let Some(place) = self.place(&arn.region, arn.key_id) else { continue };
                let noted = Noted { last, sequence };
                let entry = found.entry(place).or_insert(noted);
                if last.at >= entry.last.at {
                    *entry = noted;
                }
            }
            if found.len() >= limits::KEY_USES_IN_MEMORY_MAX && failed.is_none() {
                failed = self.write_all(records, found.drain().collect()).err();
            }
        });
        if let Some(failed) = failed {
            return Err(failed.into());
        }
        if let Err(error) = read {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "uses of keys may be missing: their tracking begins anew"
            );
            self.write_all(records, found.drain().collect())?;
            self.begin_anew(records, env.now(), upto)?;
        }
        Ok(found)
    }

    /// Writes uses to their rows, whatever region they are of.
    pub(super) fn write_all(
        &self,
        records: &Records,
        mut uses: Vec<(Place, Noted)>,
    ) -> Result<(), RecordsError> {
        uses.sort_unstable_by_key(|(place, _)| *place);
        batches(&uses).try_for_each(|batch| self.write(records, batch))
    }

    /// There is a gap before `since`; what follows the record `sequence` is known again.
    fn begin_anew(&self, records: &Records, since: Timestamp, sequence: u64) -> Result<(), RecordsError> {
        records.track_usage(|_| UsageTrackingRow { sequence, since })?;
        self.since.store(since.as_millis(), std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }
}

fn begin(records: &Records, row: UsageTrackingRow) -> Result<(), RecordsError> {
    let mut writes = Writes::default();
    writes.create(UsageTrackingRow::address(), row);
    records.commit_blocking(writes, Vec::new()).map_err(|error| match error {
        CommitError::Failed(error) => error,
        CommitError::Closed | CommitError::Conflict { .. } | CommitError::Unknown => RecordsError::NotWritten,
    })
}

/// The use that an event tells of: a request that succeeded.
fn use_in(event: &Event<'_>) -> Option<KeyUse> {
    if event.kind != EventKind::ApiCall || event.source != EventSource::Kms || event.failure.is_some() {
        return None;
    }
    let operation = TrackedOperation::from_name(&event.name)?;
    Some(KeyUse { operation, at: event.time, event_id: event.id, request_id: event.request_id? })
}
