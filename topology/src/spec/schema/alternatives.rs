//! Schemas with alternatives: which one was meant, so that its problems can be told.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::super::problem::{Path, Problem};
use super::super::tree::{Node, Value};
use super::Checker;
use super::words::{constants_of, is_a, one_of_names, types};

impl<'s> Checker<'s> {
    /// Checks a node against alternatives. When it fits none, the problems are those of the one that
    /// was most likely meant: the one that the tag or the only key names, else the one of the right
    /// type that shares most keys and has the fewest problems.
    pub(super) fn alternatives(
        &mut self,
        node: &Node,
        schema: &'s Json,
        branches: &'s [Json],
        path: &Path,
    ) -> Node {
        let branches: Vec<&'s Json> = branches.iter().flat_map(|b| self.flat(b)).collect();
        let tried = branches.iter().map(|branch| {
            let mut checker = Checker::new(self.root);
            let node = checker.node(node, branch, path);
            (node, checker)
        });
        let mut tried: Vec<(Node, Checker<'s>)> = tried.collect();
        if let Some((coerced, _)) = tried.iter().find(|(_, tried)| tried.problems.is_empty()) {
            return coerced.clone();
        }
        if matches!(node.value, Value::Map(_)) {
            if let Some(tag) = common_tag(&branches) {
                return self.tagged(node, schema, &branches, tag, path);
            }
            if let Some(problem) = not_one_key(node, &branches, path) {
                self.problem(problem);
                return self.replace(node, schema, path);
            }
        }
        let meant = (0..branches.len())
            .filter(|i| types(branches[*i]).iter().any(|wanted| is_a(node, wanted)))
            .filter(|i| constants_of(branches[*i]).is_empty())
            .min_by_key(|i| {
                let properties = branches[*i].get("properties");
                let shared = node.entries().iter().filter(|entry| {
                    properties.is_some_and(|properties| properties.get(&entry.key).is_some())
                });
                let problems = tried[*i].1.problems.clone().sorted();
                (usize::MAX - shared.count(), problems.len())
            });
        if let Some(meant) = meant {
            let (mended, tried) = tried.swap_remove(meant);
            self.problems.append(tried.problems);
            self.replaced.extend(tried.replaced);
            return mended;
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
        self.replace(node, schema, path)
    }

    fn tagged(
        &mut self,
        node: &Node,
        schema: &'s Json,
        branches: &[&'s Json],
        tag: &str,
        path: &Path,
    ) -> Node {
        let tag_of = |branch: &'s Json| constants_of(&branch["properties"][tag]);
        let known: BTreeSet<&str> = branches.iter().flat_map(|branch| tag_of(branch)).collect();
        let Some(found) = node.get(tag) else {
            let problem = Problem::new(path.clone(), format!("`{tag}` is missing"))
                .expected(one_of_names(&known))
                .at(node.place);
            self.problem(problem);
            return self.replace(node, schema, path);
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
            let _ = self.one_of(found, &known, &path.key(tag));
        }
        self.replace(node, schema, path)
    }
}

/// What is wrong with the keys of a mapping of which each alternative takes one: several are given, or
/// none of them.
fn not_one_key(node: &Node, branches: &[&Json], path: &Path) -> Option<Problem> {
    let only_key = |branch: &&Json| {
        let properties = branch.get("properties")?.as_object()?;
        let name = properties.keys().next().filter(|_| properties.len() == 1)?;
        let required = branch.get("required")?.as_array()?;
        required
            .contains(&Json::from(name.as_str()))
            .then_some(name.clone())
    };
    let mappings = branches.iter().filter(|branch| types(branch) == ["object"]);
    let keys: Option<BTreeSet<String>> = mappings.map(only_key).collect();
    let keys = keys.filter(|keys| keys.len() > 1)?;
    let entries = node.entries().iter();
    let given: Vec<_> = entries.filter(|entry| keys.contains(&entry.key)).collect();
    let names = || keys.iter().map(String::as_str).collect::<BTreeSet<&str>>();
    match (given.as_slice(), node.entries().first()) {
        ([_], _) => None,
        ([], None) => Some(
            Problem::new(path.clone(), "the mapping is empty")
                .expected(one_of_names(&names()))
                .at(node.place),
        ),
        ([], Some(first)) => Some(
            Problem::new(path.key(&first.key), "unknown option")
                .expected(one_of_names(&names()))
                .near(&first.key, names())
                .at(first.key_place),
        ),
        ([one, other, ..], _) => Some(
            Problem::new(
                path.clone(),
                format!("`{}` and `{}` are both given", one.key, other.key),
            )
            .expected("one of them")
            .at(other.key_place),
        ),
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
