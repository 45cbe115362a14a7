//! Which operation a key's state lets through, as one table.
//!
//! Source: AWS KMS developer guide, "Key states of AWS KMS keys"
//! (<https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html>). Where the guide leaves the error type of a
//! key that is pending deletion open, this service answers `KMSInvalidStateException`.

use strongroom_pipeline::Fault;
use strongroom_records::{KeyRow, KeyState, Material};
use strongroom_types::MaterialId;

use crate::fault;

/// Operations that a key's state treats alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StateClass {
    /// A new alias may not point to a key that is to be deleted.
    Alias,
    /// Uses the material.
    Crypto,
    /// EnableKey and DisableKey.
    Switch,
}

/// What the table says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Allowed,
    Disabled,
    /// `KMSInvalidStateException` with the state in these words.
    Invalid(&'static str),
}

const PENDING_DELETION: Verdict = Verdict::Invalid("pending deletion");
const PENDING_IMPORT: Verdict = Verdict::Invalid("pending import");
const CREATING: Verdict = Verdict::Invalid("creating");

const fn verdict(class: StateClass, state: KeyState) -> Verdict {
    use KeyState::*;
    match (class, state) {
        (_, PendingDeletion | PendingReplicaDeletion) => PENDING_DELETION,

        (StateClass::Crypto, Enabled | Updating) => Verdict::Allowed,
        (StateClass::Crypto, Disabled) => Verdict::Disabled,
        (StateClass::Crypto, PendingImport) => PENDING_IMPORT,
        (StateClass::Crypto, Unavailable) => Verdict::Invalid("unavailable"),
        (StateClass::Crypto, Creating) => CREATING,

        (StateClass::Switch, Enabled | Disabled | Unavailable) => Verdict::Allowed,
        (StateClass::Switch, PendingImport) => PENDING_IMPORT,
        (StateClass::Switch, Creating) => CREATING,
        (StateClass::Switch, Updating) => Verdict::Invalid("updating"),

        (StateClass::Alias, Enabled | Disabled | PendingImport | Unavailable | Creating | Updating) => {
            Verdict::Allowed
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

    /// All materials that may have encrypted something.
    pub(crate) fn candidates(
        &self,
    ) -> impl Iterator<Item = (&'a MaterialId, &'a strongroom_crypto::WrappedKey)> + Clone + use<'a> {
        self.key.materials().iter().map(|material| (&material.id, &material.wrapped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole table, to be read beside AWS's.
    #[test]
    fn the_table_is_as_published() {
        let mut text = String::from("state                    Alias             Crypto            Switch\n");
        for state in KeyState::ALL {
            text.push_str(&format!("{:<24}", state.as_str()));
            for class in [StateClass::Alias, StateClass::Crypto, StateClass::Switch] {
                let cell = match verdict(class, *state) {
                    Verdict::Allowed => "ok",
                    Verdict::Disabled => "Disabled",
                    Verdict::Invalid(words) => words,
                };
                text.push_str(&format!(" {cell:<17}"));
            }
            let end = text.trim_end().len();
            text.truncate(end);
            text.push('\n');
        }
        let golden = "\
state                    Alias             Crypto            Switch
Enabled                  ok                ok                ok
Disabled                 ok                Disabled          ok
PendingDeletion          pending deletion  pending deletion  pending deletion
PendingImport            ok                pending import    pending import
PendingReplicaDeletion   pending deletion  pending deletion  pending deletion
Unavailable              ok                unavailable       ok
Creating                 ok                creating          creating
Updating                 ok                ok                updating
";
        assert_eq!(text, golden);
    }
}
