//! The rules: dependencies point down, dangerous libraries have one owner, some are not wanted at all.

use crate::deps::graph::Graph;

const PREFIX: &str = "strongroom-";

/// The program that users run.
const PRODUCT: &str = "strongroom-cli";

/// Which crates of the workspace each crate may depend on. An edge that is not here is forbidden; so is a crate that
/// has no row.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("crypto-ffi", &[]),
    ("crypto", &["types", "crypto-ffi"]),
    ("attestation", &["types", "crypto"]),
    ("store", &["types"]),
    ("policy", &["types"]),
    ("wire", &["types"]),
    ("sigv4", &["types"]),
    ("audit", &["types", "crypto"]),
    ("records", &["types", "crypto", "store", "policy"]),
    ("pipeline", &["types", "crypto", "attestation", "records", "audit", "policy", "wire", "sigv4"]),
    ("kms", &["types", "crypto", "records", "audit", "policy", "wire", "pipeline"]),
    ("identity", &["types", "records", "audit", "policy", "wire", "pipeline"]),
    (
        "server",
        &[
            "types",
            "crypto",
            "attestation",
            "store",
            "records",
            "audit",
            "wire",
            "sigv4",
            "pipeline",
            "kms",
            "identity",
        ],
    ),
    ("cli", &["types", "crypto", "store", "records", "audit", "policy", "wire", "kms", "server"]),
    (
        "testkit",
        &[
            "types",
            "crypto",
            "attestation",
            "store",
            "policy",
            "wire",
            "sigv4",
            "audit",
            "records",
            "pipeline",
            "kms",
        ],
    ),
];

/// Crates that no product depends on, and that may therefore depend on anything.
const FREE: &[&str] = &["bench", "fuzz", "xtask"];

/// Libraries that only some crates may touch: AWS-LC and memmap2 see key bytes, SQLite the rows, hyper and rustls the wire,
/// rustls-webpki says whom to believe,
/// landlock and seccompiler confine the process, and libFuzzer brings a `main` of its own.
const OWNERS: &[(&str, &[&str])] = &[
    ("aws-lc-rs", &["crypto", "sigv4", "testkit", "bench", "xtask"]),
    ("aws-lc-fips-sys", &["crypto-ffi"]),
    ("aws-lc-sys", &["crypto-ffi"]),
    ("hyper", &["server", "bench"]),
    ("k256", &["crypto"]),
    ("landlock", &["server"]),
    ("libfuzzer-sys", &["fuzz"]),
    ("memmap2", &["crypto"]),
    ("rcgen", &["server", "testkit"]),
    ("rusqlite", &["store"]),
    ("rustls", &["server"]),
    ("rustls-webpki", &["attestation"]),
    ("seccompiler", &["server"]),
    ("sm2", &["crypto"]),
    ("tokio-rustls", &["server"]),
];

/// Second implementations of what AWS-LC does: none of them may be in the product, not even through others.
const UNWANTED: &[&str] = &["openssl", "openssl-sys", "ring", "rsa"];

/// One sentence for each rule that is broken.
pub(crate) fn broken(graph: &Graph) -> Vec<String> {
    let mut broken = Vec::new();
    for id in graph.members() {
        let name = short(graph.name(id));
        broken.extend(forbidden_edges(graph, id, name));
        broken.extend(foreign_libraries(graph, id, name));
        if graph.name(id) == PRODUCT {
            broken.extend(unwanted_packages(graph, id));
        }
    }
    broken
}

fn forbidden_edges(graph: &Graph, id: &str, name: &str) -> Vec<String> {
    if FREE.contains(&name) {
        return Vec::new();
    }
    let Some((_, allowed)) = MAY_DEPEND_ON.iter().find(|(found, _)| *found == name) else {
        return vec![format!("`{name}` has no row in the table of xtask")];
    };
    graph
        .dependencies(id)
        .filter(|dependency| graph.is_member(dependency))
        .map(|dependency| short(graph.name(dependency)))
        .filter(|dependency| !allowed.contains(dependency))
        .map(|dependency| format!("`{name}` may not depend on `{dependency}`"))
        .collect()
}

fn foreign_libraries(graph: &Graph, id: &str, name: &str) -> Vec<String> {
    graph
        .dependencies(id)
        .filter_map(|dependency| {
            let library = graph.name(dependency);
            let (_, owners) = OWNERS.iter().find(|(owned, _)| *owned == library)?;
            (!owners.contains(&name)).then(|| format!("`{name}` may not depend on `{library}`"))
        })
        .collect()
}

