//! The keys and values of a line, as positions in its text, and how they are written as JSON without a
//! key that repeats.

use isobar_topology::json::{self, Span};

use super::BareWords;
use crate::cursor::{Cursor, LineError};
use crate::escapes;

/// Most pairs of a line; Elasticsearch takes 1000 fields per index by default.
const PAIRS_MAX: usize = 1024;

/// How pairs are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Syntax {
    pub(super) pair: u8,
    pub(super) key_value: u8,
    pub(super) bare_words: BareWords,
}

/// The pairs of a line; kept to be filled again.
#[derive(Debug)]
pub(super) struct Pairs {
    syntax: Syntax,
    pairs: Vec<Pair>,
    /// Of the keys, by number of the pair.
    hashes: Vec<u32>,
    /// A value whose escapes are resolved.
    plain: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    key: Span,
    /// `None` for a word without a value.
    value: Option<Span>,
    escaped: bool,
    /// An earlier pair has its key.
    is_repeat: bool,
    /// A later pair has its key.
    is_repeated: bool,
}

impl Syntax {
    #[inline]
    fn is_space(self, byte: u8) -> bool {
        matches!(byte, b' ' | b'\t')
    }

    /// What ends a word that is not quoted.
    #[inline]
    fn ends_pair(self, byte: u8) -> bool {
        byte == self.pair || (self.pair == b' ' && byte == b'\t')
    }
}

impl Pairs {
    pub(super) fn new(syntax: Syntax) -> Self {
        Self {
            syntax,
            pairs: Vec::new(),
            hashes: Vec::new(),
            plain: Vec::new(),
        }
    }

    /// Reads a line, in place of the one before.
    pub(super) fn read(&mut self, text: &[u8]) -> Result<(), LineError> {
        self.pairs.clear();
        self.hashes.clear();
        let syntax = self.syntax;
        let mut cursor = Cursor { text, at: 0 };
        let mut words = 0;
        loop {
            skip(&mut cursor, |byte| {
                syntax.is_space(byte) || syntax.ends_pair(byte)
            });
            if cursor.is_at_end() {
                break;
            }
            words += 1;
            let key = until(&mut cursor, |byte| {
                byte == syntax.key_value || syntax.ends_pair(byte)
            });
            let start = Cursor {
                text,
                at: key.start as usize,
            };
            if key.is_empty() {
                return Err(start.wrong("a key"));
            }
            if let Err(error) = std::str::from_utf8(key.of(text)) {
                let at = start.at + error.valid_up_to();
                return Err(Cursor { text, at }.wrong("a key in UTF-8"));
            }
            if !cursor.eat(syntax.key_value) {
                match syntax.bare_words {
                    BareWords::Reject => return Err(cursor.wrong("a value for the key")),
                    BareWords::Ignore => continue,
                    BareWords::Keep => self.push(start, key, None, false)?,
                }
                continue;
            }
            skip(&mut cursor, |byte| {
                syntax.is_space(byte) && !syntax.ends_pair(byte)
            });
            let (value, escaped) = if cursor.eat(b'"') {
                quoted(&mut cursor, syntax)?
            } else {
                (until(&mut cursor, |byte| syntax.ends_pair(byte)), false)
            };
            self.push(start, key, Some(value), escaped)?;
        }
        if words == 0 {
            return Err(Cursor { text, at: 0 }.wrong("a key"));
        }
        Ok(())
    }

    fn push(
        &mut self,
        start: Cursor<'_>,
        key: Span,
        value: Option<Span>,
        escaped: bool,
    ) -> Result<(), LineError> {
        if self.pairs.len() == PAIRS_MAX {
            return Err(start.wrong("at most 1024 keys and values"));
        }
        let name = key.of(start.text);
        let hash = hash(name);
        let pairs = &mut self.pairs;
        let is_same = |(at, known): (usize, &u32)| {
            (*known == hash && pairs[at].key.of(start.text) == name).then_some(at)
        };
        let earlier = self.hashes.iter().enumerate().find_map(is_same);
        if let Some(earlier) = earlier {
            pairs[earlier].is_repeated = true;
        }
        self.hashes.push(hash);
        pairs.push(Pair {
            key,
            value,
            escaped,
            is_repeat: earlier.is_some(),
            is_repeated: false,
        });
        Ok(())
    }

