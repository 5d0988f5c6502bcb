//! `kafka`: reads topics as one member of a consumer group, each lane its own partitions.
//!
//! Adapts the client layer (`kafka/`) to the runtime: `kafka/lane.rs` here is the spout, one on each
//! lane; what the lanes share is in `member.rs`, the end of a bounded run in `bounded.rs`.

mod bounded;
mod config;
mod fill;
mod gate;
mod lane;
mod member;
mod owned;
mod pace;
mod replay;
mod source;
mod tally;

use std::sync::Arc;

use isobar_topology::spec::{Component, Problem, Problems, parse_config};
use isobar_topology::{
    AnySpout, MakeSpout, OperatorError, Policy, Prepare, PreparedSpout, SpoutContext, SpoutType,
};

use crate::connections::problems_of;
use crate::embedded::{KAFKA_LIMITS, PARTITION_BYTES_MAX, PARTITIONS};
use crate::kafka::admin::Admin;
use crate::kafka::connection::KafkaConnection;
use crate::kafka::error::Error;
use crate::kafka::{ConsumerConfig, LanedConsumer, Limits, StartPolicy};
use bounded::{Asked, Bounded};
use lane::Lane;
use member::{Member, Settings};

pub(crate) use config::KafkaConfig;
pub use gate::Gate;
pub(crate) use pace::{Pace, batch_records};
pub(crate) use replay::{Hold, replay, tombstones};
pub(crate) use source::source;

pub(super) const TYPE: SpoutType = SpoutType {
    name: "kafka",
    schema: || schemars::schema_for!(KafkaConfig),
    example: EXAMPLE,
    prepare,
};

const EXAMPLE: &str = "\
type: kafka
connection: kafka
topics: [access]
start: earliest
";

fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedSpout, Problems> {
    let config: KafkaConfig = parse_config(&component.config, &component.path)?;
    let mut problems = Problems::default();
    let connection = problems.take(prepare.connection(component, "kafka"));
    let connection = connection.unwrap_or_else(|| KafkaConnection::plain(&[]));
    let connection = connection.beside(&prepare.file(""));
    let consumer = config.consumer(connection, prepare.topology);
    problems.append(problems_of(component, consumer.check_own()));
    problems.append(config.out_of_range(&component.path));
    if consumer.connection.is_embedded() && matches!(consumer.start, StartPolicy::Timestamp(_)) {
        let text = "embedded Kafka finds no record by its time";
        let problem = Problem::new(component.path.key("start"), text);
        problems.push(problem.expected("earliest or latest"));
    }
    if problems.is_empty()
        && let Some(reason) = consumer.check_together(prepare.lanes)
    {
        problems = problems_of(component, vec![format!("options: {reason}")]);
    }
    problems.or(())?;
    let tombstones = match config.on_tombstone {
        config::OnTombstone::Pass => None,
        config::OnTombstone::Drop => {
            let name = tombstone_policy(&component.id);
            Some(prepare.policy(&name, &component.path.key("on_tombstone"))?)
        }
    };
    let settings = settings(&config, tombstones);
    // Each lane may have taken one batch too many when the bound on what is in flight is reached.
    let per_lane = settings.limits.held_at_most() + settings.limits.bytes;
    let read = consumer.clone();
    Ok(PreparedSpout {
        reads: Some(Box::new(move |topic| {
            let brokers = &read.connection.brokers;
            let is_of_cluster = topic.brokers.iter().any(|one| brokers.contains(one));
            is_of_cluster && read.reads(&topic.name)
        })),
        max_in_flight_records: config.max_in_flight_records,
        max_in_flight_bytes: config.max_in_flight_bytes.get(),
        batch_bytes: settings.limits.bytes,
        max_uncommitted: config.max_uncommitted,
        memory: consumer.memory(prepare.lanes) + prepare.lanes * per_lane + embedded(&consumer),
        facts: facts(&config, &consumer),
        start: Box::new(move |context| start(&consumer, settings.clone(), context)),
    })
}

