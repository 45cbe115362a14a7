//! ARNs of keys and aliases.

use std::fmt;

use crate::log_safe::LogSafe;
use crate::{AccountId, AliasName, KeyId, RegionName};

/// `arn:<partition>:kms:<region>:<account>:key/<key id>`
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyArn {
    pub region: RegionName,
    pub account: AccountId,
    pub key_id: KeyId,
}

/// `arn:<partition>:kms:<region>:<account>:alias/<name>`
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AliasArn {
    pub region: RegionName,
    pub account: AccountId,
    pub name: AliasName,
}

impl fmt::Display for KeyArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { region, account, key_id } = self;
        write!(f, "arn:{}:kms:{region}:{account}:key/{key_id}", region.partition().as_str())
    }
}

impl fmt::Display for AliasArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { region, account, name } = self;
        write!(f, "arn:{}:kms:{region}:{account}:{name}", region.partition().as_str())
    }
}

impl LogSafe for KeyArn {}
impl LogSafe for AliasArn {}
