//! Which of some offsets hold a record: the others are markers of transactions, aborted records, or what
//! compaction took.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::Message;

use super::logs;
use crate::kafka::admin::{Admin, TopicPartition};
use crate::kafka::error::Error;
use crate::kafka::{beside, read_rounds};
use crate::lag::Source;
use crate::replay::origin_of;
use crate::sample::without_a_group;

/// Offsets between two stretches that are read over: to go on elsewhere in a log costs about as much.
const NEAR: i64 = 1_000;

/// Records that are named, the first ones.
const NAMED_MAX: usize = 10;

/// What there is at some offsets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// Offsets that hold a record.
    pub count: u64,
    /// The first ten of them.
    pub first: Vec<i64>,
    /// Offsets of which nobody can know it any more: the log starts behind them.
    pub deleted: u64,
}

/// Asks which offsets of some stretches, half-open and in ascending order, hold a record for whoever reads
/// as `source` does. `origin` is that of the topic that is meant, see [`origin_of`].
///
/// Waits for the brokers, at most `within` for each answer: reads what lies in the stretches, and between
/// those that are less than 1,000 offsets apart. Fails when the brokers do not answer, when the topic is
/// another one by now, or when records are deleted meanwhile. Given up, it goes on on a thread of its own until
/// it is done.
pub async fn records(
    source: &Source,
    origin: &str,
    partition: &TopicPartition,
    stretches: Vec<(i64, i64)>,
    within: Duration,
) -> Result<Records, Error> {
    let connection = without_a_group(source);
    let (origin, partition) = (origin.to_owned(), partition.clone());
    beside(move || {
        let admin = Admin::new(&connection, within)?;
        let TopicPartition { topic, partition } = &partition;
        is_meant(&admin, topic, &origin)?;
        let partitions = [TopicPartition::new(topic, *partition)];
        let log = logs(&admin, &partitions)?.remove(&partitions[0]);
        let start = log.map_or(0, |log| log.start);
        let mut looked = Looked::at(stretches, start);
        let rounds = looked.windows().into_iter();
        let rounds = rounds.map(|window| BTreeMap::from([(*partition, window)]));
        read_rounds(&connection, topic, rounds, within, |record| {
            looked.take(record.offset());
            true
        })?;
        Ok(looked.records)
    })
    .await
}

/// Fails when a topic of this name is not the one whose documents have this origin.
fn is_meant(admin: &Admin, topic: &str, origin: &str) -> Result<(), Error> {
    let cluster = admin.cluster_id()?;
    let answers = admin.topics(&[topic])?;
    let id = answers.into_iter().find_map(|(_, topic)| topic.ok()?.id);
    match origin_of(&cluster, topic, id.as_deref()) == origin {
        true => Ok(()),
        false => Err(Error::Config(format!(
            "the topic {topic} of the cluster {cluster} is another one by now"
        ))),
    }
}

/// What was seen at some stretches.
struct Looked {
    stretches: Vec<(i64, i64)>,
    /// The first stretch that does not end before what was seen last.
    next: usize,
    records: Records,
}

impl Looked {
    /// Of stretches, those in a log that starts there.
    fn at(mut stretches: Vec<(i64, i64)>, start: i64) -> Self {
        let mut records = Records::default();
        for (from, to) in &mut stretches {
            let gone = (start.min(*to) - *from).max(0);
            records.deleted += gone.unsigned_abs();
            *from += gone;
        }
        stretches.retain(|(from, to)| from < to);
        Self {
            stretches,
            next: 0,
            records,
        }
    }

    /// What is to be read.
    fn windows(&self) -> Vec<(i64, i64)> {
        let mut windows: Vec<(i64, i64)> = Vec::new();
        for (from, to) in &self.stretches {
            match windows.last_mut() {
                Some((_, end)) if from - *end < NEAR => *end = *to,
                _ => windows.push((*from, *to)),
            }
        }
        windows
    }

    /// Takes the next record, in the order of offsets.
    fn take(&mut self, offset: i64) {
        while let Some((from, to)) = self.stretches.get(self.next) {
            match offset {
                offset if offset >= *to => self.next += 1,
                offset if offset < *from => return,
                _ => break,
            }
        }
        if self.next < self.stretches.len() {
            self.records.count += 1;
            if self.records.first.len() < NAMED_MAX {
                self.records.first.push(offset);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

    use super::*;
    use crate::kafka::connection::KafkaConnection;

    const WITHIN: Duration = Duration::from_secs(10);

    #[test]
    fn stretches_are_looked_at_and_what_is_near_between_them_is_read_over() {
        let stretches = vec![(0, 3), (5, 9), (700, 800), (1_800, 1_801)];
        let mut looked = Looked::at(stretches, 7);
        assert_eq!(looked.records.deleted, 3 + 2);
        assert_eq!(looked.windows(), [(7, 800), (1_800, 1_801)]);
        for offset in [7, 10, 699, 700, 799, 1_800] {
            looked.take(offset);
        }
        assert_eq!(looked.records.count, 4);
        assert_eq!(looked.records.first, [7, 700, 799, 1_800]);
    }

    #[tokio::test]
    async fn records_are_told_from_offsets_without_any() {
        let cluster = MockCluster::new(1).expect("a stand-in cluster");
        cluster.create_topic("t", 1, 1).expect("it is created");
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap_servers())
            .create()
            .expect("a producer");
        for _ in 0..2_000 {
            let record = BaseRecord::to("t").partition(0).key("").payload("value");
            producer.send(record).expect("it is queued");
        }
        producer.flush(WITHIN).expect("all is sent");
        let connection = KafkaConnection::plain(&[cluster.bootstrap_servers()]);
        let admin = Admin::new(&connection, WITHIN).expect("a client");
        let cluster_id = admin.cluster_id().expect("it answers");
        let topics = admin.topics(&["t"]).expect("it answers");
        let id = topics[0].1.as_ref().expect("it is there").id.as_deref();
        let source = Source::of_group(connection, "", &["t".to_owned()]);
        let ask = async |origin: &str| {
            let at = TopicPartition::new("t", 0);
            // The last offsets are beyond the end, where there is none.
            let stretches = vec![(3, 5), (8, 9), (1_999, 2_010)];
            records(&source, origin, &at, stretches, WITHIN).await
        };
        let found = ask(&origin_of(&cluster_id, "t", id)).await;
        let expected = Records {
            count: 4,
            first: vec![3, 4, 8, 1_999],
            deleted: 0,
        };
        assert_eq!(found.expect("it answers"), expected);
        let refused = ask(&origin_of(&cluster_id, "t", Some("another"))).await;
        let refused = refused.expect_err("another topic").to_string();
        assert!(refused.contains("is another one by now"), "{refused}");
    }
}
