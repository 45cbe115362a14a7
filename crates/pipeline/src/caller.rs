//! Who calls.

use std::sync::Arc;

use strongroom_policy::Principal;
use strongroom_types::{AccessKeyId, AccountId, RegionName};

/// The caller of a request whose signature was verified. Holding one is the proof: `authenticate` alone makes it.
///
/// Made once for a credential, day and region, and shared by all their requests.
#[derive(Debug, Clone)]
pub struct Caller(Arc<Identity>);

#[derive(Debug)]
struct Identity {
    principal: Principal,
    access_key_id: AccessKeyId,
    region: RegionName,
    arn: String,
    /// The account, as text.
    principal_id: Option<String>,
}

impl Caller {
    pub(crate) fn new(principal: Principal, access_key_id: AccessKeyId, region: RegionName) -> Self {
        let partition = region.partition().as_str();
        let arn = match &principal {
            Principal::AccountRoot(account) => format!("arn:{partition}:iam::{account}:root"),
            Principal::Operator => format!("arn:{partition}:strongroom:::operator"),
        };
        let principal_id = principal.account().map(|account| account.to_string());
        Self(Arc::new(Identity { principal, access_key_id, region, arn, principal_id }))
    }

    pub fn principal(&self) -> &Principal {
        &self.0.principal
    }

    /// The account that the caller belongs to; the operator belongs to none.
    pub fn account(&self) -> Option<AccountId> {
        self.0.principal.account()
    }

    pub fn access_key_id(&self) -> &AccessKeyId {
        &self.0.access_key_id
    }

    /// The region that the request was signed for.
    pub fn region(&self) -> &RegionName {
        &self.0.region
    }

    /// The caller's ARN in the partition of the region that was asked.
    pub fn arn(&self) -> &str {
        &self.0.arn
    }

    /// The ARNs under which a grant may name the caller as its grantee or its retiring principal.
    pub fn grant_arns(&self) -> Vec<&str> {
        match self.0.principal {
            Principal::AccountRoot(_) => vec![self.arn()],
            Principal::Operator => Vec::new(),
        }
    }

    pub(crate) fn principal_id(&self) -> Option<&str> {
        self.0.principal_id.as_deref()
    }
}
