//! The register of replays and redrives: a topic on the source cluster in which every run says what it reads
//! and how it gets on. It keeps two runs from the same records, whatever hosts they are on, and stays as the audit
//! trail.
//!
//! The topic `<topology>.replays` has one partition, is compacted, and takes the brokers' clock for its
//! timestamps. A run writes what it is about to do and reads up to that: of all that claim the same
//! records, the first one in the topic runs, and the others see it. While it runs it writes every few
//! seconds; without a word for longer than its lease it counts as dead. One that was only asleep stands
//! still before that, and reads up to a new word of its own: where another claim took over it ends, and
//! otherwise it goes on.
//!
//! Whoever asks reads all of the topic, so compaction comes soon: segments end after some minutes, as it never takes
//! what is in the last one. A run with nothing new to say writes an entry, which has all of its partitions, now and
//! then alone, and between two of them that it goes on.
//!
//! A topic that somebody made otherwise serves as well: one that is not compacted, or keeps its last segment for days,
//! grows by an entry for each few seconds of a run, and one with timestamps of producers judges leases by their clocks.

mod claim;
mod entry;
mod lease;

use std::collections::BTreeMap;
use std::time::Duration;

use isobar_topology::clock;
use isobar_topology::spec::{Spec, parse_config};
use tokio::sync::mpsc;

use crate::connections::kafka_of;
use crate::kafka::admin::{Admin, RDKafkaErrorCode};
use crate::kafka::connection::KafkaConnection;
use crate::kafka::error::Error;
use crate::kafka::{
    Compression, OutRecord, Producer, ProducerConfig, Tailed, beside, create_topic_with,
    read_topic, tail,
};
use crate::spouts::KafkaConfig;
use entry::{Beat, Entries, Wish, is_wish, run_of_beat, wish_key};
use lease::Lease;

pub use claim::{Claim, News};
pub use entry::{Asked, Dropped, Entry, Part, REDRIVE, State, Wanted};

/// Version of entries.
pub const VERSION: u32 = entry::VERSION;

/// Bytes that wait for the brokers at most.
const QUEUE: u64 = 1 << 20;

/// Settings of the topic, where it is not there yet. By default a segment ends after 7 days or 1 GiB, and half of the
/// others is to be stale before they are compacted. A run of 1,000 partitions writes 16 MiB in ten minutes.
pub(crate) const SETTINGS: [(&str, &str); 5] = [
    ("cleanup.policy", "compact"),
    ("message.timestamp.type", "LogAppendTime"),
    ("segment.ms", "600000"),
    ("segment.bytes", "16777216"),
    ("min.cleanable.dirty.ratio", "0.1"),
];

/// The first so many of them say what the topic means. Some who host brokers let nobody choose the others.
const NEEDED: usize = 2;

/// The register of a topology's replays.
#[derive(Clone, Debug)]
pub struct Registry {
    connection: KafkaConnection,
    topic: String,
    within: Duration,
}

/// A run in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What it has told last.
    pub entry: Entry,
    /// When, in ms since 1970.
    pub told_ms: i64,
}

impl Listed {
    /// Whether it is active and was heard of within its lease, by the clock of this machine.
    pub fn is_alive(&self) -> bool {
        let silent_ms = clock::unix_ms().saturating_sub(self.told_ms);
        self.entry.state.is_active() && silent_ms < self.entry.lease_ms
    }
}

/// The topic of a topology's register.
pub(crate) fn topic_of(spec: &Spec) -> String {
    format!("{}.replays", spec.name)
}

/// A run that has claimed the same records before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Before {
    /// What it has told last.
    pub entry: Box<Entry>,
    /// If nothing more is heard of it, it counts as dead after this.
    pub dead_in: Duration,
}

