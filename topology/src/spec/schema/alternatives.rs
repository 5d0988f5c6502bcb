//! Schemas with alternatives: which one was meant, so that its problems can be told.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::super::problem::{Path, Problem, Problems};
use super::super::tree::{Node, Value};
use super::Checker;
use super::words::{constants_of, is_a, one_of_names, types};

impl<'s> Checker<'s> {
    /// Checks a node against alternatives. When it fits none, the problems are those of the one that
    /// was most likely meant: the one that the tag or the only key names, else the one of the right
    /// type that shares most keys and has the fewest problems.
    pub(super) fn alternatives(&mut self, node: &Node, branches: &'s [Json], path: &Path) -> Node {
        let branches: Vec<&'s Json> = branches.iter().flat_map(|b| self.flat(b)).collect();
        let tried = branches.iter().map(|branch| {
            let mut checker = Checker {
                root: self.root,
                problems: Problems::default(),
            };
            let coerced = checker.node(node, branch, path);
            (coerced, checker.problems)
        });
        let mut tried: Vec<(Node, Problems)> = tried.collect();
        if let Some((coerced, _)) = tried.iter().find(|(_, problems)| problems.is_empty()) {
            return coerced.clone();
        }
        if let Some(tag) = common_tag(&branches).filter(|_| matches!(node.value, Value::Map(_))) {
            return self.tagged(node, &branches, tag, path);
        }
        let meant = (0..branches.len())
            .filter(|i| types(branches[*i]).iter().any(|wanted| is_a(node, wanted)))
            .filter(|i| constants_of(branches[*i]).is_empty())
            .min_by_key(|i| {
                let properties = branches[*i].get("properties");
                let shared = node.entries().iter().filter(|entry| {
                    properties.is_some_and(|properties| properties.get(&entry.key).is_some())
                });
                (
                    usize::MAX - shared.count(),
                    tried[*i].1.clone().sorted().len(),
                )
            });
        if let Some(meant) = meant {
            let (coerced, problems) = tried.swap_remove(meant);
            self.problems.append(problems);
            return coerced;
        }
        let constants: BTreeSet<&str> = branches.iter().flat_map(|b| constants_of(b)).collect();
        let mut expected = Vec::new();
        for branch in &branches {
            let words = match constants_of(branch).is_empty() {
                true => self.expected(branch),
                false => one_of_names(&constants),
            };
            if !words.is_empty() && !expected.contains(&words) {
                expected.push(words);
            }
        }
        let mut problem = Problem::new(path.clone(), format!("found {}", node.described()))
            .expected(expected.join(" or "))
            .at(node.place);
        if !node.hidden {
            problem = problem.near(node.text().unwrap_or_default(), constants);
        }
        self.problem(problem);
        node.clone()
    }

    fn tagged(&mut self, node: &Node, branches: &[&'s Json], tag: &str, path: &Path) -> Node {
        let tag_of = |branch: &'s Json| constants_of(&branch["properties"][tag]);
        let known: BTreeSet<&str> = branches.iter().flat_map(|branch| tag_of(branch)).collect();
        let Some(found) = node.get(tag) else {
            let problem = Problem::new(path.clone(), format!("`{tag}` is missing"))
                .expected(one_of_names(&known))
                .at(node.place);
            self.problem(problem);
            return node.clone();
        };
        let named = branches.iter().find(|branch| {
            let names = tag_of(branch);
            found.text().is_some_and(|text| names.contains(&text))
        });
        if let Some(branch) = named {
            return self.node(node, branch, path);
        }
        if found.value != Value::Unreadable {
            let known: Vec<Json> = known.into_iter().map(Json::from).collect();
            self.one_of(found, &known, &path.key(tag));
        }
        node.clone()
    }
}

/// The property that says which of several mappings is meant: each takes other texts for it.
fn common_tag<'s>(branches: &[&'s Json]) -> Option<&'s str> {
    let mut mappings = branches
        .iter()
        .filter_map(|branch| branch.get("properties")?.as_object());
    let first = mappings.next()?;
    let is_tag = |schema: Option<&Json>| schema.is_some_and(|s| !constants_of(s).is_empty());
    let mut names = first.iter().filter(|(_, schema)| is_tag(Some(schema)));
    let others: Vec<_> = mappings.collect();
    names
        .find(|(name, _)| !others.is_empty() && others.iter().all(|o| is_tag(o.get(*name))))
        .map(|(name, _)| name.as_str())
}
