//! A YAML file on its way from a path to a tree of values, and what is printed when it has problems.
//!
//! Keeps the text, so that a problem shows its line, and knows which values came from outside, so that
//! it shows none of those.

mod excerpt;
mod hide;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path as FilePath, PathBuf};

use isobar_topology::spec::{Node, Path, Place, Problem, Problems, Segment, Value, read_text};

use crate::secrets::is_secret;
use crate::substitute::Outside;
use crate::yaml;

/// A YAML file as far as it could be read.
#[derive(Debug)]
pub(crate) struct YamlFile {
    pub(crate) path: PathBuf,
    text: String,
    /// The values, with what variables and files gave.
    pub(crate) tree: Node,
    pieces: BTreeSet<String>,
    /// What is wrong so far; whoever knows what should be in the file adds to it.
    pub(crate) problems: Problems,
}

impl YamlFile {
    /// Reads a file. Never fails: that it cannot be read is a problem of it.
    pub(crate) fn load(path: &FilePath, outside: &Outside<'_>) -> Self {
        // One byte more than is read, so that a larger file shows as such.
        let text = read_text(path, yaml::BYTES_MAX as u64 + 1);
        match text {
            Ok(text) => Self::from_text(path, text, outside),
            Err(error) => {
                let mut file = Self::from_text(path, String::new(), outside);
                file.tree.value = Value::Unreadable;
                let problem = Problem::new(Path::root(), format!("cannot be read: {error}"));
                file.problems = problem.expected("a text file in UTF-8").into();
                file
            }
        }
    }

    /// Reads a text; `path` names it in problems.
    pub(crate) fn from_text(path: &FilePath, text: String, outside: &Outside<'_>) -> Self {
        let yaml::Read {
            root,
            problems,
            pieces,
        } = yaml::read(&text, outside);
        Self {
            path: path.to_owned(),
            text,
            tree: root,
            pieces,
            problems,
        }
    }

    /// Makes the answer out of the file's problems and `more`, which commands find on their own.
    pub(crate) fn refuse(&self, more: Problems) -> Refused {
        let mut all = self.problems.clone();
        all.append(more);
        self.refuse_all(all)
    }

    /// Makes the answer out of problems that have those of the file among them.
    pub(crate) fn refuse_all(&self, all: Problems) -> Refused {
        let unreadable = self.tree.unreadable();
        let follows = |problem: &Problem| {
            // What was said when the file was read is the cause, and says its place too.
            problem
                .place
                .is_some_and(|place| unreadable.contains(&place))
                && !self.problems.contains(problem)
        };
        let problems = all.sorted().into_iter();
        let mut problems: Vec<Problem> = problems
            .filter(|problem| !follows(problem))
            .map(|problem| self.placed(problem))
            .map(|problem| hide::outside(problem, &self.tree, &self.pieces))
            .collect();
        // Those of components have got their places only now.
        problems.sort();
        problems.dedup();
        Refused {
            file: self.path.display().to_string(),
            lines: self.text.lines().map(str::to_owned).collect(),
            problems,
        }
    }

    /// Gives a problem of a component the place of what its path names.
    fn placed(&self, problem: Problem) -> Problem {
        let is_known = problem.place.is_some_and(|place| place.line > 0);
        match problem.path.segments().is_empty() || is_known {
            true => problem,
            false => {
                let place = self.tree.place_at(&problem.path);
                problem.at(place)
            }
        }
    }
}

/// Most problems that are printed: a file that is something else altogether can have one per byte.
const SHOWN_MAX: usize = 200;

/// Every problem of a topology file, ready to be shown. Each one is a line
/// `FILE:LINE:COLUMN: PATH: what is wrong; expected ...; did you mean ...?`, then the line of the file
/// with a caret below its column, unless a secret before it hides the rest of the line.
#[derive(Debug)]
pub struct Refused {
    file: String,
    lines: Vec<String>,
    problems: Vec<Problem>,
}

impl Refused {
    /// The problems in the order of the file.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.problems.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            if number == SHOWN_MAX {
                return write!(
                    f,
                    "{}: and {} more",
                    self.file,
                    self.problems.len() - number
                );
            }
            write!(f, "{}:", self.file)?;
            let Some(Place { line, column }) = problem.place else {
                write!(f, " {problem}")?;
                continue;
            };
            write!(f, "{line}:{column}: {problem}")?;
            let text = self.lines.get((line as usize).wrapping_sub(1));
            // The value of a secret that stands below its key.
            let keys = problem.path.segments().iter();
            let of_secret = keys
                .into_iter()
                .any(|step| matches!(step, Segment::Key(key) if is_secret(key)));
            let text = text.filter(|text| !of_secret || excerpt::names_secret(text));
            if let Some(shown) = text.and_then(|text| excerpt::excerpt(text, column)) {
                write!(f, "\n{line:>5} | {}", shown.line)?;
                if let Some(caret) = shown.caret {
                    write!(f, "\n      | {caret}")?;
                }
            }
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}
