//! Changes that are made while nobody serves: access keys, regions.
//!
//! Whoever makes one holds the root key and the lock on the data directory; no signature is asked for. A change and the
//! record of it are one batch, as with every other change, and the record is in the journal before the command ends.
//!
//! What it deliberately does not do: decide who may. The root key is the permission.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use strongroom_attestation::{Roots, Verifier};
use strongroom_audit::{Event, EventKind, EventSource, Field, Identity, IdentityKind, Items, Parameters};
use strongroom_pipeline::Offers;
use strongroom_records::{CommitError, OutboxRow, RecordsError, Writes};
use strongroom_types::limits::{ACCESS_KEYS_PER_PRINCIPAL_MAX, AUDIT_SEGMENT_BYTES};
use strongroom_types::{AccessKeyId, AccountId, Env, RegionName, RequestId};

use crate::assembly::{AskPassphrase, AssemblyError, Opened, PartLimits, Places, Running};
use crate::env::SystemEnv;

/// Why an offline change was not made. Each says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    #[error(transparent)]
    Assembly(#[from] AssemblyError),
    #[error("the store did not take the change; nothing was changed")]
    Commit(#[source] CommitError),
    #[error(
        "the change is made, but `{}` could not be written; run `strongroom credential reset` for a new access key",
        path.display()
    )]
    CredentialsNotInstalled {
        path: std::path::PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("region `{region}` is one of this deployment already")]
    KnownRegion { region: RegionName },
    #[error(
        "access key `{id}` is the only one of its principal; make another with `strongroom credential rotate`, or \
         replace it with `strongroom credential reset`"
    )]
    LastAccessKey { id: AccessKeyId },
    #[error("there is no account `{account}` in this deployment")]
    NoAccount { account: AccountId },
    #[error("there is no access key `{id}`; see `strongroom credential list`")]
    NoAccessKey { id: AccessKeyId },
    #[error("cannot read the store")]
    Records(#[from] RecordsError),
    #[error("there are several accounts; name one with `--account`")]
    SeveralAccounts,
    #[error(
        "there are {ACCESS_KEYS_PER_PRINCIPAL_MAX} access keys of this principal; first take one away with \
         `strongroom credential retire`"
    )]
    TooManyAccessKeys,
    #[error("it is not known whether the change was made; look before repeating it")]
    Unknown,
}

impl From<CommitError> for OfflineError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Unknown => Self::Unknown,
            CommitError::Closed | CommitError::Conflict { .. } | CommitError::Failed(_) => {
                Self::Commit(error)
            }
        }
    }
}

/// A deployment that this process changes and nobody serves.
pub(crate) struct Offline {
    pub(crate) env: Arc<dyn Env>,
    pub(crate) running: Running,
}

impl Offline {
    pub(crate) fn open(places: &Places, passphrase: Option<AskPassphrase<'_>>) -> Result<Self, OfflineError> {
        Self::take_up(places, Opened::open(places, passphrase)?, Arc::new(SystemEnv::new()))
    }

    /// Records that an earlier process left in the outbox go to the journal here.
    pub(crate) fn take_up(places: &Places, opened: Opened, env: Arc<dyn Env>) -> Result<Self, OfflineError> {
        let limits = PartLimits {
            // Who restores a backup says so to `serve`.
            accept_rollback: false,
            cached_rows_max: 1000,
            journal_segment_bytes: AUDIT_SEGMENT_BYTES,
            offers: Offers::default(),
        };
        // No request comes in.
        let attestation = Arc::new(Verifier::new(Roots::default(), Duration::ZERO));
        let running = Running::start(places, opened, &env, &attestation, limits)?;
        Ok(Self { env, running })
    }

    /// Commits a change together with its record.
    pub(crate) fn commit(
        &self,
        mut writes: Writes,
        name: &'static str,
        details: Vec<Field<'_>>,
    ) -> Result<(), OfflineError> {
        if let Some(region) = self.running.regions.first() {
            record(&mut writes, &*self.env, region, name, details);
        }
        Ok(self.running.records.commit_blocking(writes, Vec::new())?)
    }

    /// Ends in good order; what was committed is in the journal.
    pub(crate) fn close(self) -> Result<(), OfflineError> {
        Ok(self.running.close()?)
    }
}

/// Adds the record of a change: an outbox row among the rows of `region`.
pub(crate) fn record(
    writes: &mut Writes,
    env: &dyn Env,
    region: &RegionName,
    name: &'static str,
    details: Vec<Field<'_>>,
) {
    let created = env.now();
    let request_id = RequestId::from_random(env.random_id());
    let event = Event {
        id: RequestId::from_random(env.random_id()),
        request_id: Some(request_id),
        time: created,
        region: Cow::Borrowed(region.as_str()),
        kind: EventKind::ServiceEvent,
        source: EventSource::Strongroom,
        identity: Identity {
            kind: IdentityKind::Operator,
            account: None,
            arn: None,
            principal_id: None,
            access_key_id: None,
            invoked_by: Some(Cow::Borrowed("strongroom")),
        },
        name: Cow::Borrowed(name),
        source_ip: Cow::Borrowed("offline"),
        user_agent: Cow::Borrowed(concat!("strongroom/", env!("CARGO_PKG_VERSION"))),
        tls: None,
        failure: None,
        read_only: false,
        request_parameters: Parameters::None,
        response_elements: Parameters::None,
        additional: Parameters::from(details),
        resources: Items::default(),
        recipient: None,
    };
    let mut bytes = Vec::with_capacity(512);
    event.encode(&mut bytes);
    let address = OutboxRow::address(region, &request_id);
    writes.create(address, OutboxRow { created, event: bytes });
}
