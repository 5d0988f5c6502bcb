//! Log lines on standard error, as text or JSON, beside a progress line if there is one.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::cli::LogFormat;
use crate::environment::Environment;
use crate::exit::Failure;
use crate::progress::Screen;

/// Names of the crates whose lines a plain level is about. Others speak when something is wrong.
const OURS: [&str; 3] = ["isobar", "isobar_topology", "isobar_operators"];
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// What is logged where nothing else is said.
pub const FOR_RUNS: &str = "info";
/// As [`FOR_RUNS`], for commands that print a result and end: the client's troubles are part of it.
pub const FOR_ANSWERS: &str = "warn,librdkafka=error";

/// Starts logging for the whole process. `level` is what the command line says.
pub fn start(
    format: LogFormat,
    level: Option<&str>,
    default: &str,
    environment: &Environment,
    screen: &Screen,
) -> Result<(), Failure> {
    let of_environment = environment
        .get("ISOBAR_LOG")
        .filter(|level| !level.is_empty());
    let level = level.or(of_environment.as_deref()).unwrap_or(default);
    let filter = filter(level).map_err(Failure::usage)?;
    let colors = io::stderr().is_terminal() && !environment.no_color();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Lines(screen.clone()))
        .with_ansi(colors);
    let started = match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .try_init(),
    };
    started
        .map_err(|error| anyhow::anyhow!(error))
        .context("cannot start logging")
        .map_err(Failure::from)
}

fn filter(level: &str) -> Result<EnvFilter, String> {
    let directives = match LEVELS.contains(&level.to_ascii_lowercase().as_str()) {
        true => {
            let ours = OURS.map(|name| format!("{name}={level}"));
            let others = if level.eq_ignore_ascii_case("off") {
                "off"
            } else {
                "warn"
            };
            format!("{others},{}", ours.join(","))
        }
        false => level.to_owned(),
    };
    let refused = |why: String| {
        format!(
            "the log level {level:?} is not valid: {why}; expected one of {}, or directives such as info,isobar_operators=debug",
            LEVELS.join(", ")
        )
    };
    if let Some(word) = unknown_word(&directives) {
        return Err(refused(format!("{word} is no level")));
    }
    EnvFilter::try_new(&directives).map_err(|error| refused(error.to_string()))
}

/// A directive that is a single word and no level. The filter would take it for the name of a crate, and
/// log all of that and nothing else.
fn unknown_word(directives: &str) -> Option<&str> {
    let mut words = directives.split(',').map(str::trim);
    let is_word = |text: &str| !text.is_empty() && !text.contains(['=', '[', ']']);
    words.find(|word| is_word(word) && word.parse::<LevelFilter>().is_err())
}

/// Writes each line to standard error in one piece, above the progress line.
#[derive(Clone)]
struct Lines(Screen);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line {
            screen: self.0.clone(),
            text: Vec::new(),
        }
    }
}

struct Line {
    screen: Screen,
    text: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.screen.write(&self.text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_level_is_about_our_own_lines() {
        let shown = filter("debug").expect("a level").to_string();
        assert!(
            shown.contains("isobar_topology=debug") && shown.contains("warn"),
            "{shown}"
        );
        assert_eq!(
            filter("rdkafka=trace").expect("a directive").to_string(),
            "rdkafka=trace"
        );
        for level in ["isobar=loud", "loud", "info,loud", "rdkafka"] {
            let wrong = filter(level).expect_err("no such level");
            assert!(wrong.contains("expected one of off, error"), "{wrong}");
        }
        for level in ["DEBUG", "off", "info,rdkafka=trace", "[span]=debug"] {
            let _ = filter(level).expect(level);
        }
    }
}
