//! Text with `{{ expression }}` inside: names of indices and topics, ids, values of fields.
//!
//! `{{` in text itself is written `{{ '{{' }}`. What a record lacks makes the text missing, so that a
//! record is never written to `logs-` or `logs-null` by accident; `default(...)` is the way out.

use std::fmt;
use std::ops::Range;

use isobar_topology::spec::{Path, Problem};
use isobar_topology::{Prepare, Record, json};

use crate::expression::{Expression, Undefined, text_place};

/// A compiled template.
#[derive(Debug)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    Placeholder {
        expression: Expression,
        /// As it is written, braces included.
        written: String,
    },
}

/// Why a template has no text for a record: which placeholder, and what it lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    placeholder: String,
    why: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.placeholder, self.why)
    }
}

impl Template {
    /// Compiles a template; problems are at `path` and name the character.
    pub(crate) fn compile(
        text: &str,
        path: &Path,
        prepare: &mut Prepare<'_>,
    ) -> Result<Self, Problem> {
        let mut pieces = Vec::new();
        let mut at = 0;
        while let Some(opening) = text[at..].find("{{") {
            let opening = at + opening;
            if opening > at {
                pieces.push(Piece::Text(text[at..opening].to_owned()));
            }
            let inside = opening + 2;
            let Some(length) = closing(&text[inside..]) else {
                let place = text_place(text, opening, "the text");
                let message = format!("{place}: `{{{{` has no closing `}}}}`");
                return Err(Problem::new(path.clone(), message)
                    .expected("{{ EXPRESSION }}, or {{ '{{' }} for the braces themselves"));
            };
            let range = trimmed(text, inside..inside + length);
            at = inside + length + 2;
            pieces.push(Piece::Placeholder {
                expression: Expression::compile_within(text, range, path, prepare)?,
                written: text[opening..at].to_owned(),
            });
        }
        if at < text.len() {
            pieces.push(Piece::Text(text[at..].to_owned()));
        }
        Ok(Self { pieces })
    }

    /// The text, if there is no placeholder in it.
    pub(crate) fn constant(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// What it writes as records have it, such as `doc.host`: records with the same text have it in
    /// common.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Placeholder { expression, .. } => expression.name(),
        })
    }

    /// How long the text stays the same where nothing but the time of the event decides about it: in ms
    /// of that time, from each multiple since 1970 on.
    pub(crate) fn period(&self) -> Option<i64> {
        let placeholders = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Placeholder { expression, .. } => Some(expression.period()),
        });
        // One that is not known makes the whole unknown.
        placeholders.min().flatten()
    }

    /// The text around the placeholders, in order; what every result begins with comes first, and is
    /// empty where that is a placeholder.
    pub(crate) fn fixed(&self) -> impl Iterator<Item = &str> {
        let starts_open = matches!(self.pieces.first(), Some(Piece::Placeholder { .. }));
        let texts = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text.as_str()),
            Piece::Placeholder { .. } => None,
        });
        starts_open.then_some("").into_iter().chain(texts)
    }

    /// Appends the text for a record. Nothing is appended when a placeholder is missing, null or
    /// undefined. Objects and lists are appended as JSON.
    pub(crate) fn render(&self, record: Record<'_>, out: &mut Vec<u8>) -> Result<(), Missing> {
        let start = out.len();
        for piece in &self.pieces {
            let (expression, written) = match piece {
                Piece::Text(text) => {
                    out.extend_from_slice(text.as_bytes());
                    continue;
                }
                Piece::Placeholder {
                    expression,
                    written,
                } => (expression, written),
            };
            if let Err(undefined) = expression.write_text(record, out) {
                out.truncate(start);
                return Err(missing(expression, written, undefined));
            }
        }
        Ok(())
    }

    /// Appends a JSON value: the value itself, of its type, when the template is nothing but one
    /// placeholder; else the text as a string. Nothing is appended when it fails.
    pub(crate) fn render_json(&self, record: Record<'_>, out: &mut Vec<u8>) -> Result<(), Missing> {
        if let [
            Piece::Placeholder {
                expression,
                written,
            },
        ] = self.pieces.as_slice()
        {
            return match &expression.evaluate(record) {
                Ok(value) => {
                    value.write_json(out);
                    Ok(())
                }
                Err(undefined) => Err(missing(expression, written, *undefined)),
            };
        }
        let start = out.len();
        out.push(b'"');
        if let Err(missing) = self.render(record, out) {
            out.truncate(start);
            return Err(missing);
        }
        let text = &out[start + 1..];
        if text.iter().any(|b| *b < b' ' || matches!(b, b'"' | b'\\')) {
            let text = text.to_vec();
            out.truncate(start);
            json::write_bytes_lossy(out, &text);
        } else {
            out.push(b'"');
        }
        Ok(())
    }
}

