//! `strongroom identity`.

use std::process::ExitCode;

use strongroom_server::{apply_identities, list_identities};

use crate::arguments::{IdentityApplyArguments, IdentityCommand, PlaceArguments};
use crate::passphrase::ask_passphrase;
use crate::terminal::{Failure, line};

pub(crate) fn run(command: &IdentityCommand) -> Result<ExitCode, Failure> {
    match command {
        IdentityCommand::Apply(arguments) => apply(arguments)?,
        IdentityCommand::List(places) => list(places)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn apply(arguments: &IdentityApplyArguments) -> Result<(), Failure> {
    let file = arguments.places.passphrase_file();
    let ask = move || ask_passphrase(file);
    for done in apply_identities(&arguments.places.places(), Some(&ask), &arguments.file)? {
        line(&done);
    }
    Ok(())
}

fn list(places: &PlaceArguments) -> Result<(), Failure> {
    let file = places.passphrase_file();
    let ask = move || ask_passphrase(file);
    for identity in list_identities(&places.places(), Some(&ask))? {
        line(&identity);
    }
    Ok(())
}
