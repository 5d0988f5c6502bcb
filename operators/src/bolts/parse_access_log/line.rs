//! A line of an access log: `client ident user [time] "request" status bytes`, and, quoted, referrer,
//! user agent and the addresses of `X-Forwarded-For`; before it perhaps `host:port` of the server.
//!
//! After <https://httpd.apache.org/docs/2.4/mod/mod_log_config.html> and
//! <https://nginx.org/en/docs/http/ngx_http_log_module.html>.

use memchr::{memchr, memchr2, memrchr};

use super::Format;
use super::time::{Clock, SPELLING, Time};
use crate::cursor::{Cursor, LineError};
use crate::escapes;

/// What a line says; absent is what it leaves out or says to be `-`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    /// The port as digits without leading zeros.
    pub(super) vhost: Option<NameAndPort<'a>>,
    pub(super) client: Option<&'a [u8]>,
    pub(super) ident: Option<&'a [u8]>,
    pub(super) user: Option<&'a [u8]>,
    pub(super) time: Time,
    pub(super) request: Option<Request<'a>>,
    /// Digits without leading zeros.
    pub(super) status: Option<&'a [u8]>,
    /// Digits without leading zeros.
    pub(super) bytes: Option<&'a [u8]>,
    pub(super) referrer: Option<Text<'a>>,
    pub(super) user_agent: Option<Text<'a>>,
    pub(super) forwarded_for: Option<Text<'a>>,
    /// What stands behind the format, without the space before it.
    pub(super) rest: Option<&'a [u8]>,
}

/// What a client asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Request<'a> {
    /// `GET /path HTTP/1.1`, or without the protocol, as before HTTP/1.0.
    Http {
        method: &'a [u8],
        path: Text<'a>,
        protocol: Option<&'a [u8]>,
    },
    /// Anything else.
    Other(Text<'a>),
}

/// What stood between quotes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a> {
    written: &'a [u8],
    escaped: bool,
}

/// Reads lines, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Parser {
    format: Format,
    /// Text may follow.
    has_rest: bool,
    clock: Clock,
}

impl Parser {
    pub(super) fn new(format: Format, has_rest: bool) -> Self {
        Self {
            format,
            has_rest,
            clock: Clock::default(),
        }
    }

    /// Reads a line that has no line end.
    #[inline]
    pub(super) fn line<'a>(&mut self, text: &'a [u8]) -> Result<Line<'a>, LineError> {
        let mut cursor = Cursor { text, at: 0 };
        let start = cursor;
        let first = word(&mut cursor, self.first_word())?;
        let has_port = || first.is_some_and(|word| memchr(b':', word).is_some());
        let (vhost, client) = match self.format {
            Format::VhostCombined => self.vhost(start, first, &mut cursor)?,
            Format::Auto if has_port() => self.vhost(start, first, &mut cursor)?,
            _ => (None, first),
        };
        cursor.expect(b' ', "a space after the client")?;
        let ident = word(&mut cursor, "the identity of the client, or -")?;
        cursor.expect(b' ', "a space after the identity")?;
        let user = user(&mut cursor)?;
        let time = self.clock.read(&mut cursor)?;
        cursor.expect(b']', "] after the time")?;
        cursor.expect(b' ', "a space after the time")?;
        let request = quoted(&mut cursor, "\" before the request")?;
        cursor.expect(b' ', "a space after the request")?;
        let status = status(&mut cursor)?;
        cursor.expect(b' ', "a space after the status")?;
        let bytes = bytes(&mut cursor)?;
        let mut line = Line {
            vhost,
            client,
            ident,
            user,
            time,
            request: request.map(Text::request),
            status,
            bytes,
            referrer: None,
            user_agent: None,
            forwarded_for: None,
            rest: None,
        };
        let auto = self.format == Format::Auto;
        let quotes_follow = |cursor: &Cursor<'_>| cursor.rest().starts_with(b" \"");
        if matches!(
            self.format,
            Format::Combined | Format::Nginx | Format::VhostCombined
        ) || (auto && quotes_follow(&cursor))
        {
            cursor.expect(b' ', "a space after the size of the reply")?;
            line.referrer = quoted(&mut cursor, "\" before the referrer")?;
            cursor.expect(b' ', "a space after the referrer")?;
            line.user_agent = quoted(&mut cursor, "\" before the user agent")?;
            if self.format == Format::Nginx || (auto && quotes_follow(&cursor)) {
                cursor.expect(b' ', "a space after the user agent")?;
                line.forwarded_for = quoted(&mut cursor, "\" before the forwarded addresses")?;
            }
        }
        if !cursor.is_at_end() {
            if !self.has_rest {
                return Err(cursor.wrong("the end of the line"));
            }
            cursor.expect(b' ', "a space before the rest of the line")?;
            line.rest = Some(cursor.rest()).filter(|rest| !rest.is_empty());
        }
        Ok(line)
    }

    fn first_word(&self) -> &'static str {
        match self.format {
            Format::VhostCombined => "name and port of the host, such as example.com:443",
            _ => "the address or name of the client",
        }
    }

    /// Takes the first word of a line for name and port of the host that the request was for, if it is that,
    /// and reads the client behind it.
    #[cold]
    fn vhost<'a>(
        &self,
        start: Cursor<'a>,
        first: Option<&'a [u8]>,
        cursor: &mut Cursor<'a>,
    ) -> Result<(Option<NameAndPort<'a>>, Option<&'a [u8]>), LineError> {
        let is_required = self.format == Format::VhostCombined;
        let vhost = first.and_then(name_and_port);
        if is_required && vhost.is_none() {
            return Err(start.wrong(self.first_word()));
        }
        if vhost.is_none() || !(is_required || words_before_time(cursor.rest()) > 2) {
            return Ok((None, first));
        }
        cursor.expect(b' ', "a space after the host")?;
        Ok((vhost, word(cursor, "the address or name of the client")?))
    }
}

