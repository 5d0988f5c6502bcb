//! Checks a redrive: each record has a document, or a new letter, or was dropped by a policy.

use std::collections::{BTreeMap, BTreeSet};

use isobar_operators::redrive::Pick;
use isobar_operators::replay::registry::Dropped;
use isobar_operators::replay::{Search, origin_of_source};
use isobar_topology::Ordinals;
use serde::Serialize;

use super::letters::{Letters, Line};
use super::records::Records;
use crate::accounting::Terms;
use crate::command::replay::make::undetermined;
use crate::command::verdict::{Twice, Word};
use crate::exit::{Exit, Failure};
use crate::output::{and_more, known, number};

/// Most records that are named.
const NAMED_MAX: usize = 10;

/// What became of the records of a redrive.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Verdict {
    verdict: Word,
    records: u64,
    /// With a document in any index.
    in_index: u64,
    /// Rejected again, with a new letter, which a later redrive may have settled.
    rejected_again: u64,
    /// Not settled, so that their letters are open as before.
    open: u64,
    /// None of these.
    without: u64,
    /// Of those, so many at most were dropped by a policy; null where that is not known any more.
    dropped: Option<u64>,
    /// So many at most of the others went nowhere but to what is left out.
    left_out: u64,
    /// And of so many at least nothing is known.
    without_trace: u64,
    /// The first of those.
    named: Vec<String>,
    /// With documents in two indices of one sink.
    doubled: Vec<String>,
    /// With several documents in one index.
    repeated: Vec<String>,
    /// Of those in the index, split ones of which some parts may be missing.
    maybe_in_part: u64,
    /// The topology has changed since.
    other_configuration: bool,
    /// Why some letters cannot be read: what has no trace may have one there.
    unread: Vec<String>,
}

/// Whether there is a document of each part that was rejected, or of a part of it.
fn has(found: &BTreeSet<Ordinals>, wanted: &[Ordinals]) -> bool {
    let mut wanted = wanted.iter();
    wanted.all(|wanted| found.iter().any(|part| part.is_of(*wanted)))
}

/// Whether those are documents of these very parts: a whole record, or a part that was split again, may
/// have others that are missing.
fn has_exactly(found: &BTreeSet<Ordinals>, wanted: &[Ordinals]) -> bool {
    wanted.iter().all(|wanted| found.contains(wanted))
}

/// What a run dropped, where it has left out these bolts.
pub(super) fn dropped(total: &Terms, left_out: &[String]) -> Dropped {
    let policies = left_out.iter();
    let left_out = policies.filter_map(|bolt| total.dropped_by_policy.get(bolt));
    let left_out: u64 = left_out.sum();
    Dropped {
        by_policy: total.dropped.saturating_sub(left_out),
        left_out,
    }
}

/// What is known of a record after the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Known {
    in_index: bool,
    /// It was split, and which parts it has is not known: some may lack their documents.
    maybe_in_part: bool,
    doubled: bool,
    /// It has several documents in one index, or a part of it has.
    repeated: bool,
    /// Redrives of its newest letter, of open ones that the run was to settle and of new ones.
    letter: Option<u32>,
}

