//! A Kafka of one's own on the loopback address: one node, or a cluster of several, each of them a
//! broker and a controller. Topics and records go through `kafka/client.rs`.

mod classes;
mod client;
mod load;
mod node;
mod proxied;
mod secured;
mod tools;

use std::ops::Deref;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Result;

use super::{START_LIMIT, STOP_LIMIT, fetched};
use crate::process::Process;
use crate::scratch::Scratch;
use crate::wait;
use node::{Ports, Programs};

pub use client::{KafkaClient, Received, Sent, Transaction};
pub use load::{Acknowledged, Load, Schedule};
pub use proxied::Proxied;
pub use secured::{Secured, USER};
pub use tools::tools;

/// Where `tests/run fetch` puts the broker.
pub const DIRECTORY: &str = "kafka-4.1.0";

/// A running cluster, which is asked as its [client](KafkaClient) is. Dropping it kills it and removes its
/// data.
#[derive(Debug)]
pub struct Kafka {
    // Before the directory, so that the nodes are gone when their data goes.
    nodes: Vec<Process>,
    client: KafkaClient,
    secured: Option<Secured>,
    proxied: Option<Proxied>,
    _scratch: Scratch,
}

/// The listener that each node has besides the plain one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Second {
    None,
    Secured,
    Proxied,
}

impl Deref for Kafka {
    type Target = KafkaClient;

    fn deref(&self) -> &KafkaClient {
        &self.client
    }
}

impl Kafka {
    /// Starts one node with the settings of the tests and waits until it answers.
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// Starts one node with these broker settings instead of, or besides, those of the tests.
    pub fn start_with(overrides: &[(&str, &str)]) -> Result<Self> {
        Self::launch(1, overrides, Second::None)
    }

    /// Starts one node that takes encrypted connections with a login as well: [`Self::secured`].
    pub fn start_secured() -> Result<Self> {
        Self::launch(1, &[], Second::Secured)
    }

    /// Starts one node as [`Self::start_secured`] does, on which whoever logs in may do only what
    /// `kafka-acls.sh` has allowed: see [`tools`]. Who does not log in may do all.
    pub fn start_with_rights() -> Result<Self> {
        let authorizer = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";
        let settings = [
            ("authorizer.class.name", authorizer),
            ("super.users", "User:ANONYMOUS"),
        ];
        Self::launch(1, &settings, Second::Secured)
    }

    /// Starts a cluster of so many nodes. Every topic has a replica on each node, the internal ones too,
    /// and a write needs more than half of them.
    pub fn start_cluster(nodes: usize, overrides: &[(&str, &str)]) -> Result<Self> {
        Self::launch(nodes, overrides, Second::None)
    }

    /// Starts a cluster as [`Self::start_cluster`] does, to whose nodes there is a second way by way of proxies:
    /// [`Self::proxied`].
    pub fn start_proxied_cluster(nodes: usize, overrides: &[(&str, &str)]) -> Result<Self> {
        Self::launch(nodes, overrides, Second::Proxied)
    }

    fn launch(count: usize, overrides: &[(&str, &str)], second: Second) -> Result<Self> {
        let programs = Programs::of(fetched(DIRECTORY)?)?;
        let scratch = Scratch::new("kafka")?;
        let ports: Vec<Ports> = (0..count).map(|_| Ports::free()).collect::<Result<_>>()?;
        let (mut secured, mut proxies) = (None, Vec::new());
        let mut all_settings = Vec::new();
        for number in 1..=count {
            let mut settings = node::settings(number, &ports, &scratch);
            settings.extend(
                overrides
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
            );
            match second {
                Second::None => {}
                Second::Secured => secured = Some(Secured::add_to(&mut settings, &scratch)?),
                Second::Proxied => proxies.push(Proxied::add_to(&mut settings)?),
            }
            all_settings.push(settings);
        }
        let cluster = unique_id();
        // At once: a node takes seconds, and waits for the others.
        let nodes = std::thread::scope(|scope| {
            let starting: Vec<_> = (1..)
                .zip(&all_settings)
                .map(|(number, settings)| {
                    let (programs, scratch, cluster) = (&programs, &scratch, &cluster);
                    scope.spawn(move || programs.start(scratch, cluster, number, settings))
                })
                .collect();
            let started = starting.into_iter();
            let started = started.map(|one| one.join().expect("no panic"));
            started.collect::<Result<Vec<_>>>()
        })?;
        let addresses: Vec<String> = ports.iter().map(|node| node.address()).collect();
        let mut kafka = Self {
            nodes,
            client: KafkaClient::new(addresses.join(",")),
            secured,
            proxied: (second == Second::Proxied).then(|| Proxied::by(proxies)),
            _scratch: scratch,
        };
        kafka.wait_until_ready()?;
        Ok(kafka)
    }

