//! `isobar tap`: records as they go along an edge of a topology that runs.

use std::num::NonZeroU64;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use isobar_operators::tap::TapCondition;
use isobar_topology::clock;
use isobar_topology::spec::{Path, units};
use tokio::time::Instant;

use super::Context;
use super::api::{Api, DEFAULT, Lines};
use super::runtime::block_on;
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

    /// Shows only records that meet a condition, in the language of topology files, such as
    /// `doc.status >= 500 && kafka.partition == 3`. It is evaluated on the copies.
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<String>,

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
  isobar tap parse --where \"doc.level == 'error' && doc.took > 1.5\" \\
      --token-file /run/secrets/isobar
  isobar tap parse.rejected -o json --token-file /run/secrets/isobar
  isobar tap 'http://127.0.0.1:10132/#token=0123456789abcdef' parse

Edges are those of `isobar graph` and `isobar plan`. Data never waits for a tap: it gets copies, 1,000 records and 4 MiB a second at most, and says how many records it left out. Records longer than 64 KiB are shown without their text. A topology has 4 taps at most. What `on_full` of an edge drops is shown, too: a tap shows what comes to the edge.

A condition may ask for any field, also one that the topology does not mention. Records of which it cannot be told whether they meet it, as a field is missing or of another type, are not shown; how many there were is told at the end. Ask with has(doc.level) where a field may be missing. Fields of documents are there behind a parser.

What a `mask` bolt has masked is masked in what comes behind it. Rejected records are shown as they were read.";

