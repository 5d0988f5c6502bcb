//! Lag of a topology's Kafka spouts: what a program needs for metrics, for its report at the end,
//! and for a table of a topology that does not run.
//!
//! Connects the topology file and the accounts of a run with the client layer's `kafka::lag`,
//! which has the definitions.

mod extent;
mod standing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use isobar_topology::spec::{Component, Problems, Spec, parse_config};
use isobar_topology::{Health, Partitions, clock};

use crate::connections::kafka_of;
use crate::kafka::admin::{Admin, TopicPartition};
use crate::kafka::connection::KafkaConnection;
use crate::kafka::error::Error;
use crate::kafka::lag::{Ages, Engine, Live, Progress, Sampler, Told, Window, sample};
use crate::kafka::topics_name;
use crate::spouts::KafkaConfig;

pub use crate::kafka::admin::Member;
pub use crate::kafka::lag::{
    Circumstances, Deletion, Eta, Exactness, HERE, NO_LEADER, Row, Status,
};
use extent::Extent;
pub use standing::{Oldest, Standing};

/// A Kafka spout, or any consumer group, as far as its lag is concerned.
#[derive(Clone, Debug)]
pub struct Source {
    /// The spout's id in the topology file; the group's name where there is none.
    pub spout: String,
    /// Its consumer group.
    pub group: String,
    /// Its topics: names, or patterns that start with `^`. Empty for those that the group has
    /// committed for or reads.
    pub topics: Vec<String>,
    /// What its cluster is called: the name of its connection in the topology file; where there is none, the
    /// brokers that were named, separated by commas.
    pub cluster: String,
    connection: KafkaConnection,
}

/// The lag of a spout at a moment.
#[derive(Clone, Debug, Default)]
pub struct Lag {
    /// A row for each partition, in the order of their names. What is unknown is `None`, never 0.
    pub rows: Vec<Row>,
    /// What could not be asked, naming broker, topic or group.
    pub failure: Option<String>,
    /// The brokers do not tell the members of the group: a row without owner may have one.
    pub owners_unknown: bool,
    /// How many members the group has; `None` where the brokers do not tell, and of a running spout, which does not
    /// ask.
    pub members: Option<usize>,
    /// How many partitions each topic has, whoever reads them; of a running spout, as of the last 30 s. Empty where
    /// that is not known.
    pub topics: BTreeMap<String, i32>,
}

/// The Kafka spouts of a topology, in the order of the file. Contacts nobody.
///
/// Fails with what is wrong with their options, or with those of their connections.
pub fn sources(spec: &Spec) -> Result<Vec<Source>, Problems> {
    let mut problems = Problems::default();
    let spouts = spec.spouts.iter().filter(|spout| spout.kind == "kafka");
    let sources: Vec<Source> = spouts
        .filter_map(|spout| problems.take(source(spec, spout)))
        .flatten()
        .collect();
    problems.or(sources)
}

/// `None` for a spout whose connection is not there, which a plan complains about.
fn source(spec: &Spec, spout: &Component) -> Result<Option<Source>, Problems> {
    let config: KafkaConfig = parse_config(&spout.config, &spout.path)?;
    let Some(mut connection) = kafka_of(spec, &config.connection)? else {
        return Ok(None);
    };
    let group = config.group(&spec.name).to_owned();
    // Whether open transactions are read decides where the end is.
    connection.options.extend(config.options);
    Ok(Some(Source {
        spout: spout.id.clone(),
        group,
        topics: config.topics,
        cluster: config.connection,
        connection,
    }))
}

impl Source {
    /// Tells whether a topic of this name is read.
    pub fn reads(&self, topic: &str) -> bool {
        topics_name(&self.topics, topic)
    }

    /// Tells whether both may read a topic of one name, in whichever clusters: what two patterns have in common nobody
    /// knows.
    pub fn shares_names_with(&self, other: &Self) -> bool {
        let is_pattern = |topic: &String| topic.starts_with('^');
        let has_pattern = |one: &Self| one.topics.iter().any(is_pattern);
        let names_one_of = |one: &Self, other: &Self| {
            let mut names = one.topics.iter().filter(|topic| !is_pattern(topic));
            names.any(|topic| other.reads(topic))
        };
        (has_pattern(self) && has_pattern(other))
            || names_one_of(self, other)
            || names_one_of(other, self)
    }

    /// Any consumer group of a cluster. Without topics, those that the group has committed for or reads.
    /// Contacts nobody.
    pub fn of_group(connection: KafkaConnection, group: &str, topics: &[String]) -> Self {
        Self {
            spout: group.to_owned(),
            group: group.to_owned(),
            topics: topics.to_vec(),
            cluster: connection.brokers.join(","),
            connection,
        }
    }

