//! Cases that run for a while beside a producer: how long records take, what memory is held when the
//! sink is slow or stands still, and what a topology costs that has nothing to do. Their figures are no costs
//! for each record.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::bulk_server::BulkServerProgram;
use testkit::figures::Spread;
use testkit::http;
use testkit::isobar::Isobar;
use testkit::latency::Histogram;
use testkit::process::Process;
use testkit::records;
use testkit::services::kafka::Sent;
use testkit::wait;

use crate::cases;
use crate::report::{Figures, Row, Took};
use crate::stage::Stage;

pub const CASES: [(&str, &str); 3] = [
    (
        "latency",
        "85,000 records/s for 10 s, flush_interval 5ms: append to acked, and to stored",
    ),
    (
        "overload",
        "a producer at 10 times what a slowed sink takes, for 60 s",
    ),
    ("states", "start, caught up, idle, sink blocked"),
];

const LIMIT: Duration = Duration::from_secs(120);
const SECOND: Duration = Duration::from_secs(1);
const MIB: f64 = 1_048_576.0;

pub fn measure(stage: &mut Stage, name: &str, work: &str, runs: usize) -> Result<Row> {
    let measured = match name {
        "latency" => latency(stage, runs)?,
        "overload" => overload(stage)?,
        _ => states(stage, runs)?,
    };
    Ok(Row {
        name: name.to_owned(),
        work: work.to_owned(),
        records: measured.records,
        runs: measured.runs,
        took: measured.took,
        limit: measured.limit,
        allocations: None,
        note: format!("; {}", measured.note),
        more: measured.more,
    })
}

struct Measured {
    records: u64,
    runs: usize,
    took: Took,
    limit: Option<(Took, Spread)>,
    note: String,
    more: Value,
}

/// Records of each second.
const PACE: u64 = 85_000;

/// Records of 10 s: as many for warming up, and then as many that are measured.
const PACED: u64 = PACE * 10;

/// The product, with a histogram that tells to the ms where the targets are: `tests/bench/run` builds it.
const FINE: &str = "fine/isobar";

/// What 99 and 99.9 % of acks are to come within, in seconds: bounds of that histogram.
const ACKED_MAX: [f64; 2] = [0.017, 0.03];

fn latency(stage: &mut Stage, runs: usize) -> Result<Measured> {
    let server =
        BulkServerProgram::start_with(&stage.program("bulk-server"), &["--no-ids", "--ages"])?;
    let topology = cases::json_es_flushed("5ms");
    let (mut limits, mut own, mut acked) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..runs {
        let topic = empty_topic(stage, &format!("latency-limit-{run}"))?;
        // One record more than come: what has ended cannot be asked for its memory.
        let limit = stage.begin_limit(&topic, 4, 2 * PACED + 1, &server, 5)?;
        limits.push(ages(stage, &topic, &server, &limit, || Ok(()))?.0);
        drop(limit);
        let topic = empty_topic(stage, &format!("latency-{run}"))?;
        let isobar = started(stage, FINE, &topology, &topic, &server.url())?;
        let histogram = || Histogram::of(isobar.address());
        let (measured, before) = ages(stage, &topic, &server, isobar.process(), histogram)?;
        own.push(measured);
        settled(&isobar, 2 * PACED)?;
        acked.push(histogram()?.since(&before));
        let _ = within_plan(&isobar)?;
    }
    let acks = |figure: &dyn Fn(&Histogram) -> f64| Spread::of(acked.iter().map(figure));
    let within = |part: f64| acks(&|histogram| histogram.quantile(part) * 1e3);
    let share = |bound: f64| acks(&|histogram| histogram.share(bound) * 100.0);
    let stored = |runs: &[Ages], part: &str| {
        let ages = runs.iter().map(|run| run.counts[part].as_f64());
        Spread::of(ages.map(|ms| ms.unwrap_or(f64::NAN)))
    };
    let cores = |runs: &[Ages]| Spread::of(runs.iter().map(Ages::cores));
    let figures = Figures(vec![
        ("acked_p50_ms", within(0.5)),
        ("acked_p99_ms", within(0.99)),
        ("acked_p999_ms", within(0.999)),
        ("acked_within_17_ms_percent", share(ACKED_MAX[0])),
        ("acked_within_30_ms_percent", share(ACKED_MAX[1])),
        ("stored_p50_ms", stored(&own, "p50_ms")),
        ("stored_p99_ms", stored(&own, "p99_ms")),
        ("stored_p999_ms", stored(&own, "p999_ms")),
        ("cores", cores(&own)),
        ("limit_stored_p50_ms", stored(&limits, "p50_ms")),
        ("limit_stored_p99_ms", stored(&limits, "p99_ms")),
        ("limit_stored_p999_ms", stored(&limits, "p999_ms")),
        ("limit_cores", cores(&limits)),
    ]);
    let ratios = own.iter().zip(&limits);
    let ratio = Spread::of(ratios.map(|(own, limit)| own.cores() / limit.cores()));
    Ok(Measured {
        records: PACED,
        runs,
        note: figures.text(),
        more: figures.json(),
        took: took(&own),
        limit: Some((took(&limits), ratio)),
    })
}