impl Verdict {
    /// Asks the indices for each record, and looks at what is open `after` the run. What it has dropped it knows
    /// itself, and later the register, if somebody has told it.
    pub(super) async fn find(
        records: &Records<'_>,
        after: &Letters,
        searches: &[Search],
        dropped: Option<Dropped>,
        unread: &[String],
        forks: bool,
    ) -> Result<Self, Failure> {
        let letters = by_record(after);
        for search in searches {
            search.refresh().await.map_err(undetermined)?;
        }
        let (mut verdict, mut twice) = (Self::but_for(unread), Twice::default());
        for ((source, topic, partition), picks) in records.partitions() {
            let offsets: Vec<i64> = picks.keys().copied().collect();
            let (mut found, mut doubled) = (BTreeSet::new(), BTreeSet::new());
            let mut repeated = BTreeSet::new();
            let mut parts: BTreeMap<i64, BTreeSet<Ordinals>> = BTreeMap::new();
            for search in searches {
                let source = origin_of_source(source);
                let answer = search.among(&source, partition, &offsets).await;
                let answer = answer.map_err(undetermined)?;
                found.extend(answer.offsets);
                doubled.extend(answer.doubled);
                repeated.extend(answer.repeated);
                for (offset, of_offset) in answer.parts {
                    parts.entry(offset).or_default().extend(of_offset);
                }
            }
            let are_too_many = twice.are_too_many(repeated.len() as u64, searches);
            if !are_too_many.await.map_err(undetermined)? {
                repeated.clear();
            }
            for (&offset, pick) in picks {
                let letters = letters.get(&(source, topic, partition, offset));
                let wanted = pick.resolutions().map(|one| one.origin.ordinals);
                let wanted: Vec<Ordinals> = wanted.collect();
                let parts = parts.get(&offset);
                let known = Known {
                    in_index: found.contains(&offset)
                        && parts.is_none_or(|found| has(found, &wanted)),
                    maybe_in_part: parts.is_some_and(|found| !has_exactly(found, &wanted)),
                    doubled: doubled.contains(&offset),
                    repeated: repeated.contains(&offset),
                    letter: letters.and_then(|lines| newest(lines, pick)),
                };
                let place = || format!("{topic}/{partition}@{offset}");
                verdict.add(pick.redrives, known, place);
            }
        }
        verdict.judge(dropped, searches.len(), forks);
        Ok(verdict)
    }

    /// Of no record yet, where some letters cannot be read.
    fn but_for(unread: &[String]) -> Self {
        Self {
            unread: unread.to_vec(),
            ..Self::default()
        }
    }

    /// Adds a record that had been redriven so often before.
    fn add(&mut self, redrives: u32, known: Known, place: impl Fn() -> String) {
        self.records += 1;
        self.in_index += u64::from(known.in_index);
        self.maybe_in_part += u64::from(known.in_index && known.maybe_in_part);
        if known.doubled {
            self.doubled.push(place());
        }
        if known.repeated {
            self.repeated.push(place());
        }
        match known.letter {
            Some(letter) if letter > redrives => self.rejected_again += 1,
            Some(_) => self.open += 1,
            None if known.in_index => {}
            None => {
                self.without += 1;
                if self.named.len() < NAMED_MAX {
                    self.named.push(place());
                }
            }
        }
    }

    fn judge(&mut self, dropped: Option<Dropped>, sinks: usize, forks: bool) {
        let Some(dropped) = dropped else {
            self.verdict = match self.without {
                _ if self.are_any_twice() => Word::Wrong,
                0 if sinks <= 1 && self.maybe_in_part == 0 => Word::Exact,
                _ => Word::Unknown,
            };
            return;
        };
        let Dropped {
            by_policy,
            left_out,
        } = dropped;
        let of_policies = self.without.min(by_policy);
        self.dropped = Some(of_policies);
        self.left_out = left_out.min(self.without - of_policies);
        self.without_trace = self.without - of_policies - self.left_out;
        self.verdict = match self.without {
            _ if self.are_any_twice() => Word::Wrong,
            _ if self.without_trace > 0 && self.unread.is_empty() => Word::Wrong,
            _ if self.without_trace > 0 || self.left_out > 0 => Word::Unknown,
            // A record that goes to several sinks may have its document in one and not in another.
            _ if sinks > 1 || self.maybe_in_part > 0 => Word::Unknown,
            0 => Word::Exact,
            without if without == by_policy && !forks => Word::Exact,
            // Records of a fork are dropped on one branch and indexed on another: which ones is open.
            _ => Word::Unknown,
        };
    }

    /// The topology that it was checked by is another one than that of the run, and may write elsewhere.
    pub(super) fn is_of_another_configuration(&mut self) {
        self.other_configuration = true;
        self.verdict = self.verdict.max(Word::Unknown);
    }

    fn are_any_twice(&self) -> bool {
        !self.doubled.is_empty() || !self.repeated.is_empty()
    }

