//! The records of a registry, and who may run by them. Version 1: they outlive the process, and a change
//! of meaning needs a new version.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::kafka::admin::TopicPartition;

pub(super) const VERSION: u32 = 1;

/// The target of a redrive, whose records come from their letters: what is missing is stored.
pub const REDRIVE: &str = "redrive";

/// The state of a run, as it tells it itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Of this form.
    pub version: u32,
    /// The id of the plan; the name of a redrive.
    pub run: String,
    /// Tells two starts of one plan from each other.
    pub attempt: String,
    /// The spout whose topics are read.
    pub spout: String,
    /// What becomes of documents that are there, as the command line says it; or [`REDRIVE`].
    pub target: String,
    /// The group that keeps the progress; empty for a redrive, whose progress is in the topics of the letters.
    pub group: String,
    /// The machine that it runs on.
    pub host: String,
    /// The process there.
    pub pid: u32,
    /// How it gets on.
    pub state: State,
    /// Why it is in this state.
    pub why: Option<String>,
    /// Where the first entry of the attempt is in the topic; null in that one.
    pub claim: Option<i64>,
    /// The number of this entry among those that the attempt has written, from 0; none in what somebody
    /// else writes for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word: Option<u64>,
    /// When the attempt began, in ms since 1970 by its own clock.
    pub started_ms: i64,
    /// After so long without another entry, in ms, it counts as dead.
    pub lease_ms: i64,
    /// Who has begun the attempt, and how; none in entries of older programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// What a redrive has dropped, once it has ended: nobody else knows that later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<Dropped>,
    /// What it reads; of a redrive, from the first of its records in a partition to the last.
    pub partitions: Vec<Part>,
}

/// Records that a redrive dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// By what the topology says.
    pub by_policy: u64,
    /// In place of a bolt that writes to another system.
    pub left_out: u64,
}

/// Who has begun an attempt, and how: for those who ask later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The user of the machine that it runs as.
    pub user: String,
    /// Hash of the effective configuration of the topology.
    pub configuration: String,
    /// What the command line and the plan say beside target and ranges, such as `--rate=5000`.
    pub options: Vec<String>,
}

/// How a run gets on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It reads.
    Running,
    /// It does not read, and waits: for an operator, or for the live topology.
    Paused,
    /// It has ended before its end, and can be gone on with.
    Stopped,
    /// It has ended at its end.
    Done,
    /// An operator has given it up.
    Aborted,
    /// It was not begun, since another one was under way.
    Refused,
}

impl State {
    /// Whether the run goes on.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Done => "done",
            Self::Aborted => "aborted",
            Self::Refused => "refused",
        }
    }
}

/// A half-open range of a partition, and how much of it is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The first offset.
    pub from: i64,
    /// The first offset after it.
    pub to: i64,
    /// Everything before it is settled; null while that is not known.
    pub next: Option<i64>,
}

impl Part {
    /// The partition.
    pub fn name(&self) -> TopicPartition {
        TopicPartition::new(&self.topic, self.partition)
    }
}

/// What an operator wants of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// It goes on.
    Resume,
    /// It reads nothing until it may go on.
    Pause,
    /// It ends, and is not gone on with.
    Abort,
}

/// A wish, as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wish {
    pub(super) version: u32,
    pub(super) run: String,
    pub(super) wanted: Wanted,
}

/// A word of a run whose last entry says all that there is to say: it goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Beat {
    pub(super) version: u32,
    pub(super) run: String,
    pub(super) attempt: String,
    /// As that of an entry.
    pub(super) word: u64,
}

/// The key of a beat. Under one of its own, as compaction must leave the entry.
pub(super) fn beat_key(run: &str) -> String {
    format!("{run}{BEAT}")
}

/// The run whose beats have this key; `None` where that is of anything else.
pub(super) fn run_of_beat(key: &[u8]) -> Option<&[u8]> {
    key.strip_suffix(BEAT.as_bytes())
}

const BEAT: &str = "/beat";

/// The key of a wish: that of a run has none of these characters.
pub(super) fn wish_key(run: &str) -> String {
    format!("{run}{WANTED}")
}

