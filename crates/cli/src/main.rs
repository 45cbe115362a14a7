//! The `strongroom` command.

mod arguments;
mod audit;
mod backup;
mod check;
mod credential;
mod dev_cert;
mod identity;
mod init;
mod passphrase;
mod policy;
mod region;
mod restore;
mod serve;
mod terminal;
mod unseal;

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
    strongroom_crypto::check_module()?;
    match command {
        Command::Audit(arguments) => audit::run(arguments),
        Command::Backup(arguments) => backup::run(arguments),
        Command::Check(arguments) => check::run(arguments),
        Command::Credential(command) => credential::run(command),
        Command::DevCert(arguments) => dev_cert::run(arguments),
        Command::Identity(command) => identity::run(command),
        Command::Init(arguments) => init::run(arguments),
        Command::Policy(command) => policy::run(command),
        Command::Region(command) => region::run(command),
        Command::Restore(arguments) => restore::run(arguments),
        Command::Serve(arguments) => serve::run(arguments),
        Command::Unseal(arguments) => unseal::run(arguments),
    }
}
