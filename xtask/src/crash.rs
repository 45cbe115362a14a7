//! `cargo xtask crash`: kills the server again and again under load, and looks each time whether all it had acknowledged
//! is there. The test is conformance/test_crash.py, which `./test` runs for a few rounds only; the dice are its own, and
//! it prints their seed.

use std::path::Path;
use std::process::Command;

use crate::error::TaskError;

pub(crate) const ROUNDS_DEFAULT: &str = "200";

/// Builds the binary and runs the kill test for so many rounds, with its output where ours goes.
pub(crate) fn run(root: &Path, rounds: &str) -> Result<String, TaskError> {
    check_count(rounds, "`--rounds` takes a whole number from 1")?;
    let mut build = Command::new("cargo");
    build.args(["build", "--release", "--locked", "--package", "strongroom-cli"]);
    run_to_end(build.current_dir(root))?;
    let mut test = Command::new(root.join("conformance/run"));
    test.args(["target/crash.xml", "test_crash.py", "--crash-rounds", rounds]);
    // What is tested is what was built here.
    run_to_end(test.current_dir(root).env_remove("STRONGROOM_BINARY").env_remove("CONFORMANCE_ENDPOINT"))?;
    Ok(format!("{rounds} kills: everything acknowledged was there"))
}

pub(crate) fn check_count(count: &str, usage: &'static str) -> Result<(), TaskError> {
    let is_count = count.parse::<u32>().is_ok_and(|count| count > 0);
    if is_count { Ok(()) } else { Err(TaskError::Usage(usage)) }
}

pub(crate) fn run_to_end(command: &mut Command) -> Result<(), TaskError> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(TaskError::Program { program, reason: status.to_string() }),
        Err(error) => Err(TaskError::Program { program, reason: error.to_string() }),
    }
}
