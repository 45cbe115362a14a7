//! The concrete parts, put together: root key, keyring, store, journal, corridor, service.
//!
//! The place that knows where files lie, and with `initialise.rs`, which makes a deployment, the one that names a storage
//! engine. A deployment is two directories. The data
//! directory holds the store, the journal and a lock, and no key in the clear. The root directory holds the root key
//! and the credentials that `init` wrote; whoever has both has everything.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use strongroom_audit::{Journal, JournalError, JournalOptions, StrangerLog};
use strongroom_crypto::{Keyring, KeyringEntry, KeyringName, RootFile, RootHolder};
use strongroom_kms::Jobs;
use strongroom_pipeline::{
    Corridor, Drainer, JobCorridor, KeyUses, Offers, OutboxSender, UsageThread, UsageWriter,
};
use strongroom_records::{
    AccountRow, CommitError, DeploymentRow, Limits, Records, RecordsError, Verification, Verifier, Writes,
};
use strongroom_store::{SqliteStore, Store};
use strongroom_types::{AccountId, Credential, Env, RegionName};

use crate::anchor::{AnchorKeeper, AnchorStatus, AnchorWriter};
use crate::freshness::{Finding, Freshness};
use crate::front::Front;
use crate::jobs::JobThread;
use crate::signer::Signer;

/// Where things lie.
#[derive(Debug, Clone)]
pub struct Places {
    pub data: PathBuf,
    pub root: PathBuf,
    anchor: PathBuf,
}

impl Places {
    /// The root directory stands beside the data directory unless it is said where: `DIR` and `DIR.root`.
    pub fn new(data: &Path, root: Option<&Path>) -> Self {
        let root = root.map(Path::to_owned).unwrap_or_else(|| {
            let mut beside = data.as_os_str().to_owned();
            beside.push(".root");
            beside.into()
        });
        let anchor = root.join("anchor");
        Self { data: data.to_owned(), root, anchor }
    }

    /// The anchor lies elsewhere than in the root directory.
    #[must_use]
    pub fn with_anchor(self, anchor: Option<&Path>) -> Self {
        match anchor {
            Some(anchor) => Self { anchor: anchor.to_owned(), ..self },
            None => self,
        }
    }

    pub fn anchor(&self) -> PathBuf {
        self.anchor.clone()
    }

    pub fn journal(&self) -> PathBuf {
        self.data.join("journal")
    }

    pub fn lock(&self) -> PathBuf {
        self.data.join("lock")
    }

    pub fn root_key(&self) -> PathBuf {
        self.root.join("root.key")
    }

    pub fn credentials(&self) -> PathBuf {
        self.root.join("credentials")
    }

    /// Where a sealed server waits for the passphrase, unless it is said elsewhere.
    pub fn unseal_socket(&self) -> PathBuf {
        self.data.join("unseal.sock")
    }

    /// The file that keeps room on the disk.
    pub(crate) fn reserve(&self) -> PathBuf {
        self.data.join("reserve")
    }

    fn strangers(&self) -> PathBuf {
        self.data.join("strangers")
    }

    pub(crate) fn is_initialised(&self) -> bool {
        self.data.join("strongroom.sqlite3").exists()
    }
}

