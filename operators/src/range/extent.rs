//! How much a range of offsets holds: records, bytes and times. A small range is read whole; of a larger
//! one some windows are, and the rest is taken to be as they are. So it is where records are large.

use std::cell::{Cell, RefCell};
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
use crate::sample::{Sampled, sampled, without_a_group};

/// Windows of a range that is not read whole, as far apart as the range is long: halving it so often.
const WINDOWS: u64 = 1 + (1 << HALVINGS);
const HALVINGS: u32 = 3;
/// Offsets of a window.
const WINDOW: i64 = 90;
/// Bytes after which a window ends.
const WINDOW_BYTES: u64 = 1 << 20;
/// Bytes after which a range is not read whole after all.
const WHOLE_BYTES: u64 = 4 << 20;
/// Bytes of all that is read in the ranges after which their windows end with their next record, and of those between
/// the first and the last one no others are begun; and as many of what is read beside them.
const ALL_BYTES: u64 = 128 << 20;
/// Offsets behind a range that ends by a time that are looked at for records that are older: of several producers
/// one may be minutes late.
const BEHIND: i64 = 10_000;
/// Offsets at the end of a log that are looked at for records without timestamps.
const TAIL: i64 = 100;

/// Records of a range that are looked at at most.
pub const LOOKED_AT: u64 = WINDOWS * WINDOW as u64;

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Look<'r> {
    /// What is in it.
    pub range: &'r Range,
    /// Records close behind it count as late when they are older, in ms since 1970. `None` where it does not
    /// end by a time.
    pub before_ms: Option<i64>,
    /// The log, from its first offset to its end, where a time has found the end: so it does, too, where records
    /// carry no timestamps.
    pub log: Option<(i64, i64)>,
}

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
    /// A record without a timestamp was among them, or at the end of the log: a time finds no place beside such.
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

