//! What is wrong with a topology file: where, what, what was expected, and what was probably meant.

use std::collections::BTreeSet;
use std::fmt;

use super::tree::Place;

/// A step into a tree.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Segment {
    /// A member of a mapping.
    Key(String),
    /// An element of a list, from 0.
    Index(usize),
}

/// Where in a tree: `bolts.parse.fields[0]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path(Vec<Segment>);

impl Path {
    /// The root.
    pub fn root() -> Self {
        Self::default()
    }

    /// The member of this name below.
    pub fn key(&self, key: &str) -> Self {
        let mut segments = self.0.clone();
        segments.push(Segment::Key(key.to_owned()));
        Self(segments)
    }

    /// The element of this index below.
    pub fn index(&self, index: usize) -> Self {
        let mut segments = self.0.clone();
        segments.push(Segment::Index(index));
        Self(segments)
    }

    /// The steps from the root.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// The steps from `other` to here; `None` when this is no part of it.
    pub(crate) fn below(&self, other: &Path) -> Option<&[Segment]> {
        self.0.strip_prefix(&*other.0)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, segment) in self.0.iter().enumerate() {
            match segment {
                // A key with dots in it must not look like several steps.
                Segment::Key(key) if !is_plain(key) => write!(f, "[{key:?}]")?,
                Segment::Key(key) if depth == 0 => f.write_str(key)?,
                Segment::Key(key) => write!(f, ".{key}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

fn is_plain(key: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '@');
    !key.is_empty() && key.chars().all(plain)
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The place in the text, where it is known.
    pub place: Option<Place>,
    /// Where in the tree.
    pub path: Path,
    /// What is wrong.
    pub message: String,
    /// What was expected.
    pub expected: Option<String>,
    /// The known name that was probably meant.
    pub nearest: Option<String>,
}

impl Problem {
    /// A problem at a path.
    pub fn new(path: Path, message: impl Into<String>) -> Self {
        Self {
            place: None,
            path,
            message: message.into(),
            expected: None,
            nearest: None,
        }
    }

    /// A value that is not in its range, as the documentation of its option says it; `None` when it is.
    pub fn out_of_range<T: PartialOrd + fmt::Display>(
        path: Path,
        value: T,
        least: T,
        most: T,
    ) -> Option<Self> {
        let problem = || Self::new(path, format!("{value} is out of range"));
        let expected = || format!("from {least} to {most}");
        (value < least || value > most).then(|| problem().expected(expected()))
    }

    /// Adds what was expected.
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// Adds the place.
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// Adds the known name nearest to `name`, if one is near.
    pub fn near<'a>(mut self, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        self.nearest = nearest(name, known).map(str::to_owned);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.segments().is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        if let Some(expected) = &self.expected {
            write!(f, "; expected {expected}")?;
        }
        if let Some(nearest) = &self.nearest {
            write!(f, "; did you mean {nearest}?")?;
        }
        Ok(())
    }
}

/// Everything that is wrong, in the order of the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Adds those that there are, at their options.
    pub fn extend(&mut self, found: impl IntoIterator<Item = Option<Problem>>) {
        self.0.extend(found.into_iter().flatten());
    }

    /// Adds others.
    pub fn append(&mut self, others: Problems) {
        self.0.extend(others.0);
    }

    /// Adds the problems of a failed step, or returns its result.
    pub fn take<T>(&mut self, result: Result<T, Problems>) -> Option<T> {
        result.map_err(|problems| self.append(problems)).ok()
    }

    /// Says more of those at `path`.
    pub(crate) fn amend(&mut self, path: &Path, with: impl Fn(Problem) -> Problem) {
        for problem in self.0.iter_mut().filter(|problem| problem.path == *path) {
            *problem = with(problem.clone());
        }
    }

    /// Leaves out what follows from values that could not be read.
    pub(super) fn forget(&mut self, places: &BTreeSet<Place>) {
        self.0
            .retain(|problem| problem.place.is_none_or(|place| !places.contains(&place)));
    }

    /// The problems as they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// Whether this one is among them.
    pub fn contains(&self, problem: &Problem) -> bool {
        self.0.contains(problem)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The problems in the order of the text, each once.
    pub fn sorted(mut self) -> Vec<Problem> {
        self.0.sort();
        self.0.dedup();
        self.0
    }

    /// `value` if nothing is wrong.
    pub fn or<T>(self, value: T) -> Result<T, Problems> {
        if self.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.clone().sorted().iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The known name that was probably meant: at most a third of its letters differ, or it is the only one
/// that has the name among its words, as `parse_json` has `json`.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Names are shorter; the time of a comparison is the product of both lengths.
    const NAME_MAX: usize = 100;
    if name.len() > NAME_MAX {
        return None;
    }
    let known: Vec<&str> = known.into_iter().collect();
    let alike = known.iter().copied();
    let alike = alike
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance * 3 <= candidate.len().max(name.len()) + 1)
        .min();
    if let Some((_, candidate)) = alike {
        return Some(candidate);
    }
    let has_it = |candidate: &&str| candidate.split('_').any(|word| word == name);
    let mut longer = known.into_iter().filter(has_it);
    longer.next().filter(|_| longer.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_name_that_was_meant_is_near_or_the_only_one_with_that_word() {
        let known = [
            "parse_json",
            "parse_csv",
            "remove_fields",
            "set_fields",
            "kafka",
        ];
        for (name, expected) in [
            ("parse_jsno", Some("parse_json")),
            ("json", Some("parse_json")),
            ("kakfa", Some("kafka")),
            ("remove", Some("remove_fields")),
            ("parse", None),
            ("fields", None),
            ("remap", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), expected, "{name}");
        }
    }
}
