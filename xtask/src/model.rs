//! `cargo xtask model`: botocore's copy of AWS's service model, without its prose, becomes `model/kms.json`.
//!
//! The only place that reads botocore. The prose is Amazon's; names, shapes and constraints are facts of the protocol.
//! Every key is either kept, known to be prose, or an error: a trait that the generator has never heard of must not
//! vanish silently.

use std::path::Path;
use std::process::Command;

use crate::error::{TaskError, model_error, output_of, write};
use crate::json::Json;

/// Prints botocore's version, the SHA-256 of its model file as it lies there, and the model.
const SCRIPT: &str = "
import botocore, gzip, hashlib, os, sys
path = os.path.join(os.path.dirname(botocore.__file__), 'data', 'kms', '2014-11-01', 'service-2.json.gz')
with open(path, 'rb') as file:
    packed = file.read()
print(botocore.__version__)
print(hashlib.sha256(packed).hexdigest())
sys.stdout.write(gzip.decompress(packed).decode('utf-8'))
";

const SOURCE_PATH: &str = "botocore/data/kms/2014-11-01/service-2.json.gz";

/// Prose.
const DROPPED: &[&str] = &["documentation", "deprecatedMessage"];

const KEPT_IN_METADATA: &[&str] = &[
    "apiVersion",
    "endpointPrefix",
    "jsonVersion",
    "protocol",
    "protocols",
    "serviceAbbreviation",
    "serviceFullName",
    "serviceId",
    "signatureVersion",
    "targetPrefix",
    "uid",
    "auth",
];
const KEPT_IN_OPERATION: &[&str] = &["name", "http", "input", "output", "errors"];
const KEPT_IN_SHAPE: &[&str] = &[
    "type",
    "required",
    "members",
    "member",
    "key",
    "value",
    "enum",
    "min",
    "max",
    "pattern",
    "sensitive",
    "exception",
    "fault",
    "deprecated",
];
const KEPT_IN_REFERENCE: &[&str] = &["shape", "deprecated"];

pub(crate) fn run(root: &Path, botocore: Option<&Path>) -> Result<String, TaskError> {
    let mut python = Command::new("python3");
    python.args(["-c", SCRIPT]);
    if let Some(directory) = botocore {
        python.env("PYTHONPATH", directory);
    }
    let printed = output_of(&mut python, "")?;
    let mut parts = printed.splitn(3, '\n');
    let (Some(version), Some(sha256), Some(source)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(model_error("botocore was not read"));
    };
    let source: Json = serde_json::from_str(source)
        .map_err(|source| TaskError::Json { what: "botocore's model".to_owned(), source })?;
    let model = stripped(&source, version, sha256)?;
    let text = serde_json::to_string_pretty(&model)
        .map_err(|source| TaskError::Json { what: "the stripped model".to_owned(), source })?;
    write(&root.join("model/kms.json"), &(text + "\n"))?;
    let operations = model.member("operations").map_or(0, |operations| operations.members().len());
    Ok(format!("model/kms.json: {operations} operations from botocore {version}"))
}

fn stripped(source: &Json, version: &str, sha256: &str) -> Result<Json, TaskError> {
    let part = |name: &str| source.member(name).ok_or_else(|| model_error(format!("no `{name}`")));
    let header = Json::Object(vec![
        ("botocoreVersion".to_owned(), version.into()),
        ("file".to_owned(), SOURCE_PATH.into()),
        ("sha256".to_owned(), sha256.into()),
    ]);
    Ok(Json::Object(vec![
        ("source".to_owned(), header),
        ("metadata".to_owned(), kept(part("metadata")?, "metadata", KEPT_IN_METADATA, &whole)?),
        ("operations".to_owned(), each(part("operations")?, &operation)?),
        ("shapes".to_owned(), each(part("shapes")?, &shape)?),
    ]))
}

type Strip<'a> = &'a dyn Fn(&str, &Json) -> Result<Json, TaskError>;