/// Whether a key is that of a wish.
pub(super) fn is_wish(key: &[u8]) -> bool {
    key.ends_with(WANTED.as_bytes())
}

const WANTED: &str = "/wanted";

impl Entry {
    /// Whether its records come from their letters.
    pub fn is_redrive(&self) -> bool {
        self.target == REDRIVE
    }

    /// Whether both would be at work on the same records.
    pub fn overlaps(&self, other: &Self) -> bool {
        let shared = |one: &Part, other: &Part| {
            one.name() == other.name() && one.from < other.to && other.from < one.to
        };
        self.run == other.run
            || self
                .partitions
                .iter()
                .any(|one| other.partitions.iter().any(|other| shared(one, other)))
    }

    /// Whether it says the same of how a run gets on.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        self.state == other.state
            && self.why == other.why
            && self.dropped == other.dropped
            && self.partitions == other.partitions
    }

    /// Whether both are of one attempt.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.run == other.run && self.attempt == other.attempt
    }

    /// Whether `self`, told at `at_ms`, was dead by the time of `by_ms`.
    fn is_dead(&self, at_ms: i64, by_ms: i64) -> bool {
        // Whoever may write to the topic may write any number.
        by_ms.saturating_sub(at_ms) >= self.lease_ms
    }
}

/// The entries of a registry, in the order of the topic.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries(BTreeMap<(String, String), (Entry, i64)>);

impl Entries {
    /// Takes the next one, which was written at this time.
    pub(super) fn take(&mut self, entry: Entry, at_ms: i64) {
        let key = (entry.run.clone(), entry.attempt.clone());
        let _ = self.0.insert(key, (entry, at_ms));
    }

    /// Takes a beat, which was written at this time. One whose entry is not among these, as compaction has left a
    /// later one alone, says nothing.
    pub(super) fn hear(&mut self, beat: Beat, at_ms: i64) {
        if let Some((_, told_ms)) = self.0.get_mut(&(beat.run, beat.attempt)) {
            *told_ms = at_ms;
        }
    }

    /// The run for which `claim`, written at `at_ms` after all of these, has to stand back, and the time in
    /// ms after which it counts as dead.
    pub(super) fn before(&self, claim: &Entry, at_ms: i64) -> Option<(&Entry, i64)> {
        let mut others = self.0.values().filter(|(one, _)| !one.is_same(claim));
        let first = others.find(|(one, told_ms)| {
            one.state.is_active() && !one.is_dead(*told_ms, at_ms) && one.overlaps(claim)
        });
        first.map(|(one, told_ms)| {
            let silent_ms = at_ms.saturating_sub(*told_ms);
            (one, one.lease_ms.saturating_sub(silent_ms))
        })
    }

    /// Whether the run `ours`, which is one of these, was dead by `at_ms`, so that whoever claimed its records then may
    /// have them.
    pub(super) fn is_dead(&self, ours: &Entry, at_ms: i64) -> bool {
        let key = (ours.run.clone(), ours.attempt.clone());
        let told = self.0.get(&key);
        told.is_none_or(|(entry, told_ms)| entry.is_dead(*told_ms, at_ms))
    }

    /// Whether the run `ours`, which is one of these, has lost its place to `claim`, written at `at_ms`
    /// after all of these. Whoever claims decides by the same entries whether it may run: one that stands
    /// back for a third run has taken nothing over.
    pub(super) fn is_lost_to(&self, ours: &Entry, claim: &Entry, at_ms: i64) -> bool {
        let may_run = match claim.claim {
            None => self.before(claim, at_ms).is_none(),
            // It goes on telling, so it was: its claim itself may be compacted away.
            Some(claim) => ours.claim.is_some_and(|ours| ours < claim),
        };
        may_run && claim.state.is_active() && !claim.is_same(ours) && claim.overlaps(ours)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::replay::registry) fn entry(run: &str, attempt: &str, range: (i64, i64)) -> Entry {
        Entry {
            version: VERSION,
            run: run.to_owned(),
            attempt: attempt.to_owned(),
            spout: "logs".to_owned(),
            target: "missing".to_owned(),
            group: format!("t.replay.{run}"),
            host: "h".to_owned(),
            pid: 1,
            state: State::Running,
            why: None,
            claim: None,
            word: None,
            started_ms: 0,
            lease_ms: 30_000,
            asked: None,
            dropped: None,
            partitions: vec![Part {
                topic: "logs".to_owned(),
                partition: 0,
                from: range.0,
                to: range.1,
                next: None,
            }],
        }
    }