    /// `exact`, `wrong` or `unknown`.
    pub(super) fn word(&self) -> &'static str {
        self.verdict.text()
    }

    pub(super) fn exit(&self) -> Exit {
        match self.verdict {
            Word::Exact if self.open > 0 => Exit::Undetermined,
            word => word.exit(self.rejected_again > 0),
        }
    }

    pub(super) fn text(&self) -> String {
        let word = match self.verdict {
            Word::Exact => "exact: every record is accounted for",
            Word::Wrong if self.other_configuration => {
                "wrong, by the topology as it is now, which has changed since the redrive: see below"
            }
            Word::Wrong => "wrong: see below",
            Word::Unknown if self.other_configuration => {
                "unknown: the topology, or what it takes from outside, has changed since the redrive, and may index \
                 elsewhere by now"
            }
            Word::Unknown if self.without_trace > 0 => {
                "unknown: some dead letters cannot be read, and what has no trace may have one there"
            }
            Word::Unknown if self.dropped.is_none() && self.without > 0 => {
                "unknown: what the redrive has dropped by a policy nobody knows any more, so what has no document may be \
                 that, or lost"
            }
            Word::Unknown => {
                "unknown: records go to more than one place or are split into parts, and which of them \
                 have no document there is not known"
            }
        };
        let mut text = format!(
            "Verified: {word}\n{} records: {} in the index, {} rejected again, {}{} dropped by a policy",
            number(self.records),
            number(self.in_index),
            number(self.rejected_again),
            match self.verdict {
                Word::Unknown | Word::Wrong if self.dropped.is_some() => "up to ",
                _ => "",
            },
            // Where nothing is without a document, nothing of it was dropped.
            known(self.dropped.or((self.without == 0).then_some(0))),
        );
        if self.left_out > 0 {
            text.push_str(&format!(
                ", up to {} gone only to what is left out",
                number(self.left_out)
            ));
        }
        if self.without_trace > 0 {
            let count = number(self.without_trace);
            text.push_str(&format!(", {count} without a trace"));
        }
        text.push('\n');
        if self.rejected_again > 0 {
            text.push_str("`isobar dlq list` says why records were rejected again\n");
        }
        if self.open > 0 {
            text.push_str(&format!(
                "{} letters are open as before; the same command goes on\n",
                number(self.open)
            ));
        }
        if self.verdict != Word::Exact && !self.named.is_empty() {
            text.push_str(&format!(
                "Without a document: {}\n",
                listed(&self.named, self.without)
            ));
        }
        for (what, places) in [
            ("In two indices", &self.doubled),
            (
                "More than once in one index, under several ids",
                &self.repeated,
            ),
        ] {
            if !places.is_empty() {
                let count = places.len() as u64;
                text.push_str(&format!("{what}: {}\n", listed(places, count)));
            }
        }
        text
    }
}

/// The first of so many.
fn listed(places: &[String], count: u64) -> String {
    and_more(&places[..places.len().min(NAMED_MAX)], count)
}

/// The source, topic, partition and offset of a record.
type Record<'a> = (u64, &'a str, i32, i64);

/// The letters of each record.
fn by_record(after: &Letters) -> BTreeMap<Record<'_>, Vec<&Line>> {
    let mut records: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for ((origin, _), line) in after.all() {
        let record = (
            origin.source,
            origin.topic.as_str(),
            origin.partition,
            origin.offset,
        );
        records.entry(record).or_default().push(line);
    }
    records
}

/// Redrives of the newest letter that the run was to settle, or that it has written.
fn newest(letters: &[&Line], pick: &Pick) -> Option<u32> {
    let was_to_settle = |line: &Line| pick.resolutions().any(|one| one.bolt == line.bolt);
    // One that was settled before is of an earlier redrive: its record was read and rejected once more since.
    let is_since = |line: &Line| {
        let mut marks = pick.resolutions();
        marks.any(|one| one.run == line.topology || one.rejected_at < line.rejected_at_ms)
    };
    let is_ours = |line: &&&Line| match line.redrives > pick.redrives {
        true => line.is_open() || is_since(line),
        false => line.is_open() && was_to_settle(line),
    };
    let ours = letters.iter().filter(is_ours);
    ours.map(|line| line.redrives).max()
}

