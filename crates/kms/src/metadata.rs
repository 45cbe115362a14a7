//! A key's row as KeyMetadata.

use strongroom_records::{KeyOrigin, KeyRow, KeySpec, KeyState, KeyUsage};
use strongroom_wire::{
    EncryptionAlgorithmSpec, KeyManagerType, KeyMetadata, KeySpec as WireKeySpec, KeyState as WireKeyState,
    KeyUsageType, OriginType,
};

/// Presence rules: AWS KMS API reference, KeyMetadata. `Description` is an empty string when there is none.
pub(crate) fn key_metadata(key: &KeyRow) -> KeyMetadata {
    let spec = match key.spec() {
        KeySpec::SymmetricDefault => WireKeySpec::SymmetricDefault,
    };
    let (usage, encryption_algorithms) = match key.usage() {
        KeyUsage::EncryptDecrypt => {
            (KeyUsageType::EncryptDecrypt, vec![EncryptionAlgorithmSpec::SymmetricDefault])
        }
    };
    let origin = match key.origin() {
        KeyOrigin::AwsKms => OriginType::AwsKms,
    };
    KeyMetadata {
        aws_account_id: Some(key.account().to_string()),
        key_id: key.key_id().to_string(),
        arn: Some(key.arn_text().to_owned()),
        creation_date: Some(key.created()),
        enabled: Some(key.state() == KeyState::Enabled),
        description: Some(key.description().to_owned()),
        key_usage: Some(usage),
        key_state: Some(wire_state(key.state())),
        origin: Some(origin),
        key_manager: Some(KeyManagerType::Customer),
        customer_master_key_spec: Some(spec),
        key_spec: Some(spec),
        encryption_algorithms: Some(encryption_algorithms),
        multi_region: Some(false),
        deletion_date: key.deletion_date(),
        current_key_material_id: key.current_material().map(|material| material.id.to_string()),
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
