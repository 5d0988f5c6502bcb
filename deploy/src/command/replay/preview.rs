//! Looks ahead for a plan: rehearses a sample of its records, compares it with what is indexed, and says
//! what could make the outcome another one than the first time.

use isobar_operators::lag::Source;
use isobar_operators::range::Range;
use isobar_operators::replay::{Search, Sink, Table, Target, live_sinks};
use isobar_operators::sample::{Sampled, spread};
use isobar_topology::spec::{Component, Input, OnFull, Spec};
use isobar_topology::{Plan, Registry};
use jiff::Timestamp;

use super::make::undetermined;
use super::sample::{Known, Sample};
use crate::command::runtime::Runtime;
use crate::command::source::asking;
use crate::exit::Failure;
use crate::rehearsal::{Stage, Told};

/// What a sample is taken of.
pub(super) struct Preview<'a> {
    pub(super) source: &'a Source,
    pub(super) ranges: &'a [Range],
    pub(super) count: usize,
    pub(super) within: std::time::Duration,
    pub(super) target: &'a Target,
    pub(super) sinks: &'a [Sink],
    /// Bolts that are left out.
    pub(super) left_out: &'a [String],
}

impl Preview<'_> {
    /// Rehearses records of the ranges by the plan of the part, and compares them with what is indexed: of
    /// another index than that of `live`, the whole topology, with what it has.
    pub(super) fn sample(
        &self,
        live: &Spec,
        plan: Plan,
        searches: &[Search],
        runtime: &Runtime,
    ) -> Result<Sample, Failure> {
        let records = spread(self.source, self.ranges, self.count, self.within).map_err(asking)?;
        let spout = &self.source.spout;
        // Opened outside of any runtime: it has one of its own.
        let mut stage = Stage::open(plan)?;
        let told = records.into_iter().map(|record| {
            let told = stage.run(spout, &record, None)?;
            Ok((record, told))
        });
        let told: Vec<(Sampled, Told)> = told.collect::<Result<_, Failure>>()?;
        let mut known = Vec::new();
        match self.target {
            // Beside what is indexed today, not what the new index may have.
            Target::Index(_) => {
                let sinks = live_sinks(live, spout);
                for sink in &sinks {
                    let search = Search::of(live, sink).map_err(anyhow::Error::from)?;
                    let search = search.beside(&sinks, &[]);
                    let asked = Known::ask(&sink.bolt, &search, &told);
                    known.push(runtime.block_on(asked).map_err(undetermined)?);
                }
            }
            Target::Missing | Target::Overwrite | Target::Purge => {
                for (sink, search) in self.sinks.iter().zip(searches) {
                    let asked = Known::ask(&sink.bolt, search, &told);
                    known.push(runtime.block_on(asked).map_err(undetermined)?);
                }
            }
        }
        Ok(Sample::of(&told, &known, self.target, self.left_out))
    }
}

/// What of the indices that documents go to is not known, where not all records were looked at: a sentence each.
pub(super) fn note_on_names(sinks: &[Sink]) -> Vec<String> {
    let by_record = sinks.iter().filter(|sink| sink.index.contains("{{"));
    let each = by_record.map(|sink| {
        format!(
            "which indices {} writes to is known of records here and there of the ranges: where another one does \
             not exist, its documents are left out as well, and the run says how many",
            sink.bolt
        )
    });
    each.collect()
}

/// Where the live topology drops records of a part of it that come too fast, a sentence each: the part lets them
/// wait.
pub(super) fn note_on_drops(live: &Spec, part: &Spec) -> Vec<String> {
    let drops = |on_full: OnFull| on_full != OnFull::Block;
    let spouts = part.spouts.iter().filter_map(|one| {
        let spout = live.spouts.iter().find(|spout| spout.id == one.id)?;
        drops(spout.overload.on_full).then_some(&spout.id)
    });
    let bolts = part.bolts.iter().filter_map(|one| {
        // One that is left out is there as another kind.
        let is_it = |bolt: &&Component| bolt.id == one.id && bolt.kind == one.kind;
        let bolt = live.bolts.iter().find(is_it)?;
        let mut dropped = bolt
            .inputs
            .iter()
            .filter(|input| drops(input.overload.on_full));
        let is_here = |input: &Input| one.inputs.iter().any(|one| one.from == input.from);
        dropped.any(is_here).then_some(&bolt.id)
    });
    let each = spouts.chain(bolts).map(|id| {
        format!(
            "{id} drops records that come too fast when it is live (`on_full`), and a replay lets them wait: it \
             stores documents of records that were dropped then"
        )
    });
    each.collect()
}

