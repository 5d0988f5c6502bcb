//! `isobar where` for random records while all goes wrong, against what is known of them otherwise.
//!
//! Never may an answer be wrong, and when all is over everything is known but who dropped a record before its last
//! start. While something is broken an answer may be open, as who would know cannot be asked: of a document the index,
//! while it starts or the way there is cut; of a letter the leader of their topic, and of anything the brokers that
//! say which topic it is, for up to 10 s after one was killed; of a dropped record the replica that dropped it. What was
//! open is asked for again when all is over. How often it is so follows from how much is broken at a time, which here is
//! nearly always something: the bounds below keep the answers from being open where they need not.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use testkit::isobar::Setup;
use testkit::random::Random;
use testkit::services::SearchClient;
use testkit::services::kafka::{Acknowledged, Schedule};
use testkit::wait;

use super::traffic::{DEAD, EVERY, End, POLICY};
use super::trouble::{Part, Trouble};
use super::{LIMIT, PARTITIONS};

const PAUSE: Duration = Duration::from_millis(300);

/// How long who is not broken may take to answer, whatever else goes on.
const PATIENCE: &str = "10s";

/// One question in so many is for a record that is rejected, and one for one that is dropped.
const ONE_IN: usize = 8;

/// Of fewer answers no share is taken, as of those of the short form, which are some 100, or more on a busy machine: one
/// index that starts slowly may be asked for all of them.
const MANY: usize = 200;
/// One answer in so many, at most, does not say what became of the record, whatever is broken.
const OPEN_MOST: usize = 3;
/// One answer in so many, at most, takes longer than [`SOON`]: beside what starts again, on a machine of two cores, a
/// program waits for its turn besides the time that it gives each place; and librdkafka looks again for a coordinator
/// that has moved after 0.5 to 1 s.
const SLOW_MOST: usize = 10;
const SOON: Duration = Duration::from_secs(1);
/// Of fewer answers in calm it is not judged how many are late: a busy machine is slow with a few in a row, and not with
/// half of them.
const CALM_LEAST: usize = 100;
/// Half of [`PATIENCE`]; in calm one answer in [`SLOW_MOST`], at most, takes longer.
const LATE: Duration = Duration::from_secs(5);
/// One question in so many, at least, is for a record that is in the index while that can be asked, and has
/// no other answer.
const SURE_LEAST: usize = 50;

pub(super) struct Questions<'t> {
    /// The topology file to ask with.
    pub(super) asking: Setup,
    /// Of all replicas.
    pub(super) addresses: Vec<String>,
    pub(super) acknowledged: Acknowledged,
    pub(super) schedule: Schedule,
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
    /// How long each answer took, and what was broken meanwhile.
    took: Vec<(Duration, Vec<Part>)>,
    /// Partition, offset, and the documents as they were told.
    indexed: Vec<(u64, u64, Value)>,
    /// Partition and offset of those of which nothing was known.
    open: Vec<(u64, u64)>,
    /// How often the record was in the index, and that could be asked.
    sure: usize,
}

