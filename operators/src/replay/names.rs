//! The names of indices that a template can make: finer than a pattern with `*`, so that `logs-again` and
//! `logs-errors-2026.01.31` are not taken for indices of `logs-{{ event_time.format('%Y.%m.%d') }}`.

use regex_automata::meta::Regex;

/// Conversions of times that become digits alone.
const DIGITS: &str = "YCymdeHkIlMSjGgVUWuwsf";

/// Whether a sink with this index or data stream, as a topology or a target says it, can write to one of that name.
pub fn makes(index: &str, name: &str) -> bool {
    Names::of(index).fit(name)
}

/// The names that the index of a sink can have.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// `None` where any name counts: also where it is too large to be compiled.
    shape: Option<Regex>,
    /// Characters that all of them have at their place.
    fixed: usize,
}

impl Names {
    /// Those of an index or data stream as a topology says it.
    pub(super) fn of(index: &str) -> Self {
        let (mut shape, mut fixed) = ("^".to_owned(), 0);
        let mut text = |shape: &mut String, text: &str| {
            fixed += text.chars().count();
            shape.push_str(&regex_syntax::escape(text));
        };
        let mut rest = index;
        while let Some((before, after)) = rest.split_once("{{") {
            text(&mut shape, before);
            let (expression, after) = after.split_once("}}").unwrap_or((after, ""));
            match time_format(expression.trim()) {
                Some(format) => add_time(format, &mut shape, &mut text),
                None => shape.push_str(ANY),
            }
            rest = after;
        }
        text(&mut shape, rest);
        shape.push('$');
        Self {
            shape: Regex::new(&shape).ok(),
            fixed,
        }
    }

    /// Whether this can be one of them.
    pub(super) fn fit(&self, name: &str) -> bool {
        let shape = self.shape.as_ref();
        shape.is_none_or(|shape| shape.is_match(name))
    }

    /// Whether a name that fits both is rather one of these.
    pub(super) fn are_closer_than(&self, others: &Self) -> bool {
        self.fixed > others.fixed
    }
}

/// What an expression makes of which nothing is known.
const ANY: &str = "(?s:.*)";

/// The format of an expression that writes a time and nothing else.
fn time_format(expression: &str) -> Option<&str> {
    let (time, format) = expression.strip_suffix(')')?.split_once(".format(")?;
    let is_time = |c: char| c.is_ascii_alphanumeric() || "_.@()[]\"".contains(c);
    let quote = format.chars().next().filter(|c| ['\'', '"'].contains(c))?;
    let format = format.strip_prefix(quote)?.strip_suffix(quote)?;
    (time.chars().all(is_time) && !format.contains([quote, '\\'])).then_some(format)
}

fn add_time(format: &str, shape: &mut String, text: &mut impl FnMut(&mut String, &str)) {
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('%') {
        text(shape, before);
        let after = after.trim_start_matches(['-', '_', '0', '^', '#']);
        let conversion = after.chars().next();
        match conversion {
            Some('%') => text(shape, "%"),
            Some('F') => shape.push_str("[0-9]+-[0-9]+-[0-9]+"),
            Some(digits) if DIGITS.contains(digits) => shape.push_str("[0-9]+"),
            _ => shape.push_str(ANY),
        }
        rest = &after[conversion.map_or(0, char::len_utf8)..];
    }
    text(shape, rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(index: &str, fitting: &[&str], others: &[&str]) {
        let names = Names::of(index);
        for name in fitting {
            assert!(names.fit(name), "{index} makes {name}");
        }
        for name in others {
            assert!(!names.fit(name), "{index} makes no {name}");
        }
    }

    #[test]
    fn a_template_makes_names_of_its_shape_alone() {
        let days = "logs-{{ event_time.format('%Y.%m.%d') }}";
        let not_days = [
            "logs-again",
            "logs-errors-2026.01.31",
            "logs-v2-2026.01.31",
            "logs-2026x01x31",
        ];
        check(days, &["logs-2026.01.31"], &not_days);
        check("logs", &["logs"], &["logs-2026.01.31", "log", "xlogs"]);
        check(
            "logs-{{ doc.app }}",
            &["logs-again", "logs-"],
            &["log", "again-logs"],
        );
        check("{{ doc.a }}-{{doc.b}}x", &["-x", "a-bx"], &["ax", "a-b"]);
        let weeks = "a-{{ timestamp(doc.at).format(\"%G-w%V-%-d%%\") }}-{{ doc.b }}";
        check(
            weeks,
            &["a-2026-w05-1%-", "a-2026-w05-31%-b"],
            &["a-2026-05-1%-b"],
        );
        check(
            "a-{{ event_time.format('%F') }}",
            &["a-2026-01-31"],
            &["a-2026.01.31"],
        );
        // More than a time, or a part of it that is no number: anything.
        check("a-{{ doc.b + event_time.format('%Y') }}", &["a-b2026"], &[]);
        check("a-{{ event_time.format('%b') }}", &["a-jan"], &["jan"]);
    }

    #[test]
    fn a_name_is_of_the_template_that_says_most_of_it() {
        let [days, errors, any] = [
            "logs-{{ event_time.format('%Y.%m.%d') }}",
            "logs-errors-{{ event_time.format('%Y.%m.%d') }}",
            "logs-{{ doc.app }}",
        ]
        .map(Names::of);
        assert!(days.are_closer_than(&any) && errors.are_closer_than(&any));
        assert!(errors.are_closer_than(&days) && !any.are_closer_than(&any));
    }
}
