//! `remove_fields`: takes fields out of documents.

use std::sync::Arc;

use isobar_topology::spec::{Component, Problem, Problems, parse_config};
use isobar_topology::{
    AnyBolt, Batch, Bolt, BoltType, Emitter, Example, OperatorError, Prepare, PreparedBolt, Verdict,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::field_path::{EditSpace, FieldPath};
use crate::field_paths::FieldPaths;

pub(super) const TYPE: BoltType = BoltType {
    name: "remove_fields",
    schema: || schemars::schema_for!(RemoveFieldsConfig),
    example: EXAMPLE,
    side_effects: false,
    deterministic: true,
    prepare,
};

const EXAMPLE: Example = Example::of(
    "\
type: remove_fields
inputs: [parse]
fields: [session_id, user.password]
",
    &[r#"{"user":{"name":"frank","password":"x"},"session_id":7}"#],
);

/// Removes fields from documents. Documents without them pass as they are.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveFieldsConfig {
    /// Names of fields. `user.password` is the field inside of `user`, in each element where `user` is a
    /// list, and one that has this whole name, as Elasticsearch takes both for the same; so `a.b.c` is also
    /// `b.c` inside of `a`, and `c` inside of `a.b`. `["user.password"]` is only the field that has this
    /// whole name.
    #[schemars(length(min = 1))]
    fields: Vec<String>,
}

fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let config: RemoveFieldsConfig = parse_config(&component.config, &component.path)?;
    let path = component.path.key("fields");
    let mut problems = Problems::default();
    let mut fields = FieldPaths::default();
    for (index, written) in config.fields.iter().enumerate() {
        let path = path.index(index);
        if config.fields[..index].contains(written) {
            problems.push(
                Problem::new(path, format!("the field `{written}` is named twice"))
                    .expected("each field once"),
            );
            continue;
        }
        match FieldPath::as_indexed(written, &path, prepare) {
            Ok(paths) => paths.iter().for_each(|path| fields.add(path, index)),
            Err(problem) => problems.push(problem),
        }
    }
    problems.or(())?;
    let fields = Arc::new(fields);
    Ok(PreparedBolt::new(Arc::new(move |_| {
        AnyBolt::new(RemoveFields {
            fields: Arc::clone(&fields),
            space: EditSpace::default(),
        })
    })))
}

struct RemoveFields {
    fields: Arc<FieldPaths>,
    space: EditSpace,
}

impl Bolt for RemoveFields {
    async fn process(&mut self, batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        batch.judge(out, |record| {
            self.fields.remove(record, &mut self.space);
            Verdict::Keep
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use isobar_topology::testing::{Input, PreparedForTest};
    use serde_json::{Value, json};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn fields_are_removed_where_they_are() {
        let options = json!({"fields": ["a", "[\"log.level\"]", "user.name"]});
        let mut bolt = PreparedForTest::new(&TYPE, &options).expect("good options");
        let inputs = [
            Input::document(r#"{"a":1,"b":{"a":2},"log.level":"x"}"#),
            Input::document(r#"{"\u0061":1}"#),
            Input::document(r#"{"b":1}"#),
            Input::document(r#"{"user":{"name": "x", "id": 7},"user.name":"x","log":{"level":1}}"#),
            Input::document(r#"{"user":[{"name":1},{"id":2,"name":null},3]}"#),
            Input::raw("no document"),
        ];
        let emitted = bolt.run(&inputs).await;
        let documents: Vec<Option<&str>> = emitted.iter().map(|e| e.document.as_deref()).collect();
        assert_eq!(
            documents,
            [
                Some(r#"{"b":{"a":2}}"#),
                Some("{}"),
                Some(r#"{"b":1}"#),
                Some(r#"{"log":{"level":1},"user":{"id": 7}}"#),
                Some(r#"{"user":[{},{"id":2},3]}"#),
                None
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn dots_may_be_anywhere_in_names() {
        let options = json!({"fields": ["a.b.c", "user.id", "user"]});
        let mut bolt = PreparedForTest::new(&TYPE, &options).expect("good options");
        let inputs = [
            r#"{"a":{"b":{"c":1,"d":1}}}"#,
            r#"{"a":{"b.c":1}}"#,
            r#"{"a.b":[{"c":1},{"d":1}]}"#,
            r#"{"a.b.c":1,"x":1}"#,
            r#"{"user":{"id":1},"user.id":1,"user.name":1}"#,
        ];
        let emitted = bolt.run(&inputs.map(Input::document)).await;
        let documents: Vec<Option<&str>> = emitted.iter().map(|e| e.document.as_deref()).collect();
        let expected = [
            r#"{"a":{"b":{"d":1}}}"#,
            r#"{"a":{}}"#,
            r#"{"a.b":[{},{"d":1}]}"#,
            r#"{"x":1}"#,
            r#"{"user.name":1}"#,
        ];
        assert_eq!(documents, expected.map(Some));
    }

    #[test]
    fn bad_options_are_problems() {
        let check = |fields: Value, expected: &[&str]| {
            let options = json!({"fields": fields});
            let problems = PreparedForTest::new(&TYPE, &options).err().expect("bad");
            assert_eq!(problems.to_string(), expected.join("\n"));
        };
        check(
            json!([]),
            &["bolts.bolt.fields: the list is empty; expected at least one element"],
        );
        check(
            json!(["a", "doc.b", "a"]),
            &[
                "bolts.bolt.fields[1]: `doc.b` begins as in an expression; expected `b`, or [\"doc\"].b for what is inside of a field `doc`",
                "bolts.bolt.fields[2]: the field `a` is named twice; expected each field once",
            ],
        );
        check(
            json!(["user.*", "[\"*\"]"]),
            &[
                "bolts.bolt.fields[0]: `user.*` does not stand for many fields; expected the name of each field, or [\"user.*\"] for one that has a star in its name",
            ],
        );
    }
}