/// The parts of `example.com:443`.
pub(super) type NameAndPort<'a> = (&'a [u8], &'a [u8]);

/// `example.com:443` or `[2001:db8::1]:443` in its parts; not an address of IPv6 alone.
fn name_and_port(word: &[u8]) -> Option<NameAndPort<'_>> {
    let colon = memrchr(b':', word)?;
    let (name, port) = (&word[..colon], &word[colon + 1..]);
    let is_port = (1..=5).contains(&port.len()) && port.iter().all(u8::is_ascii_digit);
    let is_name = !name.is_empty() && (name.ends_with(b"]") || !name.contains(&b':'));
    (is_port && is_name).then(|| (name, without_zeros(port)))
}

/// How many words there are before the bracket of the time.
fn words_before_time(rest: &[u8]) -> usize {
    let bracket = memchr(b'[', rest).unwrap_or(rest.len());
    let words = rest[..bracket].split(|byte| *byte == b' ');
    words.filter(|word| !word.is_empty()).count()
}

/// Reads up to the next space; `-` is nothing.
#[inline]
fn word<'a>(
    cursor: &mut Cursor<'a>,
    expected: &'static str,
) -> Result<Option<&'a [u8]>, LineError> {
    let start = *cursor;
    match cursor.token() {
        b"" => Err(start.wrong(expected)),
        b"-" => Ok(None),
        token => Ok(Some(token)),
    }
}

/// Reads up to the bracket before the time. Names of users may have spaces.
#[inline]
fn user<'a>(cursor: &mut Cursor<'a>) -> Result<Option<&'a [u8]>, LineError> {
    let rest = cursor.rest();
    let mut from = 0;
    while let Some(found) = memchr(b'[', &rest[from..]) {
        let bracket = from + found;
        let is_before_time = rest.get(bracket + 1).is_some_and(u8::is_ascii_digit);
        if is_before_time && bracket > 1 && rest[bracket - 1] == b' ' {
            let user = &rest[..bracket - 1];
            // That is nobody: there is a word too many before it.
            if user.starts_with(b"- ") {
                cursor.at += 2;
                return Err(cursor.wrong("[ before the time"));
            }
            cursor.at += bracket + 1;
            return Ok(Some(user).filter(|user| *user != b"-"));
        }
        from = bracket + 1;
    }
    Err(no_time(*cursor))
}

