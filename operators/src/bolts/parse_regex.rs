//! `parse_regex`: makes documents of text by a regular expression with named groups.

use std::sync::Arc;

use isobar_topology::spec::{Component, Path, Problem, Problems, parse_config};
use isobar_topology::{BoltType, Example, Prepare, PreparedBolt, Symbol};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::conversion::Kind;
use crate::field_name;
use crate::groups::{self, Field};
use crate::pattern::Pattern;
use crate::text_source::TextSource;
use crate::unfit::OnInvalid;

pub(super) const TYPE: BoltType = BoltType {
    name: "parse_regex",
    schema: || schemars::schema_for!(ParseRegexConfig),
    example: EXAMPLE,
    side_effects: false,
    deterministic: true,
    prepare,
};

const EXAMPLE: Example = Example::of(
    "\
type: parse_regex
inputs: [logs]
pattern: '^(?<client>\\S+) \\S+ (?<user>\\S+) \\[(?<time>[^\\]]+)\\]'
",
    &[
        r#"192.0.2.7 - frank [31/Jan/2026:06:00:00 +0000] "GET / HTTP/1.1" 200"#,
        "192.0.2.7 - frank 31/Jan/2026",
    ],
);

/// Makes a document of text by a regular expression: each named group is a field.
///
/// The syntax is that of the Rust crate regex: as in Perl, without look-around and back-references. A
/// match takes time in proportion to the text, whatever the pattern. The first match counts, wherever in
/// the text it is: begin the pattern with `^` and end it with `$` for all of the text.
///
/// Every value is text; the bolt `convert` makes numbers of some. A group that is not part of the match
/// gives no field. Bytes that are not UTF-8 are replaced by U+FFFD before.
///
/// Text without a match is rejected as `no_match`, with the position up to which its start fits. Where
/// lines have several forms, put a second bolt behind the stream `rejected` of the first.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParseRegexConfig {
    /// The regular expression, with groups such as `(?<status>\d+)`. Put it in single quotes, in which
    /// YAML knows no escapes.
    pattern: String,
    /// A field with the text, such as `log` or `event.original`; what is found becomes fields of the
    /// document. Default: the record's value is parsed.
    field: Option<String>,
    /// What becomes of a record whose `field` is missing or does not fit: `reject`, or `keep` as it is, counted
    /// by the metric `unparsed_fields`. Default `reject`.
    #[serde(default)]
    on_invalid: OnInvalid,
}

fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let config: ParseRegexConfig = parse_config(&component.config, &component.path)?;
    let mut problems = Problems::default();
    let path = component.path.key("pattern");
    let source = TextSource::new(
        config.field.as_deref(),
        config.on_invalid,
        component,
        prepare,
    );
    let source = problems.take(source);
    let pattern = Pattern::compile(&config.pattern, &path);
    let pattern = problems.take(pattern.map_err(Problems::from));
    let mut fields = Vec::new();
    for (group, name) in pattern.iter().flat_map(Pattern::groups) {
        match symbol(name, &path, prepare) {
            Ok(symbol) => fields.push(Field {
                group,
                symbol,
                kind: Kind::String,
            }),
            Err(problem) => problems.push(problem),
        }
    }
    let names_none = |pattern: &Pattern| pattern.groups().next().is_none();
    if pattern.as_ref().is_some_and(names_none) {
        problems.push(
            Problem::new(path, "the pattern has no named group")
                .expected("a group for each field, such as (?<status>\\d+)"),
        );
    }
    problems.or(())?;
    let (source, pattern) = source.zip(pattern).expect("no problem means both");
    Ok(groups::bolt(source, Arc::new(pattern), fields))
}

fn symbol(name: &str, path: &Path, prepare: &mut Prepare<'_>) -> Result<Symbol, Problem> {
    prepare.symbol(field_name::top_level(name, path)?, path)
}

#[cfg(test)]
mod tests;
