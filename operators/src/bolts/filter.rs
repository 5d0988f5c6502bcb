//! `filter`: keeps the records that meet a condition, or drops them.

use std::sync::Arc;

use isobar_topology::spec::{Component, Problem, Problems, parse_config};
use isobar_topology::{
    AnyBolt, Batch, Bolt, BoltType, Counter, DocumentUse, Emitter, Example, OperatorError, Policy,
    Prepare, PreparedBolt, Verdict,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::expression::Condition;

pub(super) const TYPE: BoltType = BoltType {
    name: "filter",
    schema: || schemars::schema_for!(FilterConfig),
    example: EXAMPLE,
    side_effects: false,
    deterministic: true,
    prepare,
};

const EXAMPLE: Example = Example::of(
    "\
type: filter
inputs: [parse]
drop_when: \"doc.level == 'debug'\"
",
    &[
        r#"{"level":"error"}"#,
        r#"{"level":"debug"}"#,
        r#"{"message":"no level"}"#,
    ],
);

/// Keeps records that meet a condition, or drops those that do.
///
/// Say `keep_when` or `drop_when`, not both. Dropped records count under the policy
/// `<bolt id>.filtered` in the accounting.
///
/// A record whose condition cannot be evaluated, as it has no such field or one of another type, is
/// kept and counted by the metric `undefined_conditions`: a renamed field must not make a stream
/// vanish. Ask with `has(doc.level)` where a field may be missing.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilterConfig {
    /// Records for which this CEL condition is false are dropped.
    keep_when: Option<String>,
    /// Records for which this CEL condition is true are dropped.
    drop_when: Option<String>,
}

fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let config: FilterConfig = parse_config(&component.config, &component.path)?;
    let (name, text, dropped) = match (&config.keep_when, &config.drop_when) {
        (Some(text), None) => ("keep_when", text, false),
        (None, Some(text)) => ("drop_when", text, true),
        (given, _) => {
            let message = match given {
                Some(_) => "`keep_when` and `drop_when` are both given",
                None => "neither `keep_when` nor `drop_when` is given",
            };
            return Err(Problem::new(component.path.clone(), message)
                .expected("one of them, such as keep_when: \"doc.status >= 500\"")
                .at(component.place)
                .into());
        }
    };
    let path = component.path.key(name);
    let condition = Arc::new(Condition::compile(text, &path, prepare)?);
    let policy = prepare.policy(&format!("{}.filtered", component.id), &path)?;
    Ok(PreparedBolt {
        document: DocumentUse::Any,
        copies: 0,
        facts: vec![(name.to_owned(), text.clone())],
        ..PreparedBolt::new(Arc::new(move |context| {
            AnyBolt::new(Filter {
                condition: Arc::clone(&condition),
                dropped,
                policy,
                undefined: context.counters.counter(
                    "undefined_conditions",
                    "Records whose condition could not be evaluated, as a field was missing or of another type.",
                ),
            })
        }))
    })
}

struct Filter {
    condition: Arc<Condition>,
    /// What the condition is for records that are dropped.
    dropped: bool,
    policy: Policy,
    undefined: Counter,
}

impl Bolt for Filter {
    async fn process(&mut self, batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        let mut undefined = 0;
        batch.judge(out, |record| match self.condition.holds(record.view()) {
            Some(truth) if truth == self.dropped => Verdict::Drop(self.policy),
            Some(_) => Verdict::Keep,
            None => {
                undefined += 1;
                Verdict::Keep
            }
        });
        self.undefined.add(undefined);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use isobar_topology::testing::{Fate, Input, PreparedForTest};
    use serde_json::{Value, json};

    use super::*;

    fn prepared(options: &Value) -> PreparedForTest {
        PreparedForTest::new(&TYPE, options).expect("good options")
    }

    /// The offsets that are kept, and how many conditions were undefined.
    async fn check(options: &Value, kept: &[i64], undefined: u64) {
        let inputs = [
            Input::document(r#"{"level":"debug","status":200}"#),
            Input::document(r#"{"level":"error","status":500}"#),
            Input::document(r#"{"status":"odd"}"#),
            Input::raw("no document"),
        ];
        let mut bolt = prepared(options);
        assert_eq!(bolt.policies, ["bolt.filtered"]);
        let emitted = bolt.run(&inputs).await;
        let offsets: Vec<i64> = emitted.iter().map(|record| record.offset).collect();
        assert_eq!(offsets, kept);
        let fates = bolt.harness.fates().expect("all is answered");
        for (offset, fate) in (0..).zip(fates) {
            let is_kept = kept.contains(&offset);
            let expected = if is_kept {
                Fate::Delivered
            } else {
                Fate::Dropped(0)
            };
            assert_eq!(fate, expected);
        }
        assert_eq!(bolt.counters.values()[0].2, undefined);
    }

    #[tokio::test(start_paused = true)]
    async fn records_that_do_not_meet_the_condition_are_dropped() {
        check(&json!({"keep_when": "doc.status >= 500"}), &[1, 2, 3], 2).await;
        check(&json!({"drop_when": "doc.status >= 500"}), &[0, 2, 3], 2).await;
        check(&json!({"drop_when": "doc.level == 'debug'"}), &[1, 2, 3], 2).await;
        let asked = "has(doc.level) && doc.level == 'error'";
        check(&json!({"keep_when": asked}), &[1], 0).await;
        check(&json!({"drop_when": "kafka.offset != 2"}), &[2], 0).await;
        check(&json!({"keep_when": "false"}), &[], 0).await;
    }

    #[tokio::test(start_paused = true)]
    async fn patterns_are_looked_for_and_their_memory_is_counted() {
        let options = json!({"keep_when": r"doc.level.matches(r'^err\w+$')"});
        check(&options, &[1, 2, 3], 2).await;
        let memory = |options: &Value| {
            let of = prepared(options).prepared;
            (of.memory_per_lane, of.memory_shared)
        };
        let (per_lane, shared) = memory(&options);
        assert!(per_lane >= 1 << 20 && (1..1 << 20).contains(&shared));
        assert_eq!(
            memory(&json!({"keep_when": "doc.level == 'error'"})),
            (0, 0)
        );
    }

    #[test]
    fn bad_options_are_problems() {
        let check = |options: Value, expected: &str| {
            let problems = PreparedForTest::new(&TYPE, &options).err().expect("bad");
            assert_eq!(problems.to_string(), expected);
        };
        check(
            json!({}),
            "bolts.bolt: neither `keep_when` nor `drop_when` is given; expected one of them, such as keep_when: \"doc.status >= 500\"",
        );
        check(
            json!({"keep_when": "true", "drop_when": "true"}),
            "bolts.bolt: `keep_when` and `drop_when` are both given; expected one of them, such as keep_when: \"doc.status >= 500\"",
        );
        check(
            json!({"keep_when": "dco.a == 1"}),
            "bolts.bolt.keep_when: at character 1 of the expression: unknown name `dco`; expected doc.NAME, kafka.NAME or event_time; did you mean doc?",
        );
        check(
            json!({"keep_whne": "true"}),
            "bolts.bolt.keep_whne: unknown option; expected one of drop_when, keep_when; did you mean keep_when?",
        );
        // What every bolt has is meant as well.
        for (wrong, meant) in [("input", "inputs"), ("on_reject", "on_rejected")] {
            let expected = format!(
                "bolts.bolt.{wrong}: unknown option; expected one of drop_when, inputs, keep_when, on_rejected; did you mean {meant}?"
            );
            check(json!({"keep_when": "true", (wrong): "parse"}), &expected);
        }
    }
}
