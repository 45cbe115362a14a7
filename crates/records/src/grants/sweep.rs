//! The removal of the grants of destroyed keys.
//!
//! The batch that destroys a key leaves a row in `orphaned-grants`; its record is the record of this, too. Each step here
//! removes some of the grants with their rows in the index, in one batch against what was read, and the last one that row.
//! A step that is interrupted anywhere leaves what the next one finds.

use strongroom_types::RegionName;

use super::PAGE_ROWS;
use crate::error::{CommitError, RecordsError};
use crate::records::Records;
use crate::tables::grant::GrantRow;
use crate::tables::orphaned_grants::OrphanedGrantsRow;
use crate::tables::retirable::RetirableRow;
use crate::writes::{Loaded, Writes};

/// Grants removed in one batch: two rows each.
const BATCH_GRANTS: usize = 45;

impl Records {
    /// Removes grants of destroyed keys of a region, about `rows_max` at most; returns how many.
    pub fn sweep_orphaned_grants(&self, region: &RegionName, rows_max: usize) -> Result<usize, RecordsError> {
        let mut removed = 0;
        let mut after: Option<String> = None;
        while removed < rows_max {
            let prefix = OrphanedGrantsRow::prefix(region);
            let page = self.page::<OrphanedGrantsRow>(&prefix, after.as_deref(), PAGE_ROWS, |_| true)?;
            let Some(last) = page.last else { break };
            after = Some(last);
            for row in page.rows {
                match row.and_then(|row| self.sweep_key(region, &row, rows_max - removed)) {
                    Ok(count) => removed += count,
                    Err(error) => {
                        let error = &error as &dyn std::error::Error;
                        tracing::error!(%region, error, "grants of a destroyed key cannot be removed");
                    }
                }
                if removed >= rows_max {
                    break;
                }
            }
        }
        Ok(removed)
    }

    fn sweep_key(
        &self,
        region: &RegionName,
        orphaned: &Loaded<OrphanedGrantsRow>,
        rows_max: usize,
    ) -> Result<usize, RecordsError> {
        let prefix = GrantRow::prefix(region, &orphaned.key_id);
        let mut removed = 0;
        let mut after: Option<String> = None;
        loop {
            if removed >= rows_max {
                return Ok(removed);
            }
            let grants = self.scan::<GrantRow>(&prefix, after.as_deref(), BATCH_GRANTS)?;
            let mut writes = Writes::default();
            let mut count = 0;
            for grant in grants.iter().filter(|grant| grant.key_created == orphaned.key_created) {
                writes.delete(grant);
                if let Some(index) = self.retirable_of(region, grant)? {
                    writes.delete(&index);
                }
                count += 1;
            }
            let is_last = grants.len() < BATCH_GRANTS;
            if is_last {
                writes.delete(orphaned);
            }
            if !writes.is_empty() {
                self.commit_swept(writes)?;
                removed += count;
            }
            if is_last {
                return Ok(removed);
            }
            after = grants.last().map(|grant| grant.address().as_str().to_owned());
        }
    }

    /// A grant's row in the index of those who may retire it.
    pub fn retirable_of(
        &self,
        region: &RegionName,
        grant: &GrantRow,
    ) -> Result<Option<Loaded<RetirableRow>>, RecordsError> {
        let Some(retiring) = &grant.retiring else { return Ok(None) };
        self.load(&RetirableRow::address(region, retiring, &grant.key_id, &grant.grant_id))
    }

    fn commit_swept(&self, writes: Writes) -> Result<(), RecordsError> {
        self.commit_blocking(writes, Vec::new()).map_err(|error| match error {
            CommitError::Failed(error) => error,
            // They are met again.
            CommitError::Closed | CommitError::Conflict { .. } | CommitError::Unknown => {
                RecordsError::NotWritten
            }
        })
    }
}