/// How old documents were when they were stored.
struct Ages {
    cpu: Duration,
    wall: Duration,
    /// In bytes.
    peak_memory: u64,
    counts: Value,
}

impl Ages {
    fn cores(&self) -> f64 {
        self.cpu.as_secs_f64() / self.wall.as_secs_f64()
    }
}

fn took(runs: &[Ages]) -> Took {
    let spread = |figure: fn(&Ages) -> f64| Spread::of(runs.iter().map(figure));
    Took {
        cpu: spread(|run| run.cpu.as_secs_f64() * 1e6 / PACED as f64),
        rate: spread(|run| PACED as f64 / run.wall.as_secs_f64()),
        peak_memory: spread(|run| run.peak_memory as f64),
    }
}

/// Writes twice [`PACED`] records to the topic that `reader` brings to the server, and measures those of the
/// second half: the broker compiles its code while it is first used, and a producer sends in one go what has
/// come while it connected. `at_half` is asked between the halves.
fn ages<T: Send + Sync>(
    stage: &Stage,
    topic: &str,
    server: &BulkServerProgram,
    reader: &Process,
    at_half: impl Fn() -> Result<T> + Sync,
) -> Result<(Ages, T)> {
    let stored = || -> Result<u64> {
        let statistics = server.statistics()?;
        statistics["documents"].as_u64().context("no count")
    };
    let all = stored()? + 2 * PACED;
    let halfway = OnceLock::new();
    let reset = || -> Result<_> {
        let _ = server.client().json("DELETE", "/_ages", None)?;
        Ok((reader.cpu_time()?, wait::now(), at_half()?))
    };
    let records = paced(PACE, 2 * PACED).zip(0..).map(|(record, number)| {
        if number == PACED {
            let _ = halfway.set(reset());
        }
        record
    });
    stage.kafka.produce(topic, records)?;
    let (before, began, at_half) = halfway.into_inner().context("no half was sent")??;
    let wall = began.elapsed();
    wait::until("all documents", LIMIT, || {
        let stored = stored()?;
        ensure!(stored == all, "{stored} of {all}");
        Ok(())
    })?;
    let counts = server.client().json("GET", "/_ages", None)?;
    let documents = counts["documents"].as_u64();
    // What the producer held back at the middle counts too.
    ensure!(documents.is_some_and(|stored| stored >= PACED), "{counts}");
    let ages = Ages {
        cpu: reader.cpu_time()? - before,
        wall,
        peak_memory: reader.peak_memory()?,
        counts,
    };
    Ok((ages, at_half))
}

