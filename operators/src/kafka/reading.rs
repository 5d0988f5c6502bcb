//! Reads a topic, or ranges of it, once, as somebody who is no member of a group and commits nothing.
//!
//! For commands that look at few records; the laned consumer is for many. Message by message, so that
//! the end of a partition can be seen (`enable.partition.eof` loses data in batches only).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use isobar_topology::clock::{self, Instant};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::admin::{Admin, PartitionAnswer, Spec, TopicPartition};
use super::asked::{Asked, let_go};
use super::connection::KafkaConnection;
use super::error::{Error, code_of};
use super::log::Asking;

/// Bytes of a partition that are fetched at a time by who looks here and there; a larger batch comes whole.
const FETCHED_MAX: &str = "131072";

/// Bytes of a partition beyond what is wanted of it after which no more are fetched: to hold one costs more
/// time than a few records do.
const BEYOND_MAX: usize = 1 << 20;

/// How long one look for a record takes.
const POLL: Duration = Duration::from_millis(100);

/// Hands out every record of a topic up to its present end, those of each partition in order.
///
/// Waits for the brokers; fails when nothing comes for `within`, first their word about where the topic
/// ends, or when the topic does not exist.
pub(crate) fn read_topic(
    connection: &KafkaConnection,
    topic: &str,
    within: Duration,
    mut each: impl FnMut(&BorrowedMessage<'_>),
) -> Result<(), Error> {
    let began = clock::now();
    let ranges = bounds(connection, topic, within)?;
    let each = |record: &BorrowedMessage<'_>| {
        each(record);
        true
    };
    read_since(began, connection, topic, ranges, within, each)
}

