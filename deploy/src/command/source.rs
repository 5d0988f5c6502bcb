//! Which Kafka spout of a topology a command is about, and which of its partitions.

use clap::Args;
use isobar_operators::kafka::admin::TopicPartition;
use isobar_operators::kafka::error::Error;
use isobar_operators::lag::{self, Source};
use isobar_operators::offsets::Group;
use isobar_operators::range::{PartitionNumbers, Place, Selection};
use isobar_topology::spec::units::Duration;

use super::Context;
use crate::cli::FileArgs;
use crate::exit::{Exit, Failure};
use crate::topology_file::TopologyFile;

/// Whose group is meant.
#[derive(Args, Debug)]
pub(super) struct OfArgs {
    #[command(flatten)]
    pub(super) file: FileArgs,

    /// The spout whose group is meant, where the topology has several that read Kafka.
    #[arg(long, value_name = "SPOUT")]
    pub(super) spout: Option<String>,

    /// How long each of a few questions to the brokers may take.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub(super) timeout: Duration,
}

/// Which of its partitions are meant.
#[derive(Args, Debug)]
pub(super) struct SelectionArgs {
    /// Of this topic only. Can be given several times.
    #[arg(long, value_name = "TOPIC")]
    topic: Vec<String>,

    /// These partitions only, such as 0,3,7-9.
    #[arg(long, value_name = "NUMBERS")]
    partitions: Option<PartitionNumbers>,
}

impl OfArgs {
    /// Reads the topology file and finds the spout and its group.
    pub(super) fn find(
        &self,
        context: &mut Context<'_>,
    ) -> Result<(TopologyFile, Source, Group), Failure> {
        // The whole file is checked, so that what is wrong with it is said in the same words everywhere.
        let (file, _) = self.file.plan(&mut context.environment, context.registry)?;
        let sources = lag::sources(file.spec()?);
        let sources = sources.map_err(|problems| Failure::from(file.refuse(problems)))?;
        let source = choose(sources, self.spout.as_deref())
            .map_err(|why| Failure::usage(format!("{}: {why}", self.file.file.display())))?;
        let group = Group::of(&source, self.timeout.get()).map_err(asking)?;
        Ok((file, source, group))
    }
}

/// Refuses brokers that cannot keep the register of what is to be done. Waits for their first answer.
pub(super) fn refuse_embedded(group: &Group, source: &Source, what: &str) -> Result<(), Failure> {
    match group.admin().is_embedded() {
        false => Ok(()),
        true => Err(Failure::usage(format!(
            "the brokers {} are embedded in a process: they cannot keep the register of replays; for a {what} \
             name real ones in `brokers`",
            source.connection().brokers.join(", ")
        ))),
    }
}

/// Why no time is taken for a partition, and what to do instead.
pub(super) fn without_times(partition: &TopicPartition, instead: &str) -> Failure {
    Failure::usage(format!(
        "{}/{}: records carry no timestamp, so no time says where they are; {instead}",
        partition.topic, partition.partition
    ))
}

/// Refuses a range of offsets that ends before it starts, which only the places themselves say before
/// anybody is asked.
pub(super) fn check_order(from: Place, to: Place) -> Result<(), Failure> {
    match (from, to) {
        (Place::Offset(first), Place::Offset(end)) if first > end => Err(Failure::usage(format!(
            "--from {from} --to {to}: the range ends before it starts"
        ))),
        _ => Ok(()),
    }
}

/// A question that found no answer, or one that names what is not there.
pub(super) fn asking(error: Error) -> Failure {
    let exit = match &error {
        Error::Config(_) => Exit::Usage,
        error if error.is_transient() => Exit::Undetermined,
        _ => Exit::Failed,
    };
    Failure::new(exit, error.into())
}

impl SelectionArgs {
    pub(super) fn selection(&self) -> Selection {
        Selection {
            topics: self.topic.clone(),
            partitions: self.partitions.clone(),
        }
    }
}

/// The source that is meant.
pub(super) fn choose(mut sources: Vec<Source>, spout: Option<&str>) -> Result<Source, String> {
    let names: Vec<String> = sources.iter().map(|one| one.spout.clone()).collect();
    let position = match (spout, names.as_slice()) {
        (_, []) => return Err("no spout reads Kafka".to_owned()),
        (None, [_]) => Some(0),
        (None, names) => {
            return Err(format!(
                "several spouts read Kafka: say which with --spout, one of {}",
                names.join(", ")
            ));
        }
        (Some(spout), names) => names.iter().position(|name| name == spout),
    };
    match position {
        Some(position) => Ok(sources.swap_remove(position)),
        None => Err(format!(
            "no spout {} reads Kafka; there is {}",
            spout.unwrap_or_default(),
            names.join(", ")
        )),
    }
}
