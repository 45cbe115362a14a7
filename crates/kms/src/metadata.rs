//! A key's row as KeyMetadata.

use strongroom_records::{KeyRow, KeyState};
use strongroom_types::KeySpec;
use strongroom_wire::{KeyManagerType, KeyMetadata, KeyState as WireKeyState};

use crate::specs::{self, Algorithms};

/// Presence rules: AWS KMS API reference, KeyMetadata. `Description` is an empty string when there is none.
pub(crate) fn key_metadata(key: &KeyRow) -> KeyMetadata {
    let spec = specs::wire_spec(key.spec());
    let lists = Algorithms::of(key.spec(), key.usage());
    // Asymmetric and HMAC keys have one material for life, and AWS does not name it.
    let named_material = key.current_material().filter(|_| key.spec() == KeySpec::SymmetricDefault);
    KeyMetadata {
        aws_account_id: Some(key.account().to_string()),
        key_id: key.key_id().to_string(),
        arn: Some(key.arn_text().to_owned()),
        creation_date: Some(key.created()),
        enabled: Some(key.state() == KeyState::Enabled),
        description: Some(key.description().to_owned()),
        key_usage: Some(specs::wire_usage(key.usage())),
        key_state: Some(wire_state(key.state())),
        origin: Some(specs::wire_origin(key.origin())),
        key_manager: Some(KeyManagerType::Customer),
        customer_master_key_spec: Some(spec),
        key_spec: Some(spec),
        encryption_algorithms: lists.encryption,
        signing_algorithms: lists.signing,
        mac_algorithms: lists.mac,
        key_agreement_algorithms: lists.agreement,
        encapsulation_algorithms: lists.encapsulation,
        multi_region: Some(false),
        deletion_date: key.deletion_date(),
        current_key_material_id: named_material.map(|material| material.id.to_string()),
        ..KeyMetadata::default()
    }
}

pub(crate) fn wire_state(state: KeyState) -> WireKeyState {
    match state {
        KeyState::Enabled => WireKeyState::Enabled,
        KeyState::Disabled => WireKeyState::Disabled,
        KeyState::PendingDeletion => WireKeyState::PendingDeletion,
        KeyState::PendingImport => WireKeyState::PendingImport,
        KeyState::PendingReplicaDeletion => WireKeyState::PendingReplicaDeletion,
        KeyState::Unavailable => WireKeyState::Unavailable,
        KeyState::Creating => WireKeyState::Creating,
        KeyState::Updating => WireKeyState::Updating,
    }
}
