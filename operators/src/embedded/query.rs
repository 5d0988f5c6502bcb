//! The query strings that the embedded index understands: words, `field:word`, "phrases", a `*` at the
//! end, `AND`, `OR`, `NOT`, `+` and `-`. What else there is in the syntax of Lucene is refused in words.

use serde_json::Value;

use crate::indexed_field::in_all_forms;

/// What a query asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    clauses: Vec<Clause>,
}

#[derive(Debug, PartialEq, Eq)]
struct Clause {
    occur: Occur,
    /// The path of a field with dots, or `_id` or `_index`; any field without it.
    field: Option<String>,
    /// The words, in lower case, that stand one after the other; none asks whether the field is there.
    words: Vec<String>,
    /// The last word is the start of one.
    prefix: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Occur {
    Should,
    Must,
    MustNot,
}

/// What of the syntax is not understood.
const FORBIDDEN: &[char] = &[
    '(', ')', '[', ']', '{', '}', '~', '^', '/', '<', '>', '?', '\\',
];

impl Query {
    /// Reads a query string; words without a sign are joined by `OR` unless all are to be found. Fails
    /// with a sentence about what it does not understand.
    pub(super) fn parse(text: &str, all: bool) -> Result<Self, String> {
        let usual = if all { Occur::Must } else { Occur::Should };
        let mut clauses: Vec<Clause> = Vec::new();
        let (mut rest, mut next) = (text.trim_start(), None);
        while !rest.is_empty() {
            let (term, after) = split_term(rest)?;
            rest = after.trim_start();
            match term {
                "AND" | "&&" => {
                    if let Some(last) = clauses.last_mut()
                        && last.occur == Occur::Should
                    {
                        last.occur = Occur::Must;
                    }
                    next = Some(Occur::Must);
                }
                "OR" | "||" => next = Some(Occur::Should),
                "NOT" | "!" => next = Some(Occur::MustNot),
                term => {
                    let clause = Clause::parse(term, next.take().unwrap_or(usual))?;
                    clauses.extend(clause);
                }
            }
        }
        Ok(Self { clauses })
    }

    /// Whether a document is asked for.
    pub(super) fn finds(&self, index: &str, id: &str, source: &[u8]) -> bool {
        if self.clauses.is_empty() {
            return true;
        }
        // Most documents are no match: the bytes say so before anything is parsed.
        let may = |clause: &&Clause| clause.may_be_in(source);
        let mut musts = (self.clauses.iter()).filter(|clause| clause.occur == Occur::Must);
        if !musts.all(|clause| may(&clause)) {
            return false;
        }
        let Ok(document) = serde_json::from_slice::<Value>(source) else {
            return false;
        };
        let (mut any, mut shoulds, mut musts) = (false, 0, 0);
        for clause in &self.clauses {
            let found = clause.finds(index, id, &document);
            match clause.occur {
                Occur::Must if !found => return false,
                Occur::MustNot if found => return false,
                Occur::Must => musts += 1,
                Occur::MustNot => {}
                Occur::Should => {
                    shoulds += 1;
                    any |= found;
                }
            }
        }
        any || musts > 0 || shoulds == 0
    }
}

impl Clause {
    /// `None` for `*`, which every document meets.
    fn parse(term: &str, occur: Occur) -> Result<Option<Self>, String> {
        let (occur, term) = match term.strip_prefix('+') {
            Some(rest) => (Occur::Must, rest),
            None => match term.strip_prefix('-') {
                Some(rest) => (Occur::MustNot, rest),
                None => (occur, term),
            },
        };
        let colon = term.find(':').filter(|at| !term[..*at].contains('"'));
        let (field, value) = match colon {
            Some(at) => (Some(term[..at].to_owned()), &term[at + 1..]),
            None => (None, term),
        };
        let any_field = field.as_deref().is_none_or(|field| field == "*");
        if any_field && value == "*" {
            return Ok(None);
        }
        let value = value.trim_matches('"');
        if let Some(sign) = value.chars().find(|sign| FORBIDDEN.contains(sign)) {
            return Err(format!(
                "the embedded index does not understand `{sign}` in a query; it knows words, field:word, \"phrases\", word*, AND, OR, NOT, + and -"
            ));
        }
        let prefix = value.len() > 1 && value.ends_with('*');
        let words: Vec<String> = words(value).collect();
        if words.is_empty() && !(field.is_some() && value == "*") {
            return Err(format!("there is no word in `{term}`"));
        }
        Ok(Some(Self {
            occur,
            field,
            words,
            prefix,
        }))
    }

