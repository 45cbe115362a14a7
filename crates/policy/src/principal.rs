//! Principals: who asks, and whom a policy names.

use strongroom_types::limits::SERVICE_PRINCIPAL_BYTES_MAX;
use strongroom_types::{AccountId, Partition};

use crate::document::Effect;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// The root user of an account.
    AccountRoot(AccountId),
    /// The deployment's operator, who belongs to no account and can be given no right to any key.
    Operator,
    RoleSession(RoleSession),
    /// A service that calls on its own account, such as `logs.amazonaws.com`.
    Service(Box<str>),
    User(Identity),
}

/// A user or a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub account: AccountId,
    /// The path without its leading slash, then the name: `team/Bob`.
    pub path_and_name: Box<str>,
    /// `AIDA…` or `AROA…`: another one for each that is made, even under the same name.
    pub unique_id: Box<str>,
}

/// Somebody who has assumed a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleSession {
    pub role: Identity,
    pub session: Box<str>,
}

/// How directly an Allow of a key policy reaches the caller. The order is by what else must allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Named {
    /// Its account is: the account's identity policies decide.
    ByAccount,
    /// Its role is: the role's permissions boundary and the session's policies limit that.
    ByRole,
    /// The user, the session or the root user itself is, or everybody is: nothing limits that but an explicit deny.
    Itself,
}

impl Identity {
    pub fn name(&self) -> &str {
        self.path_and_name.rsplit('/').next().unwrap_or_default()
    }

    /// The ARN of a role.
    pub fn role_arn(&self, partition: Partition) -> String {
        format!("arn:{}:iam::{}:role/{}", partition.as_str(), self.account, self.path_and_name)
    }
}

impl Principal {
    pub const fn account(&self) -> Option<AccountId> {
        match self {
            Self::AccountRoot(account) => Some(*account),
            Self::Operator | Self::Service(_) => None,
            Self::RoleSession(session) => Some(session.role.account),
            Self::User(user) => Some(user.account),
        }
    }

    /// The ARN, as messages and the audit trail write it.
    pub fn arn(&self, partition: Partition) -> String {
        let partition = partition.as_str();
        match self {
            Self::AccountRoot(account) => format!("arn:{partition}:iam::{account}:root"),
            Self::Operator => format!("arn:{partition}:strongroom:::operator"),
            Self::RoleSession(RoleSession { role, session }) => {
                format!("arn:{partition}:sts::{}:assumed-role/{}/{session}", role.account, role.name())
            }
            Self::Service(name) => name.to_string(),
            Self::User(user) => format!("arn:{partition}:iam::{}:user/{}", user.account, user.path_and_name),
        }
    }

    /// What `aws:PrincipalArn` says: for a session, its role.
    pub fn policy_arn(&self, partition: Partition) -> String {
        match self {
            Self::RoleSession(RoleSession { role, .. }) => role.role_arn(partition),
            Self::AccountRoot(_) | Self::Operator | Self::Service(_) | Self::User(_) => self.arn(partition),
        }
    }

    /// What `aws:userid` says (IAM user guide, "Where you can use policy variables").
    pub fn user_id(&self) -> Option<String> {
        match self {
            Self::AccountRoot(account) => Some(account.to_string()),
            Self::Operator | Self::Service(_) => None,
            Self::RoleSession(RoleSession { role, session }) => Some(format!("{}:{session}", role.unique_id)),
            Self::User(user) => Some(user.unique_id.to_string()),
        }
    }
}

/// Whom a policy names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyPrincipal {
    /// A whole account: `111122223333` or `arn:aws:iam::111122223333:root`. The bare id says no partition.
    Account { account: AccountId, partition: Option<Partition> },
    /// `*`
    Anyone,
    /// A user, a role or a role's session.
    Identity(PolicyIdentity),
    /// Who signs in elsewhere (`Federated`) or owns a bucket (`CanonicalUser`): no caller here is one.
    Outsider(Box<str>),
    /// An AWS service, such as `logs.amazonaws.com`.
    Service(Box<str>),
}

