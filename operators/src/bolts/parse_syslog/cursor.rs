//! A position in a line, moved on by what was recognised, and what is said when that fails.

use std::ops::RangeInclusive;

/// What is wrong with a line, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid syslog line at byte {at}: expected {expected}")]
pub(super) struct LineError {
    /// Byte offset into the line, from 0.
    pub(super) at: usize,
    /// What should have stood there.
    pub(super) expected: &'static str,
}

/// Reads a line from its start.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    /// The whole line.
    pub(super) text: &'a [u8],
    /// The next byte to be read.
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    /// Moves past `byte` if it is next.
    #[inline]
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    #[inline]
    pub(super) fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), LineError> {
        match self.eat(byte) {
            true => Ok(()),
            false => Err(self.wrong(expected)),
        }
    }

    /// Reads a number of exactly so many digits.
    #[inline]
    pub(super) fn number(
        &mut self,
        digits: usize,
        range: RangeInclusive<u32>,
        expected: &'static str,
    ) -> Result<u32, LineError> {
        let mut value = 0;
        for step in 0..digits {
            match self.text.get(self.at + step) {
                Some(digit @ b'0'..=b'9') => value = value * 10 + u32::from(digit - b'0'),
                _ => return Err(self.wrong(expected)),
            }
        }
        if !range.contains(&value) {
            return Err(self.wrong(expected));
        }
        self.at += digits;
        Ok(value)
    }

    /// Reads up to the next space or the end.
    #[inline]
    pub(super) fn token(&mut self) -> &'a [u8] {
        let rest = self.rest();
        let length = rest.iter().position(|byte| *byte == b' ');
        let token = &rest[..length.unwrap_or(rest.len())];
        self.at += token.len();
        token
    }

    #[cold]
    pub(super) fn wrong(&self, expected: &'static str) -> LineError {
        LineError {
            at: self.at,
            expected,
        }
    }
}
