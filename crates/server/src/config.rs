//! The configuration: one TOML file, laid over safe defaults, and the command line laid over both.
//!
//! Unknown fields are refused, so that a misspelt one is not silently without effect. Secrets do not stand here; where
//! one is needed its file is named. `docs/strongroom.toml` shows every field.

mod attestation;
mod hardening;
mod tls;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};
use strongroom_pipeline::Offers;
use strongroom_types::RegionName;
use strongroom_types::limits::CONFIG_BYTES_MAX;

pub use attestation::AttestationConfig;
pub use hardening::{HardeningConfig, Layer};
pub use tls::{ClientCertificates, TlsConfig};

/// Everything that an operator may set, checked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    #[serde(deserialize_with = "address")]
    pub admin_listen: SocketAddr,
    pub insecure_plaintext: bool,
    /// Zero stands for one per core; [`Config::thread_count`] resolves it.
    pub threads: Bounded<0, 1024>,
    pub connections_max: Bounded<1, 1_000_000>,
    /// Zero stands for no limit of its own.
    pub connections_per_source_max: Bounded<0, 1_000_000>,
    /// Each request holds a place in the journal, of which there are 4096
    /// ([`AUDIT_PENDING_BYTES_MAX`](strongroom_types::limits::AUDIT_PENDING_BYTES_MAX)).
    pub requests_max: Bounded<1, 4000>,
    pub header_timeout_secs: Bounded<1, 3600>,
    pub body_timeout_secs: Bounded<1, 3600>,
    pub idle_timeout_secs: Bounded<1, 86_400>,
    pub shutdown_grace_secs: Bounded<0, 3600>,
    pub log_format: LogFormat,
    pub log_level: LogLevel,
    /// Empty stands for standard error; [`Config::log_file`] says so.
    pub log_file: PathBuf,
    pub disk_free_alarm_mib: Bounded<0, 1_000_000_000>,
    pub disk_reserve_mib: Bounded<0, 65_536>,
    pub journal_segment_mib: Bounded<1, 4096>,
    pub cache_rows_max: Bounded<1000, 100_000_000>,
    #[serde(deserialize_with = "regions")]
    pub sm2_regions: Vec<RegionName>,
    /// Empty stands for whoever starts the server.
    pub user: String,
    /// Empty stands for the user's own.
    pub group: String,
    pub hardening: HardeningConfig,
    pub tls: TlsConfig,
    pub attestation: AttestationConfig,
    /// Not in the file: what is accepted once must not be accepted at every start.
    #[serde(skip)]
    pub accept_rollback: bool,
}