/// A user, a role or a role's session that a policy names by its ARN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyIdentity {
    pub account: AccountId,
    pub kind: IdentityKind,
    /// Path and name of a user or a role; of a session, the name of its role and its own, with a slash between.
    pub name: Box<str>,
    pub partition: Partition,
    pub(crate) binding: Binding,
}

/// Which of all that ever had a name is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Binding {
    /// Whoever has it. Policies that nobody has bound are read this way.
    ByName,
    /// The one with this unique id.
    Id(Box<str>),
    /// The one that was meant is not known: nobody.
    Nobody,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdentityKind {
    AssumedRole,
    Role,
    User,
}

impl PolicyIdentity {
    /// The path and name of the user or role, or the name of the session's role.
    pub fn owner_name(&self) -> &str {
        match self.kind {
            IdentityKind::AssumedRole => self.name.split('/').next().unwrap_or_default(),
            IdentityKind::Role | IdentityKind::User => &self.name,
        }
    }

    /// The user, role or session's role by one text, under which its unique id is kept beside a policy.
    pub fn binding_name(&self) -> String {
        let kind = match self.kind {
            IdentityKind::AssumedRole => "assumed-role",
            IdentityKind::Role => "role",
            IdentityKind::User => "user",
        };
        format!("{}/{kind}/{}", self.account, self.owner_name())
    }

    /// What `aws:userid` says of it, once its unique id, or that of the session's role, is known.
    pub fn user_id(&self, unique_id: &str) -> String {
        match (self.kind, self.name.split_once('/')) {
            (IdentityKind::AssumedRole, Some((_, session))) => format!("{unique_id}:{session}"),
            _ => unique_id.to_owned(),
        }
    }

    /// The ARN by which the policy names it.
    pub fn arn(&self) -> String {
        let (service, kind) = match self.kind {
            IdentityKind::AssumedRole => ("sts", "assumed-role"),
            IdentityKind::Role => ("iam", "role"),
            IdentityKind::User => ("iam", "user"),
        };
        format!("arn:{}:{service}::{}:{kind}/{}", self.partition.as_str(), self.account, self.name)
    }

    /// The name alone, without its path.
    pub fn bare_name(&self) -> &str {
        self.owner_name().rsplit('/').next().unwrap_or_default()
    }

    /// Whether an identity with this path and name is the one that is named.
    pub fn has_name(&self, path_and_name: &str) -> bool {
        match self.kind {
            // The ARN of a session does not say the path of its role.
            IdentityKind::AssumedRole => path_and_name.rsplit('/').next() == Some(self.owner_name()),
            IdentityKind::Role | IdentityKind::User => *self.name == *path_and_name,
        }
    }

    fn is(&self, identity: &Identity) -> bool {
        match &self.binding {
            Binding::ByName => self.has_name(&identity.path_and_name),
            Binding::Id(id) => *id == identity.unique_id,
            Binding::Nobody => false,
        }
    }

    /// Whether `caller` is, or acts for, whom this names.
    fn names(&self, caller: &Principal) -> Option<Named> {
        match (self.kind, caller) {
            (IdentityKind::User, Principal::User(user)) => {
                (self.account == user.account && self.is(user)).then_some(Named::Itself)
            }
            (IdentityKind::Role, Principal::RoleSession(RoleSession { role, .. })) => {
                (self.account == role.account && self.is(role)).then_some(Named::ByRole)
            }
            (IdentityKind::AssumedRole, Principal::RoleSession(RoleSession { role, session })) => {
                let is_session = self.name.split_once('/').is_some_and(|(_, name)| *name == **session);
                (is_session && self.account == role.account && self.is(role)).then_some(Named::Itself)
            }
            (IdentityKind::AssumedRole | IdentityKind::Role, Principal::User(_))
            | (IdentityKind::User, Principal::RoleSession(_))
            | (_, Principal::AccountRoot(_) | Principal::Operator | Principal::Service(_)) => None,
        }
    }
}