impl Registry {
    /// That of the topology that the spout `id` is of; `None` when it has no connection. Contacts nobody;
    /// each later question waits at most `within`.
    pub fn of(spec: &Spec, id: &str, within: Duration) -> Option<Self> {
        let spout = spec.spouts.iter().find(|spout| spout.id == id)?;
        let config: KafkaConfig = parse_config(&spout.config, &spout.path).ok()?;
        Some(Self {
            connection: kafka_of(spec, &config.connection).ok()??,
            topic: topic_of(spec),
            within,
        })
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The runs, those that were told of last at the end. Waits for the brokers. Fails where one of them has told of
    /// itself in a form that this program does not know.
    pub fn runs(&self) -> Result<Vec<Listed>, Error> {
        if !self.exists()? {
            return Ok(Vec::new());
        }
        let mut attempts: BTreeMap<(String, String), Listed> = BTreeMap::new();
        let mut strangers = Strangers::default();
        read_topic(&self.connection, &self.topic, self.within, |record| {
            let record = Tailed::of(record);
            let told = Told::of(&record);
            strangers.take(&record, told.as_ref());
            match told {
                Some(Told::Entry(entry)) => {
                    let attempt = (entry.run.clone(), entry.attempt.clone());
                    let listed = Listed {
                        entry: *entry,
                        told_ms: record.at_ms,
                    };
                    let _ = attempts.insert(attempt, listed);
                }
                Some(Told::Beat(beat)) => {
                    if let Some(listed) = attempts.get_mut(&(beat.run, beat.attempt)) {
                        listed.told_ms = record.at_ms;
                    }
                }
                _ => {}
            }
        })?;
        self.knows_all(&strangers)?;
        let mut runs: BTreeMap<String, Listed> = BTreeMap::new();
        for attempt in attempts.into_values() {
            // Of one that was refused beside another of its plan, the other one counts.
            let rank = |one: &Listed| (one.entry.state != State::Refused, one.told_ms);
            let run = attempt.entry.run.clone();
            if runs
                .get(&run)
                .is_none_or(|there| rank(there) <= rank(&attempt))
            {
                let _ = runs.insert(run, attempt);
            }
        }
        let mut runs: Vec<Listed> = runs.into_values().collect();
        runs.sort_by_key(|one| (one.told_ms, one.entry.run.clone()));
        Ok(runs)
    }

    /// Says what is wanted of a run. It need not hear it: see [`Registry::runs`].
    pub async fn want(&self, run: &str, wanted: Wanted) -> Result<(), Error> {
        let wish = Wish {
            version: VERSION,
            run: run.to_owned(),
            wanted,
        };
        self.write(&self.producer()?, &wish_key(run), &wish).await
    }

    /// Writes an entry for a run that does so no more.
    pub async fn tell(&self, entry: &Entry) -> Result<(), Error> {
        let entry = Entry {
            word: None,
            ..entry.clone()
        };
        self.write(&self.producer()?, &entry.run, &entry).await
    }

    /// Claims what an entry says. Makes the topic if it is not there. The inner `Err` has the run that is
    /// before it: nothing may be done then. Fails where a run has told of itself in a form that this program does not
    /// know, as it may read the same records.
    pub async fn claim(self, entry: Entry) -> Result<Result<Claim, Before>, Error> {
        let registry = self.clone();
        if !beside(move || registry.exists()).await? {
            self.create().await?;
        }
        let producer = self.producer()?;
        let mut records = tail(&self.connection, &self.topic, 0).await?;
        let mut lease = Lease::new(entry.lease_ms, clock::now());
        let word = lease.send(clock::now());
        let entry = Entry {
            word: Some(word),
            ..entry
        };
        self.write(&producer, &entry.run, &entry).await?;
        let (mut entries, mut strangers) = (Entries::default(), Strangers::default());
        loop {
            let record = self.next(&mut records).await?;
            let told = Told::of(&record);
            strangers.take(&record, told.as_ref());
            let told = match told {
                Some(Told::Entry(told)) => told,
                Some(Told::Beat(beat)) => {
                    entries.hear(beat, record.at_ms);
                    continue;
                }
                _ => continue,
            };
            if !told.is_same(&entry) {
                entries.take(*told, record.at_ms);
                continue;
            }
            let refused = |why: String| Entry {
                state: State::Refused,
                claim: Some(record.offset),
                why: Some(why),
                ..entry.clone()
            };
            if let Err(error) = self.knows_all(&strangers) {
                let refused = refused("it does not know what another run says".to_owned());
                self.write(&producer, &refused.run, &refused).await?;
                return Err(error);
            }
            if let Some((before, dead_in_ms)) = entries.before(&entry, record.at_ms) {
                let before = Before {
                    entry: Box::new(before.clone()),
                    dead_in: Duration::from_millis(u64::try_from(dead_in_ms).unwrap_or(0)),
                };
                let refused = refused(format!("{} was under way", before.entry.run));
                self.write(&producer, &refused.run, &refused).await?;
                return Ok(Err(before));
            }
            entries.take(*told, record.at_ms);
            lease.heard(word);
            let last = record.offset;
            let claim = Claim::new(self, producer, entry, entries, lease, records, last);
            return Ok(Ok(claim));
        }
    }

    /// Fails where what a run says is of another form: what it reads, and whether it goes on, nobody knows here.
    fn knows_all(&self, strangers: &Strangers) -> Result<(), Error> {
        match strangers.0.first_key_value() {
            None => Ok(()),
            Some((run, offset)) => Err(Error::Config(format!(
                "topic {}: what the replay {run} says of itself at offset {offset} is of a form that this program does \
                 not know, as of a newer one: it may be under way, and read the same records; use that program, or, once \
                 that run is over, write a record with its key and without a value",
                self.topic
            ))),
        }
    }

    fn exists(&self) -> Result<bool, Error> {
        let admin = Admin::new(&self.connection, self.within)?;
        let (partitions, problems) = admin.partitions(std::slice::from_ref(&self.topic))?;
        let unknown = RDKafkaErrorCode::UnknownTopicOrPartition.to_string();
        match problems.into_iter().next() {
            Some(problem) if !problem.contains(&unknown) => Err(Error::Config(problem)),
            _ => Ok(!partitions.is_empty()),
        }
    }

    async fn create(&self) -> Result<(), Error> {
        let create =
            |settings| create_topic_with(&self.connection, &self.topic, 1, settings, self.within);
        let made = match create(&SETTINGS[..]).await {
            // Then it grows, which doctor tells.
            Err(error) if is_of_settings(&error) => create(&SETTINGS[..NEEDED]).await,
            made => made,
        };
        made.map_err(|error| match error {
            Error::Refused { what, code, text } => Error::Refused {
                what,
                code,
                text: format!(
                    "{text}; replays tell each other there what they read: let somebody create it with 1 \
                     partition and {}",
                    SETTINGS.map(|(name, value)| format!("{name}={value}")).join(", ")
                ),
            },
            error => error,
        })
    }

    fn producer(&self) -> Result<Producer, Error> {
        let timeout = self.within.as_millis().to_string();
        Producer::new(&ProducerConfig {
            connection: self.connection.clone(),
            compression: Compression::None,
            queue_size: QUEUE,
            options: BTreeMap::from([
                ("message.timeout.ms".to_owned(), timeout),
                ("linger.ms".to_owned(), "0".to_owned()),
            ]),
        })
    }

    async fn write(
        &self,
        producer: &Producer,
        key: &str,
        value: &impl serde::Serialize,
    ) -> Result<(), Error> {
        let what = || format!("writing to topic {}", self.topic);
        let value = serde_json::to_vec(value)
            .map_err(|error| Error::Config(format!("{}: {error}", what())))?;
        let record = OutRecord {
            topic: &self.topic,
            partition: Some(0),
            key: Some(key.as_bytes()),
            payload: Some(&value),
            ..OutRecord::default()
        };
        let failures = producer.send([record]).await.await;
        match failures.into_iter().next() {
            None => Ok(()),
            Some((_, error)) if error.code == RDKafkaErrorCode::MessageTimedOut => {
                Err(Error::TimedOut {
                    what: what(),
                    within: self.within,
                    brokers: Some(self.connection.brokers.join(", ")),
                    cause: None,
                })
            }
            Some((_, error)) => Err(Error::Refused {
                what: what(),
                code: error.code,
                text: error.to_string(),
            }),
        }
    }

    /// The next record of a topic that must have one.
    async fn next(
        &self,
        records: &mut mpsc::Receiver<Result<Tailed, Error>>,
    ) -> Result<Tailed, Error> {
        match tokio::time::timeout(self.within, records.recv()).await {
            Ok(Some(record)) => record,
            Ok(None) | Err(_) => Err(Error::TimedOut {
                what: format!("reading topic {}", self.topic),
                within: self.within,
                brokers: Some(self.connection.brokers.join(", ")),
                cause: None,
            }),
        }
    }
}

/// Whether a topic was not made for the sake of its settings.
fn is_of_settings(error: &Error) -> bool {
    matches!(
        error,
        Error::Refused {
            code: RDKafkaErrorCode::InvalidConfig | RDKafkaErrorCode::PolicyViolation,
            ..
        }
    )
}

/// What a record says.
enum Told {
    Entry(Box<Entry>),
    Beat(Beat),
    Wish(Wish),
    /// An entry or a beat of another form, by the key of its run.
    Stranger(String),
}

impl Told {
    /// `None` for what says nothing, and for wishes that this program does not know.
    fn of(record: &Tailed) -> Option<Self> {
        let value = record.value.as_deref()?;
        let key = record.key.as_deref()?;
        if is_wish(key) {
            return serde_json::from_slice(value).ok().map(Self::Wish);
        }
        let stranger = |key: &[u8]| Self::Stranger(String::from_utf8_lossy(key).into_owned());
        if let Some(run) = run_of_beat(key) {
            let beat = serde_json::from_slice::<Beat>(value).ok();
            let beat = beat.filter(|beat| beat.version == VERSION);
            return Some(beat.map_or_else(|| stranger(run), Self::Beat));
        }
        let entry = serde_json::from_slice::<Entry>(value).ok();
        Some(match entry.filter(|entry| entry.version == VERSION) {
            Some(entry) => Self::Entry(Box::new(entry)),
            None => stranger(key),
        })
    }
}

/// The runs that have told of themselves in a form that this program does not know, with the offset of the last time.
#[derive(Clone, Debug, Default)]
struct Strangers(BTreeMap<String, i64>);

impl Strangers {
    /// Takes the next record, with what it says. What this program writes itself under the key of such a run, as when
    /// it is refused, says nothing of how that gets on; only a record without a value does.
    fn take(&mut self, record: &Tailed, told: Option<&Told>) {
        if let Some(Told::Stranger(run)) = told {
            let _ = self.0.insert(run.clone(), record.offset);
        } else if let (Some(key), None) = (&record.key, &record.value) {
            let _ = self.0.remove(&*String::from_utf8_lossy(key));
        }
    }
}

#[cfg(test)]
mod tests;
