//! The condition keys that policies ask about.
//!
//! Names match in whatever case. A name that is none of ours is legal and stands for a key that is never there, as with
//! AWS: organizations, VPC endpoints and the like do not exist here.

use crate::glob::{Case, Pattern, Syntax, VariableError};

/// A condition key, recognised when the policy is compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConditionKey {
    /// `kms:EncryptionContext:` and the key of a pair, which matches in whatever case and may hold policy variables.
    EncryptionContext(ContextKey),
    Known(Known),
    /// Some other key, in lower case.
    Other(Box<str>),
    PrincipalTag(Box<str>),
    /// `kms:RecipientAttestation:` and what of it, in lower case.
    RecipientAttestation(Box<str>),
    RequestTag(Box<str>),
    ResourceTag(Box<str>),
}

/// The key of an encryption context's pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextKey(pub(crate) Box<Pattern>);

macro_rules! known {
    ($($name:ident $text:literal),+ $(,)?) => {
        /// A condition key that has a name and nothing more.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Known {
            $($name),+
        }

        impl Known {
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The name as AWS writes it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text),+
                }
            }
        }
    };
}

known! {
    BypassPolicyLockoutSafetyCheck "kms:BypassPolicyLockoutSafetyCheck",
    CalledVia "aws:CalledVia",
    CalledViaFirst "aws:CalledViaFirst",
    CalledViaLast "aws:CalledViaLast",
    CallerAccount "kms:CallerAccount",
    CurrentTime "aws:CurrentTime",
    CustomerMasterKeySpec "kms:CustomerMasterKeySpec",
    CustomerMasterKeyUsage "kms:CustomerMasterKeyUsage",
    DataKeyPairSpec "kms:DataKeyPairSpec",
    EncryptionAlgorithm "kms:EncryptionAlgorithm",
    EncryptionContextKeys "kms:EncryptionContextKeys",
    EpochTime "aws:EpochTime",
    ExpirationModel "kms:ExpirationModel",
    GrantConstraintSourceArn "kms:GrantConstraintSourceArn",
    GrantConstraintType "kms:GrantConstraintType",
    GranteePrincipal "kms:GranteePrincipal",
    GranteeServicePrincipal "kms:GranteeServicePrincipal",
    GrantIsForAwsResource "kms:GrantIsForAWSResource",
    GrantOperations "kms:GrantOperations",
    KeyAgreementAlgorithm "kms:KeyAgreementAlgorithm",
    KeyOrigin "kms:KeyOrigin",
    KeySpec "kms:KeySpec",
    KeyUsage "kms:KeyUsage",
    MacAlgorithm "kms:MacAlgorithm",
    MessageType "kms:MessageType",
    MultiFactorAuthAge "aws:MultiFactorAuthAge",
    MultiFactorAuthPresent "aws:MultiFactorAuthPresent",
    MultiRegion "kms:MultiRegion",
    MultiRegionKeyType "kms:MultiRegionKeyType",
    PolicyName "kms:PolicyName",
    PrimaryRegion "kms:PrimaryRegion",
    PrincipalAccount "aws:PrincipalAccount",
    PrincipalArn "aws:PrincipalArn",
    PrincipalIsAwsService "aws:PrincipalIsAWSService",
    PrincipalOrgId "aws:PrincipalOrgID",
    PrincipalServiceName "aws:PrincipalServiceName",
    PrincipalType "aws:PrincipalType",
    ReEncryptOnSameKey "kms:ReEncryptOnSameKey",
    ReplicaRegion "kms:ReplicaRegion",
    RequestAlias "kms:RequestAlias",
    RequestedRegion "aws:RequestedRegion",
    ResourceAccount "aws:ResourceAccount",
    ResourceAliases "kms:ResourceAliases",
    RetiringPrincipal "kms:RetiringPrincipal",
    RetiringServicePrincipal "kms:RetiringServicePrincipal",
    RotationPeriodInDays "kms:RotationPeriodInDays",
    ScheduleKeyDeletionPendingWindowInDays "kms:ScheduleKeyDeletionPendingWindowInDays",
    SecureTransport "aws:SecureTransport",
    SigningAlgorithm "kms:SigningAlgorithm",
    SourceAccount "aws:SourceAccount",
    SourceArn "aws:SourceArn",
    SourceIp "aws:SourceIp",
    TagKeys "aws:TagKeys",
    TokenIssueTime "aws:TokenIssueTime",
    TrailingDaysWithoutKeyUsage "kms:TrailingDaysWithoutKeyUsage",
    UserAgent "aws:UserAgent",
    UserId "aws:userid",
    UserName "aws:username",
    ValidTo "kms:ValidTo",
    ViaAwsService "aws:ViaAWSService",
    ViaService "kms:ViaService",
    WrappingAlgorithm "kms:WrappingAlgorithm",
    WrappingKeySpec "kms:WrappingKeySpec",
}

