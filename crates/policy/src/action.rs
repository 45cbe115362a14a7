//! The actions that policies speak of, and sets of them.
//!
//! The list is closed: the operations of AWS KMS (API version 2014-11-01) and the three permissions that are no
//! operation. ReEncrypt is not among them: it asks for ReEncryptFrom on one key and ReEncryptTo on the other.

use crate::glob::{Case, Pattern};

/// Whose decision an action is, and whether another account may ask for it.
///
/// Source: AWS KMS developer guide, "AWS KMS permissions", columns "Policy type" and "Cross-account use".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Asked of a key, by principals of the key's own account only.
    Key,
    /// Asked of a key and of an alias; the alias's half is the identity side's alone.
    KeyAndAlias,
    /// Asked of a key, also by principals of other accounts.
    KeyAcrossAccounts,
    /// Asked of no key: the identity side decides alone, with `*` as the resource.
    IdentityOnly,
}

macro_rules! actions {
    ($($name:ident: $reach:ident),+ $(,)?) => {
        /// An action that a policy can allow or deny.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Action {
            $($name),+
        }

        impl Action {
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The name as policies and messages write it, such as `kms:Encrypt`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => concat!("kms:", stringify!($name))),+
                }
            }

            const fn reach(self) -> Reach {
                match self {
                    $(Self::$name => Reach::$reach),+
                }
            }
        }
    };
}

actions! {
    CancelKeyDeletion: Key,
    ConnectCustomKeyStore: IdentityOnly,
    CreateAlias: KeyAndAlias,
    CreateCustomKeyStore: IdentityOnly,
    CreateGrant: KeyAcrossAccounts,
    CreateKey: IdentityOnly,
    Decapsulate: KeyAcrossAccounts,
    Decrypt: KeyAcrossAccounts,
    DeleteAlias: KeyAndAlias,
    DeleteCustomKeyStore: IdentityOnly,
    DeleteImportedKeyMaterial: Key,
    DeriveSharedSecret: KeyAcrossAccounts,
    DescribeCustomKeyStores: IdentityOnly,
    DescribeKey: KeyAcrossAccounts,
    DisableKey: Key,
    DisableKeyRotation: Key,
    DisconnectCustomKeyStore: IdentityOnly,
    EnableKey: Key,
    EnableKeyRotation: Key,
    Encapsulate: KeyAcrossAccounts,
    Encrypt: KeyAcrossAccounts,
    GenerateDataKey: KeyAcrossAccounts,
    GenerateDataKeyPair: KeyAcrossAccounts,
    GenerateDataKeyPairWithoutPlaintext: KeyAcrossAccounts,
    GenerateDataKeyWithoutPlaintext: KeyAcrossAccounts,
    GenerateMac: KeyAcrossAccounts,
    GenerateRandom: IdentityOnly,
    GetKeyLastUsage: Key,
    GetKeyPolicy: Key,
    GetKeyRotationStatus: KeyAcrossAccounts,
    GetParametersForImport: Key,
    GetPublicKey: KeyAcrossAccounts,
    ImportKeyMaterial: Key,
    ListAliases: IdentityOnly,
    ListGrants: KeyAcrossAccounts,
    ListKeyPolicies: Key,
    ListKeyRotations: Key,
    ListKeys: IdentityOnly,
    ListResourceTags: Key,
    ListRetirableGrants: IdentityOnly,
    PutKeyPolicy: Key,
    ReEncryptFrom: KeyAcrossAccounts,
    ReEncryptTo: KeyAcrossAccounts,
    ReplicateKey: Key,
    RetireGrant: KeyAcrossAccounts,
    RevokeGrant: KeyAcrossAccounts,
    RotateKeyOnDemand: Key,
    ScheduleKeyDeletion: Key,
    Sign: KeyAcrossAccounts,
    SynchronizeMultiRegionKey: Key,
    TagResource: Key,
    UntagResource: Key,
    UpdateAlias: KeyAndAlias,
    UpdateCustomKeyStore: IdentityOnly,
    UpdateKeyDescription: Key,
    UpdatePrimaryRegion: Key,
    Verify: KeyAcrossAccounts,
    VerifyMac: KeyAcrossAccounts,
}

impl Action {
    /// Whether principals of an account other than the key's can be allowed to do this.
    pub const fn is_cross_account(self) -> bool {
        matches!(self.reach(), Reach::KeyAcrossAccounts)
    }

    /// Whether the identity side decides alone: no key policy is ever asked.
    pub const fn is_identity_only(self) -> bool {
        matches!(self.reach(), Reach::IdentityOnly)
    }

    /// Whether the action is also asked of an alias, where the identity side decides alone.
    pub const fn has_alias_half(self) -> bool {
        matches!(self.reach(), Reach::KeyAndAlias)
    }
}

/// A set of actions: one bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ActionSet(u128);

const _: () = assert!(Action::ALL.len() <= 128, "an action has no bit");

impl ActionSet {
    pub const EMPTY: Self = Self(0);

    /// The actions whose names match a policy's pattern, such as `kms:Generate*`; letters match in either case. The
    /// actions of other services are legal and match nothing. `None` if the text has not the form of an action:
    /// `*`, or a service's name, a colon and an action's name, both with wildcards if they like.
    pub fn matching(pattern: &str) -> Option<Self> {
        let glob = Pattern::glob(pattern, Case::Ignored);
        if !glob.is_any() && !is_action_pattern(pattern) {
            return None;
        }
        Some(
            Action::ALL
                .iter()
                .copied()
                .filter(|action| glob.matches_literally(action.name().as_bytes()))
                .collect(),
        )
    }

    pub const fn contains(self, action: Action) -> bool {
        self.0 & Self::bit(action) != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// All other actions.
    #[must_use]
    pub fn complement(self) -> Self {
        Action::ALL.iter().copied().filter(|action| !self.contains(*action)).collect()
    }

    pub fn iter(self) -> impl Iterator<Item = Action> {
        Action::ALL.iter().copied().filter(move |action| self.contains(*action))
    }

    const fn bit(action: Action) -> u128 {
        1 << (action as u8)
    }
}

impl FromIterator<Action> for ActionSet {
    fn from_iter<I: IntoIterator<Item = Action>>(actions: I) -> Self {
        Self(actions.into_iter().fold(0, |bits, action| bits | Self::bit(action)))
    }
}

fn is_action_pattern(pattern: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'*' | b'?' | b'-' | b'_' | b'.'))
    };
    pattern.split_once(':').is_some_and(|(service, action)| is_part(service) && is_part(action))
}

#[cfg(test)]
mod tests;
