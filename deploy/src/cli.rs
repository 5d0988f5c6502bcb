//! The command line: what can be asked for, and the help that goes with it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};

use crate::command::Command;
use crate::environment::{Environment, cores};
use crate::exit::{self, Failure};
use crate::metrics::lag::{self, Also, By};
use crate::output::Format;
use crate::process;
use crate::push::{PushArgs, Pushes};
use crate::topology_file::TopologyFile;
use isobar_topology::{Plan, Registry};

/// Version and, where it was known at build time, the revision of the source.
pub const VERSION: &str = env!("ISOBAR_VERSION");

/// Moves records from Kafka through a graph of bolts to Elasticsearch, as one YAML file says.
///
/// Every record is indexed, dead-lettered, dropped by a named policy, or in flight, and Isobar shows
/// which.
#[derive(Debug, Parser)]
#[command(
    name = "isobar",
    version = VERSION,
    disable_help_subcommand = true,
    after_help = exit::HELP,
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// How log lines on standard error are written: text or json.
    #[arg(
        long,
        value_enum,
        value_name = "HOW",
        default_value_t,
        hide_possible_values = true,
        global = true,
        help_heading = LOGGING
    )]
    pub log: LogFormat,

    /// What is logged: error, warn, info, debug, trace, or directives such as
    /// `info,isobar_operators=debug`. Default: info for `run`, warn for all else; the variable
    /// ISOBAR_LOG says it too.
    #[arg(long, value_name = "LEVEL", global = true, help_heading = LOGGING)]
    pub log_level: Option<String>,
}

const LOGGING: &str = "Logging";

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// How a command prints what came of it.
#[derive(Args, Debug)]
pub struct OutputArgs {
    /// How the result is printed: table or json.
    #[arg(
        id = "output",
        long = "output",
        short = 'o',
        value_enum,
        value_name = "FORMAT",
        default_value_t,
        hide_possible_values = true
    )]
    pub format: Format,
}

/// What of lag is exported as metrics.
#[derive(Args, Clone, Debug)]
pub struct MetricsArgs {
    /// Whether /metrics has the lag of each partition, or only sums of each spout: partition or spout.
    #[arg(
        long,
        value_enum,
        value_name = "WHAT",
        default_value_t = By::default(),
        hide_possible_values = true
    )]
    metrics_by: By,

    /// Exports the lag under the names of other exporters as well, for dashboards that were made for
    /// them: kafka_exporter, kafka_lag_exporter. Where one of them runs too, its lag is counted twice.
    #[arg(
        long,
        value_enum,
        value_name = "NAMES",
        value_delimiter = ',',
        hide_possible_values = true
    )]
    metrics_also: Vec<Also>,

    #[command(flatten)]
    push: PushArgs,
}

impl MetricsArgs {
    /// As the metrics take them.
    pub fn options(&self) -> lag::Options {
        lag::Options {
            by: self.metrics_by,
            also: self.metrics_also.clone(),
        }
    }

    /// Whether metrics are to be sent to somebody.
    pub fn sends(&self) -> bool {
        self.push.sends()
    }

    /// To whom metrics are sent, by the program that listens at this address.
    pub fn pushes(&self, address: Option<SocketAddr>) -> Result<Pushes, Failure> {
        self.push.pushes(&process::instance(address))
    }
}

/// A topology file and where its values come from.
#[derive(Args, Debug)]
pub struct FileArgs {
    /// The topology file.
    pub file: PathBuf,

    /// A file of KEY=VALUE lines for `${KEY}` in the topology file. Can be given several times: later
    /// files win over earlier ones, and the environment wins over all.
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
}

impl FileArgs {
    /// Reads the file; what is wrong with it shows when it is planned.
    pub fn load(&self, environment: &mut Environment) -> Result<TopologyFile, Failure> {
        environment.add_files(&self.env_file)?;
        Ok(environment.outside(|outside| TopologyFile::load(&self.file, outside)))
    }

    /// Reads and plans the file.
    pub fn plan(
        &self,
        environment: &mut Environment,
        registry: &Registry,
    ) -> Result<(TopologyFile, Plan), Failure> {
        let file = self.load(environment)?;
        let plan = file.plan(registry, cores())?;
        Ok((file, plan))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Columns of the terminal that help is laid out for.
    const COLUMNS: usize = 80;

    /// What follows the options is shown as it is written, and broken where the terminal ends: lists and
    /// examples must fit, and a paragraph is one line, else the breaks fall among each other.
    #[test]
    fn help_survives_a_narrow_terminal() {
        let mut commands = vec![Cli::command()];
        while let Some(command) = commands.pop() {
            commands.extend(command.get_subcommands().cloned());
            let Some(text) = command.get_after_help() else {
                continue;
            };
            let text = text.to_string();
            let is_prose = |line: &str| !line.is_empty() && !line.starts_with(' ');
            for line in text.lines().filter(|line| !is_prose(line)) {
                assert!(
                    line.chars().count() <= COLUMNS,
                    "{}: {line}",
                    command.get_name()
                );
            }
            for (line, next) in text.lines().zip(text.lines().skip(1)) {
                let joined = is_prose(line) && is_prose(next);
                assert!(!joined, "{}: {line}\n{next}", command.get_name());
            }
        }
    }
}
