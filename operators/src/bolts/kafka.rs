//! `kafka`: writes records, and dead letters, to topics of a Kafka cluster.
//!
//! One producer for all lanes of a bolt. What becomes of a batch that was handed to it is in
//! `kafka/delivery.rs`, what is written of a record in `kafka/outgoing.rs`.

mod config;
mod delivery;
mod draft;
mod outgoing;
mod producer;

use std::sync::Arc;
use std::time::Duration;

use isobar_topology::clock::{self, Instant};
use isobar_topology::spec::units::ByteSize;
use isobar_topology::spec::{Component, Problem, Problems, parse_config};
use isobar_topology::{
    Answer, AnyBolt, Batch, Bolt, BoltContext, BoltType, Counter, DocumentUse, Emitter, Example,
    Failure, OperatorError, Part, Prepare, PreparedBolt, Record, Rejection, Topic,
};

use crate::connections::problems_of;
use crate::embedded::{PARTITION_BYTES_MAX, PARTITIONS};
use crate::kafka::connection::KafkaConnection;
use crate::kafka::{Producer, ProducerConfig, options};
pub(crate) use config::KafkaConfig;
use config::ValueOf;
use delivery::Delivering;
use outgoing::{Form, Outgoing, Rows};
use producer::SharedProducer;

pub(super) const TYPE: BoltType = BoltType {
    name: "kafka",
    schema: || schemars::schema_for!(KafkaConfig),
    example: EXAMPLE,
    side_effects: true,
    deterministic: true,
    prepare,
};

const EXAMPLE: Example = Example::of(
    "\
type: kafka
inputs: [route.errors]
connection: kafka
topic: errors
key: \"{{ doc.host }}\"
compression: zstd
",
    &[r#"{"host":"web-1","level":"error"}"#],
);

fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let config: KafkaConfig = parse_config(&component.config, &component.path)?;
    let mut problems = Problems::default();
    let connection = problems.take(prepare.connection::<KafkaConnection>(component, "kafka"));
    let sentences = options::check(&config.options).into_iter();
    let sentences = sentences.map(|problem| format!("options: {problem}"));
    problems.append(problems_of(component, sentences.collect()));
    problems.extend([Problem::out_of_range(
        component.path.key("queue_size"),
        config.queue_size,
        ByteSize::mib(1),
        ByteSize::mib(1 << 10),
    )]);
    let form = problems.take(config.form(component, prepare));
    let (Some(connection), Some(form)) = (connection, form) else {
        return Err(problems);
    };
    problems.or(())?;
    let producer = ProducerConfig {
        connection: connection.beside(&prepare.file("")),
        compression: config.compression,
        queue_size: config.queue_size.get() as u64,
        options: config.options.clone(),
    };
    if let Some(reason) = producer.check_together() {
        return Err(problems_of(component, vec![format!("options: {reason}")]));
    }
    let facts = config.facts(component, &producer);
    let in_this_process = match producer.connection.is_embedded() {
        true => PARTITIONS as usize * PARTITION_BYTES_MAX,
        false => 0,
    };
    let memory_shared = producer.memory() + in_this_process;
    let topic = match &form.topic {
        outgoing::Topic::Constant(name) => Some(Topic {
            brokers: producer.connection.brokers.clone(),
            name: name.clone(),
        }),
        outgoing::Topic::Template(_) => None,
    };
    let letters = config.letters(component, &form);
    let (form, producer) = (Arc::new(form), Arc::new(SharedProducer::new(producer)));
    let rehearsed = Arc::clone(&form);
    Ok(PreparedBolt {
        emits: false,
        document: match config.value {
            ValueOf::Document => DocumentUse::Needs,
            ValueOf::Payload => DocumentUse::Any,
        },
        letters,
        topic,
        keeps_documents: true,
        memory_per_lane: 2 * Outgoing::KEPT,
        memory_shared,
        facts,
        rehearsal: Some(Part::Drafts(Arc::new(move |context| {
            draft::drafter(&rehearsed, context)
        }))),
        ..PreparedBolt::new(Arc::new(move |context| {
            let letters_cut = context.counters.counter(
                "letters_cut",
                "Dead letters written without most of their value, as they were too large.",
            );
            AnyBolt::new(Kafka {
                context,
                form: Arc::clone(&form),
                shared: Arc::clone(&producer),
                producer: None,
                letters_cut,
                outgoing: Outgoing::default(),
                unaddressed: None,
            })
        }))
    })
}

