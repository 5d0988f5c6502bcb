//! Three replicas, three brokers and Elasticsearch under random faults, of themselves and of the connections
//! between them: nothing is lost, nothing is there twice, and what is dead-lettered or dropped is what is to be,
//! whichever protocol the group speaks.
//!
//! `ISOBAR_CHAOS_SEED=17` plays the faults of another seed than 1: what happens, in which
//! order and for how long; not which records are on their way then. The long form is `tests/run e2e long`,
//! or `long::chaos_classic` and `long::chaos_consumer`: ten minutes of faults each.

mod commits;
mod faults;
mod questions;
mod traffic;
mod trouble;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testkit::isobar::{Isobar, Sampler, Setup};
use testkit::proxy::Proxy;
use testkit::random::Random;
use testkit::services::kafka::Received;
use testkit::services::{Kafka, KafkaClient, Search, setting};
use testkit::wait;

use crate::support::{Steps, Total, check_exactly_those, with_search};
use commits::Commits;
use faults::Faults;
use questions::Questions;
use traffic::{DEAD, EVERY, End};
use trouble::Trouble;

/// How long anything may take that comes after a fault, on a machine that builds something.
const LIMIT: Duration = Duration::from_secs(240);
const NODES: usize = 3;
const REPLICAS: usize = 3;
const PARTITIONS: u64 = 6;
/// After this time without a heartbeat a member is put out of its group.
const SESSION: Duration = Duration::from_secs(6);

/// How much of it there is for each protocol.
pub(crate) struct Form {
    /// Faults go on for so long, and until each kind has been there.
    pub(crate) faults_for: Duration,
    /// Records per second.
    pub(crate) rate: u64,
    /// How often it is asked, at least, what became of a record.
    pub(crate) questions: u64,
    /// How often when all is over, besides what was open before.
    pub(crate) calm_questions: u64,
    /// Of each fault there are so many that what they are for must have been seen: connections to brokers that
    /// were cut and slowed, and a member that was put out and came back.
    pub(crate) shows_all: bool,
}

#[test]
fn nothing_is_lost_whatever_is_killed() {
    let form = Form {
        faults_for: Duration::from_secs(20),
        rate: 1_000,
        questions: 10,
        calm_questions: 20,
        shows_all: false,
    };
    run(&["classic", "consumer"], &form);
}

