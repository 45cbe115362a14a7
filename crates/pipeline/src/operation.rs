//! What an operation must say of itself.

use std::sync::Arc;

use strongroom_audit::Value;
use strongroom_crypto::Keyring;
use strongroom_policy::{Action, GrantFacts, KeyNamed};
use strongroom_records::{GrantRow, KeyRow, Loaded, TrackedOperation, Writes};
use strongroom_types::{AliasArn, Env};
use strongroom_wire::{FromBody, RecipientInfo, WireReply};

use crate::facts::RequestFacts;
use crate::fault::Fault;
use crate::parts::Offers;
use crate::permit::Permit;
use crate::reader::Reader;

/// One operation. There is no default for anything that is about authorization: an operation that does not say what
/// must be allowed does not compile.
pub trait Operation: Sized + Send + Sync + 'static {
    type Request: FromBody + Send + Sync + 'static;
    /// The rows that the decision sees and the permit hands to [`run`](Self::run).
    type Rows: Send + Sync + 'static;
    type Reply: WireReply + Send + 'static;

    const KIND: Kind;

    /// What it counts as when a key's last use is told, if it uses the keys of its checks. A test holds every built operation
    /// to AWS's list.
    const TRACKED: Option<TrackedOperation> = None;

    /// Where this request is to run.
    fn weight(_request: &Self::Request) -> Weight {
        Weight::Light
    }

    /// Finds the rows that the request is about and names what the caller must be allowed to do with them.
    fn targets(request: &Self::Request, reader: &mut Reader<'_>) -> Result<Targets<Self::Rows>, Fault>;

    /// What conditions in policies may ask of this request, on behalf of one of the actions that [`targets`](Self::targets)
    /// names. Called only when a condition asks. A fact that is left out is absent, and conditions on it are decided so.
    fn facts(request: &Self::Request, action: Action) -> RequestFacts<'_>;

    /// Does it. Pure but for key generation: what is to be written goes out as [`Writes`].
    fn run(permit: &Permit<Self>, world: &World<'_>) -> Result<Done<Self::Reply>, Fault>;

    /// The request's grant tokens. Whoever may do what it asks for is refused if one of them is not valid. An operation that
    /// has them and does not say so takes any: a test holds every built operation to it.
    fn grant_tokens(_request: &Self::Request) -> &[String] {
        &[]
    }

    /// Whom the answer is to be enveloped for. The document is verified before anything is decided; then conditions can ask
    /// what it says, and the permit has the key. An operation whose request has a recipient and that does not say so would
    /// answer in clear: a test holds every built operation to it.
    fn recipient(_request: &Self::Request) -> Option<&RecipientInfo> {
        None
    }

    /// What the request says of itself that a grant may depend on, where it asks for this action. Asked only when no policy
    /// has decided. A fact that is not told fulfils no constraint.
    fn grant_facts<'a>(
        _request: &'a Self::Request,
        _rows: &'a Self::Rows,
        _action: Action,
    ) -> GrantFacts<'a> {
        GrantFacts::default()
    }

    /// The request as the audit trail tells it: names as CloudTrail has them; no plaintext, no ciphertext, no token.
    fn parameters(request: &Self::Request) -> Vec<(&'static str, Value<'_>)>;
}

/// A key's row as a decision sees it, shared with the cache.
pub type Key = Arc<Loaded<KeyRow>>;

/// A grant's row as a decision sees it.
pub type Grant = Arc<Loaded<GrantRow>>;

/// Whether an operation can change anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It may return [`Writes`].
    Change,
    /// It never does; its record says `readOnly`.
    Read,
}

/// Where an operation runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// On the event loop: well under 100 µs, at most a point read of the store.
    Light,
    /// Beside the event loops: it scans the store or computes for long.
    Heavy,
}

/// What an operation is about and what must be allowed.
pub struct Targets<Rows> {
    pub rows: Rows,
    pub checks: Checks,
}

