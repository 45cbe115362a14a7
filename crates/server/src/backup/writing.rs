//! Making a backup.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use strongroom_audit::{Extent, extents};
use strongroom_crypto::{BackupKey, Keyring, KeyringEntry, KeyringName, open_root};
use strongroom_store::Snapshot;
use strongroom_types::Env;
use strongroom_types::limits::BACKUP_FRAME_BYTES_MAX;

use super::error::{BackupError, io_error};
use super::format::Header;
use super::rows::{encode, encoded_bytes};
use super::writer::Writer;
use crate::assembly::{AskPassphrase, AssemblyError, Places, part};
use crate::env::SystemEnv;

const PAGE_ROWS: usize = 500;
pub(super) const ROWS_PART: &str = "rows";
pub(super) const JOURNAL_PREFIX: &str = "journal/";

/// What a backup holds.
#[derive(Debug)]
pub struct BackedUp {
    pub bytes: u64,
    pub header: Header,
    pub rows: u64,
    pub segments: usize,
}

/// Writes a backup of the deployment to a new file. A server may run meanwhile: nothing of its is locked or changed.
///
/// Everything that was acknowledged before this call is in it. `progress` is told how many bytes were read.
pub fn backup(
    places: &Places,
    passphrase: Option<AskPassphrase<'_>>,
    to: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<BackedUp, BackupError> {
    let env = SystemEnv::new();
    if !places.is_initialised() {
        return Err(AssemblyError::NotInitialised { path: places.data.clone() }.into());
    }
    let root = open_root(&places.root_key(), passphrase)?;
    let created = env.now();
    let snapshot = Snapshot::open(&places.data)?;
    let entries = keyring_entries(&snapshot)?;
    // With a foreign root key a backup would be made that this deployment's root key does not open.
    Keyring::open(&*root, &entries)?;
    let (key, wrapped_key) = BackupKey::create(&*root)?;
    let header = Header {
        created,
        keys: entries.iter().map(|entry| entry.name.to_string()).collect(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        revision: snapshot.revision()?,
        wrapped_key,
    };
    let mut writer = Writer::begin(to, &header, key)?;
    let mut read = 0;
    let rows = write_rows(&mut writer, &snapshot, &mut |bytes| {
        read += bytes;
        progress(read);
    })?;
    // The log of the store can become shorter again.
    drop(snapshot);
    // Now, not earlier: a journal that is newer than the store tells of changes that the backup does not have, but an
    // older one could lack records whose outbox rows are gone already.
    let extents = extents(&places.journal())?;
    for extent in &extents {
        write_segment(&mut writer, &places.journal(), extent, &mut |bytes| {
            read += bytes;
            progress(read);
        })?;
    }
    let (bytes, _) = writer.finish()?;
    Ok(BackedUp { bytes, header, rows, segments: extents.len() })
}

fn keyring_entries(snapshot: &Snapshot) -> Result<Vec<KeyringEntry>, BackupError> {
    let mut entries: Vec<KeyringEntry> = Vec::new();
    loop {
        let after = entries.last().map(|entry| entry.name.to_string());
        let page = snapshot.scan("keyring/", after.as_deref(), PAGE_ROWS)?;
        if page.is_empty() {
            return Ok(entries);
        }
        for (address, row) in page {
            let name = KeyringName::parse(&address).map_err(part("read the keyring"))?;
            entries.push(KeyringEntry { name, wrapped: row.value });
        }
    }
}

fn write_rows(
    writer: &mut Writer,
    snapshot: &Snapshot,
    progress: &mut dyn FnMut(u64),
) -> Result<u64, BackupError> {
    writer.part(ROWS_PART)?;
    let mut frame = Vec::with_capacity(BACKUP_FRAME_BYTES_MAX);
    let mut after: Option<String> = None;
    let mut rows = 0;
    loop {
        let page = snapshot.scan("", after.as_deref(), PAGE_ROWS)?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        rows += page.len() as u64;
        for (address, row) in &page {
            let bytes = encoded_bytes(address, row);
            if bytes > BACKUP_FRAME_BYTES_MAX {
                return Err(BackupError::TooLarge { what: address.clone() });
            }
            if frame.len() + bytes > BACKUP_FRAME_BYTES_MAX {
                progress(frame.len() as u64);
                writer.data(&frame)?;
                frame.clear();
            }
            encode(&mut frame, address, row);
        }
    }
    if !frame.is_empty() {
        progress(frame.len() as u64);
        writer.data(&frame)?;
    }
    Ok(rows)
}

fn write_segment(
    writer: &mut Writer,
    journal: &Path,
    extent: &Extent,
    progress: &mut dyn FnMut(u64),
) -> Result<(), BackupError> {
    writer.part(&format!("{JOURNAL_PREFIX}{}", extent.name))?;
    let path = journal.join(&extent.name);
    let mut file = File::open(&path).map_err(io_error("open", &path))?;
    let mut left = extent.bytes;
    let mut buffer = vec![0; BACKUP_FRAME_BYTES_MAX];
    while left > 0 {
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let frame = buffer.get_mut(..size).unwrap_or_default();
        file.read_exact(frame).map_err(io_error("read", &path))?;
        progress(size as u64);
        writer.data(frame)?;
        left -= size as u64;
    }
    Ok(())
}
