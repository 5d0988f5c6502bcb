//! The examples of the help are right. The program takes each of their command lines; those that contact nobody
//! are run as they are written. Those that need a Kafka, an index or a topology that runs are only parsed, but for
//! `curl` and `tap` in the help of `run` and `demo`, which `embedded/examples.rs` asks of one.

use std::path::Path;
use std::process::Output;

use ::isobar::cli::Cli;
use clap::{Command, CommandFactory, Parser};
use isobar_operators::tap::TapCondition;
use isobar_topology::spec;
use testkit::scratch::Scratch;

use crate::support::shell;

/// The commands that contact nobody, whatever their options.
const ALONE: [&str; 7] = [
    "completions",
    "graph",
    "man",
    "operators",
    "plan",
    "test",
    "validate",
];

/// What an example hands its output to and need not be installed here: it is run up to there.
const ELSEWHERE: [&str; 3] = [" | dot ", " | man ", " && man "];

/// Every command with its examples, a line each: what is broken over several is put together, and what it does
/// left out.
fn examples() -> Vec<(String, Vec<String>)> {
    fn collect(command: &Command, name: &str, found: &mut Vec<(String, Vec<String>)>) {
        let help = help_of(command);
        let lines: Vec<&str> = help.split("\\\n").map(str::trim).collect();
        let lines = lines.join(" ");
        let lines = lines.lines().filter_map(|line| line.strip_prefix("  "));
        let lines = lines.map(|line| line.split("   ").next().unwrap_or_default().to_owned());
        found.push((name.to_owned(), lines.collect()));
        for inner in command.get_subcommands() {
            collect(inner, &format!("{name} {}", inner.get_name()), found);
        }
    }
    let mut found = Vec::new();
    collect(&Cli::command(), "isobar", &mut found);
    found
}

/// What stands behind the options.
fn help_of(command: &Command) -> String {
    let help = command.get_after_help().map(ToString::to_string);
    help.unwrap_or_default()
}

/// The examples of a command such as `isobar run`.
pub(crate) fn examples_of(command: &str) -> Vec<String> {
    let mut examples = examples().into_iter();
    let found = examples.find(|(name, _)| name == command);
    found.expect("there is such a command").1
}

/// The command lines of an example, as a shell parts them.
fn commands(line: &str) -> Vec<Vec<String>> {
    let words = words(line);
    let commands = words.split(|word| ["|", "&&"].contains(&&**word));
    let commands = commands.map(|words| words.split(|word| word == ">").next());
    commands.flatten().map(<[String]>::to_vec).collect()
}

