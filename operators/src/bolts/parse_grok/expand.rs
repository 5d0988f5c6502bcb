//! Puts a pattern of grok together: each `%{NAME:field:type}` becomes a group with the pattern of that
//! name in it.

use std::collections::BTreeMap;

use isobar_topology::spec::{Path, Problem};

use super::library;
use crate::conversion::Kind;

/// Longest regular expression, in bytes: patterns that double themselves end here.
const LENGTH_MAX: usize = 256 << 10;
/// Deepest nesting of patterns.
const DEPTH_MAX: usize = 32;
/// Groups of fields have names of our own, since fields may have names that groups cannot have, and
/// several groups may make one field.
const GROUP: &str = "isobar_field_";

const EXPECTED: &str = "%{NAME}, %{NAME:field}, %{NAME:field:int} or %{NAME:field:float}";

/// A regular expression, and the fields that its groups make.
#[derive(Debug)]
pub(super) struct Expansion {
    pub(super) regex: String,
    fields: Vec<(String, Kind)>,
}

impl Expansion {
    /// Expands a pattern that an option at `path` holds.
    pub(super) fn new(
        pattern: &str,
        own: &BTreeMap<String, String>,
        path: &Path,
    ) -> Result<Self, Problem> {
        let mut expansion = Self {
            regex: String::new(),
            fields: Vec::new(),
        };
        expansion.expand(pattern, own, path, false, 0)?;
        Ok(expansion)
    }

    /// Name and type of the field that a group of this name makes, if it is one of ours.
    pub(super) fn field(&self, group: &str) -> Option<(&str, Kind)> {
        let number: usize = group.strip_prefix(GROUP)?.parse().ok()?;
        let (name, kind) = self.fields.get(number)?;
        Some((name, *kind))
    }

    fn expand(
        &mut self,
        pattern: &str,
        own: &BTreeMap<String, String>,
        path: &Path,
        is_usual: bool,
        depth: usize,
    ) -> Result<(), Problem> {
        if depth > DEPTH_MAX || self.regex.len() > LENGTH_MAX {
            return Err(
                Problem::new(path.clone(), "the pattern has no end").expected(
                    "patterns that are not made of themselves, 32 deep and 256 KiB in all at most",
                ),
            );
        }
        let mut rest = pattern;
        while let Some(start) = rest.find("%{") {
            self.push(&rest[..start], is_usual);
            let inner = &rest[start + 2..];
            let end = inner.find('}').ok_or_else(|| {
                let text = format!("`%{{{inner}` has no closing brace");
                Problem::new(path.clone(), text).expected(EXPECTED)
            })?;
            let (reference, after) = inner.split_at(end);
            rest = &after[1..];
            let (name, field) = reference.split_once(':').unwrap_or((reference, ""));
            let own_pattern = own.get(name).map(String::as_str);
            let Some(known) = own_pattern.or_else(|| library::pattern(name)) else {
                let text = format!("unknown pattern `{name}`");
                let names = own.keys().map(String::as_str).chain(library::names());
                return Err(Problem::new(path.clone(), text)
                    .expected(
                        "a name that `isobar operators parse_grok` lists, or one of `patterns`",
                    )
                    .near(name, names));
            };
            if field.is_empty() {
                self.regex.push_str("(?:");
            } else {
                let (field, kind) = field_and_kind(field, reference, path)?;
                self.open(field, kind);
            }
            self.expand(known, own, path, own_pattern.is_none(), depth + 1)?;
            self.regex.push(')');
        }
        self.push(rest, is_usual);
        Ok(())
    }

    /// Adds what is a regular expression. In the usual patterns, groups with a name make fields as well;
    /// a pattern may have one of them several times.
    fn push(&mut self, text: &str, is_usual: bool) {
        let mut rest = text;
        while is_usual
            && let Some((before, group)) = rest.split_once("(?<")
            && let Some((field, behind)) = group.split_once('>')
        {
            self.regex.push_str(before);
            self.open(field, Kind::String);
            rest = behind;
        }
        self.regex.push_str(rest);
    }

    /// Opens the group of a field.
    fn open(&mut self, field: &str, kind: Kind) {
        let number = self.fields.len();
        self.regex.push_str(&format!("(?<{GROUP}{number}>"));
        self.fields.push((field.to_owned(), kind));
    }
}

fn field_and_kind<'f>(
    field: &'f str,
    reference: &str,
    path: &Path,
) -> Result<(&'f str, Kind), Problem> {
    let (field, kind) = match field.rsplit_once(':') {
        None => (field, Kind::String),
        Some((field, "int")) => (field, Kind::Integer),
        Some((field, "float")) => (field, Kind::Float),
        Some((field, "string")) => (field, Kind::String),
        Some((_, kind)) => {
            let text = format!("unknown type `{kind}` in `%{{{reference}}}`");
            let problem = Problem::new(path.clone(), text).expected("int, float or string");
            return Err(problem.near(kind, ["int", "float", "string"]));
        }
    };
    Ok((field, kind))
}
