//! What `isobar top` shows, made of what the HTTP APIs of a topology answer: of one replica, or of several
//! together.

mod edges;
mod facts;
mod lag;
mod nodes;
mod past;
mod rejects;
mod replicas;
mod requests;
mod screen;

use std::collections::{BTreeMap, BTreeSet};

use isobar_operators::lag::Status;

use crate::lag::table::rate;
use crate::output::{bytes, number, time};
use crate::peers::{Replica, ReplicasDocument};
use crate::statistics::{SpoutNumbers, Statistics};
use nodes::Nodes;

pub use facts::Facts;
pub use past::Pasts;
pub use screen::fit;

/// A topology as it was seen.
pub struct Seen<'a> {
    /// `/replicas`, with addresses only.
    pub replicas: ReplicasDocument,
    /// `/diagnostics` by address, of those that were asked and answered.
    pub facts: Vec<(String, Facts)>,
    /// What they said of the last hour.
    pub pasts: &'a Pasts,
}

impl Seen<'_> {
    /// The text, what is most important first: how it gets on, what is wrong, the replicas where there are
    /// several, the nodes, lag by partition and over the last hour, requests by host, what became of each record
    /// and why some were rejected, the edges, the configuration.
    pub fn text(&self) -> String {
        let nodes = self.nodes();
        let lag = &self.replicas.lag;
        let asked: Vec<&str> = self.facts.iter().map(|(address, _)| &**address).collect();
        let parts = [
            self.head(),
            self.wrong(),
            self.replicas(),
            nodes.table(),
            lag::table(lag, self.are_several()),
            self.pasts.table(lag, &asked),
            requests::table(self.statistics()),
            self.account(),
            rejects::table(self.statistics(), self.replicas.accounting.total.read),
            edges::table(&nodes),
            self.configurations(),
        ];
        let parts = parts.into_iter().filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join("\n")
    }

    fn are_several(&self) -> bool {
        self.replicas.replicas.len() > 1
    }

    fn answering(&self) -> impl Iterator<Item = &Replica> + Clone {
        let all = self.replicas.replicas.iter();
        all.filter(|one| one.failure.is_none() && one.statistics.is_some())
    }

    fn statistics(&self) -> impl Iterator<Item = &Statistics> + Clone {
        self.answering().filter_map(|one| one.statistics.as_ref())
    }

    /// How it gets on, in a word and in a few numbers.
    fn head(&self) -> String {
        let worst = self.replicas.lag.iter().map(|spout| spout.status).max();
        let is_ready = self.facts.iter().all(|(_, facts)| facts.ready);
        let all_answer = self.answering().count() == self.replicas.replicas.len();
        let status = match (worst, is_ready, all_answer) {
            (None | Some(Status::Ok), false, _) => "not ready".to_owned(),
            (Some(status), _, _) => status.to_string(),
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
        let topology = &self.replicas.topology;
        format!("{topology}: {status}, {size}\n{}\n", self.flow())
    }

    fn size(&self, facts: &Facts) -> String {
        let resident = self.statistics().next();
        let resident = resident.and_then(|one| one.process.resident_bytes);
        let resident = resident.and_then(|bytes| usize::try_from(bytes).ok());
        format!(
            "up {}, {} lanes, memory {} of {}",
            time((facts.uptime_seconds * 1000.0) as u64),
            facts.plan.lanes,
            resident.map_or_else(|| "?".to_owned(), bytes),
            bytes(facts.plan.memory.total),
        )
    }

    /// What comes in, what is under way, and how long that takes.
    fn flow(&self) -> String {
        let spouts = self.statistics().flat_map(|one| &one.spouts);
        let sum =
            |figure: fn(&SpoutNumbers) -> usize| number(spouts.clone().map(figure).sum::<usize>());
        let settled = spouts.clone().filter_map(|spout| spout.settled_records);
        let settling = spouts
            .clone()
            .filter(|spout| spout.settled_records > Some(0));
        let times: Option<Vec<f64>> = settling.map(|spout| spout.most_within_seconds).collect();
        let within = match (settled.max(), times) {
            (None, _) => "99 % settled within ?".to_owned(),
            (Some(0), _) => "nothing settled just now".to_owned(),
            // Above the last bound of the histogram.
            (_, None) => "99 % not settled within 1 d".to_owned(),
            (_, Some(times)) => {
                let longest = times.into_iter().fold(0.0, f64::max);
                format!("99 % settled within {}", time((longest * 1000.0) as u64))
            }
        };
        format!(
            "{} records/s read, {} of {} in flight, {within}",
            rate(spouts.clone().map(|spout| spout.records_per_second).sum()),
            sum(|spout| spout.in_flight_records),
            sum(|spout| spout.in_flight_records_max),
        )
    }

    /// What is wrong, a line each: what must not be at all, what each replica says of itself, and why there is lag.
    fn wrong(&self) -> String {
        let difference = self.replicas.accounting.total.difference;
        let lost = (difference != 0).then(|| {
            let records = number(difference);
            format!("{records} records that were read are in no term of the account: a bug, please report it")
        });
        let hashes = self
            .facts
            .iter()
            .map(|(_, facts)| &facts.configuration_hash);
        let differ = (hashes.collect::<BTreeSet<_>>().len() > 1)
            .then(|| "the replicas run with different configurations".to_owned());
        let said = self.facts.iter().flat_map(|(address, facts)| {
            let of = match self.are_several() {
                true => format!("{address}: "),
                false => String::new(),
            };
            let wrong = facts.wrong().into_iter();
            wrong.map(move |reason| format!("{of}{reason}"))
        });
        let facts: Vec<&Facts> = self.facts.iter().map(|(_, facts)| facts).collect();
        let behind = lag::reasons(&self.replicas.lag).into_iter();
        let behind = behind.map(|sentence| facts::shortened(&sentence, &facts).to_owned());
        let all = lost.into_iter().chain(differ).chain(said).chain(behind);
        all.map(|line| line + "\n").collect()
    }

    fn replicas(&self) -> String {
        match self.are_several() {
            true => replicas::table(&self.replicas.replicas),
            false => String::new(),
        }
    }

    fn nodes(&self) -> Nodes<'_> {
        let of = self.answering();
        Nodes {
            of: of
                .filter_map(|one| Some((&*one.address, one.statistics.as_ref()?)))
                .collect(),
            accounting: &self.replicas.accounting,
            lag: &self.replicas.lag,
            facts: self.facts.iter().map(|(_, facts)| facts).collect(),
        }
    }

    fn account(&self) -> String {
        let again = match self.replicas.accounting.total.retried {
            0 => String::new(),
            times => format!("Sent again after a failure: {}\n", number(times)),
        };
        self.replicas.accounting.table() + &again
    }

    /// Which configurations run, and where that is not clear, at which addresses.
    fn configurations(&self) -> String {
        let mut by: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (address, facts) in &self.facts {
            by.entry(facts.line()).or_default().push(address);
        }
        let lines = by.iter().map(|(line, addresses)| match self.are_several() {
            true => format!("{line}: {}\n", addresses.join(", ")),
            false => format!("{line}; --configuration shows it\n"),
        });
        lines.collect()
    }
}
