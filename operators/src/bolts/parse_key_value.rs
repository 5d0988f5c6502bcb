//! `parse_key_value`: makes documents of lines such as `level=info msg="all well" took=5ms`.

mod pairs;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use isobar_topology::json;
use isobar_topology::spec::{Component, Path, Problem, Problems, parse_config};
use isobar_topology::{
    AnyBolt, Batch, Bolt, BoltType, Emitter, Example, OperatorError, Prepare, PreparedBolt,
    RecordMut, Rejection,
};
use schemars::JsonSchema;
use serde::Deserialize;

use pairs::{Pairs, Syntax};

use crate::found_object::FoundObject;
use crate::text_source::TextSource;
use crate::unfit::{OnInvalid, Unfit};

pub(super) const TYPE: BoltType = BoltType {
    name: "parse_key_value",
    schema: || schemars::schema_for!(ParseKeyValueConfig),
    example: EXAMPLE,
    side_effects: false,
    deterministic: true,
    prepare,
};

const EXAMPLE: Example = Example::of(
    "\
type: parse_key_value
inputs: [logs]
bare_words: ignore
",
    &[
        r#"level=info retrying msg="all well" took=5ms"#,
        r#"level=info ="no key""#,
    ],
);

/// Makes a document of a line of keys and values, such as `level=info msg="all well" took=5ms` (known
/// as logfmt).
///
/// Every value is text; the bolt `convert` makes numbers of some. A value in double quotes may have
/// anything in it, with `\"`, `\\`, `\n` and the like for what must be escaped. A key that occurs
/// several times becomes a list, in the order of the line.
///
/// A line that does not fit is rejected as `invalid_key_value`, with the position of what is wrong: a
/// value without a key, a quote that is not closed, a key that is not UTF-8, more than 1024 pairs, or
/// no pair at all.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParseKeyValueConfig {
    /// A field with the text, such as `msg` or `event.original`; an object with the pairs takes its place.
    /// Default: the record's value is parsed, and the pairs are the fields of the document.
    field: Option<String>,
    /// Whether the pairs that are found in `field` become fields of the document instead. They take the
    /// place of fields of the same names, and `field` is removed.
    #[serde(default)]
    merge: bool,
    /// What becomes of a record whose `field` is missing or does not fit: `reject`, or `keep` as it is, counted
    /// by the metric `unparsed_fields`. Default `reject`.
    #[serde(default)]
    on_invalid: OnInvalid,
    /// The character between two pairs, of ASCII. Spaces beside it do not count; tabs stand for spaces.
    /// Default: a space.
    #[serde(default = "space")]
    pair_separator: String,
    /// The character between a key and its value, of ASCII. Default `=`.
    #[serde(default = "equals")]
    key_value_separator: String,
    /// What becomes of a word without a value: the line is rejected (`reject`), the word is left out
    /// (`ignore`), or it becomes a field that is `true` (`keep`), as logfmt has it. Default `reject`.
    #[serde(default)]
    bare_words: BareWords,
}

/// What becomes of a word without a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum BareWords {
    #[default]
    Reject,
    Ignore,
    Keep,
}

fn space() -> String {
    " ".to_owned()
}

fn equals() -> String {
    "=".to_owned()
}

fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let config: ParseKeyValueConfig = parse_config(&component.config, &component.path)?;
    let mut problems = Problems::default();
    let source = TextSource::new(
        config.field.as_deref(),
        config.on_invalid,
        component,
        prepare,
    );
    let source = problems.take(source);
    let found = match &source {
        None => None,
        Some(_) => {
            let found = FoundObject::new(config.field.as_deref(), config.merge, component, prepare);
            problems.take(found)
        }
    };
    let mut separator = |option: &str, written: &str| {
        let separator = separator(written, component.path.key(option));
        problems.take(separator.map_err(Problems::from))
    };
    let pair = separator("pair_separator", &config.pair_separator);
    let key_value = separator("key_value_separator", &config.key_value_separator);
    if pair.is_some() && pair == key_value {
        problems.push(
            Problem::new(
                component.path.key("key_value_separator"),
                "`pair_separator` is this character already",
            )
            .expected("another character"),
        );
    }
    problems.or(())?;
    let separators = pair.zip(key_value).expect("no problem means both");
    let (source, found) = source.zip(found).expect("no problem means both");
    let syntax = Syntax {
        pair: separators.0,
        key_value: separators.1,
        bare_words: config.bare_words,
    };
    Ok(PreparedBolt {
        document: source.document_use(),
        copies: found.as_ref().map_or(1, FoundObject::copies),
        ..PreparedBolt::new(Arc::new(move |context| {
            AnyBolt::new(ParseKeyValue {
                source: source.clone(),
                unfit: source.unfit(&context),
                found: found.clone(),
                pairs: Pairs::new(syntax),
                object: Vec::new(),
            })
        }))
    })
}

fn separator(written: &str, path: Path) -> Result<u8, Problem> {
    let is_possible = |byte: u8| {
        byte.is_ascii() && !byte.is_ascii_alphanumeric() && !matches!(byte, b'"' | b'\\')
    };
    match written.as_bytes() {
        [byte] if is_possible(*byte) => Ok(*byte),
        _ => Err(
            Problem::new(path, format!("`{written}` is not a separator")).expected(
                "one character of ASCII that is no letter, digit, quote or backslash, such as ,",
            ),
        ),
    }
}

struct ParseKeyValue {
    source: TextSource,
    unfit: Unfit,
    /// Where it reads a field.
    found: Option<FoundObject>,
    pairs: Pairs,
    /// The pairs that were found in it.
    object: Vec<u8>,
}

impl Bolt for ParseKeyValue {
    async fn process(&mut self, batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        let unfit = self.unfit.clone();
        unfit.judge(batch, out, |record| self.parse(record));
        Ok(())
    }
}

impl ParseKeyValue {
    fn parse(&mut self, record: &mut RecordMut<'_>) -> Result<(), Rejection> {
        let text = self.source.read(record)?;
        let pairs = &mut self.pairs;
        let read = pairs.read(text);
        read.map_err(|error| error.rejection("invalid_key_value", "line of keys and values"))?;
        let Some(found) = &mut self.found else {
            record.write_document(|document| {
                pairs.for_each(text, |key, value| {
                    document.other(key, |out| value.write(out))
                });
            });
            return Ok(());
        };
        let object = &mut self.object;
        object.clear();
        object.push(b'{');
        pairs.for_each(text, |key, value| {
            if object.len() > 1 {
                object.push(b',');
            }
            json::write_string(object, key);
            object.push(b':');
            value.write(object);
        });
        object.push(b'}');
        found.place(record, object)
    }
}
