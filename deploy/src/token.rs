//! The secret that whoever changes something in a running topology must know.

use std::fmt;
use std::path::Path;

use anyhow::Context as _;

use crate::exit::Failure;

/// A token. Not shown by `Debug`.
pub struct Token(String);

/// Random bytes of a token: too many to guess.
const RANDOM_BYTES: usize = 16;
/// Characters of a token that somebody chose, at least: fewer are guessed.
const CHARACTERS_MIN: usize = 16;

impl Token {
    /// What can be one.
    pub const FORM: &str = "a token has 16 or more letters, digits and signs, and no spaces";

    /// A new one that nobody knows. Fails when the system has no random numbers.
    pub fn random() -> anyhow::Result<Self> {
        let mut bytes = [0; RANDOM_BYTES];
        openssl::rand::rand_bytes(&mut bytes).context("the system has no random numbers")?;
        let text = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self(text))
    }

    /// The text of the file of `--token-file`, without white space around it. Fails when the file cannot be
    /// read, and for a text that is short or does not fit into a header.
    pub fn read(file: &Path) -> Result<Self, Failure> {
        let name = file.display();
        let text = std::fs::read_to_string(file).map_err(|error| {
            Failure::usage(format!("--token-file {name}: cannot be read: {error}"))
        })?;
        Self::of(text.trim()).ok_or_else(|| {
            let what = format!(
                "--token-file {name}: {}; openssl rand -hex 16 makes one",
                Self::FORM
            );
            Failure::usage(what)
        })
    }

    /// A token of this text; `None` for a text that is short or does not fit into a header.
    pub fn of(text: &str) -> Option<Self> {
        let fits = text.len() >= CHARACTERS_MIN && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(text.to_owned()))
    }

    /// The text, for who may know it.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether the text is this token; takes as long for any text of its length.
    pub fn is(&self, given: &str) -> bool {
        given.len() == self.0.len() && openssl::memcmp::eq(given.as_bytes(), self.0.as_bytes())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(<hidden>)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_text_and_not_shown() {
        let (one, other) = (Token::random(), Token::random());
        let (one, other) = (one.expect("random"), other.expect("random"));
        assert!(one.is(one.text()) && !one.is(other.text()) && !one.is(""));
        assert!(!format!("{one:?}").contains(one.text()));
        assert!(Token::FORM.contains(&CHARACTERS_MIN.to_string()));
    }

    #[test]
    fn a_file_with_a_token_is_read_and_what_is_none_refused() {
        let path = std::env::temp_dir().join(format!("isobar-token-{}", std::process::id()));
        let check = |text: &str| {
            std::fs::write(&path, text).expect("written");
            Token::read(&path).ok().map(|token| token.text().to_owned())
        };
        let sound = "0123456789abcdef";
        assert_eq!(check(&format!("{sound}\n")).as_deref(), Some(sound));
        assert_eq!(check("too short"), None);
        assert_eq!(check("0123456789 abcdef"), None);
        std::fs::remove_file(&path).expect("it is there");
        let missing = Token::read(&path).expect_err("it is gone");
        let text = missing.error.to_string();
        assert!(
            text.starts_with("--token-file ") && text.contains("cannot be read"),
            "{text}"
        );
    }
}
