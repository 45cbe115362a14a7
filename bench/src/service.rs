//! The service under test: a deployment made for this run, and the subject that requests are about.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use strongroom_types::Credential;

use crate::child::{Server, free_address};
use crate::connection::Connection;
use crate::error::{BenchError, io_error};
use crate::operation::{Operation, Subject};
use crate::request::{REGION, Signer};

/// A data directory that `strongroom init` has made.
#[derive(Debug)]
pub(crate) struct Deployment {
    data: PathBuf,
    program: PathBuf,
    pub(crate) signer: Signer,
}

impl Deployment {
    /// Makes a deployment in an empty directory.
    pub(crate) fn make(program: &Path, directory: &Path) -> Result<Self, BenchError> {
        Self::make_with(program, directory, &[REGION]).map(|(deployment, _)| deployment)
    }

    /// Makes one of these regions. Returns also how long `strongroom init` took.
    pub(crate) fn make_with(
        program: &Path,
        directory: &Path,
        regions: &[&str],
    ) -> Result<(Self, Duration), BenchError> {
        let data = directory.join("data");
        let root = directory.join("root");
        let mut command = Command::new(program);
        command.arg("init").arg("--data").arg(&data).arg("--root-dir").arg(&root);
        command.args(["--account", "111122223333"]);
        command.args(regions.iter().flat_map(|region| ["--region", region]));
        let started = Instant::now();
        let output = command.stdin(Stdio::null()).output().map_err(io_error("run `strongroom init`"))?;
        if !output.status.success() {
            let last_words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(BenchError::ChildEnded { name: "command `strongroom init`", last_words });
        }
        let took = started.elapsed();
        let signer = read_credentials(&root.join("credentials"))?;
        Ok((Self { data, program: program.to_owned(), signer }, took))
    }

    /// Serves it, with the default configuration. Returns also how long it took until the first answer.
    pub(crate) fn serve(&self) -> Result<(Server, Duration), BenchError> {
        let address = free_address()?;
        let root = self.data.with_file_name("root");
        let words: [OsString; 9] = [
            "serve".into(),
            "--data".into(),
            self.data.clone().into(),
            "--root-dir".into(),
            root.into(),
            "--listen".into(),
            address.to_string().into(),
            "--admin-listen".into(),
            "127.0.0.1:0".into(),
        ];
        let log = self.data.with_file_name("service.log");
        let mut server = Server::spawn("service", address, &self.program, &words, log)?;
        let request = self.signer.request(address, "ListKeys", "{}", 0)?;
        let took = server.wait_for_answer(&request)?;
        Ok((server, took))
    }

    /// Makes a key, and a ciphertext under it.
    pub(crate) fn make_subject(&self, server: &Server) -> Result<Subject, BenchError> {
        let mut subject = Subject::default();
        subject.key_id = self.ask_field(server, Operation::CreateKey, &subject, "/KeyMetadata/KeyId")?;
        subject.ciphertext_blob = self.ask_field(server, Operation::Encrypt, &subject, "/CiphertextBlob")?;
        Ok(subject)
    }

    fn ask_field(
        &self,
        server: &Server,
        operation: Operation,
        subject: &Subject,
        pointer: &'static str,
    ) -> Result<String, BenchError> {
        let body = operation.body(subject);
        let request = self.signer.request(server.address(), operation.name(), &body, 0)?;
        let connection = Connection::open(server.address()).map_err(io_error("connect to the service"));
        ask_field(&mut connection?, &request, operation, pointer)
    }

    /// Milliseconds to the first answer after everything that was done; `None` if it did not come in time, which must
    /// not cost the report.
    pub(crate) fn restart(&self) -> Result<Option<f64>, BenchError> {
        match self.serve() {
            Ok((service, took)) => {
                service.stop()?;
                Ok(Some(took.as_secs_f64() * 1000.0))
            }
            Err(BenchError::ChildSilent { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A text of the reply to a request.
pub(crate) fn ask_field(
    connection: &mut Connection,
    request: &[u8],
    operation: Operation,
    pointer: &'static str,
) -> Result<String, BenchError> {
    let answer = connection.ask(request)?;
    let value: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
    let text = value.as_ref().and_then(|value| value.pointer(pointer)?.as_str()).map(str::to_owned);
    text.ok_or_else(|| {
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        BenchError::NoField { operation: operation.name(), pointer, body }
    })
}

/// The first profile of an AWS shared-credentials file: the account's root.
fn read_credentials(path: &Path) -> Result<Signer, BenchError> {
    let text = fs::read_to_string(path).map_err(io_error("read the credentials file"))?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix('='));
        let value = line.map(|value| value.trim().to_owned());
        value.ok_or_else(|| BenchError::Credentials { path: path.to_owned() })
    };
    let secret = Credential::new(field("aws_secret_access_key")?.into_bytes());
    Ok(Signer { access_key_id: field("aws_access_key_id")?, secret })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_profile_is_read() {
        let path = std::env::temp_dir().join(format!("strongroom-bench-credentials-{}", std::process::id()));
        fs::write(&path, "[default]\naws_access_key_id = AKIA\n").unwrap();
        assert!(matches!(read_credentials(&path), Err(BenchError::Credentials { .. })));
        let text = "[default]\naws_access_key_id = AKIA1\naws_secret_access_key = a=b\n[operator]\naws_access_key_id = AKIA2\n";
        fs::write(&path, text).unwrap();
        let signer = read_credentials(&path).unwrap();
        assert_eq!((signer.access_key_id.as_str(), signer.secret.expose()), ("AKIA1", b"a=b".as_slice()));
        fs::remove_file(&path).unwrap();
    }
}
