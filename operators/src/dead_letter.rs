//! Dead letters in Kafka: a rejected record as it was read, with headers that say why and where from.
//!
//! Value and key are the record's own bytes, its own headers come first, then these. Their names and
//! meanings never change within a version; readers ignore headers that they do not know.
//!
//! | header | value |
//! |---|---|
//! | `isobar.dead_letter.version` | `1` |
//! | `isobar.dead_letter.topology` | name of the topology |
//! | `isobar.dead_letter.bolt` | id of the bolt that rejected the record |
//! | `isobar.dead_letter.attempts` | how often it was tried, outages aside |
//! | `isobar.dead_letter.redrives` | how often it was sent through again before; absent for never |
//! | `isobar.dead_letter.class` | a stable word for the kind of reason, such as `invalid_json` |
//! | `isobar.dead_letter.reason` | a sentence for people, at most 1,024 bytes |
//! | `isobar.dead_letter.target` | index or topic that was tried; absent if none was |
//! | `isobar.dead_letter.document_id` | document id that was tried; absent if none was |
//! | `isobar.dead_letter.rejected_at` | when, in ms since 1970 |
//! | `isobar.dead_letter.payload_bytes` | only in a cut letter: length of the record's value |
//! | `isobar.dead_letter.payload_sha256` | only in a cut letter: SHA-256 of the record's value, hexadecimal |
//! | `isobar.origin.source` | hash of cluster, topic and topic id, as in document ids, 16 hexadecimal digits |
//! | `isobar.origin.topic` | topic that the record was first read from |
//! | `isobar.origin.partition` | its partition there |
//! | `isobar.origin.offset` | its offset there |
//! | `isobar.origin.timestamp` | its timestamp there, in ms since 1970; absent if it had none |
//! | `isobar.origin.ordinal` | for a part of a split record, its number from 0: `3`, or `3.0` for a part of a part |
//!
//! The letter of a part has the whole record, since only that can be sent through again: each rejected part
//! has its letter, and a redrive sends their record through once for all of them.
//!
//! A *cut* letter stands for a record that is too large for the dead-letter topic: it has the first
//! bytes of the value, the key if that is at most 1,024 bytes, and none of the record's own headers. A
//! cut letter of a tombstone has a `payload_bytes` of 0.
//!
//! A redrive hands a record out where it was first read, so that it stays the same record: rejected
//! again, its letter has the same origin. Headers of these names that a record brings along say nothing
//! of it, since any producer can write them. What says in the topic that a rejection is settled is in
//! `dead_letter/resolution.rs`.

mod resolution;

use std::fmt::Write as _;
use std::ops::Range;

use isobar_topology::{Ordinals, Record, Rejection, clock};

pub use resolution::Resolution;

/// Where a record was first read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The hash of cluster, topic and topic id.
    pub source: u64,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
    /// The record's timestamp in ms since 1970, if it had one.
    pub timestamp: Option<i64>,
    /// Which part of a split record.
    pub ordinals: Ordinals,
}

impl Origin {
    /// The origin of a record: where it lies, which is where a redrive hands it out, too.
    pub fn of(record: Record<'_>) -> Self {
        Self {
            source: record.source(),
            topic: record.topic().to_owned(),
            partition: record.partition(),
            offset: record.offset(),
            timestamp: Some(record.timestamp()).filter(|ms| *ms >= 0),
            ordinals: record.ordinals(),
        }
    }

    /// Reads the `isobar.origin.*` headers. Fails when one is missing or unreadable.
    fn from(fields: &Fields<'_>) -> Result<Self, NotALetter> {
        Ok(Self {
            source: u64::from_str_radix(&fields.text(SOURCE)?, 16)
                .map_err(|_| NotALetter::Unreadable(SOURCE))?,
            topic: fields.text(TOPIC)?,
            partition: fields.number(PARTITION)?,
            offset: fields.number(OFFSET)?,
            timestamp: fields.optional(TIMESTAMP)?,
            ordinals: fields.optional(ORDINAL)?.unwrap_or_default(),
        })
    }

    /// The headers that `from` reads.
    fn headers(self) -> impl Iterator<Item = (&'static str, String)> {
        let timestamp = self.timestamp.map(|ms| (TIMESTAMP, ms.to_string()));
        let ordinals = Some(self.ordinals).filter(|ordinals| !ordinals.is_empty());
        let ordinals = ordinals.map(|ordinals| (ORDINAL, ordinals.to_string()));
        let always = [
            (SOURCE, format!("{:016x}", self.source)),
            (TOPIC, self.topic),
            (PARTITION, self.partition.to_string()),
            (OFFSET, self.offset.to_string()),
        ];
        always.into_iter().chain(timestamp).chain(ordinals)
    }
}

