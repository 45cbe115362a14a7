//! Who calls.

use std::sync::Arc;

use strongroom_policy::{IdentityPolicies, Principal};
use strongroom_types::{AccessKeyId, AccountId, RegionName, Tag};

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
    policies: Arc<IdentityPolicies>,
    policy_arn: String,
    tags: Vec<Tag>,
    user_id: Option<String>,
}

impl Caller {
    /// A caller who needs no identity policies: they would say nothing that its kind does not say already.
    pub(crate) fn new(principal: Principal, access_key_id: AccessKeyId, region: RegionName) -> Self {
        Self::with_policies(principal, Arc::default(), Vec::new(), access_key_id, region)
    }

    pub(crate) fn with_policies(
        principal: Principal,
        policies: Arc<IdentityPolicies>,
        tags: Vec<Tag>,
        access_key_id: AccessKeyId,
        region: RegionName,
    ) -> Self {
        let arn = principal.arn(region.partition());
        let policy_arn = principal.policy_arn(region.partition());
        let user_id = principal.user_id();
        Self(Arc::new(Identity {
            principal,
            access_key_id,
            region,
            arn,
            policies,
            policy_arn,
            tags,
            user_id,
        }))
    }

    pub fn principal(&self) -> &Principal {
        &self.0.principal
    }

    /// The policies of its identity side.
    pub fn policies(&self) -> &IdentityPolicies {
        &self.0.policies
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

    /// The names under which a grant may mean the caller as its grantee or its retiring principal (see
    /// [`GrantPrincipal`](strongroom_policy::GrantPrincipal)): its own and, of a session, its role's, which does not count
    /// where the session or its role is limited (see [`Request::is_limited`](strongroom_policy::Request::is_limited)).
    pub fn grant_names(&self, is_limited: bool) -> Vec<&str> {
        let own = self.user_id().into_iter();
        match &self.0.principal {
            Principal::AccountRoot(_) => vec![self.arn()],
            Principal::User(_) => own.collect(),
            Principal::RoleSession(session) => {
                own.chain((!is_limited).then_some(&*session.role.unique_id)).collect()
            }
            Principal::Operator | Principal::Service(_) => Vec::new(),
        }
    }

    /// The ARN that policies know it by: that of a session is its role's.
    pub(crate) fn policy_arn(&self) -> &str {
        &self.0.policy_arn
    }

    pub(crate) fn tags(&self) -> &[Tag] {
        &self.0.tags
    }

    /// CloudTrail's `principalId` and what policies call `aws:userid`; the operator has none.
    pub fn user_id(&self) -> Option<&str> {
        self.0.user_id.as_deref()
    }
}
