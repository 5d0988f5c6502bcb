//! `rename_fields`: gives fields of documents other names.

use std::ops::Range;
use std::sync::Arc;

use isobar_topology::spec::{Component, Path, Problem, Problems, parse_config};
use isobar_topology::{
    AnyBolt, Batch, Bolt, BoltType, Emitter, Example, OperatorError, Prepare, PreparedBolt,
    RecordMut, Rejection, Symbol, Verdict,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::field_path::{EditSpace, FieldPath};
use crate::field_paths::FieldPaths;
use crate::ordered::Ordered;

pub(super) const TYPE: BoltType = BoltType {
    name: "rename_fields",
    schema: || schemars::schema_for!(RenameFieldsConfig),
    example: EXAMPLE,
    side_effects: false,
    deterministic: true,
    prepare,
};

const EXAMPLE: Example = Example::of(
    "\
type: rename_fields
inputs: [parse]
fields:
  ts: \"@timestamp\"
  status: http.response.status_code
  user.login: user.name
",
    &[
        r#"{"ts":"2026-01-31T06:00:00Z","status":200,"user":{"login":"frank","id":7}}"#,
        r#"{"ts":"2026-01-31T06:00:00Z","status":200,"http":"1.1"}"#,
    ],
);

/// Gives fields of documents other names.
///
/// `user.name` is the field inside of `user`, `["user.name"]` one with a dot in its name. Objects that a
/// new name needs around it are made. A field that has the new name already is replaced. Documents
/// without the field pass as they are, and so do fields inside of lists.
///
/// A record is rejected as `not_an_object` when something else is where a new name needs an object.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RenameFieldsConfig {
    /// From old to new names of fields.
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
                if let Some(message) = conflict(&rename, &renames) {
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
    let is_flat = renames.iter().all(|rename| rename.top_level().is_some());
    let (mut from, mut to) = (FieldPaths::default(), FieldPaths::default());
    for (number, rename) in renames.iter().enumerate() {
        from.add(&rename.from, number);
        to.add(&rename.to, number);
    }
    let (renames, paths): (Arc<[Rename]>, _) = (renames.into(), Arc::new((from, to)));
    Ok(PreparedBolt {
        // An object in which a field has another name is written without it, and then with it.
        copies: if is_flat { 1 } else { 2 },
        ..PreparedBolt::new(Arc::new(move |_| {
            AnyBolt::new(RenameFields {
                renames: Arc::clone(&renames),
                is_flat,
                paths: Arc::clone(&paths),
                taken: Vec::new(),
                places: Vec::new(),
                space: EditSpace::default(),
            })
        }))
    })
}

struct Rename {
    from: FieldPath,
    to: FieldPath,
}

impl Rename {
    /// Old and new name, where both are of top-level fields.
    fn top_level(&self) -> Option<(Symbol, Symbol)> {
        self.from.top_level().zip(self.to.top_level())
    }
}

fn rename(from: &str, to: &str, path: &Path, prepare: &mut Prepare<'_>) -> Result<Rename, Problem> {
    Ok(Rename {
        from: FieldPath::new(from, path, prepare)?,
        to: FieldPath::new(to, path, prepare)?,
    })
}

/// Why a rename depends on the order of renames, which nobody should have to think about.
fn conflict(Rename { from, to }: &Rename, others: &[Rename]) -> Option<&'static str> {
    if from == to {
        return Some("the old name is the new one");
    }
    others.iter().find_map(|other| match other {
        other if other.from == *from => Some("the old name occurs twice"),
        other if other.to == *to => Some("the new name occurs twice"),
        other if other.to == *from => Some("the old name is the new name of another field"),
        other if other.from == *to => Some("the new name is the old name of another field"),
        other if other.from.overlaps(from) => Some("one of two old names is inside of the other"),
        other if other.to.overlaps(to) => Some("one of two new names is inside of the other"),
        _ => None,
    })
}

