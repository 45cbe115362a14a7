//! Writing down when keys were last used.
//!
//! Uses come in batches from whoever has gathered them. A row is written only if it says less than the use, and only against
//! the row of its key: so the row of a destroyed key does not come back, whichever of the two commits first, and nobody
//! else's commit loses against this one, because nobody decides by these rows but the job that destroys the key.

use strongroom_types::{KeyId, RegionName, limits};

use crate::error::{CommitError, RecordsError};
use crate::records::Records;
use crate::tables::key_usage::{KeyUsageRow, KeyUse};
use crate::tables::usage_tracking::UsageTrackingRow;
use crate::writes::{Loaded, Seen, Writes};

impl Records {
    /// When a key was last used, as far as rows say.
    pub fn key_usage(
        &self,
        region: &RegionName,
        key_id: &KeyId,
    ) -> Result<Option<Loaded<KeyUsageRow>>, RecordsError> {
        self.load(&KeyUsageRow::address(region, key_id))
    }

    /// How far uses are in rows.
    pub fn usage_tracking(&self) -> Result<Option<Loaded<UsageTrackingRow>>, RecordsError> {
        self.load(&UsageTrackingRow::address())
    }

    /// Writes the last uses of keys of a region, [`limits::KEY_USES_PER_BATCH`] at most. When this returns `Ok`, each is in
    /// its row, or a later one is, or its key is gone. A row that cannot be trusted is named in the log and left alone.
    pub fn write_key_uses(&self, region: &RegionName, uses: &[(KeyId, KeyUse)]) -> Result<(), RecordsError> {
        debug_assert!(uses.len() <= limits::KEY_USES_PER_BATCH);
        for _ in 0..limits::DECISION_ATTEMPTS_MAX {
            let (mut writes, mut seen) = (Writes::default(), Vec::with_capacity(uses.len()));
            for (key_id, last) in uses {
                let noted = self.note_use(region, key_id, *last, &mut writes);
                match noted {
                    Ok(key) => seen.extend(key),
                    Err(error @ (RecordsError::BadRow { .. } | RecordsError::MissingRow { .. })) => {
                        let error = &error as &dyn std::error::Error;
                        tracing::error!(error, key = %key_id, "the last use of a key cannot be written");
                    }
                    Err(error) => return Err(error),
                }
            }
            if writes.is_empty() {
                return Ok(());
            }
            match self.commit_blocking(writes, seen) {
                Ok(()) => return Ok(()),
                // The key was changed or destroyed, or its row was moved under a newer domain key. After an unknown outcome
                // the rows themselves tell.
                Err(CommitError::Conflict { .. } | CommitError::Unknown) => {}
                Err(CommitError::Failed(error)) => return Err(error),
                Err(CommitError::Closed) => return Err(RecordsError::NotWritten),
            }
        }
        Err(RecordsError::NotWritten)
    }

    /// Adds what is to be written of one use; returns the key's row, if there is something.
    fn note_use(
        &self,
        region: &RegionName,
        key_id: &KeyId,
        last: KeyUse,
        writes: &mut Writes,
    ) -> Result<Option<Seen>, RecordsError> {
        let Some(key) = self.key(region, key_id)? else { return Ok(None) };
        match self.key_usage(region, key_id)? {
            Some(row) if row.last_use().later(last) == row.last_use() => return Ok(None),
            Some(row) => writes.update(&row, KeyUsageRow::new(*key_id, last)),
            None => writes.create(KeyUsageRow::address(region, key_id), KeyUsageRow::new(*key_id, last)),
        }
        Ok(Some(key.seen()))
    }

    /// Notes that all uses up to this record of the journal are in rows.
    pub fn advance_usage_tracking(&self, sequence: u64) -> Result<(), RecordsError> {
        self.track_usage(|row| UsageTrackingRow { sequence, ..row })
    }

    /// Writes the row anew as `next` makes it.
    pub fn track_usage(
        &self,
        next: impl Fn(UsageTrackingRow) -> UsageTrackingRow,
    ) -> Result<(), RecordsError> {
        for _ in 0..limits::DECISION_ATTEMPTS_MAX {
            let address = UsageTrackingRow::address();
            let row = self.usage_tracking()?;
            let row = row.ok_or_else(|| RecordsError::MissingRow { address: address.to_string() })?;
            let moved = next((*row).clone());
            if moved == *row {
                return Ok(());
            }
            let mut writes = Writes::default();
            writes.update(&row, moved);
            match self.commit_blocking(writes, Vec::new()) {
                Ok(()) => return Ok(()),
                Err(CommitError::Conflict { .. } | CommitError::Unknown) => {}
                Err(CommitError::Failed(error)) => return Err(error),
                Err(CommitError::Closed) => return Err(RecordsError::NotWritten),
            }
        }
        Err(RecordsError::NotWritten)
    }
}
