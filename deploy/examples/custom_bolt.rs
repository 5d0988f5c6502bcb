//! A program with a bolt of its own: everything that `isobar` can do, and `every_nth` besides.
//!
//! ```sh
//! cargo run -p isobar --example custom_bolt -- operators every_nth
//! cargo run -p isobar --example custom_bolt -- run my-topology.yaml
//! ```

use std::process::ExitCode;
use std::sync::Arc;

use isobar_topology::spec::{Component, Problems, parse_config};
use isobar_topology::{
    AnyBolt, Batch, Bolt, BoltType, DocumentUse, Emitter, Example, OperatorError, Policy, Prepare,
    PreparedBolt, Registry, Verdict,
};
use schemars::JsonSchema;
use serde::Deserialize;

fn main() -> ExitCode {
    isobar::main_with(registry())
}

/// The operators of Isobar, and one more. A program in which two have one name does not start.
fn registry() -> Registry {
    let mut registry = isobar_operators::registry();
    registry.bolts.push(EVERY_NTH);
    registry
}

const EVERY_NTH: BoltType = BoltType {
    name: "every_nth",
    schema: || schemars::schema_for!(EveryNthConfig),
    example: Example::of(
        "type: every_nth\ninputs: [parse]\none_in: 100\n",
        &[r#"{"n":1}"#, r#"{"n":2}"#],
    ),
    side_effects: false,
    deterministic: true,
    prepare,
};

/// Keeps one record of so many, by offset, and drops the others under the policy `<bolt id>.skipped`.
///
/// The choice follows from the offset, so that a record that is sent again meets the same fate.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EveryNthConfig {
    /// Of how many records one is kept, from 1 to 1000000.
    #[schemars(range(min = 1, max = 1_000_000))]
    one_in: u32,
}

/// Called when a topology file is checked: says what is wrong, contacts nobody.
fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let config: EveryNthConfig = parse_config(&component.config, &component.path)?;
    let dropped = prepare.policy(&format!("{}.skipped", component.id), &component.path)?;
    Ok(PreparedBolt {
        document: DocumentUse::Any,
        facts: vec![("keeps one record in".to_owned(), config.one_in.to_string())],
        ..PreparedBolt::new(Arc::new(move |_context| {
            AnyBolt::new(EveryNth {
                one_in: i64::from(config.one_in),
                dropped,
            })
        }))
    })
}

/// The copy of one lane.
struct EveryNth {
    one_in: i64,
    dropped: Policy,
}

impl Bolt for EveryNth {
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
    use std::path::Path;

    use isobar::rehearsal::{Outcome, Stage};
    use isobar::{Outside, TopologyFile};
    use isobar_operators::sample::Sampled;
    use isobar_topology::testing::{Fate, Input, PreparedForTest};
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn one_record_of_so_many_is_kept() {
        let options = json!({"one_in": 3});
        let mut bolt = PreparedForTest::new(&EVERY_NTH, &options).expect("sound");
        let records = ["a", "b", "c", "d"].map(Input::raw);
        let kept = bolt.run(&records).await;
        let offsets: Vec<i64> = kept.iter().map(|record| record.offset).collect();
        assert_eq!(offsets, [0, 3]);
        assert_eq!(bolt.policies, ["bolt.skipped"]);
        let fates = bolt.harness.fates().expect("all are answered");
        let dropped = Fate::Dropped(0);
        assert_eq!(fates, [Fate::Delivered, dropped, dropped, Fate::Delivered]);
    }

    #[test]
    fn a_topology_file_can_name_it() {
        let text = "\
isobar: 1
name: t
connections: {kafka: {type: kafka, brokers: \"a:1\"}}
spouts: {lines: {type: kafka, connection: kafka, topics: [t], start: earliest}}
bolts:
  parse: {type: parse_json, inputs: [lines]}
  thin: {type: every_nth, inputs: [parse], one_in: 100}
  out: {type: console, inputs: [thin]}
dead_letter: {type: console}
";
        let outside = Outside {
            variable: &|_| None,
            file: &|_| Ok(String::new()),
        };
        let file = TopologyFile::from_text(Path::new("t.yaml"), text.to_owned(), &outside);
        let plan = file.plan(&registry(), 1);
        let plan = plan.unwrap_or_else(|refused| panic!("{refused}"));
        let mut stage = Stage::open(plan).unwrap_or_else(|failure| panic!("{:#}", failure.error));
        let mut becomes = |offset| {
            let record = Sampled {
                offset,
                payload: Some(b"{}".to_vec()),
                ..Sampled::of_topic("t")
            };
            let told = stage.run("lines", &record, None);
            told.unwrap_or_else(|failure| panic!("{:#}", failure.error))
                .ends
                .remove(0)
                .outcome
        };
        assert!(matches!(becomes(100), Outcome::Written(_)));
        let Outcome::Dropped { policy } = becomes(101) else {
            panic!("it is dropped");
        };
        assert_eq!(policy, "thin.skipped");
    }

    #[test]
    fn users_are_shown_what_becomes_of_records() {
        let mut all = isobar::reference::all(&registry());
        let mut shown = all.iter_mut().filter(|one| one.name == "every_nth");
        let reference = shown.next().expect("is registered");
        reference.show().expect("the example runs");
        let text = reference.text();
        let end = "  {\"n\":1}\n    → as it is\n  {\"n\":2}\n    → dropped by every_nth.skipped\n";
        assert!(text.ends_with(end), "{text}");
        assert!(shown.next().is_none(), "the name is its own");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = PreparedForTest::new(&EVERY_NTH, &json!({"one_in": 0}));
        let text = wrong.err().expect("out of range").to_string();
        assert_eq!(
            text,
            "bolts.bolt.one_in: found the number 0; expected a number from 1 to 1000000"
        );
    }
}
