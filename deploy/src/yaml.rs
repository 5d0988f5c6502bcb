//! From YAML text to a tree of values with places: one document of mappings, lists and scalars, typed
//! by the core schema of YAML 1.2 (<https://yaml.org/spec/1.2.2/#103-core-schema>). And back, for people.
//!
//! Knows nothing of what a topology is made of.

mod indent;
mod scalar;
#[cfg(test)]
mod tests;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use isobar_topology::spec::{Entry, Node, Path, Place, Problem, Problems, Value};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use crate::substitute::{Outside, substitute};

pub(crate) use write::write;

/// Longest text that is read. The largest hand-written topologies have some tens of kilobytes.
pub(crate) const BYTES_MAX: usize = 1024 * 1024;
/// Deepest nesting: a topology needs less than ten levels.
const DEPTH_MAX: usize = 64;
/// Bytes that aliases and substituted values may add: each one repeats what it stands for.
const EXPANSION_MAX: usize = 8 * 1024 * 1024;
/// What a value weighs against [`EXPANSION_MAX`] besides its text.
const NODE_WEIGHT: usize = 128;

/// What was read.
#[derive(Debug)]
pub(crate) struct Read {
    /// The tree. Where something could not be read it says so, and `problems` say why.
    pub(crate) root: Node,
    pub(crate) problems: Problems,
    /// Values that came from variables and files.
    pub(crate) pieces: BTreeSet<String>,
}

/// Reads a text and puts values from outside into its scalars. Finds every problem up to the first
/// error of YAML's syntax.
pub(crate) fn read(text: &str, outside: &Outside<'_>) -> Read {
    let start = Place { line: 1, column: 1 };
    let unreadable = Node::new(Value::Unreadable, start);
    let mut reader = Reader {
        text,
        parser: Parser::new_from_str(text),
        outside,
        problems: Problems::default(),
        pieces: BTreeSet::new(),
        anchors: BTreeMap::new(),
        expansion: EXPANSION_MAX,
    };
    let root = if text.len() > BYTES_MAX {
        reader.problems.push(
            Problem::new(Path::root(), "the file is too large")
                .expected(format!("at most {} KiB", BYTES_MAX / 1024)),
        );
        unreadable
    } else {
        // A stop has told its problem.
        reader.document().unwrap_or(unreadable)
    };
    Read {
        root,
        problems: reader.problems,
        pieces: reader.pieces,
    }
}

struct Reader<'t, 'o> {
    text: &'t str,
    parser: Parser<'t, StrInput<'t>>,
    outside: &'o Outside<'o>,
    problems: Problems,
    pieces: BTreeSet<String>,
    /// Values by the number of their anchor, once they are complete.
    anchors: BTreeMap<usize, Node>,
    /// What is left of [`EXPANSION_MAX`].
    expansion: usize,
}

/// Nothing more can be read, and a problem says why.
struct Stop;