fn overload(stage: &mut Stage) -> Result<Measured> {
    // Six bodies of about 5,000 records are under way on two lanes, 10 s each, so 3,000 records/s are taken.
    const RATE: u64 = 30_000;
    let server = BulkServerProgram::start_with(
        &stage.program("bulk-server"),
        &["--no-ids", "--delay", "10000"],
    )?;
    let topic = empty_topic(stage, "overload")?;
    let isobar = started(stage, "isobar", &cases::json_es(), &topic, &server.url())?;
    let began = wait::now();
    let ended = AtomicBool::new(false);
    let (produced, sampled) = std::thread::scope(|scope| {
        let producer = scope.spawn(|| {
            let produced = stage.kafka.produce(&topic, paced(RATE, RATE * 60));
            ended.store(true, Ordering::Release);
            produced
        });
        let mut sampled = Vec::new();
        while !ended.load(Ordering::Acquire) {
            wait::rest(SECOND);
            if let Ok(memory) = isobar.process().memory() {
                sampled.push(memory as f64 / MIB);
            }
        }
        (producer.join(), sampled)
    });
    produced.map_err(|_| anyhow::anyhow!("the producer panicked"))??;
    let wall = began.elapsed();
    let delivered = account(&isobar)?["delivered"].as_u64().context("a count")?;
    let series = sampled.chunks(5).map(|five| five[five.len() - 1].round());
    let series: Vec<f64> = series.collect();
    let cpu = isobar.process().cpu_time()?;
    let (peak, bound) = within_plan(&isobar)?;
    let taken = delivered as f64 / wall.as_secs_f64();
    let planned = bound as f64 / MIB;
    Ok(Measured {
        records: delivered,
        runs: 1,
        took: Took {
            cpu: Spread::of([cpu.as_secs_f64() * 1e6 / delivered.max(1) as f64]),
            rate: Spread::of([taken]),
            peak_memory: Spread::of([peak as f64]),
        },
        limit: None,
        note: format!(
            "{RATE} records/s came, {taken:.0} were taken; resident every 5 s {series:.0?} MiB, planned {planned:.0}"
        ),
        more: json!({"resident_every_5_s_mib": series, "planned_mib": planned}),
    })
}

/// What one run of `states` showed, in seconds, bytes, and parts of a core.
struct States {
    first: f64,
    loaded: u64,
    caught_up: u64,
    blocked: u64,
    planned: u64,
    idle: f64,
    /// Until all records of the start were settled.
    cpu: f64,
    wall: f64,
    peak: u64,
}

/// Records that are there at the start.
const THERE: u64 = 200_000;

/// Records that come while the sink is blocked.
const BEHIND: u64 = 500_000;

fn states(stage: &mut Stage, runs: usize) -> Result<Measured> {
    let seen: Vec<States> = (0..runs)
        .map(|run| states_once(stage, &format!("states-{run}")))
        .collect::<Result<_>>()?;
    let spread = |figure: &dyn Fn(&States) -> f64| Spread::of(seen.iter().map(figure));
    let mib = |bytes: &dyn Fn(&States) -> u64| spread(&|states| bytes(states) as f64 / MIB);
    let figures = Figures(vec![
        ("first_document_s", spread(&|states| states.first)),
        ("loaded_mib", mib(&|states| states.loaded)),
        ("caught_up_mib", mib(&|states| states.caught_up)),
        ("blocked_mib", mib(&|states| states.blocked)),
        ("planned_mib", mib(&|states| states.planned)),
        ("idle_percent", spread(&|states| states.idle * 100.0)),
    ]);
    Ok(Measured {
        records: THERE,
        runs,
        took: Took {
            cpu: spread(&|states| states.cpu * 1e6 / THERE as f64),
            rate: spread(&|states| THERE as f64 / states.wall),
            peak_memory: spread(&|states| states.peak as f64),
        },
        limit: None,
        note: figures.text(),
        more: figures.json(),
    })
}

