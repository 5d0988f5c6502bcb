//! What is written of the records of a batch, as views into the batch and into buffers that are used
//! again for the next one.

use std::ops::Range;

use isobar_topology::{Batch, NoDocument, Record, Rejection};

use crate::dead_letter::Envelope;
use crate::kafka::{OutRecord, topic_name_problem};
use crate::template::Template;

/// What is written of a record.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) topic: Topic,
    pub(super) key: Key,
    /// The document; else the bytes that were read.
    pub(super) document: bool,
    pub(super) headers: bool,
}

#[derive(Debug)]
pub(super) enum Topic {
    Constant(String),
    Template(Template),
}

#[derive(Debug)]
pub(super) enum Key {
    Original,
    None,
    Template(Template),
}

/// The records of one batch on their way out.
#[derive(Default)]
pub(super) struct Outgoing {
    /// Topics, keys and documents, one after the other.
    text: Vec<u8>,
    parts: Vec<Parts>,
    letters: Vec<Envelope>,
}

/// Where in the text the parts of a record are; empty where they are not there.
#[derive(Clone, Debug)]
struct Parts {
    topic: Range<usize>,
    key: Range<usize>,
    value: Range<usize>,
    /// The letter that it is written as.
    letter: Option<usize>,
}

/// What makes a record a dead letter.
#[derive(Clone, Copy)]
pub(super) struct Letter<'a> {
    pub(super) topology: &'a str,
    pub(super) rejection: &'a Rejection,
    /// Bytes of the value that it has, if not all.
    pub(super) cut: Option<usize>,
}

type Headers<'a> = Vec<(&'a str, Option<&'a [u8]>)>;

impl Outgoing {
    /// Bytes that are kept from batch to batch at most.
    pub(super) const KEPT: usize = 2 << 20;

    /// Prepares the records of a batch, and returns the rows that cannot be written, with the reason.
    /// The others are those of [`Outgoing::records`], in order.
    pub(super) fn fill(
        &mut self,
        form: &Form,
        topology: &str,
        batch: &Batch,
    ) -> Vec<(usize, Rejection)> {
        self.text.clear();
        self.text.shrink_to(Self::KEPT);
        self.parts.clear();
        self.letters.clear();
        let mut unwritable = Vec::new();
        for row in 0..batch.len() {
            let letter = batch.rejection(row).map(|rejection| Letter {
                topology,
                rejection,
                cut: None,
            });
            match self.add(form, batch.record(row), letter) {
                Ok(parts) => self.parts.push(parts),
                Err(rejection) => unwritable.push((row, rejection)),
            }
        }
        unwritable
    }

    /// Prepares one record, which was prepared before.
    pub(super) fn one(
        form: &Form,
        record: Record<'_>,
        letter: Option<Letter<'_>>,
    ) -> Result<Self, Rejection> {
        let mut outgoing = Self::default();
        let parts = outgoing.add(form, record, letter)?;
        outgoing.parts.push(parts);
        Ok(outgoing)
    }

    fn add(
        &mut self,
        form: &Form,
        record: Record<'_>,
        letter: Option<Letter<'_>>,
    ) -> Result<Parts, Rejection> {
        let topic = match &form.topic {
            Topic::Constant(_) => 0..0,
            Topic::Template(template) => self.topic(template, record)?,
        };
        if let Some(Letter {
            topology,
            rejection,
            cut,
        }) = letter
        {
            self.letters
                .push(Envelope::new(topology, record, rejection, cut));
            return Ok(Parts {
                topic,
                key: 0..0,
                value: 0..0,
                letter: Some(self.letters.len() - 1),
            });
        }
        let key = match &form.key {
            Key::Original | Key::None => 0..0,
            Key::Template(template) => self.write("key", template, record)?,
        };
        let start = self.text.len();
        if form.document && !record.write(&mut self.text) {
            return Err(Rejection::new("no_document", NoDocument.to_string()));
        }
        Ok(Parts {
            topic,
            key,
            value: start..self.text.len(),
            letter: None,
        })
    }