/// An object of named things, each stripped by itself, sorted by name.
fn each(things: &Json, strip: Strip<'_>) -> Result<Json, TaskError> {
    let mut members = Vec::new();
    for (name, value) in things.members() {
        members.push((name.clone(), strip(name, value)?));
    }
    members.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(Json::Object(members))
}

fn operation(name: &str, operation: &Json) -> Result<Json, TaskError> {
    kept(operation, name, KEPT_IN_OPERATION, &|key, value| match key {
        "input" | "output" => reference(name, value),
        "errors" => references(name, value),
        _ => Ok(value.clone()),
    })
}

fn shape(name: &str, shape: &Json) -> Result<Json, TaskError> {
    kept(shape, name, KEPT_IN_SHAPE, &|key, value| match key {
        // The order of members is kept: it is the order of violations.
        "members" => {
            let mut members = Vec::new();
            for (member, value) in value.members() {
                members.push((member.clone(), reference(name, value)?));
            }
            Ok(Json::Object(members))
        }
        "member" | "key" | "value" => reference(name, value),
        _ => Ok(value.clone()),
    })
}

fn reference(context: &str, value: &Json) -> Result<Json, TaskError> {
    kept(value, context, KEPT_IN_REFERENCE, &whole)
}

fn references(context: &str, values: &Json) -> Result<Json, TaskError> {
    values.items().iter().map(|value| reference(context, value)).collect::<Result<_, _>>().map(Json::Array)
}

fn whole(_name: &str, value: &Json) -> Result<Json, TaskError> {
    Ok(value.clone())
}

/// The members of an object that are in `keep`, each put through `strip`. One that is neither kept nor prose is an error.
fn kept(object: &Json, context: &str, keep: &[&str], strip: Strip<'_>) -> Result<Json, TaskError> {
    let mut members = Vec::new();
    for (name, value) in object.members() {
        if keep.contains(&name.as_str()) {
            members.push((name.clone(), strip(name, value)?));
        } else if !DROPPED.contains(&name.as_str()) {
            return Err(model_error(format!("`{context}` has `{name}`, which this task does not know")));
        }
    }
    Ok(Json::Object(members))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(extra: &str) -> Json {
        let text = format!(
            r#"{{
              "version": "2.0",
              "metadata": {{"targetPrefix": "TrentService"}},
              "documentation": "<p>prose</p>",
              "operations": {{
                "Use": {{"name": "Use", "input": {{"shape": "In", "documentation": "prose"}}, "documentation": "prose"}},
                "Ask": {{"name": "Ask", "errors": [{{"shape": "Fault", "documentation": "prose"}}]}}
              }},
              "shapes": {{
                "In": {{
                  "type": "structure",
                  "members": {{
                    "Z": {{"shape": "S", "documentation": "prose", "deprecated": true, "deprecatedMessage": "prose"}},
                    "A": {{"shape": "S"}}
                  }}{extra}
                }}
              }}
            }}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn an_unknown_trait_is_an_error() {
        let error = stripped(&source(r#", "xmlOrder": ["A"]"#), "1", "2").unwrap_err();
        assert_eq!(error.to_string(), "the model: `In` has `xmlOrder`, which this task does not know");
    }

    #[test]
    fn prose_goes_and_the_order_of_members_stays() {
        let model = stripped(&source(""), "1.2.3", "ab").unwrap();
        let text = serde_json::to_string(&model).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"source":{"botocoreVersion":"1.2.3","file":"botocore/data/kms/2014-11-01/service-2.json.gz","#,
                r#""sha256":"ab"},"metadata":{"targetPrefix":"TrentService"},"#,
                r#""operations":{"Ask":{"name":"Ask","errors":[{"shape":"Fault"}]},"#,
                r#""Use":{"name":"Use","input":{"shape":"In"}}},"#,
                r#""shapes":{"In":{"type":"structure","members":{"Z":{"shape":"S","deprecated":true},"#,
                r#""A":{"shape":"S"}}}}}"#,
            )
        );
    }
}
