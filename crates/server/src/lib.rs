//! HTTP, configuration, metrics and the assembly of concrete parts.
//!
//! Bytes come in from a listener, become an `Arrival`, go to a [`Service`], and its `Answer` goes back. What this crate
//! guarantees is that strangers are bounded: the size of a head and of a body, the memory of all bodies together, the
//! number of connections, and the time that each of their phases may take.
//!
//! Deliberately absent: anything that knows what a request means. Signatures, JSON and operations are the service's.

mod activity;
mod admin;
mod anchor;
mod assembly;
mod attestation;
mod backup;
mod body;
mod config;
mod connection;
mod credentials;
mod credentials_file;
mod crowd;
mod disk;
mod doorway;
mod env;
mod footing;
mod freshness;
mod front;
mod gate;
mod handle;
mod hardening;
mod http2;
mod identities;
mod initialise;
mod jobs;
mod listen;
mod logging;
mod metrics;
mod offline;
mod refusal;
mod regions;
mod registration;
mod run;
mod secure;
mod seed;
mod serve;
mod share;
mod shutdown;
mod signals;
mod signer;
mod tls;
mod unseal;
mod watch;

pub use admin::Health;
pub use assembly::{AskPassphrase, AssemblyError, Opened, Places, read_passphrase};
pub use attestation::RootFilesError;
pub use backup::{BackedUp, BackupError, BackupHeader, Restored, backup, restore};
pub use config::{
    AttestationConfig, Bounded, ClientCertificates, Config, ConfigError, HardeningConfig, Layer, LogFormat,
    LogLevel, Overrides, TlsConfig,
};
pub use credentials::{AccessKey, Credentials, PrincipalName, Rotated};
pub use env::SystemEnv;
pub use freshness::{Finding, Freshness};
pub use handle::Service;
pub use hardening::{CallsError, ConfineError, HardeningError, PrivilegesError, harden, raise_open_files};
pub use identities::{IdentitiesError, apply_identities, list_identities};
pub use initialise::{NewCredential, NewDeployment, initialise};
pub use listen::{ListenError, Listeners};
pub use logging::{LogFile, LoggingError, start_logging};
pub use metrics::{Metrics, Recorder};
pub use offline::OfflineError;
pub use regions::add_region;
pub use run::{Announcement, RunError, run};
pub use seed::{SeedFileError, read_seed};
pub use serve::{Parts, ServeError, serve};
pub use shutdown::Shutdown;
pub use signals::{SignalsError, stop_on_signals};
pub use signer::Signer;
pub use tls::{DevCertificateError, DevCertificates, Tls, TlsError, make_dev_certificates};
pub use unseal::{UnsealError, unseal};
