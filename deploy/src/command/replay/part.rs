//! The part of a topology that a replay runs, and the pins that keep a plan from running against
//! something else than it was made for.

use std::path::Path;

use isobar_operators::replay::{Choice, Search, Sink, Table, live_sinks, part_for, tables};
use isobar_topology::Plan;
use isobar_topology::spec::Spec;

use super::document::{PlanFile, PlannedTable};
use super::purge::PURGE;
use crate::command::Context;
use crate::configuration;
use crate::environment::cores;
use crate::exit::Failure;
use crate::topology_file::TopologyFile;

/// A part of a topology, planned.
pub(in crate::command) struct Part {
    pub(in crate::command) spec: Spec,
    pub(in crate::command) plan: Plan,
    pub(in crate::command) sinks: Vec<Sink>,
    pub(in crate::command) left_out: Vec<String>,
    /// Sinks that records of the spout reach in the live topology, and not here.
    pub(super) other_sinks: Vec<Sink>,
    /// The tables that records are looked up in.
    pub(super) tables: Vec<Table>,
    /// Hash of the whole topology's effective configuration.
    pub(super) configuration: String,
}

impl Part {
    pub(in crate::command) fn of(
        file: &TopologyFile,
        spout: &str,
        choice: &Choice,
        context: &Context<'_>,
    ) -> Result<Self, Failure> {
        let spec = file.spec()?;
        let part = part_for(spec, context.registry, spout, choice);
        let (part, sinks, left_out) = part.map_err(Failure::usage)?;
        let plan = file.plan_part(&part, context.registry, cores())?;
        let tables = tables(&part).map_err(Failure::usage)?;
        // Without the number of lanes, which is the machine's.
        let effective = configuration::effective(file.tree(), &spec.settings, 0, context.registry);
        let mut other_sinks = live_sinks(spec, spout);
        other_sinks.retain(|other| sinks.iter().all(|sink| sink.bolt != other.bolt));
        Ok(Self {
            spec: part,
            other_sinks,
            plan,
            sinks,
            left_out,
            tables,
            configuration: hash(&effective.to_string()),
        })
    }

    /// The tables as a plan keeps them.
    pub(super) fn planned_tables(&self) -> Vec<PlannedTable> {
        let tables = self.tables.iter();
        tables
            .map(|table| PlannedTable {
                bolt: table.bolt.clone(),
                file: table.file.clone(),
                hash: format!("{:016x}", table.hash),
            })
            .collect()
    }

    /// The file that has changed since a plan was made: that of the topology, or a table. What is in tables now is
    /// what a resumed run would see.
    pub(super) fn changed<'a>(&'a self, plan: &'a PlanFile) -> Option<&'a Path> {
        if self.configuration != plan.configuration {
            return Some(&plan.file);
        }
        let tables = self.planned_tables().into_iter().zip(&self.tables);
        let mut others = tables.filter(|(table, _)| !plan.tables.contains(table));
        others.next().map(|(_, table)| table.file.as_path())
    }

    /// The first bolt whose documents go elsewhere by now than the plan says.
    pub(super) fn elsewhere(&self, plan: &PlanFile) -> Option<&Sink> {
        let is_planned = |sink: &&Sink| {
            let mut planned = plan.sinks.iter();
            planned.any(|one| (&one.bolt, &one.index) == (&sink.bolt, &sink.index))
        };
        self.sinks.iter().find(|sink| !is_planned(sink))
    }

    /// Clients for the indices of each sink.
    pub(in crate::command) fn searches(&self) -> Result<Vec<Search>, Failure> {
        let sinks = self.sinks.iter();
        sinks
            .map(|sink| {
                let search = Search::of(&self.spec, sink);
                let search = search.map(|search| search.beside(&self.sinks, &self.other_sinks));
                search.map_err(|error| anyhow::Error::from(error).into())
            })
            .collect()
    }
}

/// Loads the topology of a plan, whether it has changed since or not.
pub(super) fn as_it_is(
    plan: &PlanFile,
    context: &mut Context<'_>,
) -> Result<(TopologyFile, Part), Failure> {
    context.environment.add_files(&plan.env_files)?;
    let outside = &context.environment;
    let file = outside.outside(|outside| TopologyFile::load(&plan.file, outside));
    let part = Part::of(&file, &plan.spout, &plan.choice()?, context)?;
    Ok((file, part))
}

/// Loads the topology of a plan, and refuses one that has changed since.
pub(super) fn of_plan(
    plan: &PlanFile,
    context: &mut Context<'_>,
) -> Result<(TopologyFile, Part), Failure> {
    let (file, part) = as_it_is(plan, context)?;
    match part.changed(plan) {
        Some(changed) => Err(Failure::usage(refusal(changed, plan))),
        None => Ok((file, part)),
    }
}

/// Why a plan is not run whose topology is another one by now, and what to do instead.
fn refusal(changed: &Path, plan: &PlanFile) -> String {
    let way_out = match plan.target == PURGE {
        true => {
            "; where a run of this one has begun, a new one with the same range and target deletes what it has written \
             and writes all of it, also what is missing now"
        }
        false => "",
    };
    format!(
        "{} has changed since the plan was made, so what it says of the outcome may be wrong; make a new plan{way_out}",
        changed.display()
    )
}

/// FNV-1a, which is the same in every version of the program.
fn hash(text: &str) -> String {
    let mut hash: u64 = 0xCBF2_9CE4_8422_2325;
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
    }
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_names_the_way_out_of_a_purge() {
        let said = |target: &str| {
            let plan = json!({
                "version": 1, "id": "19a", "made_at_ms": 5, "topology": "logs", "file": "/logs.yaml",
                "env_files": [], "configuration": "0f", "spout": "in", "group": "g", "cluster_id": "c",
                "topics": {"t": null}, "from": "0", "to": "100", "target": target, "sinks": [],
                "left_out": [], "narrowed": false, "partitions": [],
            });
            let plan: PlanFile = serde_json::from_value(plan).expect("a plan");
            refusal(&plan.file, &plan)
        };
        for target in ["missing", "purge"] {
            assert!(said(target).starts_with("/logs.yaml has changed since the plan was made"));
            let way_out = "a new one with the same range and target deletes what it has written";
            assert_eq!(said(target).contains(way_out), target == "purge");
        }
    }

    #[test]
    fn the_hash_of_a_plan_never_changes() {
        assert_eq!(hash(""), "cbf29ce484222325");
        assert_eq!(hash("a"), "af63dc4c8601ec8c");
    }
}