/// Hands out the records of a half-open range of offsets of each partition, those of one partition in
/// order, until `each` says of a partition that it was the last.
///
/// Waits for the brokers; fails when nothing comes for `within`.
pub(crate) fn read_ranges(
    connection: &KafkaConnection,
    topic: &str,
    ranges: BTreeMap<i32, (i64, i64)>,
    within: Duration,
    each: impl FnMut(&BorrowedMessage<'_>) -> bool,
) -> Result<(), Error> {
    read_since(clock::now(), connection, topic, ranges, within, each)
}

/// Hands out the records of some rounds of ranges, one round after the other, by one client that fetches
/// little at a time: for whoever looks here and there at many records. `each` says whether the range goes on;
/// a round is taken when those before it are over.
///
/// Waits and fails as [`read_ranges`].
pub(crate) fn read_rounds(
    connection: &KafkaConnection,
    topic: &str,
    rounds: impl IntoIterator<Item = BTreeMap<i32, (i64, i64)>>,
    within: Duration,
    mut each: impl FnMut(&BorrowedMessage<'_>) -> bool,
) -> Result<(), Error> {
    let client = reader_of(connection, |config| {
        // Not fewer messages as well: of several partitions one would wait for the other, 1 s each time.
        let _ = config.set("fetch.message.max.bytes", FETCHED_MAX);
    })?;
    let late = || Error::TimedOut {
        what: format!("reading topic {topic}"),
        within,
        brokers: Some(connection.brokers.join(", ")),
        cause: client.context().failure(),
    };
    let mut read = Ok(());
    for mut round in rounds {
        round.retain(|_, (start, end)| start < end);
        let until = clock::now() + within;
        let whole = read_with(&client, topic, round, until, within, &mut each);
        read = whole.and_then(|whole| whole.then_some(()).ok_or_else(late));
        if read.is_err() {
            break;
        }
    }
    let_go(client);
    read
}

/// The same as [`read_ranges`], of brokers that are waited for since a moment.
fn read_since(
    began: Instant,
    connection: &KafkaConnection,
    topic: &str,
    mut open: BTreeMap<i32, (i64, i64)>,
    within: Duration,
    each: impl FnMut(&BorrowedMessage<'_>) -> bool,
) -> Result<(), Error> {
    open.retain(|_, (start, end)| start < end);
    if open.is_empty() {
        return Ok(());
    }
    let client = reader(connection)?;
    let late = || Error::TimedOut {
        what: format!("reading topic {topic}"),
        within,
        brokers: Some(connection.brokers.join(", ")),
        cause: client.context().failure(),
    };
    let read = read_with(&client, topic, open, began + within, within, each);
    let read = read.and_then(|whole| whole.then_some(()).ok_or_else(late));
    let_go(client);
    read
}

/// Returns whether all of it came: false when nothing of what is still open did up to a moment, and later on
/// for `within`. What comes beyond the end of another one is no sign of life, and much of it is fetched no more.
fn read_with(
    client: &BaseConsumer<Asking>,
    topic: &str,
    mut open: BTreeMap<i32, (i64, i64)>,
    mut deadline: Instant,
    within: Duration,
    mut each: impl FnMut(&BorrowedMessage<'_>) -> bool,
) -> Result<bool, Error> {
    let mut list = TopicPartitionList::with_capacity(open.len());
    for (partition, (start, _)) in &open {
        let offset = Offset::Offset(*start);
        let added = list.add_partition_offset(topic, *partition, offset);
        added.map_err(|error| failed(topic, &error))?;
    }
    client
        .assign(&list)
        .map_err(|error| failed(topic, &error))?;
    let (mut beyond, mut held) = (BTreeMap::new(), TopicPartitionList::new());
    while !open.is_empty() {
        let left = deadline.saturating_duration_since(clock::now());
        match client.poll(POLL.min(left)) {
            None if left.is_zero() => return Ok(false),
            None => continue,
            Some(Ok(record)) => {
                let (partition, next) = (record.partition(), record.offset() + 1);
                let Some((_, end)) = open.get(&partition).copied() else {
                    let beyond: &mut usize = beyond.entry(partition).or_default();
                    let before = *beyond;
                    *beyond += record.payload_len();
                    if before <= BEYOND_MAX && *beyond > BEYOND_MAX {
                        let _ = held.add_partition(topic, partition);
                        client.pause(&held).map_err(|error| failed(topic, &error))?;
                    }
                    if left.is_zero() {
                        return Ok(false);
                    }
                    continue;
                };
                let goes_on = record.offset() >= end || each(&record);
                if next >= end || !goes_on {
                    let _ = open.remove(&partition);
                }
            }
            // What is left of it holds no records: markers of transactions, or aborted ones.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                if open.remove(&partition).is_none() {
                    continue;
                }
            }
            // Of several brokers some may be away; when none answers, the time ends.
            Some(Err(error)) if is_passing(&error) => continue,
            Some(Err(error)) => return Err(failed(topic, &error)),
        }
        deadline = clock::now() + within;
    }
    // A next round begins with none held. For those that are not, this would throw away what is on its way.
    if held.count() > 0 {
        client
            .resume(&held)
            .map_err(|error| failed(topic, &error))?;
    }
    Ok(true)
}

/// Looks for single records.
pub(crate) struct Looking {
    client: BaseConsumer<Asking>,
    brokers: String,
}

impl Looking {
    /// Contacts nobody yet.
    pub(crate) fn of(connection: &KafkaConnection) -> Result<Self, Error> {
        let client = reader_of(connection, |config| {
            // The first one is enough.
            let _ = config.set("queued.min.messages", "1");
        })?;
        Ok(Self {
            client,
            brokers: connection.brokers.join(", "),
        })
    }

    /// Whether a partition holds a record at an offset for whoever reads as the connection says: not where
    /// there is a marker of a transaction, an aborted record, or a gap of compaction, and not outside of
    /// the log as it is at this moment.
    ///
    /// Waits for the brokers; fails when nothing comes for `within`.
    pub(crate) fn has_record(
        &self,
        partition: &TopicPartition,
        offset: i64,
        within: Duration,
    ) -> Result<bool, Error> {
        let (topic, number) = (&*partition.topic, partition.partition);
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(topic, number, Offset::Offset(offset))
            .and_then(|()| self.client.assign(&list))
            .map_err(|error| failed(topic, &error))?;
        let deadline = clock::now() + within;
        loop {
            match self.client.poll(POLL.min(within)) {
                Some(Ok(record)) => return Ok(record.offset() == offset),
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(false),
                Some(Err(error)) if code_of(&error) == RDKafkaErrorCode::AutoOffsetReset => {
                    return Ok(false);
                }
                _ if clock::now() > deadline => {
                    return Err(Error::TimedOut {
                        what: format!("reading {topic}/{number} at {offset}"),
                        within,
                        brokers: Some(self.brokers.clone()),
                        cause: self.client.context().failure(),
                    });
                }
                _ => {}
            }
        }
    }
}

/// Whether an error passes, or means nothing to who only reads.
pub(super) fn is_passing(error: &KafkaError) -> bool {
    matches!(
        code_of(error),
        RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::OperationTimedOut
            // Nothing is asked of the group that the client has to name.
            | RDKafkaErrorCode::GroupAuthorizationFailed
    )
}

pub(super) fn reader(connection: &KafkaConnection) -> Result<BaseConsumer<Asking>, Error> {
    reader_of(connection, |_| {})
}

fn reader_of(
    connection: &KafkaConnection,
    set: impl FnOnce(&mut ClientConfig),
) -> Result<BaseConsumer<Asking>, Error> {
    connection.within_reach()?;
    let mut config = connection.client_config();
    let _ = config
        // Needed to assign partitions by hand. Nothing is joined, and nothing committed.
        .set("group.id", "isobar.reading")
        .set("enable.partition.eof", "true")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error");
    set(&mut config);
    config
        .create_with_context(Asking::default())
        .map_err(|source| Error::client(&config, source))
}

/// The first offset and the end of each partition.
fn bounds(
    connection: &KafkaConnection,
    topic: &str,
    within: Duration,
) -> Result<BTreeMap<i32, (i64, i64)>, Error> {
    let deadline = clock::now() + within;
    let admin = Arc::new(Admin::new(connection, within)?);
    let late = || admin.no_answer(format!("asking where topic {topic} ends"));
    let topics = [topic.to_owned()];
    let partitions = Asked::of(Arc::clone(&admin), move |admin| admin.partitions(&topics))?;
    let (partitions, problems) = partitions.by(deadline, late)?;
    if let Some(problem) = problems.into_iter().next() {
        return Err(Error::Config(problem));
    }
    let asked = [Spec::Earliest, Spec::Latest].map(|spec| {
        let partitions = partitions.clone();
        Asked::of(Arc::clone(&admin), move |admin| {
            admin.offsets(&partitions, spec)
        })
    });
    let [starts, ends] = asked.map(|asked| asked?.by(deadline, late));
    let (starts, ends) = (known(starts?, topic)?, known(ends?, topic)?);
    let_go(admin);
    let bounds = starts.into_iter().filter_map(|(partition, start)| {
        let end = ends.get(&partition)?;
        Some((partition, (start, *end)))
    });
    Ok(bounds.collect())
}

fn known(answers: Vec<PartitionAnswer<i64>>, topic: &str) -> Result<BTreeMap<i32, i64>, Error> {
    let each = answers.into_iter();
    each.map(|(TopicPartition { partition, .. }, answer)| match answer {
        Ok(offset) => Ok((partition, offset)),
        Err(code) => Err(Error::Refused {
            what: format!("asking for offsets of topic {topic}, partition {partition}"),
            code,
            text: code.to_string(),
        }),
    })
    .collect()
}

pub(super) fn failed(topic: &str, error: &KafkaError) -> Error {
    Error::Refused {
        what: format!("reading topic {topic}"),
        code: code_of(error),
        text: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

    use super::*;

    #[test]
    fn a_topic_is_read_to_its_end_once() {
        let cluster = MockCluster::new(1).expect("a stand-in cluster");
        cluster.create_topic("t", 3, 1).expect("it is created");
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap_servers())
            .create()
            .expect("a producer");
        for number in 0..10 {
            let value = format!("{number}");
            // The last partition stays empty.
            let record = BaseRecord::to("t")
                .partition(number % 2)
                .key("")
                .payload(&value);
            producer.send(record).expect("it is queued");
        }
        producer
            .flush(Duration::from_secs(10))
            .expect("all is sent");
        let connection = serde_json::json!({ "brokers": cluster.bootstrap_servers() });
        let connection = serde_json::from_value(connection).expect("well formed");
        let mut read: Vec<String> = Vec::new();
        read_topic(&connection, "t", Duration::from_secs(10), |record| {
            let payload = record.payload().expect("a value");
            read.push(String::from_utf8_lossy(payload).into_owned());
        })
        .expect("it is read");
        read.sort();
        assert_eq!(read.concat(), "0123456789");

        let looking = Looking::of(&connection).expect("a client");
        let has = |partition, offset| {
            let partition = TopicPartition::new("t", partition);
            let has = looking.has_record(&partition, offset, Duration::from_secs(10));
            has.expect("asked")
        };
        assert!(has(0, 0) && has(1, 4));
        assert!(!has(0, 5) && !has(2, 0));
    }
}