    #[test]
    fn whoever_claims_first_runs_and_the_dead_stand_nobody_in_the_way() {
        let mut entries = Entries::default();
        let first = entry("a", "1", (0, 100));
        entries.take(first.clone(), 1_000);
        let before = |claim: &Entry, at_ms| {
            let before = entries.before(claim, at_ms);
            before.map(|(one, dead_in_ms)| format!("{} {dead_in_ms}", one.run))
        };
        let other = entry("b", "1", (99, 200));
        assert_eq!(before(&first, 1_000), None, "itself");
        assert_eq!(before(&other, 30_999).as_deref(), Some("a 1"));
        assert_eq!(before(&other, 31_000), None, "its lease is over");
        assert_eq!(before(&entry("b", "1", (100, 200)), 1_500), None);
        // Two runs of one plan, whatever they read.
        let again = entry("a", "2", (500, 600));
        assert_eq!(before(&again, 1_500).as_deref(), Some("a 29500"));
        let mut elsewhere = other.clone();
        elsewhere.partitions[0].partition = 1;
        assert_eq!(before(&elsewhere, 1_500), None);
        let mut entries = entries.clone();
        for state in [State::Stopped, State::Done, State::Aborted, State::Refused] {
            let ended = Entry {
                state,
                ..first.clone()
            };
            entries.take(ended, 2_000);
            assert_eq!(entries.before(&other, 2_001), None, "{state:?}");
        }
        let paused = Entry {
            state: State::Paused,
            ..first.clone()
        };
        entries.take(paused, 3_000);
        assert!(entries.before(&other, 3_001).is_some());
    }

    #[test]
    fn a_run_knows_that_it_is_dead_when_the_one_that_took_over_knows() {
        let (ours, other) = (entry("a", "1", (0, 100)), entry("b", "1", (50, 60)));
        for at_ms in [1_001, 30_999, 31_000, 90_000] {
            let mut entries = Entries::default();
            entries.take(ours.clone(), 1_000);
            let may_run = entries.before(&other, at_ms).is_none();
            let is_lost = entries.is_lost_to(&ours, &other, at_ms);
            assert_eq!(is_lost, may_run, "{at_ms}");
        }
        let mut entries = Entries::default();
        entries.take(ours.clone(), 1_000);
        let beat = Entry {
            claim: Some(7),
            ..other.clone()
        };
        assert!(!entries.is_lost_to(&ours, &ours, 90_000));
        let claimed = |at| Entry {
            claim: Some(at),
            ..ours.clone()
        };
        assert!(
            !entries.is_lost_to(&claimed(8), &beat, 90_000),
            "dead before"
        );
        // Its claim may have gone from the topic.
        assert!(entries.is_lost_to(&claimed(6), &beat, 90_000));
    }

    #[test]
    fn a_run_was_dead_by_a_time_when_its_last_word_is_older_than_its_lease() {
        let ours = entry("a", "1", (0, 100));
        let mut entries = Entries::default();
        entries.take(ours.clone(), 1_000);
        assert!(!entries.is_dead(&ours, 30_999));
        assert!(entries.is_dead(&ours, 31_000));
        entries.take(ours.clone(), 20_000);
        assert!(!entries.is_dead(&ours, 31_000));
        assert!(entries.is_dead(&entry("b", "1", (0, 1)), 1_000));
    }

