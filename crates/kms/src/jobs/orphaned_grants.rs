//! The removal of the grants of destroyed keys.
//!
//! A key may have fifty thousand grants, more than the batch that destroys it can delete. They allow nothing from that commit
//! on, because a grant counts only for the very key that it was made on. What is left of them is removed here, a bounded
//! number in each tick. The record of the key's destruction is their record.

use strongroom_pipeline::JobCorridor;
use strongroom_types::limits;

use crate::jobs::JobStats;

/// One part of it; `true` if something was removed.
pub(super) fn tick(corridor: &JobCorridor, stats: &JobStats) -> bool {
    let mut left = limits::GRANT_SWEEP_ROWS;
    for region in corridor.regions() {
        match corridor.sweep_orphaned_grants(region, left) {
            Ok(removed) => left = left.saturating_sub(removed),
            Err(error) => stats.failed("removing grants of destroyed keys", region, &error),
        }
    }
    left < limits::GRANT_SWEEP_ROWS
}
