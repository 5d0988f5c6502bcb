//! `convert`: gives fields of documents other types.

use std::collections::BTreeMap;
use std::sync::Arc;

use isobar_topology::json::Kind as JsonKind;
use isobar_topology::spec::{Component, Path, Problem, Problems, parse_config};
use isobar_topology::{
    AnyBolt, Batch, Bolt, BoltType, Counter, Emitter, Example, OperatorError, Prepare,
    PreparedBolt, RecordMut, Rejection, Symbol, Verdict,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::conversion::Kind;
use crate::excerpt::excerpt;
use crate::expression::text_of;
use crate::field_name;

pub(super) const TYPE: BoltType = BoltType {
    name: "convert",
    schema: || schemars::schema_for!(ConvertConfig),
    example: EXAMPLE,
    prepare,
};

const EXAMPLE: Example = Example::of(
    "\
type: convert
inputs: [parse]
fields: {status: integer, took: float, cached: boolean}
on_invalid: remove
",
    &[
        r#"{"status":"200","took":"0.042","cached":"yes"}"#,
        r#"{"status":"n/a","took":"2e-3"}"#,
    ],
);

/// Gives top-level fields of documents other types, such as numbers for text that `parse_regex` found.
///
/// - `integer`: a whole number of 64 bits, from text such as `-7` and `007` or from a whole number.
/// - `float`: a number, from text such as `1.5` and `2e3`; numbers stay as they are written.
/// - `boolean`: `true` from `true`, `yes`, `on` and `1`, `false` from `false`, `no`, `off` and `0`, in
///   small or large letters.
/// - `string`: text, from text, numbers, `true` and `false`.
///
/// Fields that are missing or `null` stay so.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConvertConfig {
    /// From names of top-level fields to types; `["log.level"]` for a name with a dot in it.
    fields: BTreeMap<String, Kind>,
    /// What becomes of a value that cannot be converted: the record is rejected with the class
    /// `conversion` (`reject`), the field is removed (`remove`), or it stays as it is (`keep`). The last
    /// two are counted by the metric `failed_conversions`. Default `reject`.
    #[serde(default)]
    on_invalid: OnInvalid,
}

/// What becomes of a value that cannot be converted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum OnInvalid {
    #[default]
    Reject,
    Remove,
    Keep,
}

fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let config: ConvertConfig = parse_config(&component.config, &component.path)?;
    let path = component.path.key("fields");
    let mut problems = Problems::default();
    if config.fields.is_empty() {
        problems.push(Problem::new(path.clone(), "no fields are named").expected("at least one"));
    }
    let mut fields: Vec<(Symbol, Kind)> = Vec::new();
    for (name, kind) in &config.fields {
        let path = path.key(name);
        match symbol(name, &path, prepare) {
            Ok(symbol) if fields.iter().any(|(known, _)| *known == symbol) => problems.push(
                Problem::new(path, format!("the field `{name}` is named twice"))
                    .expected("each field once"),
            ),
            Ok(symbol) => fields.push((symbol, *kind)),
            Err(problem) => problems.push(problem),
        }
    }
    problems.or(())?;
    let (fields, on_invalid): (Arc<[_]>, _) = (fields.into(), config.on_invalid);
    Ok(PreparedBolt::new(Arc::new(move |context| {
        AnyBolt::new(Convert {
            fields: Arc::clone(&fields),
            on_invalid,
            failed: context.counters.counter(
                "failed_conversions",
                "Values that could not be converted and were removed or kept as they were.",
            ),
            text: Vec::new(),
            value: Vec::new(),
        })
    })))
}

fn symbol(name: &str, path: &Path, prepare: &mut Prepare<'_>) -> Result<Symbol, Problem> {
    prepare.symbol(field_name::top_level(name, path)?, path)
}

struct Convert {
    fields: Arc<[(Symbol, Kind)]>,
    on_invalid: OnInvalid,
    failed: Counter,
    /// The text of the value at hand, and what it becomes.
    text: Vec<u8>,
    value: Vec<u8>,
}

impl Bolt for Convert {
    async fn process(&mut self, batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        let mut failed = 0;
        batch.judge(out, |record| match self.convert(record) {
            Ok(failures) => {
                failed += failures;
                Verdict::Keep
            }
            Err(rejection) => Verdict::Reject(rejection),
        });
        self.failed.add(failed);
        Ok(())
    }
}