impl Questions<'_> {
    /// Asks until it is over, so many times at least, and until one question had one right answer. Panics at a
    /// wrong answer.
    pub(super) fn ask(&self, random: &mut Random, at_least: u64, over: &AtomicBool) -> Asked {
        let mut asked = Asked::default();
        while !over.load(Ordering::Acquire)
            || (asked.took.len() as u64) < at_least
            || asked.sure == 0
        {
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
            let kind = match asked.took.len() % ONE_IN {
                0 => End::DeadLettered,
                1 => End::Dropped,
                _ => End::Indexed,
            };
            let Some(offset) = kind.at_or_before(random.within(start..end)) else {
                continue;
            };
            let right = self.one(partition, offset, &mut asked);
            let _ = right.unwrap_or_else(|error| panic!("logs/{partition}@{offset}: {error:#}"));
        }
        asked
    }

    /// Asks when all is committed and nothing is broken, so many times and for what was open: everything is
    /// where it belongs. What was dropped by a replica before its last start nobody knows; all else is known.
    /// Panics at any other answer.
    pub(super) fn ask_in_calm(
        &self,
        random: &mut Random,
        times: u64,
        open: &[(u64, u64)],
    ) -> Asked {
        let mut asked = Asked::default();
        for (partition, offset) in open {
            self.one_in_calm(*partition, *offset, &mut asked);
        }
        for number in 0..times {
            let partition = random.within(0..PARTITIONS);
            let end = self.acknowledged.of(partition as usize);
            let kind = [End::Indexed, End::DeadLettered, End::Indexed, End::Dropped];
            let kind = kind[number as usize % kind.len()];
            // Half of them of the last ones: they came when all was over.
            let before = match random.chance(500) {
                true => end,
                false => random.within(EVERY..end),
            };
            let offset = kind.at_or_before(before - 1).expect("there are some");
            self.one_in_calm(partition, offset, &mut asked);
        }
        assert!(
            asked.is_soon_in_calm(),
            "nothing is broken: {}",
            asked.times()
        );
        asked
    }

    fn one_in_calm(&self, partition: u64, offset: u64, asked: &mut Asked) {
        let kind = End::of(offset);
        let right = self.one(partition, offset, asked).and_then(|fate| {
            let expected: &[&str] = match kind {
                End::Indexed => &["indexed"],
                End::DeadLettered => &["dead_lettered"],
                End::Dropped => &["dropped", "unknown"],
            };
            ensure!(expected.contains(&&*fate), "{kind:?}, and is {fate}");
            Ok(())
        });
        right.unwrap_or_else(|error| panic!("logs/{partition}@{offset}: {error:#}"));
    }

    /// Asks for one record, and fails when the answer is wrong. Returns it.
    fn one(&self, partition: u64, offset: u64, asked: &mut Asked) -> Result<String> {
        let began = wait::now();
        let kind = End::of(offset);
        let is_calm = |parts: &[Part]| !self.trouble.touches(parts, began);
        // A fault that begins meanwhile counts too, so calm is asked for again afterwards.
        let was_there =
            kind == End::Indexed && is_calm(&[Part::Search]) && self.is_indexed(partition, offset);
        let (mut answer, took) = self.answer(partition, offset, self.within)?;
        asked.took.push((took, self.trouble.struck(began)));
        let is_missed = |answer: &Value| was_there && answer["fate"] != "indexed";
        let is_missed = answer.as_ref().is_some_and(is_missed) && is_calm(&[Part::Search]);
        if is_missed || is_silent_in_calm(answer.as_ref(), &is_calm) {
            // Somebody was slow, on a machine where much else goes on; he answers all the same.
            *asked.fates.entry("asked again".to_owned()).or_default() += 1;
            (answer, _) = self.answer(partition, offset, PATIENCE)?;
        }
        let mut count = |fate: &str| {
            let counted = asked.fates.entry(format!("{kind:?}: {fate}"));
            *counted.or_default() += 1;
            fate.to_owned()
        };
        let Some(answer) = answer else {
            ensure!(
                !is_calm(&[Part::Broker]),
                "no answer though no broker is away"
            );
            asked.open.push((partition, offset));
            return Ok(count("no answer"));
        };
        let fate = count(answer["fate"].as_str().context("no fate")?);
        if was_there && is_calm(&[Part::Search]) {
            // Where no broker answers, nobody but programs is asked, and they may have read it again.
            let is_excused = fate == "in_flight" && !is_calm(&[Part::Broker]);
            ensure!(fate == "indexed" || is_excused, "it is indexed: {answer}");
            asked.sure += usize::from(!is_excused);
        }
        match (&*fate, kind) {
            ("indexed", End::Indexed) => {
                let documents = answer["documents"].clone();
                asked.indexed.push((partition, offset, documents));
            }
            ("dead_lettered", End::DeadLettered) => {
                let letter = &answer["letters"][0];
                let place = letter["place"].as_str().context("no place")?;
                ensure!(
                    letter["class"] == "invalid_json" && place.starts_with(DEAD),
                    "{answer}"
                );
            }
            ("dropped", End::Dropped) => ensure!(answer["policy"] == POLICY, "{answer}"),
            ("in_flight" | "not_read", _) => {}
            ("unknown", _) => {
                asked.open.push((partition, offset));
                let due = self.schedule.due(offset * PARTITIONS + partition);
                self.check_unknown(kind, &answer["why"].to_string(), due, &is_calm)
                    .with_context(|| answer.to_string())?;
            }
            _ => bail!("that cannot be: {kind:?}: {answer}"),
        }
        Ok(fate)
    }

    /// Fails where somebody had to know of a record that was not sent before `due`.
    fn check_unknown(
        &self,
        kind: End,
        reasons: &str,
        due: Instant,
        is_calm: &impl Fn(&[Part]) -> bool,
    ) -> Result<()> {
        let says = |text: &str| reasons.contains(text);
        let has_passed = ["has passed the record", "has settled it", "did not drop"]
            .into_iter()
            .any(says);
        let between = [Part::Replica, Part::Broker, Part::Way];
        match kind {
            // Who passed it and whose index could be asked must find it: it was never rejected or dropped.
            End::Indexed if says("have no document") => {
                ensure!(!has_passed, "it has no document");
                ensure!(!is_calm(&between), "nobody has to be asked twice");
            }
            End::Indexed => ensure!(!is_calm(&[Part::Search]), "the index answers"),
            End::DeadLettered if says("there is no dead letter") => {
                ensure!(!has_passed, "it has no dead letter");
                ensure!(!is_calm(&between), "nobody has to be asked twice");
            }
            End::DeadLettered => ensure!(!is_calm(&[Part::Broker]), "the letters can be read"),
            // Whoever read it has ended since, or does not answer.
            End::Dropped if has_passed => {
                let is_silent = says("does not say where the record is");
                let may_be = is_silent && !is_calm(&[Part::Replica]);
                ensure!(
                    may_be || self.trouble.has_struck(Part::Replica, due),
                    "who dropped it goes on since"
                );
            }
            End::Dropped => ensure!(!is_calm(&between), "nobody has to be asked twice"),
        }
        Ok(())
    }

    fn answer(
        &self,
        partition: u64,
        offset: u64,
        within: &str,
    ) -> Result<(Option<Value>, Duration)> {
        let record = format!("logs/{partition}@{offset}");
        let file = self.asking.topology().to_str().context("text")?;
        let mut command = vec!["where", file, &record, "-o", "json", "--timeout", within];
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

    /// Whether it is known to be in the index: not while that recovers.
    fn is_indexed(&self, partition: u64, offset: u64) -> bool {
        let known = self.search.refresh("logs-*").and_then(|()| {
            let term = |name: &str, value: u64| json!({"term": {name: value}});
            let both = [term("_isobar.p", partition), term("_isobar.o", offset)];
            let query = json!({"bool": {"filter": both}});
            self.search.count_where("logs-*", &query)
        });
        known.is_ok_and(|count| count > 0)
    }
}

