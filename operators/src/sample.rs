//! Some records of a topic, for whoever wants to look at them: read without a group, nothing committed.
//!
//! A record that was sampled, or made up, can be handed out to a rehearsal as its spout would.

mod spread;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use isobar_topology::{ArenaBuilder, Graph, Partition, SourceBatch, clock};
use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Headers};

use crate::kafka::admin::{Admin, TopicPartition};
use crate::kafka::connection::KafkaConnection;
use crate::kafka::error::Error;
use crate::kafka::read_ranges;
use crate::lag::Source;
use crate::range::{self, Place, Selection};
use crate::spouts;

pub use spread::spread;

/// A record on its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sampled {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Its timestamp in ms since 1970, −1 when it has none.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; `None` for a tombstone.
    pub payload: Option<Vec<u8>>,
    /// Its headers, in order.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// The hash of cluster and topic that is part of document ids.
    pub source: u64,
}

/// Which records are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The newest.
    Newest,
    /// The first in the range between two places.
    First(Place, Place),
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// The records by time, then by topic, partition and offset.
    pub records: Vec<Sampled>,
    /// What was asked for and is not there, one sentence each.
    pub narrowed: Vec<String>,
}

/// Half-open ranges of offsets, by partition.
type Ranges = BTreeMap<i32, (i64, i64)>;

/// Reads up to `count` records of the partitions that are meant. Offsets without a record, such as
/// markers of transactions, may make it fewer than there are.
///
/// Waits for the brokers, at most `within` for each answer. Fails when they do not answer, when a topic
/// does not exist, or when `selection` names what is not there.
pub fn sample(
    source: &Source,
    selection: &Selection,
    which: Which,
    count: usize,
    within: Duration,
) -> Result<Sample, Error> {
    let connection = without_a_group(source);
    let admin = Admin::new(&connection, within)?;
    let (all, problems) = admin.partitions(&source.topics)?;
    if let Some(problem) = problems.into_iter().next() {
        return Err(Error::Config(problem));
    }
    let partitions = selection.of(&all).map_err(Error::Config)?;
    if partitions.is_empty() {
        return Err(Error::Config(format!(
            "there is no topic {}",
            source.topics.join(", ")
        )));
    }
    let sources = source_hashes(&admin, &partitions)?;
    read(
        &connection,
        &admin,
        &partitions,
        &sources,
        (which, count),
        within,
    )
}

/// The connection of a source, for who is no member of its group.
pub(crate) fn without_a_group(source: &Source) -> KafkaConnection {
    let mut connection = source.connection().clone();
    // It is about members, and refused without the protocol that it goes with.
    let _ = connection.options.remove("group.remote.assignor");
    connection
}

fn read(
    connection: &KafkaConnection,
    admin: &Admin,
    partitions: &[TopicPartition],
    sources: &BTreeMap<String, u64>,
    (which, count): (Which, usize),
    within: Duration,
) -> Result<Sample, Error> {
    let mut best = Best {
        count,
        newest: which == Which::Newest,
        records: BTreeMap::new(),
    };
    let mut narrowed = Vec::new();
    for (topic, ranges) in ranges(admin, partitions, which, count, &mut narrowed)? {
        let source = sources.get(&*topic).copied().unwrap_or_default();
        let mut seen = BTreeMap::new();
        read_ranges(connection, &topic, ranges, within, |record| {
            best.offer(sampled(record, source));
            let seen: &mut usize = seen.entry(record.partition()).or_default();
            *seen += 1;
            *seen < count
        })?;
    }
    Ok(Sample {
        records: best.records.into_values().collect(),
        narrowed,
    })
}

/// The offsets of each partition among which what is meant is, by topic.
fn ranges(
    admin: &Admin,
    partitions: &[TopicPartition],
    which: Which,
    count: usize,
    narrowed: &mut Vec<String>,
) -> Result<BTreeMap<Arc<str>, Ranges>, Error> {
    let mut by_topic: BTreeMap<Arc<str>, Ranges> = BTreeMap::new();
    let mut add = |partition: TopicPartition, range| {
        let of_topic = by_topic.entry(partition.topic).or_default();
        let _ = of_topic.insert(partition.partition, range);
    };
    match which {
        Which::Newest => {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            for (partition, log) in range::logs(admin, partitions)? {
                let start = log.start.max(log.end.saturating_sub(count));
                add(partition, (start, log.end));
            }
        }
        Which::First(from, to) => {
            for range in range::ranges(admin, partitions, from, to, clock::unix_ms())? {
                let name = format!("{}/{}", range.partition.topic, range.partition.partition);
                let less = range.narrowed.into_iter();
                narrowed.extend(less.map(|text| format!("{name}: {text}")));
                add(range.partition, (range.from, range.to));
            }
        }
    }
    Ok(by_topic)
}

/// The hash of each topic that is part of document ids, as a spout has it.
fn source_hashes(
    admin: &Admin,
    partitions: &[TopicPartition],
) -> Result<BTreeMap<String, u64>, Error> {
    let cluster_id = admin.cluster_id()?;
    let names: BTreeSet<&str> = partitions.iter().map(|one| &*one.topic).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let ids: BTreeMap<String, String> = match admin.topics(&names) {
        Err(error) if error.is_unsupported() => BTreeMap::new(),
        Err(error) => return Err(error),
        Ok(answers) => answers
            .into_iter()
            .filter_map(|(name, topic)| Some((name, topic.ok()?.id?)))
            .collect(),
    };
    let hash = |name: &&str| {
        let id = ids.get(*name).map(String::as_str).unwrap_or_default();
        ((*name).to_owned(), spouts::source(&cluster_id, name, id))
    };
    Ok(names.iter().map(hash).collect())
}

