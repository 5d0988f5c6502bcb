//! Topics and records of a running broker: what a test sends and reads back by itself, apart from the
//! program under test.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::{records, wait};

/// How long one request may take. Local brokers answer in milliseconds; a broker that has just
/// started, on a machine that builds something, in seconds.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// How long a producer may take to hand over what it was given: 500,000 records take seconds.
const FLUSH_LIMIT: Duration = Duration::from_secs(120);

/// With several requests under way librdkafka takes the first one to a partition for written when the second one
/// is, though a broker that knows nothing of the producer takes any first sequence (KAFKA-15591).
pub(super) const ONE_AT_A_TIME: (&str, &str) = ("max.in.flight.requests.per.connection", "1");

/// The brokers' `default.replication.factor`.
const BROKERS_CHOICE: TopicReplication<'static> = TopicReplication::Fixed(-1);

/// A record to send. Absent parts are absent in Kafka too: a value of `None` is a tombstone.
#[derive(Debug, Clone, Default)]
pub struct Sent {
    /// The partition; by the key, or by turns, when absent.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Option<Vec<u8>>,
    /// Unix milliseconds; the time of sending when absent.
    pub timestamp: Option<i64>,
}

/// A record that was read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The partition it was read from.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value; `None` for a tombstone.
    pub value: Option<Vec<u8>>,
}

/// A client of one cluster. Cheap to clone; every call is a connection of its own.
#[derive(Debug, Clone)]
pub struct KafkaClient {
    brokers: String,
}

impl KafkaClient {
    pub(super) fn new(brokers: String) -> Self {
        Self { brokers }
    }

    /// The value for `bootstrap.servers`. Stays the same over restarts.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Creates a topic, with a replica on each node, and waits until brokers lead all its partitions. `settings` are the topic's
    /// own, such as `("max.message.bytes", "30000000")`.
    pub fn create_topic(
        &self,
        topic: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.config(&[]).create()?;
        let mut new = NewTopic::new(topic, partitions, BROKERS_CHOICE);
        for (name, value) in settings {
            new = new.set(name, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(REQUEST_LIMIT));
        let results = blocking(admin.create_topics([&new], &options))??;
        for result in results {
            let _ = result
                .map_err(|(topic, code)| anyhow::anyhow!("cannot create topic {topic}: {code}"))?;
        }
        wait::until(&format!("leaders of topic {topic}"), REQUEST_LIMIT, || {
            let metadata = admin.inner().fetch_metadata(Some(topic), REQUEST_LIMIT)?;
            let topic = metadata
                .topics()
                .first()
                .context("the topic is not known yet")?;
            let led = topic
                .partitions()
                .iter()
                .filter(|p| p.leader() >= 0 && p.error().is_none())
                .count();
            if led != usize::try_from(partitions)? {
                bail!("{led} of {partitions} partitions have a leader");
            }
            Ok(())
        })
    }

    /// Deletes a topic.
    pub fn delete_topic(&self, topic: &str) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.config(&[]).create()?;
        let options = AdminOptions::new().operation_timeout(Some(REQUEST_LIMIT));
        for result in blocking(admin.delete_topics(&[topic], &options))?? {
            let _ = result
                .map_err(|(topic, code)| anyhow::anyhow!("cannot delete topic {topic}: {code}"))?;
        }
        Ok(())
    }

    /// Sends the JSON records of [`records::json`] with these numbers, over `partitions` partitions by
    /// turns (record N goes to partition N modulo `partitions`), with their key and time. Returns
    /// when the broker has acknowledged all of them. 500,000 records take a few seconds.
    pub fn produce_json(
        &self,
        topic: &str,
        partitions: i32,
        numbers: std::ops::Range<u64>,
    ) -> Result<()> {
        let partitions = u64::try_from(partitions)?;
        let records = numbers.map(|number| Sent {
            partition: i32::try_from(number % partitions).ok(),
            key: Some(records::key(number).into_bytes()),
            value: Some(records::json(number)),
            timestamp: Some(records::time(number)),
        });
        self.produce(topic, records)
    }

