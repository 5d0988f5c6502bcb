//! Patterns of times as Joda and Java have them, in files written for Logstash or Elasticsearch.

/// The pattern of `strftime` for one such as `yyyy.MM.dd`; `None` where the text is nothing but that is not
/// beyond doubt: all of its letters must be those of years, months, days, hours, minutes and seconds.
///
/// Letters after Joda-Time's `DateTimeFormat`, in either case: other programs write `YYYY` and `DD`.
pub(crate) fn as_strftime(text: &str) -> Option<String> {
    // Minutes need an hour: without one, `mm` is a month in lower case.
    let has_month = text.contains('M');
    let has_hour = text.contains(['H', 'h']);
    let mut pattern = String::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let length = rest.len() - rest.trim_start_matches(letter).len();
        pattern.push_str(match (letter, length / letter.len_utf8()) {
            ('y' | 'Y', 4) => "%Y",
            ('y' | 'Y', 2) => "%y",
            ('M', 3) => "%b",
            ('M', 1 | 2) => "%m",
            ('m', 1 | 2) if !has_month && !has_hour => "%m",
            ('m', 1 | 2) => "%M",
            ('d' | 'D', 1 | 2) => "%d",
            ('H' | 'h', 1 | 2) => "%H",
            ('s' | 'S', 1 | 2) => "%S",
            (separator, _) if !separator.is_alphanumeric() => &rest[..length],
            _ => return None,
        });
        rest = &rest[length..];
    }
    pattern.contains('%').then_some(pattern)
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
        ] {
            assert_eq!(as_strftime(text).as_deref(), expected, "{text}");
        }
    }
}
