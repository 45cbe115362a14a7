//! `strongroom restore`.

use std::process::ExitCode;
use std::sync::Arc;

use strongroom_server::{Signer, restore};

use crate::arguments::RestoreArguments;
use crate::audit::verify_journal;
use crate::backup::tell;
use crate::check::{Age, check_opened};
use crate::passphrase::ask_passphrase;
use crate::terminal::{Failure, aside, line};

/// Ends with a failure if what was restored does not check out: the backup was made of a deployment that was damaged
/// already. What was restored stays, to be looked at.
pub(crate) fn run(arguments: &RestoreArguments) -> Result<ExitCode, Failure> {
    let places = arguments.places.places();
    let file = arguments.places.passphrase_file();
    let ask = move || ask_passphrase(file);
    let restored = restore(&places, Some(&ask), &arguments.from)?;
    line(&format!("Restored `{}` to `{}`.", arguments.from.display(), places.data.display()));
    tell(&restored.header);
    line(&format!("  rows       {}", restored.rows));
    line(&format!("  segments   {} of the audit journal", restored.segments));
    line("");
    let checked = check_opened(&places, &restored.opened, Age::Restored)?;
    let signer = Arc::new(Signer::new(Arc::clone(&restored.opened.keyring))?);
    let verified = verify_journal(&places, signer)?;
    if checked == ExitCode::SUCCESS && verified == ExitCode::SUCCESS {
        return Ok(ExitCode::SUCCESS);
    }
    aside("the backup was restored as it is, and it was made of a deployment with these problems");
    Ok(ExitCode::FAILURE)
}
