//! Every file of every corpus, through its target. A target fails by panicking.

use std::fs;
use std::path::PathBuf;

use strongroom_fuzz::TARGETS;

fn corpus(target: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "corpus", target].iter().collect()
}

#[test]
fn every_corpus_has_a_target() {
    let corpora = fs::read_dir(corpus("")).unwrap();
    let mut names: Vec<_> = corpora.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, TARGETS.map(|(name, _)| name.to_owned()));
}

macro_rules! replays {
    ($($target:ident)+) => {
        const REPLAYED: &[&str] = &[$(stringify!($target)),+];
        $(
            #[test]
            fn $target() {
                replay(stringify!($target));
            }
        )+
    };
}

replays! { attestation blob configuration event journal json_request key_input policy row sealed sigv4_header sigv4_query text }

#[test]
fn every_target_is_replayed() {
    assert_eq!(REPLAYED, TARGETS.map(|(name, _)| name));
}

fn replay(name: &str) {
    let (_, target) = TARGETS.iter().find(|(target, _)| *target == name).unwrap();
    let mut paths: Vec<_> = fs::read_dir(corpus(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort_unstable();
    assert!(paths.len() >= 10, "{} files", paths.len());
    for path in paths {
        // Shown only when it fails.
        println!("{}", path.display());
        target(&fs::read(&path).unwrap());
    }
    target(b"");
}
