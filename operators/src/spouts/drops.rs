//! `drops`: tells as records what policies dropped, so that it can be indexed, sent on, or paged about.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use isobar_topology::clock::{self, Instant};
use isobar_topology::spec::units::Duration;
use isobar_topology::spec::{Component, Problem, Problems, parse_config};
use isobar_topology::{
    AnySpout, ArenaBuilder, Dropped, DroppedBy, MakeSpout, Next, OperatorError, Partition, Prepare,
    PreparedSpout, SourceBatch, Spout, SpoutContext, SpoutType,
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

pub(super) const TYPE: SpoutType = SpoutType {
    name: "drops",
    schema: || schemars::schema_for!(DropsConfig),
    example: EXAMPLE,
    prepare,
};

const EXAMPLE: &str = "\
type: drops
every: 10s
";

/// Tells what was dropped since too many records came, as records of their own: a stream to index, to
/// write to a topic, or to alert on.
///
/// For each policy and spout of which records were dropped since it was last told there is one record, a
/// JSON object such as `{"time": "2026-01-31T12:00:10Z", "topology": "logs", "spout": "access", "policy":
/// "access.drop_newest", "records": 1200, "total": 5600}`: `records` since then, `total` since the start.
/// The key is the policy's name. Put a `parse_json` behind it for documents.
///
/// Its records are counted like all others, and what is dropped of them is not told here. What was dropped since the last time before a stop is told by
/// the report at the end and not here, and a run with `--exit-when-caught-up` tells all of it there: it
/// ends when nothing is left to read.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DropsConfig {
    /// How long after the last time it tells again, from 1s to 1h. Default 10s.
    #[serde(default = "every")]
    every: Duration,
    /// Whether to tell of all policies, those of `filter` and the like included, and not only of those
    /// that drop since too many records come. Default false.
    #[serde(default)]
    all: bool,
}

fn every() -> Duration {
    Duration::secs(10)
}

/// Records in flight at most: there is one for each policy and spout each time.
const MAX_IN_FLIGHT: usize = 1_000;
/// Bytes of these at most: they are short.
const BYTES_MAX: usize = 1 << 20;

fn prepare(component: &Component, _: &mut Prepare<'_>) -> Result<PreparedSpout, Problems> {
    let config: DropsConfig = parse_config(&component.config, &component.path)?;
    let (least, most) = (Duration::secs(1), Duration::secs(3_600));
    let mut problems = Problems::default();
    let path = component.path.key("every");
    problems.extend([Problem::out_of_range(path, config.every, least, most)]);
    problems.or(())?;
    Ok(PreparedSpout {
        max_in_flight_records: MAX_IN_FLIGHT,
        max_in_flight_bytes: BYTES_MAX,
        batch_bytes: BYTES_MAX,
        max_uncommitted: MAX_IN_FLIGHT,
        reads: None,
        memory: 0,
        facts: vec![("every".to_owned(), config.every.to_string())],
        start: Box::new(move |context| Ok(vec![start(&config, context)])),
    })
}

fn start(config: &DropsConfig, context: SpoutContext) -> MakeSpout {
    // Each run counts from 0 on, so its records are others than those of the run before.
    let source = RandomState::new().build_hasher().finish();
    let partition = context.partitions.open(&context.id, 0, source);
    let (every, all) = (config.every.get(), config.all);
    Box::new(move || {
        AnySpout::new(Drops {
            id: Arc::clone(&context.id),
            topology: context.topology,
            dropped: context.dropped,
            bounded: context.bounded,
            partition,
            assigned: false,
            every,
            all,
            due: clock::now() + every,
            told: BTreeMap::new(),
            offset: 0,
        })
    })
}

struct Drops {
    id: Arc<str>,
    topology: Arc<str>,
    dropped: Dropped,
    bounded: bool,
    partition: Arc<Partition>,
    assigned: bool,
    every: std::time::Duration,
    all: bool,
    due: Instant,
    /// Counts that were told, by spout and policy.
    told: BTreeMap<(Arc<str>, String), u64>,
    /// Of the next record.
    offset: i64,
}

impl Spout for Drops {
    async fn next(&mut self) -> Result<Next, OperatorError> {
        if !self.assigned {
            self.assigned = true;
            let partition = Arc::clone(&self.partition);
            return Ok(Next::Assigned {
                partition,
                start: 0,
            });
        }
        if self.bounded {
            return Ok(Next::End);
        }
        loop {
            tokio::time::sleep_until(self.due).await;
            self.due = clock::now() + self.every;
            if let Some(batch) = self.tell() {
                return Ok(Next::Batch(batch));
            }
        }
    }
}

impl Drops {
    /// What was dropped and not told.
    fn tell(&mut self) -> Option<SourceBatch> {
        let now = clock::unix_ms();
        let mut arena = ArenaBuilder::new(Arc::clone(&self.partition), 0, 0);
        for count in self.dropped.counts() {
            let key = (Arc::clone(&count.spout), count.policy.clone());
            let told = self.told.entry(key).or_default();
            let more = count.records - *told;
            // What is dropped of its own records would be told for ever.
            let is_own = count.spout == self.id;
            if more == 0 || is_own || !(count.is_lossy || self.all) {
                continue;
            }
            *told = count.records;
            let payload = record(&self.topology, &count, more, now);
            let (key, payload) = (count.policy.as_bytes(), payload.as_bytes());
            arena.push(
                self.offset,
                now,
                Some(key),
                Some(payload),
                std::iter::empty(),
            );
            self.offset += 1;
        }
        (!arena.is_empty()).then(|| SourceBatch {
            arena: arena.finish(),
            dropped: Vec::new(),
        })
    }
}

