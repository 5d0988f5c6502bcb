//! The grammar of RFC 8259 over bytes that are known to be UTF-8. Each function takes the position
//! where its part starts and returns the position behind it, so that the position stays in a
//! register; nesting is a loop over a bit stack, so that depth costs no stack of the thread.

use super::keys::{DUPLICATE, Seen, key_hash};
use super::text::next_special;
use super::{DEPTH_MAX, JsonError, Member, Span};

const KEY_EXPECTED: &str = "expected a key in quotes";
const COLON_EXPECTED: &str = "expected ':' after a key";
const MEMBER_END_EXPECTED: &str = "expected ',' or '}' after a member";
const ELEMENT_END_EXPECTED: &str = "expected ',' or ']' after an element";
const TOO_DEEP: &str = "nested deeper than 128 levels";

/// Validates the object whose brace is at `start` and reports its members.
#[inline]
pub(super) fn top_level_object(
    text: &[u8],
    start: usize,
    mut visit: impl FnMut(Member),
) -> Result<usize, JsonError> {
    let mut at = space(text, start + 1);
    if text.get(at) == Some(&b'}') {
        return Ok(at + 1);
    }
    let mut seen = Seen::new();
    loop {
        let key_start = at;
        let (key_end, escaped_key) = key(text, at)?;
        let key = Span {
            start: key_start as u32 + 1,
            end: key_end as u32 - 1,
        };
        let key_hash = key_hash(key.of(text));
        if seen.repeats(text, key, key_hash, escaped_key) {
            return fail(key_start, DUPLICATE);
        }
        let value_start = colon(text, key_end)?;
        // Most members are strings: they are read in place, without the loop for nesting.
        at = match text.get(value_start) {
            Some(b'"') => string(text, value_start)?.0,
            _ => value(text, value_start, 1)?,
        };
        visit(Member {
            key_start: key_start as u32,
            key,
            key_hash,
            value: Span {
                start: value_start as u32,
                end: at as u32,
            },
            escaped_key,
        });
        at = space(text, at);
        match text.get(at) {
            Some(b',') => at = space(text, at + 1),
            Some(b'}') => break,
            _ => return fail(at, MEMBER_END_EXPECTED),
        }
    }
    seen.finish(text, start)?;
    Ok(at + 1)
}

/// Validates the value at `at`, which `outer` containers enclose.
pub(super) fn value(text: &[u8], mut at: usize, outer: usize) -> Result<usize, JsonError> {
    // One bit per container entered here, innermost lowest: whether it is an object.
    const { assert!(DEPTH_MAX <= u128::BITS as usize) };
    let mut objects = 0u128;
    let mut depth = outer;
    loop {
        match text.get(at) {
            Some(b'"') => at = string(text, at)?.0,
            Some(b'-' | b'0'..=b'9') => at = number(text, at)?,
            Some(open @ (b'{' | b'[')) => {
                if depth >= DEPTH_MAX {
                    return fail(at, TOO_DEEP);
                }
                let is_object = *open == b'{';
                at = space(text, at + 1);
                if text.get(at) == Some(&(open + 2)) {
                    // In ASCII the closing bracket is two behind the opening one, for both kinds.
                    at += 1;
                } else {
                    depth += 1;
                    objects = objects << 1 | u128::from(is_object);
                    if is_object {
                        at = colon(text, key(text, at)?.0)?;
                    }
                    continue;
                }
            }
            Some(b't') => at = word(text, at, b"true")?,
            Some(b'f') => at = word(text, at, b"false")?,
            Some(b'n') => at = word(text, at, b"null")?,
            Some(_) => return fail(at, "expected a value"),
            None => return fail(at, "the text ends where a value was expected"),
        }
        // Behind a value: close containers until one goes on.
        loop {
            if depth == outer {
                return Ok(at);
            }
            let in_object = objects & 1 == 1;
            at = space(text, at);
            match text.get(at) {
                Some(b',') => {
                    at = space(text, at + 1);
                    if in_object {
                        at = colon(text, key(text, at)?.0)?;
                    }
                    break;
                }
                Some(b'}') if in_object => {}
                Some(b']') if !in_object => {}
                _ if in_object => return fail(at, MEMBER_END_EXPECTED),
                _ => return fail(at, ELEMENT_END_EXPECTED),
            }
            at += 1;
            depth -= 1;
            objects >>= 1;
        }
    }
}

/// The position of the first byte at or after `at` that is not white space.
#[inline(always)]
pub(super) fn space(text: &[u8], mut at: usize) -> usize {
    // One comparison where there is none, which is the rule between machines.
    while let Some(byte) = text.get(at)
        && *byte <= b' '
    {
        if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            break;
        }
        at += 1;
    }
    at
}

#[inline(always)]
fn key(text: &[u8], at: usize) -> Result<(usize, bool), JsonError> {
    if text.get(at) != Some(&b'"') {
        return fail(at, KEY_EXPECTED);
    }
    string(text, at)
}

#[inline(always)]
fn colon(text: &[u8], at: usize) -> Result<usize, JsonError> {
    let at = space(text, at);
    if text.get(at) != Some(&b':') {
        return fail(at, COLON_EXPECTED);
    }
    Ok(space(text, at + 1))
}

/// Steps over the string whose quote is at `at`; returns also whether it contains escapes.
#[inline(always)]
fn string(text: &[u8], at: usize) -> Result<(usize, bool), JsonError> {
    let at = next_special(text, at + 1);
    if text.get(at) == Some(&b'"') {
        return Ok((at + 1, false));
    }
    Ok((rest_of_string(text, at)?, true))
}

/// Steps over a string from its first escape, or says what else is wrong there.
#[inline(never)]
fn rest_of_string(text: &[u8], mut at: usize) -> Result<usize, JsonError> {
    loop {
        match text.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at = escape(text, at)?,
            Some(_) => return fail(at, "a control character in a string"),
            None => return fail(at, "the text ends inside a string"),
        }
        at = next_special(text, at);
    }
}

fn escape(text: &[u8], at: usize) -> Result<usize, JsonError> {
    match text.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => {
            let digits = text.get(at + 2..at + 6);
            if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                return fail(at, "expected four hexadecimal digits after \\u");
            }
            Ok(at + 6)
        }
        _ => fail(at, "an unknown escape in a string"),
    }
}

#[inline]
fn number(text: &[u8], mut at: usize) -> Result<usize, JsonError> {
    if text.get(at) == Some(&b'-') {
        at += 1;
    }
    at = match text.get(at) {
        Some(b'0') => at + 1,
        _ => digits(text, at)?,
    };
    if text.get(at) == Some(&b'.') {
        at = digits(text, at + 1)?;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        at += 1;
        if matches!(text.get(at), Some(b'+' | b'-')) {
            at += 1;
        }
        at = digits(text, at)?;
    }
    Ok(at)
}

/// Steps over one digit or more.
#[inline(always)]
fn digits(text: &[u8], start: usize) -> Result<usize, JsonError> {
    let mut at = start;
    while text.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    if at == start {
        return fail(at, "expected a digit");
    }
    Ok(at)
}

#[inline]
fn word(text: &[u8], at: usize, word: &[u8]) -> Result<usize, JsonError> {
    if !text[at..].starts_with(word) {
        return fail(at, "expected a value");
    }
    Ok(at + word.len())
}

#[cold]
fn fail<T>(at: usize, problem: &'static str) -> Result<T, JsonError> {
    Err(JsonError { at, problem })
}
