//! JSON as bytes: validates a document and notes where its top-level members are, without maps and
//! without allocation.
//!
//! Follows RFC 8259, stricter in two points: the text of a record must be an object, and a key must
//! not repeat at its top level (Elasticsearch refuses both).

mod text;
mod walk;

pub use text::{string, unescape, write_bytes_lossy, write_string};
pub use walk::{element, for_each_element, for_each_member, member, skip_value};

use std::collections::HashSet;

/// Deepest nesting of objects and arrays. Elasticsearch stops at 20 objects by default
/// (`index.mapping.depth.limit`), most JSON readers at 128.
pub const DEPTH_MAX: usize = 128;

/// A range of bytes of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Byte after the last.
    pub end: u32,
}

impl Span {
    /// The bytes of the range.
    #[inline]
    pub fn of(self, text: &[u8]) -> &[u8] {
        &text[self.start as usize..self.end as usize]
    }

    /// Length in bytes.
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether the range is empty.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// The type of a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number, in the text of its author.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl Kind {
    /// The type of an already validated value, from its first byte.
    pub fn of(value: &[u8]) -> Kind {
        match value.first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') => Kind::Null,
            _ => Kind::Number,
        }
    }
}

/// A member of the top-level object; positions are bytes of the scanned text.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// The opening quote of the key.
    pub key_start: u32,
    /// The key between its quotes, as written.
    pub key: Span,
    /// The value.
    pub value: Span,
    /// Whether the key contains escapes, so that it must be unescaped before it is compared.
    pub escaped_key: bool,
}

/// What is wrong with a text, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid JSON at byte {at}: {problem}")]
pub struct JsonError {
    /// Byte offset into the text, from 0.
    pub at: usize,
    /// What is wrong there.
    pub problem: &'static str,
}

/// Validates `text` as one JSON object, white space around it allowed, and calls `visit` for each
/// top-level member in order. Returns where the object is, braces included.
///
/// When it fails, `visit` may have been called for members before the fault.
pub fn scan_object(text: &[u8], visit: impl FnMut(Member)) -> Result<Span, JsonError> {
    check_encoding(text)?;
    let mut scanner = Scanner { text, at: 0 };
    scanner.skip_space();
    if scanner.peek() != Some(b'{') {
        return Err(scanner.fail(match Kind::of(&text[scanner.at..]) {
            _ if scanner.at == text.len() => "the text is empty",
            Kind::Array => "expected an object, found an array",
            _ if text.starts_with(b"\xEF\xBB\xBF") => "expected an object, found a byte order mark",
            _ => "expected an object",
        }));
    }
    let start = scanner.at;
    scanner.top_level_object(visit)?;
    let end = scanner.at;
    scanner.end_of_text()?;
    Ok(Span {
        start: start as u32,
        end: end as u32,
    })
}

/// Validates `text` as one JSON value of any type, white space around it allowed, and returns where
/// it is.
pub fn validate(text: &[u8]) -> Result<Span, JsonError> {
    check_encoding(text)?;
    let mut scanner = Scanner { text, at: 0 };
    scanner.skip_space();
    let start = scanner.at;
    scanner.value(0)?;
    let end = scanner.at;
    scanner.end_of_text()?;
    Ok(Span {
        start: start as u32,
        end: end as u32,
    })
}

