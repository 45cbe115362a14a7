//! `strongroom init`.

use std::process::ExitCode;

use strongroom_server::{NewCredential, NewDeployment, SystemEnv, initialise, read_passphrase, read_seed};
use strongroom_types::{AccessKeyId, AccountId, Credential, Env, RegionName};

use crate::arguments::InitArguments;
use crate::terminal::{Failure, line};

const ROOT_ACCESS_KEY_ID: &str = "STRONGROOM_ROOT_ACCESS_KEY_ID";
const ROOT_SECRET_ACCESS_KEY: &str = "STRONGROOM_ROOT_SECRET_ACCESS_KEY";

pub(crate) fn run(arguments: &InitArguments) -> Result<ExitCode, Failure> {
    let places = arguments.places.places();
    let env = SystemEnv::new();
    let account = match arguments.account {
        Some(account) => account,
        None => random_account(&env)?,
    };
    let regions = distinct(&arguments.regions)?;
    let passphrase = match arguments.places.passphrase_file() {
        Some(path) => Some(
            read_passphrase(path)
                .map_err(|error| format!("cannot read the passphrase file `{}`: {error}", path.display()))?,
        ),
        None => None,
    };
    let has_passphrase = passphrase.is_some();
    let seed = match &arguments.seed {
        Some(path) => Some(read_seed(path, account, &regions)?),
        None => None,
    };
    let seeded = seed.as_ref().map(|seed| seed.counts());
    let new = NewDeployment {
        account,
        regions: regions.clone(),
        passphrase,
        root_credential: root_credential()?,
        operator_credential: NewCredential::random()?,
        seed,
    };
    initialise(&places, new, &env)?;
    let names: Vec<&str> = regions.iter().map(RegionName::as_str).collect();
    line(&format!("Initialised `{}`.", places.data.display()));
    line(&format!("  account      {account}"));
    line(&format!("  regions      {}", names.join(", ")));
    line(&format!("  root key     {}", places.root_key().display()));
    line(&format!("  credentials  {}", places.credentials().display()));
    if let Some((keys, aliases)) = seeded {
        line(&format!("  seeded       {keys} keys, {aliases} aliases"));
    }
    line("");
    line(
        "Keep a copy of the root key in a safe place, apart from the data: without it nothing can be opened,",
    );
    line("and whoever has both can open everything.");
    if has_passphrase {
        line("The root key file needs its passphrase; it cannot be recovered.");
    }
    Ok(ExitCode::SUCCESS)
}

/// Twelve random digits, the first of which is not zero.
fn random_account(env: &dyn Env) -> Result<AccountId, Failure> {
    let number = u128::from_be_bytes(env.random_id()) % 900_000_000_000 + 100_000_000_000;
    Ok(AccountId::parse(&number.to_string())?)
}

/// Sorted, as the keyring keeps them; a region named twice is a mistake worth telling.
fn distinct(regions: &[RegionName]) -> Result<Vec<RegionName>, Failure> {
    let mut sorted = regions.to_vec();
    sorted.sort();
    if let Some([twice, _]) = sorted.array_windows().find(|[a, b]| a == b) {
        return Err(format!("region `{twice}` is named twice").into());
    }
    let max = strongroom_types::limits::REGIONS_MAX;
    if sorted.len() > max {
        return Err(format!("a deployment can have at most {max} regions").into());
    }
    Ok(sorted)
}

/// The account root's credential: random, or what the environment says, for CI.
#[expect(clippy::disallowed_methods, reason = "the command line is the one place that reads the environment")]
fn root_credential() -> Result<NewCredential, Failure> {
    let id = std::env::var(ROOT_ACCESS_KEY_ID).ok().filter(|id| !id.is_empty());
    let secret = std::env::var(ROOT_SECRET_ACCESS_KEY).ok().filter(|secret| !secret.is_empty());
    match (id, secret) {
        (None, None) => Ok(NewCredential::random()?),
        (Some(id), Some(secret)) => {
            let access_key_id =
                AccessKeyId::parse(&id).map_err(|error| format!("{ROOT_ACCESS_KEY_ID}: {error}"))?;
            if !(16..=128).contains(&secret.len()) || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
                let what = "must be 16 to 128 visible ASCII characters";
                return Err(format!("{ROOT_SECRET_ACCESS_KEY} {what}").into());
            }
            Ok(NewCredential { access_key_id, secret: Credential::new(secret.into_bytes()) })
        }
        _ => Err(format!("set both {ROOT_ACCESS_KEY_ID} and {ROOT_SECRET_ACCESS_KEY}, or neither").into()),
    }
}
