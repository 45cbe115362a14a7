//! Tasks of development: `cargo xtask model | codegen [--check] | crash [--rounds N] | deps | sequences [--count N]`.
//!
//! `model` makes `model/kms.json` from botocore's copy of AWS's service model; `codegen` makes the generated part of
//! `strongroom-wire` from that file and from nothing else; `crash` kills the server under load; `deps` holds the
//! workspace's dependencies against the rules; `sequences` plays random sequences against the model.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "printing is what a task is for")]

mod codegen;
mod crash;
mod deps;
mod error;
mod json;
mod model;
mod sequences;
mod shapes;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::error::TaskError;

const USAGE: &str = "usage: cargo xtask COMMAND
  model [--botocore DIR]  make model/kms.json from botocore; DIR holds the Python package `botocore`
  codegen [--check]       make crates/wire/src/generated from model/kms.json; or only compare
  crash [--rounds N]      build the server, then kill it under load N times (200 if not said) and look each time whether
                          all that it had acknowledged is there; results go to target/crash.xml
  deps                    check the dependency rules of the workspace
  sequences [--count N]   play N random sequences of each sort against the model of the service (2000 if not said)";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = workspace_root();
    let done = match words.as_slice() {
        ["model"] => model::run(&root, None),
        ["model", "--botocore", directory] => model::run(&root, Some(Path::new(directory))),
        ["codegen"] => codegen::write(&root),
        ["codegen", "--check"] => codegen::check(&root),
        ["crash"] => crash::run(&root, crash::ROUNDS_DEFAULT),
        ["crash", "--rounds", rounds] => crash::run(&root, rounds),
        ["deps"] => deps::run(&root),
        ["sequences"] => sequences::run(&root, sequences::COUNT_DEFAULT),
        ["sequences", "--count", count] => sequences::run(&root, count),
        ["--help" | "-h" | "help"] | ["crash", "--help" | "-h"] => Ok(USAGE.to_owned()),
        _ => Err(TaskError::Usage(USAGE)),
    };
    match done {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}
