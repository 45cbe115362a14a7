//! One deployment's keys, always the same, so that bytes of a corpus mean the same in every process.
//!
//! `fuzz/fixture` holds a root key, the keyring that it wraps, and one key's material. They were made once by
//! `FileRoot::create`, `Keyring::create` and `Keyring::generate_symmetric`, and protect nothing.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, OnceLock};

use strongroom_crypto::{FileRoot, Keyring, KeyringEntry, KeyringName, SymmetricKey, WrappedKey};
use strongroom_testkit::scratch::ScratchDirectory;
use strongroom_types::{AccountId, KeyId, MaterialId, RegionName};

const ROOT: &[u8] = include_bytes!("../fixture/root.key");
/// Lines of a name and the wrapped key in hexadecimal digits.
const KEYRING: &str = include_str!("../fixture/keyring.txt");
/// The same for one key material: its id, and the material wrapped for [`key_id`].
const MATERIAL: &str = include_str!("../fixture/material.txt");

pub(crate) struct World {
    pub(crate) root: FileRoot,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) region: RegionName,
    pub(crate) key_id: KeyId,
    pub(crate) material_id: MaterialId,
    pub(crate) wrapped: WrappedKey,
}

pub(crate) fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(World::open)
}

impl World {
    fn open() -> Self {
        let scratch = ScratchDirectory::new();
        let path = scratch.path().join("root.key");
        // A root key that others can read is refused, and version control keeps no such rights.
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).expect("a new file");
        file.write_all(ROOT).expect("a file that can be written");
        let root = FileRoot::open(&path).expect("the root key");
        let entries: Vec<KeyringEntry> = lines(KEYRING)
            .map(|(name, wrapped)| KeyringEntry { name: KeyringName::parse(name).expect("a name"), wrapped })
            .collect();
        let (material_id, wrapped) = lines(MATERIAL).next().expect("a line");
        let world = Self {
            keyring: Arc::new(Keyring::open(&root, &entries).expect("the keyring")),
            root,
            region: region(),
            key_id: key_id(),
            material_id: MaterialId::parse(material_id).expect("an id"),
            wrapped: WrappedKey::from_bytes(&wrapped).expect("a wrapped key"),
        };
        let Self { keyring, region, key_id, material_id, wrapped, .. } = &world;
        keyring.check_material(region, key_id, material_id, wrapped, None).expect("the material");
        world
    }

    pub(crate) fn key(&self) -> SymmetricKey<'_> {
        SymmetricKey { key_id: &self.key_id, material_id: &self.material_id, wrapped: &self.wrapped }
    }
}

pub(crate) fn account() -> AccountId {
    AccountId::parse("111122223333").expect("an account id")
}

pub(crate) fn region() -> RegionName {
    RegionName::parse("us-east-1").expect("a region")
}

pub(crate) fn key_id() -> KeyId {
    KeyId::parse("1234abcd-12ab-34cd-56ef-1234567890ab").expect("a key id")
}

fn lines(text: &str) -> impl Iterator<Item = (&str, Vec<u8>)> {
    text.lines().map(|line| {
        let (name, hex) = line.split_once(' ').expect("a name and hexadecimal digits");
        (name, hex_simd::decode_to_vec(hex).expect("hexadecimal digits"))
    })
}

/// Replaces what is in a file of this directory.
pub(crate) fn rewrite(directory: &ScratchDirectory, name: &str, bytes: &[u8]) {
    fs::write(directory.path().join(name), bytes).expect("a file that can be written");
}