fn record(topology: &str, count: &DroppedBy, more: u64, now: i64) -> String {
    let time = Timestamp::from_millisecond(now).map(|time| time.to_string());
    let record = json!({
        "time": time.unwrap_or_default(),
        "topology": topology,
        "spout": &*count.spout,
        "policy": count.policy,
        "records": more,
        "total": count.records,
    });
    record.to_string()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::{Mutex, PoisonError};

    use isobar_topology::spec::{Node, Spec};
    use isobar_topology::testing::{FnBolt, Script, source_batch};
    use isobar_topology::{Answer, BoltType, DocumentUse, Example, PreparedBolt, plan, start_here};
    use serde_json::Value;
    use tokio::task::LocalSet;

    use super::*;
    use crate::registry;

    /// What the sink of the test got.
    static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());

    fn told() -> Vec<Value> {
        let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
        let told = std::mem::take(&mut *told);
        let told = told.iter().map(|text| serde_json::from_str(text));
        told.collect::<Result<_, _>>().expect("JSON")
    }

    const NUMBERS: SpoutType = SpoutType {
        name: "numbers",
        schema: || schemars::schema_for!(serde_json::Map<String, Value>),
        example: "",
        prepare: |_, _| {
            Ok(PreparedSpout {
                start: Box::new(|context| {
                    let partition = context.partitions.open("numbers", 0, 1);
                    let batch = source_batch(&partition, 0, (0..10).map(|n| n.to_string()));
                    let steps = [
                        Next::Assigned {
                            partition,
                            start: 0,
                        },
                        Next::Batch(batch),
                    ];
                    let make: MakeSpout = Box::new(|| Script::spout(steps));
                    Ok(vec![make])
                }),
                max_in_flight_records: 100,
                max_in_flight_bytes: 1 << 20,
                batch_bytes: 1 << 20,
                max_uncommitted: 100,
                reads: None,
                memory: 0,
                facts: Vec::new(),
            })
        },
    };

    const SINK: BoltType = BoltType {
        name: "sink",
        schema: || schemars::schema_for!(serde_json::Map<String, Value>),
        example: Example::of("", &[]),
        side_effects: false,
        deterministic: true,
        prepare: |_, _| {
            Ok(PreparedBolt {
                emits: false,
                document: DocumentUse::Any,
                ..PreparedBolt::new(Arc::new(|_| {
                    FnBolt::any(|batch, _| {
                        let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
                        for record in batch.records() {
                            let payload = record.payload().unwrap_or_default();
                            told.push(String::from_utf8_lossy(payload).into_owned());
                        }
                        batch.answer(Answer::Delivered);
                        Ok(())
                    })
                }))
            })
        },
    };

    #[tokio::test(start_paused = true)]
    async fn what_was_dropped_is_told_once_and_counted_as_any_record() {
        let mut registry = registry();
        registry.spouts.push(NUMBERS);
        registry.bolts.push(SINK);
        for (options, policies) in [
            (json!({"type": "drops"}), vec!["limit.above"]),
            (
                json!({"type": "drops", "all": true}),
                vec!["end", "limit.above"],
            ),
        ] {
            let file = json!({
                "isobar": 1, "name": "t",
                "spouts": {"in": {"type": "numbers"}, "drops": options},
                "bolts": {
                    "limit": {"type": "limit", "rate": "3/h", "above": "drop", "inputs": ["in"]},
                    "end": {"type": "blackhole", "inputs": ["limit"]},
                    "told": {"type": "sink", "inputs": ["drops"]},
                    "quiet": {"type": "blackhole", "inputs": ["drops"]},
                },
                "dead_letter": {"type": "blackhole"},
            });
            let spec = Spec::read(&Node::from_json(&file)).expect("sound");
            let planned = plan(&spec, &registry, 1, Path::new(".")).expect("sound");
            let local = LocalSet::new();
            let running = start_here(planned.graph, false, &local).expect("starts");
            let finished = local.run_until(async {
                tokio::time::sleep(std::time::Duration::from_secs(35)).await;
                running.stop();
                running.finished().await
            });
            let _ = finished.await;
            let told = told();
            let mut names: Vec<&str> = told
                .iter()
                .filter_map(|record| record["policy"].as_str())
                .collect();
            names.sort_unstable();
            assert_eq!(names, policies);
            let above = told.iter().find(|record| record["policy"] == "limit.above");
            let above = above.expect("it is told");
            assert_eq!(
                (&above["spout"], &above["topology"]),
                (&json!("in"), &json!("t"))
            );
            assert_eq!((&above["records"], &above["total"]), (&json!(7), &json!(7)));
            let time = above["time"].as_str().map(str::parse::<Timestamp>);
            assert!(time.is_some_and(|time| time.is_ok()), "{above}");
            let account = running.account(1);
            let dropped: u64 = account.dropped.values().sum();
            assert_eq!(
                (account.read, dropped),
                (policies.len() as u64, account.read)
            );
            assert_eq!(account.difference(), 0);
        }
    }
}
