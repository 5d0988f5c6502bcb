//! What the path of a record costs in instructions, which no other load on the machine changes: the
//! program under Valgrind's callgrind, over made-up records, against the stand-in bulk server. A
//! figure more than five percent above `tests/bench/instructions.json` fails. Where more work is
//! meant, or less was reached, move the figures there and say why in the commit:
//! `ISOBAR_BASELINE=move tests/run e2e instructions`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testkit::bulk_server::BulkServerProgram;
use testkit::isobar::{Setup, counting};
use testkit::records;
use testkit::services::setting;

use crate::support::Steps;

/// Runs of one program differ by half a percent. Code elsewhere moves the figures by up to three, as the
/// compiler inlines otherwise; its version is pinned.
const TOLERANCE: f64 = 0.05;

/// What the process takes to start is in both counts, and falls out of the difference.
const FEW: u64 = 20_000;
const MANY: u64 = 100_000;

const LIMIT: Duration = Duration::from_secs(300);

#[test]
fn no_record_costs_more_than_before() {
    let mut steps = Steps::new("instructions");
    let binary = Path::new(env!("CARGO_BIN_EXE_bulk-server"));
    let mut stand_in = BulkServerProgram::start(binary, false).expect("the stand-in starts");
    let mut measured = BTreeMap::new();
    for (name, record, bolts) in cases() {
        let counted = per_record(&record, &bolts, &stand_in.url());
        let counted = counted.unwrap_or_else(|error| panic!("{name}: {error:#}"));
        steps.done(&format!("{name}: {counted} instructions for each record"));
        let _ = measured.insert(name.to_owned(), counted);
    }
    stand_in.stop().expect("it stops when asked");

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/instructions.json");
    if setting("ISOBAR_BASELINE").as_deref() == Some("move") {
        let text = serde_json::to_string_pretty(&measured).expect("JSON");
        std::fs::write(&file, text + "\n").expect("the figures can be kept");
        return;
    }
    let text = std::fs::read_to_string(&file).expect("there are figures");
    let baseline: BTreeMap<String, u64> = serde_json::from_str(&text).expect("of each case");
    assert!(
        measured.keys().eq(baseline.keys()),
        "{} has other cases",
        file.display()
    );
    let above = measured
        .iter()
        .filter(|(name, counted)| **counted as f64 > baseline[*name] as f64 * (1.0 + TOLERANCE));
    let above: Vec<String> = above
        .map(|(name, counted)| format!("{name}: {counted}, was {}", baseline[name]))
        .collect();
    assert!(
        above.is_empty(),
        "instructions for each record:\n{}\nIf this is meant: ISOBAR_BASELINE=move tests/run e2e instructions",
        above.join("\n")
    );
}

/// Name, record, and the bolts before the one that indexes what `enrich` hands on.
fn cases() -> [(&'static str, String, String); 4] {
    let parse = |parser: &str| format!("  parse: {{type: {parser}, inputs: [constant]}}\n");
    let enrich = "  enrich:\n    type: set_fields\n    inputs: [parse]\n    \
                  fields: {env: bench, region: eu-west-1, team: shop, is_test: true}\n";
    let json = String::from_utf8(records::json(12_345)).expect("text");
    let json_bolts = parse("parse_json, event_time: timestamp") + enrich;
    let more = json_bolts.replace("enrich:", "first:")
        + "  enrich: {type: set_fields, inputs: [first], fields: {more: text}}\n";
    let access = "192.0.2.17 - frank [01/Jan/2026:00:20:34 +0000] \"GET /shop/item/012345 HTTP/1.1\" 200 \
                  5432 \"https://www.example.com/start\" \"Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0\"";
    let syslog = "<165>1 2026-01-01T00:20:34.500Z web-17 shop 4711 ID47 [order@32473 id=\"12345\" \
                  zone=\"eu-1\"] basket paid, delivery is on its way";
    [
        ("json-es", json.clone(), json_bolts),
        ("json-es with one more bolt", json, more),
        (
            "access-es",
            access.to_owned(),
            parse("parse_access_log") + enrich,
        ),
        (
            "syslog-es",
            syslog.to_owned(),
            parse("parse_syslog") + enrich,
        ),
    ]
}

fn per_record(record: &str, bolts: &str, url: &str) -> Result<u64> {
    let program = counting()?;
    let few = instructions(&program, record, bolts, url, FEW)?;
    let many = instructions(&program, record, bolts, url, MANY)?;
    Ok((many - few) / (MANY - FEW))
}

/// The instructions of a run over so many records.
fn instructions(program: &Path, record: &str, bolts: &str, url: &str, records: u64) -> Result<u64> {
    let record = serde_json::to_string(record)?;
    let topology = format!(
        "isobar: 1\nname: instructions\n\
         connections:\n  search: {{type: elasticsearch, hosts: \"{url}\"}}\n\
         spouts:\n  constant: {{type: constant, record: {record}, records: {records}}}\n\
         bolts:\n{bolts}  index:\n    type: elasticsearch\n    connection: search\n    inputs: [enrich]\n    \
         index: \"logs-{{{{ event_time.format('%Y.%m.%d') }}}}\"\n    event_time_bounds: off\n\
         dead_letter: {{type: file, path: dead-letters.ndjson}}\nsettings: {{lanes: 1}}\n"
    );
    let setup = Setup::new(&topology)?.program(Path::new("valgrind"));
    let program = program.to_str().context("a path that is text")?;
    let command = [
        "--tool=callgrind",
        "--callgrind-out-file=callgrind.out",
        program,
        "run",
        "--exit-when-caught-up",
        "-o",
        "json",
        "--http",
        "off",
    ];
    let finished = setup.finish(&command, LIMIT)?;
    ensure!(finished.status.success(), "{}", finished.stderr);
    let report: serde_json::Value = serde_json::from_str(&finished.stdout)?;
    let delivered = &report["accounting"]["total"]["delivered"];
    ensure!(*delivered == records, "delivered {delivered}");
    let lines = finished.stderr.lines();
    let count = lines.rev().find_map(|line| line.split_once("Collected : "));
    let (_, count) = count.with_context(|| finished.stderr.clone())?;
    Ok(count.trim().parse()?)
}
