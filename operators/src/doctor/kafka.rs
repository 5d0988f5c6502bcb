//! What a topology wants of a Kafka cluster, and the facts that the checks judge.

mod checks;
mod replays;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use isobar_topology::OperatorError;
use isobar_topology::spec::{Problems, Spec, parse_config};

use super::certificate::Expiry;
use super::{Depth, Finding, examine};
use crate::bolts::KafkaConfig as Written;
use crate::connections::kafka_of;
use crate::kafka::admin::{Admin, Layout, Permitted, TopicPartition};
use crate::kafka::connection::KafkaConnection;
use crate::kafka::error::Error;
use crate::lag::{self, Row, Source};
use crate::replay::registry::topic_of;
use crate::spouts::KafkaConfig as Spouted;

pub(super) use checks::CHECKS;
use replays::Register;

/// A Kafka cluster, and what the spouts and bolts of a topology want of it.
pub struct Brokers {
    name: String,
    topology: String,
    /// The topic in which replays and redrives of the topology tell what they read.
    register: String,
    connection: KafkaConnection,
    lanes: usize,
    sources: Vec<Source>,
    outputs: Vec<Output>,
}

/// A topic that the topology writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Output {
    bolt: String,
    topic: String,
    /// Rejected records come here.
    is_dead_letter: bool,
}

/// The Kafka connections that a topology uses, in the order of their first use.
pub(super) fn brokers(spec: &Spec, lanes: usize) -> Result<Vec<Brokers>, Problems> {
    let mut problems = Problems::default();
    let mut all: Vec<Brokers> = Vec::new();
    let mut of = |name: &str, problems: &mut Problems| -> Option<usize> {
        if let Some(position) = all.iter().position(|one| one.name == name) {
            return Some(position);
        }
        let connection = problems.take(kafka_of(spec, name))??;
        all.push(Brokers {
            name: name.to_owned(),
            topology: spec.name.clone(),
            register: topic_of(spec),
            connection,
            lanes,
            sources: Vec::new(),
            outputs: Vec::new(),
        });
        Some(all.len() - 1)
    };
    let mut sources = Vec::new();
    for spout in spec.spouts.iter().filter(|one| one.kind == "kafka") {
        let config: Result<Spouted, _> = parse_config(&spout.config, &spout.path);
        if let Some(config) = problems.take(config)
            && let Some(position) = of(&config.connection, &mut problems)
        {
            sources.push((spout.id.clone(), position));
        }
    }
    let mut outputs = Vec::new();
    let dead = spec.dead_letter.iter().map(|bolt| (bolt, true));
    let bolts = spec.bolts.iter().map(|bolt| (bolt, false)).chain(dead);
    for (bolt, is_dead_letter) in bolts.filter(|(bolt, _)| bolt.kind == "kafka") {
        let config: Result<Written, _> = parse_config(&bolt.config, &bolt.path);
        let Some(config) = problems.take(config) else {
            continue;
        };
        // Which topics a template names, records decide.
        if !config.topic.contains("{{")
            && let Some(position) = of(&config.connection, &mut problems)
        {
            let output = Output {
                bolt: bolt.id.clone(),
                topic: config.topic,
                is_dead_letter,
            };
            outputs.push((output, position));
        }
    }
    for source in problems.take(lag::sources(spec)).into_iter().flatten() {
        let of_spout = sources.iter().find(|(spout, _)| *spout == source.spout);
        if let Some((_, position)) = of_spout {
            all[*position].sources.push(source);
        }
    }
    for (output, position) in outputs {
        all[position].outputs.push(output);
    }
    problems.or(all)
}

/// An answer, or the sentence and kind of what went wrong.
type Answer<T> = Result<T, Failed>;

/// Why a question was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Failed {
    /// The connection's user may not ask.
    Denied,
    /// No answer, for this reason.
    Other(String),
}

/// What the checks judge.
pub(super) struct Facts {
    lanes: usize,
    /// What client ids of this topology start with.
    client_id: String,
    /// Brokers and the topics that the topology reads and writes.
    layout: Answer<Layout>,
    /// Configuration of these topics, by topic and name.
    settings: Answer<BTreeMap<String, BTreeMap<String, String>>>,
    /// What the user may do with these topics, as far as brokers tell.
    permitted: Answer<BTreeMap<String, Permitted>>,
    spouts: Vec<Spout>,
    outputs: Vec<Output>,
    /// `None` where no spout reads from here, and at a start.
    register: Option<Register>,
    certificates: Vec<Expiry>,
}

/// What is known of a spout.
pub(super) struct Spout {
    id: String,
    group: String,
    /// Topics as the file has them: names, or patterns.
    wanted: Vec<String>,
    /// Its partitions, and topics that are not there.
    found: Answer<(Vec<TopicPartition>, Vec<String>)>,
    lag: Answer<Vec<Row>>,
    /// Who reads what in its group, by client id and host.
    owners: Answer<BTreeMap<TopicPartition, String>>,
    /// What the user may do with its group, where the coordinator tells.
    permitted: Answer<Option<Permitted>>,
}

impl Spout {
    /// None where that is not known.
    fn topics(&self) -> BTreeSet<&str> {
        let partitions = self.found.iter().flat_map(|(partitions, _)| partitions);
        partitions.map(|one| &*one.topic).collect()
    }
}

