//! What the path of a record costs in instructions, which no other load on the machine changes: a
//! program under Valgrind's callgrind, over made-up records, against the stand-in bulk server.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::bulk_server::BulkServerProgram;
use crate::isobar::Setup;
use crate::{records, wait};

/// What the process takes to start is in both counts, and falls out of the difference. Not all of it: the
/// metrics library calibrates a clock until it is content, some millions of instructions more or less,
/// hence so many records.
const FEW: u64 = 20_000;
const MANY: u64 = 220_000;

const LIMIT: Duration = Duration::from_secs(300);

/// Records that are all the same, and what is done with them.
#[derive(Clone, Debug)]
pub struct Work {
    /// The text of each record.
    pub record: String,
    /// The bolts between the spout `constant` and the one that indexes what `enrich` hands on.
    pub bolts: String,
}

impl Work {
    /// Parses by the bolt `parser` and sets four fields.
    pub fn enriched(record: &str, parser: &str) -> Self {
        let bolts = format!(
            "  parse: {{type: {parser}, inputs: [constant]}}\n  enrich:\n    type: set_fields\n    \
             inputs: [parse]\n    fields: {{env: bench, region: eu-west-1, team: shop, is_test: true}}\n"
        );
        Self {
            record: record.to_owned(),
            bolts,
        }
    }

    /// The work of the case `json-es` of the bench.
    pub fn json_es() -> Self {
        let record = String::from_utf8(records::json(12_345)).expect("text");
        Self::enriched(&record, "parse_json, event_time: timestamp")
    }

    /// Instructions of `program`, which has the operators for measuring, for each record.
    pub fn per_record(&self, program: &Path, server: &BulkServerProgram) -> Result<u64> {
        let few = self.count(program, server, FEW)?;
        let many = self.count(program, server, MANY)?;
        Ok((many - few) / (MANY - FEW))
    }

    /// The instructions of a run over so many records. Whether the program knows that all arrived, or
    /// was built without what tells it, it is asked to end when the server has them.
    fn count(&self, program: &Path, server: &BulkServerProgram, records: u64) -> Result<u64> {
        let Self { record, bolts } = self;
        let (record, url) = (serde_json::to_string(record)?, server.url());
        let topology = format!(
            "isobar: 1\nname: instructions\n\
             connections:\n  search: {{type: elasticsearch, hosts: \"{url}\"}}\n\
             spouts:\n  constant: {{type: constant, record: {record}, records: {records}, stays: true}}\n\
             bolts:\n{bolts}  index:\n    type: elasticsearch\n    connection: search\n    inputs: [enrich]\n    \
             index: \"logs-{{{{ event_time.format('%Y.%m.%d') }}}}\"\n    event_time_bounds: {{past: 3650d}}\n\
             dead_letter: {{type: file, path: dead-letters.ndjson}}\nsettings: {{lanes: 1}}\n"
        );
        let setup = Setup::new(&topology)?.program(Path::new("valgrind"));
        let program = program.to_str().context("a path that is text")?;
        let callgrind = ["--tool=callgrind", "--callgrind-out-file=callgrind.out"];
        let run = [program, "run", "--http", "off"];
        let documents = || -> Result<u64> {
            let statistics = server.statistics()?;
            statistics["documents"].as_u64().context("no count")
        };
        let all = documents()? + records;
        let mut process = setup.begin(&[&callgrind[..], &run[..]].concat())?;
        wait::until("all documents", LIMIT, || {
            process.check_running()?;
            let count = documents()?;
            ensure!(count >= all, "{count} of {all}");
            Ok(())
        })?;
        let ended = process.stop(LIMIT)?;
        ensure!(ended.success(), "{ended}: {}", process.log_tail());
        ensure!(documents()? == all, "more documents than records");
        let log = std::fs::read_to_string(process.log())?;
        let count = log
            .lines()
            .rev()
            .find_map(|line| line.split_once("Collected : "));
        let (_, count) = count.with_context(|| log.clone())?;
        Ok(count.trim().parse()?)
    }
}
