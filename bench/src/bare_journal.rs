//! What a promise of durability costs by itself: a file that the bare server syncs before it answers.
//!
//! As little as such a promise can be: so many bytes for each answer, one write and one sync for all that wait, into a file
//! that does not grow. No records, no chain, no cryptography. What latency is left of it belongs to the disk and the machine.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use tokio::sync::oneshot;

/// About what the service's journal has for a data operation.
const RECORD_BYTES: usize = 512;
/// Overwritten from its beginning when its end is reached.
const FILE_BYTES: usize = 64 * 1024 * 1024;
const GROUP_MAX: usize = 4096;

#[derive(Debug, Clone)]
pub(crate) struct BareJournal(Sender<oneshot::Sender<()>>);

impl BareJournal {
    /// Writes the file, and starts the thread that syncs it and ends with the last clone of what is returned.
    pub(crate) fn start(path: &Path) -> io::Result<Self> {
        let file = File::create(path)?;
        file.write_all_at(&vec![0; FILE_BYTES], 0)?;
        file.sync_all()?;
        let (sender, waiting) = channel();
        thread::Builder::new().name("bare-journal".to_owned()).spawn(move || write(&file, &waiting))?;
        Ok(Self(sender))
    }

    /// Returns when a record that was handed over now is on the disk; false if that failed.
    pub(crate) async fn synced(&self) -> bool {
        let (sender, synced) = oneshot::channel();
        self.0.send(sender).is_ok() && synced.await.is_ok()
    }
}

fn write(file: &File, waiting: &Receiver<oneshot::Sender<()>>) {
    let records = vec![0x5a; RECORD_BYTES * GROUP_MAX];
    let mut at = 0;
    while let Ok(first) = waiting.recv() {
        let mut group = vec![first];
        group.extend(waiting.try_iter().take(GROUP_MAX - 1));
        let size = group.len() * RECORD_BYTES;
        if at + size > FILE_BYTES {
            at = 0;
        }
        let bytes = records.get(..size).unwrap_or_default();
        if file.write_all_at(bytes, at as u64).and_then(|()| file.sync_data()).is_err() {
            // Those who wait are told by their senders' end.
            return;
        }
        at += size;
        for answer in group {
            // Whoever has gone is not told.
            let _ = answer.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_that_cannot_be_made_is_an_error_and_one_that_can_answers() {
        assert!(BareJournal::start(Path::new("/nonexistent/journal")).is_err());
        let path = std::env::temp_dir().join(format!("strongroom-bench-journal-{}", std::process::id()));
        let journal = BareJournal::start(&path).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for _ in 0..3 {
                assert!(journal.synced().await);
            }
        });
        let mut record = [0; RECORD_BYTES + 1];
        File::open(&path).unwrap().read_exact_at(&mut record, 2 * RECORD_BYTES as u64).unwrap();
        assert!(record.starts_with(&[0x5a; RECORD_BYTES]) && record.ends_with(&[0]));
        std::fs::remove_file(path).unwrap();
    }
}
