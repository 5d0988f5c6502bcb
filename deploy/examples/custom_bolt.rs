//! A program with a bolt of its own: everything that `isobar` can do, and `sample` besides.
//!
//! ```sh
//! cargo run -p isobar --example custom_bolt -- operators sample
//! cargo run -p isobar --example custom_bolt -- run my-topology.yaml
//! ```

use std::process::ExitCode;
use std::sync::Arc;

use isobar_topology::spec::{Component, Problems, parse_config};
use isobar_topology::{
    AnyBolt, Batch, Bolt, BoltType, DocumentUse, Emitter, Example, OperatorError, Policy, Prepare,
    PreparedBolt, Verdict,
};
use schemars::JsonSchema;
use serde::Deserialize;

fn main() -> ExitCode {
    let mut registry = isobar_operators::registry();
    registry.bolts.push(SAMPLE);
    isobar::main_with(registry)
}

const SAMPLE: BoltType = BoltType {
    name: "sample",
    schema: || schemars::schema_for!(SampleConfig),
    example: Example::of(
        "type: sample\ninputs: [parse]\none_in: 100\n",
        &[r#"{"n":1}"#, r#"{"n":2}"#],
    ),
    side_effects: false,
    deterministic: true,
    prepare,
};

/// Keeps one record of so many, by offset, and drops the others under the policy `<bolt id>.sampled`.
///
/// The choice follows from the offset, so that a record that is sent again meets the same fate.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SampleConfig {
    /// Of how many records one is kept, from 1 to 1000000.
    #[schemars(range(min = 1, max = 1_000_000))]
    one_in: u32,
}

/// Called when a topology file is checked: says what is wrong, contacts nobody.
fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let config: SampleConfig = parse_config(&component.config, &component.path)?;
    let dropped = prepare.policy(&format!("{}.sampled", component.id), &component.path)?;
    Ok(PreparedBolt {
        document: DocumentUse::Any,
        facts: vec![("keeps one record in".to_owned(), config.one_in.to_string())],
        ..PreparedBolt::new(Arc::new(move |_context| {
            AnyBolt::new(Sample {
                one_in: i64::from(config.one_in),
                dropped,
            })
        }))
    })
}

/// The copy of one lane.
struct Sample {
    one_in: i64,
    dropped: Policy,
}

impl Bolt for Sample {
    async fn process(&mut self, batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        batch.judge(out, |record| {
            match record.view().offset() % self.one_in == 0 {
                true => Verdict::Keep,
                false => Verdict::Drop(self.dropped),
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use isobar_topology::testing::{Fate, Input, PreparedForTest};
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn one_record_of_so_many_is_kept() {
        let options = json!({"one_in": 3});
        let mut bolt = PreparedForTest::new(&SAMPLE, &options).expect("sound");
        let records = ["a", "b", "c", "d"].map(Input::raw);
        let kept = bolt.run(&records).await;
        let offsets: Vec<i64> = kept.iter().map(|record| record.offset).collect();
        assert_eq!(offsets, [0, 3]);
        assert_eq!(bolt.policies, ["bolt.sampled"]);
        let fates = bolt.harness.fates().expect("all are answered");
        let dropped = Fate::Dropped(0);
        assert_eq!(fates, [Fate::Delivered, dropped, dropped, Fate::Delivered]);
    }

    #[test]
    fn users_are_shown_what_becomes_of_records() {
        let mut registry = isobar_operators::registry();
        registry.bolts = vec![SAMPLE];
        let mut all = isobar::reference::all(&registry);
        let sample = all.iter_mut().find(|one| one.name == "sample");
        let sample = sample.expect("is registered");
        sample.show().expect("the example runs");
        let text = sample.text();
        let end = "  {\"n\":1}\n    → as it is\n  {\"n\":2}\n    → dropped by sample.sampled\n";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = PreparedForTest::new(&SAMPLE, &json!({"one_in": 0}));
        let text = wrong.err().expect("out of range").to_string();
        assert_eq!(
            text,
            "bolts.bolt.one_in: found the number 0; expected a number from 1 to 1000000"
        );
    }
}
