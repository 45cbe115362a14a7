//! `strongroom unseal`.

use std::process::ExitCode;

use strongroom_server::{Places, unseal};

use crate::arguments::UnsealArguments;
use crate::passphrase::ask_passphrase;
use crate::terminal::{Failure, line};

pub(crate) fn run(arguments: &UnsealArguments) -> Result<ExitCode, Failure> {
    let socket = arguments.unseal_socket.clone();
    let socket = socket.unwrap_or_else(|| Places::new(&arguments.data, None).unseal_socket());
    let passphrase = ask_passphrase(arguments.passphrase_file.as_deref())?;
    unseal(&socket, &passphrase)?;
    line("Unsealed: the server serves.");
    Ok(ExitCode::SUCCESS)
}
