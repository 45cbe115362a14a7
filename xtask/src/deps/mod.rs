//! `cargo xtask deps`: which crate of the workspace may depend on which, and what may not be in the product at all.
//!
//! The rules are the table in `rules`; the facts come from `cargo metadata`. Dependencies of tests are free.

mod graph;
mod rules;

use std::path::Path;
use std::process::Command;

use crate::deps::graph::Graph;
use crate::error::{TaskError, output_of};

pub(crate) fn run(root: &Path) -> Result<String, TaskError> {
    let mut cargo = Command::new("cargo");
    cargo.args(["metadata", "--format-version", "1"]).current_dir(root);
    let graph = Graph::parse(&output_of(&mut cargo, "")?)?;
    let broken = rules::broken(&graph);
    if broken.is_empty() {
        return Ok(format!("{} crates keep the dependency rules", graph.members().count()));
    }
    Err(TaskError::Forbidden(broken))
}
