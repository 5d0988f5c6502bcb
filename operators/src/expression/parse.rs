//! From the text of an expression to the syntax tree of the `cel` crate, within bounds, and from its
//! errors to sentences.

use cel::common::ast::{EntryExpr, Expr, IdedExpr, SourceInfo};
use isobar_topology::spec::{Path, Problem};

/// Longest expression, in bytes. Longer ones are data, for a `lookup`.
const LENGTH_MAX: usize = 4096;
/// Deepest nesting of brackets and of `? :`.
const NESTING_MAX: u16 = 24;
/// Deepest tree: a chain such as `a + b + c` is as deep as it is long. Evaluation recurses this deep.
const DEPTH_MAX: usize = 100;
/// The parser takes up to 200 kB of stack for each bracket in debug builds, and 2 kB for each link of
/// a chain, whatever stack the caller has left.
const STACK: usize = 32 << 20;

/// A parsed expression, and where it and its parts are.
pub(super) struct Parsed<'t> {
    pub(super) expr: IdedExpr,
    offsets: SourceInfo,
    pub(super) place: TextPlace<'t>,
}

/// Where an expression stands in the text of an option.
#[derive(Clone, Copy)]
pub(super) struct TextPlace<'t> {
    /// All of the option.
    pub(super) text: &'t str,
    /// The first byte of the expression.
    pub(super) start: usize,
    /// The byte after its last.
    pub(super) end: usize,
    pub(super) path: &'t Path,
}

impl<'t> TextPlace<'t> {
    /// The place of an option that is one expression.
    pub(super) fn whole(text: &'t str, path: &'t Path) -> Self {
        Self {
            text,
            start: 0,
            end: text.len(),
            path,
        }
    }

    /// A problem at a byte of the expression.
    pub(super) fn problem(&self, at: usize, message: &str) -> Problem {
        let of = match self.start == 0 && self.end == self.text.len() {
            true => "the expression",
            false => "the text",
        };
        let place = text_place(self.text, self.start + at, of);
        Problem::new(self.path.clone(), format!("{place}: {message}"))
    }

    fn expression(&self) -> &'t str {
        &self.text[self.start..self.end]
    }

    /// The byte of the expression at a line and a column in characters, both from 1.
    fn byte(&self, (line, column): (isize, isize)) -> usize {
        let expression = self.expression();
        let skipped = usize::try_from(line - 1).unwrap_or(0);
        let start: usize = expression
            .split_inclusive('\n')
            .take(skipped)
            .map(str::len)
            .sum();
        let rest = expression.get(start..).unwrap_or_default();
        let column = usize::try_from(column - 1).unwrap_or(0);
        start + rest.chars().take(column).map(char::len_utf8).sum::<usize>()
    }
}

/// Where in the text of an option a byte is, in words; `of` says what that text is. Columns of the file
/// are something else: there are quotes, escapes and line breaks between.
pub(crate) fn text_place(text: &str, at: usize, of: &str) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let character = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    match line {
        1 => format!("at character {character} of {of}"),
        _ => format!("at character {character} of line {line} of {of}"),
    }
}

impl<'t> Parsed<'t> {
    /// Parses an expression, or says where and what is wrong first.
    pub(super) fn new(place: TextPlace<'t>) -> Result<Self, Problem> {
        let text = place.expression();
        if text.len() > LENGTH_MAX {
            return Err(place
                .problem(0, &format!("the expression has {} bytes", text.len()))
                .expected(format!("at most {LENGTH_MAX}")));
        }
        if text.trim().is_empty() {
            return Err(place
                .problem(0, "the expression is empty")
                .expected("an expression such as doc.status >= 500"));
        }
        // Without macros `has` and the like stay calls, as they are written.
        let parse = || {
            let parser = cel::Env::default().parser();
            let parsed = parser
                .max_recursion_depth(NESTING_MAX)
                .parse_with_source_info(text)
                .map_err(|errors| {
                    let errors = errors.errors.into_iter();
                    errors
                        .map(|error| (error.pos, error.msg))
                        .min_by_key(|(at, _)| *at)
                        .unwrap_or_default()
                })?;
            // Trees that are too deep must not reach stacks of usual size, not even to be dropped.
            match depth(&parsed.0) <= DEPTH_MAX {
                true => Ok(Some(parsed)),
                false => Ok(None),
            }
        };
        let parsed = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(STACK);
            let thread = thread.spawn_scoped(scope, parse).ok()?;
            thread.join().ok()
        });
        match parsed {
            None => Err(place.problem(0, "the expression could not be read")),
            Some(Ok(None)) => Err(place
                .problem(
                    0,
                    "the expression has too many operators in a row or in each other",
                )
                .expected(format!("at most {DEPTH_MAX}"))),
            Some(Ok(Some((expr, offsets)))) => Ok(Self {
                expr,
                offsets,
                place,
            }),
            Some(Err((at, message))) => Err(syntax_problem(&place, at, &message)),
        }
    }

    /// A problem at a part of the expression.
    pub(super) fn problem(&self, at: &IdedExpr, message: &str) -> Problem {
        self.place.problem(self.offset(at), message)
    }

    /// Where the text of a part starts.
    fn offset(&self, at: &IdedExpr) -> usize {
        let own = self.offsets.offset_for(at.id);
        let own = own.map_or(0, |(start, _)| start as usize);
        // Operators, dots and brackets stand behind the part's first operand.
        match &at.expr {
            Expr::Select(select) => own.min(self.offset(&select.operand)),
            Expr::Call(call) => {
                // A function's own place is its bracket.
                let before = self.place.expression().get(..own).unwrap_or_default();
                if let (None, Some(before)) = (
                    &call.target,
                    before.trim_end().strip_suffix(call.func_name.as_str()),
                ) {
                    return before.len();
                }
                let first = call.target.as_deref().or(call.args.first());
                first.map_or(own, |first| own.min(self.offset(first)))
            }
            _ => own,
        }
    }
}

