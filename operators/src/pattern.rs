//! Regular expressions over text: compiled once, with bounds on what they may take, matched without
//! allocation, and able to say up to where a text fits.
//!
//! The engine has no backtracking: a match takes time in proportion to the text, whatever the pattern.

mod fit;

use std::sync::Arc;

use isobar_topology::spec::{Path, Problem};
use regex_automata::Input;
use regex_automata::meta::{self, Regex};
use regex_automata::util::primitives::NonMaxUsize;
use regex_syntax::hir::Hir;

use fit::Fit;

use crate::expression::text_place;

/// Largest compiled pattern, in bytes.
const COMPILED_MAX: usize = 8 << 20;
/// Largest table that an engine builds while it matches, in bytes for each lane.
const TABLE_MAX: usize = 1 << 20;

/// A compiled pattern, shared by all lanes.
#[derive(Debug)]
pub(crate) struct Pattern {
    regex: Regex,
    /// Without one for patterns that are too large for it.
    fit: Option<Fit>,
}

impl Pattern {
    /// Compiles a pattern that an option at `path` holds.
    pub(crate) fn compile(text: &str, path: &Path) -> Result<Self, Problem> {
        let (regex, hir) = compile(text).map_err(|fault| {
            let message = fault.text(text, "the expression");
            Problem::new(path.clone(), message).expected(fault.expected)
        })?;
        Ok(Self {
            regex,
            fit: Fit::new(&hir, COMPILED_MAX),
        })
    }

    /// Number and name of each named group, in the order of the pattern.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (usize, &str)> {
        let names = self.regex.group_info().pattern_names(0.into());
        let names = names.enumerate();
        names.filter_map(|(number, name)| Some((number, name?)))
    }

    /// Bytes of the compiled pattern.
    pub(crate) fn size(&self) -> usize {
        self.regex.memory_usage() + self.fit.as_ref().map_or(0, Fit::size)
    }

    /// Bytes that a [`Matcher`] takes at most.
    pub(crate) const MATCHER_SIZE: usize = 4 * TABLE_MAX;
}

/// A compiled pattern that is only asked whether a text has a match. Lanes share it: each that asks while
/// others do gets a table of its own.
#[derive(Debug)]
pub(crate) struct Search(Regex);

impl Search {
    pub(crate) fn compile(text: &str) -> Result<Self, Fault> {
        compile(text).map(|(regex, _)| Self(regex))
    }

    #[inline]
    pub(crate) fn is_in(&self, text: &[u8]) -> bool {
        self.0.is_match(text)
    }

    /// Bytes of the compiled pattern.
    pub(crate) fn size(&self) -> usize {
        self.0.memory_usage()
    }
}

/// What is wrong with a pattern.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The byte of the pattern, unless it is all of it.
    at: Option<usize>,
    message: String,
    pub(crate) expected: &'static str,
}

impl Fault {
    /// In words; `of` is what `pattern` is called.
    pub(crate) fn text(&self, pattern: &str, of: &str) -> String {
        match self.at {
            Some(at) => format!("{}: {}", text_place(pattern, at, of), self.message),
            None => self.message.clone(),
        }
    }
}

fn compile(text: &str) -> Result<(Regex, Hir), Fault> {
    let hir = regex_syntax::parse(text).map_err(|error| {
        let (at, message) = match error {
            regex_syntax::Error::Parse(error) => {
                (error.span().start.offset, error.kind().to_string())
            }
            regex_syntax::Error::Translate(error) => {
                (error.span().start.offset, error.kind().to_string())
            }
            other => (0, other.to_string()),
        };
        Fault {
            at: Some(at),
            message,
            expected: "a regular expression as the Rust crate regex takes it, such as ^(?<host>\\S+) (?<status>\\d+)$",
        }
    })?;
    let config = meta::Config::new()
        .nfa_size_limit(Some(COMPILED_MAX))
        .onepass_size_limit(Some(TABLE_MAX))
        .hybrid_cache_capacity(TABLE_MAX);
    let regex = Regex::builder().configure(config).build_from_hir(&hir);
    let regex = regex.map_err(|_| Fault {
        at: None,
        message: "the pattern is too large when compiled".to_owned(),
        expected: "at most 8 MiB; repetitions such as {1000} of long parts take most",
    })?;
    Ok((regex, hir))
}

/// Matches a pattern; one for each lane.
#[derive(Debug)]
pub(crate) struct Matcher {
    pattern: Arc<Pattern>,
    cache: meta::Cache,
    slots: Vec<Option<NonMaxUsize>>,
}

impl Matcher {
    pub(crate) fn new(pattern: Arc<Pattern>) -> Self {
        Self {
            cache: pattern.regex.create_cache(),
            slots: vec![None; pattern.regex.group_info().slot_len()],
            pattern,
        }
    }

