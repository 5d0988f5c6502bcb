//! `isobar where` for random records while all goes wrong, against what is known of them otherwise.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use testkit::isobar::Setup;
use testkit::random::Random;
use testkit::services::SearchClient;
use testkit::services::kafka::Acknowledged;
use testkit::wait;

use super::trouble::{Part, Trouble};
use super::{LIMIT, PARTITIONS};

const PAUSE: Duration = Duration::from_millis(300);

pub(super) struct Questions<'t> {
    /// The topology file to ask with.
    pub(super) asking: Setup,
    /// Of all replicas.
    pub(super) addresses: Vec<String>,
    pub(super) acknowledged: Acknowledged,
    /// Elasticsearch, not through the proxy.
    pub(super) search: SearchClient,
    pub(super) trouble: &'t Trouble,
    /// How long each place may take to answer: `--timeout`.
    pub(super) within: &'static str,
}

/// What came of it.
#[derive(Default)]
pub(super) struct Asked {
    fates: BTreeMap<String, u64>,
    took: Vec<Duration>,
    /// Partition, offset, and the documents as they were told.
    indexed: Vec<(u64, u64, Value)>,
}

impl Questions<'_> {
    /// Asks until it is over, and so many times at least. Panics at a wrong answer.
    pub(super) fn ask(&self, random: &mut Random, at_least: u64, over: &AtomicBool) -> Asked {
        let mut asked = Asked::default();
        while !over.load(Ordering::Acquire) || (asked.took.len() as u64) < at_least {
            wait::rest(PAUSE);
            let partition = random.within(0..PARTITIONS);
            let end = self.acknowledged.of(partition as usize);
            if end == 0 {
                continue;
            }
            // Half of them of the last seconds: on their way, or not read yet.
            let start = match random.chance(500) {
                true => end.saturating_sub(1_000),
                false => 0,
            };
            let offset = random.within(start..end);
            let right = self.one(partition, offset, &mut asked);
            right.unwrap_or_else(|error| panic!("logs/{partition}@{offset}: {error:#}"));
        }
        asked
    }

    /// Asks when all is committed and nothing is broken: everything is in the index. Panics at any other
    /// answer.
    pub(super) fn ask_in_calm(&self, random: &mut Random, times: u64) -> Asked {
        let mut asked = Asked::default();
        for _ in 0..times {
            let partition = random.within(0..PARTITIONS);
            let offset = random.within(0..self.acknowledged.of(partition as usize));
            let right = self.one(partition, offset, &mut asked);
            right.unwrap_or_else(|error| panic!("logs/{partition}@{offset}: {error:#}"));
        }
        assert_eq!(asked.indexed.len() as u64, times, "{:?}", asked.fates);
        asked
    }

    fn one(&self, partition: u64, offset: u64, asked: &mut Asked) -> Result<()> {
        let began = wait::now();
        let is_calm = |parts: &[Part]| !self.trouble.touches(parts, began);
        // A fault that begins meanwhile counts too, so calm is asked for again afterwards.
        let was_there = is_calm(&[Part::Search]) && self.is_indexed(partition, offset)?;
        let (answer, took) = self.answer(partition, offset)?;
        asked.took.push(took);
        let Some(answer) = answer else {
            let all = [Part::Replica, Part::Broker, Part::Search];
            ensure!(!is_calm(&all), "no answer though nothing is broken");
            *asked.fates.entry("no answer".to_owned()).or_default() += 1;
            return Ok(());
        };
        let fate = answer["fate"].as_str().context("no fate")?;
        *asked.fates.entry(fate.to_owned()).or_default() += 1;
        let reasons = answer["why"].to_string();
        match fate {
            "indexed" => {
                let documents = answer["documents"].clone();
                asked.indexed.push((partition, offset, documents));
            }
            "in_flight" | "not_read" => {
                ensure!(
                    !was_there || !is_calm(&[Part::Search]),
                    "it is indexed: {answer}"
                );
            }
            // Who passed it and whose index could be asked must find it: it was never rejected or dropped.
            "unknown" if reasons.contains("have no document") => {
                let passed = ["has passed the record", "has settled it", "did not drop"];
                ensure!(
                    !passed.iter().any(|text| reasons.contains(text)),
                    "{answer}"
                );
                ensure!(!was_there, "it is indexed: {answer}");
                let between = [Part::Replica, Part::Broker];
                ensure!(!is_calm(&between), "nobody has to be asked twice: {answer}");
            }
            "unknown" => {
                let search = [Part::Search];
                ensure!(!is_calm(&search), "the index answers: {answer}");
            }
            _ => bail!("that cannot be: {answer}"),
        }
        Ok(())
    }

    fn answer(&self, partition: u64, offset: u64) -> Result<(Option<Value>, Duration)> {
        let record = format!("logs/{partition}@{offset}");
        let file = self.asking.topology().to_str().context("text")?;
        let mut command = vec![
            "where",
            file,
            &record,
            "-o",
            "json",
            "--timeout",
            self.within,
        ];
        for address in &self.addresses {
            command.extend(["--http", address.as_str()]);
        }
        let began: Instant = wait::now();
        let finished = self.asking.finish_alone(&command, LIMIT)?;
        let took = began.elapsed();
        match finished.status.code() {
            Some(0 | 4) if !finished.stdout.is_empty() => {
                Ok((Some(serde_json::from_str(&finished.stdout)?), took))
            }
            // The brokers did not say what there is of the record.
            Some(4) => Ok((None, took)),
            _ => bail!("{}: {}", finished.status, finished.stderr),
        }
    }

    fn is_indexed(&self, partition: u64, offset: u64) -> Result<bool> {
        let known = self.search.refresh("logs-*").and_then(|()| {
            let term = |name: &str, value: u64| json!({"term": {name: value}});
            let both = [term("_isobar.p", partition), term("_isobar.o", offset)];
            let query = json!({"bool": {"filter": both}});
            self.search.count_where("logs-*", &query)
        });
        match known {
            Ok(count) => Ok(count > 0),
            Err(_) if self.trouble.touches(&[Part::Search], wait::now()) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Asked {
    /// Looks whether each document that was told is there and is of the record. Returns what was asked in
    /// a sentence.
    pub(super) fn check(mut self, search: &SearchClient) -> Result<String> {
        for (partition, offset, documents) in &self.indexed {
            let documents = documents.as_array().context("no documents")?;
            ensure!(documents.len() == 1, "{partition}@{offset}: {documents:?}");
            let [index, id] = ["index", "id"].map(|name| documents[0][name].as_str());
            let (index, id) = (index.context("no index")?, id.context("no id")?);
            let found = search.json("GET", &format!("/{index}/_doc/{id}"), None)?;
            let origin = &found["_source"]["_isobar"];
            ensure!(
                origin["p"] == *partition && origin["o"] == *offset,
                "{partition}@{offset} was said to be {id}, which is {origin}"
            );
        }
        self.took.sort_unstable();
        let at = |part: usize| self.took.get(self.took.len() * part / 100);
        let slow = self.took.iter().filter(|took| took.as_secs() >= 1).count();
        Ok(format!(
            "asked {} times: {:?}; half within {:?}, 99 in 100 within {:?}, {slow} took 1 s or longer",
            self.took.len(),
            self.fates,
            at(50).unwrap_or(&Duration::ZERO),
            at(99).unwrap_or(&Duration::ZERO),
        ))
    }
}
