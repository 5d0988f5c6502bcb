//! `${VAR}`, `${VAR:-default}` and `${file:/path}` in the scalars of a topology file.
//!
//! Works on the text of one scalar after YAML was parsed, so a value cannot add structure. Does not
//! read the environment itself.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use isobar_topology::spec::{VALUE_FILE_MAX, without_line_break};

/// Where values come from: the environment and files, or what stands for them in a test.
#[derive(Clone, Copy)]
pub struct Outside<'a> {
    /// Looks a variable up; `None` when it is not set.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Reads the text of a file, up to 64 KiB.
    pub file: &'a dyn Fn(&Path) -> io::Result<String>,
}

/// A scalar with its values put in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Substituted<'t> {
    /// The text.
    pub(crate) text: Cow<'t, str>,
    /// What came from variables and files. It may be secret.
    pub(crate) pieces: Vec<String>,
    /// The file that the whole text is of.
    pub(crate) file: Option<&'t Path>,
}

/// Why a value could not be put in. Names the variable or file, never a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) message: String,
    pub(crate) expected: String,
}

/// Puts values into a scalar. `$${` stands for `${`; a `$` before anything else for itself. A variable
/// that is set but empty counts as unset where there is a default, as in a shell.
///
/// Returns all that is wrong with the scalar when something is.
pub(crate) fn substitute<'t>(
    text: &'t str,
    outside: &Outside<'_>,
) -> Result<Substituted<'t>, Vec<Wrong>> {
    let mut pieces = Vec::new();
    if !text.contains("${") {
        return Ok(Substituted {
            text: text.into(),
            pieces,
            file: None,
        });
    }
    let mut wrong = Vec::new();
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar..];
        if let Some(after) = rest.strip_prefix("$${") {
            out.push_str("${");
            rest = after;
        } else if let Some(after) = rest.strip_prefix("${") {
            let Some(end) = after.find('}') else {
                wrong.push(not_a_substitution());
                break;
            };
            match value(&after[..end], outside) {
                Ok(Piece::Default(text)) => out.push_str(text),
                Ok(Piece::Outside(piece)) => {
                    out.push_str(&piece);
                    pieces.push(piece);
                }
                Err(problem) => wrong.push(problem),
            }
            rest = &after[end + 1..];
        } else {
            out.push('$');
            rest = &rest[1..];
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    out.push_str(rest);
    Ok(Substituted {
        text: out.into(),
        pieces,
        file: whole_file(text),
    })
}

/// The file of a scalar that is nothing but one.
fn whole_file(text: &str) -> Option<&Path> {
    let path = text.strip_prefix("${file:")?.strip_suffix('}')?;
    (!path.contains('}')).then(|| Path::new(path))
}

enum Piece<'t> {
    /// Stands in the file itself.
    Default(&'t str),
    Outside(String),
}

fn value<'t>(inside: &'t str, outside: &Outside<'_>) -> Result<Piece<'t>, Wrong> {
    if let Some(path) = inside.strip_prefix("file:") {
        return file(path, outside).map(Piece::Outside);
    }
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    if !is_variable(name) || default.is_some_and(|default| default.contains("${")) {
        return Err(not_a_substitution());
    }
    match ((outside.variable)(name), default) {
        (Some(value), Some(default)) if value.is_empty() => Ok(Piece::Default(default)),
        (Some(value), _) => Ok(Piece::Outside(value)),
        (None, Some(default)) => Ok(Piece::Default(default)),
        (None, None) => Err(Wrong {
            message: format!("the variable {name} is not set"),
            expected: format!(
                "{name} in the environment or in --env-file, or a default: ${{{name}:-...}}"
            ),
        }),
    }
}

fn file(path: &str, outside: &Outside<'_>) -> Result<String, Wrong> {
    let wrong = |message| Wrong {
        message,
        expected: format!(
            "the absolute path of a readable text file of at most {} KiB",
            VALUE_FILE_MAX / 1024
        ),
    };
    if !Path::new(path).is_absolute() {
        return Err(wrong(format!("{path:?} is not an absolute path")));
    }
    let text = (outside.file)(Path::new(path))
        .map_err(|error| wrong(format!("cannot read {path}: {error}")))?;
    Ok(without_line_break(text))
}

/// Says what is right, and not what was found: a password may hold `${` by chance.
fn not_a_substitution() -> Wrong {
    Wrong {
        message: "`${` starts a substitution, and this is none".to_owned(),
        expected: "${NAME}, ${NAME:-default} or ${file:/path}; write $${ for the characters ${"
            .to_owned(),
    }
}

