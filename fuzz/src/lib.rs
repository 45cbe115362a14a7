//! Fuzz targets: one function for each kind of bytes that come from outside, which panics if what must hold does not.
//!
//! `cargo test` replays the corpora in `fuzz/corpus` through them; `fuzz/run` lets libFuzzer look for more, see
//! `docs/testing.md`. Every target says what it holds beyond *no input panics*, which all of them do.
//!
//! What they deliberately do not do: measure time (libFuzzer's `-timeout` does), or reach what only a running server has:
//! HTTP, the store, several requests at once.

mod attestation;
mod blob;
mod configuration;
mod event;
mod input;
mod journal;
mod json_request;
mod key_input;
mod policy;
mod row;
mod sealed;
mod sigv4;
mod text;
mod world;

/// What a fuzzer calls with its bytes.
pub type Target = fn(&[u8]);

/// All targets, by the names of their corpora.
pub const TARGETS: [(&str, Target); 13] = [
    ("attestation", attestation::attestation),
    ("blob", blob::blob),
    ("configuration", configuration::configuration),
    ("event", event::event),
    ("journal", journal::journal),
    ("json_request", json_request::json_request),
    ("key_input", key_input::key_input),
    ("policy", policy::policy),
    ("row", row::row),
    ("sealed", sealed::sealed),
    ("sigv4_header", sigv4::header),
    ("sigv4_query", sigv4::query),
    ("text", text::text),
];