struct RenameFields {
    renames: Arc<[Rename]>,
    /// All of them are of top-level fields.
    is_flat: bool,
    /// The old names and the new ones.
    paths: Arc<(FieldPaths, FieldPaths)>,
    /// The values of the fields of the record at hand, one after the other, and where each of them is;
    /// `None` for fields that it does not have.
    taken: Vec<u8>,
    places: Vec<Option<Range<usize>>>,
    space: EditSpace,
}

impl Bolt for RenameFields {
    async fn process(&mut self, batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        batch.judge(out, |record| match self.rename(record) {
            Ok(()) => Verdict::Keep,
            Err(rejection) => Verdict::Reject(rejection),
        });
        Ok(())
    }
}

impl RenameFields {
    fn rename(&mut self, record: &mut RecordMut<'_>) -> Result<(), Rejection> {
        if self.is_flat {
            for (from, to) in self.renames.iter().filter_map(Rename::top_level) {
                let _ = record.rename(from, to);
            }
            return Ok(());
        }
        self.taken.clear();
        self.places.clear();
        // All are taken before any is set: a new name may be inside of an old one.
        for Rename { from, .. } in &*self.renames {
            let place = from.get(record.view()).map(|raw| {
                let start = self.taken.len();
                self.taken.extend_from_slice(raw);
                start..self.taken.len()
            });
            self.places.push(place);
        }
        let (from, to) = &*self.paths;
        let places = &self.places;
        from.remove_some(record, &mut self.space, |number| places[number].is_some());
        let value = |number: usize| Some(&self.taken[places[number].clone()?]);
        to.set(record, &mut self.space, value, |number| {
            &self.renames[number].to
        })
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

    #[tokio::test(start_paused = true)]
    async fn fields_move_into_others_and_out_of_them() {
        let options = json!({"fields": {
            "user": "user.name", "status": "http.response.status", "bytes": "http.response.bytes",
            "trace.id": "trace_id", "a.b": "a.c.d", "[\"log.level\"]": "log.level",
        }});
        let mut bolt = PreparedForTest::new(&TYPE, &options).expect("good options");
        let inputs = [
            Input::document(
                r#"{"user":"frank","status":200,"bytes":7,"trace":{"id":"t","x":1},"a":{"b":1},"log.level":"warn"}"#,
            ),
            Input::document(r#"{"trace":[{"id":"t"}],"http":{"version":2},"bytes":null}"#),
            Input::document(r#"{"status":200,"http":"1.1"}"#),
        ];
        let emitted = bolt.run(&inputs).await;
        let kept = emitted.iter().filter(|e| e.rejection.is_none());
        let documents: Vec<Value> = kept
            .map(|e| e.document.as_deref().expect("a document"))
            .map(|document| serde_json::from_str(document).expect("JSON"))
            .collect();
        assert_eq!(
            documents,
            [
                json!({
                    "user": {"name": "frank"}, "http": {"response": {"status": 200, "bytes": 7}},
                    "trace": {"x": 1}, "trace_id": "t", "a": {"c": {"d": 1}}, "log": {"level": "warn"},
                }),
                json!({"trace": [{"id": "t"}], "http": {"version": 2, "response": {"bytes": null}}}),
            ]
        );
        let rejection = emitted.iter().find_map(|e| e.rejection.as_ref());
        let rejection = rejection.expect("one is rejected");
        assert_eq!(
            (rejection.class, &*rejection.reason),
            (
                "not_an_object",
                "The field http.response.status cannot be set: what is around it is no object"
            )
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
            json!({"a": "x", "a.b": "c", "d": "x.y", "e..f": "g"}),
            &[
                "bolts.bolt.fields[\"a.b\"]: one of two old names is inside of the other; expected old and new names that occur once each",
                "bolts.bolt.fields.d: one of two new names is inside of the other; expected old and new names that occur once each",
                "bolts.bolt.fields[\"e..f\"]: `e..f` is not a field; expected a name such as host, user.name for a field inside of another, or [\"user.name\"] for a name with a dot in it",
            ],
        );
    }
}
