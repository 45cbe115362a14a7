//! `strongroom backup`.

use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use strongroom_server::{BackupHeader, backup};

use crate::arguments::BackupArguments;
use crate::passphrase::ask_passphrase;
use crate::terminal::{Failure, line};

pub(crate) fn run(arguments: &BackupArguments) -> Result<ExitCode, Failure> {
    let file = arguments.places.passphrase_file();
    let ask = move || ask_passphrase(file);
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{spinner} {bytes} read, {elapsed}")?);
    let made =
        backup(&arguments.places.places(), Some(&ask), &arguments.to, &mut |bytes| bar.set_position(bytes));
    bar.finish_and_clear();
    let made = made?;
    line(&format!("Backup `{}`, {} bytes.", arguments.to.display(), made.bytes));
    tell(&made.header);
    line(&format!("  rows       {}", made.rows));
    line(&format!("  segments   {} of the audit journal", made.segments));
    Ok(ExitCode::SUCCESS)
}

/// What a backup says of itself.
pub(crate) fn tell(header: &BackupHeader) {
    line(&format!("  made       {} by strongroom {}", header.created.to_extended_iso8601(), header.program));
    if let Some(root) = header.root_id() {
        line(&format!("  root key   {root}"));
    }
    line(&format!("  revision   {}", header.revision));
    for key in &header.keys {
        line(&format!("  key        {}", key.trim_start_matches("keyring/")));
    }
}