    fn may_be_in(&self, source: &[u8]) -> bool {
        let special = matches!(self.field.as_deref(), Some("_id" | "_index"));
        let escaped = || memchr::memmem::find(source, b"\\u").is_some();
        special
            || self.words.iter().all(|word| {
                !word.is_ascii() || contains_ignoring_case(source, word.as_bytes()) || escaped()
            })
    }

    fn finds(&self, index: &str, id: &str, document: &Value) -> bool {
        match self.field.as_deref() {
            None => self.finds_in(document),
            Some("_id") => self.says(id),
            Some("_index") => self.says(index),
            Some(path) => in_all_forms(document, path)
                .iter()
                .any(|value| self.finds_in(value)),
        }
    }

    /// Whether the words stand in a value or in any below it.
    fn finds_in(&self, value: &Value) -> bool {
        match value {
            Value::Null => false,
            _ if self.words.is_empty() => true,
            Value::Array(items) => items.iter().any(|item| self.finds_in(item)),
            Value::Object(members) => members.values().any(|member| self.finds_in(member)),
            Value::String(text) => self.says(text),
            value => self.says(&value.to_string()),
        }
    }

    fn says(&self, text: &str) -> bool {
        let found: Vec<String> = words(text).collect();
        let Some((last, first)) = self.words.split_last() else {
            return true;
        };
        found.windows(self.words.len()).any(|window| {
            let (end, start) = window.split_last().expect("as long as the words");
            let ends = match self.prefix {
                true => end.starts_with(last.as_str()),
                false => end == last,
            };
            ends && start == first
        })
    }
}

/// The words of a text as the standard analyzer has them, nearly: letters and digits, in lower case.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|sign: char| !sign.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

/// Cuts off the first term: up to a space that is in no quotes.
fn split_term(text: &str) -> Result<(&str, &str), String> {
    let mut quoted = false;
    for (at, sign) in text.char_indices() {
        match sign {
            '"' => quoted = !quoted,
            sign if sign.is_whitespace() && !quoted => return Ok(text.split_at(at)),
            _ => {}
        }
    }
    match quoted {
        true => Err("a quotation mark is missing".to_owned()),
        false => Ok((text, "")),
    }
}

/// `word` is in lower case.
fn contains_ignoring_case(source: &[u8], word: &[u8]) -> bool {
    let Some((first, rest)) = word.split_first() else {
        return true;
    };
    let upper = first.to_ascii_uppercase();
    memchr::memchr2_iter(*first, upper, source).any(|at| {
        let after = source.get(at + 1..at + 1 + rest.len());
        after.is_some_and(|after| after.eq_ignore_ascii_case(rest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &[u8] = br#"{"level":"error","host":"job-03","http":{"status":500,"path":"/item/9"},"message":"The database did not answer","tags":["a","B2"],"k.d":1,"none":null,"u":"\u0061bc"}"#;

    fn finds(text: &str, all: bool) -> bool {
        let query = Query::parse(text, all).expect("it is understood");
        query.finds("logs-2026", "A1b", SOURCE)
    }

    #[test]
    fn words_fields_phrases_and_starts_of_words_are_found() {
        for (text, expected) in [
            ("", true),
            ("*", true),
            ("*:*", true),
            ("error", true),
            ("ERROR", true),
            ("err", false),
            ("err*", true),
            ("level:error", true),
            ("level:info", false),
            ("host:job-03", true),
            ("host:job-0*", true),
            ("http.status:500", true),
            ("status:500", false),
            ("k.d:1", true),
            ("tags:b2", true),
            ("\"database did not\"", true),
            ("\"database not\"", false),
            ("message:\"did not answer\"", true),
            ("http.path:*", true),
            ("none:*", false),
            ("nothing:*", false),
            ("abc", true),
            ("_id:a1b", true),
            ("_index:logs*", true),
            ("level:error -host:web", true),
            ("-database", false),
            ("NOT info", true),
            ("database AND info", false),
            ("database OR info", true),
        ] {
            assert_eq!(finds(text, false), expected, "{text}");
        }
    }

    #[test]
    fn words_are_joined_by_or_unless_all_are_wanted() {
        assert!(finds("database web", false));
        assert!(!finds("database web", true));
        assert!(finds("database error", true));
        assert!(!finds("+web database", false));
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (text, part) in [
            ("status:[400 TO 500]", "does not understand `[`"),
            ("a~2", "`~`"),
            ("\"open", "quotation mark"),
            ("level:", "no word"),
            ("--", "no word"),
        ] {
            let said = Query::parse(text, false).expect_err(text);
            assert!(said.contains(part), "{text}: {said}");
        }
    }
}
