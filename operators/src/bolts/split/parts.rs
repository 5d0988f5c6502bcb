//! Finds the parts of records: elements of an array, or what stands between separators in a text.

use std::num::NonZeroU16;
use std::ops::Range;

use isobar_topology::json::{self, Kind};
use isobar_topology::{Record, Rejection};

use crate::expression::text_of;
use crate::field_path::FieldPath;

/// Where parts are looked for.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// The field; `None` for the record's value.
    pub(super) field: Option<FieldPath>,
    /// What stands between parts of a text; `None` for line ends.
    pub(super) separator: Option<Vec<u8>>,
    /// Whether the record's value is an array of JSON.
    pub(super) is_array: bool,
    /// Whether a field may be a text.
    pub(super) takes_text: bool,
    /// Parts of one record at most.
    pub(super) parts_max: usize,
}

/// Why a record has no parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoParts {
    /// There is nothing in it, of which this says more.
    Empty(String),
    /// It cannot be split, as class and reason say.
    Not(&'static str, String),
}

impl From<NoParts> for Rejection {
    fn from(none: NoParts) -> Self {
        match none {
            NoParts::Empty(text) => Rejection::new("no_parts", text),
            NoParts::Not(class, text) => Rejection::new(class, text),
        }
    }
}

/// The parts of some records, one after the other.
pub(super) struct Parts {
    source: Source,
    /// The parts of fields, as JSON.
    text: Vec<u8>,
    /// Of values, in bytes from the start of the value; else in `text`.
    found: Vec<Range<usize>>,
}

impl Parts {
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            text: Vec::new(),
            found: Vec::new(),
        }
    }

    /// Forgets what was found.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.found.clear();
    }

    /// The parts that were found: as JSON, empty for parts of values, and where they are.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], Range<usize>)> {
        let is_json = self.source.field.is_some();
        let json = move |range: &Range<usize>| match is_json {
            true => &self.text[range.clone()],
            false => &[],
        };
        self.found
            .iter()
            .map(move |range| (json(range), range.clone()))
    }

    /// Finds the parts of a record and says how many there are. Of one that cannot be split, none are
    /// kept.
    pub(super) fn find(&mut self, record: Record<'_>) -> Result<NonZeroU16, NoParts> {
        let before = (self.text.len(), self.found.len());
        let result = self.find_all(record).and_then(|()| {
            let count = self.found.len() - before.1;
            let what = self.what();
            let max = self.source.parts_max;
            if count > max {
                let text = format!("{what} has more than {max} parts (max_parts)");
                return Err(NoParts::Not("too_many_parts", text));
            }
            let count = u16::try_from(count).expect("parts_max is a u16");
            NonZeroU16::new(count).ok_or_else(|| NoParts::Empty(format!("{what} has no parts")))
        });
        if result.is_err() {
            self.text.truncate(before.0);
            self.found.truncate(before.1);
        }
        result
    }

    fn find_all(&mut self, record: Record<'_>) -> Result<(), NoParts> {
        // One more than may be, so that the rest is not looked at.
        let most = self.source.parts_max + 1;
        let separator = self.source.separator.as_deref();
        let (text, found) = (&mut self.text, &mut self.found);
        let Some(field) = &self.source.field else {
            let value = record.payload().unwrap_or_default();
            if self.source.is_array {
                return elements_of(value, most, found);
            }
            found.extend(parts_of(value, separator).take(most));
            return Ok(());
        };
        let name = field.written();
        let raw = field
            .get(record)
            .ok_or_else(|| NoParts::Not("missing_field", format!("The field {name} is missing")))?;
        match Kind::of(raw) {
            Kind::Array => {
                let mut count = 0;
                json::for_each_element(raw, |element| {
                    count += 1;
                    if count <= most {
                        let start = text.len();
                        text.extend_from_slice(element);
                        found.push(start..text.len());
                    }
                });
                Ok(())
            }
            Kind::Null => Ok(()),
            Kind::String if self.source.takes_text => {
                let whole = text_of(raw);
                for part in parts_of(&whole, separator).take(most) {
                    let start = text.len();
                    json::write_bytes_lossy(text, &whole[part]);
                    found.push(start..text.len());
                }
                Ok(())
            }
            _ => {
                let what = match self.source.takes_text {
                    true => "neither an array nor a text",
                    false => "no array",
                };
                let reason = format!("The field {name} is {what}");
                Err(NoParts::Not("no_parts", reason))
            }
        }
    }

    fn what(&self) -> String {
        match &self.source.field {
            Some(field) => format!("The field {}", field.written()),
            None => "The record".to_owned(),
        }
    }
}

/// Finds the elements of a value that is an array, so many at most; any other value is one part.
fn elements_of(value: &[u8], most: usize, found: &mut Vec<Range<usize>>) -> Result<(), NoParts> {
    let text = value.trim_ascii();
    if Kind::of(text) != Kind::Array {
        found.extend((!text.is_empty()).then_some(0..value.len()));
        return Ok(());
    }
    if let Err(error) = json::validate(value) {
        let reason = format!("The record is no JSON array: {error}");
        return Err(NoParts::Not("invalid_json", reason));
    }
    let mut count = 0;
    json::for_each_element(text, |element| {
        count += 1;
        if count <= most {
            // It is a piece of the value.
            let start = element.as_ptr().addr() - value.as_ptr().addr();
            found.push(start..start + element.len());
        }
    });
    Ok(())
}

/// What stands between separators, or on lines, without what is empty.
fn parts_of<'t>(
    text: &'t [u8],
    separator: Option<&'t [u8]>,
) -> impl Iterator<Item = Range<usize>> + 't {
    let mut rest = Some(0);
    let all = std::iter::from_fn(move || {
        let start = rest?;
        let separator = separator.unwrap_or(b"\n");
        let found = memchr::memmem::find(&text[start..], separator);
        rest = found.map(|at| start + at + separator.len());
        Some(start..found.map_or(text.len(), |at| start + at))
    });
    let without_return = move |part: Range<usize>| {
        let ends = separator.is_none() && text[part.clone()].ends_with(b"\r");
        part.start..part.end - usize::from(ends)
    };
    all.map(without_return).filter(|part| !part.is_empty())
}
