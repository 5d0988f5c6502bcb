//! `convert`: gives fields of documents other types.

use std::collections::BTreeMap;
use std::sync::Arc;

use isobar_topology::json::{Edit, Kind as JsonKind};
use isobar_topology::spec::{Component, Problem, Problems, parse_config};
use isobar_topology::{
    AnyBolt, Batch, Bolt, BoltType, Counter, Emitter, Example, OperatorError, Prepare,
    PreparedBolt, RecordMut, Rejection, Verdict,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::conversion::Kind;
use crate::excerpt::excerpt;
use crate::expression::text_of;
use crate::field_path::{EditSpace, FieldPath, no_document};
use crate::field_paths::FieldPaths;

pub(super) const TYPE: BoltType = BoltType {
    name: "convert",
    schema: || schemars::schema_for!(ConvertConfig),
    example: EXAMPLE,
    side_effects: false,
    deterministic: true,
    prepare,
};

const EXAMPLE: Example = Example::of(
    "\
type: convert
inputs: [parse]
fields: {status: integer, took: float, cache.hit: boolean}
on_invalid: remove
",
    &[
        r#"{"status":"200","took":"0.042","cache":{"hit":"yes"}}"#,
        r#"{"status":"n/a","took":"2e-3"}"#,
    ],
);

/// Gives fields of documents other types, such as numbers for text that `parse_regex` found.
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
    /// From names of fields to types. `http.status` is the field inside of `http`, in each element where
    /// `http` is a list; `["http.status"]` is one with a dot in its name.
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
    let mut fields: Vec<(FieldPath, Kind)> = Vec::new();
    for (name, kind) in &config.fields {
        let path = path.key(name);
        match FieldPath::new(name, &path, prepare) {
            Ok(field) if fields.iter().any(|(known, _)| *known == field) => problems.push(
                Problem::new(path, format!("the field `{name}` is named twice"))
                    .expected("each field once"),
            ),
            Ok(field) => fields.push((field, *kind)),
            Err(problem) => problems.push(problem),
        }
    }
    problems.or(())?;
    let mut paths = FieldPaths::default();
    for (number, (field, _)) in fields.iter().enumerate() {
        paths.add(field, number);
    }
    let (paths, fields): (_, Arc<[_]>) = (Arc::new(paths), fields.into());
    let on_invalid = config.on_invalid;
    Ok(PreparedBolt::new(Arc::new(move |context| {
        AnyBolt::new(Convert {
            paths: Arc::clone(&paths),
            fields: Arc::clone(&fields),
            on_invalid,
            failed: context.counters.counter(
                "failed_conversions",
                "Values that could not be converted and were removed or kept as they were.",
            ),
            text: Vec::new(),
            space: EditSpace::default(),
        })
    })))
}

struct Convert {
    paths: Arc<FieldPaths>,
    /// By their numbers.
    fields: Arc<[(FieldPath, Kind)]>,
    on_invalid: OnInvalid,
    failed: Counter,
    /// The text of the value at hand.
    text: Vec<u8>,
    space: EditSpace,
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
        let (mut failures, mut refused) = (0, None);
        let edited = self
            .paths
            .edit(record, &mut self.space, |number, raw, out| {
                let (field, kind) = &self.fields[number];
                if is_already(raw, *kind) {
                    return Edit::Keep;
                }
                if convert(raw, *kind, &mut self.text, out) {
                    return Edit::Replace;
                }
                failures += 1;
                match self.on_invalid {
                    OnInvalid::Reject => {
                        let _ =
                            refused.get_or_insert_with(|| rejection(field.written(), raw, *kind));
                        Edit::Keep
                    }
                    OnInvalid::Remove => Edit::Remove,
                    OnInvalid::Keep => Edit::Keep,
                }
            });
        edited.map_err(no_document)?;
        refused.map_or(Ok(failures), Err)
    }
}

/// Appends a raw value as one of another type. `false` where it cannot be one: what was appended is
/// meaningless then. `text` is overwritten.
fn convert(raw: &[u8], kind: Kind, text: &mut Vec<u8>, out: &mut Vec<u8>) -> bool {
    text.clear();
    match JsonKind::of(raw) {
        JsonKind::Array | JsonKind::Object => return false,
        JsonKind::String => text.extend_from_slice(&text_of(raw)),
        _ => text.extend_from_slice(raw),
    }
    kind.write(text, out)
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

    fn converted(options: &Value, document: &str) -> Result<String, String> {
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
            let found = converted(&options, document).expect(document);
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
            assert_eq!(converted(&options("reject"), &document), Err(reason));
            assert_eq!(
                converted(&options("remove"), &document),
                Ok("{\"a\":1}".to_owned())
            );
            assert_eq!(converted(&options("keep"), &document), Ok(document));
        }
    }

    #[test]
    fn fields_inside_of_others_are_converted_where_they_are() {
        let options =
            json!({"fields": {"a.n": "integer", "[\"a.n\"]": "float"}, "on_invalid": "remove"});
        for (document, expected) in [
            (
                r#"{"a":{"n":"7","m":"7"},"a.n":"1.5"}"#,
                r#"{"a":{"n":7,"m":"7"},"a.n":1.5}"#,
            ),
            (
                r#"{"a":[{"n":"7"},{"n":"x"},{"n":8},"7"]}"#,
                r#"{"a":[{"n":7},{},{"n":8},"7"]}"#,
            ),
            (r#"{"a":"7"}"#, r#"{"a":"7"}"#),
        ] {
            let found = converted(&options, document).expect(document);
            let parse = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
            assert_eq!(parse(&found), parse(expected), "{document}");
        }
        let found = converted(
            &json!({"fields": {"a.n": "integer"}}),
            r#"{"a":[{"n":"x"},{"n":"y"}]}"#,
        );
        let reason =
            "conversion: The value \"x\" of the field a.n is not a whole number of 64 bits";
        assert_eq!(found, Err(reason.to_owned()));
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
            &json!({"fields": {"a": "integer", "[\"a\"]": "float", "b.": "string"}}),
            &[
                "bolts.bolt.fields.a: the field `a` is named twice; expected each field once",
                "bolts.bolt.fields[\"b.\"]: `b.` is not a field; expected a name such as host, user.name for a field inside of another, or [\"user.name\"] for a name with a dot in it",
            ],
        );
    }
}