pub(super) fn execute(args: &TapArgs, context: Context<'_>) -> Outcome {
    let (api, edge) = args.place()?;
    args.check_condition()?;
    let token = api.token(args.token_file.as_deref())?;
    let mut query = vec![
        ("edge", edge.to_owned()),
        ("every", args.every.to_string()),
        ("limit", args.limit.to_string()),
        ("for", args.time.to_string()),
        ("mask", args.mask.join(",")),
    ];
    let condition = args.condition.iter();
    query.extend(condition.map(|condition| ("where", condition.clone())));
    block_on(async {
        let mut signals = Signals::listen()?;
        let within = args.timeout.get();
        let lines = api.lines("/tap", &query, &token, WHAT, within);
        let mut lines = tokio::select! {
            biased;
            _ = signals.next() => return Ok(Exit::Done),
            lines = lines => lines?,
        };
        let mut so_far = SoFar::new(edge);
        tokio::select! {
            biased;
            _ = signals.next() => {
                so_far.tell(&context);
                Ok(Exit::Done)
            }
            exit = args.show(&api, &mut so_far, &mut lines, &context) => exit,
        }
    })?
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

    /// Refuses a bad condition before anybody is asked.
    fn check_condition(&self) -> Result<(), Failure> {
        let Some(text) = &self.condition else {
            return Ok(());
        };
        let compiled = TapCondition::compile(text, &Path::root().key("--where"));
        match compiled {
            Ok(_) => Ok(()),
            Err(problem) => Err(Failure::usage(problem.to_string())),
        }
    }

    async fn show(
        &self,
        api: &Api,
        so_far: &mut SoFar,
        lines: &mut Lines<'_>,
        context: &Context<'_>,
    ) -> Outcome {
        loop {
            let Some(line) = lines.next().await? else {
                return Err(api.undetermined(WHAT, "its answer was cut; has it ended?"));
            };
            match line {
                TapLine::Start(start) if start.version != TapStart::VERSION => {
                    let why = format!("its answer has version {}", start.version);
                    return Err(api.undetermined(WHAT, &why));
                }
                TapLine::Start(start) if start.condition != self.condition => {
                    let why = "it is of an earlier version, which knows no --where";
                    return Err(api.undetermined(WHAT, why));
                }
                TapLine::Start(start) => so_far.edge = start.edge,
                TapLine::Counts(counts) => so_far.counts = Some((counts, clock::now())),
                TapLine::Record(record) => {
                    if !self.print(&record, context)? {
                        return Ok(Exit::Done);
                    }
                }
                TapLine::End(end) => {
                    context.screen.line(&summary(&so_far.edge, &end.counts));
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

/// What is known when the command is interrupted.
struct SoFar {
    edge: String,
    /// The last numbers that came, and when.
    counts: Option<(TapCounts, Instant)>,
}

impl SoFar {
    fn new(edge: &str) -> Self {
        Self {
            edge: edge.to_owned(),
            counts: None,
        }
    }

    /// Who sees no record is told why.
    fn tell(&self, context: &Context<'_>) {
        if let Some((counts, at)) = &self.counts {
            let ago = (clock::now() - *at).as_secs();
            let summary = summary(&self.edge, counts);
            context.screen.line(&format!("{ago} s ago: {summary}"));
        }
    }
}

fn summary(edge: &str, counts: &TapCounts) -> String {
    let shown = number(counts.shown);
    let passed = format!("{} records on {edge}", number(counts.passed));
    let mut text = match &counts.judged {
        None => format!("{shown} of {passed} shown."),
        Some(judged) => format!(
            "{passed}, {} looked at, {shown} met the condition.",
            number(judged.looked_at)
        ),
    };
    if let Some(judged) = &counts.judged
        && judged.unknown > 0
    {
        let unknown = number(judged.unknown);
        text.push_str(&format!(" Of {unknown} it cannot be told"));
        if let Some(why) = &judged.reason {
            text.push_str(&format!(", of the last one because {why}"));
        }
        text.push('.');
    }
    if counts.not_shown > 0 {
        let others = match counts.judged {
            None => "were not shown; --every N takes one in N",
            Some(_) => "were not looked at: a tap takes 1,000 records and 4 MiB a second",
        };
        text.push_str(&format!(
            " {} others came faster than they are copied and {others}.",
            number(counts.not_shown)
        ));
    }
    if !counts.idle_masks.is_empty() {
        text.push_str(&format!(
            " No record shown has a field {}, so nothing is masked by that.",
            counts.idle_masks.join(" or ")
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
    use crate::http::TapJudged;

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
            judged: None,
            idle_masks: Vec::new(),
        };
        let check = |counts: &TapCounts, expected: &str| {
            assert_eq!(summary("parse -> index", counts), expected);
        };
        check(&counts, "10 of 12,345 records on parse -> index shown.");
        let counts = TapCounts {
            not_shown: 1_234,
            ..counts
        };
        check(
            &counts,
            "10 of 12,345 records on parse -> index shown. 1,234 others came faster than they are copied and were not shown; --every N takes one in N.",
        );
    }

    #[test]
    fn a_mask_that_hides_nothing_is_told() {
        let counts = TapCounts {
            passed: 9,
            shown: 3,
            idle_masks: vec!["usr".to_owned(), "client".to_owned()],
            ..TapCounts::default()
        };
        assert_eq!(
            summary("parse -> index", &counts),
            "3 of 9 records on parse -> index shown. No record shown has a field usr or client, so nothing is masked by \
             that."
        );
    }

    #[test]
    fn with_a_condition_it_is_told_how_many_were_looked_at() {
        let counts = |judged: TapJudged| TapCounts {
            passed: 12_345,
            shown: 0,
            not_shown: 0,
            judged: Some(judged),
            idle_masks: Vec::new(),
        };
        let check = |counts: &TapCounts, expected: &str| {
            assert_eq!(summary("parse -> index", counts), expected);
        };
        let mut judged = TapJudged {
            looked_at: 1_000,
            ..TapJudged::default()
        };
        check(
            &counts(judged.clone()),
            "12,345 records on parse -> index, 1,000 looked at, 0 met the condition.",
        );
        judged.unknown = 999;
        judged.reason = Some("doc.status is missing".to_owned());
        let counts = TapCounts {
            not_shown: 11_345,
            ..counts(judged)
        };
        check(
            &counts,
            "12,345 records on parse -> index, 1,000 looked at, 0 met the condition. Of 999 it cannot be told, of the last one because doc.status is missing. 11,345 others came faster than they are copied and were not looked at: a tap takes 1,000 records and 4 MiB a second.",
        );
    }
}
