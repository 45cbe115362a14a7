//! Reads beside commits.

use std::sync::atomic::{AtomicBool, Ordering};

use strongroom_store::{Batch, Expect, Store};

use super::{Case, batch, commit, expect, put, version, write};

pub(super) const CASES: &[Case] = &[
    ("a scan sees whole groups", scan_sees_whole_groups),
    ("a read sees what was acknowledged before", read_sees_what_was_acknowledged),
    ("groups of several threads come one after another", groups_come_one_after_another),
];

const GROUPS: u64 = 40;
const READERS: usize = 4;

fn group(number: u64) -> [Batch; 2] {
    [batch([], [put("a", number, b""), put("m", number, &[1; 9000])]), batch([], [put("z", number, b"")])]
}

fn scan_sees_whole_groups(store: &dyn Store) {
    commit(store, &group(1)).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                let mut last = 0;
                while !done.load(Ordering::Acquire) {
                    let rows = store.scan("", None, 9).unwrap();
                    let versions: Vec<u64> = rows.iter().map(|(_, row)| row.version).collect();
                    assert!(
                        versions.len() == 3 && versions.iter().all(|v| *v == versions[0]),
                        "{versions:?}"
                    );
                    assert!(versions[0] >= last, "went back from {last} to {}", versions[0]);
                    last = versions[0];
                }
            });
        }
        for number in 2..=GROUPS {
            commit(store, &group(number)).unwrap();
        }
        done.store(true, Ordering::Release);
    });
}

fn read_sees_what_was_acknowledged(store: &dyn Store) {
    for number in 1..=GROUPS {
        write(store, [put("a", number, b"")]);
        std::thread::scope(|scope| {
            for _ in 0..READERS {
                scope.spawn(|| assert_eq!(version(store, "a"), Some(number)));
            }
        });
    }
}

/// Each thread adds to the same counter, conditional on the version that it saw.
fn groups_come_one_after_another(store: &dyn Store) {
    write(store, [put("count", 0, b"")]);
    std::thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                let mut added = 0;
                while added < 10 {
                    let seen = version(store, "count").unwrap();
                    let add = batch([expect("count", Expect::Version(seen))], [put("count", seen + 1, b"")]);
                    added += u64::from(commit(store, &[add]).unwrap().outcomes[0].is_applied());
                }
            });
        }
    });
    let total = READERS as u64 * 10;
    assert_eq!((version(store, "count"), store.revision().unwrap()), (Some(total), total + 1));
}
