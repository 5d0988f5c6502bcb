//! A topology in this process: the Kafka spout, and a bolt that notes what it sees and can be told to
//! stand still.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::ensure;
use isobar_operators::lag::{Source, sources};
use isobar_operators::registry;
use isobar_topology::spec::{Node, Spec};
use isobar_topology::{
    Account, Answer, AnyBolt, Batch, Bolt, Emitter, Finish, OperatorError, Running, plan, start,
};
use serde_json::{Value, json};
use testkit::services::Kafka;
use testkit::wait;
use tokio::sync::watch;

/// How long a condition may take to be said; librdkafka tells of lost brokers within some seconds.
const WORD_LIMIT: Duration = Duration::from_secs(60);

/// How often the records at each (partition, offset) were delivered, over all members that share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(Arc<Mutex<BTreeMap<(i32, i64), u32>>>);

impl Seen {
    /// How many different records there were.
    pub(crate) fn distinct(&self) -> usize {
        self.0.lock().expect("no holder panics").len()
    }

    /// How many deliveries there were, repeated ones too.
    pub(crate) fn total(&self) -> usize {
        let seen = self.0.lock().expect("no holder panics");
        seen.values().map(|times| *times as usize).sum()
    }

    /// Whether the record there was delivered.
    pub(crate) fn has(&self, partition: i32, offset: i64) -> bool {
        let seen = self.0.lock().expect("no holder panics");
        seen.contains_key(&(partition, offset))
    }

    /// The first offset of each partition that was not delivered.
    pub(crate) fn first_missing(&self, partitions: i32) -> Vec<i64> {
        let seen = self.0.lock().expect("no holder panics");
        let missing = |p: i32| (0..).find(|offset| !seen.contains_key(&(p, *offset)));
        (0..partitions)
            .map(|p| missing(p).expect("there is no last number"))
            .collect()
    }

    /// The offsets of a partition that were delivered.
    pub(crate) fn offsets(&self, partition: i32) -> Vec<i64> {
        let seen = self.0.lock().expect("no holder panics");
        let all = seen.keys().filter(|(of, _)| *of == partition);
        all.map(|(_, offset)| *offset).collect()
    }

    fn add(&self, batch: &Batch) {
        let mut seen = self.0.lock().expect("no holder panics");
        for record in batch.records() {
            *seen
                .entry((record.partition(), record.offset()))
                .or_default() += 1;
        }
    }
}

/// A member of a group.
pub(crate) struct Member {
    pub(crate) running: Running,
    pub(crate) lag: Source,
    gate: watch::Sender<bool>,
}

/// How a member is started.
pub(crate) struct Options<'a> {
    pub(crate) topic: &'a str,
    pub(crate) group: &'a str,
    /// Options of the spout instead of, or besides, the usual ones.
    pub(crate) spout: Value,
    pub(crate) bounded: bool,
    /// Whether the bolt takes records from the start.
    pub(crate) open: bool,
}

impl<'a> Options<'a> {
    pub(crate) fn new(topic: &'a str) -> Self {
        Self {
            topic,
            group: topic,
            spout: json!({}),
            bounded: false,
            open: true,
        }
    }

    pub(crate) fn bounded(topic: &'a str) -> Self {
        Self {
            bounded: true,
            ..Self::new(topic)
        }
    }
}

impl Member {
    pub(crate) fn start(kafka: &Kafka, seen: &Seen, options: Options<'_>) -> Self {
        Self::start_at(kafka.brokers(), seen, options)
    }

    pub(crate) fn start_at(brokers: &str, seen: &Seen, options: Options<'_>) -> Self {
        let mut spout = json!({
            "type": "kafka", "connection": "kafka", "topics": [options.topic],
            "group": options.group, "start": "earliest", "commit_interval": "200ms",
        });
        let usual = spout.as_object_mut().expect("a mapping");
        usual.extend(options.spout.as_object().expect("a mapping").clone());
        let file = json!({
            "isobar": 1, "name": "members",
            "connections": {"kafka": {"type": "kafka", "brokers": brokers,
                "options": {"broker.address.family": "v4", "reconnect.backoff.max.ms": 200}}},
            "spouts": {"in": spout},
            "bolts": {"end": {"type": "blackhole", "inputs": ["in"], "on_rejected": "drop"}},
            "settings": {"lanes": 2, "drain_timeout": "2s"},
        });
        let spec = Spec::read(&Node::from_json(&file)).expect("the file is sound");
        let lag = sources(&spec).expect("the spout is sound").remove(0);
        let mut graph = plan(&spec, &registry(), 2, Path::new("."))
            .expect("the plan is sound")
            .graph;
        let gate = watch::Sender::new(options.open);
        let (seen, opened) = (seen.clone(), gate.clone());
        graph.bolts[0].make = Arc::new(move |_| {
            AnyBolt::new(End {
                seen: seen.clone(),
                open: opened.subscribe(),
            })
        });
        let running = start(graph, options.bounded).expect("it starts");
        Self { running, lag, gate }
    }

    /// Lets the bolt take records.
    pub(crate) fn open(&self) {
        let _ = self.gate.send_replace(true);
    }

    /// Lets the bolt take no more records.
    pub(crate) fn close(&self) {
        let _ = self.gate.send_replace(false);
    }

    /// The account, which must add up at any time.
    pub(crate) fn account(&self) -> Account {
        let account = self.running.account(0);
        assert_eq!(account.difference(), 0, "{account:?}");
        account
    }

    /// The partitions that the member reads at the moment.
    pub(crate) fn assigned(&self) -> Vec<i32> {
        let partitions = self.running.partitions(0).all();
        let assigned = partitions.iter().filter(|p| p.account().is_assigned());
        assigned.map(|partition| partition.number()).collect()
    }

    /// Waits until conditions say all of this at one time: how a condition starts, and a word in it.
    pub(crate) fn wait_until_said(&self, words: &[(&str, &str)]) {
        let said = wait::until("the word", WORD_LIMIT, || {
            let said = self.conditions();
            for (start, word) in words {
                let is_said = |text: &String| text.starts_with(start) && text.contains(word);
                ensure!(said.iter().any(is_said), "{start}{word} is not in {said:?}");
            }
            Ok(())
        });
        said.expect("it is said");
    }

    /// What is wrong, as `kind: text`.
    pub(crate) fn conditions(&self) -> Vec<String> {
        let conditions = self.running.health().conditions();
        conditions
            .iter()
            .map(|c| format!("{}: {}", c.kind, c.text))
            .collect()
    }

    /// Waits until it ended by itself.
    pub(crate) fn finished(&self, limit: Duration) -> Finish {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        let finished = self.running.finished();
        let wait = async { tokio::time::timeout(limit, finished).await };
        let finish = runtime.expect("a runtime").block_on(wait);
        finish.unwrap_or_else(|_| {
            panic!(
                "it did not end within {limit:?}: {:?} {:?}",
                self.account(),
                self.conditions()
            )
        })
    }

    /// Stops it and waits for the end.
    pub(crate) fn stop(&self) -> Finish {
        self.running.stop();
        self.finished(Duration::from_secs(30))
    }
}

struct End {
    seen: Seen,
    open: watch::Receiver<bool>,
}

impl Bolt for End {
    async fn process(&mut self, batch: Batch, _: &mut Emitter) -> Result<(), OperatorError> {
        if self.open.wait_for(|open| *open).await.is_err() {
            return Err(OperatorError::external("the member is gone"));
        }
        self.seen.add(&batch);
        batch.answer(Answer::Delivered);
        Ok(())
    }
}
