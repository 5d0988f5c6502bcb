//! `isobar where`: what became of one record.
//!
//! Every source is asked, then one function judges. What was found counts before what was not: a document
//! in the index proves more than a commit does.

mod fate;

use std::str::FromStr;

use clap::Args;
use futures::future::join_all;
use isobar_operators::inquiry::{self, Letters, Place};
use isobar_operators::kafka::admin::TopicPartition;
use isobar_operators::replay::{Guarantee, live_sinks};
use isobar_topology::spec::units::Duration;

use super::Context;
use super::api::Api;
use super::runtime::Runtime;
use super::source::{asking, choose};
use crate::cli::{FileArgs, OutputArgs};
use crate::endpoint::client;
use crate::exit::{Exit, Failure, Outcome};
use crate::http::{self, Bind, Whereabouts};
use crate::output::Format;
use fate::{Evidence, Fate};

/// What `where` takes.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub struct WhereArgs {
    #[command(flatten)]
    file: FileArgs,

    /// The record: topic, partition and offset.
    #[arg(value_name = "TOPIC/PARTITION@OFFSET")]
    record: Record,

    /// The spout that reads it, where the topology has several that read Kafka.
    #[arg(long, value_name = "SPOUT")]
    spout: Option<String>,

    /// Where the HTTP API of the running program listens, or `off`. Of several replicas, each; can be
    /// given several times.
    #[arg(long, value_name = "ADDR", default_value = http::DEFAULT)]
    http: Vec<Bind>,

    /// How long an answer may take. Everybody is asked at the same time: first brokers and programs, then
    /// indices and dead letters.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    timeout: Duration,

    #[command(flatten)]
    output: OutputArgs,
}

const EXAMPLE: &str = "\
Examples:
  isobar where logs.yaml access/3@120000
  isobar where logs.yaml access/3@120000 --http host-1:10132 --http host-2:10132
  isobar where logs.yaml access/3@120000 -o json | jq -r .fate

What can have become of it:

  indexed        it has a document; its index and id are shown
  dead_lettered  it was rejected, and its letter is open; where that is, and why
  dropped        it was left out by a policy, which is named
  in_flight      a bolt has it, or it waits for one; which, and since when
  not_read       nothing came to it yet
  lost           it was deleted at the broker, and nothing came of it
  no_record      there is none at this offset: a transaction's marker, or a gap
  unknown        nobody who was asked knows; what they said is shown

Who gives no answer in time hides nothing that others know; what that leaves unknown is not guessed. \
The exit code is 4 where it is unknown, or where nobody says which record it is. \
Letters in a topic are all read, once.";

/// A record by its place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record(Place);

impl FromStr for Record {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.rsplit_once('@').and_then(|(partition, offset)| {
            let (topic, number) = partition.rsplit_once('/')?;
            let offset = offset.parse().ok().filter(|offset| *offset >= 0)?;
            let number = number.parse().ok().filter(|number| *number >= 0)?;
            (!topic.is_empty()).then(|| Place {
                partition: TopicPartition::new(topic, number),
                offset,
            })
        });
        parts.map(Self).ok_or_else(|| {
            format!("{text:?} is no record; write its topic, partition and offset, such as logs/3@120000")
        })
    }
}

