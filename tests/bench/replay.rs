//! What a replay costs, and what it costs the live topology: into a new index of a real Elasticsearch, whose
//! own work is not counted.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::figures::Spread;
use testkit::isobar::{Finished, Isobar, Setup};
use testkit::latency::Histogram;
use testkit::services::{Search, SearchVersion};
use testkit::wait;

use crate::cases::{self, Case};
use crate::report::{Figures, Row, Took};
use crate::stage::{COMMAND, Run, Stage, check_report};

pub const CASES: [(&str, &str); 2] = [
    (
        "replay-cost",
        "json-es into Elasticsearch, and the same once more as a replay into a new index",
    ),
    (
        "replay-beside",
        "a replay into a new index beside a live topology at half of what it can take",
    ),
];

/// A replay comes to its end, or something is wrong.
const LIMIT: Duration = Duration::from_secs(600);
/// Before the live topology is watched, for the load to be steady, and to be so again behind a replay.
const SETTLING: Duration = Duration::from_secs(10);
/// What a replay may cost, and has to take: shown beside what it does.
const COST_MAX: f64 = 1.05;
const AGE_MAX: f64 = 1.5;
const SHARE_MIN: f64 = 50.0;
/// The new index.
const AGAIN: &str = "again";
const LOADED: &str = "replay-load";
const PARTITIONS: i32 = 4;

pub fn measure(stage: &mut Stage, name: &str, runs: usize) -> Result<Row> {
    let search = Search::start(SearchVersion::Elasticsearch9)?;
    let all = cases::all();
    let case = all.iter().find(|case| case.name == "json-es");
    let case = case.context("json-es is a case")?;
    stage.load(&case.input)?;
    match name {
        "replay-cost" => cost(stage, &search, case, runs),
        _ => beside(stage, &search, case),
    }
}

fn cost(stage: &mut Stage, search: &Search, case: &Case, runs: usize) -> Result<Row> {
    let records = case.input.records as f64;
    let per_record = |finished: &Finished| finished.usage.cpu.as_secs_f64() * 1e6 / records;
    let (mut live, mut replays, mut rates, mut peaks) = (vec![], vec![], vec![], vec![]);
    let (mut ratios, mut with_check) = (vec![], vec![]);
    for number in 0..runs {
        forget(search)?;
        let setup = stage.setup(case, &search.url())?;
        let ran = setup.finish(&COMMAND, LIMIT)?;
        check_report(&ran, case)?;
        let file = format!("plan-{number}.json");
        plan(&setup, &file, &[])?;
        let began = wait::now();
        let replayed = setup.finish_alone(&run(&file), LIMIT)?;
        rates.push(records / began.elapsed().as_secs_f64());
        check_replay(&replayed, case)?;
        // The check at its end is one more command's work.
        let verified = setup.finish_alone(&["replay", "verify", &file], LIMIT)?;
        ensure!(verified.status.success(), "{}", verified.stderr);
        let (one, other) = (per_record(&ran), per_record(&replayed));
        let alone = other - per_record(&verified);
        ratios.push(alone / one);
        with_check.push(other / one);
        live.push(one);
        replays.push(alone);
        peaks.push(replayed.usage.peak_memory as f64);
    }
    let [live, ratio, with_check] = [live, ratios, with_check].map(Spread::of);
    Ok(Row {
        name: CASES[0].0.to_owned(),
        work: CASES[0].1.to_owned(),
        records: case.input.records,
        runs,
        took: Took {
            cpu: Spread::of(replays),
            rate: Spread::of(rates),
            peak_memory: Spread::of(peaks),
        },
        limit: None,
        allocations: None,
        note: format!(
            "; the replay takes {:.3} times the CPU of live ({:.3}-{:.3}; at most {COST_MAX}), with its check of \
             the index {:.3}; live {:.2} us",
            ratio.median, ratio.min, ratio.max, with_check.median, live.median
        ),
        more: Figures(vec![
            ("times_live", ratio),
            ("times_live_with_check", with_check),
            ("live_us_per_record", live),
        ])
        .json(),
    })
}

