//! From a configuration to a running service and back to a closed store.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread::JoinHandle;

use strongroom_attestation::{Roots, Verifier};
use strongroom_audit::{Appenders, Journal};
use strongroom_crypto::RootFile;
use strongroom_pipeline::Offers;
use strongroom_records::{CommitStats, Verdict, Verification};
use strongroom_types::{AccountId, Credential, Env, RegionName};

use crate::anchor::AnchorStatus;
use crate::assembly::{
    AskPassphrase, AssemblyError, Opened, PartLimits, Places, Running, Sealed, open_root, part,
};
use crate::attestation::{RootFiles, RootFilesError};
use crate::disk::{DataDisk, DiskLimits, DiskWatch, Level, Watch};
use crate::doorway::Doorway;
use crate::footing::{Footing, Root};
use crate::front::Front;
use crate::registration::{register, register_disk, register_key_memory};
use crate::unseal::{Attempt, UnsealSocket};
use crate::watch::{FileWatch, LOOK_INTERVAL, Watched};
use crate::{
    Config, ConfineError, HardeningError, Health, ListenError, Listeners, LoggingError, Metrics, Parts,
    PrivilegesError, ServeError, Shutdown, SignalsError, SystemEnv, Tls, TlsError, serve, stop_on_signals,
};

/// What is listening, for whoever announces it.
pub struct Announcement<'a> {
    /// Not known while the deployment is sealed.
    pub accounts: &'a [AccountId],
    pub address: SocketAddr,
    pub admin_address: SocketAddr,
    pub places: &'a Places,
    pub regions: &'a [RegionName],
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Where the passphrase is waited for, if the deployment is sealed.
    pub sealed: Option<&'a Path>,
}

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("cannot use `[attestation]` as configured")]
    Attestation(#[from] RootFilesError),
    #[error(transparent)]
    Assembly(#[from] AssemblyError),
    #[error(transparent)]
    Confine(#[from] ConfineError),
    #[error(transparent)]
    Hardening(#[from] HardeningError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Logging(#[from] LoggingError),
    #[error(transparent)]
    Privileges(#[from] PrivilegesError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Signals(#[from] SignalsError),
    #[error("cannot use TLS as configured")]
    Tls(#[from] TlsError),
    #[error("cannot watch the files of certificates")]
    WatchFiles(#[source] io::Error),
}

/// The server and what it serves, once that is open: at the start, or when the passphrase has come.
struct House {
    appenders: Arc<OnceLock<Appenders>>,
    attestation: Arc<Verifier>,
    disk_limits: DiskLimits,
    doorway: Arc<Doorway<Front>>,
    env: Arc<dyn Env>,
    limits: PartLimits,
    metrics: Arc<Metrics>,
    places: Places,
    residents: OnceLock<Residents>,
    running: Mutex<Option<Running>>,
}

/// What health is read from.
struct Residents {
    anchor: Arc<AnchorStatus>,
    commits: Arc<CommitStats>,
    disk: DiskWatch,
    journal: Weak<Journal>,
    verification: Arc<Verification>,
}

impl House {
    fn new(config: &Config, places: &Places) -> Arc<Self> {
        let env: Arc<dyn Env> = Arc::new(SystemEnv::new());
        Arc::new(Self {
            appenders: Arc::default(),
            attestation: Arc::new(Verifier::new(Roots::default(), config.attestation.document_age_max())),
            disk_limits: DiskLimits {
                alarm_bytes: config.disk_free_alarm_bytes(),
                reserve_bytes: config.disk_reserve_bytes(),
            },
            doorway: Arc::new(Doorway::new(Arc::clone(&env))),
            limits: PartLimits {
                accept_rollback: config.accept_rollback,
                cached_rows_max: config.cache_rows_max.as_usize(),
                journal_segment_bytes: config.journal_segment_bytes(),
                offers: Offers { sm2_regions: config.sm2_regions.clone() },
            },
            metrics: Arc::new(Metrics::new(env.now())),
            env,
            places: places.clone(),
            residents: OnceLock::new(),
            running: Mutex::new(None),
        })
    }

    /// Takes up the deployment and lets requests in.
    fn open(&self, opened: Opened) -> Result<(), AssemblyError> {
        let running =
            Running::start(&self.places, opened, &self.env, &self.attestation, self.limits.clone())?;
        register(&self.metrics, &running);
        let disk = self.watch_disk()?;
        register_disk(&self.metrics, &disk.status);
        let _ = self.appenders.set(running.journal.appenders());
        let _ = self.residents.set(Residents {
            anchor: Arc::clone(&running.anchor),
            commits: running.records.commit_stats(),
            disk,
            journal: Arc::downgrade(&running.journal),
            verification: Arc::clone(&running.verification),
        });
        self.doorway.open(Arc::clone(&running.service));
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
        Ok(())
    }

    fn watch_disk(&self) -> Result<DiskWatch, AssemblyError> {
        let doorway = Arc::clone(&self.doorway);
        let disk = DataDisk { directory: self.places.data.clone(), reserve: self.places.reserve() };
        let set_shut = Box::new(move |shut| doorway.set_shut(shut));
        DiskWatch::start(Watch::new(disk, self.disk_limits, set_shut)).map_err(part("watch the disk"))
    }

    /// Opens the deployment with a passphrase, if it is the right one. `sealed` is taken then.
    fn attempt(&self, sealed: &mut Option<Sealed>, root: &RootFile, passphrase: Credential) -> Attempt {
        // Asked at most once for one root key file.
        let passphrase = Cell::new(Some(passphrase));
        let ask = || passphrase.take().ok_or_else(|| io::Error::other("it was used already"));
        let Some(waiting) = sealed.take() else { return Attempt::Failed(AssemblyError::NoDeployment) };
        let keys = open_root(root, Some(&ask)).and_then(|root| {
            let keyring = waiting.keyring(&*root)?;
            Ok((root, keyring))
        });
        match keys {
            Err(error) => {
                *sealed = Some(waiting);
                Attempt::Refused(error)
            }
            Ok((root, keyring)) => match self.open(waiting.open(root, keyring)) {
                Ok(()) => {
                    tracing::info!("unsealed; serving");
                    Attempt::Unsealed
                }
                Err(error) => Attempt::Failed(error),
            },
        }
    }

    /// None while the deployment is sealed.
    fn accounts(&self) -> Vec<AccountId> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().map(|running| running.accounts.clone()).unwrap_or_default()
    }

    /// Ends in good order whatever is open. Nobody else may hold the service any more: what it has handed to the outbox
    /// is waited for until the last sender is gone.
    fn close(self) -> Result<(), AssemblyError> {
        let Self { appenders, doorway, residents, running, .. } = self;
        drop(appenders);
        drop(residents);
        drop(doorway);
        match running.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(running) => running.close(),
            None => Ok(()),
        }
    }
}

/// The journal is what health is about: when it cannot be written, nothing is answered. When the store cannot be,
/// changes are refused and what memory holds is still answered. What the verification of the store found, and what room
/// is left on the disk, is told beside it, and stops nothing.
impl Health for House {
    fn healthy(&self) -> Result<(), String> {
        // A sealed server does what it can: a restart would not help.
        let Some(residents) = self.residents.get() else { return Ok(()) };
        if residents.disk.status.level() == Level::Full {
            return Err("the disk is full".to_owned());
        }
        match residents.journal.upgrade() {
            Some(journal) if !journal.stats().is_available => {
                Err("the audit journal cannot be written".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn ready(&self) -> Result<(), String> {
        let Some(residents) = self.residents.get() else {
            return Err("sealed: waiting for `strongroom unseal`".to_owned());
        };
        self.healthy()?;
        if residents.commits.is_failing() { Err("the store cannot be written".to_owned()) } else { Ok(()) }
    }

    fn remarks(&self) -> Vec<String> {
        self.residents.get().map(Residents::remarks).unwrap_or_default()
    }
}

impl Residents {
    fn remarks(&self) -> Vec<String> {
        let rows = self.verification.rows();
        let verification = match self.verification.verdict() {
            Verdict::Failed => "could not be verified; see the log".to_owned(),
            Verdict::Running => format!("is being verified, {rows} rows so far"),
            Verdict::Sound => format!("holds what was last written, {rows} rows"),
            Verdict::Unsound { total, .. } => {
                format!("does not hold what was last written: {total} problems, see the log")
            }
        };
        let mut remarks = vec![format!("store: {verification}")];
        if self.anchor.is_failing() {
            remarks.push("anchor: cannot be written, see the log".to_owned());
        }
        if self.disk.status.level() != Level::Ample {
            let free_mib = self.disk.status.free_bytes() / (1024 * 1024);
            remarks.push(format!("disk: little room is left, {free_mib} MiB"));
        }
        remarks
    }
}

/// A deployment whose passphrase has not come yet.
struct Waiting {
    root: RootFile,
    sealed: Sealed,
    socket: UnsealSocket,
}

/// Serves until SIGTERM or SIGINT, then closes everything in good order.
///
/// Confines the whole process on the way ([`Footing`]), so that nothing but serving can be done in it afterwards. Without a
/// `passphrase` a deployment whose root key needs one starts sealed: requests are refused until `strongroom unseal` has
/// delivered it at `unseal_socket`.
pub fn run(
    config: &Config,
    places: &Places,
    passphrase: Option<AskPassphrase<'_>>,
    unseal_socket: &Path,
    announce: &dyn Fn(&Announcement<'_>),
) -> Result<(), RunError> {
    // Opens what it must keep open.
    let house = House::new(config, places);
    let footing = Footing::gain(config, places, passphrase, unseal_socket, &house.attestation)?;
    let Footing { attestation, connections_fitting, listeners, lock, log_file, root, tls } = footing;
    let config =
        &Config { connections_max: config.connections_max.at_most(connections_fitting), ..config.clone() };
    let shutdown = &Shutdown::new();
    stop_on_signals(shutdown.clone(), log_file)?;
    let _watch = watch(tls.as_ref(), &attestation).map_err(RunError::WatchFiles)?;
    attestation.register(&house.metrics);
    let sealed = Sealed::locked(places, lock)?;
    let regions = sealed.regions();
    let waiting = match root {
        Root::Waiting(root, socket) => Some(Waiting { root, sealed, socket }),
        Root::Open(root) => {
            let keyring = sealed.keyring(&*root)?;
            house.open(sealed.open(root, keyring))?;
            None
        }
    };
    let entrance = Entrance { listeners, tls };
    let outcome = serve_house(config, &house, entrance, shutdown, waiting, &regions, announce);
    tracing::info!("stopped serving; flushing");
    // Every thread that held it has been joined.
    match Arc::into_inner(house) {
        Some(house) => house.close()?,
        None => tracing::error!("the deployment is still in use and was not closed in good order"),
    }
    outcome
}

/// Watches what there is to watch.
fn watch(tls: Option<&Arc<Tls>>, attestation: &Arc<RootFiles>) -> io::Result<Option<FileWatch>> {
    let mut watched: Vec<Arc<dyn Watched>> = Vec::new();
    watched.extend(tls.map(|tls| Arc::clone(tls) as Arc<dyn Watched>));
    if !attestation.is_empty() {
        watched.push(Arc::clone(attestation) as Arc<dyn Watched>);
    }
    if watched.is_empty() { Ok(None) } else { FileWatch::start(watched, LOOK_INTERVAL).map(Some) }
}

/// Where requests come in.
struct Entrance {
    listeners: Listeners,
    tls: Option<Arc<Tls>>,
}

fn serve_house(
    config: &Config,
    house: &Arc<House>,
    Entrance { listeners, tls }: Entrance,
    shutdown: &Shutdown,
    waiting: Option<Waiting>,
    regions: &[RegionName],
    announce: &dyn Fn(&Announcement<'_>),
) -> Result<(), RunError> {
    if let Some(tls) = &tls {
        tls.register(&house.metrics);
        tls.warn_if_over(house.env.now());
    }
    let socket = waiting.as_ref().map(|waiting| waiting.socket.path().to_owned());
    tracing::info!(
        listen = %listeners.address(),
        admin_listen = %listeners.admin_address(),
        regions = regions.len(),
        tls = tls.is_some(),
        sealed = socket.is_some(),
        "serving"
    );
    announce(&Announcement {
        accounts: &house.accounts(),
        address: listeners.address(),
        admin_address: listeners.admin_address(),
        places: &house.places,
        regions,
        scheme: if tls.is_some() { "https" } else { "http" },
        sealed: socket.as_deref(),
    });
    register_sealed(house);
    register_key_memory(&house.metrics);
    let unsealing = waiting.map(|waiting| wait_for_passphrase(house, shutdown, waiting));
    let unsealing = unsealing.transpose()?;
    let parts = Parts {
        appenders: Arc::clone(&house.appenders),
        env: Arc::clone(&house.env),
        health: Arc::clone(house) as Arc<dyn Health>,
        metrics: Arc::clone(&house.metrics),
        service: Arc::clone(&house.doorway),
        tls,
    };
    let served = serve(listeners, config, parts, shutdown);
    // However serving ended, nobody waits for a passphrase any more.
    shutdown.trigger();
    if let Some(thread) = unsealing {
        let name = "strongroom-unseal".to_owned();
        thread.join().map_err(|_| ServeError::ThreadPanicked { name })??;
    }
    Ok(served?)
}

/// Waits on a thread of its own. A deployment that cannot be served although its passphrase has come ends the server.
fn wait_for_passphrase(
    house: &Arc<House>,
    shutdown: &Shutdown,
    waiting: Waiting,
) -> Result<JoinHandle<Result<(), AssemblyError>>, AssemblyError> {
    let (house, shutdown) = (Arc::clone(house), shutdown.clone());
    let Waiting { root, sealed, socket } = waiting;
    let mut sealed = Some(sealed);
    let thread = std::thread::Builder::new().name("strongroom-unseal".to_owned());
    let thread = thread.spawn(move || {
        let served = socket.serve(&shutdown, &mut |passphrase| house.attempt(&mut sealed, &root, passphrase));
        if served.is_err() {
            shutdown.trigger();
        }
        served
    });
    thread.map_err(part("wait for the passphrase"))
}

fn register_sealed(house: &Arc<House>) {
    let residents = Arc::downgrade(house);
    let is_sealed = move || residents.upgrade().is_some_and(|house| house.residents.get().is_none());
    house.metrics.register_gauge_fn(
        "strongroom_sealed",
        "One while the root key waits for its passphrase, else zero.",
        Box::new(move || f64::from(u8::from(is_sealed()))),
    );
}
