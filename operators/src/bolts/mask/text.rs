//! Replaces values inside of a raw JSON value, and what patterns find in its texts and numbers.

use std::ops::Range;
use std::sync::Arc;

use isobar_topology::json::{self, Kind, Place};

use super::WHOLE;
use super::patterns::{Find, Finder};
use super::pseudonyms::Pseudonyms;
use crate::expression::text_of;

/// What stands in place of what was found.
#[derive(Clone)]
pub(super) enum Replacement {
    Text(Arc<str>),
    Pseudonym(Arc<Pseudonyms>),
}

impl Replacement {
    /// Appends it as a JSON string, in place of a raw value.
    pub(super) fn write(&self, raw: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => json::write_string(out, text),
            Self::Pseudonym(pseudonyms) => {
                let pseudonym = match Kind::of(raw) {
                    Kind::String => pseudonyms.of(&text_of(raw)),
                    _ => pseudonyms.of(raw),
                };
                json::write_string(out, &pseudonym);
            }
        }
    }

    /// Appends it in place of a part of a text.
    fn push(&self, found: &str, to: &mut String) {
        match self {
            Self::Text(text) => to.push_str(text),
            Self::Pseudonym(pseudonyms) => to.push_str(&pseudonyms.of(found.as_bytes())),
        }
    }
}

/// Looks for patterns; one for each lane.
pub(super) struct Masker {
    finders: Vec<Finder>,
    replacement: Replacement,
    /// A text, what was found in it, and the same with that replaced.
    text: String,
    found: Vec<Range<usize>>,
    replaced: String,
}

impl Masker {
    pub(super) fn new(finds: &[Find], replacement: Replacement) -> Self {
        Self {
            finders: finds.iter().map(Find::finder).collect(),
            replacement,
            text: String::new(),
            found: Vec::new(),
            replaced: String::new(),
        }
    }

    /// Appends a raw value in which values are replaced and others searched, as the numbers of their places
    /// say; in how many of them something was replaced. What was put in is not searched, and neither
    /// replaced again.
    pub(super) fn mask(&mut self, raw: &[u8], places: &[Place], out: &mut Vec<u8>) -> u64 {
        // Up to where it was copied, and up to where it is searched.
        let (mut at, mut searched_to) = (0, 0);
        let (mut masked, mut found) = (0, false);
        for place in places {
            let range = place.range();
            // Inside of what was replaced.
            if range.start < at {
                continue;
            }
            found |= self.copy(raw, at..range.start, searched_to, out);
            if range.start >= searched_to {
                masked += u64::from(std::mem::take(&mut found));
            }
            if place.way() == WHOLE {
                self.replacement.write(&raw[range.clone()], out);
                masked += 1;
                at = range.end;
            } else {
                searched_to = searched_to.max(range.end);
                at = range.start;
            }
        }
        found |= self.copy(raw, at..raw.len(), searched_to, out);
        masked + u64::from(found)
    }

    /// Appends a part of a raw value, searched up to a byte of the whole; whether anything was found.
    fn copy(
        &mut self,
        raw: &[u8],
        part: Range<usize>,
        searched_to: usize,
        out: &mut Vec<u8>,
    ) -> bool {
        let middle = searched_to.clamp(part.start, part.end);
        let found = self.search(&raw[part.start..middle], out);
        out.extend_from_slice(&raw[middle..part.end]);
        found
    }

    /// Appends a part of a raw value, of whole names and values, with what is found in it replaced; whether
    /// anything was.
    fn search(&mut self, raw: &[u8], out: &mut Vec<u8>) -> bool {
        let mut is_changed = false;
        let mut at = 0;
        while let Some(byte) = raw.get(at) {
            let is_text = *byte == b'"';
            if !is_text && !matches!(byte, b'-' | b'0'..=b'9') {
                out.push(*byte);
                at += 1;
                continue;
            }
            let end = json::skip_value(raw, at);
            let value = &raw[at..end];
            at = end;
            if (is_text && is_key(&raw[end..])) || !self.replace(value, is_text) {
                out.extend_from_slice(value);
            } else {
                json::write_string(out, &self.replaced);
                is_changed = true;
            }
        }
        is_changed
    }

    /// Replaces what is found in a text or number, in `replaced`; whether there is anything.
    fn replace(&mut self, value: &[u8], is_text: bool) -> bool {
        self.text.clear();
        if is_text {
            self.text
                .push_str(&String::from_utf8_lossy(&text_of(value)));
        } else {
            self.text.push_str(&String::from_utf8_lossy(value));
        }
        // All in the text as it came: what was put in for one pattern may look like something to another.
        self.found.clear();
        for finder in &mut self.finders {
            let mut at = 0;
            while let Some(found) = finder.find(&self.text, at) {
                at = found.end;
                self.found.push(found);
            }
        }
        if self.found.is_empty() {
            return false;
        }
        self.found.sort_unstable_by_key(|found| found.start);
        self.replaced.clear();
        let mut copied = 0;
        let mut all = self.found.iter().peekable();
        while let Some(found) = all.next() {
            let mut end = found.end;
            while let Some(next) = all.next_if(|next| next.start < end) {
                end = end.max(next.end);
            }
            self.replaced.push_str(&self.text[copied..found.start]);
            let found = &self.text[found.start..end];
            self.replacement.push(found, &mut self.replaced);
            copied = end;
        }
        self.replaced.push_str(&self.text[copied..]);
        true
    }
}

/// Whether a text is the name of a member, by what stands behind it.
fn is_key(rest: &[u8]) -> bool {
    rest.trim_ascii_start().first() == Some(&b':')
}
