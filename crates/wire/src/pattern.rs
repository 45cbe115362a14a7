//! The patterns of the model, each as a function.
//!
//! There is no regular expression engine in the product: the model has a score of patterns, all simple, and what runs on
//! every request should be readable. `cargo xtask codegen` maps each pattern to its function here and fails on one it
//! does not know. As in AWS, the whole text must match, anchors or not, and classes such as `\w` are ASCII.

/// `[\w]+`
pub(crate) fn word(text: &str) -> bool {
    each(text, is_word)
}

/// `^[\w+=,.@:/-]+$`
pub(crate) fn principal(text: &str) -> bool {
    each(text, |byte| is_word(byte) || b"+=,.@:/-".contains(&byte))
}

/// `^[a-zA-Z0-9:/_-]+$`
pub(crate) fn name_with_colons(text: &str) -> bool {
    each(text, |byte| is_word(byte) || b":/-".contains(&byte))
}

/// `^[a-zA-Z0-9-_.]+$`
pub(crate) fn name_with_dots(text: &str) -> bool {
    each(text, |byte| is_word(byte) || b"-.".contains(&byte))
}

/// `^[a-zA-Z0-9:/_\s.-]+$`
pub(crate) fn description(text: &str) -> bool {
    each(text, |byte| is_word(byte) || b":/.- \t\n\x0b\x0c\r".contains(&byte))
}

/// `^[a-zA-Z0-9\/+=]+$`
pub(crate) fn base64_characters(text: &str) -> bool {
    each(text, |byte| byte.is_ascii_alphanumeric() || b"/+=".contains(&byte))
}

/// `^[A-Z2-7]+$`
pub(crate) fn base32_characters(text: &str) -> bool {
    each(text, |byte| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte))
}

