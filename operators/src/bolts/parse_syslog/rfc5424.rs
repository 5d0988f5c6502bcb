//! Lines of RFC 5424: `<34>1 2003-10-11T22:14:15.003Z host app 123 ID47 [id name="value"] message`.

use super::Mode;
use super::line::{Line, Parser, message};
use super::time::rfc3339;
use crate::cursor::{Cursor, LineError};

/// Whether what follows a priority is the header of this format: a version, then a time or nil. A
/// message of the older format that starts with a number does not look like that.
pub(super) fn looks_like(rest: &[u8]) -> bool {
    let digits = digits(rest);
    if !(1..=3).contains(&digits) || rest[0] == b'0' {
        return false;
    }
    match &rest[digits..] {
        [b' ', b'-', b' ', ..] => true,
        [b' ', year @ ..] => {
            let year = year.first_chunk::<5>();
            year.is_some_and(|year| year[4] == b'-' && year[..4].iter().all(u8::is_ascii_digit))
        }
        _ => false,
    }
}

/// Reads the line behind its priority.
pub(super) fn read<'a>(mut cursor: Cursor<'a>, parser: &mut Parser) -> Result<Line<'a>, LineError> {
    let strict = parser.mode == Mode::Strict;
    let version = version(&mut cursor, strict)?;
    cursor.expect(b' ', "a space after the version")?;
    let time = match cursor.rest() {
        [b'-', b' ', ..] => {
            cursor.at += 1;
            None
        }
        _ => Some(rfc3339(&mut cursor, strict, &mut parser.zone)?),
    };
    let mut field = |expected, max| field(&mut cursor, strict, expected, max);
    let hostname = field("a host name, or -", 255)?;
    let app_name = field("an application name, or -", 48)?;
    let proc_id = field("a process id, or -", 128)?;
    let msg_id = field("a message id, or -", 32)?;
    let mut line = Line {
        version: Some(version),
        time,
        hostname,
        app_name,
        proc_id,
        msg_id,
        ..Line::default()
    };
    if cursor.is_at_end() && !strict {
        return Ok(line);
    }
    cursor.expect(b' ', "structured data in brackets, or -")?;
    let start = cursor;
    let read = structured_data(&mut cursor, parser, strict);
    match read {
        Ok(present) => line.has_structured_data = present,
        // Senders leave structured data out, or write a message in brackets in its place.
        Err(_) if !strict => cursor = start,
        Err(error) => return Err(error),
    }
    if !strict {
        // rsyslog writes it for lines that came to it in the older format.
        let _ = cursor.eat(b' ');
    }
    line.message = message(cursor.rest());
    Ok(line)
}

/// Reads structured data and the space behind it; `false` when it is nil.
fn structured_data(
    cursor: &mut Cursor<'_>,
    parser: &mut Parser,
    strict: bool,
) -> Result<bool, LineError> {
    let present = match cursor.peek() {
        Some(b'-') => {
            cursor.at += 1;
            false
        }
        Some(b'[') => {
            parser.structured_data.read(cursor, strict)?;
            true
        }
        _ => return Err(cursor.wrong("structured data in brackets, or -")),
    };
    if !cursor.is_at_end() {
        cursor.expect(b' ', "a space or the end after structured data")?;
    }
    Ok(present)
}

/// Reads a version; the only one that is defined is 1.
fn version(cursor: &mut Cursor<'_>, strict: bool) -> Result<u32, LineError> {
    const EXPECTED: &str = "a version from 1 to 999";
    let digits = digits(cursor.rest());
    match (strict, digits) {
        (true, _) => cursor.number::<1>(1..=1, "the version 1"),
        (false, 3) => cursor.number::<3>(1..=999, EXPECTED),
        (false, 2) => cursor.number::<2>(1..=99, EXPECTED),
        (false, _) => cursor.number::<1>(1..=9, EXPECTED),
    }
}

/// How many digits a text starts with.
fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Reads a space and a field of the header; `-` is nil. Strict wants visible ASCII and bounds the
/// length.
#[inline(always)]
fn field<'a>(
    cursor: &mut Cursor<'a>,
    strict: bool,
    expected: &'static str,
    length_max: usize,
) -> Result<Option<&'a [u8]>, LineError> {
    cursor.expect(b' ', expected)?;
    let start = *cursor;
    let text = cursor.token();
    if text.is_empty() {
        return Err(start.wrong(expected));
    }
    if strict {
        check_field(start, text, length_max)?;
    }
    let is_nil = matches!(text, [b'-']);
    Ok((!is_nil).then_some(text))
}

fn check_field(mut start: Cursor<'_>, text: &[u8], length_max: usize) -> Result<(), LineError> {
    // Looking at every byte costs less than stopping at the first.
    let visible = text
        .iter()
        .fold(true, |all, byte| all & byte.is_ascii_graphic());
    if visible && text.len() <= length_max {
        return Ok(());
    }
    let invisible = text.iter().position(|byte| !byte.is_ascii_graphic());
    start.at += invisible.unwrap_or(length_max);
    Err(start.wrong(match invisible {
        Some(_) => "visible ASCII in the header",
        None => "a shorter field: host names have at most 255 bytes, application names 48, process ids 128, message ids 32",
    }))
}