impl Brokers {
    /// Asks and judges. Blocks; each question waits `within` at most.
    pub(super) fn examine(
        &self,
        depth: Depth,
        within: Duration,
    ) -> Result<Vec<Finding>, OperatorError> {
        let unusable = |error: Error| OperatorError::user(error.to_string());
        let admin = Admin::new(&self.connection, within).map_err(unusable)?;
        let facts = self.ask(&admin, depth, within);
        Ok(examine(CHECKS, depth, &facts, &self.name))
    }

    fn ask(&self, admin: &Admin, depth: Depth, within: Duration) -> Facts {
        // Where nobody answers the first question, nobody is asked the others.
        let away = admin.cluster_id().err().map(|error| failed(&error));
        let ask = |source: &Source| spout(source, admin, depth, within, away.as_ref());
        let spouts: Vec<Spout> = self.sources.iter().map(ask).collect();
        let mut topics: BTreeSet<&str> = spouts.iter().flat_map(Spout::topics).collect();
        topics.extend(self.outputs.iter().map(|output| output.topic.as_str()));
        let topics: Vec<&str> = topics.into_iter().collect();
        let layout = match &away {
            Some(away) => Err(away.clone()),
            None => admin.layout(&topics).map_err(|error| failed(&error)),
        };
        let settings = match (&layout, depth) {
            (Ok(layout), Depth::All | Depth::Writing) => {
                let there = layout.topics.iter().filter(|topic| topic.error.is_none());
                let there: Vec<&str> = there.map(|topic| topic.name.as_str()).collect();
                let settings = admin.topic_configurations(&there);
                settings.map_err(|error| failed(&error))
            }
            (Ok(_), Depth::Start) => Ok(BTreeMap::new()),
            (Err(away), _) => Err(away.clone()),
        };
        let permitted = match &layout {
            // It knows no users.
            Ok(_) if self.connection.is_embedded() => Ok(BTreeMap::new()),
            Ok(_) => (admin.permitted_with_topics(&topics)).map_err(|error| failed(&error)),
            Err(away) => Err(away.clone()),
        };
        let register = match (&away, depth) {
            (None, Depth::All | Depth::Writing) if !self.sources.is_empty() => {
                self.register(admin, within)
            }
            _ => None,
        };
        Facts {
            register,
            permitted,
            lanes: self.lanes,
            client_id: self.connection.client_id().to_owned(),
            layout,
            settings,
            spouts,
            outputs: self.outputs.clone(),
            certificates: match depth {
                Depth::All | Depth::Writing => self.certificates(within),
                Depth::Start => Vec::new(),
            },
        }
    }

    /// What is known of the register; `None` of embedded brokers, which have none.
    fn register(&self, admin: &Admin, within: Duration) -> Option<Register> {
        let of_group = |group: &str| {
            let admin = Admin::of_group(&self.connection, group, within);
            let permitted = admin.and_then(|admin| admin.permitted_with_group());
            permitted.map_err(|error| failed(&error))
        };
        let asked = || Register::ask(&self.register, &self.topology, admin, of_group);
        (!self.connection.is_embedded()).then(asked)
    }

    /// The connection's name in the topology file.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Those of its brokers and in files of the connection; none where TLS is not used. Waits at most
    /// `within` for each broker.
    pub(super) fn certificates(&self, within: Duration) -> Vec<Expiry> {
        if self.connection.tls.is_none() {
            return Vec::new();
        }
        let shown = self.connection.brokers.iter().filter_map(|broker| {
            let (host, port) = broker.rsplit_once(':')?;
            Some(Expiry::of_server(host, port.parse().ok()?, within))
        });
        let tls = self.connection.tls.iter();
        let own = tls.flat_map(|tls| [&tls.certificate, &tls.ca]).flatten();
        shown
            .chain(own.map(|path| Expiry::of_file(path.as_ref())))
            .collect()
    }
}

fn spout(
    source: &Source,
    admin: &Admin,
    depth: Depth,
    within: Duration,
    away: Option<&Failed>,
) -> Spout {
    let found = match away {
        None => admin
            .partitions(&source.topics)
            .map_err(|error| failed(&error)),
        Some(away) => Err(away.clone()),
    };
    let unasked = || Failed::Other("not asked at a start".to_owned());
    let (lag, owners, permitted) = match (away, depth) {
        (Some(away), _) => (Err(away.clone()), Err(away.clone()), Err(away.clone())),
        (None, Depth::Start) => (Err(unasked()), Err(unasked()), Err(unasked())),
        (None, Depth::All | Depth::Writing) => {
            let lag = source.once(within).map(|lag| lag.rows);
            let lag = lag.map_err(|error| failed(&error));
            match Admin::of_group(source.connection(), &source.group, within) {
                Ok(admin) => (
                    lag,
                    admin.owners().map_err(|error| failed(&error)),
                    admin.permitted_with_group().map_err(|error| failed(&error)),
                ),
                Err(error) => (lag, Err(failed(&error)), Err(failed(&error))),
            }
        }
    };
    Spout {
        id: source.spout.clone(),
        group: source.group.clone(),
        wanted: source.topics.clone(),
        found,
        lag,
        owners,
        permitted,
    }
}

fn failed(error: &Error) -> Failed {
    match error.is_denied() {
        true => Failed::Denied,
        false => Failed::Other(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
