//! Replaces what patterns find in the texts and numbers of a raw JSON value.

use std::sync::Arc;

use isobar_topology::json::{self, Kind};

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
    /// A text, and the same with what was found replaced.
    text: String,
    replaced: String,
}

impl Masker {
    pub(super) fn new(finds: &[Find], replacement: Replacement) -> Self {
        Self {
            finders: finds.iter().map(Find::finder).collect(),
            replacement,
            text: String::new(),
            replaced: String::new(),
        }
    }

    /// Appends a raw value with what was found replaced; whether anything was.
    pub(super) fn mask(&mut self, raw: &[u8], out: &mut Vec<u8>) -> bool {
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
                json::write_string(out, &self.text);
                is_changed = true;
            }
        }
        is_changed
    }

    /// Replaces what is found in a text or number, in `text`; whether anything was.
    fn replace(&mut self, value: &[u8], is_text: bool) -> bool {
        self.text.clear();
        if is_text {
            self.text
                .push_str(&String::from_utf8_lossy(&text_of(value)));
        } else {
            self.text.push_str(&String::from_utf8_lossy(value));
        }
        let mut is_changed = false;
        for finder in &mut self.finders {
            self.replaced.clear();
            let mut copied = 0;
            while let Some(found) = finder.find(&self.text, copied) {
                self.replaced.push_str(&self.text[copied..found.start]);
                let found_text = &self.text[found.clone()];
                self.replacement.push(found_text, &mut self.replaced);
                copied = found.end;
            }
            if copied > 0 {
                self.replaced.push_str(&self.text[copied..]);
                std::mem::swap(&mut self.text, &mut self.replaced);
                is_changed = true;
            }
        }
        is_changed
    }
}

/// Whether a text is the name of a member, by what stands behind it.
fn is_key(rest: &[u8]) -> bool {
    rest.trim_ascii_start().first() == Some(&b':')
}