    #[test]
    fn a_beat_keeps_a_run_alive_and_says_nothing_else_of_it() {
        let ours = entry("a", "1", (0, 100));
        let mut entries = Entries::default();
        let beat = |attempt: &str| Beat {
            version: VERSION,
            run: "a".to_owned(),
            attempt: attempt.to_owned(),
            word: 3,
        };
        entries.hear(beat("1"), 500);
        let claim = entry("b", "1", (50, 60));
        assert_eq!(entries.before(&claim, 600), None, "nobody has claimed it");
        entries.take(ours.clone(), 1_000);
        entries.hear(beat("1"), 20_000);
        entries.hear(beat("2"), 40_000);
        assert!(!entries.is_dead(&ours, 49_999) && entries.is_dead(&ours, 50_000));
        let before = entries
            .before(&claim, 49_999)
            .map(|(one, ms)| (&one.run, ms));
        assert_eq!(before, Some((&ours.run, 1)));
    }

    #[test]
    fn a_claim_that_was_refused_for_a_third_run_takes_nothing_over() {
        let ours = entry("a", "1", (0, 100));
        let mut entries = Entries::default();
        entries.take(ours.clone(), 1_000);
        entries.take(entry("c", "1", (100, 200)), 80_000);
        let both = entry("b", "1", (50, 150));
        assert!(!entries.is_lost_to(&ours, &both, 90_000), "c is before it");
        assert!(entries.is_lost_to(&ours, &both, 110_000), "c is dead too");
    }

    #[test]
    fn times_that_nobody_can_mean_are_judged_like_others() {
        let mut entries = Entries::default();
        let mut first = entry("a", "1", (0, 100));
        first.lease_ms = i64::MAX;
        entries.take(first.clone(), i64::MAX);
        let claim = entry("b", "1", (0, 100));
        let before = entries.before(&claim, i64::MIN).map(|(_, ms)| ms);
        assert_eq!(before, Some(i64::MAX));
        first.lease_ms = i64::MIN;
        entries.take(first, i64::MIN);
        assert_eq!(entries.before(&claim, i64::MAX), None);
    }

    #[test]
    fn the_form_of_version_1_never_changes() {
        let text = r#"{"version":1,"run":"19a","attempt":"x","spout":"logs","target":"missing",
            "group":"t.replay.19a","host":"h","pid":7,"state":"paused","why":"an operator",
            "claim":40,"started_ms":5,"lease_ms":30000,
            "partitions":[{"topic":"logs","partition":3,"from":1,"to":9,"next":4}]}"#;
        let entry: Entry = serde_json::from_str(text).expect("version 1");
        let first: serde_json::Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(serde_json::to_value(&entry).expect("JSON"), first);
        let numbered = text.replace("\"claim\"", "\"word\":7,\"claim\"");
        let entry: Entry = serde_json::from_str(&numbered).expect("version 1");
        assert_eq!(entry.word, Some(7));
        let by = r#""asked":{"user":"ops","configuration":"0f","options":["--rate=5"]},"claim""#;
        let by = text.replace("\"claim\"", by);
        let entry: Entry = serde_json::from_str(&by).expect("version 1");
        let first: serde_json::Value = serde_json::from_str(&by).expect("JSON");
        assert_eq!(serde_json::to_value(&entry).expect("JSON"), first);
        let dropped = r#""dropped":{"by_policy":3,"left_out":1},"partitions""#;
        let dropped = text.replace("\"partitions\"", dropped);
        let entry: Entry = serde_json::from_str(&dropped).expect("version 1");
        let first: serde_json::Value = serde_json::from_str(&dropped).expect("JSON");
        assert_eq!(serde_json::to_value(&entry).expect("JSON"), first);
        let beat = Beat {
            version: 1,
            run: "19a".to_owned(),
            attempt: "x".to_owned(),
            word: 7,
        };
        let text = serde_json::to_string(&beat).expect("JSON");
        let first = r#"{"version":1,"run":"19a","attempt":"x","word":7}"#;
        assert_eq!(text, first);
        assert_eq!(run_of_beat(beat_key("19a").as_bytes()), Some(&b"19a"[..]));
        assert_eq!(run_of_beat(b"19a"), None);
        let wish = Wish {
            version: 1,
            run: "19a".to_owned(),
            wanted: Wanted::Abort,
        };
        let text = serde_json::to_string(&wish).expect("JSON");
        assert_eq!(text, r#"{"version":1,"run":"19a","wanted":"abort"}"#);
    }
}