/// Why a deployment could not be made or taken up. Each says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum AssemblyError {
    #[error("`{}` already holds a deployment; nothing was changed", path.display())]
    AlreadyInitialised { path: PathBuf },
    #[error(
        "cannot write the anchor `{}`: make its directory writable for the service, or name another place outside the \
         data directory with `--anchor`",
        path.display()
    )]
    Anchor {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "`{}` is an anchor already, of a deployment that is not in `{}`: keep them together, or name another place with \
         `--anchor`",
        path.display(),
        data.display()
    )]
    ForeignAnchor { data: PathBuf, path: PathBuf },
    #[error(
        "`{}` already holds a root key, but `{}` is not initialised: keep the one and the other together, or name \
         another root directory with `--root-dir`",
        root.display(),
        data.display()
    )]
    ForeignRoot { data: PathBuf, root: PathBuf },
    #[error("cannot {doing} `{}`", path.display())]
    Io {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "an earlier `strongroom init` of `{}` was interrupted: remove it and `{}`, and run `init` again",
        data.display(),
        root.display()
    )]
    Interrupted { data: PathBuf, root: PathBuf },
    #[error("`{}` is in use by another process", path.display())]
    Locked { path: PathBuf },
    #[error("`{}` is not initialised: run `strongroom init --data {}` first", path.display(), path.display())]
    NotInitialised { path: PathBuf },
    #[error("the store holds no deployment row: it was not made by `strongroom init`")]
    NoDeployment,
    #[error(
        "region `{region}` is of partition `{partition}`, which is not built; name one of aws, aws-cn or aws-us-gov"
    )]
    Partition { partition: &'static str, region: RegionName },
    #[error("cannot {doing}")]
    Part {
        doing: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store or the journal is behind what was seen of it, or nobody can say.
    #[error("{}", rolled_back_text(data, findings))]
    RolledBack { data: PathBuf, findings: Vec<Finding> },
}

/// For `map_err`: a part of the assembly failed while doing something.
pub(crate) fn part<E: std::error::Error + Send + Sync + 'static>(
    doing: &'static str,
) -> impl FnOnce(E) -> AssemblyError {
    move |source| AssemblyError::Part { doing, source: Box::new(source) }
}

pub(crate) fn io_at(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AssemblyError {
    move |source| AssemblyError::Io { doing, path: path.to_owned(), source }
}

/// What was found, and the ways out.
fn rolled_back_text(data: &Path, findings: &[Finding]) -> String {
    let mut text = format!(
        "`{}` cannot be shown to be what this deployment has seen last, so it is not served; nothing was changed",
        data.display()
    );
    for finding in findings {
        text.push_str(&format!("\n  - {finding}"));
    }
    text.push_str(
        "\nIf an older copy was put in its place by mistake, or by somebody else, put the newest one back. If the anchor was \
         lost or damaged, put a copy of it back. If the older data are meant (a backup was restored), start once with \
         `--accept-rollback`: keys made since are gone, and keys, aliases and policies changed since are as they were; the \
         audit journal will say that it was accepted",
    );
    text
}

/// Creates a directory that only its owner can enter, and does not return before its name is on the disk: what is
/// synced in a directory that a power cut takes away was synced for nothing. One that exists is left as it is.
pub(crate) fn private_directory(path: &Path) -> Result<(), AssemblyError> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        private_directory(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(io_at("create", path)(error)),
        _ => sync_directory(parent.unwrap_or(Path::new("."))),
    }
}

pub(crate) fn sync_directory(path: &Path) -> Result<(), AssemblyError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(io_at("sync", path))
}

/// The exclusive lock on a data directory, held for as long as this lives.
#[derive(Debug)]
pub(crate) struct DataLock {
    _file: File,
}

