//! `isobar tap`: records as they go along an edge of a topology that runs.

use std::num::NonZeroU64;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use isobar_topology::spec::units;

use super::Context;
use super::api::{Api, DEFAULT, Lines};
use super::signals::Signals;
use crate::exit::{Exit, Failure, Outcome};
use crate::http::{TapCounts, TapEnded, TapLine, TapRecord, TapStart};
use crate::output::{number, printable};

/// What `tap` takes.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE, override_usage = "isobar tap [OPTIONS] [URL] <EDGE>")]
pub struct TapArgs {
    /// The address of the HTTP API of a topology that runs; that of a demo may have its token behind it.
    /// Default: http://127.0.0.1:10132.
    // A single one of the two is the edge. That clap can tell by itself, but not with options between them.
    #[arg(value_name = "URL")]
    first: Option<String>,

    /// The edge: a stream such as `parse` or `parse.rejected`, or one of its edges, `parse -> index`.
    #[arg(value_name = "EDGE")]
    second: Option<String>,

    /// The file with the token that the topology was started with (`isobar run --token-file`).
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Takes one in so many records.
    #[arg(long, value_name = "N", default_value = "1")]
    every: NonZeroU64,

    /// Ends after so many records.
    #[arg(long, value_name = "N", default_value = "10")]
    limit: NonZeroU64,

    /// Ends after so long, 1h at most.
    #[arg(long = "for", value_name = "TIME", default_value = "1m")]
    time: units::Duration,

    /// Fields whose values are not shown: `user`, `user.name` inside of another, or `kafka.key`. Can be
    /// given several times, or with commas. Then no reason of a rejection is shown either, and no value
    /// that is not JSON, since nobody knows what is in them.
    #[arg(long, value_name = "FIELD", value_delimiter = ',')]
    mask: Vec<String>,

    /// How long it may take until the topology answers.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    timeout: units::Duration,

    /// How records are printed: text or json (a line for each).
    #[arg(
        long,
        short = 'o',
        value_enum,
        value_name = "FORMAT",
        default_value_t,
        hide_possible_values = true
    )]
    output: Form,
}

/// How records are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people.
    #[default]
    Text,
    /// A line for each record.
    Json,
}

const EXAMPLE: &str = "\
Examples:
  isobar tap parse --token-file /run/secrets/isobar
  isobar tap http://10.0.0.7:10132 'parse -> index' --every 1000 --for 5m \\
      --limit 100 --mask user,client_ip --token-file /run/secrets/isobar
  isobar tap parse.rejected -o json --token-file /run/secrets/isobar
  isobar tap 'http://127.0.0.1:10132/#token=0123456789abcdef' parse

Edges are those of `isobar graph` and `isobar plan`. Data never waits for a tap: it gets copies, 1,000 records and 4 MiB a second at most, and says how many records it left out. Records longer than 64 KiB are shown without their text. A topology has 4 taps at most. What `on_full` of an edge drops is shown, too: a tap shows what comes to the edge.

What a `mask` bolt has masked is masked in what comes behind it. Rejected records are shown as they were read.";

pub(super) fn execute(args: &TapArgs, context: Context<'_>) -> Outcome {
    let (api, edge) = args.place()?;
    let token = api.token(args.token_file.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot make the runtime of the command")?;
    let query = [
        ("edge", edge.to_owned()),
        ("every", args.every.to_string()),
        ("limit", args.limit.to_string()),
        ("for", args.time.to_string()),
        ("mask", args.mask.join(",")),
    ];
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let within = args.timeout.get();
        let lines = api.lines("/tap", &query, &token, WHAT, within);
        let mut lines = tokio::select! {
            biased;
            _ = signals.next() => return Ok(Exit::Done),
            lines = lines => lines?,
        };
        tokio::select! {
            biased;
            _ = signals.next() => Ok(Exit::Done),
            exit = args.show(&api, edge, &mut lines, &context) => exit,
        }
    })
}

const WHAT: &str = "what goes along an edge";

impl TapArgs {
    /// Whom to ask, and about which edge.
    fn place(&self) -> Result<(Api, &str), Failure> {
        const WHICH: &str =
            "which edge? Those of `isobar graph`, such as `parse` or `parse -> index`";
        let (url, edge) = match (&self.first, &self.second) {
            (Some(url), Some(edge)) => (url.as_str(), edge),
            (Some(url), None) if url.contains(':') => {
                // It may have a token behind it.
                let url: Api = url.parse().map_err(Failure::usage)?;
                let what = format!("{} is an address; {WHICH}", url.address());
                return Err(Failure::usage(what));
            }
            (Some(edge), None) => (DEFAULT, edge),
            (None, _) => return Err(Failure::usage(WHICH)),
        };
        Ok((url.parse().map_err(Failure::usage)?, edge))
    }

