//! What watching the lag of many partitions costs: `isobar lag --serve` beside a group at work, of Isobar's or
//! any other, and how long `isobar lag` takes for one look. The cost is that of the whole process, its HTTP API and
//! its questions about members included, so sampling alone costs less.

mod stranger;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::figures::Spread;
use testkit::isobar::Isobar;
use testkit::process::{Launch, Process};
use testkit::scratch::Scratch;
use testkit::services::Kafka;
use testkit::services::kafka::Sent;
use testkit::{http, ports, wait};

use crate::report::{Figures, Row, Took};
use crate::stage::Stage;
use stranger::Stranger;

pub const CASES: [(&str, &str); 2] = [
    (
        "lag",
        "1,000 partitions of a group at work, sampled every 5 s for 60 s",
    ),
    (
        "lag-behind",
        "the same of a group of others, an hour behind in each and getting on",
    ),
];

const PARTITIONS: i32 = 1_000;
/// So many records each second, over all partitions by turns.
const RATE: u64 = 1_000;
/// Between two samples of `isobar lag --serve`.
const INTERVAL: Duration = Duration::from_secs(5);
const ROUNDS: u32 = 12;
const LOOKS: usize = 5;
const LIMIT: Duration = Duration::from_secs(120);
const MIB: f64 = 1_048_576.0;
/// What a run may take at most: the targets.
const CORE_MAX: f64 = 0.01;
const MORE_MAX: f64 = 20.0 * 1_000_000.0 / MIB;
const LOOK_SECONDS_MAX: f64 = 2.0;

pub fn measure(stage: &mut Stage, name: &str) -> Result<Row> {
    match name {
        "lag" => of_isobar(stage),
        _ => of_strangers(stage),
    }
}

fn of_isobar(stage: &mut Stage) -> Result<Row> {
    let (wide, narrow) = (
        group(stage, "wide", PARTITIONS)?,
        group(stage, "narrow", 1)?,
    );
    let [of_wide, of_narrow] = watched(stage, [wide.name, narrow.name])?;
    let row = beside(
        |ended| produce(&stage.kafka, ended),
        || {
            let before = wide.sampling()?;
            let (began, watched) = (wait::now(), watch(&of_wide, &of_narrow)?);
            let thread = (wide.sampling()? - before).as_secs_f64();
            let thread = thread / began.elapsed().as_secs_f64() * 100.0;
            let more = format!("the thread that samples in the topology itself {thread:.2} %; ");
            row(CASES[0], stage, &of_wide, &watched, &more)
        },
    )?;
    // Whoever watches a group from outside asks about the partitions of all topics: the next case has its own.
    drop((of_wide, of_narrow, wide, narrow));
    stage.kafka.delete_topic("wide")?;
    Ok(row)
}

fn of_strangers(stage: &mut Stage) -> Result<Row> {
    let wide = Stranger::new(&stage.kafka, "behind", PARTITIONS)?;
    let narrow = Stranger::new(&stage.kafka, "behind-narrow", 1)?;
    let [of_wide, of_narrow] = watched(stage, ["behind", "behind-narrow"])?;
    beside(
        |ended| wide.get_on(ended),
        || {
            let watched = watch(&of_wide, &of_narrow)?;
            wide.check(&of_wide.lag()?)?;
            narrow.check(&of_narrow.lag()?)?;
            row(CASES[1], stage, &of_wide, &watched, "")
        },
    )
}

