//! Principals: who asks, and whom a policy names.

use strongroom_types::limits::SERVICE_PRINCIPAL_BYTES_MAX;
use strongroom_types::{AccountId, Partition};

/// Who asks. Users and roles join when there are any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Principal {
    /// The root user of an account.
    AccountRoot(AccountId),
    /// The deployment's operator, who belongs to no account and can be given no right to any key.
    Operator,
}

impl Principal {
    pub const fn account(&self) -> Option<AccountId> {
        match self {
            Self::AccountRoot(account) => Some(*account),
            Self::Operator => None,
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
    /// A user, a role or a role's session. None of them exists yet, so none of them matches a caller.
    Identity { account: AccountId, kind: IdentityKind, name: Box<str>, partition: Partition },
    /// An AWS service, such as `logs.amazonaws.com`. No caller is one.
    Service(Box<str>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityKind {
    AssumedRole,
    Role,
    User,
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
            _ => return None,
        };
        Some(Self::Identity { account, kind, name: name.into(), partition })
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

    /// Whether there is such a principal for a key of this partition. AWS refuses a key policy that names one that
    /// does not exist; which accounts exist is the caller's to know.
    pub fn exists(&self, key_partition: Partition, account_exists: impl FnOnce(AccountId) -> bool) -> bool {
        match self {
            Self::Account { account, partition } => {
                partition.is_none_or(|partition| partition == key_partition) && account_exists(*account)
            }
            Self::Anyone | Self::Service(_) => true,
            Self::Identity { .. } => false,
        }
    }

    /// Whether `caller`, who acts in the partition of the key, is named here.
    pub(crate) fn matches(&self, caller: &Principal, key_partition: Partition) -> bool {
        match (self, caller) {
            (Self::Anyone, Principal::AccountRoot(_) | Principal::Operator) => true,
            (Self::Account { account, partition }, Principal::AccountRoot(caller)) => {
                account == caller && partition.is_none_or(|partition| partition == key_partition)
            }
            (Self::Account { .. }, Principal::Operator) => false,
            (Self::Identity { .. } | Self::Service(_), Principal::AccountRoot(_) | Principal::Operator) => {
                false
            }
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
            "arn:aws:iam::111122223333:user/${aws:username}",
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
        let aws = |text| PolicyPrincipal::parse_aws(text).unwrap();
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
            let PolicyPrincipal::Identity { account, kind, name, .. } = aws(text) else { panic!("{text}") };
            assert_eq!((account, kind, &*name), (id, expected.0, expected.1));
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
    fn only_known_accounts_of_the_key_s_partition_exist() {
        let known = |id: AccountId| id == account("111122223333");
        let exists = |text: &str| PolicyPrincipal::parse_aws(text).unwrap().exists(Partition::Aws, known);
        assert!(!exists("444455556666"));
        assert!(!exists("arn:aws-cn:iam::111122223333:root"));
        assert!(!exists("arn:aws:iam::111122223333:user/Bob"));
        assert!(!exists("arn:aws:sts::111122223333:assumed-role/App/i-1"));
        assert!(exists("111122223333"));
        assert!(exists("arn:aws:iam::111122223333:root"));
        assert!(exists("*"));
    }

    #[test]
    fn callers_match_their_account_and_everyone_is_anyone() {
        let root = Principal::AccountRoot(account("111122223333"));
        let named =
            |text: &str, caller| PolicyPrincipal::parse_aws(text).unwrap().matches(&caller, Partition::Aws);
        assert!(!named("444455556666", root));
        assert!(!named("arn:aws-cn:iam::111122223333:root", root));
        assert!(!named("arn:aws:iam::111122223333:user/root", root));
        assert!(!named("111122223333", Principal::Operator));
        assert!(
            !PolicyPrincipal::parse_service("logs.amazonaws.com").unwrap().matches(&root, Partition::Aws)
        );
        assert!(named("111122223333", root));
        assert!(named("arn:aws:iam::111122223333:root", root));
        assert!(named("*", root));
        assert!(named("*", Principal::Operator));
    }
}
