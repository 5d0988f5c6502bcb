//! Files of variables, as `--env-file` takes them: one `KEY=VALUE` per line.

use std::collections::BTreeMap;

use isobar_topology::spec::{Path, Place, Problem, Problems};

use crate::substitute::is_variable;

/// Reads variables: `KEY=VALUE` lines, optionally after `export`; empty lines and those that start
/// with `#` are skipped. A value without quotes ends before ` #` and loses the blanks around it; one in
/// single quotes is taken as it is; in double quotes `\n`, `\r`, `\t`, `\"`, `\\` and `\$` stand for what
/// they do in a shell. Nothing is substituted inside of values.
///
/// Fails with every line that is wrong; values are never repeated.
pub fn parse(text: &str) -> Result<BTreeMap<String, String>, Problems> {
    let mut variables = BTreeMap::new();
    let mut problems = Problems::default();
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let place = |rest: &str| Place {
            line: u32::try_from(number + 1).unwrap_or(u32::MAX),
            column: u32::try_from(line.chars().count() - rest.chars().count() + 1)
                .unwrap_or(u32::MAX),
        };
        let start = line.trim_start();
        if start.is_empty() || start.starts_with('#') {
            continue;
        }
        let pair = match start.strip_prefix("export") {
            Some(pair) if pair.starts_with([' ', '\t']) => pair.trim_start(),
            _ => start,
        };
        let mut problem = |message: &str, expected: &str, rest: &str| {
            problems.push(
                Problem::new(Path::root(), message)
                    .expected(expected)
                    .at(place(rest)),
            );
        };
        let Some((name, value)) = pair.split_once('=') else {
            problem("not a variable", "KEY=VALUE, or # before a comment", pair);
            continue;
        };
        let name = name.trim_end();
        if !is_variable(name) {
            let expected = "a name of letters, digits and _ that does not start with a digit";
            problem("not the name of a variable", expected, pair);
            continue;
        }
        let value = value.trim_start();
        match unquoted(value) {
            None => problem(
                "the value's quotes are not right",
                "a closing quote at the end of the line; a backslash only before n, r, t, \", \\ or $",
                value,
            ),
            Some(_) if variables.contains_key(name) => {
                problem(&format!("{name} is set twice"), "each variable once", pair);
            }
            Some(value) => {
                let _ = variables.insert(name.to_owned(), value);
            }
        }
    }
    problems.or(variables)
}

fn unquoted(value: &str) -> Option<String> {
    if let Some(rest) = value.strip_prefix('\'') {
        let (inside, after) = rest.split_once('\'')?;
        return is_end(after).then(|| inside.to_owned());
    }
    if let Some(rest) = value.strip_prefix('"') {
        let mut text = String::new();
        let mut chars = rest.chars();
        loop {
            text.push(match chars.next()? {
                '"' => return is_end(chars.as_str()).then_some(text),
                '\\' => match chars.next()? {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    c @ ('"' | '\\' | '$') => c,
                    _ => return None,
                },
                c => c,
            });
        }
    }
    if value.starts_with('#') {
        return Some(String::new());
    }
    let comment = [" #", "\t#"]
        .iter()
        .filter_map(|mark| value.find(mark))
        .min();
    Some(
        value[..comment.unwrap_or(value.len())]
            .trim_end()
            .to_owned(),
    )
}

fn is_end(after: &str) -> bool {
    let rest = after.trim_start();
    rest.is_empty() || (rest.starts_with('#') && rest.len() < after.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let found = parse(text).expect("sound");
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn values_are_read_with_and_without_quotes() {
        check("\n# comment\n  \n", &[]);
        check("\u{feff}A=1\r\nB = b c \n", &[("A", "1"), ("B", "b c")]);
        check(
            "export A=x # y\nexported=x#y",
            &[("A", "x"), ("exported", "x#y")],
        );
        check("A=\nB=''\nC= # nothing", &[("A", ""), ("B", ""), ("C", "")]);
        check("A='a \"#b\" \\n' # c", &[("A", "a \"#b\" \\n")]);
        check(
            r#"A="a\n\t\"\\\$ 'b' # c" "#,
            &[("A", "a\n\t\"\\$ 'b' # c")],
        );
        check("URL=http://x?a=b", &[("URL", "http://x?a=b")]);
    }

    #[test]
    fn every_wrong_line_is_named_and_no_value_is_shown() {
        let text =
            "A=1\n hunter2\n1B=hunter2\n A='hunter2\nC=\"hunter2\\x\"\nD='hunter2'x\nA=hunter2\n";
        let problems = parse(text).expect_err("wrong").sorted();
        let shown: Vec<String> = problems
            .iter()
            .map(|problem| {
                let place = problem.place.expect("each line has one");
                format!("{}:{}: {}", place.line, place.column, problem.message)
            })
            .collect();
        assert_eq!(
            shown,
            [
                "2:2: not a variable",
                "3:1: not the name of a variable",
                "4:4: the value's quotes are not right",
                "5:3: the value's quotes are not right",
                "6:3: the value's quotes are not right",
                "7:1: A is set twice",
            ]
        );
        assert!(
            problems
                .iter()
                .all(|problem| !problem.to_string().contains("hunter2"))
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[A='\"\\\\#\n \texportné]{0,60}") {
            let _ = parse(&text).is_ok();
        }
    }
}