#[cold]
fn missing(expression: &Expression, written: &str, undefined: Undefined) -> Missing {
    Missing {
        placeholder: written.to_owned(),
        why: expression.explain(undefined),
    }
}

/// Where the `}}` of a placeholder is, quoted texts skipped.
fn closing(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'}' if bytes[at..].starts_with(b"}}") => return Some(at),
            quote @ (b'\'' | b'"') => {
                let is_raw = at > 0 && matches!(bytes[at - 1], b'r' | b'R');
                at += 1;
                while at < bytes.len() && bytes[at] != quote {
                    at += if bytes[at] == b'\\' && !is_raw { 2 } else { 1 };
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let inside = &text[range.clone()];
    let start = range.start + (inside.len() - inside.trim_start().len());
    start..start + inside.trim().len()
}

#[cfg(test)]
mod tests {
    use isobar_topology::Symbols;
    use isobar_topology::testing::{Harness, Input, with_prepare};
    use proptest::prelude::*;

    use super::*;

    fn path() -> Path {
        Path::root().key("index")
    }

    /// Text and JSON value for a record.
    fn render(template: &str, input: &Input) -> [String; 2] {
        let mut symbols = Symbols::new();
        let template = with_prepare(&mut symbols, |prepare| {
            Template::compile(template, &path(), prepare)
        })
        .expect("a good template");
        let batch = Harness::new(symbols).batch(std::slice::from_ref(input));
        let result = |rendered: Result<(), Missing>, out: Vec<u8>| match rendered {
            Ok(()) => String::from_utf8(out).expect("UTF-8"),
            Err(missing) => {
                assert!(out.is_empty(), "nothing is left behind");
                format!("! {missing}")
            }
        };
        let (mut text, mut json) = (Vec::new(), Vec::new());
        let rendered = template.render(batch.record(0), &mut text);
        let rendered_json = template.render_json(batch.record(0), &mut json);
        [result(rendered, text), result(rendered_json, json)]
    }

    fn check(template: &str, text: &str, json: &str) {
        let document = r#"{"status":503,"host":"web","quoted":"a\"b","none":null,"list":[1, "x"],"line":"a\nb"}"#;
        let rendered = render(template, &Input::document(document));
        assert_eq!(rendered, [text, json], "{template}");
    }

    #[test]
    fn placeholders_are_filled_in() {
        check("", "", r#""""#);
        check("plain }} text", "plain }} text", r#""plain }} text""#);
        check("logs-{{ doc.host }}", "logs-web", r#""logs-web""#);
        check("{{doc.status}}", "503", "503");
        check(" {{ doc.status }}", " 503", r#"" 503""#);
        check("{{ doc.status }}{{ doc.host }}", "503web", r#""503web""#);
        check("{{ doc.list }}", r#"[1, "x"]"#, r#"[1, "x"]"#);
        check("<{{ doc.list }}>", r#"<[1, "x"]>"#, r#""<[1, \"x\"]>""#);
        check("{{ doc.quoted }}", "a\"b", r#""a\"b""#);
        check("é {{ doc.line }}", "é a\nb", r#""é a\nb""#);
        check("{{ '{{' }}x{{ \"}}\" }}", "{{x}}", r#""{{x}}""#);
        check(r"{{ r'\' }}", r"\", r#""\\""#);
        check(r"{{ '\'}}' }}", "'}}", r#""'}}""#);
        check("{{ doc.status > 500 }}", "true", "true");
        check(
            "logs-{{ event_time.format('%Y.%m.%d') }}",
            "logs-2023.11.14",
            r#""logs-2023.11.14""#,
        );
        check("{{ event_time.format('%H') }}", "22", r#""22""#);
    }

    #[test]
    fn what_is_missing_is_named() {
        check(
            "{{ doc.host }}-{{ doc.zone }}",
            "! {{ doc.zone }}: doc.zone is missing",
            "! {{ doc.zone }}: doc.zone is missing",
        );
        check(
            "{{ doc.none }}",
            "! {{ doc.none }}: the value is null",
            "null",
        );
        check("{{ default(doc.none, 'x') }}", "x", r#""x""#);
        check(
            "{{ doc.host.substring(9) }}",
            "! {{ doc.host.substring(9) }}: a position is outside of the text",
            "! {{ doc.host.substring(9) }}: a position is outside of the text",
        );
        let far = Input {
            timestamp: i64::MAX,
            ..Input::raw("")
        };
        let expected = "! {{ event_time.format('%Y') }}: text is no time, or a time is outside of the years 0 to 9999";
        assert_eq!(
            render("{{ event_time.format('%Y') }}", &far),
            [expected, expected]
        );
    }

    #[test]
    fn bad_templates_are_problems_with_their_place() {
        for (template, expected) in [
            (
                "é{{ doc.host }",
                "index: at character 2 of the text: `{{` has no closing `}}`; expected {{ EXPRESSION }}, or {{ '{{' }} for the braces themselves",
            ),
            (
                "logs-{{ 'x }}",
                "index: at character 6 of the text: `{{` has no closing `}}`; expected {{ EXPRESSION }}, or {{ '{{' }} for the braces themselves",
            ),
            (
                "{{ doc.host }}-{{  doc.host && }}",
                "index: at character 31 of the text: the expression ends too early; expected a value, such as doc.status, 500 or 'text'",
            ),
            (
                "é{{ doc.host }}-{{ host }}",
                "index: at character 20 of the text: unknown name `host`; expected doc.NAME, kafka.NAME or event_time",
            ),
            (
                "a{{ }}",
                "index: at character 5 of the text: the expression is empty; expected an expression such as doc.status >= 500",
            ),
            (
                "a{{}}",
                "index: at character 4 of the text: the expression is empty; expected an expression such as doc.status >= 500",
            ),
        ] {
            let problem = with_prepare(&mut Symbols::new(), |prepare| {
                Template::compile(template, &path(), prepare)
            });
            let problem = problem.err().map(|problem| problem.to_string());
            assert_eq!(problem.as_deref(), Some(expected));
        }
    }

    #[test]
    fn templates_without_placeholder_are_constant() {
        let constant = |text| {
            with_prepare(&mut Symbols::new(), |prepare| {
                let template = Template::compile(text, &path(), prepare);
                template.expect("good").constant().map(str::to_owned)
            })
        };
        assert_eq!(constant("").as_deref(), Some(""));
        assert_eq!(constant("logs}}").as_deref(), Some("logs}}"));
        assert_eq!(constant("{{ 'logs' }}"), None);
    }

    proptest! {
        /// Text around placeholders is kept byte by byte, whatever it is.
        #[test]
        fn text_around_placeholders_is_kept(
            pieces in prop::collection::vec("[^{]{0,8}|\\{[^{]{1,3}", 1..5),
        ) {
            let template = pieces.join("{{ doc.host }}");
            let expected = pieces.join("web");
            let [text, json] = render(&template, &Input::document(r#"{"host":"web"}"#));
            prop_assert_eq!(&text, &expected, "{}", template);
            let back: String = serde_json::from_str(&json).expect("a string");
            prop_assert_eq!(back, expected);
        }

        #[test]
        fn any_text_is_a_template_or_a_problem(
            pieces in prop::collection::vec(
                prop::sample::select(&["{{", "}}", "{", "}", "'", "\"", "\\", "r", "doc.a", "é", " ", "x"][..]),
                0..12,
            ),
        ) {
            let text = pieces.concat();
            let _ = with_prepare(&mut Symbols::new(), |prepare| {
                Template::compile(&text, &path(), prepare).is_ok()
            });
        }
    }
}
