//! A run in the register: what it tells, what it has to hear, and for how long it may go on.

use std::future::Future;
use std::time::Duration;

use isobar_topology::clock::{self, Instant};
use tokio::sync::mpsc;

use super::entry::{Beat, Dropped, Entries, Entry, Part, State, VERSION, Wanted, beat_key};
use super::lease::Lease;
use super::{Registry, Told};
use crate::kafka::error::Error;
use crate::kafka::{Producer, Tailed, tail};

/// Between an end of hearing and another attempt to hear.
const LISTEN_AGAIN: Duration = Duration::from_secs(2);

/// So long at most beats alone are told of a run that has nothing else to say: an entry has each of its partitions,
/// and a run that waits for days would write as much as one that reads.
const ENTRY_EVERY: Duration = Duration::from_secs(30);

/// The right of a run to read what it has claimed, as long as it goes on telling of itself.
pub struct Claim {
    registry: Registry,
    producer: Producer,
    entry: Entry,
    /// The last one of its own that the topic has, unless another one is under its key by now; and when the last one
    /// was sent.
    known: Option<Box<Entry>>,
    sent_at: Instant,
    /// Those of the topic so far, its own among them.
    entries: Entries,
    lease: Lease,
    records: mpsc::Receiver<Result<Tailed, Error>>,
    /// The offset of the last one of them.
    last: i64,
    /// The earliest moment at which they are asked for once more, should they end.
    listen_at: Instant,
}

/// What a run has to know.
#[derive(Debug)]
pub enum News {
    /// The register has a word of this run, and nobody took its records over before it:
    /// [`Claim::holds_until`] is later now.
    Heard,
    /// An operator wants something of it.
    Wanted(Wanted),
    /// It was silent for too long, and this run, with its host where that is known, reads its records now.
    TakenOver(String),
    /// Nothing is heard for a while, for this reason. It goes on where it ended.
    Deaf(String),
}

impl Claim {
    /// Of an entry that stands in the topic at `last`, after all of `entries`.
    pub(super) fn new(
        registry: Registry,
        producer: Producer,
        entry: Entry,
        entries: Entries,
        lease: Lease,
        records: mpsc::Receiver<Result<Tailed, Error>>,
        last: i64,
    ) -> Self {
        Self {
            registry,
            producer,
            entry: Entry {
                claim: Some(last),
                ..entry
            },
            known: None,
            sent_at: clock::now(),
            entries,
            lease,
            records,
            last,
            listen_at: clock::now(),
        }
    }

    /// What was told last.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Until then nobody else can have taken the records over. Later the run must not begin anything
    /// before it has heard of a word of its own: see [`News::Heard`]. Only words that are told, and news
    /// that are waited for, make it later.
    pub fn holds_until(&self) -> Instant {
        self.lease.ends()
    }

    /// Tells how the run gets on; where the topic has all of that, only that it does. It waits until the brokers have
    /// it, at most as long as the registry's questions do; whoever drops it takes nothing back.
    pub fn tell(
        &mut self,
        state: State,
        why: Option<String>,
        partitions: Vec<Part>,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let now = clock::now();
        let word = self.lease.send(now);
        self.entry.word = Some(word);
        self.entry.state = state;
        self.entry.why = why;
        self.entry.partitions = partitions;
        let is_due = now >= self.sent_at + ENTRY_EVERY;
        let known = self.known.as_deref().filter(|_| !is_due);
        let is_beat = known.is_some_and(|known| known.says_the_same(&self.entry));
        if !is_beat {
            self.sent_at = now;
        }
        let (registry, producer) = (self.registry.clone(), self.producer.clone());
        let entry = self.entry.clone();
        async move {
            if !is_beat {
                return registry.write(&producer, &entry.run, &entry).await;
            }
            let beat = Beat {
                version: VERSION,
                run: entry.run,
                attempt: entry.attempt,
                word,
            };
            registry.write(&producer, &beat_key(&beat.run), &beat).await
        }
    }

    /// From now on it is told, too, what the run has dropped.
    pub fn note(&mut self, dropped: Dropped) {
        self.entry.dropped = Some(dropped);
    }

    /// Waits for what the run has to know. Cancel-safe.
    pub async fn news(&mut self) -> News {
        loop {
            let record = match self.records.recv().await {
                Some(Ok(record)) => record,
                Some(Err(error)) => return self.deaf(&error),
                None => {
                    tokio::time::sleep_until(self.listen_at).await;
                    let Registry {
                        connection, topic, ..
                    } = &self.registry;
                    let heard = tail(connection, topic, self.last + 1).await;
                    match heard {
                        Ok(records) => self.records = records,
                        Err(error) => return self.deaf(&error),
                    }
                    continue;
                }
            };
            self.last = record.offset;
            match Told::of(&record) {
                Some(Told::Wish(wish)) if wish.run == self.entry.run => {
                    return News::Wanted(wish.wanted);
                }
                Some(Told::Beat(beat)) => {
                    let is_ours = beat.run == self.entry.run && beat.attempt == self.entry.attempt;
                    let word = beat.word;
                    self.entries.hear(beat, record.at_ms);
                    if is_ours {
                        self.lease.heard(word);
                        return News::Heard;
                    }
                }
                Some(Told::Entry(told)) => {
                    if let Some(news) = self.take(told, record.at_ms) {
                        return news;
                    }
                }
                // What it reads is not known; it may be ours.
                Some(Told::Stranger(by)) if self.entries.is_dead(&self.entry, record.at_ms) => {
                    return News::TakenOver(format!("{by}, by another program,"));
                }
                _ => {}
            }
        }
    }

    fn deaf(&mut self, error: &Error) -> News {
        self.listen_at = clock::now() + LISTEN_AGAIN;
        News::Deaf(error.to_string())
    }

    fn take(&mut self, told: Box<Entry>, at_ms: i64) -> Option<News> {
        let is_lost = self.entries.is_lost_to(&self.entry, &told, at_ms);
        self.entries.take((*told).clone(), at_ms);
        if told.run == self.entry.run {
            // What somebody else has written there may be all that compaction leaves.
            let is_own = told.is_same(&self.entry) && told.word.is_some();
            self.known = is_own.then(|| told.clone());
        }
        if is_lost {
            return Some(News::TakenOver(format!("{} on {}", told.run, told.host)));
        }
        if !told.is_same(&self.entry) {
            return None;
        }
        match told.word {
            Some(word) => {
                self.lease.heard(word);
                Some(News::Heard)
            }
            // Somebody gave it up while nothing was heard of it.
            None if !told.state.is_active() => Some(News::Wanted(Wanted::Abort)),
            None => None,
        }
    }
}