pub(crate) fn lock(places: &Places) -> Result<DataLock, AssemblyError> {
    let path = places.lock();
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    let file = options.open(&path).map_err(io_at("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(DataLock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(AssemblyError::Locked { path: places.data.clone() }),
        Err(TryLockError::Error(source)) => Err(AssemblyError::Io { doing: "lock", path, source }),
    }
}

/// The lock on the data directory of a deployment that there is.
pub(crate) fn lock_initialised(places: &Places) -> Result<DataLock, AssemblyError> {
    if !places.is_initialised() {
        return Err(AssemblyError::NotInitialised { path: places.data.clone() });
    }
    lock(places)
}

pub(crate) fn read_root(places: &Places) -> Result<RootFile, AssemblyError> {
    RootFile::read(&places.root_key()).map_err(part("open the root key"))
}

pub(crate) fn open_root(
    file: &RootFile,
    passphrase: Option<AskPassphrase<'_>>,
) -> Result<Arc<dyn RootHolder>, AssemblyError> {
    Ok(file.open(passphrase).map_err(part("open the root key"))?.into())
}

/// Asks for a passphrase, if the root key needs one.
pub type AskPassphrase<'a> = &'a dyn Fn() -> io::Result<Credential>;

/// A deployment that this process has locked and whose root key it has not used yet: nothing in it can be opened.
pub(crate) struct Sealed {
    entries: Vec<KeyringEntry>,
    lock: DataLock,
    store: SqliteStore,
}

impl Sealed {
    /// Locks and opens the store, which tells nothing without the keyring.
    pub(crate) fn lock(places: &Places) -> Result<Self, AssemblyError> {
        Self::locked(places, lock_initialised(places)?)
    }

    pub(crate) fn locked(places: &Places, lock: DataLock) -> Result<Self, AssemblyError> {
        let store = SqliteStore::open(&places.data).map_err(part("open the store"))?;
        let entries = keyring_entries(&store)?;
        if entries.is_empty() {
            // The first rows are one transaction: without a keyring there is nothing.
            let Places { data, root, .. } = places.clone();
            return Err(AssemblyError::Interrupted { data, root });
        }
        Ok(Self { entries, lock, store })
    }

    pub(crate) fn keyring(&self, root: &dyn RootHolder) -> Result<Keyring, AssemblyError> {
        Keyring::open(root, &self.entries).map_err(part("open the keyring"))
    }

    /// The regions that the keyring has keys of. Not authentic before the keyring is open.
    pub(crate) fn regions(&self) -> Vec<RegionName> {
        let mut regions: Vec<RegionName> = Vec::new();
        for entry in &self.entries {
            if let KeyringName::RegionDomain { region, .. } = &entry.name
                && !regions.contains(region)
            {
                regions.push(region.clone());
            }
        }
        regions
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &self.store
    }

    pub(crate) fn open(self, root: Arc<dyn RootHolder>, keyring: Keyring) -> Opened {
        let regions: Vec<RegionName> = keyring.regions().cloned().collect();
        Opened { keyring: Arc::new(keyring), regions, store: Arc::new(self.store), lock: self.lock, root }
    }
}

/// A deployment's store, opened with its root key and locked against other processes.
pub struct Opened {
    pub keyring: Arc<Keyring>,
    pub regions: Vec<RegionName>,
    pub store: Arc<dyn Store>,
    lock: DataLock,
    /// Kept for as long as the process: new domain keys are wrapped by it.
    root: Arc<dyn RootHolder>,
}

impl Opened {
    /// Locks, opens the store and unwraps the keyring.
    pub fn open(places: &Places, passphrase: Option<AskPassphrase<'_>>) -> Result<Self, AssemblyError> {
        let sealed = Sealed::lock(places)?;
        let root = open_root(&read_root(places)?, passphrase)?;
        let keyring = sealed.keyring(&*root)?;
        Ok(sealed.open(root, keyring))
    }
}

/// All root-wrapped keys. They are few: a page holds them.
fn keyring_entries(store: &dyn Store) -> Result<Vec<KeyringEntry>, AssemblyError> {
    let mut entries = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = store.scan("keyring/", after.as_deref(), 100).map_err(part("read the keyring"))?;
        let Some((last, _)) = page.last() else { return Ok(entries) };
        after = Some(last.clone());
        for (address, row) in page {
            let name = KeyringName::parse(&address).map_err(part("read the keyring"))?;
            entries.push(KeyringEntry { name, wrapped: row.value });
        }
    }
}

/// A deployment that answers requests.
pub(crate) struct Running {
    pub(crate) accounts: Vec<AccountId>,
    pub(crate) corridor: Arc<Corridor>,
    pub(crate) jobs: JobThread,
    pub(crate) journal: Arc<Journal>,
    pub(crate) records: Arc<Records>,
    pub(crate) regions: Vec<RegionName>,
    pub(crate) service: Arc<Front>,
    pub(crate) strangers: Arc<StrangerLog>,
    pub(crate) anchor: Arc<AnchorStatus>,
    pub(crate) verification: Arc<Verification>,
    pub(crate) usage: Arc<KeyUses>,
    /// Attempts to write last uses that came to nothing.
    pub(crate) usage_failures: Arc<AtomicU64>,
    anchor_keeper: AnchorKeeper,
    drainer: Drainer,
    store: Arc<dyn Store>,
    usage_thread: UsageThread,
    verifier: Verifier,
    _lock: DataLock,
}

/// What the configuration says about the parts.
#[derive(Debug, Clone)]
pub(crate) struct PartLimits {
    /// The operator says that an older store is meant.
    pub(crate) accept_rollback: bool,
    pub(crate) cached_rows_max: usize,
    pub(crate) journal_segment_bytes: u64,
    pub(crate) offers: Offers,
}