#[cfg(test)]
mod tests {
    use isobar_operators::dead_letter::{Letter, Origin, Resolution};
    use isobar_operators::letters::{Content, Stored};
    use isobar_operators::redrive::Mark;

    use super::*;

    fn by_policy(by_policy: u64) -> Option<Dropped> {
        Some(Dropped {
            by_policy,
            left_out: 0,
        })
    }

    fn check(known: &[Known], dropped: u64, expected: (Word, Exit)) -> Verdict {
        let mut verdict = Verdict::default();
        for (offset, known) in (0..).zip(known) {
            verdict.add(1, *known, || format!("t/0@{offset}"));
        }
        verdict.judge(by_policy(dropped), 1, false);
        assert_eq!((verdict.verdict, verdict.exit()), expected, "{verdict:?}");
        verdict
    }

    const INDEXED: Known = Known {
        in_index: true,
        maybe_in_part: false,
        doubled: false,
        repeated: false,
        letter: None,
    };
    const GONE: Known = Known {
        in_index: false,
        ..INDEXED
    };
    const AGAIN: Known = Known {
        letter: Some(2),
        ..GONE
    };
    const AS_BEFORE: Known = Known {
        letter: Some(1),
        ..GONE
    };

    #[test]
    fn each_record_has_a_document_a_new_letter_or_was_dropped() {
        let _ = check(&[INDEXED, INDEXED], 0, (Word::Exact, Exit::Done));
        let _ = check(&[INDEXED, GONE], 1, (Word::Exact, Exit::Done));
        // Dropped on one branch, indexed on another.
        let _ = check(&[INDEXED, INDEXED], 2, (Word::Exact, Exit::Done));
        let _ = check(&[GONE, INDEXED], 2, (Word::Unknown, Exit::Undetermined));
        let again = check(&[INDEXED, AGAIN], 0, (Word::Exact, Exit::Threshold));
        assert_eq!((again.rejected_again, again.in_index), (1, 1));
        let stopped = check(&[INDEXED, AS_BEFORE], 0, (Word::Exact, Exit::Undetermined));
        assert!(stopped.text().contains("1 letters are open as before"));
        let lost = check(&[INDEXED, GONE], 0, (Word::Wrong, Exit::Failed));
        for part in [
            "1 in the index, 0 rejected again, up to 0 dropped by a policy, 1 without a trace\n",
            "Without a document: t/0@1",
        ] {
            assert!(lost.text().contains(part), "{}", lost.text());
        }
        let doubled = Known {
            doubled: true,
            ..INDEXED
        };
        let _ = check(&[doubled], 0, (Word::Wrong, Exit::Failed));
        let repeated = Known {
            repeated: true,
            ..INDEXED
        };
        let repeated = check(&[INDEXED, repeated], 0, (Word::Wrong, Exit::Failed));
        let said = "More than once in one index, under several ids: t/0@1\n";
        assert!(repeated.text().contains(said), "{}", repeated.text());
        let split = Known {
            maybe_in_part: true,
            ..INDEXED
        };
        let split = check(&[INDEXED, split], 0, (Word::Unknown, Exit::Undetermined));
        assert_eq!((split.in_index, split.maybe_in_part), (2, 1));
    }

    #[test]
    fn where_records_fork_a_dropped_branch_may_stand_for_a_lost_record() {
        let mut verdict = Verdict::default();
        verdict.add(1, INDEXED, String::new);
        verdict.judge(by_policy(1), 1, true);
        assert_eq!(verdict.verdict, Word::Exact);
        verdict.add(1, GONE, String::new);
        verdict.judge(by_policy(1), 1, true);
        assert_eq!(verdict.verdict, Word::Unknown);
        assert!(verdict.text().contains("up to 1 dropped by a policy\n"));
    }