fn states_once(stage: &mut Stage, topic: &str) -> Result<States> {
    let mut server = BulkServerProgram::start_with(&stage.program("bulk-server"), &["--no-ids"])?;
    let topic = empty_topic(stage, topic)?;
    stage.kafka.produce(&topic, paced(u64::MAX, THERE))?;

    let began = wait::now();
    let setup = stage.topology(&cases::json_es(), &topic, &server.url())?;
    let isobar = setup.start()?;
    let count =
        |server: &BulkServerProgram| server.statistics().map(|all| all["documents"].as_u64());
    while count(&server)?.unwrap_or(0) == 0 {
        ensure!(began.elapsed() < LIMIT, "no document came");
        wait::rest(Duration::from_millis(5));
    }
    let first = began.elapsed().as_secs_f64();
    settled(&isobar, THERE)?;
    let wall = began.elapsed().as_secs_f64();
    let cpu = isobar.process().cpu_time()?.as_secs_f64();
    let loaded = isobar.process().peak_memory()?;

    // Memory is given back within a second or so of the last use.
    wait::rest(5 * SECOND);
    let caught_up = isobar.process().memory()?;
    let before = isobar.process().cpu_time()?;
    wait::rest(20 * SECOND);
    let idle = (isobar.process().cpu_time()? - before).as_secs_f64() / 20.0;

    server.process().pause();
    stage.kafka.produce(&topic, paced(u64::MAX, BEHIND))?;
    wait::rest(10 * SECOND);
    let blocked = isobar.process().memory()?;
    server.process().resume();
    settled(&isobar, THERE + BEHIND)?;
    let (peak, planned) = within_plan(&isobar)?;
    Ok(States {
        first,
        loaded,
        caught_up,
        blocked,
        planned,
        idle,
        cpu,
        wall,
        peak,
    })
}

/// A topic of four partitions whose timestamps are those of the broker.
fn empty_topic(stage: &Stage, name: &str) -> Result<String> {
    let settings = [("message.timestamp.type", "LogAppendTime")];
    stage.kafka.create_topic(name, 4, &settings)?;
    Ok(name.to_owned())
}

fn started(
    stage: &mut Stage,
    program: &str,
    topology: &str,
    topic: &str,
    url: &str,
) -> Result<Isobar> {
    let program = stage.program(program);
    let setup = stage.topology(topology, topic, url)?.program(&program);
    let mut isobar = setup.start()?;
    isobar.wait_until_ready(LIMIT)?;
    Ok(isobar)
}

/// So many records of each second, in steps of 5 ms.
fn paced(rate: u64, records: u64) -> impl Iterator<Item = Sent> {
    let began = wait::now();
    let step = (rate / 200).max(1);
    (0..records).map(move |number| {
        if number.is_multiple_of(step) {
            let due = Duration::from_secs_f64(number as f64 / rate as f64);
            wait::rest(due.saturating_sub(began.elapsed()));
        }
        Sent {
            partition: i32::try_from(number % 4).ok(),
            key: Some(records::key(number).into_bytes()),
            value: Some(records::json(number)),
            timestamp: None,
        }
    })
}

fn account(isobar: &Isobar) -> Result<Value> {
    Ok(isobar.accounting()?["total"].take())
}

/// Waits until so many records are delivered.
fn settled(isobar: &Isobar, records: u64) -> Result<()> {
    wait::until("all records", LIMIT, || {
        let total = account(isobar)?;
        ensure!(total["delivered"] == records, "{total}");
        Ok(())
    })
}

/// The most memory that was held, and the bound that `plan` prints, in bytes. Fails above it.
fn within_plan(isobar: &Isobar) -> Result<(u64, u64)> {
    let diagnostics = http::get(isobar.address(), "/diagnostics")?.json()?;
    let bound = diagnostics["plan"]["memory"]["total"].as_u64();
    let (peak, bound) = (
        isobar.process().peak_memory()?,
        bound.context("a plan has a bound")?,
    );
    ensure!(
        peak <= bound,
        "{peak} bytes of memory, where the plan says {bound} at most"
    );
    Ok((peak, bound))
}
