//! From a sequence that fails to a short one: parts of it are left out, large ones first, for as long as it still fails
//! (delta debugging: Zeller, Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002). Each attempt plays
//! from a fresh service.

/// A sequence of which nothing can be left out, and how it fails; as far as so many attempts lead.
pub(crate) fn shrink<S: Copy>(
    steps: &[S],
    wrong: String,
    attempts_max: usize,
    fails: impl Fn(&[S]) -> Option<String>,
) -> (Vec<S>, String) {
    let (mut steps, mut wrong, mut attempts) = (steps.to_vec(), wrong, 0);
    let mut part = steps.len().div_ceil(2).max(1);
    loop {
        let (mut start, mut is_shorter) = (0, false);
        while start < steps.len() && attempts < attempts_max {
            let end = (start + part).min(steps.len());
            let rest = [&steps[..start], &steps[end..]].concat();
            attempts += 1;
            match fails(&rest) {
                Some(how) => (steps, wrong, is_shorter) = (rest, how, true),
                None => start = end,
            }
        }
        match part {
            1 if !is_shorter => return (steps, wrong),
            _ if attempts >= attempts_max => return (steps, wrong),
            1 => {}
            _ => part = part.div_ceil(2),
        }
    }
}

#[test]
fn a_sequence_is_shrunk_to_what_it_needs_to_fail() {
    let needs = |steps: &[u32]| {
        let at = |wanted| steps.iter().position(|step| *step == wanted);
        let fails = at(17).is_some_and(|first| at(60).is_some_and(|then| first < then));
        fails.then(|| format!("{} steps", steps.len()))
    };
    let steps: Vec<u32> = (0..100).collect();
    let (shrunk, wrong) = shrink(&steps, String::new(), 10_000, needs);
    assert_eq!((&shrunk[..], &*wrong), (&[17, 60][..], "2 steps"));
    // What comes last is a fault of its own.
    let (shrunk, _) = shrink(&steps, "100 steps".to_owned(), 0, needs);
    assert_eq!(shrunk.len(), 100);
}
