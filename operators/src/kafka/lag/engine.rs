//! The lag of all partitions of a group: takes rounds of samples, remembers them, and gives the figures
//! and the judgement of now.

use std::collections::{BTreeMap, BTreeSet};

use super::brokers::TopicSettings;
use super::history::{History, Window};
use super::row::{Parts, Row};
use super::sample::{Ages, Progress, Sample, Samples};
use super::status::{Status, judge};
use crate::kafka::admin::TopicPartition;

/// What is known of a spout besides offsets.
#[derive(Clone, Debug, Default)]
pub struct Circumstances {
    /// Partitions of which nothing is read until somebody decides, and why.
    pub held: BTreeMap<TopicPartition, String>,
    /// Who stopped the reading, in a sentence.
    pub paused: Option<String>,
    /// When the reading last went on after that, in milliseconds since 1970: standing still before is no
    /// stall.
    pub resumed_ms: Option<i64>,
    /// The bolt that does not take enough.
    pub blocked: Option<Blocked>,
}

/// Why a bolt does not take enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// The bolt and what it waits for, in a sentence.
    pub why: String,
    /// What it writes to takes nothing until somebody mends it, such as an index with a write block, and what
    /// waits for that leaves no room for more; else it is slow, or away, or others get through.
    pub held: bool,
}

/// The lag of the partitions of one group.
#[derive(Debug)]
pub struct Engine {
    window: Window,
    samples: Samples,
    settings: BTreeMap<String, TopicSettings>,
    histories: BTreeMap<TopicPartition, History>,
    begun: bool,
    /// The last round failed: the samples are older.
    old: bool,
}

impl Engine {
    /// Knows nothing yet.
    pub fn new(window: Window) -> Self {
        Self {
            window,
            samples: Samples::default(),
            settings: BTreeMap::new(),
            histories: BTreeMap::new(),
            begun: false,
            old: false,
        }
    }

    /// Takes a round of samples. The past of partitions that are not in it is forgotten.
    pub fn take(&mut self, samples: Samples, ages: &Ages) {
        self.histories
            .retain(|partition, _| samples.partitions.contains_key(partition));
        for (partition, sample) in &samples.partitions {
            let history = self.histories.entry(partition.clone());
            history
                .or_insert_with(|| History::new(self.window))
                .add(sample);
        }
        self.settings.clone_from(&ages.settings);
        self.samples = samples;
        self.begun = true;
        self.old = false;
    }

    /// Notes that a round failed: offsets that were known before stay, and become older; what follows
    /// from the ends is not known.
    pub fn fail(&mut self, partitions: &[TopicPartition], failure: String) {
        let asked: BTreeSet<&TopicPartition> = partitions.iter().collect();
        let asked = |partition: &TopicPartition| asked.contains(partition);
        self.samples
            .partitions
            .retain(|partition, _| asked(partition));
        self.histories.retain(|partition, _| asked(partition));
        self.samples.failure = Some(failure);
        self.begun = true;
        self.old = true;
    }

    /// Whether a round has ended, well or not.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Why a part of the last round failed.
    pub fn failure(&self) -> Option<&str> {
        self.samples.failure.as_deref()
    }

    /// The partitions of the last round.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.samples.partitions.keys()
    }

    /// The figures at `now_ms`, in milliseconds since 1970, in the order of the partitions' names.
    ///
    /// With `live`, what a running spout has done by now, there is a row for each partition that it
    /// reads or holds and for no other; without, one for each that was sampled.
    pub fn rows(
        &self,
        live: Option<&BTreeMap<TopicPartition, Progress>>,
        circumstances: &Circumstances,
        now_ms: i64,
    ) -> Vec<Row> {
        let mut partitions: Vec<&TopicPartition> = match live {
            Some(live) => live.keys().chain(circumstances.held.keys()).collect(),
            None => self.samples.partitions.keys().collect(),
        };
        partitions.sort();
        partitions.dedup();
        let nothing = (Sample::default(), History::new(self.window));
        let rows = partitions.into_iter().map(|partition| {
            let sample = self.samples.partitions.get(partition).unwrap_or(&nothing.0);
            let heard = !self.old && sample.end.is_some();
            let parts = Parts {
                sample,
                history: self.histories.get(partition).unwrap_or(&nothing.1),
                live: live.and_then(|live| live.get(partition)),
                is_here: live.is_some(),
                settings: self
                    .settings
                    .get(&*partition.topic)
                    .copied()
                    .unwrap_or_default(),
                heard,
                now_ms,
            };
            let held = circumstances.held.get(partition).map(String::as_str);
            let judged = judge(parts.sample, parts.history, circumstances, held, now_ms);
            let judged = match self.failure().filter(|_| !heard) {
                Some(failure) if judged.0.gives_way() => (Status::NoData, failure.to_owned()),
                _ => judged,
            };
            Row::of(partition.clone(), &parts, judged)
        });
        rows.collect()
    }
}

#[cfg(test)]
mod tests;
