//! Patterns of times as Joda and Java have them, in files written for Logstash or Elasticsearch.

/// The pattern of `strftime` for one such as `yyyy.MM.dd`, or for one that has both, such as `%Y.MM.dd`; `None`
/// where the text is nothing but that is not beyond doubt: all of its letters outside of conversions must be
/// those of years, months, days, hours, minutes and seconds, and beside conversions none stands alone, as the
/// `h` of `%Hh%M` does, or for what a conversion gives already, as the `dd` of `dd-%Y.%m.%d` does.
///
/// Letters after Joda-Time's `DateTimeFormat`, in either case: other programs write `YYYY` and `DD`.
pub(crate) fn as_strftime(text: &str) -> Option<String> {
    let is_mixed = text.contains('%');
    // Minutes need an hour: without one, `mm` is a month in lower case.
    let has_month = text.contains('M') || text.contains("%m");
    let has_hour = text.contains(['H', 'h']);
    let mut pattern = String::new();
    let mut has_letters = false;
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let same = rest.len() - rest.trim_start_matches(letter).len();
        let (length, translated) = match (letter, same / letter.len_utf8()) {
            ('%', _) => {
                let length = conversion(rest)?;
                (length, &rest[..length])
            }
            (separator, _) if !separator.is_alphanumeric() => (same, &rest[..same]),
            (_, 1) if is_mixed => return None,
            (letter, count) => {
                has_letters = true;
                let conversion = conversion_of(letter, count, has_month, has_hour)?;
                if text.contains(conversion) {
                    return None;
                }
                (same, conversion)
            }
        };
        pattern.push_str(translated);
        rest = &rest[length..];
    }
    has_letters.then_some(pattern)
}

/// What is wrong with a pattern that has both.
pub(crate) fn mixed(text: &str) -> String {
    format!(
        "`{text}` mixes conversions such as %Y with letters of Java such as MM, which stand for themselves"
    )
}

/// What stands for so many of a letter.
fn conversion_of(
    letter: char,
    count: usize,
    has_month: bool,
    has_hour: bool,
) -> Option<&'static str> {
    Some(match (letter, count) {
        ('y' | 'Y', 4) => "%Y",
        ('y' | 'Y', 2) => "%y",
        ('M', 3) => "%b",
        ('M', 1 | 2) => "%m",
        ('m', 1 | 2) if !has_month && !has_hour => "%m",
        ('m', 1 | 2) => "%M",
        ('d' | 'D', 1 | 2) => "%d",
        ('H' | 'h', 1 | 2) => "%H",
        ('s' | 'S', 1 | 2) => "%S",
        _ => return None,
    })
}

/// The length of a conversion of `strftime`, such as `%Y`, `%-d` or `%.3f`, in bytes.
fn conversion(text: &str) -> Option<usize> {
    let is_end = |c: char| c == '%' || c.is_alphabetic();
    let (at, end) = text.char_indices().skip(1).find(|(_, c)| is_end(*c))?;
    Some(at + end.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_joda_become_those_of_strftime() {
        for (text, expected) in [
            ("yyyy.MM.dd", Some("%Y.%m.%d")),
            ("yyyy.mm.dd", Some("%Y.%m.%d")),
            ("YYYY-MM-DD HH:mm:ss", Some("%Y-%m-%d %H:%M:%S")),
            ("HH:mm", Some("%H:%M")),
            ("dd/MMM/yy", Some("%d/%b/%y")),
            ("yyyyMMdd", Some("%Y%m%d")),
            ("", None),
            ("..", None),
            ("2024", None),
            ("orders", None),
            ("yyyyy", None),
            ("yyyy-MM-dd'T'HH", None),
            ("%Y.MM.dd", Some("%Y.%m.%d")),
            ("%Y.mm.dd", Some("%Y.%m.%d")),
            ("%F HH:mm", Some("%F %H:%M")),
            ("%Y-%m-%d %H:mm:ss", Some("%Y-%m-%d %H:%M:%S")),
            ("%Y.MM.%-d", Some("%Y.%m.%-d")),
            ("%Y.%m.%d", None),
            ("%-d.%m. %.3f%%", None),
            ("%Hh%Mm%Ss", None),
            ("logs-%Y.%m", None),
            ("%Y-w%V", None),
            ("dd-%Y.%m.%d", None),
            ("%H hh %M mm", None),
            ("%", None),
        ] {
            assert_eq!(as_strftime(text).as_deref(), expected, "{text}");
        }
    }
}
