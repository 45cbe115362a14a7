//! The dependency graph that `cargo metadata` prints.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::error::TaskError;

/// Packages and their edges of kind normal and build; edges of tests are left out, and so are those to optional packages
/// that no feature turns on. `cargo metadata` shows them where a feature speaks of them weakly (`ring?/alloc`), although
/// cargo does not build them.
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
        let packages: BTreeMap<String, Package> =
            metadata.packages.into_iter().map(|package| (package.id.clone(), package)).collect();
        let edges = metadata.resolve.nodes.into_iter().map(|node| {
            let edges = product_edges(&node, &packages);
            (node.id, edges)
        });
        Ok(Self {
            members: metadata.workspace_members,
            edges: edges.collect(),
            names: packages.into_iter().map(|(id, package)| (id, package.name)).collect(),
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

fn product_edges(node: &Node, packages: &BTreeMap<String, Package>) -> BTreeSet<String> {
    let is_product =
        |dependency: &Dependency| dependency.dep_kinds.iter().any(|kind| kind.kind.as_deref() != Some("dev"));
    let is_on = |dependency: &Dependency| {
        let (from, to) = (packages.get(&node.id), packages.get(&dependency.pkg));
        from.zip(to).is_none_or(|(from, to)| from.turns_on(&to.name, &node.features))
    };
    let edges = node.deps.iter().filter(|dependency| is_product(dependency) && is_on(dependency));
    edges.map(|dependency| dependency.pkg.clone()).collect()
}

impl Package {
    /// Whether a package that this one names is built with it, given the features of this one. `ring?/alloc` turns nothing
    /// on; `dep:ring`, `ring` and `ring/alloc` do (The Cargo Book, features, dependency features).
    fn turns_on(&self, name: &str, features: &[String]) -> bool {
        let mut named = self.dependencies.iter().filter(|dependency| dependency.name == name).peekable();
        // Nothing known of it: it counts.
        named.peek().is_none()
            || named.any(|dependency| {
                let key = dependency.rename.as_ref().unwrap_or(&dependency.name).as_str();
                let turns_it_on = |text: &String| {
                    text == key
                        || text.strip_prefix("dep:") == Some(key)
                        || text.strip_prefix(key).is_some_and(|rest| rest.starts_with('/'))
                };
                !dependency.optional
                    || features.iter().filter_map(|on| self.features.get(on)).flatten().any(turns_it_on)
            })
    }
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
    #[serde(default)]
    dependencies: Vec<Named>,
    #[serde(default)]
    features: BTreeMap<String, Vec<String>>,
}

/// A dependency as a manifest names it.
#[derive(Deserialize)]
struct Named {
    name: String,
    rename: Option<String>,
    optional: bool,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
    #[serde(default)]
    features: Vec<String>,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether `tls`, whose feature `std` says `text`, brings `ring`.
    fn brings_ring(text: &str, optional: bool) -> bool {
        let metadata = serde_json::json!({
            "packages": [
                {
                    "id": "tls@1", "name": "tls", "features": {"std": [text], "off": ["dep:ring"]},
                    "dependencies": [{"name": "ring", "rename": null, "optional": optional}],
                },
                {"id": "ring@1", "name": "ring", "features": {}, "dependencies": []},
            ],
            "resolve": {"nodes": [
                {"id": "tls@1", "features": ["std"], "deps": [{"pkg": "ring@1", "dep_kinds": [{"kind": null}]}]},
            ]},
            "workspace_members": ["tls@1"],
        });
        Graph::parse(&metadata.to_string()).unwrap().dependencies("tls@1").count() == 1
    }

    #[test]
    fn an_optional_package_counts_if_a_feature_turns_it_on() {
        for text in ["ring?/alloc", "ringing", "dep:other", "other/ring"] {
            assert!(!brings_ring(text, true), "{text}");
            assert!(brings_ring(text, false), "{text}");
        }
        for text in ["ring", "dep:ring", "ring/alloc"] {
            assert!(brings_ring(text, true), "{text}");
        }
    }
}