impl Convert {
    /// Converts the fields of a record; how many could not be.
    fn convert(&mut self, record: &mut RecordMut<'_>) -> Result<u64, Rejection> {
        let mut failures = 0;
        for (field, kind) in self.fields.iter().copied() {
            let view = record.view();
            let Some(raw) = view.get(field) else {
                continue;
            };
            if is_already(raw, kind) {
                continue;
            }
            self.value.clear();
            let is_simple = !matches!(JsonKind::of(raw), JsonKind::Array | JsonKind::Object);
            self.text.clear();
            match JsonKind::of(raw) {
                JsonKind::String => self.text.extend_from_slice(&text_of(raw)),
                _ => self.text.extend_from_slice(raw),
            }
            if is_simple && kind.write(&self.text, &mut self.value) {
                let set = record.set(field, &self.value);
                set.map_err(|error| Rejection::new("no_document", error.to_string()))?;
                continue;
            }
            match self.on_invalid {
                OnInvalid::Reject => {
                    let name = record.symbols().name(field);
                    return Err(rejection(name, raw, kind));
                }
                OnInvalid::Remove => {
                    let _ = record.remove(field);
                }
                OnInvalid::Keep => {}
            }
            failures += 1;
        }
        Ok(failures)
    }
}

/// Whether there is nothing to do for a raw value.
#[inline]
fn is_already(raw: &[u8], kind: Kind) -> bool {
    matches!(
        (JsonKind::of(raw), kind),
        (JsonKind::Null, _)
            | (JsonKind::String, Kind::String)
            | (JsonKind::Number, Kind::Float)
            | (JsonKind::Bool, Kind::Boolean)
    )
}

#[cold]
fn rejection(name: &str, raw: &[u8], kind: Kind) -> Rejection {
    let reason = format!(
        "The value {} of the field {name} is not {}",
        excerpt(raw),
        kind.expected()
    );
    Rejection::new("conversion", reason)
}

#[cfg(test)]
mod tests {
    use isobar_topology::testing::{Input, PreparedForTest};
    use serde_json::{Value, json};

    use super::*;
    use crate::one_record::{check_problems, run};

    fn convert(options: &Value, document: &str) -> Result<String, String> {
        let found = run(&TYPE, options, Input::document(document));
        found.map(|(document, _)| document.to_string())
    }

    #[test]
    fn values_get_the_types_that_are_asked_for() {
        let options = json!({"fields": {"i": "integer", "f": "float", "b": "boolean", "s": "string", "none": "integer"}});
        for (document, expected) in [
            (
                r#"{"i":"007","f":" 1.50 ","b":"Yes","s":1.50,"x":"1"}"#,
                r#"{"x":"1","i":7,"f":1.5,"b":true,"s":"1.50"}"#,
            ),
            (
                r#"{"i":-5,"f":7,"b":1,"s":true}"#,
                r#"{"f":7,"i":-5,"b":true,"s":"true"}"#,
            ),
            (
                r#"{"i":null,"f":null,"b":false,"s":"\u0031"}"#,
                r#"{"i":null,"f":null,"b":false,"s":"1"}"#,
            ),
            (r#"{"i":"\u0031"}"#, r#"{"i":1}"#),
            ("{}", "{}"),
        ] {
            let found = convert(&options, document).expect(document);
            let parse = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
            assert_eq!(parse(&found), parse(expected), "{document}");
        }
    }

    #[test]
    fn what_cannot_be_converted_is_rejected_removed_or_kept() {
        let options = |on_invalid| json!({"fields": {"i": "integer"}, "on_invalid": on_invalid});
        for (value, kind) in [
            ("\"x\"", "a whole number of 64 bits"),
            ("1.5", "a whole number of 64 bits"),
            ("{\"a\":1}", "a whole number of 64 bits"),
            ("[1]", "a whole number of 64 bits"),
            ("true", "a whole number of 64 bits"),
        ] {
            let document = format!("{{\"a\":1,\"i\":{value}}}");
            let reason = format!("conversion: The value {value} of the field i is not {kind}");
            assert_eq!(convert(&options("reject"), &document), Err(reason));
            assert_eq!(
                convert(&options("remove"), &document),
                Ok("{\"a\":1}".to_owned())
            );
            assert_eq!(convert(&options("keep"), &document), Ok(document));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_converted_is_counted() {
        let options = json!({"fields": {"i": "integer"}, "on_invalid": "keep"});
        let mut bolt = PreparedForTest::new(&TYPE, &options).expect("good options");
        let documents = [r#"{"i":"x"}"#, r#"{"i":"1"}"#, r#"{"i":[]}"#].map(Input::document);
        assert_eq!(bolt.run(&documents).await.len(), 3);
        assert_eq!(bolt.counters.values()[0].2, 2);
    }

    #[test]
    fn bad_options_are_problems() {
        check_problems(
            &TYPE,
            &json!({"fields": {}}),
            &["bolts.bolt.fields: no fields are named; expected at least one"],
        );
        check_problems(
            &TYPE,
            &json!({"fields": {"a": "integer", "[\"a\"]": "float", "b.c": "string"}}),
            &[
                "bolts.bolt.fields.a: the field `a` is named twice; expected each field once",
                "bolts.bolt.fields[\"b.c\"]: `b.c` looks like a field inside of `b`; expected the name of a top-level field, or [\"b.c\"] for one that has dots in its name",
            ],
        );
    }
}
