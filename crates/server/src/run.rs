//! From a configuration to a running service and back to a closed store.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread::JoinHandle;

use strongroom_audit::{Journal, JournalStats, SYNC_BUCKETS_MICROS};
use strongroom_kms::Service;
use strongroom_pipeline::{Answer, Arrival};
use strongroom_types::{AccountId, Credential, Env, HistogramSnapshot, RegionName};

use crate::assembly::{AskPassphrase, AssemblyError, Opened, PartLimits, Places, Running, Sealed, part};
use crate::disk::{DataDisk, DiskLimits, DiskStatus, DiskWatch, Level, Watch};
use crate::gate::Gate;
use crate::unseal::{Attempt, UnsealSocket};
use crate::{
    Config, Health, ListenError, Listeners, Metrics, Parts, ServeError, Shutdown, SystemEnv,
    raise_open_files, serve,
};

/// What is listening, for whoever announces it.
pub struct Announcement<'a> {
    /// Not known while the deployment is sealed.
    pub accounts: &'a [AccountId],
    pub address: SocketAddr,
    pub admin_address: SocketAddr,
    pub places: &'a Places,
    pub regions: &'a [RegionName],
    /// Where the passphrase is waited for, if the deployment is sealed.
    pub sealed: Option<&'a Path>,
}

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Assembly(#[from] AssemblyError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Serve(#[from] ServeError),
}

impl crate::Service for Service {
    fn call(&self, arrival: Arrival) -> impl Future<Output = Answer> + Send {
        Service::call(self, arrival)
    }
}

/// The server and what it serves, once that is open: at the start, or when the passphrase has come.
struct House {
    disk_limits: DiskLimits,
    env: Arc<dyn Env>,
    gate: Arc<Gate<Service>>,
    limits: PartLimits,
    metrics: Arc<Metrics>,
    places: Places,
    residents: OnceLock<Residents>,
    running: Mutex<Option<Running>>,
}

/// What health is read from.
struct Residents {
    disk: DiskWatch,
    journal: Weak<Journal>,
}

