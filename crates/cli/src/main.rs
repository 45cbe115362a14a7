//! The `strongroom` command.

mod arguments;
mod audit;
mod check;
mod dev_cert;
mod init;
mod serve;
mod terminal;

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

use crate::arguments::{Arguments, Command};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments.command) {
        Ok(code) => code,
        Err(error) => {
            terminal::error(&*error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<ExitCode, terminal::Failure> {
    // Every command holds keys: none of them may end in a core dump or be read by another process.
    strongroom_server::harden()?;
    match command {
        Command::Audit(arguments) => audit::run(arguments),
        Command::Check(arguments) => check::run(arguments),
        Command::DevCert(arguments) => dev_cert::run(arguments),
        Command::Init(arguments) => init::run(arguments),
        Command::Serve(arguments) => serve::run(arguments),
    }
}
