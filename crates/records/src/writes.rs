//! Rows that were read, and what is to be written in their place.

use std::fmt;
use std::ops::Deref;

use strongroom_crypto::{KeyringEntry, KeyringName};
use zeroize::Zeroizing;

use crate::address::{Address, RowScope};
use crate::renewal::Unreferenced;
use crate::tables::Row;
use crate::tables::access_key::AccessKeyRow;
use crate::tables::alias::AliasRow;
use crate::tables::grant::GrantRow;
use crate::tables::identity::IdentityRow;
use crate::tables::key::KeyRow;
use crate::tables::outbox::OutboxRow;

/// A row as it was read: opened under its address and version, decoded.
#[derive(Debug)]
pub struct Loaded<R> {
    address: Address,
    mark: Mark,
    row: R,
}

/// What tells one writing of a row from another: its version and the tag of its sealed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) version: u64,
    pub(crate) tag: [u8; 16],
}

impl<R> Loaded<R> {
    pub(crate) fn new(address: Address, mark: Mark, row: R) -> Self {
        Self { address, mark, row }
    }

    pub fn address(&self) -> &Address {
        &self.address
    }

    pub fn version(&self) -> u64 {
        self.mark.version
    }

    /// What it takes to delete this row later, without the row.
    pub fn stub(&self) -> RecordStub {
        RecordStub { address: self.address.clone(), mark: self.mark }
    }

    /// This row as something a decision has seen.
    pub fn seen(&self) -> Seen {
        Seen { address: self.address.clone(), version: Some(self.mark.version) }
    }
}

impl<R> Deref for Loaded<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.row
    }
}

/// A row's address, version and tag.
#[derive(Debug, Clone)]
pub struct RecordStub {
    address: Address,
    mark: Mark,
}

impl RecordStub {
    pub fn address(&self) -> &Address {
        &self.address
    }
}

/// A row, or the absence of one, that a decision has seen. A commit is refused when it no longer holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub(crate) address: Address,
    pub(crate) version: Option<u64>,
}

impl Seen {
    pub fn absent(address: Address) -> Self {
        Self { address, version: None }
    }

    pub fn address(&self) -> &Address {
        &self.address
    }
}

/// What an operation wants written, each row against the one it read. Nothing happens until it is committed.
#[derive(Debug, Default)]
pub struct Writes {
    pub(crate) writes: Vec<Write>,
}

pub(crate) enum Write {
    Delete {
        address: Address,
        replaces: Mark,
    },
    /// A root-wrapped key, which is not a sealed row.
    DeleteWrapped {
        name: KeyringName,
    },
    Put {
        address: Address,
        replaces: Option<Mark>,
        plain: Zeroizing<Vec<u8>>,
        kept: Kept,
    },
    PutWrapped {
        entry: KeyringEntry,
    },
    /// Nothing but the next version of the shard's state row.
    Touch {
        scope: RowScope,
    },
}

/// The written row, for those who keep it in memory: the caches and the drainer of the outbox.
pub enum Kept {
    AccessKey(AccessKeyRow),
    Alias(AliasRow),
    Grant(Box<GrantRow>),
    Identity(Box<IdentityRow>),
    Key(Box<KeyRow>),
    Nowhere,
    Outbox(OutboxRow),
    /// Whoever kept the row drops it: it was written without having been read.
    Unread,
}

impl Writes {
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// The rows that are written or deleted.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.writes.iter().filter_map(|write| match write {
            Write::Delete { address, .. } | Write::Put { address, .. } => Some(address),
            Write::DeleteWrapped { .. } | Write::PutWrapped { .. } | Write::Touch { .. } => None,
        })
    }

    /// Writes a row that must not exist yet.
    pub fn create<R: Row>(&mut self, address: Address, row: R) {
        self.put(address, None, row);
    }

    /// Replaces the row that was read.
    pub fn update<R: Row>(&mut self, loaded: &Loaded<R>, row: R) {
        self.put(loaded.address.clone(), Some(loaded.mark), row);
    }

    /// Deletes the row that was read.
    pub fn delete<R: Row>(&mut self, loaded: &Loaded<R>) {
        self.writes.push(Write::Delete { address: loaded.address.clone(), replaces: loaded.mark });
    }

    /// Deletes a row of which only the stub was kept.
    pub fn delete_stub(&mut self, stub: &RecordStub) {
        self.writes.push(Write::Delete { address: stub.address.clone(), replaces: stub.mark });
    }

    /// Stores the next version of a domain key. It is used once the store has it (see `Records::take_up_domain_keys`).
    pub fn create_domain_key(&mut self, entry: KeyringEntry) {
        self.writes.push(Write::PutWrapped { entry });
    }

    /// Destroys the domain keys that nothing refers to any more.
    pub fn destroy_domain_keys(&mut self, unreferenced: &Unreferenced) {
        self.writes.extend(unreferenced.names().map(|name| Write::DeleteWrapped { name }));
    }

    /// Writes the same value once more, which seals it under the newest domain key.
    pub(crate) fn seal_again(&mut self, address: Address, replaces: Mark, plain: Zeroizing<Vec<u8>>) {
        self.writes.push(Write::Put { address, replaces: Some(replaces), plain, kept: Kept::Unread });
    }

    pub(crate) fn touch(&mut self, scope: RowScope) {
        self.writes.push(Write::Touch { scope });
    }

    /// Whether one of these is against the very row, or absence, that was seen, so that it need not be asked for twice.
    pub(crate) fn replace(&self, seen: &Seen) -> bool {
        self.writes.iter().any(|write| match write {
            Write::Delete { address, replaces } => {
                *address == seen.address && Some(replaces.version) == seen.version
            }
            Write::Put { address, replaces, .. } => {
                *address == seen.address && replaces.map(|mark| mark.version) == seen.version
            }
            Write::DeleteWrapped { .. } | Write::PutWrapped { .. } | Write::Touch { .. } => false,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.writes.len()
    }

    fn put<R: Row>(&mut self, address: Address, replaces: Option<Mark>, row: R) {
        let plain = row.encode();
        self.writes.push(Write::Put { address, replaces, plain, kept: row.into_kept() });
    }
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delete { address, .. } => write!(f, "Delete({address})"),
            Self::DeleteWrapped { name } => write!(f, "Delete({name})"),
            Self::Put { address, .. } => write!(f, "Put({address})"),
            Self::PutWrapped { entry } => write!(f, "Put({})", entry.name),
            Self::Touch { scope } => write!(f, "Touch({})", scope.as_str()),
        }
    }
}
