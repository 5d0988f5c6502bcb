//! What it costs to account for every record: `json-es` as it is, beside the same program built
//! without ledger, acks, accounting and count of items (`--cfg isobar_unacked`), in turns; and what
//! both take in instructions, which the machine's noise does not touch.
//!
//! How far a process overlaps with broker and server on two cores decides between costs that are half as high again
//! as others, in each arm. Here the program has a core, and its services the others: ratios are those of one core.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::figures::Middle;
use testkit::instructions::Work;
use testkit::wait;

use crate::cases::{self, Case};
use crate::check;
use crate::report::{Row, Took};
use crate::stage::{LIMIT, Run, Stage};

pub const CASE: (&str, &str) = (
    "json-es-unacked",
    "json-es beside the same without any guarantee, on one core",
);

/// Fewer pairs say little about a few percent.
const PAIRS_MIN: usize = 40;

const ACKED: &str = "isobar";
const UNACKED: &str = "unacked/isobar";

pub fn measure(stage: &mut Stage, runs: usize) -> Result<Vec<Row>> {
    let all = cases::all();
    let case = all.iter().find(|case| case.name == "json-es");
    let case = case.context("json-es is a case")?;
    stage.load(&case.input)?;
    check::check(stage, case)?;
    check_unacked(stage, case)?;
    // Start, calibration of the clock and end are a few percent of an ordinary run.
    let mut case = case.clone();
    case.input.records *= 4;
    case.delivered *= 4;
    // As many as without being kept on one core.
    case.topology += "settings: {lanes: 2}\n";
    stage.load(&case.input)?;

    let cores = std::thread::available_parallelism()?.get();
    ensure!(cores > 1, "the program and its services need a core each");
    let (services, every) = (format!("0-{}", cores - 2), format!("0-{}", cores - 1));
    let core = (cores - 1).to_string();
    stage.keep_services_on(&services)?;
    let (mut pairs, mut control) = (Vec::new(), Vec::new());
    // In blocks of A B B A: each is first as often as the other, and a machine that slows down favours neither.
    // Between two blocks one A A, for what the method finds where there is nothing.
    for block in 0..runs.max(PAIRS_MIN).div_ceil(2) {
        let mut run = |program| until_all_arrived(stage, &case, program, &core);
        let (acked, unacked) = (run(ACKED)?, run(UNACKED)?);
        pairs.push((acked, unacked));
        let (unacked, acked) = (run(UNACKED)?, run(ACKED)?);
        pairs.push((acked, unacked));
        let (one, other) = (run(ACKED)?, run(ACKED)?);
        control.push(match block % 2 {
            0 => (one, other),
            _ => (other, one),
        });
    }
    stage.keep_services_on(&every)?;

    let instructions = |program: &str| {
        let program = stage.program(program).join("isobar-counting");
        Work::json_es().per_record(&program, &stage.server)
    };
    let (with, without) = (instructions("")?, instructions("unacked")?);
    let more = (with as f64 / without as f64 - 1.0) * 100.0;
    let records = case.input.records;
    let (cost, nothing) = (
        Compared::of(&pairs, records),
        Compared::of(&control, records),
    );
    let note = format!(
        "; acking costs {}; beside itself it costs {}; {with} instructions a record without Kafka, {without} \
         unacked: {more:+.2} %",
        cost.text(),
        nothing.text()
    );
    let further = json!({
        "acking": cost.json(),
        "control": nothing.json(),
        "instructions": {"acked": with, "unacked": without, "more_percent": more},
    });
    let row = |name: &str, runs: &[Run], note: String, more: Value| Row {
        name: name.to_owned(),
        work: CASE.1.to_owned(),
        records,
        runs: runs.len(),
        took: Took::of(runs, records),
        limit: None,
        allocations: None,
        note,
        more,
    };
    let (acked, unacked): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    Ok(vec![
        row("json-es-acked", &acked, note, further),
        row("json-es-unacked", &unacked, String::new(), Value::Null),
    ])
}

/// CPU time of pairs of runs, and what the first of a pair takes more than the second, in percent.
struct Compared {
    /// In µs for each record.
    pairs: Vec<[f64; 2]>,
    more: Middle,
}

impl Compared {
    fn of(pairs: &[(Run, Run)], records: u64) -> Self {
        let cpu = |run: &Run| run.usage.cpu.as_secs_f64() * 1e6 / records as f64;
        let pairs: Vec<[f64; 2]> = pairs
            .iter()
            .map(|(one, other)| [cpu(one), cpu(other)])
            .collect();
        // Of logarithms, in which a ratio and its inverse are as far from none.
        let ratios: Vec<f64> = pairs
            .iter()
            .map(|[one, other]| (one / other).ln())
            .collect();
        let percent = |ratio: f64| (ratio.exp() - 1.0) * 100.0;
        let more = Middle::of(&ratios).map(percent);
        Self { pairs, more }
    }

    fn text(&self) -> String {
        let Middle {
            middle,
            from,
            to,
            at_most,
        } = self.more;
        format!(
            "{middle:+.1} % ({from:+.1} to {to:+.1}, 95 %; below {at_most:+.1}, 95 % on one side; {} pairs)",
            self.pairs.len()
        )
    }

    fn json(&self) -> Value {
        let more = self.more;
        json!({
            "middle_percent": more.middle,
            "from_percent": more.from,
            "to_percent": more.to,
            "at_most_percent": more.at_most,
            "pairs_us_per_record": self.pairs,
        })
    }
}

/// That the program without any guarantee writes the same documents once, where nothing fails.
fn check_unacked(stage: &mut Stage, case: &Case) -> Result<()> {
    let server = check::keeping()?;
    let program = stage.program(UNACKED);
    let setup = stage.setup(case, &server.url())?.program(&program);
    let mut process = setup.begin(&["run", "--http", "off"])?;
    wait::until("all documents", LIMIT, || {
        process.check_running()?;
        let count = server.statistics().documents;
        ensure!(count >= case.delivered, "{count} of {}", case.delivered);
        Ok(())
    })?;
    let ended = process.stop(LIMIT)?;
    ensure!(ended.success(), "{ended}: {}", process.log_tail());
    check::compare(case, &server)
}

/// Runs a program until the server has all records: without acks it does not know itself.
fn until_all_arrived(stage: &mut Stage, case: &Case, program: &str, core: &str) -> Result<Run> {
    let program = stage.program(program);
    let setup = stage.setup(case, &stage.server.url())?;
    let setup = setup.program(&program).on_cores(core);
    let all = stage.documents()? + case.delivered;
    let began = wait::now();
    let mut process = setup.begin(&["run", "--http", "off"])?;
    wait::until("all documents", LIMIT, || {
        process.check_running()?;
        let count = stage.documents()?;
        ensure!(count >= all, "{count} of {all}");
        Ok(())
    })?;
    let wall = began.elapsed();
    process.ask_to_end();
    let usage = process.wait_measured(Duration::from_secs(60))?;
    let count = stage.documents()?;
    ensure!(count == all, "{count} documents of {all} records");
    Ok(Run { usage, wall })
}