    /// Hands over each key of the line that was read, once, with what is to be written for it.
    pub(super) fn for_each(
        &mut self,
        text: &[u8],
        mut visit: impl FnMut(&str, &mut Values<'_, '_>),
    ) {
        for (at, pair) in self.pairs.iter().enumerate() {
            if !pair.is_repeat {
                let key = std::str::from_utf8(pair.key.of(text)).expect("keys were checked");
                visit(
                    key,
                    &mut Values {
                        text,
                        pairs: &self.pairs[at..],
                        plain: &mut self.plain,
                    },
                );
            }
        }
    }
}

/// The value of the first of these pairs, and those of the others that have its key.
pub(super) struct Values<'p, 't> {
    text: &'t [u8],
    pairs: &'p [Pair],
    plain: &'p mut Vec<u8>,
}

impl Values<'_, '_> {
    /// Appends text, or a list of texts where the key repeats.
    pub(super) fn write(&mut self, out: &mut Vec<u8>) {
        let first = self.pairs[0];
        if !first.is_repeated {
            return self.write_one(first, out);
        }
        out.push(b'[');
        self.write_one(first, out);
        let key = first.key.of(self.text);
        for pair in &self.pairs[1..] {
            if pair.is_repeat && pair.key.of(self.text) == key {
                out.push(b',');
                self.write_one(*pair, out);
            }
        }
        out.push(b']');
    }

    #[inline]
    fn write_one(&mut self, pair: Pair, out: &mut Vec<u8>) {
        match pair.value.map(|value| value.of(self.text)) {
            None => out.extend_from_slice(b"true"),
            Some(value) if pair.escaped => {
                escapes::resolve(value, self.plain);
                json::write_bytes_lossy(out, self.plain);
            }
            Some(value) => json::write_bytes_lossy(out, value),
        }
    }
}

/// Moves past bytes that are not wanted.
#[inline]
fn skip(cursor: &mut Cursor<'_>, is_skipped: impl Fn(u8) -> bool) {
    let rest = cursor.rest().iter();
    cursor.at += rest.take_while(|byte| is_skipped(**byte)).count();
}

/// Reads up to a byte that ends it, without spaces at the end.
#[inline]
fn until(cursor: &mut Cursor<'_>, is_end: impl Fn(u8) -> bool) -> Span {
    let start = cursor.at;
    skip(cursor, |byte| !is_end(byte));
    let read = &cursor.text[start..cursor.at];
    let is_text = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let length = read.iter().rposition(is_text).map_or(0, |last| last + 1);
    span(start, start + length)
}

/// Reads a value up to the quote that closes it; whether it has escapes.
#[inline]
fn quoted(cursor: &mut Cursor<'_>, syntax: Syntax) -> Result<(Span, bool), LineError> {
    let start = cursor.at;
    let mut escaped = false;
    loop {
        match cursor.peek() {
            None => return Err(cursor.wrong("\" after a quoted value")),
            Some(b'"') => break,
            Some(b'\\') => {
                escaped = true;
                cursor.at = cursor.text.len().min(cursor.at + 2);
            }
            Some(_) => cursor.at += 1,
        }
    }
    let value = span(start, cursor.at);
    cursor.at += 1;
    let is_over = |byte| syntax.is_space(byte) || syntax.ends_pair(byte);
    match cursor.peek() {
        Some(byte) if !is_over(byte) => {
            Err(cursor.wrong("a separator or the end after a quoted value"))
        }
        _ => Ok((value, escaped)),
    }
}

fn span(start: usize, end: usize) -> Span {
    Span {
        start: start as u32,
        end: end as u32,
    }
}

#[inline]
fn hash(key: &[u8]) -> u32 {
    key.iter().fold(0, |hash: u32, byte| {
        (hash.rotate_left(5) ^ u32::from(*byte)).wrapping_mul(0x9E37_79B9)
    })
}
