//! Sealing of rows: a value is bound to the cell it stands in and to the version of its row.
//!
//! Formula: `key = KDF(domain key, "strongroom/row/v1", salt)`, `sealed = header ‖ AES-256-GCM(key, nonce, aad, value)`,
//! `header = version 1 (= 1) | domain key version 4 | salt 16 | nonce 12`, `aad = header ‖ table ‖ address ‖ column ‖
//! be64(row version)`, each of the four length-prefixed.
//!
//! Sealing stops reading, forging and moving. It does not stop putting back an older value of the same cell *together
//! with* its version, or removing a row: the row state ([`crate::SetHash`]) does.

use strongroom_types::limits::ROW_VALUE_BYTES_MAX;
use zeroize::Zeroizing;

use crate::aead::TAG_BYTES;
use crate::envelope::{self, ENVELOPE_BYTES, Envelope, SALT_BYTES, versioned_prefix};
use crate::error::CryptoError;
use crate::kdf;
use crate::keyring::{Keyring, Scope};
use crate::random::Fresh;
use crate::secret::{KEY_BYTES, SecretKey};

const FORMAT: u8 = 1;
const WHAT: &str = "sealed row";
/// What sealing adds to a row's value.
pub const ROW_OVERHEAD_BYTES: usize = PREFIX_BYTES + ENVELOPE_BYTES;
const PREFIX_BYTES: usize = 5;

/// The place of one sealed value. Every part is authenticated; none is stored in the value.
#[derive(Debug, Clone, Copy)]
pub struct Cell<'a> {
    pub scope: Scope<'a>,
    pub table: &'a str,
    pub address: &'a str,
    pub column: &'a str,
    /// The version of the row, which grows with every write.
    pub version: u64,
}

impl Keyring {
    /// Seals a value of at most [`ROW_VALUE_BYTES_MAX`] minus [`ROW_OVERHEAD_BYTES`] bytes into its cell.
    pub fn seal_row(&self, cell: &Cell<'_>, plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let (version, domain_key) = self.domain_keys(cell.scope)?.current();
        seal_with(version, &domain_key, cell, plaintext, &Fresh::draw()?)
    }

    /// Opens a value that was sealed into exactly this cell.
    pub fn open_row(&self, cell: &Cell<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        if sealed.len() > ROW_VALUE_BYTES_MAX {
            return Err(CryptoError::TooLarge { max_bytes: ROW_VALUE_BYTES_MAX, what: WHAT });
        }
        let envelope = parse(sealed).ok_or(CryptoError::Malformed { what: WHAT })?;
        let [_, version @ ..] = *envelope.prefix;
        let domain_key = self.domain_keys(cell.scope)?.version(cell.scope, u32::from_be_bytes(version))?;
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        kdf::row_key(&domain_key, envelope.salt, &mut key)?;
        let mut plaintext = Zeroizing::new(vec![0; envelope.plaintext_len()]);
        with_fields(cell, |fields| envelope.open(WHAT, &key, fields, &mut plaintext))?;
        Ok(plaintext)
    }
}

/// The authentication tag of a sealed row, which stands for its whole content in the row state.
pub fn sealed_tag(sealed: &[u8]) -> Option<[u8; TAG_BYTES]> {
    parse(sealed).map(|envelope| *envelope.tag)
}

/// The version of the domain key that a row was sealed under, as its header says. Opening it proves it.
pub fn sealed_domain_key_version(sealed: &[u8]) -> Option<u32> {
    parse(sealed).map(|envelope| {
        let [_, version @ ..] = *envelope.prefix;
        u32::from_be_bytes(version)
    })
}

fn parse(sealed: &[u8]) -> Option<Envelope<'_, PREFIX_BYTES>> {
    let envelope = Envelope::<PREFIX_BYTES>::parse(sealed)?;
    let [format, ..] = *envelope.prefix;
    (format == FORMAT).then_some(envelope)
}

fn seal_with(
    version: u32,
    domain_key: &SecretKey,
    cell: &Cell<'_>,
    plaintext: &[u8],
    fresh: &Fresh<SALT_BYTES>,
) -> Result<Vec<u8>, CryptoError> {
    let max_bytes = ROW_VALUE_BYTES_MAX - ROW_OVERHEAD_BYTES;
    if plaintext.len() > max_bytes {
        return Err(CryptoError::TooLarge { max_bytes, what: "a row's value" });
    }
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    kdf::row_key(domain_key, &fresh.salt, &mut key)?;
    let prefix = versioned_prefix(FORMAT, version);
    with_fields(cell, |fields| envelope::seal(&prefix, fresh, &key, fields, plaintext))
}