    /// Sends records in this order and returns when the broker has acknowledged all of them.
    pub fn produce(&self, topic: &str, records: impl IntoIterator<Item = Sent>) -> Result<()> {
        // As by default.
        self.produce_in_batches(topic, 10_000, records)
    }

    /// The same in batches of so many records at most: a broker gives whole ones to who reads.
    pub fn produce_in_batches(
        &self,
        topic: &str,
        most: u32,
        records: impl IntoIterator<Item = Sent>,
    ) -> Result<()> {
        let most = most.to_string();
        let settings = [
            ("batch.num.messages", most.as_str()),
            ("acks", "all"),
            ("enable.idempotence", "true"),
            ONE_AT_A_TIME,
            ("linger.ms", "20"),
            ("batch.size", "500000"),
            ("queue.buffering.max.kbytes", "65536"),
            ("message.max.bytes", "50000000"),
        ];
        let producer: BaseProducer<Deliveries> = self
            .config(&settings)
            .create_with_context(Deliveries::default())?;
        let mut sent = 0;
        for record in records {
            send(&producer, topic, &record)?;
            sent += 1;
        }
        producer
            .flush(FLUSH_LIMIT)
            .context("the broker did not acknowledge all records in time")?;
        let deliveries = producer.context();
        if let Some(error) = deliveries
            .first_error
            .lock()
            .expect("no holder panics")
            .take()
        {
            return Err(error).context("a record was not acknowledged");
        }
        let acknowledged = deliveries.acknowledged.load(Ordering::Acquire);
        if acknowledged != sent {
            bail!("sent {sent} records, {acknowledged} were acknowledged");
        }
        Ok(())
    }

    /// Sends records in one transaction, then commits or aborts it. Either way its marker takes an
    /// offset in every partition that was written to.
    pub fn produce_transaction(
        &self,
        topic: &str,
        records: impl IntoIterator<Item = Sent>,
        commit: bool,
    ) -> Result<()> {
        self.open_transaction(topic, records)?.end(commit)
    }

    /// Sends records in a transaction that stays open. Returns when the broker has all of them.
    pub fn open_transaction(
        &self,
        topic: &str,
        records: impl IntoIterator<Item = Sent>,
    ) -> Result<Transaction> {
        let settings = [("transactional.id", "testkit")];
        let producer: BaseProducer<Deliveries> = self
            .config(&settings)
            .create_with_context(Deliveries::default())?;
        producer.init_transactions(REQUEST_LIMIT)?;
        producer.begin_transaction()?;
        for record in records {
            send(&producer, topic, &record)?;
        }
        // An abort would take back what was not sent yet.
        producer.flush(FLUSH_LIMIT)?;
        Ok(Transaction(producer))
    }

