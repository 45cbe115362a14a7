//! Where the passphrase of a root key comes from: a file that was named, or the person at the terminal.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use strongroom_server::read_passphrase;
use strongroom_types::Credential;
use strongroom_types::limits::ROOT_PASSPHRASE_BYTES_MAX;

/// The passphrase from the file that was named, or else from the terminal, if there is one.
pub(crate) fn ask_passphrase(file: Option<&Path>) -> io::Result<Credential> {
    match file {
        Some(path) => read_passphrase(path)
            .map_err(|error| io::Error::new(error.kind(), format!("`{}`: {error}", path.display()))),
        None if io::stdin().is_terminal() => ask_terminal(),
        None => {
            let way_out = "name the file that holds it with `--passphrase-file`";
            Err(io::Error::new(io::ErrorKind::NotFound, format!("there is no terminal to ask at; {way_out}")))
        }
    }
}

fn ask_terminal() -> io::Result<Credential> {
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    let _quiet = Quiet::new(&terminal)?;
    terminal.write_all(b"Passphrase of the root key: ")?;
    let line = read_line(&mut terminal);
    terminal.write_all(b"\n")?;
    line
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Quiet {
    before: Termios,
    terminal: File,
}

impl Quiet {
    fn new(terminal: &File) -> io::Result<Self> {
        let terminal = terminal.try_clone()?;
        let before = tcgetattr(&terminal)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&terminal, OptionalActions::Flush, &quiet)?;
        Ok(Self { before, terminal })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that has gone away needs nothing more.
        let _ = tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
    }
}

/// One line without its end. A line that is too long is refused, and never grown past its buffer.
fn read_line(from: &mut impl Read) -> io::Result<Credential> {
    let mut line = Credential::new(Vec::with_capacity(ROOT_PASSPHRASE_BYTES_MAX));
    let mut byte = zeroize::Zeroizing::new([0]);
    loop {
        match from.read(byte.as_mut_slice())? {
            0 if line.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
            0 => return Ok(line),
            _ => {}
        }
        match byte.first().copied() {
            Some(b'\n' | b'\r') | None => return Ok(line),
            Some(_) if line.len() == ROOT_PASSPHRASE_BYTES_MAX => {
                let problem = format!("a passphrase has at most {ROOT_PASSPHRASE_BYTES_MAX} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
            }
            Some(byte) => line.expose_mut().push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_past_the_limit_is_refused() {
        let long = "x".repeat(ROOT_PASSPHRASE_BYTES_MAX + 1);
        assert!(read_line(&mut long.as_bytes()).is_err());
        assert!(read_line(&mut &b""[..]).is_err());
        let fits = "x".repeat(ROOT_PASSPHRASE_BYTES_MAX);
        assert_eq!(read_line(&mut fits.as_bytes()).unwrap().expose(), fits.as_bytes());
        assert_eq!(read_line(&mut &b"open sesame\nmore"[..]).unwrap().expose(), b"open sesame");
    }
}
