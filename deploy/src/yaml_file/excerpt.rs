//! The line of a file that a problem is about, fit to be shown: short, without control characters,
//! without secrets.

use crate::secrets::{WORDS, without_credentials};

/// A line and the caret below it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    pub(super) line: String,
    /// `None` where the column is behind what is shown of the line.
    pub(super) caret: Option<String>,
}

/// Most characters of a line that are shown.
const WIDTH: usize = 100;
/// Characters that are shown before the column when a line is cut.
const BEFORE: usize = 60;
/// Makes the excerpt; `None` when nothing of the line can be shown. `column` counts characters from 1.
pub(super) fn excerpt(line: &str, column: u32) -> Option<Excerpt> {
    let line = line.trim_start_matches('\u{feff}').trim_end();
    let shown = without_credentials(line);
    // Behind a user and password in a URL, columns are others than in the file.
    let same = line.chars().zip(shown.chars());
    let same = same.take_while(|(one, other)| one == other).count();
    let mut has_caret = shown == line || column as usize <= same + 1;
    let mut characters: Vec<char> = shown.chars().collect();
    let mut column = (column as usize).saturating_sub(1).min(characters.len());
    if let Some(end) = secret_start(&characters) {
        let between = characters.get(end..column).unwrap_or_default();
        has_caret &= between.iter().all(|c| c.is_whitespace());
        characters.truncate(end);
        characters.extend(" <hidden>".chars());
        // Of the secret itself, the caret stands below what is shown for it.
        column = column.min(end + 1);
    }
    if characters.iter().all(|c| c.is_whitespace()) {
        return None;
    }
    let start = if characters.len() > WIDTH {
        column.saturating_sub(BEFORE)
    } else {
        0
    };
    let end = characters.len().min(start + WIDTH);
    let shown = characters[start..end].iter();
    let clean = |c: &char| match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => *c,
    };
    Some(Excerpt {
        line: shown.map(clean).collect(),
        caret: has_caret.then(|| format!("{}^", " ".repeat(column - start))),
    })
}

/// Whether the line has the key of a secret, so that its excerpt hides the value.
pub(super) fn names_secret(line: &str) -> bool {
    secret_start(&line.chars().collect::<Vec<_>>()).is_some()
}

/// Where the value of the first secret starts: behind the colon of its key.
fn secret_start(line: &[char]) -> Option<usize> {
    // One character for one, so that positions stay.
    let lower: Vec<char> = line.iter().map(char::to_ascii_lowercase).collect();
    let found = (0..lower.len()).find(|at| {
        WORDS.iter().any(|word| {
            let mut rest = lower[*at..].iter();
            word.chars().all(|c| rest.next() == Some(&c))
        })
    })?;
    let colon = lower[found..].iter().position(|c| *c == ':')?;
    let end = found + colon + 1;
    (end < line.len()).then_some(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// No caret is an empty one.
    fn check(line: &str, column: u32, expected: Option<(&str, &str)>) {
        let shown = excerpt(line, column);
        let caret = |shown: &Excerpt| shown.caret.clone().unwrap_or_default();
        let shown = shown.map(|shown| (shown.line.clone(), caret(&shown)));
        let expected = expected.map(|(line, caret)| (line.to_owned(), caret.to_owned()));
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_caret_stands_below_the_column() {
        check("  é: x", 6, Some(("  é: x", "     ^")));
        check("a:\t\u{1b}[1m", 1, Some(("a: \u{fffd}[1m", "^")));
        check("ab  ", 99, Some(("ab", "  ^")));
        check("   ", 1, None);
    }

    #[test]
    fn secrets_in_the_file_are_not_shown() {
        check("password: hunter2", 1, Some(("password: <hidden>", "^")));
        check(
            "sasl: {key_Password: hunter2, mechanism: x}",
            22,
            Some(("sasl: {key_Password: <hidden>", "                     ^")),
        );
        // What stands behind the secret cannot be pointed at.
        check(
            "sasl: {key_Password: hunter2, mechanism: x}",
            31,
            Some(("sasl: {key_Password: <hidden>", "")),
        );
        check("tokens", 1, Some(("tokens", "^")));
        let hosts = "hosts: [\"https://u:hunter2@es:9200\", x]";
        let hidden = "hosts: [\"https://<hidden>@es:9200\", x]";
        check(hosts, 9, Some((hidden, "        ^")));
        check(hosts, 37, Some((hidden, "")));
    }

    #[test]
    fn long_lines_are_cut_around_the_column() {
        let line = format!("{}x{}", "a".repeat(500), "b".repeat(500));
        let shown = excerpt(&line, 501).expect("there is text");
        assert_eq!(shown.line.chars().nth(BEFORE), Some('x'));
        let caret = shown.caret.expect("the column is shown");
        assert_eq!((shown.line.len(), caret.len()), (WIDTH, BEFORE + 1));
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in any::<String>(), column: u32) {
            if let Some(shown) = excerpt(&line, column) {
                prop_assert!(shown.line.chars().count() <= WIDTH);
                prop_assert!(!shown.line.chars().any(char::is_control));
            }
        }
    }
}
