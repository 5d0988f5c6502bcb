//! A command of the program in the test's own process, with the operators of any program.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use clap::Parser;
use isobar::cli::Cli;
use isobar::command::Context;
use isobar::environment::Environment;
use isobar::exit::{Exit, Failure};
use isobar::metrics::Recorder;
use isobar::output::Output;
use isobar::progress::Screen;
use isobar_topology::Registry;

/// What a command did.
pub struct Done {
    pub exit: Exit,
    /// On standard output.
    pub output: String,
    /// On standard error, besides the error that ends the command.
    pub told: String,
    pub error: String,
}

/// Runs what stands behind the name of a program of these operators.
pub fn run<'a>(
    registry: &Registry,
    environment: Environment,
    arguments: impl IntoIterator<Item = &'a str>,
) -> Done {
    let cli = Cli::try_parse_from(["isobar"].into_iter().chain(arguments));
    let cli = cli.unwrap_or_else(|error| panic!("{error}"));
    let (written, told) = (Written::default(), Written::default());
    let context = Context {
        registry,
        environment,
        output: Output::to(written.clone()),
        screen: Screen::to(told.clone()),
        recorder: Recorder::new(),
    };
    let (exit, error) = match cli.command.execute(context) {
        Ok(exit) => (exit, String::new()),
        Err(Failure { exit, error }) => (exit, format!("{error:#}")),
    };
    Done {
        exit,
        output: written.text(),
        told: told.text(),
        error,
    }
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn text(&self) -> String {
        let bytes = self.0.lock().expect("nobody panics here").clone();
        String::from_utf8(bytes).expect("text")
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .expect("nobody panics here")
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