/// Bytes of records that the topics take in this process, where they are in it.
fn embedded(consumer: &ConsumerConfig) -> usize {
    match consumer.connection.is_embedded() {
        true => consumer.topics.len() * PARTITIONS as usize * PARTITION_BYTES_MAX,
        false => 0,
    }
}

/// The name of the policy that drops tombstones.
pub(crate) fn tombstone_policy(spout: &str) -> String {
    format!("{spout}.tombstone")
}

fn settings(config: &KafkaConfig, tombstones: Option<Policy>) -> Settings {
    Settings {
        limits: Limits {
            records: config.batch_records_max,
            bytes: config.batch_bytes_max.get().max(1),
        },
        tombstones,
        commit_interval: config.commit_interval.get(),
        revoke_drain_timeout: config.revoke_drain_timeout.get(),
        rate: None,
        gate: None,
    }
}

fn facts(config: &KafkaConfig, consumer: &ConsumerConfig) -> Vec<(String, String)> {
    let protocol = match config.group_protocol {
        crate::kafka::GroupProtocol::Classic => "classic, cooperative-sticky",
        crate::kafka::GroupProtocol::Consumer => "consumer (KIP-848)",
    };
    let mut facts = vec![
        ("brokers", consumer.connection.brokers.join(", ")),
        ("topics", config.topics.join(", ")),
        ("group", consumer.group.clone()),
        ("group protocol", protocol.to_owned()),
        ("start where nothing is committed", config.start.to_string()),
        ("commits every", config.commit_interval.to_string()),
        (
            "in flight at most",
            format!(
                "{} records, {}",
                config.max_in_flight_records, config.max_in_flight_bytes
            ),
        ),
        (
            "read again after a crash at most",
            format!("{} records of each partition", config.max_uncommitted),
        ),
    ];
    if consumer.connection.is_embedded() {
        facts.push(("embedded Kafka", KAFKA_LIMITS.join("; ")));
    }
    if let Some(id) = &config.group_instance_id {
        facts.push(("member", id.clone()));
    }
    let facts = facts.into_iter();
    facts
        .map(|(what, value)| (what.to_owned(), value))
        .collect()
}

fn start(
    consumer: &ConsumerConfig,
    settings: Settings,
    context: SpoutContext,
) -> Result<Vec<MakeSpout>, OperatorError> {
    let (handle, readers) =
        LanedConsumer::start(consumer.clone(), context.lanes).map_err(operator_error)?;
    let fixed = consumer.fixed.clone();
    let bounded = match &fixed {
        Some(fixed) => {
            let ranges = fixed.ranges.iter();
            let ends = ranges.map(|(partition, (_, end))| (partition.clone(), *end));
            Some(Arc::new(Bounded::up_to(ends.collect())))
        }
        None => context.bounded.then(Arc::<Bounded>::default),
    };
    let member = Arc::new(Member::new(
        context.id,
        handle,
        context.partitions,
        context.health,
        settings,
        bounded,
        fixed,
        &context.counters,
        context.lanes,
    ));
    if context.bounded && consumer.fixed.is_none() {
        let mut connection = consumer.connection.clone();
        // Whether open transactions are read decides where the end is.
        connection.options.extend(consumer.options.clone());
        let asked = Asked {
            admin: Admin::of_group(&connection, &consumer.group, ASK_WITHIN)
                .map_err(operator_error)?,
            topics: consumer.topics.clone(),
        };
        bounded::start(&member, asked)?;
    }
    let make = readers.into_iter().map(|reader| {
        let member = Arc::clone(&member);
        let make: MakeSpout = Box::new(move || AnySpout::new(Lane::new(member, reader)));
        make
    });
    Ok(make.collect())
}

const ASK_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

fn operator_error(error: Error) -> OperatorError {
    let text = error.to_string();
    match error.is_transient() {
        true => OperatorError::external(text),
        false => OperatorError::user(text),
    }
}

#[cfg(test)]
mod tests;
