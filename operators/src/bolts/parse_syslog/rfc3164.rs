//! Lines of RFC 3164, the BSD format: `<34>Oct 11 22:14:15 host app[123]: message`.

use super::Mode;
use super::line::{Line, Parser, message};
use super::time::{Stamp, bsd, rfc3339};
use crate::cursor::{Cursor, LineError};

/// Reads the line behind its priority.
pub(super) fn read<'a>(
    mut cursor: Cursor<'a>,
    parser: &mut Parser,
    reference: i64,
) -> Result<Line<'a>, LineError> {
    let strict = parser.mode == Mode::Strict;
    let mut line = Line::default();
    match time(&mut cursor, parser, strict, reference) {
        Ok(time) => line.time = Some(time),
        // Section 4.3.2: without a time, all of it is content.
        Err(_) if !strict => {
            line.message = message(cursor.rest());
            return Ok(line);
        }
        Err(error) => return Err(error),
    }
    if strict {
        line.hostname = Some(hostname(&mut cursor)?);
    } else if cursor.eat(b' ') {
        // Lines that were not sent over a network have no host name, but a tag.
        let mut ahead = cursor;
        let token = ahead.token();
        if !token.is_empty() && tag(token).is_none() {
            line.hostname = Some(token);
            cursor = ahead;
            let _ = cursor.eat(b' ');
        }
    }
    let mut ahead = cursor;
    if let Some(tag) = tag(ahead.token()) {
        line.app_name = Some(tag.name);
        line.proc_id = tag.proc_id;
        cursor.at += tag.length;
        let _ = cursor.eat(b' ');
    }
    line.message = message(cursor.rest());
    Ok(line)
}

/// Lenient also takes the times of RFC 3339 that rsyslog writes here by default.
fn time<'a>(
    cursor: &mut Cursor<'a>,
    parser: &mut Parser,
    strict: bool,
    reference: i64,
) -> Result<Stamp<'a>, LineError> {
    let mut ahead = *cursor;
    if !strict {
        while ahead.eat(b' ') {}
    }
    let time = match ahead.peek() {
        Some(b'0'..=b'9') if !strict => rfc3339(&mut ahead, strict, &mut parser.zone)?,
        _ => bsd(&mut ahead, strict, reference, &mut parser.zone)?,
    };
    *cursor = ahead;
    Ok(time)
}

/// Reads a space, a host name or an address, and the space behind it.
fn hostname<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], LineError> {
    const EXPECTED: &str = "a space and a host name or address";
    cursor.expect(b' ', EXPECTED)?;
    let start = *cursor;
    let name = cursor.token();
    let is_name =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
    if name.is_empty() || !name.iter().all(is_name) || tag(name).is_some() {
        return Err(start.wrong(EXPECTED));
    }
    if !cursor.is_at_end() {
        cursor.expect(b' ', "a space after the host name")?;
    }
    Ok(name)
}

struct Tag<'a> {
    name: &'a [u8],
    proc_id: Option<&'a [u8]>,
    /// How much of the word it takes.
    length: usize,
}

/// Takes a word apart that tells the sender: `app:`, `app[123]:` or `app[123]`. Any other word is
/// part of the message.
fn tag(word: &[u8]) -> Option<Tag<'_>> {
    let open = word.iter().position(|byte| *byte == b'[');
    if let Some(open) = open.filter(|open| *open > 0) {
        let close = open + word[open..].iter().position(|byte| *byte == b']')?;
        let has_colon = match &word[close + 1..] {
            [] => false,
            [b':', ..] => true,
            _ => return None,
        };
        let proc_id = &word[open + 1..close];
        return Some(Tag {
            name: &word[..open],
            proc_id: Some(proc_id).filter(|id| !id.is_empty()),
            length: close + 1 + usize::from(has_colon),
        });
    }
    let name = word.strip_suffix(b":")?;
    (!name.is_empty()).then_some(Tag {
        name,
        proc_id: None,
        length: word.len(),
    })
}