/// `isobar lag --serve` over a group of many partitions, and over one of a single one.
fn watched(stage: &Stage, groups: [&'static str; 2]) -> Result<[Watched; 2]> {
    let isobar = stage.program("isobar");
    let start =
        |group, partitions| Watched::start(&isobar, stage.kafka.brokers(), group, partitions);
    Ok([start(groups[0], PARTITIONS)?, start(groups[1], 1)?])
}

/// Measures while the group is kept busy until that is over.
fn beside(
    busy: impl FnOnce(&AtomicBool) -> Result<()> + Send,
    measure: impl FnOnce() -> Result<Row>,
) -> Result<Row> {
    let ended = AtomicBool::new(false);
    let (busy, measured) = std::thread::scope(|scope| {
        let busy = scope.spawn(|| busy(&ended));
        let measured = measure();
        ended.store(true, Ordering::Release);
        (busy.join(), measured)
    });
    busy.map_err(|_| anyhow::anyhow!("what keeps the group busy panicked"))??;
    measured
}

/// What `--serve` took over all rounds.
struct Cost {
    cpu: Duration,
    wall: Duration,
    /// In MiB, more than for one partition.
    more: f64,
}

fn watch(of_wide: &Watched, of_narrow: &Watched) -> Result<Cost> {
    let before = of_wide.process.cpu_time()?;
    let began = wait::now();
    wait::rest(INTERVAL * ROUNDS);
    let wall = began.elapsed();
    let cpu = of_wide.process.cpu_time()? - before;
    let memory = |watched: &Watched| watched.process.memory().map(|bytes| bytes as f64 / MIB);
    let more = memory(of_wide)? - memory(of_narrow)?;
    Ok(Cost { cpu, wall, more })
}

/// Looks some times, and puts the figures together with `note`, which is of the case alone.
fn row(
    (name, work): (&str, &str),
    stage: &Stage,
    of_wide: &Watched,
    cost: &Cost,
    note: &str,
) -> Result<Row> {
    let mut looks = Vec::new();
    for _ in 0..LOOKS {
        let began = wait::now();
        let mut process = of_wide.look(stage)?;
        let status = process.wait(LIMIT)?;
        looks.push(began.elapsed().as_secs_f64());
        ensure!(status.success(), "{}", process.log_tail());
    }
    let looks = Spread::of(looks);
    let (cpu, more) = (cost.cpu.as_secs_f64(), cost.more);
    let core = cpu / cost.wall.as_secs_f64();
    ensure!(
        core < CORE_MAX && more < MORE_MAX && looks.median < LOOK_SECONDS_MAX,
        "sampling takes {:.2} % of a core, {more:.1} MiB more than for one partition, and {:.2} s for one look; at \
         most {:.1} %, {MORE_MAX:.1} MiB and {LOOK_SECONDS_MAX} s are allowed",
        core * 100.0,
        looks.median,
        CORE_MAX * 100.0
    );
    let partitions = f64::from(PARTITIONS);
    let sampled = u64::from(ROUNDS) * u64::try_from(PARTITIONS)?;
    Ok(Row {
        name: name.to_owned(),
        work: work.to_owned(),
        records: sampled,
        runs: 1,
        took: Took {
            cpu: Spread::of([cpu * 1e6 / sampled as f64]),
            rate: Spread::of([partitions / looks.median]),
            peak_memory: Spread::of([of_wide.process.peak_memory()? as f64]),
        },
        limit: None,
        allocations: None,
        note: format!(
            "; {:.2} % of a core, {more:.1} MiB more than for one partition; {note}one look {:.2} s ({:.2}-{:.2})",
            core * 100.0,
            looks.median,
            looks.min,
            looks.max
        ),
        more: Figures(vec![
            ("core_percent", Spread::of([core * 100.0])),
            ("more_mib", Spread::of([more])),
            ("look_s", looks),
        ])
        .json(),
    })
}

/// A topology that reads a topic of its own name.
struct Group {
    name: &'static str,
    isobar: Isobar,
}

fn group(stage: &mut Stage, name: &'static str, partitions: i32) -> Result<Group> {
    stage.kafka.create_topic(name, partitions, &[])?;
    let topology = format!(
        "isobar: 1
name: {name}
connections:
  kafka: {{type: kafka, brokers: \"${{KAFKA}}\"}}
spouts:
  logs: {{type: kafka, connection: kafka, topics: [{name}], start: earliest}}
bolts:
  end: {{type: blackhole, inputs: [logs], on_rejected: drop}}
"
    );
    let url = stage.server.url();
    let setup = stage.topology(&topology, name, &url)?;
    let mut isobar = setup.start()?;
    isobar.wait_until_ready(LIMIT)?;
    let group = Group { name, isobar };
    // Each partition has a commit, so that none is unknown.
    let records = (0..partitions).map(record);
    stage.kafka.produce(name, records)?;
    wait::until("commits for all partitions", LIMIT, || {
        let lag = http::get(group.isobar.address(), "/lag")?.json()?;
        ensure!(lag["spouts"][0]["committed_lag"] == 0, "{}", lag["status"]);
        Ok(())
    })?;
    Ok(group)
}

impl Group {
    /// The CPU time of the thread that samples the lag inside of the topology.
    fn sampling(&self) -> Result<Duration> {
        self.isobar.process().cpu_time_of("kafka-lag")
    }
}

/// `isobar lag --serve` over a group.
struct Watched {
    process: Process,
    address: String,
    scratch: Scratch,
    isobar: std::path::PathBuf,
    group: &'static str,
}

impl Watched {
    fn start(
        isobar: &std::path::Path,
        brokers: &str,
        group: &'static str,
        partitions: i32,
    ) -> Result<Self> {
        let scratch = Scratch::new("lag")?;
        let address = format!("127.0.0.1:{}", ports::free()?);
        let launch = Launch::new(isobar, &scratch.path().join("log"))
            .arguments(["lag", "--brokers", brokers, "--group", group])
            .arguments(["--serve", &address]);
        let process = Process::start(launch)?;
        wait::until("the lag of all partitions", LIMIT, || {
            let lag: Value = http::get(&address, "/lag")?.json()?;
            let known = lag["spouts"][0]["partitions"].as_array();
            let known = known.context("no partitions")?.len();
            ensure!(known == usize::try_from(partitions)?, "{known} partitions");
            Ok(())
        })?;
        Ok(Self {
            process,
            address,
            scratch,
            isobar: isobar.to_owned(),
            group,
        })
    }

    /// What it tells now.
    fn lag(&self) -> Result<Value> {
        http::get(&self.address, "/lag")?.json()
    }

    /// One `isobar lag` over the same group.
    fn look(&self, stage: &Stage) -> Result<Process> {
        let [log, table] = ["look.log", "look.out"].map(|name| self.scratch.path().join(name));
        let launch = Launch::new(&self.isobar, &log).arguments(["lag", "--group", self.group]);
        let launch = launch.arguments(["--brokers", stage.kafka.brokers()]);
        Process::start(launch.output(&table))
    }
}

/// Produces to the wide topic until it is told to end, in steps of a tenth of a second.
fn produce(kafka: &Kafka, ended: &AtomicBool) -> Result<()> {
    let began = wait::now();
    let step = RATE / 10;
    let records = (0..)
        .take_while(|number: &u64| {
            if number.is_multiple_of(step) {
                let due = Duration::from_secs_f64(*number as f64 / RATE as f64);
                wait::rest(due.saturating_sub(began.elapsed()));
            }
            !ended.load(Ordering::Acquire)
        })
        .map(|number| record((number % u64::from(PARTITIONS.unsigned_abs())) as i32));
    kafka.produce("wide", records)
}

fn record(partition: i32) -> Sent {
    Sent {
        partition: Some(partition),
        value: Some(b"{}".to_vec()),
        ..Sent::default()
    }
}
