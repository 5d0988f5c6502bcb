//! How much a range of offsets holds: records, bytes and times. A small range is read whole; of a larger
//! one some windows are, and the rest is taken to be as they are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Headers};

use super::Range;
use crate::kafka::admin::TopicPartition;
use crate::kafka::error::Error;
use crate::kafka::{leader_epoch, read_rounds};
use crate::lag::Source;
use crate::sample::without_a_group;

/// Windows of a range that is not read whole, spread from its start to its end.
const WINDOWS: u64 = 8;
/// Offsets of a window.
const WINDOW: i64 = 100;

/// What a range holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Records.
    pub records: u64,
    /// Bytes of their keys, values and headers, as they are uncompressed.
    pub bytes: u64,
    /// Every offset was looked at. Otherwise both are estimates, and times are those of what was looked at.
    pub is_exact: bool,
    /// The oldest timestamp, in ms since 1970; `None` where no record has one.
    pub oldest_ms: Option<i64>,
    /// The newest one.
    pub newest_ms: Option<i64>,
    /// A record without a timestamp was among them: a time finds no place beside such.
    pub is_without_times: bool,
    /// The last record of those.
    pub last: Option<Last>,
    /// Records close behind the range that are older than where it should end: timestamps need not rise with
    /// the offsets.
    pub late: u64,
}

/// A record by which a log is known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp in ms since 1970, −1 when it has none.
    pub timestamp: i64,
    /// The epoch of the leader that took it: a log that was cut before it and written on has another one
    /// there. `None` where brokers do not tell it.
    pub leader_epoch: Option<i32>,
}

/// Looks what each of some ranges of a source holds, in their order. Records behind a range count as late
/// when they are of `before_ms`, in ms since 1970, or older.
///
/// Waits for the brokers, at most `within` for each answer, and fails when they do not answer.
pub fn extents(
    source: &Source,
    ranges: &[Range],
    before_ms: Option<i64>,
    within: Duration,
) -> Result<Vec<Extent>, Error> {
    let mut seen: BTreeMap<TopicPartition, Seen> = BTreeMap::new();
    let mut by_topic: BTreeMap<Arc<str>, Vec<&Range>> = BTreeMap::new();
    for range in ranges {
        let _ = seen.insert(range.partition.clone(), Seen::of(range));
        by_topic
            .entry(Arc::clone(&range.partition.topic))
            .or_default()
            .push(range);
    }
    let connection = without_a_group(source);
    for (topic, ranges) in by_topic {
        let rounds = rounds(&ranges, before_ms.is_some());
        read_rounds(&connection, &topic, rounds, within, |record| {
            let partition = TopicPartition::new(record.topic(), record.partition());
            if let Some(seen) = seen.get_mut(&partition) {
                seen.take(record, before_ms);
            }
        })?;
    }
    let extents = ranges.iter().map(|range| {
        let seen = seen.remove(&range.partition).unwrap_or_default();
        seen.extent(range.len())
    });
    Ok(extents.collect())
}

/// Looks which of some records are at their offsets as they were: `None` where there is none any more.
///
/// Waits and fails as [`extents`].
pub fn again(
    source: &Source,
    records: &BTreeMap<TopicPartition, Last>,
    within: Duration,
) -> Result<BTreeMap<TopicPartition, Option<Last>>, Error> {
    let mut by_topic: BTreeMap<Arc<str>, BTreeMap<i32, (i64, i64)>> = BTreeMap::new();
    for (partition, last) in records {
        let of_topic = by_topic.entry(Arc::clone(&partition.topic)).or_default();
        let _ = of_topic.insert(partition.partition, (last.offset, last.offset + 1));
    }
    let connection = without_a_group(source);
    let mut found: BTreeMap<_, _> = records.keys().map(|one| (one.clone(), None)).collect();
    for (topic, ranges) in by_topic {
        read_rounds(&connection, &topic, vec![ranges], within, |record| {
            let partition = TopicPartition::new(record.topic(), record.partition());
            let _ = found.insert(partition, Some(Last::of(record)));
        })?;
    }
    Ok(found)
}

