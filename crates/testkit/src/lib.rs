//! Faulty parts and seeded worlds for the tests of the other crates.
//!
//! [`env::SeededEnv`] is a clock that stands still until it is moved, and ids that follow from a seed.
//! [`store::MemoryStore`] is a store that fails as it is told. [`store_suite`] is what every store must pass.
//! [`attestation::Authority`] attests recipients as AWS's Nitro system does. [`judge`] decides on policies a second time, by the letter.
//! [`scratch::ScratchDirectory`] is a directory for one test. All randomness comes from seeds; a test that fails must
//! say which.
//!
//! Never a dependency of product code, except for tests.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "all of this is test code, and a panic is how a test reports"
)]

pub mod attestation;
pub mod env;
pub mod judge;
pub mod random;
pub mod scratch;
pub mod store;
pub mod store_suite;
