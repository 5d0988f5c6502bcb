//! `isobar top`: a topology that runs, at a terminal, as it changes.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use futures::future::join_all;
use isobar_topology::spec::units;

use super::Context;
use super::api::{Api, DEFAULT};
use super::runtime::block_on;
use super::signals::Signals;
use crate::endpoint::client;
use crate::exit::{Exit, Failure, Outcome};
use crate::history::HistoryDocument;
use crate::output::printable;
use crate::peers::{Outside, ReplicasDocument};
use crate::top::{Facts, Pasts, Seen, fit};

/// What `top` takes.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub struct TopArgs {
    /// The address of the HTTP API of a topology that runs; of one with --peers, its other replicas are shown,
    /// too. Several addresses are those of replicas of one topology.
    #[arg(value_name = "URL", default_value = DEFAULT)]
    urls: Vec<Api>,

    /// How often it is asked, at least every 100 ms.
    #[arg(long, value_name = "TIME", default_value = "2s")]
    every: units::Duration,

    /// Shows it once, in full, and ends; with exit code 4 when the topology, or a replica of it, does not answer.
    #[arg(long)]
    once: bool,

    /// Shows the configuration instead, once: the topology file with all defaults, secrets hidden, as YAML; with
    /// exit code 4 when somebody does not answer.
    #[arg(long, conflicts_with_all = ["once", "every"])]
    configuration: bool,

    /// How long an answer may take.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    timeout: units::Duration,
}

const EXAMPLE: &str = "\
Examples:
  isobar top
  isobar top http://10.0.0.7:10132 --every 5s
  isobar top http://10.0.0.7:10132 http://10.0.0.8:10132
  isobar top --once | less
  isobar top --configuration

What is most important comes first, and what the window has no room for is counted in its last line. `?` \
stands for what is not known, `~` before an estimate, `≤` before an upper bound.

First how it gets on, in the word that is worst, and what is wrong: what is held, by what, and for how long. \
Of nodes, BUSY is the part of the time of all lanes that is spent inside of a bolt, QUEUE the batches that \
wait for it, of those that may, or, of a spout, what is in flight, of what may. What is wrong with a node \
stands in place of its type. `<` marks the bottleneck and the edges that lead to it. SENT is all that an edge \
has carried, what was sent again after a failure included.

Committed lag is what other tools call lag: records that have not been read (brokers or fetching are slow), \
that are open (bolts or what they write to are slow), and that are settled and not committed (commits are \
slow). The lag of the last hour is drawn of each spout, and of those of its partitions that were furthest \
behind, each in a scale of its own up to HIGHEST; WHEN is the last time that it was that. It is blank where \
it is not known.

Of several replicas records and rates are the sums over those that answer, BUSY and what is in flight \
are those of the replica where they are highest, and the lag is that of all partitions, with who reads \
them. While a replica does not answer the sums of lag are not known.";

/// How long a picture of several replicas waits for those that do not answer.
const SEVERAL_WITHIN: Duration = Duration::from_secs(3);

/// Clears the screen (ED of ECMA-48).
const CLEAR: &str = "\x1b[2J";
/// Puts the cursor at the start of the screen (CUP).
const HOME: &str = "\x1b[H";
/// Clears what is behind the cursor in its line (EL), and ends the line.
const REST_OF_LINE: &str = "\x1b[K\n";
/// Clears what is below the cursor (ED).
const REST_OF_SCREEN: &str = "\x1b[J";

pub(super) fn execute(args: &TopArgs, context: Context<'_>) -> Outcome {
    block_on(async {
        if args.configuration {
            return configuration(args, &context).await;
        }
        let asked = Asked::of(&args.urls);
        if args.once {
            return once(args, &context, &asked).await;
        }
        asked.ask(asked.picture_within(args)).await;
        tokio::select! {
            end = watch(args, &context, &asked) => end,
            never = asked.keep_asking(args) => match never {},
        }
    })?
}

/// The configuration of each of them, a document of YAML each; those that do not answer are named after it.
async fn configuration(args: &TopArgs, context: &Context<'_>) -> Outcome {
    let (mut silent, mut before) = (Vec::new(), "");
    for api in &args.urls {
        let within = args.timeout.get();
        match api.get::<Facts>(DIAGNOSTICS.0, DIAGNOSTICS.1, within).await {
            Ok(facts) => {
                let shown = facts.configuration(api.address());
                context.output.text(&format!("{before}{shown}"))?;
                before = "---\n";
            }
            Err(failure) => silent.push(format!("{:#}", failure.error)),
        }
    }
    match silent.is_empty() {
        true => Ok(Exit::Done),
        false => {
            let error = anyhow::anyhow!("{}", silent.join("; "));
            Err(Failure::new(Exit::Undetermined, error))
        }
    }
}

async fn once(args: &TopArgs, context: &Context<'_>, asked: &Asked<'_>) -> Outcome {
    let within = args.timeout.get();
    asked.ask(within).await;
    let mut pasts = Pasts::default();
    let seen = asked.seen(within, &mut pasts).await?;
    context.output.text(&seen.text())?;
    let mut failures = seen
        .replicas
        .replicas
        .iter()
        .filter_map(|one| one.failure.as_deref());
    match failures.next() {
        None => Ok(Exit::Done),
        Some(why) => Err(Failure::new(Exit::Undetermined, anyhow::anyhow!("{why}"))),
    }
}