impl<'t> Reader<'t, '_> {
    fn document(&mut self) -> Result<Node, Stop> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(_) if root.is_some() => {
                    return Err(self.stop(
                        span.start,
                        "a second document starts here",
                        "one document per file",
                    ));
                }
                Event::StreamStart
                | Event::DocumentStart(_)
                | Event::DocumentEnd
                | Event::Nothing => {}
                event => root = Some(self.node(event, span, &Path::root(), 1)?),
            }
        }
        Ok(root.unwrap_or_else(|| Node::new(Value::Null, Place { line: 1, column: 1 })))
    }

    fn node(
        &mut self,
        event: Event<'t>,
        span: Span,
        path: &Path,
        depth: usize,
    ) -> Result<Node, Stop> {
        if depth > DEPTH_MAX {
            return Err(self.too_deep(span.start));
        }
        let place = place(span.start);
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                (
                    self.scalar(&text, plain, tag.as_deref(), place, path),
                    anchor,
                )
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "seq", place, path);
                let mut items = Vec::new();
                loop {
                    let (event, span) = self.next()?;
                    if event == Event::SequenceEnd {
                        break;
                    }
                    items.push(self.node(event, span, &path.index(items.len()), depth + 1)?);
                }
                (Node::new(Value::List(items), place), anchor)
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "map", place, path);
                let entries = self.mapping(path, depth)?;
                (Node::new(Value::Map(entries), place), anchor)
            }
            Event::Alias(anchor) => (self.alias(anchor, span, depth)?, 0),
            _ => return Err(self.stop(span.start, "not YAML: a value is missing", "a value")),
        };
        if anchor != 0 {
            let _ = self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn mapping(&mut self, path: &Path, depth: usize) -> Result<Vec<Entry>, Stop> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(entries);
            }
            let key_place = place(span.start);
            let key = self.key(event, span, path, depth)?;
            let below = path.key(key.as_deref().unwrap_or("?"));
            let (event, span) = self.next()?;
            let node = self.node(event, span, &below, depth + 1)?;
            let Some(key) = key else {
                continue;
            };
            if let Some(line) = seen.get(&key) {
                let problem = Problem::new(below, format!("stands in line {line} already"));
                self.problems
                    .push(problem.expected("each key once").at(key_place));
                continue;
            }
            let _ = seen.insert(key.clone(), key_place.line);
            entries.push(Entry {
                key,
                key_place,
                node,
            });
        }
    }

    /// Reads a key; `None` when it is none, and the entry is left out.
    fn key(
        &mut self,
        event: Event<'t>,
        span: Span,
        path: &Path,
        depth: usize,
    ) -> Result<Option<String>, Stop> {
        let problem = |message: &str, expected: &str| {
            Problem::new(path.clone(), message)
                .expected(expected)
                .at(place(span.start))
        };
        let (text, plain, anchor, tag) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (text, style == ScalarStyle::Plain, anchor, tag)
            }
            event => {
                let _ = self.node(event, span, path, depth + 1)?;
                self.problems.push(problem(
                    "a key that is a list, a mapping or an alias",
                    "text; a template such as \"{{ doc.host }}\" needs quotes",
                ));
                return Ok(None);
            }
        };
        self.check_tag(tag.as_deref(), "str", place(span.start), path);
        if anchor != 0 {
            let key = Value::String(text.to_string());
            let _ = self
                .anchors
                .insert(anchor, Node::new(key, place(span.start)));
        }
        if plain && text == "<<" {
            let expected = "the options written out: YAML 1.2 has no merge keys";
            self.problems.push(problem("a merge key", expected));
            return Ok(None);
        }
        if plain && !matches!(scalar::typed(&text), Value::String(_)) {
            let expected = format!("text: write \"{text}\"");
            self.problems
                .push(problem("a key that is not text", &expected));
            return Ok((!text.is_empty()).then(|| text.into_owned()));
        }
        if text.contains("${") {
            let expected = "a key without ${: values are put into values only";
            self.problems
                .push(problem("a substitution in a key", expected));
            return Ok(None);
        }
        Ok(Some(text.into_owned()))
    }

    fn scalar(
        &mut self,
        text: &str,
        plain: bool,
        tag: Option<&Tag>,
        place: Place,
        path: &Path,
    ) -> Node {
        let is_text = tag.is_some_and(|tag| tag.handle.is_empty() || tag.suffix == "str");
        if !is_text {
            self.check_tag(tag, "str", place, path);
        }
        let substituted = match substitute(text, self.outside) {
            Ok(substituted) => substituted,
            Err(wrong) => {
                for wrong in wrong {
                    let problem = Problem::new(path.clone(), wrong.message);
                    self.problems
                        .push(problem.expected(wrong.expected).at(place));
                }
                return Node::new(Value::Unreadable, place);
            }
        };
        let text = substituted.text;
        let hidden = !substituted.pieces.is_empty();
        if hidden {
            match self.expansion.checked_sub(text.len()) {
                Some(left) => self.expansion = left,
                None => {
                    self.problems.push(expansion_problem(path).at(place));
                    return Node::new(Value::Unreadable, place);
                }
            }
            self.pieces.extend(substituted.pieces);
        }
        let value = match plain && !is_text {
            true => scalar::typed(&text),
            false => Value::String(text.to_string()),
        };
        let is_typed = !matches!(value, Value::String(_) | Value::Null);
        Node {
            value,
            place,
            hidden,
            file: substituted.file.map(Arc::from),
            written: is_typed.then(|| text.as_ref().into()),
        }
    }

    /// A copy of what an anchor marks. It keeps its places: that is where it would have to be changed.
    fn alias(&mut self, anchor: usize, span: Span, depth: usize) -> Result<Node, Stop> {
        let Some(node) = self.anchors.get(&anchor) else {
            let expected = "an alias of a value that is complete";
            return Err(self.stop(
                span.start,
                "an alias inside of what it stands for",
                expected,
            ));
        };
        if depth + height(node) > DEPTH_MAX + 1 {
            return Err(self.too_deep(span.start));
        }
        let weight: usize = node.walk().map(weight).sum();
        let node = node.clone();
        let Some(left) = self.expansion.checked_sub(weight) else {
            self.problems
                .push(expansion_problem(&Path::root()).at(place(span.start)));
            return Err(Stop);
        };
        self.expansion = left;
        Ok(node)
    }

    fn check_tag(&mut self, tag: Option<&Tag>, wanted: &str, place: Place, path: &Path) {
        let fits = |tag: &Tag| tag.is_yaml_core_schema() && tag.suffix == wanted;
        if tag.is_some_and(|tag| !fits(tag)) {
            self.problems.push(
                Problem::new(path.clone(), "a tag")
                    .expected("a value without a tag; quotes make text of anything")
                    .at(place),
            );
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), Stop> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                self.problems.push(syntax(&error, self.text));
                Err(Stop)
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn too_deep(&mut self, at: Marker) -> Stop {
        let expected = format!("at most {DEPTH_MAX} levels");
        self.stop(at, "nested too deep", &expected)
    }

    fn stop(&mut self, at: Marker, message: &str, expected: &str) -> Stop {
        let problem = Problem::new(Path::root(), message).expected(expected);
        self.problems.push(problem.at(place(at)));
        Stop
    }
}