pub(crate) fn is_variable(name: &str) -> bool {
    name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outside<T>(then: impl FnOnce(&Outside<'_>) -> T) -> T {
        then(&Outside {
            variable: &|name| match name {
                "HOST" => Some("web-1".to_owned()),
                "NESTED" => Some("${HOST} }".to_owned()),
                "EMPTY" => Some(String::new()),
                _ => None,
            },
            file: &|path| match path.to_str() {
                Some("/pw") => Ok("hunter2\n".to_owned()),
                Some("/windows") => Ok("hunter2\r\n".to_owned()),
                _ => Err(io::ErrorKind::NotFound.into()),
            },
        })
    }

    fn check(text: &str, expected: Result<&str, &[&str]>) {
        let found = outside(|outside| substitute(text, outside));
        let found = found.map(|found| found.text.into_owned());
        let found = found.map_err(|wrong| {
            let texts = wrong.into_iter();
            texts
                .map(|w| format!("{}; expected {}", w.message, w.expected))
                .collect::<Vec<_>>()
        });
        let expected = expected.map(str::to_owned);
        let expected = expected.map_err(|e| e.iter().map(|e| (*e).to_owned()).collect::<Vec<_>>());
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn values_are_put_in_once() {
        check("plain $HOST $", Ok("plain $HOST $"));
        check("${HOST}", Ok("web-1"));
        check("a-${HOST}:${PORT:-9092}/x", Ok("a-web-1:9092/x"));
        check("${EMPTY}|${EMPTY:-d}|${UNSET:-}", Ok("|d|"));
        check("${NESTED}", Ok("${HOST} }"));
        check("${file:/pw}${file:/windows}", Ok("hunter2hunter2"));
        check("$${HOST} $$${HOST} $$", Ok("${HOST} $${HOST} $$"));
        check("{{ doc.a }} ${HOST}é", Ok("{{ doc.a }} web-1é"));
    }

    #[test]
    fn everything_that_is_wrong_with_a_scalar_is_named() {
        const FORM: &str = "`${` starts a substitution, and this is none; expected ${NAME}, ${NAME:-default} or ${file:/path}; write $${ for the characters ${";
        const FILE: &str = "expected the absolute path of a readable text file of at most 64 KiB";
        check(
            "${A_1} ${B}",
            Err(&[
                "the variable A_1 is not set; expected A_1 in the environment or in --env-file, or a default: ${A_1:-...}",
                "the variable B is not set; expected B in the environment or in --env-file, or a default: ${B:-...}",
            ]),
        );
        for text in [
            "${",
            "${}",
            "${1A}",
            "${A B}",
            "${A:-${HOST}}",
            "${A-b}",
            "${é}",
        ] {
            check(text, Err(&[FORM]));
        }
        check(
            "${file:/nowhere}",
            Err(&[&format!("cannot read /nowhere: entity not found; {FILE}")]),
        );
        check(
            "${file:pw}",
            Err(&[&format!("\"pw\" is not an absolute path; {FILE}")]),
        );
    }

    #[test]
    fn a_text_that_is_all_of_a_file_is_known_as_that() {
        let file = |text| {
            outside(|o| {
                let file = substitute(text, o).expect("sound").file;
                file.map(|file| file.to_str().expect("text").to_owned())
            })
        };
        assert_eq!(file("${file:/pw}").as_deref(), Some("/pw"));
        for text in ["id:${file:/pw}", "${file:/pw}${file:/pw}", "${HOST}", "/pw"] {
            assert_eq!(file(text), None, "{text}");
        }
    }

    #[test]
    fn defaults_are_not_from_outside() {
        let pieces = |text| outside(|o| substitute(text, o).expect("sound").pieces);
        assert_eq!(pieces("${HOST}${UNSET:-d}$${X}"), ["web-1"]);
        assert!(pieces("${UNSET:-d}").is_empty());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[$}{:fileHOST/é-]{0,40}") {
            let _ = outside(|outside| substitute(&text, outside).is_ok());
        }

        #[test]
        fn text_without_a_substitution_stays(text in any::<String>()) {
            let escaped = text.replace("${", "$${");
            prop_assume!(!text.contains("$${"));
            let found = outside(|o| substitute(&escaped, o).map(|s| s.text.into_owned()));
            prop_assert_eq!(found, Ok(text));
        }
    }
}