/// The bolt on one lane.
struct Kafka {
    context: BoltContext,
    form: Arc<Form>,
    shared: Arc<SharedProducer>,
    /// `None` before it was opened.
    producer: Option<Producer>,
    letters_cut: Counter,
    outgoing: Outgoing,
    /// When a dead letter came last that has no topic.
    unaddressed: Option<Instant>,
}

/// The kind of the condition while such a letter waits.
const UNADDRESSED: &str = "unaddressed";

/// A letter that waits comes again sooner, unless it was handed back with its partition.
const COMES_AGAIN: Duration = Duration::from_secs(10 * 60);

impl Bolt for Kafka {
    async fn open(&mut self) -> Result<(), OperatorError> {
        self.producer = Some(self.shared.get()?);
        Ok(())
    }

    async fn process(&mut self, batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        let Some(producer) = self.producer.clone() else {
            return Err(OperatorError::internal("the bolt was not opened"));
        };
        let unwritable = self
            .outgoing
            .fill(&self.form, &self.context.topology, &batch);
        let letter = |(row, _): &&(usize, Rejection)| batch.rejection(*row).is_some();
        if let Some((row, why)) = unwritable.iter().find(letter) {
            let record = batch.record(*row);
            self.say_unaddressed(record, why);
        }
        let Some(batch) = set_aside(batch, unwritable, out) else {
            return Ok(());
        };
        let records = self.outgoing.records(&self.form, Rows::All(&batch));
        let delivery = producer.send(records.iter()).await;
        let delivering = Delivering {
            batch,
            producer,
            form: Arc::clone(&self.form),
            letters_cut: self.letters_cut.clone(),
            topology: Arc::clone(&self.context.topology),
            bolt: Arc::clone(&self.context.id),
            health: self.context.health.of_records(),
        };
        let later = out.later();
        out.detach(delivering.answer(delivery, later));
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        self.unaddressed.map(|at| at + COMES_AGAIN)
    }

    async fn flush(&mut self, _: &mut Emitter) -> Result<(), OperatorError> {
        if self.deadline().is_some_and(|at| at <= clock::now()) {
            self.unaddressed = None;
            self.context.health.clear(&self.context.id, UNADDRESSED);
        }
        Ok(())
    }
}

impl Kafka {
    /// Says that a dead letter has no topic that it could be written to. Nothing but another topology file
    /// helps, so whoever is to act must know.
    fn say_unaddressed(&mut self, letter: Record<'_>, why: &Rejection) {
        self.unaddressed = Some(clock::now());
        let text = format!(
            "a dead letter waits, and nothing behind it is committed: that of {letter:?} has no topic: {}; write dead letters to a topic that does not depend on the document",
            why.reason
        );
        let health = self.context.health.of_records();
        health.set(&self.context.id, UNADDRESSED, text);
    }
}

/// Rejects the rows that cannot be written, and returns the others. A dead letter cannot be rejected
/// again: it waits.
fn set_aside(
    batch: Batch,
    unwritable: Vec<(usize, Rejection)>,
    out: &mut Emitter,
) -> Option<Batch> {
    if unwritable.is_empty() {
        return Some(batch);
    }
    const REST: u8 = 0;
    const REJECTED: u8 = 1;
    const WAITING: u8 = 2;
    let mut part_of = vec![REST; batch.len()];
    let mut rejections = Vec::new();
    for (row, rejection) in unwritable {
        if batch.rejection(row).is_some() {
            part_of[row] = WAITING;
        } else {
            part_of[row] = REJECTED;
            rejections.push(rejection);
        }
    }
    let mut parts = batch.part(&part_of, 3).into_iter();
    let rest = parts.next().flatten();
    if let Some(rejected) = parts.next().flatten() {
        out.reject(rejected, rejections);
    }
    if let Some(waiting) = parts.next().flatten() {
        waiting.answer(Answer::Failed(Failure::External));
    }
    rest
}

#[cfg(test)]
mod tests;
