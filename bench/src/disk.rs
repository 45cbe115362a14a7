//! What a sync costs here: every reply of the service waits for one, so it belongs beside the numbers.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use serde::Serialize;

use crate::error::{BenchError, io_error};
use crate::histogram::Histogram;

/// The size of a journal write at some twenty requests in flight.
const WRITE_BYTES: usize = 16 * 1024;
const WRITES: usize = 200;

#[derive(Debug, Clone, Serialize)]
pub(crate) struct SyncCost {
    pub(crate) p50_micros: f64,
    pub(crate) p99_micros: f64,
}

/// Appends to a file and syncs it, again and again, as the journal does.
pub(crate) fn probe(directory: &Path) -> Result<SyncCost, BenchError> {
    let failed = || io_error("try how long a sync takes");
    let path = directory.join("sync-probe");
    let mut file = File::create(&path).map_err(failed())?;
    let bytes = [0x5a; WRITE_BYTES];
    let mut times = Histogram::new();
    for _ in 0..WRITES {
        let started = Instant::now();
        file.write_all(&bytes).map_err(failed())?;
        file.sync_data().map_err(failed())?;
        times.record(started.elapsed());
    }
    std::fs::remove_file(&path).map_err(failed())?;
    Ok(SyncCost { p50_micros: times.quantile_micros(0.5), p99_micros: times.quantile_micros(0.99) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_needs_a_directory_and_leaves_nothing() {
        assert!(probe(Path::new("/nonexistent")).is_err());
        let directory = std::env::temp_dir().join(format!("strongroom-bench-probe-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        assert!(probe(&directory).unwrap().p50_micros > 0.0);
        std::fs::remove_dir(&directory).unwrap();
    }
}
