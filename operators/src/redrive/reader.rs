//! Reads the topics of the letters on a thread of its own, and hands over those that are meant in chunks.
//!
//! What is settled is marked behind each chunk. So its size is also how much a run that dies leaves to be sent through
//! once more.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use isobar_topology::{Health, OperatorError, Ordinals};
use rdkafka::Message;
use rdkafka::message::BorrowedMessage;
use tokio::sync::mpsc;

use super::{Job, LetterAt, Pick};
use crate::dead_letter::{Letter, Origin, is_envelope, redriven};
use crate::kafka::error::Error;
use crate::letters::headers;

/// Records of a chunk and their bytes: what is in memory beside what is in flight.
const RECORDS_MAX: usize = 20_000;
const BYTES_MAX: usize = 16 << 20;

/// Records of a chunk where one that goes through once more may be stored once more.
const UNPROTECTED_MAX: usize = 1_000;

/// How long a chunk takes at most, where a rate says how long that is.
const SECONDS_MAX: usize = 30;

/// Records of a topic between two signs of life, for a topic of which few are meant.
const ALIVE_EVERY: u64 = 10_000;

/// A record as it was first read.
#[derive(Debug)]
pub(super) struct Again {
    /// Where its letter is.
    pub(super) letter: LetterAt,
    pub(super) key: Option<Vec<u8>>,
    pub(super) payload: Option<Vec<u8>>,
    /// Its own, and the one that counts its redrives.
    pub(super) headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Again {
    /// Of key, value and headers.
    pub(super) fn bytes(&self) -> usize {
        let of = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers = self.headers.iter();
        // A header has two lengths beside it.
        let headers: usize = headers
            .map(|(name, value)| 8 + name.len() + of(value))
            .sum();
        of(&self.key) + of(&self.payload) + headers
    }
}

pub(super) type Chunks = mpsc::Receiver<Result<Vec<Again>, Error>>;

/// Starts the thread. It waits while a chunk is not taken.
pub(super) fn start(job: Arc<Job>, health: Health) -> Result<Chunks, OperatorError> {
    let (sender, chunks) = mpsc::channel(1);
    let spawned = std::thread::Builder::new()
        .name("dead-letters".to_owned())
        .spawn(move || read(&job, &health, &sender));
    match spawned {
        Ok(_detached) => Ok(chunks),
        Err(error) => {
            let text = "the thread that reads dead letters could not be started";
            Err(OperatorError::internal(text).with_source(error))
        }
    }
}

fn read(job: &Job, health: &Health, sender: &mpsc::Sender<Result<Vec<Again>, Error>>) {
    let mut chunk = Chunk::default();
    let records_max = records_max(job);
    let mut seen: u64 = 0;
    let mut topics = job.letters.iter().enumerate();
    let done = topics.try_for_each(|(topic, letters)| {
        letters.read_records(job.within, |record| {
            seen += 1;
            if seen.is_multiple_of(ALIVE_EVERY) {
                health.count_progress();
            }
            let at = (topic, record.partition(), record.offset());
            let Some(pick) = job.picks.get(&at).filter(|_| !sender.is_closed()) else {
                return;
            };
            if !is_letter_of(record, &pick.origin) {
                let _ = job.misplaced.fetch_add(1, Ordering::Relaxed);
                return;
            }
            chunk.push(again(record, at, pick));
            if chunk.is_full(records_max) {
                // The run has ended when nobody takes it.
                let _ = sender.blocking_send(Ok(std::mem::take(&mut chunk).records));
            }
        })
    });
    let last = match done {
        Ok(()) if chunk.records.is_empty() => return,
        Ok(()) => Ok(chunk.records),
        Err(error) => Err(error),
    };
    let _ = sender.blocking_send(last);
}

/// Records of a chunk of a job at most.
fn records_max(job: &Job) -> usize {
    let most = match job.is_unprotected {
        true => UNPROTECTED_MAX,
        false => RECORDS_MAX,
    };
    let by_time = job
        .rate
        .map(|rate| (rate.get() as usize).saturating_mul(SECONDS_MAX));
    by_time.map_or(most, |by_time| most.min(by_time))
}

/// Whether a whole record lies there that was first read from this place. A topic that was made again since its
/// letters were chosen has others at their places, whose bytes would be stored under the ids of those.
fn is_letter_of(record: &BorrowedMessage<'_>, origin: &Origin) -> bool {
    Letter::read(headers(record)).is_ok_and(|letter| {
        let found = Origin {
            ordinals: Ordinals::NONE,
            ..letter.origin
        };
        found == *origin && letter.cut.is_none()
    })
}

fn again(record: &BorrowedMessage<'_>, letter: LetterAt, pick: &Pick) -> Again {
    let owned = |name: &[u8], value: Option<&[u8]>| (name.to_vec(), value.map(<[u8]>::to_vec));
    let own = headers(record).filter(|(name, _)| !is_envelope(name));
    let mut headers: Vec<_> = own.map(|(name, value)| owned(name, value)).collect();
    let (name, redrives) = redriven(pick.redrives + 1);
    headers.push(owned(name.as_bytes(), Some(redrives.as_bytes())));
    Again {
        letter,
        key: record.key().map(<[u8]>::to_vec),
        payload: record.payload().map(<[u8]>::to_vec),
        headers,
    }
}

#[derive(Default)]
struct Chunk {
    records: Vec<Again>,
    bytes: usize,
}

impl Chunk {
    fn push(&mut self, record: Again) {
        self.bytes += record.bytes();
        self.records.push(record);
    }

    fn is_full(&self, records_max: usize) -> bool {
        self.records.len() >= records_max || self.bytes >= BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_marked_at_a_time_is_little_where_it_may_be_stored_twice_or_takes_long() {
        let check = |rate: Option<u32>, is_unprotected: bool, expected: usize| {
            let job = Job {
                run: String::new(),
                letters: Vec::new(),
                picks: Arc::new(BTreeMap::new()),
                within: Duration::ZERO,
                rate: rate.and_then(NonZeroU32::new),
                is_unprotected,
                gate: None,
                misplaced: Arc::default(),
            };
            assert_eq!(records_max(&job), expected, "{rate:?}, {is_unprotected}");
        };
        check(None, false, 20_000);
        check(None, true, 1_000);
        check(Some(50), false, 1_500);
        check(Some(50), true, 1_000);
        check(Some(1), true, 30);
        check(Some(u32::MAX), false, 20_000);
    }
}
