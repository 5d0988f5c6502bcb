//! JSON as bytes: validates a document and notes where its top-level members are, without maps and
//! without allocation.
//!
//! Follows RFC 8259, stricter in two points: the text of a record must be an object, and a key must
//! not repeat at its top level (Elasticsearch refuses both). Numbers stay text of any size, and lone
//! surrogates in escapes are let through.

mod edit;
mod keys;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod oracle;
mod scan;
mod text;
mod walk;
mod ways;

pub use edit::{Edit, Place, edit_places};
pub(crate) use keys::key_hash;
pub use text::{string, unescape, write_bytes_lossy, write_string};
pub use walk::{element, for_each_element, for_each_member, member, skip_value};
pub use ways::Ways;

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
    /// Of the key as written: what names are looked up by.
    pub(crate) key_hash: u32,
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
    let start = scan::space(text, 0);
    if text.get(start) != Some(&b'{') {
        return Err(not_an_object(text, start));
    }
    let end = scan::top_level_object(text, start, visit)?;
    end_of_text(text, start, end)
}

/// Validates `text` as one JSON value of any type, white space around it allowed, and returns where
/// it is.
pub fn validate(text: &[u8]) -> Result<Span, JsonError> {
    check_encoding(text)?;
    let start = scan::space(text, 0);
    let end = scan::value(text, start, 0)?;
    end_of_text(text, start, end)
}

#[inline]
fn check_encoding(text: &[u8]) -> Result<(), JsonError> {
    // Positions are 32 bits wide.
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

#[inline]
fn end_of_text(text: &[u8], start: usize, end: usize) -> Result<Span, JsonError> {
    let at = scan::space(text, end);
    if at < text.len() {
        return Err(JsonError {
            at,
            problem: "text after the end of the value",
        });
    }
    Ok(Span {
        start: start as u32,
        end: end as u32,
    })
}

#[cold]
fn not_an_object(text: &[u8], at: usize) -> JsonError {
    let problem = match text.get(at) {
        None => "the text is empty",
        Some(b'[') => "expected an object, found an array",
        Some(b'"') => "expected an object, found a string",
        Some(b'-' | b'0'..=b'9') => "expected an object, found a number",
        Some(0xEF) if text[at..].starts_with(b"\xEF\xBB\xBF") => {
            "expected an object, found a byte order mark"
        }
        Some(_) => "expected an object",
    };
    JsonError { at, problem }
}

#[cfg(test)]
mod against_serde;
#[cfg(test)]
mod tests;