impl PolicyPrincipal {
    /// Reads what stands under `AWS`. `None` for a text that can name nobody: groups, unique ids of deleted
    /// principals and patterns are among these.
    pub fn parse_aws(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Anyone);
        }
        if let Ok(account) = AccountId::parse(text) {
            return Some(Self::Account { account, partition: None });
        }
        let mut fields = text.splitn(6, ':');
        let (Some("arn"), Some(partition), Some(service), Some(""), Some(account), Some(resource)) =
            (fields.next(), fields.next(), fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return None;
        };
        let partition = parse_partition(partition)?;
        let account = AccountId::parse(account).ok()?;
        if (service, resource) == ("iam", "root") {
            return Some(Self::Account { account, partition: Some(partition) });
        }
        let (kind, name) = resource.split_once('/')?;
        let kind = match (service, kind) {
            ("iam", "user") if is_path_and_name(name) => IdentityKind::User,
            ("iam", "role") if is_path_and_name(name) => IdentityKind::Role,
            ("sts", "assumed-role") if is_role_and_session(name) => IdentityKind::AssumedRole,
            ("sts", "federated-user") if is_name(name) => return Some(Self::Outsider(text.into())),
            _ => return None,
        };
        let binding = Binding::ByName;
        Some(Self::Identity(PolicyIdentity { account, kind, name: name.into(), partition, binding }))
    }

    /// Reads what stands under `Service`: a lower-case DNS name with at least two dots (AWS KMS API reference,
    /// CreateGrant, GranteeServicePrincipal).
    pub fn parse_service(text: &str) -> Option<Self> {
        let is_label = |label: &str| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        let shaped = text.len() <= SERVICE_PRINCIPAL_BYTES_MAX
            && text.split('.').count() >= 3
            && text.split('.').all(is_label);
        shaped.then(|| Self::Service(text.into()))
    }

    /// Reads what stands under `CanonicalUser`: 64 hexadecimal digits (Amazon S3 user guide, "Canonical user ID").
    pub fn parse_canonical_user(text: &str) -> Option<Self> {
        let shaped = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        shaped.then(|| Self::Outsider(text.into()))
    }

    /// Reads what stands under `Federated`: the name of a web identity provider, or the ARN of a provider.
    pub fn parse_federated(text: &str) -> Option<Self> {
        let is_known = text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'*' | b'?' | b'$'));
        let shaped = !text.is_empty() && is_known && (text.starts_with("arn:") || text.contains('.'));
        shaped.then(|| Self::Outsider(text.into()))
    }

    /// Whether there is such a principal for a key of this partition. AWS refuses a key policy that names one that
    /// does not exist; which accounts, users and roles exist is the caller's to know.
    pub fn exists(
        &self,
        key_partition: Partition,
        account_exists: impl FnOnce(AccountId) -> bool,
        identity_exists: impl FnOnce(&PolicyIdentity) -> bool,
    ) -> bool {
        match self {
            Self::Account { account, partition } => {
                partition.is_none_or(|partition| partition == key_partition) && account_exists(*account)
            }
            Self::Identity(identity) => identity.partition == key_partition && identity_exists(identity),
            Self::Anyone | Self::Service(_) => true,
            // Nobody here can be one. In a NotPrincipal, too, it would say less than it seems to.
            Self::Outsider(_) => false,
        }
    }

    /// Whether `caller`, who acts in the partition of the key, is named here.
    pub(crate) fn names(&self, caller: &Principal, key_partition: Partition) -> Option<Named> {
        match self {
            Self::Anyone => Some(Named::Itself),
            Self::Account { account, partition } => {
                let is_theirs = caller.account() == Some(*account)
                    && partition.is_none_or(|partition| partition == key_partition);
                is_theirs.then_some(match caller {
                    Principal::AccountRoot(_) => Named::Itself,
                    Principal::Operator
                    | Principal::RoleSession(_)
                    | Principal::Service(_)
                    | Principal::User(_) => Named::ByAccount,
                })
            }
            Self::Identity(identity) if identity.partition == key_partition => identity.names(caller),
            Self::Identity(_) | Self::Outsider(_) => None,
            Self::Service(name) => match caller {
                Principal::Service(caller) => (name == caller).then_some(Named::Itself),
                Principal::AccountRoot(_)
                | Principal::Operator
                | Principal::RoleSession(_)
                | Principal::User(_) => None,
            },
        }
    }
}

