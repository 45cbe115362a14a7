//! Failures of callers who are not known yet: bad signatures, unknown keys, requests that make no sense.
//!
//! Anybody can cause them at any rate, so they must not fill the disk, slow down requests or displace the trail of
//! known callers. They go to two files of JSON lines: one that is written, and the one before it. Both together stay
//! below a fixed size; so many lines per second are written and the rest is counted; nothing is synced.
//!
//! What it deliberately does not do: promise that a line is kept. Nothing here is evidence.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use serde::Serialize;
use strongroom_types::limits::{
    STRANGER_LOG_BYTES_MAX, STRANGER_QUEUE_RECORDS_MAX, STRANGER_RECORDS_PER_SECOND_MAX,
    STRANGER_TEXT_BYTES_MAX,
};
use strongroom_types::{AccessKeyId, Env, Timestamp};

use crate::event::cut;
use crate::files::{create_directory, open_append};

const CURRENT: &str = "strangers.jsonl";
const PREVIOUS: &str = "strangers.previous.jsonl";
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A failure before the caller was known.
#[derive(Debug, Clone, Copy)]
pub struct Stranger<'a> {
    pub time: Timestamp,
    pub source_ip: IpAddr,
    pub error: &'a str,
    /// What the caller claims to be; written only if it has the form of an access key id, so that a secret sent in its
    /// place does not end up here.
    pub access_key_id: Option<&'a str>,
    pub user_agent: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    time: String,
    #[serde(rename = "sourceIPAddress")]
    source_ip: IpAddr,
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_key_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
}

#[derive(Debug, thiserror::Error)]
#[error("the log of unknown callers in `{directory}` could not be opened")]
pub struct StrangerLogError {
    directory: PathBuf,
    source: io::Error,
}

/// How many failures were written, and how many only counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StrangerStats {
    pub written: u64,
    pub suppressed: u64,
}

/// The log. Recording never waits for the disk.
pub struct StrangerLog {
    lines: Option<SyncSender<Vec<u8>>>,
    writer: Option<JoinHandle<()>>,
    counters: Arc<Counters>,
    rate: Mutex<Rate>,
    clock: Arc<dyn Env>,
}

#[derive(Debug, Default)]
struct Counters {
    written: AtomicU64,
    suppressed: AtomicU64,
}

/// The records let through in the current second.
#[derive(Debug, Default)]
struct Rate {
    second: u64,
    records: u32,
}

impl Rate {
    fn allows(&mut self, second: u64) -> bool {
        if second != self.second {
            *self = Self { second, records: 0 };
        }
        let is_within = self.records < STRANGER_RECORDS_PER_SECOND_MAX;
        self.records += u32::from(is_within);
        is_within
    }
}

impl StrangerLog {
    pub fn open(directory: &Path, clock: Arc<dyn Env>) -> Result<Self, StrangerLogError> {
        Self::open_with_cap(directory, clock, STRANGER_LOG_BYTES_MAX)
    }

    fn open_with_cap(
        directory: &Path,
        clock: Arc<dyn Env>,
        bytes_max: u64,
    ) -> Result<Self, StrangerLogError> {
        let open_error = |source| StrangerLogError { directory: directory.to_owned(), source };
        create_directory(directory).map_err(open_error)?;
        let mut files = Files::new(directory, bytes_max / 2);
        files.open().map_err(open_error)?;
        let (sender, receiver) = sync_channel(STRANGER_QUEUE_RECORDS_MAX);
        let counters = Arc::new(Counters::default());
        let thread_counters = Arc::clone(&counters);
        let writer = thread::Builder::new()
            .name("audit-strangers".to_owned())
            .spawn(move || write_all(&receiver, files, &thread_counters))
            .map_err(open_error)?;
        Ok(Self { lines: Some(sender), writer: Some(writer), counters, rate: Mutex::default(), clock })
    }

    /// Writes the failure, or counts it if there are too many.
    pub fn record(&self, stranger: &Stranger<'_>) {
        let second = self.clock.monotonic().as_nanos() / NANOS_PER_SECOND;
        let is_allowed = self.rate.lock().unwrap_or_else(PoisonError::into_inner).allows(second);
        let is_queued = is_allowed
            && line(stranger)
                .is_some_and(|line| self.lines.as_ref().is_some_and(|lines| lines.try_send(line).is_ok()));
        if !is_queued {
            self.counters.suppressed.fetch_add(1, Relaxed);
        }
    }

    pub fn stats(&self) -> StrangerStats {
        StrangerStats {
            written: self.counters.written.load(Relaxed),
            suppressed: self.counters.suppressed.load(Relaxed),
        }
    }

    /// Writes what is queued and stops; the same happens when the log is dropped.
    pub fn close(mut self) -> StrangerStats {
        self.stop();
        self.stats()
    }

    fn stop(&mut self) {
        self.lines = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the writer of the log of unknown callers failed");
        }
    }
}

impl Drop for StrangerLog {
    fn drop(&mut self) {
        self.stop();
    }
}

fn line(stranger: &Stranger<'_>) -> Option<Vec<u8>> {
    let short = |text| cut(text, STRANGER_TEXT_BYTES_MAX);
    let line = Line {
        time: stranger.time.to_extended_iso8601_millis(),
        source_ip: stranger.source_ip,
        error: short(stranger.error),
        access_key_id: stranger.access_key_id.filter(|id| AccessKeyId::parse(id).is_ok()),
        user_agent: stranger.user_agent.map(short),
    };
    let mut bytes = serde_json::to_vec(&line).ok()?;
    bytes.push(b'\n');
    Some(bytes)
}

