//! The structured data of RFC 5424, section 6.3: elements with parameters, written as one JSON
//! object per element in which no key repeats.

use isobar_topology::json::{self, Span};

use crate::cursor::{Cursor, LineError};

/// The structured data of a line, as positions in its text; kept to be filled again.
#[derive(Debug, Default)]
pub(super) struct StructuredData {
    parts: Vec<Part>,
    /// Whether an id, or a name inside an element, occurs twice.
    repeats: bool,
    /// Order of `parts` by id and name, when it is needed.
    sorted: Vec<u16>,
    unescaped: Vec<u8>,
}

/// The start of an element, or one of its parameters.
#[derive(Clone, Copy, Debug)]
struct Part {
    id: Span,
    /// Empty for the start of an element.
    name: Span,
    value: Span,
    escaped: bool,
}

/// Most elements and parameters of a line together; Elasticsearch takes 1000 fields per index by
/// default.
const PARTS_MAX: usize = 1024;

/// Up to so many parts are compared each with each.
const FEW: usize = 16;

impl StructuredData {
    /// Reads elements up to the first byte that does not open one.
    pub(super) fn read(&mut self, cursor: &mut Cursor<'_>, strict: bool) -> Result<(), LineError> {
        self.parts.clear();
        self.repeats = false;
        while cursor.eat(b'[') {
            let id = name(cursor, strict, "the id of an element of structured data")?;
            self.push(cursor, id, Span::default(), Span::default(), false)?;
            self.read_parameters(cursor, id, strict)?;
        }
        self.repeats = self.has_repeats(cursor.text);
        match self.repeated_id(cursor.text).filter(|_| strict) {
            Some(at) => Err(LineError {
                at,
                expected: "each id of structured data once",
            }),
            None => Ok(()),
        }
    }

    fn read_parameters(
        &mut self,
        cursor: &mut Cursor<'_>,
        id: Span,
        strict: bool,
    ) -> Result<(), LineError> {
        loop {
            if cursor.eat(b']') {
                return Ok(());
            }
            cursor.expect(b' ', "a space or ] in structured data")?;
            if !strict {
                while cursor.eat(b' ') {}
                if cursor.eat(b']') {
                    return Ok(());
                }
            }
            let name = name(cursor, strict, "the name of a parameter of structured data")?;
            cursor.expect(b'=', "= after the name of a parameter")?;
            cursor.expect(b'"', "\" before the value of a parameter")?;
            let (value, escaped) = value(cursor, strict)?;
            self.push(cursor, id, name, value, escaped)?;
        }
    }

    fn push(
        &mut self,
        cursor: &Cursor<'_>,
        id: Span,
        name: Span,
        value: Span,
        escaped: bool,
    ) -> Result<(), LineError> {
        if self.parts.len() == PARTS_MAX {
            return Err(cursor.wrong("at most 1024 elements and parameters of structured data"));
        }
        self.parts.push(Part {
            id,
            name,
            value,
            escaped,
        });
        Ok(())
    }

    fn has_repeats(&mut self, text: &[u8]) -> bool {
        if self.parts.len() <= FEW {
            let mut rest = self.parts.as_slice();
            while let Some((part, others)) = rest.split_first() {
                if others.iter().any(|other| part.has_key_of(other, text)) {
                    return true;
                }
                rest = others;
            }
            return false;
        }
        self.sort(text);
        let mut pairs = self.sorted.windows(2);
        pairs.any(|pair| self.part(pair[0]).key(text) == self.part(pair[1]).key(text))
    }

    /// Where the first id starts that an earlier element has.
    fn repeated_id(&mut self, text: &[u8]) -> Option<usize> {
        if !self.repeats {
            return None;
        }
        self.sort(text);
        let pairs = self.sorted.windows(2);
        let repeated = pairs
            .map(|pair| (self.part(pair[0]), self.part(pair[1])))
            .filter(|(first, second)| second.is_start() && first.key(text) == second.key(text));
        repeated.map(|(_, second)| second.id.start as usize).min()
    }

    fn sort(&mut self, text: &[u8]) {
        self.sorted.clear();
        self.sorted.extend(0..self.parts.len() as u16);
        let parts = &self.parts;
        self.sorted
            .sort_unstable_by_key(|at| (parts[usize::from(*at)].key(text), *at));
    }

    fn part(&self, at: u16) -> Part {
        self.parts[usize::from(at)]
    }

    /// Appends what was read of `text` as a JSON object: a member per id, with a member per
    /// parameter. Elements of one id become one; the values of a name that occurs several times
    /// become a list.
    pub(super) fn write(&mut self, text: &[u8], out: &mut Vec<u8>) {
        out.push(b'{');
        match self.repeats {
            false => self.write_in_order(text, out),
            true => self.write_grouped(text, out),
        }
        out.push(b'}');
    }

