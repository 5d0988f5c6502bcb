//! The rules by which user agents are told apart, as the project ua-parser writes them:
//! <https://github.com/ua-parser/uap-core/blob/master/docs/specification.md>. Knows no records.

use std::borrow::Cow;
use std::fmt::Display;
use std::path::Path;

use isobar_topology::spec::read_text;
use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};
use serde::Deserialize;
use serde_json::{Map, Value};
use ua_parser::{Extractor, Regexes, device, os, user_agent};

/// Longest file: that of ua-parser has 205 KiB in 2026.
const FILE_BYTES_MAX: usize = 4 << 20;
/// What of a user agent is looked at: time grows with the text, and clients send what they like. Those of
/// browsers have 100 to 300 bytes.
const AGENT_BYTES_MAX: usize = 1024;
/// Deepest nesting of the file: lists of mappings in a mapping.
const DEPTH_MAX: usize = 8;
/// Bytes of memory per byte of the file, for the rules and for what each thread keeps to match them: 26 MB
/// and up to 55 MB were measured for the 210,315 bytes of 2026, with the 18,052 agents of its tests.
const MEMORY_PER_BYTE: usize = 150;
const THREAD_MEMORY_PER_BYTE: usize = 270;

/// What was found, or nothing.
pub(super) type Text<'a> = Option<Cow<'a, str>>;

/// What the rules say of a user agent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Agent<'a> {
    pub(super) name: Text<'a>,
    pub(super) version: Text<'a>,
    pub(super) os_name: Text<'a>,
    pub(super) os_version: Text<'a>,
    pub(super) device_name: Text<'a>,
}

impl Agent<'_> {
    /// Whether no rule knows it.
    pub(super) fn is_unknown(&self) -> bool {
        self.name.is_none() && self.os_name.is_none() && self.device_name.is_none()
    }
}

/// Rules that are ready for use.
pub(super) struct Rules {
    extractor: Extractor<'static>,
    count: usize,
    file_bytes: usize,
}

impl Rules {
    /// Reads a file. Fails with what is wrong, as the rest of a sentence.
    pub(super) fn load(file: &Path) -> Result<Self, String> {
        let text = read_text(file, FILE_BYTES_MAX as u64 + 1);
        let text = text.map_err(|error| format!("cannot be read: {error}"))?;
        if text.len() > FILE_BYTES_MAX {
            return Err(format!("larger than {} MiB", FILE_BYTES_MAX >> 20));
        }
        let regexes = Regexes::deserialize(yaml(&text)?).map_err(|error| error.to_string())?;
        let count = regexes.user_agent_parsers.len()
            + regexes.os_parsers.len()
            + regexes.device_parsers.len();
        Ok(Self {
            extractor: extractor(regexes)?,
            count,
            file_bytes: text.len(),
        })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Bytes that they take, about.
    pub(super) fn memory(&self) -> usize {
        MEMORY_PER_BYTE * self.file_bytes
    }

    /// Bytes that each thread takes besides, at most, about.
    pub(super) fn memory_per_thread(&self) -> usize {
        THREAD_MEMORY_PER_BYTE * self.file_bytes
    }

    /// Looks at the start of a user agent.
    pub(super) fn find<'a>(&'a self, text: &'a str) -> Agent<'a> {
        let text = &text[..text.floor_char_boundary(AGENT_BYTES_MAX)];
        let (agent, os, device) = self.extractor.extract(text);
        let (name, version) = agent.map_or((None, None), |found| {
            let parts = [found.major, found.minor, found.patch, found.patch_minor];
            (
                some(found.family),
                dotted(parts.map(|part| part.map(Cow::from))),
            )
        });
        let (os_name, os_version) = os.map_or((None, None), |found| {
            let parts = [found.major, found.minor, found.patch, found.patch_minor];
            (some(found.os), dotted(parts))
        });
        Agent {
            name,
            version,
            os_name,
            os_version,
            device_name: device.and_then(|found| some(found.device)),
        }
    }
}

/// Nothing where a rule applies and finds an empty text, as a group that may be empty does.
fn some(text: Cow<'_, str>) -> Text<'_> {
    (!text.is_empty()).then_some(text)
}

/// The parts up to the first one that is not known, with dots between.
fn dotted<'a>(parts: [Text<'a>; 4]) -> Text<'a> {
    let mut known = parts
        .into_iter()
        .map_while(|part| part.filter(|part| !part.is_empty()));
    let mut version = known.next()?;
    for part in known {
        version.to_mut().push('.');
        version.to_mut().push_str(&part);
    }
    Some(version)
}

