//! `sample`: keeps a share of the records, and the same ones whenever they are read again.

use std::sync::Arc;

use isobar_topology::grouping::KeyHash;
use isobar_topology::spec::{Component, Problems, parse_config};
use isobar_topology::{
    AnyBolt, Batch, Bolt, BoltType, DocumentUse, Emitter, Example, OperatorError, Policy, Prepare,
    PreparedBolt, Record, Verdict,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::field_path::FieldPath;

pub(super) const TYPE: BoltType = BoltType {
    name: "sample",
    schema: || schemars::schema_for!(SampleConfig),
    example: EXAMPLE,
    side_effects: false,
    deterministic: true,
    prepare,
};

const EXAMPLE: Example = Example::of(
    "\
type: sample
inputs: [parse]
keep: 0.1
key: trace
",
    &[
        r#"{"trace":"t16","span":1}"#,
        r#"{"trace":"t16","span":2}"#,
        r#"{"trace":"t17","span":1}"#,
    ],
);

/// Keeps a share of the records and drops the others.
///
/// What is kept follows from where a record comes from (cluster, topic, partition and offset, and which part of a split record it is), or from
/// the value of a field: a record that is read again, also by another replica or by a replay, has the
/// same fate. A larger share keeps all that a smaller one keeps. Dropped records count under the policy
/// `<bolt id>.sampled` in the accounting.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SampleConfig {
    /// The share that is kept, from 0 to 1: of many records about so many, not exactly.
    #[schemars(range(min = 0.0, max = 1.0))]
    keep: f64,
    /// A field, such as `trace` or `trace.id`: records with the same value in it have the same fate, so that
    /// of a trace or a session all is kept or nothing. Records without the field are sampled each on their own. Default:
    /// every record is sampled on its own.
    key: Option<String>,
}

fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let config: SampleConfig = parse_config(&component.config, &component.path)?;
    let path = component.path.key("key");
    let key = config.key.as_deref();
    let key = key.map(|key| FieldPath::new(key, &path, prepare));
    let key = key.transpose()?;
    let policy = prepare.policy(&format!("{}.sampled", component.id), &component.path)?;
    let keep = config.keep;
    Ok(PreparedBolt {
        document: match key {
            None => DocumentUse::Any,
            Some(_) => DocumentUse::Needs,
        },
        copies: 0,
        facts: vec![("keep".to_owned(), keep.to_string())],
        ..PreparedBolt::new(Arc::new(move |_| {
            AnyBolt::new(Sample {
                keep,
                key: key.clone(),
                policy,
            })
        }))
    })
}

struct Sample {
    keep: f64,
    key: Option<FieldPath>,
    policy: Policy,
}

impl Bolt for Sample {
    async fn process(&mut self, batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        batch.judge(out, |record| {
            if place(record.view(), self.key.as_ref()) < self.keep {
                Verdict::Keep
            } else {
                Verdict::Drop(self.policy)
            }
        });
        Ok(())
    }
}

/// Where a record stands between 0 and 1, evenly spread. It can never change: a replay would keep other
/// records than those that were kept before.
fn place(record: Record<'_>, key: Option<&FieldPath>) -> f64 {
    let mut hash = KeyHash::default();
    match key.and_then(|key| key.get(record)) {
        Some(value) => hash.add(Some(value)),
        None => {
            hash.add(Some(&record.source().to_le_bytes()));
            hash.add(Some(&record.partition().to_le_bytes()));
            hash.add(Some(&record.offset().to_le_bytes()));
            for ordinal in record.ordinals().iter() {
                hash.add(Some(&ordinal.to_le_bytes()));
            }
        }
    }
    hash.share()
}

#[cfg(test)]
mod tests {
    use isobar_topology::testing::{Emitted, Fate, Input, PreparedForTest};
    use serde_json::{Value, json};

    use super::*;
    use crate::one_record::{check_problems, emitted};

    fn offsets(options: &Value, inputs: &[Input]) -> Vec<i64> {
        let kept = emitted(&TYPE, options, inputs);
        let mut offsets: Vec<i64> = kept.iter().map(|record: &Emitted| record.offset).collect();
        offsets.sort_unstable();
        offsets
    }

    #[test]
    fn about_the_share_is_kept_and_a_larger_share_keeps_more_of_the_same() {
        let inputs = vec![Input::raw("x"); 10_000];
        let mut before: Vec<i64> = Vec::new();
        for (keep, least, most) in [
            (0.0, 0, 0),
            (0.01, 70, 130),
            (0.1, 900, 1_100),
            (0.5, 4_800, 5_200),
            (1.0, 10_000, 10_000),
        ] {
            let kept = offsets(&json!({"keep": keep}), &inputs);
            assert!(
                (least..=most).contains(&kept.len()),
                "{keep}: {}",
                kept.len()
            );
            assert!(before.iter().all(|offset| kept.contains(offset)), "{keep}");
            before = kept;
        }
    }

    #[test]
    fn what_is_kept_never_changes() {
        let kept = offsets(&json!({"keep": 0.1}), &vec![Input::raw("x"); 50]);
        assert_eq!(kept, GOLDEN);
    }

    /// What the first version kept.
    const GOLDEN: [i64; 7] = [6, 17, 22, 24, 28, 36, 43];

    #[test]
    fn records_with_one_key_have_one_fate() {
        let document = |n: usize| Input::document(&format!("{{\"trace\":\"t{}\"}}", n % 100));
        let inputs: Vec<Input> = (0..1_000).map(document).collect();
        let kept = offsets(&json!({"keep": 0.5, "key": "trace"}), &inputs);
        let traces: std::collections::BTreeSet<i64> = kept.iter().map(|n| n % 100).collect();
        assert_eq!(kept.len(), traces.len() * 10);
        assert!((30..70).contains(&traces.len()), "{}", traces.len());
        let inside =
            |n: usize| Input::document(&format!("{{\"trace\":{{\"id\":\"t{}\"}}}}", n % 100));
        let inside: Vec<Input> = (0..1_000).map(inside).collect();
        assert_eq!(
            offsets(&json!({"keep": 0.5, "key": "trace.id"}), &inside),
            kept
        );
        // Without the key each has its own.
        let inputs = vec![Input::document("{}"); 1_000];
        let kept = offsets(&json!({"keep": 0.5, "key": "trace"}), &inputs);
        assert!((440..560).contains(&kept.len()), "{}", kept.len());
    }

    #[tokio::test(start_paused = true)]
    async fn dropped_records_count_under_a_policy() {
        let mut bolt = PreparedForTest::new(&TYPE, &json!({"keep": 0})).expect("good options");
        assert_eq!(bolt.run(&[Input::raw("x")]).await, []);
        assert_eq!(bolt.harness.fates(), Some(vec![Fate::Dropped(0)]));
        assert_eq!(bolt.policies, ["bolt.sampled"]);
    }

    #[test]
    fn bad_options_are_problems() {
        check_problems(
            &TYPE,
            &json!({"keep": 0.5, "key": "doc.a"}),
            &[
                "bolts.bolt.key: `doc.a` begins as in an expression; expected `a`, or [\"doc\"].a for what is inside of a field `doc`",
            ],
        );
        let problems = PreparedForTest::new(&TYPE, &json!({"keep": 1.5})).err();
        let text = problems.expect("above 1").to_string();
        assert!(text.starts_with("bolts.bolt.keep: "), "{text}");
    }
}
