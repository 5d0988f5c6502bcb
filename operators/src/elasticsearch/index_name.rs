//! Which names an index can have, as Elasticsearch and OpenSearch define it, checked before a document
//! is sent: a bad name would be refused there, one document at a time.

/// Longest name in bytes.
const LENGTH_MAX: usize = 255;

/// Finds what is wrong with a name; what follows is "the index name X …". A sound name needs no escapes
/// in JSON.
pub(crate) fn problem(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("is empty");
    }
    if name.len() > LENGTH_MAX {
        return Some("is longer than 255 bytes");
    }
    if name.starts_with(BAD_STARTS) {
        return Some("starts with -, _ or +");
    }
    if name == "." || name == ".." {
        return Some("is only dots");
    }
    problem_of_part(name)
}

/// Finds what no name with this text in it, or at its start, can be.
pub(crate) fn problem_of_parts<'a>(
    mut parts: impl Iterator<Item = &'a str>,
) -> Option<&'static str> {
    let start = parts.next()?;
    if start.starts_with(BAD_STARTS) {
        return Some("starts with -, _ or +");
    }
    problem_of_part(start).or_else(|| parts.find_map(problem_of_part))
}

/// What other programs fill in, such as `%Y.%m.%d` and `%{+YYYY.MM.dd}`: an index can have some of it in
/// its name, and would be one for all days.
pub(crate) fn pattern_of_others(text: &str) -> Option<&str> {
    let (start, _) = text.match_indices('%').find(|(at, _)| {
        let next = text[at + 1..].chars().next();
        next.is_some_and(|next| next.is_ascii_alphabetic() || next == '{')
    })?;
    Some(&text[start..])
}

const BAD_STARTS: [char; 3] = ['-', '_', '+'];

fn problem_of_part(part: &str) -> Option<&'static str> {
    const FORBIDDEN: &[char] = &['\\', '/', '*', '?', '"', '<', '>', '|', ' ', ',', '#', ':'];
    if part.contains(FORBIDDEN) {
        return Some(r#"contains a space or one of \ / * ? " < > | , # :"#);
    }
    if part.chars().any(char::is_control) {
        return Some("contains a control character");
    }
    if part.chars().any(|c| !c.to_lowercase().eq([c])) {
        return Some("is not all lower case");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_index_can_have_are_found() {
        for name in [
            "logs",
            "logs-2026.01.01",
            ".hidden",
            "a+b_c",
            "журнал",
            "ß",
            "日誌",
        ] {
            assert_eq!(problem(name), None, "{name}");
        }
        for (name, part) in [
            ("", "empty"),
            ("_logs", "starts with"),
            ("-logs", "starts with"),
            ("+logs", "starts with"),
            (".", "dots"),
            ("..", "dots"),
            ("a b", "space"),
            ("a/b", "space"),
            ("a\"b", "space"),
            ("a,b", "space"),
            ("<logs-{now/d}>", "space"),
            ("a\nb", "control"),
            ("Logs", "lower case"),
            ("Журнал", "lower case"),
        ] {
            let found = problem(name).expect(name);
            assert!(found.contains(part), "{name}: {found}");
        }
        assert_eq!(problem(&"é".repeat(127)), None);
        assert!(problem(&"é".repeat(128)).is_some());
    }

    #[test]
    fn what_other_programs_fill_in_is_found() {
        for (text, expected) in [
            ("logs-%Y.%m.%d", Some("%Y.%m.%d")),
            ("logs-%{+yyyy.MM.dd}", Some("%{+yyyy.MM.dd}")),
            ("%{[app]}-logs", Some("%{[app]}-logs")),
            ("logs-100%", None),
            ("50%-ä", None),
            ("logs", None),
        ] {
            assert_eq!(pattern_of_others(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_fixed_of_a_name_is_checked_alone() {
        for parts in [["", "-logs"], ["logs-", "_a"], [".", ".x"]] {
            assert_eq!(problem_of_parts(parts.into_iter()), None, "{parts:?}");
        }
        for (parts, part) in [
            (["Logs-", ""], "lower case"),
            (["logs-", "-X"], "lower case"),
            (["_logs-", ""], "starts with"),
            (["logs ", ""], "space"),
        ] {
            let found = problem_of_parts(parts.into_iter()).expect(part);
            assert!(found.contains(part), "{parts:?}: {found}");
        }
    }
}
