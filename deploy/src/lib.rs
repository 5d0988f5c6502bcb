//! The library behind the `isobar` program: the one crate that reads the environment and prints.
//!
//! [`main_with`] is the whole program for any set of types of operators.

pub mod accounting;
pub mod bottleneck;
pub mod c_memory;
pub mod certificates;
pub mod cli;
pub mod command;
pub mod configuration;
pub mod demo;
pub mod diagnostics;
pub mod differences;
pub mod endpoint;
pub mod env_file;
pub mod environment;
pub mod exit;
pub mod generate;
pub mod history;
pub mod http;
pub mod lag;
pub mod logging;
pub mod metrics;
pub mod observer;
pub mod output;
pub mod peers;
mod picture;
pub mod plan_document;
pub mod process;
pub mod progress;
pub mod push;
pub mod rates;
pub mod readiness;
pub mod reference;
pub mod rehearsal;
mod secrets;
pub mod statistics;
mod substitute;
pub mod token;
pub mod top;
pub mod topology_file;
mod yaml;
mod yaml_file;

use std::process::ExitCode;

use clap::Parser;
use isobar_topology::Registry;
use isobar_topology::memory::{self, GiveBack};

use cli::{Cli, LogFormat};
use command::Context;
use environment::Environment;
use exit::{Exit, Failure, Outcome};
use output::Output;
use progress::Screen;

pub use substitute::Outside;
pub use topology_file::{Refused, TopologyFile};

/// The program: does what its command line says, with the types of operators of `registry`.
///
/// A program with operators of its own adds them to `isobar_operators::registry()` and calls this
/// from its `main`, before it starts any thread; `deploy/examples/` has two. Where two types of bolts, spouts or
/// connections have one name, it says so and fails, whatever the command.
pub fn main_with(registry: Registry) -> ExitCode {
    c_memory::keep_between_fetches();
    // A program that told of an allocator of its own has done so before.
    memory::give_back_with(GiveBack {
        of_thread: || (),
        of_process: c_memory::give_back,
    });
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output, all else to standard error.
            let _ = error.print();
            return match error.use_stderr() {
                true => Exit::Usage.into(),
                false => Exit::Done.into(),
            };
        }
    };
    let screen = match cli.log {
        LogFormat::Text => Screen::stderr(),
        LogFormat::Json => Screen::stderr().without_progress(),
    };
    let exit = match execute(&cli, &registry, &screen) {
        Ok(exit) => exit,
        Err(Failure { exit, error }) => {
            screen.clear();
            screen.line(&format!("{error:#}"));
            exit
        }
    };
    exit.into()
}

fn execute(cli: &Cli, registry: &Registry, screen: &Screen) -> Outcome {
    check(registry)?;
    // Before librdkafka does, and so that it is not taken down at the end: clients that are being let go then
    // may use it still.
    openssl::init();
    let environment = Environment::of_process();
    let level = cli.log_level.as_deref();
    logging::start(
        cli.log,
        level,
        cli.command.log_level(),
        &environment,
        screen,
    )?;
    let context = Context {
        registry,
        environment,
        output: Output::stdout(),
        screen: screen.clone(),
        recorder: metrics::Recorder::install()?,
    };
    cli.command.execute(context)
}

/// Refuses two types of one name: topology files could only mean the first, with other options than those of
/// the second.
fn check(registry: &Registry) -> Result<(), Failure> {
    let Some((kind, name)) = registry.named_twice() else {
        return Ok(());
    };
    let text = format!(
        "two types of {kind} of this program have the name `{name}`; give the one that did not come with Isobar \
         another"
    );
    Err(Failure::new(Exit::Failed, anyhow::anyhow!(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_two_types_of_one_name_does_nothing() {
        let cli = Cli::parse_from(["isobar", "operators"]);
        let mut registry = isobar_operators::registry();
        let of_isobar = *registry.bolt("sample").expect("it has one");
        registry.bolts.push(of_isobar);
        let failure = execute(&cli, &registry, &Screen::stderr()).expect_err("two are there");
        assert_eq!(failure.exit, Exit::Failed);
        assert_eq!(
            failure.error.to_string(),
            "two types of bolts of this program have the name `sample`; give the one that did not come with \
             Isobar another"
        );
        // A spout and a bolt are told apart by where they stand.
        let registry = isobar_operators::registry();
        assert!(registry.bolt("kafka").is_some() && registry.spout("kafka").is_some());
        assert_eq!(registry.named_twice(), None);
    }
}