impl Running {
    pub(crate) fn start(
        places: &Places,
        opened: Opened,
        env: &Arc<dyn Env>,
        attestation: &Arc<strongroom_attestation::Verifier>,
        limits: PartLimits,
    ) -> Result<Self, AssemblyError> {
        let accepted = accept(places, &opened, limits.accept_rollback)?;
        let Opened { keyring, regions, store, lock, root } = opened;
        let (outbox, rows): (OutboxSender, _) = std::sync::mpsc::channel();
        let record_limits = Limits { cached_rows_max: limits.cached_rows_max, ..Limits::default() };
        let records = Records::open(
            Arc::clone(&store),
            Arc::clone(&keyring),
            &regions,
            record_limits,
            Arc::clone(env),
            outbox,
        );
        let records = Arc::new(records.map_err(part("take up the store"))?);
        let accounts = check_deployment(&records, &regions)?;
        let directory = places.journal();
        private_directory(&directory)?;
        let options =
            JournalOptions { segment_bytes: limits.journal_segment_bytes, ..JournalOptions::new(&directory) };
        let signer = Arc::new(Signer::new(Arc::clone(&keyring)).map_err(part("sign checkpoints"))?);
        let journal =
            Journal::open(options, signer, Arc::clone(env)).map_err(part("take up the audit journal"))?;
        let journal = Arc::new(journal);
        if let Some(text) = accepted {
            note(&journal, &text).map_err(part("record that a rollback was accepted"))?;
        }
        let mut anchor_writer = AnchorWriter::new(places.anchor(), Arc::clone(&keyring), Arc::clone(env));
        let written = anchor_writer.write(records.standing(), journal.end());
        written.map_err(|source| AssemblyError::Anchor { path: places.anchor(), source })?;
        note_anchored(&records, &**env).map_err(part("write the deployment row"))?;
        let drainer = Drainer::start(
            Arc::clone(&records),
            Arc::clone(&journal),
            Arc::clone(env),
            &directory,
            &regions,
            rows,
        );
        let drainer = drainer.map_err(part("take up the outbox"))?;
        let usage = KeyUses::take_up(&records, &journal, &directory, &**env, &regions);
        let usage = Arc::new(usage.map_err(part("take up the last uses of keys"))?);
        let usage_writer = UsageWriter::new(
            directory,
            Arc::clone(env),
            Arc::clone(&journal),
            Arc::clone(&records),
            Arc::clone(&usage),
        );
        let usage_writer = usage_writer.map_err(part("take up the last uses of keys"))?;
        let usage_failures = usage_writer.failures();
        let directory = places.strangers();
        private_directory(&directory)?;
        let strangers = StrangerLog::open(&directory, Arc::clone(env));
        let strangers = Arc::new(strangers.map_err(part("open the log of strangers"))?);
        let corridor = Corridor::new(strongroom_pipeline::Parts {
            attestation: Arc::clone(attestation),
            env: Arc::clone(env),
            journal: Arc::clone(&journal),
            keyring,
            offers: limits.offers,
            records: Arc::clone(&records),
            regions: regions.clone(),
            strangers: Arc::clone(&strangers),
            usage: Arc::clone(&usage),
        });
        let service = Arc::new(Front::new(Arc::clone(&corridor)));
        let anchor = anchor_writer.status();
        let keeper = AnchorKeeper::start(anchor_writer, Arc::clone(&records), Arc::clone(&journal));
        let anchor_keeper = keeper.map_err(part("start the anchor's thread"))?;
        let verifier = Verifier::start(Arc::clone(&records), Arc::clone(env))
            .map_err(part("start the verification of the store"))?;
        let jobs = Jobs::new(JobCorridor::new(Arc::clone(&corridor)), &root);
        let jobs = JobThread::start(jobs).map_err(part("start the jobs"))?;
        let usage_thread = UsageThread::start(usage_writer);
        let usage_thread = usage_thread.map_err(part("start the writing of the last uses of keys"))?;
        Ok(Self {
            accounts,
            anchor,
            verification: verifier.verification(),
            anchor_keeper,
            verifier,
            corridor,
            jobs,
            journal,
            records,
            regions,
            service,
            strangers,
            drainer,
            store,
            usage,
            usage_failures,
            usage_thread,
            _lock: lock,
        })
    }