/// What a dead letter says about its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The topology's name.
    pub topology: String,
    /// The bolt that rejected the record.
    pub bolt: String,
    /// How often it was tried.
    pub attempts: u32,
    /// How often it was sent through the topology again before that.
    pub redrives: u32,
    /// The kind of reason.
    pub class: String,
    /// The reason in words.
    pub reason: String,
    /// The index or topic that was tried.
    pub target: Option<String>,
    /// The document id that was tried.
    pub document_id: Option<String>,
    /// When it was rejected, in ms since 1970.
    pub rejected_at: i64,
    /// Where the record was first read.
    pub origin: Origin,
    /// What the letter has only a part of.
    pub cut: Option<Cut>,
}

/// The whole of a value of which a letter has a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The length of the record's value.
    pub payload_bytes: u64,
    /// The SHA-256 of the record's value, hexadecimal.
    pub payload_sha256: String,
}

impl Letter {
    /// Reads the headers of a record of a dead-letter topic.
    pub fn read<'a>(
        headers: impl IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Result<Self, NotALetter> {
        let fields = Fields::new(headers);
        match fields.get(VERSION) {
            Some(b"1") => {}
            Some(other) => {
                let version = String::from_utf8_lossy(other).into_owned();
                return Err(NotALetter::Version(version));
            }
            None => return Err(NotALetter::Missing(VERSION)),
        }
        let payload_bytes: Option<u64> = fields.optional(PAYLOAD_BYTES)?;
        Ok(Self {
            topology: fields.text(TOPOLOGY)?,
            bolt: fields.text(BOLT)?,
            attempts: fields.number(ATTEMPTS)?,
            redrives: fields.optional(REDRIVES)?.unwrap_or(0),
            class: fields.text(CLASS)?,
            reason: fields.text(REASON)?,
            target: fields.text(TARGET).ok(),
            document_id: fields.text(DOCUMENT_ID).ok(),
            rejected_at: fields.number(REJECTED_AT)?,
            origin: Origin::from(&fields)?,
            cut: match payload_bytes {
                None => None,
                Some(payload_bytes) => Some(Cut {
                    payload_bytes,
                    payload_sha256: fields.text(PAYLOAD_SHA256)?,
                }),
            },
        })
    }

    /// What letters of one rejection have in common: they are written at least once, so a topic may
    /// have several of them.
    pub fn identity(&self) -> (&Origin, &str) {
        (&self.origin, &self.bolt)
    }
}

/// Why a record is no dead letter that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotALetter {
    /// A header is missing, or a member of a line.
    #[error("it has no {0}")]
    Missing(&'static str),
    /// One of them has a value that cannot be read.
    #[error("its {0} cannot be read")]
    Unreadable(&'static str),
    /// It was written by another version.
    #[error("it is a dead letter of version {0}, and this program reads version 1")]
    Version(String),
}

/// Whether a header belongs to the envelope and not to the record itself.
pub fn is_envelope(name: &[u8]) -> bool {
    name.starts_with(LETTER_PREFIX) || name.starts_with(ORIGIN_PREFIX)
}

/// What the name of a redrive has between the name of its topology, which has no dot, and its own number.
pub const REDRIVE: &str = ".redrive.";

/// The header that a record gets when it is sent through again, for the `redrives`-th time.
pub(crate) fn redriven(redrives: u32) -> (&'static str, String) {
    (REDRIVES, redrives.to_string())
}

/// How often a record with these headers was sent through again; `None` for never. Only a redrive says so: it has
/// taken away what the record had under that name.
pub(crate) fn redrives<'h>(
    topology: &str,
    headers: impl IntoIterator<Item = (&'h [u8], Option<&'h [u8]>)>,
) -> Option<u32> {
    if !topology.contains(REDRIVE) {
        return None;
    }
    let fields = Fields::new(headers);
    fields
        .number(REDRIVES)
        .ok()
        .filter(|redrives| *redrives > 0)
}

const LETTER_PREFIX: &[u8] = b"isobar.dead_letter.";
const ORIGIN_PREFIX: &[u8] = b"isobar.origin.";

