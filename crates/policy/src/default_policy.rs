//! The policy of a key that was created without one.

use strongroom_types::{AccountId, Partition};

/// AWS's text to the letter: GetKeyPolicy returns it, and Terraform compares it. It lets the account's own identity
/// policies decide (AWS KMS developer guide, "Default key policy").
pub fn default_key_policy(partition: Partition, account: AccountId) -> String {
    let partition = partition.as_str();
    format!(
        r#"{{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {{
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {{
      "AWS" : "arn:{partition}:iam::{account}:root"
    }},
    "Action" : "kms:*",
    "Resource" : "*"
  }} ]
}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyPolicy;

    const DEFAULT: &str = r#"{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "arn:aws:iam::111122223333:root"
    },
    "Action" : "kms:*",
    "Resource" : "*"
  } ]
}"#;

    #[test]
    fn the_text_is_aws_s() {
        let account = AccountId::parse("111122223333").unwrap();
        assert_eq!(default_key_policy(Partition::Aws, account), DEFAULT);
    }

    #[test]
    fn every_partition_s_text_parses() {
        let account = AccountId::parse("000000000001").unwrap();
        for partition in [Partition::Aws, Partition::AwsCn, Partition::AwsUsGov] {
            let text = default_key_policy(partition, account);
            assert!(text.contains(&format!("\"arn:{}:iam::000000000001:root\"", partition.as_str())));
            let policy = KeyPolicy::parse(&text).unwrap();
            assert_eq!(policy.sid(0), Some("Enable IAM User Permissions"));
            assert!(policy.principals().all(|principal| principal.exists(
                partition,
                |id| id == account,
                |_| false
            )));
        }
    }
}