    /// How its cluster is reached.
    pub fn connection(&self) -> &KafkaConnection {
        &self.connection
    }

    /// Watches the partitions that a running spout reads or holds at the moment: starts a thread that
    /// asks the brokers at once and then every `interval`, at most 5 seconds for each question. While
    /// there are none it asks about the topics alone, so that brokers that say nothing are noticed.
    ///
    /// `partitions` are those of the spout of this id, [`isobar_topology::Running::partitions`]. What
    /// brokers do not answer is a condition `lag` of that spout in `health`, for which no record waits while it
    /// reads any partition, and [`Lag::failure`].
    /// Fails when no client or thread can be made.
    pub fn watch(
        &self,
        partitions: Arc<Partitions>,
        health: Health,
        interval: Duration,
    ) -> Result<Watch, Error> {
        let (spout, assigned) = (self.spout.clone(), Arc::clone(&partitions));
        let told = move |failure: Option<&str>| {
            tell(&health, &spout, !progress(&assigned).is_empty(), failure);
        };
        self.watch_within(partitions, Box::new(told), interval, WITHIN)
    }

    fn watch_within(
        &self,
        partitions: Arc<Partitions>,
        told: Told,
        interval: Duration,
        within: Duration,
    ) -> Result<Watch, Error> {
        let admin = Admin::of_group(&self.connection, &self.group, within)?;
        let (assigned, source) = (Arc::clone(&partitions), self.clone());
        let extent = Arc::new(Extent::default());
        let theirs = Arc::clone(&extent);
        let which = move |admin: &Admin| {
            let mut ours: Vec<TopicPartition> = progress(&assigned).into_keys().collect();
            ours.extend(held(&assigned).into_keys());
            theirs.ask(&source, admin, !ours.is_empty())?;
            Ok(ours)
        };
        let ours = Arc::clone(&partitions);
        let live = Live {
            done: Box::new(move || progress(&ours)),
            told,
        };
        let sampler = Sampler::start(admin, interval, Box::new(which), Some(live))?;
        Ok(Watch {
            partitions,
            sampler,
            extent,
        })
    }

    /// Asks for the lag of all partitions of the topics, whether anything runs or not: what the
    /// group has committed against the ends. Waits; each of its questions at most `within`.
    ///
    /// Fails when the brokers cannot be reached. A topic that does not exist is named in
    /// [`Lag::failure`], beside the rows of the others.
    pub fn once(&self, within: Duration) -> Result<Lag, Error> {
        let admin = Admin::of_group(&self.connection, &self.group, within)?;
        let (partitions, problems) = self.partitions(&admin)?;
        let mut ages = Ages::default();
        let transactions = !admin.reads_uncommitted();
        let samples = sample(&admin, &partitions, transactions, &BTreeMap::new, &mut ages)?;
        let mut engine = Engine::new(Window::default());
        engine.take(samples, &ages);
        let failure = engine.failure().map(str::to_owned);
        // Without the permission to see the members nobody is known, which hides no lag.
        let members = admin.members().ok();
        let count = members.as_ref().map(|members| members.count);
        let mut owners = members.unwrap_or_default().owners;
        let mut rows = engine.rows(None, &Circumstances::default(), clock::unix_ms());
        for row in &mut rows {
            row.read_by(owners.remove(&row.partition));
        }
        let failures: Vec<String> = problems.into_iter().chain(failure).collect();
        Ok(Lag {
            rows,
            failure: (!failures.is_empty()).then(|| failures.join("; ")),
            owners_unknown: count.is_none(),
            members: count,
            topics: extent::counts(&partitions),
        })
    }
}

impl Source {
    /// Its partitions, and a sentence for each topic that is not there.
    fn partitions(&self, admin: &Admin) -> Result<(Vec<TopicPartition>, Vec<String>), Error> {
        if !self.topics.is_empty() {
            return admin.partitions(&self.topics);
        }
        // There is no safe request for all commits of a group, see `Admin::committed`.
        let (all, _) = admin.partitions(&["^.*".to_owned()])?;
        let commits = admin.committed(&all)?.into_iter().flatten();
        let mut topics: BTreeSet<Arc<str>> = commits.map(|commit| commit.partition.topic).collect();
        let owners = admin.owners().unwrap_or_default();
        topics.extend(owners.into_keys().map(|partition| partition.topic));
        let of_topics = all.into_iter();
        let partitions: Vec<TopicPartition> = of_topics
            .filter(|partition| topics.contains(&partition.topic))
            .collect();
        let none = || {
            let group = &self.group;
            vec![format!(
                "group {group} has no member and has committed nothing"
            )]
        };
        let problems = if partitions.is_empty() {
            none()
        } else {
            Vec::new()
        };
        Ok((partitions, problems))
    }
}

/// The condition of a spout about which the brokers do not answer.
const LAG: &str = "lag";