    /// Finds the first match in a text from byte `from` on; whether there is one.
    #[inline]
    pub(crate) fn find(&mut self, text: &str, from: usize) -> bool {
        let input = Input::new(text).range(from..);
        let regex = &self.pattern.regex;
        let found = regex.search_slots_with(&mut self.cache, &input, &mut self.slots);
        found.is_some()
    }

    /// First byte of a group of the match that was found, and the byte after its last; `None` if it is
    /// not part of it. Group 0 is all of the match.
    #[inline]
    pub(crate) fn group(&self, number: usize) -> Option<(usize, usize)> {
        let slot = |at: usize| self.slots.get(at).copied().flatten();
        let (start, end) = slot(2 * number).zip(slot(2 * number + 1))?;
        Some((start.get(), end.get()))
    }

    /// The byte of a text that does not match, at which no match goes on that starts with it; its length
    /// if it ends too early. `None` where that cannot be told. Behind parts that match anything, such as
    /// `.*`, it is where what follows them first goes wrong.
    #[cold]
    pub(crate) fn fits_until(&self, text: &str) -> Option<usize> {
        self.pattern.fit.as_ref()?.until(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(pattern: &str) -> Matcher {
        let pattern = Pattern::compile(pattern, &Path::root()).expect("a good pattern");
        Matcher::new(Arc::new(pattern))
    }

    #[test]
    fn groups_are_found_where_they_are() {
        let mut matcher = matcher(r"(a+)(?<b>b)?(?:c)(?<d>d|ä)");
        let groups: Vec<_> = matcher.pattern.groups().collect();
        assert_eq!(groups, [(2, "b"), (3, "d")]);
        assert!(matcher.find("x aacä abcd", 0));
        let found = [0, 1, 2, 3, 4].map(|number| matcher.group(number));
        assert_eq!(
            found,
            [Some((2, 7)), Some((2, 4)), None, Some((5, 7)), None]
        );
        assert!(matcher.find("x aacä abcd", 7));
        assert_eq!(matcher.group(2), Some((9, 10)));
        assert!(!matcher.find("x aacä", 3 + 1));
    }

    #[test]
    fn it_is_told_up_to_where_a_text_fits() {
        for (pattern, text, at) in [
            (r"^(\d+) (\w+)$", "12 ab!", Some(5)),
            (r"^(\d+) (\w+)$", "12", Some(2)),
            (r"^(\d+) (\w+)$", "x", Some(0)),
            (r"(\d+) (\w+)$", "12x", Some(2)),
            (r"^.*x", "abc", Some(3)),
            (r"^ä\bx", "ä", Some(2)),
            (r"^ä\bx", "ä x", Some(2)),
            // What matches anything does not hide what follows it.
            (r"^(\w+) (.*?) \[(\d+)\] (\d+)$", "a b c [12] x", Some(11)),
            (
                r"^(\w+) (.*?) \[(\d+)\] (\d+)$",
                "a b c [1x] [2] x",
                Some(15),
            ),
            (r"^(\w+) (.*?) \[(\d+)\] (\d+)$", "a b c [1x] 2", Some(8)),
            (r"^.*=(\d{2}):(\d{2})$", "a=b, c=12:3x", Some(11)),
            (r"^(?:a|.*b) (\d+)$", "a b x", Some(2)),
        ] {
            let mut matcher = matcher(pattern);
            assert!(!matcher.find(text, 0), "{pattern} in {text}");
            assert_eq!(matcher.fits_until(text), at, "{pattern} in {text}");
        }
    }

    #[test]
    fn a_long_text_is_not_read_to_its_end_to_tell_where_it_fits() {
        let mut matcher = matcher("^(a|b)*c");
        let text = "ab".repeat(1 << 20);
        assert!(!matcher.find(&text, 0));
        assert_eq!(matcher.fits_until(&text), None);
    }

    #[test]
    fn patterns_that_cannot_be_compiled_are_problems() {
        for (pattern, expected) in [
            (
                "a(b",
                "o: at character 2 of the expression: unclosed group; expected a regular expression",
            ),
            (
                r"\pX",
                "o: at character 1 of the expression: Unicode property not found; expected",
            ),
            (
                r"(?=a)",
                "o: at character 1 of the expression: look-around, including look-ahead and look-behind, is not supported",
            ),
            (
                r"((\w{500}){100}){100}",
                "o: the pattern is too large when compiled; expected at most 8 MiB",
            ),
        ] {
            let problem = Pattern::compile(pattern, &Path::root().key("o")).expect_err(pattern);
            let text = problem.to_string();
            assert!(text.starts_with(expected), "{text}");
        }
    }
}