const VERSION: &str = "isobar.dead_letter.version";
const TOPOLOGY: &str = "isobar.dead_letter.topology";
const BOLT: &str = "isobar.dead_letter.bolt";
const ATTEMPTS: &str = "isobar.dead_letter.attempts";
const REDRIVES: &str = "isobar.dead_letter.redrives";
const CLASS: &str = "isobar.dead_letter.class";
const REASON: &str = "isobar.dead_letter.reason";
const TARGET: &str = "isobar.dead_letter.target";
const DOCUMENT_ID: &str = "isobar.dead_letter.document_id";
const REJECTED_AT: &str = "isobar.dead_letter.rejected_at";
const PAYLOAD_BYTES: &str = "isobar.dead_letter.payload_bytes";
const PAYLOAD_SHA256: &str = "isobar.dead_letter.payload_sha256";
const SOURCE: &str = "isobar.origin.source";
const TOPIC: &str = "isobar.origin.topic";
const PARTITION: &str = "isobar.origin.partition";
const OFFSET: &str = "isobar.origin.offset";
const TIMESTAMP: &str = "isobar.origin.timestamp";
const ORDINAL: &str = "isobar.origin.ordinal";

/// Longest key that a cut letter has.
const KEY_MAX: usize = 1024;

/// Longest name of a target or id that is written: an index has 255 bytes at most, an id 512.
const TEXT_MAX: usize = 1024;

/// The headers of a letter, and how much of the record goes with them.
pub(crate) struct Envelope {
    text: String,
    fields: Vec<(&'static str, Range<usize>)>,
    /// Bytes of the value that a cut letter has.
    cut: Option<usize>,
}

impl Envelope {
    /// Writes the envelope of a record; with `cut`, of a letter with so many bytes of its value.
    pub(crate) fn new(
        topology: &str,
        record: Record<'_>,
        rejection: &Rejection,
        cut: Option<usize>,
    ) -> Self {
        let mut envelope = Self {
            text: String::with_capacity(256),
            fields: Vec::with_capacity(16),
            cut,
        };
        envelope.add(VERSION, 1);
        envelope.add(TOPOLOGY, topology);
        envelope.add(BOLT, &rejection.bolt);
        envelope.add(ATTEMPTS, rejection.attempts);
        if let Some(redrives) = redrives(topology, record.headers()) {
            envelope.add(REDRIVES, redrives);
        }
        envelope.add(CLASS, rejection.class);
        envelope.add(REASON, &rejection.reason);
        if let Some(target) = &rejection.target {
            envelope.add(TARGET, shortened(target));
        }
        if let Some(id) = &rejection.document_id {
            envelope.add(DOCUMENT_ID, shortened(id));
        }
        envelope.add(REJECTED_AT, clock::unix_ms());
        if cut.is_some() {
            let payload = record.whole_payload().unwrap_or_default();
            envelope.add(PAYLOAD_BYTES, payload.len());
            envelope.add(PAYLOAD_SHA256, hexadecimal(&openssl::sha::sha256(payload)));
        }
        for (name, value) in Origin::of(record).headers() {
            envelope.add(name, value);
        }
        envelope
    }

    /// The value of the letter.
    pub(crate) fn payload<'a>(&self, record: Record<'a>) -> Option<&'a [u8]> {
        let payload = record.whole_payload()?;
        Some(match self.cut {
            Some(cut) => &payload[..cut.min(payload.len())],
            None => payload,
        })
    }

    /// The key of the letter.
    pub(crate) fn key<'a>(&self, record: Record<'a>) -> Option<&'a [u8]> {
        let key = record.key()?;
        (self.cut.is_none() || key.len() <= KEY_MAX).then_some(key)
    }

    /// Appends the headers of the letter: the record's own, unless it is cut, and the envelope.
    pub(crate) fn headers<'a>(
        &'a self,
        record: Record<'a>,
        out: &mut Vec<(&'a str, Option<&'a [u8]>)>,
    ) {
        if self.cut.is_none() {
            out.extend(own_headers(record));
        }
        let fields = self.fields.iter();
        out.extend(fields.map(|(name, range)| (*name, Some(self.text[range.clone()].as_bytes()))));
    }

    fn add(&mut self, name: &'static str, value: impl std::fmt::Display) {
        let start = self.text.len();
        // Writing to a string does not fail.
        let _ = write!(self.text, "{value}");
        self.fields.push((name, start..self.text.len()));
    }
}

/// The headers of a record without those of an envelope. Names are UTF-8 in Kafka's protocol; one that
/// is not cannot be sent again.
fn own_headers(record: Record<'_>) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
    let headers = record.headers().filter(|(name, _)| !is_envelope(name));
    headers.filter_map(|(name, value)| Some((std::str::from_utf8(name).ok()?, value)))
}

