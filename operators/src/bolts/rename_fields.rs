//! `rename_fields`: gives fields of documents other names.

use std::sync::Arc;

use isobar_topology::spec::{Component, Path, Problem, Problems, parse_config};
use isobar_topology::{
    AnyBolt, Batch, Bolt, BoltType, Emitter, Example, OperatorError, Prepare, PreparedBolt, Symbol,
    Verdict,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::field_name;
use crate::ordered::Ordered;

pub(super) const TYPE: BoltType = BoltType {
    name: "rename_fields",
    schema: || schemars::schema_for!(RenameFieldsConfig),
    example: EXAMPLE,
    prepare,
};

const EXAMPLE: Example = Example::of(
    "\
type: rename_fields
inputs: [parse]
fields:
  ts: \"@timestamp\"
  msg: message
",
    &[r#"{"ts":"2026-01-31T06:00:00Z","msg":"all well"}"#],
);

/// Gives top-level fields of documents other names.
///
/// A field that has the new name already is replaced. Documents without the field pass as they are.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RenameFieldsConfig {
    /// From old to new names of top-level fields; `["log.level"]` for a name with a dot in it.
    fields: Ordered,
}

fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let config: RenameFieldsConfig = parse_config(&component.config, &component.path)?;
    let path = component.path.key("fields");
    let mut problems = Problems::default();
    if config.fields.0.is_empty() {
        problems.push(Problem::new(path.clone(), "no fields are named").expected("at least one"));
    }
    let mut renames: Vec<Rename> = Vec::new();
    for (from, to) in &config.fields.0 {
        let path = path.key(from);
        match rename(from, to, &path, prepare) {
            Ok(rename) => {
                if let Some(message) = conflict(rename, &renames) {
                    problems.push(
                        Problem::new(path, message)
                            .expected("old and new names that occur once each"),
                    );
                }
                renames.push(rename);
            }
            Err(problem) => problems.push(problem),
        }
    }
    problems.or(())?;
    let renames: Arc<[Rename]> = renames.into();
    Ok(PreparedBolt::new(Arc::new(move |_| {
        AnyBolt::new(RenameFields {
            renames: Arc::clone(&renames),
        })
    })))
}

#[derive(Clone, Copy)]
struct Rename {
    from: Symbol,
    to: Symbol,
}

fn rename(from: &str, to: &str, path: &Path, prepare: &mut Prepare<'_>) -> Result<Rename, Problem> {
    Ok(Rename {
        from: prepare.symbol(field_name::top_level(from, path)?, path)?,
        to: prepare.symbol(field_name::top_level(to, path)?, path)?,
    })
}

/// Why a rename depends on the order of renames, which nobody should have to think about.
fn conflict(rename: Rename, others: &[Rename]) -> Option<&'static str> {
    let Rename { from, to } = rename;
    if from == to {
        return Some("the old name is the new one");
    }
    others.iter().find_map(|other| match other {
        other if other.from == from => Some("the old name occurs twice"),
        other if other.to == to => Some("the new name occurs twice"),
        other if other.to == from => Some("the old name is the new name of another field"),
        other if other.from == to => Some("the new name is the old name of another field"),
        _ => None,
    })
}

struct RenameFields {
    renames: Arc<[Rename]>,
}

impl Bolt for RenameFields {
    async fn process(&mut self, batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        batch.judge(out, |record| {
            for Rename { from, to } in &*self.renames {
                let _ = record.rename(*from, *to);
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
    async fn fields_get_their_new_names() {
        let options = json!({"fields": {"ts": "@timestamp", "[\"log.level\"]": "level"}});
        let mut bolt = PreparedForTest::new(&TYPE, &options).expect("good options");
        let inputs = [
            Input::document(r#"{"ts":1,"a":2,"log.level":"warn"}"#),
            Input::document(r#"{"@timestamp":1,"t\u0073":"\u00e9"}"#),
            Input::document(r#"{"@timestamp":1}"#),
            Input::raw("no document"),
        ];
        let emitted = bolt.run(&inputs).await;
        let documents: Vec<Option<&str>> = emitted.iter().map(|e| e.document.as_deref()).collect();
        assert_eq!(
            documents,
            [
                Some(r#"{"a":2,"@timestamp":1,"level":"warn"}"#),
                Some(r#"{"@timestamp":"\u00e9"}"#),
                Some(r#"{"@timestamp":1}"#),
                None,
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
            json!({}),
            &["bolts.bolt.fields: no fields are named; expected at least one"],
        );
        check(
            json!({"a": ["b"]}),
            &["bolts.bolt.fields.a: found a list; expected a string"],
        );
        let once = "expected old and new names that occur once each";
        check(
            json!({"a": "b", "b": "c", "d": "b", "e": "e", "f": "d", "[\"a\"]": "z"}),
            &[
                &format!("bolts.bolt.fields[\"[\\\"a\\\"]\"]: the old name occurs twice; {once}"),
                &format!(
                    "bolts.bolt.fields.b: the old name is the new name of another field; {once}"
                ),
                &format!("bolts.bolt.fields.d: the new name occurs twice; {once}"),
                &format!("bolts.bolt.fields.e: the old name is the new one; {once}"),
                &format!(
                    "bolts.bolt.fields.f: the new name is the old name of another field; {once}"
                ),
            ],
        );
        check(
            json!({"a.b": "c", "c": "d.e"}),
            &[
                "bolts.bolt.fields[\"a.b\"]: `a.b` looks like a field inside of `a`; expected the name of a top-level field, or [\"a.b\"] for one that has dots in its name",
                "bolts.bolt.fields.c: `d.e` looks like a field inside of `d`; expected the name of a top-level field, or [\"d.e\"] for one that has dots in its name",
            ],
        );
    }
}
