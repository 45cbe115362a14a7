//! The dependency graph that `cargo metadata` prints.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::error::TaskError;

/// Packages and their edges of kind normal and build; edges of tests are left out.
pub(crate) struct Graph {
    members: BTreeSet<String>,
    names: BTreeMap<String, String>,
    edges: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    pub(crate) fn parse(text: &str) -> Result<Self, TaskError> {
        let metadata: Metadata = serde_json::from_str(text).map_err(|source| TaskError::Json {
            what: "the output of `cargo metadata`".to_owned(),
            source,
        })?;
        Ok(Self {
            members: metadata.workspace_members,
            names: metadata.packages.into_iter().map(|package| (package.id, package.name)).collect(),
            edges: metadata
                .resolve
                .nodes
                .into_iter()
                .map(|node| (node.id, product_edges(node.deps)))
                .collect(),
        })
    }

    /// Ids of the workspace's packages.
    pub(crate) fn members(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(String::as_str)
    }

    pub(crate) fn is_member(&self, id: &str) -> bool {
        self.members.contains(id)
    }

    pub(crate) fn name<'a>(&'a self, id: &'a str) -> &'a str {
        self.names.get(id).map_or(id, String::as_str)
    }

    /// Ids of what a package depends on directly.
    pub(crate) fn dependencies(&self, id: &str) -> impl Iterator<Item = &str> {
        self.edges.get(id).into_iter().flatten().map(String::as_str)
    }

    /// For each package below `root` by name, the names on a way to it.
    pub(crate) fn below(&self, root: &str) -> BTreeMap<&str, Vec<&str>> {
        let mut ways = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut open: Vec<(&str, Vec<&str>)> =
            self.dependencies(root).map(|id| (id, vec![self.name(id)])).collect();
        while let Some((id, way)) = open.pop() {
            if seen.insert(id) {
                for next in self.dependencies(id) {
                    let mut longer = way.clone();
                    longer.push(self.name(next));
                    open.push((next, longer));
                }
                ways.entry(self.name(id)).or_insert(way);
            }
        }
        ways
    }
}

fn product_edges(dependencies: Vec<Dependency>) -> BTreeSet<String> {
    let product =
        |dependency: &Dependency| dependency.dep_kinds.iter().any(|kind| kind.kind.as_deref() != Some("dev"));
    dependencies.into_iter().filter(product).map(|dependency| dependency.pkg).collect()
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
    workspace_members: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

/// `null` is normal.
#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}
