//! Backups of a small deployment, and every way to spoil one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use strongroom_testkit::scratch::ScratchDirectory;
use strongroom_types::{AccountId, RegionName};

use super::*;
use crate::assembly::Places;
use crate::env::SystemEnv;
use crate::initialise::{NewCredential, NewDeployment, initialise};
use crate::offline::Offline;

/// A deployment, its backup, and room beside them.
struct Scene {
    directory: ScratchDirectory,
    places: Places,
    backup: PathBuf,
}

fn deployment(data: &Path) -> Places {
    let places = Places::new(data, None);
    let new = NewDeployment {
        account: AccountId::parse("111122223333").unwrap(),
        regions: vec![RegionName::parse("us-east-1").unwrap()],
        passphrase: None,
        root_credential: NewCredential::random().unwrap(),
        operator_credential: NewCredential::random().unwrap(),
        seed: None,
    };
    initialise(&places, new, &SystemEnv::new()).unwrap();
    // A journal comes to be with the first taking up.
    Offline::open(&places, None).unwrap().close().unwrap();
    places
}

fn scene() -> Scene {
    let directory = ScratchDirectory::new();
    let places = deployment(&directory.path().join("data"));
    let path = directory.path().join("backup");
    backup(&places, None, &path, &mut |_| {}).unwrap();
    Scene { directory, places, backup: path }
}

impl Scene {
    /// A new data directory with the root directory of the deployment.
    fn elsewhere(&self, name: &str) -> Places {
        Places::new(&self.directory.path().join(name), Some(&self.places.root))
    }

    /// What restoring these bytes says, and that nothing of them stays.
    fn refusal(&self, bytes: &[u8]) -> BackupError {
        let path = self.directory.path().join("altered");
        fs::write(&path, bytes).unwrap();
        let places = self.elsewhere("refused");
        let Err(error) = restore(&places, None, &path) else { panic!("was restored") };
        assert!(!places.data.exists());
        error
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_directory_without_a_deployment_is_not_backed_up() {
    let directory = ScratchDirectory::new();
    let places = Places::new(&directory.path().join("data"), None);
    let path = directory.path().join("backup");
    let refused = backup(&places, None, &path, &mut |_| {}).unwrap_err();
    assert!(refused.to_string().contains("not initialised"), "{refused}");
    assert!(!path.exists());
}

#[test]
fn a_file_that_exists_is_not_overwritten() {
    let scene = scene();
    let before = fs::read(&scene.backup).unwrap();
    let again = backup(&scene.places, None, &scene.backup, &mut |_| {});
    assert!(matches!(again, Err(BackupError::Exists { .. })));
    assert!(fs::read(&scene.backup).unwrap() == before);
    assert_eq!(names(scene.directory.path()), ["backup", "data", "data.root"]);
}

#[test]
fn a_foreign_root_key_neither_backs_up_nor_restores() {
    let scene = scene();
    let foreign = deployment(&scene.directory.path().join("foreign"));
    let mixed = Places::new(&scene.places.data, Some(&foreign.root));
    assert!(backup(&mixed, None, &scene.directory.path().join("mixed"), &mut |_| {}).is_err());
    let mixed = Places::new(&scene.directory.path().join("elsewhere"), Some(&foreign.root));
    assert!(matches!(restore(&mixed, None, &scene.backup), Err(BackupError::Root(_))));
    assert!(!mixed.data.exists());
}

#[test]
fn an_occupied_directory_is_refused_and_left_alone() {
    let scene = scene();
    let places = scene.elsewhere("occupied");
    fs::create_dir(&places.data).unwrap();
    fs::write(places.data.join("mine"), b"x").unwrap();
    assert!(matches!(restore(&places, None, &scene.backup), Err(BackupError::NotEmpty { .. })));
    assert!(matches!(restore(&scene.places, None, &scene.backup), Err(BackupError::NotEmpty { .. })));
    assert_eq!(names(&places.data), ["mine"]);
}

#[test]
fn an_altered_byte_anywhere_is_refused() {
    let scene = scene();
    let mut bytes = fs::read(&scene.backup).unwrap();
    // Every byte of the header and of the first frames; then one in each stretch that is shorter than any field's.
    let places = (0..1500).chain((1500..bytes.len()).step_by(11));
    for at in places.chain(bytes.len() - 60..bytes.len()) {
        bytes[at] ^= 0x10;
        let refused = scene.refusal(&bytes);
        assert!(!matches!(refused, BackupError::Io { .. }), "byte {at}: {refused}");
        bytes[at] ^= 0x10;
    }
}

#[test]
fn a_cut_or_lengthened_file_is_refused() {
    let scene = scene();
    let bytes = fs::read(&scene.backup).unwrap();
    for length in (0..bytes.len()).step_by(13).chain(bytes.len() - 80..bytes.len()) {
        scene.refusal(&bytes[..length]);
    }
    scene.refusal(&[bytes.as_slice(), &[0]].concat());
    scene.refusal(&[bytes.as_slice(), &bytes].concat());
}

#[test]
fn frames_of_two_backups_do_not_mix() {
    let scene = scene();
    let second = scene.directory.path().join("second");
    backup(&scene.places, None, &second, &mut |_| {}).unwrap();
    let (one, other) = (fs::read(&scene.backup).unwrap(), fs::read(&second).unwrap());
    assert_eq!(one.len(), other.len());
    let header = format::PREFIX_BYTES + u32::from_be_bytes(one[9..13].try_into().unwrap()) as usize;
    scene.refusal(&[&one[..header], &other[header..]].concat());
}

#[test]
fn what_is_restored_is_what_was_backed_up() {
    let scene = scene();
    assert_eq!(fs::metadata(&scene.backup).unwrap().permissions().mode() & 0o777, 0o600);
    let places = scene.elsewhere("restored");
    let restored = restore(&places, None, &scene.backup).unwrap();
    let before = strongroom_store::Snapshot::open(&scene.places.data).unwrap();
    let rows = before.scan("", None, 1000).unwrap();
    assert_eq!(restored.opened.store.scan("", None, 1000).unwrap(), rows);
    assert_eq!(restored.opened.store.revision().unwrap(), before.revision().unwrap());
    assert_eq!(restored.rows, rows.len() as u64);
    assert_eq!(names(&places.journal()), names(&scene.places.journal()));
    let keys: Vec<&str> = rows.iter().map(|(address, _)| address.as_str()).collect();
    let keys: Vec<&str> = keys.into_iter().filter(|address| address.starts_with("keyring/")).collect();
    assert_eq!(restored.header.keys, keys);
    drop(restored);
    Offline::open(&places, None).unwrap().close().unwrap();
}

#[test]
fn what_a_killed_backup_has_left_is_overwritten_and_a_running_one_is_not() {
    let scene = scene();
    let path = scene.directory.path().join("again");
    let running = target::Target::create(&path).unwrap();
    let refused = backup(&scene.places, None, &path, &mut |_| {});
    assert!(matches!(refused, Err(BackupError::Busy { .. })));
    std::mem::forget(running);
    assert!(scene.directory.path().join(".again.partial").exists());
    // The forgotten file is still locked by this process: another name stands for the next process.
    fs::write(scene.directory.path().join(".later.partial"), vec![7; 1 << 20]).unwrap();
    backup(&scene.places, None, &scene.directory.path().join("later"), &mut |_| {}).unwrap();
    let later = fs::metadata(scene.directory.path().join("later")).unwrap().len();
    assert_eq!(later, fs::metadata(&scene.backup).unwrap().len());
}
