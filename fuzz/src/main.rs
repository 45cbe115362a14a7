//! One binary for all targets, with libFuzzer's `main`. The name under which it is called says which: `fuzz/run` links it
//! to `fuzz_json_request` and so on.

#![no_main]

use std::path::Path;
use std::sync::OnceLock;

use strongroom_fuzz::{TARGETS, Target};

static TARGET: OnceLock<Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| TARGET.get_or_init(called)(bytes));

fn called() -> Target {
    let path = std::env::args().next().unwrap_or_default();
    let name = Path::new(&path).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let target = TARGETS.iter().find(|(target, _)| name.strip_prefix("fuzz_") == Some(target));
    target.unwrap_or_else(|| panic!("`{name}` is not `fuzz_` and the name of a target")).1
}