/// Where a record stands among others: time, topic, partition, offset.
type Rank = (i64, String, i32, i64);

/// The records that are kept while more come.
struct Best {
    count: usize,
    newest: bool,
    records: BTreeMap<Rank, Sampled>,
}

impl Best {
    fn offer(&mut self, record: Sampled) {
        let topic = record.topic.clone();
        let rank = (record.timestamp, topic, record.partition, record.offset);
        let _ = self.records.insert(rank, record);
        if self.records.len() > self.count {
            let _ = match self.newest {
                true => self.records.pop_first(),
                false => self.records.pop_last(),
            };
        }
    }
}

pub(crate) fn sampled(record: &BorrowedMessage<'_>, source: u64) -> Sampled {
    let headers = record.headers().into_iter().flat_map(Headers::iter);
    let headers = headers.map(|header| {
        let value = header.value.map(<[u8]>::to_vec);
        (header.key.as_bytes().to_vec(), value)
    });
    Sampled {
        topic: record.topic().to_owned(),
        partition: record.partition(),
        offset: record.offset(),
        // As the spout takes it: producers can write negative times.
        timestamp: record.timestamp().to_millis().map_or(-1, |ms| ms.max(-1)),
        key: record.key().map(<[u8]>::to_vec),
        payload: record.payload().map(<[u8]>::to_vec),
        headers: headers.collect(),
        source,
    }
}

impl Sampled {
    /// A record of a topic of which nothing else is known: its ids are those of a cluster and a topic
    /// that have no ids themselves.
    pub fn of_topic(topic: &str) -> Self {
        Self {
            topic: topic.to_owned(),
            source: spouts::source("", topic, ""),
            ..Self::default()
        }
    }

    /// The record as the spout of this id hands it out.
    pub fn batch(&self, graph: &Graph, spout: &str) -> SourceBatch {
        let partition = Partition::new(self.topic.as_str().into(), self.partition, self.source);
        let mut arena = ArenaBuilder::new(partition, 1, 0);
        let headers = self.headers.iter();
        arena.push(
            self.offset,
            self.timestamp,
            self.key.as_deref(),
            self.payload.as_deref(),
            headers.map(|(name, value)| (name.as_slice(), value.as_deref())),
        );
        let policy = graph.policy(&spouts::tombstone_policy(spout));
        let dropped = policy.filter(|_| self.payload.is_none());
        SourceBatch {
            arena: arena.finish(),
            dropped: dropped.map(|policy| (0, policy)).into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

    use super::*;

    const WITHIN: Duration = Duration::from_secs(10);

    #[test]
    fn the_newest_are_found_over_all_partitions_and_ranges_start_where_they_are_told() {
        let cluster = MockCluster::new(1).expect("a stand-in cluster");
        cluster.create_topic("t", 3, 1).expect("it is created");
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap_servers())
            .create()
            .expect("a producer");
        for number in 0..40 {
            let value = number.to_string();
            // The last partition stays empty, and the first has the newest ones.
            let record = BaseRecord::to("t")
                .partition(i32::from(number < 20))
                .timestamp(1_000 + number)
                .key("k")
                .payload(&value);
            producer.send(record).expect("it is queued");
        }
        producer.flush(WITHIN).expect("all is sent");
        let brokers = [cluster.bootstrap_servers()];
        let source = Source::of_group(KafkaConnection::plain(&brokers), "", &["t".to_owned()]);
        let connection = source.connection();
        let admin = Admin::new(connection, WITHIN).expect("a client");
        let all = [0, 1, 2].map(|number| TopicPartition::new("t", number));
        // The stand-in knows no ids of topics, so these are not asked for.
        let hashes = BTreeMap::from([("t".to_owned(), 7)]);
        let found = |which, count, partitions: &[TopicPartition]| -> Vec<i64> {
            let sample = read(
                connection,
                &admin,
                partitions,
                &hashes,
                (which, count),
                WITHIN,
            );
            let records = sample.expect("it is read").records;
            assert!(records.iter().all(|one| one.source == 7));
            let times = records.iter().map(|record| record.timestamp);
            times.map(|time| time - 1_000).collect()
        };
        assert_eq!(found(Which::Newest, 3, &all), [37, 38, 39]);
        assert_eq!(found(Which::Newest, 2, &all[1..2]), [18, 19]);
        assert_eq!(found(Which::Newest, 100, &all).len(), 40);
        let from = |from, to| Which::First(Place::Offset(from), Place::Offset(to));
        assert_eq!(found(from(5, 7), 3, &all), [5, 6, 25]);
        assert_eq!(found(from(5, 20), 2, &all), [5, 6]);
        let problem = sample(
            &Source::of_group(KafkaConnection::plain(&brokers), "", &["none".to_owned()]),
            &Selection::default(),
            Which::Newest,
            1,
            WITHIN,
        );
        let problem = problem.expect_err("no such topic").to_string();
        let expected =
            "topic none: there is no such topic or partition, or the user may not see it";
        assert!(problem.starts_with(expected), "{problem}");
    }
}
