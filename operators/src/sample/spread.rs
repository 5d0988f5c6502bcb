//! Records spread over ranges of offsets, for whoever wants to see of each part of a range what would
//! become of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Ranges, Sampled, sampled, source_hashes, without_a_group};
use crate::kafka::admin::{Admin, TopicPartition};
use crate::kafka::error::Error;
use crate::kafka::read_ranges;
use crate::lag::Source;
use crate::range::Range;

/// Reads the first record of each of `count` parts of equal length that some ranges are cut into. A part
/// without any, such as one of markers of transactions alone, makes it fewer. The records come by topic,
/// partition and offset.
///
/// Waits for the brokers, at most `within` for each answer, and fails when they do not answer.
pub fn spread(
    source: &Source,
    ranges: &[Range],
    count: usize,
    within: Duration,
) -> Result<Vec<Sampled>, Error> {
    let connection = without_a_group(source);
    let admin = Admin::new(&connection, within)?;
    let partitions: Vec<TopicPartition> = ranges.iter().map(|one| one.partition.clone()).collect();
    let hashes = source_hashes(&admin, &partitions)?;
    let mut records = Vec::new();
    for (topic, parts) in rounds(parts(ranges, count)) {
        let hash = hashes.get(&*topic).copied().unwrap_or_default();
        read_ranges(&connection, &topic, parts, within, |record| {
            records.push(sampled(record, hash));
            false
        })?;
    }
    let place = |one: &Sampled| (one.topic.clone(), one.partition, one.offset);
    records.sort_by_key(place);
    Ok(records)
}

/// Half-open parts of the ranges, in their order: all of them together are the ranges.
fn parts(ranges: &[Range], count: usize) -> Vec<(TopicPartition, (i64, i64))> {
    let total: u64 = ranges.iter().map(Range::len).sum();
    let count = (count as u64).min(total);
    // The start of each part, with all offsets counted through.
    let mut starts = (0..count).map(|part| {
        let start = u128::from(total) * u128::from(part) / u128::from(count);
        start as u64
    });
    let mut start = starts.next();
    let (mut parts, mut before) = (Vec::new(), 0);
    for range in ranges {
        let mut of_range: Vec<i64> = Vec::new();
        while let Some(at) = start.filter(|at| *at < before + range.len()) {
            of_range.push(range.from + (at - before) as i64);
            start = starts.next();
        }
        before += range.len();
        let ends = of_range.iter().skip(1).copied().chain([range.to]);
        let each = of_range.iter().copied().zip(ends);
        parts.extend(each.map(|part| (range.partition.clone(), part)));
    }
    parts
}

/// Parts that can be read at the same time: of each partition of a topic one.
fn rounds(parts: Vec<(TopicPartition, (i64, i64))>) -> Vec<(Arc<str>, Ranges)> {
    let mut rounds: Vec<BTreeMap<Arc<str>, Ranges>> = Vec::new();
    for (partition, part) in parts {
        let is_free = |round: &BTreeMap<Arc<str>, Ranges>| {
            let of_topic = round.get(&partition.topic);
            of_topic.is_none_or(|ranges| !ranges.contains_key(&partition.partition))
        };
        let round = match rounds.iter().position(is_free) {
            Some(round) => round,
            None => {
                rounds.push(BTreeMap::new());
                rounds.len() - 1
            }
        };
        let of_topic = rounds[round].entry(partition.topic).or_default();
        let _ = of_topic.insert(partition.partition, part);
    }
    rounds.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ranges: &[(i32, i64, i64)], count: usize, expected: &[(i32, i64, i64)]) {
        let ranges = ranges.iter().map(|(number, from, to)| Range {
            partition: TopicPartition::new("t", *number),
            from: *from,
            to: *to,
            narrowed: Vec::new(),
            notes: Vec::new(),
        });
        let found = parts(&ranges.collect::<Vec<_>>(), count);
        let found: Vec<_> = found
            .iter()
            .map(|(one, (from, to))| (one.partition, *from, *to))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn parts_are_as_long_wherever_they_are() {
        check(&[(0, 100, 200)], 2, &[(0, 100, 150), (0, 150, 200)]);
        let three = [(0, 0, 30), (1, 500, 500), (2, 7, 37)];
        check(
            &three,
            4,
            &[(0, 0, 15), (0, 15, 30), (2, 7, 22), (2, 22, 37)],
        );
        check(&three, 1, &[(0, 0, 30)]);
        check(&[(0, 5, 8)], 10, &[(0, 5, 6), (0, 6, 7), (0, 7, 8)]);
        check(&[(0, 5, 5)], 10, &[]);
        check(&[], 10, &[]);
    }

    #[test]
    fn parts_of_one_partition_are_read_one_after_the_other() {
        let part = |topic, number, from| (TopicPartition::new(topic, number), (from, from + 1));
        let rounds = rounds(vec![
            part("a", 0, 1),
            part("a", 0, 2),
            part("a", 1, 3),
            part("b", 0, 4),
        ]);
        let expected = [
            ("a".into(), BTreeMap::from([(0, (1, 2)), (1, (3, 4))])),
            ("b".into(), BTreeMap::from([(0, (4, 5))])),
            ("a".into(), BTreeMap::from([(0, (2, 3))])),
        ];
        assert_eq!(rounds, expected);
    }
}