/// As a shell parts them, where nothing is escaped.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut quote) = (vec![String::new()], None);
    for letter in line.chars() {
        match quote {
            Some(end) if letter == end => quote = None,
            None if matches!(letter, '\'' | '"') => quote = Some(letter),
            None if letter == ' ' => words.push(String::new()),
            _ => words.last_mut().expect("one is there").push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The commands of this program in an example.
fn own(line: &str) -> Vec<Vec<String>> {
    let mut commands = commands(line);
    commands.retain(|words| words.first().is_some_and(|first| first == "isobar"));
    commands
}

/// Whether an example is one of this program and contacts nobody.
fn is_alone(line: &str) -> bool {
    let own = own(line);
    let alone = own.iter().filter(|words| {
        let has = |option: &str| words.iter().any(|word| word == option);
        match words.get(1).map_or("", String::as_str) {
            "generate" => !has("--brokers") && !has("--for"),
            "try" => has("--stdin"),
            command => ALONE.contains(&command),
        }
    });
    !own.is_empty() && alone.count() == own.len()
}

#[test]
fn the_help_of_every_command_ends_with_an_example_of_it() {
    fn check(command: &Command, name: &str) {
        for command in command.get_subcommands() {
            let name = format!("{name} {}", command.get_name());
            let help = help_of(command);
            let example = format!("\n  {name} ");
            assert!(
                help.contains("Example") && help.contains(&example),
                "{name}"
            );
            check(command, &name);
        }
    }
    check(&Cli::command(), "isobar");
}

#[test]
fn every_command_line_of_an_example_is_understood() {
    let mut seen = 0;
    for line in examples().into_iter().flat_map(|(_, lines)| lines) {
        for words in own(&line) {
            if let Err(error) = Cli::try_parse_from(&words) {
                panic!("{line}\n{error}");
            }
            // It is compiled before anybody is asked.
            let condition = words.iter().skip_while(|word| *word != "--where").nth(1);
            if let Some(condition) = condition {
                let compiled = TapCondition::compile(condition, &spec::Path::root());
                let _ = compiled.unwrap_or_else(|problem| panic!("{line}\n{problem}"));
            }
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen}");
}

/// A home and a working directory with what the examples name.
struct Home(Scratch);

impl Home {
    fn new() -> Self {
        let scratch = Scratch::new("help").expect("a directory");
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("topologies");
        for (from, to) in [
            ("logs-to-elasticsearch.yaml", "logs.yaml"),
            ("logs-to-elasticsearch.tests.yaml", "logs.tests.yaml"),
            ("syslog-to-elasticsearch.yaml", "metrics.yaml"),
            ("hosts.csv", "hosts.csv"),
        ] {
            let copied = std::fs::copy(shipped.join(from), scratch.path().join(to));
            let _ = copied.unwrap_or_else(|error| panic!("{from}: {error}"));
        }
        // Those that the help shows.
        let command = Cli::command();
        let help = help_of(command.find_subcommand("test").expect("there is one"));
        let (_, from) = help.split_once("\n  tests:\n").expect("it shows tests");
        let (tests, _) = from.split_once("\n\n").expect("their end");
        for (name, text) in [
            ("production.env", "ENVIRONMENT=production\n"),
            ("more.yaml", &*format!("tests:\n{tests}\n")),
        ] {
            let _ = scratch.file(name, text).expect("written");
        }
        for shell in [
            ".local/share/bash-completion/completions",
            ".zfunc",
            ".config/fish/completions",
        ] {
            let _ = scratch.directory(shell).expect("made");
        }
        Self(scratch)
    }

    fn run(&self, line: &str) -> Output {
        let mut shell = shell(line);
        let shell = shell.current_dir(self.0.path()).env("HOME", self.0.path());
        shell.output().expect("bash is there")
    }
}

#[test]
fn examples_that_contact_nobody_run_as_they_are_written() {
    let home = Home::new();
    let (mut seen, mut judges_files) = (0, None);
    let examples = examples().into_iter().flat_map(|(_, lines)| lines);
    for example in examples.filter(|line| is_alone(line)) {
        let mut line = &*example;
        for elsewhere in ELSEWHERE {
            line = line.split(elsewhere).next().unwrap_or_default();
        }
        let done = home.run(line);
        let [printed, told] =
            [&done.stdout, &done.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
        assert!(done.status.success(), "{line}\n{printed}{told}");
        // What jq says of a field that is not there.
        assert!(!printed.lines().any(|line| line == "null"), "{line}");
        if let Some((_, file)) = line.split_once(" > ") {
            let written = home.run(&format!("test -s {file}"));
            assert!(written.status.success(), "{line} wrote nothing");
        }
        if line.contains(".problems[]") {
            judges_files = Some(line.to_owned());
        }
        seen += 1;
    }
    assert!(seen >= 20, "{seen}");

    let page = home.0.path().join(".local/share/man/man1/isobar-run.1");
    assert!(page.exists(), "the example of `man` shows it");
    // Where nothing is wrong this one prints nothing.
    let line = judges_files.expect("that of `validate`");
    let _ = home.0.file("logs.yaml", "isobar: 1\n").expect("written");
    let printed = home.run(&line).stdout;
    assert!(!printed.is_empty(), "{line}");
}
