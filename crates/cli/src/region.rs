//! `strongroom region`.

use std::process::ExitCode;

use strongroom_server::{Opened, add_region};

use crate::arguments::{PlaceArguments, RegionArguments, RegionCommand};
use crate::passphrase::ask_passphrase;
use crate::terminal::{Failure, line};

pub(crate) fn run(command: &RegionCommand) -> Result<ExitCode, Failure> {
    match command {
        RegionCommand::Add(arguments) => add(arguments)?,
        RegionCommand::List(places) => list(places)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn add(arguments: &RegionArguments) -> Result<(), Failure> {
    let file = arguments.places.passphrase_file();
    let ask = move || ask_passphrase(file);
    add_region(&arguments.places.places(), Some(&ask), &arguments.region)?;
    line(&format!("Region `{}` is added. The next `strongroom serve` serves it.", arguments.region));
    Ok(())
}

fn list(places: &PlaceArguments) -> Result<(), Failure> {
    let file = places.passphrase_file();
    let ask = move || ask_passphrase(file);
    for region in &Opened::open(&places.places(), Some(&ask))?.regions {
        line(region.as_str());
    }
    Ok(())
}
