//! Regions and the partitions they belong to.

use std::fmt;
use std::sync::Arc;

use crate::id::ParseIdError;
use crate::limits::REGION_NAME_BYTES_MAX;
use crate::log_safe::LogSafe;

/// The first field of an ARN after `arn:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Partition {
    Aws,
    AwsCn,
    AwsUsGov,
}

impl Partition {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::AwsCn => "aws-cn",
            Self::AwsUsGov => "aws-us-gov",
        }
    }
}

/// A region's name, such as `us-east-1`: lower-case letters, digits and single hyphens. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionName(Arc<str>);

impl RegionName {
    /// Accepts two to 32 characters of `[a-z0-9-]` that begin with a letter and do not begin, end or double a hyphen.
    pub fn parse(text: &str) -> Result<Self, ParseIdError> {
        let shaped = text.len() >= 2
            && text.len() <= REGION_NAME_BYTES_MAX
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && !text.ends_with('-')
            && !text.contains("--")
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        // `global` is the name of the rows that belong to no region.
        if !shaped || text == "global" {
            return Err(ParseIdError::new("a region name such as us-east-1", text));
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn partition(&self) -> Partition {
        if self.0.starts_with("cn-") {
            Partition::AwsCn
        } else if self.0.starts_with("us-gov-") {
            Partition::AwsUsGov
        } else {
            Partition::Aws
        }
    }

    /// The partition of AWS that a region of this name would belong to, if it is none of [`Partition`] (botocore,
    /// partitions.json: the expressions for region names).
    pub fn foreign_partition(&self) -> Option<&'static str> {
        const FOREIGN: [(&str, &str); 5] = [
            ("us-iso-", "aws-iso"),
            ("us-isob-", "aws-iso-b"),
            ("eu-isoe-", "aws-iso-e"),
            ("us-isof-", "aws-iso-f"),
            ("eusc-", "aws-eusc"),
        ];
        FOREIGN.into_iter().find(|(prefix, _)| self.0.starts_with(prefix)).map(|(_, partition)| partition)
    }
}

impl fmt::Display for RegionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl LogSafe for RegionName {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_names_are_refused() {
        for text in
            ["", "u", "-us", "us-", "us--1", "US-EAST-1", "us_east_1", "1us", "global", "us/east", "ü-1"]
        {
            assert!(RegionName::parse(text).is_err(), "{text}");
        }
        assert!(RegionName::parse(&"a".repeat(33)).is_err());
    }

    #[test]
    fn partitions_that_are_not_built_are_told() {
        for (name, partition) in [
            ("us-iso-east-1", Some("aws-iso")),
            ("us-isob-east-1", Some("aws-iso-b")),
            ("us-isof-south-1", Some("aws-iso-f")),
            ("eu-isoe-west-1", Some("aws-iso-e")),
            ("eusc-de-east-1", Some("aws-eusc")),
            ("us-isolated", None),
            ("eu-central-1", None),
            ("us-gov-west-1", None),
        ] {
            assert_eq!(RegionName::parse(name).unwrap().foreign_partition(), partition, "{name}");
        }
    }

    #[test]
    fn partition_follows_the_prefix() {
        let partition = |name: &str| RegionName::parse(name).unwrap().partition().as_str();
        assert_eq!(partition("eu-central-1"), "aws");
        assert_eq!(partition("cn-north-1"), "aws-cn");
        assert_eq!(partition("us-gov-west-1"), "aws-us-gov");
        assert_eq!(RegionName::parse(&"a".repeat(32)).unwrap().as_str().len(), 32);
    }
}
