//! What is looked for: patterns that have a name, and regular expressions.

use std::ops::Range;
use std::sync::Arc;

use isobar_topology::spec::{Path, Problem};

use super::{card_number, ipv6};
use crate::pattern::{Matcher, Pattern};

/// What makes a pattern ready, for the option at a path.
type Make = fn(&Path) -> Result<Find, Problem>;

/// Patterns that have a name.
const NAMED: [(&str, Make); 4] = [
    ("email", |path| regex(EMAIL, path)),
    ("ipv4", |path| regex(IPV4, path)),
    ("ipv6", |_| Ok(Find::Known(ipv6::find))),
    ("card_number", |_| Ok(Find::Known(card_number::find))),
];

const EMAIL: &str = r"[\w.!#$%&'*+/=?^`{|}~-]+@[\w-]+(?:\.[\w-]+)+";
const IPV4: &str =
    r"\b(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\b";

/// Something to look for.
#[derive(Clone, Debug)]
pub(super) enum Find {
    Regex(Arc<Pattern>),
    /// Finds the first place in a text from a byte on, in time in proportion to the text.
    Known(fn(&str, usize) -> Option<Range<usize>>),
}

impl Find {
    /// Reads a pattern that an option at `path` holds.
    pub(super) fn new(text: &str, path: &Path) -> Result<Self, Problem> {
        let names = || NAMED.iter().map(|(name, _)| *name);
        if let Some((_, find)) = NAMED.iter().find(|(name, _)| *name == text) {
            return find(path);
        }
        let is_of_names = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | ' ');
        if text.chars().all(is_of_names) {
            // As somebody would write a name who knows it from elsewhere.
            let name = text.to_lowercase().replace(['-', ' '], "_");
            let known: Vec<&str> = names().collect();
            return Err(
                Problem::new(path.clone(), format!("unknown pattern `{text}`"))
                    .expected(format!(
                        "{}, or a regular expression; `(?:{text})` finds just this text",
                        known.join(", ")
                    ))
                    .near(&name, known),
            );
        }
        regex(text, path)
    }

    /// Bytes that it takes, for all lanes together.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Regex(pattern) => pattern.size(),
            Self::Known(_) => 0,
        }
    }

    /// Bytes that a [`Finder`] takes at most.
    pub(super) fn finder_size(&self) -> usize {
        match self {
            Self::Regex(_) => Pattern::MATCHER_SIZE,
            Self::Known(_) => 0,
        }
    }

    pub(super) fn finder(&self) -> Finder {
        match self {
            Self::Regex(pattern) => Finder::Regex(Box::new(Matcher::new(Arc::clone(pattern)))),
            Self::Known(find) => Finder::Known(*find),
        }
    }
}

fn regex(text: &str, path: &Path) -> Result<Find, Problem> {
    Ok(Find::Regex(Arc::new(Pattern::compile(text, path)?)))
}

/// Looks for it; one for each lane.
pub(super) enum Finder {
    Regex(Box<Matcher>),
    Known(fn(&str, usize) -> Option<Range<usize>>),
}

impl Finder {
    /// The first place from byte `from` on that is not empty.
    pub(super) fn find(&mut self, text: &str, mut from: usize) -> Option<Range<usize>> {
        let matcher = match self {
            Self::Known(find) => return find(text, from),
            Self::Regex(matcher) => matcher,
        };
        while from <= text.len() && matcher.find(text, from) {
            let (start, end) = matcher.group(0).expect("a match has a place");
            if end > start {
                return Some(start..end);
            }
            let next = text[start..].chars().next();
            from = start + next.map_or(1, char::len_utf8);
        }
        None
    }
}
