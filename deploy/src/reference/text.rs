//! A reference for a terminal.

use std::fmt::Write;

use super::{Kind, Reference};

/// Longest line: readable, and fits most terminals.
const WIDTH: usize = 96;

pub(super) fn text(reference: &Reference) -> String {
    let mut text = match reference.kind {
        Kind::Settings => "settings of a topology\n\n".to_owned(),
        kind => format!("{} ({})\n\n", reference.name, kind.word()),
    };
    paragraphs(&reference.description, 0, &mut text);
    text.push_str("\nOptions:\n");
    if reference.options.is_empty() {
        text.push_str("  none of its own\n");
    }
    for option in &reference.options {
        let mut facts = vec![option.kind.clone()];
        if option.required {
            facts.push("required".to_owned());
        }
        facts.extend(
            option
                .default
                .as_ref()
                .map(|default| format!("default: {default}")),
        );
        write(
            &mut text,
            &format!("  {}  ({})\n", option.name, facts.join("; ")),
        );
        paragraphs(&option.description, 6, &mut text);
    }
    if let Some(common) = common(reference.kind) {
        let word = reference.kind.word();
        write(&mut text, &format!("\nOptions of every {word}:\n"));
        for (name, kind, description) in common {
            write(&mut text, &format!("  {name}  ({kind})\n"));
            paragraphs(description, 6, &mut text);
        }
    }
    if !reference.example.is_empty() {
        text.push_str("\nExample:\n");
        let (word, name) = (reference.kind.word(), &reference.name);
        write(&mut text, &format!("  {word}s:\n    {name}:\n"));
        for line in reference.example.lines() {
            write(&mut text, &format!("      {line}\n"));
        }
    }
    for (name, content) in &reference.files {
        write(&mut text, &format!("\nWith this {name}:\n"));
        indented(content, &mut text);
    }
    if !reference.shown.is_empty() {
        text.push_str("\nWhat becomes of records there:\n");
        indented(&reference.shown_text(), &mut text);
    }
    text
}

/// An option that components have whatever their type: name, kind, description.
type Common = (&'static str, &'static str, &'static str);

/// What a component has besides the options of its type.
pub(super) fn common(kind: Kind) -> Option<&'static [Common]> {
    match kind {
        Kind::Spout => Some(&OF_SPOUTS),
        Kind::Bolt => Some(&OF_BOLTS),
        _ => None,
    }
}

const OF_SPOUTS: [Common; 2] = [
    (
        "throttle",
        "rate",
        "Reads at most so many records, `1000/s`, over all lanes; the rest waits at the source. What was not used for up to a second may follow at once. Default: as many as can be taken.",
    ),
    (
        "on_full",
        "block, drop_newest or {sample: 10%}",
        "What becomes of records while as many are in flight as may be, or the first queue has no room. `block` lets them wait at the source. `drop_newest` reads on and drops what it reads; `{sample: 10%}` drops all but that part of it, always the same records, and the part waits. What is dropped counts as the policy `<id>.drop_newest` or `<id>.sample`, and its offsets are committed. At `max_uncommitted` reading waits all the same: with a sink that takes nothing at all, no record can be passed. A replay drops nothing by it. Default block.",
    ),
];

const OF_BOLTS: [Common; 4] = [
    (
        "inputs",
        "list of streams; required",
        "Where its records come from: the id of a spout or bolt, `route.errors` for a named stream, or `{from: parse, grouping: shuffle}`. Groupings: `local` (the default: the same lane, in order); `shuffle` (batches go to the lanes in turn: for bolts that cost much); `{fields: [doc.host]}` (records with equal values go to the same lane: for `deduplicate`, or bolts of your own that compare records); `{partial_key: [doc.host]}` (records with equal values go to one of two lanes, the one that got less: where one value has most of the records, and two lanes may share it); `global` (one lane gets everything); `all` (every lane gets a copy of each record, and the record is settled when all copies are: for a bolt of your own that keeps something on each lane, such as a table that comes as records of a topic; no bolt of Isobar's needs it. It must not lead to an index or to dead letters, so these bolts have `on_rejected: drop`).",
    ),
    (
        "inputs.throttle",
        "rate",
        "Hands on at most so many records along this input, over all lanes, and the rest waits, in the end at the source: `{from: parse, throttle: 1000/s}`. What was not used for up to a second may follow at once. An input with `throttle` or `on_full` has a queue of its own, of `queue_batches` and `queue_bytes`. Default: as many as can be taken.",
    ),
    (
        "inputs.on_full",
        "block, drop_newest, drop_oldest or {sample: 10%}",
        "What becomes of records while the queue of the bolt is full: `{from: parse, on_full: drop_newest}`. `block` lets them wait, and in the end the source; `drop_newest` drops them; `drop_oldest` drops what waits longest of the inputs that say so; `{sample: 10%}` lets that part of them wait, always the same records, and drops the rest. What is dropped counts as the policy `<id of the bolt>.drop_newest` and so on, and so does a record of which a part, or one of several branches, is dropped. Not with `grouping: all`, nor at an input to which rejected records come, from a stream `rejected` or by way of bolts that pass them on. A replay drops nothing by it. Default block.",
    ),
    (
        "on_rejected",
        "drop",
        "Drops and counts what it rejects. Without it rejected records go to the bolt that consumes its stream `rejected`, or to the topology's `dead_letter`.",
    ),
];

/// Writes Markdown paragraphs and list items, wrapped; code blocks and tables keep their lines.
fn paragraphs(markdown: &str, indent: usize, text: &mut String) {
    let pad = " ".repeat(indent);
    let mut in_code = false;
    let mut words: Vec<&str> = Vec::new();
    for line in markdown.lines() {
        let start = line.trim_start();
        let fence = start.starts_with("```");
        let keeps = in_code || fence || start.starts_with('|');
        let new = keeps || start.is_empty() || (start.starts_with("- ") || start.starts_with("* "));
        if new {
            wrap(&std::mem::take(&mut words), &pad, text);
        }
        if fence {
            in_code = !in_code;
        } else if keeps {
            write(
                text,
                &format!("{pad}{}{line}\n", if in_code { "    " } else { "" }),
            );
        } else if start.is_empty() {
            text.push('\n');
        } else {
            words.extend(start.split_whitespace());
        }
    }
    wrap(&words, &pad, text);
}

fn wrap(words: &[&str], pad: &str, text: &mut String) {
    // Further lines of a list item stand below its text.
    let hanging = if words
        .first()
        .is_some_and(|first| ["-", "*"].contains(first))
    {
        "  "
    } else {
        ""
    };
    let mut line = String::new();
    let mut start = pad.to_owned();
    for word in words {
        let width = start.len() + line.chars().count() + 1 + word.chars().count();
        if !line.is_empty() && width > WIDTH {
            write(text, &format!("{start}{line}\n"));
            line.clear();
            start = format!("{pad}{hanging}");
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        write(text, &format!("{start}{line}\n"));
    }
}

fn indented(lines: &str, text: &mut String) {
    for line in lines.lines() {
        write(text, &format!("  {line}\n"));
    }
}

fn write(text: &mut String, more: &str) {
    text.write_str(more)
        .expect("writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_are_wrapped_and_code_is_not() {
        let long = format!("{} end\nnext", "word ".repeat(25).trim_end());
        let mut text = String::new();
        paragraphs(
            &format!("{long}\n\n```yaml\na:  1\n```\n- x\n"),
            2,
            &mut text,
        );
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("  word") && lines[0].len() <= WIDTH);
        assert!(lines[1].ends_with("end next"));
        assert_eq!(lines[2..], ["", "      a:  1", "  - x"]);
    }
}
