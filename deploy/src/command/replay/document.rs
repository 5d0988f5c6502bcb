//! The files of a replay: the plan, and the report of its last run beside it.
//!
//! Version 2 of plans, 1 of all else. They outlive the process: a change of meaning needs a new version.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use isobar_operators::kafka::admin::TopicPartition;
use isobar_operators::replay::Choice;
use serde::{Deserialize, Serialize};

use super::extent::{self, PlannedExtent};
use super::purge::PURGE;
use super::sample::Sample;
use super::width::RULE;
use crate::exit::Failure;
use crate::output::{Table, number};
use crate::progress::Screen;

/// Of reports, and of what commands print of both.
pub(super) const VERSION: u32 = 1;

/// Of plans. Version 1 was not held to its cluster, nor to values from outside.
pub(super) const PLAN_VERSION: u32 = 2;

/// What is to be replayed, and what it was planned against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanFile {
    pub(super) version: u32,
    /// Tells this replay from others of the topology.
    pub(super) id: String,
    /// When it was made, in ms since 1970.
    pub(super) made_at_ms: i64,
    pub(super) topology: String,
    /// The topology file, and the files of variables that it was read with.
    pub(super) file: PathBuf,
    pub(super) env_files: Vec<PathBuf>,
    /// Tells the configuration, with all values from outside: a changed topology needs another plan.
    pub(super) configuration: String,
    pub(super) spout: String,
    /// The group that keeps the progress; never that of the live topology.
    pub(super) group: String,
    pub(super) cluster_id: String,
    /// Each topic with its id; null where the cluster has none.
    pub(super) topics: BTreeMap<String, Option<String>>,
    /// How many partitions each had, whichever of them are in the plan; empty in older plans.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) partition_counts: BTreeMap<String, usize>,
    pub(super) from: String,
    pub(super) to: String,
    /// As the command line says it.
    pub(super) target: String,
    /// Indices that do not exist are made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) create_missing: bool,
    /// Of the bolts that index, only these; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) only_bolts: Vec<String>,
    /// Bolts that somebody wants to be left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) exclude_bolts: Vec<String>,
    /// Names that documents go to and that do not exist, as far as they are known.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) missing_indices: BTreeSet<String>,
    /// Records per second at most, where the run says nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rate: Option<NonZeroU32>,
    pub(super) sinks: Vec<PlannedSink>,
    /// Bolts that are left out: they write to other systems, or somebody wants it.
    pub(super) left_out: Vec<String>,
    /// Bolts that index records of the topics in the live topology, and not here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) other_sinks: Vec<String>,
    /// Whether anything that was asked for is not in it.
    pub(super) narrowed: bool,
    pub(super) partitions: Vec<PlannedPartition>,
    /// Tables that records are looked up in: changed ones need another plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) tables: Vec<PlannedTable>,
    /// What would become of some of the records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sample: Option<Sample>,
    /// What else to know before it is run, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) notes: Vec<String>,
}

/// A table that records are looked up in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlannedTable {
    pub(super) bolt: String,
    pub(super) file: PathBuf,
    /// Hash of what is in it, in hexadecimal digits.
    pub(super) hash: String,
}

/// A bolt that indexes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlannedSink {
    pub(super) bolt: String,
    /// The index or data stream, as a name or template.
    pub(super) index: String,
    /// Where that is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) hosts: Vec<String>,
    /// The id of their cluster; null where they do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cluster: Option<String>,
    /// What protects against storing a record twice.
    pub(super) guarantee: String,
    /// Whether documents say where they come from, so that the replay can be verified.
    pub(super) verifiable: bool,
    /// Its indices that exist, with what keeps documents out.
    pub(super) indices: BTreeMap<String, Vec<String>>,
    /// Those that a purge deletes in, with the documents of the ranges that are there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) purged: BTreeMap<String, u64>,
    /// Those of another name that have documents of the ranges already, with their number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) there: BTreeMap<String, u64>,
}

