use std::error::Error;

use super::*;

const ACCOUNT: &str = "111122223333";

fn regions() -> [RegionName; 2] {
    ["eu-central-1", "us-east-1"].map(|name| RegionName::parse(name).unwrap())
}

fn seed(text: &str) -> Result<(usize, usize), String> {
    let account = AccountId::parse(ACCOUNT).unwrap();
    let seed = take(Path::new("seed.toml"), text, account, &regions());
    seed.map(|seed| seed.counts()).map_err(|error| match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    })
}

#[test]
fn what_is_no_seed_is_refused_by_line_and_name() {
    let key = "[[key]]\nid = \"11111111-1111-4111-8111-111111111111\"\nregion = \"us-east-1\"\n";
    for (text, line, problem) in [
        ("keys = []".to_owned(), 1, "unknown field `keys`"),
        ("[[key]]\nregion = \"us-east-1\"".to_owned(), 1, "missing field `id`"),
        (format!("{key}alias = \"alias/app\""), 4, "unknown field `alias`"),
        (format!("{key}aliases = \"alias/app\""), 4, "expected a sequence"),
        (format!("{key}tags = {{ team = 1 }}"), 4, "expected a string"),
        (format!("{key}tags = {{ a = \"\", a = \"\" }}"), 4, "duplicate key"),
        (format!("{key}[[key"), 4, "unclosed array table"),
    ] {
        let told = seed(&text).unwrap_err();
        assert!(told.starts_with(&format!("the seed `seed.toml`, line {line}: ")), "{told}");
        assert!(told.contains(problem), "{told}");
    }
    let told = seed(&format!("{key}tags = {{ \"aws:x\" = \"\" }}")).unwrap_err();
    let expected = "the seed `seed.toml` is refused: table `[[key]]` number 1, field `tags`: Tags beginning with aws: are reserved";
    assert_eq!(told, expected);
    assert_eq!(seed(key), Ok((1, 0)));
}

#[test]
fn a_seed_has_a_mebibyte_and_no_more() {
    let path = std::env::temp_dir().join(format!("strongroom-seed-{}.toml", std::process::id()));
    let read = |bytes: usize| {
        std::fs::write(&path, format!("#{}", "x".repeat(bytes - 1))).unwrap();
        read_seed(&path, AccountId::NONE, &regions()).map(|seed| seed.counts())
    };
    let told = read(SEED_BYTES_MAX + 1).unwrap_err();
    assert!(told.to_string().ends_with("is larger than 1048576 bytes"), "{told}");
    assert_eq!(read(SEED_BYTES_MAX).unwrap(), (0, 0));
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_seed_that_is_not_there_is_named() {
    let path = Path::new("/nonexistent/seed.toml");
    let Err(error) = read_seed(path, AccountId::NONE, &[]) else { panic!("it is there") };
    assert!(error.to_string().contains("`/nonexistent/seed.toml`"), "{error}");
}

/// The example of docs/operations.md, which the conformance suite runs.
#[test]
fn the_documented_seed_is_a_seed() {
    let document = include_str!("../../../../docs/operations.md");
    let (_, rest) = document.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    assert_eq!(seed(example), Ok((2, 2)));
}
