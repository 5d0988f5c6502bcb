//! Strings of JSON: finding their end, and turning them into text and back.

use std::borrow::Cow;

/// The position of the first quote, backslash or control character at or after `at`, or the end of
/// the text.
#[inline]
pub(super) fn next_special(text: &[u8], mut at: usize) -> usize {
    // Most strings are short: these end here.
    if let Some(hit) = special_in_word(text, &mut at) {
        return hit;
    }
    // Long ones are passed over by sixteen bytes, which is one register of any x86-64.
    while let Some(chunk) = text.get(at..).and_then(|rest| rest.first_chunk::<16>()) {
        let is_special = |byte: &u8| (*byte < 0x20) | (*byte == b'"') | (*byte == b'\\');
        if chunk.iter().fold(false, |any, byte| any | is_special(byte)) {
            break;
        }
        at += 16;
    }
    while at + 8 <= text.len() {
        if let Some(hit) = special_in_word(text, &mut at) {
            return hit;
        }
    }
    while let Some(byte) = text.get(at) {
        if *byte < 0x20 || *byte == b'"' || *byte == b'\\' {
            break;
        }
        at += 1;
    }
    at
}

/// The position of the first such byte of the next eight; without one, `at` moves behind them.
#[inline(always)]
fn special_in_word(text: &[u8], at: &mut usize) -> Option<usize> {
    let word = text.get(*at..)?.first_chunk::<8>()?;
    let word = u64::from_le_bytes(*word);
    // None of the three is above 0x7F, so one mask of the bytes that are serves all.
    let hits = specials(word) & !word & HIGH;
    if hits != 0 {
        return Some(*at + (hits.trailing_zeros() / 8) as usize);
    }
    *at += 8;
    None
}

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Has the high bit of a byte set where that byte is a quote, a backslash or a control character. Bytes
/// above a hit, and those above 0x7F, may be wrong; the lowest hit is exact.
#[inline(always)]
fn specials(word: u64) -> u64 {
    let quote = (word ^ (LOW * 0x22)).wrapping_sub(LOW);
    let backslash = (word ^ (LOW * 0x5C)).wrapping_sub(LOW);
    let control = word.wrapping_sub(LOW * 0x20);
    quote | backslash | control
}

/// Whether a text is ASCII that needs no escapes.
#[inline]
fn is_plain(text: &[u8]) -> bool {
    let mut hits = 0;
    for word in text.as_chunks::<8>().0 {
        let word = u64::from_le_bytes(*word);
        hits |= specials(word) | word;
    }
    let last = last_word(text);
    (hits | specials(last) | last) & HIGH == 0
}

/// The last eight bytes, or a word with all that there are, some of them twice, and plain ones: that costs
/// less than to copy them.
#[inline]
fn last_word(text: &[u8]) -> u64 {
    if let Some(word) = text.last_chunk::<8>() {
        return u64::from_le_bytes(*word);
    }
    if let (Some(head), Some(tail)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        let [head, tail] = [*head, *tail].map(u32::from_le_bytes).map(u64::from);
        return head | tail << 32;
    }
    let mut word = [b' '; 8];
    if let (Some(first), Some(last)) = (text.first(), text.last()) {
        (word[0], word[1], word[2]) = (*first, text[text.len() / 2], *last);
    }
    u64::from_le_bytes(word)
}

/// The text of a validated raw string value, quotes included; `None` for other types.
pub fn string(value: &[u8]) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    Some(unescape(inner))
}

/// The text between the quotes of a validated string, escapes resolved. Lone surrogates become
/// U+FFFD. Borrows when there is nothing to resolve.
pub fn unescape(raw: &[u8]) -> Cow<'_, str> {
    if !raw.contains(&b'\\') {
        return String::from_utf8_lossy(raw);
    }
    let out = resolve(raw, |_| char::REPLACEMENT_CHARACTER.into());
    String::from_utf8(out)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
        .into()
}

/// As `unescape`, for comparing: different lone surrogates stay different, as bytes that occur in
/// no text (what UTF-8 would be for them).
pub(super) fn unescape_exactly(raw: &[u8]) -> Cow<'_, [u8]> {
    if !raw.contains(&b'\\') {
        return raw.into();
    }
    resolve(raw, Unit::Surrogate).into()
}

/// What one `\u` escape, or a pair of them, stands for.
enum Unit {
    Character(char),
    /// Half of a surrogate pair, 0xD800 to 0xDFFF.
    Surrogate(u16),
}

impl From<char> for Unit {
    fn from(character: char) -> Self {
        Unit::Character(character)
    }
}

fn resolve(raw: &[u8], lone: impl Fn(u16) -> Unit) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while let Some(offset) = raw[at..].iter().position(|byte| *byte == b'\\') {
        out.extend_from_slice(&raw[at..at + offset]);
        at += offset + 1;
        let byte = match raw.get(at) {
            Some(b'b') => 0x08,
            Some(b'f') => 0x0C,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                let (unit, length) = unicode_escape(&raw[at - 1..]);
                let unit = match unit {
                    Unit::Surrogate(half) => lone(half),
                    character => character,
                };
                push_unit(&mut out, unit);
                at += length - 1;
                continue;
            }
            Some(other) => *other,
            None => break,
        };
        out.push(byte);
        at += 1;
    }
    out.extend_from_slice(&raw[at.min(raw.len())..]);
    out
}

fn push_unit(out: &mut Vec<u8>, unit: Unit) {
    match unit {
        Unit::Character(character) => {
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        Unit::Surrogate(half) => {
            let low = |bits: u16| 0x80 | (bits & 0x3F) as u8;
            out.extend_from_slice(&[0xED, low(half >> 6), low(half)]);
        }
    }
}

/// What the escape `\uXXXX` or surrogate pair that `raw` starts with stands for, and its length.
fn unicode_escape(raw: &[u8]) -> (Unit, usize) {
    let unit = |at: usize| {
        let digits = raw
            .get(at + 2..at + 6)
            .filter(|_| raw[at..].starts_with(b"\\u"))?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let Some(first) = unit(0) else {
        return (char::REPLACEMENT_CHARACTER.into(), raw.len().min(2));
    };
    let pair = [first, unit(6).unwrap_or(0)];
    match char::decode_utf16(pair).next() {
        Some(Ok(character)) => (character.into(), 6 * character.len_utf16()),
        _ => (Unit::Surrogate(first), 6),
    }
}

/// Appends `text` as a JSON string, quotes included.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    write_escaped(out, text.as_bytes());
    out.push(b'"');
}

/// Appends bytes as a JSON string, quotes included; what is not UTF-8 becomes U+FFFD.
pub fn write_bytes_lossy(out: &mut Vec<u8>, text: &[u8]) {
    // Nearly all are: then one look is enough.
    if is_plain(text) {
        out.reserve(text.len() + 2);
        out.push(b'"');
        out.extend_from_slice(text);
        out.push(b'"');
        return;
    }
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        write_escaped(out, chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{FFFD}".as_bytes());
        }
    }
    out.push(b'"');
}

fn write_escaped(out: &mut Vec<u8>, text: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut at = 0;
    loop {
        let special = next_special(text, at);
        out.extend_from_slice(&text[at..special]);
        let Some(byte) = text.get(special) else {
            return;
        };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(control >> 4)]);
                out.push(HEX[usize::from(control & 15)]);
            }
        }
        at = special + 1;
    }
}
