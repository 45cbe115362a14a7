//! What can be said on the command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use strongroom_server::{Places, PrincipalName};
use strongroom_types::{AccessKeyId, AccountId, RegionName};

/// Says also what computes.
const VERSION: &str = if strongroom_crypto::IS_FIPS {
    concat!(env!("CARGO_PKG_VERSION"), " (AWS-LC FIPS module)")
} else {
    env!("CARGO_PKG_VERSION")
};

/// A key management service that speaks AWS KMS's protocol.
#[derive(Debug, Parser)]
#[command(name = "strongroom", version = VERSION, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a deployment: root key, store, account, credentials.
    Init(InitArguments),
    /// Serve a deployment's keys.
    Serve(ServeArguments),
    /// Give a sealed server the passphrase of its root key.
    Unseal(UnsealArguments),
    /// Check, offline, that every row opens, every index agrees and every key material is there.
    Check(CheckArguments),
    /// Write a sealed backup to a new file, beside a running server or not. Needs the root key.
    Backup(BackupArguments),
    /// Make a data directory of a backup, and check it. Needs the root key.
    Restore(RestoreArguments),
    /// Access keys of the account's root user and of the operator: list, rotate, retire, reset. Needs the root key.
    #[command(subcommand)]
    Credential(CredentialCommand),
    /// Accounts, users and roles, from a file. Needs the root key.
    #[command(subcommand)]
    Identity(IdentityCommand),
    /// Decide on policies without a deployment.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Regions of the deployment: list, add. Needs the root key.
    #[command(subcommand)]
    Region(RegionCommand),
    /// Read the audit journal: one CloudTrail record per line, or a verification of the whole.
    Audit(AuditArguments),
    /// Make a CA and certificates to try TLS out with.
    DevCert(DevCertArguments),
}

/// Where a deployment lies.
#[derive(Debug, Args)]
pub(crate) struct PlaceArguments {
    /// The data directory: store, journal, lock. It holds no key in the clear.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The directory of the root key and the credentials [default: the data directory's name and `.root`]
    #[arg(long, value_name = "DIR")]
    pub(crate) root_dir: Option<PathBuf>,
    /// The anchor, which shows that the data directory is not an older one; it must lie outside of it [default: `anchor`
    /// in the root directory]
    #[arg(long, value_name = "FILE")]
    pub(crate) anchor: Option<PathBuf>,
    /// Read the root key's passphrase from the first line of this file
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

impl PlaceArguments {
    pub(crate) fn places(&self) -> Places {
        Places::new(&self.data, self.root_dir.as_deref()).with_anchor(self.anchor.as_deref())
    }