/// Says why a round of a spout failed, if it did. Partitions that it reads are read all the same.
fn tell(health: &Health, spout: &str, reads: bool, failure: Option<&str>) {
    match failure {
        None => health.clear(spout, LAG),
        Some(failure) if reads => health.note(spout, LAG, failure),
        Some(failure) => health.set(spout, LAG, failure),
    }
}

/// How long one question of a watch may take.
const WITHIN: Duration = Duration::from_secs(5);

/// Samples the lag of a running spout until it is dropped.
pub struct Watch {
    partitions: Arc<Partitions>,
    sampler: Sampler,
    extent: Arc<Extent>,
}

impl Watch {
    /// The lag now, from the newest samples and the accounts as they are. Never waits. What
    /// is held is found here, whatever the circumstances say.
    ///
    /// Only partitions that this process reads or holds have a row: those of other members are
    /// theirs. One that was assigned since the last sample has unknown ends.
    pub fn read(&self, circumstances: Circumstances) -> Lag {
        let circumstances = Circumstances {
            held: held(&self.partitions),
            ..circumstances
        };
        Lag {
            rows: self
                .sampler
                .rows(Some(&progress(&self.partitions)), &circumstances),
            failure: self.sampler.failure(),
            owners_unknown: false,
            members: None,
            topics: self.extent.topics(),
        }
    }
}

fn progress(partitions: &Partitions) -> BTreeMap<TopicPartition, Progress> {
    let mut progress = BTreeMap::new();
    for partition in partitions.all() {
        let account = partition.account();
        if account.is_assigned() {
            let name = TopicPartition {
                topic: Arc::clone(partition.topic()),
                partition: partition.number(),
            };
            let of_partition = Progress {
                next: account.next,
                frontier: account.frontier,
                frontier_ms: account.frontier_timestamp,
                answered_ms: account.settled_timestamp,
                in_flight: account.in_flight,
                lost: account.lost,
            };
            let _ = progress.insert(name, of_partition);
        }
    }
    progress
}

