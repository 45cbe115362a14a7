//! What a request costs, beside an HTTP server that does nothing.
//!
//! Starts the real `strongroom` on a fresh data directory and a *bare* server: the same hyper with the same settings on
//! the same number of threads, which reads the same bytes and answers as many, and does nothing else. Both are loaded in
//! turns, round by round, so that whatever else the machine does hits both; medians of the rounds are compared. A ratio
//! of one run means something on any machine; requests per second of two machines cannot be compared.
//!
//! Only loopback is used. Children end with this process, however it ends; what was written is removed.
//!
//! Not measured: TLS, other machines' networks, and deleting outbox rows, which the service does ten minutes after a
//! change.

mod bare;
mod bare_journal;
mod child;
mod compare;
mod connection;
mod disk;
mod error;
mod grants;
mod half_load;
mod histogram;
mod load;
mod many_keys;
mod meter;
mod operation;
mod options;
mod policies;
mod private_keys;
mod reply;
mod report;
mod request;
mod service;
mod usage;

use std::process::ExitCode;

use clap::Parser;

use crate::options::{Arguments, Inner};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.inner {
        Some(Inner::Bare(options)) => bare::run(options),
        Some(Inner::Grants(options)) => grants::run(options),
        Some(Inner::Keys(options)) => private_keys::run(options),
        Some(Inner::Leashed(command)) => Err(child::become_leashed(command)),
        Some(Inner::Policies) => policies::run(),
        None => compare::run(&arguments.options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", error::chain(&error));
            ExitCode::FAILURE
        }
    }
}
