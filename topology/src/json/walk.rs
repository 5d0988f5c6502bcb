//! Finding one's way in text that was validated before: nested values stay raw until a path asks.
//!
//! On text that was not validated the results are meaningless, but nothing panics.

use super::text::next_special;
use super::unescape;

/// The raw value of a member of a raw object, by its key as text.
pub fn member<'a>(object: &'a [u8], key: &str) -> Option<&'a [u8]> {
    let mut found = None;
    walk_members(object, |raw, value| {
        let same = is_key(raw, key);
        if same {
            found = Some(value);
        }
        !same
    });
    found
}

/// Whether a raw key, as it stands between its quotes, is this text.
fn is_key(raw: &[u8], key: &str) -> bool {
    match raw.contains(&b'\\') {
        true => unescape(raw) == key,
        false => raw == key.as_bytes(),
    }
}

/// The raw value at an index of a raw array.
pub fn element(array: &[u8], index: usize) -> Option<&[u8]> {
    let mut found = None;
    let mut at = 0;
    walk_elements(array, |value| {
        if at == index {
            found = Some(value);
        }
        at += 1;
        found.is_none()
    });
    found
}

/// Calls `visit` with the raw key (between its quotes) and raw value of each member of a raw object.
pub fn for_each_member<'a>(object: &'a [u8], mut visit: impl FnMut(&'a [u8], &'a [u8])) {
    walk_members(object, |key, value| {
        visit(key, value);
        true
    });
}

/// Calls `visit` with the raw value of each element of a raw array.
pub fn for_each_element<'a>(array: &'a [u8], mut visit: impl FnMut(&'a [u8])) {
    walk_elements(array, |value| {
        visit(value);
        true
    });
}

/// The position behind the value that starts at `at`.
pub fn skip_value(text: &[u8], at: usize) -> usize {
    match text.get(at) {
        Some(b'"') => skip_string(text, at),
        Some(b'{' | b'[') => {
            let mut depth = 0usize;
            let mut at = at;
            loop {
                match text.get(at) {
                    None => return text.len(),
                    Some(b'"') => {
                        at = skip_string(text, at);
                        continue;
                    }
                    Some(b'{' | b'[') => depth += 1,
                    Some(b'}' | b']') => {
                        depth -= 1;
                        if depth == 0 {
                            return at + 1;
                        }
                    }
                    Some(_) => {}
                }
                at += 1;
            }
        }
        _ => {
            let rest = text.get(at..).unwrap_or_default();
            let length = rest
                .iter()
                .position(|byte| matches!(byte, b',' | b'}' | b']') || byte.is_ascii_whitespace());
            at + length.unwrap_or(rest.len())
        }
    }
}

fn walk_members<'a>(object: &'a [u8], mut visit: impl FnMut(&'a [u8], &'a [u8]) -> bool) {
    if object.first() != Some(&b'{') {
        return;
    }
    let mut at = skip_space(object, 1);
    while object.get(at) == Some(&b'"') {
        let key_end = skip_string(object, at);
        let key = object
            .get(at + 1..key_end.saturating_sub(1))
            .unwrap_or_default();
        at = skip_space(object, skip_space(object, key_end) + 1);
        let value_end = skip_value(object, at);
        let Some(value) = object.get(at..value_end) else {
            return;
        };
        if !visit(key, value) {
            return;
        }
        at = skip_space(object, value_end);
        if object.get(at) != Some(&b',') {
            return;
        }
        at = skip_space(object, at + 1);
    }
}

fn walk_elements<'a>(array: &'a [u8], mut visit: impl FnMut(&'a [u8]) -> bool) {
    if array.first() != Some(&b'[') {
        return;
    }
    let mut at = skip_space(array, 1);
    while at < array.len() && array[at] != b']' {
        let end = skip_value(array, at);
        if end == at || !visit(&array[at..end]) {
            return;
        }
        at = skip_space(array, end);
        if array.get(at) != Some(&b',') {
            return;
        }
        at = skip_space(array, at + 1);
    }
}

pub(super) fn skip_string(text: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    loop {
        at = next_special(text, at);
        match text.get(at) {
            None => return text.len(),
            Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

pub(super) fn skip_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}
