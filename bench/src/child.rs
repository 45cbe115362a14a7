//! Servers as child processes that do not outlive this one.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

use crate::connection::Connection;
use crate::error::{BenchError, io_error};
use crate::options::LeashedCommand;

/// How long a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);
const START_LOOK_EVERY: Duration = Duration::from_micros(500);
const STOP_LOOK_EVERY: Duration = Duration::from_millis(5);
const LAST_WORDS_BYTES: usize = 4096;

/// A server that is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    child: Child,
    log: PathBuf,
    name: &'static str,
    spawned: Instant,
}

/// An address that nobody listens on right now.
pub(crate) fn free_address() -> Result<SocketAddr, BenchError> {
    let failed = || io_error("find a free port");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed())?;
    listener.local_addr().map_err(failed())
}

/// In the child: becomes the program, which the kernel kills when the thread that spawned this process ends.
pub(crate) fn become_leashed(command: &LeashedCommand) -> BenchError {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return io_error("tie a server to this process")(error.into());
    }
    let mut words = command.words.iter();
    let program = words.next().cloned().unwrap_or_default();
    io_error("start a server")(Command::new(program).args(words).exec())
}

impl Server {
    /// Starts a program that is to listen at `address`. What it says goes to the file `log`.
    ///
    /// INVARIANT: the main thread calls this, so the child lives no longer than the process.
    pub(crate) fn spawn(
        name: &'static str,
        address: SocketAddr,
        program: &Path,
        arguments: &[OsString],
        log: PathBuf,
    ) -> Result<Self, BenchError> {
        let failed = || io_error("start a server");
        let output = File::create(&log).map_err(failed())?;
        let mut command = Command::new(std::env::current_exe().map_err(failed())?);
        command.args(["leashed", "--"]).arg(program).args(arguments);
        command.stdin(Stdio::null()).stdout(output.try_clone().map_err(failed())?).stderr(output);
        let spawned = Instant::now();
        let child = command.spawn().map_err(failed())?;
        Ok(Self { address, child, log, name, spawned })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the server answers `request` with 200. Returns how long that took, from before it was spawned.
    pub(crate) fn wait_for_answer(&mut self, request: &[u8]) -> Result<Duration, BenchError> {
        loop {
            if let Ok(mut connection) = Connection::open(self.address) {
                connection.ask(request)?;
                return Ok(self.spawned.elapsed());
            }
            if self.child.try_wait().map_err(io_error("look after a server"))?.is_some() {
                return Err(BenchError::ChildEnded { name: self.name, last_words: self.last_words() });
            }
            if self.spawned.elapsed() > PATIENCE {
                let (name, last_words) = (self.name, self.last_words());
                return Err(BenchError::ChildSilent { name, seconds: PATIENCE.as_secs(), last_words });
            }
            thread::sleep(START_LOOK_EVERY);
        }
    }

    /// Asks it to stop and waits until it has.
    pub(crate) fn stop(mut self) -> Result<(), BenchError> {
        let failed = || io_error("stop a server");
        if let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM).map_err(|error| failed()(error.into()))?;
        }
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            if self.child.try_wait().map_err(failed())?.is_some() {
                return Ok(());
            }
            thread::sleep(STOP_LOOK_EVERY);
        }
        Err(BenchError::ChildSilent {
            name: self.name,
            seconds: PATIENCE.as_secs(),
            last_words: self.last_words(),
        })
    }

    fn last_words(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let start = text.len().saturating_sub(LAST_WORDS_BYTES);
        String::from_utf8_lossy(text.get(start..).unwrap_or_default()).trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