/// The half-open range of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlannedPartition {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) from: i64,
    pub(super) to: i64,
    /// What is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) extent: Option<PlannedExtent>,
    /// What was asked for and is not in it.
    pub(super) narrowed: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// What came of the last run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportFile {
    pub(super) version: u32,
    /// Of the plan.
    pub(super) id: String,
    /// Everything was read and settled.
    pub(super) complete: bool,
    /// It went on where an earlier run had ended.
    pub(super) resumed: bool,
    pub(super) summary: String,
    pub(super) partitions: Vec<ReportedPartition>,
}

/// What became of the records of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportedPartition {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) read: u64,
    pub(super) delivered: u64,
    pub(super) already_present: u64,
    pub(super) dead_lettered: u64,
    pub(super) dropped: u64,
    /// Deleted at the broker before they were read.
    pub(super) lost: u64,
    /// The first offset that the counts are of; null in older reports, where those of a resumed run begin
    /// nobody knows where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<i64>,
    /// They are of all that is before this offset, by whatever runs, and of nothing behind it. Null in older reports
    /// where records behind it are among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<i64>,
}

impl PlannedPartition {
    pub(super) fn offsets(&self) -> u64 {
        u64::try_from(self.to - self.from).unwrap_or(0)
    }

    pub(super) fn name(&self) -> TopicPartition {
        TopicPartition::new(&self.topic, self.partition)
    }
}

impl PlanFile {
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        read(path, PLAN)
    }

    /// What of the topology is run, and how.
    pub(super) fn choice(&self) -> Result<Choice, Failure> {
        Ok(Choice {
            create_missing: self.create_missing,
            only: self.only_bolts.clone(),
            exclude: self.exclude_bolts.clone(),
            ..Choice::of(self.target.parse().map_err(Failure::usage)?)
        })
    }

    /// Whether an index that does not exist is made, as [`Choice::makes_indices`] says.
    pub(super) fn makes_indices(&self) -> bool {
        self.choice().is_ok_and(|choice| choice.makes_indices())
    }

    pub(super) fn offsets(&self) -> u64 {
        self.partitions.iter().map(PlannedPartition::offsets).sum()
    }

    /// The text for people.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "Replay {} of {}: spout {}, from {} to {}, target {}\n\n",
            self.id, self.topology, self.spout, self.from, self.to, self.target
        );
        let extents = || self.partitions.iter().filter_map(|one| one.extent.as_ref());
        let any_extent = extents().next().is_some();
        let more = ["RECORDS>", "BYTES>", "OLDEST", "NEWEST"];
        let more = more.into_iter().filter(|_| any_extent);
        let columns = ["TOPIC", "PARTITION>", "FROM>", "TO>", "OFFSETS>"];
        let mut table = Table::new(columns.into_iter().chain(more));
        for one in &self.partitions {
            let cells = [
                one.topic.clone(),
                one.partition.to_string(),
                number(one.from),
                number(one.to),
                number(one.offsets()),
            ];
            let more = PlannedExtent::cells(one.extent.as_ref());
            let more = more.into_iter().filter(|_| any_extent);
            table.row(cells.into_iter().chain(more));
        }
        text.push_str(&table.text());
        text.push_str(&format!("\nOffsets in all: {}\n", number(self.offsets())));
        if any_extent {
            text.push_str(&extent::in_all(extents(), self.rate));
        }
        if self.target == PURGE {
            text.push_str(
                "Purge: the documents of these offsets are deleted first, and missing until they are written\n",
            );
        }
        text.push_str(RULE);
        for sink in &self.sinks {
            text.push_str(&format!(
                "Indexed by {} into {}{}: protected against storing twice: {}; {}\n",
                sink.bolt,
                sink.index,
                sink.place(),
                sink.guarantee,
                match sink.verifiable {
                    true => "can be verified",
                    false => "cannot be verified, as documents carry no origin",
                }
            ));
            match sink.indices.len() {
                0 => text.push_str("  none of its indices exists yet\n"),
                count => text.push_str(&format!("  {} of its indices exist\n", number(count))),
            }
            for (index, blocks) in sink.indices.iter().filter(|(_, blocks)| !blocks.is_empty()) {
                let blocks = blocks.join(", ");
                text.push_str(&format!("  {index} takes no documents: {blocks}\n"));
            }
            text.push_str(&sink.purged_text());
        }
        for name in &self.missing_indices {
            text.push_str(&match self.makes_indices() {
                true => format!("{name} does not exist, and is made\n"),
                false => format!(
                    "{name} does not exist: documents for it are left out, unless --create-missing has it made\n"
                ),
            });
        }
        for bolt in &self.left_out {
            let is_wanted = self.other_sinks.contains(bolt) || self.exclude_bolts.contains(bolt);
            let why = match is_wanted {
                true => "",
                false => ", as it changes something elsewhere",
            };
            text.push_str(&format!(
                "Left out: {bolt}{why}; what would reach nothing else is dropped\n"
            ));
        }
        for one in &self.partitions {
            let all = one.narrowed.iter().chain(&one.notes);
            for said in all {
                text.push_str(&format!("{}/{}: {said}\n", one.topic, one.partition));
            }
        }
        for note in &self.notes {
            text.push_str(&format!("Note: {note}\n"));
        }
        if let Some(sample) = &self.sample {
            text.push_str(&format!("\n{}", sample.text()));
        }
        text
    }
}

