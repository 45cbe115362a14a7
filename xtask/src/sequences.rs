//! `cargo xtask sequences`: plays the model test of `strongroom-kms` with many fresh sequences, of which `./test` plays a
//! few. One that fails is shrunk and printed with its seed.

use std::path::Path;
use std::process::Command;

use crate::crash::{check_count, run_to_end};
use crate::error::TaskError;

pub(crate) const COUNT_DEFAULT: &str = "2000";

pub(crate) fn run(root: &Path, count: &str) -> Result<String, TaskError> {
    check_count(count, "`--count` takes a whole number from 1")?;
    let mut test = Command::new("cargo");
    test.args([
        "test",
        "--release",
        "--locked",
        "--package",
        "strongroom-kms",
        "--test",
        "model",
        "--",
        "--nocapture",
    ]);
    run_to_end(test.current_dir(root).env("STRONGROOM_SEQUENCES", count))?;
    Ok(format!(
        "{count} sequences of each sort, a twentieth of them over SQLite: answered as the model has it"
    ))
}
