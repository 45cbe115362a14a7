//! A seed as a file: TOML, one table `[[key]]` for each key.
//!
//! Only the form is looked at here, unknown fields are refused; what the fields may say is `kms`'s to judge
//! ([`strongroom_kms::Seed`]). The text may hold key material that is meant for tests; it is wiped all the same.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use strongroom_kms::{Seed, SeedError, SeedKey};
use strongroom_types::limits::SEED_BYTES_MAX;
use strongroom_types::{AccountId, Credential, RegionName};
use zeroize::Zeroizing;

/// Why a seed was refused. Nothing of it is taken then.
#[derive(Debug, thiserror::Error)]
pub enum SeedFileError {
    #[error("the seed `{}`, line {line}: {problem}", path.display())]
    Form { path: PathBuf, line: usize, problem: String },
    #[error("cannot read the seed `{}`; check its path and permissions", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the seed `{}` is larger than {SEED_BYTES_MAX} bytes", path.display())]
    TooLarge { path: PathBuf },
    #[error("the seed `{}` is refused", path.display())]
    Refused { path: PathBuf, source: SeedError },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedFile {
    #[serde(default)]
    key: Vec<KeyTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyTable {
    #[serde(default)]
    aliases: Vec<String>,
    description: Option<String>,
    id: String,
    material: Option<String>,
    policy: Option<String>,
    region: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

/// Reads a seed for a deployment of this account and these regions.
pub fn read_seed(path: &Path, account: AccountId, regions: &[RegionName]) -> Result<Seed, SeedFileError> {
    take(path, &read(path)?, account, regions)
}

fn take(path: &Path, text: &str, account: AccountId, regions: &[RegionName]) -> Result<Seed, SeedFileError> {
    let keys = parse(path, text)?;
    Seed::check(keys, account, regions)
        .map_err(|source| SeedFileError::Refused { path: path.to_owned(), source })
}

fn read(path: &Path) -> Result<Zeroizing<String>, SeedFileError> {
    let mut text = Zeroizing::new(String::new());
    let limit = u64::try_from(SEED_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)
        .and_then(|file| file.take(limit).read_to_string(&mut text))
        .map_err(|source| SeedFileError::Read { path: path.to_owned(), source })?;
    if text.len() > SEED_BYTES_MAX {
        return Err(SeedFileError::TooLarge { path: path.to_owned() });
    }
    Ok(text)
}

fn parse(path: &Path, text: &str) -> Result<Vec<SeedKey>, SeedFileError> {
    let file: SeedFile = toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let problem = error.message().replace('\n', "; ");
        SeedFileError::Form { path: path.to_owned(), line, problem }
    })?;
    Ok(file.key.into_iter().map(KeyTable::into_key).collect())
}

impl KeyTable {
    fn into_key(self) -> SeedKey {
        let Self { aliases, description, id, material, policy, region, tags } = self;
        SeedKey {
            aliases,
            description,
            id,
            material: material.map(|text| Credential::new(text.into_bytes())),
            policy,
            region,
            tags: tags.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests;
