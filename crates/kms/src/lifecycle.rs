//! Which operation a key's state lets through, and which state follows from it: two tables.
//!
//! Source: AWS KMS developer guide, "Key states of AWS KMS keys"
//! (<https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html>). Where the guide leaves the error type of a
//! key that is pending deletion open, this service answers `KMSInvalidStateException`. Both tables are held whole by
//! `tests/states`, where every operation meets a key in every state.

use strongroom_crypto::StoredKey;
use strongroom_pipeline::Fault;
use strongroom_records::{KeyRow, KeyState, Material};
use strongroom_types::MaterialId;

use crate::fault;

/// Operations that a key's state treats alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StateClass {
    /// Uses the material.
    Crypto,
    /// What is said about a key does not change any more when it is to be deleted: description, tags, new aliases.
    Edit,
    /// CreateGrant: of a disabled key nobody is given more.
    Grant,
}

/// What moves a key from one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyEvent {
    CancelDeletion,
    Disable,
    Enable,
    ScheduleDeletion,
}

/// What the table says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Allowed,
    Disabled,
    /// `KMSInvalidStateException` with the state in these words.
    Invalid(&'static str),
}

const CREATING: &str = "creating";
const PENDING_DELETION: &str = "pending deletion";
const PENDING_IMPORT: &str = "pending import";
const UPDATING: &str = "updating";

/// Whether a key in this state lets operations of this class through.
const fn verdict(class: StateClass, state: KeyState) -> Verdict {
    use KeyState::*;
    match (class, state) {
        (_, PendingDeletion | PendingReplicaDeletion) => Verdict::Invalid(PENDING_DELETION),

        (StateClass::Crypto, Enabled | Updating) => Verdict::Allowed,
        (StateClass::Crypto, Disabled) => Verdict::Disabled,
        (StateClass::Crypto, PendingImport) => Verdict::Invalid(PENDING_IMPORT),
        (StateClass::Crypto, Unavailable) => Verdict::Invalid("unavailable"),
        (StateClass::Crypto, Creating) => Verdict::Invalid(CREATING),

        (StateClass::Grant, Enabled | Unavailable | Updating) => Verdict::Allowed,
        (StateClass::Grant, Disabled) => Verdict::Disabled,
        (StateClass::Grant, PendingImport) => Verdict::Invalid(PENDING_IMPORT),
        (StateClass::Grant, Creating) => Verdict::Invalid(CREATING),

        (StateClass::Edit, Enabled | Disabled | PendingImport | Unavailable | Creating | Updating) => {
            Verdict::Allowed
        }
    }
}

/// The state that an event leads to, or in which words the present one refuses it.
const fn transition(event: KeyEvent, state: KeyState) -> Result<KeyState, &'static str> {
    use KeyState::*;
    match (event, state) {
        // Never back to Enabled: whoever wants to use the key again says so.
        (KeyEvent::CancelDeletion, PendingDeletion | PendingReplicaDeletion) => Ok(Disabled),
        (KeyEvent::CancelDeletion, _) => Err("not pending deletion"),

        (_, PendingDeletion | PendingReplicaDeletion) => Err(PENDING_DELETION),
        (_, Updating) => Err(UPDATING),

        (KeyEvent::Disable, Enabled | Disabled) => Ok(Disabled),
        (KeyEvent::Enable, Enabled | Disabled) => Ok(Enabled),
        // The key stays unavailable until its key store is connected again.
        (KeyEvent::Disable | KeyEvent::Enable, Unavailable) => Ok(Unavailable),
        (KeyEvent::Disable | KeyEvent::Enable, PendingImport) => Err(PENDING_IMPORT),
        (KeyEvent::Disable | KeyEvent::Enable, Creating) => Err(CREATING),

        (KeyEvent::ScheduleDeletion, Enabled | Disabled | PendingImport | Unavailable | Creating) => {
            Ok(PendingDeletion)
        }
    }
}

/// Refuses what the key's state does not let through.
pub(crate) fn check(key: &KeyRow, class: StateClass) -> Result<(), Fault> {
    match verdict(class, key.state()) {
        Verdict::Allowed => Ok(()),
        Verdict::Disabled => Err(fault::disabled(key.arn())),
        Verdict::Invalid(words) => Err(fault::invalid_state(key.arn(), words)),
    }
}

/// The state of the key after the event, or the refusal.
pub(crate) fn after(key: &KeyRow, event: KeyEvent) -> Result<KeyState, Fault> {
    transition(event, key.state()).map_err(|words| fault::invalid_state(key.arn(), words))
}

/// A key that may be used now: its state was checked and it has a material. Holding one is the proof.
pub(crate) struct ReadyKey<'a> {
    key: &'a KeyRow,
    current: &'a Material,
}

impl<'a> ReadyKey<'a> {
    pub(crate) fn check(key: &'a KeyRow) -> Result<Self, Fault> {
        check(key, StateClass::Crypto)?;
        let current =
            key.current_material().ok_or_else(|| fault::invalid_state(key.arn(), "pending import"))?;
        Ok(Self { key, current })
    }

    pub(crate) fn key(&self) -> &'a KeyRow {
        self.key
    }

    /// The material that encrypts.
    pub(crate) fn current(&self) -> &'a Material {
        self.current
    }

    /// The key as `crypto` uses it.
    pub(crate) fn stored(&self) -> StoredKey<'a> {
        StoredKey {
            key_id: &self.key.arn().key_id,
            region: self.key.region(),
            spec: self.key.spec(),
            usage: self.key.usage(),
            wrapped: &self.current.wrapped,
        }
    }

    /// All materials that may have encrypted something.
    pub(crate) fn candidates(
        &self,
    ) -> impl Iterator<Item = (&'a MaterialId, &'a strongroom_crypto::WrappedKey)> + Clone + use<'a> {
        self.key.materials().iter().map(|material| (&material.id, &material.wrapped))
    }
}