fn beside(stage: &mut Stage, search: &Search, case: &Case) -> Result<Row> {
    let settings = [("message.timestamp.type", "LogAppendTime")];
    stage.kafka.create_topic(LOADED, PARTITIONS, &settings)?;
    let topology = case.topology.replace(
        "topics: [\"${TOPIC}\"]",
        &format!("topics: [\"${{TOPIC}}\", {LOADED}]"),
    );
    let setup = stage.topology(&topology, &case.input.topic(), &search.url())?;
    let mut isobar = setup.start()?;
    isobar.wait_until_ready(LIMIT)?;
    let capacity = capacity(&isobar, case.input.records)?;
    let topic = case.input.topic();
    plan(isobar.setup(), "beside.json", &["--topic", &topic])?;

    let half = (capacity / 2.0) as u64;
    let load = stage
        .kafka
        .load(LOADED, PARTITIONS.unsigned_abs().into(), half)?;
    wait::rest(SETTLING);
    let before = Histogram::of(isobar.address())?;
    let cpu = isobar.process().cpu_time()?;
    let began = wait::now();
    let replayed = isobar
        .setup()
        .finish_alone(&run_yielding("beside.json"), LIMIT)?;
    let wall = began.elapsed();
    let after = Histogram::of(isobar.address())?;
    let live_cpu = (isobar.process().cpu_time()? - cpu).as_secs_f64() / wall.as_secs_f64();
    let with = after.since(&before);
    wait::rest(SETTLING);
    // For as long: a longer time meets more of what comes now and then.
    let before = Histogram::of(isobar.address())?;
    wait::rest(wall);
    let without = Histogram::of(isobar.address())?.since(&before);
    check_replay(&replayed, case)?;
    let sent = load.finish()?;
    settled(&isobar, case.input.records + sent)?;
    let [without, with] = [without, with].map(|histogram| histogram.quantile(0.99));
    // Without its start and its check, as the capacity is.
    let report: Value = serde_json::from_str(&replayed.stdout)?;
    let seconds = report["run"]["seconds"].as_f64().context("a number")?;
    let rate = case.input.records as f64 / seconds;
    let (share, ratio) = (rate / (capacity - half as f64) * 100.0, with / without);
    Ok(Row {
        name: CASES[1].0.to_owned(),
        work: CASES[1].1.to_owned(),
        records: case.input.records,
        runs: 1,
        took: Took::of(
            &[Run {
                usage: replayed.usage,
                wall,
            }],
            case.input.records,
        ),
        limit: None,
        allocations: None,
        note: format!(
            "; the replay takes {share:.0} % of what is spare (at least {SHARE_MIN:.0}), and the p99 of the live \
             age is {ratio:.2} times as high (at most {AGE_MAX}): {with:.2} s, without {without:.2} s, over \
             {:.0} s each; capacity {capacity:.0} records/s, live load {half}, live {live_cpu:.2} cores",
            wall.as_secs_f64()
        ),
        more: Figures(vec![
            ("spare_percent", Spread::of([share])),
            ("times_live_p99", Spread::of([ratio])),
        ])
        .json(),
    })
}

/// How many records a second a topology takes that has just started, of which so many lie there: from where it
/// is when it is ready. How long a process takes to start says nothing of it.
fn capacity(isobar: &Isobar, records: u64) -> Result<f64> {
    let delivered = || {
        let accounting = isobar.accounting()?;
        accounting["total"]["delivered"]
            .as_u64()
            .context("a number")
    };
    let (before, began) = (delivered()?, wait::now());
    ensure!(before < records / 2, "{before} before it could be watched");
    settled(isobar, records)?;
    Ok((records - before) as f64 / began.elapsed().as_secs_f64())
}

/// Makes the plan of a replay into a new index.
fn plan(setup: &Setup, file: &str, more: &[&str]) -> Result<()> {
    let target = format!("index={AGAIN}");
    let range = ["--from", "earliest", "--to", "now", "--target", &target];
    let command = [&["replay", "plan"][..], &range, &["--out", file], more].concat();
    let planned = setup.finish(&command, LIMIT)?;
    ensure!(planned.status.success(), "{}", planned.stderr);
    Ok(())
}

/// As fast as it goes, whatever is live.
fn run(plan: &str) -> [&str; 7] {
    let [replay, run, plan, yes, o, json] = run_yielding(plan);
    [replay, run, plan, yes, "--yield-to-live=off", o, json]
}

/// As it is by default.
fn run_yielding(plan: &str) -> [&str; 6] {
    ["replay", "run", plan, "--yes", "-o", "json"]
}

/// Fails unless each record became a document of the new index, and the index says so.
fn check_replay(finished: &Finished, case: &Case) -> Result<()> {
    ensure!(finished.status.success(), "{}", finished.stderr);
    let report: Value = serde_json::from_str(&finished.stdout)?;
    let total = &report["run"]["accounting"]["total"];
    ensure!(total["delivered"] == case.input.records, "{total}");
    let verdict = &report["verification"]["verdict"];
    ensure!(verdict == "exact", "{verdict}");
    Ok(())
}

/// Deletes what earlier runs have indexed.
fn forget(search: &Search) -> Result<()> {
    let client = search.client();
    let all = client.json(
        "GET",
        "/_cat/indices/logs-*,again*?format=json&h=index",
        None,
    )?;
    for index in all.as_array().into_iter().flatten() {
        client.delete_index(index["index"].as_str().context("a name")?)?;
    }
    Ok(())
}

/// Waits until so many records are delivered.
fn settled(isobar: &Isobar, records: u64) -> Result<()> {
    wait::until("all records", LIMIT, || {
        let accounting = isobar.accounting()?;
        let total = &accounting["total"];
        ensure!(total["delivered"] == records, "{total}");
        Ok(())
    })
}
