//! Rules for what is written for people: links lead somewhere, named files exist, decisions are told
//! in one form.

use crate::tree::{Text, check, root, texts};

#[test]
fn links_in_documents_lead_somewhere() {
    let mut complaints = Vec::new();
    for document in texts(&[".md"]) {
        for target in links(&document.content) {
            let outside = target.contains("://") || target.starts_with("mailto:");
            // How rustdoc tells a function from a module.
            let rustdoc = target.starts_with("fn@");
            if !outside && !rustdoc && !resolves(&document, target) {
                complaints.push(format!("{}: {target}", document.path));
            }
        }
    }
    check(
        "relative links name files and headings that there are",
        &complaints,
    );
}

/// The targets of `[text](target)`, those in code left out.
fn links(markdown: &str) -> Vec<&str> {
    let mut targets = Vec::new();
    let mut in_code = false;
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        let prose = line.split('`').step_by(2);
        targets.extend(
            prose
                .flat_map(|text| text.split("](").skip(1))
                .filter_map(|rest| {
                    let (target, _) = rest.split_once(')')?;
                    Some(target)
                }),
        );
    }
    targets
}

fn resolves(document: &Text, target: &str) -> bool {
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let here = root().join(&document.path);
    let path = match file {
        "" => here,
        file => here.parent().expect("a file has a directory").join(file),
    };
    if anchor.is_empty() {
        return path.exists();
    }
    let content = std::fs::read_to_string(path).unwrap_or_default();
    let headings = content.lines().filter(|line| line.starts_with('#'));
    headings.map(slug).any(|heading| heading == anchor)
}

/// A heading as an anchor, by the rule that GitHub follows.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn files_that_the_architecture_names_are_there() {
    let mut complaints = Vec::new();
    for document in texts(&["topology/ARCHITECTURE.md"]) {
        let prose = document.content.split("```").step_by(2);
        let code = prose.flat_map(|prose| prose.split('`').skip(1).step_by(2));
        for name in code {
            let is_file = name.ends_with(".rs") || name.ends_with(".md") || name.ends_with('/');
            let places = ["topology", "topology/src", ""].map(|place| root().join(place));
            if is_file && !places.iter().any(|place| place.join(name).exists()) {
                complaints.push(format!("{}: {name}", document.path));
            }
        }
    }
    check("files that are named exist", &complaints);
}

#[test]
fn the_map_of_the_code_is_true() {
    let readme = texts(&["README.md"]).remove(0).content;
    let (_, map) = readme
        .split_once("## Map of the code")
        .expect("README.md has a map");
    let map = map.split("```").nth(1).expect("the map is a block");
    let mut complaints = Vec::new();
    let mut directory = "";
    for line in map.lines().skip(1) {
        let (names, _) = line.trim_start().split_once("  ").unwrap_or_default();
        let below = if line.starts_with(' ') { directory } else { "" };
        for name in names.split_whitespace() {
            if !root().join(below).join(name).exists() {
                complaints.push(format!("{below}{name}"));
            }
        }
        if !line.starts_with(' ') {
            directory = names;
        }
    }
    assert!(!directory.is_empty(), "the map names directories");
    check(
        "directories and files of the map in README.md exist",
        &complaints,
    );
}

#[test]
fn decisions_are_told_in_one_form() {
    let parts = [
        "# ",
        "**Context.**",
        "**Decision.**",
        "**Rejected.**",
        "**Consequences.**",
    ];
    let mut complaints = Vec::new();
    let pages = texts(&[".md"]).into_iter();
    for page in pages.filter(|page| page.path.contains("/decisions/")) {
        let starts: Vec<&str> = page.content.split("\n\n").map(str::trim_start).collect();
        let in_form = starts.len() == parts.len()
            && starts
                .iter()
                .zip(parts)
                .all(|(start, part)| start.starts_with(part));
        if !in_form {
            complaints.push(page.path);
        }
    }
    check(
        &format!("a decision page has exactly {parts:?}"),
        &complaints,
    );
}

#[test]
fn runbooks_with_commands_are_run_by_a_test_and_say_what_is_printed() {
    let sources = texts(&[".rs"]);
    let tests = || sources.iter().filter(|text| text.path.contains("tests/"));
    let mut complaints = Vec::new();
    for page in texts(&[".md"]) {
        let Some(name) = page.path.strip_prefix("deploy/runbooks/") else {
            continue;
        };
        let Some((_, behind)) = page.content.split_once("```sh\n") else {
            continue;
        };
        let named = format!("\"{name}\"");
        if !tests().any(|test| test.content.contains(&named)) {
            complaints.push(format!("{name}: no test runs it"));
        }
        if !behind.contains("```text\n") {
            complaints.push(format!("{name}: no block `text` behind a block `sh`"));
        }
    }
    check(
        "commands of runbooks are run by a test, which compares what they print",
        &complaints,
    );
}

#[test]
fn a_link_is_found_where_there_is_one() {
    let text = "see [a](b.md#c) and `[x](y)`\n```\n[in](code)\n```\n[d](https://e/f)";
    assert_eq!(links(text), ["b.md#c", "https://e/f"]);
    assert_eq!(slug("## What always holds: 1–2"), "what-always-holds-12");
}
