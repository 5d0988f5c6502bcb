//! Generated records to a topic, with every acknowledgement counted.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use isobar_operators::kafka::admin::{Admin, RDKafkaErrorCode};
use isobar_operators::kafka::connection::KafkaConnection;
use isobar_operators::kafka::error::Error;
use isobar_operators::kafka::{
    Compression, Delivery, OutRecord, Producer, ProducerConfig, create_topic,
};
use isobar_topology::clock;
use serde::Serialize;

use super::{GenerateArgs, Pieces};
use crate::command::Context;
use crate::command::signals::Signals;
use crate::exit::{Exit, Failure, Outcome};
use crate::generate::Generated;
use crate::output::{Format, number};

/// Pieces that wait for acknowledgements at most.
const WAITING_MAX: usize = 64;
/// Bytes of records that wait for the brokers at most.
const QUEUE: u64 = 32 << 20;

/// What became of the records.
#[derive(Debug, Default, Serialize)]
struct Counts {
    topic: String,
    acknowledged: u64,
    /// Refused, or not acknowledged in time: whether these are in the topic is not known.
    failed: u64,
    seconds: f64,
    #[serde(skip)]
    why: Option<String>,
    /// Every failure was that nobody answered.
    #[serde(skip)]
    unanswered: bool,
}

/// A topic and how its cluster is reached.
pub(super) struct Target {
    pub(super) connection: KafkaConnection,
    pub(super) topic: String,
}

pub(super) async fn produce(
    args: &GenerateArgs,
    target: Target,
    mut pieces: Pieces,
    context: &Context<'_>,
) -> Outcome {
    let within = args.timeout.get();
    let Target { connection, topic } = target;
    let topic = topic.as_str();
    let brokers = connection.brokers.join(",");
    prepare_topic(args, topic, &connection, context).await?;
    let producer = producer(connection, within).map_err(failure)?;
    let mut signals = Signals::listen()?;
    let start = clock::now();
    let mut counts = Counts {
        topic: topic.to_owned(),
        ..Counts::default()
    };
    let mut waiting: VecDeque<(u64, Delivery)> = VecDeque::new();
    while counts.failed == 0 {
        let records = tokio::select! {
            biased;
            _ = signals.next() => break,
            records = pieces.next() => records,
        };
        let Some(records) = records else { break };
        let delivery = producer
            .send(records.iter().map(|record| out(topic, record)))
            .await;
        waiting.push_back((records.len() as u64, delivery));
        if waiting.len() >= WAITING_MAX
            && let Some((count, delivery)) = waiting.pop_front()
        {
            counts.take(count, delivery, &producer).await;
        }
    }
    for (count, delivery) in waiting {
        counts.take(count, delivery, &producer).await;
    }
    counts.seconds = (clock::now() - start).as_secs_f64();
    match args.output.format {
        Format::Table => context.output.line(&counts.line())?,
        Format::Json => context.output.json(&counts)?,
    }
    counts.end(&brokers)
}

/// Makes sure that the topic is there, so that what is wrong is said before anything is made.
async fn prepare_topic(
    args: &GenerateArgs,
    topic: &str,
    connection: &KafkaConnection,
    context: &Context<'_>,
) -> Result<(), Failure> {
    let within = args.timeout.get();
    let admin = Admin::new(connection, within).map_err(failure)?;
    let (found, problems) = admin.partitions(&[topic.to_owned()]).map_err(failure)?;
    match args.partitions {
        Some(partitions) if found.is_empty() => create_topic(connection, topic, partitions, within)
            .await
            .map_err(failure),
        Some(partitions) if found.len() != partitions as usize => {
            let there = found.len();
            context.screen.line(&format!(
                "isobar: topic {topic} exists with {there} partitions and is left as it is"
            ));
            Ok(())
        }
        None if found.is_empty() => {
            let brokers = connection.brokers.join(",");
            let why = problems.join("; ");
            Err(anyhow::anyhow!("{why} at {brokers}; --partitions N creates the topic").into())
        }
        _ => Ok(()),
    }
}

fn producer(connection: KafkaConnection, within: Duration) -> Result<Producer, Error> {
    let timeout = within.as_millis().to_string();
    Producer::new(&ProducerConfig {
        connection,
        compression: Compression::None,
        queue_size: QUEUE,
        options: BTreeMap::from([("message.timeout.ms".to_owned(), timeout)]),
    })
}

fn out<'a>(topic: &'a str, record: &'a Generated) -> OutRecord<'a> {
    OutRecord {
        topic,
        key: Some(record.key.as_bytes()),
        payload: Some(record.line.as_bytes()),
        timestamp: Some(record.timestamp),
        ..OutRecord::default()
    }
}

fn failure(error: Error) -> Failure {
    let exit = match error {
        Error::TimedOut { .. } => Exit::Undetermined,
        Error::Config(_) => Exit::Usage,
        _ => Exit::Failed,
    };
    Failure::new(exit, error.into())
}

impl Counts {
    async fn take(&mut self, count: u64, delivery: Delivery, producer: &Producer) {
        let failures = delivery.await;
        self.failed += failures.len() as u64;
        self.acknowledged += count - failures.len() as u64;
        let Some((_, first)) = failures.first() else {
            return;
        };
        let unanswered = failures
            .iter()
            .all(|(_, error)| error.code == RDKafkaErrorCode::MessageTimedOut);
        self.unanswered = unanswered && (self.unanswered || self.why.is_none());
        if self.why.is_none() {
            let conditions = producer
                .conditions()
                .into_iter()
                .map(|condition| condition.text);
            let why: Vec<String> = [first.to_string()].into_iter().chain(conditions).collect();
            self.why = Some(why.join("; "));
        }
    }

    fn line(&self) -> String {
        let rate = self.acknowledged as f64 / self.seconds.max(0.001);
        format!(
            "topic {}: {} records acknowledged, {} failed, in {:.1} s ({}/s)",
            self.topic,
            number(self.acknowledged),
            number(self.failed),
            self.seconds,
            number(rate as u64)
        )
    }

    fn end(&self, brokers: &str) -> Outcome {
        let Some(why) = &self.why else {
            return Ok(Exit::Done);
        };
        let error = anyhow::anyhow!("not all records were acknowledged by {brokers}: {why}");
        let exit = match self.unanswered {
            true => Exit::Undetermined,
            false => Exit::Failed,
        };
        Err(Failure::new(exit, error))
    }
}
