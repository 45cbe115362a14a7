//! What can be said on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::operation::Operation;
use crate::private_keys;

/// A round must end before the signatures of its requests do, which are good for five minutes.
const ROUND_SECONDS_MAX: f64 = 240.0;
const ROUND_SECONDS_MIN: f64 = 0.05;

/// Measures the service beside an HTTP server that does nothing.
#[derive(Debug, Parser)]
#[command(name = "strongroom-bench", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) inner: Option<Inner>,
}

/// What every measurement of a service is told.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Rounds of each of the things that are compared
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=99))]
    pub(crate) rounds: u16,
    /// How long a round is measured; a tenth of it goes before as a warm-up
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = parse_seconds)]
    pub(crate) seconds_per_round: Duration,
    /// Where the deployment is made, in a directory that is removed at the end [default: beside the programs]
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// The program to measure [default: `strongroom` beside this one]
    #[arg(long, value_name = "FILE")]
    pub(crate) strongroom: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Operations to measure, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_values_t = Operation::ALL)]
    pub(crate) operations: Vec<Operation>,
    /// Numbers of connections, separated by commas; each connection has one request in flight
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_values_t = [1, 8, 64],
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) connections: Vec<u16>,
    /// Threads of the load generator [default: half of the cores]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,
    /// What to measure, separated by commas
    #[arg(long, value_name = "PARTS", value_delimiter = ',', value_enum, default_values_t = Part::ALL)]
    pub(crate) parts: Vec<Part>,
    /// How many keys `many-keys` makes
    #[arg(long, value_name = "NUMBER", default_value_t = 100_000,
          value_parser = clap::value_parser!(u32).range(64..=1_000_000))]
    pub(crate) keys: u32,
    /// Print JSON instead of tables
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) run: Run,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The service and the bare server, flat out
    Throughput,
    /// Latency of the data operations at half of the throughput of the most connections
    HalfLoad,
    /// The data operations spread over many keys and on one, and a start with many keys
    ManyKeys,
}

impl Part {
    const ALL: [Self; 3] = [Self::Throughput, Self::HalfLoad, Self::ManyKeys];
}

/// Another measurement, or what this program calls itself with.
#[derive(Debug, Subcommand)]
pub(crate) enum Inner {
    /// Measure what many grants on a key cost
    Grants(GrantsOptions),
    /// Measure what private keys cost, beside the cryptography alone
    Keys(KeysOptions),
    /// Serve as the bare server
    #[command(hide = true)]
    Bare(BareOptions),
    /// Measure decisions on policies instead, beside a hash of the policies' bytes
    Policies,
    /// Become a program that is killed when its parent ends
    #[command(hide = true)]
    Leashed(LeashedCommand),
}

#[derive(Debug, Args)]
pub(crate) struct GrantsOptions {
    /// Grants on the one key; the other has one
    #[arg(long, value_name = "NUMBER", default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    pub(crate) grants: u32,
    /// Numbers of connections, separated by commas
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_values_t = [1, 8, 64],
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) connections: Vec<u16>,
    #[command(flatten)]
    pub(crate) run: Run,
}

#[derive(Debug, Args)]
pub(crate) struct KeysOptions {
    /// Number of connections that sign
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) connections: u16,
    /// What to measure, separated by commas: key specs, and `beside` for Encrypt beside RSA_4096 [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = private_keys::parse_part)]
    pub(crate) parts: Vec<String>,
    #[command(flatten)]
    pub(crate) run: Run,
}

#[derive(Debug, Args)]
pub(crate) struct BareOptions {
    #[arg(long)]
    pub(crate) listen: SocketAddr,
    /// A file to sync before each answer
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,
    /// How many bytes an operation is answered with
    #[arg(long = "reply", value_name = "NAME=BYTES", value_parser = parse_reply)]
    pub(crate) replies: Vec<(Operation, usize)>,
}

#[derive(Debug, Args)]
pub(crate) struct LeashedCommand {
    #[arg(last = true, required = true)]
    pub(crate) words: Vec<std::ffi::OsString>,
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (ROUND_SECONDS_MIN..=ROUND_SECONDS_MAX).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(format!("must be from {ROUND_SECONDS_MIN} to {ROUND_SECONDS_MAX}"))
    }
}

fn parse_reply(text: &str) -> Result<(Operation, usize), String> {
    let (name, bytes) = text.split_once('=').ok_or("not of the form `NAME=BYTES`")?;
    let bytes = bytes.parse().map_err(|_| "not a number of bytes".to_owned())?;
    Ok((name.parse()?, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from([&["strongroom-bench"], words].concat())
    }

    #[test]
    fn rounds_longer_than_signatures_are_refused() {
        assert!(parse(&["--seconds-per-round", "241"]).is_err());
        assert!(parse(&["--seconds-per-round", "0"]).is_err());
        assert!(parse(&["--seconds-per-round", "NaN"]).is_err());
        let options = parse(&["--seconds-per-round", "240"]).unwrap().options;
        assert_eq!(options.run.seconds_per_round, Duration::from_secs(240));
    }

    #[test]
    fn unknown_operations_are_refused() {
        assert!(parse(&["--operations", "Encrypt,Burn"]).is_err());
        let options = parse(&["--operations", "Encrypt,CreateKey"]).unwrap().options;
        assert_eq!(options.operations, [Operation::Encrypt, Operation::CreateKey]);
    }

    #[test]
    fn without_options_everything_is_measured() {
        let options = parse(&[]).unwrap().options;
        assert_eq!(options.operations, Operation::ALL);
        assert_eq!(options.connections, [1, 8, 64]);
        assert_eq!((options.run.rounds, options.run.seconds_per_round), (5, Duration::from_secs(2)));
        assert_eq!((options.parts.as_slice(), options.keys), (&Part::ALL[..], 100_000));
    }

    #[test]
    fn unknown_parts_and_too_few_keys_are_refused() {
        assert!(parse(&["--parts", "everything"]).is_err());
        assert!(parse(&["--keys", "63"]).is_err());
        let options = parse(&["--parts", "many-keys", "--keys", "64"]).unwrap().options;
        assert_eq!((options.parts.as_slice(), options.keys), (&[Part::ManyKeys][..], 64));
    }

    #[test]
    fn of_private_keys_only_what_is_measured_can_be_named() {
        assert!(parse(&["keys", "--parts", "RSA_1024"]).is_err());
        let Some(Inner::Keys(keys)) = parse(&["keys", "--parts", "RSA_2048,beside"]).unwrap().inner else {
            panic!("not keys")
        };
        assert_eq!(keys.parts, ["RSA_2048", "beside"]);
    }

    #[test]
    fn the_bare_server_is_told_its_replies() {
        let Some(Inner::Bare(bare)) =
            parse(&["bare", "--listen", "127.0.0.1:1", "--journal", "j", "--reply", "Decrypt=7"])
                .unwrap()
                .inner
        else {
            panic!("not bare")
        };
        assert_eq!(bare.replies, [(Operation::Decrypt, 7)]);
        assert_eq!(bare.journal.as_deref(), Some(std::path::Path::new("j")));
        assert!(parse(&["bare", "--listen", "127.0.0.1:1", "--reply", "Decrypt"]).is_err());
    }
}