fn unwanted_packages(graph: &Graph, id: &str) -> Vec<String> {
    let below = graph.below(id);
    UNWANTED
        .iter()
        .filter_map(|unwanted| {
            let way = below.get(unwanted)?.join(" → ");
            Some(format!("`{unwanted}` is in the product: {PRODUCT} → {way}"))
        })
        .collect()
}

fn short(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A workspace made up of `from → to` edges, each `kind` being "", "build" or "dev". Names that begin with
    /// `strongroom-` are its members.
    fn graph(edges: &[(&str, &str, &str)]) -> Graph {
        let mut names: Vec<&str> = edges.iter().flat_map(|(from, to, _)| [*from, *to]).collect();
        names.sort_unstable();
        names.dedup();
        let packages: Vec<_> =
            names.iter().map(|name| serde_json::json!({"id": format!("{name}@1"), "name": name})).collect();
        let members: Vec<_> =
            names.iter().filter(|name| name.starts_with(PREFIX)).map(|name| format!("{name}@1")).collect();
        let nodes: Vec<_> = names
            .iter()
            .map(|name| {
                let deps: Vec<_> = edges
                    .iter()
                    .filter(|(from, _, _)| from == name)
                    .map(|(_, to, kind)| {
                        let kind = (!kind.is_empty()).then_some(*kind);
                        serde_json::json!({"pkg": format!("{to}@1"), "dep_kinds": [{"kind": kind}]})
                    })
                    .collect();
                serde_json::json!({"id": format!("{name}@1"), "deps": deps})
            })
            .collect();
        let text = serde_json::json!({
            "packages": packages, "resolve": {"nodes": nodes}, "workspace_members": members
        });
        Graph::parse(&text.to_string()).unwrap()
    }

    #[test]
    fn an_edge_that_is_not_in_the_table_fails() {
        let broken = broken(&graph(&[
            ("strongroom-types", "strongroom-crypto", ""),
            ("strongroom-policy", "strongroom-wire", "build"),
        ]));
        assert_eq!(broken, ["`policy` may not depend on `wire`", "`types` may not depend on `crypto`"]);
    }

    #[test]
    fn a_crate_without_a_row_fails() {
        let broken = broken(&graph(&[("strongroom-new", "strongroom-types", "")]));
        assert_eq!(broken, ["`new` has no row in the table of xtask"]);
    }

    #[test]
    fn a_library_has_its_owners_only() {
        let broken = broken(&graph(&[
            ("strongroom-kms", "aws-lc-rs", ""),
            ("strongroom-crypto", "aws-lc-rs", ""),
            ("strongroom-records", "rusqlite", ""),
            ("strongroom-store", "rusqlite", ""),
            ("strongroom-cli", "hyper", ""),
            ("strongroom-server", "hyper", ""),
        ]));
        assert_eq!(
            broken,
            [
                "`cli` may not depend on `hyper`",
                "`kms` may not depend on `aws-lc-rs`",
                "`records` may not depend on `rusqlite`",
            ]
        );
    }

    #[test]
    fn an_unwanted_package_fails_at_any_depth() {
        let broken = broken(&graph(&[
            ("strongroom-cli", "strongroom-server", ""),
            ("strongroom-server", "tls", ""),
            ("tls", "ring", "build"),
            ("strongroom-cli", "rsa", ""),
        ]));
        assert_eq!(
            broken,
            [
                "`ring` is in the product: strongroom-cli → strongroom-server → tls → ring",
                "`rsa` is in the product: strongroom-cli → rsa",
            ]
        );
    }

    #[test]
    fn tests_and_tools_are_free() {
        let broken = broken(&graph(&[
            ("strongroom-types", "strongroom-testkit", "dev"),
            ("strongroom-cli", "ring", "dev"),
            ("strongroom-policy", "aws-lc-rs", "dev"),
            ("strongroom-xtask", "strongroom-kms", ""),
            ("strongroom-bench", "ring", ""),
            ("strongroom-server", "strongroom-kms", ""),
            ("strongroom-server", "hyper", ""),
            ("hyper", "http", ""),
        ]));
        assert_eq!(broken, [""; 0]);
    }

    #[test]
    fn the_table_has_no_cycle() {
        // Each row names only crates that stand in rows above its own.
        for (at, (name, allowed)) in MAY_DEPEND_ON.iter().enumerate() {
            let above: Vec<&str> = MAY_DEPEND_ON.iter().take(at).map(|(name, _)| *name).collect();
            assert!(allowed.iter().all(|dependency| above.contains(dependency)), "{name}");
        }
    }
}
