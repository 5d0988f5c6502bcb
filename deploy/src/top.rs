//! What `isobar top` shows, made of what the HTTP APIs of a topology answer: of one replica, or of several
//! together.

mod nodes;
mod rejects;
mod replicas;
mod requests;

use isobar_operators::lag::Status;
use serde::Deserialize;

use crate::lag::table::{Headroom, age, eta, rate, reasons, records};
use crate::lag::{PartitionLag, SpoutLag};
use crate::output::{Table, bytes, number, time};
use crate::peers::{Replica, ReplicasDocument};
use nodes::Nodes;

/// Partitions that are shown of each spout: those that are furthest behind.
const PARTITIONS_MAX: usize = 16;

/// A topology as it was seen.
pub struct Seen {
    /// `/replicas`, with addresses only.
    pub replicas: ReplicasDocument,
    /// `/diagnostics` by address, of those that were asked and answered.
    pub facts: Vec<(String, Facts)>,
}

/// What is shown of `/diagnostics`.
#[derive(Debug, Deserialize)]
pub struct Facts {
    uptime_seconds: f64,
    ready: bool,
    reasons: Vec<String>,
    plan: Plan,
}

#[derive(Debug, Deserialize)]
struct Plan {
    lanes: usize,
    memory: Memory,
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Memory {
    total: usize,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    #[serde(rename = "type")]
    kind: String,
}

impl Seen {
    /// The text: a line, what is wrong, the replicas where there are several, the nodes, requests by host, lag
    /// by partition and why it is as it is, what became of each record, and why records were rejected.
    pub fn text(&self) -> String {
        let parts = [
            self.line(),
            self.reasons(),
            self.replicas(),
            self.nodes(),
            requests::table(self.answering().filter_map(|one| one.statistics.as_ref())),
            self.lag(),
            self.replicas.accounting.table(),
            rejects::table(
                self.answering().filter_map(|one| one.statistics.as_ref()),
                self.replicas.accounting.total.read,
            ),
        ];
        let parts = parts.into_iter().filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join("\n")
    }

    fn are_several(&self) -> bool {
        self.replicas.replicas.len() > 1
    }

    fn answering(&self) -> impl Iterator<Item = &Replica> {
        let all = self.replicas.replicas.iter();
        all.filter(|one| one.failure.is_none() && one.statistics.is_some())
    }

    fn line(&self) -> String {
        let worst = self.replicas.lag.iter().map(|spout| spout.status).max();
        let is_ready = self.facts.iter().all(|(_, facts)| facts.ready);
        let all_answer = self.answering().count() == self.replicas.replicas.len();
        let status = match (worst, is_ready, all_answer) {
            (Some(status), _, _) => status.to_string(),
            (None, false, _) => "not ready".to_owned(),
            (None, true, false) => Status::NoData.to_string(),
            (None, true, true) => Status::Ok.to_string(),
        };
        let size = match self.facts.as_slice() {
            [(_, facts)] if !self.are_several() => self.size(facts),
            _ => {
                let (answer, all) = (self.answering().count(), self.replicas.replicas.len());
                format!("{answer} of {all} replicas answer")
            }
        };
        format!("{}: {status}, {size}\n", self.replicas.topology)
    }

    fn size(&self, facts: &Facts) -> String {
        let mut statistics = self.answering().filter_map(|one| one.statistics.as_ref());
        let resident = statistics.next().and_then(|one| one.process.resident_bytes);
        let resident = resident.and_then(|bytes| usize::try_from(bytes).ok());
        format!(
            "up {}, {} lanes, memory {} of {}",
            time((facts.uptime_seconds * 1000.0) as u64),
            facts.plan.lanes,
            resident.map_or_else(|| "?".to_owned(), bytes),
            bytes(facts.plan.memory.total),
        )
    }

    fn reasons(&self) -> String {
        let all = self.facts.iter().flat_map(|(address, facts)| {
            let of = match self.are_several() {
                true => format!("{address}: "),
                false => String::new(),
            };
            let reasons = facts.reasons.iter();
            reasons.map(move |reason| format!("{of}{reason}\n"))
        });
        all.collect()
    }

