//! The values of a line of CSV, as positions in its text (<https://www.rfc-editor.org/rfc/rfc4180>).

use isobar_topology::Rejection;
use isobar_topology::json::Span;
use memchr::memchr;

use crate::cursor::{Cursor, LineError};

/// What is wrong with a line.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wrong {
    Text(LineError),
    /// It has so many values and ends at this byte.
    TooFew(usize, usize),
    /// More values than there are columns begin at this byte.
    TooMany(usize),
}

impl From<LineError> for Wrong {
    fn from(error: LineError) -> Self {
        Self::Text(error)
    }
}

impl Wrong {
    /// Rejects the record of a line that should have one value for each of so many columns.
    #[cold]
    pub(super) fn rejection(self, columns: usize) -> Rejection {
        const CLASS: &str = "invalid_csv";
        const KIND: &str = "line of CSV";
        let (at, found) = match self {
            Self::Text(error) => return error.rejection(CLASS, KIND),
            Self::TooFew(found, at) => (at, found.to_string()),
            Self::TooMany(at) => (at, "more".to_owned()),
        };
        let values = match columns {
            1 => "one value, as there is one column".to_owned(),
            columns => format!("{columns} values, one for each column"),
        };
        let reason = format!("invalid {KIND} at byte {at}: expected {values}, found {found}");
        Rejection::new(CLASS, reason)
    }
}

/// The values of a line; kept to be filled again.
#[derive(Debug)]
pub(super) struct Values {
    delimiter: u8,
    /// How many there must be.
    count: usize,
    values: Vec<Value>,
    /// A value whose doubled quotes are single.
    plain: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Value {
    /// Between the quotes, if it has any.
    text: Span,
    quoted: bool,
    /// It has quotes inside, each twice.
    doubled: bool,
}

impl Values {
    /// For lines of so many values.
    pub(super) fn new(delimiter: u8, count: usize) -> Self {
        Self {
            delimiter,
            count,
            values: Vec::with_capacity(count),
            plain: Vec::new(),
        }
    }

    /// Reads a line, in place of the one before.
    pub(super) fn read(&mut self, text: &[u8]) -> Result<(), Wrong> {
        self.values.clear();
        let mut cursor = Cursor { text, at: 0 };
        loop {
            if self.values.len() == self.count {
                return Err(Wrong::TooMany(cursor.at));
            }
            let value = self.value(&mut cursor)?;
            self.values.push(value);
            if cursor.is_at_end() {
                break;
            }
            cursor.expect(
                self.delimiter,
                "the delimiter or the end after a quoted value",
            )?;
        }
        if self.values.len() < self.count {
            return Err(Wrong::TooFew(self.values.len(), cursor.at));
        }
        Ok(())
    }

    #[inline]
    fn value(&self, cursor: &mut Cursor<'_>) -> Result<Value, LineError> {
        let start = cursor.at;
        if !cursor.eat(b'"') {
            let length = memchr(self.delimiter, cursor.rest()).unwrap_or(cursor.rest().len());
            cursor.at += length;
            return Ok(Value {
                text: span(start, cursor.at),
                quoted: false,
                doubled: false,
            });
        }
        let mut doubled = false;
        loop {
            let Some(quote) = memchr(b'"', cursor.rest()) else {
                cursor.at = cursor.text.len();
                return Err(cursor.wrong("\" after a quoted value"));
            };
            cursor.at += quote + 1;
            if !cursor.eat(b'"') {
                break;
            }
            doubled = true;
        }
        Ok(Value {
            text: span(start + 1, cursor.at - 1),
            quoted: true,
            doubled,
        })
    }

    /// Hands over each value of the line that was read and the number of its column, empty ones left
    /// out.
    pub(super) fn for_each(&mut self, text: &[u8], mut visit: impl FnMut(usize, &[u8])) {
        for (column, value) in self.values.iter().enumerate() {
            let written = value.text.of(text);
            if value.doubled {
                single_quotes(written, &mut self.plain);
                visit(column, &self.plain);
            } else if value.quoted || !written.is_empty() {
                visit(column, written);
            }
        }
    }
}

/// Writes a text with each doubled quote once over `plain`.
fn single_quotes(written: &[u8], plain: &mut Vec<u8>) {
    plain.clear();
    let mut rest = written;
    while let Some(quote) = memchr(b'"', rest) {
        plain.extend_from_slice(&rest[..=quote]);
        // The second one of the pair, which is there since the value went on.
        rest = &rest[quote + 2..];
    }
    plain.extend_from_slice(rest);
}

fn span(start: usize, end: usize) -> Span {
    Span {
        start: start as u32,
        end: end as u32,
    }
}
