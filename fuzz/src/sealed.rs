//! What is sealed or authenticated besides blobs: rows, key material, paging markers, anchors, frames of backups.

use std::sync::OnceLock;

use strongroom_crypto::{BackupFrame, BackupKey, Cell, MarkerBinding, Scope, WrappedKey};
use strongroom_types::Timestamp;

use crate::input::Input;
use crate::world::{World, account, world};

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);
const CONTENT: &[u8] = b"a content of some length";

/// One of each, made when the process starts.
struct Samples {
    anchor: Vec<u8>,
    backup_key: BackupKey,
    frame: Vec<u8>,
    marker: Vec<u8>,
    row: Vec<u8>,
}

fn samples() -> &'static Samples {
    static SAMPLES: OnceLock<Samples> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let World { keyring, root, .. } = world();
        let (backup_key, _) = BackupKey::create(root).expect("a backup key");
        let marker = keyring.seal_marker(&binding(true), CONTENT, NOW).expect("a marker");
        Samples {
            anchor: keyring.seal_anchor(CONTENT).expect("an anchor"),
            frame: backup_key.seal(&backup_frame(true), CONTENT).expect("a frame"),
            backup_key,
            marker: marker.into_bytes(),
            row: keyring.seal_row(&cell(true), CONTENT).expect("a row"),
        }
    })
}

/// Opens bytes in the place of a sample, or in another one; `None` if they are refused.
type Open = fn(&[u8], bool) -> Option<Vec<u8>>;

/// The first byte says which sample, the second whether the rest changes it or stands in its stead, and whether it is
/// asked for in its own place.
///
/// Nothing opens but what was sealed, and that in its own place alone.
pub(crate) fn sealed(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let samples = samples();
    let (sample, open): (&[u8], Open) = match input.byte() % 5 {
        0 => (&samples.row, row),
        1 => (&samples.marker, marker),
        2 => (&samples.anchor, anchor),
        3 => (&samples.frame, frame),
        _ => (world().wrapped.as_bytes(), material),
    };
    let how = input.byte();
    let given = if how & 1 == 0 { input.edited(sample) } else { input.rest().to_vec() };
    // An anchor has no place: there is one per deployment.
    let is_in_place = how & 2 == 0 || sample == samples.anchor;
    match open(&given, is_in_place) {
        Some(content) => {
            assert!(is_in_place, "opened in another place");
            assert_eq!(given, sample, "altered, and opened");
            assert_eq!(content, CONTENT);
        }
        None => assert!(!is_in_place || given != sample, "what was sealed does not open"),
    }
}

fn cell(is_in_place: bool) -> Cell<'static> {
    Cell {
        scope: Scope::Region(&world().region),
        table: "key",
        address: "key/us-east-1/1234abcd-12ab-34cd-56ef-1234567890ab",
        column: "row",
        version: if is_in_place { 7 } else { 8 },
    }
}

fn row(given: &[u8], is_in_place: bool) -> Option<Vec<u8>> {
    world().keyring.open_row(&cell(is_in_place), given).map(|content| content.to_vec()).ok()
}

fn binding(is_in_place: bool) -> MarkerBinding<'static> {
    let parameters: &[u8] = if is_in_place { b"" } else { b"another" };
    MarkerBinding { account: account(), operation: "ListKeys", region: &world().region, parameters }
}

fn marker(given: &[u8], is_in_place: bool) -> Option<Vec<u8>> {
    let marker = std::str::from_utf8(given).ok()?;
    world().keyring.open_marker(&binding(is_in_place), marker, NOW).ok()
}

fn anchor(given: &[u8], _is_in_place: bool) -> Option<Vec<u8>> {
    world().keyring.open_anchor(given).map(<[u8]>::to_vec).ok()
}

fn backup_frame(is_in_place: bool) -> BackupFrame {
    BackupFrame { header_hash: [7; 32], number: u64::from(!is_in_place), kind: 2 }
}

fn frame(given: &[u8], is_in_place: bool) -> Option<Vec<u8>> {
    samples().backup_key.open_frame(&backup_frame(is_in_place), given).ok()
}

/// Material never leaves `crypto`; that it opens is shown by its id.
fn material(given: &[u8], is_in_place: bool) -> Option<Vec<u8>> {
    let World { keyring, region, key_id, material_id, .. } = world();
    let wrapped = WrappedKey::from_bytes(given).ok()?;
    let other = strongroom_types::KeyId::from_parts(*key_id.as_bytes(), true);
    let key_id = if is_in_place { key_id } else { &other };
    keyring.check_material(region, key_id, material_id, &wrapped, None).ok().map(|()| CONTENT.to_vec())
}