/// Compiles the rules; fails with the first one that is wrong.
fn extractor(regexes: Regexes<'static>) -> Result<Extractor<'static>, String> {
    fn wrong(list: &str, number: usize, error: impl Display) -> String {
        format!("{list}[{number}]: {error}")
    }
    let mut agents = user_agent::Builder::new();
    for (number, rule) in regexes.user_agent_parsers.into_iter().enumerate() {
        let pushed = agents.push(rule);
        agents = pushed.map_err(|error| wrong("user_agent_parsers", number, error))?;
    }
    let mut systems = os::Builder::new();
    for (number, rule) in regexes.os_parsers.into_iter().enumerate() {
        let pushed = systems.push(rule);
        systems = pushed.map_err(|error| wrong("os_parsers", number, error))?;
    }
    let mut devices = device::Builder::new();
    for (number, rule) in regexes.device_parsers.into_iter().enumerate() {
        let pushed = devices.push(rule);
        devices = pushed.map_err(|error| wrong("device_parsers", number, error))?;
    }
    Ok(Extractor {
        ua: agents.build().map_err(|error| error.to_string())?,
        os: systems.build().map_err(|error| error.to_string())?,
        dev: devices.build().map_err(|error| error.to_string())?,
    })
}

/// Reads YAML whose scalars are all text, as replacements such as `'7'` and `7` are.
fn yaml(text: &str) -> Result<Value, String> {
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
    };
    loop {
        match reader.next()?.0 {
            Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
            Event::StreamEnd => return Err("there is nothing in it".to_owned()),
            event => return reader.value(event, 0),
        }
    }
}

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
}

impl<'t> Reader<'t> {
    /// The next event, with its line.
    fn next(&mut self) -> Result<(Event<'t>, usize), String> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, span.start.line())),
            Some(Err(error)) => Err(format!("line {}: {}", error.marker().line(), error.info())),
            None => Ok((Event::StreamEnd, 0)),
        }
    }

    fn value(&mut self, event: Event<'t>, depth: usize) -> Result<Value, String> {
        if depth > DEPTH_MAX {
            return Err(format!("nested deeper than {DEPTH_MAX} levels"));
        }
        match event {
            Event::Scalar(text, style, ..) => Ok(match &*text {
                "" | "~" | "null" if style == ScalarStyle::Plain => Value::Null,
                text => Value::from(text),
            }),
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    match self.next()?.0 {
                        Event::SequenceEnd => return Ok(Value::Array(items)),
                        event => items.push(self.value(event, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(..) => {
                let mut members = Map::new();
                loop {
                    let (name, line) = match self.next()? {
                        (Event::MappingEnd, _) => return Ok(Value::Object(members)),
                        (Event::Scalar(name, ..), line) => (name.into_owned(), line),
                        (_, line) => return Err(format!("line {line}: a name is expected")),
                    };
                    let event = self.next()?.0;
                    let value = self.value(event, depth + 1)?;
                    if members.insert(name.clone(), value).is_some() {
                        return Err(format!("line {line}: `{name}` is there twice"));
                    }
                }
            }
            _ => Err("aliases are not read, nor what ends too early".to_owned()),
        }
    }
}