/// Indices that a purge deletes in that are listed for people.
const PURGED_LISTED: usize = 20;

impl PlannedSink {
    /// Where its indices are, behind their name.
    pub(super) fn place(&self) -> String {
        match self.hosts.as_slice() {
            [] => String::new(),
            hosts => format!(" at {}", hosts.join(", ")),
        }
    }

    /// What is deleted, a line for each index.
    fn purged_text(&self) -> String {
        let mut text = String::new();
        for (index, documents) in self.purged.iter().take(PURGED_LISTED) {
            let documents = number(*documents);
            text.push_str(&format!(
                "  {index} has {documents} documents that are deleted\n"
            ));
        }
        let more = self.purged.iter().skip(PURGED_LISTED);
        let (count, documents) = more.fold((0, 0), |(count, sum), (_, one)| (count + 1, sum + one));
        if count > 0 {
            let (count, documents) = (number(count), number(documents));
            text.push_str(&format!(
                "  {count} more indices have {documents} documents that are deleted\n"
            ));
        }
        text
    }
}

impl ReportFile {
    /// The report's place beside a plan.
    pub(super) fn beside(plan: &Path) -> PathBuf {
        plan.with_extension("report.json")
    }

    /// The report of the last run of a plan; `None` when there is none. That of another plan, which had the same
    /// file name before, is none, and the screen is told so.
    pub(super) fn of(
        path: &Path,
        plan: &PlanFile,
        screen: &Screen,
    ) -> Result<Option<Self>, Failure> {
        let beside = Self::beside(path);
        if !beside.exists() {
            return Ok(None);
        }
        let report: Self = read(&beside, REPORT)?;
        if report.id != plan.id {
            screen.line(&format!(
                "isobar: {} is about the replay {}, and not about {}: it counts for nothing here",
                beside.display(),
                report.id,
                plan.id
            ));
            return Ok(None);
        }
        Ok(Some(report))
    }
}

impl ReportFile {
    /// What is said of a partition.
    pub(super) fn of_partition(&self, partition: &TopicPartition) -> Option<&ReportedPartition> {
        let mut partitions = self.partitions.iter();
        partitions.find(|one| {
            (one.topic.as_str(), one.partition) == (&*partition.topic, partition.partition)
        })
    }

    /// What became of all that is planned of a partition; `None` where not all of it is settled, or where the counts
    /// of a part of it are not known.
    pub(super) fn counts(&self, planned: &PlannedPartition) -> Option<ReportedPartition> {
        if !self.complete {
            return None;
        }
        let counted = self.of_partition(&planned.name());
        let is_whole = match counted.and_then(|counted| Some((counted.from?, counted.to?))) {
            Some((from, to)) => from == planned.from && to >= planned.to,
            None => !self.resumed || planned.offsets() == 0,
        };
        is_whole.then(|| counted.cloned().unwrap_or_default())
    }
}

