//! `limit`: lets so many records of each key through in a time, so that one cannot starve the others.

#[cfg(test)]
mod fairness;
mod windows;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use isobar_topology::spec::units::Rate;
use isobar_topology::spec::{Component, Problem, Problems, parse_config};
use isobar_topology::{
    AnyBolt, Batch, Bolt, BoltType, Counter, DocumentUse, Emitter, Example, OperatorError, Policy,
    Prepare, PreparedBolt, Record, Stream, Verdict, clock,
};
use schemars::JsonSchema;
use serde::Deserialize;

use windows::{Seen, Windows};

use crate::template::Template;

pub(super) const TYPE: BoltType = BoltType {
    name: "limit",
    schema: || schemars::schema_for!(LimitConfig),
    example: EXAMPLE,
    side_effects: false,
    deterministic: false,
    prepare,
};

const EXAMPLE: Example = Example::of(
    "\
type: limit
inputs: [parse]
key: \"{{ doc.tenant }}\"
rate: 1/s
above: drop
",
    &[
        r#"{"tenant":"shop","n":1}"#,
        r#"{"tenant":"shop","n":2}"#,
        r#"{"tenant":"blog","n":3}"#,
    ],
);

/// Lets so many records of each key through in each second, minute or hour, so that one tenant cannot
/// starve the others. What is above is dropped, or leaves on the stream `above`; nothing ever waits, for
/// records that wait hold up the commits of all others in their partition.
///
/// A record counts in the second, minute or hour of its own timestamp, as Kafka has it, and not of the
/// moment at which it is read: after an outage, or in a replay, records come many times faster than they
/// were sent, and tenants who never sent too much must not lose any. So it also follows from the records
/// how many pass, however the partitions take turns. Which ones these are depends on the order, and after
/// a restart or when a partition moves counting starts over: the plan calls it lossy. A record that is
/// sent again after a failure is not counted again. Producers set the timestamp unless the topic has
/// `message.timestamp.type=LogAppendTime`; one from the future counts as of now.
///
/// Each lane counts its own records, and each replica. Where records of one key are in several partitions,
/// bring them to one lane with `inputs: [{from: parse, grouping: {fields: [doc.tenant]}}]`; `validate` and
/// `plan` say where that is missing.
///
/// Dropped records count under the policy `<bolt id>.above` in the accounting. Moves the metrics
/// `above_records` and `crowded_records`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitConfig {
    /// What tells keys apart: a template such as `{{ doc.tenant }}` or `{{ kafka.key }}`. Records for
    /// which it has no value share one limit. Default: all records share one limit.
    key: Option<String>,
    /// How many records of one key pass: `1000/s`, `5000/m` or `100000/h`. They may come all at once.
    rate: Rate,
    /// What becomes of records above the rate: `drop`, or `divert` to the stream `above`, consumed as
    /// `inputs: [<bolt id>.above]`.
    above: Above,
    /// How many counts each lane keeps, from 1 to 10000000, with up to 410 bytes each: one for each key,
    /// each time and each partition. The oldest ones go first. When all are of one second, minute or hour,
    /// further keys share one limit, and their records are counted by the metric `crowded_records`.
    /// Default 100000.
    #[serde(default = "counts_max")]
    #[schemars(range(min = 1, max = 10_000_000))]
    counts_max: usize,
}

/// What becomes of records above the rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Above {
    /// They are dropped, by name.
    Drop,
    /// They leave on a stream of their own.
    Divert,
}

fn counts_max() -> usize {
    100_000
}

fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let config: LimitConfig = parse_config(&component.config, &component.path)?;
    let path = component.path.key("key");
    let key = config.key.as_deref().map(|key| {
        let template = Template::compile(key, &path, prepare)?;
        match template.constant() {
            None => Ok(template),
            Some(_) => Err(Problem::new(path.clone(), "is the same for all records").expected(
                "a template such as {{ doc.tenant }}, or no key: all records share one limit then",
            )),
        }
    });
    let key = key.transpose()?.map(Arc::new);
    let path = &component.path;
    let policy = match config.above {
        Above::Drop => Some(prepare.overload_policy(&format!("{}.above", component.id), path)?),
        Above::Divert => None,
    };
    let LimitConfig {
        rate, counts_max, ..
    } = config;
    let what = match config.above {
        Above::Drop => "dropped: lossy",
        Above::Divert => "diverted to the stream above",
    };
    let names = key.iter().flat_map(|key| key.names());
    // Groupings have no way to write others.
    let alike = names
        .filter(|name| *name == "kafka.key" || name.starts_with("doc.") && !name.contains('['));
    let alike = alike.map(str::to_owned).collect();
    let of = config.key.as_deref().unwrap_or("all records");
    Ok(PreparedBolt {
        document: DocumentUse::Any,
        copies: 0,
        streams: match config.above {
            Above::Drop => Vec::new(),
            Above::Divert => vec!["above".to_owned()],
        },
        memory_per_lane: Windows::memory(counts_max),
        alike: Some(alike),
        facts: vec![(
            "rate".to_owned(),
            format!("{rate} of {of} on each lane, the rest is {what}"),
        )],
        ..PreparedBolt::new(Arc::new(move |context| {
            AnyBolt::new(Limit {
                key: key.clone(),
                text: Vec::new(),
                seed: RandomState::new(),
                window_ms: i64::try_from(rate.per().as_millis()).unwrap_or(i64::MAX),
                windows: Windows::new(rate.records(), counts_max),
                policy,
                above: context.counters.counter(
                    "above_records",
                    "Records above the rate of their key, those sent again included.",
                ),
                crowded: context.counters.counter(
                    "crowded_records",
                    "Records of keys beyond those that can be counted, which share one limit.",
                ),
            })
        }))
    })
}

struct Limit {
    key: Option<Arc<Template>>,
    /// The key in hand.
    text: Vec<u8>,
    /// Of each lane its own, so that nobody can make keys that are taken for one another.
    seed: RandomState,
    window_ms: i64,
    windows: Windows,
    /// By which policy records above the rate are dropped; `None` if they are diverted.
    policy: Option<Policy>,
    above: Counter,
    crowded: Counter,
}

impl Bolt for Limit {
    async fn process(&mut self, batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        let now = clock::unix_ms();
        let (mut above, mut crowded) = (0, 0);
        batch.judge(out, |record| {
            let seen = self.seen(&record.view(), now);
            let decision = self.windows.decide(seen);
            crowded += u64::from(decision.shares);
            if decision.passes {
                return Verdict::Keep;
            }
            above += 1;
            match self.policy {
                Some(policy) => Verdict::Drop(policy),
                None => Verdict::To(Stream::declared(0).expect("the first")),
            }
        });
        self.above.add(above);
        self.crowded.add(crowded);
        Ok(())
    }
}

impl Limit {
    fn seen(&mut self, record: &Record<'_>, now: i64) -> Seen {
        let mut hasher = self.seed.build_hasher();
        if let Some(key) = &self.key {
            self.text.clear();
            let has_key = key.render(*record, &mut self.text).is_ok();
            hasher.write_u8(u8::from(has_key));
            hasher.write(&self.text);
        }
        // Kafka says -1 where there is none.
        let time = match record.timestamp() {
            time if time < 0 => now,
            time => time.min(now),
        };
        Seen {
            key: hasher.finish(),
            window: time.div_euclid(self.window_ms),
            partition: (record.source(), record.partition()),
            position: (record.offset(), record.ordinals()),
        }
    }
}

#[cfg(test)]
mod tests {
    use isobar_topology::testing::{Fate, Input, PreparedForTest};
    use serde_json::{Value, json};

    use super::*;
    use crate::one_record::check_problems;

    fn record(tenant: &str, timestamp: i64) -> Input {
        Input {
            timestamp,
            ..Input::document(&json!({ "tenant": tenant }).to_string())
        }
    }

    /// Offsets of the records that pass, and of those that leave on `above`.
    async fn run(options: Value, inputs: &[Input]) -> (PreparedForTest, Vec<i64>, Vec<i64>) {
        let mut bolt = PreparedForTest::new(&TYPE, &options).expect("good options");
        let emitted = bolt.run(inputs).await;
        let on = |stream| {
            let emitted = emitted.iter().filter(|record| record.stream == stream);
            emitted.map(|record| record.offset).collect()
        };
        let above = Stream::declared(0).expect("the first");
        let (passed, above) = (on(Stream::OUT), on(above));
        (bolt, passed, above)
    }

