//! All references as one page of Markdown: a paragraph is a line.

use anyhow::Context as _;
use isobar_topology::Registry;

use super::head::HEAD;
use super::text::common;
use super::{Kind, OptionOf, Reference, all};

/// What stands above the bolts.
const BOLTS: &str = "\
Below the example of each stands what becomes of records there: they are run through it when this page is made, as `isobar try` runs records, at 2026-01-31T12:00:00Z. A record of an example with `inputs: [logs]` comes as a topic has it, any other from a `parse_json`. The id of the bolt is its type: `filter.filtered` is a policy of `filter`. Bolts that write to an outside system say what they would write.
";

/// The page.
///
/// Fails when the example of a bolt cannot be run.
pub fn page(registry: &Registry) -> anyhow::Result<String> {
    let mut references = all(registry);
    for reference in &mut references {
        reference
            .show()
            .with_context(|| format!("the example of {}", reference.name))?;
    }
    let mut page = HEAD.to_owned();
    for (kind, title) in [
        (Kind::Connection, "Connections"),
        (Kind::Spout, "Spouts"),
        (Kind::Bolt, "Bolts"),
        (Kind::Settings, "Settings"),
    ] {
        let of_kind: Vec<&Reference> = references.iter().filter(|r| r.kind == kind).collect();
        if of_kind.is_empty() {
            continue;
        }
        page.push_str(&format!("\n## {title}\n"));
        if kind == Kind::Bolt {
            page.push_str(&format!("\n{BOLTS}"));
        }
        if let Some(common) = common(kind) {
            let word = kind.word();
            page.push_str(&format!(
                "\nEvery {word} has these options besides its own:\n\n"
            ));
            page.push_str("| option | value | what it does |\n|---|---|---|\n");
            for (name, kind, description) in common {
                page.push_str(&format!("| `{name}` | {kind} | {} |\n", cell(description)));
            }
        }
        for reference in of_kind {
            page.push_str(&section(reference));
        }
    }
    Ok(page)
}

fn section(reference: &Reference) -> String {
    let mut section = match reference.kind {
        Kind::Settings => "\n".to_owned(),
        _ => format!("\n### {}\n\n", reference.name),
    };
    section.push_str(&unwrapped(&reference.description));
    section.push('\n');
    if !reference.options.is_empty() {
        section.push_str("\n| option | value | default | what it does |\n|---|---|---|---|\n");
        for option in &reference.options {
            section.push_str(&row(option));
        }
    }
    if !reference.example.is_empty() {
        section.push_str(&format!(
            "\n```yaml\n{}\n```\n",
            reference.example.trim_end()
        ));
    }
    for (name, text) in &reference.files {
        section.push_str(&format!("\nWith this `{name}`:\n"));
        section.push_str(&format!("\n```text\n{}\n```\n", text.trim_end()));
    }
    if !reference.shown.is_empty() {
        let shown = reference.shown_text();
        section.push_str(&format!("\n```text\n{shown}```\n"));
    }
    section
}

fn row(option: &OptionOf) -> String {
    let default = match (&option.default, option.required) {
        (_, true) => "required".to_owned(),
        (Some(default), _) => cell(default),
        (None, _) => String::new(),
    };
    format!(
        "| `{}` | {} | {default} | {} |\n",
        option.name,
        cell(&option.kind),
        cell(&option.description)
    )
}

/// A text that fits into one cell of a table.
fn cell(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.replace('|', "\\|")
}

/// Joins the lines of each paragraph; code blocks and tables keep theirs, list items start
/// one.
fn unwrapped(markdown: &str) -> String {
    let mut text = String::new();
    let mut in_code = false;
    let mut in_paragraph = false;
    for line in markdown.lines() {
        let fence = line.trim_start().starts_with("```");
        let start = line.trim_start();
        let is_paragraph = !(in_code || fence || start.is_empty() || start.starts_with('|'));
        let item = start.starts_with("- ") || start.starts_with("* ");
        let goes_on = in_paragraph && is_paragraph && !item;
        if !text.is_empty() {
            text.push(if goes_on { ' ' } else { '\n' });
        }
        text.push_str(if goes_on { start } else { line });
        in_paragraph = is_paragraph;
        in_code ^= fence;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paragraph_is_a_line() {
        let markdown = "a\nb\n\n```\nc\nd\n```\n- e\n  f\n- g";
        assert_eq!(unwrapped(markdown), "a b\n\n```\nc\nd\n```\n- e f\n- g");
        assert_eq!(cell("a\nb | c"), "a b \\| c");
    }
}
