//! Rules for what depends on what: deploy on operators on topology, and never the other way round.

use std::collections::BTreeSet;

use crate::tree::{check, texts};

/// What each crate may depend on besides tests: for the core all of it, since a new dependency there
/// is one of everything; for the others those of our own crates.
const CORE: [&str; 9] = [
    "futures",
    "schemars",
    "serde",
    "serde_json",
    "serde_path_to_error",
    "strsim",
    "thiserror",
    "tokio",
    "tracing",
];
const OUR_OWN: [(&str, &[&str]); 4] = [
    ("topology", &[]),
    ("operators", &["isobar-topology"]),
    ("deploy", &["isobar-operators", "isobar-topology"]),
    ("tests", &["isobar", "isobar-operators", "isobar-topology"]),
];

#[test]
fn dependencies_point_one_way() {
    let mut complaints = Vec::new();
    for (name, allowed) in OUR_OWN {
        for dependency in dependencies(name) {
            let ours = dependency.starts_with("isobar");
            let core = name == "topology" && !CORE.contains(&&*dependency);
            if core || (ours && !allowed.contains(&&*dependency)) {
                complaints.push(format!("{name} depends on {dependency}"));
            }
        }
    }
    check(
        "deploy → operators → topology, and the core on little",
        &complaints,
    );
}

#[test]
fn every_dependency_is_used() {
    let sources = texts(&[".rs"]);
    let mut complaints = Vec::new();
    for (name, _) in OUR_OWN {
        for dependency in dependencies(name) {
            let word = dependency.replace('-', "_");
            let word = if word == "isobar_tests" {
                "testkit".to_owned()
            } else {
                word
            };
            let mut own = sources
                .iter()
                .filter(|file| file.path.starts_with(&format!("{name}/")));
            // In a path, an attribute or a macro; comments do not count.
            let is_used = |content: &str| {
                let code = content
                    .lines()
                    .map(|line| line.split("//").next().unwrap_or_default());
                let mut words =
                    code.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'));
                words.any(|w| w == word)
            };
            if !own.any(|file| is_used(&file.content)) {
                complaints.push(format!("{name}: {dependency}"));
            }
        }
    }
    check(
        "each dependency is named in the sources of its crate",
        &complaints,
    );
}

/// What is in the lock file is what was looked at: a release with its checksum, and no branch of a repository.
#[test]
fn every_dependency_is_a_release_of_one_registry() {
    let locks = texts(&["Cargo.lock"]);
    let lock = locks.iter().find(|file| file.path == "Cargo.lock");
    let lock = &lock.expect("it is kept").content;
    let mut registries = BTreeSet::new();
    let mut complaints = Vec::new();
    for package in lock.split("[[package]]").skip(1) {
        let value = |key: &str| {
            let mut lines = package.lines();
            let start = format!("{key} = \"");
            lines.find_map(|line| line.strip_prefix(&start)?.strip_suffix('"'))
        };
        let name = value("name").expect("each has a name");
        match value("source") {
            None if name.starts_with("isobar") => {}
            Some(source) if source.starts_with("registry+") && value("checksum").is_some() => {
                let _ = registries.insert(source);
            }
            other => complaints.push(format!("{name} comes from {other:?}")),
        }
    }
    if registries.len() != 1 {
        complaints.push(format!("the registries are {registries:?}"));
    }
    check("dependencies are releases of one registry", &complaints);
}

/// The names in the section `[dependencies]` of a crate.
fn dependencies(name: &str) -> Vec<String> {
    let manifests = texts(&["Cargo.toml"]);
    let path = format!("{name}/Cargo.toml");
    let manifest = manifests.iter().find(|file| file.path == path);
    let manifest = manifest.expect("each crate has a manifest");
    let lines = manifest.content.lines();
    let section = lines
        .skip_while(|line| line.trim() != "[dependencies]")
        .skip(1);
    let section = section.take_while(|line| !line.starts_with('['));
    let names = section.filter_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
        (!name.is_empty()).then(|| name.to_owned())
    });
    names.collect()
}