/// `^[a-f0-9]+$`
pub(crate) fn lower_hex(text: &str) -> bool {
    each(text, |byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// `[0-9]{12}`
pub(crate) fn twelve_digits(text: &str) -> bool {
    text.len() == 12 && digits(text)
}

/// `[\u0020-\u00FF]*`
pub(crate) fn latin_line(text: &str) -> bool {
    text.chars().all(|character| (' '..='\u{ff}').contains(&character))
}

/// `[\u0009\u000A\u000D\u0020-\u00FF]+`
pub(crate) fn latin_text(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|character| matches!(character, '\t' | '\n' | '\r' | ' '..='\u{ff}'))
}

/// `^([a-z]+-){2,3}\d+$`
pub(crate) fn region(text: &str) -> bool {
    let Some((words, number)) = text.rsplit_once('-') else { return false };
    let lower = |word: &str| each(word, |byte| byte.is_ascii_lowercase());
    digits(number) && words.split('-').all(lower) && matches!(words.split('-').count(), 2 | 3)
}

/// `^([A-Za-z0-9\-]+)\.([A-Za-z0-9\-]+)(\.[A-Za-z0-9\-]+)+$`
pub(crate) fn service_principal(text: &str) -> bool {
    let label = |label: &str| each(label, |byte| byte.is_ascii_alphanumeric() || byte == b'-');
    text.split('.').count() >= 3 && text.split('.').all(label)
}

/// `^arn:aws[a-z0-9-]*:[a-z0-9-]+:[a-z0-9-]*:[0-9]{12}:.+$`
pub(crate) fn source_arn(text: &str) -> bool {
    let mut fields = text.splitn(6, ':');
    let (Some("arn"), Some(partition), Some(service), Some(region), Some(account), Some(resource)) =
        (fields.next(), fields.next(), fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return false;
    };
    let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    // What `.` does not match in Java.
    let ends_line = |character| matches!(character, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
    partition.strip_prefix("aws").is_some_and(|rest| rest.bytes().all(lower))
        && each(service, lower)
        && region.bytes().all(lower)
        && twelve_digits(account)
        && !resource.is_empty()
        && !resource.contains(ends_line)
}

/// `cluster-[2-7a-zA-Z]{11,16}`
pub(crate) fn cluster_id(text: &str) -> bool {
    text.strip_prefix("cluster-").is_some_and(|id| {
        (11..=16).contains(&id.len())
            && each(id, |byte| byte.is_ascii_alphabetic() || (b'2'..=b'7').contains(&byte))
    })
}

/// `^https://[a-zA-Z0-9.-]+$`
pub(crate) fn https_endpoint(text: &str) -> bool {
    text.strip_prefix("https://")
        .is_some_and(|host| each(host, |byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte)))
}

/// `^(/[a-zA-Z0-9\/_-]+/kms/xks/v\d{1,2})$|^(/kms/xks/v\d{1,2})$`
pub(crate) fn proxy_path(text: &str) -> bool {
    let Some((prefix, version)) = text.rsplit_once("/kms/xks/v") else { return false };
    let prefix_fits = prefix.is_empty()
        || prefix
            .strip_prefix('/')
            .is_some_and(|rest| each(rest, |byte| is_word(byte) || b"/-".contains(&byte)));
    matches!(version.len(), 1 | 2) && digits(version) && prefix_fits
}

/// `^(com|eu)\.amazonaws\.vpce\.([a-z]+-){2,3}\d+\.vpce-svc-[0-9a-z]+$`
pub(crate) fn vpc_endpoint_service(text: &str) -> bool {
    let named = text.strip_prefix("com").or_else(|| text.strip_prefix("eu"));
    let Some(rest) = named.and_then(|rest| rest.strip_prefix(".amazonaws.vpce.")) else { return false };
    rest.split_once(".vpce-svc-").is_some_and(|(region_name, id)| {
        region(region_name) && each(id, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    })
}

/// At least one byte, and each of them allowed.
fn each(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(allowed)
}

fn digits(text: &str) -> bool {
    each(text, |byte| byte.is_ascii_digit())
}

/// `\w`
const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::string::string_regex;
    use proptest::test_runner::TestRunner;

    use super::*;

    type Matcher = fn(&str) -> bool;

    /// Each matcher, its pattern without anchors, and texts just outside of it.
    const CASES: &[(Matcher, &str, &[&str])] = &[
        (word, r"[0-9A-Za-z_]+", &["", "a-b", "é", "a b", "a\n"]),
        (principal, r"[0-9A-Za-z_+=,.@:/-]+", &["", "a b", "é", "a*", "a\n"]),
        (name_with_colons, r"[a-zA-Z0-9:/_-]+", &["", "a.b", "a b", "ü", "alias/x\n"]),
        (name_with_dots, r"[a-zA-Z0-9_.-]+", &["", "a/b", "a:b", "ü", "a\n"]),
        (description, r"[a-zA-Z0-9:/_ \t\n\x0B\f\r.-]+", &["", "a,b", "\u{85}", "\u{a0}", "a\u{1c}"]),
        (base64_characters, r"[a-zA-Z0-9/+=]+", &["", "a-b", "a_b", "a b"]),
        (base32_characters, r"[A-Z2-7]+", &["", "A1", "A8", "a", "A="]),
        (lower_hex, r"[a-f0-9]+", &["", "A", "g", "0x", "0 "]),
        (twelve_digits, r"[0-9]{12}", &["", "12345678901", "1234567890123", "12345678901a", "١١١١١١"]),
        (latin_line, r"[\x20-\u{FF}]*", &["\t", "\n", "\u{100}", "a\u{1f}", "€"]),
        (latin_text, r"[\t\n\r\x20-\u{FF}]+", &["", "\u{b}", "\u{100}", "a\u{1f}", "€"]),
        (
            region,
            r"([a-z]+-){2,3}[0-9]+",
            &[
                "",
                "us-1",
                "us-east-",
                "us-east",
                "a-b-c-d-1",
                "us-EAST-1",
                "us--1",
                "-us-east-1",
                "us-east-1a",
                "1",
            ],
        ),
        (
            service_principal,
            r"([A-Za-z0-9\-]+)\.([A-Za-z0-9\-]+)(\.[A-Za-z0-9\-]+)+",
            &["", "a.b", "a..b", ".a.b.c", "a.b.c.", "a.b.c_d", "a.b.ü"],
        ),
        (
            source_arn,
            r"arn:aws[a-z0-9-]*:[a-z0-9-]+:[a-z0-9-]*:[0-9]{12}:[^\n\r\u{85}\u{2028}\u{2029}]+",
            &[
                "",
                "arn:aws:s3::111122223333",
                "arn:aws:s3::111122223333:",
                "arn:aws:s3::1:bucket",
                "arn:aws::us-east-1:111122223333:bucket",
                "arn:azure:s3::111122223333:bucket",
                "arn:aws:S3::111122223333:bucket",
                "arn:aws:s3::111122223333:a\u{2028}b",
                "xarn:aws:s3::111122223333:bucket",
            ],
        ),
        (
            cluster_id,
            r"cluster-[2-7a-zA-Z]{11,16}",
            &[
                "",
                "cluster-",
                "cluster-2345672345",
                "cluster-23456723456723456",
                "cluster-12345672345",
                "Cluster-23456723456",
            ],
        ),
        (
            https_endpoint,
            r"https://[a-zA-Z0-9.-]+",
            &["", "https://", "http://a", "https://a/", "https://a:1", "HTTPS://a"],
        ),
        (
            proxy_path,
            r"(/[a-zA-Z0-9/_-]+)?/kms/xks/v[0-9]{1,2}",
            &[
                "",
                "/kms/xks/v",
                "/kms/xks/v123",
                "/kms/xks/vx",
                "a/kms/xks/v1",
                "//kms/xks/v1/",
                "/a.b/kms/xks/v1",
                "/kms/xks/v1 ",
            ],
        ),
        (
            vpc_endpoint_service,
            r"(com|eu)\.amazonaws\.vpce\.([a-z]+-){2,3}[0-9]+\.vpce-svc-[0-9a-z]+",
            &[
                "",
                "com.amazonaws.vpce.us-east-1.vpce-svc-",
                "com.amazonaws.vpce.us-east-1.vpce-svc-A",
                "com.amazonaws.vpce.us-1.vpce-svc-1",
                "org.amazonaws.vpce.us-east-1.vpce-svc-1",
                "comeu.amazonaws.vpce.us-east-1.vpce-svc-1",
                "com.amazonaws.vpce.us-east-1.vpce-svc-1.vpce-svc-1",
            ],
        ),
    ];

    #[test]
    fn what_is_just_outside_a_pattern_is_refused() {
        for (matcher, pattern, outside) in CASES {
            for text in *outside {
                assert!(!matcher(text), "{pattern} {text:?}");
            }
        }
    }

    #[test]
    fn what_a_pattern_generates_is_accepted() {
        for (matcher, pattern, _) in CASES {
            let accepted = TestRunner::default().run(&string_regex(pattern).unwrap(), |text| {
                prop_assert!(matcher(&text), "{text:?}");
                Ok(())
            });
            assert!(accepted.is_ok(), "{pattern}: {accepted:?}");
        }
        // A prefix of one slash: the middle of the first alternative needs one character, a slash will do.
        assert!(proxy_path("///kms/xks/v1") && !proxy_path("//kms/xks/v"));
    }
}
