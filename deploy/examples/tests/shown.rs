//! What an example shows in its documentation, run as it stands there: who copies it gets what the tests got.

use std::path::Path;
use std::process::Command;

use isobar::environment::Environment;
use isobar::exit::Exit;
use isobar_topology::Registry;

use crate::commands::{self, Done};

/// Where the topologies of examples take values from.
pub type Variables<'a> = [(&'a str, &'a str)];

/// Runs the commands at the top of an example, one after the other: those of its program in this process, all
/// others by a shell in `directory`. Gives what those of its program did, which is all that was asked of them.
pub fn run(
    source: &str,
    registry: &Registry,
    directory: &Path,
    variables: &Variables<'_>,
) -> Vec<Done> {
    let block = source.split("//! ```").nth(1).expect("it shows commands");
    let lines = block.lines().skip(1);
    let lines = lines.map(|line| line.trim_start_matches("//!").trim());
    let program = format!(
        "cargo run -p isobar --example {} -- ",
        env!("CARGO_CRATE_NAME")
    );
    let mut all = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        match line.strip_prefix(&program) {
            Some(arguments) => {
                let arguments: Vec<&str> = arguments.split_whitespace().collect();
                all.push(isobar(registry, &arguments, variables));
            }
            None => {
                let mut shell = Command::new("sh");
                let shell = shell.args(["-euc", line]).current_dir(directory);
                assert!(shell.status().expect("there is a shell").success());
            }
        }
    }
    all
}

/// Runs a command that does what is asked of it. Files of the repository are named as at its root; what runs
/// listens nowhere, as others may at the usual address.
pub fn isobar(registry: &Registry, arguments: &[&str], variables: &Variables<'_>) -> Done {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut all: Vec<String> = Vec::new();
    for argument in arguments {
        all.push(match argument.starts_with("deploy/") {
            true => root.join(argument).display().to_string(),
            false => (*argument).to_owned(),
        });
    }
    if arguments[0] == "run" {
        all.extend(["--http", "off"].map(str::to_owned));
    }
    let variables: Vec<(String, String)> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let environment = Environment::new(move |name| {
        let found = variables.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    });
    let done = commands::run(registry, environment, all.iter().map(String::as_str));
    let Done { told, error, .. } = &done;
    assert_eq!(done.exit, Exit::Done, "{arguments:?}: {told}{error}");
    done
}

/// Asserts that a table has a row of these words.
pub fn assert_row(table: &str, row: &str) {
    let rows = table.lines().map(|line| line.split_whitespace());
    let mut rows = rows.map(|words| words.collect::<Vec<_>>().join(" "));
    assert!(rows.any(|found| found == row), "{row} is not in:\n{table}");
}
