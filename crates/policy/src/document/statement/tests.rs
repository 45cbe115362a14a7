use super::*;

/// A policy of one statement, with these elements besides a complete rest.
fn statement_with(elements: &str) -> String {
    format!(r#"{{"Statement":[{{"Effect":"Allow",{elements}}}]}}"#)
}

fn parse(text: &str) -> Result<Document, PolicyError> {
    Document::parse(text, Kind::Key)
}

const PRINCIPAL: &str = r#""Principal":"*""#;

fn refusal(text: &str) -> PolicyError {
    match parse(text) {
        Err(error) => error,
        Ok(document) => panic!("{text}: {document:?}"),
    }
}

fn problem(text: &str) -> Problem {
    match refusal(text) {
        PolicyError::Malformed { problem, .. } => problem,
        other => panic!("{text}: {other}"),
    }
}

#[test]
fn elements_that_exclude_each_other_are_refused() {
    for (elements, first, second) in [
        (r#""Principal":"*","NotPrincipal":"*""#, "Principal", "NotPrincipal"),
        (r#""Principal":"*","NotAction":"kms:*","Action":"kms:*""#, "Action", "NotAction"),
        (r#""Principal":"*","Resource":"*","NotResource":"*""#, "Resource", "NotResource"),
    ] {
        assert_eq!(problem(&statement_with(elements)), Problem::BothElements(first, second), "{elements}");
    }
}

#[test]
fn identities_policies_say_all_but_the_principal() {
    let refused = |elements: &str| {
        let text = format!(r#"{{"Statement":{{"Effect":"Allow",{elements}}}}}"#);
        match super::Document::parse(&text, Kind::Identity) {
            Err(PolicyError::Malformed { problem, .. }) => problem,
            other => panic!("{elements}: {other:?}"),
        }
    };
    let whole = r#""Action":"kms:*","Resource":"*""#;
    assert_eq!(refused(&format!(r#"{whole},"Principal":"*""#)), Problem::NotHere("Principal"));
    assert_eq!(refused(&format!(r#"{whole},"NotPrincipal":"*""#)), Problem::NotHere("NotPrincipal"));
    assert_eq!(refused(r#""Resource":"*""#), Problem::MissingElement("Action"));
    assert_eq!(refused(r#""NotAction":"kms:*""#), Problem::MissingElement("Resource"));
    let text = format!(r#"{{"Statement":{{"Effect":"Allow",{whole}}}}}"#);
    assert!(super::Document::parse(&text, Kind::Identity).unwrap().statements[0].principals.is_none());
}

#[test]
fn variables_are_those_of_the_newer_version() {
    let policy = |version: &str, resource: &str| {
        format!(r#"{{"Statement":{{"Effect":"Allow","Principal":"*","Resource":"{resource}"}}{version}}}"#)
    };
    let current = r#","Version":"2012-10-17""#;
    for resource in ["${", "${}", "${x}", "\\u0024\\u007bx}"] {
        assert!(matches!(problem(&policy(current, resource)), Problem::Variable(_)), "{resource}");
        assert!(parse(&policy("", resource)).is_ok(), "{resource}");
        assert!(parse(&policy(r#","Version":"2008-10-17""#, resource)).is_ok(), "{resource}");
    }
    assert_eq!(problem(&policy(current, &"${a:b}".repeat(9))), Problem::TooManyVariables);
    assert!(parse(&policy(current, &"${a:b}".repeat(8))).is_ok());
}

#[test]
fn unknown_elements_are_refused() {
    for (text, element) in [
        (r#"{"statement":[]}"#, "statement"),
        (r#"{"Comment":"x","Statement":[]}"#, "Comment"),
        (r#"{"Statement":{"effect":"Allow"}}"#, "effect"),
        (r#"{"Statement":{"Principals":"*"}}"#, "Principals"),
        (r#"{"Statement":{"Actio\u006e ":"*"}}"#, "Action "),
        (r#"{"Statement":{"Principal":{"aws":"*"}}}"#, "aws"),
        (r#"{"Statement":{"Principal":{"*":"*"}}}"#, "*"),
    ] {
        assert_eq!(problem(text), Problem::UnknownElement(element.to_owned()), "{text}");
    }
}

#[test]
fn wrong_types_are_refused() {
    let documents = [
        "[]",
        "1",
        "null",
        "true",
        r#""x""#,
        r#"{"Version":20121017}"#,
        r#"{"Id":null}"#,
        r#"{"Id":["x"]}"#,
        r#"{"Statement":"x"}"#,
        r#"{"Statement":null}"#,
        r#"{"Statement":[[]]}"#,
        r#"{"Statement":[null]}"#,
    ];
    let statements = [
        r#""Sid":1"#,
        r#""Sid":null"#,
        r#""Sid":["x"]"#,
        r#""Principal":null"#,
        r#""Principal":["*"]"#,
        r#""Principal":{"AWS":null}"#,
        r#""Principal":{"AWS":111122223333}"#,
        r#""Principal":{"AWS":[["*"]]}"#,
        r#""Principal":{"Service":{}}"#,
        r#""Action":null"#,
        r#""Action":{}"#,
        r#""Action":[1]"#,
        r#""Action":[["kms:*"]]"#,
        r#""Resource":true"#,
        r#""Resource":[null]"#,
    ];
    let statements = statements.map(statement_with);
    for text in documents.into_iter().chain(statements.iter().map(String::as_str)) {
        assert!(matches!(problem(text), Problem::WrongType { .. }), "{text}");
    }
    let effect = problem(r#"{"Statement":{"Effect":["Allow"]}}"#);
    assert_eq!(effect, Problem::WrongType { expected: "a string", found: "an array" });
}

#[test]
fn wrong_values_are_refused() {
    let documents = [
        r#"{"Version":"2012-10-18"}"#,
        r#"{"Version":""}"#,
        r#"{"Version":"2012-10-17 "}"#,
        r#"{"Statement":{"Effect":"allow"}}"#,
        r#"{"Statement":{"Effect":"ALLOW"}}"#,
        r#"{"Statement":{"Effect":""}}"#,
        r#"{"Statement":{"Action":"Encrypt"}}"#,
        r#"{"Statement":{"Action":["kms:*",""]}}"#,
        r#"{"Statement":{"Action":"kms:${x}"}}"#,
        r#"{"Statement":{"Condition":{"StringEqual":{}}}}"#,
        r#"{"Statement":{"Condition":{"stringequals":{}}}}"#,
    ];
    for text in documents {
        assert!(matches!(problem(text), Problem::InvalidValue { .. }), "{text}");
    }
    for principal in [
        r#""111122223333""#,
        r#""""#,
        r#"{"AWS":"Bob"}"#,
        r#"{"AWS":["*","${x}"]}"#,
        r#"{"CanonicalUser":"*"}"#,
        r#"{"Federated":"google"}"#,
        r#"{"Service":"*"}"#,
    ] {
        let text = statement_with(&format!(r#""Principal":{principal}"#));
        assert!(matches!(refusal(&text), PolicyError::InvalidPrincipal { .. }), "{text}");
    }
}

#[test]
fn look_alike_digits_are_no_account() {
    let text = statement_with(r#""Principal":{"AWS":["111122223333","１11122223333"]}"#);
    let PolicyError::InvalidPrincipal { principal, at } = refusal(&text) else { panic!() };
    assert_eq!((principal.as_str(), at.path.as_str()), ("１11122223333", "Statement[0].Principal.AWS[1]"));
    let escaped = statement_with(r#""Principal":{"AWS":"\uff1111122223333"}"#);
    assert!(matches!(refusal(&escaped), PolicyError::InvalidPrincipal { .. }));
}

#[test]
fn what_is_required_must_be_there() {
    assert_eq!(problem("{}"), Problem::MissingElement("Statement"));
    assert_eq!(problem(r#"{"Version":"2012-10-17","Statement":[]}"#), Problem::NoStatement);
    assert_eq!(problem(r#"{"Statement":{}}"#), Problem::MissingElement("Effect"));
    assert_eq!(problem(&statement_with(r#""Action":"*""#)), Problem::MissingElement("Principal"));
    assert_eq!(problem(r#"{"Statement":{"Principal":"*"}}"#), Problem::MissingElement("Effect"));
}

#[test]
fn elements_that_appear_twice_are_refused_at_each_level() {
    for (text, path) in [
        (r#"{"Version":"2012-10-17","Version":"2008-10-17","Statement":[]}"#.to_owned(), ""),
        (r#"{"Statement":[],"Statement":{}}"#.to_owned(), ""),
        (statement_with(r#""Effect":"Deny""#), "Statement[0]"),
        (statement_with(r#""\u0045ffect":"Allow""#), "Statement[0]"),
        (statement_with(r#""Principal":{"AWS":"*","AWS":"*"}"#), "Statement[0].Principal"),
        (statement_with(r#""Condition":{"Bool":{},"Bool":{}}"#), "Statement[0].Condition"),
        (statement_with(r#""Condition":{"Bool":{"a":"1","a":"2"}}"#), "Statement[0].Condition.Bool"),
    ] {
        let PolicyError::Malformed { problem: Problem::DuplicateElement(_), at } = refusal(&text) else {
            panic!("{text}")
        };
        assert_eq!(at.path, path, "{text}");
    }
}

#[test]
fn statement_ids_are_unique() {
    let two = |first: &str, second: &str| {
        let statement = |sid| format!(r#"{{"Sid":"{sid}","Effect":"Allow",{PRINCIPAL}}}"#);
        format!(r#"{{"Statement":[{},{}]}}"#, statement(first), statement(second))
    };
    assert_eq!(problem(&two("a", "a")), Problem::DuplicateSid("a".to_owned()));
    assert_eq!(problem(&two("a", "\\u0061")), Problem::DuplicateSid("a".to_owned()));
    assert!(parse(&two("a", "A")).is_ok());
    // An empty id is none.
    let document = parse(&two("", "")).unwrap();
    assert!(document.statements.iter().all(|statement| statement.sid.is_none()));
}

#[test]
fn one_statement_and_an_array_of_them_are_read() {
    let bare = parse(r#"{"Statement":{"Effect":"Deny","Principal":"*"}}"#).unwrap();
    assert_eq!((bare.statements.len(), bare.statements[0].effect), (1, Effect::Deny));
    let text = r#"{"Id":"","Version":"2008-10-17","Statement":[
        {"Sid":"é","Effect":"Allow","Principal":{"AWS":["111122223333","*"],"Federated":"accounts.google.com","Service":"logs.amazonaws.com"},
         "Action":["kms:Encrypt","kms:encrypt","s3:*"],"Resource":["*","arn:aws:kms:*"]},
        {"Effect":"Allow","Principal":{}}]}"#;
    let document = parse(text).unwrap();
    let [first, second] = &document.statements[..] else { panic!() };
    let counts = |statement: &Statement| {
        let Some(Negatable::Only(principals)) = &statement.principals else { panic!() };
        let Negatable::Only(resources) = &statement.resources else { panic!() };
        (principals.len(), resources.len())
    };
    assert_eq!((first.sid.as_deref(), counts(first)), (Some("é"), (4, 2)));
    assert_eq!(first.actions, ActionSet::matching("kms:Encrypt").unwrap());
    assert!(counts(second) == (0, 0) && second.actions.is_empty());
}

#[test]
fn length_is_checked_in_characters() {
    let at_the_limit = "é".repeat(POLICY_CHARACTERS_MAX);
    let past_it = format!("{at_the_limit}x");
    assert_eq!(check_length(&past_it), Err(PolicyError::TooLong { characters: POLICY_CHARACTERS_MAX + 1 }));
    assert_eq!(check_length(&at_the_limit), Ok(()));
}