pub(crate) fn run(protocols: &[&'static str], form: &Form) {
    let seed = seed();
    let mut steps = Steps::new("chaos");
    let settings = [
        ("group.consumer.min.session.timeout.ms", "6000"),
        ("group.consumer.session.timeout.ms", "6000"),
        ("group.consumer.min.heartbeat.interval.ms", "500"),
        ("group.consumer.heartbeat.interval.ms", "500"),
    ];
    let (mut kafka, mut search) = with_search(|| Kafka::start_proxied_cluster(NODES, &settings));
    steps.done(&format!("start, with ISOBAR_CHAOS_SEED={seed}"));
    for protocol in protocols {
        kafka
            .create_topic("logs", PARTITIONS as i32, &[])
            .expect("the topic is created");
        kafka
            .create_topic(DEAD, 1, &[])
            .expect("the topic is created");
        let mut round = Round::start(&kafka, &search, protocol);
        steps.done(&format!("{protocol}: {REPLICAS} replicas"));
        round.faults(&mut kafka, &mut search, form, seed, &mut steps);
        round.end(&kafka, &search, &mut steps);
        let client = search.client();
        let deleted = client.delete_index("logs-2026.01.01");
        deleted.expect("the next round starts empty");
        for topic in ["logs", DEAD] {
            kafka.delete_topic(topic).expect("the topic is deleted");
        }
    }
}

fn seed() -> u64 {
    let chosen = setting("ISOBAR_CHAOS_SEED");
    let seed = chosen.map(|text| text.parse().expect("ISOBAR_CHAOS_SEED is a number"));
    seed.unwrap_or(1)
}

/// One protocol: its replicas, and what lies between them and Elasticsearch.
struct Round {
    protocol: &'static str,
    proxy: Proxy,
    replicas: Vec<Isobar>,
    samplers: Vec<Sampler>,
    sent: u64,
}

impl Round {
    fn start(kafka: &Kafka, search: &Search, protocol: &'static str) -> Self {
        let target = search.client().address();
        let proxy = Proxy::start(target).expect("it listens");
        let ways = kafka.proxied().expect("it was started so");
        let mut round = Self {
            protocol,
            replicas: Vec::new(),
            samplers: Vec::new(),
            sent: 0,
            proxy,
        };
        for _ in 0..REPLICAS {
            let setup = round.setup(&ways.brokers()).arguments(&["-o", "json"]);
            let isobar = setup.start().expect("it starts");
            let sampler = isobar.sample_accounting().expect("a thread");
            round.samplers.push(sampler);
            round.replicas.push(isobar);
        }
        for replica in &mut round.replicas {
            replica.wait_until_ready(LIMIT).expect("it reads");
        }
        round
    }

    fn setup(&self, brokers: &str) -> Setup {
        let options = match self.protocol {
            "classic" => {
                let session = SESSION.as_millis();
                format!(", options: {{session.timeout.ms: {session}, heartbeat.interval.ms: 500}}")
            }
            _ => String::new(),
        };
        let protocol = self.protocol;
        let spout = format!(", group_protocol: {protocol}, commit_interval: 1s{options}");
        let text = traffic::topology(protocol, &spout);
        let setup = Setup::new(&text).expect("a directory");
        setup
            .environment("KAFKA", brokers)
            .environment("ES", &format!("http://{}", self.proxy.address()))
    }

    /// Lets faults happen under load, while commits are watched and questions asked.
    fn faults(
        &mut self,
        kafka: &mut Kafka,
        search: &mut Search,
        form: &Form,
        seed: u64,
        steps: &mut Steps,
    ) {
        let client = kafka.client().clone();
        let load = client
            .load_of("logs", PARTITIONS, form.rate, traffic::value)
            .expect("a producer");
        let (trouble, over) = (Trouble::default(), AtomicBool::new(false));
        let commits = Commits {
            kafka: &client,
            group: self.protocol,
        };
        let addresses = self.replicas.iter().map(|one| one.address().to_owned());
        let mut questions = Questions {
            within: "300ms",
            // Directly: how long it takes and how often it says nothing is bounded for brokers that can be asked.
            asking: self.setup(client.brokers()),
            addresses: addresses.collect(),
            acknowledged: load.acknowledged(),
            schedule: load.schedule(),
            search: search.client().clone(),
            trouble: &trouble,
        };
        let faults = |number| Faults {
            random: Random::new(seed ^ number),
            until: wait::now() + form.faults_for,
            trouble: &trouble,
            shows_all: form.shows_all,
        };
        let ways = kafka.proxied().expect("it was started so").clone();
        let (proxy, replicas) = (&self.proxy, &mut self.replicas);
        let (asked, told) = std::thread::scope(|scope| {
            let watching = scope.spawn(|| commits.watch(&over));
            let asking =
                scope.spawn(|| questions.ask(&mut Random::new(seed), form.questions, &over));
            let lanes = [
                scope.spawn(|| faults(1).of_replicas(replicas)),
                scope.spawn(|| faults(2).of_brokers(kafka)),
                scope.spawn(|| faults(3).of_search(search, proxy)),
                scope.spawn(|| faults(4).of_ways(ways.ways())),
            ];
            let told = lanes.map(std::thread::ScopedJoinHandle::join);
            // Also when a fault could not be done: who waits for this would wait for ever.
            over.store(true, Ordering::Release);
            let asked = asking.join().expect("all is right");
            watching.join().expect("no commit goes back");
            let told = told.map(|one| one.expect("no panic").expect("each can be done"));
            (asked, told)
        });
        for of in told {
            steps.done(&format!("{}: {of}", self.protocol));
        }
        // Some come when all is over: of those everything is known.
        let enough = load.schedule().due_by_now() / PARTITIONS + EVERY;
        let acknowledged = load.acknowledged();
        let came = wait::until("more records", LIMIT, || {
            let least = (0..PARTITIONS as usize)
                .map(|one| acknowledged.of(one))
                .min();
            // What has failed is said below.
            ensure!(
                load.has_failed() || least >= Some(enough),
                "{least:?} of {enough}"
            );
            Ok(())
        });
        came.expect("they are acknowledged");
        self.sent = load.finish().expect("all is acknowledged");
        steps.done(&format!("{}: {} records sent", self.protocol, self.sent));
        let open = asked.open();
        let told = asked.check(search.client()).expect("each was right");
        steps.done(&format!("{}: {told}", self.protocol));
        let open = open.expect("enough was known");
        self.wait_until_committed(kafka);
        steps.done(&format!("{}: all is committed", self.protocol));
        questions.within = "10s";
        let told = questions.ask_in_calm(&mut Random::new(seed), form.calm_questions, &open);
        let told = told.check(search.client()).expect("each was right");
        steps.done(&format!("{}: {told}", self.protocol));
    }

    /// The replicas end, and the index holds each record once, but for those that are rejected, of which
    /// there are dead letters, and those that are dropped.
    fn end(self, kafka: &KafkaClient, search: &Search, steps: &mut Steps) {
        let (protocol, sent) = (self.protocol, self.sent);
        let (mut delivered, mut again) = (0, 0);
        let (mut dead_lettered, mut dropped) = (0, 0);
        for mut replica in self.replicas {
            let status = replica.stop(LIMIT).expect("it ends");
            assert_eq!(status.code(), Some(0), "{}", replica.process().log_tail());
            let report = replica.report().expect("it reports");
            let total = Total::of(&report["accounting"]).expect("an accounting");
            delivered += total.delivered;
            again += total.already_present;
            dead_lettered += total.dead_lettered;
            dropped += total.dropped;
        }
        let commits = Commits {
            kafka,
            group: protocol,
        };
        let commits = commits.check_all(LIMIT).expect("none goes back");
        assert!(commits > 0, "they are found");
        let samples: Vec<_> = self
            .samplers
            .into_iter()
            .map(|sampler| sampler.finish().expect("every sample adds up").good)
            .collect();
        assert!(delivered <= sent, "{delivered} of {sent} were delivered");
        let is_meant = |end: End| move |number: &u64| End::of_number(*number) == end;
        check_exactly_those(search, PARTITIONS, sent, |number| {
            is_meant(End::Indexed)(&number)
        });
        let letters = kafka.consume_all(DEAD, LIMIT).expect("they are read");
        let read = letters.len();
        let of = |letter: Received| traffic::number_of(&letter.value.unwrap_or_default());
        let rejected: Option<BTreeSet<u64>> = letters.into_iter().map(of).collect();
        let expected = (0..sent).filter(is_meant(End::DeadLettered)).collect();
        assert_eq!(rejected.as_ref(), Some(&expected), "no other and no fewer");
        steps.done(&format!(
            "{protocol}: {sent} sent: {} dropped, {} dead-lettered by {read} letters, and each of the others once; in their last lives the replicas delivered {delivered}, found {again} already present, dead-lettered {dead_lettered} and dropped {dropped}; of {commits} commits that were taken none goes back; {samples:?} samples add up",
            (0..sent).filter(is_meant(End::Dropped)).count(),
            expected.len(),
        ));
    }

    fn wait_until_committed(&mut self, kafka: &KafkaClient) {
        let caught_up = wait::until("everything to be committed", LIMIT, || {
            for replica in &mut self.replicas {
                // One that ended would be the reason.
                drop(replica.accounting()?);
            }
            let committed = kafka.committed(self.protocol, "logs")?;
            let ends = kafka.end_offsets("logs")?;
            let ends: Vec<_> = ends.into_iter().map(Some).collect();
            ensure!(committed == ends, "{committed:?} of {ends:?}");
            Ok(())
        });
        let told = self.replicas.iter().map(|replica| {
            let reads = replica.accounting().map(|told| told["spouts"].to_string());
            format!("{reads:?}\n{}", replica.process().log_tail())
        });
        let told: Vec<String> = told.collect();
        caught_up.unwrap_or_else(|error| panic!("{error:#}\n{}", told.join("\n")));
    }
}

/// What the spouts of a replica have counted in its present life.
fn spout_count(replica: &Isobar, name: &str) -> Result<f64> {
    let metrics = replica.metrics()?;
    let family = format!("isobar_spout_{name}_total{{");
    let lines = metrics.lines().filter(|line| line.starts_with(&family));
    let numbers = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    numbers.reduce(|a, b| a + b).context(family)
}