/// The windows of some ranges of a topic, and those behind them; in each round at most one of a partition.
fn rounds(ranges: &[&Range], behind: bool) -> Vec<BTreeMap<i32, (i64, i64)>> {
    let mut rounds = Vec::new();
    for number in 0..WINDOWS {
        let of_round = ranges.iter().filter_map(|range| {
            let window = window(range, number)?;
            Some((range.partition.partition, window))
        });
        rounds.push(of_round.collect());
    }
    if behind {
        let of_round = ranges.iter().map(|range| {
            let window = (range.to, range.to + WINDOW);
            (range.partition.partition, window)
        });
        rounds.push(of_round.collect());
    }
    rounds.retain(|round: &BTreeMap<_, _>| !round.is_empty());
    rounds
}

fn is_read_whole(range: &Range) -> bool {
    range.to - range.from <= WINDOW * WINDOWS as i64
}

/// The window of a range with this number; `None` where there is none.
fn window(range: &Range, number: u64) -> Option<(i64, i64)> {
    let (from, to) = (range.from, range.to);
    if is_read_whole(range) {
        return (number == 0 && from < to).then_some((from, to));
    }
    // As far apart as the range is long, the last one at its end.
    let room = i128::from(to - from - WINDOW);
    let start = from + (room * i128::from(number) / i128::from(WINDOWS - 1)) as i64;
    Some((start, start + WINDOW))
}

/// What was seen of a range.
#[derive(Debug, Default)]
struct Seen {
    /// The end of the range: what is behind it counts as nothing but late.
    to: i64,
    is_whole: bool,
    /// Offsets that were looked at.
    offsets: u64,
    records: u64,
    bytes: u64,
    times: Option<(i64, i64)>,
    is_without_times: bool,
    last: Option<Last>,
    late: u64,
}

impl Seen {
    fn of(range: &Range) -> Self {
        let is_whole = is_read_whole(range);
        Self {
            to: range.to,
            is_whole,
            offsets: match is_whole {
                true => range.len(),
                false => WINDOWS * WINDOW as u64,
            },
            ..Self::default()
        }
    }

    fn take(&mut self, record: &BorrowedMessage<'_>, before_ms: Option<i64>) {
        let last = Last::of(record);
        if last.offset >= self.to {
            let is_late = last.timestamp >= 0 && before_ms.is_some_and(|ms| last.timestamp < ms);
            self.late += u64::from(is_late);
            return;
        }
        self.records += 1;
        self.bytes += size(record);
        match last.timestamp {
            0.. => {
                let (oldest, newest) = self.times.unwrap_or((last.timestamp, last.timestamp));
                self.times = Some((oldest.min(last.timestamp), newest.max(last.timestamp)));
            }
            _ => self.is_without_times = true,
        }
        self.last = Some(last);
    }

    /// The same of all of the range, which has so many offsets.
    fn extent(self, offsets: u64) -> Extent {
        let all = |seen: u64| match self.is_whole {
            true => seen,
            false => (u128::from(seen) * u128::from(offsets) / u128::from(self.offsets)) as u64,
        };
        Extent {
            records: all(self.records),
            bytes: all(self.bytes),
            is_exact: self.is_whole,
            oldest_ms: self.times.map(|(oldest, _)| oldest),
            newest_ms: self.times.map(|(_, newest)| newest),
            is_without_times: self.is_without_times,
            last: self.last,
            late: self.late,
        }
    }
}

impl Last {
    fn of(record: &BorrowedMessage<'_>) -> Self {
        Self {
            offset: record.offset(),
            // As the spout takes it: producers can write negative times.
            timestamp: record.timestamp().to_millis().map_or(-1, |ms| ms.max(-1)),
            leader_epoch: leader_epoch(record),
        }
    }
}

