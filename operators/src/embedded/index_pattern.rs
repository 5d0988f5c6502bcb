//! Names and patterns of indices as requests give them.

/// Whether a list of names and patterns, separated by commas, names this index. `*` matches any text;
/// `_all` and an empty list name every index.
pub fn names(list: &str, index: &str) -> bool {
    list.split(',').any(|pattern| matches(pattern, index))
}

fn matches(pattern: &str, index: &str) -> bool {
    if pattern.is_empty() || pattern == "_all" {
        return true;
    }
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = index.strip_prefix(first) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        if let Some(between) = last.replace(part) {
            let Some(at) = rest.find(between) else {
                return false;
            };
            rest = &rest[at + between.len()..];
        }
    }
    last.map_or(rest.is_empty(), |end| rest.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_indices() {
        let check = |list, index, expected| {
            assert_eq!(names(list, index), expected, "{list} {index}");
        };
        check("logs-*", "logs-2026.01.01", true);
        check("logs-*", "metrics", false);
        check("logs", "logs-2026", false);
        check("*-2026*", "logs-2026.01.01", true);
        check("a*b*c", "a-b-b-c", true);
        check("metrics,logs", "logs", true);
        check("_all", "anything", true);
    }
}