async fn watch(args: &TopArgs, context: &Context<'_>, asked: &Asked<'_>) -> Outcome {
    let mut signals = Signals::listen()?;
    let mut ticks = tokio::time::interval(every(args));
    let redraws = std::io::stdout().is_terminal();
    let mut last = None;
    let mut pasts = Pasts::default();
    if redraws {
        let _ = context.output.write(CLEAR.as_bytes())?;
    }
    loop {
        let turn = async {
            let _ = ticks.tick().await;
            let seen = asked.seen(asked.picture_within(args), &mut pasts).await?;
            Ok::<_, Failure>(seen.text())
        };
        let seen = tokio::select! {
            biased;
            _ = signals.next() => return Ok(Exit::Done),
            seen = turn => seen,
        };
        let text = match (seen, &last) {
            (Ok(text), _) => last.insert(text).clone(),
            // What was seen last stays, under the word that it is old.
            (Err(failure), Some(last)) => format!("{:#}; asking again\n\n{last}", failure.error),
            (Err(failure), None) => format!("{:#}; asking again\n", failure.error),
        };
        let text = printable(&text);
        let drawn = match redraws {
            // Not cleared before: that flickers.
            true => {
                let shown = on_screen(&text).replace('\n', REST_OF_LINE);
                format!("{HOME}{shown}{REST_OF_SCREEN}")
            }
            false => format!("{text}\n"),
        };
        if !context.output.write(drawn.as_bytes())? {
            return Ok(Exit::Done);
        }
    }
}

/// As much of a text as the terminal has room for now: all of it where it does not say how large it is.
fn on_screen(text: &str) -> String {
    match rustix::termios::tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => {
            fit(text, size.ws_row.into(), size.ws_col.into())
        }
        _ => text.to_owned(),
    }
}

/// What is asked for besides `/replicas`, and how it is called.
const DIAGNOSTICS: (&str, &str) = ("/diagnostics", "its diagnostics");

/// Who is asked.
enum Asked<'a> {
    /// One that tells of all that it knows of.
    One(&'a Api),
    Several(&'a [Api], Outside),
}

impl<'a> Asked<'a> {
    fn of(urls: &'a [Api]) -> Self {
        match urls {
            [one] => Self::One(one),
            several => Self::Several(several, Outside::at(several)),
        }
    }

    /// How long a picture may wait for an answer.
    fn picture_within(&self, args: &TopArgs) -> Duration {
        match self {
            Self::One(_) => args.timeout.get(),
            Self::Several(..) => args.timeout.get().min(SEVERAL_WITHIN),
        }
    }

    /// Asks several once, so that there is something to be seen of each.
    async fn ask(&self, within: Duration) {
        if let Self::Several(_, outside) = self {
            outside.ask(within).await;
        }
    }

    /// Asks several again and again, beside what is shown: one that does not answer holds nothing up.
    async fn keep_asking(&self, args: &TopArgs) -> Infallible {
        match self {
            Self::One(_) => std::future::pending().await,
            Self::Several(_, outside) => outside.run(every(args), args.timeout.get()).await,
        }
    }

    /// What there is to be seen; each of three questions may take `within`. Of the last hour only what `pasts` do
    /// not know yet is asked for. Fails when nobody answers.
    async fn seen<'p>(&self, within: Duration, pasts: &'p mut Pasts) -> Result<Seen<'p>, Failure> {
        let replicas = match self {
            Self::One(api) => {
                let replicas = api.get("/replicas", "its statistics", within).await;
                replicas.map(|replicas: ReplicasDocument| replicas.written_at(api.address()))?
            }
            Self::Several(_, outside) => outside.document(),
        };
        let answering = replicas.replicas.iter();
        let answering = answering.filter(|one| one.failure.is_none() && one.statistics.is_some());
        let asked = answering.filter_map(|one| {
            let mut urls = self.urls().iter();
            urls.find(|api| api.address() == one.address)
        });
        let client = client(within)?;
        let known = &*pasts;
        let asked = asked.map(async |api| {
            let address = api.address().to_owned();
            let history = format!("/history?after_ms={}", known.last_ms(&address));
            let said = async {
                let facts = api.get_by(&client, DIAGNOSTICS.0, DIAGNOSTICS.1).await?;
                // Without it, all else is shown.
                let history = api.get_by(&client, &history, "its history").await.ok();
                Ok::<(Facts, Option<HistoryDocument>), Failure>((facts, history))
            };
            (address, said.await)
        });
        let mut facts = Vec::new();
        let mut failures = BTreeMap::new();
        for (address, said) in join_all(asked).await {
            match said {
                Ok((said, history)) => {
                    if let Some(history) = history {
                        pasts.remember(&address, history);
                    }
                    facts.push((address, said));
                }
                // It has just ended, or hangs.
                Err(why) => drop(failures.insert(address, format!("{:#}", why.error))),
            }
        }
        if facts.is_empty() {
            let before = replicas.replicas.iter();
            let before = before.filter_map(|one| one.failure.as_deref());
            let why: Vec<&str> = before.chain(failures.values().map(|why| &**why)).collect();
            let error = anyhow::anyhow!("{}", why.join("; "));
            return Err(Failure::new(Exit::Undetermined, error));
        }
        let replicas = match self {
            Self::Several(_, outside) if !failures.is_empty() => {
                outside.document_without(&failures)
            }
            _ => replicas,
        };
        Ok(Seen {
            replicas,
            facts,
            pasts,
        })
    }

    fn urls(&self) -> &[Api] {
        match self {
            Self::One(one) => std::slice::from_ref(*one),
            Self::Several(urls, _) => urls,
        }
    }
}

fn every(args: &TopArgs) -> Duration {
    args.every.get().max(Duration::from_millis(100))
}