impl House {
    fn new(config: &Config, places: &Places) -> Arc<Self> {
        let env: Arc<dyn Env> = Arc::new(SystemEnv::new());
        Arc::new(Self {
            disk_limits: DiskLimits {
                alarm_bytes: config.disk_free_alarm_bytes(),
                reserve_bytes: config.disk_reserve_bytes(),
            },
            gate: Arc::new(Gate::new(Arc::clone(&env))),
            limits: PartLimits {
                cached_rows_max: config.cache_rows_max.as_usize(),
                journal_segment_bytes: config.journal_segment_bytes(),
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
        let running = Running::start(&self.places, opened, &self.env, self.limits)?;
        register(&self.metrics, &running);
        let disk = self.watch_disk()?;
        register_disk(&self.metrics, &disk.status);
        let _ = self.residents.set(Residents { disk, journal: Arc::downgrade(&running.journal) });
        self.gate.open(Arc::clone(&running.service));
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
        Ok(())
    }

    fn watch_disk(&self) -> Result<DiskWatch, AssemblyError> {
        let gate = Arc::clone(&self.gate);
        let disk = DataDisk { directory: self.places.data.clone(), reserve: self.places.reserve() };
        let set_shut = Box::new(move |shut| gate.set_shut(shut));
        DiskWatch::start(Watch::new(disk, self.disk_limits, set_shut)).map_err(part("watch the disk"))
    }

    /// Opens the deployment with a passphrase, if it is the right one. `sealed` is taken then.
    fn attempt(&self, sealed: &mut Option<Sealed>, passphrase: Credential) -> Attempt {
        // Asked at most once for one root key file.
        let passphrase = Cell::new(Some(passphrase));
        let ask = || passphrase.take().ok_or_else(|| io::Error::other("it was used already"));
        let Some(waiting) = sealed.take() else { return Attempt::Failed(AssemblyError::NoDeployment) };
        let keyring = waiting.root(Some(&ask)).and_then(|root| waiting.keyring(&*root));
        match keyring {
            Err(error) => {
                *sealed = Some(waiting);
                Attempt::Refused(error)
            }
            Ok(keyring) => match self.open(waiting.open(keyring)) {
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
        let Self { gate, residents, running, .. } = self;
        drop(residents);
        drop(gate);
        match running.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(running) => running.close(),
            None => Ok(()),
        }
    }
}

/// The journal is what health is about: when it cannot be written, nothing is answered.
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

    fn ready(&self) -> Result<Option<String>, String> {
        let Some(residents) = self.residents.get() else {
            return Err("sealed: waiting for `strongroom unseal`".to_owned());
        };
        self.healthy()?;
        let status = &residents.disk.status;
        Ok((status.level() != Level::Ample).then(|| {
            let free_mib = status.free_bytes() / (1024 * 1024);
            format!("little room is left on the disk: {free_mib} MiB")
        }))
    }
}

/// Serves until `shutdown` is triggered, then closes everything in good order.
///
/// Without a `passphrase` a deployment whose root key needs one starts sealed: requests are refused until
/// `strongroom unseal` has delivered it at `unseal_socket`.
pub fn run(
    config: &Config,
    places: &Places,
    passphrase: Option<AskPassphrase<'_>>,
    unseal_socket: &Path,
    shutdown: &Shutdown,
    announce: &dyn Fn(&Announcement<'_>),
) -> Result<(), RunError> {
    raise_open_files(config.connections_max.as_u32().try_into().unwrap_or(usize::MAX));
    let house = House::new(config, places);
    let sealed = Sealed::lock(places)?;
    let regions = sealed.regions();
    let waiting = if passphrase.is_none() && sealed.needs_passphrase()? {
        Some((UnsealSocket::bind(unseal_socket)?, sealed))
    } else {
        let root = sealed.root(passphrase)?;
        let keyring = sealed.keyring(&*root)?;
        drop(root);
        house.open(sealed.open(keyring))?;
        None
    };
    let outcome = serve_house(config, &house, shutdown, waiting, regions, announce);
    tracing::info!("stopped serving; flushing");
    // Every thread that held it has been joined.
    match Arc::into_inner(house) {
        Some(house) => house.close()?,
        None => tracing::error!("the deployment is still in use and was not closed in good order"),
    }
    outcome
}

fn serve_house(
    config: &Config,
    house: &Arc<House>,
    shutdown: &Shutdown,
    waiting: Option<(UnsealSocket, Sealed)>,
    regions: Vec<RegionName>,
    announce: &dyn Fn(&Announcement<'_>),
) -> Result<(), RunError> {
    let listeners = Listeners::bind(config)?;
    let accounts = house.accounts();
    let socket = waiting.as_ref().map(|(socket, _)| socket.path().to_owned());
    tracing::info!(
        listen = %listeners.address(),
        admin_listen = %listeners.admin_address(),
        regions = regions.len(),
        sealed = socket.is_some(),
        "serving"
    );
    announce(&Announcement {
        accounts: &accounts,
        address: listeners.address(),
        admin_address: listeners.admin_address(),
        places: &house.places,
        regions: &regions,
        sealed: socket.as_deref(),
    });
    let residents = Arc::downgrade(house);
    let read = move || residents.upgrade().is_some_and(|house| house.residents.get().is_none());
    house.metrics.register_gauge_fn(
        "strongroom_sealed",
        "One while the root key waits for its passphrase, else zero.",
        Box::new(move || f64::from(u8::from(read()))),
    );
    let unsealing = waiting.map(|(socket, sealed)| wait_for_passphrase(house, shutdown, socket, sealed));
    let unsealing = unsealing.transpose()?;
    let parts = Parts {
        env: Arc::clone(&house.env),
        health: Arc::clone(house) as Arc<dyn Health>,
        metrics: Arc::clone(&house.metrics),
        service: Arc::clone(&house.gate),
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
    socket: UnsealSocket,
    sealed: Sealed,
) -> Result<JoinHandle<Result<(), AssemblyError>>, AssemblyError> {
    let (house, shutdown) = (Arc::clone(house), shutdown.clone());
    let mut sealed = Some(sealed);
    let thread = std::thread::Builder::new().name("strongroom-unseal".to_owned());
    let thread = thread.spawn(move || {
        let served = socket.serve(&shutdown, &mut |passphrase| house.attempt(&mut sealed, passphrase));
        if served.is_err() {
            shutdown.trigger();
        }
        served
    });
    thread.map_err(part("wait for the passphrase"))
}

/// Hands the parts' own numbers to the metrics.
fn register(metrics: &Metrics, running: &Running) {
    let commits = running.records.commit_stats();
    metrics.register_histogram_fn(
        "strongroom_commit_duration_seconds",
        "Time from taking a group of commits up to its answers.",
        Box::new(move || commits.latency.snapshot()),
    );
    let commits = running.records.commit_stats();
    let read = move || commits.batches.load(std::sync::atomic::Ordering::Relaxed);
    metrics.register_counter_fn("strongroom_commits", "Batches committed.", Box::new(read));
    let commits = running.records.commit_stats();
    let read = move || commits.conflicts.load(std::sync::atomic::Ordering::Relaxed);
    metrics.register_counter_fn(
        "strongroom_commit_conflicts",
        "Batches refused by a changed row.",
        Box::new(read),
    );
    let commits = running.records.commit_stats();
    let read = move || commits.failures.load(std::sync::atomic::Ordering::Relaxed);
    metrics.register_counter_fn(
        "strongroom_commit_failures",
        "Groups the store did not take.",
        Box::new(read),
    );

    let journal = Arc::downgrade(&running.journal);
    metrics.register_histogram_fn(
        "strongroom_journal_sync_duration_seconds",
        "Time from writing a group of audit records to their sync.",
        Box::new(move || {
            journal.upgrade().map(|journal| sync_histogram(&journal.stats())).unwrap_or_default()
        }),
    );
    let journal = Arc::downgrade(&running.journal);
    let read = move || journal.upgrade().map(|journal| journal.stats().records).unwrap_or_default();
    metrics.register_counter_fn("strongroom_journal_records", "Audit records written.", Box::new(read));
    let journal = Arc::downgrade(&running.journal);
    let read = move || journal.upgrade().map(|journal| journal.stats().failures).unwrap_or_default();
    metrics.register_counter_fn(
        "strongroom_journal_failures",
        "Failed attempts to write audit records.",
        Box::new(read),
    );

    let records = Arc::downgrade(&running.records);
    let sizes = move || records.upgrade().map(|records| records.cache_sizes());
    let keys = sizes.clone();
    let read = move || keys().map_or(0.0, |sizes| to_f64(sizes.keys));
    metrics.register_gauge_fn("strongroom_cached_keys", "Keys kept in memory.", Box::new(read));
    let aliases = sizes.clone();
    let read = move || aliases().map_or(0.0, |sizes| to_f64(sizes.aliases));
    metrics.register_gauge_fn("strongroom_cached_aliases", "Aliases kept in memory.", Box::new(read));
    let read = move || sizes().map_or(0.0, |sizes| to_f64(sizes.access_keys));
    metrics.register_gauge_fn("strongroom_cached_access_keys", "Access keys kept in memory.", Box::new(read));
    let corridor = Arc::downgrade(&running.corridor);
    let read = move || corridor.upgrade().map_or(0.0, |corridor| to_f64(corridor.signing_keys_cached()));
    metrics.register_gauge_fn(
        "strongroom_cached_signing_keys",
        "Signing keys kept in memory.",
        Box::new(read),
    );
    let strangers = Arc::downgrade(&running.strangers);
    let read = move || strangers.upgrade().map(|log| log.stats().written).unwrap_or_default();
    metrics.register_counter_fn(
        "strongroom_strangers_recorded",
        "Failures of unknown callers, written.",
        Box::new(read),
    );
    let strangers = Arc::downgrade(&running.strangers);
    let read = move || strangers.upgrade().map(|log| log.stats().suppressed).unwrap_or_default();
    metrics.register_counter_fn(
        "strongroom_strangers_suppressed",
        "Failures of unknown callers, counted but not written.",
        Box::new(read),
    );
}

/// Room on the disk, as it was seen last.
fn register_disk(metrics: &Metrics, status: &Arc<DiskStatus>) {
    let seen = Arc::clone(status);
    metrics.register_gauge_fn(
        "strongroom_disk_free_bytes",
        "Room on the disk of the data directory, beside the reserve.",
        Box::new(move || seen.free_bytes() as f64),
    );
    let seen = Arc::clone(status);
    metrics.register_gauge_fn(
        "strongroom_disk_reserve_bytes",
        "Room that the reserve holds; zero when it was given back.",
        Box::new(move || seen.held_bytes() as f64),
    );
    let seen = Arc::clone(status);
    metrics.register_gauge_fn(
        "strongroom_disk_alarm",
        "One when less than `disk_free_alarm_mib` is free, two when the disk is full, else zero.",
        Box::new(move || f64::from(seen.level() as u8)),
    );
}

/// Cache sizes are far below 2^52.
fn to_f64(n: usize) -> f64 {
    u32::try_from(n).map_or(f64::from(u32::MAX), f64::from)
}

fn sync_histogram(stats: &JournalStats) -> HistogramSnapshot {
    let seconds = |micros: u64| std::time::Duration::from_micros(micros).as_secs_f64();
    let buckets = SYNC_BUCKETS_MICROS.map(seconds).into_iter().zip(stats.sync_buckets);
    HistogramSnapshot {
        buckets: buckets.collect(),
        beyond: stats.sync_buckets.last().copied().unwrap_or_default(),
        sum_secs: stats.sync_time.as_secs_f64(),
    }
}
