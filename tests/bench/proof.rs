//! What it costs to account for every record: `json-es` as it is, beside the same program built
//! without ledger, acks, accounting and count of items (`--cfg isobar_unacked`), in turns; and what
//! both take in instructions, which the machine's noise does not touch.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testkit::figures::Middle;
use testkit::instructions::Work;
use testkit::wait;

use crate::cases::{self, Case};
use crate::check;
use crate::report::{Row, Took};
use crate::stage::{LIMIT, Run, Stage};

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
    for n in 0..runs.max(PAIRS_MIN) {
        // Each is first as often as the other: a machine that slows down favours neither.
        let acked = |stage: &mut Stage| until_all_arrived(stage, case, "isobar");
        let unacked = |stage: &mut Stage| until_all_arrived(stage, case, "unacked/isobar");
        pairs.push(match n % 2 {
            0 => {
                let first = acked(stage)?;
                (first, unacked(stage)?)
            }
            _ => {
                let first = unacked(stage)?;
                (acked(stage)?, first)
            }
        });
    }
    let cpu = |run: &Run| run.usage.cpu.as_secs_f64();
    // Of logarithms, in which a ratio and its inverse are as far from none.
    let ratios: Vec<f64> = pairs
        .iter()
        .map(|(acked, unacked)| (cpu(acked) / cpu(unacked)).ln())
        .collect();
    let Middle { middle, from, to } = Middle::of(&ratios);
    let percent = |ratio: f64| (ratio.exp() - 1.0) * 100.0;
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
        "; {} pairs: acking costs {:+.1} % ({:+.1} to {:+.1}, 95 %); {with} instructions a record without \
         Kafka, {without} unacked: {:+.2} %",
        ratios.len(),
        percent(middle),
        percent(from),
        percent(to),
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
