//! `deduplicate`: drops records that repeat what a record not long before said.

mod seen;

use std::sync::Arc;

use isobar_topology::spec::{Component, Problem, Problems, parse_config};
use isobar_topology::{
    AnyBolt, Batch, Bolt, BoltType, Counter, Emitter, Example, OperatorError, Policy, Prepare,
    PreparedBolt, Verdict,
};
use schemars::JsonSchema;
use serde::Deserialize;

use seen::Seen;

use crate::field_path::FieldPath;

pub(super) const TYPE: BoltType = BoltType {
    name: "deduplicate",
    schema: || schemars::schema_for!(DeduplicateConfig),
    example: EXAMPLE,
    side_effects: false,
    deterministic: false,
    prepare,
};

const EXAMPLE: Example = Example::of(
    "\
type: deduplicate
inputs: [parse]
fields: [host, message]
",
    &[
        r#"{"host":"web-1","message":"disk full","n":1}"#,
        r#"{"host":"web-1","message":"disk full","n":2}"#,
        r#"{"host":"web-2","message":"disk full","n":3}"#,
    ],
);

/// Drops records whose fields have the values of a record that came not long before.
///
/// What it guarantees: of two records that are dropped and kept, the kept one came first, on the same
/// lane, and among the last `window_records` different ones. What it does not: each lane knows its own
/// records only, so bring equal ones to one lane with
/// `inputs: [{from: parse, grouping: {fields: [doc.host, doc.message]}}]` (some of the fields are enough),
/// or all records with `grouping: global`; `validate` and `plan` say where that is missing. Other replicas, and the same
/// one after a restart, start with nothing, and the record that was kept may be rejected later on. For
/// one document per record whatever happens, ids do that already: this bolt is for senders that say the
/// same thing twice.
///
/// A record that is sent again after a failure is not taken for its own duplicate. Records without one of
/// the fields are kept, and counted by the metric `keyless_records`. Dropped ones count under the policy
/// `<bolt id>.duplicate` in the accounting.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeduplicateConfig {
    /// Fields that records are compared by, as they are written: `1` and `1.0` differ. `user.id` is the
    /// field inside of `user`, `["user.id"]` one with a dot in its name.
    fields: Vec<String>,
    /// How many different records each lane remembers, from 1 to 10000000, with up to 200 bytes each;
    /// the oldest is forgotten first. Default 100000.
    #[serde(default = "window_records")]
    #[schemars(range(min = 1, max = 10_000_000))]
    window_records: usize,
}

fn window_records() -> usize {
    100_000
}

fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let config: DeduplicateConfig = parse_config(&component.config, &component.path)?;
    let path = component.path.key("fields");
    let mut problems = Problems::default();
    if config.fields.is_empty() {
        problems.push(Problem::new(path.clone(), "no fields are named").expected("at least one"));
    }
    let mut fields: Vec<FieldPath> = Vec::new();
    let mut alike = Vec::new();
    for (index, written) in config.fields.iter().enumerate() {
        let path = path.index(index);
        // Groupings have no way to write a name with dots in it.
        if !written.contains("[\"") {
            alike.push(format!("doc.{written}"));
        }
        match FieldPath::new(written, &path, prepare) {
            Ok(field) => fields.push(field),
            Err(problem) => problems.push(problem),
        }
    }
    let policy = prepare.policy(&format!("{}.duplicate", component.id), &component.path);
    let policy = problems.take(policy.map_err(Problems::from));
    problems.or(())?;
    let policy = policy.expect("no problem means a policy");
    let (fields, window): (Arc<[FieldPath]>, _) = (fields.into(), config.window_records);
    Ok(PreparedBolt {
        memory_per_lane: Seen::memory(window),
        copies: 0,
        alike: Some(alike),
        ..PreparedBolt::new(Arc::new(move |context| {
            AnyBolt::new(Deduplicate {
                fields: Arc::clone(&fields),
                seen: Seen::new(window),
                policy,
                keyless: context.counters.counter(
                    "keyless_records",
                    "Records without one of the fields that duplicates are told by.",
                ),
            })
        }))
    })
}

struct Deduplicate {
    fields: Arc<[FieldPath]>,
    seen: Seen,
    policy: Policy,
    keyless: Counter,
}