/// A kind of file, and the command that makes one.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    maker: &'static str,
    version: u32,
}

const PLAN: Kind = Kind {
    name: "plan of a replay",
    maker: "isobar replay plan",
    version: PLAN_VERSION,
};
const REPORT: Kind = Kind {
    name: "report of a replay",
    maker: "isobar replay run",
    version: VERSION,
};

fn read<T: serde::de::DeserializeOwned>(path: &Path, what: Kind) -> Result<T, Failure> {
    let refused = |why: String| Failure::usage(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path)
        .map_err(|error| refused(format!("cannot be read: {error}")))?;
    parse(&text, what).map_err(refused)
}

fn parse<T: serde::de::DeserializeOwned>(text: &str, what: Kind) -> Result<T, String> {
    #[derive(Deserialize)]
    struct Any {
        version: u32,
    }
    let Kind {
        name,
        maker,
        version: known,
    } = what;
    let no_file = |error| match text.trim_start().starts_with('{') {
        true => format!("is no {name}: {error}; `{maker}` makes one"),
        // Such as a topology: where it ceases to be JSON says nothing.
        false => format!("is no {name}; `{maker}` makes one"),
    };
    let Any { version } = serde_json::from_str(text).map_err(no_file)?;
    if version != known {
        return Err(format!(
            "is a {name} of version {version}, and this program knows version {known}; `{maker}` makes one"
        ));
    }
    serde_json::from_str(text).map_err(no_file)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::super::files::write;
    use super::*;

    const TEXT: &str = r#"{"version": 2, "id": "19a", "made_at_ms": 5, "topology": "logs",
        "file": "/logs.yaml", "env_files": [], "configuration": "0f", "spout": "in",
        "group": "logs.replay.19a", "cluster_id": "c", "topics": {"t": "id", "u": null},
        "from": "earliest", "to": "now", "target": "missing",
        "sinks": [{"bolt": "index", "index": "logs-{{ doc.day }}", "hosts": ["http://es:9200"],
                   "cluster": "u", "guarantee": "exact",
                   "verifiable": true, "indices": {"logs-1": ["index.blocks.write"]}}],
        "left_out": ["copy"], "narrowed": true,
        "partitions": [{"topic": "t", "partition": 0, "from": 100, "to": 1300,
                        "narrowed": ["offsets 0 to 99 are gone"], "notes": []}]}"#;

    #[test]
    fn the_form_of_version_2_never_changes() {
        let plan: PlanFile = parse(TEXT, PLAN).expect("version 2");
        let again = serde_json::to_value(&plan).expect("JSON");
        let first: serde_json::Value = serde_json::from_str(TEXT).expect("JSON");
        assert_eq!(again, first);
    }

    #[test]
    fn what_a_sample_adds_is_read_again() {
        let more = r#""tables": [{"bolt": "find", "file": "/t.csv", "hash": "0f"}],
            "sample": {"records": 1, "oldest_ms": 7, "ends": [
                {"topic": "t", "partition": 0, "offset": 100, "fate": "document", "bolt": "index",
                 "target": "logs-1", "id": "a", "is": "changed", "index": "logs-1",
                 "differences": [{"path": "x", "before": null, "after": 1}]},
                {"topic": "t", "partition": 0, "offset": 101, "fate": "dropped", "policy": "few"}],
                "changed_fields": {"x": 1}, "notes": ["one"]},
            "notes": ["another"], "partitions""#;
        let text = TEXT.replacen("\"partitions\"", more, 1);
        let plan: PlanFile = parse(&text, PLAN).expect("version 2");
        let again = serde_json::to_value(&plan).expect("JSON");
        let first: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(again, first);
        let said = "\
Note: another

Sample of 1 record: 1 document other than indexed, 1 dropped by few
  x changes in 1 document
  t/0@100 → logs-1 a
      ~ x: null → 1
Note: one
";
        assert!(plan.text().ends_with(said), "{}", plan.text());
    }

    #[test]
    fn how_much_there_is_and_how_long_it_takes_is_told_and_read_again() {
        let rate = r#""target": "missing", "rate": 100"#;
        let extent = r#""to": 1300, "extent": {"records": 1100, "bytes": 2048, "is_exact": false,
            "oldest_ms": 0, "newest_ms": 1000, "last": {"offset": 1299, "timestamp_ms": 1000, "leader_epoch": 3}}"#;
        let text = TEXT.replace(r#""target": "missing""#, rate);
        let text = text.replace(r#""to": 1300"#, extent);
        let plan: PlanFile = parse(&text, PLAN).expect("version 2");
        let again = serde_json::to_value(&plan).expect("JSON");
        let first: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(again, first);
        let said = "\
TOPIC  PARTITION  FROM     TO  OFFSETS  RECORDS   BYTES  OLDEST                 NEWEST
t              0   100  1,300    1,200   ~1,100  ~2 KiB  ~1970-01-01T00:00:00Z  ~1970-01-01T00:00:01Z

Offsets in all: 1,200
Records in all: about 1,100, about 2 KiB (~: by records here and there of each range)
At 100 records a second that takes about 11.0 s
";
        assert!(plan.text().contains(said), "{}", plan.text());
    }

    #[test]
    fn indices_that_do_not_exist_are_named_with_what_becomes_of_them() {
        let missing = r#""missing_indices": ["logs-0"], "left_out""#;
        let text = TEXT.replace("\"left_out\"", missing);
        for (text, said) in [
            (
                text.clone(),
                "logs-0 does not exist: documents for it are left out",
            ),
            (
                text.replace("\"left_out\"", "\"create_missing\": true, \"left_out\""),
                "logs-0 does not exist, and is made\n",
            ),
        ] {
            let plan: PlanFile = parse(&text, PLAN).expect("version 2");
            assert!(plan.text().contains(said), "{}", plan.text());
            let again = serde_json::to_value(&plan).expect("JSON");
            let first: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(again, first);
        }
    }

    #[test]
    fn counts_of_a_partition_are_whole_where_they_begin_with_its_range() {
        let plan: PlanFile = parse(TEXT, PLAN).expect("version 2");
        let check = |complete: bool, resumed: bool, from: &str, expected: Option<u64>| {
            let text = format!(
                r#"{{"version": 1, "id": "19a", "complete": {complete}, "resumed": {resumed},
                    "summary": "s", "partitions": [{{"topic": "t", "partition": 0, "read": 7,
                    "delivered": 7, "already_present": 0, "dead_lettered": 0, "dropped": 0,
                    "lost": 0{from}}}]}}"#
            );
            let report: ReportFile = parse(&text, REPORT).expect("version 1");
            let counts = report.counts(&plan.partitions[0]);
            assert_eq!(counts.map(|counts| counts.read), expected, "{text}");
            let again = serde_json::to_value(&report).expect("JSON");
            let first: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(again, first);
        };
        // As older programs have written it.
        check(true, false, "", Some(7));
        check(true, true, "", None);
        let whole = r#", "from": 100, "to": 1300"#;
        check(true, true, whole, Some(7));
        check(false, true, whole, None);
        check(true, true, r#", "from": 101, "to": 1300"#, None);
        check(true, true, r#", "from": 100, "to": 1299"#, None);
    }

    #[test]
    fn the_report_of_another_plan_is_none() {
        let name = format!("isobar-replay-reports-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).expect("it is made");
        let (path, screen) = (directory.join("plan.json"), Screen::to(io::sink()));
        let mut plan: PlanFile = parse(TEXT, PLAN).expect("version 2");
        let of = |plan: &PlanFile| ReportFile::of(&path, plan, &screen).expect("it can be read");
        assert_eq!(of(&plan), None);
        let report = ReportFile {
            version: VERSION,
            id: plan.id.clone(),
            complete: true,
            resumed: false,
            summary: "s".to_owned(),
            partitions: Vec::new(),
        };
        write(&ReportFile::beside(&path), &report, false).expect("written");
        assert_eq!(of(&plan), Some(report));
        plan.id = "19b".to_owned();
        assert_eq!(of(&plan), None);
        std::fs::remove_dir_all(&directory).expect("it is there");
    }

    #[test]
    fn a_purge_says_where_it_deletes_and_makes_what_it_writes_to() {
        let text = TEXT.replace("\"target\": \"missing\"", "\"target\": \"purge\"");
        let purged = r#"["index.blocks.write"]}, "purged": {"logs-1": 1200}"#;
        let text = text.replace(r#"["index.blocks.write"]}"#, purged);
        let text = text.replace(
            "\"left_out\"",
            r#""missing_indices": ["logs-0"], "left_out""#,
        );
        let mut plan: PlanFile = parse(&text, PLAN).expect("version 2");
        let again = serde_json::to_value(&plan).expect("JSON");
        let first: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(again, first);
        for said in [
            "\n  logs-1 has 1,200 documents that are deleted\n",
            "\nlogs-0 does not exist, and is made\n",
        ] {
            assert!(plan.text().contains(said), "{}", plan.text());
        }
        let many = (0..25).map(|number| (format!("logs-{number:02}"), 2));
        plan.sinks[0].purged = many.collect();
        let said = "logs-19 has 2 documents that are deleted\n  5 more indices have 10 documents that are deleted\n";
        assert!(plan.text().contains(said), "{}", plan.text());
    }

    #[test]
    fn why_a_bolt_is_left_out_is_said() {
        let left_out = r#""other_sinks": ["index_b"], "only_bolts": ["index"], "exclude_bolts": ["find"],
            "left_out": ["copy", "index_b", "find"]"#;
        let text = TEXT.replace(r#""left_out": ["copy"]"#, left_out);
        let plan: PlanFile = parse(&text, PLAN).expect("version 2");
        let again = serde_json::to_value(&plan).expect("JSON");
        let first: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(again, first);
        let said = "\
Left out: copy, as it changes something elsewhere; what would reach nothing else is dropped
Left out: index_b; what would reach nothing else is dropped
Left out: find; what would reach nothing else is dropped
";
        assert!(plan.text().contains(said), "{}", plan.text());
    }

    #[test]
    fn another_file_or_version_is_refused() {
        for (text, part) in [
            (
                "isobar: 1",
                "is no plan of a replay; `isobar replay plan` makes one",
            ),
            ("{}", "is no plan of a replay: missing field `version`"),
            (
                r#"{"version": 1, "id": "19a"}"#,
                "is a plan of a replay of version 1, and this program knows version 2; `isobar replay plan` makes one",
            ),
            (r#"{"version": 2}"#, "missing field `id`"),
        ] {
            let problem = parse::<PlanFile>(text, PLAN).expect_err(text);
            assert!(problem.contains(part), "{problem}");
        }
    }

    #[test]
    fn everything_that_matters_before_the_run_is_in_the_text() {
        let plan: PlanFile = parse(TEXT, PLAN).expect("version 2");
        assert_eq!(
            plan.text(),
            "\
Replay 19a of logs: spout in, from earliest to now, target missing

TOPIC  PARTITION  FROM     TO  OFFSETS
t              0   100  1,300    1,200

Offsets in all: 1,200
Beside a live topology the run has a quarter of the lanes, at least one, and on each one request of at most 1 MiB at a \
time at each bolt; it is as wide as the topology says where it begins while nobody is in the live group, or with --yield-to-live off
Indexed by index into logs-{{ doc.day }} at http://es:9200: protected against storing twice: exact; can be verified
  1 of its indices exist
  logs-1 takes no documents: index.blocks.write
Left out: copy, as it changes something elsewhere; what would reach nothing else is dropped
t/0: offsets 0 to 99 are gone
"
        );
    }
}
