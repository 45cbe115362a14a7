//! The model's names in Rust's spelling.

use crate::error::{TaskError, model_error};

/// Capitals that would otherwise be split in the wrong places.
const ACRONYMS: &[(&str, &str)] = &[("AWS", "Aws"), ("CMKs", "Cmks"), ("KMS", "Kms")];

/// Values of enumerations that are words of Rust.
const VARIANTS: &[(&str, &str)] = &[("SELF", "Own")];

const KEYWORDS: &[&str] = &[
    "as", "break", "const", "continue", "crate", "else", "enum", "extern", "false", "fn", "for", "if",
    "impl", "in", "let", "loop", "match", "mod", "move", "mut", "pub", "ref", "return", "self", "static",
    "struct", "super", "trait", "true", "type", "unsafe", "use", "where", "while", "async", "await", "dyn",
    "gen", "try", "yield",
];

/// `KMSInternal` → `KmsInternal`.
pub(super) fn type_name(name: &str) -> String {
    ACRONYMS.iter().fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}

/// A structure's name: AWS's, but an output is called a reply. `EncryptResponse` → `EncryptReply`.
pub(super) fn structure_name(shape: &str) -> String {
    match shape.strip_suffix("Response") {
        Some(operation) => format!("{}Reply", type_name(operation)),
        None => type_name(shape),
    }
}

/// `AWSAccountId` → `aws_account_id`.
pub(super) fn field_name(name: &str) -> Result<String, TaskError> {
    let mut field = String::new();
    for character in type_name(name).chars() {
        if character.is_ascii_uppercase() && !field.is_empty() {
            field.push('_');
        }
        field.push(character.to_ascii_lowercase());
    }
    if KEYWORDS.contains(&field.as_str()) {
        return Err(model_error(format!("member `{name}` is a word of Rust")));
    }
    Ok(field)
}

/// `KeyIdType` → `KEY_ID_TYPE`.
pub(super) fn constant_name(shape: &str) -> Result<String, TaskError> {
    Ok(field_name(shape)?.to_ascii_uppercase())
}

/// The spelling in validation messages: `KeyId` → `keyId`.
pub(super) fn path_name(member: &str) -> String {
    let mut characters = member.chars();
    let first = characters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(characters).collect()
}

/// `RSA_2048` → `Rsa2048`; `PendingDeletion` stays.
pub(super) fn variant_name(value: &str) -> String {
    if let Some((_, variant)) = VARIANTS.iter().find(|(found, _)| *found == value) {
        return (*variant).to_owned();
    }
    if value.contains(|character: char| character.is_ascii_lowercase()) {
        return value.to_owned();
    }
    value.split('_').map(capitalized).collect()
}

fn capitalized(word: &str) -> String {
    let mut characters = word.chars();
    let first = characters.next();
    first.into_iter().chain(characters.map(|character| character.to_ascii_lowercase())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_is_a_word_of_rust_is_refused() {
        assert!(field_name("Type").is_err());
        assert!(field_name("Operation").is_ok());
    }

    #[test]
    fn names_read_well_in_rust() {
        let fields = [
            ("KeyId", "key_id"),
            ("AWSAccountId", "aws_account_id"),
            ("NumberOfBytes", "number_of_bytes"),
            ("XksProxyVpcEndpointServiceName", "xks_proxy_vpc_endpoint_service_name"),
        ];
        for (name, field) in fields {
            assert_eq!(field_name(name).unwrap(), field);
        }
        let variants = [
            ("RSA_2048", "Rsa2048"),
            ("ECC_SECG_P256K1", "EccSecgP256k1"),
            ("SM2PKE", "Sm2pke"),
            ("PendingDeletion", "PendingDeletion"),
            ("ReEncryptFrom", "ReEncryptFrom"),
            ("SELF", "Own"),
        ];
        for (value, variant) in variants {
            assert_eq!(variant_name(value), variant);
        }
        assert_eq!(type_name("CustomKeyStoreHasCMKs"), "CustomKeyStoreHasCmks");
        assert_eq!(structure_name("ListGrantsResponse"), "ListGrantsReply");
        assert_eq!(constant_name("KeyIdType").unwrap(), "KEY_ID_TYPE");
        assert_eq!(path_name("EncryptionContextSubset"), "encryptionContextSubset");
    }
}