/// What the command line sets; `None` leaves what the file or the default says.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    pub listen: Option<SocketAddr>,
    pub admin_listen: Option<SocketAddr>,
    /// A bare flag: it can allow plaintext, and its absence does not take back what the file allows.
    pub insecure_plaintext: bool,
    /// Take up a store that is older than its anchor.
    pub accept_rollback: bool,
    pub threads: Option<Bounded<0, 1024>>,
    pub log_format: Option<LogFormat>,
    pub log_level: Option<LogLevel>,
    pub user: Option<String>,
    pub group: Option<String>,
    pub tls: TlsConfig,
}

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "i64")]
pub struct Bounded<const MIN: u32, const MAX: u32>(u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Json,
    Text,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Debug,
    Error,
    Info,
    Trace,
    Warn,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("`{path}`, line {line}{}: {problem}", field.as_ref().map(|f| format!(", field `{f}`")).unwrap_or_default())]
    Invalid { path: PathBuf, line: usize, field: Option<String>, problem: String },
    #[error(
        "`listen` is `{listen}`, which other machines can reach, and there is no TLS: anyone on the way could read \
         plaintexts; name a certificate with `--tls-cert` and `--tls-key` (`[tls]` in the file), listen on 127.0.0.1, \
         or accept the risk with `--insecure-plaintext` (`insecure_plaintext = true` in the file)"
    )]
    Plaintext { listen: SocketAddr },
    #[error(
        "cannot read the configuration file `{path}`; check its path and permissions, or start without one"
    )]
    Read { path: PathBuf, source: io::Error },
    #[error("`listen` and `admin_listen` are both `{address}`; give one of them another port")]
    SameAddress { address: SocketAddr },
    #[error("`group` is set and `user` is not; set `user`, or leave both out")]
    GroupWithoutUser,
    #[error("`{given}` of `[tls]` is set and `{missing}` is not; set both or neither")]
    TlsIncomplete { given: &'static str, missing: &'static str },
    #[error("the configuration file `{path}` is larger than {CONFIG_BYTES_MAX} bytes; is it the right file?")]
    TooLarge { path: PathBuf },
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 4599)),
            admin_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 4598)),
            insecure_plaintext: false,
            threads: Bounded(0),
            connections_max: Bounded(10_000),
            connections_per_source_max: Bounded(0),
            requests_max: Bounded(2048),
            header_timeout_secs: Bounded(10),
            body_timeout_secs: Bounded(30),
            // Longer than AWS's SDKs keep a connection they do not use (60 seconds at most), so that it is the client
            // who closes: a server that closes first races with the client's next request.
            idle_timeout_secs: Bounded(75),
            shutdown_grace_secs: Bounded(20),
            log_format: LogFormat::Text,
            log_level: LogLevel::Info,
            log_file: PathBuf::new(),
            disk_free_alarm_mib: Bounded(1024),
            disk_reserve_mib: Bounded(64),
            journal_segment_mib: Bounded(64),
            cache_rows_max: Bounded(125_000),
            sm2_regions: Offers::default().sm2_regions,
            user: String::new(),
            group: String::new(),
            hardening: HardeningConfig::default(),
            tls: TlsConfig::default(),
            attestation: AttestationConfig::default(),
            accept_rollback: false,
        }
    }
}

impl Config {
    /// The defaults, the file over them if there is one, the command line over both, checked as a whole.
    pub fn load(path: Option<&Path>, overrides: &Overrides) -> Result<Self, ConfigError> {
        let file = path.map(|path| read(path).and_then(|text| Self::parse(path, &text))).transpose()?;
        let mut config = file.unwrap_or_default();
        config.lay_over(overrides);
        config.check()?;
        Ok(config)
    }

    pub fn thread_count(&self) -> usize {
        match self.threads.as_usize() {
            0 => thread::available_parallelism().map_or(1, NonZero::get),
            threads => threads,
        }
    }

    pub fn header_timeout(&self) -> Duration {
        self.header_timeout_secs.as_secs()
    }

    pub fn body_timeout(&self) -> Duration {
        self.body_timeout_secs.as_secs()
    }

    pub fn idle_timeout(&self) -> Duration {
        self.idle_timeout_secs.as_secs()
    }

    pub fn shutdown_grace(&self) -> Duration {
        self.shutdown_grace_secs.as_secs()
    }

    pub fn journal_segment_bytes(&self) -> u64 {
        u64::from(self.journal_segment_mib.0) * 1024 * 1024
    }

    /// The file that the log goes to, if not to standard error.
    pub fn log_file(&self) -> Option<&Path> {
        (!self.log_file.as_os_str().is_empty()).then_some(&self.log_file)
    }

    pub fn disk_free_alarm_bytes(&self) -> u64 {
        u64::from(self.disk_free_alarm_mib.0) * 1024 * 1024
    }

