//! `set_fields`: sets fields of documents to constants or to what templates give.

use std::sync::Arc;

use isobar_topology::spec::{Component, Path, Problem, Problems, parse_config};
use isobar_topology::{
    AnyBolt, Batch, Bolt, BoltType, Emitter, Example, OperatorError, Prepare, PreparedBolt,
    RecordMut, Rejection, Shared, Verdict,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::field_path::{EditSpace, FieldPath, no_document};
use crate::field_paths::FieldPaths;
use crate::template::{Missing, Template};

pub(super) const TYPE: BoltType = BoltType {
    name: "set_fields",
    schema: || schemars::schema_for!(SetFieldsConfig),
    example: EXAMPLE,
    side_effects: false,
    deterministic: true,
    prepare,
};

const EXAMPLE: Example = Example::of(
    "\
type: set_fields
inputs: [parse]
fields:
  env: prod
  zone: \"{{ doc.host.substring(0, 5) }}\"
  event.outcome: \"{{ doc.status >= 500 ? 'failure' : 'success' }}\"
  labels: {team: search, tier: 1}
",
    &[
        r#"{"host":"web-1","status":503,"event":{"kind":"event"}}"#,
        r#"{"status":200}"#,
    ],
);

/// Sets fields of documents, replacing fields of the same names.
///
/// A value is a constant of any type, or text with `{{ expression }}` inside. Text that is nothing but
/// one `{{ }}` keeps the type of its value: `"{{ doc.status }}"` of a number is a number. All templates
/// see the document as it was before this bolt, whatever the order.
///
/// `event.kind` is the field inside of `event`, `["event.kind"]` one with a dot in its name. Objects that
/// are not there are made; a record that has something else there is rejected as `not_an_object`.
///
/// A record for which a template has no value, as a field is missing, is rejected with the class
/// `missing_field`; `{{ default(doc.host, 'unknown') }}` says what to take instead.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetFieldsConfig {
    /// Names of fields, and their values.
    fields: Map<String, Value>,
}

fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let config: SetFieldsConfig = parse_config(&component.config, &component.path)?;
    let path = component.path.key("fields");
    let mut problems = Problems::default();
    if config.fields.is_empty() {
        problems.push(Problem::new(path.clone(), "no fields are named").expected("at least one"));
    }
    let mut fields: Vec<Field> = Vec::new();
    for (name, value) in &config.fields {
        let path = path.key(name);
        let is_template = |field: &&Field| matches!(field.setting, Setting::Template(..));
        let templates = fields.iter().filter(is_template).count();
        match field(name, value, templates, &path, prepare) {
            Ok(field) if fields.iter().any(|known| known.path.overlaps(&field.path)) => {
                problems.push(
                    Problem::new(path, format!("the field `{name}` is set twice"))
                        .expected("each field once, and none inside of another one that is set"),
                );
            }
            Ok(field) => fields.push(field),
            Err(problem) => problems.push(problem),
        }
    }
    problems.or(())?;
    let mut inside = FieldPaths::default();
    for (number, field) in fields.iter().enumerate() {
        if field.path.top_level().is_none() {
            inside.add(&field.path, number);
        }
    }
    let only_constants = inside.is_empty()
        && fields
            .iter()
            .all(|field| matches!(field.setting, Setting::Constant(_)));
    let (fields, inside): (Arc<[Field]>, _) = (fields.into(), Arc::new(inside));
    Ok(PreparedBolt::new(Arc::new(move |_| {
        AnyBolt::new(SetFields {
            fields: Arc::clone(&fields),
            inside: Arc::clone(&inside),
            only_constants,
            constants: Vec::new(),
            text: Vec::new(),
            ends: Vec::new(),
            space: EditSpace::default(),
        })
    })))
}

/// `templates` is the number of templates before it.
fn field(
    name: &str,
    value: &Value,
    templates: usize,
    path: &Path,
    prepare: &mut Prepare<'_>,
) -> Result<Field, Problem> {
    let setting = match value {
        Value::String(text) => {
            let template = Template::compile(text, path, prepare)?;
            match template.constant() {
                Some(text) => Setting::Constant(Value::from(text).to_string().into_bytes()),
                None => Setting::Template(template, templates),
            }
        }
        other => {
            if let Some(path) = template_inside(other, path) {
                return Err(
                    Problem::new(path, "a template inside of a list or a mapping")
                        .expected("templates as values of fields themselves"),
                );
            }
            Setting::Constant(other.to_string().into_bytes())
        }
    };
    Ok(Field {
        path: FieldPath::new(name, path, prepare)?,
        setting,
    })
}

