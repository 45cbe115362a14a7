//! Files that an operator writes: the configuration and the seed.

use std::sync::OnceLock;

use strongroom_server::{Config, ConfigError, Overrides, SeedFileError, read_seed};
use strongroom_testkit::scratch::ScratchDirectory;

use crate::world::{account, region, rewrite};

const NAME: &str = "file.toml";

/// The first byte says which file: a configuration, or a seed.
///
/// A file that is accepted means the same with a comment behind it, and is refused with a field behind it that is not
/// known. A refusal names a line of the file.
pub(crate) fn configuration(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    if kind % 2 == 0 {
        config(bytes);
    } else {
        seed(bytes);
    }
}

fn config(bytes: &[u8]) {
    match load(bytes) {
        Ok(config) => {
            let commented = [bytes, b"\n# a comment\n"].concat();
            assert_eq!(load(&commented).expect("a comment changes nothing"), config);
            assert!(config.thread_count() > 0);
            let unknown = [b"an_unknown_field = 1\n", bytes].concat();
            assert!(matches!(load(&unknown), Err(ConfigError::Invalid { .. })));
        }
        Err(ConfigError::Invalid { line, .. }) => check_line(line, bytes),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn load(bytes: &[u8]) -> Result<Config, ConfigError> {
    rewrite(directory(), NAME, bytes);
    Config::load(Some(&directory().path().join(NAME)), &Overrides::default())
}

fn seed(bytes: &[u8]) {
    match take(bytes) {
        Ok(counts) => {
            let commented = [bytes, b"\n# a comment\n"].concat();
            assert_eq!(take(&commented).expect("a comment changes nothing"), counts);
            let unknown = [b"an_unknown_field = 1\n", bytes].concat();
            assert!(matches!(take(&unknown), Err(SeedFileError::Form { .. })));
        }
        Err(SeedFileError::Form { line, .. }) => check_line(line, bytes),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// How many keys and aliases the seed has.
fn take(bytes: &[u8]) -> Result<(usize, usize), SeedFileError> {
    rewrite(directory(), NAME, bytes);
    read_seed(&directory().path().join(NAME), account(), &[region()]).map(|seed| seed.counts())
}

fn check_line(line: usize, bytes: &[u8]) {
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
    assert!((1..=lines).contains(&line), "line {line} of {lines}");
}

fn directory() -> &'static ScratchDirectory {
    static DIRECTORY: OnceLock<ScratchDirectory> = OnceLock::new();
    DIRECTORY.get_or_init(ScratchDirectory::new)
}