    #[test]
    fn what_a_run_has_dropped_is_not_known_where_nobody_has_told_the_register() {
        let check = |known: &[Known], sinks, expected: (Word, Exit)| {
            let mut verdict = Verdict::default();
            for (offset, known) in (0..).zip(known) {
                verdict.add(1, *known, || format!("t/0@{offset}"));
            }
            verdict.judge(None, sinks, false);
            assert_eq!((verdict.verdict, verdict.exit()), expected, "{verdict:?}");
            verdict.text()
        };
        let text = check(&[INDEXED], 1, (Word::Exact, Exit::Done));
        assert!(text.contains("0 dropped by a policy\n"), "{text}");
        let _ = check(&[INDEXED, AGAIN], 1, (Word::Exact, Exit::Threshold));
        let _ = check(&[INDEXED], 2, (Word::Unknown, Exit::Undetermined));
        let text = check(&[INDEXED, GONE], 1, (Word::Unknown, Exit::Undetermined));
        for part in [
            "has dropped by a policy nobody knows any more",
            ", ? dropped by a policy\nWithout a document: t/0@1\n",
        ] {
            assert!(text.contains(part), "{text}");
        }
        let doubled = Known {
            doubled: true,
            ..INDEXED
        };
        let _ = check(&[doubled], 1, (Word::Wrong, Exit::Failed));
    }

    #[test]
    fn what_has_no_trace_may_have_a_letter_where_some_cannot_be_read() {
        let unread = ["bad.ndjson is not on this host".to_owned()];
        let check = |known: &[Known], expected: (Word, Exit)| {
            let mut verdict = Verdict::but_for(&unread);
            for (offset, known) in (0..).zip(known) {
                verdict.add(1, *known, || format!("t/0@{offset}"));
            }
            verdict.judge(by_policy(0), 1, false);
            assert_eq!((verdict.verdict, verdict.exit()), expected, "{verdict:?}");
            let document = serde_json::to_value(&verdict).expect("JSON");
            assert_eq!(document["unread"], serde_json::json!(unread));
            verdict.text()
        };
        let text = check(&[INDEXED, GONE], (Word::Unknown, Exit::Undetermined));
        for part in [
            "Verified: unknown: some dead letters cannot be read",
            "1 without a trace\nWithout a document: t/0@1\n",
        ] {
            assert!(text.contains(part), "{text}");
        }
        let _ = check(&[INDEXED], (Word::Exact, Exit::Done));
        // That is so whatever is in the letters.
        let doubled = Known {
            doubled: true,
            ..INDEXED
        };
        let _ = check(&[doubled, GONE], (Word::Wrong, Exit::Failed));
    }

    #[test]
    fn a_topology_that_has_changed_since_proves_nothing() {
        let check = |known: &[Known], said: &str, expected: Exit| {
            let mut verdict = Verdict::default();
            for known in known {
                verdict.add(1, *known, String::new);
            }
            verdict.judge(by_policy(0), 1, false);
            verdict.is_of_another_configuration();
            assert_eq!(verdict.exit(), expected);
            assert!(verdict.text().contains(said), "{}", verdict.text());
        };
        let unknown = "Verified: unknown: the topology, or what it takes from outside, has changed";
        check(&[INDEXED], unknown, Exit::Undetermined);
        check(&[INDEXED, AGAIN], unknown, Exit::Undetermined);
        let wrong = "Verified: wrong, by the topology as it is now, which has changed";
        check(&[GONE], wrong, Exit::Failed);
    }

    #[test]
    fn documents_in_one_of_several_indices_prove_nothing_of_the_others() {
        let mut verdict = Verdict::default();
        verdict.add(0, INDEXED, String::new);
        verdict.judge(by_policy(0), 2, false);
        assert_eq!(verdict.verdict, Word::Unknown);
    }

    #[test]
    fn what_is_dropped_in_place_of_a_bolt_that_is_left_out_is_no_policy() {
        let total = Terms {
            dropped: 3,
            dropped_by_policy: [("filter".to_owned(), 1), ("to_kafka".to_owned(), 2)].into(),
            ..Terms::default()
        };
        let dropped = dropped(&total, &["to_kafka".to_owned(), "copy".to_owned()]);
        assert_eq!((dropped.by_policy, dropped.left_out), (1, 2));
        let word = |known: &[Known]| {
            let mut verdict = Verdict::default();
            for known in known {
                verdict.add(1, *known, String::new);
            }
            verdict.judge(Some(dropped), 1, false);
            verdict.verdict
        };
        assert_eq!(word(&[GONE, INDEXED, INDEXED]), Word::Exact);
        assert_eq!(word(&[GONE, GONE, GONE]), Word::Unknown);
        assert_eq!(word(&[GONE; 4]), Word::Wrong);
    }

