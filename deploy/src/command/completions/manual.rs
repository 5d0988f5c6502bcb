//! Manual pages: what `--help` says, in the sections that pages of manuals have. Written by the crate
//! clap_mangen but for what stands behind the options, which it fills like prose.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use clap::Command;
use clap_mangen::Man;

use crate::cli::VERSION;

/// Writes a page for each command into a directory.
pub(super) fn write_pages(command: Command, directory: &Path) -> io::Result<()> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    write_page(command, directory)
}

fn write_page(command: Command, directory: &Path) -> io::Result<()> {
    for inner in command
        .get_subcommands()
        .filter(|inner| !inner.is_hide_set())
    {
        write_page(inner.clone(), directory)?;
    }
    let mut file = File::create(directory.join(format!("{}.1", name(&command))))?;
    page(command, &mut file)?;
    file.flush()
}

/// What a page is called: the command with those above it.
fn name(command: &Command) -> &str {
    let whole = command.get_display_name();
    whole.unwrap_or_else(|| command.get_name())
}

/// Writes the page of a command.
pub(super) fn page(command: Command, out: &mut dyn Write) -> io::Result<()> {
    let has_options = command.get_arguments().any(|option| !option.is_hide_set());
    let has_commands = command.has_subcommands();
    let has_version = command.get_version().is_some();
    let more = command.get_after_help().map(ToString::to_string);
    // Without a date, clap_mangen has the version in its place, and only the program itself has one.
    let source = format!("isobar {VERSION}");
    writeln!(
        out,
        ".TH {} 1 \"\" \"{}\"",
        name(&command),
        escaped(&source)
    )?;
    let man = Man::new(command);
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    if has_options {
        man.render_options_section(out)?;
    }
    if has_commands {
        man.render_subcommands_section(out)?;
    }
    out.write_all(sections(&more.unwrap_or_default()).as_bytes())?;
    if has_version {
        man.render_version_section(out)?;
    }
    Ok(())
}

/// What stands behind the options, as man(7) has it: examples and exit codes have sections of their own,
/// lines with spaces before them stay as they are, and all else is a paragraph.
fn sections(text: &str) -> String {
    let mut page = String::new();
    let (mut is_plain, mut has_notes) = (false, false);
    for line in text.lines() {
        let keeps_form = line.starts_with(' ');
        if is_plain && !keeps_form && !line.is_empty() {
            page.push_str(".fi\n");
            is_plain = false;
        }
        let section = match line {
            "Example:" | "Examples:" => Some("EXAMPLES"),
            "Exit codes:" => Some("EXIT STATUS"),
            _ if keeps_form || line.is_empty() || has_notes => None,
            _ => Some("NOTES"),
        };
        if let Some(section) = section {
            page.push_str(&format!(".SH \"{section}\"\n"));
            has_notes = section == "NOTES";
        }
        match line {
            "Example:" | "Examples:" | "Exit codes:" => {}
            "" if is_plain => page.push('\n'),
            "" => {}
            line if keeps_form => {
                if !is_plain {
                    page.push_str(".PP\n.nf\n");
                    is_plain = true;
                }
                page.push_str(&format!("{}\n", escaped(line)));
            }
            line => page.push_str(&format!(".PP\n{}\n", escaped(line))),
        }
    }
    if is_plain {
        page.push_str(".fi\n");
    }
    page
}

/// A line that troff takes as it is: no escapes, no hyphens in place of minus signs, no macros.
fn escaped(line: &str) -> String {
    let text = line
        .replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('\'', "\\(aq");
    match text.starts_with('.') {
        true => format!("\\&{text}"),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_keep_their_lines_and_prose_is_filled() {
        let text = "Examples:\n  isobar try 'a' \\\n    --sample 1\n\nSafe: it\n.writes nothing.\n\nMore.\n  x:\n\n    y\nExit codes:\n  0  done";
        assert_eq!(
            sections(text),
            ".SH \"EXAMPLES\"\n.PP\n.nf\n  isobar try \\(aqa\\(aq \\e\n    \\-\\-sample 1\n\n.fi\n\
             .SH \"NOTES\"\n.PP\nSafe: it\n.PP\n\\&.writes nothing.\n.PP\nMore.\n.PP\n.nf\n  x:\n\n    y\n.fi\n\
             .SH \"EXIT STATUS\"\n.PP\n.nf\n  0  done\n.fi\n"
        );
        assert_eq!(sections(""), "");
        let one = sections("Example:\n  isobar man");
        assert_eq!(one, ".SH \"EXAMPLES\"\n.PP\n.nf\n  isobar man\n.fi\n");
    }
}
