//! The operations that are measured, and the bodies they are asked with.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Operation {
    GenerateDataKey,
    Encrypt,
    Decrypt,
    DescribeKey,
    CreateKey,
}

/// What requests are about: one key, and one ciphertext under it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Subject {
    pub(crate) key_id: String,
    pub(crate) ciphertext_blob: String,
}

/// Two pairs, as clients that use a context at all have them.
const CONTEXT: &str = r#"{"purpose":"bench","tenant":"0123456789abcdef"}"#;
/// 32 bytes, the size of a data key.
const PLAINTEXT: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

impl Operation {
    /// CreateKey comes last: the rows it leaves behind are then nobody else's burden.
    pub(crate) const ALL: [Self; 5] =
        [Self::GenerateDataKey, Self::Encrypt, Self::Decrypt, Self::DescribeKey, Self::CreateKey];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::GenerateDataKey => "GenerateDataKey",
            Self::Encrypt => "Encrypt",
            Self::Decrypt => "Decrypt",
            Self::DescribeKey => "DescribeKey",
            Self::CreateKey => "CreateKey",
        }
    }

    /// The operations that applications call all day, whose cost is what the design promises.
    pub(crate) const fn is_data(self) -> bool {
        matches!(self, Self::GenerateDataKey | Self::Encrypt | Self::Decrypt)
    }

    pub(crate) fn body(self, subject: &Subject) -> String {
        let Subject { key_id, ciphertext_blob } = subject;
        match self {
            Self::GenerateDataKey => {
                format!(r#"{{"KeyId":"{key_id}","KeySpec":"AES_256","EncryptionContext":{CONTEXT}}}"#)
            }
            Self::Encrypt => {
                format!(r#"{{"KeyId":"{key_id}","Plaintext":"{PLAINTEXT}","EncryptionContext":{CONTEXT}}}"#)
            }
            Self::Decrypt => {
                format!(r#"{{"CiphertextBlob":"{ciphertext_blob}","EncryptionContext":{CONTEXT}}}"#)
            }
            Self::DescribeKey => format!(r#"{{"KeyId":"{key_id}"}}"#),
            Self::CreateKey => r#"{"Description":"bench"}"#.to_owned(),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Operation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|operation| operation.name() == text);
        let names = || Self::ALL.map(Self::name).join(", ");
        found.ok_or_else(|| format!("not an operation of the bench, which are {}", names()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        assert!("Burn".parse::<Operation>().is_err());
        for operation in Operation::ALL {
            assert_eq!(operation.to_string().parse(), Ok(operation));
        }
    }

    #[test]
    fn bodies_are_json_about_the_subject() {
        let subject = Subject { key_id: "the-key".to_owned(), ciphertext_blob: "the-blob".to_owned() };
        for operation in Operation::ALL {
            let body = operation.body(&subject);
            assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok(), "{body}");
            assert_eq!(body.contains("the-blob"), operation == Operation::Decrypt);
        }
    }
}