    fn replicas(&self) -> String {
        match self.are_several() {
            true => replicas::table(&self.replicas.replicas),
            false => String::new(),
        }
    }

    fn nodes(&self) -> String {
        let of = self.answering();
        let nodes = Nodes {
            of: of
                .filter_map(|one| Some((&*one.address, one.statistics.as_ref()?)))
                .collect(),
            accounting: &self.replicas.accounting,
            facts: self.facts.first().map(|(_, facts)| facts),
        };
        nodes.table()
    }

    fn lag(&self) -> String {
        let several = self.are_several();
        let mut columns = vec![
            "PARTITION",
            "LAG>",
            "OLDEST>",
            "IN/S>",
            "OUT/S>",
            "ETA>",
            "HEADROOM>",
            "STATUS",
        ];
        columns.extend(several.then_some("OWNER"));
        let mut table = Table::new(columns);
        let mut hidden = 0;
        for spout in &self.replicas.lag {
            let mut partitions: Vec<&PartitionLag> = spout.partitions.iter().collect();
            partitions.sort_by_key(|one| std::cmp::Reverse((one.status, one.lag)));
            hidden += partitions.len().saturating_sub(PARTITIONS_MAX);
            for one in partitions.into_iter().take(PARTITIONS_MAX) {
                let owner = one.owner.clone().unwrap_or_else(|| "-".to_owned());
                table.row(partition(one).into_iter().chain(several.then_some(owner)));
            }
            if spout.partitions.len() != 1 {
                table.row(sums(spout));
            }
        }
        if table.is_empty() {
            return String::new();
        }
        let mut text = table.text();
        if hidden > 0 {
            text.push_str(&format!(
                "and {} partitions that are less far behind\n",
                number(hidden)
            ));
        }
        text.extend(reasons(&self.replicas.lag));
        text
    }
}

fn partition(one: &PartitionLag) -> [String; 8] {
    [
        format!("{}/{}", one.topic, one.partition),
        records(one.lag, one.lag_exactness),
        age(one.oldest_age_seconds, one.oldest_age_exactness),
        rate(one.incoming_per_second),
        rate(one.outgoing_per_second),
        eta(one.eta_seconds),
        Headroom::of(one).text(),
        one.status.to_string(),
    ]
}

fn sums(spout: &SpoutLag) -> [String; 8] {
    [
        format!("{}, all", spout.spout),
        records(spout.lag, spout.lag_exactness),
        age(spout.oldest_age_seconds, spout.oldest_age_exactness),
        rate(spout.incoming_per_second),
        rate(spout.outgoing_per_second),
        eta(spout.eta_seconds),
        Headroom::of_spout(spout).text(),
        spout.status.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use isobar_operators::lag::{Exactness, Row};

    use super::*;
    use crate::accounting::Accounting;
    use crate::lag::tests::{lag, row};

    #[test]
    fn lag_is_shown_with_its_headroom_and_why_it_is_as_it_is() {
        let blocked = Row {
            status: Status::LsoBlocked,
            reason: "a transaction has been open for 61 s and hides what follows".to_owned(),
            ..row(0, Some(0), Some(0))
        };
        let behind = Row {
            headroom: Some(7),
            headroom_ms: Some(7_200_000),
            headroom_exactness: Exactness::Exact,
            ..row(1, Some(5), Some(2_000))
        };
        let topology = "t".to_owned();
        let seen = Seen {
            replicas: ReplicasDocument {
                version: 1,
                replicas: Vec::new(),
                lag: vec![lag(vec![blocked, behind])],
                accounting: Accounting::sum(&topology, &[]),
                topology,
            },
            facts: Vec::new(),
        };
        assert_eq!(
            seen.lag(),
            "\
PARTITION  LAG  OLDEST  IN/S  OUT/S  ETA   HEADROOM  STATUS
a/0          0    0 ms     ?      ?    ?          -  LSO_BLOCKED
a/1          5  ~2.0 s     ?      ?    ?  2 h 0 min  OK
in, all      5  ~2.0 s     ?      ?    ?  2 h 0 min  LSO_BLOCKED
in: a/0: a transaction has been open for 61 s and hides what follows
"
        );
    }
}