fn with_fields<T>(cell: &Cell<'_>, then: impl FnOnce(&[&[u8]]) -> T) -> T {
    let version = cell.version.to_be_bytes();
    then(&[cell.table.as_bytes(), cell.address.as_bytes(), cell.column.as_bytes(), &version])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{each_bit_flipped, fixed, global_only, hex, keyring, region};
    use proptest::prelude::*;

    fn cell<'a>(scope: Scope<'a>, address: &'a str) -> Cell<'a> {
        Cell { scope, table: "keys", address, column: "value", version: 7 }
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let keyring = keyring();
        let cell = cell(Scope::Global, "keys/global/1");
        let sealed = keyring.seal_row(&cell, b"value").unwrap();
        assert_eq!(sealed.len(), 5 + ROW_OVERHEAD_BYTES);
        each_bit_flipped(&sealed, |altered| assert!(keyring.open_row(&cell, altered).is_err()));
        assert_eq!(keyring.open_row(&cell, &sealed).unwrap().as_slice(), b"value");
    }

    #[test]
    fn another_cell_is_refused() {
        let (keyring, eu, us) = (keyring(), region("eu-central-1"), region("us-east-1"));
        let home = cell(Scope::Region(&eu), "keys/eu-central-1/1");
        let sealed = keyring.seal_row(&home, b"value").unwrap();
        for other in [
            Cell { scope: Scope::Region(&us), ..home },
            Cell { scope: Scope::Global, ..home },
            Cell { table: "aliases", ..home },
            Cell { address: "keys/eu-central-1/2", ..home },
            Cell { column: "state", ..home },
            Cell { version: 6, ..home },
            Cell { version: 8, ..home },
            Cell { table: "key", address: "skeys/eu-central-1/1", ..home },
        ] {
            assert!(keyring.open_row(&other, &sealed).is_err(), "{other:?}");
        }
        assert!(keyring.open_row(&home, &sealed).is_ok());
    }

    #[test]
    fn refusals_say_why() {
        let keyring = keyring();
        let cell = cell(Scope::Global, "keys/global/1");
        let sealed = keyring.seal_row(&cell, b"value").unwrap();
        let malformed = CryptoError::Malformed { what: "sealed row" };
        for format in [0, 2, 255] {
            let mut altered = sealed.clone();
            altered[0] = format;
            assert_eq!(keyring.open_row(&cell, &altered).unwrap_err(), malformed);
            assert_eq!(sealed_tag(&altered), None);
        }
        for length in 0..ROW_OVERHEAD_BYTES {
            assert_eq!(keyring.open_row(&cell, &sealed[..length]).unwrap_err(), malformed);
        }
        let mut altered = sealed.clone();
        altered[4] = 9;
        let missing = CryptoError::MissingDomainKey { scope: "global".to_owned(), version: 9 };
        assert_eq!(keyring.open_row(&cell, &altered).unwrap_err(), missing);

        let nowhere = region("ap-south-1");
        let cell = Cell { scope: Scope::Region(&nowhere), ..cell };
        let missing = CryptoError::MissingScope { scope: "ap-south-1".to_owned() };
        assert_eq!(keyring.open_row(&cell, &sealed).unwrap_err(), missing);
        assert_eq!(keyring.seal_row(&cell, b"value").unwrap_err(), missing);
    }

    #[test]
    fn one_byte_past_the_limit_is_refused() {
        let keyring = keyring();
        let cell = cell(Scope::Global, "keys/global/1");
        let mut value = vec![7; ROW_VALUE_BYTES_MAX - ROW_OVERHEAD_BYTES];
        let sealed = keyring.seal_row(&cell, &value).unwrap();
        assert_eq!(sealed.len(), ROW_VALUE_BYTES_MAX);
        assert_eq!(keyring.open_row(&cell, &sealed).unwrap().as_slice(), value);
        value.push(7);
        assert!(matches!(keyring.seal_row(&cell, &value), Err(CryptoError::TooLarge { .. })));
        let longer = [sealed, vec![0]].concat();
        assert!(matches!(keyring.open_row(&cell, &longer), Err(CryptoError::TooLarge { .. })));
    }

    #[test]
    fn rows_of_older_domain_keys_stay_readable() {
        let (keyring, eu) = (keyring(), region("eu-central-1"));
        let cell = cell(Scope::Region(&eu), "keys/eu-central-1/1");
        let domain_keys = keyring.domain_keys(cell.scope).unwrap();
        let old = domain_keys.version(cell.scope, 1).unwrap();
        let sealed = seal_with(1, &old, &cell, b"value", &Fresh::draw().unwrap()).unwrap();
        assert_eq!(keyring.open_row(&cell, &sealed).unwrap().as_slice(), b"value");
        let now = keyring.seal_row(&cell, b"value").unwrap();
        assert_eq!(now[..5], [1, 0, 0, 0, 2]);
        assert_eq!([&sealed, &now].map(|row| sealed_domain_key_version(row)), [Some(1), Some(2)]);
        assert_eq!(sealed_domain_key_version(&now[..ROW_OVERHEAD_BYTES - 1]), None);
    }

    #[test]
    fn another_keyring_is_refused() {
        let cell = cell(Scope::Global, "keys/global/1");
        let sealed = keyring().seal_row(&cell, b"value").unwrap();
        assert!(global_only(0x77).open_row(&cell, &sealed).is_err());
    }

    /// Computed with the Python package `cryptography`: `AESGCM(row key).encrypt(nonce, value, aad)`.
    #[test]
    fn golden_row() {
        let (keyring, eu) = (keyring(), region("eu-central-1"));
        let cell = cell(Scope::Region(&eu), "keys/eu-central-1/1");
        let (version, key) = keyring.domain_keys(cell.scope).unwrap().current();
        let sealed = seal_with(version, &key, &cell, b"the value of a row", &fixed()).unwrap();
        assert_eq!(
            sealed,
            hex("0100000002a0a1a2a3a4a5a6a7a8a9aaabacadaeafc0c1c2c3c4c5c6c7c8c9cacbff334b6db5c121\
                 10275008bc269c042bd4b634f2b193bedb0bfeeb147ab163adde3e")
        );
        assert_eq!(sealed_tag(&sealed).unwrap().to_vec(), sealed[sealed.len() - 16..]);
        assert_eq!(keyring.open_row(&cell, &sealed).unwrap().as_slice(), b"the value of a row");
    }

    proptest! {
        #[test]
        fn rows_round_trip(value: Vec<u8>, table: String, address: String, column: String, version: u64) {
            let keyring = keyring();
            let cell = Cell { scope: Scope::Global, table: &table, address: &address, column: &column, version };
            let sealed = keyring.seal_row(&cell, &value).unwrap();
            let opened = keyring.open_row(&cell, &sealed).unwrap();
            prop_assert_eq!(opened.as_slice(), value.as_slice());
        }
    }
}
