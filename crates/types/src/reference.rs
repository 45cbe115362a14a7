//! How a request names a key.

use crate::{AccountId, AliasArn, AliasName, KeyArn, KeyId, RegionName};

/// The four forms in which a request names a key (AWS KMS developer guide, "Key identifiers").
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyReference {
    Alias(AliasName),
    AliasArn(AliasArn),
    Arn(KeyArn),
    Id(KeyId),
}

/// Why a text names no key. AWS answers each of these differently; `kms` turns them into its errors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyReferenceError {
    #[error("`{0}` is not an alias name")]
    InvalidAlias(String),
    #[error("`{0}` is not a KMS ARN")]
    InvalidArn(String),
    #[error("`{0}` is not a key id")]
    InvalidKeyId(String),
    /// A well-formed ARN whose partition is not that of its region.
    #[error("`{0}` is of another partition")]
    WrongPartition(String),
}

impl KeyReference {
    pub fn parse(text: &str) -> Result<Self, KeyReferenceError> {
        if text.starts_with("arn:") {
            return Self::parse_arn(text);
        }
        if text.starts_with(AliasName::PREFIX) {
            return AliasName::parse(text)
                .map(Self::Alias)
                .map_err(|_| KeyReferenceError::InvalidAlias(text.to_owned()));
        }
        KeyId::parse(text).map(Self::Id).map_err(|_| KeyReferenceError::InvalidKeyId(text.to_owned()))
    }

    fn parse_arn(text: &str) -> Result<Self, KeyReferenceError> {
        let invalid = || KeyReferenceError::InvalidArn(text.to_owned());
        let mut fields = text.splitn(6, ':');
        let (Some("arn"), Some(partition), Some("kms"), Some(region), Some(account), Some(resource)) =
            (fields.next(), fields.next(), fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(invalid());
        };
        let region = RegionName::parse(region).map_err(|_| invalid())?;
        let account = AccountId::parse(account).map_err(|_| invalid())?;
        let reference = if let Some(key_id) = resource.strip_prefix("key/") {
            let key_id =
                KeyId::parse(key_id).map_err(|_| KeyReferenceError::InvalidKeyId(key_id.to_owned()))?;
            Self::Arn(KeyArn { region: region.clone(), account, key_id })
        } else if resource.starts_with(AliasName::PREFIX) {
            let name = AliasName::parse(resource).map_err(|_| invalid())?;
            Self::AliasArn(AliasArn { region: region.clone(), account, name })
        } else {
            return Err(invalid());
        };
        if partition != region.partition().as_str() {
            return Err(KeyReferenceError::WrongPartition(text.to_owned()));
        }
        Ok(reference)
    }

    /// The region that an ARN names; a bare id or alias is of the region that was asked.
    pub fn region(&self) -> Option<&RegionName> {
        match self {
            Self::Alias(_) | Self::Id(_) => None,
            Self::AliasArn(arn) => Some(&arn.region),
            Self::Arn(arn) => Some(&arn.region),
        }
    }

    /// The alias, if the key is named by one.
    pub fn alias(&self) -> Option<&AliasName> {
        match self {
            Self::Alias(name) => Some(name),
            Self::AliasArn(arn) => Some(&arn.name),
            Self::Arn(_) | Self::Id(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";

    #[test]
    fn malformed_references_say_which_kind_they_are() {
        use KeyReferenceError::*;
        let cases = [
            ("nonsense", InvalidKeyId("nonsense".into())),
            ("alias/a b", InvalidAlias("alias/a b".into())),
            ("arn:aws:kms:us-east-1:111122223333:key/no", InvalidKeyId("no".into())),
            (
                "arn:aws:kms:us-east-1:111122223333:queue/x",
                InvalidArn("arn:aws:kms:us-east-1:111122223333:queue/x".into()),
            ),
            (
                "arn:aws:s3:us-east-1:111122223333:key/x",
                InvalidArn("arn:aws:s3:us-east-1:111122223333:key/x".into()),
            ),
            ("arn:aws:kms:us-east-1:1:key/x", InvalidArn("arn:aws:kms:us-east-1:1:key/x".into())),
            ("arn:aws:kms", InvalidArn("arn:aws:kms".into())),
        ];
        for (text, error) in cases {
            assert_eq!(KeyReference::parse(text), Err(error), "{text}");
        }
        let foreign = format!("arn:aws-cn:kms:us-east-1:111122223333:key/{ID}");
        assert_eq!(KeyReference::parse(&foreign), Err(WrongPartition(foreign)));
    }

    #[test]
    fn all_four_forms_are_known() {
        assert!(matches!(KeyReference::parse(ID), Ok(KeyReference::Id(_))));
        assert!(matches!(KeyReference::parse("alias/app/x"), Ok(KeyReference::Alias(_))));
        let arn = format!("arn:aws:kms:us-east-1:111122223333:key/{ID}");
        let Ok(KeyReference::Arn(parsed)) = KeyReference::parse(&arn) else { panic!("{arn}") };
        assert_eq!(parsed.to_string(), arn);
        let arn = "arn:aws-cn:kms:cn-north-1:111122223333:alias/app/x";
        let Ok(KeyReference::AliasArn(parsed)) = KeyReference::parse(arn) else { panic!("{arn}") };
        assert_eq!(parsed.to_string(), arn);
    }
}