#[cold]
fn no_time(mut cursor: Cursor<'_>) -> LineError {
    if cursor.token().is_empty() {
        return cursor.wrong("the name of the user, or -");
    }
    let _ = cursor.eat(b' ');
    if cursor.eat(b'[') {
        return cursor.wrong(SPELLING);
    }
    cursor.wrong("[ before the time")
}

/// Reads a text between quotes; `-` and nothing at all are nothing. A quote that no space follows is
/// part of the text: not every server escapes them.
#[inline]
fn quoted<'a>(
    cursor: &mut Cursor<'a>,
    expected: &'static str,
) -> Result<Option<Text<'a>>, LineError> {
    cursor.expect(b'"', expected)?;
    let rest = cursor.rest();
    let (mut at, mut escaped) = (0, false);
    while let Some(found) = memchr2(b'"', b'\\', &rest[at..]) {
        at += found;
        if rest[at] == b'\\' {
            escaped = true;
            at = rest.len().min(at + 2);
        } else if matches!(rest.get(at + 1), None | Some(b' ')) {
            cursor.at += at + 1;
            let written = &rest[..at];
            let is_nothing = written.is_empty() || written == b"-";
            return Ok((!is_nothing).then_some(Text { written, escaped }));
        } else {
            at += 1;
        }
    }
    cursor.at = cursor.text.len();
    Err(cursor.wrong("\" after a quoted text"))
}

/// Reads three digits, or `-`.
#[inline]
fn status<'a>(cursor: &mut Cursor<'a>) -> Result<Option<&'a [u8]>, LineError> {
    if cursor.eat(b'-') {
        return Ok(None);
    }
    let digits = cursor.rest();
    let _ = cursor.number::<3>(0..=999, "a status of three digits, or -")?;
    Ok(Some(without_zeros(&digits[..3])))
}

/// Reads a number, or `-`.
#[inline]
fn bytes<'a>(cursor: &mut Cursor<'a>) -> Result<Option<&'a [u8]>, LineError> {
    /// Every number of so many digits fits 64 bits.
    const DIGITS_MAX: usize = 18;
    if cursor.eat(b'-') {
        return Ok(None);
    }
    let rest = cursor.rest();
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=DIGITS_MAX).contains(&length) {
        return Err(cursor.wrong("the size of the reply, a number of up to 18 digits, or -"));
    }
    cursor.at += length;
    Ok(Some(without_zeros(&rest[..length])))
}

/// Digits as JSON writes a number.
#[inline]
fn without_zeros(digits: &[u8]) -> &[u8] {
    let last = digits.len() - 1;
    let zeros = digits[..last].iter().take_while(|digit| **digit == b'0');
    &digits[zeros.count()..]
}

impl<'a> Text<'a> {
    #[inline]
    fn request(self) -> Request<'a> {
        self.http().unwrap_or(Request::Other(self))
    }

    #[inline]
    fn http(self) -> Option<Request<'a>> {
        let method = self.written.iter().take_while(|byte| is_token(**byte));
        let (method, rest) = self.written.split_at(method.count());
        let rest = rest.strip_prefix(b" ").filter(|_| !method.is_empty())?;
        // Paths may have spaces where clients do not escape them.
        let last_space = memrchr(b' ', rest);
        let protocol = last_space.map(|space| (&rest[..space], &rest[space + 1..]));
        let protocol = protocol.filter(|(_, protocol)| protocol.starts_with(b"HTTP/"));
        let (path, protocol) = match protocol {
            Some((path, protocol)) => (path, Some(protocol)),
            None if last_space.is_none() => (rest, None),
            None => return None,
        };
        (!path.is_empty()).then_some(Request::Http {
            method,
            path: Text {
                written: path,
                ..self
            },
            protocol,
        })
    }

    /// The text with its escapes resolved, in `plain` if there are any. Unknown ones stay as they are.
    #[inline]
    pub(super) fn resolved<'p>(self, plain: &'p mut Vec<u8>) -> &'p [u8]
    where
        'a: 'p,
    {
        if self.escaped {
            escapes::resolve(self.written, plain);
            plain
        } else {
            self.written
        }
    }
}

/// RFC 9110, section 5.6.2, but for the characters that no method has.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}
