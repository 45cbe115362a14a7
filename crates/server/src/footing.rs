//! From the rights that the process was started with to those that it serves with.
//!
//! First everything for which more is needed: the lock, the root key's file, the ports. Then the user, and as that user
//! what must be possible again later: to open the log and to read certificates. Then the rules of the kernel. All of it on
//! the only thread that there is, because rights belong to threads; whatever opens the store, and so every byte that came
//! from outside, comes after.

use std::path::Path;
use std::sync::Arc;

use strongroom_attestation::Verifier;
use strongroom_crypto::{RootFile, RootHolder};

use crate::assembly::{AskPassphrase, DataLock, Places, lock_initialised, open_root, read_root};
use crate::attestation::RootFiles;
use crate::config::Config;
use crate::hardening::{Account, LockedMemory, Reach, Standing, confine, harden, lock_memory, shed};
use crate::listen::Listeners;
use crate::logging::{LogFile, start_logging};
use crate::raise_open_files;
use crate::run::RunError;
use crate::tls::Tls;
use crate::unseal::UnsealSocket;

/// What a server stands on.
pub(crate) struct Footing {
    pub(crate) attestation: Arc<RootFiles>,
    /// As many as there are descriptors for.
    pub(crate) connections_fitting: usize,
    pub(crate) listeners: Listeners,
    pub(crate) lock: DataLock,
    pub(crate) log_file: Option<LogFile>,
    pub(crate) root: Root,
    pub(crate) tls: Option<Arc<Tls>>,
}

/// The root key, or where its passphrase is waited for.
pub(crate) enum Root {
    Open(Arc<dyn RootHolder>),
    Waiting(RootFile, UnsealSocket),
}

impl Footing {
    /// Changes the whole process: user, rights, limits, the log. To be called once, before there are other threads.
    pub(crate) fn gain(
        config: &Config,
        places: &Places,
        passphrase: Option<AskPassphrase<'_>>,
        unseal_socket: &Path,
        attestation: &Arc<Verifier>,
    ) -> Result<Self, RunError> {
        let memory = lock_memory();
        let account = match config.user.as_str() {
            "" => None,
            user => Some(Account::find(user, &config.group)?),
        };
        let lock = lock_initialised(places)?;
        if let Some(account) = &account {
            account.check_owner(&places.data)?;
        }
        let root_file = read_root(places)?;
        let root = match passphrase {
            None if root_file.needs_passphrase() => None,
            passphrase => Some(open_root(&root_file, passphrase)?),
        };
        let listeners = Listeners::bind(config)?;

        let standing = shed(account.as_ref())?;
        // A change of user resets it (prctl(2), PR_SET_DUMPABLE).
        harden()?;

        let log_file = config.log_file().map(LogFile::open).transpose()?;
        start_logging(config.log_format, config.log_level, log_file.as_ref())?;
        let connections_fitting = raise_open_files(config.connections_max.as_usize());
        let tls = Tls::load(&config.tls)?;
        let attestation = RootFiles::load(&config.attestation, attestation)?;
        let root = match root {
            Some(root) => Root::Open(root),
            None => Root::Waiting(root_file, UnsealSocket::bind(unseal_socket)?),
        };
        let socket = matches!(root, Root::Waiting(..)).then_some(unseal_socket);
        let reach = Reach::new(places, &config.tls, &config.attestation, config.log_file(), socket);
        let confinement = confine(&config.hardening, &reach)?;

        tracing::info!(
            memory = memory.describe(config.cache_rows_max.as_usize()),
            landlock = confinement.files,
            seccomp = confinement.calls,
            "hardened"
        );
        warn_of_gaps(memory, standing, confinement.is_whole);
        Ok(Self { attestation, connections_fitting, listeners, lock, log_file, root, tls })
    }
}

fn warn_of_gaps(memory: LockedMemory, standing: Standing, is_confined: bool) {
    if let LockedMemory::Nothing { .. } = memory {
        tracing::warn!(
            "keys may be written to swap: raise RLIMIT_MEMLOCK to 64 KiB at least (LimitMEMLOCK= in systemd, `--ulimit \
             memlock=` in Docker), or turn swap off"
        );
    }
    if standing == Standing::Root {
        tracing::warn!(
            "serving as root: name a user to serve as with `--user` (`user` in the configuration), or start as one"
        );
    }
    if !is_confined {
        tracing::warn!(
            "this kernel does not have all of Landlock and seccomp; the service runs with what there is"
        );
    }
}