    #[tokio::test(start_paused = true)]
    async fn one_tenant_above_its_rate_takes_nothing_from_the_others() {
        let mut inputs = vec![record("loud", 1_000); 100];
        inputs.extend(vec![record("quiet", 1_500); 3]);
        inputs.push(record("loud", 2_000));
        let options = json!({"key": "{{ doc.tenant }}", "rate": "3/s", "above": "drop"});
        let (mut bolt, passed, _) = run(options, &inputs).await;
        assert_eq!(passed, [0, 1, 2, 100, 101, 102, 103]);
        let fates = bolt.harness.fates().expect("all are answered");
        let dropped = fates.iter().filter(|fate| **fate == Fate::Dropped(0));
        assert_eq!(dropped.count(), 97);
        assert_eq!(bolt.policies, ["bolt.above"]);
        let counted = bolt.counters.values();
        let counted: Vec<_> = counted
            .iter()
            .map(|(name, _, count)| (*name, *count))
            .collect();
        assert_eq!(counted, [("above_records", 97), ("crowded_records", 0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_above_may_leave_on_a_stream() {
        let inputs = vec![record("a", 1_000); 4];
        let options = json!({"key": "{{ doc.tenant }}", "rate": "3/m", "above": "divert"});
        let (bolt, passed, above) = run(options, &inputs).await;
        assert_eq!((passed, above), (vec![0, 1, 2], vec![3]));
        assert_eq!(bolt.prepared.streams, ["above"]);
        assert!(bolt.policies.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn records_without_a_key_share_a_limit() {
        let without = Input {
            timestamp: 1_000,
            ..Input::document("{}")
        };
        let inputs = [without.clone(), record("", 1_000), without];
        let options = json!({"key": "{{ doc.tenant }}", "rate": "1/s", "above": "drop"});
        let (_, passed, _) = run(options, &inputs).await;
        assert_eq!(passed, [0, 1]);
        let inputs = [record("a", 1_000), record("b", 1_000), record("b", 2_000)];
        let (_, passed, _) = run(json!({"rate": "1/s", "above": "drop"}), &inputs).await;
        assert_eq!(passed, [0, 2], "without a key all do");
    }

    #[tokio::test(start_paused = true)]
    async fn times_from_the_future_and_unknown_ones_are_now() {
        let now = clock::unix_ms();
        let times = [now + 3_600_000, now + 7_200_000, -1, now + 60_000];
        let inputs = times.map(|time| record("a", time));
        let (_, passed, _) = run(json!({"rate": "1/h", "above": "drop"}), &inputs).await;
        // The hour may have changed in between.
        assert!(passed.len() <= 2 && passed[0] == 0, "{passed:?}");
    }

    #[test]
    fn records_are_alike_in_what_the_key_copies() {
        let alike = |key: &str| {
            let options = json!({"key": key, "rate": "1/s", "above": "drop"});
            let bolt = PreparedForTest::new(&TYPE, &options).expect("sound");
            bolt.prepared.alike.expect("it compares records")
        };
        let key = "{{ kafka.key }} {{ doc.a.b }} {{ doc['c.d'] }} {{ doc.host.substring(0, 3) }}";
        assert_eq!(alike(key), ["kafka.key", "doc.a.b"]);
    }

    #[test]
    fn bad_options_are_problems() {
        check_problems(
            &TYPE,
            &json!({"key": "tenant", "rate": "1/s", "above": "drop"}),
            &[
                "bolts.bolt.key: is the same for all records; expected a template such as {{ doc.tenant }}, or no key: all records share one limit then",
            ],
        );
        let problems = PreparedForTest::new(&TYPE, &json!({"rate": "1 per s", "above": "hold"}));
        let text = problems.err().expect("neither is right").to_string();
        assert!(text.contains("bolts.bolt.rate: "), "{text}");
    }
}