/// Whether a `NotPrincipal` list leaves the caller out of its statement.
///
/// A caller is several principals at once: its account, its user or its role, its session. To be left out of a Deny all
/// of them must be listed (IAM user guide, "IAM JSON policy elements: NotPrincipal"); to be left out of an Allow one is
/// enough. Both ways the statement with less in it for the caller is taken.
pub(crate) fn leaves_out(
    listed: &[PolicyPrincipal],
    caller: &Principal,
    key_partition: Partition,
    effect: Effect,
) -> bool {
    let lists = |named| listed.iter().any(|one| one.names(caller, key_partition) == Some(named));
    if listed.contains(&PolicyPrincipal::Anyone) {
        return true;
    }
    match (effect, caller) {
        (Effect::Allow, _) => lists(Named::Itself) || lists(Named::ByRole) || lists(Named::ByAccount),
        (Effect::Deny, Principal::AccountRoot(_) | Principal::Service(_) | Principal::Operator) => {
            lists(Named::Itself)
        }
        (Effect::Deny, Principal::User(_)) => lists(Named::Itself) && lists(Named::ByAccount),
        (Effect::Deny, Principal::RoleSession(_)) => {
            lists(Named::Itself) && lists(Named::ByRole) && lists(Named::ByAccount)
        }
    }
}

fn parse_partition(text: &str) -> Option<Partition> {
    [Partition::Aws, Partition::AwsCn, Partition::AwsUsGov]
        .into_iter()
        .find(|partition| partition.as_str() == text)
}

/// A name of IAM, ASCII `[\w+=,.@-]` (IAM user guide, "IAM and AWS STS quotas").
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b))
}

/// A name, after a path of visible ASCII if there is one. No wildcards: a policy cannot name principals by a pattern.
fn is_path_and_name(text: &str) -> bool {
    let is_step = |step: &str| {
        !step.is_empty() && step.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'*' | b'?' | b':'))
    };
    match text.rsplit_once('/') {
        None => is_name(text),
        Some((path, name)) => path.split('/').all(is_step) && is_name(name),
    }
}