fn held(partitions: &Partitions) -> BTreeMap<TopicPartition, String> {
    let held = partitions.held().into_iter();
    held.map(|((topic, partition), why)| (TopicPartition { topic, partition }, why))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::mpsc::{Receiver, sync_channel};

    use isobar_topology::spec::Node;
    use rdkafka::mocking::MockCluster;
    use serde_json::json;

    use super::*;
    use crate::kafka::admin::Commit;

    fn spec(spouts: serde_json::Value) -> Spec {
        let file = json!({
            "isobar": 1, "name": "logs",
            "connections": {"kafka": {"type": "kafka", "brokers": "localhost:1"}},
            "spouts": spouts,
            "bolts": {"end": {"type": "blackhole", "inputs": ["in"]}},
        });
        Spec::read(&Node::from_json(&file)).expect("sound")
    }

    #[test]
    fn the_kafka_spouts_of_a_file_are_found_with_their_groups() {
        let found = sources(&spec(json!({
            "in": {"type": "kafka", "connection": "kafka", "topics": "a,b", "start": "latest",
                "options": {"isolation.level": "read_uncommitted"}},
            "other": {"type": "script"},
            "named": {"type": "kafka", "connection": "kafka", "topics": ["^c"], "group": "g",
                "start": "earliest"},
        })))
        .expect("sound");
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].spout.as_str(), found[0].group.as_str()),
            ("in", "logs")
        );
        assert_eq!(found[0].topics, ["a", "b"]);
        assert!(found[0].connection.reads_uncommitted());
        assert_eq!(found[0].cluster, "kafka");
        assert_eq!(found[1].group, "g");
    }

    #[test]
    fn two_spouts_may_read_topics_of_one_name_where_one_names_what_the_other_reads() {
        let check = |one: &str, other: &str, expected: bool| {
            let spout = |topics: &str| json!({"type": "kafka", "connection": "kafka", "topics": topics, "start": "latest"});
            let found = sources(&spec(json!({"in": spout(one), "other": spout(other)})));
            let found = found.expect("sound");
            assert_eq!(
                found[0].shares_names_with(&found[1]),
                expected,
                "{one}, {other}"
            );
            assert_eq!(
                found[1].shares_names_with(&found[0]),
                expected,
                "{one}, {other}"
            );
        };
        check("a,b", "b,c", true);
        check("a", "b", false);
        check("a1", "^a.*", true);
        check("b", "^a.*", false);
        check("^a.*", "^b.*", true);
    }

    #[test]
    fn what_is_wrong_with_the_options_is_said_at_once() {
        let problems = sources(&spec(json!({
            "in": {"type": "kafka", "connection": "kafka", "topics": ["a"], "start": "soon"},
            "two": {"type": "kafka", "connection": "kafka", "start": "latest"},
        })))
        .expect_err("two problems");
        let lines = problems.to_string();
        assert_eq!(lines.lines().count(), 2, "{lines}");
    }

    #[test]
    fn brokers_that_cannot_be_reached_are_an_error_that_names_them() {
        let found = sources(&spec(json!({
            "in": {"type": "kafka", "connection": "kafka", "topics": ["a"], "start": "latest"},
        })))
        .expect("sound");
        let error = found[0]
            .once(Duration::from_millis(500))
            .expect_err("nobody listens");
        assert!(error.is_transient(), "{error}");
        assert!(error.to_string().contains("localhost:1"), "{error}");
    }

    const LIMIT: Duration = Duration::from_secs(30);

    /// Watches a spout that reads no partition; what is told of each round comes out.
    fn watched(brokers: &str) -> (Watch, Receiver<Option<String>>) {
        let (send, told) = sync_channel(100);
        let told_of = move |failure: Option<&str>| {
            // The last round may end after the test; more rounds than fit are not needed.
            let _ = send.try_send(failure.map(str::to_owned));
        };
        let source = Source::of_group(
            KafkaConnection::plain(&[brokers.to_owned()]),
            "g",
            &["a".to_owned()],
        );
        let (interval, within) = (Duration::from_millis(50), Duration::from_millis(500));
        let none = Arc::new(Partitions::default());
        let watch = source.watch_within(none, Box::new(told_of), interval, within);
        (watch.expect("a client"), told)
    }

    #[test]
    fn what_is_not_said_of_lag_holds_nothing_up_while_something_is_read() {
        let health = Health::default();
        for reads in [false, true] {
            tell(&health, "in", reads, Some("no answer"));
            let conditions = health.conditions();
            assert_eq!(conditions[0].holds_up, !reads);
            assert_eq!(conditions[0].text, "no answer");
        }
        tell(&health, "in", true, None);
        assert_eq!(health.conditions(), []);
    }

    #[test]
    fn brokers_that_say_nothing_are_named_before_anything_is_read() {
        // The system accepts connections, and nobody answers.
        let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let brokers = silent.local_addr().expect("it is bound").to_string();
        let (watch, told) = watched(&brokers);
        let expected = format!("asking for topic a: no answer from {brokers} within 500ms");
        let failure = told.recv_timeout(LIMIT).expect("a round ends");
        assert_eq!(failure, Some(expected));
        let lag = watch.read(Circumstances::default());
        assert_eq!((lag.rows.len(), lag.failure), (0, failure));
    }

    #[test]
    fn a_group_whose_partitions_all_lack_a_leader_shows_its_commits_and_why_the_rest_is_not_known()
    {
        let cluster = MockCluster::new(1).expect("a stand-in cluster");
        cluster.create_topic("a", 2, 1).expect("it is created");
        let connection = KafkaConnection::plain(&[cluster.bootstrap_servers()]);
        let source = Source::of_group(connection, "g", &["a".to_owned()]);
        let admin = Admin::of_group(source.connection(), "g", LIMIT).expect("a client");
        let commit = Commit {
            partition: TopicPartition::new("a", 1),
            offset: 7,
            metadata: String::new(),
        };
        admin.commit(&[commit]).expect("it is committed");
        for number in 0..2 {
            cluster.partition_leader("a", number, None).expect("set");
        }
        let lag = source.once(LIMIT).expect("some of it is known");
        let known: Vec<_> = lag
            .rows
            .iter()
            .map(|row| (row.leader.as_deref(), row.committed, row.end, row.lag))
            .collect();
        let leader = Some(NO_LEADER);
        assert_eq!(
            known,
            [(leader, None, None, None), (leader, Some(7), None, None)]
        );
        let why = lag.failure.expect("it says why");
        let expected = "topic a, partitions 0, 1: no broker leads it";
        assert!(why.starts_with(expected), "{why}");
        assert!(lag.rows.iter().all(|row| row.status == Status::NoData));
    }

    #[test]
    fn a_topic_that_does_not_exist_is_named_until_it_does() {
        let cluster = MockCluster::new(1).expect("a stand-in cluster");
        let (watch, told) = watched(&cluster.bootstrap_servers());
        let mut rounds = std::iter::from_fn(|| told.recv_timeout(LIMIT).ok());
        let failure = rounds.next().expect("a round ends").expect("it is missing");
        assert!(failure.starts_with("topic a: "), "{failure}");
        let topics = || watch.read(Circumstances::default()).topics;
        assert_eq!(topics(), BTreeMap::new());
        cluster.create_topic("a", 2, 1).expect("it is created");
        let found = rounds.find(Option::is_none);
        assert_eq!(found, Some(None), "it is found");
        assert_eq!(topics(), BTreeMap::from([("a".to_owned(), 2)]));
    }
}
