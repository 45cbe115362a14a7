//! The embedded store passes what every store must.

use strongroom_store::SqliteStore;
use strongroom_testkit::scratch::ScratchDirectory;
use strongroom_testkit::store_suite;

mod common;

use common::Placed;

#[test]
fn sqlite_passes_the_suite() {
    store_suite::run(|| Box::new(Placed::create()));
}

#[test]
fn sqlite_keeps_everything() {
    store_suite::reopen(|| {
        let directory = ScratchDirectory::new();
        drop(SqliteStore::create(directory.path()).unwrap());
        Box::new(move || Box::new(SqliteStore::open(directory.path()).unwrap()))
    });
}
