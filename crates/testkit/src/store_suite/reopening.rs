//! What is kept when a store is closed, or dropped, and opened again.

use strongroom_store::{CommitError, Expect, Store};

use super::{Opener, all_rows, batch, commit, conflict, delete, expect, put, write};

type ReopeningCase = (&'static str, fn(&Opener));

pub(super) const CASES: &[ReopeningCase] = &[
    ("what was refused is not there afterwards", refused_is_not_there_afterwards),
    ("reopening keeps everything", reopening_keeps_everything),
    ("a dropped store keeps everything", dropped_store_keeps_everything),
];

fn refused_is_not_there_afterwards(open: &Opener) {
    let store = open();
    write(&*store, [put("a", 1, b"")]);
    let group = [
        batch([expect("a", Expect::Absent)], [put("b", 1, b"")]),
        batch([expect("b", Expect::Version(1))], [put("c", 1, b"")]),
    ];
    assert_eq!(commit(&*store, &group).unwrap().outcomes, [conflict("a"), conflict("b")]);
    let result = store.commit_group(&[batch([], [put("d", 1, b"")])], &mut |_| vec![put("", 1, b"")]);
    assert!(matches!(result, Err(CommitError::Failed(_))));
    store.close().unwrap();
    drop(store);
    let store = open();
    assert_eq!((all_rows(&*store).len(), store.revision().unwrap()), (1, 1));
}

fn fill(store: &dyn Store) {
    for n in 0..20_u64 {
        let value = vec![n as u8; (n as usize) * 5000];
        let group = [
            batch([], [put(&format!("row/{n}"), n, &value), put("gone", n, b"")]),
            batch([expect("gone", Expect::Version(n))], [delete("gone")]),
        ];
        store.commit_group(&group, &mut |_| vec![put("state", n, b"state")]).unwrap();
    }
}

fn reopening_keeps_everything(open: &Opener) {
    let mut store = open();
    fill(&*store);
    let rows = all_rows(&*store);
    assert_eq!(rows.len(), 21);
    for round in 0..3 {
        store.close().unwrap();
        store = open();
        assert!(all_rows(&*store) == rows, "rows differ after reopening {round}");
        assert_eq!(store.revision().unwrap(), 20);
        store.integrity_check().unwrap();
    }
    write(&*store, [put("later", 1, b"")]);
    assert_eq!((all_rows(&*store).len(), store.revision().unwrap()), (22, 21));
}

fn dropped_store_keeps_everything(open: &Opener) {
    let store = open();
    fill(&*store);
    let rows = all_rows(&*store);
    drop(store);
    let store = open();
    assert!(all_rows(&*store) == rows);
    assert_eq!(store.revision().unwrap(), 20);
}
