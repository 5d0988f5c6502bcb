//! A program with a bolt of its own: everything that `isobar` can do, and `every_nth` besides.
//!
//! ```sh
//! cargo run -p isobar --example custom_bolt -- operators every_nth
//! cargo run -p isobar --example custom_bolt -- test deploy/examples/custom_bolt.yaml
//! cargo run -p isobar --example custom_bolt -- run deploy/examples/custom_bolt.yaml --exit-when-caught-up
//! ```

#[cfg(test)]
#[path = "../tests/program/commands.rs"]
mod commands;
#[cfg(test)]
#[path = "tests/shown.rs"]
mod shown;

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
    use isobar_operators::embedded::EmbeddedKafka;
    use isobar_topology::testing::{Fate, Input, PreparedForTest};
    use serde_json::json;
    use testkit::scratch::Scratch;

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

    /// All of it: what users are shown of it, the tests of a topology, and records that go from a topic through
    /// the bolt to a file.
    #[test]
    fn what_the_documentation_shows_is_what_it_does() {
        const RECORDS: u64 = 500;
        let kafka = EmbeddedKafka::start().expect("a port");
        kafka.create_topic("logs").expect("a topic");
        let scratch = Scratch::new("custom-bolt").expect("a directory");
        let out = scratch.path().join("out").display().to_string();
        let variables = [("KAFKA", kafka.brokers()), ("OUT", &*out)];
        let registry = registry();
        assert_eq!(registry.named_twice(), None);
        let count = RECORDS.to_string();
        let generate = ["generate", "--topic", "logs", "--count", &*count];
        let generate = [&generate[..], &["--brokers", kafka.brokers()]].concat();
        let _ = shown::isobar(&registry, &generate, &variables);

        let source = include_str!("custom_bolt.rs");
        let done = shown::run(source, &registry, scratch.path(), &variables);
        let [reference, tests, run] = &done[..] else {
            panic!("{} commands are shown", done.len());
        };
        let end = "  {\"n\":1}\n    → as it is\n  {\"n\":2}\n    → dropped by every_nth.skipped\n";
        assert!(reference.output.ends_with(end), "{}", reference.output);
        let all = "2 tests: 2 passed, 0 failed\n";
        assert!(tests.output.ends_with(all), "{}", tests.output);
        let lines = std::fs::read_to_string(format!("{out}.ndjson")).expect("it was written");
        let kept = lines.lines().count() as u64;
        // The first of each partition at least.
        assert!((4..=RECORDS / 100 + 4).contains(&kept), "{kept}");
        let row = format!("logs {RECORDS} {kept} 0 {} 0 0 0 0", RECORDS - kept);
        shown::assert_row(&run.told, &row);
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