/// Why a text names no condition key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyError {
    /// It has no prefix such as `aws:`.
    NoPrefix,
    Variable(VariableError),
}

impl ConditionKey {
    /// `syntax` is that of the names of encryption contexts' keys: with variables or without, and never with wildcards.
    pub(crate) fn parse(name: &str, syntax: Syntax) -> Result<Self, KeyError> {
        match name.split_once(':') {
            Some((prefix, rest)) if !prefix.is_empty() && !rest.is_empty() => {}
            _ => return Err(KeyError::NoPrefix),
        }
        if let Some(known) = Known::ALL.iter().find(|known| known.name().eq_ignore_ascii_case(name)) {
            return Ok(Self::Known(*known));
        }
        if let Some(key) = after(name, "kms:EncryptionContext:") {
            let pattern = Pattern::parse(key, Case::Ignored, syntax).map_err(KeyError::Variable)?;
            return Ok(Self::EncryptionContext(ContextKey(Box::new(pattern))));
        }
        Ok(if let Some(key) = after(name, "aws:PrincipalTag/") {
            Self::PrincipalTag(key.into())
        } else if let Some(key) = after(name, "aws:RequestTag/") {
            Self::RequestTag(key.into())
        } else if let Some(key) = after(name, "aws:ResourceTag/") {
            Self::ResourceTag(key.into())
        } else if let Some(part) = after(name, "kms:RecipientAttestation:") {
            Self::RecipientAttestation(part.to_ascii_lowercase().into())
        } else {
            Self::Other(name.to_ascii_lowercase().into())
        })
    }
}

/// What follows a prefix that matches in whatever case; nothing is no name.
fn after<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    (start.eq_ignore_ascii_case(prefix) && !rest.is_empty()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str) -> ConditionKey {
        ConditionKey::parse(name, Syntax { variables: true, wildcards: false }).unwrap()
    }

    #[test]
    fn names_without_a_prefix_are_refused() {
        for name in ["", "aws", ":", "aws:", ":SourceIp", "SourceIp"] {
            let refused = ConditionKey::parse(name, Syntax { variables: true, wildcards: false });
            assert_eq!(refused, Err(KeyError::NoPrefix), "{name}");
        }
    }

    #[test]
    fn look_alikes_are_other_keys() {
        // A Kelvin sign, a Turkish dotless i, a long s: none of them is a letter of the alphabet here.
        for name in [
            "\u{212a}ms:KeySpec",
            "aws:Source\u{131}p",
            "aw\u{17f}:SourceIp",
            "aws:SourceIp ",
            "aws:Source-Ip",
        ] {
            assert!(matches!(parse(name), ConditionKey::Other(_)), "{name}");
        }
    }

    #[test]
    fn names_are_known_in_whatever_case() {
        for known in Known::ALL {
            assert_eq!(parse(known.name()), ConditionKey::Known(*known));
            assert_eq!(parse(&known.name().to_uppercase()), ConditionKey::Known(*known));
        }
        assert_eq!(parse("AWS:principaltag/Team"), ConditionKey::PrincipalTag("Team".into()));
        assert_eq!(parse("aws:RequestTag/a:b/c"), ConditionKey::RequestTag("a:b/c".into()));
        assert_eq!(parse("aws:ResourceTag/x"), ConditionKey::ResourceTag("x".into()));
        assert_eq!(parse("aws:ResourceTag/"), ConditionKey::Other("aws:resourcetag/".into()));
        assert_eq!(parse("kms:RecipientAttestation:PCR0"), ConditionKey::RecipientAttestation("pcr0".into()));
        assert!(matches!(parse("KMS:encryptioncontext:Dept"), ConditionKey::EncryptionContext(_)));
    }
}
