//! How a task fails, and the two ways in which all of them touch the world: files and programs.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    #[error("these differ from what the model generates; run `cargo xtask codegen`:\n  {}", .0.join("\n  "))]
    Differs(Vec<String>),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("forbidden dependencies:\n  {}", .0.join("\n  "))]
    Forbidden(Vec<String>),
    #[error("{what} is not the JSON that was expected: {source}")]
    Json { what: String, source: serde_json::Error },
    #[error("the model: {0}")]
    Model(String),
    #[error("{program} failed: {reason}")]
    Program { program: String, reason: String },
    #[error("{0}")]
    Usage(&'static str),
}

pub(crate) fn model_error(message: impl Into<String>) -> TaskError {
    TaskError::Model(message.into())
}

pub(crate) fn read(path: &Path) -> Result<String, TaskError> {
    std::fs::read_to_string(path).map_err(|source| TaskError::File { path: path.to_owned(), source })
}

/// Writes a file, and makes its directory if there is none.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), TaskError> {
    let failed = |source| TaskError::File { path: path.to_owned(), source };
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    std::fs::write(path, text).map_err(failed)
}

/// Runs a program to its end, gives it `input` and returns what it prints.
pub(crate) fn output_of(command: &mut Command, input: &str) -> Result<String, TaskError> {
    let program = OsStr::to_string_lossy(command.get_program()).into_owned();
    let failed = |reason: String| TaskError::Program { program: program.clone(), reason };
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    // The programs run here read all of their input before they print, so neither side waits for the other.
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).map_err(|error| failed(error.to_string()))?;
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    String::from_utf8(output.stdout).map_err(|error| failed(error.to_string()))
}
