//! `parse_grok`: makes documents of text by a pattern that is put together of named ones. All of it is
//! one regular expression before the first record comes.

mod expand;
mod library;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use isobar_topology::spec::{Component, Problem, Problems, parse_config};
use isobar_topology::{BoltType, Example, Prepare, PreparedBolt};
use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use serde_json::Value;

use expand::Expansion;

use crate::conversion::Kind;
use crate::field_name;
use crate::groups::{self, Field};
use crate::pattern::Pattern;
use crate::text_source::TextSource;
use crate::unfit::OnInvalid;

pub(super) const TYPE: BoltType = BoltType {
    name: "parse_grok",
    schema,
    example: EXAMPLE,
    side_effects: false,
    deterministic: true,
    prepare,
};

const EXAMPLE: Example = Example::of(
    "\
type: parse_grok
inputs: [logs]
pattern: '^%{IPORHOST:client} - %{DATA:user} \\[%{HTTPDATE:time}\\] %{QS:request} %{STATUS:status:int}'
patterns: {STATUS: '[1-5]\\d\\d'}
",
    &[r#"192.0.2.7 - frank [31/Jan/2026:06:00:00 +0000] "GET / HTTP/1.1" 200"#, r#"192.0.2.7 - frank [31/Jan/2026:06:00:00 +0000] "GET / HTTP/1.1" 999"#],
);

/// Makes a document of text by a pattern of grok, as Logstash knows them.
///
/// `%{NAME:field}` matches what the pattern of that name matches, and makes a field of it;
/// `%{NAME:field:int}` and `%{NAME:field:float}` make numbers, and `%{NAME}` no field. What is between
/// them is a regular expression as in `parse_regex`, in which `(?<field>…)` makes a field, too. All of
/// it becomes one regular expression, and a match takes time in proportion to the text. The first match
/// counts, wherever in the text it is: begin with `^` and end with `$` for all of the text. Where several
/// references make one field and are part of the match, the field is a list, in their order.
///
/// Look-around and back-references, which patterns of other programs may have, are not supported.
///
/// Text without a match is rejected as `no_match`, with the position up to which its start fits. Where
/// lines have several forms, put a second bolt behind the stream `rejected` of the first.
///
/// The usual names, of which those of whole lines make the fields that Logstash makes of them without
/// `ecs_compatibility`:
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParseGrokConfig {
    /// The pattern. Put it in single quotes, in which YAML knows no escapes.
    pattern: String,
    /// Patterns of your own by name, such as `{STATUS: '[1-5]\d\d'}`. They may be made of others, and
    /// take the place of those that have the same name.
    #[serde(default)]
    patterns: BTreeMap<String, String>,
    /// A field with the text, such as `log` or `event.original`; what is found becomes fields of the
    /// document. Default: the record's value is parsed.
    field: Option<String>,
    /// What becomes of a record whose `field` is missing or does not fit: `reject`, or `keep` as it is, counted
    /// by the metric `unparsed_fields`. Default `reject`.
    #[serde(default)]
    on_invalid: OnInvalid,
}

fn schema() -> Schema {
    let mut schema = schemars::schema_for!(ParseGrokConfig);
    let description = schema.get("description").and_then(Value::as_str);
    let text = format!("{}\n\n{}", description.unwrap_or_default(), library::list());
    let _before = schema.insert("description".to_owned(), text.into());
    schema
}

fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let config: ParseGrokConfig = parse_config(&component.config, &component.path)?;
    let mut problems = Problems::default();
    let path = component.path.key("pattern");
    let source = TextSource::new(
        config.field.as_deref(),
        config.on_invalid,
        component,
        prepare,
    );
    let source = problems.take(source);
    for (name, text) in &config.patterns {
        let path = component.path.key("patterns").key(name);
        if let Err(problem) = Expansion::new(text, &config.patterns, &path) {
            problems.push(problem);
        }
    }
    let expansion = Expansion::new(&config.pattern, &config.patterns, &path);
    let Some(expansion) = problems.take(expansion.map_err(Problems::from)) else {
        return Err(problems);
    };
    let pattern = Pattern::compile(&expansion.regex, &path).map_err(|mut problem| {
        problem.message = format!(
            "as a regular expression of {} bytes, {}",
            expansion.regex.len(),
            problem.message
        );
        problem
    });
    let pattern = problems.take(pattern.map_err(Problems::from));
    let mut fields = Vec::new();
    for (group, name) in pattern.iter().flat_map(Pattern::groups) {
        let (name, kind) = expansion.field(name).unwrap_or((name, Kind::String));
        let name = field_name::top_level(name, &path);
        match name.and_then(|name| prepare.symbol(name, &path)) {
            Ok(symbol) => fields.push(Field {
                group,
                symbol,
                kind,
            }),
            Err(problem) => problems.push(problem),
        }
    }
    let names_none = |pattern: &Pattern| pattern.groups().next().is_none();
    if pattern.as_ref().is_some_and(names_none) {
        problems.push(
            Problem::new(path, "the pattern makes no field")
                .expected("a name for each field, such as %{IP:client}"),
        );
    }
    problems.or(())?;
    let (source, pattern) = source.zip(pattern).expect("no problem means both");
    Ok(groups::bolt(source, Arc::new(pattern), fields))
}