fn check_encoding(text: &[u8]) -> Result<(), JsonError> {
    if text.len() >= u32::MAX as usize {
        return Err(JsonError {
            at: u32::MAX as usize,
            problem: "the text is longer than 4 GiB",
        });
    }
    match std::str::from_utf8(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(JsonError {
            at: error.valid_up_to(),
            problem: "not UTF-8",
        }),
    }
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn top_level_object(&mut self, mut visit: impl FnMut(Member)) -> Result<(), JsonError> {
        let start = self.at;
        let mut seen = Seen::default();
        self.at += 1;
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.fail("expected a key in quotes"));
            }
            let key_start = self.at;
            let escaped_key = self.string()?;
            let key = Span {
                start: key_start as u32 + 1,
                end: self.at as u32 - 1,
            };
            if seen.repeats(self.text, key, escaped_key) {
                return Err(JsonError {
                    at: key_start,
                    problem: DUPLICATE,
                });
            }
            self.colon()?;
            let value_start = self.at as u32;
            self.value(1)?;
            visit(Member {
                key_start: key_start as u32,
                key,
                value: Span {
                    start: value_start,
                    end: self.at as u32,
                },
                escaped_key,
            });
            if self.comma_or(b'}', "expected ',' or '}' after a member")? {
                break;
            }
        }
        if seen.uncertain {
            check_all_keys(self.text, start)?;
        }
        Ok(())
    }

    /// Validates the value at the position and moves behind it. `depth` counts enclosing containers.
    fn value(&mut self, depth: usize) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => Err(self.fail("expected a value")),
            None => Err(self.fail("the text ends where a value was expected")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), JsonError> {
        self.enter(depth)?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.fail("expected a key in quotes"));
            }
            let _ = self.string()?;
            self.colon()?;
            self.value(depth + 1)?;
            if self.comma_or(b'}', "expected ',' or '}' after a member")? {
                return Ok(());
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), JsonError> {
        self.enter(depth)?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            if self.comma_or(b']', "expected ',' or ']' after an element")? {
                return Ok(());
            }
        }
    }

    /// Steps over the opening bracket, unless it is one too many.
    fn enter(&mut self, depth: usize) -> Result<(), JsonError> {
        if depth >= DEPTH_MAX {
            return Err(self.fail("nested deeper than 128 levels"));
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    fn colon(&mut self) -> Result<(), JsonError> {
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.fail("expected ':' after a key"));
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    /// Steps over what follows a member or element; returns whether it was the closing bracket.
    fn comma_or(&mut self, close: u8, problem: &'static str) -> Result<bool, JsonError> {
        self.skip_space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.skip_space();
                Ok(false)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(true)
            }
            _ => Err(self.fail(problem)),
        }
    }

    /// Steps over a string, quotes included; returns whether it contains escapes.
    #[inline]
    fn string(&mut self) -> Result<bool, JsonError> {
        let mut escaped = false;
        self.at += 1;
        loop {
            self.at = text::next_special(self.text, self.at);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.fail("a control character in a string")),
                None => return Err(self.fail("the text ends inside a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => {
                let digits = self.text.get(self.at + 2..self.at + 6);
                if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    return Err(self.fail("expected four hexadecimal digits after \\u"));
                }
                self.at += 6;
                Ok(())
            }
            _ => Err(self.fail("an unknown escape in a string")),
        }
    }

    fn number(&mut self) -> Result<(), JsonError> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.fail("expected a digit")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Ok(())
    }

    fn some_digits(&mut self) -> Result<(), JsonError> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(self.fail("expected a digit"));
        }
        self.digits();
        Ok(())
    }

    #[inline]
    fn digits(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &'static [u8]) -> Result<(), JsonError> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.fail("expected a value"));
        }
        self.at += word.len();
        Ok(())
    }

    fn end_of_text(&mut self) -> Result<(), JsonError> {
        self.skip_space();
        if self.at < self.text.len() {
            return Err(self.fail("text after the end of the value"));
        }
        Ok(())
    }

    #[inline]
    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[cold]
    fn fail(&self, problem: &'static str) -> JsonError {
        JsonError {
            at: self.at,
            problem,
        }
    }
}

const DUPLICATE: &str = "a key that occurred before";

/// Keys of an object so far, by hash: small records are checked without allocation.
struct Seen {
    hashes: [u32; Seen::ROOM],
    keys: [Span; Seen::ROOM],
    count: usize,
    /// Too many keys, or keys with escapes: all are compared as text at the end.
    uncertain: bool,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            hashes: [0; Seen::ROOM],
            keys: [Span::default(); Seen::ROOM],
            count: 0,
            uncertain: false,
        }
    }
}

impl Seen {
    const ROOM: usize = 48;

    #[inline]
    fn repeats(&mut self, text: &[u8], key: Span, escaped: bool) -> bool {
        if escaped || self.count == Self::ROOM {
            self.uncertain = true;
            return false;
        }
        let bytes = key.of(text);
        let hash = key_hash(bytes);
        for (index, known) in self.hashes[..self.count].iter().enumerate() {
            if *known == hash && self.keys[index].of(text) == bytes {
                return true;
            }
        }
        self.hashes[self.count] = hash;
        self.keys[self.count] = key;
        self.count += 1;
        false
    }
}

/// Compares all keys of a validated object as text.
#[cold]
fn check_all_keys(text: &[u8], start: usize) -> Result<(), JsonError> {
    let mut seen = HashSet::new();
    let mut duplicate = None;
    for_each_member(&text[start..], |key, _| {
        if !seen.insert(unescape(key)) && duplicate.is_none() {
            duplicate = Some(key.as_ptr() as usize - text.as_ptr() as usize - 1);
        }
    });
    match duplicate {
        None => Ok(()),
        Some(at) => Err(JsonError {
            at,
            problem: DUPLICATE,
        }),
    }
}

/// Mixes length, first and last bytes of a key: keys of log records differ there, and whoever finds
/// equal hashes compares the keys.
#[inline]
pub(crate) fn key_hash(key: &[u8]) -> u32 {
    let (head, tail) = if let (Some(head), Some(tail)) = (key.first_chunk(), key.last_chunk()) {
        (u64::from_le_bytes(*head), u64::from_le_bytes(*tail))
    } else {
        let mut short = 0;
        for byte in key {
            short = short << 8 | u64::from(*byte);
        }
        (short, 0)
    };
    let mixed = (head ^ tail.rotate_left(23))
        .wrapping_add(key.len() as u64)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 32) as u32
}

#[cfg(test)]
mod tests;