    pub(crate) fn passphrase_file(&self) -> Option<&Path> {
        self.passphrase_file.as_deref()
    }
}

#[derive(Debug, Args)]
pub(crate) struct InitArguments {
    #[command(flatten)]
    pub(crate) places: PlaceArguments,
    /// The account, twelve digits [default: random]
    #[arg(long, value_name = "ID", value_parser = AccountId::parse)]
    pub(crate) account: Option<AccountId>,
    /// A region to serve; may be given several times
    #[arg(long = "region", value_name = "NAME", value_parser = RegionName::parse, default_value = "us-east-1")]
    pub(crate) regions: Vec<RegionName>,
    /// Make the keys and aliases that this file (TOML) lists: for tests that want the same ones every time
    #[arg(long, value_name = "FILE")]
    pub(crate) seed: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    #[command(flatten)]
    pub(crate) places: PlaceArguments,
    /// Where to listen for KMS requests [default: 127.0.0.1:4599]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// Where to answer /healthz, /readyz and /metrics [default: 127.0.0.1:4598]
    #[arg(long, value_name = "ADDR")]
    pub(crate) admin_listen: Option<SocketAddr>,
    /// A configuration file (TOML); what is said here wins over what it says
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where to wait for the passphrase if the server starts sealed [default: `unseal.sock` in the data directory]
    #[arg(long, value_name = "PATH")]
    pub(crate) unseal_socket: Option<PathBuf>,
    /// Allow an address that is not loopback without TLS: keys and plaintexts then cross the network in the clear
    #[arg(long)]
    pub(crate) insecure_plaintext: bool,
    /// The server's certificate and those between it and its CA (PEM); read again when it changes, and on SIGHUP
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its private key (PEM), not readable by others
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Let only clients in that show a certificate signed by one of these (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_client_ca: Option<PathBuf>,
    /// Started as root, become this user (a name or a number) as soon as nothing needs root any more
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Its group [default: the user's own]
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Option<String>,
    /// Serve data that are older than the anchor, as after restoring a backup; once, and the audit journal says so
    #[arg(long)]
    pub(crate) accept_rollback: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    pub(crate) places: PlaceArguments,
    /// The data directory is a copy made earlier: that it is older than the anchor is no problem
    #[arg(long)]
    pub(crate) backup: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AuditArguments {
    #[command(flatten)]
    pub(crate) places: PlaceArguments,
    /// Verify every record, the chain and the signatures, and print a summary instead of the records
    #[arg(long)]
    pub(crate) verify: bool,
    /// Print the notes of the journal instead of the records: torn ends that were cut, rollbacks that were accepted
    #[arg(long, conflicts_with = "verify")]
    pub(crate) notes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DevCertArguments {
    /// Where to put the files; made if it is missing, and nothing in it is overwritten
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// A further host name or address of the server; may be given several times
    #[arg(long = "name", value_name = "HOST")]
    pub(crate) names: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CredentialCommand {
    /// Show the access keys, without their secrets.
    List(PlaceArguments),
    /// Make a second access key beside the first; both are good until one is retired.
    Rotate(PrincipalArguments),
    /// Take an access key away for ever.
    Retire(RetireArguments),
    /// Take all access keys of the principal away and make a new one: when one was lost, or seen by others.
    Reset(PrincipalArguments),
}

/// Whose access keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PrincipalKind {
    /// The account's root user
    Root,
    /// The deployment's operator
    Operator,
}

#[derive(Debug, Args)]
pub(crate) struct PrincipalArguments {
    /// Whose access key
    #[arg(value_enum)]
    pub(crate) principal: PrincipalKind,
    #[command(flatten)]
    pub(crate) places: PlaceArguments,
    /// The account whose root user is meant [default: the only one]
    #[arg(long, value_name = "ID", value_parser = AccountId::parse)]
    pub(crate) account: Option<AccountId>,
}

impl PrincipalArguments {
    pub(crate) fn name(&self) -> PrincipalName {
        match self.principal {
            PrincipalKind::Root => PrincipalName::Root(self.account),
            PrincipalKind::Operator => PrincipalName::Operator,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct RetireArguments {
    /// The access key's id, such as AKIA…
    #[arg(value_name = "ACCESS_KEY_ID", value_parser = AccessKeyId::parse)]
    pub(crate) access_key_id: AccessKeyId,
    #[command(flatten)]
    pub(crate) places: PlaceArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RegionCommand {
    /// Show the regions.
    List(PlaceArguments),
    /// Add a region, with keys of its own; the next `serve` serves it.
    Add(RegionArguments),
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Read questions on standard input, one JSON object on a line, and answer each with the decision and its reason.
    Evaluate,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IdentityCommand {
    /// Make, change and delete what a file (TOML) says; the next `serve` knows it.
    Apply(IdentityApplyArguments),
    /// Show users and roles.
    List(PlaceArguments),
}

#[derive(Debug, Args)]
pub(crate) struct IdentityApplyArguments {
    /// The file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) places: PlaceArguments,
}

#[derive(Debug, Args)]
pub(crate) struct RegionArguments {
    /// The region's name, such as eu-central-1
    #[arg(value_name = "NAME", value_parser = RegionName::parse)]
    pub(crate) region: RegionName,
    #[command(flatten)]
    pub(crate) places: PlaceArguments,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArguments {
    #[command(flatten)]
    pub(crate) places: PlaceArguments,
    /// The file to write; one that exists is not overwritten
    #[arg(long, value_name = "FILE")]
    pub(crate) to: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArguments {
    #[command(flatten)]
    pub(crate) places: PlaceArguments,
    /// The backup to restore; `--data` names a directory that is empty or not there yet
    #[arg(long, value_name = "FILE")]
    pub(crate) from: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct UnsealArguments {
    /// The data directory of the server
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Read the passphrase from the first line of this file [default: ask at the terminal]
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Where the server waits [default: `unseal.sock` in the data directory]
    #[arg(long, value_name = "PATH")]
    pub(crate) unseal_socket: Option<PathBuf>,
}
