//! The commands: one file each, one arm here.

pub mod api;
mod brokers;
mod completions;
mod demo;
mod dlq;
mod doctor;
mod generate;
mod graph;
mod init;
mod job;
mod lag;
mod launch;
mod offsets;
mod operators;
mod pause;
mod plan;
pub(crate) mod replay;
mod run;
mod runtime;
mod signals;
mod source;
mod tap;
mod test;
mod top;
mod try_out;
mod validate;
mod verdict;
mod watch;
mod whereabouts;

use clap::Subcommand;
use isobar_topology::Registry;

use crate::environment::Environment;
use crate::exit::Outcome;
use crate::logging;
use crate::metrics::Recorder;
use crate::output::Output;
use crate::progress::Screen;

/// What can be asked for.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows a topology at work, with Kafka and an index inside of this program, on a page
    ///
    /// Nothing has to be installed, and nothing is left behind.
    Demo(demo::DemoArgs),
    /// Runs a topology until it is stopped
    ///
    /// SIGTERM or SIGINT (Ctrl-C) stops reading, waits for what is in flight up to the topology's
    /// `drain_timeout`, commits, and prints what became of each record. A second one ends at once.
    Run(run::RunArgs),
    /// Checks topology files and says everything that is wrong with them
    ///
    /// Each problem comes with its line and what was expected. Contacts nobody and starts nothing.
    Validate(validate::ValidateArgs),
    /// Shows what a topology would run: nodes, edges, bounds, guarantees, memory
    ///
    /// Contacts nobody and starts nothing.
    Plan(plan::PlanArgs),
    /// Asks the outside systems of a topology what is wrong with them, or soon will be
    ///
    /// Changes nothing. What it finds comes with why it matters and what can be done.
    Doctor(doctor::DoctorArgs),
    /// Runs the tests of a topology: records in, documents and rejects out
    ///
    /// Contacts nobody, starts nothing and writes nothing.
    Test(test::TestArgs),
    /// Writes a topology file for a topic, by a look at some of its records
    ///
    /// Joins no group, commits nothing, writes nothing but the file.
    Init(init::InitArgs),
    /// Shows what a topology would make of records: of a live topic, or of standard input
    ///
    /// Joins no group, commits nothing, writes nothing: safe beside a running topology.
    Try(try_out::TryArgs),
    /// Draws a topology: its spouts, bolts and streams, in Mermaid, DOT or SVG
    Graph(graph::GraphArgs),
    /// Makes up records, to standard output or to a topic, to try a topology with
    Generate(generate::GenerateArgs),
    /// Lists the types of connections, spouts and bolts, or shows one with all its options
    Operators(operators::OperatorsArgs),
    /// Shows how far consumer groups are behind the ends of their topics, and what that means
    ///
    /// Asks the brokers, so it works whether the topology runs or not, and for any group; or asks a
    /// topology that runs, which knows more.
    Lag(Box<lag::LagArgs>),
    /// Shows a topology that runs as it changes: rates, queues, the bottleneck, lag, the account
    ///
    /// The same as the page at the address of its HTTP API, at a terminal; replays have commands of their own.
    /// Goes on when the topology is started again. Ctrl-C ends it.
    Top(top::TopArgs),
    /// Shows records as they go along an edge of a topology that runs
    ///
    /// A sample, bounded in number and time. Data never waits for it.
    Tap(tap::TapArgs),
    /// Stops the reading of a topology that runs, until `resume`
    ///
    /// What it has read is worked off and committed; it keeps its partitions.
    Pause(pause::PauseArgs),
    /// Lets a topology that was paused read again
    Resume(pause::PauseArgs),
    /// Shows, moves, saves and restores what a topology's consumer group has committed
    ///
    /// Changes are shown only, unless --execute is given, and are refused while the group has members.
    Offsets(offsets::OffsetsArgs),
    /// Counts, lists, shows and redrives the dead letters of a topology
    Dlq(dlq::DlqArgs),
    /// Says what became of one record: indexed, dead-lettered, dropped, in flight, not read yet, lost
    ///
    /// Asks the index, the dead letters, the brokers and the running program. What none of them knows is
    /// said to be unknown.
    Where(whereabouts::WhereArgs),
    /// Sends a range of a topic through the topology once more, planned, bounded and verified
    ///
    /// Runs beside the live topology and touches nothing that its group has committed.
    Replay(replay::ReplayArgs),
    /// Prints what a shell needs to complete commands and options
    Completions(completions::CompletionsArgs),
    /// Prints the manual page, or writes one for each command
    Man(completions::ManArgs),
}

/// What every command gets.
pub struct Context<'a> {
    /// The types that topology files may name.
    pub registry: &'a Registry,
    /// The environment.
    pub environment: Environment,
    /// Where results go.
    pub output: Output,
    /// Where all else goes.
    pub screen: Screen,
    /// What operators record with the `metrics` crate.
    pub recorder: Recorder,
}

impl Command {
    /// Does it.
    pub fn execute(&self, context: Context<'_>) -> Outcome {
        match self {
            Command::Demo(args) => demo::execute(args, context),
            Command::Run(args) => run::execute(args, context),
            Command::Validate(args) => validate::execute(args, context),
            Command::Plan(args) => plan::execute(args, context),
            Command::Doctor(args) => doctor::execute(args, context),
            Command::Test(args) => test::execute(args, context),
            Command::Init(args) => init::execute(args, context),
            Command::Try(args) => try_out::execute(args, context),
            Command::Graph(args) => graph::execute(args, context),
            Command::Generate(args) => generate::execute(args, context),
            Command::Operators(args) => operators::execute(args, context),
            Command::Lag(args) => lag::execute(args, context),
            Command::Top(args) => top::execute(args, context),
            Command::Tap(args) => tap::execute(args, context),
            Command::Pause(args) => pause::execute(args, pause::Wish::Pause, context),
            Command::Resume(args) => pause::execute(args, pause::Wish::Resume, context),
            Command::Offsets(args) => offsets::execute(args, context),
            Command::Dlq(args) => dlq::execute(args, context),
            Command::Where(args) => whereabouts::execute(args, context),
            Command::Replay(args) => replay::execute(args, context),
            Command::Completions(args) => completions::completions(args, context),
            Command::Man(args) => completions::man(args, context),
        }
    }

    /// What is logged unless something else is said.
    pub fn log_level(&self) -> &'static str {
        match self {
            Command::Run(_) => logging::FOR_RUNS,
            _ => logging::FOR_ANSWERS,
        }
    }
}