    pub fn disk_reserve_bytes(&self) -> u64 {
        u64::from(self.disk_reserve_mib.0) * 1024 * 1024
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let named = text.lines().nth(line - 1).and_then(|line| line.split_once('='));
            let field = named.map(|(name, _)| name.trim().to_owned());
            let problem = error.message().replace('\n', "; ");
            ConfigError::Invalid { path: path.to_owned(), line, field, problem }
        })
    }

    fn lay_over(&mut self, overrides: &Overrides) {
        let Overrides {
            listen,
            admin_listen,
            insecure_plaintext,
            accept_rollback,
            threads,
            log_format,
            log_level,
            ref user,
            ref group,
            ref tls,
        } = *overrides;
        self.accept_rollback |= accept_rollback;
        self.listen = listen.unwrap_or(self.listen);
        self.admin_listen = admin_listen.unwrap_or(self.admin_listen);
        self.insecure_plaintext |= insecure_plaintext;
        self.threads = threads.unwrap_or(self.threads);
        self.log_format = log_format.unwrap_or(self.log_format);
        self.log_level = log_level.unwrap_or(self.log_level);
        for (field, given) in [(&mut self.user, user), (&mut self.group, group)] {
            if let Some(given) = given {
                field.clone_from(given);
            }
        }
        self.tls.lay_over(tls);
    }

    /// The rules that concern more than one field.
    fn check(&self) -> Result<(), ConfigError> {
        self.tls.check()?;
        if self.user.is_empty() && !self.group.is_empty() {
            return Err(ConfigError::GroupWithoutUser);
        }
        let is_loopback = self.listen.ip().to_canonical().is_loopback();
        if !is_loopback && !self.insecure_plaintext && !self.tls.is_on() {
            return Err(ConfigError::Plaintext { listen: self.listen });
        }
        // Port 0 stands for any free port, a different one each time.
        if self.listen == self.admin_listen && self.listen.port() != 0 {
            return Err(ConfigError::SameAddress { address: self.listen });
        }
        Ok(())
    }
}

impl<const MIN: u32, const MAX: u32> Bounded<MIN, MAX> {
    pub const fn as_u32(self) -> u32 {
        self.0
    }

    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// The smaller of the two, but never less than `MIN`.
    pub fn at_most(self, limit: usize) -> Self {
        Self(self.0.min(u32::try_from(limit).unwrap_or(u32::MAX)).max(MIN))
    }

    fn as_secs(self) -> Duration {
        Duration::from_secs(u64::from(self.0))
    }
}

impl<const MIN: u32, const MAX: u32> TryFrom<i64> for Bounded<MIN, MAX> {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        u32::try_from(number)
            .ok()
            .filter(|number| (MIN..=MAX).contains(number))
            .map(Self)
            .ok_or_else(|| format!("`{number}` is not a number from {MIN} to {MAX}"))
    }
}

impl<const MIN: u32, const MAX: u32> FromStr for Bounded<MIN, MAX> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number: i64 =
            text.parse().map_err(|_| format!("`{text}` is not a number from {MIN} to {MAX}"))?;
        Self::try_from(number)
    }
}

impl<const MIN: u32, const MAX: u32> fmt::Display for Bounded<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err(format!("`{text}` is not a log format; use text or json")),
        }
    }
}

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "debug" => Ok(Self::Debug),
            "error" => Ok(Self::Error),
            "info" => Ok(Self::Info),
            "trace" => Ok(Self::Trace),
            "warn" => Ok(Self::Warn),
            _ => Err(format!("`{text}` is not a log level; use error, warn, info, debug or trace")),
        }
    }
}

/// An address and a port. Names are not resolved: what they mean may change under a running server.
fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        de::Error::custom(format!(
            "`{text}` is not an address and a port such as 127.0.0.1:4599 or [::1]:4599"
        ))
    })
}

fn regions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<RegionName>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    names.iter().map(|name| RegionName::parse(name)).collect::<Result<_, _>>().map_err(de::Error::custom)
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let mut text = String::new();
    let limit = u64::try_from(CONFIG_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)
        .and_then(|file| file.take(limit).read_to_string(&mut text))
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    if text.len() > CONFIG_BYTES_MAX {
        return Err(ConfigError::TooLarge { path: path.to_owned() });
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