    /// Deletes the records of a partition before an offset.
    pub fn delete_records(&self, topic: &str, partition: i32, before: i64) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.config(&[]).create()?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(before))?;
        let options = AdminOptions::new().operation_timeout(Some(REQUEST_LIMIT));
        let deleted = blocking(admin.delete_records(&list, &options))??;
        for element in deleted.elements() {
            element.error()?;
        }
        Ok(())
    }

    /// The end offset of each partition of a topic, in order of partitions.
    pub fn end_offsets(&self, topic: &str) -> Result<Vec<i64>> {
        let bounds = self.bounds(topic)?;
        Ok(bounds.into_iter().map(|(_, end)| end).collect())
    }

    /// The first offset that exists and the end of each partition of a topic, in order of partitions.
    pub fn bounds(&self, topic: &str) -> Result<Vec<(i64, i64)>> {
        let consumer: BaseConsumer = self.config(&[]).create()?;
        bounds(&consumer, topic)
    }

    /// The names of all consumer groups, sorted.
    pub fn groups(&self) -> Result<Vec<String>> {
        let consumer: BaseConsumer = self.config(&[]).create()?;
        let list = consumer.fetch_group_list(None, REQUEST_LIMIT)?;
        let mut names: Vec<String> = list.groups().iter().map(|g| g.name().to_owned()).collect();
        names.sort();
        Ok(names)
    }

    /// What a consumer group has committed for each partition of a topic; `None` where nothing is.
    pub fn committed(&self, group: &str, topic: &str) -> Result<Vec<Option<i64>>> {
        let consumer: BaseConsumer = self.config(&[("group.id", group)]).create()?;
        let mut asked = TopicPartitionList::new();
        for partition in 0..bounds(&consumer, topic)?.len() {
            let _ = asked.add_partition(topic, i32::try_from(partition)?);
        }
        let committed = commits(&consumer, &asked)?;
        let offset = |offset| {
            if let Offset::Offset(offset) = offset {
                Some(offset)
            } else {
                None
            }
        };
        Ok(committed
            .elements()
            .iter()
            .map(|element| offset(element.offset()))
            .collect())
    }

    /// The text that a consumer group has stored with its commit for a partition; empty without one.
    pub fn commit_text(&self, group: &str, topic: &str, partition: i32) -> Result<String> {
        let consumer: BaseConsumer = self.config(&[("group.id", group)]).create()?;
        let mut asked = TopicPartitionList::new();
        let _ = asked.add_partition(topic, partition);
        let committed = commits(&consumer, &asked)?;
        let elements = committed.elements();
        let element = elements.first().context("the answer is empty")?;
        Ok(element.metadata().to_owned())
    }

    /// Commits an offset with a text for a group that has no members.
    pub fn commit(
        &self,
        group: &str,
        topic: &str,
        partition: i32,
        offset: i64,
        text: &str,
    ) -> Result<()> {
        let consumer: BaseConsumer = self.config(&[("group.id", group)]).create()?;
        let mut list = TopicPartitionList::new();
        let mut element = list.add_partition(topic, partition);
        element.set_offset(Offset::Offset(offset))?;
        element.set_metadata(text);
        Ok(consumer.commit(&list, CommitMode::Sync)?)
    }

    /// Reads a topic from its beginning to its end as of now, without a group. In order within each
    /// partition. Fails when it does not get there within `limit`.
    pub fn consume_all(&self, topic: &str, limit: Duration) -> Result<Vec<Received>> {
        // EOF tells the end where the last offsets hold no record (compaction, control records).
        let settings = [
            ("group.id", "testkit"),
            ("enable.auto.commit", "false"),
            ("enable.partition.eof", "true"),
        ];
        let consumer: BaseConsumer = self.config(&settings).create()?;
        let ends = bounds(&consumer, topic)?;
        let mut assigned = TopicPartitionList::new();
        for partition in 0..ends.len() {
            assigned.add_partition_offset(topic, i32::try_from(partition)?, Offset::Beginning)?;
        }
        consumer.assign(&assigned)?;
        let mut received = Vec::new();
        // By number: the end of one that grows is told again.
        let mut open: BTreeSet<i32> = (0..i32::try_from(ends.len())?).collect();
        let deadline = wait::now() + limit;
        while !open.is_empty() {
            if wait::now() >= deadline {
                bail!(
                    "read {} records of topic {topic}, not all, within {limit:?}",
                    received.len()
                );
            }
            match consumer.poll(Duration::from_millis(100)) {
                None => {}
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    let _ = open.remove(&partition);
                }
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(record)) => received.push(Received {
                    partition: record.partition(),
                    offset: record.offset(),
                    key: record.key().map(<[u8]>::to_vec),
                    value: record.payload().map(<[u8]>::to_vec),
                }),
            }
        }
        Ok(received)
    }

    /// Fails unless the answer names so many brokers and all their partitions have all replicas in sync.
    pub(super) fn check_answers(&self, brokers: usize, limit: Duration) -> Result<()> {
        let consumer: BaseConsumer = self.config(&[]).create()?;
        let metadata = consumer.fetch_metadata(None, limit)?;
        let there = metadata.brokers().len();
        if there != brokers {
            bail!("the cluster knows {there} of {brokers} brokers");
        }
        for topic in metadata.topics() {
            for partition in topic.partitions() {
                let (in_sync, all) = (partition.isr().len(), partition.replicas().len());
                if in_sync != all || partition.leader() < 0 {
                    let (name, number) = (topic.name(), partition.id());
                    bail!("{name}/{number}: {in_sync} of {all} replicas are in sync");
                }
            }
        }
        Ok(())
    }

    pub(super) fn config(&self, settings: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        let _ = config
            .set("bootstrap.servers", &self.brokers)
            .set("broker.address.family", "v4")
            // A broker that has just been started again is there within milliseconds, not within 10 s.
            .set("reconnect.backoff.max.ms", "200");
        for (name, value) in settings {
            let _ = config.set(*name, *value);
        }
        config
    }
}

