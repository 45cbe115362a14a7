//! Random sequences of all operations, by several clients, against a small model of the service.
//!
//! The real corridor over a store in memory, or over SQLite, with real signatures, the real journal and drainer, the jobs
//! and a clock that the test moves; the model beside it knows no more than a user who has read the documentation. Every
//! answer must be one that the model has, and at the end, after a crash, everything that was acknowledged must be there,
//! the offline check clean, and every answer recorded once.
//!
//! A sequence follows from its seed. One that fails is shrunk and printed as a test that can be pasted into
//! `regressions.rs`. `STRONGROOM_SEQUENCES=N` plays N fresh sequences of each sort rather than a few; docs/testing.md says
//! more.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code"
)]

#[path = "../common/mod.rs"]
mod common;
mod interleaved;
mod model;
mod play;
mod policies;
mod race;
mod regressions;
mod scene;
mod shrink;
mod steps;
mod world;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};

use play::{Setup, Tally, play};
use race::Racer;
use steps::{Dice, Step};
use world::{Memory, Sqlite};

/// Steps of one sequence.
const LENGTH: usize = 120;
const SHRINKING_ATTEMPTS_MAX: usize = 3000;

/// A sort of sequence.
#[derive(Debug, Clone, Copy)]
enum Sort {
    Failing,
    OverSqlite,
    Smooth,
}

impl Sort {
    fn setup(self, seed: u64) -> Setup {
        let cached_rows_max = if seed.is_multiple_of(3) { 2 } else { 1000 };
        let engine = match self {
            Self::Failing | Self::Smooth => Memory,
            Self::OverSqlite => Sqlite,
        };
        Setup { engine, seed, cached_rows_max }
    }

    fn steps(self, seed: u64) -> Vec<Step> {
        Dice::sequence(seed, LENGTH, matches!(self, Self::Failing))
    }
}

/// How the sequence fails, if it does.
fn failure(steps: &[Step], setup: Setup, tally: &mut Tally) -> Option<String> {
    match catch_unwind(AssertUnwindSafe(|| play(steps, setup, tally))) {
        Ok(played) => played.err(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Some(format!("panicked: {}", text.unwrap_or_default()))
        }
    }
}

/// Plays one sequence; if it fails, says so with what there is left of it.
fn play_or_panic(sort: Sort, seed: u64, tally: &mut Tally) {
    let (steps, setup) = (sort.steps(seed), sort.setup(seed));
    let Some(wrong) = failure(&steps, setup, tally) else { return };
    println!("{sort:?} sequence of seed {seed} fails: {wrong}\nshrinking it");
    let fails = |steps: &[Step]| failure(steps, setup, &mut Tally::default());
    let (shrunk, wrong) = shrink::shrink(&steps, wrong, SHRINKING_ATTEMPTS_MAX, fails);
    panic!(
        "{sort:?} sequence of seed {seed}, shrunk to {} steps: {wrong}\n{}",
        shrunk.len(),
        as_test(&shrunk, setup)
    );
}

/// The sequence as a test.
fn as_test(steps: &[Step], setup: Setup) -> String {
    let steps: String = steps.iter().map(|step| format!("        {},\n", step.spell())).collect();
    format!("#[test]\nfn name_the_fact() {{\n    replay({setup:?}, &[\n{steps}    ]);\n}}")
}

/// How often a race is run again before it counts as one that does not fail.
const RACES_AGAIN: u32 = 12;

fn race_or_panic(seed: u64, tally: &mut Tally) {
    let (racers, setup) = (race::racers(seed), Sort::Smooth.setup(seed));
    let failure = |racers: &[Racer], tally: &mut Tally| {
        let race = AssertUnwindSafe(|| race::race(racers, setup, tally));
        catch_unwind(race).unwrap_or_else(|_| Err("panicked".to_owned())).err()
    };
    let Some(wrong) = failure(&racers, tally) else { return };
    println!("the race of seed {seed} fails: {wrong}\nshrinking it");
    let fails = |racers: &[Racer]| (0..RACES_AGAIN).find_map(|_| failure(racers, &mut Tally::default()));
    let (shrunk, wrong) = shrink::shrink(&racers, wrong, SHRINKING_ATTEMPTS_MAX / 30, fails);
    panic!("race of seed {seed}, shrunk to {} requests: {wrong}\n{shrunk:?}", shrunk.len());
}

/// Plays a sequence as a failure prints it.
fn replay(setup: Setup, steps: &[Step]) {
    if let Some(wrong) = failure(steps, setup, &mut Tally::default()) {
        panic!("{wrong}");
    }
}

/// Seeds that nobody has seen: a few, or one for each `share` of the sequences that the environment asks for.
#[expect(
    clippy::disallowed_methods,
    reason = "how long to test is the caller's wish, and no configuration of the product"
)]
fn fresh(few: u64, share: u64) -> impl Iterator<Item = u64> {
    let wanted =
        std::env::var("STRONGROOM_SEQUENCES").ok().map(|count| count.parse::<u64>().expect("a number"));
    let first = RandomState::new().build_hasher().finish() >> 16;
    (0..wanted.map_or(few, |wanted| wanted / share)).map(move |number| first + number)
}

fn play_all(sort: Sort, seeds: impl Iterator<Item = u64>) -> Tally {
    let mut tally = Tally::default();
    let mut played = 0;
    for seed in seeds {
        play_or_panic(sort, seed, &mut tally);
        played += 1;
    }
    println!("{sort:?}: {played} sequences, {tally:?}");
    tally
}

#[test]
fn sequences_are_answered_as_the_model_has_it() {
    let tally = play_all(Sort::Smooth, 1..=100);
    // A test that never meets a refusal does not test it.
    let met = [
        "AccessDenied",
        "AlreadyExists",
        "Disabled",
        "DryRunOperation",
        "IncorrectKey",
        "InvalidArn",
        "InvalidCiphertext",
        "InvalidGrantToken",
        "InvalidKeyUsage",
        "InvalidMarker",
        "InvalidSignature",
        "KMSInvalidState",
        "LimitExceeded",
        "MalformedPolicyDocument",
        "NotAuthorized",
        "NotFound",
        "Serialization",
        "Success",
        "Tag",
        "UnknownOperation",
        "UnsupportedOperation",
        "Validation",
    ];
    assert!(tally.outcomes.keys().eq(met), "{:?}", tally.outcomes);
    assert!(tally.destroyed > 0);
}

#[test]
fn fresh_sequences_are_answered_as_the_model_has_it() {
    play_all(Sort::Smooth, fresh(100, 1));
}

#[test]
fn while_calls_fail_no_change_is_lost_and_none_goes_unrecorded() {
    let tally = play_all(Sort::Failing, 1..=40);
    assert!(tally.in_doubt > 0 && tally.destroyed > 0);
}

#[test]
fn fresh_sequences_with_failing_calls_are_answered_as_the_model_has_it() {
    play_all(Sort::Failing, fresh(40, 1));
}

#[test]
fn over_sqlite_it_is_the_same() {
    play_all(Sort::OverSqlite, (1..=2).chain(fresh(2, 20)));
}

#[test]
fn what_clients_are_told_at_once_they_could_have_been_told_in_turn() {
    let mut tally = Tally::default();
    let mut raced = 0;
    for seed in (1..=60).chain(fresh(150, 1)) {
        race_or_panic(seed, &mut tally);
        raced += 1;
    }
    println!("{raced} races, {tally:?}");
    // Sometimes the job was first, sometimes the one who called the deletion off.
    assert!(tally.destroyed > 0 && tally.destroyed < raced);
}
