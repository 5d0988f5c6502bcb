//! What is looked for: patterns that have a name, and regular expressions.

use std::sync::Arc;

use isobar_topology::spec::{Path, Problem};

use crate::pattern::Pattern;

/// Patterns that have a name.
const NAMED: [(&str, &str); 4] = [
    ("email", r"[\w.!#$%&'*+/=?^`{|}~-]+@[\w-]+(?:\.[\w-]+)+"),
    (
        "ipv4",
        r"\b(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\b",
    ),
    (
        "ipv6",
        // Those that end with an address of IPv4 first: nothing of it may stay.
        r"(?x)
            (?:[[:xdigit:]]{1,4}:){1,6} (?: :[[:xdigit:]]{1,4}){0,5} :? (?:\d{1,3}\.){3}\d{1,3}
            | :: (?:[[:xdigit:]]{1,4}:){0,5} (?:\d{1,3}\.){3}\d{1,3}
            | (?:[[:xdigit:]]{1,4}:){7} [[:xdigit:]]{1,4}
            | (?:[[:xdigit:]]{1,4}:){1,7} (?: :[[:xdigit:]]{1,4}){1,6}
            | (?:[[:xdigit:]]{1,4}:){1,7} :
            | :: (?:[[:xdigit:]]{1,4}:){0,6} [[:xdigit:]]{1,4}",
    ),
    ("card_number", r"\b\d(?:[ -]?\d){12,18}\b"),
];

/// Something to look for.
#[derive(Clone, Debug)]
pub(super) struct Find {
    pub(super) pattern: Arc<Pattern>,
    /// Digits that are found count only with the right check digit.
    has_check_digit: bool,
}

impl Find {
    pub(super) fn new(text: &str, path: &Path) -> Result<Self, Problem> {
        let named = NAMED.iter().find(|(name, _)| *name == text);
        let pattern = named.map_or(text, |(_, pattern)| pattern);
        Ok(Self {
            pattern: Arc::new(Pattern::compile(pattern, path)?),
            has_check_digit: text == "card_number",
        })
    }

    pub(super) fn size(&self) -> usize {
        self.pattern.size()
    }

    /// Whether what the pattern found is what was looked for.
    pub(super) fn accepts(&self, found: &str) -> bool {
        !self.has_check_digit || luhn(found)
    }
}

/// Whether the digits of a text add up as ISO/IEC 7812-1, annex B, has it.
fn luhn(text: &str) -> bool {
    let digits = text.bytes().rev().filter(u8::is_ascii_digit);
    let sum: u32 = digits
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(digit - b'0');
            match (place % 2, digit) {
                (0, digit) => digit,
                (_, digit @ 0..5) => digit * 2,
                (_, digit) => digit * 2 - 9,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}
