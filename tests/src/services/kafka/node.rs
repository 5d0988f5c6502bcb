//! One node of a cluster: a broker that is a controller too, its settings, and its program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::Result;

use super::classes;
use crate::ports;
use crate::process::{Launch, Process};
use crate::scratch::Scratch;
use crate::services::{START_LIMIT, jdk};

/// Where a node listens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    broker: u16,
    controller: u16,
}

impl Ports {
    pub(super) fn free() -> Result<Self> {
        Ok(Self {
            broker: ports::free()?,
            controller: ports::free()?,
        })
    }

    /// Where its clients find it.
    pub(super) fn address(self) -> String {
        format!("127.0.0.1:{}", self.broker)
    }
}

/// What runs a node.
#[derive(Debug)]
pub(super) struct Programs {
    java: PathBuf,
    home: PathBuf,
    /// What the JVM is told of the [archive of classes](super::classes).
    classes: String,
}

impl Programs {
    /// Those of a distribution.
    pub(super) fn of(home: PathBuf) -> Result<Self> {
        let java = jdk::find(17..=99)?.join("bin/java");
        let archive = classes::archive(&java, &home)?;
        let classes = format!("-XX:SharedArchiveFile={}", archive.display());
        Ok(Self::new(&java, &home, classes))
    }

    /// With this option about the archive of classes.
    pub(super) fn new(java: &Path, home: &Path, classes: String) -> Self {
        Self {
            java: java.to_owned(),
            home: home.to_owned(),
            classes,
        }
    }

    /// Formats the directory of a node of this number, from 1, with these settings, and starts it.
    pub(super) fn start(
        &self,
        scratch: &Scratch,
        cluster: &str,
        number: usize,
        settings: &BTreeMap<String, String>,
    ) -> Result<Process> {
        let text: String = settings
            .iter()
            .map(|(name, value)| format!("{name}={value}\n"))
            .collect();
        let configuration = scratch.file(&format!("server-{number}.properties"), &text)?;
        let logging = scratch.file(&format!("log4j2-{number}.properties"), LOGGING)?;
        let log = |name: &str| scratch.path().join(format!("{name}-{number}.log"));
        let data = data_of(scratch, number);
        match CHECKPOINT.get() {
            Some(checkpoint) => fill(&data, cluster, number, checkpoint)?,
            None => {
                let format = self
                    .jvm(&logging, &log("format"), "kafka.tools.StorageTool")
                    .arguments(["format", "-t", cluster, "-c"])
                    .arguments([&configuration]);
                Process::run(format, START_LIMIT)?;
                let _ = CHECKPOINT.set(std::fs::read(data.join(BOOTSTRAP))?);
            }
        }
        let broker = self.jvm(&logging, &log("broker"), "kafka.Kafka");
        Process::start(broker.arguments([&configuration]))
    }

    fn jvm(&self, logging: &Path, log: &Path, class: &str) -> Launch {
        Launch::new(&self.java, log)
            .arguments(["-Xms256m", "-Xmx512m", "-XX:+ExitOnOutOfMemoryError"])
            .arguments(COLLECTOR)
            .arguments([&self.classes])
            .arguments([format!("-Dlog4j2.configurationFile={}", logging.display())])
            .arguments([
                "-cp".to_owned(),
                format!("{}/libs/*", self.home.display()),
                class.to_owned(),
            ])
    }
}

/// The features that a new cluster begins with, by its release. Beside [`META`] this is all that Kafka's tool
/// writes, which takes 2 s to do so; hence it does it for the first node of a process only.
const BOOTSTRAP: &str = "bootstrap.checkpoint";
static CHECKPOINT: OnceLock<Vec<u8>> = OnceLock::new();

/// Which node of which cluster a directory belongs to.
const META: &str = "meta.properties";

/// Makes the directory of a node as Kafka's tool does.
fn fill(data: &Path, cluster: &str, number: usize, checkpoint: &[u8]) -> Result<()> {
    let directory = super::unique_id();
    std::fs::create_dir(data)?;
    std::fs::write(data.join(BOOTSTRAP), checkpoint)?;
    let meta =
        format!("version=1\ncluster.id={cluster}\nnode.id={number}\ndirectory.id={directory}\n");
    std::fs::write(data.join(META), meta)?;
    Ok(())
}

fn data_of(scratch: &Scratch, number: usize) -> PathBuf {
    scratch.path().join(format!("data-{number}"))
}

/// The settings of the tests for the node of this number, from 1, of a cluster of these.
pub(super) fn settings(
    number: usize,
    nodes: &[Ports],
    scratch: &Scratch,
) -> BTreeMap<String, String> {
    let Ports { broker, controller } = nodes[number - 1];
    let data = data_of(scratch, number);
    let voters = nodes.iter().zip(1..).map(|(node, number)| {
        let Ports { controller, .. } = node;
        format!("{number}@127.0.0.1:{controller}")
    });
    let replicas = nodes.len().to_string();
    // With three, one may be away.
    let in_sync = nodes.len().div_ceil(2).to_string();
    [
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", number.to_string()),
        (
            "controller.quorum.voters",
            voters.collect::<Vec<_>>().join(","),
        ),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        (
            "listeners",
            format!("PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}"),
        ),
        (
            "advertised.listeners",
            format!("PLAINTEXT://127.0.0.1:{broker}"),
        ),
        (
            "listener.security.protocol.map",
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned(),
        ),
        ("log.dirs", data.display().to_string()),
        // A mistyped topic must fail a test, not come into being.
        ("auto.create.topics.enable", "false".to_owned()),
        // Records have fixed times in the past; the default of seven days would delete them.
        ("log.retention.ms", "-1".to_owned()),
        ("group.initial.rebalance.delay.ms", "0".to_owned()),
        // A killed broker that starts again waits for its old session to end: 9 s by default.
        ("broker.session.timeout.ms", "3000".to_owned()),
        ("broker.heartbeat.interval.ms", "500".to_owned()),
        ("default.replication.factor", replicas.clone()),
        ("min.insync.replicas", in_sync.clone()),
        ("offsets.topic.num.partitions", "4".to_owned()),
        ("offsets.topic.replication.factor", replicas.clone()),
        ("transaction.state.log.num.partitions", "4".to_owned()),
        ("transaction.state.log.replication.factor", replicas.clone()),
        ("transaction.state.log.min.isr", in_sync.clone()),
        ("share.coordinator.state.topic.replication.factor", replicas),
        ("share.coordinator.state.topic.min.isr", in_sync),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// Adds a listener of this name and protocol, and where clients are told to find it.
pub(super) fn add_listener(
    settings: &mut BTreeMap<String, String>,
    (name, protocol): (&str, &str),
    address: &str,
    advertised: &str,
) {
    for (setting, value) in [
        ("listeners", format!(",{name}://{address}")),
        ("advertised.listeners", format!(",{name}://{advertised}")),
        (
            "listener.security.protocol.map",
            format!(",{name}:{protocol}"),
        ),
    ] {
        let listeners = settings.get_mut(setting);
        *listeners.expect("every node has the plain one") += &value;
    }
}

/// How a broker's start script has its memory collected (`KAFKA_JVM_PERFORMANCE_OPTS` of Kafka 4.1): for short
/// pauses, which are in every age that is measured.
const COLLECTOR: [&str; 3] = [
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
];

const LOGGING: &str = "\
rootLogger.level = INFO
rootLogger.appenderRef.stdout.ref = stdout
appender.stdout.name = stdout
appender.stdout.type = Console
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = %d %p %m (%c)%n
";
