//! Table `key`: `key/<region>/<key id>`. A KMS key, whole.
//!
//! A key is one row: metadata, state, policy, tags, aliases and wrapped materials change in one write. Its compiled
//! policy is made when the row is decoded, so that a decision never parses; its unwrapped material stays with the
//! cached row and is wiped with it.
//!
//! INVARIANT: `materials` is not empty, except for an imported key that has none yet; the current material is the
//! last. `aliases` are sorted and at most [`limits::ALIASES_PER_KEY_MAX`](strongroom_types::limits). `tags` are sorted
//! by their keys, none twice, and at most `limits::TAGS_PER_KEY_MAX`. A key has a deletion date only while it is pending
//! deletion. The usage is one that the spec has. An asymmetric key with a material has its public key beside it, so that
//! what needs no secret unwraps none; other keys have none.

use std::fmt;
use std::sync::Arc;

use minicbor::{Decode, Encode};
use strongroom_crypto::{Keyring, PublicKey, WrappedKey};
use strongroom_policy::KeyPolicy;
use strongroom_types::{
    AccountId, AliasName, KeyArn, KeyId, KeySpec, KeyUsage, MaterialId, RegionName, Tag, TagKey, Timestamp,
    UniqueId,
};
use zeroize::Zeroizing;

use crate::address::{Address, RowScope, Table};
use crate::codec;
use crate::tables::Row;
use crate::writes::Kept;

#[derive(Debug, Clone, Encode, Decode)]
#[cbor(map)]
struct KeyFields {
    #[cbor(n(0), with = "codec::key_id")]
    key_id: KeyId,
    #[cbor(n(1), with = "codec::account_id")]
    account: AccountId,
    #[cbor(n(2), with = "codec::timestamp")]
    created: Timestamp,
    #[cbor(n(3), with = "codec::key_spec")]
    spec: KeySpec,
    #[cbor(n(4), with = "codec::key_usage")]
    usage: KeyUsage,
    #[n(5)]
    origin: KeyOrigin,
    #[n(6)]
    state: KeyState,
    #[n(7)]
    description: String,
    #[n(8)]
    policy: String,
    #[cbor(n(9), with = "codec::alias_names")]
    aliases: Vec<AliasName>,
    #[n(10)]
    materials: Vec<Material>,
    #[cbor(n(11), with = "codec::optional_timestamp", has_nil)]
    deletion_date: Option<Timestamp>,
    #[cbor(n(12), with = "codec::tags", has_nil)]
    tags: Vec<Tag>,
    #[n(13)]
    public_key: Option<PublicKey>,
    /// How many grants there are on it; none, and the field is not written.
    #[cbor(n(20), with = "codec::count", has_nil)]
    grants: u32,
    #[cbor(n(21), with = "codec::bindings", has_nil)]
    bindings: Vec<PolicyBinding>,
}

/// A user or a role that the policy names, and the one that had that name when the policy was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyBinding {
    /// [`PolicyIdentity::binding_name`](strongroom_policy::PolicyIdentity::binding_name).
    pub name: String,
    pub unique_id: UniqueId,
}

/// A key as it stands in its row, with its policy compiled.
#[derive(Debug, Clone)]
pub struct KeyRow {
    arn: KeyArn,
    arn_text: Arc<str>,
    fields: KeyFields,
    policy: Arc<KeyPolicy>,
}

/// One material of a key.
#[derive(Debug, Clone, Encode, Decode)]
#[cbor(map)]
pub struct Material {
    #[cbor(n(0), with = "codec::material_id")]
    pub id: MaterialId,
    #[n(1)]
    pub wrapped: WrappedKey,
    #[cbor(n(2), with = "codec::timestamp")]
    pub created: Timestamp,
}

