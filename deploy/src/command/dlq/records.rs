//! The records of a redrive: those that it is about to send through, or later, those that its marks in the topics of
//! the letters name.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use isobar_operators::dead_letter::{Origin, Resolution};
use isobar_operators::letters::{Content, Stored};
use isobar_operators::redrive::{LetterAt, Mark, Pick};
use isobar_operators::replay::registry::Part;
use isobar_topology::Ordinals;
use isobar_topology::spec::units::Duration;

use super::keepers::Keepers;
use super::letters::{At, Letters};
use crate::exit::Failure;

/// The source, topic and partition that records come from.
type Partition<'a> = (u64, &'a str, i32);

/// The records of a redrive, by partition of the topic that they come from, with their offsets.
pub(super) struct Records<'a>(BTreeMap<Partition<'a>, BTreeMap<i64, &'a Pick>>);

impl<'a> Records<'a> {
    pub(super) fn of(picks: impl IntoIterator<Item = &'a Pick>) -> Self {
        let mut partitions: BTreeMap<_, BTreeMap<i64, &Pick>> = BTreeMap::new();
        for pick in picks {
            let origin = &pick.origin;
            let partition = (origin.source, origin.topic.as_str(), origin.partition);
            let offsets = partitions.entry(partition).or_default();
            let _ = offsets.insert(origin.offset, pick);
        }
        Self(partitions)
    }

    pub(super) fn partitions(
        &self,
    ) -> impl Iterator<Item = (Partition<'a>, &BTreeMap<i64, &'a Pick>)> {
        let all = self.0.iter();
        all.map(|(partition, offsets)| (*partition, offsets))
    }

    /// Of each partition the half-open range from the first of them to the last, whatever was between them, and
    /// whichever topic of that name it was.
    pub(super) fn ranges(&self) -> Vec<Part> {
        let mut ranges: BTreeMap<(&str, i32), (i64, i64)> = BTreeMap::new();
        for ((_, topic, partition), offsets) in &self.0 {
            let ends = (offsets.first_key_value(), offsets.last_key_value());
            let (Some((first, _)), Some((last, _))) = ends else {
                continue;
            };
            let range = ranges.entry((topic, *partition));
            // Whoever may write letters may write any offset.
            let end = last.saturating_add(1);
            let range = range.or_insert((*first, end));
            *range = (range.0.min(*first), range.1.max(end));
        }
        let parts = ranges.into_iter();
        parts
            .map(|((topic, partition), (from, to))| Part {
                topic: topic.to_owned(),
                partition,
                from,
                to,
                // Letters come in no order of offsets.
                next: None,
            })
            .collect()
    }

    /// Reads all letters, and remembers what is of these records.
    pub(super) fn letters(&self, keepers: &Keepers, within: Duration) -> Result<Letters, Failure> {
        let mut letters = Letters::default();
        keepers.each(within.get(), |of, stored| {
            if self.has(&stored) {
                letters.read_from(of);
                letters.add(stored);
            }
        })?;
        Ok(letters.finish())
    }

    fn has(&self, stored: &Stored) -> bool {
        let origin = match &stored.content {
            Ok(Content::Letter(letter)) => &letter.origin,
            Ok(Content::Resolution(resolution)) => &resolution.origin,
            Err(_) => return false,
        };
        let partition = (origin.source, origin.topic.as_str(), origin.partition);
        let offsets = self.0.get(&partition);
        offsets.is_some_and(|offsets| offsets.contains_key(&origin.offset))
    }
}

/// Reads all letters for the records that a redrive has settled.
pub(super) fn settled_by(
    run: &str,
    keepers: &Keepers,
    within: Duration,
) -> Result<Vec<Pick>, Failure> {
    let mut settled = Settled::default();
    keepers.each(within.get(), |of, stored| {
        let at = At::of(of, &stored);
        if let Ok(Content::Resolution(resolution)) = stored.content
            && resolution.run == run
            && let Some(topic) = keepers.topic_of(&at)
        {
            settled.add((topic, at.partition, at.offset), resolution);
        }
    })?;
    Ok(settled.0.into_values().collect())
}

/// Records, by themselves.
#[derive(Default)]
struct Settled(BTreeMap<Origin, Pick>);

impl Settled {
    fn add(&mut self, at: LetterAt, resolution: Resolution) {
        let origin = Origin {
            ordinals: Ordinals::NONE,
            ..resolution.origin.clone()
        };
        let pick = match self.0.entry(origin) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let origin = new.key().clone();
                new.insert(Pick {
                    origin,
                    redrives: 0,
                    marks: Vec::new(),
                })
            }
        };
        pick.redrives = pick.redrives.max(resolution.redrives);
        // Told again after a failure.
        if !pick.resolutions().any(|known| *known == resolution) {
            pick.marks.push(Mark { at, resolution });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(source: u64, partition: i32, offset: i64) -> Origin {
        Origin {
            source,
            topic: "t".to_owned(),
            partition,
            offset,
            timestamp: None,
            ordinals: Ordinals::NONE,
        }
    }

    fn pick(origin: Origin) -> Pick {
        Pick {
            origin,
            redrives: 0,
            marks: Vec::new(),
        }
    }

    fn resolution(origin: Origin, bolt: &str, redrives: u32) -> Resolution {
        Resolution {
            origin,
            bolt: bolt.to_owned(),
            redrives,
            rejected_at: 0,
            run: String::new(),
        }
    }

    #[test]
    fn only_what_is_of_the_records_is_remembered() {
        let picks = [pick(origin(7, 0, 5))];
        let records = Records::of(&picks);
        let has = |offset, source| {
            records.has(&Stored {
                partition: 0,
                offset: 9,
                content: Ok(Content::Resolution(resolution(
                    origin(source, 0, offset),
                    "index",
                    0,
                ))),
                key: None,
                payload: None,
            })
        };
        assert_eq!((has(5, 7), has(6, 7), has(5, 8)), (true, false, false));
    }

    #[test]
    fn a_range_goes_from_the_first_record_of_a_partition_to_the_last() {
        let all = [(7, 0, 5), (7, 0, 900), (8, 0, 3), (7, 1, i64::MAX)];
        let picks = all.map(|(source, partition, offset)| pick(origin(source, partition, offset)));
        let ranges = Records::of(&picks).ranges();
        let found: Vec<_> = ranges
            .iter()
            .map(|part| (part.topic.as_str(), part.partition, part.from, part.to))
            .collect();
        let last = ("t", 1, i64::MAX, i64::MAX);
        assert_eq!(found, [("t", 0, 3, 901), last]);
    }

    #[test]
    fn the_marks_of_a_redrive_say_which_records_it_has_settled_and_how_often_they_had_been_redriven()
     {
        let mut settled = Settled::default();
        let part = Origin {
            ordinals: "1".parse().expect("a part"),
            ..origin(7, 0, 5)
        };
        for one in [
            resolution(part.clone(), "index", 1),
            resolution(part, "index", 1),
            resolution(origin(7, 0, 5), "parse", 1),
            resolution(origin(7, 0, 6), "parse", 0),
        ] {
            settled.add((0, 0, 0), one);
        }
        let found: Vec<_> = settled.0.values().collect();
        let shapes: Vec<(i64, u32, usize)> = found
            .iter()
            .map(|pick| (pick.origin.offset, pick.redrives, pick.marks.len()))
            .collect();
        assert_eq!(shapes, [(5, 1, 2), (6, 0, 1)]);
        assert_eq!(found[0].origin, origin(7, 0, 5), "the record itself");
    }
}
