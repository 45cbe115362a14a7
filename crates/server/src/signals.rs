//! SIGINT and SIGTERM: the first asks for an orderly end, the second ends at once. SIGHUP opens the log file anew.

use std::io;
use std::thread;

use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::logging::LogFile;
use crate::shutdown::Shutdown;

/// The signals cannot be listened to.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for signals")]
pub struct SignalsError(#[from] io::Error);

/// Triggers `shutdown` at the first SIGINT or SIGTERM. A second one ends the process without waiting for requests in
/// flight: what was acknowledged is durable, so nothing is lost but answers that were not given yet.
///
/// SIGHUP opens `log_file` anew; without one it is left alone, and ends a process whose terminal has gone.
///
/// Listens on a thread of its own, so that a busy reactor cannot delay it. When this returns, both are listened to.
pub fn stop_on_signals(shutdown: Shutdown, log_file: Option<LogFile>) -> Result<(), SignalsError> {
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    let (interrupt, terminate, hangup) = {
        let _context = runtime.enter();
        let hangup = log_file.is_some().then(|| signal(SignalKind::hangup())).transpose()?;
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, hangup)
    };
    thread::Builder::new().name("strongroom-signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            if let (Some(hangup), Some(log_file)) = (hangup, log_file) {
                tokio::spawn(reopen(hangup, log_file));
            }
            listen(interrupt, terminate, shutdown).await;
        });
    })?;
    Ok(())
}

async fn listen(mut interrupt: Signal, mut terminate: Signal, shutdown: Shutdown) {
    let first = either(&mut interrupt, &mut terminate).await;
    tracing::info!(signal = first, "shutting down; a second signal ends the process at once");
    shutdown.trigger();
    let second = either(&mut interrupt, &mut terminate).await;
    tracing::warn!(signal = second, "ending at once");
    std::process::exit(1);
}

async fn reopen(mut hangup: Signal, log_file: LogFile) {
    while hangup.recv().await.is_some() {
        match log_file.reopen() {
            Ok(()) => tracing::info!("the log file was opened anew"),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the log goes on in the old file");
            }
        }
    }
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) -> &'static str {
    tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    #[test]
    fn the_first_signal_triggers_the_shutdown() {
        let shutdown = Shutdown::new();
        stop_on_signals(shutdown.clone(), None).unwrap();
        assert!(!shutdown.is_triggered());
        kill_process(getpid(), Signal::TERM).unwrap();
        runtime::Builder::new_current_thread().build().unwrap().block_on(shutdown.triggered());
    }
}
