//! Runbooks as they are written: blocks of commands, each with what it prints behind it. Knows the form
//! of the pages of `deploy/runbooks/`, and nothing of what they are about.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Setup, binary};
use crate::process::{Launch, Process};

/// Stands for whatever is printed: part of a line, or, alone, any number of lines.
const ANYTHING: &str = "…";

impl Setup {
    /// Runs the commands of a runbook of `deploy/runbooks/`, block by block as they are written, in the
    /// directory of the topology, which `$TOPOLOGY` names.
    ///
    /// A block `text` behind a block `sh` is what its commands print: `…` stands for anything, white space
    /// and empty lines do not count. Fails with all that was printed when a command fails or prints
    /// something else; returns it otherwise.
    pub fn runbook(&self, name: &str, limit: Duration) -> Result<String> {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/runbooks");
        let page = page.join(name);
        let text = std::fs::read_to_string(&page).with_context(|| format!("no {page:?}"))?;
        let steps = steps(&text);
        ensure!(!steps.is_empty(), "{name} has no commands");
        let program = binary()?;
        let directory = program.parent().context("the program is in no directory")?;
        // What is run goes to the log, what is printed elsewhere.
        let mut script = format!("exec 9>&2\nBASH_XTRACEFD=9\nexport PATH={directory:?}:$PATH\n");
        let output = |number: usize| self.scratch.path().join(format!("block-{number}.out"));
        for (number, step) in steps.iter().enumerate() {
            script += &format!("exec > {:?} 2>&1\n{}", output(number), step.commands);
        }
        let log = self.scratch.path().join("runbook.log");
        drop(std::fs::remove_file(&log));
        let mut launch = Launch::new("bash", &log)
            .arguments(["-euxo", "pipefail", "-c", &script])
            .directory(self.scratch.path())
            .environment("TOPOLOGY", &self.topology);
        for (name, value) in &self.environment {
            launch = launch.environment(name, value);
        }
        let ended = Process::run(launch, limit);
        let printed = |number| std::fs::read_to_string(output(number)).unwrap_or_default();
        let mut all = std::fs::read_to_string(&log).context("nothing was run")?;
        all.extend((0..steps.len()).map(printed));
        ended.with_context(|| format!("{name}:\n{all}"))?;
        for (number, step) in steps.iter().enumerate() {
            let printed = printed(number);
            ensure!(
                step.prints
                    .is_none_or(|expected| is_printed(expected, &printed)),
                "{name}: this is not printed\n{}by\n{}but\n{printed}\n{all}",
                step.prints.unwrap_or_default(),
                step.commands
            );
        }
        Ok(all)
    }
}

/// A block of commands, and what it prints where the page says so.
#[derive(Debug, PartialEq, Eq)]
struct Step<'a> {
    commands: &'a str,
    prints: Option<&'a str>,
}

fn steps(page: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    for commands in page.split("```sh\n").skip(1) {
        let Some((commands, rest)) = commands.split_once("```") else {
            continue;
        };
        let prints = rest.split_once("```text\n");
        let prints = prints.and_then(|(_, prints)| prints.split_once("```"));
        steps.push(Step {
            commands,
            prints: prints.map(|(prints, _)| prints),
        });
    }
    steps
}

fn is_printed(expected: &str, printed: &str) -> bool {
    let lines = |text: &str| -> Vec<String> {
        let lines = text.lines().map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.join(" ")
        });
        lines.filter(|line| !line.is_empty()).collect()
    };
    are_these(&lines(expected), &lines(printed))
}

fn are_these(expected: &[String], printed: &[String]) -> bool {
    match expected {
        [] => printed.is_empty(),
        [first, rest @ ..] if first == ANYTHING => {
            (0..=printed.len()).any(|skipped| are_these(rest, &printed[skipped..]))
        }
        [first, rest @ ..] => match printed {
            [line, others @ ..] => is_line(first, line) && are_these(rest, others),
            [] => false,
        },
    }
}

fn is_line(expected: &str, line: &str) -> bool {
    let parts: Vec<&str> = expected.split(ANYTHING).collect();
    let [first, middle @ .., last] = parts.as_slice() else {
        return expected == line;
    };
    let Some(mut left) = line.strip_prefix(first) else {
        return false;
    };
    for part in middle {
        let Some((_, behind)) = left.split_once(part) else {
            return false;
        };
        left = behind;
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_taken_with_what_they_print() {
        let page = "# A\n```text\nno step\n```\n```sh\na\n```\nand\n```text\nprinted\n```\n```sh\nb\n```\n";
        let expected = [("a\n", Some("printed\n")), ("b\n", None)];
        let expected = expected.map(|(commands, prints)| Step { commands, prints });
        assert_eq!(steps(page), expected);
    }

    #[test]
    fn what_is_printed_is_compared_but_for_what_is_left_open() {
        let check = |expected: &str, printed: &str, same: bool| {
            assert_eq!(is_printed(expected, printed), same, "{expected} {printed}");
        };
        check("A  B\n1  2\n", "A B\n\n1     2\n", true);
        check("A B\n", "A B\n1 2\n", false);
        check("A B\n…\n", "A B\n1 2\n", true);
        check("…\n1 2\n", "A B\n1 2\n", true);
        check("…\n1 2\n", "1 2\n", true);
        check("…\n1 3\n", "A B\n1 2\n", false);
        check("at … of …\n", "at 17:00 of 1\n", true);
        check("at … of 2\n", "at 17:00 of 1\n", false);
        check("at … to … of …\n", "at 17:00 of 1\n", false);
        check("at …\n", "it is at 17:00\n", false);
        check("at\n", "at 17:00\n", false);
        check("at\n", "", false);
        check("", "at\n", false);
    }
}
