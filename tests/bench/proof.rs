//! What it costs to account for every record: `json-es` as it is, beside the same program built
//! without ledger, acks, accounting and count of items (`--cfg isobar_unacked`), in turns; and what
//! both take in instructions, which the machine's noise does not touch.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testkit::instructions::Work;
use testkit::wait;

use crate::cases::{self, Case};
use crate::check;
use crate::report::{Row, Took};
use crate::stage::{LIMIT, Run, Stage};
use testkit::figures::mean_with_confidence;

pub const CASE: (&str, &str) = (
    "json-es-unacked",
    "json-es beside the same without any guarantee",
);

/// Fewer pairs say little about a few percent.
const PAIRS_MIN: usize = 20;

pub fn measure(stage: &mut Stage, runs: usize) -> Result<Vec<Row>> {
    let all = cases::all();
    let case = all.iter().find(|case| case.name == "json-es");
    let case = case.context("json-es is a case")?;
    stage.load(&case.input)?;
    check::check(stage, case)?;
    let mut pairs = Vec::new();
    for _ in 0..runs.max(PAIRS_MIN) {
        let acked = until_all_arrived(stage, case, "isobar")?;
        let unacked = until_all_arrived(stage, case, "unacked/isobar")?;
        pairs.push((acked, unacked));
    }
    let cpu = |run: &Run| run.usage.cpu.as_secs_f64();
    let costs: Vec<f64> = pairs
        .iter()
        .map(|(acked, unacked)| (cpu(acked) / cpu(unacked) - 1.0) * 100.0)
        .collect();
    let (mean, half) = mean_with_confidence(&costs);
    let row = |name: &str, runs: Vec<Run>, note: String| Row {
        name: name.to_owned(),
        work: CASE.1.to_owned(),
        records: case.input.records,
        took: Took::of(&runs, case.input.records),
        limit: None,
        allocations: None,
        note,
    };
    let (acked, unacked): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let instructions = |program: &str| {
        let program = stage.program(program).join("isobar-counting");
        Work::json_es().per_record(&program, &stage.server)
    };
    let (with, without) = (instructions("")?, instructions("unacked")?);
    let note = format!(
        "; {} pairs: acking costs {mean:+.1} % +/- {half:.1} (95 %); {with} instructions a record without \
         Kafka, {without} unacked: {:+.2} %",
        costs.len(),
        (with as f64 / without as f64 - 1.0) * 100.0
    );
    Ok(vec![
        row("json-es-acked", acked, note),
        row("json-es-unacked", unacked, String::new()),
    ])
}

/// Runs a program until the server has all records: without acks it does not know itself.
fn until_all_arrived(stage: &mut Stage, case: &Case, program: &str) -> Result<Run> {
    let program = stage.program(program);
    let setup = stage.setup(case, &stage.server.url())?.program(&program);
    let count = |stage: &Stage| -> Result<u64> {
        let statistics = stage.server.statistics()?;
        statistics["documents"].as_u64().context("no count")
    };
    let all = count(stage)? + case.delivered;
    let began = wait::now();
    let mut process = setup.begin(&["run", "--http", "off"])?;
    wait::until("all documents", LIMIT, || {
        process.check_running()?;
        let count = count(stage)?;
        ensure!(count >= all, "{count} of {all}");
        Ok(())
    })?;
    let wall = began.elapsed();
    process.ask_to_end();
    let usage = process.wait_measured(Duration::from_secs(60))?;
    Ok(Run { usage, wall })
}