fn write_all(lines: &Receiver<Vec<u8>>, mut files: Files, counters: &Counters) {
    for line in lines {
        match files.write(&line) {
            Ok(()) => counters.written.fetch_add(1, Relaxed),
            Err(error) => {
                tracing::debug!(error = %error, "the log of unknown callers cannot be written");
                counters.suppressed.fetch_add(1, Relaxed)
            }
        };
    }
}

/// The two files. Each holds at most half of what both may.
struct Files {
    current: PathBuf,
    previous: PathBuf,
    file_bytes_max: u64,
    open: Option<(File, u64)>,
}

impl Files {
    fn new(directory: &Path, file_bytes_max: u64) -> Self {
        Self {
            current: directory.join(CURRENT),
            previous: directory.join(PREVIOUS),
            file_bytes_max,
            open: None,
        }
    }

    fn open(&mut self) -> io::Result<()> {
        let file = open_append(&self.current)?;
        let length = file.metadata()?.len();
        self.open = Some((file, length));
        Ok(())
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let bytes = line.len() as u64;
        if self.open.is_none() {
            self.open()?;
        }
        if matches!(&self.open, Some((_, length)) if length + bytes > self.file_bytes_max) {
            self.open = None;
            fs::rename(&self.current, &self.previous)?;
            self.open()?;
        }
        // Taken out and put back only after success: a file that failed is opened again, and its length read again.
        let Some((mut file, length)) = self.open.take() else { return Ok(()) };
        file.write_all(line)?;
        self.open = Some((file, length + bytes));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::{TempDirectory, TestClock};

    fn stranger(error: &str) -> Stranger<'_> {
        Stranger {
            time: Timestamp::from_millis(1_440_938_160_250),
            source_ip: IpAddr::from([192, 0, 2, 7]),
            error,
            access_key_id: None,
            user_agent: None,
        }
    }

    fn read(directory: &TempDirectory, name: &str) -> String {
        fs::read_to_string(directory.path().join(name)).unwrap_or_default()
    }

    #[test]
    fn records_past_the_rate_are_only_counted() {
        let (directory, clock) = (TempDirectory::new(), TestClock::new());
        let log = StrangerLog::open(directory.path(), clock.clone()).unwrap();
        for _ in 0..STRANGER_RECORDS_PER_SECOND_MAX + 1 {
            log.record(&stranger("InvalidSignatureException"));
        }
        clock.advance(Duration::from_secs(1));
        log.record(&stranger("InvalidSignatureException"));
        let most = u64::from(STRANGER_RECORDS_PER_SECOND_MAX);
        assert_eq!(log.close(), StrangerStats { written: most + 1, suppressed: 1 });
        assert_eq!(read(&directory, CURRENT).lines().count() as u64, most + 1);
    }

    #[test]
    fn both_files_together_stay_below_the_cap() {
        let (directory, clock) = (TempDirectory::new(), TestClock::new());
        let line_bytes = line(&stranger("error")).unwrap().len() as u64;
        // Three lines fit each file; the eleventh is in the fourth file, of which the newest two are kept.
        let cap = 2 * (3 * line_bytes);
        let log = StrangerLog::open_with_cap(directory.path(), clock.clone(), cap).unwrap();
        for _ in 0..11 {
            log.record(&stranger("error"));
        }
        assert_eq!(log.close(), StrangerStats { written: 11, suppressed: 0 });
        assert_eq!(read(&directory, PREVIOUS).len() as u64, 3 * line_bytes);
        assert_eq!(read(&directory, CURRENT).len() as u64, 2 * line_bytes);
        let log = StrangerLog::open_with_cap(directory.path(), clock, cap).unwrap();
        for _ in 0..2 {
            log.record(&stranger("error"));
        }
        drop(log);
        assert_eq!(read(&directory, PREVIOUS).len() as u64, 3 * line_bytes);
        assert_eq!(read(&directory, CURRENT).len() as u64, line_bytes);
    }

    #[test]
    fn full_queue_counts_and_does_not_wait() {
        let (directory, clock) = (TempDirectory::new(), TestClock::new());
        let mut log = StrangerLog::open(directory.path(), clock).unwrap();
        // A queue that nobody empties.
        let (sender, _receiver) = sync_channel(1);
        log.stop();
        log.lines = Some(sender);
        log.record(&stranger("first"));
        log.record(&stranger("second"));
        assert_eq!(log.stats(), StrangerStats { written: 0, suppressed: 1 });
    }

    #[test]
    fn what_is_not_an_access_key_id_is_not_written() {
        let mut of = stranger("UnrecognizedClientException");
        of.access_key_id = Some("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        assert!(!String::from_utf8(line(&of).unwrap()).unwrap().contains("accessKeyId"));
        of.access_key_id = Some("AKIAIOSFODNN7EXAMPLE");
        assert!(String::from_utf8(line(&of).unwrap()).unwrap().contains("AKIAIOSFODNN7EXAMPLE"));
    }

    #[test]
    fn texts_are_cut_and_escaped() {
        let agent = format!("agent\n\"{}", "x".repeat(STRANGER_TEXT_BYTES_MAX));
        let of = Stranger { user_agent: Some(&agent), ..stranger("MissingAuthenticationToken") };
        let expected = format!(
            "{{\"time\":\"2015-08-30T12:36:00.250Z\",\"sourceIPAddress\":\"192.0.2.7\",\
             \"error\":\"MissingAuthenticationToken\",\"userAgent\":\"agent\\n\\\"{}\"}}\n",
            "x".repeat(STRANGER_TEXT_BYTES_MAX - 7)
        );
        assert_eq!(String::from_utf8(line(&of).unwrap()).unwrap(), expected);
    }
}
