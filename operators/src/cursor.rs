//! A position in a line, moved on by what was recognised, and what is said when that fails. Parsers
//! by hand read with it.

use std::ops::RangeInclusive;

use isobar_topology::Rejection;

/// What is wrong with a line, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}: expected {expected}")]
pub(crate) struct LineError {
    /// Byte offset into the line, from 0.
    pub(crate) at: usize,
    /// What should have stood there.
    pub(crate) expected: &'static str,
}

impl LineError {
    /// Rejects the record of a line of this kind, such as `syslog line`.
    #[cold]
    pub(crate) fn rejection(self, class: &'static str, kind: &str) -> Rejection {
        Rejection::new(class, format!("invalid {kind} {self}"))
    }
}

/// A text without the line end that senders leave who end lines in a stream.
#[inline]
pub(crate) fn without_line_end(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.strip_suffix(b"\r").unwrap_or(text)
}

/// Reads a line from its start.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    /// The whole line.
    pub(crate) text: &'a [u8],
    /// The next byte to be read.
    pub(crate) at: usize,
}

impl<'a> Cursor<'a> {
    #[inline(always)]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    /// Moves past `byte` if it is next.
    #[inline(always)]
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    #[inline(always)]
    pub(crate) fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), LineError> {
        match self.eat(byte) {
            true => Ok(()),
            false => Err(self.wrong(expected)),
        }
    }

    /// Reads a number of exactly so many digits.
    #[inline(always)]
    pub(crate) fn number<const DIGITS: usize>(
        &mut self,
        range: RangeInclusive<u32>,
        expected: &'static str,
    ) -> Result<u32, LineError> {
        let digits = self.rest().first_chunk::<DIGITS>();
        let number = digits.and_then(|digits| {
            digits.iter().try_fold(0, |number, byte| {
                let digit = byte.wrapping_sub(b'0');
                (digit <= 9).then(|| number * 10 + u32::from(digit))
            })
        });
        match number {
            Some(number) if range.contains(&number) => {
                self.at += DIGITS;
                Ok(number)
            }
            _ => Err(self.wrong(expected)),
        }
    }

    /// Reads up to the next space or the end.
    #[inline(always)]
    pub(crate) fn token(&mut self) -> &'a [u8] {
        let rest = self.rest();
        let token = &rest[..until_space(rest)];
        self.at += token.len();
        token
    }

    #[cold]
    pub(crate) fn wrong(&self, expected: &'static str) -> LineError {
        LineError {
            at: self.at,
            expected,
        }
    }
}

/// The number of two digits; at least 1000 when one of them is none.
#[inline(always)]
pub(crate) fn two_digits(tens: u8, ones: u8) -> u32 {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    if tens > 9 || ones > 9 {
        return 1000;
    }
    u32::from(tens) * 10 + u32::from(ones)
}

/// How many bytes there are before the first space, or at all. Eight bytes at a time.
#[inline(always)]
fn until_space(text: &[u8]) -> usize {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let mut at = 0;
    while let Some(chunk) = text[at..].first_chunk::<8>() {
        // Zero where a byte is a space. The lowest high bit that is left tells the first of them.
        let word = u64::from_le_bytes(*chunk) ^ (LOW * 0x20);
        let hits = word.wrapping_sub(LOW) & !word & HIGH;
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = text[at..].iter().position(|byte| *byte == b' ');
    at + rest.unwrap_or(text.len() - at)
}
