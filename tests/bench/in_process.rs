//! The runtime alone, acked, on one lane: the shapes of Storm's own performance topologies
//! (`ConstSpoutNullBoltTopo`, `ConstSpoutIdBoltNullBoltTopo` of storm-perf).

use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::Value;
use testkit::isobar::Setup;
use testkit::wait;

use crate::report::{Row, Took};
use crate::stage::{COMMAND, LIMIT, Run};

pub const CASES: [(&str, &str); 2] = [
    ("const-null", "one record again and again, dropped"),
    ("const-id-null", "the same through a bolt that hands on"),
];

/// Long enough for the start of the process to be nothing beside it.
const RECORDS: u64 = 50_000_000;

pub fn measure(programs: &Path, name: &str, work: &str, runs: usize) -> Result<Row> {
    let between = match name {
        "const-null" => ("", "constant"),
        _ => (
            "  same: {type: identity, inputs: [constant], on_rejected: drop}\n",
            "same",
        ),
    };
    let topology = format!(
        "isobar: 1\nname: bench\nspouts:\n  constant: {{type: constant, record: some text, records: {RECORDS}}}\n\
         bolts:\n{}  end: {{type: blackhole, inputs: [{}], on_rejected: drop}}\nsettings: {{lanes: 1}}\n",
        between.0, between.1
    );
    let setup = Setup::new(&topology)?.program(&programs.join("isobar-counting"));
    let mut measured = Vec::new();
    let mut allocations = 0.0;
    for _ in 0..runs {
        let began = wait::now();
        let finished = setup.finish(&COMMAND, LIMIT)?;
        let wall = began.elapsed();
        ensure!(finished.status.success(), "{}", finished.stderr);
        let report: Value = serde_json::from_str(&finished.stdout)?;
        let total = &report["accounting"]["total"];
        ensure!(total["dropped"] == RECORDS, "{name}: {total}");
        allocations = finished.allocations()? as f64 / RECORDS as f64;
        measured.push(Run {
            usage: finished.usage,
            wall,
        });
    }
    let took = Took::of(&measured, RECORDS);
    Ok(Row {
        name: name.to_owned(),
        work: work.to_owned(),
        records: RECORDS,
        runs,
        limit: None,
        allocations: Some(allocations),
        note: format!("; {:.1} million a second of CPU", 1.0 / took.cpu.median),
        took,
        more: Value::Null,
    })
}
