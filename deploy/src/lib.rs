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
/// from its `main`, before it starts any thread; `deploy/examples/` has one.
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
