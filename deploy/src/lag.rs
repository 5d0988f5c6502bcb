//! Lag of the Kafka spouts of a topology: sampled while it runs, asked for once while it does not.
//!
//! The definitions are those of `isobar_operators::lag`; here they become rows, sums and tables.
//! What is unknown is null or `?`, and so is every sum that it is part of.

use std::sync::Arc;
use std::time::Duration;

use isobar_operators::lag::{self, Lag, Row, Source, Watch};
use isobar_topology::Running;
use isobar_topology::spec::{Problems, Spec};
use serde::Serialize;

use crate::output::{Table, known, time};

/// How often a running topology's lag is sampled.
const INTERVAL: Duration = Duration::from_secs(5);

/// The lag of a spout.
#[derive(Clone, Debug, Serialize)]
pub struct SpoutLag {
    /// The spout's id.
    pub spout: String,
    /// Its consumer group.
    pub group: String,
    /// Records that are not settled, over all partitions listed.
    pub lag: Option<u64>,
    /// Age of the oldest record that is not settled; 0 when there is none.
    pub oldest_age_seconds: Option<f64>,
    /// Why something is not known, naming broker, topic or group.
    pub failure: Option<String>,
    /// By topic and partition.
    pub partitions: Vec<PartitionLag>,
}

/// The lag of a partition.
#[derive(Clone, Debug, Serialize)]
pub struct PartitionLag {
    /// The topic.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// The first offset that still exists.
    pub start: Option<i64>,
    /// The offset after the last record.
    pub end: Option<i64>,
    /// The last commit; null when nothing was committed.
    pub committed: Option<i64>,
    /// Records that are not settled; of a topology that does not run, not committed.
    pub lag: Option<u64>,
    /// Records that are not committed.
    pub committed_lag: Option<u64>,
    /// Records that have not been read.
    pub read_lag: Option<u64>,
    /// Records that are settled and not committed: they would be read again after a crash.
    pub commit_debt: Option<u64>,
    /// Records that Kafka deleted before they were settled.
    pub lost: Option<u64>,
    /// Age of the oldest record that is not settled; 0 when there is none.
    pub oldest_age_seconds: Option<f64>,
}

/// Samples the lag of a running topology.
#[derive(Default)]
pub struct Watches(Vec<(Source, Result<Watch, String>)>);

impl Watches {
    /// Starts to sample, on a thread for each Kafka spout. What cannot be sampled says why in
    /// [`SpoutLag::failure`].
    pub fn start(spec: &Spec, running: &Running) -> Self {
        // The file was planned, so its options are sound.
        let sources = lag::sources(spec).unwrap_or_default();
        let spouts = &running.graph().spouts;
        let watches = sources.into_iter().filter_map(|source| {
            let spout = spouts.iter().position(|node| *node.id == *source.spout)?;
            let partitions = Arc::clone(running.partitions(spout));
            let watch = source
                .watch(partitions, INTERVAL)
                .map_err(|error| error.to_string());
            Some((source, watch))
        });
        Self(watches.collect())
    }

    /// The lag now, of the partitions that this process reads. Never waits.
    pub fn read(&self) -> Vec<SpoutLag> {
        let each = self.0.iter().map(|(source, watch)| match watch {
            Ok(watch) => SpoutLag::of(source, watch.read()),
            Err(failure) => SpoutLag::unknown(source, failure.clone()),
        });
        each.collect()
    }

    /// The lag now of all spouts together; `None` while a part of it is not known, and without any
    /// Kafka spout.
    pub fn total(&self) -> Option<u64> {
        match self.0.as_slice() {
            [] => None,
            _ => self.read().iter().map(|spout| spout.lag).sum(),
        }
    }

    /// Asks the brokers for the lag of all partitions, whoever reads them; waits at most `within` for
    /// each of a few questions.
    pub fn ask(&self, within: Duration) -> Vec<SpoutLag> {
        self.0
            .iter()
            .map(|(source, _)| ask(source, within))
            .collect()
    }
}

/// Asks the brokers for the lag of a topology, whether it runs or not; waits at most `within` for each
/// of a few questions. Fails with what is wrong with the file.
pub fn of_file(spec: &Spec, within: Duration) -> Result<Vec<SpoutLag>, Problems> {
    let sources = lag::sources(spec)?;
    Ok(sources.iter().map(|source| ask(source, within)).collect())
}

fn ask(source: &Source, within: Duration) -> SpoutLag {
    match source.once(within) {
        Ok(lag) if lag.rows.is_empty() => {
            let none = format!("there is no topic {}", source.topics.join(", "));
            SpoutLag::unknown(source, lag.failure.unwrap_or(none))
        }
        Ok(lag) => SpoutLag::of(source, lag),
        Err(error) => SpoutLag::unknown(source, error.to_string()),
    }
}