/// Looks what each of some ranges of a source holds, in their order, and hands out the records that it sees
/// there, without the hash of their source.
///
/// Waits for the brokers, at most `within` for each answer, and fails when they do not answer.
pub fn extents(
    source: &Source,
    looks: &[Look<'_>],
    within: Duration,
    mut each: impl FnMut(Sampled),
) -> Result<Vec<Extent>, Error> {
    let seen = looks.iter().map(|look| {
        let seen = Seen::of(*look);
        (look.range.partition.clone(), seen)
    });
    let seen: RefCell<BTreeMap<TopicPartition, Seen>> = RefCell::new(seen.collect());
    let mut by_topic: BTreeMap<Arc<str>, Vec<Look<'_>>> = BTreeMap::new();
    for look in looks {
        let topic = Arc::clone(&look.range.partition.topic);
        by_topic.entry(topic).or_default().push(*look);
    }
    let connection = without_a_group(source);
    let room = Room::default();
    for (topic, looks) in by_topic {
        let rounds = rounds(&looks).into_iter();
        let rounds = rounds.take_while(|round| round.is_needed || room.is_left(round.is_inside));
        let begun = rounds.map(|round| {
            let mut seen = seen.borrow_mut();
            for (partition, window) in &round.windows {
                let partition = TopicPartition::new(&topic, *partition);
                if let Some(seen) = seen.get_mut(&partition) {
                    seen.begin(*window, round.is_inside);
                }
            }
            round.windows
        });
        read_rounds(&connection, &topic, begun, within, |record| {
            let partition = TopicPartition::new(record.topic(), record.partition());
            let mut seen = seen.borrow_mut();
            let Some(seen) = seen.get_mut(&partition) else {
                return false;
            };
            let size = size(record);
            room.take(seen.is_inside, size);
            if seen.is_inside {
                each(sampled(record, 0));
            }
            seen.take(Last::of(record), size, room.is_left(seen.is_inside))
        })?;
    }
    let mut seen = seen.into_inner();
    let extents = looks.iter().map(|look| {
        let seen = seen.remove(&look.range.partition).unwrap_or_default();
        seen.extent(look.range.len())
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
        read_rounds(&connection, &topic, [ranges], within, |record| {
            let partition = TopicPartition::new(record.topic(), record.partition());
            let _ = found.insert(partition, Some(Last::of(record)));
            true
        })?;
    }
    Ok(found)
}

/// How many bytes were read. What is beside the ranges takes nothing of theirs: it comes first, and of many partitions
/// there is much of it.
#[derive(Debug, Default)]
struct Room {
    inside: Cell<u64>,
    beside: Cell<u64>,
}

impl Room {
    fn of(&self, is_inside: bool) -> &Cell<u64> {
        match is_inside {
            true => &self.inside,
            false => &self.beside,
        }
    }

    fn take(&self, is_inside: bool, bytes: u64) {
        let read = self.of(is_inside);
        read.set(read.get() + bytes);
    }

    fn is_left(&self, is_inside: bool) -> bool {
        self.of(is_inside).get() < ALL_BYTES
    }
}

/// Windows that are read at the same time, at most one of a partition.
struct Round {
    windows: BTreeMap<i32, (i64, i64)>,
    /// They are in the ranges, and not behind them or at the end of a log.
    is_inside: bool,
    /// They are read however many bytes there were: nothing would be known of a partition otherwise.
    is_needed: bool,
}

/// The windows of some ranges of a topic, after those beside them.
fn rounds(looks: &[Look<'_>]) -> Vec<Round> {
    let round = |is_inside: bool, window: &dyn Fn(&Look<'_>) -> Option<(i64, i64)>| {
        let windows = looks.iter().filter_map(|look| {
            let window = window(look)?;
            Some((look.range.partition.partition, window))
        });
        Round {
            windows: windows.collect(),
            is_inside,
            is_needed: true,
        }
    };
    let behind = |look: &Look<'_>| {
        let to = look.range.to;
        look.before_ms.map(|_| (to, to.saturating_add(BEHIND)))
    };
    let tail = |look: &Look<'_>| {
        let (start, end) = look.log?;
        Some((start.max(end - TAIL), end))
    };
    let mut rounds = vec![round(false, &behind), round(false, &tail)];
    for (count, number) in order().enumerate() {
        rounds.push(Round {
            // The last window, and the first one, which is all of a small range.
            is_needed: count < 2,
            ..round(true, &|look| window(look.range, number))
        });
    }
    rounds.retain(|round| !round.windows.is_empty());
    rounds
}

/// The numbers of windows: the last one, the first, that in the middle, and so on, so that those that have
/// been are far apart wherever it ends.
fn order() -> impl Iterator<Item = u64> {
    let last = WINDOWS - 1;
    let between = (1..=HALVINGS).flat_map(move |halving| {
        let step = last >> halving;
        (step..last).step_by(2 * step as usize)
    });
    [last, 0].into_iter().chain(between)
}

fn is_read_whole(range: &Range) -> bool {
    range.len() <= LOOKED_AT
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
    /// The end of the range.
    to: i64,
    before_ms: Option<i64>,
    /// The window that is read is in the range.
    is_inside: bool,
    /// Where that window ends, and how many bytes of it there were.
    end: i64,
    window_bytes: u64,
    /// After so many bytes a window ends.
    bytes_max: u64,
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
    fn of(look: Look<'_>) -> Self {
        Self {
            to: look.range.to,
            before_ms: look.before_ms,
            bytes_max: match is_read_whole(look.range) {
                true => WHOLE_BYTES,
                false => WINDOW_BYTES,
            },
            ..Self::default()
        }
    }

    /// Another window is read.
    fn begin(&mut self, (start, end): (i64, i64), is_inside: bool) {
        self.is_inside = is_inside;
        self.end = end;
        self.window_bytes = 0;
        if is_inside {
            self.offsets += u64::try_from(end - start).unwrap_or(0);
        }
    }

    /// Takes the next record of the window, of so many bytes, and says whether it goes on: while there is room
    /// for more.
    fn take(&mut self, last: Last, size: u64, has_room: bool) -> bool {
        self.window_bytes += size;
        let bytes_max = match self.is_inside {
            true => self.bytes_max,
            false => WINDOW_BYTES,
        };
        let goes_on = has_room && self.window_bytes < bytes_max;
        let is_behind = last.offset >= self.to;
        match last.timestamp {
            0.. if is_behind => {
                let is_late = self.before_ms.is_some_and(|ms| last.timestamp < ms);
                self.late += u64::from(is_late);
            }
            0.. if self.is_inside => {
                let (oldest, newest) = self.times.unwrap_or((last.timestamp, last.timestamp));
                self.times = Some((oldest.min(last.timestamp), newest.max(last.timestamp)));
            }
            0.. => {}
            _ => self.is_without_times |= !is_behind,
        }
        if self.is_inside {
            self.records += 1;
            self.bytes += size;
            if self.last.is_none_or(|before| before.offset < last.offset) {
                self.last = Some(last);
            }
            if !goes_on {
                self.offsets -= u64::try_from(self.end - last.offset - 1).unwrap_or(0);
            }
        }
        goes_on
    }

    /// The same of all of the range, which has so many offsets.
    fn extent(self, offsets: u64) -> Extent {
        let is_exact = self.offsets == offsets;
        let all = |seen: u64| match is_exact {
            true => seen,
            false => {
                let looked_at = u128::from(self.offsets.max(1));
                (u128::from(seen) * u128::from(offsets) / looked_at) as u64
            }
        };
        Extent {
            records: all(self.records),
            bytes: all(self.bytes),
            is_exact,
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
    use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};

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
        assert_eq!(windows(5, 815), [(5, 815)]);
        for large in [windows(5, 816), windows(5, 7_105)] {
            assert_eq!((large.len(), large[0]), (9, (5, 95)));
            assert!(large.windows(2).all(|two| two[0].1 <= two[1].0));
        }
        assert_eq!(windows(5, 7_105)[8], (7_015, 7_105));
        assert_eq!(windows(0, i64::MAX)[8].1, i64::MAX);
        let order: Vec<u64> = order().collect();
        assert_eq!(order, [8, 0, 4, 2, 6, 1, 3, 5, 7]);
    }

    /// A cluster with a topic `t` of two partitions, whose other one is written backwards in time, and who reads
    /// it.
    fn cluster(
        payload: &[u8],
        records: i64,
    ) -> (MockCluster<'static, DefaultProducerContext>, Source) {
        let cluster = MockCluster::new(1).expect("a stand-in cluster");
        cluster.create_topic("t", 2, 1).expect("it is created");
        send(&cluster, (0..records).map(|number| (payload, number)));
        let brokers = [cluster.bootstrap_servers()];
        let source = Source::of_group(KafkaConnection::plain(&brokers), "", &["t".to_owned()]);
        (cluster, source)
    }

    fn send<'p>(
        cluster: &MockCluster<'static, DefaultProducerContext>,
        records: impl Iterator<Item = (&'p [u8], i64)>,
    ) {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap_servers())
            // A window reads whole batches.
            .set("batch.num.messages", "10")
            .set("message.max.bytes", "2000000")
            .create()
            .expect("a producer");
        for (payload, number) in records {
            let (partition, time) = match number {
                // None, as of old producers.
                NO_TIME => (0, -1),
                _ if number % 2 == 0 => (0, 10_000 + number),
                _ => (1, 90_000 - number),
            };
            let record = BaseRecord::to("t")
                .partition(partition)
                .timestamp(time)
                .key("key")
                .payload(payload);
            producer.send(record).expect("it is queued");
        }
        producer.flush(WITHIN).expect("all is sent");
    }

    const NO_TIME: i64 = -1;

    fn look(source: &Source, ranges: &[Range], before_ms: Option<i64>) -> Vec<Extent> {
        let looks = ranges.iter().map(|range| Look {
            range,
            before_ms,
            log: None,
        });
        let looks: Vec<Look<'_>> = looks.collect();
        extents(source, &looks, WITHIN, |_| {}).expect("they answer")
    }

    #[test]
    fn small_ranges_are_counted_and_large_ones_estimated() {
        let (_cluster, source) = cluster(b"value", 2_000);
        let look = |ranges: &[Range], before_ms| look(&source, ranges, before_ms);
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
        // Windows are read in another order than offsets come in.
        assert_eq!(found[0].last.map(|last| last.offset), Some(999));
        // All that comes behind is older.
        let found = look(&[range(1, 0, 20), range(0, 0, 20)], Some(89_961));
        assert_eq!((found[0].late, found[1].late), (980, 980));
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

    #[test]
    fn of_large_records_few_are_read() {
        let large = vec![b'x'; 400_000];
        let (_cluster, source) = cluster(&large, 24);
        let seen = Cell::new(0);
        let range = range(0, 0, 12);
        let look = Look {
            range: &range,
            before_ms: None,
            log: None,
        };
        let found = extents(&source, &[look], WITHIN, |_| seen.set(seen.get() + 1));
        let found = found.expect("they answer").remove(0);
        // 4 MiB of them.
        assert_eq!(seen.get(), 11);
        assert_eq!((found.records, found.is_exact), (12, false));
        assert_eq!(found.bytes, 12 * 400_003);
    }

    #[test]
    fn a_window_ends_with_its_bytes_or_with_those_of_all() {
        let at = |offset| Last {
            offset,
            timestamp: 5,
            leader_epoch: None,
        };
        let range = range(0, 0, 10_000);
        let mut seen = Seen::of(Look {
            range: &range,
            before_ms: None,
            log: None,
        });
        seen.begin((100, 125), true);
        assert!(seen.take(at(100), WINDOW_BYTES - 1, true));
        assert!(!seen.take(at(101), 1, true));
        assert_eq!(seen.offsets, 2);
        seen.begin((200, 225), true);
        assert!(!seen.take(at(203), 1, false));
        assert_eq!(seen.offsets, 6);
        let extent = seen.extent(10_000);
        assert_eq!((extent.records, extent.is_exact), (5_000, false));
    }

    #[test]
    fn what_is_read_beside_ranges_takes_nothing_of_what_is_read_of_them() {
        let room = Room::default();
        room.take(false, ALL_BYTES);
        assert!(!room.is_left(false) && room.is_left(true));
        room.take(true, ALL_BYTES - 1);
        assert!(room.is_left(true));
        room.take(true, 1);
        assert!(!room.is_left(true));
    }

    #[test]
    fn records_without_timestamps_are_seen_in_a_range_and_at_the_end_of_a_log_that_a_time_has_found()
     {
        let (cluster, source) = cluster(b"value", 20);
        let is_without = |range: &Range, log| {
            let look = Look {
                range,
                before_ms: Some(10_005),
                log,
            };
            let found = extents(&source, &[look], WITHIN, |_| {}).expect("they answer");
            (found[0].is_without_times, found[0].late)
        };
        assert_eq!(is_without(&range(0, 10, 10), Some((0, 10))), (false, 0));
        send(&cluster, [(&b"value"[..], NO_TIME)].into_iter());
        assert_eq!(is_without(&range(0, 5, 11), None), (true, 0));
        assert_eq!(is_without(&range(0, 11, 11), None), (false, 0));
        assert_eq!(is_without(&range(0, 11, 11), Some((0, 11))), (true, 0));
    }
}