    /// Ends in good order: nothing is in flight any more; what was committed reaches the journal, what was written is
    /// flushed, and the store is closed.
    pub(crate) fn close(self) -> Result<(), AssemblyError> {
        let Self {
            anchor_keeper,
            corridor,
            jobs,
            journal,
            records,
            service,
            drainer,
            store,
            usage_thread,
            verifier,
            ..
        } = self;
        jobs.stop();
        drop(service);
        drop(corridor);
        usage_thread.stop();
        verifier.stop();
        let anchor_writer = anchor_keeper.stop();
        // The committing thread ends first, then the drainer has all that was committed, then the journal.
        records.close();
        drainer.join();
        // The last checkpoint names what the store holds at the end.
        if let Err(error) = journal.checkpoint(&records.state()) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the last checkpoint does not name the store"
            );
        }
        let standing = records.standing();
        drop(records);
        let mut end = journal.end();
        if let Some(journal) = Arc::into_inner(journal) {
            end = journal.close().map_err(part("close the audit journal"))?;
        }
        if let Some(mut writer) = anchor_writer {
            writer.try_write(standing, end);
        }
        store.close().map_err(part("close the store"))
    }
}

/// Hears the witnesses of how far the deployment has come. An older store is refused, or accepted with a text for the
/// journal.
fn accept(places: &Places, opened: &Opened, accepts: bool) -> Result<Option<String>, AssemblyError> {
    let findings = Freshness::judge(places, opened)?.findings;
    if findings.is_empty() {
        if accepts {
            tracing::warn!(
                "`--accept-rollback` had nothing to accept: leave it out, or it will accept the next one"
            );
        }
        return Ok(None);
    }
    if !accepts {
        return Err(AssemblyError::RolledBack { data: places.data.clone(), findings });
    }
    let found: Vec<String> = findings.iter().map(Finding::to_string).collect();
    let text = format!("`--accept-rollback`: {}", found.join("; "));
    tracing::warn!(findings = text, "a rollback is accepted");
    Ok(Some(text))
}

/// Writes a note and waits until it is on the disk.
fn note(journal: &Journal, text: &str) -> Result<(), JournalError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(JournalError::Spawn)?;
    runtime.block_on(journal.note(text)?.synced()).map(|_| ())
}

/// From now on a missing anchor is a fault. Only deployments of earlier versions do not say so yet.
fn note_anchored(records: &Records, env: &dyn Env) -> Result<(), CommitError> {
    let row = records.load::<DeploymentRow>(&DeploymentRow::address()).map_err(CommitError::Failed)?;
    let Some(row) = row.filter(|row| row.anchored_millis.is_none()) else { return Ok(()) };
    let mut writes = Writes::default();
    let anchored = DeploymentRow { anchored_millis: Some(env.now().as_millis()), ..(*row).clone() };
    writes.update(&row, anchored);
    records.commit_blocking(writes, Vec::new())
}

/// The keyring names the regions; the deployment row, which is sealed, must agree.
fn check_deployment(records: &Records, regions: &[RegionName]) -> Result<Vec<AccountId>, AssemblyError> {
    let row = records.load::<DeploymentRow>(&DeploymentRow::address());
    let row = row.map_err(part("read the deployment row"))?.ok_or(AssemblyError::NoDeployment)?;
    if row.regions != regions {
        let address = DeploymentRow::address().to_string();
        let reason = "its regions are not those of the keyring";
        let error = RecordsError::BadRow { address, reason, source: None };
        return Err(part("agree on the regions")(error));
    }
    let accounts =
        records.scan::<AccountRow>("account/global/", None, 1000).map_err(part("read the accounts"))?;
    Ok(accounts.iter().map(|row| row.account).collect())
}

/// Reads a passphrase from a file: its first line, without the line end.
pub fn read_passphrase(path: &Path) -> io::Result<Credential> {
    let bytes = zeroize::Zeroizing::new(fs::read(path)?);
    let line = bytes.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    if line.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the passphrase file is empty"));
    }
    Ok(Credential::new(line.to_vec()))
}
