//! `isobar demo`: a topology with everything that it needs, in this process, and a page to look at.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use super::Context;
use super::launch::{Launched, launch};
use super::run::report::Report;
use super::runtime::block_on;
use super::signals::Signals;
use super::watch::Run;
use crate::demo::{Demo, FILE, Feed};
use crate::environment::cores;
use crate::exit::{Failure, Outcome};
use crate::http::{self, Bind, Server};
use crate::substitute::Outside;
use crate::token::Token;
use crate::topology_file::TopologyFile;

/// What `demo` takes.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub struct DemoArgs {
    /// Records per second that are made up, from 1 to 5000. One in a hundred is garbage.
    #[arg(
        long,
        value_name = "R",
        default_value_t = 200,
        value_parser = clap::value_parser!(u32).range(1..=5_000)
    )]
    rate: u32,

    /// Where the page listens: HOST:PORT. Default: 127.0.0.1:10132, or any free port where that one is
    /// taken.
    #[arg(long, value_name = "ADDR")]
    http: Option<Bind>,
}

const EXAMPLE: &str = "\
Examples:
  isobar demo
  isobar demo --rate 2000

It needs nothing outside of this program and leaves nothing behind. Its topology, deploy/topologies/demo.yaml, runs against real services too.

The address that it prints has a token in it, for whoever asks without a page:
  curl http://127.0.0.1:10132/demo
  curl -H \"Authorization: Bearer $TOKEN\" \\
      'http://127.0.0.1:10132/demo/search?q=level:error'
  curl -H \"Authorization: Bearer $TOKEN\" \\
      -X POST http://127.0.0.1:10132/demo/actions/stop_index
  isobar tap http://127.0.0.1:10132/#token=$TOKEN parse";

/// The topic that the file reads.
const TOPIC: &str = "demo";
/// Often, as an outage in a demonstration is short and so is what follows it.
const LAG_INTERVAL: Duration = Duration::from_secs(1);

pub(super) fn execute(args: &DemoArgs, context: Context<'_>) -> Outcome {
    let file = TopologyFile::from_text(
        Path::new("demo.yaml"),
        FILE.to_owned(),
        // With variables for real services it would write to those.
        &Outside {
            variable: &|_| None,
            file: &|_| Err(std::io::ErrorKind::NotFound.into()),
        },
    );
    let plan = file.plan(context.registry, cores())?;
    block_on(async {
        let server = bind(args.http.as_ref()).await?;
        let mut signals = Signals::listen()?;
        let Launched {
            mut observer,
            embedded,
            ..
        } = launch(&file, plan, &context, false, LAG_INTERVAL)?;
        let token = Token::random()?;
        let text = token.text().to_owned();
        observer.token = Some(token);
        observer.is_demo = true;
        let observer = Arc::new(observer);
        let services = embedded.and_then(|services| Some((services.kafka?, services.search?)));
        let (kafka, index) = services.context("the file of the demo names embedded services")?;
        let demo = Arc::new(Demo::new(kafka, index, args.rate));
        let feed = Feed::new(demo.brokers(), TOPIC, args.rate).map_err(anyhow::Error::from)?;
        let address = server.address();
        context.output.text(&format!(
            "Made-up log events go through Kafka and a topology into an index, all in this program.\n\n  http://{address}/#token={text}\n\nCtrl-C ends it and says what became of each record.\n"
        ))?;
        let run = Run {
            give_up_after: None,
            screen: &context.screen,
            observer: &observer,
            signals: &mut signals,
            goal: None,
        };
        let end = tokio::select! {
            end = run.watch() => end,
            never = feed.run(&demo, &observer) => match never {},
            never = server.serve_demo(Arc::clone(&observer), Arc::clone(&demo)) => match never {},
        };
        context.screen.clear();
        let report = Report::of(&observer, end, false, false);
        context.screen.write(report.text().as_bytes());
        report.say_why(&context.screen);
        Ok(report.exit())
    })?
}

/// The address that was asked for; else the usual one, or any where that is taken.
async fn bind(asked: Option<&Bind>) -> Result<Server, Failure> {
    const INSTEAD: &str = "--http HOST:PORT, or leave --http out";
    const WITHOUT: &str = "the demo is its page: write --http HOST:PORT, or leave --http out";
    let server = match asked {
        Some(bind) => Server::bind(bind, INSTEAD).await?,
        None => match Server::bind(&Bind::At(http::DEFAULT.to_owned()), INSTEAD).await {
            Ok(server) => server,
            Err(_) => Server::bind(&Bind::At("127.0.0.1:0".to_owned()), INSTEAD).await?,
        },
    };
    server.ok_or_else(|| Failure::usage(WITHOUT))
}
