//! A line of syslog, whichever its format, and its priority.

use super::rfc3164;
use super::rfc5424;
use super::structured_data::StructuredData;
use super::time::Stamp;
use super::{Format, Mode};
use crate::cursor::{Cursor, LineError, two_digits};
use crate::event_time::zone::Zone;

/// What a line says; absent is what it leaves out or says to be nil.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Facility times 8 plus severity, from 0 to 191.
    pub(super) priority: Option<u8>,
    /// Of RFC 5424 only.
    pub(super) version: Option<u32>,
    pub(super) time: Option<Stamp<'a>>,
    pub(super) hostname: Option<&'a [u8]>,
    pub(super) app_name: Option<&'a [u8]>,
    pub(super) proc_id: Option<&'a [u8]>,
    pub(super) msg_id: Option<&'a [u8]>,
    /// The parser's structured data belongs to this line.
    pub(super) has_structured_data: bool,
    pub(super) message: Option<&'a [u8]>,
}

/// Reads lines, one after the other.
#[derive(Debug)]
pub(super) struct Parser {
    pub(super) format: Format,
    pub(super) mode: Mode,
    pub(super) zone: Zone,
    pub(super) structured_data: StructuredData,
}

impl Parser {
    /// Reads a line that has no line end. `reference`, in ms since 1970, is a time near the one of
    /// the line: it tells the year where the line does not.
    pub(super) fn line<'a>(
        &mut self,
        text: &'a [u8],
        reference: i64,
    ) -> Result<Line<'a>, LineError> {
        let strict = self.mode == Mode::Strict;
        if text.is_empty() {
            return Err(Cursor { text, at: 0 }.wrong("a line; this one is empty"));
        }
        if strict && let Err(error) = std::str::from_utf8(text) {
            let at = error.valid_up_to();
            return Err(Cursor { text, at }.wrong("UTF-8"));
        }
        let mut cursor = Cursor { text, at: 0 };
        let priority = match priority(&mut cursor, strict) {
            Ok(priority) => Some(priority),
            // RFC 3164, section 4.3.3: without a priority, all of it is content.
            Err(_) if !strict && self.format != Format::Rfc5424 => None,
            Err(error) => return Err(error),
        };
        let is_5424 = match self.format {
            Format::Rfc5424 => true,
            Format::Rfc3164 => false,
            Format::Auto => priority.is_some() && rfc5424::looks_like(cursor.rest()),
        };
        let line = match is_5424 {
            true => rfc5424::read(cursor, self),
            false => rfc3164::read(cursor, self, reference),
        };
        line.map(|line| Line { priority, ..line })
    }
}

/// Reads `<34>`; moves on only when all of it is there. Lenient takes leading zeros.
#[inline]
fn priority(cursor: &mut Cursor<'_>, strict: bool) -> Result<u8, LineError> {
    let (hundreds, tens, ones, length) = match cursor.rest() {
        [b'<', ones, b'>', ..] => (b'0', b'0', *ones, 3),
        [b'<', tens, ones, b'>', ..] => (b'0', *tens, *ones, 4),
        [b'<', hundreds, tens, ones, b'>', ..] => (*hundreds, *tens, *ones, 5),
        _ => return Err(wrong_priority(*cursor)),
    };
    let priority = two_digits(b'0', hundreds) * 100 + two_digits(tens, ones);
    let has_leading_zero = length > 3 && cursor.text[cursor.at + 1] == b'0';
    if priority > 191 || (strict && has_leading_zero) {
        return Err(wrong_priority(*cursor));
    }
    cursor.at += length;
    Ok(priority as u8)
}

#[cold]
fn wrong_priority(mut cursor: Cursor<'_>) -> LineError {
    const EXPECTED: &str = "a priority from <0> to <191>";
    if !cursor.eat(b'<') {
        return cursor.wrong(EXPECTED);
    }
    let digits = cursor.rest().iter().take(3);
    let digits = digits.take_while(|byte| byte.is_ascii_digit()).count();
    let is_closed = cursor.text.get(cursor.at + digits) == Some(&b'>');
    if digits == 0 || is_closed {
        return cursor.wrong(EXPECTED);
    }
    cursor.at += digits;
    cursor.wrong("> after the priority")
}

/// The text of a message without the byte order mark that RFC 5424, section 6.4, puts before UTF-8.
pub(super) fn message(rest: &[u8]) -> Option<&[u8]> {
    let text = rest.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(rest);
    Some(text).filter(|text| !text.is_empty())
}

/// Names of facilities by their number, as syslog.conf spells them.
pub(super) const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];

/// Names of severities by their number, as syslog.conf spells them.
pub(super) const SEVERITIES: [&str; 8] = [
    "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
];