pub(super) fn execute(args: &WhereArgs, mut context: Context<'_>) -> Outcome {
    let (file, plan) = args.file.plan(&mut context.environment, context.registry)?;
    let spec = file.spec()?;
    let Record(place) = &args.record;
    let within = args.timeout.get();
    let sources = isobar_operators::lag::sources(spec);
    let sources = sources.map_err(|problems| Failure::from(file.refuse(problems)))?;
    let source = choose(sources, args.spout.as_deref())
        .map_err(|why| Failure::usage(format!("{}: {why}", args.file.file.display())))?;
    let searches =
        inquiry::searches(spec, &source.spout, within).map_err(super::launch::refused)?;
    let runtime = Runtime::new()?;
    // Brokers and programs are asked first: what is settled meanwhile is found after that.
    let (logged, running) = std::thread::scope(|scope| {
        let logged = scope.spawn(|| inquiry::logged(&source, place, within));
        let running = client(within).map(|client| {
            runtime.block_on(running(&client, args, &spec.name, &source.spout, place))
        });
        (logged.join(), running)
    });
    let running = running?;
    let logged = match logged.unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
        Ok(logged) => logged,
        // Which record of which cluster it is, its documents and letters have to be told; programs need not.
        Err(error) => {
            return match Fate::told_by(&running) {
                Some(fate @ (Fate::Dropped { .. } | Fate::InFlight { .. }))
                    if error.is_transient() =>
                {
                    show(&fate, place, args, &mut context)
                }
                _ => Err(asking(error)),
            };
        }
    };
    let letters = Letters::of(spec, &plan.graph, &source.spout);
    let (documents, letters) = std::thread::scope(|scope| {
        let letters = scope.spawn(|| letters.find(place, &logged, within));
        let documents = match searches.as_slice() {
            [] => Err(format!("no record of {} reaches an index", source.spout)),
            searches => runtime
                .block_on(inquiry::documents(searches, place, &logged, within))
                .map_err(|error| format!("the indices could not be asked: {error}")),
        };
        (documents, letters.join())
    });
    let letters = letters.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let sinks = live_sinks(spec, &source.spout);
    let evidence = Evidence {
        logged,
        documents,
        letters,
        running,
        policies: plan.graph.policies,
        shares_ids: (sinks.iter()).any(|sink| sink.guarantee == Guarantee::AsTheIdSays),
    };
    show(&Fate::of(place, &evidence), place, args, &mut context)
}

fn show(fate: &Fate, place: &Place, args: &WhereArgs, context: &mut Context<'_>) -> Outcome {
    match args.output.format {
        Format::Table => context.output.text(&fate.text(place))?,
        Format::Json => context.output.json(&fate.json(place))?,
    }
    Ok(match fate {
        Fate::Unknown { .. } => Exit::Undetermined,
        _ => Exit::Done,
    })
}

/// What running programs say of the record: each its state, or why it said nothing.
async fn running(
    client: &reqwest::Client,
    args: &WhereArgs,
    topology: &str,
    spout: &str,
    place: &Place,
) -> Vec<Result<http::WhereaboutsState, String>> {
    let addresses = args.http.iter().filter_map(|bind| match bind {
        Bind::At(address) => Some(address),
        Bind::Off => None,
    });
    let each = addresses.map(|address| async move {
        let answer = ask(client, address, place).await?;
        if answer.topology != topology {
            let other = answer.topology;
            return Err(format!("{address} runs another topology, {other}"));
        }
        let mut spouts = answer.spouts.into_iter();
        let of_spout = spouts.find(|one| one.spout == spout);
        Ok(of_spout.map_or(http::WhereaboutsState::Elsewhere, |one| one.state))
    });
    join_all(each).await
}

async fn ask(
    client: &reqwest::Client,
    address: &str,
    place: &Place,
) -> Result<Whereabouts, String> {
    let (topic, partition) = (&place.partition.topic, place.partition.partition);
    let offset = place.offset;
    let path = format!("/whereabouts?topic={topic}&partition={partition}&offset={offset}");
    let api: Api = format!("http://{address}").parse()?;
    let answer: Whereabouts = api
        .get_by(client, &path, "where the record is")
        .await
        .map_err(|failure| failure.error.to_string())?;
    match answer.version {
        Whereabouts::VERSION => Ok(answer),
        other => Err(format!(
            "the answer of {address} has version {other}, and this program reads {}",
            Whereabouts::VERSION
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_named_by_topic_partition_and_offset() {
        let Record(place) = "a/b.c/3@120000".parse().expect("a record");
        assert_eq!(&*place.partition.topic, "a/b.c");
        assert_eq!((place.partition.partition, place.offset), (3, 120_000));
        for text in [
            "",
            "logs",
            "logs/3",
            "logs@3",
            "/3@1",
            "logs/a@1",
            "logs/3@-1",
            "logs/-3@1",
        ] {
            assert!(text.parse::<Record>().is_err(), "{text}");
        }
    }
}
