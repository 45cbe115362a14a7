//! `strongroom dev-cert`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use strongroom_server::{SystemEnv, make_dev_certificates};
use strongroom_types::Env;

use crate::arguments::DevCertArguments;
use crate::terminal::{Failure, line};

pub(crate) fn run(arguments: &DevCertArguments) -> Result<ExitCode, Failure> {
    let made = make_dev_certificates(&arguments.directory, &arguments.names, SystemEnv::new().now())?;
    line(&format!(
        "Made a CA and two certificates, good for 397 days, in `{}`.",
        arguments.directory.display()
    ));
    line("They are for trying out. The CA's key is not kept: nothing else can be signed with it.");
    line("");
    line(&format!("  server       {} ({})", made.server.display(), made.names.join(", ")));
    line(&format!("  client       {} (for `--tls-client-ca`)", made.client.display()));
    line(&format!("  CA of both   {}", made.ca.display()));
    line("");
    line("Serve with TLS by adding to `strongroom serve`:");
    line("");
    line(&format!("  --tls-cert {} --tls-key {}", quoted(&made.server), quoted(&made.server_key)));
    line("");
    line("and paste this where the AWS SDKs and the AWS CLI run:");
    line("");
    line(&format!("  export AWS_CA_BUNDLE={}", quoted(&made.ca)));
    line("  export AWS_ENDPOINT_URL_KMS=https://localhost:4599");
    Ok(ExitCode::SUCCESS)
}

/// The whole path as a shell takes it.
fn quoted(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}
