//! Replaces what patterns find in the texts and numbers of a raw JSON value.

use std::sync::Arc;

use isobar_topology::json;

use super::patterns::Find;
use crate::expression::text_of;
use crate::pattern::Matcher;

/// Looks for patterns; one for each lane.
pub(super) struct Masker {
    finds: Vec<(Find, Matcher)>,
    replacement: Arc<str>,
    /// A text, and the same with what was found replaced.
    text: String,
    replaced: String,
}

impl Masker {
    pub(super) fn new(finds: &[Find], replacement: Arc<str>) -> Self {
        let finds = finds.iter();
        let finds = finds.map(|find| (find.clone(), Matcher::new(Arc::clone(&find.pattern))));
        Self {
            finds: finds.collect(),
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
        for (find, matcher) in &mut self.finds {
            self.replaced.clear();
            // Up to where the text was looked at, and up to where it was copied.
            let (mut at, mut copied) = (0, 0);
            while at <= self.text.len() && matcher.find(&self.text, at) {
                let (start, end) = matcher.group(0).expect("a match has a place");
                if end > start && find.accepts(&self.text[start..end]) {
                    self.replaced.push_str(&self.text[copied..start]);
                    self.replaced.push_str(&self.replacement);
                    copied = end;
                    at = end;
                } else {
                    // On behind its first character.
                    let next = self.text[start..].chars().next();
                    at = start + next.map_or(1, char::len_utf8);
                }
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
