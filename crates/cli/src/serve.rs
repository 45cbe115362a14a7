//! `strongroom serve`.

use std::path::Path;
use std::process::ExitCode;

use strongroom_server::{Announcement, AskPassphrase, Config, Overrides, TlsConfig, run as run_server};
use strongroom_types::RegionName;

use crate::arguments::ServeArguments;
use crate::passphrase::ask_passphrase;
use crate::terminal::{Failure, line};

pub(crate) fn run(arguments: &ServeArguments) -> Result<ExitCode, Failure> {
    let overrides = Overrides {
        listen: arguments.listen,
        admin_listen: arguments.admin_listen,
        insecure_plaintext: arguments.insecure_plaintext,
        tls: TlsConfig {
            certificate: arguments.tls_cert.clone(),
            key: arguments.tls_key.clone(),
            client_ca: arguments.tls_client_ca.clone(),
            client_certificates: None,
        },
        user: arguments.user.clone(),
        group: arguments.group.clone(),
        accept_rollback: arguments.accept_rollback,
        ..Overrides::default()
    };
    let config = Config::load(arguments.config.as_deref(), &overrides)?;
    let places = arguments.places.places();
    let file = arguments.places.passphrase_file();
    let ask = move || ask_passphrase(file);
    // Without a file nobody is asked: a service has no terminal. What needs a passphrase then starts sealed.
    let passphrase = file.is_some().then_some(&ask as AskPassphrase<'_>);
    let socket = arguments.unseal_socket.clone().unwrap_or_else(|| places.unseal_socket());
    run_server(&config, &places, passphrase, &socket, &announce)?;
    Ok(ExitCode::SUCCESS)
}

/// What to paste into another terminal.
fn announce(announcement: &Announcement<'_>) {
    let Announcement { accounts, address, admin_address, places, regions, scheme, sealed } = announcement;
    let names: Vec<&str> = regions.iter().map(RegionName::as_str).collect();
    let accounts: Vec<String> = accounts.iter().map(ToString::to_string).collect();
    let credentials = std::path::absolute(places.credentials()).unwrap_or_else(|_| places.credentials());
    let credentials = credentials.display();
    let region = names.first().copied().unwrap_or_default();
    if let Some(socket) = sealed {
        return announce_sealed(announcement, socket);
    }
    line(&format!("Strongroom {} is serving AWS KMS's protocol.", env!("CARGO_PKG_VERSION")));
    line("");
    line(&format!("  endpoint     {scheme}://{address}"));
    line(&format!("  regions      {}", names.join(", ")));
    line(&format!("  account      {}", accounts.join(", ")));
    line(&format!("  credentials  {credentials}"));
    line(&format!("  health       http://{admin_address}/readyz   metrics  http://{admin_address}/metrics"));
    line("");
    line("Paste this into another terminal:");
    line("");
    line(&format!("  export AWS_ENDPOINT_URL_KMS={scheme}://{address}"));
    line(&format!("  export AWS_ENDPOINT_URL_STS={scheme}://{address}"));
    line(&format!("  export AWS_SHARED_CREDENTIALS_FILE='{credentials}'"));
    line(&format!("  export AWS_REGION={region} AWS_DEFAULT_REGION={region}"));
    line("");
    line("  KEY=$(aws kms create-key --description 'my first key' --query KeyMetadata.KeyId --output text)");
    line("  aws kms create-alias --alias-name alias/first --target-key-id $KEY");
    line("  echo -n 'hello' > hello.txt");
    line("  aws kms encrypt --key-id alias/first --plaintext fileb://hello.txt \\");
    line("      --query CiphertextBlob --output text | base64 -d > hello.encrypted");
    line(
        "  aws kms decrypt --ciphertext-blob fileb://hello.encrypted --query Plaintext --output text | base64 -d",
    );
    line("");
    line("Ctrl-C stops it.");
}

fn announce_sealed(announcement: &Announcement<'_>, socket: &Path) {
    let Announcement { address, admin_address, places, scheme, .. } = announcement;
    line(&format!("Strongroom {} is sealed: its root key needs a passphrase.", env!("CARGO_PKG_VERSION")));
    line("");
    line(&format!("  endpoint     {scheme}://{address}, where every request is refused for now"));
    line(&format!("  health       http://{admin_address}/readyz"));
    line("");
    line("In another terminal:");
    line("");
    let data = places.data.display();
    if socket == places.unseal_socket() {
        line(&format!("  strongroom unseal --data {data}"));
    } else {
        line(&format!("  strongroom unseal --data {data} --unseal-socket {}", socket.display()));
    }
}
