//! The log: text for people or JSON for collectors, to standard error or to a file.
//!
//! The file is only appended to. Rotating it is somebody else's work (logrotate): they rename it and send SIGHUP, and it
//! is opened anew under its name.

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{self, Write, stderr};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{self, PanicHookInfo};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::config::{LogFormat, LogLevel};

#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    #[error("cannot open the log file `{}`", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Some other code of this process has set one up already.
    #[error("cannot set up the log")]
    SetUp(#[source] Box<dyn Error + Send + Sync>),
}

/// A log file that can be opened anew. Clones are the same file.
#[derive(Debug, Clone)]
pub struct LogFile(Arc<Opened>);

#[derive(Debug)]
struct Opened {
    file: Mutex<File>,
    path: PathBuf,
}

impl LogFile {
    /// Opens the file for appending, or makes it, readable by its owner only.
    pub fn open(path: &Path) -> Result<Self, LoggingError> {
        let file = append(path)?;
        Ok(Self(Arc::new(Opened { file: Mutex::new(file), path: path.to_owned() })))
    }

    /// Goes on in the file that has the name now. If that cannot be opened, in the old one.
    pub(crate) fn reopen(&self) -> Result<(), LoggingError> {
        let file = append(&self.0.path)?;
        *self.lock() = file;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, File> {
        self.0.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn append(path: &Path) -> Result<File, LoggingError> {
    let mut options = OpenOptions::new();
    let opened = options.append(true).create(true).mode(0o600).open(path);
    opened.map_err(|source| LoggingError::File { path: path.to_owned(), source })
}

/// The file, for as long as one event is being written.
pub struct LogWriter<'a>(MutexGuard<'a, File>);

impl Write for LogWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = LogWriter<'a>;

    fn make_writer(&'a self) -> LogWriter<'a> {
        LogWriter(self.lock())
    }
}

/// Sends events of this level and above to the file, or to standard error if there is none, and panics too.
pub fn start_logging(format: LogFormat, level: LogLevel, file: Option<&LogFile>) -> Result<(), LoggingError> {
    let writer = match file {
        Some(file) => BoxMakeWriter::new(file.clone()),
        None => BoxMakeWriter::new(stderr),
    };
    let subscriber = tracing_subscriber::fmt().with_max_level(filter(level)).with_writer(writer);
    match format {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    }
    .map_err(LoggingError::SetUp)?;
    panic::set_hook(Box::new(log_panic));
    Ok(())
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// Logs where a panic happened. Of its message only what stood in the source: a formatted message may hold values, and
/// values may be secrets.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let message =
        panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("not shown: it holds values");
    let (file, line) = panic.location().map_or(("unknown", 0), |at| (at.file(), at.line()));
    let thread = std::thread::current();
    tracing::error!(file, line, message, thread = thread.name(), "panic");
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use strongroom_testkit::scratch::ScratchDirectory;

    use super::*;

    #[test]
    fn a_second_start_is_refused_and_both_formats_build() {
        let first = start_logging(LogFormat::Json, LogLevel::Error, None);
        assert!(first.is_ok());
        // The hook that this test installed would hide the messages of other tests that fail.
        drop(panic::take_hook());
        let second = start_logging(LogFormat::Text, LogLevel::Trace, None);
        assert_eq!(second.unwrap_err().to_string(), "cannot set up the log");
    }

    #[test]
    fn each_level_has_its_filter() {
        let levels = [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];
        assert!(levels.map(filter).is_sorted());
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_refused_and_the_old_one_kept() {
        let directory = ScratchDirectory::new();
        assert!(matches!(LogFile::open(directory.path()), Err(LoggingError::File { .. })));
        let inside = directory.path().join("logs");
        fs::create_dir(&inside).unwrap();
        let path = inside.join("log");
        let file = LogFile::open(&path).unwrap();
        fs::rename(&inside, directory.path().join("moved")).unwrap();
        assert!(file.reopen().is_err());
        file.make_writer().write_all(b"still there\n").unwrap();
        assert_eq!(fs::read(directory.path().join("moved/log")).unwrap(), b"still there\n");
    }

    #[test]
    fn after_a_rotation_lines_go_to_the_new_file() {
        let directory = ScratchDirectory::new();
        let (path, old) = (directory.path().join("log"), directory.path().join("log.1"));
        fs::write(&path, "before\n").unwrap();
        let file = LogFile::open(&path).unwrap();
        file.make_writer().write_all(b"one\n").unwrap();
        fs::rename(&path, &old).unwrap();
        file.make_writer().write_all(b"two\n").unwrap();
        file.reopen().unwrap();
        file.make_writer().write_all(b"three\n").unwrap();
        assert_eq!(fs::read(&old).unwrap(), b"before\none\ntwo\n");
        assert_eq!(fs::read(&path).unwrap(), b"three\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
