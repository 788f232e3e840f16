//! Keeps the crates' graph: README draws it from top to bottom, no arrow goes up, and some
//! dependencies are behind walls.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use crate::ci::host;
use crate::run::{cargo, root};

/// The heading in README under which the crates stand.
const HEADING: &str = "## Crates";
/// Manifests of the workspaces whose crates README lists.
const MANIFESTS: [&str; 2] = ["Cargo.toml", "firmware/Cargo.toml"];

/// Crates, and what they must not compile, however far down.
const WALLS: [(&str, &[&str]); 6] = [
    // What a user's build script compiles.
    (
        "tadpool-compiler",
        &["probe-rs", "clap", "plotters", "indicatif", "defmt-decoder"],
    ),
    (
        "tadpool-image",
        &["probe-rs", "clap", "plotters", "indicatif"],
    ),
    // What needs a Python is in the package for it.
    ("tadpool", &["pyo3"]),
    ("tadpool-boards", &["clap", "tract-core", "probe-rs"]),
    ("tadpool-toolchain", &["clap", "serde", "toml"]),
    // Compiled before anything else can happen.
    (
        "xtask",
        &[
            "tract-core",
            "probe-rs",
            "tadpool-compiler",
            "tadpool-kernels",
            "tadpool-latency",
        ],
    ),
];

/// Crates that depend on nothing.
const ALONE: [&str; 3] = ["tadpool-build", "tadpool-kernels", "tadpool-trace"];

type Edges = BTreeMap<String, BTreeSet<String>>;

#[test]
fn readme_draws_the_crates_from_top_to_bottom() {
    let drawn = drawn();
    let mut missing = manifests();
    for (index, (name, uses)) in drawn.iter().enumerate() {
        let edges = missing.remove(name);
        let edges = edges.unwrap_or_else(|| panic!("README lists {name}, which is no crate"));
        let line: Vec<&str> = edges.iter().map(String::as_str).collect();
        assert_eq!(*uses, edges, "{name} is to have `{}`", line.join(" "));
        for other in uses {
            assert!(
                drawn[index + 1..].iter().any(|(below, _)| below == other),
                "{name} depends on {other}, which does not stand below it"
            );
        }
    }
    assert!(missing.is_empty(), "README does not list {missing:?}");
}

#[test]
fn dependencies_are_walls() {
    let graph = resolved();
    // The graph has what it is to have, so that what it has not means something.
    assert!(below(&graph, "tadpool-probe").contains("probe-rs"));
    assert!(below(&graph, "tadpool-python").contains("pyo3"));
    for there in ["clap", "plotters", "indicatif", "tract-core"] {
        assert!(below(&graph, "tadpool").contains(there), "{there}");
    }

    for (name, forbidden) in WALLS {
        let below = below(&graph, name);
        let found: Vec<_> = forbidden
            .iter()
            .filter(|&&one| below.contains(one))
            .collect();
        assert!(found.is_empty(), "{name} compiles {found:?}");
    }
    for name in ALONE {
        assert_eq!(below(&graph, name), BTreeSet::new(), "{name}");
    }
    for name in graph.keys().filter(|name| !name.starts_with("probe-rs")) {
        let below = below(&graph, name);
        assert!(
            !below.contains("probe-rs")
                || name == "tadpool-probe"
                || below.contains("tadpool-probe"),
            "{name} reaches probe-rs beside tadpool-probe"
        );
    }
}

/// The crates in README, and what each depends on, from top to bottom.
fn drawn() -> Vec<(String, BTreeSet<String>)> {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, section) = readme.split_once(HEADING).expect("the heading");
    let (_, block) = section.split_once("```text\n").expect("a block");
    let (block, _) = block.split_once("```").expect("its end");
    let lines = block.lines().skip(1); // its header
    lines
        .map(|line| {
            let mut words = line.split_whitespace().map(str::to_owned);
            (words.next().expect("a crate"), words.collect())
        })
        .collect()
}

/// The crates in the manifests, and those of them that each depends on; not for tests.
fn manifests() -> Edges {
    let mut edges = Edges::new();
    for manifest in MANIFESTS {
        let metadata = metadata(&["--no-deps", "--manifest-path", manifest]);
        // Packages of tests are nobody's dependency.
        for package in list(&metadata["packages"]).iter().filter(is_used) {
            let uses = list(&package["dependencies"])
                .iter()
                .filter(|dependency| dependency["path"].is_string() && dependency["kind"] != "dev")
                .map(|dependency| text(&dependency["name"]));
            edges.insert(text(&package["name"]), uses.collect());
        }
    }
    edges
}

/// Whether a package has a library or a program.
fn is_used(package: &&Value) -> bool {
    let mut targets = list(&package["targets"]).iter();
    targets
        .any(|target| ["lib", "bin", "cdylib"].contains(&target["kind"][0].as_str().unwrap_or("")))
}

/// The direct dependencies of every package of the host's workspace, without those of tests.
fn resolved() -> Edges {
    let metadata = metadata(&["--locked", "--filter-platform", &host().unwrap()]);
    let names: BTreeMap<String, String> = list(&metadata["packages"])
        .iter()
        .map(|package| (text(&package["id"]), text(&package["name"])))
        .collect();
    let mut edges = Edges::new();
    for node in list(&metadata["resolve"]["nodes"]) {
        let uses = list(&node["deps"])
            .iter()
            .filter(|dependency| {
                let mut kinds = list(&dependency["dep_kinds"]).iter();
                kinds.any(|kind| kind["kind"] != "dev")
            })
            .map(|dependency| names[&text(&dependency["pkg"])].clone());
        // Versions of a package are one here.
        let name = names[&text(&node["id"])].clone();
        edges.entry(name).or_default().extend(uses);
    }
    edges
}

/// Everything that `name` depends on, however far down.
fn below(graph: &Edges, name: &str) -> BTreeSet<String> {
    assert!(graph.contains_key(name), "there is no crate {name}");
    let mut found = BTreeSet::new();
    let mut open = vec![name];
    while let Some(name) = open.pop() {
        for next in &graph[name] {
            if found.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    found
}

fn metadata(arguments: &[&str]) -> Value {
    let mut command = cargo(["metadata", "--format-version", "1"]);
    let output = command.args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
