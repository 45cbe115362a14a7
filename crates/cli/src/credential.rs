//! `strongroom credential`.

use std::process::ExitCode;

use strongroom_server::{AccessKey, Credentials, Rotated};

use crate::arguments::{CredentialCommand, PlaceArguments, PrincipalArguments, RetireArguments};
use crate::passphrase::ask_passphrase;
use crate::terminal::{Failure, line};

pub(crate) fn run(command: &CredentialCommand) -> Result<ExitCode, Failure> {
    match command {
        CredentialCommand::List(places) => list(places)?,
        CredentialCommand::Rotate(arguments) => rotate(arguments)?,
        CredentialCommand::Retire(arguments) => retire(arguments)?,
        CredentialCommand::Reset(arguments) => reset(arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(places: &PlaceArguments) -> Result<(), Failure> {
    let credentials = open(places)?;
    for key in credentials.list()? {
        line(&format!("{}  {}  {}", key.id, key.created.to_extended_iso8601(), owner(&key)));
    }
    Ok(credentials.close()?)
}

fn rotate(arguments: &PrincipalArguments) -> Result<(), Failure> {
    let credentials = open(&arguments.places)?;
    let rotated = credentials.rotate(arguments.name())?;
    credentials.close()?;
    tell_new(&rotated, &arguments.places);
    for id in &rotated.others {
        line(&format!("`{id}` is still good. When no program uses it any more, take it away:"));
        line(&format!("  strongroom credential retire {id} --data {}", arguments.places.data.display()));
    }
    Ok(())
}

fn reset(arguments: &PrincipalArguments) -> Result<(), Failure> {
    let credentials = open(&arguments.places)?;
    let rotated = credentials.reset(arguments.name())?;
    credentials.close()?;
    tell_new(&rotated, &arguments.places);
    for id in &rotated.others {
        line(&format!("`{id}` is gone."));
    }
    Ok(())
}

fn retire(arguments: &RetireArguments) -> Result<(), Failure> {
    let credentials = open(&arguments.places)?;
    let retired = credentials.retire(&arguments.access_key_id)?;
    let is_named = credentials.is_named_in_file(&arguments.access_key_id);
    credentials.close()?;
    line(&format!("`{}` of {} is gone.", retired.id, owner(&retired)));
    if is_named {
        let file = arguments.places.places().credentials();
        line(&format!("`{}` still names it.", file.display()));
    }
    Ok(())
}

fn open(places: &PlaceArguments) -> Result<Credentials, Failure> {
    let file = places.passphrase_file();
    let ask = move || ask_passphrase(file);
    Ok(Credentials::open(&places.places(), Some(&ask))?)
}

fn tell_new(rotated: &Rotated, places: &PlaceArguments) {
    let file = places.places().credentials();
    line(&format!(
        "`{}` is new; its secret is in `{}`, profile `{}`.",
        rotated.made,
        file.display(),
        rotated.profile
    ));
}

fn owner(key: &AccessKey) -> String {
    match (key.user, key.root_of) {
        (Some(user), _) => format!("user {user}"),
        (None, Some(account)) => format!("root of {account}"),
        (None, None) => "operator".to_owned(),
    }
}