    fn write_in_order(&mut self, text: &[u8], out: &mut Vec<u8>) {
        for at in 0..self.parts.len() {
            let part = self.parts[at];
            if part.is_start() {
                if at > 0 {
                    out.extend_from_slice(b"},");
                }
                write_key(out, part.id.of(text));
                out.push(b'{');
            } else {
                if !self.parts[at - 1].is_start() {
                    out.push(b',');
                }
                write_key(out, part.name.of(text));
                part.write_value(text, &mut self.unescaped, out);
            }
        }
        out.push(b'}');
    }

    fn write_grouped(&mut self, text: &[u8], out: &mut Vec<u8>) {
        // `read` has sorted them when it looked for repeated ids. The start of an element sorts
        // before its parameters.
        let mut previous: Option<Part> = None;
        let mut list_open = false;
        for index in 0..self.sorted.len() {
            let part = self.part(self.sorted[index]);
            let is_same = |other: Part| other.key(text) == part.key(text);
            if part.is_start() {
                if !previous.is_some_and(is_same) {
                    if previous.is_some() {
                        out.extend_from_slice(b"},");
                    }
                    write_key(out, part.id.of(text));
                    out.push(b'{');
                }
            } else {
                if previous.is_some_and(|previous| !previous.is_start()) {
                    out.push(b',');
                }
                if !list_open {
                    write_key(out, part.name.of(text));
                }
                let next = self.sorted.get(index + 1).map(|at| self.part(*at));
                let goes_on = next.is_some_and(is_same);
                if goes_on && !list_open {
                    out.push(b'[');
                }
                part.write_value(text, &mut self.unescaped, out);
                if list_open && !goes_on {
                    out.push(b']');
                }
                list_open = goes_on;
            }
            previous = Some(part);
        }
        out.push(b'}');
    }
}

impl Part {
    fn is_start(&self) -> bool {
        self.name.is_empty()
    }

    /// Two parts of one key must not become two members of one object.
    fn key<'t>(&self, text: &'t [u8]) -> (&'t [u8], &'t [u8]) {
        (self.id.of(text), self.name.of(text))
    }

    /// As comparing keys, which mostly differ in the lengths of their names.
    #[inline]
    fn has_key_of(&self, other: &Part, text: &[u8]) -> bool {
        self.name.len() == other.name.len() && self.key(text) == other.key(text)
    }

    fn write_value(&self, text: &[u8], unescaped: &mut Vec<u8>, out: &mut Vec<u8>) {
        let value = self.value.of(text);
        if !self.escaped {
            return json::write_bytes_lossy(out, value);
        }
        unescaped.clear();
        let mut bytes = value.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            let escaped =
                bytes.next_if(|next| byte == b'\\' && matches!(next, b'"' | b'\\' | b']'));
            unescaped.push(escaped.unwrap_or(byte));
        }
        json::write_bytes_lossy(out, unescaped);
    }
}

/// Which bytes names consist of: looking them up takes a third of what comparing takes.
static IN_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        table[byte as usize] = !matches!(byte, b'=' | b']' | b'"');
        byte += 1;
    }
    table
};

fn write_key(out: &mut Vec<u8>, name: &[u8]) {
    json::write_bytes_lossy(out, name);
    out.push(b':');
}

/// Reads a name: visible ASCII other than `=`, `]` and `"`, strictly at most 32 of it. Lenient is as
/// strict about the alphabet: names that are replaced in part could become equal.
fn name(cursor: &mut Cursor<'_>, strict: bool, expected: &'static str) -> Result<Span, LineError> {
    let rest = cursor.rest().iter();
    let length = rest.take_while(|byte| IN_NAME[usize::from(**byte)]).count();
    if length == 0 {
        return Err(cursor.wrong(expected));
    }
    if strict && length > 32 {
        cursor.at += 32;
        return Err(cursor.wrong("a name of at most 32 bytes"));
    }
    let span = span(cursor.at, cursor.at + length);
    cursor.at += length;
    Ok(span)
}

/// Reads the value of a parameter and its closing quote; also says whether it has escapes.
fn value(cursor: &mut Cursor<'_>, strict: bool) -> Result<(Span, bool), LineError> {
    let start = cursor.at;
    let mut escaped = false;
    loop {
        let rest = cursor.rest();
        let special = rest
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\' | b']'));
        cursor.at += special.unwrap_or(rest.len());
        match cursor.peek() {
            None => return Err(cursor.wrong("\" after the value of a parameter")),
            Some(b'"') => {
                cursor.at += 1;
                return Ok((span(start, cursor.at - 1), escaped));
            }
            Some(b']') if strict => return Err(cursor.wrong("\\ before ] in a value")),
            Some(b']') => cursor.at += 1,
            Some(_) => {
                let next = cursor.text.get(cursor.at + 1);
                let is_escape = matches!(next, Some(b'"' | b'\\' | b']'));
                escaped |= is_escape;
                cursor.at += 1 + usize::from(is_escape);
            }
        }
    }
}

fn span(start: usize, end: usize) -> Span {
    let position = |at| u32::try_from(at).expect("payloads in an arena are shorter than 4 GiB");
    Span {
        start: position(start),
        end: position(end),
    }
}