    async fn show(
        &self,
        api: &Api,
        edge: &str,
        lines: &mut Lines<'_>,
        context: &Context<'_>,
    ) -> Outcome {
        let mut edge = edge.to_owned();
        loop {
            let Some(line) = lines.next().await? else {
                return Err(api.undetermined(WHAT, "its answer was cut; has it ended?"));
            };
            match line {
                TapLine::Start(start) if start.version != TapStart::VERSION => {
                    let why = format!("its answer has version {}", start.version);
                    return Err(api.undetermined(WHAT, &why));
                }
                TapLine::Start(start) => edge = start.edge,
                TapLine::Counts(_) => {}
                TapLine::Record(record) => {
                    if !self.print(&record, context)? {
                        return Ok(Exit::Done);
                    }
                }
                TapLine::End(end) => {
                    context.screen.line(&summary(&edge, end.counts));
                    if end.reason == TapEnded::Topology {
                        context.screen.line("The topology has ended.");
                    }
                    return Ok(Exit::Done);
                }
            }
        }
    }

    /// Prints a record; `false` when nobody reads any more.
    fn print(&self, record: &TapRecord, context: &Context<'_>) -> Result<bool, Failure> {
        let text = match self.output {
            Form::Text => printable(&text(record)).into_owned(),
            Form::Json => serde_json::to_string(record).context("cannot write JSON")?,
        };
        Ok(context.output.write(format!("{text}\n").as_bytes())?)
    }
}

fn text(record: &TapRecord) -> String {
    let what = match (&record.document, &record.value, record.too_long) {
        (Some(document), ..) => document.to_string(),
        (None, Some(value), _) => value.replace(['\n', '\r'], " "),
        (None, None, Some(bytes)) => format!("({} bytes, too long to be shown)", number(bytes)),
        (None, None, None) => "(a tombstone)".to_owned(),
    };
    let name = format!("{}/{}@{}", record.topic, record.partition, record.offset);
    match &record.rejected {
        None => format!("{name}  {what}"),
        Some(why) => format!(
            "{name}  {what}\n    rejected by {}: {}: {}",
            why.by, why.class, why.reason
        ),
    }
}

fn summary(edge: &str, counts: TapCounts) -> String {
    let mut text = format!(
        "{} of {} records on {edge} shown.",
        number(counts.shown),
        number(counts.passed)
    );
    if counts.not_shown > 0 {
        text.push_str(&format!(
            " {} others came faster than they are copied and were not shown; --every N takes one in N.",
            number(counts.not_shown)
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;
    use crate::command::Command;

    #[test]
    fn an_edge_is_told_from_an_address_and_options_stand_anywhere() {
        let place = |line: &str| {
            let cli = Cli::try_parse_from(line.split(' ')).expect(line);
            let Command::Tap(args) = cli.command else {
                panic!("{line}");
            };
            let place = args
                .place()
                .map(|(api, edge)| format!("{} {edge}", api.address()));
            place.map_err(|failure| failure.error.to_string())
        };
        for line in [
            "isobar tap http://a:1 parse",
            "isobar tap http://a:1 --limit 1 parse",
            "isobar tap --limit 1 http://a:1 parse --every 5",
        ] {
            assert_eq!(place(line).as_deref(), Ok("a:1 parse"), "{line}");
        }
        for line in ["isobar tap parse", "isobar tap --limit 1 parse -o json"] {
            assert_eq!(
                place(line).as_deref(),
                Ok("127.0.0.1:10132 parse"),
                "{line}"
            );
        }
        for (line, expected) in [
            ("isobar tap", "which edge? "),
            (
                "isobar tap http://a:1/#token=secret",
                "a:1 is an address; which edge? ",
            ),
            ("isobar tap parse http://a:1", "parse is no address"),
            ("isobar tap a:1", "a:1 is no address"),
        ] {
            let why = place(line).expect_err(line);
            assert!(
                why.starts_with(expected) && !why.contains("secret"),
                "{why}"
            );
        }
    }

    #[test]
    fn what_was_left_out_is_told() {
        let counts = TapCounts {
            passed: 12_345,
            shown: 10,
            not_shown: 0,
        };
        assert_eq!(
            summary("parse -> index", counts),
            "10 of 12,345 records on parse -> index shown."
        );
        let not_shown = 1_234;
        assert_eq!(
            summary(
                "parse -> index",
                TapCounts {
                    not_shown,
                    ..counts
                }
            ),
            "10 of 12,345 records on parse -> index shown. 1,234 others came faster than they are copied and were not shown; --every N takes one in N."
        );
    }
}
