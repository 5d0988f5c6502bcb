//! `isobar lag`: how far the consumer groups of a topology, or any group, are behind, and what that means.

mod asked;
mod letters;
mod post;
mod thresholds;

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use isobar_operators::lag::Status;
use isobar_topology::spec::units;

use super::Context;
use super::brokers::SecurityArgs;
use super::runtime::block_on;
use super::signals::Signals;
use crate::cli::MetricsArgs;
use crate::endpoint::Endpoint;
use crate::exit::{Exit, Failure, Outcome};
use crate::http::{Bind, LagServer, Server};
use crate::lag::{self, LagDocument, Width};
use crate::metrics::Letters;
use asked::Asked;
use letters::LettersWatch;
use thresholds::Thresholds;

/// What `lag` takes.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub struct LagArgs {
    /// A topology file, or the address of the HTTP API of one that runs: http://HOST:PORT.
    // Each of these is named: clap takes no notice of what an option requires where that conflicts with
    // something given.
    #[arg(
        required_unless_present = "brokers",
        conflicts_with_all = ["brokers", "group", "topic", "SecurityArgs"]
    )]
    source: Option<String>,

    /// A file of KEY=VALUE lines for `${KEY}` in the topology file, as with `run`.
    #[arg(long, value_name = "FILE", conflicts_with = "brokers")]
    env_file: Vec<std::path::PathBuf>,

    /// Asks these brokers, HOST:PORT separated by commas, about any group.
    #[arg(
        long,
        value_name = "BROKERS",
        value_delimiter = ',',
        requires = "group"
    )]
    brokers: Vec<String>,

    /// The group to ask about, Isobar's or not.
    #[arg(
        long,
        value_name = "GROUP",
        requires = "brokers",
        value_parser = clap::builder::NonEmptyStringValueParser::new()
    )]
    group: Option<String>,

    /// With --group: a topic, or a pattern that starts with ^. Can be given several times. Default: those
    /// that the group has committed for or reads.
    #[arg(long, value_name = "TOPIC", requires = "brokers")]
    topic: Vec<String>,

    #[command(flatten)]
    security: SecurityArgs,

    /// How long each of a few questions may take.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    timeout: units::Duration,

    /// Watches for so long before it answers: rates, ETA and most statuses need time, 6m to tell whether a
    /// group stands still.
    #[arg(long, value_name = "TIME", conflicts_with_all = ["watch", "serve"])]
    over: Option<units::Duration>,

    /// Answers again and again, every 5 seconds or as often as given, until it is stopped. Unless a running
    /// topology is asked, it asks the brokers every 5 seconds at least, so that rates and statuses mean the same however seldom it answers.
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "5s")]
    watch: Option<units::Duration>,

    /// Ends with exit code 3 when more records than this of a spout are not settled.
    #[arg(long, value_name = "RECORDS", conflicts_with = "serve")]
    fail_above: Option<u64>,

    /// Ends with exit code 3 when a record that is not settled is older than this.
    #[arg(long, value_name = "TIME", conflicts_with = "serve")]
    fail_older: Option<units::Duration>,

    /// Ends with exit code 3 when the status of a partition is this or worse; from better to worse: ok,
    /// catching_up, paused, rewound, lso_blocked, slow, backpressured, stalled, held, lost. With no_data, which
    /// stands before rewound, it is 4: what is not known passes nothing.
    #[arg(long, value_name = "STATUS", conflicts_with = "serve")]
    fail_status: Option<Status>,

    /// Sends each answer as JSON to this URL, with POST.
    #[arg(long, value_name = "URL")]
    post: Option<Endpoint>,

    /// Watches until it is stopped and answers /metrics and /lag at HOST:PORT, whether the program of the
    /// group runs or not.
    #[arg(long, value_name = "ADDR", conflicts_with = "watch")]
    serve: Option<Bind>,

    #[command(flatten)]
    metrics: MetricsArgs,

    /// How the result is printed: table; wide, a table that has the broker which leads each partition and
    /// how many records it holds, too; or json.
    #[arg(
        long,
        short,
        value_enum,
        value_name = "FORMAT",
        default_value_t,
        hide_possible_values = true,
        conflicts_with = "serve"
    )]
    output: Format,
}

/// How lag is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Table,
    /// The same with more columns.
    Wide,
    /// For programs.
    Json,
}

impl Format {
    /// Which table it is; `None` for none.
    fn table(self) -> Option<Width> {
        match self {
            Self::Table => Some(Width::Usual),
            Self::Wide => Some(Width::Wide),
            Self::Json => None,
        }
    }
}

const EXAMPLE: &str = "\
Examples:
  isobar lag logs.yaml
  isobar lag http://127.0.0.1:10132 --watch
  isobar lag --brokers localhost:9092 --group app --over 6m --fail-status slow
  isobar lag logs.yaml -o json | jq '.spouts[].lag'
  isobar lag logs.yaml -o wide
  isobar lag logs.yaml --serve 0.0.0.0:10133

COMMITTED is the offset that the group goes on from, CURRENT the first one that is not settled, END \
the one after the last record, LAG what is between the last two, OLDEST the age of the first record \
in it (`~` before an estimate; `≤` before what may be less, as also before the LAG of a group of which only \
commits are known), IN/S and OUT/S the rates of the last minute (OUT/S of a group that commits more seldom from one commit to another), which are estimates as the ETA is that follows from them, HEADROOM how long, or how many records where size may delete them \
sooner than age and it is not known when, until something is deleted unread, `never` where nothing is deleted; with -o wide LEADER is the broker that leads the partition, `none` where there is none, \
DEPTH how many records the partition holds. `?` (null in JSON) stands for what is not known: the exit code is 4 then, and standard error says why.";

