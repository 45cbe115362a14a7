//! How a sealed server gets its passphrase: over a Unix socket that only its own user, or root, may use.
//!
//! One line comes in, the passphrase; one line goes out, the outcome. Connections are served one at a time, because each
//! attempt costs Argon2id's 64 MiB, and after a wrong one the next waits for a moment. The socket is removed once the
//! server is unsealed, or stops.
//!
//! The passphrase crosses no network, stands in no argument and no environment, and is wiped after the attempt.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use strongroom_types::Credential;
use strongroom_types::limits::{ROOT_PASSPHRASE_BYTES_MAX, UNSEAL_PAUSE_SECS, UNSEAL_REQUEST_SECS_MAX};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use crate::assembly::AssemblyError;
use crate::shutdown::Shutdown;

const UNSEALED: &str = "unsealed";

/// The client gives up after this time: Argon2id and the taking up of store and journal are within it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// Why a server was not unsealed.
#[derive(Debug, thiserror::Error)]
pub enum UnsealError {
    #[error(
        "no sealed server waits at `{}`: is it running, is it unsealed already, or was it started with \
         `--unseal-socket`?",
        path.display()
    )]
    Absent {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot talk to the server at `{}`; its log may say why", path.display())]
    Lost {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the server says: {answer}")]
    Refused { answer: String },
}

/// What became of an attempt.
pub(crate) enum Attempt {
    /// The server serves.
    Unsealed,
    /// The passphrase is not the one; the server stays sealed.
    Refused(AssemblyError),
    /// The passphrase was right, but the deployment cannot be served. The server ends.
    Failed(AssemblyError),
}

/// Delivers the passphrase to the server that waits at `path`.
pub fn unseal(path: &Path, passphrase: &Credential) -> Result<(), UnsealError> {
    let absent = |source| UnsealError::Absent { path: path.to_owned(), source };
    let mut stream = StdStream::connect(path).map_err(absent)?;
    let mut answer = String::new();
    let talked = stream
        .set_read_timeout(Some(ANSWER_TIMEOUT))
        .and_then(|()| stream.write_all(passphrase.expose()))
        .and_then(|()| stream.write_all(b"\n"))
        .and_then(|()| Read::take(&mut stream, 4096).read_to_string(&mut answer));
    talked.map_err(|source| UnsealError::Lost { path: path.to_owned(), source })?;
    match answer.trim_end() {
        UNSEALED => Ok(()),
        "" => {
            let source = io::ErrorKind::UnexpectedEof.into();
            Err(UnsealError::Lost { path: path.to_owned(), source })
        }
        answer => Err(UnsealError::Refused { answer: answer.to_owned() }),
    }
}

/// A socket that waits for the passphrase. Removed when dropped.
#[derive(Debug)]
pub(crate) struct UnsealSocket {
    listener: StdListener,
    path: PathBuf,
}

impl UnsealSocket {
    /// Takes the place of a socket that a killed server has left; the lock on the data directory says that it is dead.
    pub(crate) fn bind(path: &Path) -> Result<Self, AssemblyError> {
        let bound = Self::bind_new(path);
        bound.map_err(|source| AssemblyError::Io { doing: "listen on", path: path.to_owned(), source })
    }

    fn bind_new(path: &Path) -> io::Result<Self> {
        let mut draft = path.as_os_str().to_owned();
        draft.push(".new");
        let draft = PathBuf::from(draft);
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = StdListener::bind(&draft)?;
        // Under its own name only when its rights are right.
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o600))?;
        fs::rename(&draft, path)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Serves attempts until one opens the deployment or finds that it cannot be served, or until the shutdown.
    pub(crate) fn serve(
        self,
        shutdown: &Shutdown,
        attempt: &mut dyn FnMut(Credential) -> Attempt,
    ) -> Result<(), AssemblyError> {
        let failed = |source| AssemblyError::Io { doing: "listen on", path: self.path.clone(), source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
        let runtime = runtime.map_err(failed)?;
        runtime.block_on(async {
            let listener = self.listener.try_clone().and_then(UnixListener::from_std).map_err(failed)?;
            loop {
                let accepted = tokio::select! {
                    () = shutdown.triggered() => return Ok(()),
                    accepted = listener.accept() => accepted,
                };
                let heard = match accepted {
                    Ok((stream, _)) => hear(stream).await,
                    Err(error) => Err(error),
                };
                let (mut stream, passphrase) = match heard {
                    Ok(heard) => heard,
                    Err(error) => {
                        tracing::warn!(%error, "an attempt to unseal was not understood");
                        pause(shutdown).await;
                        continue;
                    }
                };
                match attempt(passphrase) {
                    Attempt::Unsealed => {
                        answer(&mut stream, UNSEALED).await;
                        return Ok(());
                    }
                    Attempt::Failed(error) => {
                        answer(&mut stream, &chain(&error)).await;
                        return Err(error);
                    }
                    Attempt::Refused(error) => {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "an attempt to unseal was refused"
                        );
                        pause(shutdown).await;
                        answer(&mut stream, &chain(&error)).await;
                    }
                }
            }
        })
    }
}

impl Drop for UnsealSocket {
    fn drop(&mut self) {
        // One that stays behind is replaced by the next start.
        let _ = fs::remove_file(&self.path);
    }
}