fn is_role_and_session(text: &str) -> bool {
    text.split_once('/').is_some_and(|(role, session)| is_name(role) && is_name(session))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(text: &str) -> AccountId {
        AccountId::parse(text).unwrap()
    }

    /// By one line each: how it is bound, shown, and called alone, and what `aws:userid` says of it.
    #[test]
    fn an_identity_has_a_name_for_every_purpose() {
        let names = |text: &str| {
            let Some(PolicyPrincipal::Identity(identity)) = PolicyPrincipal::parse_aws(text) else {
                panic!()
            };
            assert_eq!(identity.arn(), text);
            [identity.binding_name(), identity.bare_name().to_owned(), identity.user_id("ID")]
        };
        let of = "arn:aws:iam::111122223333:";
        assert_eq!(
            names(&format!("{of}user/team/bob")),
            ["111122223333/user/team/bob", "bob", "ID"].map(str::to_owned)
        );
        assert_eq!(
            names(&format!("{of}role/app")),
            ["111122223333/role/app", "app", "ID"].map(str::to_owned)
        );
        assert_eq!(
            names("arn:aws-cn:sts::111122223333:assumed-role/app/run-7"),
            ["111122223333/assumed-role/app", "app", "ID:run-7"].map(str::to_owned)
        );
    }

    #[test]
    fn texts_that_name_nobody_are_refused() {
        for text in [
            "",
            "root",
            "**",
            "1111222233334",
            "11112222333",
            "1111222*3333",
            // Digits of other scripts, and a zero-width space.
            "１１１１２２２２３３３３",
            "\u{661}\u{661}\u{661}\u{661}22223333",
            "111122223333\u{200b}",
            " 111122223333",
            "arn:aws:iam::１１１１２２２２３３３３:root",
            "arn:aws:iam::111122223333:Root",
            "ARN:aws:iam::111122223333:root",
            "arn:aws:iam::111122223333:root/",
            "arn:aws:iam::111122223333:*",
            "arn:aws:iam::*:root",
            "arn:*:iam::111122223333:root",
            "arn:aws-iso:iam::111122223333:root",
            "arn:aws:iam:us-east-1:111122223333:root",
            "arn:aws:sts::111122223333:root",
            "arn:aws:iam::111122223333:group/Admins",
            "arn:aws:iam::111122223333:user/",
            "arn:aws:iam::111122223333:user//Bob",
            "arn:aws:iam::111122223333:user/*",
            "arn:aws:iam::111122223333:user/B?b",
            "arn:aws:iam::111122223333:user/te*m/Bob",
            "arn:aws:iam::111122223333:user/te m/Bob",
            "arn:aws:iam::111122223333:user/${aws:username}",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:role//App",
            "arn:aws:iam::111122223333:role/A*",
            "arn:aws:sts::111122223333:federated-user/",
            "arn:aws:sts::111122223333:federated-user/a*",
            "arn:aws:sts::111122223333:federated-user/a/b",
            "arn:aws:iam::111122223333:assumed-role/Role/Session",
            "arn:aws:sts::111122223333:assumed-role/Role",
            "arn:aws:sts::111122223333:assumed-role/Role/Session/More",
            "AIDAQ3EGGEXAMPLEUSER1",
        ] {
            assert_eq!(PolicyPrincipal::parse_aws(text), None, "{text}");
        }
        for text in
            ["", "*", "kms", "amazonaws.com", "LOGS.amazonaws.com", "logs..amazonaws.com", "-a.b.c", "l*.b.c"]
        {
            assert_eq!(PolicyPrincipal::parse_service(text), None, "{text}");
        }
    }

    #[test]
    fn principals_are_read() {
        assert_eq!(aws("*"), PolicyPrincipal::Anyone);
        let id = account("111122223333");
        assert_eq!(aws("111122223333"), PolicyPrincipal::Account { account: id, partition: None });
        let root = PolicyPrincipal::Account { account: id, partition: Some(Partition::AwsCn) };
        assert_eq!(aws("arn:aws-cn:iam::111122223333:root"), root);
        for (text, expected) in [
            ("arn:aws:iam::111122223333:user/team/Bob", (IdentityKind::User, "team/Bob")),
            ("arn:aws:iam::111122223333:role/App+=,.@-_", (IdentityKind::Role, "App+=,.@-_")),
            ("arn:aws:sts::111122223333:assumed-role/App/i-1", (IdentityKind::AssumedRole, "App/i-1")),
        ] {
            let PolicyPrincipal::Identity(found) = aws(text) else { panic!("{text}") };
            assert_eq!((found.account, found.kind, &*found.name), (id, expected.0, expected.1));
        }
    }

    #[test]
    fn service_names_are_read_up_to_their_limit() {
        for text in ["logs.amazonaws.com", "logs.us-east-1.amazonaws.com", "s3.amazonaws.com.cn"] {
            assert_eq!(PolicyPrincipal::parse_service(text), Some(PolicyPrincipal::Service(text.into())));
        }
        let of_length = |length: usize| format!("{}.b.c", "a".repeat(length - 4));
        assert!(PolicyPrincipal::parse_service(&of_length(SERVICE_PRINCIPAL_BYTES_MAX + 1)).is_none());
        assert!(PolicyPrincipal::parse_service(&of_length(SERVICE_PRINCIPAL_BYTES_MAX)).is_some());
    }

    #[test]
    fn what_is_under_other_names_is_read() {
        for text in ["", "79a5", &"g".repeat(64), &"0".repeat(63)] {
            assert_eq!(PolicyPrincipal::parse_canonical_user(text), None, "{text}");
        }
        for text in ["", "*", "google", "accounts.google.com*", "a b.c", "${x}.y"] {
            assert_eq!(PolicyPrincipal::parse_federated(text), None, "{text}");
        }
        assert!(PolicyPrincipal::parse_canonical_user(&"0a".repeat(32)).is_some());
        for text in ["accounts.google.com", "arn:aws:iam::111122223333:saml-provider/x"] {
            assert_eq!(PolicyPrincipal::parse_federated(text), Some(PolicyPrincipal::Outsider(text.into())));
        }
        let federated = "arn:aws:sts::111122223333:federated-user/Bob";
        assert_eq!(aws(federated), PolicyPrincipal::Outsider(federated.into()));
    }

    fn aws(text: &str) -> PolicyPrincipal {
        PolicyPrincipal::parse_aws(text).unwrap()
    }

    #[test]
    fn only_what_is_known_in_the_key_s_partition_exists() {
        let known = |id: AccountId| id == account("111122223333");
        let bob = |identity: &PolicyIdentity| &*identity.name == "Bob";
        let exists = |text: &str| aws(text).exists(Partition::Aws, known, bob);
        assert!(!exists("444455556666"));
        assert!(!exists("arn:aws-cn:iam::111122223333:root"));
        assert!(!exists("arn:aws:iam::111122223333:user/Eve"));
        assert!(!exists("arn:aws-cn:iam::111122223333:user/Bob"));
        assert!(!exists("arn:aws:sts::111122223333:assumed-role/App/i-1"));
        assert!(!exists("arn:aws:sts::111122223333:federated-user/Bob"));
        assert!(exists("111122223333"));
        assert!(exists("arn:aws:iam::111122223333:root"));
        assert!(exists("arn:aws:iam::111122223333:user/Bob"));
        assert!(exists("*"));
    }

    fn identity(account_id: &str, name: &str, unique_id: &str) -> Identity {
        Identity { account: account(account_id), path_and_name: name.into(), unique_id: unique_id.into() }
    }

    fn bob() -> Principal {
        Principal::User(identity("111122223333", "team/Bob", "AIDABOB"))
    }

    fn session() -> Principal {
        let role = identity("111122223333", "team/App", "AROAAPP");
        Principal::RoleSession(RoleSession { role, session: "i-1".into() })
    }

    fn named(text: &str, caller: &Principal) -> Option<Named> {
        aws(text).names(caller, Partition::Aws)
    }

    #[test]
    fn others_are_not_named() {
        let root = Principal::AccountRoot(account("111122223333"));
        for (text, caller) in [
            ("444455556666", &root),
            ("arn:aws-cn:iam::111122223333:root", &root),
            ("arn:aws:iam::111122223333:user/root", &root),
            ("111122223333", &Principal::Operator),
            ("arn:aws:iam::111122223333:user/Bob", &bob()),
            ("arn:aws:iam::111122223333:user/team/bob", &bob()),
            ("arn:aws:iam::444455556666:user/team/Bob", &bob()),
            ("arn:aws:iam::111122223333:role/team/Bob", &bob()),
            ("arn:aws:iam::111122223333:role/App", &session()),
            ("arn:aws:iam::111122223333:user/team/App", &session()),
            ("arn:aws:sts::111122223333:assumed-role/App/i-2", &session()),
            ("arn:aws:sts::111122223333:assumed-role/app/i-1", &session()),
            ("arn:aws-cn:sts::111122223333:assumed-role/App/i-1", &session()),
        ] {
            assert_eq!(named(text, caller), None, "{text}");
        }
        let logs = PolicyPrincipal::parse_service("logs.amazonaws.com").unwrap();
        for caller in [root, bob(), session(), Principal::Service("sns.amazonaws.com".into())] {
            assert_eq!(logs.names(&caller, Partition::Aws), None);
        }
    }

    #[test]
    fn callers_are_named_by_their_account_their_role_or_themselves() {
        let root = Principal::AccountRoot(account("111122223333"));
        for (text, caller, expected) in [
            ("111122223333", &root, Named::Itself),
            ("arn:aws:iam::111122223333:root", &root, Named::Itself),
            ("*", &root, Named::Itself),
            ("*", &Principal::Operator, Named::Itself),
            ("111122223333", &bob(), Named::ByAccount),
            ("arn:aws:iam::111122223333:root", &session(), Named::ByAccount),
            ("arn:aws:iam::111122223333:user/team/Bob", &bob(), Named::Itself),
            ("arn:aws:iam::111122223333:role/team/App", &session(), Named::ByRole),
            ("arn:aws:sts::111122223333:assumed-role/App/i-1", &session(), Named::Itself),
            ("*", &session(), Named::Itself),
        ] {
            assert_eq!(named(text, caller), Some(expected), "{text}");
        }
        let logs = PolicyPrincipal::parse_service("logs.amazonaws.com").unwrap();
        let caller = Principal::Service("logs.amazonaws.com".into());
        assert_eq!(logs.names(&caller, Partition::Aws), Some(Named::Itself));
    }

    #[test]
    fn a_bound_name_means_the_one_that_had_it() {
        let PolicyPrincipal::Identity(mut named) = aws("arn:aws:iam::111122223333:user/team/Bob") else {
            panic!()
        };
        named.binding = Binding::Nobody;
        assert_eq!(PolicyPrincipal::Identity(named.clone()).names(&bob(), Partition::Aws), None);
        named.binding = Binding::Id("AIDAEARLIER".into());
        assert_eq!(PolicyPrincipal::Identity(named.clone()).names(&bob(), Partition::Aws), None);
        named.binding = Binding::Id("AIDABOB".into());
        assert_eq!(PolicyPrincipal::Identity(named).names(&bob(), Partition::Aws), Some(Named::Itself));
    }

    #[test]
    fn who_is_left_out_is_said_whole() {
        let leaves_out = |texts: &[&str], caller: &Principal, effect| {
            let listed: Vec<_> = texts.iter().map(|text| aws(text)).collect();
            leaves_out(&listed, caller, Partition::Aws, effect)
        };
        let (root, user) = ("arn:aws:iam::111122223333:root", "arn:aws:iam::111122223333:user/team/Bob");
        assert!(!leaves_out(&[user], &bob(), Effect::Deny));
        assert!(!leaves_out(&[root], &bob(), Effect::Deny));
        assert!(leaves_out(&[root, user], &bob(), Effect::Deny));
        assert!(leaves_out(&[root], &bob(), Effect::Allow));
        assert!(leaves_out(&[user], &bob(), Effect::Allow));
        assert!(!leaves_out(&["444455556666"], &bob(), Effect::Allow));
        let role = "arn:aws:iam::111122223333:role/team/App";
        assert!(!leaves_out(&[root, role], &session(), Effect::Deny));
        let assumed = "arn:aws:sts::111122223333:assumed-role/App/i-1";
        assert!(leaves_out(&[root, role, assumed], &session(), Effect::Deny));
        assert!(leaves_out(&["*"], &session(), Effect::Deny));
    }

    #[test]
    fn principals_say_who_they_are() {
        let of = |principal: Principal| {
            (principal.arn(Partition::Aws), principal.policy_arn(Partition::Aws), principal.user_id())
        };
        let user = "arn:aws:iam::111122223333:user/team/Bob".to_owned();
        assert_eq!(of(bob()), (user.clone(), user, Some("AIDABOB".to_owned())));
        assert_eq!(
            of(session()),
            (
                "arn:aws:sts::111122223333:assumed-role/App/i-1".to_owned(),
                "arn:aws:iam::111122223333:role/team/App".to_owned(),
                Some("AROAAPP:i-1".to_owned())
            )
        );
    }
}