/// Between two looks at most, and with `--serve`: rates and statuses follow from looks that are not further apart.
const LOOK: Duration = Duration::from_secs(5);
/// Between two looks at least.
const LOOK_MIN: Duration = Duration::from_secs(1);

/// Between two looks where so long is wanted.
fn between_looks(wanted: Duration) -> Duration {
    wanted.clamp(LOOK_MIN, LOOK)
}

pub(super) fn execute(args: &LagArgs, mut context: Context<'_>) -> Outcome {
    if args.serve.is_none() && args.metrics.sends() {
        let what = "--push-influx and --push-otlp go with --serve; --post sends an answer as JSON";
        return Err(Failure::usage(what));
    }
    let asked = Asked::of(args, &mut context)?;
    block_on(async {
        match (&args.serve, args.watch, args.over) {
            (Some(bind), _, _) => serve(args, &context, asked, bind).await,
            (None, Some(interval), _) => watch(args, &context, asked, interval.get()).await,
            (None, None, Some(over)) => {
                let asked = asked.stand(between_looks(over.get() / 4), args.timeout.get())?;
                let _ = asked.document().await?;
                tokio::time::sleep(over.get()).await;
                let last = asked.document().await?;
                answer(args, &context, &last, false).await
            }
            (None, None, None) => {
                let document = asked.document().await?;
                answer(args, &context, &document, false).await
            }
        }
    })?
}

/// Prints and sends one answer, and says what its exit code is.
async fn answer(
    args: &LagArgs,
    context: &Context<'_>,
    document: &LagDocument,
    goes_on: bool,
) -> Outcome {
    match (args.output.table(), goes_on) {
        (Some(width), _) => {
            context
                .output
                .text(&lag::table_without_failures(&document.spouts, width))?;
            if let Some(totals) = document.total.text(width) {
                context.output.text(&format!("\n{totals}"))?;
            }
        }
        (None, false) => context.output.json(document)?,
        (None, true) => {
            let line = serde_json::to_string(document).context("cannot write JSON")?;
            context.output.line(&line)?;
        }
    }
    let (exit, why) = Thresholds::of(args).judge(document);
    for why in why {
        context.screen.line(&format!("isobar: {why}"));
    }
    let Some(post) = &args.post else {
        return Ok(exit);
    };
    match (post::send(post, document, args.timeout.get()).await, exit) {
        // What was found says more than that somebody else does not know of it.
        (Err(failure), Exit::Threshold | Exit::Undetermined) => {
            let _ = said(context, &failure);
            Ok(exit)
        }
        (sent, _) => sent.map(|()| exit),
    }
}

async fn watch(args: &LagArgs, context: &Context<'_>, asked: Asked, interval: Duration) -> Outcome {
    let interval = interval.max(LOOK_MIN);
    let mut signals = Signals::listen()?;
    let asked = asked.stand(between_looks(interval), args.timeout.get())?;
    let clears = args.output.table().is_some() && std::io::stdout().is_terminal();
    let mut ticks = tokio::time::interval(interval);
    let mut exit = Exit::Done;
    loop {
        let turn = async {
            let _ = ticks.tick().await;
            asked.document().await
        };
        let document = tokio::select! {
            biased;
            _ = signals.next() => return Ok(exit),
            document = turn => document,
        };
        if clears {
            let _ = context.output.write(b"\x1b[2J\x1b[H")?;
        }
        exit = match document {
            Ok(document) => match answer(args, context, &document, true).await {
                Ok(exit) => exit,
                Err(failure) => said(context, &failure),
            },
            Err(failure) => said(context, &failure),
        };
        if !context.output.is_read() {
            return Ok(exit);
        }
    }
}

/// Says what failed, where it is tried again.
fn said(context: &Context<'_>, failure: &Failure) -> Exit {
    context.screen.line(&format!("isobar: {:#}", failure.error));
    failure.exit
}

async fn serve(args: &LagArgs, context: &Context<'_>, asked: Asked, bind: &Bind) -> Outcome {
    let mut signals = Signals::listen()?;
    let Some(server) = Server::bind(bind, "--serve HOST:PORT").await? else {
        return Err(Failure::usage("--serve takes HOST:PORT"));
    };
    let pushes = args.metrics.pushes(Some(server.address()))?;
    let (topology, standing, letters) = asked.stand(LOOK, args.timeout.get())?.standing()?;
    context
        .screen
        .line(&format!("isobar: listening on http://{}", server.address()));
    let letters = letters.map(|letters| {
        let watch = LettersWatch::start(letters, args.timeout.get());
        Box::new(move || watch.read()) as Box<dyn Fn() -> Letters + Send + Sync>
    });
    let served = LagServer {
        letters,
        topology,
        standing,
        options: args.metrics.options(),
        pushes,
    };
    let served = std::sync::Arc::new(served);
    let figures = || Some(served.figures(&served.document()?));
    let pushing = served.pushes.run(&figures);
    let posting = async {
        let Some(post) = &args.post else {
            return std::future::pending().await;
        };
        let mut ticks = tokio::time::interval(LOOK);
        loop {
            let _ = ticks.tick().await;
            if let Some(document) = served.document()
                && let Err(failure) = post::send(post, &document, args.timeout.get()).await
            {
                let _ = said(context, &failure);
            }
        }
    };
    tokio::select! {
        _ = signals.next() => Ok(Exit::Done),
        never = server.serve_lag(std::sync::Arc::clone(&served)) => match never {},
        never = pushing => match never {},
        never = posting => never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_near_to_each_other_however_seldom_it_answers() {
        let seconds = |wanted| between_looks(Duration::from_secs(wanted)).as_secs();
        assert_eq!(
            [0, 1, 3, 5, 30, 60, 600].map(seconds),
            [1, 1, 3, 5, 5, 5, 5]
        );
    }
}