    /// What asks it, to be had apart from what starts and stops its nodes.
    pub fn client(&self) -> &KafkaClient {
        &self.client
    }

    /// How it is reached with encryption and a login, by [`Self::start_secured`].
    pub fn secured(&self) -> Option<&Secured> {
        self.secured.as_ref()
    }

    /// How it is reached by way of proxies, by [`Self::start_proxied_cluster`].
    pub fn proxied(&self) -> Option<&Proxied> {
        self.proxied.as_ref()
    }

    /// How many nodes it has.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Ends all nodes in an orderly way and waits for that; their data stays for
    /// [`restart`](Self::restart).
    pub fn stop(&mut self) -> Result<()> {
        for node in &mut self.nodes {
            // Java ends with 143 after SIGTERM, and an orderly end is in the log only.
            let _ = node.stop(STOP_LIMIT)?;
        }
        Ok(())
    }

    /// Kills all nodes (SIGKILL).
    pub fn kill9(&mut self) {
        self.nodes.iter_mut().for_each(Process::kill9);
    }

    /// Kills one node (SIGKILL), counted from 0.
    pub fn kill9_node(&mut self, node: usize) {
        self.nodes[node].kill9();
    }

    /// Starts one node again that was killed, and waits until every partition has all its replicas in
    /// sync: the next one may be killed then.
    pub fn start_node_again(&mut self, node: usize) -> Result<()> {
        self.nodes[node].start_again()?;
        self.wait_until_ready()
    }

    /// Starts all nodes again, on the same ports and data, and waits until they answer. They are stopped
    /// first if they run.
    pub fn restart(&mut self) -> Result<()> {
        for node in &mut self.nodes {
            if node.id().is_some() {
                let _ = node.stop(STOP_LIMIT)?;
            }
            node.start_again()?;
        }
        self.wait_until_ready()
    }

    /// Keeps all nodes on these cores from now on: see [`Process::keep_on`].
    pub fn keep_on(&self, cores: &str) -> Result<()> {
        self.nodes.iter().try_for_each(|node| node.keep_on(cores))
    }

    /// Freezes all nodes: connections stay open and nothing answers.
    pub fn pause(&mut self) {
        self.nodes.iter_mut().for_each(Process::pause);
    }

    /// Lets paused nodes go on.
    pub fn resume(&mut self) {
        self.nodes.iter_mut().for_each(Process::resume);
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let Self { nodes, client, .. } = self;
        let count = nodes.len();
        wait::until("Kafka's first answer", START_LIMIT, || {
            nodes.iter_mut().try_for_each(Process::check_running)?;
            // Each itself: the others know of a node that was killed only when its session is over.
            let mut each = client.brokers().split(',');
            each.try_for_each(|address| {
                KafkaClient::new(address.to_owned()).check_answers(count, Duration::from_secs(2))
            })
        })
        .map_err(|error| {
            let tails: Vec<String> = nodes.iter().map(Process::log_tail).collect();
            error.context(tails.join("\n"))
        })
    }
}

/// An identity of its own for a cluster, or a directory of a node: 16 bytes in URL-safe base64, of which the last character
/// holds two bits only.
fn unique_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("isobar{:010}{number:05}A", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_have_the_length_that_kafka_wants() {
        let (first, second) = (unique_id(), unique_id());
        assert_eq!(first.len(), 22);
        assert_ne!(first, second);
    }
}