fn depth(expr: &IdedExpr) -> usize {
    let deepest = match &expr.expr {
        Expr::Call(call) => call
            .target
            .as_deref()
            .into_iter()
            .chain(&call.args)
            .map(depth)
            .max(),
        Expr::List(list) => list.elements.iter().map(depth).max(),
        Expr::Select(select) => Some(depth(&select.operand)),
        Expr::Map(map) => map
            .entries
            .iter()
            .map(|entry| entry_depth(&entry.expr))
            .max(),
        Expr::Struct(message) => message
            .entries
            .iter()
            .map(|entry| entry_depth(&entry.expr))
            .max(),
        // Only macros make these, and none are in use.
        Expr::Comprehension(_) => Some(DEPTH_MAX),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => None,
    };
    1 + deepest.unwrap_or(0)
}

fn entry_depth(entry: &EntryExpr) -> usize {
    match entry {
        EntryExpr::MapEntry(entry) => depth(&entry.key).max(depth(&entry.value)),
        EntryExpr::StructField(field) => depth(&field.value),
    }
}

/// The parser's error as a sentence. Its own lists every token that could follow.
fn syntax_problem(place: &TextPlace<'_>, at: (isize, isize), message: &str) -> Problem {
    let byte = place.byte(at);
    let message = message.trim_start_matches("Syntax error: ");
    let quoted = message
        .split_once('\'')
        .and_then(|(_, rest)| rest.rsplit_once('\''))
        .map_or("", |(quoted, _)| quoted);
    // Of `mismatched input 'x' expecting {...}` the quotes of the list count too.
    let token = quoted.split("' ").next().unwrap_or(quoted);
    const VALUE: &str = "a value, such as doc.status, 500 or 'text'";
    if message.contains("Recursion limit") {
        return place
            .problem(byte, "brackets or `? :` are nested too deep")
            .expected(format!("at most {NESTING_MAX} in each other"));
    }
    if message.contains("token recognition error") {
        let rest = &place.expression()[byte.min(place.expression().len())..];
        return match rest.chars().next() {
            Some('=') => not_an_operator(place, byte),
            Some('&' | '|') => place
                .problem(byte, "single `&` and `|` are no operators")
                .expected("`&&` and `||`"),
            Some(quote @ ('\'' | '"')) => place
                .problem(
                    byte,
                    &format!("the string has no closing {quote}, or an unknown escape"),
                )
                .expected(
                    "\\n, \\t, \\\\, \\' and \\\" as escapes, or r'...' for text without any",
                ),
            Some(other) => place.problem(byte, &format!("`{other}` has no meaning here")),
            None => place.problem(byte, "the expression ends too early"),
        };
    }
    if let Some(missing) = message.strip_prefix("missing '") {
        let missing = missing.split('\'').next().unwrap_or_default();
        return place.problem(byte, &format!("`{missing}` is missing"));
    }
    if token == "<EOF>" {
        return place
            .problem(byte, "the expression ends too early")
            .expected(VALUE);
    }
    if let Some(word) = message.strip_prefix("reserved identifier: ") {
        return place
            .problem(byte, &format!("`{word}` is a reserved word"))
            .expected("doc[\"NAME\"] for a field of this name");
    }
    let is_unexpected = [
        "mismatched input",
        "extraneous input",
        "no viable alternative",
    ]
    .iter()
    .any(|start| message.starts_with(start));
    if is_unexpected {
        // `not` by itself is the name of a field, and what follows is not expected.
        let before = place.expression().get(..byte).unwrap_or_default();
        let word = before.trim_end().strip_suffix("not");
        if let Some(before) = word.filter(|before| !before.ends_with(is_of_name)) {
            return place
                .problem(before.len(), "`not` is not expected here")
                .expected("`!`");
        }
        let problem = place.problem(byte, &format!("`{token}` is not expected here"));
        return match token {
            "and" => problem.expected("`&&`"),
            "or" => problem.expected("`||`"),
            "not" => problem.expected("`!`"),
            _ if message.contains("expecting <EOF>") => {
                problem.expected("an operator or the end of the expression")
            }
            _ => problem.expected(VALUE),
        };
    }
    if message.starts_with("Incomplete") {
        return place
            .problem(byte, "the expression is incomplete")
            .expected("CONDITION ? VALUE : OTHER, with all of its parts");
    }
    place.problem(byte, message)
}

fn is_of_name(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '.')
}

/// An operator of other languages, of which the parser takes no `=`: the one at `byte`.
fn not_an_operator(place: &TextPlace<'_>, byte: usize) -> Problem {
    let is_of_operator = |letter: char| matches!(letter, '=' | '<' | '>' | '!');
    let (before, from) = place.expression().split_at(byte);
    let start = before.trim_end_matches(is_of_operator).len();
    let end = byte + from.len() - from.trim_start_matches(is_of_operator).len();
    let written = &place.expression()[start..end];
    let meant = match written {
        "=>" | ">==" => ">=",
        "=<" | "<==" => "<=",
        "=!" | "!==" => "!=",
        _ => "==",
    };
    place
        .problem(start, &format!("`{written}` is no operator"))
        .expected(format!("`{meant}`"))
}