/// Counts what the broker has acknowledged and keeps the first error.
#[derive(Default)]
struct Deliveries {
    acknowledged: AtomicU64,
    first_error: Mutex<Option<KafkaError>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => drop(self.acknowledged.fetch_add(1, Ordering::AcqRel)),
            Err((error, _)) => {
                let mut first = self.first_error.lock().expect("no holder panics");
                let _ = first.get_or_insert_with(|| error.clone());
            }
        }
    }
}

/// A transaction that is open. One that is dropped stays open until the broker gives it up, after a minute.
pub struct Transaction(BaseProducer<Deliveries>);

impl Transaction {
    /// Commits or aborts it.
    pub fn end(self, commit: bool) -> Result<()> {
        match commit {
            true => self.0.commit_transaction(REQUEST_LIMIT)?,
            false => self.0.abort_transaction(REQUEST_LIMIT)?,
        }
        Ok(())
    }
}

fn send(producer: &BaseProducer<Deliveries>, topic: &str, record: &Sent) -> Result<()> {
    let mut next: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic);
    next.partition = record.partition;
    next.key = record.key.as_deref();
    next.payload = record.value.as_deref();
    next.timestamp = record.timestamp;
    loop {
        match producer.send(next) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                producer.poll(Duration::from_millis(100));
                next = back;
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

/// The commits of the consumer's group. A new group has no coordinator until its partition of
/// `__consumer_offsets` has a leader: those three answers mean "not yet" (Kafka's protocol calls them
/// retriable), and librdkafka hands them on.
fn commits(consumer: &BaseConsumer, partitions: &TopicPartitionList) -> Result<TopicPartitionList> {
    let end = wait::now() + REQUEST_LIMIT;
    loop {
        let answer = consumer.committed_offsets(partitions.clone(), REQUEST_LIMIT);
        let moving = |error: &KafkaError| {
            matches!(
                error.rdkafka_error_code(),
                Some(
                    RDKafkaErrorCode::NotCoordinator
                        | RDKafkaErrorCode::CoordinatorNotAvailable
                        | RDKafkaErrorCode::CoordinatorLoadInProgress
                )
            )
        };
        match answer {
            Err(error) if moving(&error) && wait::now() < end => wait::rest(wait::PROBE_INTERVAL),
            answer => return Ok(answer?),
        }
    }
}

fn bounds(consumer: &BaseConsumer, topic: &str) -> Result<Vec<(i64, i64)>> {
    let metadata = consumer.fetch_metadata(Some(topic), REQUEST_LIMIT)?;
    let known = metadata
        .topics()
        .first()
        .with_context(|| format!("no topic {topic}"))?;
    if let Some(error) = known.error() {
        bail!("topic {topic}: {:?}", RDKafkaErrorCode::from(error));
    }
    let partitions = 0..i32::try_from(known.partitions().len())?;
    // A broker that has just been started again knows its partitions before it leads them.
    let of = |partition| {
        wait::until(
            &format!("the end of {topic}/{partition}"),
            REQUEST_LIMIT,
            || Ok(consumer.fetch_watermarks(topic, partition, REQUEST_LIMIT)?),
        )
    };
    partitions.map(of).collect()
}

fn blocking<F: Future>(future: F) -> Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(future))
}