    #[test]
    fn letters_that_a_run_was_not_to_settle_say_nothing_of_it() {
        let origin = Origin {
            source: 7,
            topic: "t".to_owned(),
            partition: 0,
            offset: 5,
            timestamp: None,
            ordinals: Ordinals::NONE,
        };
        let pick = Pick {
            origin: origin.clone(),
            redrives: 1,
            marks: vec![Mark {
                at: (0, 0, 0),
                resolution: Resolution {
                    origin: origin.clone(),
                    bolt: "index".to_owned(),
                    redrives: 1,
                    rejected_at: 40,
                    run: "logs.redrive.2".to_owned(),
                },
            }],
        };
        let check = |letters: &[(&str, &str, u32, i64)], settled: bool, expected: Option<u32>| {
            let mut after = Letters::default();
            for (topology, bolt, redrives, rejected_at) in letters {
                let letter = Letter {
                    topology: (*topology).to_owned(),
                    bolt: (*bolt).to_owned(),
                    attempts: 1,
                    redrives: *redrives,
                    class: "mapping".to_owned(),
                    reason: "no number".to_owned(),
                    target: None,
                    document_id: None,
                    rejected_at: *rejected_at,
                    origin: origin.clone(),
                    cut: None,
                };
                let mark = Resolution {
                    origin: origin.clone(),
                    bolt: (*bolt).to_owned(),
                    redrives: *redrives,
                    rejected_at: *rejected_at,
                    run: "logs.redrive.3".to_owned(),
                };
                let mark = Some(Content::Resolution(mark)).filter(|_| settled);
                for content in [Content::Letter(letter)].into_iter().chain(mark) {
                    after.add(Stored {
                        partition: 0,
                        offset: 0,
                        content: Ok(content),
                        key: None,
                        payload: None,
                    });
                }
            }
            let after = after.finish();
            let lines: Vec<&Line> = by_record(&after).into_values().flatten().collect();
            assert_eq!(newest(&lines, &pick), expected, "{letters:?}");
        };
        check(&[("logs", "to_kafka", 1, 40)], false, None);
        let as_before = [("logs", "to_kafka", 1, 40), ("logs", "index", 0, 40)];
        check(&as_before, false, Some(0));
        check(&as_before, true, None);
        let again = [("logs.redrive.2", "parse", 2, 50), ("logs", "index", 1, 40)];
        check(&again, false, Some(2));
        // A later redrive has settled it, or has had it rejected once more.
        check(&again, true, Some(2));
        check(&[("logs.redrive.3", "index", 3, 60)], true, Some(3));
        // By a clock that is behind.
        check(&[("logs.redrive.2", "parse", 2, 30)], true, Some(2));
        // It was settled before the record was read and rejected once more.
        check(&[("logs.redrive.1", "parse", 2, 30)], true, None);
    }

    #[test]
    fn documents_of_other_parts_say_nothing_of_the_one_that_was_rejected() {
        let parts = |texts: &[&str]| -> Vec<Ordinals> {
            let parts = texts.iter().map(|text| text.parse().unwrap_or_default());
            parts.collect()
        };
        let check = |found: &[&str], wanted: &[&str], expected: (bool, bool)| {
            let (found, wanted) = (parts(found).into_iter().collect(), parts(wanted));
            assert_eq!(
                (has(&found, &wanted), has_exactly(&found, &wanted)),
                expected
            );
        };
        check(&["0", "1", "2"], &["1", "2"], (true, true));
        check(&["0", "2"], &["1"], (false, false));
        // A record that was rejected as a whole, and a part that was split once more.
        check(&["0", "1"], &[""], (true, false));
        check(&["1.0", "1.1"], &["1"], (true, false));
        // One that was not split after all.
        check(&[""], &[""], (true, true));
    }
}