/// The place of the first text with `{{` inside of a list or mapping.
fn template_inside(value: &Value, path: &Path) -> Option<Path> {
    match value {
        Value::String(text) => text.contains("{{").then(|| path.clone()),
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.find_map(|(index, item)| template_inside(item, &path.index(index)))
        }
        Value::Object(members) => members
            .iter()
            .find_map(|(name, member)| template_inside(member, &path.key(name))),
        _ => None,
    }
}

struct Field {
    path: FieldPath,
    setting: Setting,
}

enum Setting {
    /// Raw JSON.
    Constant(Vec<u8>),
    /// With its number among those of the bolt.
    Template(Template, usize),
}

struct SetFields {
    fields: Arc<[Field]>,
    /// Those that are inside of others, by their numbers.
    inside: Arc<FieldPaths>,
    /// Whether nothing is rendered and nothing is inside of others, as most often.
    only_constants: bool,
    /// Constants of top-level fields in the batch at hand.
    constants: Vec<Shared>,
    /// What the templates gave for the record at hand, one after the other.
    text: Vec<u8>,
    ends: Vec<usize>,
    space: EditSpace,
}

impl Bolt for SetFields {
    async fn process(&mut self, mut batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        self.constants.clear();
        for field in &*self.fields {
            if let (Setting::Constant(json), Some(symbol)) =
                (&field.setting, field.path.top_level())
            {
                self.constants.push(batch.share(symbol, json));
            }
        }
        batch.judge(out, |record| match self.set(record) {
            Ok(()) => Verdict::Keep,
            Err(rejection) => Verdict::Reject(rejection),
        });
        Ok(())
    }
}

impl SetFields {
    #[inline]
    fn set(&mut self, record: &mut RecordMut<'_>) -> Result<(), Rejection> {
        if !self.only_constants {
            self.set_others(record)?;
        }
        for constant in &self.constants {
            record.set_shared(*constant).map_err(no_document)?;
        }
        Ok(())
    }

    /// Sets the fields that are rendered, and those that are inside of others.
    fn set_others(&mut self, record: &mut RecordMut<'_>) -> Result<(), Rejection> {
        self.render(record).map_err(|missing| {
            Rejection::new(
                "missing_field",
                format!("A template has no value: {missing}"),
            )
        })?;
        let (mut start, mut ends) = (0, self.ends.iter());
        for field in &*self.fields {
            if let Setting::Template(..) = &field.setting {
                let end = *ends.next().expect("one for each field with a template");
                if let Some(symbol) = field.path.top_level() {
                    let json = &self.text[start..end];
                    record.set(symbol, json).map_err(no_document)?;
                }
                start = end;
            }
        }
        if self.inside.is_empty() {
            return Ok(());
        }
        let value = |number: usize| match &self.fields[number].setting {
            Setting::Constant(json) => Some(json.as_slice()),
            Setting::Template(_, number) => {
                let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
                Some(&self.text[start..self.ends[*number]])
            }
        };
        self.inside.set(record, &mut self.space, value, |number| {
            &self.fields[number].path
        })
    }

