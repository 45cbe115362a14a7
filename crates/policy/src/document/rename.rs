//! A policy text with other names for some of its principals.

use super::json::{self, Content, Member, Value};
use crate::error::PolicyError;
use crate::principal::{PolicyIdentity, PolicyPrincipal};

/// The text with the users, roles and sessions in its Principal and NotPrincipal elements written as `rename` says, and
/// nothing else changed; `None` leaves one as it stands.
pub fn rename_principals(
    text: &str,
    mut rename: impl FnMut(&PolicyIdentity) -> Option<String>,
) -> Result<String, PolicyError> {
    let document = json::parse(text)?;
    let mut renamed = String::with_capacity(text.len());
    let mut rest = 0;
    for (start, name) in principals(&document) {
        let Some(PolicyPrincipal::Identity(identity)) = PolicyPrincipal::parse_aws(name) else { continue };
        let Some(new) = rename(&identity) else { continue };
        renamed.push_str(text.get(rest..start).unwrap_or_default());
        renamed.push('"');
        for character in new.chars() {
            if matches!(character, '"' | '\\') {
                renamed.push('\\');
            }
            renamed.push(character);
        }
        renamed.push('"');
        rest = start + string_bytes(text, start);
    }
    renamed.push_str(text.get(rest..).unwrap_or_default());
    Ok(renamed)
}

/// The strings under `AWS` of all statements, each with the place of its opening quote, in the order of the text.
fn principals<'v>(document: &'v Value<'_>) -> impl Iterator<Item = (usize, &'v str)> {
    let statements = named(document, |name| name == "Statement").flat_map(listed);
    let elements = statements.flat_map(|statement| {
        named(statement, |name| matches!(name, "Principal" | "NotPrincipal")).collect::<Vec<_>>()
    });
    let values = elements.flat_map(|element| named(element, |name| name == "AWS").flat_map(listed));
    values.filter_map(|value| match &value.content {
        Content::String(text) => Some((value.byte, &**text)),
        _ => None,
    })
}

fn named<'v, 't>(
    value: &'v Value<'t>,
    is_wanted: impl Fn(&str) -> bool,
) -> impl Iterator<Item = &'v Value<'t>> {
    let members: &[Member<'t>] = match &value.content {
        Content::Object(members) => members,
        _ => &[],
    };
    members.iter().filter(move |member| is_wanted(&member.name)).map(|member| &member.value)
}

fn listed<'v, 't>(value: &'v Value<'t>) -> &'v [Value<'t>] {
    match &value.content {
        Content::Array(values) => values,
        _ => std::slice::from_ref(value),
    }
}

/// How long the string is that begins here, its quotes among it.
fn string_bytes(text: &str, start: usize) -> usize {
    let mut is_escaped = false;
    let rest = text.bytes().skip(start + 1);
    let content = rest.take_while(|byte| {
        let ends = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        !ends
    });
    content.count() + 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_principals_are_renamed() {
        let bob = "arn:aws:iam::111122223333:user/bob";
        let text = |principal: &str| {
            format!(
                r#"{{ "Id":"{bob}", "Statement" : [{{"Sid":"x","Principal":{{"Service":"a.b.c","AWS":["*",{principal},"111122223333"]}},
                "Condition":{{"ArnEquals":{{"aws:PrincipalArn":"{bob}"}}}}}},{{"NotPrincipal":{{"AWS":{principal}}},"Resource":"{bob}"}}]}}"#
            )
        };
        let before = text(&format!("\"{bob}\""));
        assert_eq!(rename_principals(&before, |_| None).unwrap(), before);
        let renamed =
            rename_principals(&before, |identity| (identity.arn() == bob).then(|| "AIDA\"\\".to_owned()));
        assert_eq!(renamed.unwrap(), text(r#""AIDA\"\\""#));
        // However it is written, and with whatever a path may hold.
        for name in [r"b\u006fb", r#"te\"am\/bob"#, r#"te\\\"am\/bob"#] {
            let escaped = text(&format!(r#""arn:aws:iam::111122223333:user\/{name}""#));
            let renamed = rename_principals(&escaped, |_| Some("A".to_owned()));
            assert_eq!(renamed.unwrap(), text("\"A\""), "{name}");
        }
        assert!(rename_principals("{", |_| None).is_err());
    }
}
