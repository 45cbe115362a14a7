//! Table `identity`: `identity/global/<unique id>`. A user or a role of an account, with everything that is its own.
//!
//! One row: name, path, tags, policies and boundary change in one write. The policies are compiled when the row is
//! decoded, so that a decision never parses.
//!
//! INVARIANT: every identity has its row in the table `identity-name`, and the other way round; both are written and
//! deleted in one batch, and `check` compares them both ways.

use std::sync::Arc;

use minicbor::{Decode, Encode};
use strongroom_policy::{Identity, IdentityPolicies, IdentityPolicy, PolicyError};
use strongroom_types::{AccountId, Tag, Timestamp, UniqueId};
use zeroize::Zeroizing;

use crate::address::{Address, RowScope, Table};
use crate::codec;
use crate::tables::Row;
use crate::writes::Kept;

#[derive(Debug, Clone, Encode, Decode)]
#[cbor(map)]
struct IdentityFields {
    #[cbor(n(0), with = "codec::unique_id")]
    unique_id: UniqueId,
    #[cbor(n(1), with = "codec::account_id")]
    account: AccountId,
    #[n(2)]
    path_and_name: String,
    #[cbor(n(3), with = "codec::timestamp")]
    created: Timestamp,
    #[cbor(n(4), with = "codec::tags", has_nil)]
    tags: Vec<Tag>,
    #[n(5)]
    policies: Vec<NamedPolicy>,
    #[n(6)]
    boundary: Option<String>,
}

/// A policy of an identity, as it was given.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct NamedPolicy {
    #[n(0)]
    pub name: String,
    #[n(1)]
    pub text: String,
}

/// An identity as it stands in its row, with its policies compiled.
#[derive(Debug, Clone)]
pub struct IdentityRow {
    fields: IdentityFields,
    policies: Arc<IdentityPolicies>,
}

/// What an identity is made of.
pub struct NewIdentity {
    pub unique_id: UniqueId,
    pub account: AccountId,
    /// The path without its leading slash, then the name.
    pub path_and_name: String,
    pub created: Timestamp,
    /// Sorted by their keys, none twice.
    pub tags: Vec<Tag>,
    pub policies: Vec<NamedPolicy>,
    pub boundary: Option<String>,
}

impl IdentityRow {
    pub fn new(new: NewIdentity) -> Result<Self, PolicyError> {
        let NewIdentity { unique_id, account, path_and_name, created, tags, policies, boundary } = new;
        Self::assemble(IdentityFields {
            unique_id,
            account,
            path_and_name,
            created,
            tags,
            policies,
            boundary,
        })
    }

    fn assemble(fields: IdentityFields) -> Result<Self, PolicyError> {
        let identity = fields.policies.iter().map(|policy| IdentityPolicy::parse(&policy.text));
        let policies = IdentityPolicies {
            identity: identity.collect::<Result<_, _>>()?,
            boundary: fields.boundary.as_deref().map(IdentityPolicy::parse).transpose()?,
            session: None,
        };
        Ok(Self { fields, policies: Arc::new(policies) })
    }

    pub fn address(unique_id: &UniqueId) -> Address {
        Address::new(Table::Identity, RowScope::Global, format_args!("{unique_id}"))
    }

    /// What all identities begin with.
    pub fn prefix() -> String {
        Address::prefix(Table::Identity, &RowScope::Global)
    }

    pub fn unique_id(&self) -> UniqueId {
        self.fields.unique_id
    }

    pub fn account(&self) -> AccountId {
        self.fields.account
    }

    /// The path without its leading slash, then the name.
    pub fn path_and_name(&self) -> &str {
        &self.fields.path_and_name
    }

    pub fn name(&self) -> &str {
        self.path_and_name().rsplit('/').next().unwrap_or_default()
    }

    pub fn created(&self) -> Timestamp {
        self.fields.created
    }

    pub fn tags(&self) -> &[Tag] {
        &self.fields.tags
    }

    /// The compiled policies, shared with whoever acts as this identity.
    pub fn policies(&self) -> &Arc<IdentityPolicies> {
        &self.policies
    }

    /// The policies as they were given.
    pub fn policy_texts(&self) -> &[NamedPolicy] {
        &self.fields.policies
    }

    pub fn boundary_text(&self) -> Option<&str> {
        self.fields.boundary.as_deref()
    }

    /// The identity as policies name it.
    pub fn to_identity(&self) -> Identity {
        Identity {
            account: self.account(),
            path_and_name: self.path_and_name().into(),
            unique_id: self.unique_id().as_str().into(),
        }
    }
}

impl Row for IdentityRow {
    const TABLE: Table = Table::Identity;

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(codec::to_bytes(&self.fields))
    }

    fn decode(address: &Address, bytes: &[u8]) -> Result<Self, minicbor::decode::Error> {
        use minicbor::decode::Error;
        let fields: IdentityFields = codec::from_bytes(bytes)?;
        if *address != Self::address(&fields.unique_id) {
            return Err(Error::message("the row is not of its address"));
        }
        Self::assemble(fields).map_err(|_| Error::message("a policy does not compile"))
    }

    fn into_kept(self) -> Kept {
        Kept::Identity(Box::new(self))
    }
}