/// Checks who it is and reads the line.
async fn hear(mut stream: UnixStream) -> io::Result<(UnixStream, Credential)> {
    let peer = stream.peer_cred()?.uid();
    if peer != 0 && peer != rustix::process::geteuid().as_raw() {
        answer(&mut stream, "only the server's own user and root may unseal it").await;
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("user {peer} is not allowed")));
    }
    let line = timeout(Duration::from_secs(UNSEAL_REQUEST_SECS_MAX), read_line(&mut stream));
    let line = line.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    match line {
        Ok(passphrase) => Ok((stream, passphrase)),
        Err(error) => {
            answer(&mut stream, "no passphrase was received").await;
            Err(error)
        }
    }
}

/// Up to the end of the line. Never grown: growing would leave an unwiped copy behind.
async fn read_line(stream: &mut UnixStream) -> io::Result<Credential> {
    let mut line = zeroize::Zeroizing::new(vec![0; ROOT_PASSPHRASE_BYTES_MAX + 1]);
    let mut filled = 0;
    loop {
        let room = line.get_mut(filled..).filter(|room| !room.is_empty());
        let read = stream.read(room.ok_or(io::ErrorKind::InvalidData)?).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += read;
        let heard = line.get(..filled).unwrap_or_default();
        if let Some(end) = heard.iter().position(|byte| *byte == b'\n') {
            return Ok(Credential::new(heard.get(..end).unwrap_or_default().to_vec()));
        }
    }
}

/// Whoever has gone away gets no answer.
async fn answer(stream: &mut UnixStream, text: &str) {
    let line = format!("{text}\n");
    let _ = timeout(Duration::from_secs(1), stream.write_all(line.as_bytes())).await;
}

async fn pause(shutdown: &Shutdown) {
    let _ = timeout(Duration::from_secs(UNSEAL_PAUSE_SECS), shutdown.triggered()).await;
}

/// An error and its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use strongroom_testkit::scratch::ScratchDirectory;

    use super::*;

    /// A socket whose server knows this passphrase; the count of attempts it made.
    fn with_server(client: impl FnOnce(&Path)) -> (Result<(), AssemblyError>, usize) {
        let directory = ScratchDirectory::new();
        let path = directory.path().join("unseal.sock");
        let socket = UnsealSocket::bind(&path).unwrap();
        let shutdown = Shutdown::new();
        let stop = shutdown.clone();
        let server = std::thread::spawn(move || {
            let mut attempts = 0;
            let served = socket.serve(&shutdown, &mut |passphrase| {
                attempts += 1;
                match passphrase.expose() {
                    b"open sesame" => Attempt::Unsealed,
                    b"broken" => Attempt::Failed(AssemblyError::NoDeployment),
                    _ => Attempt::Refused(AssemblyError::NoDeployment),
                }
            });
            (served, attempts)
        });
        client(&path);
        stop.trigger();
        let outcome = server.join().unwrap();
        assert!(!path.exists(), "the socket stays behind");
        outcome
    }

    fn try_with(path: &Path, passphrase: &[u8]) -> Result<(), UnsealError> {
        unseal(path, &Credential::new(passphrase.to_vec()))
    }

    #[test]
    fn nobody_waits_where_there_is_no_socket() {
        let directory = ScratchDirectory::new();
        let refused = try_with(&directory.path().join("unseal.sock"), b"open sesame");
        assert!(matches!(refused, Err(UnsealError::Absent { .. })));
    }

    #[test]
    fn a_wrong_passphrase_is_refused_and_the_right_one_ends_the_wait() {
        let (served, attempts) = with_server(|path| {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
            assert!(matches!(try_with(path, b"wrong"), Err(UnsealError::Refused { .. })));
            try_with(path, b"open sesame").unwrap();
        });
        served.unwrap();
        assert_eq!(attempts, 2);
    }

    #[test]
    fn a_line_past_the_limit_and_one_without_an_end_are_no_attempts() {
        let (served, attempts) = with_server(|path| {
            let long = vec![b'x'; ROOT_PASSPHRASE_BYTES_MAX + 1];
            assert!(try_with(path, &long).is_err());
            let mut stream = StdStream::connect(path).unwrap();
            stream.write_all(b"open sesame").unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert_eq!(answer, "no passphrase was received\n");
            let fits = vec![b'x'; ROOT_PASSPHRASE_BYTES_MAX];
            assert!(matches!(try_with(path, &fits), Err(UnsealError::Refused { .. })));
        });
        served.unwrap();
        assert_eq!(attempts, 1);
    }

    #[test]
    fn a_deployment_that_cannot_be_served_ends_the_wait_with_its_error() {
        let (served, _) = with_server(|path| {
            let Err(UnsealError::Refused { answer }) = try_with(path, b"broken") else { panic!("unsealed") };
            assert!(answer.contains("deployment row"), "{answer}");
        });
        assert!(matches!(served, Err(AssemblyError::NoDeployment)));
    }

    #[test]
    fn a_socket_left_behind_is_replaced_and_a_path_too_long_is_refused() {
        let directory = ScratchDirectory::new();
        let path = directory.path().join("unseal.sock");
        std::mem::forget(UnsealSocket::bind(&path).unwrap());
        drop(UnsealSocket::bind(&path).unwrap());
        let long = directory.path().join("x".repeat(120));
        assert!(matches!(UnsealSocket::bind(&long), Err(AssemblyError::Io { .. })));
    }
}
