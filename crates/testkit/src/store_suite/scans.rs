//! Order, boundaries and prefixes.

use strongroom_store::Store;

use super::{Case, put, write};

pub(super) const CASES: &[Case] = &[
    ("a prefix ends where it ends", prefix_ends_where_it_ends),
    ("the order is that of bytes", order_is_that_of_bytes),
    ("a scan begins strictly after its start", scan_begins_strictly_after),
    ("the limit bounds a scan", limit_bounds_a_scan),
    ("pages join without gap or overlap", pages_join),
    ("prefixes at the end of the order are found", last_prefixes_are_found),
    ("rows come with their versions and values", rows_come_whole),
];

fn fill(store: &dyn Store, addresses: &[&str]) {
    write(store, addresses.iter().map(|address| put(address, 1, address.as_bytes())).collect::<Vec<_>>());
}

fn scan(store: &dyn Store, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
    store.scan(prefix, after, limit).unwrap().into_iter().map(|(address, _)| address).collect()
}

fn prefix_ends_where_it_ends(store: &dyn Store) {
    fill(store, &["a", "a.", "a/", "a/1", "a/1/2", "a/2", "a/é", "a0", "a00", "aa/1", "b/1", "A/1"]);
    assert_eq!(scan(store, "a/", None, 99), ["a/", "a/1", "a/1/2", "a/2", "a/é"]);
    assert_eq!(scan(store, "a/1", None, 99), ["a/1", "a/1/2"]);
    assert_eq!(scan(store, "a0", None, 99), ["a0", "a00"]);
    assert_eq!(scan(store, "b", None, 99), ["b/1"]);
    assert_eq!(scan(store, "", None, 99).len(), 12);
    for nothing in ["a/3", "c", "a/1/2/3", "%", "a_", "*", "\0"] {
        assert_eq!(scan(store, nothing, None, 99), [""; 0], "{nothing}");
    }
}

fn order_is_that_of_bytes(store: &dyn Store) {
    let mut addresses =
        vec!["Z", "a", "B", "é", "e\u{301}", "z", "~", "\u{7f}", "10", "9", " ", "a\0b", "a\0", "a b"];
    addresses.extend(["\u{ffff}", "\u{10000}", "\u{10ffff}"]);
    fill(store, &addresses);
    addresses.sort_unstable_by_key(|address| address.as_bytes());
    assert_eq!(scan(store, "", None, 99), addresses);
}

fn scan_begins_strictly_after(store: &dyn Store) {
    fill(store, &["a", "a/1", "a/2", "a/3", "b"]);
    assert_eq!(scan(store, "a/", Some("a/1"), 99), ["a/2", "a/3"]);
    // The start need not exist, nor have the prefix.
    assert_eq!(scan(store, "a/", Some("a/15"), 99), ["a/2", "a/3"]);
    assert_eq!(scan(store, "a/", Some(""), 99).len(), 3);
    assert_eq!(scan(store, "a/", Some("a"), 99).len(), 3);
    assert_eq!(scan(store, "a/", Some("a/"), 99).len(), 3);
    assert_eq!(scan(store, "a/", Some("a/3"), 99), [""; 0]);
    assert_eq!(scan(store, "a/", Some("a0"), 99), [""; 0]);
    assert_eq!(scan(store, "a/", Some("zzz"), 99), [""; 0]);
    assert_eq!(scan(store, "", Some(""), 99).len(), 5);
    assert_eq!(scan(store, "", Some("a/3"), 99), ["b"]);
}

fn limit_bounds_a_scan(store: &dyn Store) {
    fill(store, &["a/1", "a/2", "a/3", "b"]);
    assert_eq!(scan(store, "a/", None, 0), [""; 0]);
    assert_eq!(scan(store, "a/", None, 1), ["a/1"]);
    assert_eq!(scan(store, "a/", None, 2), ["a/1", "a/2"]);
    assert_eq!(scan(store, "a/", None, 3), ["a/1", "a/2", "a/3"]);
    assert_eq!(scan(store, "a/", None, 4), ["a/1", "a/2", "a/3"]);
    assert_eq!(scan(store, "a/", Some("a/1"), 1), ["a/2"]);
}

fn pages_join(store: &dyn Store) {
    let all: Vec<String> = (0..97).map(|n| format!("page/{n:03}")).collect();
    fill(store, &all.iter().map(String::as_str).collect::<Vec<_>>());
    for limit in [1, 2, 7, 96, 97, 98] {
        let mut joined: Vec<String> = Vec::new();
        loop {
            let page = scan(store, "page/", joined.last().map(String::as_str), limit);
            let last = page.len() < limit;
            joined.extend(page);
            if last {
                break;
            }
        }
        assert_eq!(joined, all, "{limit}");
    }
}

/// Prefixes that have no address after them, which an upper bound would have to be made from.
fn last_prefixes_are_found(store: &dyn Store) {
    let last = "\u{10ffff}";
    let twice = "\u{10ffff}\u{10ffff}";
    fill(store, &["a", "\u{7f}", "\u{7f}x", "\u{7ff}", "\u{7ff}x", "\u{800}", last, twice]);
    assert_eq!(scan(store, "\u{7f}", None, 9), ["\u{7f}", "\u{7f}x"]);
    assert_eq!(scan(store, "\u{7ff}", None, 9), ["\u{7ff}", "\u{7ff}x"]);
    assert_eq!(scan(store, last, None, 9), [last, twice]);
    assert_eq!(scan(store, last, Some(last), 9), [twice]);
    assert_eq!(scan(store, twice, Some(twice), 9), [""; 0]);
}

fn rows_come_whole(store: &dyn Store) {
    write(store, [put("a", 3, b"three"), put("b", 4, &[0, 255, 0]), put("c", 5, b"")]);
    let rows = store.scan("", None, 9).unwrap();
    let rows: Vec<_> =
        rows.iter().map(|(address, row)| (address.as_str(), row.version, &row.value[..])).collect();
    assert_eq!(rows, [("a", 3, &b"three"[..]), ("b", 4, &[0, 255, 0][..]), ("c", 5, &b""[..])]);
}