macro_rules! named_codes {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $code:literal $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
        #[cbor(index_only)]
        pub enum $name { $(#[n($code)] $variant),+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// AWS's name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

named_codes! {
    /// Where its material comes from.
    KeyOrigin { AwsKms = 0 "AWS_KMS" }
}

named_codes! {
    /// The state of a key (AWS KMS developer guide, "Key states of AWS KMS keys"). The codes are part of the format.
    KeyState {
        Enabled = 0 "Enabled",
        Disabled = 1 "Disabled",
        PendingDeletion = 2 "PendingDeletion",
        PendingImport = 3 "PendingImport",
        PendingReplicaDeletion = 4 "PendingReplicaDeletion",
        Unavailable = 5 "Unavailable",
        Creating = 6 "Creating",
        Updating = 7 "Updating",
    }
}

/// What a new key begins with.
pub struct NewKey {
    pub region: RegionName,
    pub account: AccountId,
    pub key_id: KeyId,
    pub created: Timestamp,
    pub description: String,
    pub policy_text: String,
    pub policy: KeyPolicy,
    pub spec: KeySpec,
    pub usage: KeyUsage,
    pub material: Material,
    /// Of asymmetric keys.
    pub public_key: Option<PublicKey>,
}

impl KeyRow {
    pub fn address(region: &RegionName, key_id: &KeyId) -> Address {
        Address::new(Table::Key, RowScope::Region(region.clone()), format_args!("{key_id}"))
    }

    /// What all keys of a region begin with.
    pub fn prefix(region: &RegionName) -> String {
        format!("{}/{region}/", Table::Key.name())
    }

    /// A new key, enabled.
    pub fn new(new: NewKey) -> Self {
        let NewKey { region, account, key_id, created, description, policy_text, policy, .. } = new;
        let NewKey { spec, usage, material, public_key, .. } = new;
        Self::assemble(
            region,
            policy,
            KeyFields {
                key_id,
                account,
                created,
                spec,
                usage,
                origin: KeyOrigin::AwsKms,
                state: KeyState::Enabled,
                description,
                policy: policy_text,
                aliases: Vec::new(),
                materials: vec![material],
                deletion_date: None,
                tags: Vec::new(),
                public_key,
                grants: 0,
                bindings: Vec::new(),
            },
        )
    }

    fn assemble(region: RegionName, mut policy: KeyPolicy, fields: KeyFields) -> Self {
        bind(&mut policy, &fields.bindings);
        let arn = KeyArn { region, account: fields.account, key_id: fields.key_id };
        let arn_text = arn.to_string().into();
        Self { arn, arn_text, fields, policy: Arc::new(policy) }
    }

    pub fn region(&self) -> &RegionName {
        &self.arn.region
    }

    pub fn key_id(&self) -> KeyId {
        self.fields.key_id
    }

    pub fn account(&self) -> AccountId {
        self.fields.account
    }

    pub fn arn(&self) -> &KeyArn {
        &self.arn
    }

    /// The ARN as text. Every answer about a key says it, so it is made once.
    pub fn arn_text(&self) -> &str {
        &self.arn_text
    }

    pub fn created(&self) -> Timestamp {
        self.fields.created
    }

    pub fn spec(&self) -> KeySpec {
        self.fields.spec
    }

    pub fn usage(&self) -> KeyUsage {
        self.fields.usage
    }

    pub fn origin(&self) -> KeyOrigin {
        self.fields.origin
    }

    pub fn state(&self) -> KeyState {
        self.fields.state
    }

    pub fn description(&self) -> &str {
        &self.fields.description
    }

    pub fn policy(&self) -> &KeyPolicy {
        &self.policy
    }

    /// The policy's text, byte for byte as it was given.
    pub fn policy_text(&self) -> &str {
        &self.fields.policy
    }

    pub fn aliases(&self) -> &[AliasName] {
        &self.fields.aliases
    }

    pub fn materials(&self) -> &[Material] {
        &self.fields.materials
    }

    /// The material that encrypts.
    pub fn current_material(&self) -> Option<&Material> {
        self.fields.materials.last()
    }

    /// The public half of an asymmetric key.
    pub fn public_key(&self) -> Option<&PublicKey> {
        self.fields.public_key.as_ref()
    }

    /// When a key that is pending deletion may be destroyed.
    pub fn deletion_date(&self) -> Option<Timestamp> {
        self.fields.deletion_date
    }

    /// The tags, in the order of their keys.
    pub fn tags(&self) -> &[Tag] {
        &self.fields.tags
    }

    /// How many grants there are on it.
    pub fn grants(&self) -> u32 {
        self.fields.grants
    }

    /// Whether every material is wrapped by this version of the region's domain key.
    pub fn is_wrapped_under(&self, domain_key_version: u32) -> bool {
        let mut materials = self.fields.materials.iter();
        materials.all(|material| material.wrapped.domain_key_version() == Some(domain_key_version))
    }

    /// Wraps every material anew that an older domain key wraps; tells whether there was one. A material that does not
    /// open stays as it is: that it cannot be used must not keep its key from being disabled.
    pub(crate) fn rewrap(&mut self, keyring: &Keyring) -> bool {
        let mut is_changed = false;
        for material in &mut self.fields.materials {
            match keyring.rewrap(&self.arn.region, &self.fields.key_id, &material.wrapped) {
                Ok(Some(wrapped)) => {
                    material.wrapped = wrapped;
                    is_changed = true;
                }
                Ok(None) => {}
                Err(error) => tracing::error!(
                    key = %self.arn_text,
                    material = %material.id,
                    error = &error as &dyn std::error::Error,
                    "a material cannot be moved under the newest domain key"
                ),
            }
        }
        is_changed
    }

    /// Puts the key into a state. A deletion date that it had is forgotten.
    pub fn set_state(&mut self, state: KeyState) {
        self.fields.state = state;
        self.fields.deletion_date = None;
    }

    /// Makes the key pending deletion until this instant.
    pub fn schedule_deletion(&mut self, date: Timestamp) {
        self.fields.state = KeyState::PendingDeletion;
        self.fields.deletion_date = Some(date);
    }

    pub fn set_description(&mut self, description: String) {
        self.fields.description = description;
    }

    /// The users and roles that the policy names mean nobody until they are [bound](Self::bind_policy).
    pub fn set_policy(&mut self, text: String, policy: KeyPolicy) {
        self.fields.policy = text;
        self.policy = Arc::new(policy);
        self.bind_policy(Vec::new());
    }

    /// Says which users and roles the policy means.
    pub fn bind_policy(&mut self, bindings: Vec<PolicyBinding>) {
        bind(Arc::make_mut(&mut self.policy), &bindings);
        self.fields.bindings = bindings;
    }

    /// The users and roles that the policy means.
    pub fn policy_bindings(&self) -> &[PolicyBinding] {
        &self.fields.bindings
    }

    /// Counts one grant more.
    pub fn count_grant(&mut self) {
        self.fields.grants = self.fields.grants.saturating_add(1);
    }

    /// Counts one grant less.
    pub fn discount_grant(&mut self) {
        self.fields.grants = self.fields.grants.saturating_sub(1);
    }

    /// Adds an alias in its place; nothing happens if the key has it already.
    pub fn add_alias(&mut self, name: AliasName) {
        if let Err(place) = self.fields.aliases.binary_search(&name) {
            self.fields.aliases.insert(place, name);
        }
    }

    pub fn remove_alias(&mut self, name: &AliasName) {
        self.fields.aliases.retain(|have| have != name);
    }

    /// Adds a tag in its place; one with the same key is replaced.
    pub fn set_tag(&mut self, tag: Tag) {
        match self.fields.tags.binary_search_by(|have| have.key.cmp(&tag.key)) {
            Ok(place) => {
                if let Some(have) = self.fields.tags.get_mut(place) {
                    *have = tag;
                }
            }
            Err(place) => self.fields.tags.insert(place, tag),
        }
    }

    pub fn remove_tag(&mut self, key: &TagKey) {
        self.fields.tags.retain(|have| have.key != *key);
    }
}

/// A name that is not among the bindings means nobody.
fn bind(policy: &mut KeyPolicy, bindings: &[PolicyBinding]) {
    policy.bind(|identity| {
        let name = identity.binding_name();
        let bound = bindings.iter().find(|binding| binding.name == name)?;
        Some(bound.unique_id.as_str().into())
    });
}

impl Row for KeyRow {
    const TABLE: Table = Table::Key;

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(codec::to_bytes(&self.fields))
    }

    fn decode(address: &Address, bytes: &[u8]) -> Result<Self, minicbor::decode::Error> {
        use minicbor::decode::Error;
        let fields: KeyFields = codec::from_bytes(bytes)?;
        let RowScope::Region(region) = address.scope() else {
            return Err(Error::message("a key belongs to a region"));
        };
        if *address != Self::address(region, &fields.key_id) {
            return Err(Error::message("the row is not of its address"));
        }
        if fields.deletion_date.is_some() && fields.state != KeyState::PendingDeletion {
            return Err(Error::message("a deletion date on a key that is not pending deletion"));
        }
        if !fields.spec.usages().contains(&fields.usage) {
            return Err(Error::message("a usage that the key spec does not have"));
        }
        if fields.public_key.is_some() && !fields.spec.is_asymmetric() {
            return Err(Error::message("a public key of a key that has none"));
        }
        let policy =
            KeyPolicy::parse(&fields.policy).map_err(|_| Error::message("the policy does not compile"))?;
        Ok(Self::assemble(region.clone(), policy, fields))
    }

    fn into_kept(self) -> Kept {
        Kept::Key(Box::new(self))
    }
}
