//! The usual patterns of grok by their usual names. What they match follows the documents that define
//! each thing (RFCs, POSIX, the manuals of the servers), not the patterns of other programs. Names, and
//! those of the fields that whole lines make, are those of Logstash without `ecs_compatibility`:
//! <https://github.com/logstash-plugins/logstash-patterns-core/tree/main/patterns/legacy>.

mod base;
mod lines;

/// What patterns are about, and each with its name.
type Group = (&'static str, &'static [(&'static str, &'static str)]);

/// The pattern of a name.
pub(super) fn pattern(name: &str) -> Option<&'static str> {
    let found = patterns().find(|(known, _)| *known == name);
    found.map(|(_, pattern)| *pattern)
}

/// All names.
pub(super) fn names<'n>() -> impl Iterator<Item = &'n str> {
    patterns().map(|(name, _)| *name)
}

/// All names by what they are about, as a list of Markdown.
pub(super) fn list() -> String {
    let line = |(about, patterns): &Group| {
        let names = patterns.iter().map(|(name, _)| format!("`{name}`"));
        format!("- {about}: {}", names.collect::<Vec<_>>().join(", "))
    };
    groups().map(line).collect::<Vec<_>>().join("\n")
}

fn patterns() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    groups().flat_map(|(_, patterns)| patterns.iter())
}

fn groups() -> impl Iterator<Item = &'static Group> {
    base::GROUPS.iter().chain(&lines::GROUPS)
}