/// What could make documents other ones than the first time, a sentence each. `dated_by_clock` are bolts that
/// take years from the time of reading, where records without a timestamp may come; `oldest_ms` is the time
/// of the oldest record that is known.
pub(super) fn notes(
    part: &Spec,
    registry: &Registry,
    tables: &[Table],
    dated_by_clock: &[String],
    oldest_ms: Option<i64>,
) -> Vec<String> {
    let mut notes = Vec::new();
    for table in tables {
        if let (Some(modified), Some(oldest)) = (table.modified_ms, oldest_ms)
            && modified > oldest
        {
            let at = Timestamp::from_millisecond(modified);
            let at = at.map_or_else(|_| "later".to_owned(), |at| at.to_string());
            notes.push(format!(
                "{} looks up in {}, which was written at {at}, after records of the range: documents may \
                 get other values than they did",
                table.bolt,
                table.file.display()
            ));
        }
    }
    for bolt in &part.bolts {
        let kind = registry.bolt(&bolt.kind);
        let has_table = tables.iter().any(|table| table.bolt == bolt.id);
        if kind.is_some_and(|kind| !kind.deterministic) && !has_table {
            notes.push(format!(
                "{} goes by more than the record itself, such as by what came shortly before, which a replay has \
                 not seen: it may keep, drop or make others than it did",
                bolt.id
            ));
        }
        if bolt.kind == "sample" {
            notes.push(format!(
                "{} keeps a share of the records, and those that it kept before only where its options are still the \
                 same",
                bolt.id
            ));
        }
        if bolt.kind == "elasticsearch" && bolt.config.get("pipeline").is_some() {
            notes.push(format!(
                "documents of {} go through a pipeline of the cluster, so they differ from what is indexed by \
                 what that does",
                bolt.id
            ));
        }
    }
    notes.extend(dated_by_clock.iter().map(|bolt| {
        format!(
            "{bolt} takes the year of times that do not say it from the time of reading where a record has no \
             timestamp: such records may get another time than they did, hence another index"
        )
    }));
    notes
}

#[cfg(test)]
mod tests {
    use isobar_topology::spec::Node;
    use serde_json::json;

    use super::*;

    fn spec(file: serde_json::Value) -> Spec {
        Spec::read(&Node::from_json(&file)).expect("sound")
    }

    #[test]
    fn bolts_that_drop_what_comes_too_fast_are_named_unless_they_are_left_out() {
        let live = spec(json!({
            "isobar": 1, "name": "t",
            "spouts": {
                "in": {"type": "kafka", "on_full": "drop_newest"},
                "other": {"type": "kafka", "on_full": "drop_newest"},
            },
            "bolts": {
                "parse": {"type": "parse_json", "inputs": ["in", {"from": "other", "on_full": "drop_oldest"}]},
                "trim": {"type": "remove_fields", "fields": ["a"], "inputs": [{"from": "parse", "on_full": {"sample": "5%"}}]},
                "index": {"type": "elasticsearch", "inputs": ["trim"]},
                "copy": {"type": "file", "inputs": [{"from": "parse", "on_full": "drop_oldest"}]},
            },
        }));
        let mut part = live.clone();
        part.wait_for_room();
        part.spouts.retain(|spout| spout.id == "in");
        part.bolts[0].inputs.truncate(1);
        part.bolts[3].kind = "blackhole".to_owned();
        let notes = note_on_drops(&live, &part);
        let named: Vec<_> = notes.iter().map(|note| note.split(' ').next()).collect();
        assert_eq!(named, [Some("in"), Some("trim")]);
        part.bolts.truncate(1);
        part.spouts[0].id = "none".to_owned();
        assert_eq!(note_on_drops(&live, &part), Vec::<String>::new());
    }

    #[test]
    fn a_table_that_was_written_after_records_of_the_range_is_named() {
        let spec = spec(json!({
            "isobar": 1, "name": "t", "spouts": {"in": {"type": "kafka"}},
            "bolts": {"find": {"type": "lookup", "inputs": ["in"]}},
        }));
        let said = |modified_ms: Option<i64>, oldest_ms: Option<i64>| {
            let table = Table {
                bolt: "find".to_owned(),
                file: "/hosts.csv".into(),
                modified_ms,
                hash: 1,
            };
            notes(
                &spec,
                &isobar_operators::registry(),
                &[table],
                &[],
                oldest_ms,
            )
        };
        let expected = "find looks up in /hosts.csv, which was written at 1970-01-01T00:00:05Z, after records of the \
                        range: documents may get other values than they did";
        assert_eq!(said(Some(5_000), Some(4_999)), [expected]);
        for (modified_ms, oldest_ms) in [
            (Some(5_000), Some(5_000)),
            (None, Some(1)),
            (Some(5_000), None),
        ] {
            assert_eq!(said(modified_ms, oldest_ms), Vec::<String>::new());
        }
    }

    #[test]
    fn bolts_that_go_by_more_than_the_record_are_named() {
        let spec = spec(json!({
            "isobar": 1, "name": "t", "spouts": {"in": {"type": "kafka"}},
            "bolts": {
                "parse": {"type": "parse_syslog", "inputs": ["in"]},
                "once": {"type": "deduplicate", "inputs": ["parse"]},
                "few": {"type": "sample", "inputs": ["once"], "keep": 0.1},
            },
        }));
        let notes = |dated: &[String]| {
            let notes = notes(&spec, &isobar_operators::registry(), &[], dated, None);
            let first = notes
                .iter()
                .map(|note| note.split(' ').next().map(str::to_owned));
            first.collect::<Option<Vec<String>>>().expect("words")
        };
        assert_eq!(notes(&[]), ["once", "few"]);
        assert_eq!(notes(&["parse".to_owned()]), ["once", "few", "parse"]);
    }
}