/// One thing that must be allowed.
pub enum Check {
    /// An action that is about no key: the identity side decides alone.
    Account { action: Action },
    /// The alias's half of an action on an alias: the identity side decides alone.
    Alias { action: Action, arn: AliasArn },
    /// Nothing but to be a caller: for what AWS grants to everybody who can sign, whatever policies say.
    AnyCaller,
    /// The action on the key, by its key policy and the caller's identity.
    Key { action: Action, key: Key, named: KeyNamed },
    /// The action on a key that is about to be made: the identity side decides alone.
    NewKey { action: Action },
    /// RetireGrant on a grant, which itself says by whom; the policies only forbid.
    Retire { key: Key, grant: Grant },
}

impl Check {
    /// The action on a key that the request named.
    pub fn key(action: Action, key: &Key) -> Self {
        Self::Key { action, key: Arc::clone(key), named: KeyNamed::ByRequest }
    }
}

impl Check {
    /// The action that must be allowed; none, where it is enough to be a caller.
    pub(crate) fn action(&self) -> Option<Action> {
        match self {
            Self::Account { action }
            | Self::Alias { action, .. }
            | Self::Key { action, .. }
            | Self::NewKey { action } => Some(*action),
            Self::AnyCaller => None,
            Self::Retire { .. } => Some(Action::RetireGrant),
        }
    }

    /// The key that it is about.
    pub(crate) fn about(&self) -> Option<&Key> {
        match self {
            Self::Key { key, .. } | Self::Retire { key, .. } => Some(key),
            Self::Account { .. } | Self::Alias { .. } | Self::AnyCaller | Self::NewKey { .. } => None,
        }
    }
}

/// One to three checks, decided in order; all must be allowed.
pub struct Checks([Option<Check>; 3]);

impl Checks {
    pub fn one(check: Check) -> Self {
        Self([Some(check), None, None])
    }

    pub fn two(first: Check, second: Check) -> Self {
        Self([Some(first), Some(second), None])
    }

    pub fn three(first: Check, second: Check, third: Check) -> Self {
        Self([Some(first), Some(second), Some(third)])
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Check> {
        self.0.iter().flatten()
    }

    /// Whether source and destination of a ReEncrypt are one key; nothing if it is none.
    pub(crate) fn re_encrypts_on_same_key(&self) -> Option<bool> {
        let key_of = |wanted| {
            self.iter().find_map(|check| match check {
                Check::Key { action, key, .. } if *action == wanted => Some(key.key_id()),
                Check::Account { .. }
                | Check::Alias { .. }
                | Check::AnyCaller
                | Check::Key { .. }
                | Check::NewKey { .. }
                | Check::Retire { .. } => None,
            })
        };
        Some(key_of(Action::ReEncryptFrom)? == key_of(Action::ReEncryptTo)?)
    }

    /// The keys among the resources, for the audit record.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        self.iter().filter_map(Check::about).map(Arc::clone)
    }
}

/// What lies outside of the rows.
pub struct World<'a> {
    pub env: &'a dyn Env,
    pub keyring: &'a Keyring,
    pub offers: &'a Offers,
}

/// What an operation leaves when it has run.
pub struct Done<Reply> {
    pub reply: Reply,
    pub writes: Writes,
    /// `responseElements` of the audit record; `None` is CloudTrail's null.
    pub response_elements: Option<Vec<(&'static str, Value<'static>)>>,
    /// `additionalEventData` of the audit record.
    pub additional_data: Vec<(&'static str, Value<'static>)>,
    /// Resources besides the keys that were decided on: a new key, an alias.
    pub resources: Vec<String>,
}

impl<Reply> Done<Reply> {
    /// An operation that changes nothing and of which there is nothing more to tell.
    pub fn reply(reply: Reply) -> Self {
        Self {
            reply,
            writes: Writes::default(),
            response_elements: None,
            additional_data: Vec::new(),
            resources: Vec::new(),
        }
    }
}
