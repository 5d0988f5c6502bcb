//! What a record costs: half a million of them against the stand-in bulk server, in CPU time,
//! allocations and memory of the process.

use std::path::Path;

use anyhow::ensure;
use serde_json::Value;
use testkit::bulk_server::BulkServerProgram;
use testkit::http;

use crate::support::{RUN_LIMIT, Steps, Total, kafka_with_records, planned_memory, setup};

const RECORDS: u64 = 500_000;

/// Allocations per record, without those of an empty run: what is per batch and per request is far
/// below, one for each record is ten times above.
const ALLOCATIONS_MAX: f64 = 0.1;

#[test]
fn half_a_million_records_stay_within_their_budget() {
    let mut steps = Steps::new("hot path");
    let kafka = kafka_with_records(4, RECORDS);
    let binary = Path::new(env!("CARGO_BIN_EXE_bulk-server"));
    let mut stand_in = BulkServerProgram::start(binary, true).expect("the stand-in starts");
    steps.done("start, send 500,000");

    let setup_of = |group| setup(&kafka, &stand_in.url(), group, "");
    let measured = setup_of("measured");
    let bound = planned_memory(&measured);
    let mut isobar = measured.start().expect("it starts");
    let total = isobar.wait_for("all records", RUN_LIMIT, |address| {
        let total = Total::of(&http::get(address, "/accounting")?.json()?)?;
        ensure!(total.delivered == RECORDS, "{total:?}");
        Ok(total)
    });
    let total = total.unwrap_or_else(|error| panic!("{error:#}"));
    let cpu = isobar.process().cpu_time().expect("it runs");
    let memory = isobar.process().peak_memory().expect("it runs");
    assert_eq!(total.read, RECORDS);
    assert_eq!(isobar.stop(RUN_LIMIT).expect("it ends").code(), Some(0));
    steps.done(&format!(
        "{:.2} µs of CPU per record, at most {} MiB",
        cpu.as_secs_f64() * 1e6 / RECORDS as f64,
        memory >> 20
    ));

    // The first run reads everything, the second one nothing. Nobody watches: answers allocate too.
    let counting = testkit::isobar::counting().expect("it is built");
    let counted = setup_of("counted").program(&counting);
    let [full, empty] = [RECORDS, 0].map(|records| {
        let command = [
            "run",
            "--exit-when-caught-up",
            "-o",
            "json",
            "--http",
            "off",
        ];
        let finished = counted.finish(&command, RUN_LIMIT).expect("it ends");
        let report = serde_json::from_str(&finished.stdout).unwrap_or(Value::Null);
        let total = Total::of(&report["accounting"]).expect(&finished.stderr);
        assert_eq!((total.read, total.already_present), (records, records));
        assert_eq!(finished.status.code(), Some(0));
        finished.allocations().expect("a count")
    });
    let allocations = full.saturating_sub(empty) as f64 / RECORDS as f64;
    steps.done(&format!(
        "{allocations:.4} allocations per record ({full} in all, {empty} without records)"
    ));

    let counted = stand_in.statistics().expect("it counts");
    assert_eq!(
        (&counted["documents"], &counted["duplicates"]),
        (&RECORDS.into(), &RECORDS.into())
    );
    stand_in.stop().expect("it stops when asked");
    // Times and memory depend on the machine and what else it does, so they are shown and not
    // asserted; a count of allocations does not, nor does the bound on memory.
    assert!(allocations <= ALLOCATIONS_MAX, "{allocations}");
    assert!(memory <= bound, "{memory} bytes of {bound}");
}
