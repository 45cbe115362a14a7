//! Parts for the tests of this crate: a directory, a clock, a signer, files that fail, an event.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use strongroom_types::{AccountId, Env, Monotonic, RequestId, Timestamp};

use crate::checkpoint::{CheckpointSignError, CheckpointSigner, CheckpointVerifier, Verdict};
use crate::event::{
    Event, EventKind, EventSource, Field, Identity, IdentityKind, Parameters, Resource, TlsDetails, Value,
};
use crate::files::{DiskFiles, SegmentFile, SegmentFiles};

/// A directory of its own, removed at the end.
pub(crate) struct TempDirectory(PathBuf);

impl TempDirectory {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("strongroom-audit-{}-{number}", std::process::id()));
        // One left over from a process that had the same id would spoil the test.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A clock that moves when it is told to.
pub(crate) struct TestClock(AtomicU64);

impl TestClock {
    pub(crate) const START: Timestamp = Timestamp::from_secs(1_700_000_000);

    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(0)))
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_nanos()).unwrap(), Ordering::SeqCst);
    }
}

impl Env for TestClock {
    fn now(&self) -> Timestamp {
        Self::START.saturating_add(Duration::from_nanos(self.0.load(Ordering::SeqCst)))
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic::from_nanos(self.0.load(Ordering::SeqCst))
    }

    fn random_id(&self) -> [u8; 16] {
        [7; 16]
    }
}

/// Ed25519 with a fixed key; knows that key only.
pub(crate) struct TestSigner(Ed25519KeyPair);

impl TestSigner {
    pub(crate) fn new() -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[42; 32]).unwrap())
    }
}

impl CheckpointSigner for TestSigner {
    fn sign(&self, bytes: &[u8]) -> Result<[u8; 64], CheckpointSignError> {
        Ok(self.0.sign(bytes).as_ref().try_into().unwrap())
    }

    fn public_key(&self) -> [u8; 32] {
        self.0.public_key().as_ref().try_into().unwrap()
    }
}

impl CheckpointVerifier for TestSigner {
    fn verify(&self, public_key: &[u8; 32], bytes: &[u8], signature: &[u8; 64]) -> Verdict {
        if *public_key != self.public_key() {
            return Verdict::UnknownKey;
        }
        match UnparsedPublicKey::new(&ED25519, public_key).verify(bytes, signature) {
            Ok(()) => Verdict::Valid,
            Err(_) => Verdict::Invalid,
        }
    }
}

pub(crate) struct BrokenSigner;

impl CheckpointSigner for BrokenSigner {
    fn sign(&self, _bytes: &[u8]) -> Result<[u8; 64], CheckpointSignError> {
        Err(CheckpointSignError("no key".into()))
    }

    fn public_key(&self) -> [u8; 32] {
        [0; 32]
    }
}

/// Files whose calls fail as planned. A call that fails does the worst a disk may do: a write is done by half, and a
/// sync leaves nothing but zeros where unsynced bytes were. One that succeeds does not reach for the disk: the tests do not
/// cut the power, and thousands of real syncs would make them slow.
#[derive(Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<Plan>>);

#[derive(Default)]
struct Plan {
    calls: u64,
    failing: HashSet<u64>,
    always: bool,
}

impl Faults {
    /// Lets these calls fail, counted from one.
    pub(crate) fn at(calls: impl IntoIterator<Item = u64>) -> Self {
        let faults = Self::default();
        faults.0.lock().unwrap().failing.extend(calls);
        faults
    }

    /// Lets every call fail, or none but those planned.
    pub(crate) fn set_always(&self, always: bool) {
        self.0.lock().unwrap().always = always;
    }

    pub(crate) fn calls(&self) -> u64 {
        self.0.lock().unwrap().calls
    }

    fn call(&self) -> io::Result<()> {
        let mut plan = self.0.lock().unwrap();
        plan.calls += 1;
        if plan.always || plan.failing.contains(&plan.calls) {
            return Err(io::Error::other("planned failure"));
        }
        Ok(())
    }

    pub(crate) fn files(&self, directory: &Path) -> Box<dyn SegmentFiles> {
        Box::new(FaultyFiles {
            faults: self.clone(),
            disk: DiskFiles::new(directory),
            directory: directory.to_owned(),
        })
    }
}

struct FaultyFiles {
    faults: Faults,
    disk: DiskFiles,
    directory: PathBuf,
}

impl SegmentFiles for FaultyFiles {
    fn create(&mut self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        self.faults.call()?;
        let disk = self.disk.create(name)?;
        // A second handle that follows the file through its renaming.
        let file = OpenOptions::new().write(true).open(self.directory.join(name))?;
        Ok(Box::new(FaultyFile { faults: self.faults.clone(), disk, file, written: 0, synced: 0 }))
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.faults.call()?;
        self.disk.rename(from, to)
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        self.faults.call()
    }
}

struct FaultyFile {
    faults: Faults,
    disk: Box<dyn SegmentFile>,
    file: fs::File,
    written: u64,
    synced: u64,
}

impl SegmentFile for FaultyFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.faults.call() {
            self.disk.append(&bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        self.written += bytes.len() as u64;
        self.disk.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        if let Err(error) = self.faults.call() {
            self.file.set_len(self.synced)?;
            self.file.set_len(self.written)?;
            return Err(error);
        }
        self.synced = self.written;
        Ok(())
    }
}

pub(crate) fn account() -> AccountId {
    AccountId::parse("111122223333").unwrap()
}

pub(crate) fn id(number: u64) -> RequestId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    RequestId::from_bytes(bytes)
}

/// A successful Encrypt by an account's root.
pub(crate) fn encrypt(number: u64) -> Event<'static> {
    const CONTEXT: &[Field<'static>] =
        &[(Cow::Borrowed("Department"), Value::Text(Cow::Borrowed("10103.0")))];
    const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    Event {
        id: id(number),
        request_id: Some(id(0x1000 + number)),
        time: Timestamp::from_millis(1_440_938_160_250),
        region: "us-east-1".into(),
        kind: EventKind::ApiCall,
        source: EventSource::Kms,
        identity: Identity {
            kind: IdentityKind::Root,
            account: Some(account()),
            arn: Some("arn:aws:iam::111122223333:root".into()),
            principal_id: Some("111122223333".into()),
            access_key_id: Some("AKIAIOSFODNN7EXAMPLE".into()),
            invoked_by: None,
        },
        name: "Encrypt".into(),
        source_ip: "192.0.2.7".into(),
        user_agent: "aws-cli/2.0".into(),
        tls: Some(TlsDetails {
            version: "TLSv1.3".into(),
            cipher_suite: "TLS_AES_128_GCM_SHA256".into(),
            host_header: Some("kms.example.com".into()),
            key_exchange: None,
        }),
        failure: None,
        read_only: true,
        request_parameters: vec![
            ("keyId".into(), KEY.into()),
            ("encryptionAlgorithm".into(), "SYMMETRIC_DEFAULT".into()),
            ("encryptionContext".into(), Value::Map(CONTEXT.into())),
        ]
        .into(),
        response_elements: Parameters::None,
        additional: Parameters::None,
        resources: vec![Resource { arn: KEY.into(), account: account(), kind: "AWS::KMS::Key".into() }]
            .into(),
        recipient: Some(account()),
    }
}
