//! The account of a running topology: what became of every record that was read, by spout and partition.

use std::collections::BTreeMap;

use isobar_topology::{Account, Running};
use serde::{Deserialize, Serialize};

use crate::output::{Table, number};

/// The account of a whole topology.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Accounting {
    /// The topology's name.
    pub topology: String,
    /// All spouts together.
    pub total: Terms,
    /// By spout, in the order of the topology file.
    pub spouts: Vec<SpoutAccount>,
}

/// The account of a spout.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SpoutAccount {
    /// Its id.
    pub spout: String,
    /// All its partitions together.
    #[serde(flatten)]
    pub terms: Terms,
    /// Every partition that it has read since the start, also those that other members read now.
    pub partitions: Vec<PartitionAccount>,
}

/// The account of a partition.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PartitionAccount {
    /// The topic.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// The topic was deleted and created again since: this is the account of the former one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub former: bool,
    /// What became of its records.
    #[serde(flatten)]
    pub terms: Terms,
    /// Everything before this offset is settled; null before the first record.
    pub frontier: Option<i64>,
    /// The offset after the last record that was read; null before the first one.
    pub next: Option<i64>,
}

/// What became of records, in records. `read` is the sum of `delivered`, `already_present`, `dropped`,
/// `dead_lettered`, `handed_back` and `in_flight`; `difference` is what is missing to that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Handed out by the spout.
    pub read: u64,
    /// The outside system took it.
    pub delivered: u64,
    /// The outside system had it already.
    pub already_present: u64,
    /// Left out on purpose.
    pub dropped: u64,
    /// Rejected, and the dead letter is written.
    pub dead_lettered: u64,
    /// Given back unfinished: the partition moved to another member, or the topology stopped.
    pub handed_back: u64,
    /// Not settled yet.
    pub in_flight: u64,
    /// Records that are in none of the terms: anything but 0 is a bug.
    pub difference: i64,
    /// Times that a record was sent again after a failure.
    pub retried: u64,
    /// Deleted at the source before they were read, so no part of `read`: anything but 0 is loss.
    pub lost: u64,
    /// `dropped` by the name of the policy.
    pub dropped_by_policy: BTreeMap<String, u64>,
}

impl Accounting {
    /// Takes the account. Each partition is read at one moment, and sums are made of what is listed,
    /// so that every `difference` is exact while records move.
    pub fn of(running: &Running) -> Self {
        let graph = running.graph();
        let mut total = Account::default();
        let mut spouts = Vec::new();
        for (number, node) in graph.spouts.iter().enumerate() {
            let mut sum = Account::default();
            let mut partitions = Vec::new();
            for (partition, current) in running.partitions(number).ever() {
                let account = partition.account();
                sum.add(&account);
                partitions.push(PartitionAccount {
                    topic: partition.topic().to_string(),
                    partition: partition.number(),
                    former: !current,
                    terms: Terms::of(&account, &graph.policies),
                    frontier: account.frontier,
                    next: account.next,
                });
            }
            total.add(&sum);
            spouts.push(SpoutAccount {
                spout: node.id.to_string(),
                terms: Terms::of(&sum, &graph.policies),
                partitions,
            });
        }
        Self {
            topology: graph.name.clone(),
            total: Terms::of(&total, &graph.policies),
            spouts,
        }
    }

    /// The sums over several copies of a topology, by spout; partitions are left out.
    pub fn sum(topology: &str, all: &[Accounting]) -> Self {
        let mut sum = Self {
            topology: topology.to_owned(),
            total: Terms::default(),
            spouts: Vec::new(),
        };
        for one in all {
            sum.total.add(&one.total);
            for spout in &one.spouts {
                match sum.spouts.iter_mut().find(|own| own.spout == spout.spout) {
                    Some(own) => own.terms.add(&spout.terms),
                    None => sum.spouts.push(SpoutAccount {
                        partitions: Vec::new(),
                        ..spout.clone()
                    }),
                }
            }
        }
        sum
    }

    /// A row for each spout, and one for all when there are several.
    pub fn table(&self) -> String {
        let mut table = Table::new([
            "SPOUT",
            "READ>",
            "DELIVERED>",
            "ALREADY PRESENT>",
            "DROPPED>",
            "DEAD-LETTERED>",
            "HANDED BACK>",
            "IN FLIGHT>",
            "DIFFERENCE>",
        ]);
        for spout in &self.spouts {
            table.row(row(&spout.spout, &spout.terms));
        }
        if self.spouts.len() > 1 {
            table.row(row("all", &self.total));
        }
        let mut text = table.text();
        if self.total.lost > 0 {
            text.push_str(&format!(
                "Lost, as they were deleted at the source before they were read: up to {}\n",
                number(self.total.lost)
            ));
        }
        for (policy, count) in &self.total.dropped_by_policy {
            text.push_str(&format!("Dropped by policy {policy}: {}\n", number(*count)));
        }
        text
    }
}

fn row(name: &str, terms: &Terms) -> Vec<String> {
    let counts = [
        terms.read,
        terms.delivered,
        terms.already_present,
        terms.dropped,
        terms.dead_lettered,
        terms.handed_back,
        terms.in_flight,
    ];
    let counts = counts.into_iter().map(number);
    let difference = number(terms.difference);
    [name.to_owned()]
        .into_iter()
        .chain(counts)
        .chain([difference])
        .collect()
}

impl Terms {
    fn of(account: &Account, policies: &[String]) -> Self {
        let by_policy = account.dropped.iter().map(|(policy, count)| {
            let name = policies.get(policy.index());
            (
                name.cloned()
                    .unwrap_or_else(|| format!("policy {}", policy.index())),
                *count,
            )
        });
        Self {
            read: account.read,
            delivered: account.delivered,
            already_present: account.already_present,
            dropped: account.dropped.values().sum(),
            dead_lettered: account.dead_lettered,
            handed_back: account.handed_back,
            in_flight: account.in_flight,
            difference: account.difference(),
            retried: account.retried,
            lost: account.lost,
            dropped_by_policy: by_policy.collect(),
        }
    }

    /// What a replica says may be any number.
    fn add(&mut self, other: &Self) {
        let counts = [
            (&mut self.read, other.read),
            (&mut self.delivered, other.delivered),
            (&mut self.already_present, other.already_present),
            (&mut self.dropped, other.dropped),
            (&mut self.dead_lettered, other.dead_lettered),
            (&mut self.handed_back, other.handed_back),
            (&mut self.in_flight, other.in_flight),
            (&mut self.retried, other.retried),
            (&mut self.lost, other.lost),
        ];
        for (sum, count) in counts {
            *sum = sum.saturating_add(count);
        }
        self.difference = self.difference.saturating_add(other.difference);
        for (policy, count) in &other.dropped_by_policy {
            let sum = self.dropped_by_policy.entry(policy.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
    }

    /// Records that will not be worked on any more.
    pub fn settled(&self) -> u64 {
        self.read.saturating_sub(self.in_flight)
    }
}
