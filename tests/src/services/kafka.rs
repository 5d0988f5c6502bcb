//! A Kafka broker of one's own: a single combined broker and controller on the loopback address.
//! Topics and records go through `kafka/client.rs`.

mod client;
mod secured;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Result;

use super::{START_LIMIT, STOP_LIMIT, fetched, jdk};
use crate::process::{Launch, Process};
use crate::scratch::Scratch;
use crate::{ports, wait};

pub use client::{Received, Sent};
pub use secured::{Secured, USER};

/// Where `tests/run fetch` puts the broker.
pub const DIRECTORY: &str = "kafka-4.1.0";

/// A running broker. Dropping it kills it and removes its data.
#[derive(Debug)]
pub struct Kafka {
    // Before the directory, so that the broker is gone when its data goes.
    process: Process,
    brokers: String,
    secured: Option<Secured>,
    _scratch: Scratch,
}

impl Kafka {
    /// Starts a broker with the settings of the tests and waits until it answers.
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// Starts a broker with these broker settings instead of, or besides, those of the tests.
    pub fn start_with(overrides: &[(&str, &str)]) -> Result<Self> {
        Self::launch(overrides, false)
    }

    /// Starts a broker that takes encrypted connections with a login as well: [`Self::secured`].
    pub fn start_secured() -> Result<Self> {
        Self::launch(&[], true)
    }

    fn launch(overrides: &[(&str, &str)], secure: bool) -> Result<Self> {
        let home = fetched(DIRECTORY)?;
        let java = jdk::find(17..=99)?.join("bin/java");
        let scratch = Scratch::new("kafka")?;
        let (port, controller) = (ports::free()?, ports::free()?);
        let brokers = format!("127.0.0.1:{port}");
        let mut settings = default_settings(port, controller, &scratch);
        settings.extend(
            overrides
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let secured = match secure {
            true => Some(Secured::add_to(&mut settings, &scratch)?),
            false => None,
        };
        let text: String = settings
            .iter()
            .map(|(name, value)| format!("{name}={value}\n"))
            .collect();
        let configuration = scratch.file("server.properties", &text)?;
        let logging = scratch.file("log4j2.properties", LOGGING)?;

        let jvm = |log: &str, class: &str| {
            Launch::new(&java, &scratch.path().join(log))
                .arguments(["-Xms256m", "-Xmx512m", "-XX:+ExitOnOutOfMemoryError"])
                .arguments([format!("-Dlog4j2.configurationFile={}", logging.display())])
                .arguments([
                    "-cp".to_owned(),
                    format!("{}/libs/*", home.display()),
                    class.to_owned(),
                ])
        };
        let format = jvm("format.log", "kafka.tools.StorageTool")
            .arguments(["format", "-t", &cluster_id(), "-c"])
            .arguments([&configuration]);
        Process::run(format, START_LIMIT)?;
        let process = Process::start(jvm("broker.log", "kafka.Kafka").arguments([&configuration]))?;
        let mut kafka = Self {
            process,
            brokers,
            secured,
            _scratch: scratch,
        };
        kafka.wait_until_ready()?;
        Ok(kafka)
    }

    /// The value for `bootstrap.servers`. Stays the same over restarts.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// How it is reached with encryption and a login, by [`Self::start_secured`].
    pub fn secured(&self) -> Option<&Secured> {
        self.secured.as_ref()
    }

    /// The program, for its log, memory and CPU time.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Ends the broker in an orderly way and waits for that; its data stays for
    /// [`restart`](Self::restart).
    pub fn stop(&mut self) -> Result<()> {
        // Java ends with 143 after SIGTERM, and an orderly end is in the log only.
        self.process.stop(STOP_LIMIT).map(drop)
    }

    /// Kills the broker (SIGKILL).
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Starts the broker again, on the same port and data, and waits until it answers. It is stopped
    /// first if it runs.
    pub fn restart(&mut self) -> Result<()> {
        if self.process.id().is_some() {
            self.stop()?;
        }
        self.process.start_again()?;
        self.wait_until_ready()
    }

    /// Freezes the broker: connections stay open and nothing answers.
    pub fn pause(&mut self) {
        self.process.pause();
    }

    /// Lets a paused broker go on.
    pub fn resume(&mut self) {
        self.process.resume();
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let Self {
            process, brokers, ..
        } = self;
        wait::until("Kafka's first answer", START_LIMIT, || {
            process.check_running()?;
            client::check_answers(brokers, Duration::from_secs(2))
        })
        .map_err(|error| error.context(process.log_tail()))
    }
}

fn default_settings(port: u16, controller: u16, scratch: &Scratch) -> BTreeMap<String, String> {
    let data = scratch.path().join("data").display().to_string();
    [
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", "1".to_owned()),
        (
            "controller.quorum.voters",
            format!("1@127.0.0.1:{controller}"),
        ),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        (
            "listeners",
            format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}"),
        ),
        (
            "advertised.listeners",
            format!("PLAINTEXT://127.0.0.1:{port}"),
        ),
        (
            "listener.security.protocol.map",
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned(),
        ),
        ("log.dirs", data),
        // A mistyped topic must fail a test, not come into being.
        ("auto.create.topics.enable", "false".to_owned()),
        // Records have fixed times in the past; the default of seven days would delete them.
        ("log.retention.ms", "-1".to_owned()),
        ("group.initial.rebalance.delay.ms", "0".to_owned()),
        // A killed broker that starts again waits for its old session to end: 9 s by default.
        ("broker.session.timeout.ms", "3000".to_owned()),
        ("broker.heartbeat.interval.ms", "500".to_owned()),
        ("offsets.topic.num.partitions", "4".to_owned()),
        ("offsets.topic.replication.factor", "1".to_owned()),
        ("transaction.state.log.num.partitions", "4".to_owned()),
        ("transaction.state.log.replication.factor", "1".to_owned()),
        ("transaction.state.log.min.isr", "1".to_owned()),
        (
            "share.coordinator.state.topic.replication.factor",
            "1".to_owned(),
        ),
        ("share.coordinator.state.topic.min.isr", "1".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// An identity of its own for each cluster: 16 bytes in URL-safe base64, of which the last character
/// holds two bits only.
fn cluster_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("isobar{:010}{number:05}A", std::process::id())
}

const LOGGING: &str = "\
rootLogger.level = INFO
rootLogger.appenderRef.stdout.ref = stdout
appender.stdout.name = stdout
appender.stdout.type = Console
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = %d %p %m (%c)%n
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_ids_differ_and_have_the_length_that_kafka_wants() {
        let (first, second) = (cluster_id(), cluster_id());
        assert_eq!(first.len(), 22);
        assert_ne!(first, second);
    }
}
