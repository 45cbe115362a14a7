//! Who calls: from the raw request to a [`Caller`].
//!
//! The order in which things are refused is `sigv4`'s, which documents AWS's; here the credential is looked up between
//! "the request claims to be signed, for a region we have, at a time that fits" and "the signature is right".

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use quick_cache::Equivalent;
use quick_cache::sync::Cache;
use strongroom_policy::Principal;
use strongroom_records::{AccessKeyRow, IdentityRow, Loaded, PrincipalRow, RecordsError};
use strongroom_sigv4::{Claim, RequestView, SignatureError, SigningKey};
use strongroom_types::{AccessKeyId, RegionName, Timestamp};
use strongroom_wire::{ErrorKind, WireError};

use crate::arrival::Arrival;
use crate::caller::Caller;
use crate::parts::Parts;
use crate::protocol::Protocol;

/// The region whose signatures are good for STS everywhere: that of its global endpoint (IAM user guide, "Manage AWS STS
/// in an AWS Region").
const GLOBAL_STS_REGION: &str = "us-east-1";
/// One signing key is good for one credential, day and region.
const SIGNING_KEYS_MAX: usize = 10_000;

/// Why nobody is known to be calling.
pub(crate) enum AuthenticationError {
    Refused(WireError),
    /// The credential's row cannot be read: not the caller's fault.
    Unreadable(RecordsError),
}

impl From<SignatureError> for AuthenticationError {
    fn from(error: SignatureError) -> Self {
        let kind = ErrorKind::from_name(error.code()).unwrap_or(ErrorKind::InvalidSignature);
        Self::Refused(WireError { kind, message: Some(error.to_string()) })
    }
}

pub(crate) struct Authenticator {
    /// `None` only if the name were no region's.
    global_sts: Option<RegionName>,
    signing_keys: Cache<SigningKeyPlace, Arc<Session>>,
}

/// What is known of a credential on one day in one region. The caller is given out only after the key has verified.
struct Session {
    caller: Caller,
    key: SigningKey,
}

/// What a signing key was derived for. The row's version is part of it: a new secret under the same id is another key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SigningKeyPlace {
    access_key_id: AccessKeyId,
    version: (u64, u64),
    date: Box<str>,
    region: RegionName,
    service: &'static str,
}

/// The same, borrowed, so that a look-up allocates nothing.
struct BorrowedPlace<'a> {
    access_key_id: &'a AccessKeyId,
    version: (u64, u64),
    date: &'a str,
    region: &'a RegionName,
    service: &'static str,
}

impl SigningKeyPlace {
    fn borrow(&self) -> BorrowedPlace<'_> {
        let Self { access_key_id, version, date, region, service } = self;
        BorrowedPlace { access_key_id, version: *version, date, region, service }
    }
}

impl Hash for SigningKeyPlace {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.borrow().hash(state);
    }
}

impl Hash for BorrowedPlace<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.access_key_id, self.version, self.date, self.region, self.service).hash(state);
    }
}

impl Equivalent<SigningKeyPlace> for BorrowedPlace<'_> {
    fn equivalent(&self, key: &SigningKeyPlace) -> bool {
        *self.access_key_id == key.access_key_id
            && self.version == key.version
            && *self.date == *key.date
            && *self.region == key.region
            && self.service == key.service
    }
}

impl Authenticator {
    pub(crate) fn new() -> Self {
        let global_sts = RegionName::parse(GLOBAL_STS_REGION).ok();
        Self { global_sts, signing_keys: Cache::new(SIGNING_KEYS_MAX) }
    }

    pub(crate) fn authenticate(
        &self,
        arrival: &Arrival,
        protocol: Protocol,
        parts: &Parts,
        now: Timestamp,
    ) -> Result<Caller, AuthenticationError> {
        let view = RequestView {
            method: &arrival.method,
            path: &arrival.path,
            query: &arrival.query,
            headers: &arrival.headers,
        };
        let claim = Claim::parse(&view)?;
        claim.check_time(now)?;
        let service = protocol.service();
        claim.check_scope(service, |region| self.region(parts, protocol, region).is_some())?;
        let unknown = || {
            let message = "The security token included in the request is invalid.".to_owned();
            let error = WireError { kind: ErrorKind::UnrecognizedClient, message: Some(message) };
            AuthenticationError::Refused(error)
        };
        // Nobody is given session tokens yet, so a token is nobody's.
        if claim.security_token().is_some() {
            return Err(unknown());
        }
        let region = self.region(parts, protocol, claim.scope_region()).ok_or_else(unknown)?;
        let id = AccessKeyId::parse(claim.access_key_id()).map_err(|_| unknown())?;
        let row = parts.records.access_key(&id).map_err(AuthenticationError::Unreadable)?;
        let row = row.ok_or_else(unknown)?;
        let identity = match row.principal {
            PrincipalRow::AccountRoot { .. } | PrincipalRow::Operator => None,
            PrincipalRow::User { unique_id, .. } => {
                let identity = parts.records.identity(&unique_id).map_err(AuthenticationError::Unreadable)?;
                Some(identity.ok_or_else(unknown)?)
            }
        };
        let session = self.session(&id, &row, identity.as_deref(), claim.scope_date(), (region, service));
        claim.verify(&view, &arrival.body, &session.key)?;
        Ok(session.caller.clone())
    }

    /// A region that signatures may be for.
    fn region<'a>(&'a self, parts: &'a Parts, protocol: Protocol, name: &str) -> Option<&'a RegionName> {
        let global = match protocol {
            Protocol::Json => None,
            Protocol::Query(_) => self.global_sts.as_ref().filter(|region| region.as_str() == name),
        };
        parts.region(name).or(global)
    }

    fn session(
        &self,
        id: &AccessKeyId,
        row: &Loaded<AccessKeyRow>,
        identity: Option<&Loaded<IdentityRow>>,
        date: &str,
        (region, service): (&RegionName, &'static str),
    ) -> Arc<Session> {
        // A changed identity is another caller.
        let version = (row.version(), identity.map_or(0, Loaded::version));
        let place = BorrowedPlace { access_key_id: id, version, date, region, service };
        if let Some(session) = self.signing_keys.get(&place) {
            return session;
        }
        let (id_of_key, region_of_key) = (id.clone(), region.clone());
        let caller = match (row.principal, identity) {
            (PrincipalRow::AccountRoot { account }, _) => {
                Caller::new(Principal::AccountRoot(account), id_of_key, region_of_key)
            }
            (PrincipalRow::User { .. }, Some(user)) => Caller::with_policies(
                Principal::User(user.to_identity()),
                Arc::clone(user.policies()),
                user.tags().to_vec(),
                id_of_key,
                region_of_key,
            ),
            // INVARIANT: a user without its row has been refused. Should it come here, it may do nothing.
            (PrincipalRow::Operator | PrincipalRow::User { .. }, _) => {
                Caller::new(Principal::Operator, id_of_key, region_of_key)
            }
        };
        let session = Arc::new(Session {
            caller,
            key: SigningKey::derive(&row.secret, date, region.as_str(), service),
        });
        let place = SigningKeyPlace {
            access_key_id: id.clone(),
            version,
            date: date.into(),
            region: region.clone(),
            service,
        };
        self.signing_keys.insert(place, Arc::clone(&session));
        session
    }

    pub(crate) fn cached(&self) -> usize {
        self.signing_keys.len()
    }
}