fn size(record: &BorrowedMessage<'_>) -> u64 {
    let headers = record.headers().into_iter().flat_map(Headers::iter);
    let headers = headers.map(|header| header.key.len() + header.value.map_or(0, <[u8]>::len));
    let size = record.key_len() + record.payload_len() + headers.sum::<usize>();
    size as u64
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

    use super::*;
    use crate::kafka::connection::KafkaConnection;

    const WITHIN: Duration = Duration::from_secs(10);

    fn range(number: i32, from: i64, to: i64) -> Range {
        Range {
            partition: TopicPartition::new("t", number),
            from,
            to,
            narrowed: Vec::new(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn windows_go_from_the_start_of_a_range_to_its_end() {
        let windows = |from, to| -> Vec<(i64, i64)> {
            let range = range(0, from, to);
            (0..WINDOWS).filter_map(|n| window(&range, n)).collect()
        };
        assert_eq!(windows(5, 5), []);
        assert_eq!(windows(5, 805), [(5, 805)]);
        let large = windows(5, 7_105);
        assert_eq!(large.len(), 8);
        assert_eq!((large[0], large[7]), ((5, 105), (7_005, 7_105)));
        assert!(large.windows(2).all(|two| two[0].1 <= two[1].0));
        let longest = windows(0, i64::MAX);
        assert_eq!(longest[7].1, i64::MAX);
    }

    #[test]
    fn small_ranges_are_counted_and_large_ones_estimated() {
        let cluster = MockCluster::new(1).expect("a stand-in cluster");
        cluster.create_topic("t", 2, 1).expect("it is created");
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap_servers())
            .create()
            .expect("a producer");
        for number in 0..2_000 {
            // The other partition is written backwards in time.
            let (partition, time) = match number % 2 {
                0 => (0, 10_000 + number),
                _ => (1, 90_000 - number),
            };
            let record = BaseRecord::to("t")
                .partition(partition)
                .timestamp(time)
                .key("key")
                .payload("value");
            producer.send(record).expect("it is queued");
        }
        producer.flush(WITHIN).expect("all is sent");
        let brokers = [cluster.bootstrap_servers()];
        let source = Source::of_group(KafkaConnection::plain(&brokers), "", &["t".to_owned()]);
        let look = |ranges: &[Range], before_ms| {
            extents(&source, ranges, before_ms, WITHIN).expect("they answer")
        };
        let found = look(&[range(0, 10, 30), range(1, 7, 7)], None);
        let last = found[0].last.expect("it is there");
        assert_eq!((last.offset, last.timestamp), (29, 10_058));
        let expected = Extent {
            records: 20,
            bytes: 20 * 8,
            is_exact: true,
            oldest_ms: Some(10_020),
            newest_ms: Some(10_058),
            last: found[0].last,
            ..Extent::default()
        };
        let empty = Extent {
            is_exact: true,
            ..Extent::default()
        };
        assert_eq!(found, [expected, empty]);

        let found = look(&[range(0, 0, 1_000)], None);
        assert_eq!((found[0].records, found[0].bytes), (1_000, 8_000));
        let times = (found[0].oldest_ms, found[0].newest_ms);
        assert_eq!(times, (Some(10_000), Some(11_998)));
        assert!(!found[0].is_exact);
        assert_eq!(found[0].last.map(|last| last.offset), Some(999));
        // All that comes behind is older.
        let found = look(&[range(1, 0, 20), range(0, 0, 20)], Some(89_961));
        assert_eq!((found[0].late, found[1].late), (100, 100));
        assert_eq!(look(&[range(0, 0, 20)], Some(10_041))[0].late, 1);

        let known = BTreeMap::from([
            (TopicPartition::new("t", 0), last),
            (
                TopicPartition::new("t", 1),
                Last {
                    offset: 1_000,
                    ..last
                },
            ),
        ]);
        let found = again(&source, &known, WITHIN).expect("they answer");
        let found: Vec<_> = found.into_values().collect();
        assert_eq!(found, [Some(last), None]);
    }
}
