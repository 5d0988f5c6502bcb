//! The values of a line of CSV, as positions in its text (<https://www.rfc-editor.org/rfc/rfc4180>).

use isobar_topology::json::Span;
use memchr::memchr;

use crate::cursor::{Cursor, LineError};

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
    pub(super) fn read(&mut self, text: &[u8]) -> Result<(), LineError> {
        self.values.clear();
        let mut cursor = Cursor { text, at: 0 };
        loop {
            if self.values.len() == self.count {
                return Err(cursor.wrong("no more values than there are columns"));
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
            return Err(cursor.wrong("as many values as there are columns"));
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