impl Bolt for Deduplicate {
    async fn process(&mut self, batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        let mut keyless = 0;
        batch.judge(out, |record| {
            let view = record.view();
            let Some(key) = self.seen.key(&view, &self.fields) else {
                keyless += 1;
                return Verdict::Keep;
            };
            if self.seen.is_first(key, &view) {
                Verdict::Keep
            } else {
                Verdict::Drop(self.policy)
            }
        });
        self.keyless.add(keyless);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use isobar_topology::testing::{Fate, Input, PreparedForTest};
    use serde_json::json;

    use super::*;
    use crate::one_record::check_problems;

    /// Which of the documents are kept, in one batch after the other.
    async fn kept(bolt: &mut PreparedForTest, batches: &[&[&str]]) -> Vec<Vec<i64>> {
        let mut made = bolt.make();
        let mut kept = Vec::new();
        for documents in batches {
            let inputs: Vec<Input> = documents.iter().map(|d| Input::document(d)).collect();
            let emitted = bolt.harness.run(&mut made, &inputs).await;
            kept.push(emitted.iter().map(|record| record.offset).collect());
        }
        kept
    }

    fn bolt(options: serde_json::Value) -> PreparedForTest {
        PreparedForTest::new(&TYPE, &options).expect("good options")
    }

    const A: &str = r#"{"a":1,"b":"x","c":1}"#;
    const A_TOO: &str = r#"{"c":2,"b":"x","a":1}"#;
    const B: &str = r#"{"a":1,"b":"y"}"#;
    const C: &str = r#"{"a":"1","b":"x"}"#;

    #[tokio::test(start_paused = true)]
    async fn the_first_of_equal_records_is_kept() {
        let mut bolt = bolt(json!({"fields": ["a", "b"]}));
        let found = kept(&mut bolt, &[&[A, B, A_TOO, C, B]]).await;
        assert_eq!(found, [vec![0, 1, 3]]);
        let dropped = Fate::Dropped(0);
        let expected = [
            Fate::Delivered,
            Fate::Delivered,
            dropped,
            Fate::Delivered,
            dropped,
        ];
        assert_eq!(bolt.harness.fates(), Some(expected.to_vec()));
        assert_eq!(bolt.policies, ["bolt.duplicate"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_that_is_sent_again_is_not_its_own_duplicate() {
        // The harness starts each batch with offset 0: the same documents are the same records.
        let mut bolt = bolt(json!({"fields": ["a", "b"]}));
        let found = kept(&mut bolt, &[&[A, A_TOO, B], &[A, A_TOO, B], &[B, A]]).await;
        assert_eq!(found, [vec![0, 2], vec![0, 2], vec![]]);
    }

    #[tokio::test(start_paused = true)]
    async fn records_are_compared_by_fields_inside_of_others() {
        let mut bolt = bolt(json!({"fields": ["a.id"]}));
        let documents = [
            r#"{"a":{"id":1,"x":1}}"#,
            r#"{"a":{"x":2,"id":1}}"#,
            r#"{"a":{"id":2}}"#,
        ];
        assert_eq!(kept(&mut bolt, &[&documents]).await, [vec![0, 2]]);
        assert_eq!(bolt.prepared.alike, Some(vec!["doc.a.id".to_owned()]));
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_is_forgotten_first() {
        let mut bolt = bolt(json!({"fields": ["a", "b"], "window_records": 2}));
        let found = kept(&mut bolt, &[&[A, B, A, C, B, A, A]]).await;
        assert_eq!(found, [vec![0, 1, 3, 5]]);
    }

    #[tokio::test(start_paused = true)]
    async fn records_without_the_fields_are_kept_and_counted() {
        let mut bolt = bolt(json!({"fields": ["a", "b"]}));
        let found = kept(&mut bolt, &[&["{}", "{}", r#"{"a":1}"#, r#"{"a":1}"#]]).await;
        assert_eq!(found, [vec![0, 1, 2, 3]]);
        assert_eq!(bolt.counters.values()[0].2, 4);
    }

    #[test]
    fn bad_options_are_problems() {
        check_problems(
            &TYPE,
            &json!({"fields": ["a."]}),
            &[
                "bolts.bolt.fields[0]: `a.` is not a field; expected a name such as host, user.name for a field inside of another, or [\"user.name\"] for a name with a dot in it",
            ],
        );
        let problems = PreparedForTest::new(&TYPE, &json!({"fields": ["a"], "window_records": 0}));
        let text = problems.err().expect("below 1").to_string();
        assert!(text.starts_with("bolts.bolt.window_records: "), "{text}");
    }
}