    /// Evaluates all templates before any field is set, so that they see the same document.
    fn render(&mut self, record: &RecordMut<'_>) -> Result<(), Missing> {
        self.text.clear();
        self.ends.clear();
        for field in &*self.fields {
            if let Setting::Template(template, _) = &field.setting {
                template.render_json(record.view(), &mut self.text)?;
                self.ends.push(self.text.len());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use isobar_topology::Stream;
    use isobar_topology::testing::{Input, PreparedForTest};
    use serde_json::json;

    use super::*;

    /// The document after the bolt, or why the record was rejected.
    async fn set(fields: Value, input: Input) -> String {
        let options = json!({"fields": fields});
        let mut bolt = PreparedForTest::new(&TYPE, &options).expect("good options");
        let mut emitted = bolt.run(&[input]).await;
        let record = emitted.pop().expect("one record");
        assert!(emitted.is_empty());
        match record.rejection {
            Some(rejection) => {
                assert_eq!(record.stream, Stream::REJECTED);
                format!("{}: {}", rejection.class, rejection.reason)
            }
            None => record.document.expect("a document"),
        }
    }

    async fn check(fields: Value, document: &str, expected: &str) {
        assert_eq!(set(fields, Input::document(document)).await, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn constants_and_templates_are_set() {
        check(
            json!({"env": "pr\"od", "n": 1, "list": [1, {"a": null}], "no": null}),
            r#"{"env":"x","a":1}"#,
            r#"{"a":1,"env":"pr\"od","n":1,"list":[1,{"a":null}],"no":null}"#,
        )
        .await;
        check(
            json!({
                "zone": "{{ doc.host.substring(0, 3) }}", "status": "{{ doc.code }}", "kept": "{{doc.big}}",
                "text": "{{ doc.code }} on {{ doc.host }}", "bad": "{{ doc.code >= 500 }}",
                "none": "{{ doc.none }}", "day": "{{ event_time.format('%F') }}", "at": "{{ event_time }}",
                "x": "{{ default(doc.x, 'none') }}"
            }),
            r#"{"host":"web-\"1\"","code":503,"big":1e400,"none":null}"#,
            r#"{"host":"web-\"1\"","code":503,"big":1e400,"zone":"web","status":503,"kept":1e400,"text":"503 on web-\"1\"","bad":true,"none":null,"day":"2023-11-14","at":"2023-11-14T22:13:20Z","x":"none"}"#,
        )
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn fields_inside_of_others_are_set() {
        check(
            json!({
                "event.outcome": "{{ doc.status }}", "event.kind": "event", "a.b.c": [1],
                "[\"log.level\"]": "warn", "text": "{{ doc.event.kind }}",
            }),
            r#"{"status":7,"event":{"kind":"x","id":1},"a":null}"#,
            r#"{"status":7,"event":{"id":1,"outcome":7,"kind":"event"},"a":{"b":{"c":[1]}},"log.level":"warn","text":"x"}"#,
        )
        .await;
        let rejected = set(json!({"a.b": 1}), Input::document(r#"{"a":[{}]}"#)).await;
        assert_eq!(
            rejected,
            "not_an_object: The field a.b cannot be set: what is around it is no object"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn numbers_are_copied_as_they_are_written() {
        check(
            json!({"copy": "{{ doc.n }}", "text": "n={{ doc.n }}", "is": "{{ doc.n == 0 }}"}),
            r#"{"n":-0}"#,
            r#"{"n":-0,"copy":-0,"text":"n=-0","is":true}"#,
        )
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn templates_see_the_document_as_it_came() {
        check(
            json!({"a": "{{ doc.b }}", "b": "{{ doc.a }}"}),
            r#"{"a":1,"b":2}"#,
            r#"{"b":1,"a":2}"#,
        )
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn records_without_the_fields_are_rejected() {
        check(
            json!({"env": "prod", "zone": "{{ doc.host }}"}),
            r#"{"a":1}"#,
            "missing_field: A template has no value: {{ doc.host }}: doc.host is missing",
        )
        .await;
        check(
            json!({"zone": "z-{{ doc.host }}"}),
            r#"{"host":null}"#,
            "missing_field: A template has no value: {{ doc.host }}: the value is null",
        )
        .await;
        let rejected = set(json!({"env": "prod"}), Input::raw("text")).await;
        assert_eq!(
            rejected,
            "no_document: the record has no document: put a parser such as parse_json before this bolt"
        );
    }

    #[test]
    fn bad_options_are_problems() {
        let check = |fields: Value, expected: &[&str]| {
            let options = json!({"fields": fields});
            let problems = PreparedForTest::new(&TYPE, &options).err().expect("bad");
            assert_eq!(problems.to_string(), expected.join("\n"));
        };
        check(
            json!({}),
            &["bolts.bolt.fields: no fields are named; expected at least one"],
        );
        check(
            json!({"a..b": 1, "c": "{{ doc.x", "d": "{{ dco.x }}", "e": {"f": ["{{ doc.x }}"]}}),
            &[
                "bolts.bolt.fields[\"a..b\"]: `a..b` is not a field; expected a name such as host, user.name for a field inside of another, or [\"user.name\"] for a name with a dot in it",
                "bolts.bolt.fields.c: at character 1 of the text: `{{` has no closing `}}`; expected {{ EXPRESSION }}, or {{ '{{' }} for the braces themselves",
                "bolts.bolt.fields.d: at character 4 of the text: unknown name `dco`; expected doc.NAME, kafka.NAME or event_time; did you mean doc?",
                "bolts.bolt.fields.e.f[0]: a template inside of a list or a mapping; expected templates as values of fields themselves",
            ],
        );
        check(
            json!({"a": 1, "[\"a\"]": 2, "a.b": 3}),
            &[
                "bolts.bolt.fields[\"[\\\"a\\\"]\"]: the field `[\"a\"]` is set twice; expected each field once, and none inside of another one that is set",
                "bolts.bolt.fields[\"a.b\"]: the field `a.b` is set twice; expected each field once, and none inside of another one that is set",
            ],
        );
    }
}