fn expansion_problem(path: &Path) -> Problem {
    Problem::new(
        path.clone(),
        "aliases and variables make the file too large",
    )
    .expected(format!(
        "at most {} MiB in all",
        EXPANSION_MAX / (1024 * 1024)
    ))
}

fn syntax(error: &ScanError, text: &str) -> Problem {
    let (info, at) = (error.info(), *error.marker());
    if let Some(mistake) = indent::mistake(text, info, at.line(), at.col()) {
        return Problem::new(Path::root(), format!("not YAML: {mistake}"))
            .expected("options of one mapping in the same column")
            .at(place(at));
    }
    // Texts of the parser that say what it was doing, with what the author has to do.
    let hints = [
        ("found a tab", "spaces instead of tabs"),
        ("found unexpected end of stream", "a closing quote"),
        (
            "mapping values are not allowed",
            "quotes around a value with `: ` in it, or the key on a line of its own",
        ),
        (
            "unexpected character",
            "quotes around a value that starts with it",
        ),
        (
            "did not find expected ',' or '}'",
            "a comma or a closing brace; between braces, quotes around a value such as \"${NAME}\"",
        ),
        (
            "expected ',' or ']'",
            "a comma or a closing bracket; between brackets, quotes around a value such as \"${NAME}\"",
        ),
        ("unknown escape", "\\\\ for a backslash, or single quotes"),
        ("recursion limit", "at most 64 levels"),
        ("unknown anchor", "an anchor &name before its alias *name"),
        (
            "did not find expected <document start>",
            "keys of one mapping in the same column",
        ),
    ];
    let hint = hints.iter().find(|(part, _)| info.contains(part));
    let mut problem = Problem::new(Path::root(), format!("not YAML: {info}")).at(place(at));
    problem.expected = hint.map(|(_, hint)| (*hint).to_owned());
    problem
}

fn place(marker: Marker) -> Place {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Place {
        line: number(marker.line().max(1)),
        column: number(marker.col().saturating_add(1)),
    }
}

fn weight(node: &Node) -> usize {
    let text = node.text().map_or(0, str::len);
    let keys: usize = node.entries().iter().map(|entry| entry.key.len()).sum();
    NODE_WEIGHT + text + keys
}

/// Levels of a value; 1 for a scalar. Nothing has more than [`DEPTH_MAX`].
fn height(node: &Node) -> usize {
    let items = node.items().iter();
    let below = items.chain(node.entries().iter().map(|entry| &entry.node));
    1 + below.map(height).max().unwrap_or(0)
}