/// Whether an answer lacks the word of somebody who is not broken.
fn is_silent_in_calm(answer: Option<&Value>, is_calm: &impl Fn(&[Part]) -> bool) -> bool {
    let Some(answer) = answer else {
        return is_calm(&[Part::Broker]);
    };
    let reasons = answer["why"].to_string();
    let silent = [
        ("the indices could not be asked", Part::Search),
        ("dead letters could not be read", Part::Broker),
        ("does not say where the record is", Part::Replica),
    ];
    let mut silent = silent.into_iter();
    answer["fate"] == "unknown"
        && silent.any(|(text, part)| reasons.contains(text) && is_calm(&[part]))
}

impl Asked {
    /// Those of which nothing was known, to be asked for again. Fails where too little was: who never knows
    /// is never wrong.
    pub(super) fn open(&self) -> Result<Vec<(u64, u64)>> {
        let (all, open) = (self.took.len(), self.open.len());
        if all < MANY {
            return Ok(self.open.clone());
        }
        ensure!(
            open * OPEN_MOST <= all,
            "of {all} answers {open} say nothing: {:?}",
            self.fates
        );
        ensure!(
            self.sure * SURE_LEAST >= all,
            "of {all} questions {} had one right answer: {:?}",
            self.sure,
            self.fates
        );
        let slow = self.slow();
        ensure!(
            slow * SLOW_MOST <= all,
            "of {all} answers {slow} took {SOON:?} or longer: {}",
            self.times()
        );
        Ok(self.open.clone())
    }

    /// Whether half of the answers come soon, and few late, where there are enough of them to judge that.
    fn is_soon_in_calm(&self) -> bool {
        let mut took: Vec<Duration> = self.took.iter().map(|(took, _)| *took).collect();
        took.sort_unstable();
        let late = took.iter().filter(|took| **took >= LATE).count();
        let few_are_late = took.len() < CALM_LEAST || late * SLOW_MOST <= took.len();
        took[took.len() / 2] < SOON && few_are_late
    }

    fn slow(&self) -> usize {
        self.took.iter().filter(|(took, _)| *took >= SOON).count()
    }

    /// How long answers took, by what was broken meanwhile.
    fn times(&self) -> String {
        let mut by_parts: BTreeMap<&[Part], Vec<Duration>> = BTreeMap::new();
        for (took, parts) in &self.took {
            by_parts.entry(parts).or_default().push(*took);
        }
        let told = by_parts.into_iter().map(|(parts, mut all)| {
            all.sort_unstable();
            let at = |part: usize| all[all.len() * part / 100];
            let slow = all.iter().filter(|took| **took >= SOON).count();
            format!(
                "amid faults of {parts:?} {}: half within {:.3?}, 95 in 100 within {:.3?}, all within {:.3?}, {slow} took {SOON:?} or longer",
                all.len(),
                at(50),
                at(95),
                all[all.len() - 1],
            )
        });
        told.collect::<Vec<String>>().join("; ")
    }

    /// Looks whether each document that was told is there and is of the record. Returns what was asked in
    /// a sentence.
    pub(super) fn check(self, search: &SearchClient) -> Result<String> {
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
        Ok(format!(
            "asked {} times: {:?}; {} sure; {}",
            self.took.len(),
            self.fates,
            self.sure,
            self.times()
        ))
    }
}