    fn topic(
        &mut self,
        template: &Template,
        record: Record<'_>,
    ) -> Result<Range<usize>, Rejection> {
        let topic = self.write("topic", template, record)?;
        let name = String::from_utf8_lossy(&self.text[topic.clone()]);
        match topic_name_problem(&name) {
            None => Ok(topic),
            Some(problem) => Err(Rejection::new("topic", problem)),
        }
    }

    fn write(
        &mut self,
        option: &str,
        template: &Template,
        record: Record<'_>,
    ) -> Result<Range<usize>, Rejection> {
        let start = self.text.len();
        match template.render(record, &mut self.text) {
            Ok(()) => Ok(start..self.text.len()),
            Err(missing) => Err(Rejection::new(
                "missing_field",
                format!("{option}: {missing}"),
            )),
        }
    }

    /// The records that were prepared: those of the batch that [`Outgoing::fill`] saw, without the
    /// rows that it returned, or the one of [`Outgoing::one`].
    pub(super) fn records<'a>(&'a self, form: &'a Form, rows: Rows<'a>) -> Records<'a> {
        let mut headers = Vec::new();
        let mut ends = Vec::with_capacity(self.parts.len());
        for (row, parts) in self.parts.iter().enumerate() {
            let record = rows.get(row);
            match parts.letter {
                Some(letter) => self.letters[letter].headers(record, &mut headers),
                None if form.headers => {
                    let own = record.headers();
                    headers.extend(own.filter_map(|(name, value)| {
                        // Names are UTF-8 in Kafka's protocol; another cannot be sent again.
                        Some((std::str::from_utf8(name).ok()?, value))
                    }));
                }
                None => {}
            }
            ends.push(headers.len());
        }
        Records {
            outgoing: self,
            form,
            rows,
            headers,
            ends,
        }
    }

    fn record<'a>(
        &'a self,
        form: &'a Form,
        record: Record<'a>,
        row: usize,
        headers: &'a [(&'a str, Option<&'a [u8]>)],
    ) -> OutRecord<'a> {
        let parts = &self.parts[row];
        let topic = match &form.topic {
            Topic::Constant(name) => name.as_str(),
            Topic::Template(_) => std::str::from_utf8(&self.text[parts.topic.clone()])
                .expect("checked to be a topic's name"),
        };
        if let Some(letter) = parts.letter {
            let letter = &self.letters[letter];
            return OutRecord {
                topic,
                key: letter.key(record),
                payload: letter.payload(record),
                headers,
                // Its own time: an old record's letter must not be deleted as old.
                ..OutRecord::default()
            };
        }
        OutRecord {
            topic,
            key: match form.key {
                Key::Original => record.key(),
                Key::None => None,
                Key::Template(_) => Some(&self.text[parts.key.clone()]),
            },
            payload: match form.document {
                true => Some(&self.text[parts.value.clone()]),
                false => record.payload(),
            },
            timestamp: Some(record.timestamp()).filter(|ms| *ms >= 0),
            headers,
            partition: None,
        }
    }
}

/// Where records are read.
#[derive(Clone, Copy)]
pub(super) enum Rows<'a> {
    All(&'a Batch),
    One(Record<'a>),
}

impl<'a> Rows<'a> {
    fn get(self, row: usize) -> Record<'a> {
        match self {
            Rows::All(batch) => batch.record(row),
            Rows::One(record) => record,
        }
    }
}

/// The records of a batch, with their headers.
pub(super) struct Records<'a> {
    outgoing: &'a Outgoing,
    form: &'a Form,
    rows: Rows<'a>,
    /// Of all records, one after the other.
    headers: Headers<'a>,
    /// Where those of each record end.
    ends: Vec<usize>,
}

impl<'a> Records<'a> {
    pub(super) fn iter(&'a self) -> impl Iterator<Item = OutRecord<'a>> {
        (0..self.ends.len()).map(|row| {
            let start = if row == 0 { 0 } else { self.ends[row - 1] };
            let headers = &self.headers[start..self.ends[row]];
            self.outgoing
                .record(self.form, self.rows.get(row), row, headers)
        })
    }
}