/// A row for each partition, and one with the sum for each spout of several.
pub fn table(spouts: &[SpoutLag]) -> String {
    let mut table = Table::new([
        "SPOUT",
        "TOPIC",
        "PARTITION>",
        "COMMITTED>",
        "END>",
        "LAG>",
        "OLDEST>",
    ]);
    for spout in spouts {
        for partition in &spout.partitions {
            table.row([
                spout.spout.clone(),
                partition.topic.clone(),
                partition.partition.to_string(),
                known(partition.committed),
                known(partition.end),
                known(partition.lag),
                age(partition.oldest_age_seconds),
            ]);
        }
        if spout.partitions.len() != 1 {
            let [all, none, end] = ["all", "", ""].map(str::to_owned);
            let sums = [known(spout.lag), age(spout.oldest_age_seconds)];
            let first = [spout.spout.clone(), all, none.clone(), none, end];
            table.row(first.into_iter().chain(sums));
        }
    }
    table.text()
}

fn age(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "?".to_owned(), |seconds| time((seconds * 1000.0) as u64))
}

impl SpoutLag {
    fn of(source: &Source, lag: Lag) -> Self {
        let partitions: Vec<PartitionLag> = lag.rows.into_iter().map(PartitionLag::of).collect();
        let mut ages = partitions
            .iter()
            .map(|partition| partition.oldest_age_seconds);
        Self {
            spout: source.spout.clone(),
            group: source.group.clone(),
            lag: partitions.iter().map(|partition| partition.lag).sum(),
            oldest_age_seconds: ages.try_fold(0.0, |oldest, age| Some(f64::max(oldest, age?))),
            failure: lag.failure,
            partitions,
        }
    }

    fn unknown(source: &Source, failure: String) -> Self {
        Self {
            spout: source.spout.clone(),
            group: source.group.clone(),
            lag: None,
            oldest_age_seconds: None,
            failure: Some(failure),
            partitions: Vec::new(),
        }
    }
}

impl PartitionLag {
    fn of(row: Row) -> Self {
        Self {
            topic: row.partition.topic.to_string(),
            partition: row.partition.partition,
            start: row.start,
            end: row.end,
            committed: row.committed,
            lag: row.lag,
            committed_lag: row.committed_lag,
            read_lag: row.read_lag,
            commit_debt: row.commit_debt,
            lost: row.lost,
            oldest_age_seconds: row.age_ms.map(|ms| ms as f64 / 1000.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use isobar_operators::kafka::admin::TopicPartition;
    use isobar_topology::spec::Node;
    use serde_json::json;

    use super::*;

    fn spec() -> Spec {
        let file = json!({
            "isobar": 1, "name": "logs",
            "connections": {"kafka": {"type": "kafka", "brokers": "127.0.0.1:9"}},
            "spouts": {"in": {"type": "kafka", "connection": "kafka", "topics": "a", "start": "latest"}},
            "bolts": {"end": {"type": "blackhole", "inputs": ["in"]}},
        });
        Spec::read(&Node::from_json(&file)).expect("sound")
    }

    fn row(partition: i32, lag: Option<u64>, age_ms: Option<u64>) -> Row {
        Row {
            partition: TopicPartition::new("a", partition),
            start: Some(0),
            end: Some(1_000),
            committed: lag.map(|lag| 1_000 - lag as i64),
            lag,
            committed_lag: lag,
            read_lag: None,
            commit_debt: None,
            in_flight: None,
            lost: None,
            age_ms,
        }
    }

    fn lag(rows: Vec<Row>) -> SpoutLag {
        let source = lag::sources(&spec()).expect("sound").remove(0);
        SpoutLag::of(
            &source,
            Lag {
                rows,
                failure: None,
            },
        )
    }

    #[test]
    fn sums_are_known_when_all_their_parts_are() {
        let known = lag(vec![
            row(0, Some(10), Some(1_500)),
            row(1, Some(0), Some(0)),
        ]);
        assert_eq!((known.lag, known.oldest_age_seconds), (Some(10), Some(1.5)));
        let unknown = lag(vec![row(0, Some(10), Some(1)), row(1, None, None)]);
        assert_eq!((unknown.lag, unknown.oldest_age_seconds), (None, None));
        let json = serde_json::to_value(&unknown).expect("JSON");
        assert_eq!(json["lag"], serde_json::Value::Null);
        assert_eq!(
            table(&[unknown]),
            "\
SPOUT  TOPIC  PARTITION  COMMITTED    END  LAG  OLDEST
in     a              0        990  1,000   10    1 ms
in     a              1          ?  1,000    ?       ?
in     all                                   ?       ?
"
        );
    }

    #[test]
    fn brokers_that_do_not_answer_are_named() {
        let asked = of_file(&spec(), Duration::from_millis(300))
            .expect("sound")
            .remove(0);
        assert_eq!((asked.lag, asked.partitions.len()), (None, 0));
        let failure = asked.failure.unwrap_or_default();
        assert!(
            failure.contains("topic a") && failure.contains("127.0.0.1:9"),
            "{failure}"
        );
    }
}
