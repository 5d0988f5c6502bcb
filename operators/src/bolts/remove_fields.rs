//! `remove_fields`: takes fields out of documents.

use std::sync::Arc;

use isobar_topology::spec::{Component, Problem, Problems, parse_config};
use isobar_topology::{
    AnyBolt, Batch, Bolt, BoltType, Emitter, Example, OperatorError, Prepare, PreparedBolt, Symbol,
    Verdict,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::field_name;

pub(super) const TYPE: BoltType = BoltType {
    name: "remove_fields",
    schema: || schemars::schema_for!(RemoveFieldsConfig),
    example: EXAMPLE,
    prepare,
};

const EXAMPLE: Example = Example::of(
    "\
type: remove_fields
inputs: [parse]
fields: [password, session_id]
",
    &[r#"{"user":"frank","password":"x","session_id":7}"#],
);

/// Removes top-level fields from documents. Documents without them pass as they are.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveFieldsConfig {
    /// Names of top-level fields; `["log.level"]` for a name with a dot in it.
    #[schemars(length(min = 1))]
    fields: Vec<String>,
}

fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let config: RemoveFieldsConfig = parse_config(&component.config, &component.path)?;
    let path = component.path.key("fields");
    let mut problems = Problems::default();
    let mut fields: Vec<Symbol> = Vec::new();
    for (index, written) in config.fields.iter().enumerate() {
        let path = path.index(index);
        let symbol =
            field_name::top_level(written, &path).and_then(|name| prepare.symbol(name, &path));
        match symbol {
            Ok(symbol) if fields.contains(&symbol) => problems.push(
                Problem::new(path, format!("the field `{written}` is named twice"))
                    .expected("each field once"),
            ),
            Ok(symbol) => fields.push(symbol),
            Err(problem) => problems.push(problem),
        }
    }
    problems.or(())?;
    let fields: Arc<[Symbol]> = fields.into();
    Ok(PreparedBolt::new(Arc::new(move |_| {
        AnyBolt::new(RemoveFields {
            fields: Arc::clone(&fields),
        })
    })))
}

struct RemoveFields {
    fields: Arc<[Symbol]>,
}

impl Bolt for RemoveFields {
    async fn process(&mut self, batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        batch.judge(out, |record| {
            for field in &*self.fields {
                let _ = record.remove(*field);
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
        let options = json!({"fields": ["a", "[\"log.level\"]"]});
        let mut bolt = PreparedForTest::new(&TYPE, &options).expect("good options");
        let inputs = [
            Input::document(r#"{"a":1,"b":{"a":2},"log.level":"x"}"#),
            Input::document(r#"{"\u0061":1}"#),
            Input::document(r#"{"b":1}"#),
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
            json!(["a", "b.c", "a"]),
            &[
                "bolts.bolt.fields[1]: `b.c` looks like a field inside of `b`; expected the name of a top-level field, or [\"b.c\"] for one that has dots in its name",
                "bolts.bolt.fields[2]: the field `a` is named twice; expected each field once",
            ],
        );
    }
}
