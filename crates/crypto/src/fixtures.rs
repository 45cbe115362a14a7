//! What the tests of this crate share. The keys here are fixed, so that golden bytes can be computed elsewhere.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use strongroom_types::RegionName;

use crate::keyring::{Keyring, KeyringName, ServicePurpose};
use crate::random::Fresh;
use crate::root::RootKey;
use crate::secret::SecretKey;

/// Fails to compile (ambiguous impls) if `$type` ever implements `$bound`.
macro_rules! assert_absent {
    ($type:ty: $($bound:path),+) => {$(
        const _: fn() = || {
            trait Ambiguous<A> { fn some() {} }
            impl<T: ?Sized> Ambiguous<()> for T {}
            struct Present;
            impl<T: ?Sized + $bound> Ambiguous<Present> for T {}
            let _ = <$type as Ambiguous<_>>::some;
        };
    )+};
}
pub(crate) use assert_absent;

pub(crate) fn hex(text: &str) -> Vec<u8> {
    hex_simd::decode_to_vec(text).unwrap_or_else(|_| panic!("not hex: {text}"))
}

pub(crate) fn region(name: &str) -> RegionName {
    RegionName::parse(name).unwrap()
}

pub(crate) fn secret_key(byte: u8) -> SecretKey {
    let mut key = SecretKey::zeroed();
    key.expose_mut().fill(byte);
    key
}

/// Salt `a0 a1 a2 …`, nonce `c0 c1 c2 …`.
pub(crate) fn fixed<const SALT: usize>() -> Fresh<SALT> {
    let count = |from: u8, at: usize| from + u8::try_from(at).unwrap();
    Fresh {
        salt: std::array::from_fn(|at| count(0xa0, at)),
        nonce: std::array::from_fn(|at| count(0xc0, at)),
    }
}

/// A root key of one repeated byte, which is its id too.
pub(crate) fn root(byte: u8) -> RootKey {
    RootKey::new([byte; 16], secret_key(byte))
}

/// `global` (version 1), `eu-central-1` (versions 1 and 2), `us-east-1` (version 1); material ids have two versions.
/// Each key is one repeated byte.
pub(crate) fn keyring() -> Keyring {
    let eu = |version| KeyringName::RegionDomain { region: region("eu-central-1"), version };
    let mut keys = vec![
        (KeyringName::GlobalDomain { version: 1 }, 0x11),
        (eu(1), 0x21),
        (eu(2), 0x22),
        (KeyringName::RegionDomain { region: region("us-east-1"), version: 1 }, 0x31),
        (KeyringName::Service { purpose: ServicePurpose::MaterialId, version: 2 }, 0x4f),
    ];
    keys.extend(services());
    assemble(keys)
}

/// A ring without regions, whose global domain key is another than [`keyring`]'s.
pub(crate) fn global_only(byte: u8) -> Keyring {
    let mut keys = vec![(KeyringName::GlobalDomain { version: 1 }, byte)];
    keys.extend(services());
    assemble(keys)
}

fn services() -> impl Iterator<Item = (KeyringName, u8)> {
    let names = ServicePurpose::ALL.map(|purpose| KeyringName::Service { purpose, version: 1 });
    names.into_iter().zip(0x41..)
}

fn assemble(keys: Vec<(KeyringName, u8)>) -> Keyring {
    Keyring::assemble(keys.into_iter().map(|(name, byte)| (name, secret_key(byte))).collect()).unwrap()
}

/// Calls `check` with every string that differs from `bytes` in one bit.
pub(crate) fn each_bit_flipped(bytes: &[u8], mut check: impl FnMut(&[u8])) {
    let mut altered = bytes.to_vec();
    for at in 0..altered.len() {
        for bit in 0..8 {
            altered[at] ^= 1 << bit;
            check(&altered);
            altered[at] ^= 1 << bit;
        }
    }
}

/// A directory of one test, removed with what is in it.
pub(crate) struct TestDirectory(PathBuf);

impl TestDirectory {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("strongroom-crypto-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TestDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
