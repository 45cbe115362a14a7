//! The log: to standard error, as text for people or as JSON for collectors.

use std::error::Error;
use std::io::stderr;
use std::panic::{self, PanicHookInfo};

use tracing::level_filters::LevelFilter;

use crate::config::{LogFormat, LogLevel};

/// The log cannot be set up: some other code of this process has done so already.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the log")]
pub struct LoggingError(#[source] Box<dyn Error + Send + Sync>);

/// Sends events of this level and above to standard error, and panics too.
pub fn start_logging(format: LogFormat, level: LogLevel) -> Result<(), LoggingError> {
    let subscriber = tracing_subscriber::fmt().with_max_level(filter(level)).with_writer(stderr);
    match format {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    }
    .map_err(LoggingError)?;
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
    use super::*;

    #[test]
    fn a_second_start_is_refused_and_both_formats_build() {
        let first = start_logging(LogFormat::Json, LogLevel::Error);
        assert!(first.is_ok());
        // The hook that this test installed would hide the messages of other tests that fail.
        drop(panic::take_hook());
        let second = start_logging(LogFormat::Text, LogLevel::Trace);
        assert_eq!(second.unwrap_err().to_string(), "cannot set up the log");
    }

    #[test]
    fn each_level_has_its_filter() {
        let levels = [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];
        assert!(levels.map(filter).is_sorted());
    }
}
