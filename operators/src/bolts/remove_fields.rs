//! `remove_fields`: takes fields out of documents.

use std::sync::Arc;

use isobar_topology::spec::{Component, Problem, Problems, parse_config};
use isobar_topology::{
    AnyBolt, Batch, Bolt, BoltType, Emitter, Example, OperatorError, Prepare, PreparedBolt, Verdict,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::field_path::FieldPath;

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
    /// list, and one that has this whole name, as Elasticsearch takes both for the same. `["user.password"]`
    /// is only the latter.
    #[schemars(length(min = 1))]
    fields: Vec<String>,
}

fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let config: RemoveFieldsConfig = parse_config(&component.config, &component.path)?;
    let path = component.path.key("fields");
    let mut problems = Problems::default();
    let mut fields: Vec<FieldPath> = Vec::new();
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
            Ok(paths) => fields.extend(paths),
            Err(problem) => problems.push(problem),
        }
    }
    problems.or(())?;
    let fields: Arc<[FieldPath]> = fields.into();
    Ok(PreparedBolt::new(Arc::new(move |_| {
        AnyBolt::new(RemoveFields {
            fields: Arc::clone(&fields),
            buffer: Vec::new(),
        })
    })))
}

struct RemoveFields {
    fields: Arc<[FieldPath]>,
    buffer: Vec<u8>,
}

impl Bolt for RemoveFields {
    async fn process(&mut self, batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        batch.judge(out, |record| {
            for field in &*self.fields {
                let _ = field.remove(record, &mut self.buffer);
            }
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
                Some(r#"{"log":{"level":1},"user":{"id":7}}"#),
                Some(r#"{"user":[{},{"id":2},3]}"#),
                None
            ]
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
    }
}