fn shortened(text: &str) -> &str {
    let mut end = text.len().min(TEXT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The headers of an envelope, by name; the last one of a name counts.
struct Fields<'a>(Vec<(&'a [u8], Option<&'a [u8]>)>);

impl<'a> Fields<'a> {
    fn new(headers: impl IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> Self {
        let headers = headers.into_iter();
        Self(headers.filter(|(name, _)| is_envelope(name)).collect())
    }

    fn get(&self, name: &str) -> Option<&'a [u8]> {
        let mut headers = self.0.iter().rev();
        headers.find(|(key, _)| *key == name.as_bytes())?.1
    }

    fn text(&self, name: &'static str) -> Result<String, NotALetter> {
        let bytes = self.get(name).ok_or(NotALetter::Missing(name))?;
        let text = std::str::from_utf8(bytes).map_err(|_| NotALetter::Unreadable(name))?;
        Ok(text.to_owned())
    }

    fn number<T: std::str::FromStr>(&self, name: &'static str) -> Result<T, NotALetter> {
        let text = self.text(name)?;
        text.parse().map_err(|_| NotALetter::Unreadable(name))
    }

    fn optional<T: std::str::FromStr>(&self, name: &'static str) -> Result<Option<T>, NotALetter> {
        match self.number(name) {
            Ok(number) => Ok(Some(number)),
            Err(NotALetter::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use isobar_topology::Symbols;
    use isobar_topology::testing::{Harness, Input};

    use super::*;

    type Header = (String, Option<Vec<u8>>);

    /// What a letter of this record has: key, value, headers.
    fn written(
        input: Input,
        rejection: &Rejection,
        cut: Option<usize>,
    ) -> (Option<Vec<u8>>, Option<Vec<u8>>, Vec<Header>) {
        written_by("logs", input, rejection, cut)
    }

    fn written_by(
        topology: &str,
        input: Input,
        rejection: &Rejection,
        cut: Option<usize>,
    ) -> (Option<Vec<u8>>, Option<Vec<u8>>, Vec<Header>) {
        let mut harness = Harness::new(Symbols::new());
        let batch = harness.batch(&[input]);
        let record = batch.record(0);
        let envelope = Envelope::new(topology, record, rejection, cut);
        let mut headers = Vec::new();
        envelope.headers(record, &mut headers);
        let headers = headers.into_iter();
        let letter = (
            envelope.key(record).map(<[u8]>::to_vec),
            envelope.payload(record).map(<[u8]>::to_vec),
            headers
                .map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)))
                .collect(),
        );
        batch.answer(isobar_topology::Answer::Delivered);
        letter
    }

    fn views(headers: &[Header]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let headers = headers.iter();
        headers.map(|(name, value)| (name.as_bytes(), value.as_deref()))
    }

    fn rejection() -> Rejection {
        let mut rejection = Rejection::new("mapping", "field a is no number");
        rejection.bolt = "index".into();
        rejection.attempts = 3;
        rejection.tried("logs-1".into(), Some("1x".to_owned()))
    }

    fn input() -> Input {
        Input {
            key: Some(b"key".to_vec()),
            headers: vec![("trace".to_owned(), b"t1".to_vec())],
            ..Input::raw("{\"a\":\"x\"}")
        }
    }

    #[test]
    fn the_names_and_values_are_the_documented_ones() {
        let (key, payload, mut headers) = written(input(), &rejection(), None);
        assert_eq!(key.as_deref(), Some(&b"key"[..]));
        assert_eq!(payload.as_deref(), Some(&b"{\"a\":\"x\"}"[..]));
        headers.retain(|(name, _)| name != REJECTED_AT);
        let texts: Vec<String> = headers
            .iter()
            .map(|(name, value)| {
                let value = value.clone().expect("each has a value");
                format!("{name}={}", String::from_utf8(value).expect("text"))
            })
            .collect();
        let expected = [
            "trace=t1",
            "isobar.dead_letter.version=1",
            "isobar.dead_letter.topology=logs",
            "isobar.dead_letter.bolt=index",
            "isobar.dead_letter.attempts=3",
            "isobar.dead_letter.class=mapping",
            "isobar.dead_letter.reason=field a is no number",
            "isobar.dead_letter.target=logs-1",
            "isobar.dead_letter.document_id=1x",
            "isobar.origin.source=0000000000000007",
            "isobar.origin.topic=topic",
            "isobar.origin.partition=3",
            "isobar.origin.offset=0",
            "isobar.origin.timestamp=1700000000000",
        ];
        assert_eq!(texts, expected);
    }

    #[test]
    fn a_letter_is_read_as_it_was_written() {
        let (.., headers) = written(input(), &rejection(), None);
        let letter = Letter::read(views(&headers)).expect("a letter");
        assert_eq!((letter.topology.as_str(), letter.attempts), ("logs", 3));
        assert_eq!(letter.document_id.as_deref(), Some("1x"));
        assert_eq!((letter.origin.offset, letter.origin.source), (0, 7));
        assert_eq!((letter.cut.clone(), letter.identity().1), (None, "index"));

        let bare = Input {
            timestamp: -1,
            ..Input::default()
        };
        let (key, payload, headers) = written(bare, &Rejection::new("empty", "no value"), None);
        assert_eq!((key, payload), (None, None));
        let letter = Letter::read(views(&headers)).expect("a letter");
        assert_eq!((letter.target, letter.origin.timestamp), (None, None));
    }

    #[test]
    fn a_cut_letter_says_what_it_was_cut_from() {
        let large = Input {
            key: Some(vec![b'k'; 2_000]),
            ..input()
        };
        let (key, payload, headers) = written(large, &rejection(), Some(4));
        assert_eq!(payload.as_deref(), Some(&b"{\"a\""[..]));
        assert_eq!(key, None);
        assert!(headers.iter().all(|(name, _)| name != "trace"));
        let cut = Letter::read(views(&headers)).expect("a letter").cut;
        // printf '{"a":"x"}' | sha256sum
        let sha = "bac82bcae3ff0e486fd02d6dce53dc6444bcbd21";
        let cut = cut.expect("it was cut");
        assert_eq!(cut.payload_bytes, 9);
        assert_eq!(&cut.payload_sha256[..40], sha);
    }

    #[test]
    fn headers_that_a_record_brings_along_say_nothing_of_its_origin() {
        let (.., headers) = written(input(), &rejection(), None);
        let first = Letter::read(views(&headers)).expect("a letter");
        let again = Input {
            timestamp: 1_800_000_000_000,
            headers: headers
                .into_iter()
                .map(|(name, value)| match name.as_str() {
                    OFFSET => (name, b"77".to_vec()),
                    TOPIC => (name, b"other".to_vec()),
                    _ => (name, value.expect("each has a value")),
                })
                .collect(),
            ..input()
        };
        let mut rejection = rejection();
        rejection.bolt = "other".into();
        let (.., headers) = written(again, &rejection, None);
        let versions = headers.iter().filter(|(name, _)| name == VERSION);
        assert_eq!(versions.count(), 1);
        let second = Letter::read(views(&headers)).expect("a letter");
        let origin = Origin {
            timestamp: Some(1_800_000_000_000),
            ..first.origin
        };
        assert_eq!((second.origin, second.bolt.as_str()), (origin, "other"));
        assert!(headers.iter().any(|(name, _)| name == "trace"));
    }

    #[test]
    fn a_letter_of_a_redrive_counts_how_often_its_record_was_sent_through_again() {
        let check = |topology: &str, given: &str, expected: u32| {
            let (.., headers) = written_by(
                topology,
                Input {
                    headers: vec![(REDRIVES.to_owned(), given.as_bytes().to_vec())],
                    ..input()
                },
                &rejection(),
                None,
            );
            let letter = Letter::read(views(&headers)).expect("a letter");
            assert_eq!(letter.redrives, expected);
            let named = headers.iter().filter(|(name, _)| name == REDRIVES);
            assert_eq!(named.count(), usize::from(expected > 0));
        };
        check("logs.redrive.1", "2", 2);
        check("logs.redrive.1", "0", 0);
        check("logs.redrive.1", "not ours", 0);
        // Any producer can write it.
        check("logs", "99", 0);
        check("logs.replay.1", "99", 0);
    }

    #[test]
    fn what_is_no_letter_says_why() {
        let (.., headers) = written(input(), &rejection(), None);
        let check = |name: &str, value: Option<&str>, expected: NotALetter| {
            let mut headers = headers.clone();
            headers.retain(|(known, _)| known != name);
            if let Some(value) = value {
                headers.push((name.to_owned(), Some(value.as_bytes().to_vec())));
            }
            assert_eq!(Letter::read(views(&headers)), Err(expected));
        };
        check(VERSION, None, NotALetter::Missing(VERSION));
        check(VERSION, Some("2"), NotALetter::Version("2".to_owned()));
        check(REASON, None, NotALetter::Missing(REASON));
        check(OFFSET, Some("x"), NotALetter::Unreadable(OFFSET));
        check(ORDINAL, Some("-1"), NotALetter::Unreadable(ORDINAL));
        check(SOURCE, Some("g"), NotALetter::Unreadable(SOURCE));
    }
}
